package imap

import (
	"slices"
	"strconv"
	"strings"

	"mailstead/imap/wire"
	"mailstead/mailbox"
	"mailstead/mailbox/message"
)

const (
	// maxFetchItems bounds the data items of one FETCH. FULL has five, the longest list
	// of a known client ten.
	maxFetchItems = 64
	// maxFieldNames bounds the names of one HEADER.FIELDS list; Thunderbird asks for 15.
	maxFieldNames = 128
	// maxFieldName bounds one of them in octets: no line of a header may be longer (RFC
	// 5322 section 2.1.1).
	maxFieldName = 998
	// maxSectionDepth bounds the numbers of a section. Messages are not taken apart
	// deeper than message.MaxNesting, so nothing is down there.
	maxSectionDepth = 2 * message.MaxNesting
	// maxModSeq is the largest mod-sequence (RFC 7162 section 7).
	maxModSeq = 1<<63 - 1
)

// fetchKind is the kind of a data item of FETCH.
type fetchKind uint8

const (
	fetchUID fetchKind = iota
	fetchFlags
	fetchModSeq
	fetchInternalDate
	fetchSize
	fetchSaveDate
	fetchEmailID
	fetchThreadID
	fetchPreview
	fetchEnvelope
	fetchBody
	fetchBodyStructure
	fetchSection
	fetchBinarySize

	// What is sent to clients that take UTF-8.
	fetchEnvelopeUTF8
	fetchBodyUTF8
	fetchBodyStructureUTF8
	fetchPreviewUTF8
)

// inUTF8 is the form of an item for clients that enabled UTF-8 (RFC 6855 section 3).
var inUTF8 = map[fetchKind]fetchKind{
	fetchEnvelope: fetchEnvelopeUTF8, fetchBody: fetchBodyUTF8,
	fetchBodyStructure: fetchBodyStructureUTF8, fetchPreview: fetchPreviewUTF8,
}

// simpleItems are the data items without arguments (RFC 3501 section 6.4.5, RFC 7162
// section 3.1.4.2, RFC 8474 section 5.3, RFC 8514 section 4.2).
var simpleItems = map[string]fetchKind{
	"UID": fetchUID, "FLAGS": fetchFlags, "MODSEQ": fetchModSeq, "INTERNALDATE": fetchInternalDate,
	"EMAILID": fetchEmailID, "THREADID": fetchThreadID, "SAVEDATE": fetchSaveDate,
	"RFC822.SIZE": fetchSize, "ENVELOPE": fetchEnvelope, "BODY": fetchBody, "BODYSTRUCTURE": fetchBodyStructure,
}

// fetchMacros stand for lists of items; they stand alone, never in a list.
var fetchMacros = map[string][]string{
	"FAST": {"FLAGS", "INTERNALDATE", "RFC822.SIZE"},
	"ALL":  {"FLAGS", "INTERNALDATE", "RFC822.SIZE", "ENVELOPE"},
	"FULL": {"FLAGS", "INTERNALDATE", "RFC822.SIZE", "ENVELOPE", "BODY"},
}

// rfc822Items are the old names of sections, under which they are answered too. Only
// the header is read without setting \Seen.
var rfc822Items = map[string]struct {
	what message.Section
	peek bool
}{
	"RFC822":        {message.SectionBody, false},
	"RFC822.HEADER": {message.SectionHeader, true},
	"RFC822.TEXT":   {message.SectionText, false},
}

// fetchItem is one data item.
type fetchItem struct {
	kind    fetchKind
	label   []byte // its name in the response, with the space behind it
	section *bodySection
}

// bodySection is what of a message is asked for.
type bodySection struct {
	path    []int
	what    message.Section
	decode  bool                  // without its transfer encoding (BINARY)
	fields  *message.FieldMatcher // HEADER.FIELDS and HEADER.FIELDS.NOT; nil = all of it
	partial bool                  // only count octets from offset on
	offset  int64
	count   int64
}

// whole reports whether the section is the message as it is stored: then nothing of
// its structure has to be known.
func (b *bodySection) whole() bool { return len(b.path) == 0 && b.what == message.SectionBody }

// clip cuts n octets down to those asked for. What lies beyond the end is empty, not
// an error (RFC 3501 section 6.4.5).
func (b *bodySection) clip(n int64) (from, size int64) {
	if !b.partial {
		return 0, n
	}
	from = min(b.offset, n)
	return from, min(b.count, n-from)
}

// fetchPlan is a parsed FETCH.
type fetchPlan struct {
	items  []fetchItem
	flags  bool // FLAGS is among them
	uid    bool // UID is among them
	modseq bool // MODSEQ is among them
	index  bool // some need the stored index
	bodies bool // some may need the body
	seen   bool // some set \Seen
	old    bool // RFC822, RFC822.HEADER or RFC822.TEXT is among them

	changedSince mailbox.ModSeq // only messages with a larger MODSEQ
	vanished     bool           // tell of those that are gone since then, too
	partial      *partialRange  // only these of the messages named; nil = all
}

