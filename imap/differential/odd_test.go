package differential

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"strings"
)

// oddWriter writes one odd message.
type oddWriter struct {
	r          *rand.Rand
	b          bytes.Buffer
	boundaries int
}

func pick[T any](w *oddWriter, from []T) T { return from[w.r.IntN(len(from))] }

// chance is true once in n times.
func (w *oddWriter) chance(n int) bool { return w.r.IntN(n) == 0 }

func (w *oddWriter) line(format string, args ...any) {
	fmt.Fprintf(&w.b, format+"\r\n", args...)
}

// Addresses as they are, and as they were allowed to be.
var oddAddresses = []string{
	"ann@example.org", "Ann Example <ann@example.org>", `"Example, Ann" <ann@example.org>`, `"An \"n\" \\ E" <a@b.example>`,
	"<bob@example.net>", "bob@example.net (Bob the (inner) builder)", "Bob <@relay.example,@other.example:bob@example.net>",
	"friends: ann@example.org, Bob <bob@example.net>;", "undisclosed-recipients:;", "empty group :  ;", `"quoted local"@example.org`,
	"=?utf-8?Q?J=C3=BCrgen?= <j@example.org>", "=?iso-8859-1?B?SvxyZ2Vu?= <j@example.org>", "ann@[192.0.2.1]",
	"A. N. Other <ano@example.org>", ",,bob@example.net", "ann @ example . org", "J\u00fcrgen <j@example.org>", "J\xfcrgen <j@example.org>",
	"ann(comment)@(another)example.org", "very.long." + strings.Repeat("part.", 30) + "end@example.org", "Ann\r\n\t<ann@example.org>",
	"Ann <ann@\r\n example.org>",
}

// Addresses as they should not be. What stands behind one may be read as anything.
var wrongAddresses = []string{
	"root", "<>", "ann@example.org,", "Ann <ann@example.org", "  ", "Ann Example ann@example.org", "<ann@example.org> Ann", "a@b@c.example",
	"Ann <ann@example.org>; Bob <bob@example.net>", "ann@", "@example.org",
}

var oddSubjects = []string{
	"hello", "Re: hello", "RE: Fwd: hello (fwd)", "[list] Re: [list] hello", "Re[2]: hello", "[fwd: hello]", "", " ", "=?utf-8?Q?gr=C3=BC=C3=9Fe?=",
	"=?utf-8?B?Z3LDvMOfZQ==?= =?utf-8?Q?_und?= mehr", "=?iso-8859-1?Q?gr=FC=DFe?=", "gr\u00fc\u00dfe", "gr\xfc\xdfe", "folded\r\n subject\r\n\tthrice",
	"=?unknown?Q?x?=", "=?utf-8?Q?broken", "  spaces   inside  ", "\ttab", "Re: =?utf-8?Q?Re=3A_hello?=", "RE : hello", "Aw: hello", "re:hello",
	`back\slash and "quotes"`, "percent %s %d", "Fwd: [fwd: Re: hello]", "a" + strings.Repeat(" long", 60), "=?utf-8?Q?=F0=9F=98=80?=",
	"=?us-ascii*en?Q?tagged?=", "{5}", "NIL", "hello\r\n ", "=?iso-2022-jp?B?GyRCRnxLXBsoQg==?=",
}

var oddDates = []string{
	"Mon, 6 Jul 2020 10:00:00 +0200", "6 Jul 2020 10:00 +0200", "Mon, 6 Jul 20 10:00:00 GMT", "Mon, 06 Jul 1999 23:59:60 EST",
	"Mon,  6 Jul 2020 10:00:00 -0000 (comment)", "Mon, 6 Jul 2020\r\n 10:00:00 +0200", "yesterday", "", "31 Feb 2020 10:00:00 +0000",
	"Mon Jul  6 10:00:00 2020", "Fri, 1 Jan 1960 00:00:00 +0000", "Mon, 6 Jul 2020 25:00:00 +0000", "2020-07-06T10:00:00Z",
	"Mon, 6 Jul 2020 10:00:00", "Mon, 6 Jul 2020 10:00:00 +9999", "Mon, 6 (July) Jul 2020 10:00:00 Z", "Tue, 7 Jul 2020 00:30:00 +0900",
	"Sun, 5 Jul 120 10:00:00 +0000", "6 Jul 49 10:00:00 PDT", "6-Jul-2020 10:00:00 +0000",
}

