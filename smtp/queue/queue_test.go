package queue

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"mailstead/mailbox"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// call is one call of a courier.
type call struct {
	at          time.Time
	destination string
	m           Message
	text        string
}

// fakeCourier does as its answers say, by recipient, in turn; the last
// goes on, and without any all is delivered.
type fakeCourier struct {
	mu      sync.Mutex
	answers map[string][]Outcome
	calls   []call
	before  func(ctx context.Context, destination string) // called first
	say     []string                                      // of each attempt
	running int
	most    int // calls at once
}

func (c *fakeCourier) Deliver(ctx context.Context, destination string, m Message) []Outcome {
	c.enter(destination, m)
	for _, line := range c.say {
		m.Tell(line)
	}
	if c.before != nil {
		c.before(ctx, destination)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.running--
	var outcomes []Outcome
	for _, r := range m.Recipients {
		o := Outcome{Status: Delivered, Code: 250, Enhanced: "2.0.0", Text: "ok"}
		if list := c.answers[r]; len(list) > 0 {
			o, c.answers[r] = list[0], list[min(1, len(list)-1):]
		}
		o.Recipient = r
		outcomes = append(outcomes, o)
	}
	return outcomes
}

func (c *fakeCourier) enter(destination string, m Message) {
	text := "unreadable"
	if r, err := m.Open(); err == nil {
		b, _ := io.ReadAll(r)
		r.Close()
		text = string(b)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls = append(c.calls, call{time.Now(), destination, m, text})
	c.running++
	c.most = max(c.most, c.running)
}

func (c *fakeCourier) answer(recipient string, outcomes ...Outcome) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.answers == nil {
		c.answers = make(map[string][]Outcome)
	}
	c.answers[recipient] = outcomes
}

// seen returns the calls so far, as "destination: recipients".
func (c *fakeCourier) seen() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var list []string
	for _, call := range c.calls {
		list = append(list, call.destination+": "+strings.Join(call.m.Recipients, " "))
	}
	return list
}

func (c *fakeCourier) count() int { return len(c.seen()) }

var (
	busy    = Outcome{Status: Temporary, Code: 450, Enhanced: "4.2.1", Text: "try later", Host: "mx.far.test [192.0.2.1]"}
	unknown = Outcome{Status: Permanent, Code: 550, Enhanced: "5.1.1", Text: "no such user", Host: "mx.far.test [192.0.2.1]", TLS: true}
	silent  = Outcome{Status: Temporary, Enhanced: "4.4.1", Text: "connect to mx.far.test: timed out"}
	done    = Outcome{Status: Delivered, Code: 250, Enhanced: "2.0.0", Text: "ok"}
)

// office is a queue with couriers that do as they are told.
type office struct {
	t             *testing.T
	dir           string
	store         *mailbox.Store
	queue         *Queue
	remote, local *fakeCourier
	o             Options
	stop          func()
}

func newOffice(t *testing.T, change ...func(*Options)) *office {
	t.Helper()
	o := &office{t: t, dir: t.TempDir(), remote: &fakeCourier{}, local: &fakeCourier{}}
	o.o = Options{
		Remote: o.remote, Local: o.local, Hostname: "us.test",
		IsLocal: func(domain string) bool { return domain == "us.test" },
		Rand:    func() float64 { return 0 },
	}
	for _, f := range change {
		f(&o.o)
	}
	o.open()
	t.Cleanup(func() { o.stop() })
	return o
}

