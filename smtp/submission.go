package smtp

import (
	"bytes"
	"crypto/rand"
	"strings"

	"mailstead/mailbox/message"
)

// submitHeader makes a user's header fit to be sent (RFC 6409 section 8):
// what must be there is added, what must not be seen is taken out, and
// senders that are not the user's are refused.
func (s *session) submitHeader(header []byte) ([]byte, error) {
	kept := make([]byte, 0, len(header)+len(crlf))
	var seen submitted
	read := 0
	for f := range fields(header) {
		read += len(f)
		if f.is("Bcc") || f.is("Resent-Bcc") || f.is("Return-Path") {
			continue
		}
		if err := seen.note(s, f); err != nil {
			return nil, err
		}
		kept = append(kept, f...)
	}
	rest := header[read:]
	if len(rest) > 0 && !bytes.HasPrefix(rest, crlf) {
		kept = append(kept, crlf...) // the header ended without its empty line
	}
	out := append(s.trace(), s.missingFields(seen)...)
	return append(append(out, kept...), rest...), nil
}

// submitted is which fields a header has.
type submitted struct {
	from, date, messageID bool
}

// note looks at one field that is kept.
func (h *submitted) note(s *session, f field) error {
	switch {
	case f.is("From"):
		if h.from {
			return say(550, "5.6.0", "Message has more than one From field")
		}
		h.from = true
		return s.ownAddresses("From", f.value())
	case f.is("Sender"):
		return s.ownAddresses("Sender", f.value())
	case f.is("Date"):
		h.date = true
	case f.is("Message-ID"):
		h.messageID = true
	}
	return nil
}

// ownAddresses holds a field to addresses of the account. An entry that could
// be understood in two ways is refused: what we read as the user's own may be
// somebody else's to the reader.
func (s *session) ownAddresses(name string, value []byte) error {
	found := false
	for _, a := range message.ParseAddressList(value) {
		if a.Kind != message.Mailbox {
			continue
		}
		address := path{a.Local, a.Domain}.String()
		if a.Broken || a.Domain == "" || !s.server.o.Directory.MaySend(s.account.ID, address) {
			return say(550, "5.7.1", name+" address <"+printable(address)+"> does not belong to your account")
		}
		found = true
	}
	if !found {
		return say(550, "5.7.1", name+" field has no address of your account")
	}
	return nil
}

// missingFields are the fields RFC 5322 section 3.6 demands and the client left out.
func (s *session) missingFields(h submitted) []byte {
	var b []byte
	if !h.date {
		b = append(s.tx.Received.AppendFormat(append(b, "Date: "...), dateFormat), "\r\n"...)
	}
	from := s.tx.From
	if from == "" {
		from = s.account.Name
	}
	if !h.from {
		b = append(append(append(b, "From: <"...), from...), ">\r\n"...)
	}
	if !h.messageID {
		domain := from[strings.LastIndexByte(from, '@')+1:]
		id := "<" + rand.Text() + "@" + domain + ">"
		b = append(append(append(b, "Message-ID: "...), id...), "\r\n"...)
		s.tx.message.messageID = id
	}
	return b
}

// maxEcho bounds what of a client's own words a reply repeats.
const maxEcho = 200

// printable makes a client's words fit for a line of reply.
func printable(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, s)
	return s[:min(len(s), maxEcho)]
}

// tellWhoIsKnown says to whom a user has written.
func (s *session) tellWhoIsKnown() {
	if s.server.o.Wrote == nil || s.tx.Account == 0 {
		return
	}
	addresses := make([]string, len(s.tx.Recipients))
	for i, r := range s.tx.Recipients {
		addresses[i] = r.Address
	}
	s.server.o.Wrote(s.tx.Account, addresses)
}
