package directory

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"mailstead/mailbox"
	"mailstead/mailbox/mailboxtest"
)

// TestAliasMembers: an address is one member however it is spelt; elsewhere it
// is written to as it was given, and after a restart all is as before.
func TestAliasMembers(t *testing.T) {
	store := mailboxtest.NewStore(t)
	d := openDirectory(t, store)
	ctx := t.Context()
	want := func(members ...string) {
		t.Helper()
		for _, d := range []*Directory{d, openDirectory(t, store)} {
			if v, err := d.Alias("TEAM@Example.Test"); err != nil || !slices.Equal(v.Members, members) {
				t.Errorf("%q, %v; want %q", v.Members, err, members)
			}
		}
	}
	step := func(err, want error) {
		t.Helper()
		if !errors.Is(err, want) {
			t.Fatalf("%v, want %v", err, want)
		}
	}
	step(d.AddDomain(ctx, "Example.Test"), nil)
	step(d.AddAlias(ctx, "team@example.test", "Ann@EXAMPLE.test", "Far.Away@Else.Example", `"A b"@else.example`), nil)
	want("ann@example.test", "Far.Away@else.example", `"A b"@else.example`)
	step(d.AddAlias(ctx, "team@example.test", "far.away@else.example"), ErrExists)
	step(d.AddAlias(ctx, "team@example.test", strings.Split(strings.Repeat("x@a.example ", 2)+"y@a.example", " ")...), nil)
	want("ann@example.test", "Far.Away@else.example", `"A b"@else.example`, "x@a.example", "y@a.example")
	step(d.RemoveAlias(ctx, "team@example.test", "FAR.away@else.example", "x@a.example", "y@a.example"), nil)
	want("ann@example.test", `"A b"@else.example`)
	step(d.RemoveAlias(ctx, "team@example.test", "z@a.example"), ErrNoSuch)
	step(d.RemoveAlias(ctx, "team@example.test"), nil)
	if _, err := d.Alias("team@example.test"); !errors.Is(err, ErrNoSuch) {
		t.Errorf("removed: %v", err)
	}
	many := make([]string, maxExpansion)
	for i := range many {
		many[i] = strings.Repeat("x", i%60+1) + strings.Repeat("y", i/60+1) + "@a.example"
	}
	step(d.AddAlias(ctx, "team@example.test", many...), ErrTangle)
	step(d.AddAlias(ctx, "team@example.test", many[1:]...), nil)
	if r, err := d.Resolve("team@example.test"); err != nil || len(r.Remote) != maxExpansion-1 {
		t.Errorf("%d addresses, %v", len(r.Remote), err)
	}
}

func openDirectory(t *testing.T, store *mailbox.Store) *Directory {
	t.Helper()
	d, err := Open(store, Options{Logger: discard})
	if err != nil {
		t.Fatal(err)
	}
	return d
}
