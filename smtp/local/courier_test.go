package local

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"mailstead/mailbox"
	"mailstead/mailbox/directory"
	"mailstead/mailbox/mailboxtest"
	"mailstead/smtp/queue"
)

// fakeDirectory leads addresses where a test wants.
type fakeDirectory map[string]directory.Route

func (d fakeDirectory) Resolve(address string) (directory.Route, error) {
	if r, ok := d[address]; ok {
		return r, nil
	}
	return directory.Route{}, directory.ErrNoSuch
}

func (d fakeDirectory) ResolveQueued(address string) (directory.Route, error) {
	return d.Resolve(address)
}

func (d fakeDirectory) Owner(address string) (directory.Delivery, error) {
	if r, ok := d[address]; ok && len(r.Local) > 0 {
		return r.Local[0], nil
	}
	return directory.Delivery{}, directory.ErrNoSuch
}

func (d fakeDirectory) ReversePath(sender string, by directory.Leading) string {
	return "back-to-" + sender + "-by-" + by.Address
}

// fakeQueue notes what it is given.
type fakeQueue struct {
	envelopes []queue.Envelope
	bodies    []mailbox.BodyID
	woken     int
}

func (q *fakeQueue) Add(e queue.Envelope) func(mailbox.BodyID) []mailbox.RoomChange {
	return func(id mailbox.BodyID) []mailbox.RoomChange {
		q.envelopes, q.bodies = append(q.envelopes, e), append(q.bodies, id)
		changes := []mailbox.RoomChange{{Room: "queue", Key: fmt.Sprint(id), Value: []byte(e.From), Body: id}}
		for i := range e.Settled {
			changes = append(changes, mailbox.RoomChange{Room: "queue", Key: fmt.Sprint(id, i), Value: []byte(e.From), Body: id})
		}
		if len(e.Recipients) == 0 {
			changes = changes[1:]
		}
		return changes
	}
}

func (q *fakeQueue) Wake() { q.woken++ }

// office is a courier with a store of four accounts, the first of which is
// postmaster's and the last of which was removed.
type office struct {
	*Courier
	store     *mailbox.Store
	directory fakeDirectory
	queue     *fakeQueue
	accounts  []directory.Delivery
}

