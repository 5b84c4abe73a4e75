package mailauth

import (
	"bytes"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"mailstead/smtp/dns"
)

// AuthResults are the results of one server, as an Authentication-Results field
// has them (RFC 8601 section 2.2).
type AuthResults struct {
	// ID says who speaks (authserv-id): the name of a mail server or domain.
	ID string
	// Methods are the results, in their order; none of them is written as "none".
	Methods []MethodResult
}

// MethodResult is what one method found.
type MethodResult struct {
	// Method is its name: dkim, spf, dmarc, arc, iprev.
	Method string
	// Result is its result.
	Result Result
	// Reason says in a few words why, for people; may be empty.
	Reason string
	// Properties are what the result is about.
	Properties []Property
}

// Property is a part of a message or of its way here that a result is about:
// Type is header, smtp, policy or body, Name and Value stand around the "=".
type Property struct {
	Type, Name, Value string
}

// What a field of ours is held to, for readers that are as careful as we are.
const (
	foldAt    = 78  // octets of a line, where it can be folded (RFC 5322 section 2.1.1)
	maxPvalue = 320 // octets of a value: an address (RFC 5321 section 4.5.3.1)
)

// AppendField appends the whole field, folded, with its last line end. Values
// may come from strangers: they are quoted where needed, cut at 320 octets, and
// have no control characters. With unicode they may be UTF-8, which is for
// messages whose header is (RFC 8601 section 5); without, domains become
// A-labels, a local part that is not ASCII is left out, and other text loses
// what is not ASCII.
func (r AuthResults) AppendField(dst []byte, unicode bool) []byte {
	w := fieldWriter{dst: dst, line: len(dst)}
	w.dst = append(w.dst, "Authentication-Results: "...)
	w.value(plain(r.ID, unicode))
	if len(r.Methods) == 0 {
		return append(w.dst, "; none\r\n"...)
	}
	for _, m := range r.Methods {
		w.dst = append(w.dst, ';')
		w.fold()
		w.dst = append(append(append(w.dst, keyword(m.Method)...), '='), keyword(string(m.Result))...)
		if m.Reason != "" {
			at := w.begin()
			w.dst = appendQuoted(append(w.dst, "reason="...), fieldText(m.Reason, unicode))
			w.end(at)
		}
		for _, p := range m.Properties {
			at := w.begin()
			w.dst = append(append(append(append(w.dst, keyword(p.Type)...), '.'), keyword(p.Name)...), '=')
			w.value(plain(p.Value, unicode))
			w.end(at)
		}
	}
	return append(w.dst, crlf...)
}

// fieldWriter writes a folded field.
type fieldWriter struct {
	dst  []byte
	line int // where the present line begins
}

// wordFold stands in front of a name on a line of its own.
var wordFold = []byte("\r\n\t  ")

func (w *fieldWriter) fold() {
	w.line = len(w.dst) + len(crlf)
	w.dst = append(w.dst, "\r\n\t"...)
}

func (w *fieldWriter) value(s string) { w.dst = appendPvalue(w.dst, s) }

// begin begins a name with its value on the present line. It gives where, for end.
func (w *fieldWriter) begin() (at int) {
	w.dst = append(w.dst, ' ')
	return len(w.dst) - 1
}

// end moves what was written since to the next line where it does not fit.
func (w *fieldWriter) end(at int) {
	if len(w.dst)-w.line > foldAt {
		w.dst = slices.Replace(w.dst, at, at+1, wordFold...)
		w.line = at + len(crlf)
	}
}

// keyword makes sure that what stands for a keyword is one.
func keyword(s string) string {
	if s != "" && bytewise(s, isKeywordChar) {
		return s
	}
	s = strings.Map(func(r rune) rune {
		if r < utf8.RuneSelf && isKeywordChar(byte(r)) {
			return r
		}
		return -1
	}, s)
	if s == "" {
		return "x"
	}
	return s
}

// bytewise reports whether all octets of s are of a kind.
func bytewise(s string, kind func(byte) bool) bool {
	for i := range len(s) {
		if !kind(s[i]) {
			return false
		}
	}
	return true
}

// isKeywordChar reports what is in a Keyword of RFC 5321 section 4.1.2; some
// programs write underscores, too.
func isKeywordChar(c byte) bool {
	return 'a' <= lower(c) && lower(c) <= 'z' || '0' <= c && c <= '9' || c == '-' || c == '_'
}

// plain makes a value fit for the field: an address, a domain or other text.
func plain(s string, unicode bool) string {
	if isFieldText(s) {
		return s
	}
	at := strings.LastIndexByte(s, '@')
	if unicode || isASCII(s) {
		return fieldText(s, unicode)
	}
	domain, err := dns.ASCII(s[at+1:])
	switch {
	case err != nil:
		return fieldText(s, false)
	case at < 0:
		return domain
	case isASCII(s[:at]):
		return fieldText(s[:at+1]+domain, false)
	}
	return "@" + domain
}

// isFieldText reports whether a text is fit for a field as it is.
func isFieldText(s string) bool {
	return len(s) <= maxPvalue && bytewise(s, func(c byte) bool { return ' ' <= c && c <= '~' })
}

