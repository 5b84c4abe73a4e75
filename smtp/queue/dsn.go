package queue

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"mailstead/mailbox/message"
)

// notice is a failure notice: a delivery status notification of RFC 3464 in a
// multipart/report of RFC 6522, with the forms of RFC 6533 where an address
// needs them. It is a function of these values alone.
type notice struct {
	hostname   string
	to         string // an address, or "postmaster"
	kind       noticeKind
	about      noticeKind  // what the message was itself
	from       string      // the message's reverse-path
	recipients []recipient // those that have failed
	received   time.Time   // the message
	now        time.Time
	header     []byte // of the message, with lines ending in CRLF; it is returned
	whole      bool   // the whole message is returned
	utf8       bool   // the message needs SMTPUTF8
	eightBit   bool   // the message has octets above 127
	id         string // unique, of letters and digits
	boundary   string // likewise
}

// dateFormat is date-time of RFC 5322 section 3.3.
const dateFormat = "Mon, 2 Jan 2006 15:04:05 -0700"

// write writes the notice; original is the message, and read only if the whole of it is returned.
func (n *notice) write(w io.Writer, original io.Reader) error {
	if _, err := w.Write(n.head()); err != nil {
		return fmt.Errorf("queue: write a notice: %w", err)
	}
	return n.writeReturned(w, original)
}

// writeReturned writes what stands behind head.
func (n *notice) writeReturned(w io.Writer, original io.Reader) error {
	returned := io.Reader(bytes.NewReader(n.header))
	if n.whole {
		returned = original
	}
	if _, err := io.Copy(w, io.MultiReader(returned, strings.NewReader("\r\n--"+n.boundary+"--\r\n"))); err != nil {
		return fmt.Errorf("queue: write a notice: %w", err)
	}
	return nil
}

// head is everything in front of what is returned.
func (n *notice) head() []byte {
	text, report := n.text(), n.report()
	b := n.fields(nil)
	b = message.AppendField(b, "Content-Type",
		`multipart/report; report-type=delivery-status; boundary="`+n.boundary+`"`)
	b = append(b, "Content-Transfer-Encoding: "+n.encoding(n.hasEightBit())+"\r\n\r\n"...)

	b = n.part(b, "text/plain; charset=utf-8", !isASCII(text))
	b = append(b, text...)

	reportType := "message/delivery-status"
	if !isASCII(report) {
		reportType = "message/global-delivery-status" // RFC 6533 section 4
	}
	b = n.part(append(b, "\r\n"...), reportType, !isASCII(report))
	b = append(b, report...)

	return n.part(append(b, "\r\n"...), n.returnedType(), n.returnsEightBit())
}

// part begins a part.
func (n *notice) part(b []byte, contentType string, eightBit bool) []byte {
	return fmt.Appendf(b, "--%s\r\nContent-Type: %s\r\nContent-Transfer-Encoding: %s\r\n\r\n",
		n.boundary, contentType, n.encoding(eightBit))
}

func (n *notice) encoding(eightBit bool) string {
	if eightBit {
		return "8bit"
	}
	return "7bit"
}

// returnedType is the type of the returned message or header (RFC 6522
// section 4, RFC 6533 section 5).
func (n *notice) returnedType() string {
	global := n.utf8 || !isASCII(string(n.header)) && utf8.Valid(n.header)
	switch {
	case n.whole && global:
		return "message/global"
	case n.whole:
		return "message/rfc822"
	case global:
		return "message/global-headers"
	}
	return "text/rfc822-headers"
}

func (n *notice) returnsEightBit() bool {
	return !isASCII(string(n.header)) || n.whole && (n.eightBit || n.utf8)
}

// hasEightBit reports whether the notice has octets above 127.
func (n *notice) hasEightBit() bool {
	return n.returnsEightBit() || !isASCII(n.to) || !isASCII(n.text()) || !isASCII(n.report())
}

