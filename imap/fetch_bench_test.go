package imap

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	goimap "github.com/emersion/go-imap/v2"

	"mailstead/mailbox"
)

// benchMessages is how many messages the mailbox of the benchmarks has.
const benchMessages = 100_000

const thunderbirdFields = "From To Cc Bcc Subject Date Message-ID Priority X-Priority References Newsgroups" +
	" In-Reply-To Content-Type Reply-To Received"

// BenchmarkMailbox runs commands over a mailbox of 100,000 different messages of 2 KB in
// a store with the options of a server: what a session does, without the connection
// that its answers would go to.
func BenchmarkMailbox(b *testing.B) {
	store, account := benchStore(b, benchMessages)
	indexed(b, store)
	settle()
	s := newDirectSession(b, store, account)
	for _, bench := range []struct{ name, command string }{
		{"fetch-flags", "UID FETCH 1:* (UID FLAGS)"},
		{"fetch-fast", "FETCH 1:* FAST"},
		{"fetch-envelope", "FETCH 1:* (ENVELOPE)"},
		{"fetch-envelope-bodystructure", "FETCH 1:* (ENVELOPE BODYSTRUCTURE)"},
		{"fetch-thunderbird", "UID FETCH 1:* (UID RFC822.SIZE FLAGS BODY.PEEK[HEADER.FIELDS (" + thunderbirdFields + ")])"},
		{"fetch-header", "FETCH 1:* (BODY.PEEK[HEADER])"},
		{"fetch-bodies", "UID FETCH 1:* (UID RFC822.SIZE BODY.PEEK[])"},
		{"fetch-text", "FETCH 1:* (BODY.PEEK[TEXT])"},
		{"fetch-partial", "FETCH 1:* (BODY.PEEK[]<1000.100>)"},
		{"search-unseen", "UID SEARCH UNSEEN"},
		{"search-since-larger", "SEARCH SINCE 1-Mar-2025 LARGER 100"},
		{"search-from", "SEARCH FROM nobody"},
		{"search-subject", "UID SEARCH UNDELETED SUBJECT \"no such subject\""},
		{"search-sentsince", "SEARCH RETURN (COUNT) SENTSINCE 1-Mar-2025"},
		{"search-header", "SEARCH HEADER Message-ID <none@x.example>"},
		{"sort-arrival", "UID SORT (ARRIVAL) UTF-8 ALL"},
		{"sort-date", "UID SORT (REVERSE DATE) UTF-8 ALL"},
		{"sort-subject", "UID SORT (SUBJECT) UTF-8 ALL"},
		{"sort-from", "UID SORT (DISPLAYFROM SUBJECT) UTF-8 ALL"},
		{"thread-subject", "UID THREAD ORDEREDSUBJECT UTF-8 ALL"},
		{"thread-references", "UID THREAD REFERENCES UTF-8 ALL"},
		{"search-body", "SEARCH CHARSET UTF-8 UNDELETED BODY xylophonist"},
		{"search-text", "SEARCH TEXT xylophonist"},
	} {
		b.Run(bench.name, func(b *testing.B) {
			b.ReportAllocs()
			s.out.Reset()
			s.drop, s.written = true, 0
			cpu, allocs := cpuTime(), mallocs()
			for b.Loop() {
				s.say(b, bench.command)
			}
			b.ReportMetric(float64(mallocs()-allocs)/float64(b.N)/benchMessages, "allocs/message")
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/benchMessages, "ns/message")
			b.ReportMetric(float64(cpuTime()-cpu)/float64(b.N)/benchMessages, "cpu-ns/message")
			b.ReportMetric(float64(s.written)/b.Elapsed().Seconds()/1e6, "MB/s")
		})
	}
}

// settle waits until nothing is done in the background, or for half a minute: what that
// allocates would be counted.
func settle() {
	for range 100 {
		before := mallocs()
		time.Sleep(300 * time.Millisecond)
		if mallocs()-before < 20 {
			return
		}
	}
}