// fieldText takes out of a text what no field may have, and cuts it.
func fieldText(s string, unicode bool) string {
	if isFieldText(s) {
		return s
	}
	s = strings.Map(func(r rune) rune {
		switch {
		case r < ' ' || r == 0x7F:
			return ' '
		case r == utf8.RuneError, r >= utf8.RuneSelf && !unicode, 0x80 <= r && r < 0xA0:
			return '?'
		}
		return r
	}, s[:min(len(s), maxPvalue)])
	for len(s) > maxPvalue { // replacements are longer than what they stand for
		_, n := utf8.DecodeLastRuneInString(s)
		s = s[:len(s)-n]
	}
	return s
}

func isASCII(s string) bool { return bytewise(s, func(c byte) bool { return c < utf8.RuneSelf }) }

// appendPvalue appends a value as it is where it is a token or an address of
// plain words, else quoted.
func appendPvalue(dst []byte, s string) []byte {
	local, domain, address := strings.Cut(s, "@")
	if !address {
		local, domain = domain, s
	}
	if isToken(domain) && (local == "" || isToken(local)) {
		return append(dst, s...)
	}
	return appendQuoted(dst, s)
}

// isToken reports a token of RFC 2045 section 5.1, which UTF-8 may be part of.
func isToken(s string) bool {
	return s != "" && bytewise(s, func(c byte) bool {
		return c > ' ' && c != 0x7F && strings.IndexByte(`()<>@,;:\"/[]?=`, c) < 0
	})
}

func appendQuoted(dst []byte, s string) []byte {
	dst = append(dst, '"')
	for i := range len(s) {
		if s[i] == '"' || s[i] == '\\' {
			dst = append(dst, '\\')
		}
		dst = append(dst, s[i])
	}
	return append(dst, '"')
}

// AppendMethods appends the results as they are written into Authentication-Results; a
// message without signature has dkim=none.
func (r Results) AppendMethods(methods []MethodResult) []MethodResult {
	for _, d := range r.DKIM {
		methods = append(methods, d.method())
	}
	if len(r.DKIM) == 0 {
		methods = append(methods, MethodResult{Method: "dkim", Result: None})
	}
	if r.Ignored > 0 {
		methods = append(methods, MethodResult{Method: "dkim", Result: Neutral,
			Reason: strconv.Itoa(r.Ignored) + " more signatures were not judged"})
	}
	if r.ARC.Result != None {
		methods = append(methods, r.ARC.method())
	}
	return methods
}

// method has the properties that RFC 8601 section 2.7.1 and RFC 6008 name.
func (d DKIMResult) method() MethodResult {
	m := MethodResult{Method: "dkim", Result: d.Result, Reason: d.Reason}
	if d.Reason == "" && d.Testing {
		m.Reason = "the domain only tries DKIM"
	}
	properties := [...]Property{
		{"header", "d", d.Domain}, {"header", "i", d.agent()}, {"header", "s", d.Selector}, {"header", "a", d.Algorithm}, {"header", "b", d.Prefix},
	}
	m.Properties = make([]Property, 0, len(properties))
	for _, p := range properties {
		if p.Value != "" {
			m.Properties = append(m.Properties, p)
		}
	}
	return m
}

// agent is the identity where it says more than the domain.
func (d DKIMResult) agent() string {
	if d.Identity == "@"+d.Domain {
		return ""
	}
	return d.Identity
}

// method is as RFC 8617 section 6 has it.
func (a ARCResult) method() MethodResult {
	m := MethodResult{Method: "arc", Result: a.Result, Reason: a.Reason}
	if a.Result == Pass {
		m.Properties = []Property{
			{"header", "oldest-pass", strconv.Itoa(a.OldestPass)},
			{"header", "d", a.Sets[len(a.Sets)-1].Domain},
		}
	}
	return m
}

// RemoveForged gives a header without the Authentication-Results fields that
// claim to be ours, by any of ids or a name below one, or that cannot be read
// and so might (RFC 8601 section 5). It is for mail from strangers, after its
// signatures were verified: one that covers such a field no longer matches. The
// header is given back as it is where nothing had to go; else it is copied.
func RemoveForged(header []byte, ids ...string) []byte {
	var kept []byte
	from := 0 // header[from:] is not in kept yet
	for at := 0; at < len(header) && !bytes.HasPrefix(header[at:], crlf) && header[at] != '\n'; {
		end := at + fieldLength(header[at:])
		if f := header[at:end]; hasPrefixFold(f, resultsField) && isResults(f) && isForged(f, ids) {
			kept = append(kept, header[from:at]...)
			from = end
		}
		at = end
	}
	if from == 0 {
		return header
	}
	return append(kept, header[from:]...)
}

const resultsField = "Authentication-Results"

// isResults reports whether a field is one of results, and not one whose name is longer.
func isResults(field []byte) bool {
	name, ok := nameOf(field)
	return ok && len(name) == len(resultsField)
}

func isForged(field []byte, ids []string) bool {
	_, value, _ := bytes.Cut(field, []byte(":"))
	p := resultsParser{rest: value[:min(len(value), maxResultsField)]}
	id, ok := p.identifier()
	if !ok {
		return true
	}
	id = comparedName(id)
	for _, ours := range ids {
		if ours = comparedName(ours); id == ours || strings.HasSuffix(id, "."+ours) {
			return true
		}
	}
	return false
}

// comparedName is the form of a name that is the same for all ways to write it.
func comparedName(name string) string {
	if ascii, err := dns.ASCII(name); err == nil {
		return ascii
	}
	return strings.ToLower(name)
}