var oddIDs = []string{
	"<1@example.org>", "<2@example.org>", "<3@example.org>", "<4@example.org>", "<5@example.org>", "<6@example.org>", "no-brackets@example.org",
	"<7@example.org> (comment)", "<with space @example.org>", "", "<unclosed@example.org", "\r\n <8@example.org>", `<"quoted"@example.org>`, "<>",
}

var oddTypes = []string{
	"text/plain", "text/plain; charset=utf-8", "TEXT/Plain; CHARSET=US-ASCII", `text/plain; charset="iso-8859-1"; format=flowed`, "text/html; charset=utf-8",
	"text", "text/", "/plain", "", "application/octet-stream; name=\"a b.bin\"", "image/png; name==?utf-8?Q?=C3=BC.png?=", "application/x-y; a=1; b=2; a=3",
	"text/plain; charset=utf-8 (a comment)", "text/plain;\r\n\tcharset=utf-8;\r\n", "text/plain; charset", "text/plain; =utf-8", "text/plain charset=utf-8",
	"application/pdf; name*=utf-8''%C3%BC.pdf", "application/pdf; name*0=\"long\"; name*1=\".pdf\"", "audio/basic", "message/partial; id=x; number=1",
	"text/plain; charset=\"unclosed", "text/x-\xfc; a=b", "application/x; name=\"gr\xc3\xbc\xc3\x9fe\"", "text/plain; name=\"q\\\"uote\"", "text/plain;;;charset=utf-8",
	"message/delivery-status", "text/rfc822-headers", "multipart", "text/calendar; method=REQUEST",
}

var oddEncodings = []string{
	"", "", "", "7bit", "8bit", "binary", "quoted-printable", "base64", "BASE64", " base64 (comment)", "x-uuencode", "\"base64\"", "base64;", "8 bit",
}

var oddDispositions = []string{
	"inline", "attachment; filename=a.txt", `attachment; filename="a b.txt"; size=12`, "ATTACHMENT", "attachment; filename*=utf-8''%e4.txt", "", "; filename=x",
	"attachment;\r\n filename*0=one;\r\n filename*1=two", "inline; filename=\"=?utf-8?B?w7wudHh0?=\"", "attachment filename=x", "form-data; name=x; name=y",
}

var oddFields = []string{
	"X-Folded: one\r\n two\r\n\tthree", "X-Empty:", "X-Space : before the colon", "Received: from a by b; Mon, 6 Jul 2020 10:00:00 +0200",
	"x-lower: CASE", "X-Long: " + strings.Repeat("0123456789", 99), "X-Eight: \xe4\xf6\xfc", "X-Encoded: =?utf-8?Q?=C3=A4?=", "X-Twice: 1\r\nX-Twice: 2",
	"Content-Language: de, en", "Content-Language: fr", "Content-Location: http://example.org/ x", "Content-MD5: Q2hlY2sgSW50ZWdyaXR5IQ==",
	"Content-Description: a description", "Content-Description: =?utf-8?Q?=C3=A4?=", "Content-ID: <part@example.org>", "Content-ID: bare", "X-Colon::", "X-Tab:\tx",
}

// words are what bodies are made of, so that searches find something in some of them.
var words = []string{
	"apple", "Banana", "cherry", "gr\u00fc\u00dfe", "GR\u00dcSSE", "caf\u00e9", "straw", "berry", "needle", "haystack", "<b>bold</b>", "a=b", "100%", "na\u00efve",
	"\u65e5\u672c\u8a9e", "\u0416\u0443\u043a", "one", "two", "three", "From here", "--dash", ".dot", "subject", "&amp;", "e-mail", "x@y.example",
}

// message writes one, within others when depth is above 0.
func (w *oddWriter) message(depth int) {
	w.addresses("From", 9)
	w.addresses("To", 9)
	for _, name := range []string{"Sender", "Reply-To", "Cc", "Bcc", "CC"} {
		w.addresses(name, 2)
	}
	if !w.chance(12) {
		w.line("Subject: %s", pick(w, oddSubjects))
	}
	if !w.chance(12) {
		w.line("Date: %s", pick(w, oddDates))
	}
	if !w.chance(6) {
		w.line("Message-ID: %s", pick(w, oddIDs))
	}
	if w.chance(3) {
		w.line("In-Reply-To: %s", pick(w, oddIDs))
	}
	if w.chance(3) {
		w.line("References: %s %s", pick(w, oddIDs), pick(w, oddIDs))
	}
	if w.chance(8) {
		w.line("Subject: a second subject")
	}
	if !w.chance(10) {
		w.line("MIME-Version: 1.0")
	}
	w.entity(depth)
}

