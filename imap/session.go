package imap

import (
	"cmp"
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"time"

	goimap "github.com/emersion/go-imap/v2"

	"mailstead/imap/wire"
	"mailstead/mailbox/directory"
	"mailstead/tls/serve"
)

// errBye ends a session after a BYE that has been written.
var errBye = errors.New("imap: session ended with BYE")

// session is one client's connection. It belongs to the goroutine of serve; only
// conn.Interrupt is called from elsewhere, and conn.ahead reads beside it.
//
// Output is flushed before each read of the connection (so not while pipelined
// commands wait in the buffer), when the buffer is full, before a continuation
// request, and after each batch of updates in IDLE.
type session struct {
	server  *Server
	options *Options
	log     *slog.Logger
	conn    *conn
	dec     *wire.Decoder
	enc     *wire.Encoder
	ctx     context.Context // of the store's work; ends when the session is cut off

	state      state
	account    directory.Account // once logged in
	client     string            // what the mail program says of itself by ID; "" = nothing
	hidden     []string          // capabilities that its clients are not to see, in upper case
	selected   *selected         // in stateSelected
	condstore  bool              // the client knows MODSEQ (RFC 7162 section 3.1)
	qresync    bool              // the client knows VANISHED (RFC 7162 section 3.2)
	uidOnly    bool              // the client knows no sequence numbers (RFC 9586)
	modSeqs    bool              // it was told of mod-sequences since the last progress
	vanished   bool              // it was told of messages that are gone since then
	rev2       bool              // IMAP4rev2 is enabled (RFC 9051)
	utf8Accept bool              // UTF8=ACCEPT is enabled (RFC 6855)
	utf8       bool              // texts are sent in UTF-8: either of the two is enabled
	notify     *notification     // what NOTIFY asked for; nil = it was never said
	metadata   bool              // METADATA is enabled (RFC 5464)
	notesKnown *notesKnown       // of mailboxes' and the server's entries; nil = the client is not told of them
	bad        int               // bad commands in a row, before login all
	farewell   error             // ends the session after the present command, unanswered
}

func newSession(s *Server, c *serve.Conn) *session {
	ss := &session{server: s, options: s.options.Load(), ctx: c.Context(), conn: newConn(c)}
	ss.log = ss.options.Logger.With("remote", c.Remote())
	ss.enc = wire.NewEncoder(ss.conn)
	ss.dec = wire.NewDecoder(ss.conn, wire.Limits{}, wire.Hooks{BeforeRead: ss.beforeRead, Continue: ss.goAhead})
	ss.begin()
	return ss
}

// serve runs the session to its end.
func (s *session) serve() {
	defer s.end()
	if err := s.conn.Handshake(); err != nil {
		s.log.Debug("imap: TLS handshake failed", "error", err)
		return
	}
	s.enc.Text("* OK [CAPABILITY ", s.capabilities(), "] mailstead ready\r\n")
	start := time.Now()
	err := s.commandLoop()
	if bye := byeText(err); bye != "" {
		s.enc.Text("* BYE ", bye, "\r\n")
	}
	s.enc.Flush()
	level := slog.LevelInfo
	if s.account.Name == "" {
		level = slog.LevelDebug // scanners
	}
	s.log.Log(s.ctx, level, "imap: session ended", "account", s.account.Name, "lasted", time.Since(start), "reason", reason(err))
}

// end gives back what the session holds, also after a panic.
func (s *session) end() {
	s.conn.ahead.stop()
	s.forget()
	s.conn.endCompression()
	s.dec.Reset(nil)
	s.enc.Reset(nil)
}

// reason says for the log why a session ended.
func reason(err error) string {
	switch {
	case err == nil:
		return "logout"
	case errors.Is(err, io.EOF):
		return "closed by the client"
	}
	return err.Error()
}

// byeText says why the server ends the session, "" if it does not end it or has
// said so.
func byeText(err error) string {
	switch {
	case errors.Is(err, serve.ErrInterrupted):
		return "[UNAVAILABLE] the server is shutting down"
	case errors.Is(err, errTooManyBad):
		return "too many bad commands"
	case errors.Is(err, wire.ErrOutOfStep):
		return "[LIMIT] the refused command is too large to skip"
	case errors.Is(err, os.ErrDeadlineExceeded):
		return "idle for too long"
	}
	return ""
}

var errTooManyBad = errors.New("imap: too many bad commands")

