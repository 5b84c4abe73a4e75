package smtp

import (
	"net"
	"strings"
	"testing"
	"time"

	"mailstead/mailbox"
	"mailstead/mailbox/directory"
	"mailstead/mailbox/mailboxtest"
)

// TestAllowanceDialogues: ann may send 2 messages to 4 recipients a day, 2 of them strangers; she has written to
// everybody whose name begins with friend. The owner hears of a limit once.
func TestAllowanceDialogues(t *testing.T) {
	mailboxtest.PlayDir(t, "testdata/submission-allowance/*.dialog", func(t *testing.T) mailboxtest.Player {
		h := newHouse(t)
		must(t, h.directory.EditSending(t.Context(), "ann@example.test", func(own *directory.Sending) {
			*own = directory.Sending{Messages: 2, Recipients: 4, Strangers: 2}
		}))
		o := h.options(Submission)
		o.CleartextAuth = true
		now := time.Now()
		o.Now = func() time.Time { return now }
		o.HasWritten = func(a mailbox.AccountID, address string) bool {
			return a == h.ann && strings.HasPrefix(address, "friend")
		}
		told := 0
		o.OverSending = func(a mailbox.AccountID, _ *directory.OverSending) { told += int(a) }
		t.Cleanup(func() {
			if told != int(h.ann) {
				t.Errorf("told %d, want ann once", told)
			}
		})
		address, _ := listen(t, o, false)
		return mailboxtest.Player{TLS: clientTLS(), Dial: func(int) (net.Conn, error) { return net.Dial("tcp", address) }}
	})
}

func TestWaitInWords(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "1 minute", time.Second: "1 minute", 59 * time.Second: "1 minute", 61 * time.Second: "2 minutes",
		59*time.Minute + time.Second: "1 hour", 3*time.Hour + time.Minute: "4 hours",
	} {
		if got := inWords(d); got != want {
			t.Errorf("%v: %q, want %q", d, got, want)
		}
	}
}
