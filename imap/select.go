package imap

import (
	"errors"
	"slices"

	"mailstead/imap/wire"
	"mailstead/mailbox"
)

// selectMailbox is SELECT and EXAMINE (RFC 3501 sections 6.3.1 and 6.3.2), with the
// parameters CONDSTORE and QRESYNC of RFC 7162 sections 3.1.8 and 3.2.5. Whether it succeeds or not, the
// mailbox selected before is not selected any more.
func (s *session) selectMailbox(r *request) (reply, error) {
	s.dec.SP()
	name := s.dec.Mailbox()
	p := s.selectParameters()
	s.dec.End()
	if err := s.dec.Err(); err != nil && !errors.Is(err, wire.ErrUTF7) {
		return reply{}, err
	}
	if err := s.checkResync(p.resync); err != nil {
		return reply{}, err
	}
	if s.selected != nil {
		s.deselect()
		s.enc.Text("* OK [CLOSED] the previous mailbox is not selected any more\r\n") // RFC 7162 section 3.2.11
	}
	if err := s.dec.Err(); err != nil {
		return reply{}, err // no mailbox can have that name
	}
	if p.condstore {
		s.condstore = true
	}
	if err := s.open(r, name, p.resync); err != nil {
		return reply{}, err
	}
	if s.rev2 {
		if err := s.tellSelected(name); err != nil {
			return reply{}, err
		}
	}
	if s.selected.readOnly {
		return reply{Code: "READ-ONLY"}, nil
	}
	return reply{Code: "READ-WRITE"}, nil
}

// selectParameters are those of SELECT and EXAMINE.
type selectParameters struct {
	condstore bool
	resync    *resync // nil = the client does not come back to what it knows
}

// selectParameters reads the optional list of parameters (RFC 4466 section 2.4).
func (s *session) selectParameters() (p selectParameters) {
	if !s.dec.Accept(' ') {
		return p
	}
	s.dec.List(func() {
		switch s.dec.Word() {
		case "CONDSTORE":
			p.condstore = true
		case "QRESYNC":
			p.resync = s.resyncParameter()
		default:
			s.dec.Fail("unknown parameter")
		}
	})
	return p
}

// open makes name the selected mailbox and tells what is in it; resync may be nil.
func (s *session) open(r *request, name string, resync *resync) error {
	m, info, err := s.openNamed(name, r.needs())
	if err != nil {
		return err
	}
	sel := &selected{mailbox: m, validity: info.UIDValidity, rights: info.Rights, examined: r.name == "EXAMINE", hideRecent: s.rev2}
	sel.readOnly = sel.examined || sel.rights&writeRights == 0
	sel.view = m.View(!sel.readOnly && info.Account == s.account.ID) // for others they stay \Recent
	s.selected = sel
	s.state = stateSelected
	s.followSelected()
	s.tellFlags()
	s.tellSize()
	if info.Unseen > 0 && !s.uidOnly && !s.rev2 { // what UNSEEN names is a sequence number
		if seq := s.selected.firstUnseen(info.Unseen); seq > 0 {
			s.enc.Text("* OK [UNSEEN ").Number(uint64(seq)).Text("] first unseen\r\n")
		}
	}
	s.enc.Text("* OK [UIDVALIDITY ").Number(uint64(info.UIDValidity)).Text("] UIDs are valid\r\n")
	s.enc.Text("* OK [UIDNEXT ").Number(uint64(info.UIDNext)).Text("] next UID\r\n")
	s.enc.Text("* OK [MAILBOXID (", mailboxID(&info), ")] its identity\r\n") // RFC 8474 section 4.2
	s.tellHighestModSeq(info.HighestModSeq)
	if resync == nil {
		return nil
	}
	return s.tellResync(resync, &info)
}

// tellSelected writes the LIST response that IMAP4rev2 has with SELECT (RFC 9051 section
// 6.3.2).
func (s *session) tellSelected(name string) error {
	t, err := s.tree()
	if err != nil {
		return err
	}
	a := answer{name: mailbox.CanonicalName(name)}
	for _, n := range t {
		if n.name == a.name {
			a = (&listing{}).answer(n)
			break
		}
	}
	s.tellOldName(name, a)
	return nil
}

// tellOldName writes a LIST response for a mailbox, and in it what the client called the
// mailbox where that is not its name (RFC 9051 section 6.3.9.7).
func (s *session) tellOldName(called string, a answer) {
	s.tellListed("LIST", a)
	if called != a.name {
		s.enc.Text(` ("OLDNAME" (`).Mailbox(called).Text("))")
	}
	s.enc.CRLF()
}

// firstUnseen returns the sequence number of the first of the unseen messages, of
// which there are about count; 0 if there is none. It looks from both ends in turn:
// from the front for the first, from the back for the count-th, since most mailboxes
// are read but for their newest messages.
func (sel *selected) firstUnseen(count uint32) uint32 {
	found := uint32(0) // the lowest seen from the back
	for from, to := uint32(1), sel.view.Len(); from <= to; {
		for _, row := range sel.take(from, min(to, from+rowsAtOnce-1)) {
			if !row.Flags.Has(mailbox.FlagSeen) {
				return row.Seq
			}
		}
		if from += rowsAtOnce; from > to {
			break
		}
		low := max(from, to-min(to, rowsAtOnce)+1)
		for _, row := range slices.Backward(sel.take(low, to)) {
			if row.Flags.Has(mailbox.FlagSeen) {
				continue
			}
			found = row.Seq
			if count--; count == 0 {
				return found
			}
		}
		to = low - 1
	}
	return found
}

// close is RFC 3501 section 6.4.2: deleted messages go, and nobody is told.
func (s *session) close(r *request) (reply, error) {
	s.dec.End()
	if err := s.dec.Err(); err != nil {
		return reply{}, err
	}
	if s.mayChange(r) == nil { // RFC 4314 section 4: without e it closes all the same
		_, err := s.selected.mailbox.ExpungeAll(s.ctx, true, s.permitSelected(r))
		if err != nil && !errors.Is(err, mailbox.ErrRights) {
			return reply{}, err
		}
	}
	s.deselect()
	return reply{}, nil
}

// unselect is RFC 3691.
func (s *session) unselect(*request) (reply, error) {
	s.dec.End()
	if err := s.dec.Err(); err != nil {
		return reply{}, err
	}
	s.deselect()
	return reply{}, nil
}
