// Package client speaks IMAP to the servers of others: to take an account's mail away
// from one, or to bring it there.
//
// Whatever a server says costs bounded time and memory: each limit is a named constant.
// Bodies of messages are streamed. Mail programs need much more than this; what is here
// is what moving in and out needs, and it believes nothing that it is told.
package client

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"
)

// Security is how a connection is protected.
type Security int

const (
	ImplicitTLS Security = iota // from the first octet, RFC 8314 section 3.2
	StartTLS                    // RFC 3501 section 6.2.1, demanded
	Plain                       // nothing: only to loopback addresses
)

// Options say how to reach a server.
type Options struct {
	Address  string // host:port
	Security Security
	TLS      *tls.Config // nil = the system's authorities and the host of Address
	// Patience is how long a server may say nothing, and take nothing. Default one minute.
	Patience time.Duration
}

const defaultPatience = time.Minute

// ErrProtocol says that a server does not speak IMAP as it should, or says more than
// anybody wants to hear: the connection is of no use any more.
var ErrProtocol = errors.New("the server's answer is no IMAP")

// ErrNotLoopback is for Plain to somebody else.
var ErrNotLoopback = errors.New("without TLS only loopback addresses are spoken to")

// StatusError is a command that was refused: NO or BAD.
type StatusError struct {
	Kind string // NO, BAD
	Text string // with its response code, if any; bounded, from a stranger
}

func (e *StatusError) Error() string { return "the server says " + e.Kind + ": " + e.Text }

// ByeError is a server that closes, RFC 3501 section 7.1.5.
type ByeError struct{ Text string }

func (e *ByeError) Error() string { return "the server says BYE: " + e.Text }

// Conn is one connection. It belongs to one goroutine, but for Close.
type Conn struct {
	conn     net.Conn
	stop     func() bool
	in       reader
	out      *bufio.Writer
	tags     int
	answered map[string]error // commands that were answered while another was waited for
	caps     map[string]bool  // nil = not known
	selected Selected
}

// The bounds of a conversation.
const (
	bufferSize = 64 << 10
	// maxAside bounds the untagged responses to a command that asks for nothing in
	// particular, as a mailbox that others change makes them.
	maxAside = 10_000
)

// Dial connects, reads the greeting and begins TLS. ctx ends the connection, too.
// ErrNotLoopback, ErrProtocol, *ByeError.
func Dial(ctx context.Context, o Options) (*Conn, error) {
	if o.Patience <= 0 {
		o.Patience = defaultPatience
	}
	dialing, cancel := context.WithTimeout(ctx, o.Patience)
	defer cancel()
	raw, err := new(net.Dialer).DialContext(dialing, "tcp", o.Address)
	if err != nil {
		return nil, err
	}
	if o.Security == Plain && !isLoopback(raw.RemoteAddr()) {
		raw.Close()
		return nil, fmt.Errorf("%s: %w", o.Address, ErrNotLoopback)
	}
	c := &Conn{conn: raw, answered: map[string]error{}}
	c.stop = context.AfterFunc(ctx, func() { raw.Close() })
	if err := c.greet(dialing, o); err != nil {
		c.Close()
		return nil, errors.Join(ctx.Err(), err)
	}
	return c, nil
}

func isLoopback(a net.Addr) bool {
	tcp, ok := a.(*net.TCPAddr)
	return ok && tcp.IP.IsLoopback()
}

// timed is a connection whose every read and write has its time.
type timed struct {
	net.Conn
	patience time.Duration
}

func (t timed) Read(p []byte) (int, error) {
	if err := t.SetReadDeadline(time.Now().Add(t.patience)); err != nil {
		return 0, err
	}
	return t.Conn.Read(p)
}

func (t timed) Write(p []byte) (int, error) {
	if err := t.SetWriteDeadline(time.Now().Add(t.patience)); err != nil {
		return 0, err
	}
	return t.Conn.Write(p)
}

// over makes a connection the one that is spoken on; nothing read before is kept.
func (c *Conn) over(conn net.Conn, patience time.Duration) {
	t := timed{conn, patience}
	c.in = reader{r: bufio.NewReaderSize(t, bufferSize)}
	c.out = bufio.NewWriterSize(t, bufferSize)
}

// greet begins the conversation.
func (c *Conn) greet(ctx context.Context, o Options) error {
	if o.Security == ImplicitTLS {
		if err := c.secure(ctx, o); err != nil {
			return err
		}
	} else {
		c.over(c.conn, o.Patience)
	}
	r, err := c.in.response()
	if err != nil {
		return fmt.Errorf("the greeting: %w", err)
	}
	switch {
	case r.tag == "*" && r.name == "BYE":
		return &ByeError{r.text}
	case r.tag != "*" || r.name != "OK" && r.name != "PREAUTH":
		return fmt.Errorf("%w: a greeting of %q", ErrProtocol, r.name)
	case o.Security != StartTLS:
		c.noteCode(r.text)
		return nil
	case r.name == "PREAUTH": // forbids STARTTLS: somebody between us does not want it
		return fmt.Errorf("%w: logged in already, so that TLS cannot begin", ErrProtocol)
	}
	if err := c.command(nil, "STARTTLS"); err != nil {
		return fmt.Errorf("STARTTLS: %w", err)
	}
	if c.in.r.Buffered() > 0 { // said in the clear, meant for the time behind
		return fmt.Errorf("%w: words behind STARTTLS", ErrProtocol)
	}
	c.caps = nil
	return c.secure(ctx, o)
}

