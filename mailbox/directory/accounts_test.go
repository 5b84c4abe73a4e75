package directory

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// state is what an administrator sees of a directory, as text.
func state(t *testing.T, d *Directory) string {
	t.Helper()
	var all []string
	for _, a := range d.Accounts() {
		f, err := d.Forwarding(a.Name)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, a.Name+"("+strings.Join(a.Addresses, " ")+")>"+strings.Join(f.To, " "))
	}
	for _, a := range d.Aliases() {
		all = append(all, a.Address+">"+strings.Join(a.Members, " ")+" "+a.Owner)
	}
	for _, v := range d.Domains() {
		all = append(all, v.Name+">"+v.CatchAll+v.AliasOf)
	}
	return strings.Join(all, "\n")
}

// reopened holds the state of a directory against that of one that reads it from the store.
func reopened(t *testing.T, d *Directory) *Directory {
	t.Helper()
	again, err := Open(d.store, Options{Logger: discard})
	if err != nil {
		t.Fatal(err)
	}
	if is, want := state(t, again), state(t, d); is != want {
		t.Errorf("after a restart\n%s\nbefore\n%s", is, want)
	}
	return again
}

// TestRename: everything that led to the old name leads to the new one, in memory and after a restart, and what is in
// the queue for the old one still arrives.
func TestRename(t *testing.T) {
	d := newHousehold(t)
	ctx := t.Context()
	ok := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	keep := true
	ok(d.AddDomain(ctx, "second.test"))
	ok(d.AddAddress(ctx, "ann@example.test", "lee@example.test"))
	ok(d.AddAlias(ctx, "club@example.test", "ann@example.test", "ann+club@example.test", "x@far.example"))
	ok(d.SetOwner(ctx, "club@example.test", "ann@example.test"))
	ok(d.AddForward(ctx, "bob@example.test", &keep, "ann@example.test"))
	ok(d.SetCatchAll(ctx, "example.test", "ann@example.test"))
	password, err := d.AddAppPassword(ctx, "ann@example.test", "phone", nil, time.Time{})
	ok(err)
	at := Attempt{Protocol: "imap", Remote: netip.MustParseAddr("192.0.2.1")}
	session, err := d.Login(ctx, at, "ann@example.test", password)
	ok(err)

	for _, c := range []struct {
		name string
		want error
	}{
		{"bob@example.test", ErrExists}, {"club@example.test", ErrExists}, {"Ann@example.test", ErrExists}, {"a b@example.test", ErrAddress},
		{"ann@far.example", ErrNotLocal}, {"ann+x@example.test", ErrAddress},
	} {
		if _, err := d.RenameAccount(ctx, "ann@example.test", c.name, false); !errors.Is(err, c.want) {
			t.Errorf("to %s: %v, want %v", c.name, err, c.want)
		}
	}
	if session.Ends.Err() != nil {
		t.Error("a refused rename has ended a session")
	}

	if _, err := d.RenameAccount(ctx, "lee@example.test", "anna@second.test", false); err != nil {
		t.Fatal(err)
	}
	want := `anna@second.test(lee@example.test ann@example.test)>
bob@example.test()>anna@second.test
carl@example.test()>
club@example.test>anna@second.test anna+club@second.test x@far.example anna@second.test
example.test>anna@second.test
second.test>`
	if is := state(t, d); is != want {
		t.Errorf("%s\nwant\n%s", is, want)
	}
	if session.Ends.Err() == nil {
		t.Error("the session goes on")
	}
	again := reopened(t, d)
	for _, name := range []string{"anna@second.test", "ann@example.test"} {
		if a, err := again.Login(ctx, at, name, password); err != nil || a.ID != session.ID || a.Name != "anna@second.test" {
			t.Errorf("login as %s: %+v, %v", name, a, err)
		}
	}

	// To one of its own, and the old name is nobody's any more.
	_, err = d.RenameAccount(ctx, "anna@second.test", "ann@example.test", true)
	ok(err)
	if is := routeOf(t, d, "anna@second.test"); is != ErrNoSuch.Error() {
		t.Errorf("the dropped name leads to %s", is)
	}
	again = reopened(t, d)
	ok(again.SetCatchAll(ctx, "second.test", "carl@example.test"))
	for address, want := range map[string]string{"anna@second.test": "ann@example.test", "Anna+x@second.test": "ann@example.test", "nobody@second.test": "carl@example.test"} {
		if r, err := again.ResolveQueued(address); err != nil || len(r.Local) != 1 || r.Local[0].Name != want {
			t.Errorf("queued mail for %s: %+v, %v", address, r, err)
		}
	}
	ok(again.AddAddress(ctx, "bob@example.test", "anna@second.test"))
	if r, err := again.ResolveQueued("anna@second.test"); err != nil || r.Local[0].Name != "bob@example.test" {
		t.Errorf("somebody has it now: %+v, %v", r, err)
	}
	var told []string
	also := func(_ Entry, addresses []string) error { told = addresses; return nil }
	if _, _, err := again.EraseAccount(ctx, "ann@example.test", also, func(string, int64, int64) {}); err != nil || !slices.Contains(told, "anna@second.test") {
		t.Errorf("erased with %q: %v", told, err)
	}
}

