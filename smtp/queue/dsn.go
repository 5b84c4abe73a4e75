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

// notice is a notice of failure, delay or success: a delivery status notification of RFC 3464 in a
// multipart/report of RFC 6522, with the forms of RFC 6533 where an address
// needs them. It is a function of these values alone.
type notice struct {
	hostname   string
	to         string // an address, or "postmaster"
	kind       noticeKind
	news       Action      // ActionFailed, ActionDelayed, or ActionDelivered for all that is good
	about      noticeKind  // what the message was itself
	from       string      // the message's reverse-path
	envelopeID string      // ENVID, in xtext
	recipients []recipient // those whom the news is of
	retryUntil time.Time   // of a delay
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

// report is the part for programs (RFC 3464 section 2, RFC 3461 section 6.3).
func (n *notice) report() string {
	var b []byte
	if id, ok := decodeXtext(n.envelopeID); ok && id != "" {
		b = message.AppendField(b, "Original-Envelope-Id", strings.ReplaceAll(id, "\t", " "))
	}
	b = message.AppendField(b, "Reporting-MTA", "dns; "+n.hostname)
	b = message.AppendField(b, "Arrival-Date", n.received.Format(dateFormat))
	for i := range n.recipients {
		b = append(b, "\r\n"...)
		b = n.appendReport(b, &n.recipients[i])
	}
	return string(b)
}

// appendReport appends the fields of one recipient.
func (n *notice) appendReport(b []byte, r *recipient) []byte {
	if original := r.original(); original != "" {
		b = append(b, "Original-Recipient: "+original+"\r\n"...)
	}
	kind := asciiKind
	if !isASCII(r.Address) {
		kind = utf8Kind // RFC 6533 section 3
	}
	b = append(b, "Final-Recipient: "+kind+"; "+cleanAddress(r.Address)+"\r\n"...)
	action, status := n.news, ""
	if r.Done != "" {
		action = r.Done
		status = "2.0.0"
	}
	b = append(b, "Action: "+string(action)+"\r\n"...)
	if r.Last != nil {
		status = r.Last.statusFor(action)
	}
	b = message.AppendField(b, "Status", status)
	if r.Last != nil {
		b = r.Last.appendReport(b)
	}
	if !n.retryUntil.IsZero() {
		b = message.AppendField(b, "Will-Retry-Until", n.retryUntil.Format(dateFormat))
	}
	return b
}

// statusFor is the code with the class that an action has (RFC 3464 section 2.3.4): a temporary failure
// that was the last one is 4.x.x still.
func (f *failure) statusFor(action Action) string {
	switch action {
	case ActionFailed:
		return f.Enhanced
	case ActionDelayed:
		return "4" + f.Enhanced[1:]
	}
	return "2" + f.Enhanced[1:]
}

// appendReport appends what another server has said, or this one.
func (f *failure) appendReport(b []byte) []byte {
	if mta, _, _ := strings.Cut(f.Host, " "); mta != "" {
		b = message.AppendField(b, "Remote-MTA", "dns; "+mta)
	}
	switch {
	case f.Code != 0:
		b = message.AppendField(b, "Diagnostic-Code", "smtp; "+f.reply())
	case f.Text != "":
		b = message.AppendField(b, "Diagnostic-Code", "x-mailstead; "+f.Text)
	}
	return message.AppendField(b, "Last-Attempt-Date", f.At.Format(dateFormat))
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