// commandLoop serves one command after another; its error says why it ended.
func (s *session) commandLoop() error {
	for s.state != stateLogout {
		if err := s.await(); err != nil && !errors.Is(err, wire.ErrLineTooLong) {
			return err
		}
		r := parseCommand(s.dec)
		rep, err := s.runCommand(r)
		if err := s.finish(r, rep, err); err != nil {
			return err
		}
	}
	return nil
}

// await reads the first line of the next command.
func (s *session) await() error {
	s.conn.SetWaiting(true, s.options.IdleTimeout)
	defer s.conn.SetWaiting(false, s.options.CommandTimeout)
	for !s.server.front.Closing() {
		if s.notify != nil {
			s.conn.ClearInterrupt()
			if err := s.tellNotified(false); err != nil {
				return err
			}
		}
		err := s.dec.Next()
		if !errors.Is(err, serve.ErrInterrupted) {
			return err
		}
		s.conn.ClearInterrupt() // what it was about is looked for at the end of each command
	}
	return serve.ErrInterrupted
}

// runCommand checks whether the command may be said now, and runs it.
func (s *session) runCommand(r *request) (reply, error) {
	if err := s.dec.Err(); err != nil {
		return reply{}, err
	}
	if r.states&s.state == 0 {
		return reply{}, bad("%s is not allowed in the state %q", r.fullName(), s.state)
	}
	if s.rev2 && removedCommands[r.name] {
		return reply{}, bad("%s is not in IMAP4rev2", r.name)
	}
	if s.uidOnly && r.numbers() {
		return reply{}, errUIDRequired
	}
	if s.selected != nil {
		if err := s.followRights(); err != nil {
			return reply{}, err
		}
	}
	return r.run(s, r)
}

// finish writes the tagged reply and what comes before it. An error ends the session.
func (s *session) finish(r *request, rep reply, err error) error {
	switch {
	case s.conn.failure != nil:
		return s.conn.failure
	case s.enc.Err() != nil:
		return s.enc.Err()
	case s.farewell != nil:
		return s.farewell
	case errors.Is(err, errAnswered):
		return nil
	case errors.Is(err, errBye), errors.Is(err, serve.ErrInterrupted):
		return err
	}
	var lost error
	if err != nil {
		if lost = s.dec.Discard(); s.conn.failure != nil {
			return lost
		}
	}
	if err := s.tellHappened(r.mayTell(), r.expunges); err != nil {
		return err
	}
	s.tellNotesChanged()
	if r.expunges && err == nil && rep.Code == "" {
		rep.Code = s.progress() // RFC 7162 section 3.2.7 wants it in the tagged reply
	}
	s.tellProgress()
	if err != nil {
		return cmp.Or(s.refuse(r, err), lost)
	}
	s.tagged(r, rep)
	return nil
}

// tagged writes the reply of a command that succeeded. A client that is logged in and
// says something right begins anew with its mistakes: one that asks once an hour for what
// is not there is no attacker.
func (s *session) tagged(r *request, rep reply) {
	if s.state != stateGreeted {
		s.bad = 0
	}
	s.enc.Text(r.tag, " OK ")
	if rep.Code != "" {
		s.enc.Text("[", rep.Code, "] ")
	}
	if rep.Text == "" {
		s.enc.Text(r.fullName(), " completed\r\n")
		return
	}
	s.enc.Text(rep.Text, "\r\n")
}

// refuse writes the reply of a command that failed.
func (s *session) refuse(r *request, err error) error {
	no := replyTo(err)
	if no.Code == goimap.ResponseCodeServerBug {
		s.log.Error("imap: command failed", "account", s.account.Name, "command", r.fullName(), "error", err)
	}
	tag := r.tag
	if tag == "" {
		tag = "*" // no tag could be read (RFC 3501 section 7.1.3)
	}
	s.enc.Text(tag, " ", string(no.Type), " ")
	if no.Code != "" {
		s.enc.Text("[", string(no.Code), "] ")
	}
	s.enc.Text(no.Text, "\r\n")
	if no.Type != goimap.StatusResponseTypeBad {
		return nil
	}
	s.bad++
	if s.bad >= maxBad || s.state == stateGreeted && s.bad >= maxBadBeforeLogin {
		return errTooManyBad
	}
	return nil
}

// beforeRead writes out what waits, and gives back what only a command needs: the client
// may be silent for half an hour.
func (s *session) beforeRead() error {
	if s.selected != nil {
		s.selected.rows = nil
	}
	return s.enc.Flush()
}

// goAhead asks for a synchronising literal.
func (s *session) goAhead() error {
	s.enc.Text("+ go ahead\r\n")
	return s.enc.Flush()
}
