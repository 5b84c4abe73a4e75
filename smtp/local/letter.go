package local

import (
	"bytes"
	"mime/quotedprintable"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"mailstead/mailbox/message"
)

// letter is an automatic reply. It is a function of these values alone, which are kept until it is in the queue.
type letter struct {
	Account     uint64    `json:"account"`
	Transaction string    `json:"transaction,omitempty"` // of the message that is answered
	From        string    `json:"from"`
	To          string    `json:"to"`
	Subject     string    `json:"subject"`
	Text        string    `json:"text"`
	References  []string  `json:"references,omitempty"` // message ids, the answered one last
	ID          string    `json:"id"`                   // unique, of letters and digits
	Date        time.Time `json:"date"`
}

const (
	// maxReferences bounds the message ids that are repeated, and maxReference each of them, in octets.
	maxReferences, maxReference = 20, 250
	// maxTheirSubject is how much of a subject is repeated, in characters.
	maxTheirSubject = 150
)

// references are those of a reply to a message with this header (RFC 5322 section 3.6.4): the first and the last ones.
func references(header []byte) []string {
	raw, _ := message.FieldValue(header, "References")
	if len(raw) == 0 {
		raw, _ = message.FieldValue(header, "In-Reply-To")
	}
	id, _ := message.FieldValue(header, "Message-ID")
	var list []string
	for _, found := range message.AppendMessageIDs(message.AppendMessageIDs(nil, raw), id) {
		if len(found) <= maxReference && !bytes.ContainsFunc(found, func(r rune) bool { return r <= ' ' || r > '~' }) {
			list = append(list, string(found))
		}
	}
	if len(list) > maxReferences {
		list = append(list[:1:1], list[len(list)-maxReferences+1:]...)
	}
	return list
}

// replySubject is that of a reply (RFC 3834 section 3.1.5).
func replySubject(header []byte) string {
	raw, _ := message.FieldValue(header, "Subject")
	words := []rune(strings.Join(strings.FieldsFunc(message.DecodeHeader(raw), func(r rune) bool {
		return unicode.IsSpace(r) || !unicode.IsPrint(r)
	}), " "))
	if len(words) > maxTheirSubject {
		words = append(words[:maxTheirSubject:maxTheirSubject], []rune("...")...)
	}
	return strings.TrimSpace("Auto: " + string(words))
}

// bytes is the letter as it is sent, but for signatures.
func (l *letter) bytes() []byte {
	b := append(append([]byte("From: <"), l.From...), ">\r\n"...)
	b = append(append(append(b, "To: <"...), l.To...), ">\r\n"...)
	b = message.AppendField(b, "Subject", l.Subject)
	b = message.AppendField(b, "Date", l.Date.Format(dateFormat))
	b = message.AppendField(b, "Message-ID", "<"+l.ID+"@"+l.From[strings.LastIndexByte(l.From, '@')+1:]+">")
	if n := len(l.References); n > 0 {
		b = message.AppendField(b, "In-Reply-To", l.References[n-1])
		b = message.AppendField(b, "References", strings.Join(l.References, " "))
	}
	b = append(b, "Auto-Submitted: auto-replied\r\n"...)                       // RFC 3834 section 5
	b = append(b, "X-Auto-Response-Suppress: All\r\nMIME-Version: 1.0\r\n"...) // for servers that look there only
	return l.appendText(b)
}

// dateFormat is date-time of RFC 5322 section 3.3.
const dateFormat = "Mon, 2 Jan 2006 15:04:05 -0700"

// maxPlainLine is how long a line may be that is sent as it is (RFC 5322 section 2.1.1).
const maxPlainLine = 78

// appendText appends the text with its fields: in UTF-8, and encoded so that every server passes it on as it is.
func (l *letter) appendText(b []byte) []byte {
	text := strings.ReplaceAll(strings.ReplaceAll(l.Text, "\r\n", "\n"), "\r", "\n")
	text = strings.TrimRight(text, "\n") + "\n"
	plain := true
	for line := range strings.Lines(text) {
		plain = plain && len(line) <= maxPlainLine && isASCII(line) && !strings.HasSuffix(line, " \n")
	}
	b = append(b, "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: "...)
	crlf := strings.ReplaceAll(text, "\n", "\r\n")
	if plain {
		return append(append(b, "7bit\r\n\r\n"...), crlf...)
	}
	b = append(b, "quoted-printable\r\n\r\n"...)
	var body bytes.Buffer
	w := quotedprintable.NewWriter(&body)
	w.Write([]byte(crlf)) // a buffer takes all
	w.Close()
	return append(b, body.Bytes()...)
}

func isASCII(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r >= utf8.RuneSelf })
}
