package smtp

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"mailstead/smtp/dns"
	"mailstead/smtp/queue"
)

// TestWishesAreKept: what the sender wants to hear goes into the queue with the message, also where an alias leads
// elsewhere, and with it whether the reverse-path is proven.
func TestWishesAreKept(t *testing.T) {
	h := newHouse(t)
	wish := queue.Wish{Notify: queue.NotifyFailure | queue.NotifyDelay, Original: "rfc822;Team@example.test"}
	for _, tt := range []struct {
		name, from string
		change     func(*Checks)
		proven     bool
	}{
		{"proven by SPF", "a@pass.example", nil, true},
		{"forged", "a@careful.example", nil, false},
		{"nothing is said of it", "a@nothing.example", nil, false},
		{"nobody", "", nil, false},
		{"where mail is only tried out", "a@careful.example", func(c *Checks) { c.RecordOnly = true; c.Resolver, _ = dns.New(dns.Options{}) }, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			before := len(h.queue.all())
			c, _ := judged(t, h, tt.change)
			c.say("MAIL FROM:<"+tt.from+"> RET=FULL ENVID=QQ+2B1", "250")
			c.say("RCPT TO:<team@example.test> NOTIFY=SUCCESS,FAILURE,DELAY ORCPT="+wish.Original, "250")
			c.say("DATA", "354")
			c.say("From: a@nothing.example\r\nSubject: x\r\n\r\nx\r\n.", "250")
			all := h.queue.all()[before:]
			settled := 0
			for _, e := range all {
				settled += len(e.Settled)
			}
			if (settled == 1) != tt.proven || len(all) == 0 {
				t.Fatalf("queued %+v", all)
			}
			e := all[0]
			if e.Proven != tt.proven || e.EnvelopeID != "QQ+2B1" || e.Return != queue.ReturnFull || len(e.Recipients) != 1 {
				t.Errorf("queued %+v", e)
			}
			for _, to := range e.Recipients {
				if d := cmp.Diff(wish, e.Wishes[to]); d != "" {
					t.Errorf("%s: %s", to, d)
				}
			}
		})
	}
}
