package smtp

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"time"

	"mailstead/mailbox/directory"
	"mailstead/tls/serve"
)

// outputBuffer holds the replies to one pipelined group.
const outputBuffer = 2048

// session is one connection. What belongs to one message is in transaction.
type session struct {
	server *manner
	conn   *serve.Conn
	in     *input
	out    *bufio.Writer
	log    *slog.Logger
	remote netip.Addr
	end    time.Time // of a stranger's session; zero after login

	watched bool // the client's conduct is counted
	early   bool // it spoke before it was greeted

	tls     *tls.ConnectionState // nil without
	helo    string               // what the client calls itself; "" before HELO and EHLO
	names   []string             // ours, since then; nil while nobody asked
	esmtp   bool                 // it said EHLO
	account directory.Account    // zero before login
	tx      *transaction         // nil between messages

	mistakes     int // replies of 5xx so far
	idling       int // commands since the last message that brought none forward
	unknown      int // recipients that are not here
	authFailures int
}

// lostError is the failure of a connection: there is nobody to reply to.
type lostError struct{ err error }

func (e *lostError) Error() string { return e.err.Error() }
func (e *lostError) Unwrap() error { return e.err }

func newSession(s *manner, conn *serve.Conn) *session {
	c := &session{
		server: s, conn: conn, remote: conn.Remote(),
		out: bufio.NewWriterSize(conn, outputBuffer),
		log: s.o.Logger.With("remote", conn.Remote()),
		end: time.Now().Add(s.limits.Session),
	}
	line := s.limits.CommandLine
	if s.o.Role == Submission {
		line = max(line, s.limits.AuthLine)
	}
	c.in = newInput(conn, line, c.out.Flush)
	return c
}

// serve is the life of a session. Replies leave before each read that waits.
func (s *session) serve() {
	defer s.in.release()
	defer s.drop()
	defer s.apologize()
	if !s.secured(s.conn.Handshake()) {
		return
	}
	s.conn.SetDeadline(s.end)
	if s.watches() && !s.welcome() {
		return
	}
	defer s.goodbye()
	s.listen()
	s.write(say(220, "", s.server.o.Hostname+" ESMTP mailstead"))
	for s.exchange() {
	}
	s.out.Flush()
}

// apologize says a last word when a panic ends the session.
func (s *session) apologize() {
	if p := recover(); p != nil {
		s.write(bye(421, "4.3.0", "Local trouble, try again later"))
		s.out.Flush()
		panic(p) // the owner of the connections logs it
	}
}

// secured notes how a handshake ended.
func (s *session) secured(err error) bool {
	if err != nil {
		s.log.Info("smtp: TLS handshake failed", "err", fmt.Sprintf("%.200q", err.Error()))
		return false
	}
	s.tls = s.conn.TLS()
	return true
}

// exchange reads one command and replies; false ends the session.
func (s *session) exchange() bool {
	line, err := s.command()
	var r reply
	if err == nil {
		r, err = s.run(line)
	}
	if err != nil {
		if lost, ok := errors.AsType[*lostError](err); ok {
			return s.lost(lost)
		}
		r = s.refusal(err)
	}
	return s.speak(r)
}

// refusal is the reply for an error; what the peer is not told goes to the log.
func (s *session) refusal(err error) reply {
	r, known := replyTo(err)
	if !known {
		s.log.Error("smtp: command failed", "err", err)
	}
	return r
}

// speak sends r, counts mistakes and does what follows the reply.
func (s *session) speak(r reply) bool {
	if r.code >= 500 {
		s.erred()
		if s.mistakes++; s.mistakes >= s.server.limits.MaxErrors {
			r = bye(421, "4.7.0", "Too many errors")
		} else if s.mistakes > s.server.limits.Errors && !sleep(s.ctx(), s.server.limits.ErrorDelay) {
			return false
		}
	}
	s.write(r)
	if r.then != nil {
		return s.out.Flush() == nil && r.then(s)
	}
	return !r.last
}

// write puts a reply into the buffer: it leaves with others of its group, when
// no input waits (RFC 2920 section 3.2).
func (s *session) write(r reply) {
	s.out.Write(r.append(s.out.AvailableBuffer()))
}

// ctx is of the work done for the session.
func (s *session) ctx() context.Context { return s.conn.Context() }

// command reads a command line.
func (s *session) command() ([]byte, error) {
	if s.tx != nil {
		return s.prompt(len(s.in.small))
	}
	if s.server.conns.Closing() {
		return nil, &lostError{serve.ErrInterrupted}
	}
	s.conn.SetWaiting(true, s.server.limits.Idle)
	defer s.conn.SetWaiting(false, s.server.limits.Idle)
	return s.line(len(s.in.small))
}

// prompt waits for a line in the middle of something. 421 could be said here, too (RFC 5321 section 3.8), but a client that
// goes on at once comes to its end while the server stops.
func (s *session) prompt(limit int) ([]byte, error) {
	s.conn.SetWaiting(true, s.server.limits.Idle)
	defer s.conn.SetWaiting(false, s.server.limits.Idle)
	line, err := s.line(limit)
	if !errors.Is(err, serve.ErrInterrupted) {
		return line, err
	}
	s.conn.SetWaiting(false, min(s.server.limits.LastWait, s.server.limits.Idle))
	line, err = s.line(limit)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = &lostError{serve.ErrInterrupted}
	}
	return line, err
}

// line reads a line; the connection's own failures come as *lostError.
func (s *session) line(limit int) ([]byte, error) {
	line, err := s.in.line(limit)
	switch err {
	case nil, errLineTooLong, errLineEnd, errFlood:
		return line, err
	}
	return nil, &lostError{err}
}

// window waits for octets of a message.
func (s *session) window() ([]byte, error) {
	p, err := s.in.window()
	if err != nil {
		return nil, &lostError{err}
	}
	return p, nil
}

// lost says the last words to a client that is still there.
func (s *session) lost(e *lostError) bool {
	switch {
	case errors.Is(e, serve.ErrInterrupted):
		return s.speak(bye(421, "4.3.2", s.server.o.Hostname+" is shutting down"))
	case errors.Is(e, os.ErrDeadlineExceeded):
		return s.speak(bye(421, "4.4.2", s.server.o.Hostname+" waited too long"))
	}
	s.log.Debug("smtp: connection lost", "err", e.err)
	return false
}

// submission reports whether this is a port for users.
func (s *session) submission() bool { return s.server.o.Role == Submission }

// drop ends the transaction, if there is one.
func (s *session) drop() {
	if s.tx != nil {
		s.noteAbandoned()
	}
	if s.tx != nil && s.tx.message != nil {
		s.tx.message.abort()
	}
	if s.tx != nil && s.tx.examination != nil {
		s.tx.examination.close()
	}
	s.tx = nil
}

// sleep waits for d; false when ctx ended before.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
