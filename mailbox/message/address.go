package message

import "bytes"

// AddressKind tells a mailbox from the marks around a group.
type AddressKind uint8

// The kinds of entries of an address list, in the order of RFC 3501 section 7.4.2.
const (
	// Mailbox is one address.
	Mailbox AddressKind = iota
	// GroupStart begins a group; Name is the group's name.
	GroupStart
	// GroupEnd ends it.
	GroupEnd
)

// Address is an entry of an address list (RFC 5322 section 3.4, RFC 6532). Quoting, comments and folding are removed,
// RFC 2047 words in Name stand as they were; see [DecodeHeader].
type Address struct {
	Kind AddressKind
	// Name is the display name, or the last comment where there is none.
	Name string
	// Route is the obsolete source route, "@a,@b", without the final colon.
	Route string
	// Local and Domain are the two halves of the address, unquoted. Domain is empty where the address has none.
	Local, Domain string
	// Broken is set when the entry does not follow the grammar of RFC 5322, obsolete forms included: something was
	// left out, guessed or skipped. Whoever decides by an address must not trust a broken one.
	Broken bool
}

// ParseAddressList reads the value of an address field such as From or To, folded or not. Whatever it holds, the result
// says as much as can be understood; at most 4096 entries are returned.
func ParseAddressList(value []byte) []Address {
	var p addressParser
	var list []Address
	p.parse(value, func(a *rawAddress) {
		list = append(list, Address{
			Kind: a.kind, Name: string(a.name), Route: string(a.route), Local: string(a.local), Domain: string(a.domain),
			Broken: a.broken,
		})
	})
	return list
}

// rawAddress is an Address in the parser's buffers, valid until the parser goes on.
type rawAddress struct {
	kind                       AddressKind
	name, route, local, domain []byte
	broken                     bool
}

// addressParser reads an address list in one pass over its octets, without recursion: every octet is looked at a fixed
// number of times whatever the nesting of comments or groups.
type addressParser struct {
	in   []byte
	emit func(*rawAddress)

	phrase   []byte // words so far, one space where there was white space
	run      []byte // the last words without white space or around dots: a local part, if @ follows
	runStart int    // where run begins in phrase
	comment  []byte // the last comment
	route    []byte
	local    []byte
	domain   []byte

	count    int
	where    addressPlace
	inGroup  bool
	sawSpace bool // white space or a comment since the last token
	afterDot bool // the last token was a dot
	any      bool // a token of this entry was seen
	broken   bool

	unquoted []byte     // a quoted string that holds escapes, without them
	out      rawAddress // what emit is shown
}

type addressPlace uint8

const (
	inPhrase   addressPlace = iota // before <, @ or the end
	inDomain                       // after the @ of an address without angle brackets
	inAngle                        // local part within <>
	inRoute                        // after < and @
	inAngleDom                     // domain within <>
	afterEnd                       // after the address: only a comment may follow
)

// parse calls emit for each entry of the list.
func (p *addressParser) parse(value []byte, emit func(*rawAddress)) {
	p.in, p.emit, p.count, p.inGroup = value, emit, 0, false
	p.next()
	for i := 0; i < len(p.in) && p.count < maxAddresses; {
		i = p.token(i)
	}
	p.endEntry()
	if p.inGroup {
		p.inGroup = false
		p.send(rawAddress{kind: GroupEnd, broken: true})
	}
	p.in, p.emit = nil, nil
}

// next forgets the entry that was read.
func (p *addressParser) next() {
	p.phrase, p.run, p.comment = p.phrase[:0], p.run[:0], p.comment[:0]
	p.route, p.local, p.domain = p.route[:0], p.local[:0], p.domain[:0]
	p.where, p.runStart = inPhrase, 0
	p.sawSpace, p.afterDot, p.any, p.broken = false, false, false, false
}

