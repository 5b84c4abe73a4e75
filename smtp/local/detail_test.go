package local

import (
	"io"
	"maps"
	"slices"
	"testing"
	"time"

	goimap "github.com/emersion/go-imap/v2"
	"github.com/google/go-cmp/cmp"

	"mailstead/mailbox"
	"mailstead/mailbox/directory"
	"mailstead/mailbox/junk/training"
	"mailstead/smtp/queue"
)

func TestNamed(t *testing.T) {
	for _, tc := range []struct {
		detail string
		names  []string
		want   string
	}{
		{"lists/foo", []string{"INBOX", "lists/foo", "lists"}, "lists/foo"},
		{"lists/foo", []string{"Lists/Foo"}, "Lists/Foo"},
		{"lists.foo", []string{"Lists/Foo"}, "Lists/Foo"},
		{"lists.foo", []string{"Lists/Foo", "lists.foo"}, "lists.foo"},
		{"lists.foo", []string{"Lists/Foo", "Lists.Foo"}, "Lists.Foo"},
		{"a.b.c", []string{"a/b.c", "a.b/c"}, ""}, // either could be meant
		{"a.b/c", []string{"a.b/c", "a/b/c"}, "a.b/c"},
		{"foo", []string{"foo", "Foo"}, "foo"},
		{"foo", []string{"FOO", "Foo"}, ""}, // either could be meant
		{"übung", []string{"Übung"}, "Übung"},
		{"foo", []string{"food", "lists/foo"}, ""},
		{"inbox", []string{"INBOX"}, "INBOX"},
		{"x", nil, ""},
	} {
		var list []mailbox.Info
		for _, n := range tc.names {
			list = append(list, mailbox.Info{Name: n})
		}
		if got, ok := named(list, tc.detail); got != tc.want || ok != (tc.want != "") {
			t.Errorf("%s among %q: %q, want %q", tc.detail, tc.names, got, tc.want)
		}
	}
}

// with is an account reached by a detail.
func with(d directory.Delivery, detail string) directory.Delivery {
	d.Detail = detail
	return d
}

// TestDetailsOfAPlan: each detail once, in the order of the recipients, and none
// for an account that was reached without one.
func TestDetailsOfAPlan(t *testing.T) {
	for name, tc := range map[string]struct {
		details []string
		want    []string
	}{
		"none":             {[]string{""}, nil},
		"one":              {[]string{"a"}, []string{"a"}},
		"several":          {[]string{"b", "a", "b"}, []string{"b", "a"}},
		"plain at the end": {[]string{"b", ""}, nil},
		"plain at first":   {[]string{"", "b", "c"}, nil},
	} {
		var rs []Recipient
		for _, d := range tc.details {
			rs = append(rs, Recipient{Address: d, Route: directory.Route{Local: []directory.Delivery{with(to(1), d)}}})
		}
		p := planFor(rs)
		if len(p.local) != 1 || !slices.Equal(p.details[1], tc.want) {
			t.Errorf("%s: %d copies, details %q, want %q", name, len(p.local), p.details[1], tc.want)
		}
	}
}

