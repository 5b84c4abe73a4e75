package imap

import (
	"strings"
)

// The bounds of RFC 2971 section 3.3.
const (
	maxIDFields = 30
	maxIDField  = 30
	maxIDValue  = 1024
)

// id is RFC 2971. What the client says of itself goes to the log, for it explains
// what its session does.
func (s *session) id(*request) (reply, error) {
	s.dec.SP()
	fields, client := s.idFields()
	s.dec.End()
	if err := s.dec.Err(); err != nil {
		return reply{}, err
	}
	if s.client = client; s.state&stateUser != 0 {
		s.options.Directory.Identify(s.attempt(), s.account)
	}
	s.log.Debug("imap: client", "id", fields)
	s.enc.Text("* ID (\"name\" \"mailstead\")\r\n")
	return reply{}, nil
}

// idFields reads NIL or a list of fields and values, and returns all of them, and name with version.
func (s *session) idFields() (all, client string) {
	var b strings.Builder
	var name, version string
	if s.dec.Keyword("NIL") {
		return "", ""
	}
	n := 0
	s.dec.List(func() {
		field := s.dec.Str()
		s.dec.SP()
		value, _ := s.dec.NString()
		if n++; n > maxIDFields || len(field) > maxIDField || len(value) > maxIDValue {
			s.dec.Fail("ID holds more than RFC 2971 allows")
			return
		}
		b.WriteString(field + "=" + value + " ")
		switch strings.ToLower(field) {
		case "name":
			name = value
		case "version":
			version = value
		}
	})
	return b.String(), strings.TrimSpace(name + " " + version)
}
