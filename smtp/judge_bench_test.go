package smtp

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"io"
	"net/netip"
	"slices"
	"syscall"
	"testing"
	"time"

	"mailstead/mailbox"
	"mailstead/mailbox/junk"
	"mailstead/mailbox/junk/training"
	"mailstead/smtp/dns"
	"mailstead/smtp/dns/dnstest"
	"mailstead/smtp/mailauth"
)

// BenchmarkJudged delivers a signed message of 10 KB, with and without all
// checks, and says how much time of the processor one takes, the client's share
// included.
func BenchmarkJudged(b *testing.B) {
	w := newJudgedWorld(b)
	for name, checks := range map[string]*Checks{"unchecked": nil, "checked": {Resolver: w.resolver}, "filtered": {Resolver: w.resolver}} {
		b.Run(name, func(b *testing.B) {
			c := w.client(b, checks, name == "filtered")
			b.ReportAllocs()
			before := processorTime(b)
			for b.Loop() {
				must(b, c.deliver())
			}
			b.ReportMetric(float64((processorTime(b)-before).Microseconds())/float64(b.N), "cpu-µs/op")
		})
	}
}

// BenchmarkJudgedShare delivers the same messages, N each way, to a server without checks, to one with all of them, and
// to the first one again with the mathematics of a signature beside each delivery: the hashes of header and body and one
// verification, whose code and tables then have to come back into the processor's caches, as they do when a server checks. "share-%" is
// what checking adds to the time of the processor beyond these, over all turns; the other figures are medians of theirs. What the store
// does after an answer is counted with the delivery.
func BenchmarkJudgedShare(b *testing.B) {
	const turn = 1000 // deliveries; fewer are blurred by what the store does once a second
	w := newJudgedWorld(b)
	unchecked, checked := w.client(b, nil, false), w.client(b, &Checks{Resolver: w.resolver}, false)
	deliver := func(c *bench, beside func()) float64 {
		return processorOf(b, func() {
			for range turn {
				must(b, c.deliver())
				beside()
			}
			settleDown(b)
		}).Seconds()
	}
	nothing, mathematics := func() {}, func() { w.verify(b) }
	var plain, judged, signature []float64
	var delivered, added float64 // of all turns
	for done := 0; done < b.N; done += turn {
		p := deliver(unchecked, nothing)
		j := deliver(checked, nothing)
		s := deliver(unchecked, mathematics) - p
		plain, judged, signature = append(plain, p), append(judged, j), append(signature, s)
		delivered, added = delivered+p, added+j-s-p
	}
	b.ReportMetric(0, "ns/op")
	for unit, values := range map[string][]float64{"unchecked-cpu-µs": plain, "checked-cpu-µs": judged, "signature-cpu-µs": signature} {
		b.ReportMetric(median(values)*1e6/turn, unit)
	}
	b.ReportMetric(100*added/delivered, "share-%")
}

func median(values []float64) float64 {
	values = slices.Sorted(slices.Values(values))
	return values[len(values)/2]
}

// settleDown waits until the process has used next to nothing for longer than the
// store's commits are apart.
func settleDown(b *testing.B) {
	b.Helper()
	const quiet, little = 1200 * time.Millisecond, 5 * time.Millisecond
	for before := processorTime(b); ; {
		time.Sleep(quiet)
		now := processorTime(b)
		if now-before < little {
			return
		}
		before = now
	}
}

// judgedWorld is what the message of the benchmarks is checked against.
type judgedWorld struct {
	resolver *dns.Resolver
	key      *rsa.PrivateKey
	message  []byte // with its signature
	sample   []byte // a signature of the whole message
}

func newJudgedWorld(b *testing.B) *judgedWorld {
	b.Helper()
	private, err := mailauth.NewRSAKey()
	must(b, err)
	key := mailauth.SigningKey{Domain: "pass.example", Selector: "s", Private: private}
	record, err := mailauth.KeyRecord(private.Public())
	must(b, err)
	zone, err := dnstest.Start(judgedZone + mailauth.ZoneRecord(key.RecordName(), record) + "\n")
	must(b, err)
	b.Cleanup(func() { zone.Close() })
	resolver, err := dns.New(dns.Options{Servers: []string{zone.Addr()}})
	must(b, err)
	header := []byte("From: a@pass.example\r\nTo: ann@example.test\r\nSubject: ten kilobytes\r\nDate: Sun, 22 Nov 2026 12:00:00 +0000\r\nMessage-ID: <1@pass.example>\r\n\r\n")
	body := textBody(10 << 10)
	signature, err := mailauth.Sign([]mailauth.SigningKey{key}, time.Now(), header, bytes.NewReader(body))
	must(b, err)
	w := &judgedWorld{resolver: resolver, key: private.(*rsa.PrivateKey), message: append(append(signature, header...), body...)}
	sum := sha256.Sum256(w.message)
	w.sample, err = private.Sign(rand.Reader, sum[:], crypto.SHA256)
	must(b, err)
	return w
}

// client is connected to a server with checks. It has delivered once, so that names are in the
// cache.
func (w *judgedWorld) client(b *testing.B, checks *Checks, filtered bool) *bench {
	b.Helper()
	h := newHouse(b)
	o := h.options(Receiver)
	o.Checks = checks
	if filtered {
		trainer, err := training.Open(training.Options{Store: h.store})
		must(b, err)
		checks.Filter = trainedFilter{trainer}
	}
	if checks != nil {
		checks.Own = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")} // the benchmark sends more than a stranger may
	}
	address, _ := listen(b, o, false)
	c := newBench(b, address)
	c.command = []byte("MAIL FROM:<a@pass.example>\r\nRCPT TO:<ann@example.test>\r\nDATA\r\n")
	c.message = append(bytes.Clone(w.message), ".\r\n"...)
	must(b, c.deliver())
	return c
}

// verify hashes the message and verifies its signature.
func (w *judgedWorld) verify(b *testing.B) {
	b.Helper()
	sum := sha256.Sum256(w.message)
	must(b, rsa.VerifyPKCS1v15(&w.key.PublicKey, crypto.SHA256, sum[:], w.sample))
}

// processorOf is the processor's time for what f does, and for what goes on meanwhile.
func processorOf(b *testing.B, f func()) time.Duration {
	b.Helper()
	before := processorTime(b)
	f()
	return processorTime(b) - before
}

// trainedFilter is the real one.
type trainedFilter struct{ trainer *training.Trainer }

func (trainedFilter) Reads([]mailbox.AccountID) bool { return true }

func (f trainedFilter) Assess(_ context.Context, l Letter, accounts []mailbox.AccountID) []Opinion {
	head := make([]byte, min(l.Size, training.MaxHead))
	if _, err := l.Raw.ReadAt(head, 0); err != nil && err != io.EOF {
		return nil
	}
	thought, err := f.trainer.Judge(head, junk.Facts{}, accounts)
	if err != nil {
		return nil
	}
	opinions := make([]Opinion, len(thought))
	for i, o := range thought {
		opinions[i] = Opinion{Score: o.Score, Known: o.Known}
	}
	return opinions
}

// processorTime is what the process has used so far.
func processorTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	must(b, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
