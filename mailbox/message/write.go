package message

import "strings"

const (
	// lineLength is where generated header fields are folded (RFC 5322 section 2.1.1).
	lineLength = 78
	// maxPlainWord is the longest word that is written as it is: with the name of the field it stays below the 998
	// octets of a line.
	maxPlainWord = 900
)

// EncodeWord returns header text in 7 bits: as it is if it is ASCII, else with its words that are not as RFC 2047
// encoded words of at most 75 characters. It fits unstructured fields and display names.
func EncodeWord(s string) string {
	if isASCII([]byte(s)) {
		return s
	}
	return string(appendEncoded(nil, toUTF8([]byte(s), "")))
}

// AppendField appends a header field of generated mail, "Name: value" and CRLF: words that are not ASCII are encoded
// (RFC 2047), lines are folded at white space to 78 characters where that is possible. Line ends and NUL in the value
// become spaces, so that no value can begin another field.
func AppendField(dst []byte, name, value string) []byte {
	clean := strings.Map(func(r rune) rune {
		if r == '\r' || r == '\n' || r == 0 {
			return ' '
		}
		return r
	}, value)
	start := len(dst)
	dst = append(append(dst, name...), ':')
	column := len(dst) - start
	empty := true
	for word := range strings.FieldsSeq(encodeLong(EncodeWord(clean))) {
		if column+1+len(word) > lineLength && !empty {
			dst = append(dst, "\r\n"...)
			column = 0
		}
		dst = append(append(dst, ' '), word...)
		column += 1 + len(word)
		empty = false
	}
	if empty {
		dst = append(dst, ' ')
	}
	return append(dst, "\r\n"...)
}

// encodeLong encodes words that fit in no line.
func encodeLong(s string) string {
	if len(s) <= maxPlainWord {
		return s
	}
	words := strings.Fields(s)
	for i, w := range words {
		if len(w) > maxPlainWord {
			words[i] = string(appendWords(nil, []byte(w)))
		}
	}
	return strings.Join(words, " ")
}

// FormatAddress returns a mailbox for an address field, `Name <local@domain>`, with the name quoted or encoded as it needs
// to be; the address alone if there is no name. The address itself is taken as it is.
func FormatAddress(name, address string) string {
	name = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return -1
		}
		return r
	}, strings.TrimSpace(name))
	switch {
	case name == "":
		return address
	case !isASCII([]byte(name)):
		// All of the name: a quoted string next to encoded words would have to be taken apart (RFC 2047 section 5).
		return string(appendWords(nil, toUTF8([]byte(name), ""))) + " <" + address + ">"
	}
	for i := range len(name) {
		if c := name[i]; endsAtom(c) && c != ' ' || c == ')' || c == '\\' || c == ']' {
			return string(appendQuoted(nil, []byte(name))) + " <" + address + ">"
		}
	}
	return name + " <" + address + ">"
}
