package imap

import (
	"testing"

	"mailstead/mailbox"
)

// BenchmarkShared is what a mailbox of 10,000 messages costs its owner, and what it costs
// somebody with whom it is shared, beside a hundred others.
func BenchmarkShared(b *testing.B) {
	const n, others = 10_000, 100
	ts := newTestServer(b)
	ts.fill(b, "Archive", n)
	bob, err := ts.directory.Account(testUser2)
	if err != nil {
		b.Fatal(err)
	}
	share := func(a mailbox.AccountID) {
		change := mailbox.RightsChange{Grant: mailbox.Grant{Account: a, Rights: mailbox.AllRights}}
		if err := ts.store.ChangeRights(b.Context(), ts.account, "Archive", change); err != nil {
			b.Fatal(err)
		}
	}
	for range others {
		a, err := ts.store.CreateAccount(b.Context(), nil)
		if err != nil {
			b.Fatal(err)
		}
		share(a)
	}
	share(bob.ID)
	for _, user := range []struct {
		name    string
		account mailbox.AccountID
		mailbox string
	}{
		{"own", ts.account, "Archive"},
		{"shared", bob.ID, `"Other Users/` + testUser + `/Archive"`},
	} {
		s := newDirectSession(b, ts.store, user.account)
		s.options.Directory = ts.directory
		s.drop = true
		for _, bench := range []struct{ name, command string }{
			{"select", "SELECT " + user.mailbox},
			{"fetch-flags", "UID FETCH 1:* (UID FLAGS)"},
			{"noop", "NOOP"},
			{"list", `LIST "" *`},
		} {
			b.Run(bench.name+"/"+user.name, func(b *testing.B) {
				for b.Loop() {
					s.say(b, bench.command)
				}
			})
		}
	}
}
