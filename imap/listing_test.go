package imap

import (
	"fmt"
	"strings"
	"testing"

	goimap "github.com/emersion/go-imap/v2"

	"mailstead/imap/wire"
	"mailstead/mailbox"
)

// hierarchy builds a tree from names; a trailing "!" stands for a subscription, a
// leading "~" for a name without a mailbox, "^" for a special use.
func hierarchy(names string) tree {
	var infos []mailbox.Info
	var subscriptions []string
	for name := range strings.FieldsSeq(names) {
		name, subscribed := strings.CutSuffix(name, "!")
		name, missing := strings.CutPrefix(name, "~")
		name, special := strings.CutPrefix(name, "^")
		if subscribed {
			subscriptions = append(subscriptions, name)
		}
		info := mailbox.Info{Name: name, Rights: mailbox.AllRights}
		if special {
			info.SpecialUse = goimap.MailboxAttrSent
		}
		if !missing {
			infos = append(infos, info)
		}
	}
	return newTree(infos, subscriptions)
}

// short writes answers as name, + for CHILDINFO, and N for \NonExistent.
func short(answers []answer) string {
	var out []string
	for _, a := range answers {
		name := a.name
		if a.childInfo {
			name += "+"
		}
		for _, attr := range a.attrs {
			if attr == goimap.MailboxAttrNonExistent || attr == goimap.MailboxAttrNoSelect {
				name += "N"
				break
			}
		}
		out = append(out, name)
	}
	return strings.Join(out, " ")
}

// TestListAnswers decides on the examples of RFC 5258 section 5, and on what RFC 3501
// says of levels that are no mailboxes.
func TestListAnswers(t *testing.T) {
	const example1 = "INBOX! Fruit Fruit/Apple Fruit/Banana! ~Fruit/Peach! Tofu Vegetable! Vegetable/Broccoli! Vegetable/Corn"
	const example9 = "INBOX foo2 foo2/bar1! foo2/bar2! baz2 baz2/bar2! baz2/bar22! baz2/bar222! eps2! eps2/mamba! qux2/bar2!"
	subscribed := goimap.ListOptions{SelectSubscribed: true}
	recursive := goimap.ListOptions{SelectSubscribed: true, SelectRecursiveMatch: true}
	tests := []struct {
		names, pattern string
		options        goimap.ListOptions
		want           string
	}{
		{example1, "*", goimap.ListOptions{}, "INBOX Fruit Fruit/Apple Fruit/Banana Tofu Vegetable Vegetable/Broccoli Vegetable/Corn"},
		{example1, "*", subscribed, "INBOX Fruit/Banana Fruit/PeachN Vegetable Vegetable/Broccoli"},
		{example1, "%", goimap.ListOptions{}, "INBOX Fruit Tofu Vegetable"},
		{example1, "inbox", goimap.ListOptions{}, "INBOX"},
		{"Foo Foo/Bar Foo/Baz! Moo", "%", subscribed, ""},
		{"Foo Foo/Bar Foo/Baz! Moo", "%", recursive, "Foo+"},
		{"Foo! Foo/Bar Foo/Baz! Moo", "%", recursive, "Foo+"},
		{"Foo/Bar Foo/Baz! Moo", "%", recursive, "Foo+N"},
		{"Foo Foo/Bar Foo/Baz Moo", "%", recursive, ""},
		{"Foo! Foo/Bar Foo/Baz Moo!", "%", recursive, "Foo Moo"},
		{example9, "*2", recursive, "baz2/bar2 baz2/bar22 baz2/bar222 eps2+ foo2+ foo2/bar2 qux2/bar2"},
		{"foo ~foo/bar!", "foo", recursive, "foo+"},
		{"music/rock", "%", goimap.ListOptions{}, "musicN"},
		{"^Sent ^a/Sent a b", "*", goimap.ListOptions{SelectSpecialUse: true}, "Sent a/Sent"},
		{"^Sent ^a/Sent a b", "%", goimap.ListOptions{SelectSpecialUse: true, SelectRecursiveMatch: true}, "Sent a+"},
	}
	for _, test := range tests {
		ps, err := compilePatterns(wire.DecodeUTF7, "", []string{test.pattern})
		if err != nil {
			t.Fatal(err)
		}
		l := &listing{options: test.options, extended: true, patterns: ps}
		got := short(l.answers(hierarchy(test.names)))
		if got != test.want {
			t.Errorf("LIST %+v %q\n got %s\nwant %s", test.options, test.pattern, got, test.want)
		}
	}
}

// TestLsubAnswers decides on the levels that only LSUB returns.
func TestLsubAnswers(t *testing.T) {
	tests := []struct{ names, pattern, want string }{
		{"a a/b! c!", "*", "a/b c"},
		{"a a/b! c!", "%", "aN c"},
		{"a! ~gone!", "*", "a goneN"},
		{"a/b/c!", "a/%", "a/bN"},
	}
	for _, test := range tests {
		ps, _ := compilePatterns(wire.DecodeUTF7, "", []string{test.pattern})
		if got := short(lsubAnswers(hierarchy(test.names), ps[0], test.pattern)); got != test.want {
			t.Errorf("LSUB %q of %s: %s, want %s", test.pattern, test.names, got, test.want)
		}
	}
}

// BenchmarkList decides on a thousand names.
func BenchmarkList(b *testing.B) {
	var names strings.Builder
	for i := range 1000 {
		fmt.Fprintf(&names, "folder%d/sub%d! ", i%50, i)
	}
	t := hierarchy(names.String())
	ps, _ := compilePatterns(wire.DecodeUTF7, "", []string{"*"})
	l := &listing{patterns: ps}
	b.ReportAllocs()
	for b.Loop() {
		if len(l.answers(t)) != 1050 {
			b.Fatal("names are missing")
		}
	}
}