// parseFetch reads the items and modifiers of FETCH (RFC 3501 section 6.4.5, RFC 4466
// section 2.4). The answers of UID FETCH have the UID in any case.
func parseFetch(d *wire.Decoder, uid bool) *fetchPlan {
	p := &fetchPlan{}
	if d.Peek() == '(' {
		d.List(func() { p.parseItem(d, d.Word()) })
		if d.Err() == nil && len(p.items) == 0 {
			d.Fail("no data items")
		}
	} else {
		word := d.Word()
		if macro, ok := fetchMacros[word]; ok {
			for _, name := range macro {
				p.parseItem(d, name)
			}
		} else {
			p.parseItem(d, word)
		}
	}
	if d.Accept(' ') {
		d.List(func() { p.parseModifier(d) })
		if p.vanished && p.changedSince == 0 {
			d.Fail("VANISHED goes with CHANGEDSINCE")
		}
	}
	if uid && !p.has(fetchUID) {
		p.items = slices.Insert(p.items, 0, fetchItem{kind: fetchUID, label: []byte("UID ")})
	}
	p.compile()
	return p
}

// parseNotifyItems reads the items that NOTIFY has told of new messages (RFC 5465 section
// 5.2): with the UID in any case (RFC 7162 section 3.2.4), and none sets \Seen.
func parseNotifyItems(d *wire.Decoder) *fetchPlan {
	p := &fetchPlan{}
	d.List(func() { p.parseItem(d, d.Word()) })
	if len(p.items) == 0 {
		d.Fail("no data items")
	}
	if !p.has(fetchUID) {
		p.items = slices.Insert(p.items, 0, fetchItem{kind: fetchUID, label: []byte("UID ")})
	}
	p.seen = false
	p.compile()
	return p
}

// checkItems refuses the items that IMAP4rev2 has not (RFC 9051 appendix E, 18): what asks
// for them is answered under names that its clients do not know.
func (s *session) checkItems(p *fetchPlan) {
	if p.old && s.rev2 {
		s.dec.Fail("RFC822, RFC822.HEADER and RFC822.TEXT are not in IMAP4rev2")
	}
}

// addModSeq has MODSEQ told with the other items.
func (p *fetchPlan) addModSeq() {
	if !p.modseq {
		p.items = append(p.items, fetchItem{kind: fetchModSeq, label: []byte("MODSEQ ")})
		p.compile()
	}
}

// parseModifier reads one fetch-modifier (RFC 7162 sections 3.1.4.1 and 3.2.6, RFC 9394
// section 3.3).
func (p *fetchPlan) parseModifier(d *wire.Decoder) {
	switch d.Word() {
	case "CHANGEDSINCE":
		d.SP()
		p.changedSince = modSeq(d)
		if d.Err() == nil && !p.has(fetchModSeq) {
			p.add(d, fetchItem{kind: fetchModSeq, label: []byte("MODSEQ ")})
		}
	case "VANISHED":
		p.vanished = true
	case "PARTIAL":
		d.SP()
		partial := partialArgument(d)
		p.partial = &partial
	default:
		d.Fail("unknown modifier")
	}
}

// modSeq reads a mod-sequence, or 0.
func modSeq(d *wire.Decoder) mailbox.ModSeq {
	n := d.Number64()
	if n > maxModSeq {
		d.Fail("number out of range")
	}
	return mailbox.ModSeq(n)
}

func (p *fetchPlan) has(kind fetchKind) bool {
	return slices.ContainsFunc(p.items, func(it fetchItem) bool { return it.kind == kind })
}

func (p *fetchPlan) add(d *wire.Decoder, it fetchItem) {
	if len(p.items) == maxFetchItems {
		d.Fail("more than %d data items", maxFetchItems)
		return
	}
	p.items = append(p.items, it)
}

// parseItem reads the item whose name was word, up to a "[" or what follows it.
func (p *fetchPlan) parseItem(d *wire.Decoder, word string) {
	if d.Err() != nil {
		return
	}
	if kind, ok := simpleItems[word]; ok {
		if !p.has(kind) {
			p.add(d, fetchItem{kind: kind, label: []byte(word + " ")})
		}
		return
	}
	if word == "PREVIEW" {
		p.parsePreview(d)
		return
	}
	if old, ok := rfc822Items[word]; ok {
		p.old = true
		p.seen = p.seen || !old.peek
		p.add(d, fetchItem{kind: fetchSection, label: []byte(word + " "), section: &bodySection{what: old.what}})
		return
	}
	name, spec, ok := strings.Cut(word, "[")
	if ok && (name == "BINARY" || name == "BINARY.PEEK" || name == "BINARY.SIZE") {
		p.parseBinary(d, name, spec)
		return
	}
	if !ok || name != "BODY" && name != "BODY.PEEK" {
		d.Fail("unknown data item")
		return
	}
	p.seen = p.seen || name == "BODY"
	section, label := parseSection(d, spec)
	p.add(d, fetchItem{kind: fetchSection, label: label, section: section})
}