// mallocs is how often the process has allocated something.
func mallocs() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.Mallocs
}

// cpuTime is what the process has used of the processors, which tells more than the
// clock where others use them too.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkLargeBody fetches one message of 20 MB whole, and in the pieces in which
// Thunderbird shows it.
func BenchmarkLargeBody(b *testing.B) {
	const size = 20 << 20
	store, account := benchStore(b, 0)
	deliver(b, store, account, []byte("Subject: large\r\n\r\n"+strings.Repeat(strings.Repeat("x", 76)+"\r\n", size/78)), mailbox.Target{})
	s := newDirectSession(b, store, account)
	for _, bench := range []struct{ name, command string }{
		{"whole", "FETCH 1 (BODY.PEEK[])"},
		{"piece", "FETCH 1 (BODY.PEEK[]<10000000.65536>)"},
	} {
		b.Run(bench.name, func(b *testing.B) {
			s.out.Reset()
			s.drop, s.written = true, 0
			for b.Loop() {
				s.say(b, bench.command)
			}
			b.ReportMetric(float64(s.written)/b.Elapsed().Seconds()/1e6, "MB/s")
		})
	}
}

// benchStore makes a store with n messages in the INBOX of one account.
func benchStore(b *testing.B, n int) (*mailbox.Store, mailbox.AccountID) {
	store, account := directStore(b, b.TempDir(), 0)
	const writers = 64 // they share their flushes
	var work sync.WaitGroup
	for w := range writers {
		work.Go(func() {
			for i := w; i < n; i += writers {
				deliver(b, store, account, benchMessage(i), mailbox.Target{Date: benchDate, Flags: benchFlags[i%3]})
			}
		})
	}
	work.Wait()
	if b.Failed() {
		b.FailNow()
	}
	return store, account
}

var (
	benchDate  = time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)
	benchFlags = [3][]goimap.Flag{{goimap.FlagSeen, "$label1"}, {goimap.FlagSeen}, nil}
)

// benchMessage makes a message of about 2 KB; one of a thousand has a rare word.
func benchMessage(i int) []byte {
	rng := rand.New(rand.NewPCG(uint64(i), 1))
	word := func() string { return benchWords[rng.IntN(len(benchWords))] }
	when := benchDate.Add(time.Duration(i) * 7 * time.Minute).Format(time.RFC1123Z)
	var m bytes.Buffer
	fmt.Fprintf(&m, "Received: from mx.%s.example (mx.%[1]s.example [192.0.2.7])\r\n\tby mx.example.test with ESMTPS id %08x; %s\r\n", word(), rng.Uint32(), when)
	fmt.Fprintf(&m, "From: \"%s %s\" <%s@%s.example>\r\nTo: <ann@example.test>\r\nReply-To: <%s@%s.example>\r\n", word(), word(), word(), word(), word(), word())
	fmt.Fprintf(&m, "Subject: %s %s %s of the %s\r\nDate: %s\r\nMessage-ID: <%d.%08x@%s.example>\r\n", word(), word(), word(), word(), when, i, rng.Uint32(), word())
	io.WriteString(&m, "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n")
	for line := 0; m.Len() < 1950; {
		w := word()
		if line += len(w) + 1; line > 70 {
			m.WriteString("\r\n")
			line = len(w) + 1
		}
		m.WriteString(w + " ")
	}
	if i%1000 == 500 {
		m.WriteString("xylophonist")
	}
	m.WriteString("\r\n")
	return m.Bytes()
}

var benchWords = strings.Fields(`the of and to a in that is was he for it with as his on be at by had not are but from have
an they which one you were all her she there would their we him been has when who will no more out so what up said about
invoice meeting report schedule attached regards thanks project budget deadline contract customer release quarter payment
shipping order confirm newsletter account password update offer holiday family photo ticket flight hotel booking dinner
weekend garden kitchen music concert school teacher lecture thesis Zürich naïve café déjà über jalapeño`)
