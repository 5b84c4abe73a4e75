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
// included. "signature" is what the mathematics alone take of that: the hash of
// the message and one verification.
func BenchmarkJudged(b *testing.B) {
	private, err := mailauth.NewRSAKey()
	must(b, err)
	key := mailauth.SigningKey{Domain: "pass.example", Selector: "s", Private: private}
	record, err := mailauth.KeyRecord(private.Public())
	must(b, err)
	zone, err := dnstest.Start(judgedZone + mailauth.ZoneRecord(key.RecordName(), record) + "\n")
	must(b, err)
	defer zone.Close()
	resolver, err := dns.New(dns.Options{Servers: []string{zone.Addr()}})
	must(b, err)
	header := []byte("From: a@pass.example\r\nTo: ann@example.test\r\nSubject: ten kilobytes\r\nDate: Sun, 22 Nov 2026 12:00:00 +0000\r\nMessage-ID: <1@pass.example>\r\n\r\n")
	body := textBody(10 << 10)
	signature, err := mailauth.Sign([]mailauth.SigningKey{key}, time.Now(), header, bytes.NewReader(body))
	must(b, err)
	signed := append(append(signature, header...), body...)
	b.Run("signature", func(b *testing.B) {
		sum := sha256.Sum256(signed)
		signed15, err := private.Sign(rand.Reader, sum[:], crypto.SHA256)
		must(b, err)
		before := processorTime(b)
		for b.Loop() {
			sum := sha256.Sum256(signed)
			must(b, rsa.VerifyPKCS1v15(private.Public().(*rsa.PublicKey), crypto.SHA256, sum[:], signed15))
		}
		b.ReportMetric(float64((processorTime(b)-before).Microseconds())/float64(b.N), "cpu-µs/op")
	})
	for name, checks := range map[string]*Checks{"unchecked": nil, "checked": {Resolver: resolver}, "filtered": {Resolver: resolver}} {
		b.Run(name, func(b *testing.B) {
			h := newHouse(b)
			o := h.options(Receiver)
			o.Checks = checks
			if name == "filtered" {
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
			c.message = append(bytes.Clone(signed), ".\r\n"...)
			must(b, c.deliver()) // names are in the cache from here on
			before := processorTime(b)
			for b.Loop() {
				must(b, c.deliver())
			}
			b.ReportMetric(float64((processorTime(b)-before).Microseconds())/float64(b.N), "cpu-µs/op")
		})
	}
}

// trainedFilter is the real one.
type trainedFilter struct{ trainer *training.Trainer }

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
