package imap

import (
	"strconv"

	"mailstead/imap/wire"
	"mailstead/mailbox"
)

// copy is COPY and UID COPY (RFC 3501 section 6.4.7) with COPYUID (RFC 4315 section 3).
func (s *session) copy(r *request) (reply, error) {
	spans, name, err := s.copyArguments(r)
	if err != nil {
		return reply{}, err
	}
	to, err := s.destination(r, name)
	if err != nil {
		return reply{}, err
	}
	copied, err := s.selected.mailbox.CopyTo(s.ctx, s.selected.uidsOf(spans), to, s.permitSelected(r))
	if err != nil {
		return reply{}, target(err)
	}
	s.made(copied.UIDValidity, copied.Dest...)
	return reply{Code: copyUID(copied)}, nil
}

// move is MOVE and UID MOVE (RFC 6851). COPYUID comes before the EXPUNGE responses,
// which the command loop writes, so that the client knows where the messages went
// before it forgets them (section 4.3).
func (s *session) move(r *request) (reply, error) {
	spans, name, err := s.copyArguments(r)
	if err != nil {
		return reply{}, err
	}
	if err := s.mayChange(r); err != nil {
		return reply{}, err
	}
	to, err := s.destination(r, name)
	if err != nil {
		return reply{}, err
	}
	moved, err := s.selected.mailbox.MoveTo(s.ctx, s.selected.uidsOf(spans), to, s.permitSelected(r))
	if err != nil {
		return reply{}, target(err)
	}
	s.made(moved.UIDValidity, moved.Dest...)
	r.expunges = true
	if code := copyUID(moved); code != "" {
		s.enc.Text("* OK [", code, "] moved\r\n")
	}
	return reply{}, nil
}

// destination is where a command puts messages, if the client may.
func (s *session) destination(r *request, name string) (mailbox.Destination, error) {
	p, _, err := s.named(name, r.needs())
	return mailbox.Destination{Account: p.account, Name: p.name, Permits: []mailbox.Permit{s.permit(r.needs().named)}}, target(err)
}

func (s *session) copyArguments(r *request) (spans []span, name string, err error) {
	s.dec.SP()
	spans = s.numbers(r)
	s.dec.SP()
	name = s.dec.Mailbox()
	s.dec.End()
	return spans, name, s.dec.Err()
}

// copyUID is the response code that tells the new UIDs; none when nothing was copied.
func copyUID(c mailbox.Copied) string {
	if len(c.Source) == 0 {
		return ""
	}
	b := append([]byte("COPYUID "), strconv.FormatUint(uint64(c.UIDValidity), 10)...)
	b = append(b, ' ')
	b = wire.AppendNumbers(b, c.Source)
	b = append(b, ' ')
	return string(wire.AppendNumbers(b, c.Dest))
}

// expunge is EXPUNGE (RFC 3501 section 6.4.3) and UID EXPUNGE (RFC 4315 section 2.1).
// The EXPUNGE responses are written by the command loop.
func (s *session) expunge(r *request) (reply, error) {
	var spans []span
	if r.uid {
		s.dec.SP()
		spans = s.numbers(r)
	}
	s.dec.End()
	if err := s.dec.Err(); err != nil {
		return reply{}, err
	}
	if err := s.mayChange(r); err != nil {
		return reply{}, err
	}
	r.expunges = true
	if !r.uid {
		_, err := s.selected.mailbox.ExpungeAll(s.ctx, true, s.permitSelected(r))
		return reply{}, err
	}
	_, err := s.selected.mailbox.Expunge(s.ctx, s.selected.uidsOf(spans), true, s.permitSelected(r))
	return reply{}, err
}