func newOffice(t *testing.T) *office {
	o := &office{store: mailboxtest.NewStore(t), directory: fakeDirectory{}, queue: &fakeQueue{}}
	for range 4 {
		id, err := o.store.CreateAccount(t.Context(), nil)
		must(t, err)
		d := to(id)
		o.accounts = append(o.accounts, d)
		o.directory[d.Name] = directory.Route{Local: []directory.Delivery{d}}
	}
	must(t, o.store.DeleteAccount(t.Context(), o.accounts[3].Account))
	o.directory["postmaster"] = o.directory[o.accounts[0].Name]
	o.Courier = New(Options{Store: o.store, Directory: o.directory, Now: func() time.Time { return time.Unix(1e9, 0).UTC() }})
	o.UseQueue(o.queue)
	return o
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// recipients are those of accounts by number, and of an alias to elsewhere.
func (o *office) recipients(remote string, accounts ...int) []Recipient {
	var rs []Recipient
	for _, n := range accounts {
		d := o.accounts[n]
		rs = append(rs, Recipient{Address: d.Name, Route: directory.Route{Local: []directory.Delivery{d}}})
	}
	if remote != "" {
		rs = append(rs, Recipient{Address: "alias@a.test", Route: directory.Route{Remote: []string{remote}}})
	}
	return rs
}

// accept has a message with that text accepted.
func (o *office) accept(t *testing.T, tx Transaction, text string) error {
	t.Helper()
	b := o.NewBody()
	defer b.Abort()
	_, err := io.WriteString(b, text)
	must(t, err)
	tx.Received = time.Unix(1e9, 0)
	return o.Accept(t.Context(), tx, b)
}

// messages are the texts in a mailbox of an account.
func (o *office) messages(t *testing.T, account int, name string) []string {
	t.Helper()
	m, err := o.store.OpenMailbox(t.Context(), o.accounts[account].Account, name)
	must(t, err)
	defer m.Close()
	v := m.View(false)
	texts := []string{}
	for _, r := range v.Rows(nil, 1, v.Len()) {
		texts = append(texts, o.text(t, r.Body))
		if r.Internal.Unix != 1e9 {
			t.Errorf("INTERNALDATE %v", r.Internal.Time())
		}
	}
	return texts
}

func (o *office) text(t *testing.T, id mailbox.BodyID) string {
	t.Helper()
	b, err := o.store.OpenBody(id)
	must(t, err)
	defer b.Close()
	text, err := io.ReadAll(io.NewSectionReader(b, 0, b.Size()))
	must(t, err)
	return string(text)
}

// want compares INBOXes and the queue's recipients.
func (o *office) want(t *testing.T, inboxes [3][]string, queued ...[]string) {
	t.Helper()
	for i, want := range inboxes {
		if d := cmp.Diff(append([]string{}, want...), o.messages(t, i, "INBOX")); d != "" {
			t.Errorf("INBOX %d: %s", i, d)
		}
	}
	var got [][]string
	for _, e := range o.queue.envelopes {
		got = append(got, e.Recipients)
	}
	if !slices.EqualFunc(got, queued, slices.Equal) {
		t.Errorf("queued %q, want %q", got, queued)
	}
}

func TestAccept(t *testing.T) {
	o := newOffice(t)
	must(t, o.accept(t, Transaction{From: "s@b.test", Recipients: o.recipients("x@c.test", 1, 2, 1), UTF8: true, EightBit: true}, "text"))
	o.want(t, [3][]string{nil, {"text"}, {"text"}}, []string{"x@c.test"})
	e := o.queue.envelopes[0]
	if e.From != "s@b.test" || e.Size != 4 || !e.UTF8 || !e.EightBit || e.Received.Unix() != 1e9 || o.queue.woken != 1 {
		t.Errorf("queued %+v, woken %d times", e, o.queue.woken)
	}
	if got := o.text(t, o.queue.bodies[0]); got != "text" {
		t.Errorf("queued body %q", got)
	}
}

func TestAcceptRefuses(t *testing.T) {
	o := newOffice(t)
	err := o.accept(t, Transaction{From: "s@b.test", Recipients: o.recipients("", 3)}, "text")
	if r, ok := errors.AsType[*Refusal](err); !ok || r.Code != 550 || r.Enhanced != "5.1.1" {
		t.Errorf("an account that is gone: %v", err)
	}
	o.want(t, [3][]string{})
	if o.queue.woken != 0 {
		t.Error("the queue was woken for nothing")
	}
}

// TestRefusedCopyOfAStranger goes to the postmaster: the sender is told nothing.
func TestRefusedCopyOfAStranger(t *testing.T) {
	o := newOffice(t)
	must(t, o.accept(t, Transaction{From: "s@b.test", Recipients: o.recipients("", 1, 3)}, "text"))
	o.want(t, [3][]string{{"text"}, {"text"}, nil})
}

// TestRefusedCopyOfAUser goes to the queue, which sends the notice.
func TestRefusedCopyOfAUser(t *testing.T) {
	o := newOffice(t)
	must(t, o.accept(t, Transaction{From: "u1@a.test", Account: o.accounts[1].Account, Recipients: o.recipients("", 3, 2)}, "text"))
	o.want(t, [3][]string{nil, nil, {"text"}}, []string{o.accounts[3].Name})
	if o.queue.envelopes[0].Account != o.accounts[1].Account || o.queue.woken != 1 {
		t.Errorf("queued %+v, woken %d times", o.queue.envelopes[0], o.queue.woken)
	}
}

// TestJunk goes to the mailbox of that use, whatever its name, and to INBOX
// where there is none; the others' copies are not touched.
func TestJunk(t *testing.T) {
	o := newOffice(t)
	tx := Transaction{From: "s@b.test", Recipients: o.recipients("", 0, 1, 2)}
	tx.Junk = []mailbox.AccountID{o.accounts[0].Account, o.accounts[1].Account}
	must(t, o.store.Delete(t.Context(), o.accounts[1].Account, "Junk"))
	must(t, o.accept(t, tx, "text"))
	o.want(t, [3][]string{nil, {"text"}, {"text"}})
	if d := cmp.Diff([]string{"text"}, o.messages(t, 0, "Junk")); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff([]string{}, o.messages(t, 2, "Junk")); d != "" {
		t.Error(d)
	}
}

// TestFullMailbox is refused when it is alone, and tried again by the queue when
// others took the message: nothing that was accepted is lost.
func TestFullMailbox(t *testing.T) {
	o := newOffice(t)
	limit := func(messages int64) {
		must(t, o.store.SetQuota(t.Context(), o.accounts[1].Account, mailbox.Quota{Messages: messages}))
	}
	limit(1)
	stranger := func(accounts ...int) Transaction {
		return Transaction{From: "s@b.test", Recipients: o.recipients("", accounts...)}
	}
	must(t, o.accept(t, stranger(1), "first"))
	err := o.accept(t, stranger(1), "alone")
	if r, ok := errors.AsType[*Refusal](err); !ok || r.Code != 452 || r.Enhanced != "4.2.2" {
		t.Errorf("alone: %v", err)
	}
	must(t, o.accept(t, stranger(1, 2), "both"))
	o.want(t, [3][]string{nil, {"first"}, {"both"}}, []string{o.accounts[1].Name})
	again := queued("s@b.test", "again", o.accounts[1].Name)
	if got := o.Deliver(t.Context(), "a.test", again); got[0].Status != queue.Temporary || got[0].Enhanced != "4.2.2" {
		t.Errorf("the queue heard %+v", got)
	}
	limit(2)
	if got := o.Deliver(t.Context(), "a.test", again); got[0].Status != queue.Delivered {
		t.Errorf("the queue heard %+v", got)
	}
	o.want(t, [3][]string{nil, {"first", "Return-Path: <s@b.test>\r\nagain"}, {"both"}}, []string{o.accounts[1].Name})
}

// TestHasQuota: an alias is full when all behind it are.
func TestHasQuota(t *testing.T) {
	o := newOffice(t)
	must(t, o.store.SetQuota(t.Context(), o.accounts[1].Account, mailbox.Quota{Storage: 1000}))
	must(t, o.store.SetQuota(t.Context(), o.accounts[2].Account, mailbox.Quota{Storage: 2000}))
	small, large, none, gone := o.accounts[1], o.accounts[2], o.accounts[0], o.accounts[3]
	for _, tc := range []struct {
		name   string
		locals []directory.Delivery
		remote []string
		full   bool
	}{
		{name: "full", locals: []directory.Delivery{small}, full: true},
		{name: "has room", locals: []directory.Delivery{large}},
		{name: "without a quota", locals: []directory.Delivery{none}},
		{name: "one full, one has room", locals: []directory.Delivery{small, large}},
		{name: "full, and elsewhere", locals: []directory.Delivery{small}, remote: []string{"x@c.test"}},
		{name: "elsewhere alone", remote: []string{"x@c.test"}},
		{name: "an account that is gone is refused as such", locals: []directory.Delivery{gone}},
	} {
		err := o.HasQuota(directory.Route{Local: tc.locals, Remote: tc.remote}, 1500)
		if errors.Is(err, mailbox.ErrOverQuota) != tc.full || !tc.full && err != nil {
			t.Errorf("%s: %v", tc.name, err)
		}
	}
}

// TestRefusedCopyWithoutPostmaster is kept by the queue: it is not dropped.
func TestRefusedCopyWithoutPostmaster(t *testing.T) {
	o := newOffice(t)
	delete(o.directory, "postmaster")
	must(t, o.accept(t, Transaction{From: "s@b.test", Recipients: o.recipients("", 1, 3)}, "text"))
	o.want(t, [3][]string{nil, {"text"}, nil}, []string{o.accounts[3].Name})
}

func TestDivertToJunk(t *testing.T) {
	o := newOffice(t)
	must(t, o.accept(t, Transaction{From: "s@b.test", Recipients: o.recipients("x@c.test")}, "text"))
	place, err := o.divert(t.Context(), o.accounts[1], time.Unix(1e9, 0), o.queue.bodies[0])
	if must(t, err); place != "Junk" {
		t.Errorf("it is said to be in %q", place)
	}
	if got := o.messages(t, 1, "Junk"); !slices.Equal(got, []string{"text"}) {
		t.Errorf("Junk has %q", got)
	}
}

// queued is a message as the queue hands it over.
func queued(from, text string, recipients ...string) queue.Message {
	return queue.Message{From: from, Recipients: recipients, Size: int64(len(text)), Open: func() (io.ReadCloser, error) {
		return io.NopCloser(strings.NewReader(text)), nil
	}}
}

func TestDeliverQueued(t *testing.T) {
	o := newOffice(t)
	o.directory["alias@a.test"] = directory.Route{Local: []directory.Delivery{o.accounts[0], o.accounts[1]}, Remote: []string{"x@c.test"}}
	o.directory["elsewhere@c.test"] = directory.Route{Remote: []string{"elsewhere@c.test"}}
	outcomes := o.Deliver(t.Context(), "a.test", queued("", "notice", "u1@a.test", "nobody@a.test", "u4@a.test"))
	for i, want := range []queue.Status{queue.Delivered, queue.Permanent, queue.Permanent} {
		if outcomes[i].Status != want {
			t.Errorf("%d: %+v", i, outcomes[i])
		}
	}
	again := queued("s@b.test", "Return-Path: <s@b.test>\r\nagain", "alias@a.test")
	again.Account = o.accounts[2].Account
	o.Deliver(t.Context(), "a.test", again)
	o.want(t, [3][]string{
		{"Return-Path: <>\r\nnotice", "Return-Path: <s@b.test>\r\nagain"}, {"Return-Path: <s@b.test>\r\nagain"}, nil,
	}, []string{"x@c.test"})
	if o.queue.envelopes[0].Account != again.Account {
		t.Error("what was forwarded is not the user's any more")
	}
}

func TestDeliverQueuedInTrouble(t *testing.T) {
	o := newOffice(t)
	broken := queued("", "", "u1@a.test")
	broken.Open = func() (io.ReadCloser, error) { return nil, errors.New("disk on fire") }
	for _, m := range []queue.Message{broken, {Recipients: []string{"u1@a.test"}, Open: func() (io.ReadCloser, error) {
		return io.NopCloser(io.MultiReader(strings.NewReader("half a mess"), failing{})), nil
	}}} {
		got := o.Deliver(context.Background(), "a.test", m)
		if len(got) != 1 || got[0].Status != queue.Temporary || strings.Contains(got[0].Text, "fire") {
			t.Errorf("outcomes %+v", got)
		}
	}
	o.want(t, [3][]string{})
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errors.New("disk on fire") }
