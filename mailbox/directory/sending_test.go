package directory

import (
	"errors"
	"testing"
	"time"

	"mailstead/mailbox"
	"mailstead/mailbox/mailboxtest"
)

// openSending opens a directory with ann@example.test at a time that the test moves.
func openSending(t *testing.T, store *mailbox.Store, now *clock, usual Sending) *Directory {
	t.Helper()
	d, err := Open(store, Options{Sending: usual, Now: now.now, Logger: discard})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// send counts a message as it is counted in life: the change is made when it is stored.
func send(t *testing.T, d *Directory, id mailbox.AccountID, n Sending) *OverSending {
	t.Helper()
	change, err := d.CountSending(id, n)
	if o, ok := errors.AsType[*OverSending](err); ok {
		return o
	}
	if err := errors.Join(err, d.store.Change(t.Context(), change)); err != nil {
		t.Fatal(err)
	}
	return nil
}

func TestSendingIsLimited(t *testing.T) {
	store := mailboxtest.NewStore(t)
	_, ann := openWithAnn(t, store)
	now := &clock{time.Unix(1e9, 0)}
	d := openSending(t, store, now, Sending{Messages: 4, Recipients: 10, Strangers: 2})
	one := Sending{Messages: 1, Recipients: 1}
	for i := range 4 {
		if o := send(t, d, ann, one); o != nil {
			t.Fatalf("message %d: %v", i, o)
		}
	}
	o := send(t, d, ann, one)
	if o == nil || o.What != "messages" || o.Limit != 4 || o.Wait != 6*time.Hour || !o.Tell {
		t.Fatalf("a message too many: %+v", o)
	}
	if o := send(t, d, ann, one); o == nil || o.Tell {
		t.Errorf("it is told twice: %+v", o)
	}
	d = openSending(t, store, now, Sending{Messages: 4, Recipients: 10, Strangers: 2}) // as after a restart
	if o := send(t, d, ann, one); o == nil {
		t.Error("a restart forgets what was sent")
	}
	now.t = now.t.Add(o.Wait)
	if o := send(t, d, ann, one); o != nil {
		t.Errorf("after the wait: %+v", o)
	}
	now.t = now.t.Add(-time.Hour) // a clock that is set back
	if o := send(t, d, ann, one); o == nil {
		t.Error("a clock that was set back forgives what was sent")
	}
	now.t = now.t.Add(3 * sendingDay)
	if o := send(t, d, ann, Sending{Messages: 1, Recipients: 11}); o == nil || o.What != "recipients" || o.Wait != 0 || !o.Tell {
		t.Errorf("more recipients than ever may be: %+v", o)
	}
	if o := send(t, d, ann, Sending{Messages: 1, Recipients: 3, Strangers: 3}); o == nil || o.What != "strangers" || o.Tell {
		t.Errorf("strangers: %+v", o)
	}
	if o := send(t, d, ann, Sending{Messages: 1, Recipients: 10, Strangers: 2}); o != nil {
		t.Errorf("as much as may be: %+v", o)
	}
}

func TestUnsentMailIsNotCounted(t *testing.T) {
	store := mailboxtest.NewStore(t)
	_, ann := openWithAnn(t, store)
	d := openSending(t, store, &clock{time.Unix(1e9, 0)}, Sending{Messages: 1})
	one := Sending{Messages: 1, Recipients: 1, Strangers: 1}
	for range 3 {
		if _, err := d.CountSending(ann, one); err != nil {
			t.Fatal(err)
		}
		d.Unsend(ann, one)
	}
	if _, used, err := d.Sending("ann@example.test"); err != nil || used != (Sending{}) {
		t.Errorf("%+v is used, %v", used, err)
	}
}

func TestSendingOfOneAccount(t *testing.T) {
	store := mailboxtest.NewStore(t)
	_, ann := openWithAnn(t, store)
	now := &clock{time.Unix(1e9, 0)}
	d := openSending(t, store, now, Sending{Messages: 1})
	if limit, _, err := d.Sending("ann@example.test"); err != nil || limit != (Sending{1, DefaultSending.Recipients, DefaultSending.Strangers}) {
		t.Fatalf("usually %+v, %v", limit, err)
	}
	if err := d.EditSending(t.Context(), "ann@example.test", func(own *Sending) { own.Messages = Unlimited }); err != nil {
		t.Fatal(err)
	}
	d = openSending(t, store, now, Sending{Messages: 1})
	for range 5 {
		if o := send(t, d, ann, Sending{Messages: 1, Recipients: 1}); o != nil {
			t.Fatalf("without a limit: %+v", o)
		}
	}
	if limit, used, err := d.Sending("ann@example.test"); err != nil || limit.Messages != Unlimited || used.Messages != 5 {
		t.Errorf("%+v, %+v used, %v", limit, used, err)
	}
	if err := d.EditSending(t.Context(), "bob@example.test", func(*Sending) {}); !errors.Is(err, ErrNoSuch) {
		t.Errorf("of nobody: %v", err)
	}
}
