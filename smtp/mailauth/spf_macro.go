package mailauth

import (
	"errors"
	"slices"
	"strings"
)

// spfMacro is a macro-string in its parts (RFC 7208 section 7.1).
type spfMacro []spfMacroPart

// spfMacroPart is a literal, or a letter with its transformers.
type spfMacroPart struct {
	literal    string
	escaped    bool   // the literal was written as %%, %_ or %-
	letter     byte   // in lower case; 0: literal
	escape     bool   // the letter was an upper case one
	keep       int    // right-hand parts to keep; 0: all
	reverse    bool   //
	delimiters string // "" : "." where the value is split at all
}

// macroPlace says which letters and characters a macro-string may have.
type macroPlace uint8

const (
	macroInTerm        macroPlace = iota // terms of a record
	macroInExplanation                   // explain-string: also c, r, t and spaces
)

const (
	macroLetters            = "slodipvh"
	macroExplanationLetters = "crt"
	macroDelimiters         = ".-+,/_="
)

// maxMacroParts is where a transformer's number stops counting: no value has
// more parts (RFC 7208 section 7.3 wants 127).
const maxMacroParts = 1000

var errSPFMacro = errors.New("wrong macro")

// parseDomainSpec reads a domain-spec: a macro-string that ends in a top label
// or in a macro (RFC 7208 section 7.1).
func parseDomainSpec(s string) (spfMacro, error) {
	m, err := parseMacro(s, macroInTerm)
	if err != nil {
		return nil, err
	}
	if len(m) == 0 {
		return nil, errSPFArgument
	}
	last := m[len(m)-1]
	if last.letter != 0 || last.escaped {
		return m, nil
	}
	_, top, found := cutLast(strings.TrimSuffix(last.literal, "."), ".")
	if !found || !isTopLabel(top) {
		return nil, errSPFArgument
	}
	return m, nil
}

// isTopLabel tells whether a label can be a top level domain: letters, digits
// and inner hyphens, not digits only.
func isTopLabel(label string) bool {
	digits := true
	for i := range len(label) {
		c := label[i]
		inner := i > 0 && i < len(label)-1
		if !isAlpha(c) && !isDigit(c) && !(c == '-' && inner) {
			return false
		}
		digits = digits && isDigit(c)
	}
	return label != "" && !digits
}

// parseMacro reads a macro-string.
func parseMacro(s string, place macroPlace) (spfMacro, error) {
	var m spfMacro
	for s != "" {
		if n := literalLength(s, place); n > 0 {
			m = append(m, spfMacroPart{literal: s[:n]})
			s = s[n:]
			continue
		}
		if s[0] != '%' || len(s) < 2 {
			return nil, errSPFMacro
		}
		if text, ok := percentEscapes[s[1]]; ok {
			m = append(m, spfMacroPart{literal: text, escaped: true})
			s = s[2:]
			continue
		}
		end := strings.IndexByte(s, '}')
		if s[1] != '{' || end < 0 {
			return nil, errSPFMacro
		}
		part, err := parseMacroExpand(s[2:end], place)
		if err != nil {
			return nil, err
		}
		m = append(m, part)
		s = s[end+1:]
	}
	return m, nil
}

// percentEscapes are the macros without a letter.
var percentEscapes = map[byte]string{'%': "%", '_': " ", '-': "%20"}

// literalLength counts the characters that s begins with and that stand for
// themselves.
func literalLength(s string, place macroPlace) int {
	for i := range len(s) {
		c := s[i]
		if c <= ' ' && (c != ' ' || place != macroInExplanation) || c > '~' || c == '%' {
			return i
		}
	}
	return len(s)
}

// parseMacroExpand reads what stands between "%{" and "}".
func parseMacroExpand(s string, place macroPlace) (spfMacroPart, error) {
	if s == "" {
		return spfMacroPart{}, errSPFMacro
	}
	p := spfMacroPart{letter: s[0] | 0x20, escape: s[0]&0x20 == 0}
	known := strings.IndexByte(macroLetters, p.letter) >= 0 ||
		place == macroInExplanation && strings.IndexByte(macroExplanationLetters, p.letter) >= 0
	if !isAlpha(s[0]) || !known {
		return p, errSPFMacro
	}
	s = s[1:]
	digits := 0
	for ; len(s) > 0 && isDigit(s[0]); s = s[1:] {
		p.keep = min(10*p.keep+int(s[0]-'0'), maxMacroParts)
		digits++
	}
	if digits > 0 && p.keep == 0 {
		return p, errSPFMacro
	}
	if s != "" && s[0]|0x20 == 'r' {
		p.reverse, s = true, s[1:]
	}
	for i := range len(s) {
		if strings.IndexByte(macroDelimiters, s[i]) < 0 {
			return p, errSPFMacro
		}
	}
	p.delimiters = s
	return p, nil
}

// names tells whether the macro-string holds one of the letters.
func (m spfMacro) names(letters string) bool {
	return slices.ContainsFunc(m, func(p spfMacroPart) bool {
		return p.letter != 0 && strings.IndexByte(letters, p.letter) >= 0
	})
}

// expand puts the values of letters in (RFC 7208 section 7.3).
func (m spfMacro) expand(value func(letter byte) string) string {
	var b strings.Builder
	for _, p := range m {
		if p.letter == 0 {
			b.WriteString(p.literal)
			continue
		}
		v := p.transform(value(p.letter))
		if p.escape {
			v = escapeURL(v)
		}
		b.WriteString(v)
	}
	return b.String()
}

// transform splits a value, reverses it and keeps its right-hand parts.
func (p *spfMacroPart) transform(v string) string {
	if p.keep == 0 && !p.reverse && p.delimiters == "" {
		return v
	}
	delimiters := p.delimiters
	if delimiters == "" {
		delimiters = "."
	}
	parts := make([]string, 0, 8)
	for {
		i := strings.IndexAny(v, delimiters)
		if i < 0 {
			break
		}
		parts, v = append(parts, v[:i]), v[i+1:]
	}
	parts = append(parts, v)
	if p.reverse {
		slices.Reverse(parts)
	}
	if p.keep > 0 && p.keep < len(parts) {
		parts = parts[len(parts)-p.keep:]
	}
	return strings.Join(parts, ".")
}

// escapeURL escapes what is not unreserved (RFC 3986 section 2.3).
func escapeURL(s string) string {
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(s) {
		c := s[i]
		if isAlpha(c) || isDigit(c) || strings.IndexByte("-._~", c) >= 0 {
			b.WriteByte(c)
			continue
		}
		b.Write([]byte{'%', hex[c>>4], hex[c&15]})
	}
	return b.String()
}
