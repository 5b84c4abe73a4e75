package smtp

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// helo is RFC 5321 section 4.1.1.1 for clients of before 1995.
func helo(s *session, arg []byte) (reply, error) {
	if err := s.hello(arg); err != nil {
		return reply{}, err
	}
	s.esmtp = false
	return say(250, "", s.server.o.Hostname), nil
}

// ehlo announces what the server can do.
func ehlo(s *session, arg []byte) (reply, error) {
	if err := s.hello(arg); err != nil {
		return reply{}, err
	}
	s.esmtp = true
	return reply{code: 250, lines: s.extensions()}, nil
}

// hello takes the client's name. Real clients call themselves anything, so
// whatever can stand in a trace header is taken.
func (s *session) hello(arg []byte) error {
	name, _, _ := strings.Cut(string(arg), " ")
	if !validHello(name) {
		return say(501, "5.5.4", "Say your host name")
	}
	s.drop()
	s.helo, s.names = name, nil
	return nil
}

// validHello accepts a word without what has a meaning in a structured header.
func validHello(name string) bool {
	if name == "" || len(name) > maxDomain || !utf8.ValidString(name) {
		return false
	}
	return !strings.ContainsFunc(name, func(r rune) bool {
		return r <= ' ' || r == 0x7f || strings.ContainsRune(`()<>,;"\@`, r)
	})
}

// extensions are the lines of EHLO's reply. AUTH stands there only where
// nobody can read the password along (RFC 4954 section 4).
func (s *session) extensions() []string {
	lines := []string{
		s.server.o.Hostname, "PIPELINING", "SIZE " + strconv.FormatInt(s.server.limits.MessageSize, 10),
		"8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES", "CHUNKING", "DSN",
	}
	if s.tls == nil && s.server.o.TLSConfig != nil {
		lines = append(lines, "STARTTLS")
	}
	if s.tls != nil {
		lines = append(lines, "REQUIRETLS") // RFC 8689 section 2: never announced in the clear
	}
	if s.submission() && s.tls != nil && s.account.ID == 0 {
		if m := s.server.o.Directory.Mechanisms(s.attempt(), false); len(m) > 0 {
			lines = append(lines, "AUTH "+strings.Join(m, " "))
		}
	}
	return lines
}
