package imap

import (
	"strconv"
	"time"

	goimap "github.com/emersion/go-imap/v2"

	"mailstead/imap/wire"
	"mailstead/mailbox"
)

// append is RFC 3501 section 6.3.11, with UIDPLUS (RFC 4315 section 3) and
// APPENDLIMIT (RFC 7889). The message goes from the connection to the store as it
// comes; what can be refused is refused before it is asked for.
func (s *session) append(*request) (reply, error) {
	s.dec.SP()
	to := mailbox.Target{Account: s.account.ID, Name: s.dec.Mailbox()}
	s.dec.SP()
	to.Flags = s.appendFlags()
	to.Date = s.appendDate()
	size, ok := s.dec.PeekLiteral()
	if err := s.mayAppend(to, size, ok); err != nil {
		return reply{}, err
	}
	body := s.options.Store.NewBody()
	defer body.Abort()
	if err := s.receive(body); err != nil {
		return reply{}, err
	}
	placed, err := s.options.Store.Deliver(s.ctx, body, []mailbox.Target{to}, nil)
	if err == nil {
		err = placed[0].Err
	}
	if err != nil {
		return reply{}, target(err)
	}
	s.made(placed[0].UIDValidity, placed[0].UID)
	return reply{Code: "APPENDUID " + strconv.FormatUint(uint64(placed[0].UIDValidity), 10) + " " +
		strconv.FormatUint(uint64(placed[0].UID), 10)}, nil
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

// mayAppend checks what is known before the message is sent.
func (s *session) mayAppend(to mailbox.Target, size int64, ok bool) error {
	if !ok {
		s.dec.Fail("expected a literal")
	}
	switch {
	case s.dec.Err() != nil:
		return s.dec.Err()
	case size == 0:
		return no("", "an empty message is none")
	case size > s.options.MaxMessageSize:
		return mailbox.ErrTooBig
	}
	if _, err := s.options.Store.Mailbox(to.Account, to.Name); err != nil {
		return target(err)
	}
	if err := s.options.Store.HasQuota(to.Account, size); err != nil {
		return err
	}
	return s.options.Store.HasSpace(size)
}

// receive copies the message into body and checks that the command ends behind it.
func (s *session) receive(body *mailbox.NewBody) error {
	literal := s.dec.MessageLiteral(s.options.MaxMessageSize)
	if err := s.dec.Err(); err != nil {
		return err
	}
	if err := wire.CopyLiteral(body, literal); err != nil {
		return err
	}
	s.dec.EndLiteral()
	s.dec.End()
	return s.dec.Err()
}
