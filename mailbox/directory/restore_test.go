package directory

import (
	"errors"
	"slices"
	"testing"

	"mailstead/mailbox"
	"mailstead/mailbox/mailboxtest"
)

// TestRestoreAccount: a removed account comes back with its id, password and
// those of its addresses that nobody else has by now, also after a restart.
func TestRestoreAccount(t *testing.T) {
	store := mailboxtest.NewStore(t)
	d := openDirectory(t, store)
	ctx := t.Context()
	step := func(err, want error) {
		t.Helper()
		if !errors.Is(err, want) {
			t.Fatalf("%v, want %v", err, want)
		}
	}
	step(d.AddDomain(ctx, "a.test"), nil)
	step(d.AddDomain(ctx, "b.test"), nil)
	ann, err := d.AddAccount(ctx, "ann@a.test", "secret")
	step(err, nil)
	step(d.AddAddress(ctx, "ann@a.test", "post@a.test"), nil)
	step(d.AddAddress(ctx, "ann@a.test", "ann@b.test"), nil)
	step(d.RemoveAccount(ctx, "ann@a.test"), nil)
	list, err := d.RemovedAccounts()
	if err != nil || len(list) != 1 || list[0].Name != "ann@a.test" || list[0].Removed.IsZero() {
		t.Errorf("%+v, %v", list, err)
	}
	_, err = d.RestoreAccount(ctx, "post@a.test")
	step(err, ErrNoSuch) // not its name

	_, err = d.AddAccount(ctx, "post@a.test", "other")
	step(err, nil)
	step(d.RemoveDomain(ctx, "b.test"), nil)
	r, err := d.RestoreAccount(ctx, "Ann@A.Test")
	if err != nil || r.ID != ann.ID || len(r.Addresses) != 0 || !slices.Equal(r.LeftOut, []string{"post@a.test", "ann@b.test"}) {
		t.Fatalf("%+v, %v", r, err)
	}
	for _, d := range []*Directory{d, openDirectory(t, store)} {
		if ok, err := d.HasPassword(ctx, "ann@a.test", "secret"); err != nil || !ok {
			t.Errorf("the password: %v, %v", ok, err)
		}
		if list, err := d.RemovedAccounts(); err != nil || len(list) != 0 {
			t.Errorf("still removed: %+v, %v", list, err)
		}
	}
	_, err = d.RestoreAccount(ctx, "ann@a.test")
	step(err, ErrNoSuch)

	step(d.AddAddress(ctx, "ann@a.test", "lee@a.test"), nil)
	step(d.RemoveAccount(ctx, "ann@a.test"), nil)
	second, err := d.AddAccount(ctx, "ann@a.test", "new")
	step(err, nil)
	if second.ID == ann.ID {
		t.Error("the id of a removed account was given again")
	}
	r, err = d.RestoreAccount(ctx, "ann@a.test")
	if err != nil || r.Name != "lee@a.test" || !slices.Equal(r.LeftOut, []string{"ann@a.test"}) {
		t.Errorf("%+v, %v", r, err)
	}
	step(d.RemoveAccount(ctx, "lee@a.test"), nil)
	step(d.AddAlias(ctx, "lee@a.test", "ann@a.test"), nil)
	_, err = d.RestoreAccount(ctx, "lee@a.test")
	step(err, ErrExists)
}

// TestRemovedIsForgotten: when an account's mail is purged, nothing is kept of it here.
func TestRemovedIsForgotten(t *testing.T) {
	store := mailboxtest.NewStore(t)
	d := openDirectory(t, store)
	ctx := t.Context()
	var id mailbox.AccountID
	if err := d.AddDomain(ctx, "a.test"); err != nil {
		t.Fatal(err)
	}
	ann, err := d.AddAccount(ctx, "ann@a.test", "secret")
	if err != nil {
		t.Fatal(err)
	}
	id = ann.ID
	if err := errors.Join(d.RemoveAccount(ctx, "ann@a.test"), store.PurgeAccount(ctx, id)); err != nil {
		t.Fatal(err)
	}
	if list, err := d.RemovedAccounts(); err != nil || len(list) != 0 {
		t.Errorf("%+v, %v", list, err)
	}
	if _, err := d.RestoreAccount(ctx, "ann@a.test"); !errors.Is(err, ErrNoSuch) {
		t.Errorf("%v", err)
	}
}
