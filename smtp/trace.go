package smtp

import (
	"slices"
	"strings"
)

// dateFormat is date-time of RFC 5322 section 3.3.
const dateFormat = "Mon, 2 Jan 2006 15:04:05 -0700"

// trace is what is stored in front of a message: the same for all recipients
// and without their names, so that it gives no hidden one away.
func (s *session) trace() []byte {
	return s.appendReceived(s.appendEnvelope(make([]byte, 0, usualTrace)))
}

// usualTrace is as much as most traces take, in octets.
const usualTrace = 320

// appendEnvelope appends the first of its fields: what the envelope said, as far as
// everybody may know it.
func (s *session) appendEnvelope(b []byte) []byte {
	if s.tx.finalForAll() {
		b = append(append(append(b, "Return-Path: <"...), s.tx.From...), ">\r\n"...)
	}
	if to := s.tx.deliveredTo(); to != "" {
		b = append(append(append(b, "Delivered-To: "...), to...), "\r\n"...)
	}
	return b
}

// deliveredTo is the address that a message was brought to (RFC 9228), where it
// is the only one: several would be told of each other. Mail that only passes
// through is delivered elsewhere.
func (t *transaction) deliveredTo() string {
	if len(t.Recipients) != 1 {
		return ""
	}
	r := t.Recipients[0]
	if len(r.Route.Local) == 0 && slices.Equal(r.Route.Remote, []string{r.Address}) {
		return ""
	}
	return r.Address
}

func (s *session) appendReceived(b []byte) []byte {
	b = append(b, "Received: from "...)
	b = s.appendFrom(b)
	b = append(append(b, "\r\n\tby "...), s.server.o.Hostname...)
	b = append(append(b, " with "...), s.protocol()...)
	b = append(append(b, " id "...), s.tx.ID...)
	b = append(b, ";\r\n\t"...)
	return append(s.tx.Received.AppendFormat(b, dateFormat), "\r\n"...)
}

// finalForAll reports whether the message stays here: only the last server
// writes a Return-Path (RFC 5321 section 4.4), and there is one copy for all.
func (t *transaction) finalForAll() bool {
	for _, r := range t.Recipients {
		if len(r.Route.Remote) > 0 {
			return false
		}
	}
	return true
}

// appendFrom says where the message came from (RFC 5321 section 4.4). Where a
// user was when writing a message is nobody's business.
func (s *session) appendFrom(b []byte) []byte {
	if s.submission() {
		return append(b, s.server.o.Hostname...)
	}
	name := s.helo
	if !isASCII(name) { // a header that is not UTF-8 cannot say it (RFC 6532)
		name = "unknown"
	}
	b = append(b, name...)
	if !s.remote.IsValid() {
		return b
	}
	return append(append(append(b, " ("...), literal(s.remote)...), ')')
}

// protocol is the keyword of RFC 3848, or of RFC 6531 section 4.3.
func (s *session) protocol() string {
	var b strings.Builder
	switch {
	case s.tx.utf8:
		b.WriteString("UTF8SMTP")
	case s.esmtp:
		b.WriteString("ESMTP")
	default:
		return "SMTP"
	}
	if s.tls != nil {
		b.WriteByte('S')
	}
	if s.account.ID != 0 {
		b.WriteByte('A')
	}
	return b.String()
}
