package directory

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"mailstead/mailbox/mailboxtest"
)

// newHousehold is a directory with a store: ann, bob and carl of example.test.
func newHousehold(t *testing.T) *Directory {
	t.Helper()
	d, err := Open(mailboxtest.NewStore(t), Options{Logger: discard})
	if err != nil {
		t.Fatal(err)
	}
	if err := d.AddDomain(t.Context(), "example.test"); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"ann", "bob", "carl"} {
		if _, err := d.AddAccount(t.Context(), name+"@example.test", "secret"); err != nil {
			t.Fatal(err)
		}
	}
	return d
}

// routeOf is where an address leads, as text: accounts by their names, then addresses elsewhere.
func routeOf(t *testing.T, d *Directory, address string) string {
	t.Helper()
	r, err := d.Resolve(address)
	if err != nil {
		return err.Error()
	}
	var all []string
	for _, l := range r.Local {
		all = append(all, strings.TrimSuffix(l.Name, "@example.test"))
	}
	return strings.Join(append(all, r.Remote...), " ")
}

func TestForward(t *testing.T) {
	d := newHousehold(t)
	ctx, yes, no := t.Context(), true, false
	ok := func(err error) {
		t.Helper()
		if err != nil {
			t.Error(err)
		}
	}
	is := func(address, want string) {
		t.Helper()
		if got := routeOf(t, d, address); got != want {
			t.Errorf("%s leads to %q, want %q", address, got, want)
		}
	}
	ok(d.AddForward(ctx, "ann@example.test", nil, "Far@elsewhere.example"))
	is("ann+x@example.test", "ann Far@elsewhere.example")
	is("postmaster@example.test", "ann") // what is wrong with the server is told here
	ok(d.AddForward(ctx, "ann@example.test", &no))
	is("ann@example.test", "Far@elsewhere.example")
	if a, err := d.Account("ann@example.test"); err != nil || !d.MaySend(a.ID, "ann@example.test") {
		t.Errorf("who keeps nothing may not send any more: %v", err)
	}
	if b, _ := d.Account("bob@example.test"); d.MaySend(b.ID, "ann@example.test") {
		t.Error("bob may send as ann")
	}
	for _, tc := range []struct {
		account, to string
		want        error
	}{
		{"ann@example.test", "far@elsewhere.example", ErrExists},
		{"ann@example.test", "ann+detail@example.test", ErrLoop},
		{"ann@example.test", "nonsense", ErrAddress},
		{"dora@example.test", "x@elsewhere.example", ErrNoSuch},
	} {
		if err := d.AddForward(ctx, tc.account, nil, tc.to); !errors.Is(err, tc.want) {
			t.Errorf("%s to %s: %v, want %v", tc.account, tc.to, err, tc.want)
		}
	}

	// To each other: the second is refused, and where an alias closes the ring later, mail is kept.
	ok(d.AddAlias(ctx, "ring@example.test", "carl@example.test"))
	ok(d.AddForward(ctx, "bob@example.test", &no, "ring@example.test"))
	if err := d.AddForward(ctx, "carl@example.test", &no, "bob@example.test"); !errors.Is(err, ErrLoop) {
		t.Errorf("a forward that comes back: %v", err)
	}
	ok(d.AddForward(ctx, "carl@example.test", &no, "ann@example.test"))
	ok(d.RemoveForward(ctx, "ann@example.test"))
	is("bob@example.test", "ann")
	ok(d.RemoveAlias(ctx, "ring@example.test"))
	ok(d.AddAlias(ctx, "ring@example.test", "bob@example.test"))
	is("bob@example.test", "bob")

	ok(d.AddForward(ctx, "bob@example.test", &yes, "x@elsewhere.example"))
	ok(d.RemoveForward(ctx, "bob@example.test", "RING@example.test"))
	is("bob@example.test", "bob x@elsewhere.example")

	// An account that goes is no place to forward to.
	ok(d.RemoveAccount(ctx, "ann@example.test"))
	is("carl@example.test", "carl")
	if f, err := d.Forwarding("carl@example.test"); err != nil || len(f.To) != 0 || !f.Keep {
		t.Errorf("%+v, %v", f, err)
	}
}

