package imap

import (
	"math"
	"unicode/utf8"

	goimap "github.com/emersion/go-imap/v2"

	"mailstead/imap/wire"
	"mailstead/mailbox"
	"mailstead/mailbox/message"
)

const (
	// maxSearchKeys bounds the keys of one search, operators included: programs that
	// look for many addresses at once write hundreds.
	maxSearchKeys = 1000
	// maxTextKeys bounds those among them for which bodies are read, each by itself.
	maxTextKeys = 50
)

// searchProgram is a parsed SEARCH, or another command that searches.
type searchProgram struct {
	name     string          // of the response that tells the results: SEARCH or SORT
	criteria []sortCriterion // of SORT
	extended bool            // answered by ESEARCH
	options  searchReturn
	partial  partialRange // with returnPartial
	modseq   bool         // MODSEQ is among the keys
	bySeq    bool         // sequence numbers are among the keys
	fuzzy    bool         // FUZZY is among the keys
	recent   bool         // NEW, OLD or RECENT is among the keys
	charset  bool         // a charset was named
	key      searchKey
}

// searchParser reads a search program.
type searchParser struct {
	*wire.Decoder
	keys    int
	texts   int
	modseq  bool
	bySeq   bool
	fuzzy   bool
	recent  bool
	inFuzzy int // so many FUZZY are around the key being read
	charset error
}

// parseSearch reads the arguments of SEARCH (RFC 3501 section 6.4.4, RFC 4731 section
// 3.1). The error is the decoder's, or that of an unknown charset; with the latter the
// program tells what was to be done with the results.
func parseSearch(d *wire.Decoder) (*searchProgram, error) {
	p := &searchParser{Decoder: d}
	prog := &searchProgram{name: "SEARCH"}
	d.SP()
	p.maybeReturn(prog)
	if err := p.maybeCharset(prog); err != nil {
		return prog, err
	}
	return prog, p.finish(prog)
}

// maybeCharset reads the name of a charset and the space behind it, if they are there.
func (p *searchParser) maybeCharset(prog *searchProgram) error {
	if !p.Keyword("CHARSET") {
		return nil
	}
	prog.charset = true
	p.SP()
	if err := p.charsetName(); err != nil {
		return err
	}
	p.SP()
	return nil
}

// maybeReturn reads the result options and the space behind them, if they are there.
func (p *searchParser) maybeReturn(prog *searchProgram) {
	if p.Keyword("RETURN") {
		p.SP()
		p.returnOptions(prog)
		p.SP()
	}
}

// charsetName reads the name of the charset that texts are in. For one that is not known
// the rest is not read: literals in it are not asked for.
func (p *searchParser) charsetName() error {
	if name := p.AString(); p.Err() == nil && !wire.EqualFold(name, "UTF-8") && !wire.EqualFold(name, "US-ASCII") {
		return errBadCharset
	}
	return p.Err()
}

// finish reads the keys, up to the end of the command.
func (p *searchParser) finish(prog *searchProgram) error {
	prog.key = searchKey{kind: keyAnd}
	for {
		prog.key.kids = append(prog.key.kids, p.key())
		if !p.Accept(' ') {
			break
		}
	}
	p.End()
	prog.modseq, prog.bySeq, prog.fuzzy, prog.recent = p.modseq, p.bySeq, p.fuzzy, p.recent
	if p.Err() != nil {
		return p.Err()
	}
	return p.charset
}

// errBadCharset is RFC 3501 section 6.4.4: the charsets that are known.
var errBadCharset = no(goimap.ResponseCodeBadCharset+" (US-ASCII UTF-8)", "search texts are taken in US-ASCII or UTF-8")

// count notes one more key.
func (p *searchParser) count() {
	if p.keys++; p.keys > maxSearchKeys {
		p.Fail("more than %d search keys", maxSearchKeys)
	}
}

// key reads one key: a leaf, a list, or what NOT and OR stand in front of. Each level
// of depth is counted by the decoder; chains of OR and of NOT are none.
func (p *searchParser) key() searchKey {
	if p.count(); p.Err() != nil {
		return searchKey{}
	}
	switch c := p.Peek(); {
	case c == '(':
		return p.list()
	case c == '$':
		return p.savedResult()
	case c == '*' || '0' <= c && c <= '9':
		p.bySeq = true
		return searchKey{kind: keySet, numbers: p.SeqSet()}
	}
	name := p.Word()
	switch name {
	case "NOT":
		return p.not()
	case "OR":
		return p.or()
	case "FUZZY":
		return p.fuzzyKey()
	}
	if read, ok := searchKeys[name]; ok {
		return read(p)
	}
	p.Fail("unknown search key")
	return searchKey{}
}

