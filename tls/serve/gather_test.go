package serve

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http/httptest"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// counting counts what is written to a connection, and fails from some write on.
type counting struct {
	net.Conn
	writes  atomic.Int64
	failsAt int64 // 0 = never
}

var errWire = errors.New("the wire was cut")

func (c *counting) Write(p []byte) (int, error) {
	if n := c.writes.Add(1); c.failsAt > 0 && n >= c.failsAt {
		return 0, errWire
	}
	return c.Conn.Write(p)
}

// underTLS returns both ends of a connection with TLS, and what counts the server's writes.
func underTLS(t testing.TB) (server *Conn, client net.Conn, wire *counting) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	dialled, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dialled.Close() })
	accepted, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { accepted.Close() })
	dialled.SetDeadline(time.Now().Add(time.Minute))
	wire = &counting{Conn: accepted}
	web := httptest.NewTLSServer(nil) // it has a certificate
	web.Close()
	server = newConn(New(Options{}, func(*Conn) {}), wire, newCounter(0))
	c := tls.Client(dialled, &tls.Config{InsecureSkipVerify: true})
	shaken := make(chan error, 1)
	go func() { shaken <- c.Handshake() }()
	if err := server.StartTLS(Remember(&tls.Config{Certificates: web.TLS.Certificates[:1]})); err != nil {
		t.Fatal(err)
	}
	if err := <-shaken; err != nil {
		t.Fatal(err)
	}
	return server, c, wire
}

// A large answer under TLS goes out in some pieces of 64 KB, not in one for each record, and
// a small one at once.
func TestRecordsAreGathered(t *testing.T) {
	server, client, wire := underTLS(t)
	for _, tt := range []struct {
		size int
		most int64
	}{{10, 1}, {1000, 1}, {4000, 1}, {60 << 10, 2}, {300 << 10, 6}, {1 << 20, 18}, {1, 1}} {
		sent := bytes.Repeat([]byte("some mail "), tt.size/10+1)[:tt.size]
		read := make(chan []byte, 1)
		go func() {
			b := make([]byte, tt.size)
			n, _ := io.ReadFull(client, b)
			read <- b[:n]
		}()
		before := wire.writes.Load()
		if n, err := server.Write(sent); n != tt.size || err != nil {
			t.Fatalf("%d octets: %d, %v", tt.size, n, err)
		}
		if got := <-read; !bytes.Equal(got, sent) {
			t.Errorf("%d octets arrive as %d others", tt.size, len(got))
		}
		if n := wire.writes.Load() - before; n > tt.most {
			t.Errorf("%d octets take %d writes, want %d", tt.size, n, tt.most)
		}
	}
}

// What was gathered and could not be written is an error, and nothing is written behind it.
func TestGatheredRecordsFail(t *testing.T) {
	for _, size := range []int{2000, 300 << 10} {
		server, _, wire := underTLS(t)
		wire.failsAt = wire.writes.Load() + 1
		for range 2 {
			if _, err := server.Write(make([]byte, size)); !errors.Is(err, errWire) {
				t.Errorf("%d octets: %v", size, err)
			}
		}
		if n := wire.writes.Load() - wire.failsAt; n != 0 {
			t.Errorf("%d octets: %d more writes after the first one failed", size, n)
		}
	}
}

// BenchmarkWriteTLS sends 256 KB at a time, as a download does, and reports the processor
// time of both ends, and the writes, for each megabyte.
func BenchmarkWriteTLS(b *testing.B) {
	server, client, wire := underTLS(b)
	go io.Copy(io.Discard, client)
	p := make([]byte, 256<<10)
	var before, after syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &before)
	writes := wire.writes.Load()
	n := 0
	for b.Loop() {
		if _, err := server.Write(p); err != nil {
			b.Fatal(err)
		}
		n++
	}
	syscall.Getrusage(syscall.RUSAGE_SELF, &after)
	mb := float64(n) * float64(len(p)) / 1e6
	b.SetBytes(int64(len(p)))
	b.ReportMetric(float64(wire.writes.Load()-writes)/mb, "writes/MB")
	b.ReportMetric(float64(after.Utime.Nano()-before.Utime.Nano())/1e3/mb, "user-µs/MB")
	b.ReportMetric(float64(after.Stime.Nano()-before.Stime.Nano())/1e3/mb, "sys-µs/MB")
}
