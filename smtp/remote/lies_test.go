package remote

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"mailstead/smtp/queue"
)

// Servers that lie, babble or crumble: whatever they do ends, is classified as what it is, and is told in lines
// that can be read. Nothing but a reply that fits to the last command delivers a message.
func TestLies(t *testing.T) {
	const (
		hello    = "S: 220 x\nC: EHLO*\nS: 250-x\nS: 250 PIPELINING\n"
		single   = "S: 220 x\nC: EHLO*\nS: 250 x\n"
		envelope = hello + "C: MAIL*\nC: RCPT*\nC: DATA\n"
	)
	for _, tt := range []struct {
		name, script, want string
	}{
		{"a greeting without end", strings.Repeat("S: 220-and\n", maxReplyLines+1) + "eof", "temporary 0 4.5.0 *reply has too many lines while waiting for the reply to the connection"},
		{"a line without end", "S~ 220 " + strings.Repeat("x", 2*maxReplyLine) + "\neof", "temporary 0 4.5.0 *reply line too long while waiting for the reply to the connection"},
		{"a reply to EHLO without end", "S: 220 x\nC: EHLO*\n" + strings.Repeat("S: 250-X\n", maxReplyLines+1) + "eof", "temporary 0 4.5.0 *reply has too many lines while waiting for the reply to EHLO"},
		{"NUL and 8 bits, refused", hello + "C: MAIL*\nC: RCPT*\nC: DATA\nS: 250 ok\nS: 550 5.1.1 no \x00\xff\x1b[2J user\nS: 503 no\n" + goodbye, "permanent 550 5.1.1 *| no ???[2J user"},
		{"NUL in a code", "S: 2\x0020 x\neof", `temporary 0 4.5.0 *malformed reply: "2\x0020 x" while*`},
		{"no code", "S: welcome!\neof", "temporary 0 4.5.0 *malformed reply*"},
		{"a code of HTTP", "S: HTTP/1.1 400 Bad Request\neof", "temporary 0 4.5.0 *malformed reply*"},
		{"a code of no class", "S: 620 x\neof", "temporary 0 4.5.0 *malformed reply: code 620*"},
		{"a code below all", "S: 199 x\neof", "temporary 0 4.5.0 *malformed reply: code 199*"},
		{"goes on instead of greeting", "S: 354 send\n" + goodbye, "temporary 354 4.5.0 *unexpected reply to the connection: send"},
		{"says yes to DATA at once", single + "C: MAIL*\nS: 250 ok\nC: RCPT*\nS: 250 ok\nC: DATA\nS: 250 taken\n" + goodbye, "temporary 250 4.5.0 *unexpected reply to DATA: taken"},
		{"goes on after RCPT", envelope + "S: 250 ok\nS: 354 send\nS: 354 send\nC: .\nS: 250 ok\n" + goodbye, "temporary 354 4.5.0 *unexpected reply to RCPT: send"},
		{"asks for more after the dot", envelope + "S: 250 ok\nS: 250 ok\nS: 354 go\nbody\nS: 354 more\n" + goodbye, "temporary 354 4.5.0 *unexpected reply to the end of the message: more"},
		{"an enhanced code of another class", envelope + "S: 250 ok\nS: 250 ok\nS: 354 go\nbody\nS: 550 2.0.0 delivered\n" + goodbye, "permanent 550 5.0.0 *| 2.0.0 delivered"},
		{"half a reply", hello + "C: MAIL*\nC: RCPT*\nC: DATA\nS~ 250-o", "temporary 0 4.4.2 *connection lost while waiting for the reply to MAIL"},
		{"two codes in one reply after the dot", envelope + "S: 250 ok\nS: 250 ok\nS: 354 go\nbody\nS: 250-taken\nS: 550 or not\neof", "temporary 0 4.5.0 *malformed reply: 250 and 550 in one while*"},
		{"in the clear behind STARTTLS", "S: 220 x\nC: EHLO*\nS: 250-x\nS: 250 STARTTLS\nC: STARTTLS\nS~ 220 go\\r\\n250 injected\\r\\n\neof", "temporary 0 4.7.0 *data in clear text after the reply to STARTTLS"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, oneMX)
			w.scripts["192.0.2.1"] = []script{strings.Split(tt.script, "\n")}
			var told []string
			m := w.letter("a@example.test")
			m.Tell = listen(&told)
			got := describe(w.courier().Deliver(t.Context(), "example.test", m)[0])
			status, text, _ := strings.Cut(tt.want, "*")
			if !strings.HasPrefix(got, "a@example.test "+status) || !strings.Contains(got, strings.TrimSuffix(text, "*")) {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
			wantReadable(t, told)
		})
	}
}

// wantReadable checks what is told of an attempt.
func wantReadable(t *testing.T, told []string) {
	t.Helper()
	if len(told) < 2 || len(told) > maxToldLines {
		t.Errorf("%d lines are told", len(told))
	}
	for _, line := range told {
		if len(line) > maxText+2 || strings.ContainsFunc(line, func(c rune) bool { return c < ' ' || c > '~' }) {
			t.Errorf("told %q", line)
		}
	}
}

// A connection that is lost at any step leaves the message with us, until the server has said that it has it.
func TestLostAtEveryStep(t *testing.T) {
	for name, whole := range map[string][]string{
		"DATA": lines(helloAs + oneTaken),
		"BDAT": lines(strings.Replace(helloAs, "S: 250 PIPELINING", "S: 250-PIPELINING\nS: 250 CHUNKING", 1) +
			"C: MAIL*\nC: RCPT*\nC: BDAT 26 LAST\nread 26\nS: 250 ok\nS: 250 ok\nS: 250 taken\n"),
		"one at a time": lines("S: 220 x\nC: EHLO*\nS: 250 x\nC: MAIL*\nS: 250 ok\nC: RCPT*\nS: 250 ok\nC: DATA\nS: 354 go\nbody\nS: 250 taken\n"),
	} {
		for k := range len(whole) {
			t.Run(fmt.Sprint(name, " ", k), func(t *testing.T) {
				w := newWorld(t, oneMX)
				w.scripts["192.0.2.1"] = []script{whole[:k]}
				o := w.courier().Deliver(t.Context(), "example.test", w.letter("a@example.test"))[0]
				if o.Status != queue.Temporary || o.Code != 0 || o.Enhanced != "4.4.2" {
					t.Errorf("after %q: %s", whole[:k], describe(o))
				}
			})
		}
	}
}

// Who says a letter at a time gets the time of one reply.
func TestSlowDrip(t *testing.T) {
	w := newWorld(t, oneMX)
	w.scripts["192.0.2.1"] = []script{{"S: 220 x", "C: EHLO*", "drip 250-x"}}
	c := w.courier(func(o *Options) { o.Timeouts.Hello = 100 * time.Millisecond })
	o := c.Deliver(t.Context(), "example.test", w.letter("a@example.test"))[0]
	if o.Enhanced != "4.4.2" || o.Text != "timed out while waiting for the reply to EHLO" {
		t.Errorf("got %s", describe(o))
	}
}
