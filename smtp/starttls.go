package smtp

import "time"

// startTLS is RFC 3207.
func startTLS(s *session, arg []byte) (reply, error) {
	switch {
	case s.server.o.TLSConfig == nil:
		return say(502, "5.5.1", "TLS is not offered"), nil
	case s.tls != nil:
		return say(503, "5.5.1", "TLS is on already"), nil
	case s.account.ID != 0:
		return say(503, "5.5.1", "Too late for TLS: you are logged in"), nil
	case len(arg) > 0:
		return say(501, "5.5.4", "STARTTLS has no parameters"), nil
	}
	r := say(220, "2.0.0", "Go ahead")
	r.then = (*session).upgrade
	return r, nil
}

// upgrade makes the connection a TLS one and forgets all that was said before,
// including what is already buffered (RFC 3207 section 4.2). After a failed
// handshake the connection ends; it never goes on in clear.
func (s *session) upgrade() bool {
	s.drop()
	s.helo, s.esmtp = "", false
	s.in.reset()
	s.conn.SetDeadline(time.Time{}) // a handshake has a bound of its own
	err := s.conn.StartTLS(s.server.o.TLSConfig)
	s.conn.SetDeadline(s.end)
	return s.secured(err)
}