// token reads the token at i and returns where the next one begins.
func (p *addressParser) token(i int) int {
	switch c := p.in[i]; c {
	case ' ', '\t', '\r', '\n':
		p.sawSpace = true
		return i + 1
	case 0:
		p.broken = true
		return i + 1
	case '(':
		p.sawSpace = true
		return p.readComment(i)
	case '"':
		return p.readQuoted(i)
	case '[':
		return p.readLiteral(i)
	case ',':
		p.comma(i)
	case ';':
		p.semicolon()
	case ':':
		p.colon()
	case '<':
		p.openAngle()
	case '>':
		p.closeAngle()
	case '@':
		p.at()
	default:
		return p.readAtom(i)
	}
	return i + 1
}

// readAtom reads dots and other characters up to the next special one.
func (p *addressParser) readAtom(i int) int {
	end := i + 1
	if p.in[i] != '.' {
		for end < len(p.in) && !endsAtom(p.in[end]) {
			end++
		}
	}
	p.word(p.in[i:end], p.in[i] == '.')
	return end
}

// endsAtom reports the characters that end an atom. Octets above 127 belong to it (RFC 6532 section 3.2).
func endsAtom(c byte) bool {
	switch c {
	case ' ', '\t', '\r', '\n', 0, '(', '"', '[', ',', ';', ':', '<', '>', '@', '.':
		return true
	}
	return false
}

// word takes a word, a quoted one without its quotes, or a dot.
func (p *addressParser) word(w []byte, dot bool) {
	p.any = true
	joined := !p.sawSpace || dot || p.afterDot
	switch p.where {
	case inPhrase:
		p.phraseWord(w, joined)
	case inDomain:
		if p.sawSpace && !joined && len(p.domain) > 0 {
			p.broken, p.where = true, afterEnd // "a@b c": the rest is no part of the domain
			break
		}
		p.domain = appendBounded(p.domain, w)
	case inAngle:
		p.broken = p.broken || !joined && len(p.local) > 0
		p.local = appendBounded(p.local, w)
	case inRoute:
		p.route = appendBounded(p.route, w)
	case inAngleDom:
		p.broken = p.broken || !joined && len(p.domain) > 0
		p.domain = appendBounded(p.domain, w)
	case afterEnd:
		p.broken = true
	}
	p.sawSpace, p.afterDot = false, dot
}

func (p *addressParser) phraseWord(w []byte, joined bool) {
	if p.sawSpace && len(p.phrase) > 0 {
		p.phrase = appendBounded(p.phrase, []byte{' '})
	}
	if !joined {
		p.run, p.runStart = p.run[:0], len(p.phrase)
	}
	p.run = appendBounded(p.run, w)
	p.phrase = appendBounded(p.phrase, w)
}

// appendBounded appends no more than maxAddressPart octets in all.
func appendBounded(dst, w []byte) []byte {
	return append(dst, w[:min(len(w), max(0, maxAddressPart-len(dst)))]...)
}

// readComment reads a comment with those inside it; its text is kept in case the address has no name.
func (p *addressParser) readComment(i int) int {
	p.comment = p.comment[:0]
	depth := 0
	for ; i < len(p.in); i++ {
		c := p.in[i]
		switch {
		case c == '(':
			depth++
			if depth == 1 {
				continue
			}
		case c == ')':
			depth--
			if depth == 0 {
				return i + 1
			}
		case c == '\\' && i+1 < len(p.in):
			i++
			c = p.in[i]
		}
		if c != '\r' && c != '\n' && c != 0 {
			p.comment = appendBounded(p.comment, []byte{c})
		}
	}
	p.broken = true
	return i
}

// readQuoted reads a quoted string (RFC 5322 section 3.2.4).
func (p *addressParser) readQuoted(i int) int {
	p.unquoted = p.unquoted[:0]
	for i++; i < len(p.in); i++ {
		c := p.in[i]
		switch {
		case c == '"':
			p.word(p.unquoted, false)
			return i + 1
		case c == '\\' && i+1 < len(p.in):
			i++
			c = p.in[i]
		}
		if c != '\r' && c != '\n' && c != 0 {
			p.unquoted = append(p.unquoted, c)
		}
	}
	p.broken = true
	p.word(p.unquoted, false)
	return i
}