// list reads keys in parentheses, all of which have to match.
func (p *searchParser) list() searchKey {
	and := searchKey{kind: keyAnd}
	p.List(func() { and.kids = append(and.kids, p.key()) })
	if len(and.kids) == 0 {
		p.Fail("an empty list of search keys")
	}
	return and
}

// not reads the key behind NOT, or behind several of them.
func (p *searchParser) not() searchKey {
	negate := true
	for p.SP(); p.Keyword("NOT"); p.SP() {
		p.count()
		negate = !negate
	}
	if !p.Enter() {
		return searchKey{}
	}
	defer p.Leave()
	k := p.key()
	if !negate {
		return k
	}
	return not(k)
}

// or reads the keys behind OR. An operand that is an OR itself only adds one more: what
// programs make of a list of a hundred addresses is one flat key.
func (p *searchParser) or() searchKey {
	or := searchKey{kind: keyOr}
	if !p.Enter() {
		return or
	}
	defer p.Leave()
	for left := 2; left > 0 && p.Err() == nil; {
		p.SP()
		if p.Keyword("OR") {
			p.count()
			left++
			continue
		}
		or.kids = append(or.kids, p.key())
		left--
	}
	return or
}

func not(k searchKey) searchKey { return searchKey{kind: keyNot, kids: []searchKey{k}} }

func hasFlag(f goimap.Flag) searchKey { return searchKey{kind: keyFlag, flag: f} }

// readKey reads the arguments of a key whose name was read.
type readKey func(p *searchParser) searchKey

// searchKeys are the keys of RFC 3501 section 6.4.4, and those of RFC 5032, 7162 (section
// 3.1.5), 8474 (section 5.4), 8514 (section 4.3) and 9738 (section 3.2).
var searchKeys = map[string]readKey{
	"ALL":               plainKey(searchKey{kind: keyAll}),
	"ANSWERED":          plainKey(hasFlag(goimap.FlagAnswered)),
	"BCC":               fieldKey("Bcc"),
	"BEFORE":            dateKey(keyBefore),
	"BODY":              textKey(keyBody),
	"CC":                fieldKey("Cc"),
	"DELETED":           plainKey(hasFlag(goimap.FlagDeleted)),
	"DRAFT":             plainKey(hasFlag(goimap.FlagDraft)),
	"EMAILID":           (*searchParser).emailIDKey,
	"FLAGGED":           plainKey(hasFlag(goimap.FlagFlagged)),
	"FROM":              fieldKey("From"),
	"HEADER":            (*searchParser).header,
	"KEYWORD":           (*searchParser).keyword,
	"LARGER":            sizeKey(keyLarger),
	"MODSEQ":            (*searchParser).modSeqKey,
	"NEW":               recentKey(searchKey{kind: keyAnd, kids: []searchKey{{kind: keyRecent}, not(hasFlag(goimap.FlagSeen))}}),
	"OLD":               recentKey(not(searchKey{kind: keyRecent})),
	"OLDER":             ageKey(keyOlder),
	"ON":                dateKey(keyOn),
	"RECENT":            recentKey(searchKey{kind: keyRecent}),
	"SAVEDBEFORE":       dateKey(keySavedBefore),
	"SAVEDATESUPPORTED": plainKey(searchKey{kind: keyAll}),
	"SAVEDON":           dateKey(keySavedOn),
	"SAVEDSINCE":        dateKey(keySavedSince),
	"SEEN":              plainKey(hasFlag(goimap.FlagSeen)),
	"SENTBEFORE":        dateKey(keySentBefore),
	"SENTON":            dateKey(keySentOn),
	"SENTSINCE":         dateKey(keySentSince),
	"SINCE":             dateKey(keySince),
	"SMALLER":           sizeKey(keySmaller),
	"SUBJECT":           fieldKey("Subject"),
	"TEXT":              textKey(keyText),
	"THREADID":          (*searchParser).threadIDKey,
	"TO":                fieldKey("To"),
	"UID":               (*searchParser).uidSet,
	"UIDAFTER":          (*searchParser).uidAfter,
	"UIDBEFORE":         (*searchParser).uidBefore,
	"UNANSWERED":        plainKey(not(hasFlag(goimap.FlagAnswered))),
	"UNDELETED":         plainKey(not(hasFlag(goimap.FlagDeleted))),
	"UNDRAFT":           plainKey(not(hasFlag(goimap.FlagDraft))),
	"UNFLAGGED":         plainKey(not(hasFlag(goimap.FlagFlagged))),
	"UNKEYWORD":         func(p *searchParser) searchKey { return not(p.keyword()) },
	"UNSEEN":            plainKey(not(hasFlag(goimap.FlagSeen))),
	"YOUNGER":           ageKey(keyYounger),
}

