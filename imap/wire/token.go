package wire

import (
	"bytes"
	"math"
	"unicode/utf8"

	goimap "github.com/emersion/go-imap/v2"
)

// expected records that something else was found than what.
func (d *Decoder) expected(what string) {
	if d.err != nil {
		return
	}
	if len(d.line) == 0 {
		d.Fail("expected %s, found the end of the line", what)
		return
	}
	d.Fail("expected %s, found %s", what, quoteStart(d.line))
}

// Peek returns the next octet of the line, 0 at its end.
func (d *Decoder) Peek() byte {
	if d.err != nil || len(d.line) == 0 {
		return 0
	}
	return d.line[0]
}

// Accept takes the octet c if it comes next.
func (d *Decoder) Accept(c byte) bool {
	if d.Peek() != c || c == 0 {
		return false
	}
	d.line = d.line[1:]
	return true
}

// AcceptList takes a space that a list follows whose first member begins with word, in
// any case, if they come next.
func (d *Decoder) AcceptList(word string) bool {
	const before = len(" (")
	if d.err != nil || len(d.line) < before+len(word) || d.line[0] != ' ' || d.line[1] != '(' ||
		!EqualFold(d.line[before:before+len(word)], word) {
		return false
	}
	d.line = d.line[1:]
	return true
}

// Expect takes the octet c, which has to come next.
func (d *Decoder) Expect(c byte) {
	if !d.Accept(c) {
		d.expected(string([]byte{'"', c, '"'}))
	}
}

// SP expects one space.
func (d *Decoder) SP() {
	if !d.Accept(' ') {
		d.expected("a space")
	}
}

// Keyword takes word if it comes next, in any case, and an octet that cannot go on
// with it follows.
func (d *Decoder) Keyword(word string) bool {
	if d.err != nil || len(d.line) < len(word) || !EqualFold(d.line[:len(word)], word) {
		return false
	}
	if len(d.line) > len(word) && classes[d.line[len(word)]]&atomChar != 0 {
		return false
	}
	d.line = d.line[len(word):]
	return true
}

// take returns the longest run of octets of the class, at least one.
func (d *Decoder) take(c class, what string) []byte {
	if d.err != nil {
		return nil
	}
	n := 0
	for n < len(d.line) && classes[d.line[n]]&c != 0 {
		n++
	}
	if n == 0 {
		d.expected(what)
		return nil
	}
	word := d.line[:n]
	d.line = d.line[n:]
	return word
}

// Tag expects the tag of a command. The slice is valid until the next line is read.
func (d *Decoder) Tag() []byte { return d.take(tagChar, "a tag") }

// Atom expects an atom. The slice is valid until the next line is read.
func (d *Decoder) Atom() []byte { return d.take(atomChar, "an atom") }

// Word expects an atom and returns it in upper case: the name of a command, of a
// data item or of an option.
func (d *Decoder) Word() string { return ToUpper(d.Atom()) }

// Rest takes everything up to the end of the line. The slice is valid until the
// next line is read.
func (d *Decoder) Rest() []byte {
	if d.err != nil {
		return nil
	}
	rest := d.line
	d.line = nil
	return rest
}

// Str expects a quoted string or a literal. Octets above 127 are let through in
// quoted strings: passwords and search texts of real clients have them.
func (d *Decoder) Str() string {
	switch d.Peek() {
	case '"':
		return d.quoted()
	case '{', '~':
		return d.stringLiteral()
	}
	d.expected("a string")
	return ""
}

// AString expects an atom, a quoted string or a literal.
func (d *Decoder) AString() string {
	switch d.Peek() {
	case '"', '{':
		return d.Str()
	}
	return string(d.take(astringChar, "a string"))
}

// NString expects a string or NIL; ok is false for NIL.
func (d *Decoder) NString() (s string, ok bool) {
	if d.Keyword("NIL") {
		return "", false
	}
	s = d.Str()
	return s, d.err == nil
}

// ListMailbox expects the pattern of LIST or LSUB as it was sent (list-mailbox), or
// the reference, in which some clients send wildcards too.
func (d *Decoder) ListMailbox() string {
	switch d.Peek() {
	case '"', '{':
		return d.Str()
	}
	return string(d.take(listChar, "a mailbox pattern"))
}

// Mailbox expects a mailbox name and returns it in UTF-8, INBOX in upper case
// whatever case it was sent in (RFC 3501 section 5.1). A name that is not in its
// encoding is ErrUTF7: the command is well-formed, but no mailbox can have the name.
func (d *Decoder) Mailbox() string {
	raw := d.AString()
	if d.err != nil {
		return ""
	}
	name, err := d.DecodeName(raw)
	if err != nil {
		d.stick(err)
		return ""
	}
	return CanonicalInbox(name)
}

// SetUTF8 says whether the client enabled UTF-8: mailbox names of 7 bits are in it then, too,
// instead of modified UTF-7, and quoted strings that are not UTF-8 are refused (RFC 6855
// section 3, RFC 9051 section 5.1).
func (d *Decoder) SetUTF8(on bool) { d.utf8 = on }