// addresses writes a field of one to three addresses in most of n cases.
func (w *oddWriter) addresses(name string, n int) {
	if w.chance(n) {
		return
	}
	list := []string{pick(w, oddAddresses)}
	for w.chance(3) {
		list = append(list, pick(w, oddAddresses))
	}
	if w.chance(5) {
		list = append(list, pick(w, wrongAddresses))
	}
	w.line("%s: %s", name, strings.Join(list, ", "))
}

// entity writes MIME header and body of a message or a part.
func (w *oddWriter) entity(depth int) {
	for w.chance(3) {
		w.line("%s", pick(w, oddFields))
	}
	if w.chance(5) {
		w.line("Content-Disposition: %s", pick(w, oddDispositions))
	}
	switch {
	case depth < 4 && w.chance(2+depth):
		w.multipart(depth)
	case depth < 4 && w.chance(5):
		w.line("Content-Type: message/rfc822")
		w.encoding(4)
		w.line("")
		w.message(depth + 1)
	default:
		w.leaf()
	}
}

func (w *oddWriter) encoding(n int) string {
	encoding := ""
	if w.chance(n) {
		if encoding = pick(w, oddEncodings); encoding != "" {
			w.line("Content-Transfer-Encoding: %s", encoding)
		}
	}
	return encoding
}

func (w *oddWriter) multipart(depth int) {
	w.boundaries++
	boundary := pick(w, []string{"b%d", "b", "=_%d_part", "a b %d", "----=_NextPart_%d"})
	if strings.Contains(boundary, "%") {
		boundary = fmt.Sprintf(boundary, w.boundaries)
	}
	kind := pick(w, []string{"mixed", "alternative", "related", "digest", "signed", "report", "x-unknown", "Mixed", "parallel"})
	w.line("Content-Type: multipart/%s;%s", kind, pick(w, []string{
		` boundary="` + boundary + `"`, "\r\n\tboundary=\"" + boundary + `"`, ` boundary="` + boundary + `"; charset=utf-8`, ` a=b; BOUNDARY="` + boundary + `"`,
	}))
	w.encoding(6)
	w.line("")
	if w.chance(3) {
		w.line("This is the preamble.")
	}
	for range w.r.IntN(4) {
		w.line("--%s%s", boundary, pick(w, []string{"", "", "", "", " ", "\t "}))
		if w.chance(8) { // a part without a header
			w.line("")
			w.text("")
			continue
		}
		w.entity(depth + 1)
	}
	switch n := w.r.IntN(8); {
	case n == 0: // never closed
	case n == 1 && depth == 0:
		fmt.Fprintf(&w.b, "--%s--", boundary)
	case n == 2:
		w.line("--%s--", boundary)
		w.line("This is the epilogue.")
		w.line("--%s", boundary)
		w.line("not a part")
	default:
		w.line("--%s--", boundary)
	}
}

func (w *oddWriter) leaf() {
	if !w.chance(6) {
		w.line("Content-Type: %s", pick(w, oddTypes))
	}
	encoding := w.encoding(2)
	if w.chance(15) { // no body, not even a blank line
		return
	}
	w.line("")
	w.text(strings.ToLower(encoding))
}

// text writes some lines of words, in an encoding.
func (w *oddWriter) text(encoding string) {
	var b strings.Builder
	for range w.r.IntN(6) {
		for range w.r.IntN(8) {
			b.WriteString(pick(w, words) + " ")
		}
		b.WriteString("\r\n")
	}
	if w.chance(6) {
		b.WriteString("no line end")
	}
	text := b.String()
	switch {
	case strings.Contains(encoding, "base64"):
		text = base64.StdEncoding.EncodeToString([]byte(text))
		if w.chance(5) {
			text = strings.TrimRight(text, "=") + "!"
		}
		text = strings.Join(chunks(text, 60), "\r\n") + "\r\n"
	case encoding == "quoted-printable":
		text = quotedPrintable(text)
	}
	w.b.WriteString(text)
}

func chunks(s string, n int) (out []string) {
	for len(s) > n {
		out, s = append(out, s[:n]), s[n:]
	}
	return append(out, s)
}

// quotedPrintable encodes eight-bit octets and "=", and now and then what need not be.
func quotedPrintable(text string) string {
	var b strings.Builder
	for i := range len(text) {
		switch c := text[i]; {
		case c == '=' || c >= 0x80:
			fmt.Fprintf(&b, "=%02X", c)
		case c == 'o' && i%7 == 0:
			b.WriteString("=\r\no")
		case c == 'e' && i%11 == 0:
			b.WriteString("=65")
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}
