package mailboxtest

import (
	"encoding/base64"
	"errors"
	"fmt"
	"iter"
	"strconv"
	"strings"
)

// maxRepeat bounds $repeat: beyond every line limit of the protocols, and a slip
// of the finger stays harmless.
const maxRepeat = 64 << 20

type partKind int

const (
	partLiteral partKind = iota
	partAny              // *: any run of characters, also none
	partVar              // $name
	partBase64           // $b64(…)
	partRepeat           // $repeat(N,…)
)

// part is a piece of a line.
type part struct {
	kind  partKind
	value string  // the literal's text or the variable's name
	inner pattern // of $b64 and $repeat
	count int     // of $repeat
}

// pattern is a line in pieces: one that is expected or one to be sent.
type pattern []part

// syntax says what is special in a line besides the dollar.
type syntax struct {
	stars   bool // * and **
	escapes bool // \r \n \t \xNN \\ \)
	inside  bool // within $b64( or $repeat(: a closing parenthesis ends it
}

// parser walks over one line.
type parser struct {
	rest string
	out  pattern
	lit  strings.Builder
}

// parsePattern takes a whole line apart.
func parsePattern(text string, how syntax) (pattern, error) {
	p := &parser{rest: text}
	if err := p.run(how); err != nil {
		return nil, fmt.Errorf("%w in %q", err, text)
	}
	return p.out, nil
}

// run reads parts until the end of the line, or inside a function until its
// closing parenthesis.
func (p *parser) run(how syntax) error {
	for p.rest != "" {
		c := p.rest[0]
		var err error
		switch {
		case c == ')' && how.inside:
			p.rest = p.rest[1:]
			p.flush()
			return nil
		case c == '*' && how.stars:
			p.star()
		case c == '\\' && how.escapes:
			err = p.escape()
		case c == '$':
			err = p.dollar(how.inside)
		default:
			p.lit.WriteByte(c)
			p.rest = p.rest[1:]
		}
		if err != nil {
			return err
		}
	}
	p.flush()
	if how.inside {
		return errors.New("missing )")
	}
	return nil
}

func (p *parser) flush() {
	if p.lit.Len() > 0 {
		p.out = append(p.out, part{kind: partLiteral, value: p.lit.String()})
		p.lit.Reset()
	}
}

func (p *parser) star() {
	if rest, ok := strings.CutPrefix(p.rest, "**"); ok {
		p.lit.WriteByte('*')
		p.rest = rest
		return
	}
	p.rest = p.rest[1:]
	p.flush()
	p.out = append(p.out, part{kind: partAny})
}

var escapes = map[byte]byte{'r': '\r', 'n': '\n', 't': '\t', '\\': '\\', ')': ')'}

func (p *parser) escape() error {
	if len(p.rest) < 2 {
		return errors.New("a backslash at the end")
	}
	c := p.rest[1]
	if plain, ok := escapes[c]; ok {
		p.lit.WriteByte(plain)
		p.rest = p.rest[2:]
		return nil
	}
	if c != 'x' || len(p.rest) < 4 {
		return fmt.Errorf(`unknown escape \%c`, c)
	}
	b, err := strconv.ParseUint(p.rest[2:4], 16, 8)
	if err != nil {
		return fmt.Errorf(`unknown escape \x%s`, p.rest[2:4])
	}
	p.lit.WriteByte(byte(b))
	p.rest = p.rest[4:]
	return nil
}

// dollar reads $$, $name, $b64(…) or $repeat(…). A function inside another is
// refused, which bounds the recursion.
func (p *parser) dollar(inside bool) error {
	p.rest = p.rest[1:]
	if rest, ok := strings.CutPrefix(p.rest, "$"); ok {
		p.lit.WriteByte('$')
		p.rest = rest
		return nil
	}
	name := p.rest[:nameLen(p.rest)]
	if name == "" {
		return errors.New("a $ without a name (a literal one is $$)")
	}
	p.rest = p.rest[len(name):]
	p.flush()
	if rest, ok := strings.CutPrefix(p.rest, "("); ok && (name == "b64" || name == "repeat") {
		if inside {
			return errors.New("a function within a function")
		}
		p.rest = rest
		return p.function(name)
	}
	p.out = append(p.out, part{kind: partVar, value: name})
	return nil
}

