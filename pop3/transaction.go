package pop3

import "fmt"

func (s *session) stat(string) error {
	d := s.drop
	return s.ok("%d %d", len(d.messages)-d.deleted, d.size)
}

// list is LIST, of one message or of all.
func (s *session) list(arg string) error {
	return s.listing(arg, func(m *message) { s.out.number(m.size) })
}

// uidl is UIDL: UIDVALIDITY and UID, which are never given out twice.
func (s *session) uidl(arg string) error {
	return s.listing(arg, func(m *message) {
		s.out.number(int64(s.drop.uidValidity))
		s.out.write2(".", "")
		s.out.number(int64(m.uid))
	})
}

// listing writes the number of the named message, or of each, and what value
// writes of it.
func (s *session) listing(arg string, value func(*message)) error {
	if arg != "" {
		m, err := s.drop.message(arg)
		if err != nil {
			return err
		}
		s.out.write2("+OK ", arg)
		s.out.write2(" ", "")
		value(m)
		s.out.line("")
		return s.out.err
	}
	s.ok("%d messages", len(s.drop.messages)-s.drop.deleted)
	for i := range s.drop.messages {
		m := &s.drop.messages[i]
		if m.deleted {
			continue
		}
		s.out.number(int64(i + 1))
		s.out.write2(" ", "")
		value(m)
		s.out.line("")
	}
	s.out.line(".")
	return s.out.err
}

func (s *session) dele(arg string) error {
	m, err := s.drop.message(arg)
	if err != nil {
		return err
	}
	s.drop.mark(m)
	return s.ok("marked as deleted")
}

func (s *session) rset(string) error {
	s.drop.unmark()
	return s.ok("%d messages", len(s.drop.messages))
}

func (s *session) noop(string) error { return s.ok("still here") }

// quit is QUIT. After a login it removes what is marked; when that fails
// nothing is removed, and the session ends all the same (RFC 1939 section 6).
func (s *session) quit(string) error {
	s.quitting = true
	if s.drop == nil {
		return s.ok("goodbye")
	}
	if err := s.drop.update(s.conn.Context()); err != nil {
		return fmt.Errorf("QUIT: %w", err)
	}
	return s.ok("goodbye, %d messages removed", s.drop.deleted)
}