// fields appends the header but for Content-Type.
func (n *notice) fields(b []byte) []byte {
	postmaster := "postmaster@" + n.hostname
	to := n.to
	if n.kind == toPostmaster {
		to = postmaster
	}
	b = message.AppendField(b, "From", message.FormatAddress("Mail delivery", postmaster))
	b = append(b, "To: <"+cleanAddress(to)+">\r\n"...) // not encoded: that of RFC 2047 is not for addresses
	b = message.AppendField(b, "Subject", n.subject())
	b = message.AppendField(b, "Date", n.now.Format(dateFormat))
	b = message.AppendField(b, "Message-ID", "<"+n.id+"@"+n.hostname+">")
	if id := n.messageID(); id != "" {
		b = message.AppendField(b, "In-Reply-To", id)
		b = message.AppendField(b, "References", id)
	}
	b = append(b, "Auto-Submitted: auto-replied\r\n"...) // RFC 3834 section 5
	return append(b, "MIME-Version: 1.0\r\n"...)
}

func (n *notice) subject() string {
	if s := n.theirSubject(); s != "" {
		return "Not delivered: " + s
	}
	return "Your message was not delivered"
}

// maxSubject is how much of the message's subject is repeated, in characters.
const maxSubject = 150

// theirSubject is the message's, decoded and on one line.
func (n *notice) theirSubject() string {
	raw, _ := message.FieldValue(n.header, "Subject")
	s := strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, message.DecodeHeader(raw))
	words := []rune(strings.Join(strings.Fields(s), " "))
	if len(words) > maxSubject {
		return string(words[:maxSubject]) + "..."
	}
	return string(words)
}

// maxMessageID bounds what goes into one line of the header.
const maxMessageID = 500

// messageID is the message's; "" where it has none that can be repeated.
func (n *notice) messageID() string {
	raw, _ := message.FieldValue(n.header, "Message-ID")
	id := strings.TrimSpace(string(raw))
	if len(id) > maxMessageID || len(id) < 3 || id[0] != '<' || id[len(id)-1] != '>' ||
		strings.ContainsFunc(id, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return ""
	}
	return id
}

// text is for people: what happened, to whom, and what can be done.
func (n *notice) text() string {
	var b strings.Builder
	b.WriteString("This is the mail server " + n.hostname + ".\r\n\r\n")
	wrap(&b, "", n.opening())
	for _, r := range n.recipients {
		b.WriteString("\r\n  " + cleanAddress(r.Address) + "\r\n")
		wrap(&b, "      ", explain(r.Last))
		if r.Last.Text != "" {
			wrap(&b, "      ", saying(r.Last))
		}
	}
	b.WriteString("\r\nThe message:\r\n")
	b.WriteString("  Received: " + n.received.Format(dateFormat) + "\r\n")
	if n.kind == toPostmaster {
		b.WriteString("  Sender:   <" + cleanAddress(n.from) + ">\r\n")
	}
	if s := n.theirSubject(); s != "" {
		b.WriteString("  Subject:  " + s + "\r\n")
	}
	b.WriteString("\r\n")
	wrap(&b, "", n.closing())
	return b.String()
}

func (n *notice) opening() string {
	whom := "to the following address. It will not be tried again."
	if len(n.recipients) > 1 {
		whom = "to the following addresses. It will not be tried again."
	}
	switch {
	case n.kind == toSender:
		return "Your message could not be delivered " + whom
	case n.about == toSender:
		return "A notice about a message that failed could not be delivered " + whom
	}
	return "A message from outside could not be passed on " + whom +
		" Its sender was not told, since the sender's address may be forged."
}

func (n *notice) closing() string {
	switch {
	case n.whole:
		return "The whole message is attached. Nobody else has it any more: please decide what is to become of it."
	case n.header == nil:
		return "Nothing of the message could be attached."
	case n.kind == toSender:
		return "Attached are the technical details and the header of your message, without its text."
	}
	return "Attached are the technical details and the header of the message; it was too big to be attached whole."
}

// reasons are in plain words what the codes of RFC 3463 say, by subject and detail.
var reasons = map[string]string{
	"1.1":  "There is no mailbox of this name. Please check how the address is spelt.",
	"1.2":  "The domain behind the @ does not exist or takes no mail. Please check how it is spelt.",
	"1.3":  "This is not a mail address that can be used.",
	"1.6":  "The mailbox has moved and left no new address.",
	"1.10": "The domain behind the @ says that it takes no mail.",
	"2.1":  "The mailbox is closed.",
	"2.2":  "The mailbox is full.",
	"2.3":  "The message is too big for this mailbox.",
	"3.4":  "The message is too big for the recipient's server.",
	"4.1":  "The recipient's server did not answer.",
	"4.2":  "The connection with the recipient's server was lost each time.",
	"4.3":  "The recipient's server could not be found.",
	"4.6":  "The message would go round in circles.",
	"6.7":  "The recipient's server does not know addresses with letters beyond ASCII.",
	"7.5":  "A secure connection between the mail servers was demanded, and could not be made.",
	"7.10": "A secure connection between the mail servers was demanded, and could not be made.",
	"7.30": "You demanded that the message goes over secure connections only, and the recipient's server does not promise that.",
}

