package client

import (
	"bufio"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// The bounds of one response, bodies of messages not counted.
const (
	// maxResponse bounds its octets: a FETCH of everything but bodies is a few hundred, a
	// list of all special folders a few thousand.
	maxResponse = 256 << 10
	// maxString bounds a literal where a name or a field is expected.
	maxString = 64 << 10
	// maxDepth bounds nested parentheses.
	maxDepth = 16
	// maxValues bounds the words of a response.
	maxValues = 20_000
	// maxText bounds what is kept of words for people.
	maxText = 500
)

// reader reads responses, RFC 3501 section 9.
type reader struct {
	r      *bufio.Reader
	left   int // octets that this response may still have
	values int // words that it may still have
	open   bool
}

// response is one response up to where its data begin, which reader.rest reads.
type response struct {
	tag    string // "*", "+", or a command's
	name   string // in capital letters
	number uint32 // in front of the name
	text   string // of a status or a continuation
}

// value is an atom, a string or a list.
type value struct {
	text   string
	list   []value
	isList bool
	isNil  bool
}

// texts are the atoms and strings of a list.
func texts(list []value) []string {
	var out []string
	for _, v := range list {
		if !v.isList && !v.isNil {
			out = append(out, v.text)
		}
	}
	return out
}

var statuses = map[string]bool{"OK": true, "NO": true, "BAD": true, "BYE": true, "PREAUTH": true}

// response begins the next one. What was left of the one before is read over.
func (d *reader) response() (*response, error) {
	if err := d.skip(); err != nil {
		return nil, err
	}
	d.left, d.values, d.open = maxResponse, maxValues, true
	tag, err := d.word()
	if err != nil {
		return nil, err
	}
	r := &response{tag: tag}
	if tag == "+" {
		r.text, err = d.line()
		return r, err
	}
	if r.name, err = d.word(); err != nil {
		return nil, err
	}
	if n, failed := strconv.ParseUint(r.name, 10, 32); failed == nil && tag == "*" {
		r.number = uint32(n)
		if r.name, err = d.word(); err != nil {
			return nil, err
		}
	}
	r.name = strings.ToUpper(r.name)
	if statuses[r.name] {
		r.text, err = d.line()
	}
	return r, err
}

// octet reads one octet of the response.
func (d *reader) octet() (byte, error) {
	if d.left--; d.left < 0 {
		return 0, fmt.Errorf("%w: a response of more than %d octets", ErrProtocol, maxResponse)
	}
	b, err := d.r.ReadByte()
	return b, ended(err)
}

func (d *reader) peek() (byte, error) {
	b, err := d.r.Peek(1)
	if err != nil {
		return 0, ended(err)
	}
	return b[0], nil
}

// word reads up to a space, which is read, or the line's end, which is not.
func (d *reader) word() (string, error) {
	var b []byte
	for {
		c, err := d.peek()
		if err != nil {
			return "", err
		}
		if c == '\r' || c == '\n' {
			return string(b), nil
		}
		if _, err := d.octet(); err != nil {
			return "", err
		}
		if c == ' ' {
			return string(b), nil
		}
		b = append(b, c)
	}
}

// line reads the rest of a line as it is, and keeps the beginning of it.
func (d *reader) line() (string, error) {
	var b []byte
	for {
		c, err := d.octet()
		if err != nil {
			return "", err
		}
		if c == '\n' {
			d.open = false
			return strings.TrimRight(string(b), "\r"), nil
		}
		if len(b) < maxText || b[0] == '[' && len(b) < 8*maxText { // a list of capabilities is longer
			b = append(b, c)
		}
	}
}

// rest reads all data of a response.
func (d *reader) rest() ([]value, error) {
	var list []value
	for d.open {
		v, end, err := d.next(0)
		if err != nil {
			return nil, err
		}
		if end == '\n' {
			break
		}
		if end == ')' {
			return nil, fmt.Errorf("%w: a parenthesis that closes nothing", ErrProtocol)
		}
		list = append(list, v)
	}
	return list, nil
}

// skip reads over what is left of a response.
func (d *reader) skip() error {
	if !d.open {
		return nil
	}
	_, err := d.rest()
	return err
}

// next reads the next value, or what ends a list: ')', or '\n' behind the last one of
// the response.
func (d *reader) next(depth int) (v value, end byte, err error) {
	for {
		c, err := d.peek()
		if err != nil {
			return v, 0, err
		}
		switch c {
		case ' ', '\r':
			if _, err := d.octet(); err != nil {
				return v, 0, err
			}
			continue
		case '\n', ')':
			_, err = d.octet()
			if c == '\n' {
				d.open = false
			}
			return v, c, err
		}
		break
	}
	v, err = d.value(depth)
	return v, 0, err
}

// value reads one value.
func (d *reader) value(depth int) (v value, err error) {
	if d.values--; d.values < 0 {
		return v, fmt.Errorf("%w: a response of more than %d words", ErrProtocol, maxValues)
	}
	c, err := d.peek()
	if err != nil {
		return v, err
	}
	switch c {
	case '(':
		return d.list(depth)
	case '"':
		v.text, err = d.quoted()
	case '{':
		v.text, err = d.literal()
	default:
		v.text, err = d.atom()
		v.isNil = strings.EqualFold(v.text, "NIL")
	}
	return v, err
}

func (d *reader) list(depth int) (v value, err error) {
	if depth == maxDepth {
		return v, fmt.Errorf("%w: more than %d parentheses within each other", ErrProtocol, maxDepth)
	}
	if _, err := d.octet(); err != nil {
		return v, err
	}
	v.isList = true
	for {
		item, end, err := d.next(depth + 1)
		switch {
		case err != nil:
			return v, err
		case end == ')':
			return v, nil
		case end == '\n':
			return v, fmt.Errorf("%w: a line ends within parentheses", ErrProtocol)
		}
		v.list = append(v.list, item)
	}
}

// quoted reads a quoted string. Octets above 127, which RFC 3501 has none of, stay: some
// servers send names so.
func (d *reader) quoted() (string, error) {
	if _, err := d.octet(); err != nil {
		return "", err
	}
	var b []byte
	for {
		c, err := d.octet()
		if err != nil {
			return "", err
		}
		switch c {
		case '"':
			return string(b), nil
		case '\n':
			return "", fmt.Errorf("%w: a line ends within a string", ErrProtocol)
		case '\\':
			if c, err = d.octet(); err != nil {
				return "", err
			}
		}
		b = append(b, c)
	}
}

// atom reads up to what ends an atom. A section in brackets belongs to it, with its
// spaces and parentheses.
func (d *reader) atom() (string, error) {
	var b []byte
	section := false
	for {
		c, err := d.peek()
		if err != nil {
			return "", err
		}
		if c == '\r' || c == '\n' || !section && strings.IndexByte(` ()"{`, c) >= 0 {
			return string(b), d.someAtom(b, c)
		}
		if _, err := d.octet(); err != nil {
			return "", err
		}
		section = c == '[' || section && c != ']'
		b = append(b, c)
	}
}

func (d *reader) someAtom(b []byte, at byte) error {
	if len(b) == 0 {
		return fmt.Errorf("%w: a word begins with %q", ErrProtocol, at)
	}
	return nil
}

// literal reads a string that is sent as a literal.
func (d *reader) literal() (string, error) {
	size, err := d.literalSize()
	if err != nil {
		return "", err
	}
	if size > maxString || size > int64(d.left) {
		return "", fmt.Errorf("%w: a string of %d octets", ErrProtocol, size)
	}
	d.left -= int(size)
	b := make([]byte, size)
	if _, err := io.ReadFull(d.r, b); err != nil {
		return "", ended(err)
	}
	return string(b), nil
}

// maxLiteralDigits holds any size of 63 bits.
const maxLiteralDigits = 18

// literalSize reads the head of a literal, {N} or {N+}, with its line's end.
func (d *reader) literalSize() (int64, error) {
	if _, err := d.octet(); err != nil { // '{'
		return 0, err
	}
	var digits []byte
	for {
		c, err := d.octet()
		if err != nil {
			return 0, err
		}
		if c == '}' {
			break
		}
		if c != '+' {
			digits = append(digits, c)
		}
		if len(digits) > maxLiteralDigits {
			return 0, fmt.Errorf("%w: a literal of %s… octets", ErrProtocol, digits)
		}
	}
	size, err := strconv.ParseUint(string(digits), 10, 63)
	if err != nil {
		return 0, fmt.Errorf("%w: a literal of %.20q octets", ErrProtocol, digits)
	}
	for _, want := range []byte("\r\n") {
		c, err := d.octet()
		if err != nil {
			return 0, err
		}
		if c != want {
			return 0, fmt.Errorf("%w: %q behind a literal's head", ErrProtocol, c)
		}
	}
	return int64(size), nil
}
