package imap

import (
	"strings"

	goimap "github.com/emersion/go-imap/v2"

	"mailstead/imap/wire"
)

// create is RFC 3501 section 6.3.3 with the parameter USE of RFC 6154 section 3.
func (s *session) create(*request) (reply, error) {
	s.dec.SP()
	name := s.dec.Mailbox()
	use := s.createParameters()
	s.dec.End()
	if err := s.dec.Err(); err != nil {
		return reply{}, err
	}
	// A delimiter at the end only says that children are to follow.
	name = strings.TrimSuffix(name, delimiter)
	info, err := s.options.Store.Create(s.ctx, s.account.ID, wire.CanonicalInbox(name), use)
	if err != nil {
		return reply{}, err
	}
	s.tellRespelled(name)
	s.caused(info.Name)
	return reply{Code: "MAILBOXID (" + mailboxID(&info) + ")"}, nil // RFC 8474 section 4.1
}

// specialUses are the attributes of RFC 6154 that a mailbox may be given; \All and
// \Flagged would be virtual mailboxes, which there are none of.
var specialUses = []goimap.MailboxAttr{
	goimap.MailboxAttrArchive, goimap.MailboxAttrDrafts, goimap.MailboxAttrJunk, goimap.MailboxAttrSent, goimap.MailboxAttrTrash,
}

// createParameters reads an optional (USE (attribute ...)). A mailbox has at most
// one use here; another is answered like an unknown one.
func (s *session) createParameters() (use goimap.MailboxAttr) {
	if !s.dec.Accept(' ') {
		return ""
	}
	s.dec.List(func() {
		if s.dec.Word() != "USE" {
			s.dec.Fail("unknown parameter")
		}
		s.dec.SP()
		s.dec.List(func() {
			attr := s.useAttribute()
			if use != "" {
				attr = unknownUse
			}
			use = attr
		})
	})
	return use
}

// unknownUse is an attribute that the store refuses.
const unknownUse goimap.MailboxAttr = `\Unknown`

func (s *session) useAttribute() goimap.MailboxAttr {
	s.dec.Expect('\\')
	word := s.dec.Atom()
	for _, attr := range specialUses {
		if wire.EqualFold(word, attr[1:]) {
			return attr
		}
	}
	return unknownUse
}

// delete is RFC 3501 section 6.3.4. A session that deletes the mailbox it has selected
// has none selected afterwards.
func (s *session) delete(*request) (reply, error) {
	s.dec.SP()
	name := s.dec.Mailbox()
	s.dec.End()
	if err := s.dec.Err(); err != nil {
		return reply{}, err
	}
	if err := s.options.Store.Delete(s.ctx, s.account.ID, name); err != nil {
		return reply{}, err
	}
	s.caused(name)
	if s.selected != nil {
		if _, err := s.selected.mailbox.Info(); err != nil {
			s.deselect()
		}
	}
	return reply{}, nil
}

// rename is RFC 3501 section 6.3.5.
func (s *session) rename(*request) (reply, error) {
	s.dec.SP()
	from := s.dec.Mailbox()
	s.dec.SP()
	to := s.dec.Mailbox()
	s.dec.End()
	if err := s.dec.Err(); err != nil {
		return reply{}, err
	}
	to = strings.TrimSuffix(to, delimiter)
	if err := s.options.Store.Rename(s.ctx, s.account.ID, from, to); err != nil {
		return reply{}, err
	}
	s.caused(from, to)
	s.tellRespelled(to)
	return reply{}, nil
}

// subscribe is SUBSCRIBE and UNSUBSCRIBE (RFC 3501 sections 6.3.6 and 6.3.7).
func (s *session) subscribe(r *request) (reply, error) {
	s.dec.SP()
	name := s.dec.Mailbox()
	s.dec.End()
	if err := s.dec.Err(); err != nil {
		return reply{}, err
	}
	err := s.options.Store.Subscribe(s.ctx, s.account.ID, name, r.name == "SUBSCRIBE")
	s.caused(name)
	return reply{}, err
}

// namespace is RFC 2342: all mailboxes are personal.
func (s *session) namespace(*request) (reply, error) {
	s.dec.End()
	if err := s.dec.Err(); err != nil {
		return reply{}, err
	}
	s.enc.Text("* NAMESPACE ((\"\" \"/\")) NIL NIL\r\n")
	return reply{}, nil
}
