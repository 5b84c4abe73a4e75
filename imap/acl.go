package imap

import (
	"errors"
	"strings"

	goimap "github.com/emersion/go-imap/v2"

	"mailstead/mailbox"
	"mailstead/mailbox/directory"
)

// setACL is RFC 4314 section 3.1.
func (s *session) setACL(r *request) (reply, error) {
	s.dec.SP()
	name := s.dec.Mailbox()
	s.dec.SP()
	identifier := s.dec.AString()
	s.dec.SP()
	op, rights, ok := mailbox.ParseRightsChange(s.dec.AString())
	s.dec.End()
	if s.dec.Err() == nil && !ok {
		s.dec.Fail("there is a right that is not known here")
	}
	return reply{}, s.changeRights(r, name, identifier, op, rights)
}

// deleteACL is RFC 4314 section 3.2.
func (s *session) deleteACL(r *request) (reply, error) {
	s.dec.SP()
	name := s.dec.Mailbox()
	s.dec.SP()
	identifier := s.dec.AString()
	s.dec.End()
	return reply{}, s.changeRights(r, name, identifier, mailbox.RightsReplace, 0)
}

// changeRights changes an entry of an access control list. An owner's never ends: what is
// left of it cannot be taken.
func (s *session) changeRights(r *request, name, identifier string, op mailbox.RightsOp, rights mailbox.Rights) error {
	if err := s.dec.Err(); err != nil {
		return err
	}
	p, _, err := s.named(name, r.needs())
	if err != nil {
		return err
	}
	who, err := s.identified(identifier)
	if err != nil {
		return err
	}
	who.Rights = rights
	change := mailbox.RightsChange{Grant: who, Op: op}
	err = s.options.Store.ChangeRights(s.ctx, p.account, p.name, change, s.permit(r.needs().named))
	if errors.Is(err, mailbox.ErrNoAccount) {
		return errNobody
	}
	return err
}

var errNobody = no(goimap.ResponseCodeCannot, "there is no such account")

// identified finds out who an access identifier means.
func (s *session) identified(identifier string) (mailbox.Grant, error) {
	g, err := s.options.Directory.Identifier(identifier)
	switch {
	case errors.Is(err, directory.ErrIdentifier):
		return g, bad("malformed identifier") // RFC 4314 section 3
	case err != nil:
		return g, errNobody
	}
	return g, nil
}

// getACL is RFC 4314 section 3.3.
func (s *session) getACL(r *request) (reply, error) {
	p, info, err := s.onlyNamed(r)
	if err != nil {
		return reply{}, err
	}
	grants, err := s.options.Store.Grants(p.account, p.name)
	if err != nil {
		return reply{}, s.unknown(p, err)
	}
	s.enc.Text("* ACL ").Mailbox(info.Name)
	for _, g := range grants {
		if identifier, ok := s.options.Directory.IdentifierOf(g); ok {
			s.enc.Text(" ").Str(identifier).Text(" ", g.Rights.String())
		}
	}
	s.enc.CRLF()
	return reply{}, nil
}

// listRights is RFC 4314 section 3.4: each right can be given alone, and what an owner
// always has comes first.
func (s *session) listRights(r *request) (reply, error) {
	s.dec.SP()
	name := s.dec.Mailbox()
	s.dec.SP()
	identifier := s.dec.AString()
	s.dec.End()
	if err := s.dec.Err(); err != nil {
		return reply{}, err
	}
	p, info, err := s.named(name, r.needs())
	if err != nil {
		return reply{}, err
	}
	who, err := s.identified(identifier)
	if err != nil {
		return reply{}, err
	}
	always := ""
	if who.Account == p.account && !who.Negative {
		always = mailbox.OwnerRights.String()
	}
	s.enc.Text("* LISTRIGHTS ").Mailbox(info.Name).Text(" ").Str(identifier).Text(" ").Str(always)
	for _, letter := range mailbox.AllRights.String() {
		if !strings.ContainsRune(always, letter) {
			s.enc.Text(" ", string(letter))
		}
	}
	s.enc.CRLF()
	return reply{}, nil
}

// myRights is RFC 4314 section 3.5.
func (s *session) myRights(r *request) (reply, error) {
	_, info, err := s.onlyNamed(r)
	if err != nil {
		return reply{}, err
	}
	s.tellRights(&info)
	return reply{}, nil
}

// tellRights writes a MYRIGHTS response (RFC 4314 section 3.8).
func (s *session) tellRights(info *mailbox.Info) {
	s.enc.Text("* MYRIGHTS ").Mailbox(info.Name).Text(" ", info.Rights.String(), "\r\n")
}
