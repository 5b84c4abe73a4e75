package imap

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"mailstead/mailbox"
)

// TestFetchInHalves fetches many messages at once, some of which the indexes do not
// answer, and each alone: the answers are the same.
func TestFetchInHalves(t *testing.T) {
	store, account := directStore(t, t.TempDir(), 0)
	for i := range 5 * minBeside {
		header := fmt.Sprintf("Subject: number %d\r\nX-Part: %s\r\n", i, strings.Repeat("x", i%7))
		switch i % 50 {
		case 7: // not all of its header stands in the index
			header += "X-Long: " + strings.Repeat("long ", 100_000/50*(i%3)) + "\r\n"
		case 11:
			header += strings.Repeat("X-Many: 1\r\n", 3000)
		}
		flags := mailbox.Target{}
		deliver(t, store, account, []byte(header+"\r\ntext\r\n"), flags)
	}
	s := newDirectSession(t, store, account)
	s.say(t, `STORE 1:* FLAGS (\Seen)`)
	for i := 1; i < 5*minBeside; i += 3 {
		s.say(t, fmt.Sprintf("STORE %d +FLAGS (key%d)", i, i%40))
	}
	for _, items := range []string{
		"(UID FLAGS ENVELOPE)", "(BODY.PEEK[HEADER])", "(FLAGS BODY.PEEK[HEADER.FIELDS (Subject X-Long)])",
		"(ENVELOPE BODY.PEEK[TEXT])", "(BODY.PEEK[HEADER.FIELDS.NOT (Subject)] RFC822.SIZE)", "(FLAGS BODYSTRUCTURE PREVIEW)",
	} {
		var want []byte
		for i := range 5 * minBeside {
			want = append(want, s.say(t, fmt.Sprintf("FETCH %d %s", i+1, items))...)
		}
		if got := s.say(t, "FETCH 1:* "+items); !bytes.Equal(got, want) {
			t.Errorf("%s: %d octets, and %d when each message is fetched alone", items, len(got), len(want))
		}
	}
}
