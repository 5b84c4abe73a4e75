package smtp

import "bytes"

// mail begins a transaction (RFC 5321 section 4.1.1.2).
func mail(s *session, arg []byte) (reply, error) {
	if s.submission() && s.account.ID == 0 {
		return reply{}, say(530, "5.7.0", "Log in first")
	}
	from, params, err := pathAndParams(arg, "FROM:")
	if err != nil {
		return reply{}, err
	}
	p, err := mailParamsOf(params, s.submission(), s.tls != nil)
	switch {
	case err != nil:
		return reply{}, err
	case len(params) > 0 && !s.esmtp:
		return reply{}, errParamUnknown // RFC 5321 section 4.1.1.11: extensions need EHLO
	case from.domain == "" && from.local != "":
		return reply{}, errPathSyntax // <postmaster> is a forward-path only
	case !p.utf8 && !from.ascii():
		return reply{}, errPathUTF8
	case p.size > s.server.limits.MessageSize:
		return reply{}, errTooBig
	}
	if err := s.maySend(from.String()); err != nil {
		return reply{}, err
	}
	if err := s.tooManyMessages(); err != nil {
		return reply{}, err
	}
	if err := s.server.o.Deliver.HasSpace(p.size); err != nil {
		return reply{}, err // before the message is sent in vain (RFC 1870 section 6.1)
	}
	s.tx = s.newTransaction(from, p)
	if s.server.o.Checks != nil && !s.submission() {
		s.tx.examination = s.examine(s.tx.From)
	}
	return say(250, "2.1.0", "Sender ok"), nil
}

// maySend holds users to their own addresses. The null reverse-path is what
// read receipts are sent with (RFC 8098 section 3).
func (s *session) maySend(address string) error {
	if !s.submission() || address == "" || s.server.o.Directory.MaySend(s.account.ID, address) {
		return nil
	}
	return say(550, "5.7.1", "Sender address <"+printable(address)+"> does not belong to your account")
}

// pathAndParams reads the arguments of MAIL and RCPT. A space behind the colon
// is an old and common mistake of clients.
func pathAndParams(arg []byte, keyword string) (path, []param, error) {
	if len(arg) < len(keyword) || !bytes.EqualFold(arg[:len(keyword)], []byte(keyword)) {
		return path{}, nil, say(501, "5.5.4", "Expected "+keyword+"<address>")
	}
	p, rest, err := parsePath(bytes.TrimLeft(arg[len(keyword):], " "))
	if err != nil {
		return path{}, nil, err
	}
	params, err := parseParams(rest)
	return p, params, err
}