// TestDisable: who has the right password is told, nobody else; mail is taken, or refused where that was said.
func TestDisable(t *testing.T) {
	inBubble(t, checkDisable)
}

func checkDisable(t *testing.T, d *Directory, again func() *Directory) {
	ctx := t.Context()
	at := Attempt{Protocol: "imap", Remote: netip.MustParseAddr("192.0.2.1")}
	session, err := d.Login(ctx, at, "ann@example.test", "own secret")
	if err != nil {
		t.Fatal(err)
	}
	for _, reason := range []string{"two\nlines", strings.Repeat("x", maxReason+1), "\xff"} {
		if err := d.DisableAccount(ctx, "ann@example.test", reason, false); !errors.Is(err, ErrReason) {
			t.Errorf("%q: %v", reason, err)
		}
	}
	if err := d.DisableAccount(ctx, "ann@example.test", "not paid", false); err != nil || session.Ends.Err() == nil {
		t.Errorf("%v, the session's end %v", err, session.Ends.Err())
	}
	d = again()
	for what, login := range map[string]func() error{
		"LOGIN": func() error { _, err := d.Login(ctx, at, "ann@example.test", "own secret"); return err },
		"SCRAM": func() error { _, err := scramLogin(t, d, at, "SCRAM-SHA-256", "own secret"); return err },
	} {
		if e, ok := errors.AsType[*DisabledError](login()); !ok || e.Reason != "not paid" {
			t.Errorf("%s with the right password: %v", what, e)
		}
	}
	if _, err := d.Login(ctx, at, "ann@example.test", "wrong"); !errors.Is(err, ErrCredentials) {
		t.Errorf("with a wrong password: %v", err)
	}
	if is := routeOf(t, d, "ann@example.test"); is != "ann" {
		t.Errorf("its mail goes to %s", is)
	}

	if err := d.DisableAccount(ctx, "ann@example.test", "säumig", true); err != nil {
		t.Fatal(err)
	}
	if a, err := d.Account("ann@example.test"); err != nil || a.Disabled.Reason != "säumig" || !a.Disabled.RefusesMail {
		t.Errorf("%+v, %v", a.Disabled, err)
	}
	if _, err := d.Login(ctx, at, "ann@example.test", "own secret"); err == nil || err.Error() != "this account is disabled" {
		t.Errorf("a reason that no protocol can say: %v", err)
	}
	if _, err := d.Resolve("ann@example.test"); !errors.Is(err, ErrRefusesMail) {
		t.Errorf("its mail: %v", err)
	}
	if is := routeOf(t, d, "postmaster@example.test"); is != "ann" {
		t.Errorf("where nobody else is, the postmaster is %s", is)
	}
	if _, err := d.AddAccount(ctx, "bob@example.test", "secret"); err != nil {
		t.Fatal(err)
	}
	if err := d.AddAlias(ctx, "both@example.test", "ann@example.test", "bob@example.test"); err != nil {
		t.Fatal(err)
	}
	for _, address := range []string{"both@example.test", "postmaster@example.test", "postmaster"} {
		if is := routeOf(t, d, address); is != "bob" {
			t.Errorf("%s leads to %s", address, is)
		}
	}
	if err := d.EnableAccount(ctx, "ann@example.test"); err != nil {
		t.Fatal(err)
	}
	if a, err := d.Login(ctx, at, "ann@example.test", "own secret"); err != nil || a.Ends.Err() != nil {
		t.Errorf("enabled: %+v, %v", a, err)
	}
}

