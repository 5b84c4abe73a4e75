// Package mailboxtest holds what the tests of several packages share. Its
// dialogue player runs one text format for every line protocol of the server:
// SMTP, IMAP, POP3 and ManageSieve. No shipped code imports it.
//
// A dialogue file is read line by line; blank lines and lines that begin with
// # are skipped. A digit in front names the connection (1 to 9, without one it
// is connection 1), which is dialled at its first use, and anew after close and
// hangup.
//
//	1S: ** OK *              the server must say this line: * matches any run of
//	                         characters, ** is a literal star
//	1S: a OK [UID $uid] *    $name takes a run without white space at its first use
//	                         and must repeat later; $$ is a literal dollar
//	1S: ...                  skip lines until the next expectation matches
//	1C: a LOGIN $user pass   sent with CRLF; variables are put in, nothing else
//	1C~ x\r\n\x00\t\\        sent as written, with the escapes \r \n \t \xNN \\
//	1starttls                the client starts TLS now
//	1compress                both sides compress from now on (RFC 4978)
//	1close                   the server must have closed, without another word
//	1hangup                  the client closes
//
// In C:, C~ and S: lines $b64(TEXT) is the base64 of TEXT (escapes, variables
// and \) are known in it; SASL PLAIN is $b64(\x00user\x00password)) and
// $repeat(N,TEXT) is TEXT N times, for overlong lines.
//
// One white space after the colon or the tilde belongs to the format, the rest
// of the line to the protocol. Lines of the server end at CRLF, so a literal's
// lines are compared one by one and a bare CR or LF is part of its line. A name
// that is taken once and never used again fails the dialogue: it would be a
// wildcard in disguise, most often an IMAP keyword whose $ was not doubled.
package mailboxtest

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// defaultTimeout is how long the server may take for what is expected of it: a
// machine under load takes seconds for anything.
const defaultTimeout = time.Minute

// Player plays dialogue files against one server.
type Player struct {
	// Dial opens connection conn (1 to 9); an implicit TLS one comes back with
	// its TLS already wrapped around it. Required.
	Dial func(conn int) (net.Conn, error)
	// Vars are the variables known from the start, without their $. They are
	// not changed.
	Vars map[string]string
	// TLS is the client's side of starttls lines; nil makes those lines an error.
	TLS *tls.Config
	// Timeout bounds each expectation and each write; 0 means a minute.
	Timeout time.Duration
}

// Play plays one file with the given connections and variables. Files with
// starttls lines need a Player of their own.
func Play(t testing.TB, file string, dial func(conn int) (net.Conn, error), vars map[string]string) {
	t.Helper()
	Player{Dial: dial, Vars: vars}.Play(t, file)
}

// PlayDir plays every file that matches glob in a subtest named after the file.
// setup is called once for each of them and returns the player of that file,
// most often with a server that nobody has talked to. No match is a failure.
func PlayDir(t *testing.T, glob string, setup func(t *testing.T) Player) {
	t.Helper()
	files, err := filepath.Glob(glob)
	if err != nil {
		t.Fatal(err)
	}
	if len(files) == 0 {
		t.Fatalf("no dialogue matches %s", glob)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), filepath.Ext(file))
		t.Run(name, func(t *testing.T) { setup(t).Play(t, file) })
	}
}

// Play plays one file and ends the test with the place and both sides' words at
// the first thing that differs. All connections are closed when it returns.
func (p Player) Play(t testing.TB, file string) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.play(file, string(text)); err != nil {
		t.Fatal(err)
	}
}

// play runs the whole text and returns the first difference.
func (p Player) play(file, text string) error {
	if p.Timeout == 0 {
		p.Timeout = defaultTimeout
	}
	steps, err := parseScript(file, text, p.Vars)
	if err != nil {
		return err
	}
	g := &game{Player: p, file: file, vars: maps.Clone(p.Vars), conns: map[int]*peer{}}
	if g.vars == nil {
		g.vars = map[string]string{}
	}
	defer g.closeAll()
	for _, s := range steps {
		if err := g.do(s); err != nil {
			return err
		}
	}
	return g.unansweredWrites()
}

// game is one file being played.
type game struct {
	Player
	file  string
	vars  map[string]string
	conns map[int]*peer
}

func (g *game) do(s step) error {
	c, err := g.conn(s)
	if err != nil {
		return err
	}
	switch s.kind {
	case stepExpect:
		return g.expect(c, s)
	case stepSkip:
		c.skipping = true
	case stepSend:
		return g.send(c, s)
	case stepStartTLS:
		return g.startTLS(c, s)
	case stepCompress:
		return g.compress(c, s)
	case stepClosed:
		return g.expectClosed(c, s)
	case stepHangup:
		return g.drop(c, s)
	}
	return nil
}

// conn returns the step's connection and dials it at its first use.
func (g *game) conn(s step) (*peer, error) {
	if c := g.conns[s.conn]; c != nil {
		return c, nil
	}
	nc, err := g.Dial(s.conn)
	if err != nil {
		return nil, g.fail(s, "dial: %v", err)
	}
	c := newPeer(nc)
	g.conns[s.conn] = c
	return c, nil
}

