package smtp

import (
	"slices"

	"mailstead/smtp/mailauth"
)

// watches reports whether the conduct of this session's client is watched: that of a stranger
// who is judged, but not of the operator's own hosts.
func (s *session) watches() bool {
	return s.server.ledger != nil && s.remote.IsValid() && !s.server.o.Checks.trusts(s.remote) &&
		!slices.ContainsFunc(s.server.o.Checks.Own, s.within)
}

// welcome lets a client in that is not watched, or that has not done too much. It
// says whether leave has to be called at the end.
func (s *session) welcome() bool {
	tooMany := s.server.ledger.enter(s.remote, s.server.o.Now())
	if tooMany == "" {
		s.watched = true
		return true
	}
	s.log.Info("smtp: connection refused", "too many", tooMany)
	s.write(bye(421, "4.7.0", "Too many "+tooMany+" from your address"))
	s.out.Flush()
	return false
}

// goodbye is the end of a session that is watched.
func (s *session) goodbye() {
	if s.watched {
		s.server.ledger.leave(s.remote)
	}
}

// listen waits for a moment before the greeting. Whoever does not (RFC 5321 section
// 4.3.1) is no mail server: what follows is judged with that in mind. An address that was
// polite before does not have to wait again.
func (s *session) listen() {
	l := s.server.ledger
	if !s.watched || l.isPolite(s.remote) {
		return
	}
	s.conn.SetWaiting(true, s.server.limits.GreetDelay)
	defer s.conn.SetWaiting(false, s.server.limits.Idle)
	p, _ := s.in.window() // it ends with the delay; a lost connection shows at the next read
	s.early = len(p) > 0
	l.greeted(s.remote, !s.early, s.server.o.Now())
}

// tooManyMessages holds a stranger to the limit of messages, before one is sent in vain.
func (s *session) tooManyMessages() error {
	if !s.watched || s.server.ledger.note(s.remote, sending, s.server.o.Now()) <= 1 {
		return nil
	}
	v := mailauth.Judge(mailauth.Facts{Client: s.remote, Excess: excess[sending]}, mailauth.Rules{})
	return say(v.Code, v.Enhanced, v.Text)
}

// guessed counts an unknown recipient. Answers to whoever asks for many are slow,
// and then there are none; false ends the session.
func (s *session) guessed() bool {
	if s.unknown++; s.unknown >= s.server.limits.UnknownRecipients {
		return false
	}
	if !s.watched {
		return true
	}
	used := s.server.ledger.note(s.remote, guessing, s.server.o.Now())
	return used <= harvestShare && (used <= 1 || sleep(s.ctx(), s.server.limits.ErrorDelay))
}

// erred counts a reply of 5xx.
func (s *session) erred() {
	if s.watched {
		s.server.ledger.note(s.remote, erring, s.server.o.Now())
	}
}

// harvests reports whether the client has asked for many unknown recipients of late.
func (s *session) harvests() bool {
	return s.watched && s.server.ledger.used(s.remote, guessing, s.server.o.Now()) > 1
}