func (o *office) open() {
	o.t.Helper()
	// Days pass faster if the databases are not brought up each second; also, a
	// copy of the folder at any moment is what a crash would leave.
	s, err := mailbox.Open(o.dir, mailbox.Options{SegmentSize: 256 << 10, CommitEvery: 24 * time.Hour, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		o.t.Fatal(err)
	}
	o.store = s
	o.t.Cleanup(func() {
		if err := s.Check(); err != nil && !errors.Is(err, mailbox.ErrClosed) {
			o.t.Errorf("the store is not whole: %v", err)
		}
		if err := s.Close(); err != nil && !errors.Is(err, mailbox.ErrClosed) {
			o.t.Error(err)
		}
	})
	q, err := Open(o.store, o.o)
	if err != nil {
		o.t.Fatal(err)
	}
	o.queue, o.stop = q, q.Close
}

// run starts the queue.
func (o *office) run() { go o.queue.Run(context.Background()) }

// reopen ends everything and starts anew from what is on disk.
func (o *office) reopen() {
	o.t.Helper()
	o.stop()
	if err := o.store.Check(); err != nil {
		o.t.Error(err)
	}
	if err := o.store.Close(); err != nil {
		o.t.Fatal(err)
	}
	o.open()
}

const letter = "From: ann@us.test\r\nSubject: Lunch?\r\nMessage-ID: <1@us.test>\r\n\r\nAt one.\r\n"

// add queues a letter of ann's.
func (o *office) add(recipients ...string) {
	o.t.Helper()
	o.addEnvelope(Envelope{From: "ann@us.test", Account: 1, Recipients: recipients})
}

func (o *office) addEnvelope(e Envelope) {
	o.t.Helper()
	b := o.store.NewBody()
	io.WriteString(b, letter)
	e.Size = b.Size()
	if _, err := o.store.Deliver(context.Background(), b, nil, o.queue.Add(e)); err != nil {
		o.t.Fatal(err)
	}
	o.queue.Wake()
}

// notices returns the texts of notices that say what has become of somebody.
func (o *office) notices(a Action) (texts []string) {
	for _, c := range []*fakeCourier{o.local, o.remote} {
		c.mu.Lock()
		for _, call := range c.calls {
			if strings.Contains(call.text, "\r\nAction: "+string(a)+"\r\n") {
				texts = append(texts, call.text)
			}
		}
		c.mu.Unlock()
	}
	return texts
}

// list is List of a queue that can be read.
func (o *office) list() []Info {
	o.t.Helper()
	list, err := o.queue.List()
	if err != nil {
		o.t.Error(err)
	}
	return list
}

// entries is List in short: "destination recipients attempts state".
func (o *office) entries() []string {
	var list []string
	for _, i := range o.list() {
		list = append(list, fmt.Sprintf("%s %s %d %s", i.Destination, strings.Join(i.Recipients, ","), i.Attempts, i.State))
	}
	return list
}

func (o *office) want(what string, got []string, want ...string) {
	o.t.Helper()
	if !slices.Equal(got, want) {
		o.t.Errorf("%s: got %q, want %q", what, got, want)
	}
}

// inBubble runs a test on fake time.
func inBubble(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, f)
}

// Recipients of a domain go together, however it is spelt, and what is
// delivered leaves the queue.
func TestDelivered(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		o := newOffice(t)
		o.run()
		o.add("bob@far.test", "ann@us.test", "eve@FAR.test", "bob@far.test", "j@bücher.test", "k@xn--bcher-kva.test", "postmaster", "x@[192.0.2.9]")
		synctest.Wait()
		got := o.remote.seen()
		slices.Sort(got)
		o.want("remote", got, "[192.0.2.9]: x@[192.0.2.9]", "far.test: bob@far.test eve@FAR.test", "xn--bcher-kva.test: j@bücher.test k@xn--bcher-kva.test")
		got = o.local.seen()
		slices.Sort(got)
		o.want("local", got, ": postmaster", "us.test: ann@us.test")
		o.want("left", o.entries())
		m := o.remote.calls[0]
		if m.text != letter || m.m.From != "ann@us.test" || m.m.Account != 1 || m.m.Size != int64(len(letter)) {
			t.Errorf("the courier got %+v", m)
		}
	})
}

// A temporary failure is tried again by the schedule until it succeeds.
func TestTriedAgain(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		o := newOffice(t)
		o.remote.answer("bob@far.test", busy, busy, done)
		o.run()
		began := time.Now()
		o.add("bob@far.test")
		synctest.Wait()
		o.want("waiting", o.entries(), "far.test bob@far.test 1 waiting")
		i := o.list()[0]
		if i.NextAttempt == nil || !i.NextAttempt.Equal(began.Add(5*time.Minute)) || i.LastError != "mx.far.test [192.0.2.1] said: 450 4.2.1 try later" {
			t.Errorf("listed as %+v", i)
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		var after []time.Duration
		for _, c := range o.remote.calls {
			after = append(after, c.at.Sub(began))
		}
		if want := []time.Duration{0, 5 * time.Minute, 15 * time.Minute}; !slices.Equal(after, want) {
			t.Errorf("tried after %v, want %v", after, want)
		}
		o.want("left", o.entries())
	})
}