// TestDetailFiles: a detail files into a mailbox that is there, but not where
// letters have a meaning, and nothing is made for it. Junk stays Junk.
func TestDetailFiles(t *testing.T) {
	o := newOffice(t)
	account := o.accounts[1]
	for _, name := range []string{"Lists/Foo", "other", training.Rejects} {
		_, err := o.store.Create(t.Context(), account.Account, name, "")
		must(t, err)
	}
	before := o.names(t, 1)
	junk, err := o.store.SpecialUse(account.Account, goimap.MailboxAttrJunk)
	must(t, err)
	for _, tc := range []struct {
		text    string
		details []string
		junk    bool
		in      string
	}{
		{text: "1", details: []string{"lists.foo"}, in: "Lists/Foo"},
		{text: "2", details: []string{"none"}, in: "INBOX"},
		{text: "3", details: []string{"none", "other", "lists/foo"}, in: "other"},
		{text: "4", details: []string{"sent"}, in: "INBOX"},
		{text: "5", details: []string{"trash"}, in: "INBOX"},
		{text: "8", details: []string{"rejects"}, in: "INBOX"},
		{text: "6", details: []string{"other"}, junk: true, in: junk.Name},
		{text: "7", details: []string{"other", ""}, in: "INBOX"},
	} {
		tx := Transaction{From: "s@b.test"}
		for _, d := range tc.details {
			tx.Recipients = append(tx.Recipients, Recipient{Address: d, Route: directory.Route{Local: []directory.Delivery{with(account, d)}}})
		}
		if tc.junk {
			tx.Junk = []mailbox.AccountID{account.Account}
		}
		must(t, o.accept(t, tx, tc.text))
		if got := o.messages(t, 1, tc.in); !slices.Contains(got, tc.text) {
			t.Errorf("%q (junk: %v): %s has %q", tc.details, tc.junk, tc.in, got)
		}
	}
	all := 0
	for _, name := range before {
		all += len(o.messages(t, 1, name))
	}
	if d := cmp.Diff(before, o.names(t, 1)); d != "" || all != 8 {
		t.Errorf("%d messages; mailboxes: %s", all, d)
	}
}

// names are the mailboxes of an account.
func (o *office) names(t *testing.T, account int) []string {
	t.Helper()
	list, err := o.store.Mailboxes(o.accounts[account].Account)
	must(t, err)
	set := map[string]bool{}
	for _, m := range list {
		set[m.Name] = true
	}
	return slices.Sorted(maps.Keys(set))
}

// TestMailboxThatIsGone: one that is deleted between the choice and the delivery
// refuses no mail.
func TestMailboxThatIsGone(t *testing.T) {
	o := newOffice(t)
	p := plan{local: []directory.Delivery{o.accounts[1], o.accounts[2]}}
	targets := targetsOf(p.local, time.Unix(1e9, 0))
	targets[0].Name, targets[1].Name = "gone", "gone, too"
	b := o.NewBody()
	defer b.Abort()
	_, err := io.WriteString(b, "text")
	must(t, err)
	_, err = o.take(t.Context(), p, targets, queue.Envelope{From: "s@b.test"}, b)
	must(t, err)
	o.want(t, [3][]string{nil, {"text"}, {"text"}})
}

// TestDetailIsTriedAgain: a copy that waits for room is filed as it would have been.
func TestDetailIsTriedAgain(t *testing.T) {
	o := newOffice(t)
	account := o.accounts[1]
	_, err := o.store.Create(t.Context(), account.Account, "lists", "")
	must(t, err)
	local, domain := "u2", "@a.test"
	if account.Name != local+domain {
		t.Fatalf("the account is called %s", account.Name)
	}
	address := local + "+lists" + domain
	o.directory[address] = directory.Route{Local: []directory.Delivery{with(account, "lists")}}
	must(t, o.store.SetQuota(t.Context(), account.Account, mailbox.Quota{Messages: 1}))
	must(t, o.accept(t, Transaction{From: "s@b.test", Recipients: o.recipients("", 1)}, "first"))
	must(t, o.accept(t, Transaction{From: "s@b.test", Recipients: append(o.recipients("", 2), Recipient{Address: address, Route: o.directory[address]})}, "second"))
	o.want(t, [3][]string{nil, {"first"}, {"second"}}, []string{account.Name})
	must(t, o.store.SetQuota(t.Context(), account.Account, mailbox.Quota{}))
	m := queued("s@b.test", "Return-Path: <>\r\nsecond", account.Name)
	m.Filing = o.queue.envelopes[0].Filing
	o.Deliver(t.Context(), "a.test", m)
	if m, err := o.store.Mailbox(account.Account, "lists"); err != nil || m.Messages != 1 {
		t.Errorf("lists: %+v, %v", m, err)
	}
}
