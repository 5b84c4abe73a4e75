package remote

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"

	gosmtp "github.com/emersion/go-smtp"

	"mailstead/smtp/queue"
)

// peer is an SMTP server that is not of our making.
type peer struct {
	maxRecipients int
	ended         chan struct{} // gets a value for each conversation that is over
	mu            sync.Mutex
	letters       []letter
	sessions      int // begun over TLS
}

type letter struct {
	from string
	to   []string
	tls  bool
	body string
	opts gosmtp.MailOptions
}

type peerSession struct {
	p *peer
	letter
}

func (p *peer) NewSession(c *gosmtp.Conn) (gosmtp.Session, error) {
	_, encrypted := c.TLSConnectionState()
	if encrypted { // there was one in the clear before
		p.mu.Lock()
		p.sessions++
		p.mu.Unlock()
	}
	return &peerSession{p: p, letter: letter{tls: encrypted}}, nil
}

func (s *peerSession) Mail(from string, opts *gosmtp.MailOptions) error {
	s.from, s.opts = from, *opts
	return nil
}

func (s *peerSession) Rcpt(to string, _ *gosmtp.RcptOptions) error {
	if strings.HasPrefix(to, "nobody") {
		return &gosmtp.SMTPError{Code: 550, EnhancedCode: gosmtp.EnhancedCode{5, 1, 1}, Message: "no such user"}
	}
	s.to = append(s.to, to)
	return nil
}

func (s *peerSession) Data(r io.Reader) error {
	body, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	s.body = string(body)
	s.p.mu.Lock()
	defer s.p.mu.Unlock()
	s.p.letters = append(s.p.letters, s.letter)
	return nil
}

func (s *peerSession) Reset() { s.letter = letter{tls: s.tls} }

func (s *peerSession) Logout() error {
	s.p.ended <- struct{}{}
	return nil
}

// startPeer runs the server and makes the courier's connections go to it.
func startPeer(t testing.TB, w *world, p *peer, withTLS bool) func(*Options) {
	server := gosmtp.NewServer(p)
	p.ended = make(chan struct{}, 10)
	server.Domain = "mx.example.test"
	server.MaxRecipients = p.maxRecipients
	server.EnableSMTPUTF8 = true
	server.MaxMessageBytes = 64 << 20
	if withTLS {
		server.TLSConfig = w.tls
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.Serve(l) })
	t.Cleanup(func() {
		server.Close()
		serving.Wait()
	})
	return func(o *Options) {
		o.Dial = func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, l.Addr().String())
		}
		o.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS13}
	}
}

// Another server's idea of the message is ours, byte for byte.
func TestPeerReceivesTheMessage(t *testing.T) {
	for _, withTLS := range []bool{false, true} {
		w := newWorld(t, oneMX)
		p := &peer{}
		c := w.courier(startPeer(t, w, p, withTLS))
		w.message = "Subject: dots\r\n\r\n.\r\n..\r\n.x\r\n" + strings.Repeat("0123456789abcdef\r\n", 1<<17) + "8 bits: \xe9\r\n.\r\n"
		m := w.letter("a@example.test", "nobody@example.test", `"quo ted"@example.test`)
		m.Size, m.EightBit = int64(len(w.message)), true
		outcomes := c.Deliver(t.Context(), "example.test", m)
		for i, want := range []queue.Status{queue.Delivered, queue.Permanent, queue.Delivered} {
			if o := outcomes[i]; o.Status != want || o.TLS != withTLS || o.Host != "mx.example.test [192.0.2.1]" {
				t.Errorf("got %s", describe(o))
			}
		}
		if len(p.letters) != 1 {
			t.Fatalf("%d letters", len(p.letters))
		}
		l := p.letters[0]
		if l.from != "sender@us.test" || len(l.to) != 2 || l.tls != withTLS || l.opts.Size != m.Size || l.opts.Body != gosmtp.Body8BitMIME {
			t.Errorf("envelope %q %q, TLS %v, %+v", l.from, l.to, l.tls, l.opts)
		}
		if l.body != w.message {
			t.Errorf("message of %d bytes arrived as %d", len(w.message), len(l.body))
		}
	}
}