// explain says in plain words why a recipient failed.
func explain(f *failure) string {
	reason := reasons[strings.TrimPrefix(f.Enhanced[1:], ".")]
	switch {
	case reason == "" && f.Code == 0:
		reason = "The message could not be sent."
	case reason == "" && strings.HasPrefix(f.Enhanced[1:], ".7."):
		reason = "The recipient's server refused the message by its rules."
	case reason == "":
		reason = "The recipient's server refused the message."
	}
	if f.Expired {
		reason += " It was tried again and again, for too long now."
	}
	return reason
}

// saying quotes who refused.
func saying(f *failure) string {
	if f.Host == "" {
		return "Details: " + f.reply()
	}
	return f.String()
}

// maxAddress bounds what is shown of an address, in octets; a longer one was
// never valid.
const maxAddress = 500

// cleanAddress makes an address fit for one line, whoever has let it in.
func cleanAddress(s string) string {
	s = strings.ToValidUTF8(s[:min(len(s), maxAddress)], "?")
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, s)
}

// textWidth is where lines of text are broken.
const textWidth = 76

// wrap writes words in lines.
func wrap(b *strings.Builder, indent, s string) {
	column := 0
	for word := range strings.FieldsSeq(s) {
		switch {
		case column == 0:
			b.WriteString(indent)
			column = len(indent)
		case column+1+len(word) > textWidth:
			b.WriteString("\r\n" + indent)
			column = len(indent)
		default:
			b.WriteByte(' ')
			column++
		}
		b.WriteString(word)
		column += len(word)
	}
	b.WriteString("\r\n")
}

// report is the part for programs (RFC 3464 section 2).
func (n *notice) report() string {
	b := message.AppendField(nil, "Reporting-MTA", "dns; "+n.hostname)
	b = message.AppendField(b, "Arrival-Date", n.received.Format(dateFormat))
	for _, r := range n.recipients {
		b = append(b, "\r\n"...)
		b = r.appendReport(b)
	}
	return string(b)
}

func (r *recipient) appendReport(b []byte) []byte {
	kind := "rfc822"
	if !isASCII(r.Address) {
		kind = "utf-8" // RFC 6533 section 3
	}
	b = append(b, "Final-Recipient: "+kind+"; "+cleanAddress(r.Address)+"\r\nAction: failed\r\n"...)
	b = message.AppendField(b, "Status", r.Last.Enhanced)
	if mta, _, _ := strings.Cut(r.Last.Host, " "); mta != "" {
		b = message.AppendField(b, "Remote-MTA", "dns; "+mta)
	}
	if r.Last.Code != 0 {
		b = message.AppendField(b, "Diagnostic-Code", "smtp; "+r.Last.reply())
	} else {
		b = message.AppendField(b, "Diagnostic-Code", "x-mailstead; "+r.Last.Text)
	}
	return message.AppendField(b, "Last-Attempt-Date", r.Last.At.Format(dateFormat))
}

// maxReturnedHeader bounds what is returned of a message's header, in octets:
// far more than honest mail has.
const maxReturnedHeader = 64 << 10

// readHeader reads the header of a message, whole lines of it, with the last
// CRLF and without the blank line.
func readHeader(r io.Reader) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(r, maxReturnedHeader))
	if bytes.HasPrefix(b, []byte("\r\n")) {
		return []byte{}, err
	}
	end := bytes.Index(b, []byte("\r\n\r\n"))
	if end < 0 {
		end = bytes.LastIndex(b, []byte("\r\n"))
	}
	if end < 0 {
		return []byte{}, err
	}
	return b[:end+2], err
}

func isASCII(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r >= utf8.RuneSelf })
}
