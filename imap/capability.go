package imap

import (
	"strconv"
	"strings"
)

// userCapabilities are those of everybody who is logged in.
var userCapabilities = []string{
	"IDLE NAMESPACE CHILDREN UNSELECT UIDPLUS MOVE",
	"SPECIAL-USE CREATE-SPECIAL-USE LIST-EXTENDED LIST-STATUS",
	"ESEARCH",
	"CONDSTORE QRESYNC",
	"UIDONLY UIDBATCHES MESSAGELIMIT=" + messageLimit,
	"STATUS=SIZE OBJECTID PREVIEW",
	"QUOTA QUOTA=RES-STORAGE QUOTA=RES-MESSAGE",
}

// capabilities lists what may be used now (RFC 3501 section 6.1.1). What works only
// after login is left out before it: less for a stranger to learn, and clients ask
// or are told again.
func (s *session) capabilities() string {
	var b strings.Builder
	b.WriteString("IMAP4rev1 UTF8=ACCEPT SASL-IR LITERAL+ ENABLE ID")
	if s.state != stateGreeted {
		for _, words := range userCapabilities {
			b.WriteByte(' ')
			b.WriteString(words)
		}
		b.WriteString(" APPENDLIMIT=")
		b.WriteString(strconv.FormatInt(s.options.MaxMessageSize, 10))
		return b.String()
	}
	if s.mayStartTLS() {
		b.WriteString(" STARTTLS")
	}
	if !s.passwordAllowed() {
		b.WriteString(" LOGINDISABLED")
	}
	for _, mechanism := range s.options.Directory.Mechanisms(s.attempt(), s.options.AllowInsecureAuth) {
		b.WriteString(" AUTH=")
		b.WriteString(mechanism)
	}
	return b.String()
}

// capability is RFC 3501 section 6.1.1.
func (s *session) capability(*request) (reply, error) {
	s.dec.End()
	if err := s.dec.Err(); err != nil {
		return reply{}, err
	}
	s.enc.Text("* CAPABILITY ", s.capabilities(), "\r\n")
	return reply{}, nil
}

// noop is NOOP (RFC 3501 section 6.1.2) and CHECK (6.4.1): what changed is told with
// every reply, and everything acknowledged is on disk already.
func (s *session) noop(*request) (reply, error) {
	s.dec.End()
	return reply{}, s.dec.Err()
}

// logout is RFC 3501 section 6.1.3.
func (s *session) logout(*request) (reply, error) {
	s.dec.End()
	if err := s.dec.Err(); err != nil {
		return reply{}, err
	}
	s.enc.Text("* BYE see you\r\n")
	s.state = stateLogout
	return reply{}, nil
}
