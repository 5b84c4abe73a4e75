package mailauth

import (
	"bytes"
	"encoding/base64"
	"errors"
	"math"
)

// maxTags bounds a tag list. Signatures have about twelve, key records five.
const maxTags = 50

// tag is one of a tag list (RFC 6376 section 3.2).
type tag struct {
	name  []byte
	value []byte // without the white space around it
	from  int    // where what stands behind the "=" begins in the list, white space included
	to    int    // and where it ends
}

// tagList is a parsed list; no name is in it twice.
type tagList []tag

var errTagList = errors.New("not a tag list")

// parseTags parses a list. Empty places between semicolons are read over:
// nobody could understand them in two ways.
func parseTags(list []byte) (tagList, error) { return appendTags(make(tagList, 0, usualTags), list) }

// usualTags are as many as most lists have.
const usualTags = 16

// appendTags is parseTags into room that is there.
func appendTags(tags tagList, list []byte) (tagList, error) {
	for at := 0; at < len(list); {
		end := len(list)
		if i := bytes.IndexByte(list[at:], ';'); i >= 0 {
			end = at + i
		}
		if spec := list[at:end]; len(trimFWS(spec)) > 0 {
			equals := bytes.IndexByte(spec, '=')
			if equals < 0 || len(tags) == maxTags {
				return nil, errTagList
			}
			t := tag{trimFWS(spec[:equals]), trimFWS(spec[equals+1:]), at + equals + 1, end}
			if !isTagName(t.name) || !isTagValue(t.value) || tags.find(string(t.name)) != nil {
				return nil, errTagList
			}
			tags = append(tags, t)
		}
		at = end + 1
	}
	return tags, nil
}

// find gives the tag of a name, which is case-sensitive, or nil.
func (l tagList) find(name string) *tag {
	for i := range l {
		if string(l[i].name) == name {
			return &l[i]
		}
	}
	return nil
}

// value gives the value of a tag, nil without it.
func (l tagList) value(name string) []byte {
	if t := l.find(name); t != nil {
		return t.value
	}
	return nil
}

func isTagName(name []byte) bool {
	for i, c := range name {
		letter := 'a' <= lower(c) && lower(c) <= 'z'
		if !letter && (i == 0 || c != '_' && (c < '0' || c > '9')) {
			return false
		}
	}
	return len(name) > 0
}

// isTagValue takes the characters of RFC 6376 section 3.2 and, since RFC 8616
// section 5, those above ASCII.
func isTagValue(value []byte) bool {
	for _, c := range value {
		if c < '!' && !isFWS(c) || c == 0x7F {
			return false
		}
	}
	return true
}

func trimFWS(b []byte) []byte {
	for len(b) > 0 && isFWS(b[0]) {
		b = b[1:]
	}
	for len(b) > 0 && isFWS(b[len(b)-1]) {
		b = b[:len(b)-1]
	}
	return b
}

// withoutFWS is b without any white space, in b itself where it has none.
func withoutFWS(b []byte) []byte {
	if !bytes.ContainsAny(b, " \t\r\n") {
		return b
	}
	return appendWithoutFWS(make([]byte, 0, len(b)), b)
}

// appendWithoutFWS appends b without any white space, line by line.
func appendWithoutFWS(dst, b []byte) []byte {
	for len(b) > 0 {
		n := 0
		for n < len(b) && !isFWS(b[n]) {
			n++
		}
		dst = append(dst, b[:n]...)
		for n < len(b) && isFWS(b[n]) {
			n++
		}
		b = b[n:]
	}
	return dst
}

// decodeBase64 decodes a value in which white space means nothing.
func decodeBase64(value []byte) ([]byte, error) {
	return appendDecoded(nil, value)
}

// appendDecoded is decodeBase64 into room that is there.
func appendDecoded(dst, value []byte) ([]byte, error) {
	var room [usualBase64]byte
	return strictBase64.AppendDecode(dst, appendWithoutFWS(room[:0], value))
}

// usualBase64 is as much as a signature of RSA of 2048 bits takes, with some room, in octets.
const usualBase64 = 400

var strictBase64 = base64.StdEncoding.Strict()

// decimal reads an unsigned number of at most digits digits. What is larger
// than an int64 is as good as endless (RFC 6376 section 3.5, l= and t=).
func decimal(value []byte, digits int) (n int64, ok bool) {
	if len(value) == 0 || len(value) > digits {
		return 0, false
	}
	for _, c := range value {
		switch {
		case c < '0' || c > '9':
			return 0, false
		case n > (math.MaxInt64-9)/10:
			n = math.MaxInt64
		default:
			n = 10*n + int64(c-'0')
		}
	}
	return n, true
}

// unquote undoes dkim-quoted-printable (RFC 6376 section 2.11): white space
// means nothing, =XX is an octet.
func unquote(value []byte) ([]byte, bool) {
	value = withoutFWS(value)
	out := make([]byte, 0, len(value))
	for i := 0; i < len(value); i++ {
		if value[i] != '=' {
			out = append(out, value[i])
			continue
		}
		if i+2 >= len(value) {
			return nil, false
		}
		high, ok1 := hexDigit(value[i+1])
		low, ok2 := hexDigit(value[i+2])
		if !ok1 || !ok2 {
			return nil, false
		}
		out = append(out, high<<4|low)
		i += 2
	}
	return out, true
}

func hexDigit(c byte) (byte, bool) {
	switch {
	case '0' <= c && c <= '9':
		return c - '0', true
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10, true
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10, true
	}
	return 0, false
}

// listHas reports whether a list of words has one, in any case.
func listHas(value []byte, word string) bool {
	for item := range bytes.SplitSeq(value, []byte(":")) {
		if bytes.EqualFold(trimFWS(item), []byte(word)) {
			return true
		}
	}
	return false
}
