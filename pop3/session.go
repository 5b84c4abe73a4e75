package pop3

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"syscall"
	"time"

	"mailstead/mailbox/directory"
	"mailstead/tls/serve"
)

// session is one client's connection.
//
// Output is flushed before each read of the connection (so not while pipelined
// commands wait in the buffer) and when the buffer is full.
type session struct {
	server  *Server
	options *Options
	log     *slog.Logger
	conn    *serve.Conn
	in      *lineReader
	out     *output

	state    state
	user     string // said by USER
	account  directory.Account
	drop     *maildrop // in stateTransaction
	utf8     bool      // the client understands UTF-8 headers (RFC 6856)
	errors   int       // refused commands so far
	unknown  int       // unknown ones before login
	quitting bool
}

// session runs a connection from greeting to end.
func (s *Server) session(c *serve.Conn) {
	ss := &session{server: s, options: s.options.Load(), conn: c, state: stateAuthorization}
	ss.log = ss.options.Logger.With("remote", c.RemoteAddr().String())
	ss.out = newOutput(c)
	defer ss.out.release()
	ss.in = newLineReader(c, ss.out.flush)
	defer ss.leave()
	c.SetDeadline(time.Now().Add(ss.options.LoginTimeout))
	c.SetWaiting(true, ss.options.IdleTimeout)
	if err := c.Handshake(); err != nil {
		ss.log.Debug("pop3: TLS handshake failed", "error", err)
		return
	}
	ss.out.line("+OK mailstead ready")
	err := ss.commandLoop()
	if goodbye := goodbyeText(err); goodbye != "" {
		ss.out.line("-ERR " + goodbye)
	}
	ss.out.flush()
	ss.log.Debug("pop3: session ended", "account", ss.account.Name, "reason", err)
}

// leave gives the mailbox back.
func (s *session) leave() {
	if s.drop != nil {
		s.drop.close()
	}
}

var errTooManyErrors = errors.New("pop3: too many refused commands")

// goodbyeText says why the server ends the session, "" where nobody listens.
func goodbyeText(err error) string {
	var timeout net.Error
	switch {
	case errors.Is(err, serve.ErrInterrupted):
		return "[SYS/TEMP] the server is shutting down"
	case errors.Is(err, errTooManyErrors):
		return "too many errors"
	case errors.As(err, &timeout) && timeout.Timeout():
		return "idle for too long"
	}
	return ""
}

// commandLoop serves one command after another; its error says why it ended.
func (s *session) commandLoop() error {
	for !s.quitting {
		line, err := s.in.line(maxLine)
		if err != nil && !errors.Is(err, errLineTooLong) {
			return err
		}
		if err == nil {
			err = s.command(line)
		}
		if err := s.answer(err); err != nil {
			return err
		}
	}
	return nil
}

// command finds the command of a line and runs it.
func (s *session) command(line []byte) error {
	name, args, _ := bytes.Cut(line, []byte(" "))
	for i := range commands {
		c := &commands[i]
		if !strings.EqualFold(c.name, string(name)) {
			continue
		}
		if c.states&s.state == 0 {
			return refuse("%s is not for the %s state", c.name, s.state)
		}
		return c.run(s, string(args))
	}
	if s.state == stateAuthorization {
		s.unknown++
	}
	return refuse("unknown command")
}

// answer writes the error of a command as its reply. An error of its own ends
// the session.
func (s *session) answer(err error) error {
	if err == nil || isConnectionError(err) {
		return err
	}
	text, known := replyTo(err)
	if !known {
		s.log.Error("pop3: command failed", "account", s.account.Name, "error", err)
	}
	s.out.line("-ERR " + text)
	if s.errors++; s.errors >= maxErrors || s.unknown >= maxUnknown {
		return errTooManyErrors
	}
	return nil
}

// isConnectionError reports whether nothing more can be read or written. An
// error of the network is a net.Error; so is, by its methods, a bare errno of
// the disk, which the client is to be told of.
func isConnectionError(err error) bool {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, serve.ErrInterrupted) || errors.Is(err, errHandshake) {
		return true
	}
	network, ok := errors.AsType[net.Error](err)
	_, disk := network.(syscall.Errno)
	return ok && !disk
}

// errHandshake ends the session: after a failed STLS nothing may follow in the clear.
var errHandshake = errors.New("pop3: TLS handshake failed")

// ok writes a positive reply.
func (s *session) ok(format string, args ...any) error {
	s.out.line("+OK " + fmt.Sprintf(format, args...))
	return nil
}