// parsePreview reads the modifiers of PREVIEW (RFC 8970 section 4): LAZY changes
// nothing, since every preview is there.
func (p *fetchPlan) parsePreview(d *wire.Decoder) {
	if d.AcceptList("LAZY") {
		d.List(func() {
			if d.Word() != "LAZY" {
				d.Fail("unknown modifier of PREVIEW")
			}
		})
	}
	if !p.has(fetchPreview) {
		p.add(d, fetchItem{kind: fetchPreview, label: []byte("PREVIEW ")})
	}
}

// parseSection reads the rest of BODY[...]<...>, of which spec was read already, and
// makes the label of the answer: in upper case, with the origin of a partial but not
// its length (RFC 3501 section 7.4.2).
func parseSection(d *wire.Decoder, spec string) (*bodySection, []byte) {
	b := &bodySection{}
	label := append([]byte("BODY["), spec...)
	text := b.parsePath(d, spec)
	switch text {
	case "":
	case "HEADER":
		b.what = message.SectionHeader
	case "TEXT":
		b.what = message.SectionText
	case "MIME":
		if b.what = message.SectionMIME; len(b.path) == 0 {
			d.Fail("MIME needs a part number")
		}
	case "HEADER.FIELDS", "HEADER.FIELDS.NOT":
		b.what = message.SectionHeader
		label = b.parseFields(d, text == "HEADER.FIELDS.NOT", label)
	default:
		d.Fail("unknown section")
	}
	d.Expect(']')
	label = append(label, ']')
	if d.Accept('<') {
		b.parsePartial(d)
		label = append(strconv.AppendInt(append(label, '<'), b.offset, 10), '>')
	}
	return b, append(label, ' ')
}

// parsePath takes the part numbers off the front of a section and returns its text.
func (b *bodySection) parsePath(d *wire.Decoder, spec string) (text string) {
	for spec != "" && '0' <= spec[0] && spec[0] <= '9' {
		head, rest, more := strings.Cut(spec, ".")
		n, err := strconv.ParseUint(head, 10, 31)
		if err != nil || n == 0 || head[0] == '0' || more && rest == "" {
			d.Fail("malformed part number")
			return ""
		}
		if len(b.path) == maxSectionDepth {
			d.Fail("more than %d part numbers", maxSectionDepth)
			return ""
		}
		b.path = append(b.path, int(n))
		spec = rest
	}
	return spec
}

// parseFields reads the header-list of HEADER.FIELDS.
func (b *bodySection) parseFields(d *wire.Decoder, not bool, label []byte) []byte {
	var names []string
	d.SP()
	d.List(func() {
		name := d.AString()
		if name == "" || len(name) > maxFieldName || len(names) == maxFieldNames {
			d.Fail("malformed list of header fields")
			return
		}
		names = append(names, wire.ToUpper([]byte(name)))
	})
	if len(names) == 0 {
		d.Fail("no header fields")
	}
	m := message.NewFieldMatcher(names, not)
	b.fields = &m
	label = append(label, " ("...)
	for i, name := range names {
		if i > 0 {
			label = append(label, ' ')
		}
		label = wire.AppendAString(label, name)
	}
	return append(label, ')')
}

// parsePartial reads <offset.count>. RFC 9051 section 9 has 63 bits for both.
func (b *bodySection) parsePartial(d *wire.Decoder) {
	offset := d.Number64()
	d.Expect('.')
	count := d.Number64()
	d.Expect('>')
	const largest = 1<<63 - 1
	switch {
	case offset > largest || count > largest:
		d.Fail("number out of range")
	case count == 0:
		d.Fail("a partial has at least one octet")
	}
	b.partial, b.offset, b.count = true, int64(offset), int64(count)
}

// compile notes what the items need.
func (p *fetchPlan) compile() {
	for i := range p.items {
		switch it := &p.items[i]; it.kind {
		case fetchUID:
			p.uid = true
		case fetchFlags:
			p.flags = true
		case fetchModSeq:
			p.modseq = true
		case fetchEnvelope, fetchBody, fetchBodyStructure, fetchPreview:
			p.index = true
		case fetchSection, fetchBinarySize:
			p.bodies = true
			p.index = p.index || !it.section.whole()
		}
	}
}

// speakUTF8 has the items that have a form in UTF-8 answered in it.
func (p *fetchPlan) speakUTF8() {
	for i := range p.items {
		if kind, ok := inUTF8[p.items[i].kind]; ok {
			p.items[i].kind = kind
		}
	}
}

// answeredBy reports whether everything the plan asks for stands in the index of a
// message, so that its body need not be opened.
func (p *fetchPlan) answeredBy(v *message.View) bool {
	if !p.bodies {
		return true
	}
	for i := range p.items {
		if s := p.items[i].section; s != nil && !s.answeredBy(v) {
			return false
		}
	}
	return true
}

// answeredBy reports whether the section stands in the index.
func (b *bodySection) answeredBy(v *message.View) bool {
	switch {
	case len(b.path) > 0 || b.what != message.SectionHeader:
		return false
	case b.fields != nil:
		return v.Covers(b.fields)
	}
	return v.HasHeader()
}
