package serve

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// v2 is a header of version 2.
func v2(command, family byte, rest ...byte) string {
	return signatureV2 + string([]byte{command, family, byte(len(rest) >> 8), byte(len(rest))}) + string(rest)
}

var (
	addresses4 = []byte{192, 0, 2, 7, 198, 51, 100, 1, 0x12, 0x34, 0, 25}
	addresses6 = append(append(netip.MustParseAddr("2001:db8::7").AsSlice(), netip.MustParseAddr("2001:db8::1").AsSlice()...), 0x12, 0x34, 0, 25)
)

var proxyHeaders = []struct {
	name, header string
	want         string // the client's address, "own", or "" for an error
}{
	{"version 1", "PROXY TCP4 192.0.2.7 198.51.100.1 4660 25\r\n", "192.0.2.7:4660"},
	{"version 1, IPv6", "PROXY TCP6 2001:db8::7 2001:db8::1 4660 25\r\n", "[2001:db8::7]:4660"},
	{"version 1, IPv4 in IPv6", "PROXY TCP6 ::ffff:192.0.2.7 ::1 4660 25\r\n", "192.0.2.7:4660"},
	{"the longest line", "PROXY TCP6 2001:ffff:ffff:ffff:ffff:ffff:ffff:fffe 2001:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n", "[2001:ffff:ffff:ffff:ffff:ffff:ffff:fffe]:65535"},
	{"unknown", "PROXY UNKNOWN\r\n", "own"},
	{"unknown, with what it may have", "PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n", "own"},
	{"unknown, too long", "PROXY UNKNOWN " + strings.Repeat("x", maxLineV1) + "\r\n", ""},
	{"a long line without an end", "PROXY TCP4 " + strings.Repeat("1", 4096), ""},
	{"a bare LF", "PROXY TCP4 192.0.2.7 198.51.100.1 4660 25\n", ""},
	{"in small letters", "proxy TCP4 192.0.2.7 198.51.100.1 4660 25\r\n", ""},
	{"two spaces", "PROXY  TCP4 192.0.2.7 198.51.100.1 4660 25\r\n", ""},
	{"one more field", "PROXY TCP4 192.0.2.7 198.51.100.1 4660 25 x\r\n", ""},
	{"UDP", "PROXY UDP4 192.0.2.7 198.51.100.1 4660 25\r\n", ""},
	{"the wrong family", "PROXY TCP4 2001:db8::7 2001:db8::1 4660 25\r\n", ""},
	{"a zone", "PROXY TCP6 fe80::1%eth0 2001:db8::1 4660 25\r\n", ""},
	{"a wrong address", "PROXY TCP4 192.0.2.777 198.51.100.1 4660 25\r\n", ""},
	{"a port below", "PROXY TCP4 192.0.2.7 198.51.100.1 -1 25\r\n", ""},
	{"a port above", "PROXY TCP4 192.0.2.7 198.51.100.1 65536 25\r\n", ""},
	{"nobody's address", "PROXY TCP4 0.0.0.0 198.51.100.1 4660 25\r\n", ""},
	{"cut off", "PROXY TCP4 192.0.2.7 198.", ""},
	{"version 2", v2(0x21, 0x11, addresses4...), "192.0.2.7:4660"},
	{"version 2, IPv6", v2(0x21, 0x21, addresses6...), "[2001:db8::7]:4660"},
	{"version 2 with more", v2(0x21, 0x11, append(bytes.Clone(addresses4), 4, 0, 3, 'x', 'y', 'z')...), "192.0.2.7:4660"},
	{"version 2 with much more", v2(0x21, 0x11, append(bytes.Clone(addresses4), make([]byte, maxRestV2-12)...)...), "192.0.2.7:4660"},
	{"version 2 with too much", v2(0x21, 0x11, append(bytes.Clone(addresses4), make([]byte, maxRestV2)...)...), ""},
	{"version 2 of itself", v2(0x20, 0x00), "own"},
	{"version 2 of itself, with addresses", v2(0x20, 0x11, addresses4...), "own"},
	{"version 2, unspecified", v2(0x21, 0x00, 1, 2, 3), "own"},
	{"version 2, a socket of Unix", v2(0x21, 0x31, make([]byte, 216)...), "own"},
	{"version 2 over UDP", v2(0x21, 0x12, addresses4...), ""},
	{"version 2, addresses too short", v2(0x21, 0x11, addresses4[:11]...), ""},
	{"version 2, IPv6 too short", v2(0x21, 0x21, addresses6[:35]...), ""},
	{"version 2, another command", v2(0x22, 0x11, addresses4...), ""},
	{"version 3", v2(0x31, 0x11, addresses4...), ""},
	{"version 2, to many", v2(0x21, 0x11, append([]byte{239, 1, 2, 3}, addresses4[4:]...)...), ""},
	{"version 2, cut off", v2(0x21, 0x11, addresses4...)[:20], ""},
	{"HTTP", "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n", ""},
	{"a greeting", "EHLO mail.example.test\r\n", ""},
	{"TLS", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + strings.Repeat("x", 30), ""},
	{"nothing", "", ""},
}