// TestAliasDomain: each address of a domain is one of the other, for mail, senders, logins and lists.
func TestAliasDomain(t *testing.T) {
	d := newHousehold(t)
	ctx := t.Context()
	ok := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	ok(d.AddAlias(ctx, "info@example.test", "ann@example.test"))
	ok(d.AddAliasDomain(ctx, "Bücher.Example", "example.test"))
	ok(d.AddDomain(ctx, "second.test"))
	ok(d.SetCatchAll(ctx, "example.test", "carl@example.test"))
	for _, c := range []struct {
		alias, domain string
		want          error
	}{
		{"example.test", "example.test", ErrLoop}, {"example.test", "bücher.example", ErrLoop}, {"third.test", "bücher.example", ErrLoop},
		{"bücher.example", "second.test", ErrExists}, {"bücher.example", "example.test", ErrExists}, {"example.test", "second.test", ErrInUse},
		{"third.test", "none.test", ErrNoSuch}, {"no_name", "example.test", ErrAddress},
	} {
		if err := d.AddAliasDomain(ctx, c.alias, c.domain); !errors.Is(err, c.want) {
			t.Errorf("%s for %s: %v, want %v", c.alias, c.domain, err, c.want)
		}
	}
	for what, err := range map[string]error{
		"a catch-all": d.SetCatchAll(ctx, "bücher.example", "ann@example.test"),
		"an address":  d.AddAddress(ctx, "ann@example.test", "lee@bücher.example"),
	} {
		if !errors.Is(err, ErrAliasDomain) {
			t.Errorf("%s there: %v", what, err)
		}
	}
	if err := d.RemoveDomain(ctx, "example.test"); !errors.Is(err, ErrInUse) {
		t.Errorf("the domain goes while another stands for it: %v", err)
	}
	// Members are those that are meant, whichever domain is said.
	ok(d.AddAlias(ctx, "info@bücher.example", "bob@bücher.example"))
	ok(d.RemoveAlias(ctx, "info@xn--bcher-kva.example", "ann@bücher.example"))
	d = reopened(t, d)
	for address, want := range map[string]string{
		"Ann@Bücher.example": "ann", "ann+x@xn--bcher-kva.example": "ann", "info@bücher.example": "bob", "nobody@bücher.example": "carl",
		"info@example.test": "bob", "postmaster@bücher.example": "ann",
	} {
		if is := routeOf(t, d, address); is != want {
			t.Errorf("%s leads to %s, want %s", address, is, want)
		}
	}
	a, err := d.Login(ctx, Attempt{Protocol: "imap", Remote: netip.MustParseAddr("192.0.2.1")}, "ann@bücher.example", "secret")
	if err != nil || a.Name != "ann@example.test" || !d.MaySend(a.ID, "ann@bücher.example") || d.MaySend(a.ID, "bob@bücher.example") {
		t.Errorf("%+v, %v", a, err)
	}
	if err := d.RemoveAliasDomain(ctx, "second.test"); !errors.Is(err, ErrNoSuch) {
		t.Errorf("a domain that stands for none: %v", err)
	}
	ok(d.RemoveAliasDomain(ctx, "bücher.example"))
	if _, err := d.Resolve("ann@bücher.example"); !errors.Is(err, ErrNotLocal) {
		t.Errorf("after its end: %v", err)
	}
	reopened(t, d)
}

// TestMasked follows masked addresses through their life.
func TestMasked(t *testing.T) {
	inBubble(t, checkMasked)
}