// readLiteral reads a domain literal with its brackets (RFC 5322 section 3.4.1).
func (p *addressParser) readLiteral(i int) int {
	// Another bracket ends the search, so that a row of them costs no more than their number.
	n := bytes.IndexAny(p.in[i+1:], "[]\r\n") + 1
	if n == 0 || p.in[i+n] != ']' {
		p.broken = true
		p.word(p.in[i:i+1], false)
		return i + 1
	}
	if p.where != inDomain && p.where != inAngleDom {
		p.broken = p.broken || p.where != inPhrase
	}
	p.word(p.in[i:i+n+1], false)
	return i + n + 1
}

func (p *addressParser) at() {
	p.any = true
	switch p.where {
	case inPhrase:
		p.local = append(p.local[:0], p.run...)
		p.phrase = bytes.TrimRight(p.phrase[:min(p.runStart, len(p.phrase))], " ")
		p.broken = p.broken || len(p.local) == 0 || len(p.phrase) > 0
		p.where = inDomain
	case inAngle:
		if len(p.local) == 0 && len(p.route) == 0 {
			p.where = inRoute
			p.route = append(p.route, '@')
			break
		}
		p.broken = p.broken || len(p.local) == 0
		p.where = inAngleDom
	case inRoute:
		p.route = appendBounded(p.route, []byte{'@'})
	case inDomain, inAngleDom:
		// "a@b@c": the last @ counts, as for every mail server that would take it.
		p.broken = true
		p.local = appendBounded(appendBounded(p.local, []byte{'@'}), p.domain)
		p.domain = p.domain[:0]
	case afterEnd:
		p.broken = true
	}
	p.sawSpace, p.afterDot = false, false
}

func (p *addressParser) openAngle() {
	if p.where == afterEnd || p.where == inDomain {
		// "a@b <c@d>" or "<a@b> <c@d>": two addresses without a comma, both are shown and neither is trusted.
		p.broken = true
		p.endEntry()
		p.broken = true
	}
	if p.where != inPhrase {
		p.broken = true
		return
	}
	p.any, p.where = true, inAngle
	p.sawSpace, p.afterDot = false, false
}

func (p *addressParser) closeAngle() {
	switch p.where {
	case inAngle, inAngleDom:
		p.where = afterEnd
	case inRoute:
		p.broken, p.where = true, afterEnd
	default:
		p.broken = true
	}
	p.sawSpace, p.afterDot = false, false
}

func (p *addressParser) colon() {
	switch {
	case p.where == inRoute:
		p.where = inAngle
	case p.where == inPhrase && !p.inGroup:
		p.inGroup = true
		p.send(rawAddress{kind: GroupStart, name: p.phrase, broken: p.broken || len(p.phrase) == 0})
		p.next()
	default:
		p.broken = true
	}
	p.sawSpace, p.afterDot = false, false
}

// comma ends an entry, except between the hosts of a source route, "<@a,@b:c@d>".
func (p *addressParser) comma(i int) {
	for i++; i < len(p.in) && isSpace(p.in[i]); i++ {
	}
	if p.where == inRoute && i < len(p.in) && p.in[i] == '@' {
		p.route = appendBounded(p.route, []byte{','})
		return
	}
	p.endEntry()
}

func (p *addressParser) semicolon() {
	if !p.inGroup {
		p.broken = p.broken || p.any
		p.endEntry()
		return
	}
	p.endEntry()
	p.inGroup = false
	p.send(rawAddress{kind: GroupEnd})
}

// endEntry sends the address read so far, if there is one, and begins the next.
func (p *addressParser) endEntry() {
	if p.any {
		p.sendMailbox()
	}
	p.next()
}

func (p *addressParser) sendMailbox() {
	a := rawAddress{name: p.phrase, route: p.route, local: p.local, domain: p.domain, broken: p.broken}
	if p.where == inPhrase {
		// No @ at all: the words are a local user's name, as old mail writes it.
		a.name, a.local, a.broken = nil, p.phrase, true
	}
	if len(a.name) == 0 {
		a.name = trimWSP(p.comment)
	}
	if len(a.domain) == 0 || len(a.local) == 0 || p.where == inAngle || p.where == inAngleDom || p.where == inRoute {
		a.broken = true
	}
	p.send(a)
}

func (p *addressParser) send(a rawAddress) {
	p.count++
	p.out = a
	p.emit(&p.out)
}