// DecodeName returns the mailbox name, or pattern of names, that the client sent, in
// UTF-8; or ErrUTF7. One that has 8 bits is taken for UTF-8 from everybody: some clients
// send those where IMAP4rev2 is announced, without enabling it, and nothing else can be meant.
func (d *Decoder) DecodeName(sent string) (string, error) {
	if !d.utf8 && isASCII(sent) {
		return DecodeUTF7(sent)
	}
	if !utf8.ValidString(sent) {
		return "", ErrUTF7
	}
	return sent, nil
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// CanonicalInbox returns "INBOX" for that name in any case, other names as they are.
func CanonicalInbox(name string) string {
	if EqualFold(name, "INBOX") {
		return "INBOX"
	}
	return name
}

// quoted reads a quoted string; it cannot go over the end of a line.
func (d *Decoder) quoted() string {
	s := d.unquote()
	if d.utf8 && !utf8.ValidString(s) {
		d.Fail("a quoted string is not UTF-8") // RFC 6855 section 3
		return ""
	}
	return s
}

func (d *Decoder) unquote() string {
	body := d.line[1:]
	if i := bytes.IndexByte(body, '"'); i >= 0 && plain(body[:i]) {
		d.line = body[i+1:]
		return string(body[:i])
	}
	out := make([]byte, 0, len(body))
	for i := 0; i < len(body); i++ {
		switch c := body[i]; {
		case c == '"':
			d.line = body[i+1:]
			return string(out)
		case c == '\\' && i+1 < len(body) && (body[i+1] == '"' || body[i+1] == '\\'):
			i++
			out = append(out, body[i])
		case c == '\\' || c < 0x80 && classes[c]&textChar == 0 && c != '"':
			d.Fail("a quoted string may not hold %s", quoteStart(body[i:i+1]))
			return ""
		default:
			out = append(out, c)
		}
	}
	d.Fail("a quoted string has no end")
	return ""
}

// plain reports whether b may stand in a quoted string and holds no backslash.
func plain(b []byte) bool {
	for _, c := range b {
		if c == '\\' || c < 0x80 && classes[c]&textChar == 0 {
			return false
		}
	}
	return true
}

// Number expects a 32-bit number.
func (d *Decoder) Number() uint32 {
	n := d.Number64()
	if n > math.MaxUint32 {
		d.Fail("number out of range")
		return 0
	}
	return uint32(n)
}

// Number64 expects a number of up to 64 bits. What it stands for may allow less:
// mod-sequences have 63 bits (RFC 7162 section 7).
func (d *Decoder) Number64() uint64 {
	if d.err != nil {
		return 0
	}
	n, digits, ok := parseNumber(d.line)
	if !ok {
		d.Fail("number out of range")
		return 0
	}
	if digits == 0 {
		d.expected("a number")
		return 0
	}
	d.line = d.line[digits:]
	return n
}

// parseNumber reads the digits at the front of b; ok is false beyond 64 bits.
func parseNumber(b []byte) (n uint64, digits int, ok bool) {
	for digits < len(b) && isDigit(b[digits]) {
		c := uint64(b[digits] - '0')
		if digits >= maxNumberDigits || n > (math.MaxUint64-c)/10 {
			return 0, digits, false
		}
		n = n*10 + c
		digits++
	}
	return n, digits, true
}

// List expects a parenthesised list and calls item for each member, of which there
// may be none.
func (d *Decoder) List(item func()) {
	d.Expect('(')
	if d.err != nil || d.Accept(')') {
		return
	}
	if !d.Enter() {
		return
	}
	defer d.Leave()
	for d.err == nil {
		item()
		if d.Accept(')') {
			return
		}
		d.SP()
	}
}

// Enter goes one level deeper and reports false, with an error, beyond MaxDepth.
// Whoever parses recursively calls it at the opening of each level, and Leave at
// the end.
func (d *Decoder) Enter() bool {
	if d.depth++; d.depth > MaxDepth {
		d.Fail("more than %d nested lists", MaxDepth)
	}
	return d.err == nil
}

// Leave ends the level that Enter began.
func (d *Decoder) Leave() { d.depth-- }

// Flags expects a parenthesised list of flags.
func (d *Decoder) Flags() []goimap.Flag {
	flags := []goimap.Flag{}
	d.List(func() { flags = d.appendFlag(flags) })
	return flags
}

// BareFlags expects one flag or more without parentheses, as STORE allows.
func (d *Decoder) BareFlags() []goimap.Flag {
	flags := d.appendFlag(nil)
	for d.Accept(' ') {
		flags = d.appendFlag(flags)
	}
	return flags
}

func (d *Decoder) appendFlag(flags []goimap.Flag) []goimap.Flag {
	if len(flags) >= MaxFlags {
		d.Fail("more than %d flags", MaxFlags)
	}
	if f := d.Flag(); d.err == nil {
		flags = append(flags, f)
	}
	return flags
}

// Flag expects a flag: a keyword as it was sent, or one with a backslash. System
// flags come back in the spelling of RFC 3501 whatever case they had.
func (d *Decoder) Flag() goimap.Flag {
	backslash := d.Accept('\\')
	word := d.take(atomChar, "a flag")
	if len(word) > maxFlag {
		d.Fail("a flag is longer than %d octets", maxFlag)
		return ""
	}
	if !backslash {
		return goimap.Flag(word)
	}
	for _, f := range systemFlags {
		if EqualFold(word, f[1:]) {
			return f
		}
	}
	return goimap.Flag("\\" + string(word))
}

// systemFlags are those of RFC 3501 section 2.3.2. \Recent is the server's alone;
// who accepts flags from a client refuses it.
var systemFlags = []goimap.Flag{
	goimap.FlagSeen, goimap.FlagAnswered, goimap.FlagFlagged, goimap.FlagDeleted, goimap.FlagDraft, `\Recent`,
}
