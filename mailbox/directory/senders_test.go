package directory

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"mailstead/mailbox"
	"mailstead/mailbox/mailboxtest"
)

// openWithAnn opens a directory with ann@example.test.
func openWithAnn(t *testing.T, store *mailbox.Store) (*Directory, mailbox.AccountID) {
	t.Helper()
	d := openDirectory(t, store)
	if err := d.AddDomain(t.Context(), "example.test"); err != nil {
		t.Fatal(err)
	}
	ann, err := d.AddAccount(t.Context(), "ann@example.test", "secret")
	if err != nil {
		t.Fatal(err)
	}
	return d, ann.ID
}

func TestSenderLists(t *testing.T) {
	store := mailboxtest.NewStore(t)
	d, _ := openWithAnn(t, store)
	type change func(*Directory, context.Context, string, List, string) error
	add, remove := change((*Directory).AddSender), change((*Directory).RemoveSender)
	for _, step := range []struct {
		do      change
		account string
		list    List
		sender  string
		err     error
	}{
		{add, "ann@example.test", Blocked, "Spam@Bücher.test", nil},
		{add, "ann@example.test", Blocked, "spam@xn--bcher-kva.test", ErrExists},
		{add, "ann@example.test", Blocked, "junk.test", nil},
		{add, "ann@example.test", Allowed, "Junk.Test.", nil}, // not blocked any more
		{add, "ann@example.test", Blocked, "192.0.2.1", ErrAddress},
		{add, "ann@example.test", Blocked, "192.0.2.0/24", ErrAddress},
		{add, "ann@example.test", Blocked, "localhost", ErrAddress},
		{add, "ann@example.test", Blocked, "a@[192.0.2.1]", ErrAddress},
		{add, "ann@example.test", Blocked, "", ErrAddress},
		{add, "ann@example.test", Forwarders, "::ffff:192.0.2.1", nil},
		{add, "ann@example.test", Forwarders, "192.0.2.1", ErrExists},
		{add, "ann@example.test", Forwarders, "2001:db8::1/32", nil},
		{add, "ann@example.test", Forwarders, "junk.test", nil},
		{remove, "ann@example.test", Forwarders, "junk.test", nil}, // which stays allowed
		{remove, "ann@example.test", Blocked, "junk.test", ErrNoSuch},
		{remove, "ann@example.test", Blocked, "@", ErrAddress},
		{add, "ann@example.test", SendAs, "office@example.test", nil},
		{add, "ann@example.test", SendAs, "Club.Test", nil},
		{add, "ann@example.test", SendAs, "club.test", ErrExists},
		{add, "ann@example.test", SendAs, "192.0.2.1", ErrAddress},
		{add, "ann@example.test", SendAs, "old.test", nil},
		{remove, "ann@example.test", SendAs, "old.test", nil},
		{remove, "ann@example.test", SendAs, "old.test", ErrNoSuch},
		{add, "bob@example.test", Blocked, "junk.test", ErrNoSuch},
		{remove, "bob@example.test", Blocked, "junk.test", ErrNoSuch},
	} {
		if err := step.do(d, t.Context(), step.account, step.list, step.sender); !errors.Is(err, step.err) {
			t.Errorf("%s %q: %v, want %v", step.list, step.sender, err, step.err)
		}
	}
	want := map[List][]string{
		Blocked: {"spam@xn--bcher-kva.test"}, Allowed: {"junk.test"}, Forwarders: {"192.0.2.1/32", "2001:db8::/32"}, SendAs: {"club.test", "office@example.test"},
	}
	for _, d := range []*Directory{d, openDirectory(t, store)} {
		for list, entries := range want {
			if got, err := d.Senders("ann@example.test", list); err != nil || !slices.Equal(got, entries) {
				t.Errorf("%s: %q, %v, want %q", list, got, err, entries)
			}
		}
	}
	if _, err := d.Senders("bob@example.test", Blocked); !errors.Is(err, ErrNoSuch) {
		t.Errorf("lists of nobody: %v", err)
	}
}

func TestMaySendAsGranted(t *testing.T) {
	d, ann := openWithAnn(t, mailboxtest.NewStore(t))
	bob, err := d.AddAccount(t.Context(), "bob@example.test", "secret")
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range []string{"bob@example.test", "Ärzte.test"} {
		if err := d.AddSender(t.Context(), "ann@example.test", SendAs, entry); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		account mailbox.AccountID
		address string
		want    bool
	}{
		{ann, "Bob@example.test", true}, {ann, "bob+list@example.test", true}, {ann, "anybody@xn--rzte-koa.test", true}, {ann, "a@mail.ärzte.test", true},
		{ann, "carl@example.test", false}, {ann, "a@notärzte.test", false}, {ann, "bob@example.test.test", false}, {ann, "bob", false},
		{bob.ID, "ann@example.test", false}, {bob.ID, "anybody@ärzte.test", false},
	} {
		if got := d.MaySend(c.account, c.address); got != c.want {
			t.Errorf("MaySend(%d, %s) = %v, want %v", c.account, c.address, got, c.want)
		}
	}
	if err := d.RemoveSender(t.Context(), "ann@example.test", SendAs, "bob@example.test"); err != nil || d.MaySend(ann, "bob@example.test") {
		t.Errorf("after it was revoked: %v", err)
	}
}

