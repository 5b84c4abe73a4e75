package remote

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/netip"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"mailstead/smtp/dns"
	"mailstead/smtp/dns/dnstest"
)

// world is what lies around a Courier in a test: a zone, and servers at the
// addresses of the zone that play scripts, one for each connection in turn.
type world struct {
	t       testing.TB
	zone    *dnstest.Server
	tls     *tls.Config
	message string
	port    string        // of all servers
	release chan struct{} // ends every "wait" when closed

	mu      sync.Mutex
	scripts map[string][]script // by IP
	dialed  []string            // IPs
	playing sync.WaitGroup
}

// script is the server's side of a conversation, a step on each line:
//
//	S: sent with CRLF               S~ sent as written, \r\n meaning CRLF
//	C: expected; * stands for anything at the end
//	body                            the message is expected, with its dot
//	starttls                        the handshake
//	badtls                          the handshake, which the client breaks off
//	read N                          reads N bytes
//	eof                             the client hangs up
//	hang                            says no more until the client hangs up
//	drip TEXT                       says a text again and again, a letter at a time, until the client hangs up
//	wait                            neither says nor reads more until released
type script []string

func newWorld(t testing.TB, zone string) *world {
	w := &world{
		t: t, zone: dnstest.New(t, ourNames+zone), tls: &tls.Config{Certificates: []tls.Certificate{selfSigned(t)}},
		message: "Subject: hello\r\n\r\nHello.\r\n", port: "25", release: make(chan struct{}), scripts: make(map[string][]script),
	}
	t.Cleanup(w.finish)
	return w
}

// finish checks that everything was played.
func (w *world) finish() {
	w.playing.Wait()
	for ip, left := range w.scripts {
		if len(left) > 0 {
			w.t.Errorf("%d conversations with %s were not held", len(left), ip)
		}
	}
}

// options are those of a Courier that lives in the world.
func (w *world) options() Options {
	r, err := dns.New(dns.Options{Servers: []string{w.zone.Addr()}})
	if err != nil {
		w.t.Fatal(err)
	}
	const wait = time.Minute
	return Options{
		Resolver: r, Hostname: "us.test", Names: []string{"also-us.test"}, Dial: w.dial,
		Source: ourSource, Addresses: func() []netip.Addr { return nil },
		Own:     func(a netip.Addr) bool { return a == netip.MustParseAddr("192.0.2.99") },
		Shuffle: func(int, func(int, int)) {},
		Timeouts: Timeouts{
			Connect: wait, Greeting: wait, Hello: wait, TLS: wait, Mail: wait, Recipient: wait,
			DataInit: wait, DataBlock: wait, DataEnd: wait, Quit: wait, Keep: 10 * wait,
		},
	}
}

// ourSource is where this machine sends from in a test: it has addresses of both kinds, and the one of IPv6 has a
// name in ourNames.
func ourSource(_ context.Context, _, to netip.Addr) (netip.Addr, error) {
	if to.Is4() {
		return netip.MustParseAddr("192.0.2.99"), nil
	}
	return netip.MustParseAddr("2001:db8::99"), nil
}

const ourNames = "us.test. AAAA 2001:db8::99\n9.9.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa. PTR us.test.\n"

func (w *world) courier(change ...func(*Options)) *Courier {
	o := w.options()
	for _, f := range change {
		f(&o)
	}
	c, err := New(o)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(c.Close)
	return c
}

func (w *world) open() (io.ReadCloser, error) {
	return io.NopCloser(strings.NewReader(w.message)), nil
}

var errRefused = errors.New("connection refused")

// dial connects to the server at an address of the zone.
func (w *world) dial(ctx context.Context, network, address string) (net.Conn, error) {
	ip, port, err := net.SplitHostPort(address)
	if err != nil || port != w.port {
		return nil, fmt.Errorf("dial %q: %v", address, err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.dialed = append(w.dialed, ip)
	if len(w.scripts[ip]) == 0 {
		return nil, errRefused
	}
	s := w.scripts[ip][0]
	w.scripts[ip] = w.scripts[ip][1:]
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	defer l.Close()
	client, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		return nil, err
	}
	conn, err := l.Accept()
	if err != nil {
		return nil, err
	}
	w.playing.Go(func() {
		if step, err := w.play(conn, s); err != nil {
			w.t.Errorf("server %s at %q: %v", ip, step, err)
		}
	})
	return client, nil
}

// play runs a script and gives the step that failed.
func (w *world) play(conn net.Conn, s script) (string, error) {
	defer func() { conn.Close() }()
	r := bufio.NewReader(conn)
	for _, step := range s {
		conn.SetDeadline(time.Now().Add(time.Minute))
		var err error
		switch word, arg, _ := strings.Cut(step, " "); word {
		case "S:":
			_, err = io.WriteString(conn, arg+"\r\n")
		case "S~":
			_, err = io.WriteString(conn, strings.NewReplacer(`\r`, "\r", `\n`, "\n").Replace(arg))
		case "C:":
			err = expectLine(r, arg)
		case "body":
			err = w.expectBody(r)
		case "starttls":
			server := tls.Server(conn, w.tls)
			err = server.Handshake()
			conn, r = server, bufio.NewReader(server)
		case "badtls":
			if err = tls.Server(conn, w.tls).Handshake(); err == nil {
				err = errors.New("the client is content")
			} else {
				err = nil
			}
		case "read":
			var n int64
			fmt.Sscan(arg, &n)
			_, err = io.CopyN(io.Discard, r, n)
		case "eof":
			if _, err = r.ReadByte(); err == io.EOF || errors.Is(err, syscall.ECONNRESET) {
				err = nil
			} else if err == nil {
				err = errors.New("the client says more")
			}
		case "drip":
			drip(conn, arg+"\r\n")
		case "wait":
			<-w.release
		case "hang":
			_, _ = io.Copy(io.Discard, r)
		default:
			err = errors.New("no such step")
		}
		if err != nil {
			return step, err
		}
	}
	return "", nil
}

// drip says a text until nobody listens.
func drip(conn net.Conn, text string) {
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		_, _ = io.Copy(io.Discard, conn)
	}()
	pace := time.NewTicker(2 * time.Millisecond)
	defer pace.Stop()
	for i := 0; ; i++ {
		select {
		case <-gone:
			return
		case <-pace.C:
			_, _ = io.WriteString(conn, text[i%len(text):][:1])
		}
	}
}

func expectLine(r *bufio.Reader, want string) error {
	got, err := r.ReadString('\n')
	if err != nil {
		return err
	}
	if !strings.HasSuffix(got, "\r\n") || !matches(strings.TrimSuffix(got, "\r\n"), want) {
		return fmt.Errorf("client says %q", got)
	}
	return nil
}

// matches compares with a pattern in which * at the end stands for anything.
func matches(got, pattern string) bool {
	if prefix, ok := strings.CutSuffix(pattern, "*"); ok {
		return strings.HasPrefix(got, prefix)
	}
	return got == pattern
}

func (w *world) expectBody(r *bufio.Reader) error {
	var got strings.Builder
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return err
		}
		if line == ".\r\n" {
			break
		}
		got.WriteString(strings.TrimPrefix(line, "."))
	}
	if got.String() != w.message {
		return fmt.Errorf("message is %.200q", got.String())
	}
	return nil
}

// selfSigned makes a certificate that proves nothing, like those of most mail
// exchangers.
func selfSigned(t testing.TB) tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}