// function reads the arguments of $b64( or $repeat(.
func (p *parser) function(name string) error {
	f := part{kind: partBase64}
	if name == "repeat" {
		number, rest, ok := strings.Cut(p.rest, ",")
		n, err := strconv.Atoi(number)
		if !ok || err != nil || n < 1 {
			return errors.New("$repeat wants (N,TEXT) with N of 1 or more")
		}
		f.kind, f.count, p.rest = partRepeat, n, rest
	}
	arg := &parser{rest: p.rest}
	if err := arg.run(syntax{escapes: true, inside: true}); err != nil {
		return err
	}
	f.inner, p.rest = arg.out, arg.rest
	p.out = append(p.out, f)
	return nil
}

// nameLen is the length of the variable name at the head of s: a letter, then
// letters, digits and underscores.
func nameLen(s string) int {
	for i := range len(s) {
		c := s[i] | 0x20
		letter := c >= 'a' && c <= 'z'
		if !letter && (i == 0 || s[i] != '_' && (s[i] < '0' || s[i] > '9')) {
			return i
		}
	}
	return len(s)
}

// names yields every variable of the pattern, once for each place it stands in.
func (p pattern) names() iter.Seq[string] {
	return func(yield func(string) bool) {
		for _, part := range p {
			if part.kind == partVar && !yield(part.value) {
				return
			}
			for _, in := range part.inner {
				if in.kind == partVar && !yield(in.value) {
					return
				}
			}
		}
	}
}

// text is the pattern's text with its variables put in.
func (p pattern) text(vars map[string]string) (string, error) {
	var b strings.Builder
	for _, part := range p {
		s, err := part.text(vars)
		if err != nil {
			return "", err
		}
		b.WriteString(s)
	}
	return b.String(), nil
}

func (p part) text(vars map[string]string) (string, error) {
	switch p.kind {
	case partVar:
		value, ok := vars[p.value]
		if !ok {
			return "", fmt.Errorf("$%s is not known yet", p.value)
		}
		return value, nil
	case partBase64, partRepeat:
		inner, err := p.inner.text(vars)
		if err != nil {
			return "", err
		}
		if p.kind == partBase64 {
			return base64.StdEncoding.EncodeToString([]byte(inner)), nil
		}
		if len(inner)*p.count > maxRepeat {
			return "", fmt.Errorf("$repeat of more than %d octets", maxRepeat)
		}
		return strings.Repeat(inner, p.count), nil
	default:
		return p.value, nil
	}
}

// match says whether line is what the pattern wants, and only then adds the
// names that the line has given a value to vars.
func (p pattern) match(line string, vars map[string]string) (bool, error) {
	m := matcher{vars: vars, taken: map[string]string{}}
	ok := m.match(p, line)
	if m.err != nil || !ok {
		return false, m.err
	}
	for name, value := range m.taken {
		vars[name] = value
	}
	return true, nil
}

// matcher tries the ways in which a pattern can match a line. It goes as deep as
// the pattern has parts.
type matcher struct {
	vars  map[string]string
	taken map[string]string // in this line, so far
	err   error
}

func (m *matcher) match(p pattern, line string) bool {
	if len(p) == 0 {
		return line == ""
	}
	switch first, rest := p[0], p[1:]; {
	case first.kind == partAny:
		return m.any(rest, line)
	case first.kind == partVar && !m.known(first.value):
		return m.take(first.value, rest, line)
	default:
		text, err := m.text(first)
		if err != nil {
			m.err = err
			return false
		}
		after, ok := strings.CutPrefix(line, text)
		return ok && m.match(rest, after)
	}
}

// any matches rest after the shortest run that allows it.
func (m *matcher) any(rest pattern, line string) bool {
	if len(rest) == 0 {
		return true
	}
	for i := 0; i <= len(line) && m.err == nil; i++ {
		if rest[0].kind == partLiteral {
			next := strings.Index(line[i:], rest[0].value)
			if next < 0 {
				return false
			}
			i += next
		}
		if m.match(rest, line[i:]) {
			return true
		}
	}
	return false
}

// take gives name the shortest run without white space after which rest matches.
func (m *matcher) take(name string, rest pattern, line string) bool {
	for i := 1; i <= len(line) && line[i-1] != ' ' && line[i-1] != '\t' && m.err == nil; i++ {
		m.taken[name] = line[:i]
		if m.match(rest, line[i:]) {
			return true
		}
	}
	delete(m.taken, name)
	return false
}

func (m *matcher) known(name string) bool {
	_, before := m.vars[name]
	_, now := m.taken[name]
	return before || now
}

// text is a part's text with what this line has given so far.
func (m *matcher) text(p part) (string, error) {
	if value, ok := m.taken[p.value]; ok && p.kind == partVar {
		return value, nil
	}
	return p.text(m.vars)
}