func checkMasked(t *testing.T, d *Directory, again func() *Directory) {
	ctx := t.Context()
	ok := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	ok(d.AddDomain(ctx, "second.test"))
	ann, err := d.Account("ann@example.test")
	ok(err)
	shop, err := d.AddMasked(ctx, "ann@example.test", "shop", "", time.Now().Add(30*24*time.Hour))
	ok(err)
	forum, err := d.AddMasked(ctx, "ann@example.test", "", "second.test", time.Time{})
	ok(err)
	if !strings.HasSuffix(forum.Address, "@second.test") || shop.Address == forum.Address {
		t.Errorf("%+v, %+v", shop, forum)
	}
	for what, err := range map[string]error{
		"label":  second(d.AddMasked(ctx, "ann@example.test", strings.Repeat("x", maxLabel+1), "", time.Time{})),
		"past":   second(d.AddMasked(ctx, "ann@example.test", "", "", time.Now().Add(-time.Hour))),
		"domain": second(d.AddMasked(ctx, "ann@example.test", "", "far.example", time.Time{})),
		"nobody": second(d.AddMasked(ctx, "bob@example.test", "", "", time.Time{})),
		"taken":  d.AddAddress(ctx, "ann@example.test", shop.Address),
		"in use": d.RemoveDomain(ctx, "second.test"),
	} {
		if _, told := errors.AsType[*Problem](err); !told {
			t.Errorf("%s: %v", what, err)
		}
	}
	check := func(when, address string, want error) {
		t.Helper()
		r, err := d.Resolve(address)
		if !errors.Is(err, want) || want == nil && (err != nil || r.Local[0].Account != ann.ID || !slices.Equal(r.Masked, []string{address})) {
			t.Errorf("%s: %+v, %v, want %v", when, r, err, want)
		}
		if d.MaySend(ann.ID, address) != (want == nil) {
			t.Errorf("%s: may send as it: %v", when, want != nil)
		}
	}
	check("at first", shop.Address, nil)
	ok(d.SetCatchAll(ctx, "example.test", "ann@example.test"))
	ok(d.SwitchMasked(ctx, shop.Address, false, nil))
	check("off, where there is a catch-all", shop.Address, ErrSwitchedOff)
	if err := d.SwitchMasked(ctx, shop.Address, false, nil); !errors.Is(err, ErrExists) {
		t.Errorf("off again: %v", err)
	}
	ok(d.SwitchMasked(ctx, shop.Address, true, nil))

	// What came is counted, also that of before a restart.
	d.Arrived([]string{shop.Address})
	time.Sleep(time.Hour)
	d.Arrived([]string{shop.Address, forum.Address})
	ok(d.keepArrived(ctx))
	d = again()
	d.Arrived([]string{shop.Address})
	list, err := d.MaskedAddresses("ann@example.test")
	if err != nil || len(list) != 2 || list[0].Letters+list[1].Letters != 4 || list[0].LastUse.IsZero() {
		t.Errorf("%+v, %v", list, err)
	}

	time.Sleep(31 * 24 * time.Hour)
	check("after its end", shop.Address, ErrTimeOver)
	if err := d.SwitchMasked(ctx, shop.Address, true, nil); !errors.Is(err, ErrTimeOver) {
		t.Errorf("on after its end: %v", err)
	}
	ok(d.SwitchMasked(ctx, shop.Address, true, &time.Time{}))
	check("without an end", shop.Address, nil)

	// They go with the account, and come back with it; none is anybody else's meanwhile.
	_, err = d.AddAccount(ctx, "bob@example.test", "secret")
	ok(err)
	ok(d.SetCatchAll(ctx, "example.test", "bob@example.test"))
	ok(d.RemoveAccount(ctx, "ann@example.test"))
	check("the account is removed", shop.Address, ErrNoSuch)
	if list, err := d.MaskedAddresses(""); err != nil || len(list) != 0 {
		t.Errorf("%+v, %v", list, err)
	}
	d = again()
	_, err = d.RestoreAccount(ctx, "ann@example.test")
	ok(err)
	check("it is restored", shop.Address, nil)

	ok(d.RemoveMasked(ctx, shop.Address))
	if r, err := d.Resolve(shop.Address); err != nil || r.Local[0].Name != "bob@example.test" {
		t.Errorf("removed: %+v, %v", r, err)
	}
	if r, err := d.ResolveQueued(shop.Address); err != nil || r.Local[0].Account != ann.ID {
		t.Errorf("what was queued for it: %+v, %v", r, err)
	}
	var told []string
	also := func(_ Entry, addresses []string) error { told = addresses; return nil }
	_, _, err = d.EraseAccount(ctx, "ann@example.test", also, func(string, int64, int64) {})
	if err != nil || !slices.Contains(told, shop.Address) || !slices.Contains(told, forum.Address) {
		t.Errorf("erased with %q: %v", told, err)
	}
	d.store.Room(room).Each(maskedKey, func(key string, _ []byte) error { t.Errorf("%s is left", key); return nil })
	if err := again().RemoveDomain(context.WithoutCancel(ctx), "second.test"); err != nil {
		t.Error(err)
	}
}

// TestAdministratorsRace: of several who want one address at the same time, one gets it, and the others hear whose it is.
func TestAdministratorsRace(t *testing.T) {
	d := newHousehold(t)
	ctx := t.Context()
	const wanted = "new@example.test"
	tries := []func() error{
		func() error { return second(d.RenameAccount(ctx, "ann@example.test", wanted, false)) },
		func() error { return second(d.RenameAccount(ctx, "bob@example.test", wanted, true)) },
		func() error { return d.AddAddress(ctx, "carl@example.test", wanted) },
		func() error { return d.AddAlias(ctx, wanted, "ann@example.test") },
		func() error { return second(d.AddAccount(ctx, wanted, "secret")) },
	}
	errs := make([]error, len(tries))
	var all sync.WaitGroup
	for i, try := range tries {
		all.Go(func() { errs[i] = try() })
	}
	all.Go(func() {
		if err := d.DisableAccount(ctx, "carl@example.test", "away", false); err != nil {
			t.Error(err)
		}
	})
	all.Wait()
	got := 0
	for i, err := range errs {
		switch {
		case err == nil:
			got++
		case !errors.Is(err, ErrExists) && !errors.Is(err, ErrNoSuch): // of a name that was dropped just before
			t.Errorf("try %d: %v", i, err)
		}
	}
	if got != 1 {
		t.Errorf("%d have it: %v", got, errs)
	}
	again := reopened(t, d)
	if a, err := again.Account("carl@example.test"); err != nil || a.Disabled == nil {
		t.Errorf("%+v, %v", a, err)
	}
}

func second[T any](_ T, err error) error { return err }
