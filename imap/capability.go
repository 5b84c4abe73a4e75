package imap

import (
	"slices"
	"strconv"
	"strings"
)

// userCapabilities are those of everybody who is logged in. What works only after login
// is left out before it: less for a stranger to learn, and clients ask or are told again.
var userCapabilities = []string{
	"IDLE NAMESPACE CHILDREN UNSELECT UIDPLUS MOVE",
	"SPECIAL-USE CREATE-SPECIAL-USE LIST-EXTENDED LIST-STATUS",
	"METADATA LIST-METADATA",
	"ESEARCH MULTISEARCH SEARCHRES PARTIAL WITHIN SAVEDATE SEARCH=FUZZY I18NLEVEL=1",
	"SORT SORT=DISPLAY ESORT THREAD=ORDEREDSUBJECT THREAD=REFERENCES THREAD=REFS CONTEXT=SEARCH CONTEXT=SORT",
	"CONDSTORE QRESYNC NOTIFY",
	"UIDONLY UIDBATCHES MESSAGELIMIT=" + messageLimit,
	"STATUS=SIZE OBJECTID PREVIEW MULTIAPPEND CATENATE REPLACE BINARY",
	"ACL RIGHTS=texk LIST-MYRIGHTS",
	"QUOTA QUOTA=RES-STORAGE QUOTA=RES-MESSAGE",
	"COMPRESS=DEFLATE INPROGRESS UNAUTHENTICATE",
}

// capabilities lists what may be used now (RFC 3501 section 6.1.1).
func (s *session) capabilities() string {
	list := []string{"IMAP4rev1", "IMAP4rev2", "UTF8=ACCEPT", "SASL-IR", "LITERAL+", "ENABLE", "ID"}
	if s.state == stateGreeted {
		return strings.Join(append(list, s.loginCapabilities()...), " ")
	}
	for _, words := range userCapabilities {
		list = append(list, strings.Fields(words)...)
	}
	list = append(list, "APPENDLIMIT="+strconv.FormatInt(s.options.MaxMessageSize, 10))
	list = slices.DeleteFunc(list, func(name string) bool {
		return name == "COMPRESS=DEFLATE" && s.conn.compressed() || isHidden(name, s.hidden)
	})
	return strings.Join(list, " ")
}

// isHidden reports whether the account's clients are not to see a capability. A name
// without a value hides all of it.
func isHidden(capability string, hidden []string) bool {
	name, _, _ := strings.Cut(capability, "=")
	return slices.Contains(hidden, strings.ToUpper(name)) || slices.Contains(hidden, strings.ToUpper(capability))
}

// loginCapabilities say how to log in.
func (s *session) loginCapabilities() (list []string) {
	if s.mayStartTLS() {
		list = append(list, "STARTTLS")
	}
	if !s.passwordAllowed() {
		list = append(list, "LOGINDISABLED")
	}
	for _, mechanism := range s.options.Directory.Mechanisms(s.attempt(), s.options.AllowInsecureAuth) {
		list = append(list, "AUTH="+mechanism)
	}
	return list
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
