package main

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// oddLetters makes letters that are allowed, and hard on whoever signs and verifies: long lines, octets above 127, dots at the
// start of lines, white space everywhere, headers folded at odd places, bodies of nothing and bodies without an end of line.
type oddLetters struct {
	random  *rand.Rand
	maxLine int // octets of a line of a body; Postfix breaks lines of more than 998 (smtp_line_length_limit)
}

// oddLetter is a letter with what has to be said of it.
type oddLetter struct {
	text string
	utf8 bool // its header needs SMTPUTF8
}

func (o *oddLetters) pick(of ...string) string { return of[o.random.IntN(len(of))] }

func (o *oddLetters) chance(percent int) bool { return o.random.IntN(100) < percent }

// octets are so many of the given kind.
func (o *oddLetters) octets(n int, from string) string {
	var b strings.Builder
	for range n {
		b.WriteByte(from[o.random.IntN(len(from))])
	}
	return b.String()
}

const (
	visible      = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.,;:=<>@\"'()[]{}*+-/_!?#$%&|^~`\\"
	withSpaces   = visible + "                    \t\t\t"
	controlSigns = "\x01\x07\x08\x0b\x0c\x1b\x7f"
)

// highOctets are octets above 127 that are no UTF-8.
var highOctets = func() string {
	var b []byte
	for c := 0x80; c <= 0xff; c++ {
		b = append(b, byte(c))
	}
	return string(b)
}()

// letter makes the letter of a number.
func (o *oddLetters) letter(number int) oddLetter {
	var l oddLetter
	fields := []string{
		o.name("From") + o.from(), o.name("To") + o.recipients(), fmt.Sprintf("X-Number: %d", number),
	}
	if o.chance(90) {
		subject := o.subject(&l)
		fields = append(fields, o.name("Subject")+subject)
	}
	for _, field := range []string{"Cc", "Reply-To"} {
		if o.chance(30) {
			fields = append(fields, o.name(field)+o.recipients())
		}
	}
	fields = append(fields, o.rest()...)
	o.random.Shuffle(len(fields), func(i, j int) { fields[i], fields[j] = fields[j], fields[i] })
	l.text = strings.Join(fields, "\r\n") + "\r\n\r\n" + o.body()
	return l
}

// rest are fields that not every letter has.
func (o *oddLetters) rest() (fields []string) {
	for _, field := range []string{
		"Date: Fri, 21 Nov 2025 09:55:06 -0600", "Date:Fri,\r\n\t21   Nov 2025 09:55:06 (odd\r\n time) -0600 ",
		"Message-ID: <" + o.octets(o.random.IntN(200)+1, visible[:62]) + "@us.test>", "MIME-Version: 1.0 (with\r\n words)",
		"Content-Type: text/plain;\r\n\tcharset=\"utf-8\" ;format=flowed", "Content-Transfer-Encoding:8bit", "content-transfer-encoding : 7BIT ",
		"References:\r\n <a@b>\r\n  <c@d>\t\r\n\t<e@f>", "In-Reply-To: <a@b>", "List-Id: odd <odd.us.test>", "List-Unsubscribe: <https://us.test/" + o.octets(300, visible[:62]) + ">",
		"Comments: first", "Comments:\r\n second", "X-Empty:", "X-Spaces:   ", "Auto-Submitted: no", "Sender: a0@us.test",
		"X-Long: " + o.octets(900, visible[:62]), "Keywords: " + o.folded(20),
	} {
		if o.chance(25) {
			fields = append(fields, field)
		}
	}
	return fields
}

// name is a field's name with its colon, as nobody has to write it.
func (o *oddLetters) name(name string) string {
	return o.pick(name, name, strings.ToLower(name), strings.ToUpper(name)) + o.pick(":", ": ", ": ", " :", ":\t", ":\r\n ", ":  ")
}

// from is the sender, in some of the ways to write it.
func (o *oddLetters) from() string {
	return o.pick("a0@us.test", "<a0@us.test>", "\"Ann \\\"odd\\\" Other\" <a0@us.test>", "=?utf-8?q?=C3=84nn?= <a0@us.test>", "Ann\r\n\t<a0@us.test>", "a0@us.test  ", "Ann   Other\t <a0@us.test>")
}

// recipients is a list of addresses, folded.
func (o *oddLetters) recipients() string {
	list := []string{"x@odd.test"}
	for range o.random.IntN(30) {
		list = append(list, o.octets(o.random.IntN(20)+1, visible[:62])+"@odd.test")
	}
	return strings.Join(list, o.pick(", ", ",\r\n ", ",", " ,\r\n\t\t"))
}

// folded are words with all kinds of white space between.
func (o *oddLetters) folded(words int) string {
	var b strings.Builder
	for i := range o.random.IntN(words) + 1 {
		if i > 0 {
			b.WriteString(o.pick(" ", "  ", "\t", "\r\n ", " \r\n\t", "\r\n  "))
		}
		b.WriteString(o.octets(o.random.IntN(12)+1, visible[:62]))
	}
	return b.String() + o.pick("", "", " ", "\t ")
}

func (o *oddLetters) subject(l *oddLetter) string {
	switch o.random.IntN(5) {
	case 0:
		return o.octets(o.random.IntN(900), visible)
	case 1:
		l.utf8 = true
		return "Grüße " + o.folded(5) + " 日本語"
	case 2:
		return "=?utf-8?B?w6TDtsO8?=\r\n =?utf-8?Q?=C3=9F?="
	}
	return o.folded(40)
}

// body is lines of all kinds.
func (o *oddLetters) body() string {
	var b strings.Builder
	for range o.random.IntN(40) {
		b.WriteString(o.line() + "\r\n")
	}
	switch {
	case o.chance(10):
		b.Reset() // nothing at all
	case o.chance(20):
		b.WriteString(strings.Repeat("\r\n", o.random.IntN(8))) // empty lines at the end
	case o.chance(30):
		b.WriteString(o.line()) // no line's end
	case o.chance(5):
		for range 3000 {
			b.WriteString(o.octets(70, visible[:62]) + "\r\n")
		}
	}
	return b.String()
}

func (o *oddLetters) line() string {
	switch o.random.IntN(12) {
	case 0:
		return o.pick(".", "..", "...", ". ", ".x", "..x", ".\t.")
	case 1:
		return ""
	case 2:
		return o.octets(o.random.IntN(20)+1, " \t")
	case 3:
		return o.octets(o.maxLine, visible)
	case 4:
		return o.octets(o.random.IntN(o.maxLine)+1, withSpaces)
	case 5:
		return o.octets(o.random.IntN(200)+1, highOctets)
	case 6:
		return "grün " + o.octets(o.random.IntN(50), withSpaces) + " 日本語  "
	case 7:
		return "From the start of a line"
	case 8:
		return o.octets(o.random.IntN(30)+1, controlSigns+withSpaces)
	case 9:
		return "--" + o.octets(20, visible[:62]) + o.pick("", "--")
	}
	return o.octets(o.random.IntN(100), withSpaces)
}
