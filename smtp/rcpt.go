package smtp

import (
	"errors"
	"slices"
	"strings"

	"mailstead/mailbox/directory"
	"mailstead/smtp/local"
)

// rcpt adds a recipient (RFC 5321 section 4.1.1.3). All that can be known
// about it is decided here, so that no notice has to be sent later.
func rcpt(s *session, arg []byte) (reply, error) {
	to, params, err := pathAndParams(arg, "TO:")
	if err != nil {
		return reply{}, err
	}
	wish, err := wishOf(params)
	switch {
	case err != nil:
		return reply{}, err
	case len(params) > 0 && !s.esmtp:
		return reply{}, errParamUnknown
	case to.local == "":
		return reply{}, errPathSyntax
	case !s.tx.utf8 && !to.ascii():
		return reply{}, errPathUTF8
	case len(s.tx.Recipients) >= s.maxRecipients():
		return reply{}, say(452, "4.5.3", "Too many recipients")
	}
	route, err := s.route(to)
	if err != nil {
		return s.unknownRecipient(err)
	}
	if route.Bounces && s.tx.From != "" {
		return reply{}, say(550, "5.7.1", "This address takes notices of delivery only")
	}
	if err := s.mayPost(route); err != nil {
		return reply{}, err
	}
	if s.blockedByAll(route) {
		return reply{}, say(550, "5.7.1", "Your mail is not wanted by the recipient")
	}
	if err := s.server.o.Deliver.HasQuota(route, s.tx.size); err != nil {
		s.log.Info("smtp: recipient over quota", "id", s.tx.ID, "to", to.String(), "size", s.tx.size)
		return reply{}, err // for this recipient alone (RFC 1870 section 6.4), who may have room when it comes again
	}
	if err := s.maySendTo(to.String(), route); err != nil {
		return reply{}, err
	}
	s.tx.add(local.Recipient{Address: to.String(), Route: route, Wish: wish})
	return say(250, "2.1.5", "Recipient ok"), nil
}

// add keeps a recipient; one that is said twice has one copy.
func (t *transaction) add(r local.Recipient) {
	if !slices.ContainsFunc(t.Recipients, func(o local.Recipient) bool { return o.Address == r.Address }) {
		t.Recipients = append(t.Recipients, r)
	}
}

func (s *session) maxRecipients() int {
	if s.account.ID != 0 {
		return s.server.limits.UserRecipients
	}
	return s.server.limits.Recipients
}

// route is where mail for an address goes; those who logged in may send
// everywhere.
func (s *session) route(to path) (directory.Route, error) {
	user := s.account.ID != 0
	if !user && disguised(to) {
		return directory.Route{}, directory.ErrNotLocal
	}
	address, err := to.String(), directory.ErrNotLocal
	if !strings.HasPrefix(to.domain, "[") { // an address literal is nobody's domain
		var route directory.Route
		if route, err = s.server.o.Directory.Resolve(address); err == nil {
			return route, nil
		}
	}
	if user && errors.Is(err, directory.ErrNotLocal) {
		return directory.Route{Remote: []string{address}}, nil
	}
	return directory.Route{}, err
}

// disguised reports whether the local part is written as a route to somewhere
// else, as mailers of the eighties understood them.
func disguised(to path) bool { return strings.ContainsAny(to.local, "%!@") }

// unknownRecipient counts a stranger's guesses; somebody who harvests
// addresses is slowed down and cut off.
func (s *session) unknownRecipient(err error) (reply, error) {
	if s.account.ID == 0 && errors.Is(err, directory.ErrNoSuch) && !s.guessed() {
		return bye(421, "4.7.0", "Too many unknown recipients"), nil
	}
	return reply{}, err
}