// The recipient that is refused, and no other, is in the notice, which goes to
// the sender.
func TestNoticeToSender(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		o := newOffice(t)
		o.remote.answer("bob@far.test", unknown)
		o.remote.answer("late@far.test", busy)
		o.run()
		o.add("bob@far.test", "eve@far.test", "late@far.test")
		synctest.Wait()
		o.want("local", o.local.seen(), "us.test: ann@us.test")
		n := o.local.calls[0]
		if n.m.From != "" || n.m.Account != 0 || n.m.Size != int64(len(n.text)) {
			t.Errorf("envelope of the notice: %+v", n.m)
		}
		for _, want := range []string{"Final-Recipient: rfc822; bob@far.test\r\n", "In-Reply-To: <1@us.test>\r\n", "Subject: Not delivered: Lunch?\r\n"} {
			if !strings.Contains(n.text, want) {
				t.Errorf("the notice has no %q:\n%s", want, n.text)
			}
		}
		for _, no := range []string{"eve@", "late@", "At one."} {
			if strings.Contains(n.text, no) {
				t.Errorf("the notice has %q:\n%s", no, n.text)
			}
		}
		o.want("left", o.entries(), "far.test late@far.test 1 waiting")
	})
}

// A notice has its signatures in front: of exactly what follows them, header or whole message. One
// that cannot be signed is sent without.
func TestNoticeIsSigned(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		var signed strings.Builder
		var failure error
		sign := func(start []byte, rest func(io.Writer) error) ([]byte, error) {
			signed.Reset()
			signed.Write(start)
			if err := rest(&signed); err != nil {
				return nil, err
			}
			if failure != nil {
				return nil, failure
			}
			return []byte("DKIM-Signature: x\r\n"), nil
		}
		o := newOffice(t, func(o *Options) { o.Sign = sign })
		o.remote.answer("bob@far.test", unknown)
		o.run()
		for i, from := range []Envelope{{From: "ann@us.test", Account: 1}, {From: "ann@elsewhere.test"}, {From: "ann@us.test", Account: 1}} {
			if i == 2 {
				failure = errors.New("no key")
			}
			from.Recipients = []string{"bob@far.test"}
			o.addEnvelope(from)
			synctest.Wait()
			if o.local.count() != i+1 {
				t.Fatalf("notices: %q", o.local.seen())
			}
			text, found := strings.CutPrefix(o.local.calls[i].text, "DKIM-Signature: x\r\n")
			if found != (failure == nil) || text != signed.String() || !strings.Contains(text, "Final-Recipient: rfc822; bob@far.test\r\n") {
				t.Errorf("notice %d is\n%s\nsigned was\n%s", i, o.local.calls[i].text, signed.String())
			}
			if whole := strings.Contains(text, "At one."); whole != (i == 1) {
				t.Errorf("notice %d returns the whole message: %v", i, whole)
			}
		}
	})
}

// After five days a temporary failure is final.
func TestFiveDays(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		o := newOffice(t)
		o.remote.answer("bob@far.test", busy)
		o.run()
		began := time.Now()
		o.add("bob@far.test")
		time.Sleep(5*24*time.Hour - time.Second)
		synctest.Wait()
		if len(o.notices(ActionFailed)) != 0 {
			t.Errorf("given up early: %q", o.local.seen())
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		o.want("local", o.local.seen(), "us.test: ann@us.test", "us.test: ann@us.test") // a delay, and the end
		o.want("left", o.entries())
		last := o.remote.calls[len(o.remote.calls)-1]
		if n := len(o.remote.calls); n != 36 || last.at.Sub(began) != 5*24*time.Hour {
			t.Errorf("%d attempts, the last after %v", n, last.at.Sub(began))
		}
		if text := o.local.calls[1].text; !strings.Contains(text, "for too long now") || !strings.Contains(text, "Status: 4.2.1") {
			t.Errorf("the notice is\n%s", text)
		}
	})
}
