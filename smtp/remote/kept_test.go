package remote

import (
	"context"
	"crypto/tls"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"mailstead/smtp/mtasts"
	"mailstead/smtp/queue"
)

const (
	helloAs  = "S: 220 x\nC: EHLO us.test\nS: 250-x\nS: 250 PIPELINING\n"
	oneTaken = "C: MAIL*\nC: RCPT*\nC: DATA\nS: 250 ok\nS: 250 ok\nS: 354 go\nbody\nS: 250 taken\n"
	goodbye  = "C: QUIT\nS: 221 bye"
)

// wantDelivered delivers a letter and compares the outcome.
func (w *world) wantDelivered(c *Courier, m queue.Message) {
	w.t.Helper()
	if o := c.Deliver(w.t.Context(), "example.test", m)[0]; o.Status != queue.Delivered {
		w.t.Errorf("got %s", describe(o))
	}
}

// waiting is how many connections wait for another message.
func (k *keeper) count() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return len(k.waiting)
}

// The second message goes over the connection of the first, with all that is needed between them: nothing.
func TestKeptForTheNextMessage(t *testing.T) {
	w := newWorld(t, oneMX)
	w.scripts["192.0.2.1"] = []script{lines(helloAs + oneTaken + oneTaken + oneTaken + goodbye)}
	c := w.courier()
	var told []string
	m := w.letter("a@example.test")
	for range 3 {
		told = nil
		m.Tell = listen(&told)
		w.wantDelivered(c, m)
	}
	if len(w.dialed) != 1 {
		t.Errorf("dialed %v", w.dialed)
	}
	wantTold(t, told, []string{
		"* servers of example.test: mx.example.test",
		"* going on over the connection to mx.example.test [192.0.2.1]:25, which has carried 2",
		"> MAIL*", "> RCPT*", "> DATA", "< 250 ok", "< 250 ok", "< 354 go",
		"* sent the message, 26 octets, and its final dot", "< 250 taken",
		"* the connection is kept for the next message",
	})
}

// Within TLS it is no different, whatever the policies: what was checked stays so.
func TestKeptWithinTLS(t *testing.T) {
	w := newWorld(t, oneMX)
	within := strings.ReplaceAll(helloAs, "S: 220 x\n", "")
	w.scripts["192.0.2.1"] = []script{lines("S: 220 x\nC: EHLO*\nS: 250-x\nS: 250 STARTTLS\nC: STARTTLS\nS: 220 go\nstarttls\n" + within + oneTaken + oneTaken + goodbye)}
	c := w.courier()
	for range 2 {
		if o := c.Deliver(t.Context(), "example.test", w.letter("a@example.test"))[0]; o.Status != queue.Delivered || !o.TLS {
			t.Errorf("got %s", describe(o))
		}
	}
}

// A connection that is of no use any more is replaced at once, and nobody hears of it.
func TestKeptButStale(t *testing.T) {
	for name, end := range map[string]string{
		"hung up":                     "",
		"goodbye while it waits":      "S: 421 4.4.2 too long",
		"words that nobody asked for": "S: 250 what?\neof",
		"goodbye to MAIL":             "C: MAIL*\nS: 421 4.7.0 too many messages",
		"hung up at MAIL":             "C: MAIL*",
		"refuses a second MAIL":       "C: MAIL*\nC: RCPT*\nC: DATA\nS: 503 one was enough\nS: 503 no\nS: 503 no\nC: QUIT\nS: 221 bye",
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, oneMX)
			w.scripts["192.0.2.1"] = []script{lines(helloAs + oneTaken + end), lines(helloAs + oneTaken + goodbye)}
			c := w.courier()
			w.wantDelivered(c, w.letter("a@example.test"))
			if !strings.Contains(end, "C:") {
				w.playing.Wait() // all is said
			}
			w.wantDelivered(c, w.letter("a@example.test"))
			if len(w.dialed) != 2 {
				t.Errorf("dialed %v", w.dialed)
			}
		})
	}
}

// A connection on which nobody got the message is not kept: the server may want to see the back of us.
func TestNotKept(t *testing.T) {
	for name, tt := range map[string]string{
		"refused after the dot": helloAs + strings.ReplaceAll(oneTaken, "250 taken", "451 later") + goodbye,
		"nobody there":          helloAs + "C: MAIL*\nC: RCPT*\nC: DATA\nS: 250 ok\nS: 550 no\nS: 503 no\n" + goodbye,
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, oneMX)
			w.scripts["192.0.2.1"] = []script{lines(tt)}
			c := w.courier()
			c.Deliver(t.Context(), "example.test", w.letter("a@example.test"))
			w.playing.Wait()
			if n := c.kept.count(); n != 0 {
				t.Errorf("%d connections wait", n)
			}
		})
	}
}

