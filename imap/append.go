package imap

import (
	"strconv"
	"time"

	goimap "github.com/emersion/go-imap/v2"

	"mailstead/imap/wire"
	"mailstead/mailbox"
)

// append is RFC 3501 section 6.3.11, with UIDPLUS (RFC 4315 section 3), APPENDLIMIT (RFC
// 7889), MULTIAPPEND (RFC 3502: all messages or none), CATENATE (RFC 4469) and the data
// item UTF8 (RFC 6855 section 4). A message goes from the connection to the store as it
// comes; what can be refused is refused before it is asked for.
func (s *session) append(r *request) (reply, error) {
	s.dec.SP()
	in := s.intake(r, s.dec.Mailbox())
	defer in.Abort()
	for more := true; more; more = !s.dec.AtEnd() {
		if err := in.message(); err != nil {
			return reply{}, err
		}
	}
	s.dec.End()
	if err := s.dec.Err(); err != nil {
		return reply{}, err
	}
	placed, err := in.Commit(s.ctx, nil, 0)
	if err != nil {
		return reply{}, target(err)
	}
	s.made(placed.UIDValidity, placed.UIDs...)
	return reply{Code: appendUID(placed)}, nil
}

// appendUID is the response code that tells where the messages are.
func appendUID(p mailbox.Placing) string {
	b := strconv.AppendUint([]byte("APPENDUID "), uint64(p.UIDValidity), 10)
	return string(wire.AppendNumbers(append(b, ' '), p.UIDs))
}

// replace is REPLACE and UID REPLACE (RFC 8508): what APPEND does, for one message, and
// the expunge of another in the same change. APPENDUID comes before the EXPUNGE
// response, which the command loop writes (section 4.3).
func (s *session) replace(r *request) (reply, error) {
	s.dec.SP()
	number := s.nzNumber()
	s.dec.SP()
	in := s.intake(r, s.dec.Mailbox())
	defer in.Abort()
	if err := s.dec.Err(); err != nil {
		return reply{}, err
	}
	uid, err := s.replaced(r, number)
	if err != nil {
		return reply{}, err
	}
	if err := in.message(); err != nil {
		return reply{}, err
	}
	s.dec.End()
	if err := s.dec.Err(); err != nil {
		return reply{}, err
	}
	placed, err := in.Commit(s.ctx, s.selected.mailbox, uid, s.permitSelected(r))
	if err != nil {
		return reply{}, target(err)
	}
	r.expunges = true
	s.made(placed.UIDValidity, placed.UIDs...)
	s.enc.Text("* OK [", appendUID(placed), "] the replacement is there\r\n")
	return reply{}, nil
}

// replaced finds the message that REPLACE is to remove.
func (s *session) replaced(r *request, number uint32) (goimap.UID, error) {
	sel := s.selected
	if err := s.mayChange(r); err != nil {
		return 0, err
	}
	switch {
	case r.uid:
		if len(sel.spansOfUIDs(goimap.UIDSetNum(goimap.UID(number)))) == 0 {
			return 0, mailbox.ErrNoMessage
		}
		return goimap.UID(number), nil
	case number > sel.view.Len():
		return 0, bad("there are only %d messages", sel.view.Len())
	}
	return sel.view.UIDs()[number-1], nil
}

// intake is what APPEND and REPLACE take in.
type intake struct {
	*mailbox.Appending
	session *session
	needs   needs
	name    string // as the client knows it
}

// intake begins to take messages in for the mailbox name. Whether that can be is asked
// when a message is about to come.
func (s *session) intake(r *request, name string) *intake {
	in := &intake{session: s, needs: r.needs(), name: name}
	p, _ := s.place(name)
	in.Appending = s.options.Store.StartAppending(p.account, p.name, s.permit(in.needs.named))
	return in
}

// message reads one message with what stands before it.
func (in *intake) message() error {
	s := in.session
	s.dec.SP()
	flags, date := s.appendFlags(), s.appendDate()
	body := s.options.Store.NewBody()
	err := in.content(body)
	if err == nil && body.Size() == 0 {
		err = no("", "an empty message is none") // it can cancel the command (RFC 3502)
	}
	if err == nil {
		err = in.Add(s.ctx, body, flags, date)
	}
	if err != nil {
		body.Abort()
	}
	return err
}

// content reads a message into body: a literal, or literal8 (RFC 3516 section 4.4), or one
// in UTF8 (...), or the parts of a CATENATE.
func (in *intake) content(body *mailbox.NewBody) error {
	d := in.session.dec
	switch {
	case d.Keyword("UTF8"):
		d.SP()
		return in.utf8(body)
	case d.Keyword("CATENATE"):
		d.SP()
		return in.catenate(body)
	}
	return in.literal(body)
}

// utf8 reads a literal in parentheses. RFC 9755 has done without them; what is in it is
// stored like any other message.
func (in *intake) utf8(body *mailbox.NewBody) error {
	d := in.session.dec
	d.Expect('(')
	if err := in.literal(body); err != nil {
		return err
	}
	d.Expect(')')
	return d.Err()
}

// literal reads a literal behind what is in body already.
func (in *intake) literal(body *mailbox.NewBody) error {
	d := in.session.dec
	size, ok := d.PeekLiteral()
	if !ok {
		d.Fail("expected a literal")
	}
	if err := d.Err(); err != nil {
		return err
	}
	if err := in.admits(body.Size(), size); err != nil {
		return err
	}
	literal := d.MessageLiteral(in.session.options.MaxMessageSize)
	if err := d.Err(); err != nil {
		return err
	}
	if err := wire.CopyLiteral(body, literal); err != nil {
		return err
	}
	d.EndLiteral()
	return d.Err()
}

// admits checks what is known before more octets are sent of a message of which there
// are some.
func (in *intake) admits(some, more int64) error {
	o := in.session.options
	if more == 0 && some == 0 {
		return no("", "an empty message is none")
	}
	if more > o.MaxMessageSize-some {
		return mailbox.ErrTooBig
	}
	p, _, err := in.session.named(in.name, in.needs)
	if err != nil {
		return target(err)
	}
	if err := o.Store.HasQuota(p.account, in.Size()+some+more); err != nil {
		return err
	}
	return o.Store.HasSpace(more)
}

// appendFlags reads the optional list of flags with the space behind it.
func (s *session) appendFlags() []goimap.Flag {
	if s.dec.Peek() != '(' {
		return nil
	}
	flags := s.dec.Flags()
	s.checkFlags(flags)
	s.dec.SP()
	return flags
}

// appendDate reads the optional date with the space behind it.
func (s *session) appendDate() (t time.Time) {
	if s.dec.Peek() == '"' {
		t = s.dec.DateTime()
		s.dec.SP()
	}
	return t
}