func TestReturnAddresses(t *testing.T) {
	d := newHousehold(t)
	ctx := t.Context()
	if err := d.SetCatchAll(ctx, "example.test", "bob@example.test"); err != nil {
		t.Fatal(err)
	}
	by := Leading{Address: "ann@example.test", Account: 1}
	back := d.ReversePath("Eva@sender.example", by)
	r, err := d.Resolve(strings.ToUpper(back[:4]) + back[4:])
	if err != nil || !r.Bounces || !slices.Equal(r.Remote, []string{"Eva@sender.example"}) || len(r.Local) > 0 {
		t.Errorf("%s leads to %+v, %v", back, r, err)
	}
	for _, forged := range []string{strings.Replace(back, "=Eva@", "=Tom@", 1), "SRS1=AAAAAAAA=x==y@example.test", "srs0=eva@example.test"} {
		if r, err := d.Resolve(forged); !errors.Is(err, ErrNoSuch) {
			t.Errorf("%s leads to %+v, %v", forged, r, err)
		}
	}
	if _, err := d.Resolve(strings.Replace(back, "@example.test", "@elsewhere.example", 1)); !errors.Is(err, ErrNotLocal) {
		t.Errorf("a return address of another server: %v", err)
	}
	if got := d.ReversePath("", by); got != "" {
		t.Errorf("the null reverse-path becomes %q", got)
	}
	if got := d.ReversePath("bob@EXAMPLE.test", by); got != "bob@EXAMPLE.test" {
		t.Errorf("our own sender becomes %q", got)
	}
	// The secret outlives a restart.
	again, err := Open(d.store, Options{Logger: discard})
	if err != nil {
		t.Fatal(err)
	}
	if r, err := again.Resolve(back); err != nil || !r.Bounces {
		t.Errorf("after a restart: %+v, %v", r, err)
	}
}

func TestListOfMembers(t *testing.T) {
	d := newHousehold(t)
	ctx := t.Context()
	for _, err := range []error{
		d.AddAlias(ctx, "club@example.test", "ann@example.test", "Eva@sender.example"),
		d.AddAlias(ctx, "all@example.test", "club@example.test"),
		d.SetMembersOnly(ctx, "club@example.test", true),
		d.SetOwner(ctx, "club@example.test", "bob@example.test"),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	r, err := d.Resolve("all@example.test")
	if err != nil || !slices.Equal(r.Closed, []string{"club@example.test"}) || r.By["Eva@sender.example"].List != "club@example.test" {
		t.Errorf("%+v, %v", r, err)
	}
	if got := d.ReversePath("x@y.example", r.By["Eva@sender.example"]); got != "club-bounces@example.test" || routeOf(t, d, got) != "bob" {
		t.Errorf("notices go to %s, and that leads to %s", got, routeOf(t, d, got))
	}
	for writer, want := range map[string]bool{
		"ann@example.test": true, "ANN+x@Example.Test": true, "eva@sender.example": true, "bob@example.test": true,
		"carl@example.test": false, "eva@elsewhere.example": false, "": false, "all@example.test": false,
	} {
		if got := d.IsMember("club@example.test", writer); got != want {
			t.Errorf("%q is a member: %v", writer, got)
		}
	}
	if err := d.SetOwner(ctx, "club@example.test", "club-bounces@example.test"); !errors.Is(err, ErrLoop) {
		t.Errorf("the owner is where notices go: %v", err)
	}
	if err := d.RemoveAccount(ctx, "bob@example.test"); err != nil {
		t.Fatal(err)
	}
	if a, err := d.Alias("club@example.test"); err != nil || a.Owner != "" || len(a.Members) != 2 {
		t.Errorf("%+v, %v", a, err)
	}
}