// Nobody waits for a next message for long.
func TestKeptForAWhile(t *testing.T) {
	w := newWorld(t, oneMX)
	w.scripts["192.0.2.1"] = []script{lines(helloAs + oneTaken + goodbye)}
	c := w.courier(func(o *Options) { o.Timeouts.Keep = time.Millisecond })
	w.wantDelivered(c, w.letter("a@example.test"))
	w.playing.Wait()
}

// A closed courier keeps nothing.
func TestKeptUntilClose(t *testing.T) {
	w := newWorld(t, oneMX)
	w.scripts["192.0.2.1"] = []script{lines(helloAs + oneTaken + goodbye), lines(helloAs + oneTaken + goodbye)}
	c := w.courier()
	w.wantDelivered(c, w.letter("a@example.test"))
	c.Close()
	w.wantDelivered(c, w.letter("a@example.test"))
	w.playing.Wait()
}

// A message goes over a connection only if that was made under the same policy.
func TestKeptUnderTheSameDemand(t *testing.T) {
	w := newWorld(t, oneMX)
	one := lines(helloAs + oneTaken + goodbye)
	w.scripts["192.0.2.1"] = []script{one, one}
	var found mtasts.Finding
	c := w.courier(func(o *Options) {
		o.MTASTS = func(context.Context, string) mtasts.Finding { return found }
	})
	w.wantDelivered(c, w.letter("a@example.test"))
	found.Policy = &mtasts.Policy{Mode: mtasts.Testing, MX: []string{"mx.example.test"}, MaxAge: time.Hour}
	w.wantDelivered(c, w.letter("a@example.test"))
}

// What is demanded is looked at again: a policy that has become another is not met by an old handshake.
func TestKeptFits(t *testing.T) {
	wrong, right := &finding{resultExpired, "it is past its time"}, (*finding)(nil)
	check := func(f *finding) func(tls.ConnectionState) *finding {
		return func(tls.ConnectionState) *finding { return f }
	}
	plain, encrypted := &session{}, &session{conn: tls.Client(nil, &tls.Config{}), tls: true}
	for _, tt := range []struct {
		name   string
		s      *session
		policy policy
		fits   bool
		want   *finding
	}{
		{"no policy", plain, policy{}, true, nil},
		{"a policy, no encryption", plain, policy{kind: policySTS}, true, &finding{resultNoTLS, "it does not offer encryption"}},
		{"enforced, no encryption", plain, policy{kind: policySTS, enforced: true}, false, &finding{resultNoTLS, "it does not offer encryption"}},
		{"enforced and right", encrypted, policy{kind: policySTS, enforced: true, check: check(right)}, true, nil},
		{"enforced and wrong", encrypted, policy{kind: policySTS, enforced: true, check: check(wrong)}, false, wrong},
		{"wrong, not enforced", encrypted, policy{kind: policySTS, check: check(wrong)}, true, wrong},
		{"nothing to be compared", encrypted, policy{kind: policyDANE, enforced: true}, true, nil},
	} {
		target := target{policy: tt.policy}
		fits := tt.s.fits(&target)
		if fits != tt.fits || (target.finding == nil) != (tt.want == nil) || tt.want != nil && *target.finding != *tt.want {
			t.Errorf("%s: %v, %v", tt.name, fits, target.finding)
		}
	}
}

// Many messages at once share few connections, and each arrives once.
func TestKeptByPeer(t *testing.T) {
	w := newWorld(t, oneMX)
	p := &peer{}
	c := w.courier(startPeer(t, w, p, true))
	const workers, each = 4, 60
	var all sync.WaitGroup
	for i := range workers {
		all.Go(func() {
			for k := range each {
				w.wantDelivered(c, w.letter(fmt.Sprintf("user%d-%d@example.test", i, k)))
			}
		})
	}
	all.Wait()
	c.Close()
	seen := make(map[string]int)
	for _, l := range p.letters {
		seen[l.to[0]]++
	}
	if len(seen) != workers*each || len(p.letters) != workers*each {
		t.Errorf("%d letters to %d recipients", len(p.letters), len(seen))
	}
	// One connection for each worker at most, and another when as many have gone over it as may.
	if most := workers + workers*each/maxCarried; p.sessions < 1+workers*each/maxCarried || p.sessions > most {
		t.Errorf("%d connections for %d letters", p.sessions, workers*each)
	}
}
