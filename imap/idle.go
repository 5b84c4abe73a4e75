package imap

import (
	"errors"

	"mailstead/tls/serve"
)

// idle is RFC 2177: until the client says DONE, it is told at once of what happens.
func (s *session) idle(*request) (reply, error) {
	s.dec.End()
	if err := s.dec.Err(); err != nil {
		return reply{}, err
	}
	stop := s.watch()
	defer stop()
	s.enc.Text("+ idling\r\n")
	s.conn.SetWaiting(true, s.options.IdleTimeout)
	defer s.conn.SetWaiting(false, s.options.CommandTimeout)
	for {
		// What came before the watch began, and before each wait, is told first; the
		// output is flushed by the wait.
		s.conn.ClearInterrupt()
		if s.server.front.Closing() {
			return reply{}, serve.ErrInterrupted
		}
		if err := s.tellIdling(); err != nil {
			return reply{}, err
		}
		switch err := s.dec.Next(); {
		case err == nil:
			return s.idleDone()
		case !errors.Is(err, serve.ErrInterrupted):
			return reply{}, err
		}
	}
}

// tellIdling tells what happened; to a client that said NOTIFY what that asked for (RFC 5465
// section 4).
func (s *session) tellIdling() error {
	if s.notify != nil {
		return s.tellNotified(true)
	}
	err := s.tellNews(newsAll)
	s.tellNotesChanged()
	s.tellProgress()
	return err
}

// idleDone checks the line that ended IDLE.
func (s *session) idleDone() (reply, error) {
	if !s.dec.Keyword("DONE") {
		s.dec.Fail("expected DONE")
	}
	s.dec.End()
	return reply{}, s.dec.Err()
}

// watch interrupts the session's waiting whenever something of the selected mailbox, or
// of the account where the client is told of entries, became durable, until stop is called.
func (s *session) watch() (stop func()) {
	unwatch, unfollow := func() {}, func() {}
	if s.selected != nil {
		unwatch = s.selected.mailbox.WatchFunc(s.conn.Interrupt)
	}
	if s.metadata {
		unfollow = s.options.Store.WatchAccountFunc(s.account.ID, s.conn.Interrupt)
	}
	return func() {
		unwatch()
		unfollow()
	}
}
