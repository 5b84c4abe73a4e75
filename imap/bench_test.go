package imap

import (
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"
	"time"

	goimap "github.com/emersion/go-imap/v2"

	"mailstead/mailbox"
)

// fill puts n messages into ann's mailbox of that name, by copying.
func (ts *testServer) fill(tb testing.TB, name string, n int) {
	tb.Helper()
	body := ts.store.NewBody()
	defer body.Abort()
	if _, err := io.WriteString(body, "Subject: x\r\n\r\n"+strings.Repeat("x", 2000)); err != nil {
		tb.Fatal(err)
	}
	placed, err := ts.store.Deliver(tb.Context(), body, []mailbox.Target{{Account: ts.account, Name: name, Flags: []goimap.Flag{goimap.FlagSeen}}}, nil)
	if err != nil || placed[0].Err != nil {
		tb.Fatal(err, placed)
	}
	m, err := ts.store.OpenMailbox(tb.Context(), ts.account, name)
	if err != nil {
		tb.Fatal(err)
	}
	defer m.Close()
	for have := 1; have < n; {
		view := m.View(false)
		copied, err := m.Copy(tb.Context(), view.UIDs()[:min(n-have, have, 5000)], name)
		if err != nil {
			tb.Fatal(err)
		}
		have += len(copied.Dest)
	}
}

// BenchmarkNoop is one command and its reply: what every command costs at least.
func BenchmarkNoop(b *testing.B) {
	c := newTestServer(b).connect(b).login()
	c.SetDeadline(time.Time{})
	for b.Loop() {
		c.send("n NOOP\r\n")
		c.expect("n OK")
	}
}

// BenchmarkNoopPipelined sends a hundred commands at a time.
func BenchmarkNoopPipelined(b *testing.B) {
	c := newTestServer(b).connect(b).login()
	c.SetDeadline(time.Time{})
	batch := strings.Repeat("n NOOP\r\n", 100)
	b.ReportAllocs()
	for b.Loop() {
		c.send(batch)
		for range 100 {
			c.expect("n OK")
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/100, "ns/command")
}

// BenchmarkSelect opens mailboxes that are in memory, with all messages seen and with
// the last one unseen, which is looked for from the first on.
func BenchmarkSelect(b *testing.B) {
	for name, n := range map[string]int{"100 seen": 100, "100000 seen": 100_000, "100000 last unseen": 100_000} {
		b.Run(name, func(b *testing.B) {
			ts := newTestServer(b)
			ts.fill(b, "INBOX", n)
			if strings.HasSuffix(name, "unseen") {
				c := ts.connect(b).login()
				c.send("u STORE * -FLAGS.SILENT (\\Seen)\r\n")
				c.expect("u OK")
			}
			keep, err := ts.store.OpenMailbox(b.Context(), ts.account, "INBOX")
			if err != nil {
				b.Fatal(err)
			}
			defer keep.Close()
			c := ts.connect(b).login()
			c.SetDeadline(time.Time{})
			for b.Loop() {
				c.send("s SELECT INBOX\r\n")
				c.expect("s OK")
			}
		})
	}
}

// BenchmarkStore changes the flags of every message, with an answer for each.
func BenchmarkStore(b *testing.B) {
	const n = 10_000
	ts := newTestServer(b)
	ts.fill(b, "INBOX", n)
	c := ts.connect(b).login()
	c.SetDeadline(time.Time{})
	sign := "+"
	for b.Loop() {
		c.send("s UID STORE 1:* " + sign + "FLAGS (\\Flagged)\r\n")
		c.expect("s OK")
		sign = map[string]string{"+": "-", "-": "+"}[sign]
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/message")
}

// BenchmarkAppend appends messages one after the other; each is on disk when its reply
// comes.
func BenchmarkAppend(b *testing.B) {
	for _, size := range []int{2 << 10, 10 << 20} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			c := newTestServer(b).connect(b).login()
			c.SetDeadline(time.Time{})
			message := fmt.Sprintf("a APPEND Archive {%d+}\r\n%s\r\n", size, strings.Repeat(strings.Repeat("x", 76)+"\r\n", size/78+1)[:size])
			b.SetBytes(int64(size))
			for b.Loop() {
				c.send(message)
				c.expect("a OK")
			}
		})
	}
}

// BenchmarkIdleMemory reports what a client costs that is logged in and idles without
// TLS; the client's socket, in the same process, is a few hundred bytes of it.
func BenchmarkIdleMemory(b *testing.B) {
	const clients = 300
	ts := newTestServer(b, func(o *Options) { o.MaxPerAddress = clients + 1 })
	ts.connect(b).login() // what all share
	for b.Loop() {
		before := inUse()
		conns := make([]*lineConn, clients)
		for i := range conns {
			conns[i] = ts.connect(b).login()
			conns[i].send("i IDLE\r\n")
			conns[i].expect("+ ")
			conns[i].in = nil // the client's buffer is not the server's
		}
		b.ReportMetric((inUse()-before)/clients, "B/conn")
		for _, c := range conns {
			c.Close()
		}
	}
}

// inUse is the heap and the stacks after a collection.
func inUse() float64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapInuse + m.StackInuse)
}