func (c *Conn) secure(ctx context.Context, o Options) error {
	config := &tls.Config{}
	if o.TLS != nil {
		config = o.TLS.Clone()
	}
	if config.ServerName == "" {
		host, _, err := net.SplitHostPort(o.Address)
		if err != nil {
			return err
		}
		config.ServerName = host
	}
	config.MinVersion = tls.VersionTLS12
	conn := tls.Client(c.conn, config)
	if err := conn.HandshakeContext(ctx); err != nil {
		return fmt.Errorf("TLS: %w", err)
	}
	c.over(conn, o.Patience)
	return nil
}

// Close ends the connection without a word.
func (c *Conn) Close() {
	c.stop()
	c.conn.Close()
}

// Logout ends the connection politely; an answer is not waited for.
func (c *Conn) Logout() {
	if _, err := c.start("LOGOUT"); err == nil {
		c.out.Flush()
	}
	c.Close()
}

// Has says whether the server offers something, in capital letters.
func (c *Conn) Has(capability string) (bool, error) {
	if c.caps == nil {
		if err := c.command(nil, "CAPABILITY"); err != nil {
			return false, fmt.Errorf("CAPABILITY: %w", err)
		}
		if c.caps == nil {
			c.caps = map[string]bool{}
		}
	}
	return c.caps[capability], nil
}

// noteCode keeps the capabilities that a status line tells.
func (c *Conn) noteCode(text string) {
	if rest, ok := cutPrefixFold(text, "[CAPABILITY "); ok {
		if list, _, ok := strings.Cut(rest, "]"); ok {
			c.noteCapabilities(strings.Fields(list))
		}
	}
}

// maxCapabilities is ten times what the most talkative server says.
const maxCapabilities = 500

func (c *Conn) noteCapabilities(list []string) {
	c.caps = map[string]bool{}
	for _, name := range list[:min(len(list), maxCapabilities)] {
		c.caps[strings.ToUpper(name)] = true
	}
}

func cutPrefixFold(s, prefix string) (rest string, ok bool) {
	if len(s) < len(prefix) || !strings.EqualFold(s[:len(prefix)], prefix) {
		return s, false
	}
	return s[len(prefix):], true
}

// start writes a command without sending it.
func (c *Conn) start(text string) (tag string, err error) {
	c.tags++
	tag = "a" + strconv.Itoa(c.tags)
	_, err = c.out.WriteString(tag + " " + text + "\r\n")
	return tag, err
}

// command says something and waits for the answer; each hears what comes before it.
// *StatusError, *ByeError, ErrProtocol, or an error of the connection.
func (c *Conn) command(each func(*response) error, text string) error {
	tag, err := c.start(text)
	if err != nil {
		return err
	}
	return c.await(tag, maxAside, each)
}

// await sends what was written and waits for the answer to a command. most bounds the
// untagged responses before it.
func (c *Conn) await(tag string, most int, each func(*response) error) error {
	if err := c.out.Flush(); err != nil {
		return err
	}
	for range most {
		if err, ok := c.answered[tag]; ok {
			delete(c.answered, tag)
			return err
		}
		r, err := c.in.response()
		if err != nil {
			return err
		}
		if err := c.hear(r, each); err != nil {
			return err
		}
	}
	return fmt.Errorf("%w: more than %d responses to one command", ErrProtocol, most)
}

// hear takes one response.
func (c *Conn) hear(r *response, each func(*response) error) error {
	switch {
	case r.tag == "+":
		return fmt.Errorf("%w: it asks for more where there is nothing", ErrProtocol)
	case r.tag != "*":
		return c.noteAnswer(r)
	}
	switch r.name {
	case "BYE":
		return &ByeError{r.text}
	case "CAPABILITY":
		list, err := c.in.rest()
		if err != nil {
			return err
		}
		c.noteCapabilities(texts(list))
		return nil
	}
	if each != nil {
		if err := each(r); err != nil {
			return err
		}
	}
	return c.in.skip()
}

// noteAnswer keeps the answer to a command.
func (c *Conn) noteAnswer(r *response) error {
	if !c.isMine(r.tag) {
		return fmt.Errorf("%w: an answer to %.20q, which nobody asked", ErrProtocol, r.tag)
	}
	switch r.name {
	case "OK":
		c.noteCode(r.text)
		c.answered[r.tag] = nil
	case "NO", "BAD":
		c.answered[r.tag] = &StatusError{r.name, r.text}
	default:
		return fmt.Errorf("%w: an answer of %.20q", ErrProtocol, r.name)
	}
	return nil
}

// isMine says whether a tag was given out. Answers are few: those not asked for are dropped with await.
func (c *Conn) isMine(tag string) bool {
	n, err := strconv.Atoi(strings.TrimPrefix(tag, "a"))
	_, again := c.answered[tag]
	return err == nil && n > 0 && n <= c.tags && !again
}

// goAhead waits for a continuation request, RFC 3501 section 7.5. Where the command is
// answered instead, that is its error.
func (c *Conn) goAhead(tag string) (text string, err error) {
	if err := c.out.Flush(); err != nil {
		return "", err
	}
	for range maxAside {
		r, err := c.in.response()
		if err != nil {
			return "", err
		}
		if r.tag == "+" {
			return r.text, nil
		}
		if err := c.hear(r, nil); err != nil {
			return "", err
		}
		if err, ok := c.answered[tag]; ok {
			delete(c.answered, tag)
			if err == nil {
				err = errContent
			}
			return "", err
		}
	}
	return "", fmt.Errorf("%w: no continuation after %d responses", ErrProtocol, maxAside)
}

// IsRefusal says whether an error is the server's answer to one command, so that the
// connection can go on.
func IsRefusal(err error) bool {
	_, ok := errors.AsType[*StatusError](err)
	return ok
}

// ended makes an end where none should be an error of its own.
func ended(err error) error {
	if errors.Is(err, io.EOF) {
		return fmt.Errorf("the server closed the connection: %w", io.ErrUnexpectedEOF)
	}
	return err
}
