package imap

import (
	"time"

	"mailstead/imap/wire"
)

// unauthenticate is RFC 8437: everything of the login is forgotten, and the session is
// as it was when it began. Only TLS stays. NO is not permitted (section 3), since a
// client may have said its next AUTHENTICATE already, so where the server cannot go back
// the session ends.
func (s *session) unauthenticate(r *request) (reply, error) {
	s.dec.End()
	if err := s.dec.Err(); err != nil {
		return reply{}, err
	}
	buffered := s.dec.Buffered() > 0 && s.conn.compressed() // the client did not end its compression here
	s.forget()
	if buffered || !s.conn.LoggedOut() {
		s.enc.Text("* BYE [UNAVAILABLE] log in anew\r\n")
		return reply{}, errBye
	}
	s.tagged(r, reply{Text: "not authenticated any more"})
	if err := s.enc.Flush(); err != nil { // the reply is the last that is compressed
		return reply{}, err
	}
	if !s.conn.decompress() {
		return reply{}, errBye
	}
	s.begin()
	return reply{}, errAnswered
}

// begin makes the session one of somebody who is not logged in.
func (s *session) begin() {
	*s = session{server: s.server, options: s.options, log: s.log, conn: s.conn, dec: s.dec, enc: s.enc, ctx: s.ctx, state: stateGreeted}
	s.conn.ahead.most.Store(maxStrangersReadAhead)
	s.dec.SetUTF8(false)
	s.enc.SetUTF8(false)
	s.conn.SetDeadline(time.Now().Add(s.options.LoginTimeout))
	s.dec.SetLimits(wire.Limits{Line: wire.LoginLine, Literal: wire.LoginLiteral, Skip: wire.LoginSkip})
}

// forget gives back what the session holds for the account that is logged in.
func (s *session) forget() {
	s.endNotify()
	s.deselect()
}