// plainKey is a key without arguments. Each use is a copy: resolving changes it.
func plainKey(k searchKey) readKey {
	return func(*searchParser) searchKey { return k.clone() }
}

// recentKey is a plainKey about \Recent.
func recentKey(k searchKey) readKey {
	return func(p *searchParser) searchKey {
		p.recent = true
		return k.clone()
	}
}

func (k searchKey) clone() searchKey {
	kids := k.kids
	k.kids = nil
	for _, kid := range kids {
		k.kids = append(k.kids, kid.clone())
	}
	return k
}

func dateKey(kind keyKind) readKey {
	return func(p *searchParser) searchKey {
		p.SP()
		return searchKey{kind: kind, number: dayOf(p.Date().Unix())}
	}
}

// ageKey is a key of RFC 5032: seconds before now.
func ageKey(kind keyKind) readKey {
	return func(p *searchParser) searchKey {
		p.SP()
		seconds := p.Number()
		if seconds == 0 {
			p.Fail("0 is no interval")
		}
		return searchKey{kind: kind, age: int64(seconds)}
	}
}

func sizeKey(kind keyKind) readKey {
	return func(p *searchParser) searchKey {
		p.SP()
		return searchKey{kind: kind, number: int64(min(p.Number64(), math.MaxInt64))}
	}
}

func fieldKey(name string) readKey {
	return func(p *searchParser) searchKey {
		p.SP()
		return p.field(name)
	}
}

func textKey(kind keyKind) readKey {
	return func(p *searchParser) searchKey {
		p.countText(kind)
		p.SP()
		k := searchKey{kind: kind, needle: p.text()}
		if len(k.needle) == 0 {
			k.kind = keyAll // the empty string is in every text
		}
		return p.maybeFuzzy(k)
	}
}

// countText notes one more key that searches bodies, if it is of such a kind.
func (p *searchParser) countText(kind keyKind) {
	if kind != keyBody && kind != keyText {
		return
	}
	if p.texts++; p.texts > maxTextKeys {
		p.Fail("more than %d keys that search bodies", maxTextKeys)
	}
}

func (p *searchParser) header() searchKey {
	p.SP()
	name := p.AString()
	p.SP()
	return p.field(name)
}

// field is a key that looks for text in the header fields of a name.
func (p *searchParser) field(name string) searchKey {
	needle := p.text()
	if name == "" {
		return searchKey{kind: keyNever} // no field has that name
	}
	return p.maybeFuzzy(searchKey{kind: keyHeader, field: name, needle: needle, matcher: message.NewFieldMatcher([]string{name}, false)})
}

// text reads what to look for, in the form in which texts are compared. It is UTF-8
// whether a charset was named or not: US-ASCII is part of it, and clients that name
// none send it.
func (p *searchParser) text() []byte {
	s := p.AString()
	if !utf8.ValidString(s) {
		p.charset = errBadCharset
	}
	return message.FoldString(s)
}

func (p *searchParser) keyword() searchKey {
	p.SP()
	return hasFlag(goimap.Flag(p.Atom()))
}

func (p *searchParser) uidSet() searchKey {
	p.SP()
	if p.Peek() == '$' {
		return p.savedResult()
	}
	return searchKey{kind: keySet, numbers: p.UIDSet()}
}

// modSeqKey reads MODSEQ. All metadata of a message has one mod-sequence here, so the
// name and type of an entry are passed over, as the RFC asks for.
func (p *searchParser) modSeqKey() searchKey {
	p.modseq = true
	p.SP()
	if p.Peek() == '"' {
		p.Str()
		p.SP()
		switch p.Word() {
		case "SHARED", "PRIV", "ALL":
		default:
			p.Fail("unknown type of metadata entry")
		}
		p.SP()
	}
	return searchKey{kind: keyModSeq, number: int64(min(modSeq(p.Decoder), mailbox.ModSeq(maxModSeq)))}
}
