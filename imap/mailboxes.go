package imap

import (
	"errors"
	"strings"

	goimap "github.com/emersion/go-imap/v2"

	"mailstead/imap/wire"
	"mailstead/mailbox"
)

// create is RFC 3501 section 6.3.3 with the parameter USE of RFC 6154 section 3.
func (s *session) create(r *request) (reply, error) {
	s.dec.SP()
	name := s.dec.Mailbox()
	use := s.createParameters()
	s.dec.End()
	if err := s.dec.Err(); err != nil {
		return reply{}, err
	}
	// A delimiter at the end only says that children are to follow.
	name = strings.TrimSuffix(name, delimiter)
	p, err := s.place(name)
	switch {
	case err != nil:
		return reply{}, errNoRight // whoever's it would be: nobody is told who is here
	case use != "" && p.account != s.account.ID:
		return reply{}, mailbox.ErrSpecialUse
	}
	if err := s.mayMake(p, r.needs()); err != nil {
		return reply{}, err
	}
	info, err := s.options.Store.Create(s.ctx, p.account, p.name, use, s.permit(r.needs().above))
	if err != nil {
		return reply{}, err
	}
	if s.rev2 && p.sent != p.shown() { // RFC 9051 section 6.3.4
		s.tellOldName(p.sent, answer{name: p.shown()})
	}
	s.caused(p.shown())
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
func (s *session) delete(r *request) (reply, error) {
	p, _, err := s.onlyNamed(r)
	if err != nil {
		return reply{}, err
	}
	if err := s.options.Store.Delete(s.ctx, p.account, p.name, s.permit(r.needs().named)); err != nil {
		return reply{}, err
	}
	s.caused(p.shown())
	if s.rev2 && p.sent != p.shown() {
		s.tellOldName(p.sent, answer{name: p.shown(), attrs: []goimap.MailboxAttr{goimap.MailboxAttrNonExistent}})
	}
	if s.selected != nil {
		if _, err := s.selected.mailbox.Info(); err != nil {
			s.deselect()
		}
	}
	return reply{}, nil
}

// rename is RFC 3501 section 6.3.5.
func (s *session) rename(r *request) (reply, error) {
	s.dec.SP()
	from := s.dec.Mailbox()
	s.dec.SP()
	to := s.dec.Mailbox()
	s.dec.End()
	if err := s.dec.Err(); err != nil {
		return reply{}, err
	}
	to = strings.TrimSuffix(to, delimiter)
	old, changed, err := s.renaming(r, from, to)
	if err != nil {
		return reply{}, err
	}
	permit := s.permit(r.needs().named | r.needs().above)
	if err := s.options.Store.Rename(s.ctx, old.account, old.name, changed.name, permit); err != nil {
		return reply{}, err
	}
	s.caused(old.shown(), changed.shown())
	s.tellRenamed(old, changed)
	return reply{}, nil
}

// tellRenamed tells clients of IMAP4rev2 which mailbox has which name now, where they
// spelt one of them otherwise (RFC 9051 section 6.3.6). INBOX is there as before.
func (s *session) tellRenamed(old, changed place) {
	inbox := old.name == "INBOX"
	switch {
	case !s.rev2:
	case old.sent != old.shown() && !inbox:
		s.tellOldName(old.sent, answer{name: changed.shown()})
	case changed.sent != changed.shown() && inbox:
		s.tellOldName(changed.sent, answer{name: changed.shown()})
	case changed.sent != changed.shown():
		s.tellOldName(old.sent, answer{name: changed.shown()})
	}
}

// renaming finds out what is renamed, and to what. An own level need not be a mailbox; a
// mailbox stays with its owner.
func (s *session) renaming(r *request, from, to string) (old, changed place, err error) {
	old, _, err = s.named(from, r.needs())
	if err != nil && (old.account != s.account.ID || !errors.Is(err, mailbox.ErrNoMailbox)) {
		return old, changed, err
	}
	changed, err = s.place(to)
	if err != nil || changed.account != old.account {
		return old, changed, errOtherOwner
	}
	return old, changed, s.mayMake(changed, r.needs())
}

var errOtherOwner = no(goimap.ResponseCodeCannot, "a mailbox stays with its owner")

// subscribe is SUBSCRIBE and UNSUBSCRIBE (RFC 3501 sections 6.3.6 and 6.3.7). The mailbox
// need not be there, or seen: the subscription is of the name, and the client's own.
func (s *session) subscribe(r *request) (reply, error) {
	s.dec.SP()
	name := s.dec.Mailbox()
	s.dec.End()
	if err := s.dec.Err(); err != nil {
		return reply{}, err
	}
	if p, err := s.place(name); err == nil {
		name = p.shown()
	}
	err := s.options.Store.Subscribe(s.ctx, s.account.ID, name, r.name == "SUBSCRIBE")
	s.caused(name)
	return reply{}, err
}

// namespace is RFC 2342: what is not the client's own is below "Other Users".
func (s *session) namespace(*request) (reply, error) {
	s.dec.End()
	if err := s.dec.Err(); err != nil {
		return reply{}, err
	}
	s.enc.Text("* NAMESPACE ((\"\" \"/\")) ((\"", othersPrefix, "\" \"/\")) NIL\r\n")
	return reply{}, nil
}
