package imap

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"

	goimap "github.com/emersion/go-imap/v2"

	"mailstead/imap/wire"
	"mailstead/mailbox"
)

// TestResyncBeyondHistory has more expunged than the store remembers. A client that knew
// the mailbox before that is told of all that is not there, of what it heard of earlier
// too (RFC 7162 section 3.2.6).
func TestResyncBeyondHistory(t *testing.T) {
	const history = 10_000 // ranges: mailbox.maxHistory
	dir := t.TempDir()
	store, err := mailbox.Open(dir, mailbox.Options{Logger: slog.New(slog.DiscardHandler)})
	must(t, err)
	account, err := store.CreateAccount(t.Context(), nil)
	must(t, err)
	(&testServer{store: store, account: account}).fill(t, "INBOX", 2*history+10)
	m, err := store.OpenMailbox(t.Context(), account, "INBOX")
	must(t, err)
	gone := func(uids ...goimap.UID) string {
		t.Helper()
		if _, err := m.Expunge(t.Context(), uids, false); err != nil {
			t.Fatal(err)
		}
		info, err := m.Info()
		must(t, err)
		return fmt.Sprintf("(%d %d", info.UIDValidity, info.HighestModSeq)
	}
	first := gone(2)
	second := gone(4)
	var every []goimap.UID
	for uid := goimap.UID(6); len(every) <= history; uid += 2 {
		every = append(every, uid)
	}
	last := gone(every...)
	m.Close()
	must(t, store.Close()) // what was still in memory is history now
	store, err = mailbox.Open(dir, mailbox.Options{Logger: slog.New(slog.DiscardHandler)})
	must(t, err)
	defer store.Close()
	s := newDirectSession(t, store, account)
	s.say(t, "ENABLE QRESYNC")
	for _, test := range []struct{ resync, want string }{
		{first + " 1:5)", "2,4"}, {first + ")", "2,4,6,8"}, {last + " 1:9)", ""}, {second + " 1:9 (1:2 1,3))", "4,6,8"},
	} {
		out := string(s.say(t, "SELECT INBOX (QRESYNC "+test.resync+")"))
		_, vanished, _ := strings.Cut(out, "* VANISHED (EARLIER) ")
		if !strings.HasPrefix(vanished, test.want) || (vanished == "") != (test.want == "") {
			t.Errorf("%s: %.60q", test.resync, vanished)
		}
	}
}

// TestUIDBatches divides mailboxes of several sizes.
func TestUIDBatches(t *testing.T) {
	tests := []struct {
		uids, size, first, last int
		want                    string
	}{
		{0, 500, 1, 9, ""}, {1, 500, 1, 9, " 10:1"}, {500, 500, 1, 9, " 5000:1"}, {501, 500, 1, 9, " 5010:11,10:1"},
		{1000, 500, 1, 9, " 10000:5001,5000:1"}, {1000, 500, 2, 2, " 5000:1"}, {1000, 500, 3, 9, ""}, {1700, 500, 2, 3, " 12000:7001,7000:2001"},
	}
	for _, test := range tests {
		uids := make([]goimap.UID, test.uids)
		for i := range uids {
			uids[i] = goimap.UID(10 * (i + 1))
		}
		if got := string(appendBatches(nil, uids, test.size, test.first, test.last)); got != test.want {
			t.Errorf("%+v: %q", test, got)
		}
	}
}

// TestUIDSets holds what VANISHED is made of against sets of the plainest kind.
func TestUIDSets(t *testing.T) {
	parse := func(text string) goimap.UIDSet {
		if text == "" {
			return nil
		}
		d := wire.NewDecoder(strings.NewReader(text+"\r\n"), wire.Limits{}, wire.Hooks{})
		must(t, d.Next())
		set := d.UIDSet()
		must(t, d.Err())
		return set
	}
	for _, test := range []struct{ a, b, both, without string }{
		{"1:10", "3,5:6,9:20", "3,5:6,9:10", "1:2,4,7:8"}, {"1:3,7", "4:6", "", "1:3,7"}, {"5:*", "1:6,4294967295", "5:6,4294967295", "7:4294967294"},
		{"*", "1:9", "", ""}, {"2,4,6,8", "1:8", "2,4,6,8", ""}, {"1:4294967295", "1,4294967295", "1,4294967295", "2:4294967294"},
	} {
		a, b := parse(test.a), parse(test.b)
		if got := string(appendUIDSet(nil, intersection(a, b))); got != test.both {
			t.Errorf("%s and %s: %s", test.a, test.b, got)
		}
		var have []goimap.UID
		for _, r := range b {
			for uid := r.Start; ; uid++ {
				if have = append(have, uid); uid == r.Stop {
					break
				}
			}
		}
		all := goimap.UIDSet{{Start: 1, Stop: 4294967295}}
		if got := string(appendUIDSet(nil, holes(intersection(a, all), have))); got != test.without {
			t.Errorf("%s without %s: %s", test.a, test.b, got)
		}
	}
}
