package differential

import (
	"bytes"
	"strconv"
	"strings"
)

// value is a piece of a response: a word, a string or a list. NIL is a word.
type value struct {
	kind byte // 'w', 's' or 'l'
	text string
	list []value
}

// String shows a value in one line: strings as in Go, so that each octet can be seen.
func (v value) String() string {
	switch v.kind {
	case 's':
		return strconv.Quote(v.text)
	case 'l':
		var b strings.Builder
		for i, e := range v.list {
			if i > 0 {
				b.WriteByte(' ')
			}
			b.WriteString(e.String())
		}
		return "(" + b.String() + ")"
	}
	return v.text
}

// at is an element of a list; NIL where there is none.
func (v value) at(i int) value {
	if i < len(v.list) {
		return v.list[i]
	}
	return value{kind: 'w', text: "NIL"}
}

// parser reads a response as [client.response] returns it.
type parser struct{ rest []byte }

// values reads up to the end, or to the parenthesis that closes a list.
func (p *parser) values() (list []value) {
	for len(p.rest) > 0 {
		switch p.rest[0] {
		case ' ':
			p.rest = p.rest[1:]
		case ')':
			p.rest = p.rest[1:]
			return list
		default:
			list = append(list, p.value())
		}
	}
	return list
}

func (p *parser) value() value {
	switch p.rest[0] {
	case '(':
		p.rest = p.rest[1:]
		return value{kind: 'l', list: p.values()}
	case '"':
		return value{kind: 's', text: p.quoted()}
	case '~':
		if len(p.rest) > 1 && p.rest[1] == 0 {
			p.rest = p.rest[1:]
			return p.value()
		}
	case 0:
		digits, rest, _ := bytes.Cut(p.rest[1:], []byte{0})
		n, _ := strconv.Atoi(string(digits))
		p.rest = rest[n:]
		return value{kind: 's', text: string(rest[:n])}
	}
	return value{kind: 'w', text: p.word()}
}

func (p *parser) quoted() string {
	var b strings.Builder
	i := 1
	for ; i < len(p.rest) && p.rest[i] != '"'; i++ {
		if p.rest[i] == '\\' {
			i++
		}
		b.WriteByte(p.rest[i])
	}
	p.rest = p.rest[i+1:]
	return b.String()
}

// word reads an atom. What brackets enclose belongs to it: BODY[HEADER.FIELDS (TO)]<0>.
func (p *parser) word() string {
	i, bracket := 0, false
	for ; i < len(p.rest); i++ {
		switch p.rest[i] {
		case '[':
			bracket = true
		case ']':
			bracket = false
		case ' ', ')', '(':
			if !bracket {
				word := string(p.rest[:i])
				p.rest = p.rest[i:]
				return word
			}
		}
	}
	word := string(p.rest)
	p.rest = nil
	return word
}

// fetched is what a FETCH response tells of one message, by the names of its items.
type fetched map[string]value

// parseFetched reads "* n FETCH (...)"; ok is false for other responses.
func parseFetched(response []byte) (uid string, items fetched, ok bool) {
	p := parser{rest: response}
	all := p.values()
	if len(all) != 4 || all[2].text != "FETCH" || all[3].kind != 'l' {
		return "", nil, false
	}
	items = fetched{}
	for list := all[3].list; len(list) > 1; list = list[2:] {
		items[itemName(list[0].text)] = list[1]
	}
	uid = items["UID"].text
	delete(items, "UID")
	return uid, items, true
}

// itemName is the name of an item with what servers may write in several ways written in one.
func itemName(name string) string { return strings.ToUpper(strings.ReplaceAll(name, `"`, "")) }