// Many recipients go in transactions of a hundred, and in more where the server
// takes fewer: each gets the message once.
func TestPeerWithManyRecipients(t *testing.T) {
	for limit, wantLetters := range map[int]int{0: 3, 30: 9} {
		t.Run(fmt.Sprint(limit), func(t *testing.T) {
			w := newWorld(t, oneMX)
			p := &peer{maxRecipients: limit}
			c := w.courier(startPeer(t, w, p, false))
			var to []string
			for i := range 250 {
				to = append(to, fmt.Sprintf("recipient-with-a-longish-name-%d@example.test", i))
			}
			for _, o := range c.Deliver(t.Context(), "example.test", w.letter(to...)) {
				if o.Status != queue.Delivered {
					t.Fatalf("got %s", describe(o))
				}
			}
			got := make(map[string]int)
			for _, l := range p.letters {
				for _, r := range l.to {
					got[r]++
				}
			}
			for _, r := range to {
				if got[r] != 1 {
					t.Errorf("%s got it %d times", r, got[r])
				}
			}
			if len(p.letters) != wantLetters {
				t.Errorf("%d transactions, want %d", len(p.letters), wantLetters)
			}
		})
	}
}

// failingReader gives a message and then an error.
type failingReader struct{ io.Reader }

func (f failingReader) Read(p []byte) (int, error) {
	n, err := f.Reader.Read(p)
	if err == io.EOF {
		err = errors.New("bad block")
	}
	return n, err
}

// A message that cannot be read to its end does not arrive at all.
func TestPeerGetsNoHalfMessage(t *testing.T) {
	w := newWorld(t, oneMX)
	p := &peer{}
	c := w.courier(startPeer(t, w, p, false))
	w.message += strings.Repeat("0123456789abcdef\r\n", 1<<17)
	m := w.letter("a@example.test")
	m.Open = func() (io.ReadCloser, error) {
		return io.NopCloser(failingReader{strings.NewReader(w.message)}), nil
	}
	o := c.Deliver(t.Context(), "example.test", m)[0]
	if o.Status != queue.Temporary || o.Enhanced != "4.3.0" || o.Text != "read the message: bad block" {
		t.Errorf("got %s", describe(o))
	}
	<-p.ended
	if len(p.letters) != 0 {
		t.Error("the peer took half a message for a whole one")
	}
}

// dump answers every command with what is hoped for, and forgets the messages.
func dump(conn net.Conn) {
	defer conn.Close()
	r := bufio.NewReaderSize(conn, 64<<10)
	reply := "220 dump\r\n"
	for {
		if r.Buffered() == 0 {
			if _, err := io.WriteString(conn, reply); err != nil {
				return
			}
			reply = ""
		}
		line, err := r.ReadSlice('\n')
		if err != nil {
			return
		}
		switch string(line[:4]) {
		case "EHLO":
			reply += "250-dump\r\n250-PIPELINING\r\n250 SIZE\r\n"
		case "DATA":
			reply += "354 go\r\n"
			if _, err := io.WriteString(conn, reply); err != nil {
				return
			}
			for string(line) != ".\r\n" {
				if line, err = r.ReadSlice('\n'); err != nil {
					return
				}
			}
			reply = "250 forgotten\r\n"
		default:
			reply += "250 ok\r\n"
		}
	}
}

// startDump makes the courier's connections go to dump.
func startDump(b *testing.B) func(*Options) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			serving.Go(func() { dump(conn) })
		}
	})
	b.Cleanup(func() {
		l.Close()
		serving.Wait()
	})
	return func(o *Options) {
		o.Dial = func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, l.Addr().String())
		}
	}
}

func BenchmarkDeliver(b *testing.B) {
	for _, size := range []int{4 << 10, 1 << 20} {
		b.Run(fmt.Sprintf("%d KB", size>>10), func(b *testing.B) {
			w := newWorld(b, oneMX)
			c := w.courier(startDump(b))
			message := bytes.Repeat([]byte(strings.Repeat("x", 76)+"\r\n"), size/78)
			m := w.letter("a@example.test")
			m.Open = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(message)), nil }
			b.SetBytes(int64(len(message)))
			b.ReportAllocs()
			for b.Loop() {
				if o := c.Deliver(b.Context(), "example.test", m)[0]; o.Status != queue.Delivered {
					b.Fatal(describe(o))
				}
			}
		})
	}
}