// TestReadProxyHeader: what is right is read to its last octet and no further, what is not is an error.
func TestReadProxyHeader(t *testing.T) {
	for _, c := range proxyHeaders {
		t.Run(c.name, func(t *testing.T) {
			const behind = "EHLO x\r\n"
			in := strings.NewReader(c.header + behind)
			if strings.HasSuffix(c.name, "cut off") || c.name == "nothing" {
				in = strings.NewReader(c.header)
			}
			client, own, err := readProxyHeader(in)
			got := ""
			switch {
			case err != nil && (own || client.IsValid()):
				t.Errorf("%v, %v with %v", client, own, err)
			case own:
				got = "own"
			case err == nil:
				got = client.String()
			}
			if got != c.want {
				t.Errorf("%q, %v; want %q", got, err, c.want)
			}
			if rest, _ := io.ReadAll(in); got != "" && string(rest) != behind {
				t.Errorf("behind it there is %q", rest)
			}
		})
	}
}

func FuzzProxyHeader(f *testing.F) {
	for _, c := range proxyHeaders {
		f.Add([]byte(c.header))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		in := bytes.NewReader(text)
		client, own, err := readProxyHeader(in)
		if read := len(text) - in.Len(); read > leastProxyHeader+1+maxRestV2 {
			t.Errorf("%d octets were read", read)
		}
		if err == nil && own == client.IsValid() || err != nil && (own || client.IsValid()) {
			t.Errorf("%v, %v, %v", client, own, err)
		}
		if a := client.Addr(); a.Zone() != "" || a.Is4In6() || client.IsValid() && a.IsUnspecified() {
			t.Errorf("client %v", client)
		}
	})
}

// lines is a log that is read while it is written.
type lines struct {
	mu   sync.Mutex
	text []string
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text = append(l.text, string(p))
	return len(p), nil
}

func (l *lines) all() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.text)
}

// proxiedServer serves behind proxies at 127.0.0.2, and says whom it takes for its client.
func proxiedServer(t *testing.T, o Options) (address string, log *lines) {
	t.Helper()
	plain, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	log = &lines{}
	l := ListenProxied(plain, func(ip netip.Addr) bool { return ip == netip.MustParseAddr("127.0.0.2") }, slog.New(slog.NewTextHandler(log, nil)))
	s := New(o, func(c *Conn) {
		c.SetWaiting(true, time.Minute)
		fmt.Fprintf(c, "hello %v\n", c.Remote())
		line, _ := bufio.NewReader(c).ReadString('\n')
		io.WriteString(c, line)
	})
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	t.Cleanup(func() {
		s.Shutdown(t.Context())
		if err := <-done; !errors.Is(err, ErrClosed) {
			t.Errorf("Serve: %v", err)
		}
	})
	return plain.Addr().String(), log
}

// dialAs connects from an address of the machine.
func dialAs(t *testing.T, from, address string) (net.Conn, *bufio.Reader) {
	t.Helper()
	c, err := (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}).Dial("tcp", address)
	if err != nil {
		t.Skipf("there is no %s here: %v", from, err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(time.Minute))
	return c, bufio.NewReader(c)
}