func (g *game) expect(c *peer, s step) error {
	var skipped []string
	deadline := time.Now().Add(g.Timeout)
	for {
		line, err := c.readLine(deadline)
		if err != nil {
			return g.mismatch(s, c, describe(err, line, g.Timeout), skipped)
		}
		matched, err := s.pattern.match(line, g.vars)
		if err != nil {
			return g.fail(s, "%v", err)
		}
		if matched {
			c.skipping = false
			return nil
		}
		if !c.skipping {
			return g.mismatch(s, c, fmt.Sprintf("%q", line), nil)
		}
		skipped = append(skipped, line)
	}
}

// expectClosed wants the end of the connection. Lines before it are allowed
// only after a skip.
func (g *game) expectClosed(c *peer, s step) error {
	var skipped []string
	deadline := time.Now().Add(g.Timeout)
	for {
		line, err := c.readLine(deadline)
		switch {
		case err == nil && c.skipping:
			skipped = append(skipped, line)
		case err == nil:
			return g.mismatch(s, c, fmt.Sprintf("%q", line), nil)
		case line != "" || errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, errLongLine):
			return g.mismatch(s, c, describe(err, line, g.Timeout), skipped)
		default:
			return g.drop(c, s)
		}
	}
}

// drop ends a connection; the next line of its number dials anew.
func (g *game) drop(c *peer, s step) error {
	delete(g.conns, s.conn)
	if err := c.Close(); err != nil && s.kind == stepHangup {
		return g.fail(s, "hang up: %v", err)
	}
	return nil
}

// send writes the step's bytes. A failed write is not judged here: a server may
// answer and close while a long line is still on its way, and the next
// expectation is the better judge of that.
func (g *game) send(c *peer, s step) error {
	data, err := s.pattern.text(g.vars)
	if err != nil {
		return g.fail(s, "%v", err)
	}
	if err := c.SetWriteDeadline(time.Now().Add(g.Timeout)); err != nil {
		return g.fail(s, "send: %v", err)
	}
	if _, err := io.WriteString(c, data); err != nil && c.writeErr == nil {
		c.writeErr = g.fail(s, "send: %v", err)
	}
	return nil
}

func (g *game) startTLS(c *peer, s step) error {
	if g.TLS == nil {
		return g.fail(s, "the player has no TLS configuration")
	}
	if n := c.in.Buffered(); n > 0 {
		early, _ := c.in.Peek(n)
		return g.fail(s, "the server speaks before the TLS handshake: %q", early)
	}
	secure := tls.Client(c.Conn, g.TLS)
	if err := secure.SetDeadline(time.Now().Add(g.Timeout)); err != nil {
		return g.fail(s, "starttls: %v", err)
	}
	if err := secure.Handshake(); err != nil {
		return g.fail(s, "starttls: %v", err)
	}
	g.conns[s.conn] = newPeer(secure)
	return nil
}

func (g *game) compress(c *peer, s step) error {
	if n := c.in.Buffered(); n > 0 {
		early, _ := c.in.Peek(n)
		return g.fail(s, "the server speaks before it compresses: %q", early)
	}
	g.conns[s.conn] = newPeer(newCompressed(c.Conn))
	return nil
}

// unansweredWrites returns a write that failed and that no later expectation
// has judged.
func (g *game) unansweredWrites() error {
	for _, c := range g.conns {
		if c.writeErr != nil {
			return c.writeErr
		}
	}
	return nil
}

func (g *game) closeAll() {
	for _, c := range g.conns {
		c.Close()
	}
}

func (g *game) fail(s step, format string, args ...any) error {
	return fmt.Errorf("%s:%d: connection %d: %w", g.file, s.line, s.conn, fmt.Errorf(format, args...))
}

// mismatch says what was expected, what came, what was skipped on the way and
// whether a write had failed before.
func (g *game) mismatch(s step, c *peer, got string, skipped []string) error {
	var b strings.Builder
	fmt.Fprintf(&b, "the server said something else\n\texpected: %s\n\tgot:      %s", s.describe(g.vars), got)
	if c.skipping {
		fmt.Fprintf(&b, "\n\tskipped %d lines", len(skipped))
	}
	for _, line := range skipped {
		fmt.Fprintf(&b, "\n\t\t%q", line)
	}
	if c.writeErr != nil {
		fmt.Fprintf(&b, "\n\tbefore that: %v", c.writeErr)
	}
	return g.fail(s, "%s", b.String())
}

// describe turns a failed read into what the server did.
func describe(err error, partial string, timeout time.Duration) string {
	what := err.Error()
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		what = fmt.Sprintf("nothing within %v", timeout)
	case errors.Is(err, io.EOF):
		what = "the connection was closed"
	}
	if partial != "" {
		return fmt.Sprintf("%q without CRLF, then %s", partial, what)
	}
	return what
}
