package smtp

import (
	"regexp"
	"sync/atomic"
	"testing"
	"time"

	"mailstead/mailbox"
	"mailstead/smtp/dns"
	"mailstead/smtp/local"
	"mailstead/smtp/mailauth"
)

// spoolCounter counts the messages that are held back.
type spoolCounter struct {
	*local.Courier
	spools atomic.Int32
}

func (c *spoolCounter) NewSpool() *mailbox.Spool {
	c.spools.Add(1)
	return c.Courier.NewSpool()
}

// silent is a filter that has nothing to say.
type silent struct{ certain }

func (silent) Reads([]mailbox.AccountID) bool { return false }

// TestHeldBackOnlyToBeRead: a message whose body nobody reads goes straight into the store, with the
// octets that it has when it is held back (decision 0016).
func TestHeldBackOnlyToBeRead(t *testing.T) {
	offline, err := dns.New(dns.Options{})
	must(t, err)
	private, err := mailauth.NewEd25519Key()
	must(t, err)
	signing := func(string) []mailauth.SigningKey {
		return []mailauth.SigningKey{{Domain: "example.test", Selector: "s", Private: private}}
	}
	stored := ""
	h := newHouse(t)
	for n, tc := range []struct {
		name   string
		change func(*Options)
		to     string
		held   int32
	}{
		{"the filter reads", func(o *Options) { o.Checks.Filter = &fakeFilter{} }, "ann@example.test", 1},
		{"nothing is looked up", func(*Options) {}, "ann@example.test", 0},
		{"the filter has nothing to say", func(o *Options) { o.Checks.Filter = silent{} }, "ann@example.test", 0},
		{"an alias leads elsewhere, and it is signed", func(o *Options) { o.SigningKeys = signing }, "team@example.test", 1},
		{"a key for nobody", func(o *Options) { o.SigningKeys = signing }, "ann@example.test", 0},
		{"keys are looked up", func(o *Options) { o.Checks.Resolver = newChecks(t).Resolver }, "ann@example.test", 1},
		{"what is not known decides", func(o *Options) { o.Checks.RecordOnly = false }, "ann@example.test", 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			counter := &spoolCounter{Courier: h.courier}
			o := h.options(Receiver)
			o.Now, o.Deliver, o.Limits.GreetDelay = atNoon, counter, time.Millisecond
			o.Checks = &Checks{Resolver: offline, RecordOnly: true}
			tc.change(&o)
			address, _ := listen(t, o, false)
			c := dial(t, address)
			c.reply("220")
			c.say("EHLO mx.pass.example", "250")
			c.send("a@pass.example", []string{tc.to}, wireMessage(t, "rfc8463"), "250")
			if got := counter.spools.Load(); got != tc.held {
				t.Errorf("held back %d times, want %d", got, tc.held)
			}
			got := transactionID.ReplaceAllString(h.inbox(t, h.ann)[n], " id x;")
			if stored == "" {
				stored = got
			}
			if o.SigningKeys == nil && o.Checks.Resolver == offline && got != stored {
				t.Errorf("stored as %q\nwant %q", got, stored)
			}
		})
	}
}

var transactionID = regexp.MustCompile(` id \S+;`)