// TestProxied: a proxy's client is known by its own address, others' headers are nothing but what they send.
func TestProxied(t *testing.T) {
	address, log := proxiedServer(t, Options{MaxPerAddress: 2, Busy: "busy\n"})
	silent, _ := dialAs(t, "127.0.0.2", address) // holds nobody up
	for header, want := range map[string]string{
		"PROXY TCP4 192.0.2.7 198.51.100.1 4660 25\r\n": "hello 192.0.2.7\n", v2(0x21, 0x21, addresses6...): "hello 2001:db8::7\n",
		v2(0x20, 0): "hello 127.0.0.2\n", "PROXY UNKNOWN\r\n": "hello 127.0.0.2\n",
	} {
		c, r := dialAs(t, "127.0.0.2", address)
		io.WriteString(c, header+"what follows\n")
		expect(t, r, want)
		expect(t, r, "what follows\n")
		expect(t, r, "")
	}
	c, r := dialAs(t, "127.0.0.1", address)
	io.WriteString(c, "PROXY TCP4 192.0.2.7 198.51.100.1 4660 25\r\n")
	expect(t, r, "hello 127.0.0.1\n")
	expect(t, r, "PROXY TCP4 192.0.2.7 198.51.100.1 4660 25\r\n")
	for _, c := range proxyHeaders {
		if c.want != "" || strings.HasSuffix(c.name, "cut off") || c.name == "nothing" {
			continue
		}
		conn, r := dialAs(t, "127.0.0.2", address)
		io.WriteString(conn, c.header)
		if got, err := r.ReadString('\n'); got != "" || err == nil {
			t.Errorf("%s: answered %q, %v", c.name, got, err)
		}
	}
	if said := log.all(); len(said) != 1 || !strings.Contains(said[0], "remote=127.0.0.2") {
		t.Errorf("logged: %q", said)
	}
	// Limits count the client, not the proxy.
	for i, want := range []string{"hello 192.0.2.8\n", "hello 192.0.2.8\n", "busy\n", "hello 192.0.2.9\n"} {
		c, r := dialAs(t, "127.0.0.2", address)
		fmt.Fprintf(c, "PROXY TCP4 192.0.2.%d 198.51.100.1 4660 25\r\n", 8+i/3)
		expect(t, r, want)
	}
	silent.Close()
}

// TestProxyThatStalls: the header has its time, and a listener that is closed waits for none.
func TestProxyThatStalls(t *testing.T) {
	for _, closed := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			plain := &once{make(chan net.Conn, 1), make(chan struct{})}
			l := ListenProxied(plain, func(netip.Addr) bool { return true }, slog.New(slog.DiscardHandler))
			accepted := make(chan error, 1)
			go func() {
				_, err := l.Accept()
				accepted <- err
			}()
			client, server := net.Pipe()
			plain.conns <- server
			if _, err := io.WriteString(client, "PROXY TCP4 192.0.2"); err != nil {
				t.Fatal(err)
			}
			began := time.Now()
			if closed {
				l.Close()
			}
			if got, err := io.ReadAll(client); len(got) > 0 || err != nil {
				t.Errorf("%q, %v", got, err)
			}
			if took := time.Since(began); took != map[bool]time.Duration{false: proxyTime, true: 0}[closed] {
				t.Errorf("given up after %v", took)
			}
			l.Close()
			if err := <-accepted; !errors.Is(err, net.ErrClosed) {
				t.Errorf("Accept: %v", err)
			}
		})
	}
}

// TestTooManyProxied: above the limit connections are closed at once.
func TestTooManyProxied(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		plain := &once{make(chan net.Conn), make(chan struct{})}
		l := ListenProxied(plain, func(netip.Addr) bool { return true }, slog.New(slog.DiscardHandler))
		go l.Accept()
		var clients []net.Conn
		for range maxHeaders + 1 {
			client, server := net.Pipe()
			plain.conns <- server
			clients = append(clients, client)
		}
		began := time.Now()
		if _, err := clients[maxHeaders].Read(make([]byte, 1)); err != io.EOF || time.Since(began) != 0 {
			t.Errorf("one too many: %v after %v", err, time.Since(began))
		}
		l.Close()
	})
}