func TestSenderListsAreBounded(t *testing.T) {
	a := accountRecord{Entry: Entry{ID: 1, Name: "ann@example.test"}}
	a.Senders.Standing = map[string]List{}
	for i := range maxSenders {
		a.Senders.Standing[fmt.Sprintf("d%d.test", i)] = Blocked
	}
	d, id := openWithAnn(t, mailboxtest.NewStore(t))
	if err := d.edit(t.Context(), "ann@example.test", func(r *accountRecord) error { r.Senders = a.Senders; return nil }); err != nil {
		t.Fatal(err)
	}
	for _, list := range []List{Blocked, Forwarders, SendAs} {
		if err := d.AddSender(t.Context(), "ann@example.test", list, "more.test"); !errors.Is(err, ErrTooMany) {
			t.Errorf("one more on %s: %v", list, err)
		}
	}
	if err := d.AddSender(t.Context(), "ann@example.test", Allowed, "d7.test"); err != nil {
		t.Errorf("one that changes sides: %v", err)
	}
	if got := d.Standing(id, "a@d7.test"); got != Allowed {
		t.Errorf("it is %q", got)
	}
}

func TestStanding(t *testing.T) {
	d, id := openWithAnn(t, mailboxtest.NewStore(t))
	for entry, list := range map[string]List{
		"junk.test": Blocked, "friend@junk.test": Allowed, "good.junk.test": Allowed, "list@good.junk.test": Blocked, "fine.test": Allowed,
	} {
		if err := d.AddSender(t.Context(), "ann@example.test", list, entry); err != nil {
			t.Fatal(err)
		}
	}
	for _, tc := range []struct {
		addresses []string
		want      List
	}{
		{nil, ""},
		{[]string{""}, ""},
		{[]string{"a@other.test", "not an address"}, ""},
		{[]string{"A@JUNK.test"}, Blocked},
		{[]string{"a@deep.below.junk.test"}, Blocked},
		{[]string{"a@notjunk.test"}, ""},
		{[]string{"friend@junk.test"}, Allowed},
		{[]string{"friend+work@junk.test"}, Allowed},
		{[]string{"a@good.junk.test"}, Allowed},
		{[]string{"list@good.junk.test"}, Blocked},
		{[]string{"a@junk.test", "b@fine.test"}, Allowed}, // a draw
		{[]string{"list@good.junk.test", "b@fine.test"}, Blocked},
		{[]string{"b@fine.test", "friend@junk.test"}, Allowed},
		{[]string{"a@x.junk.test", "b@fine.test"}, Allowed},
	} {
		if got := d.Standing(id, tc.addresses...); got != tc.want {
			t.Errorf("%q: %q, want %q", tc.addresses, got, tc.want)
		}
	}
	if got := d.Standing(id+100, "a@junk.test"); got != "" {
		t.Errorf("of nobody: %q", got)
	}
}

func TestIsForwarder(t *testing.T) {
	d, id := openWithAnn(t, mailboxtest.NewStore(t))
	for _, entry := range []string{"old.test", "me@provider.test", "192.0.2.0/28"} {
		if err := d.AddSender(t.Context(), "ann@example.test", Forwarders, entry); err != nil {
			t.Fatal(err)
		}
	}
	elsewhere := netip.MustParseAddr("198.51.100.1")
	for _, tc := range []struct {
		hop  Hop
		want bool
	}{
		{Hop{}, false},
		{Hop{Client: netip.MustParseAddr("192.0.2.15")}, true},
		{Hop{Client: netip.MustParseAddr("::ffff:192.0.2.1")}, true},
		{Hop{Client: netip.MustParseAddr("192.0.2.16")}, false},
		{Hop{Client: elsewhere, Names: []string{"x.test", "MX.Old.test."}}, true},
		{Hop{Client: elsewhere, Names: []string{"mxold.test"}}, false},
		{Hop{Client: elsewhere, Names: []string{"mx.provider.test"}}, false},
		{Hop{Client: elsewhere, ReversePath: "srs0=x@bounces.old.test"}, true},
		{Hop{Client: elsewhere, ReversePath: "me@provider.test"}, true},
		{Hop{Client: elsewhere, ReversePath: "ME+caf_=ann@provider.test"}, true},
		{Hop{Client: elsewhere, ReversePath: "you@provider.test"}, false},
	} {
		if got := d.IsForwarder(id, tc.hop); got != tc.want {
			t.Errorf("%+v: %v, want %v", tc.hop, got, tc.want)
		}
	}
	if d.IsForwarder(id+100, Hop{Client: netip.MustParseAddr("192.0.2.1")}) {
		t.Error("of nobody")
	}
}
