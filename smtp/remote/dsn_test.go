package remote

import (
	"strings"
	"testing"

	"mailstead/smtp/queue"
)

// TestWishesGoOn: a server that knows the DSN extension gets what the sender wants to hear, as it was said, and tells the
// rest; one that does not know it gets nothing of that, and the sender may hear that the message went there.
func TestWishesGoOn(t *testing.T) {
	m := queue.Message{
		EnvelopeID: "QQ+2B1", Return: queue.ReturnHeader,
		Wishes: map[string]queue.Wish{"a@example.test": {Notify: queue.NotifySuccess | queue.NotifyFailure, Original: `utf-8;ü\x{2B}@x.test`}, "c@example.test": {Notify: queue.NotifyNever}},
	}
	const mail, a, b, c = "C: MAIL FROM:<sender@us.test>", "C: RCPT TO:<a@example.test>", "C: RCPT TO:<b@example.test>", "C: RCPT TO:<c@example.test>"
	const rest = "C: DATA\nS: 354 go\nbody\nS: 250 2.0.0 ok\nC: QUIT\nS: 221 bye\neof"
	ehlo := func(extensions string) string { return "S: 220 x\nC: EHLO us.test\n" + extensions + "\n" }
	said := mail + " RET=HDRS ENVID=QQ+2B1\nS: 250 ok\n" + a + ` NOTIFY=SUCCESS,FAILURE ORCPT=utf-8;%s\x{2B}@x.test` + "\nS: 250 ok\n" + b + "\nS: 250 ok\n" + c + " NOTIFY=NEVER\nS: 250 ok\n" + rest
	for _, tt := range []struct {
		name, script string
		told         queue.Action
	}{
		{"it knows the extension", ehlo("S: 250-x\nS: 250 dsn") + strings.Replace(said, "%s", `\x{FC}`, 1), ""},
		{"it knows it, and UTF-8", ehlo("S: 250-x\nS: 250-SMTPUTF8\nS: 250 DSN") + strings.Replace(said, "%s", "ü", 1), ""},
		{"it does not know it", ehlo("S: 250 x") + mail + "\nS: 250 ok\n" + a + "\nS: 250 ok\n" + b + "\nS: 250 ok\n" + c + "\nS: 250 ok\n" + rest, queue.ActionRelayed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, oneMX)
			w.scripts["192.0.2.1"] = []script{lines(tt.script)}
			m := m
			m.From, m.Recipients, m.Open = "sender@us.test", []string{"a@example.test", "b@example.test", "c@example.test"}, w.open
			for _, o := range w.courier().Deliver(t.Context(), "example.test", m) {
				if o.Status != queue.Delivered || o.Told != tt.told {
					t.Errorf("%s may be told %q", describe(o), o.Told)
				}
			}
		})
	}
}
