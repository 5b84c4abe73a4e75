package main

import (
	"strings"
	"testing"
)

// TestMailboxACLWithDashes: negative rights, and rights that are taken, behind "--".
func TestMailboxACLWithDashes(t *testing.T) {
	dir := trialDir(t)
	s := startTrial(t, dir, "--account", "ann@example.test:pass")
	defer s.stop()
	acl := func(who, rights string) string {
		got := command(t, "", "mailbox", "acl", "--dir", dir, "--", "ann@example.test", "Archive", who, rights)
		if got.code != 0 {
			t.Errorf("%s %s: %+v", who, rights, got)
		}
		return strings.Join(strings.Fields(got.out), " ")
	}
	for _, c := range []struct{ who, rights, want string }{
		{"anyone", "lrs", "WHO RIGHTS ann@example.test lrswipkxtecda anyone lrs"},
		{"-anyone", "s", "WHO RIGHTS ann@example.test lrswipkxtecda anyone lrs -anyone s"},
		{"anyone", "-rs", "WHO RIGHTS ann@example.test lrswipkxtecda anyone l -anyone s"},
		{"-anyone", "", "WHO RIGHTS ann@example.test lrswipkxtecda anyone l"},
		{"anyone", "-l", "WHO RIGHTS ann@example.test lrswipkxtecda"},
	} {
		if got := acl(c.who, c.rights); got != c.want {
			t.Errorf("%s %q: %q, want %q", c.who, c.rights, got, c.want)
		}
	}
}
