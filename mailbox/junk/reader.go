package junk

import (
	"bytes"
	"fmt"
	"io"
	"math/bits"
	"strconv"

	"mailstead/mailbox/message"
)

// Reader takes letters apart. The zero value is ready; it keeps its buffers, below MaxReader, and is not safe for concurrent
// use.
type Reader struct {
	letter Letter
	text   message.TextReader
	words  words
	header []byte
	markup []byte
	chunk  []byte
	part   []byte // the text of one part
}

// Read takes a letter apart: raw are its bytes, v what message.Indexer made of them. The Letter is valid until the next
// call. Errors are those of raw; a letter that is shorter than v says is read as far as it goes. Time is bounded, whatever the
// letter.
func (r *Reader) Read(raw io.ReaderAt, v *message.View, facts Facts) (*Letter, error) {
	l := &r.letter
	l.reset(facts)
	bounded := &boundedReader{r: raw, left: maxRead}
	if err := r.readHeader(bounded, v); err != nil {
		return nil, fmt.Errorf("junk: reading the header: %w", err)
	}
	facts.addTo(l)
	if err := r.readMarkup(bounded, v); err != nil {
		return nil, fmt.Errorf("junk: reading the links: %w", err)
	}
	bounded.left = maxRead
	if err := r.readText(bounded, v); err != nil {
		return nil, fmt.Errorf("junk: %w", err)
	}
	l.measure(v)
	l.applyRules()
	return l, nil
}

// boundedReader ends after so many octets.
type boundedReader struct {
	r    io.ReaderAt
	left int
}

func (b *boundedReader) ReadAt(p []byte, off int64) (int, error) {
	short := len(p) > b.left
	n, err := b.r.ReadAt(p[:min(len(p), b.left)], off)
	b.left -= n
	if err == nil && short {
		err = io.EOF
	}
	return n, err
}

// readAt reads size octets at off into *buf, less where the letter ends before.
func readAt(r io.ReaderAt, buf *[]byte, off, size int64) ([]byte, error) {
	if int64(cap(*buf)) < size {
		*buf = make([]byte, size)
	}
	n, err := r.ReadAt((*buf)[:size], off)
	if err == io.EOF {
		err = nil
	}
	return (*buf)[:n], err
}

func (r *Reader) readHeader(raw io.ReaderAt, v *message.View) error {
	off, size, _ := v.Section(nil, message.SectionHeader)
	header, err := readAt(raw, &r.header, off, min(size, maxHeader))
	if err != nil {
		return err
	}
	h := headerReader{l: &r.letter, w: &r.words}
	h.read(header)
	return nil
}

// readMarkup looks for links and HTML tags, and notes what kinds of parts there are.
func (r *Reader) readMarkup(raw io.ReaderAt, v *message.View) error {
	l, parts := &r.letter, 0
	left := int64(maxMarkup)
	for p := range v.Parts() {
		if parts++; parts > maxParts {
			break
		}
		l.notePart(&p)
		if p.Kind != message.Leaf || string(p.Type) != "text" || left == 0 {
			continue
		}
		src, err := readAt(raw, &r.chunk, p.BodyStart, min(p.BodySize, left))
		if err != nil {
			return err
		}
		left -= int64(len(src))
		transfer, _ := message.NewTransfer(p.Encoding)
		r.markup = lowerASCII(transfer.Append(r.markup[:0], src))
		scanLinks(l, r.markup)
		if string(p.Subtype) == "html" {
			scanTags(l, r.markup)
		}
	}
	l.evidence.parts = parts
	return nil
}

// lowerASCII puts s in lower case, in place.
func lowerASCII(s []byte) []byte {
	for i, c := range s {
		if 'A' <= c && c <= 'Z' {
			s[i] = c + 'a' - 'A'
		}
	}
	return s
}

func (l *Letter) notePart(p *message.PartInfo) {
	e := &l.evidence
	isText := string(p.Type) == "text"
	switch {
	case isText && string(p.Subtype) == "html":
		e.html = true
	case isText && p.Kind == message.Leaf:
		e.plain = true
	case string(p.Type) == "image":
		e.images++
	case p.Kind == message.Leaf:
		e.attachments++
	}
	l.add(kindStructure, "part", string(p.Type)+"/"+string(p.Subtype))
	if isText {
		l.add(kindStructure, "charset", string(p.Charset))
		l.add(kindStructure, "encoding", string(p.Encoding))
	}
}

func (r *Reader) readText(raw io.ReaderAt, v *message.View) error {
	w := &r.words
	w.begin(&r.letter, kindWord, kindPair)
	left := maxText
	r.part = r.part[:0]
	err := r.text.Read(raw, v, message.ScopeBody, func(text []byte, first bool) bool {
		if first {
			r.endPart()
		}
		text = text[:min(len(text), left)]
		left -= len(text)
		r.part = append(r.part, text...)
		return left > 0
	})
	r.endPart()
	r.letter.evidence.text = w.count
	return err
}

// endPart adds the words of a part.
func (r *Reader) endPart() {
	text := r.part
	if r.letter.evidence.list {
		text = text[:footer(text)]
	}
	r.words.write(text)
	r.words.end()
	r.words.restart()
	r.part = r.part[:0]
}

// footer is where, near the end of a text that came by a list, the first line like "--", "____" or "----" stands: what is behind
// it is often the list's, and the same in every letter. Junk may hide words there that way, but no more than maxFooter.
func footer(text []byte) int {
	for at := max(0, len(text)-maxFooter); at < len(text); {
		line, _, _ := bytes.Cut(text[at:], []byte("\n"))
		if isRule(bytes.TrimSpace(line)) {
			return at
		}
		at += len(line) + 1
	}
	return len(text)
}

// isRule reports a line that separates.
func isRule(line []byte) bool {
	const least = 10
	return string(line) == "--" || bytes.HasPrefix(line, []byte("----------")) || len(line) >= least && len(bytes.Trim(line, "_")) == 0
}

// measure makes features of sizes and shares.
func (l *Letter) measure(v *message.View) {
	_, size, _ := v.Section(nil, message.SectionBody)
	e := &l.evidence
	amount := func(name string, n int) {
		l.add(kindStructure, name, strconv.Itoa(bits.Len(uint(n))))
	}
	l.compare("Message-ID and From", e.idDomain, e.fromDomain)
	l.compare("To and From", e.toDomain, e.fromDomain)
	l.compare("To and Message-ID", e.toDomain, e.idDomain)
	l.compare("Reply-To and From", e.replyDomain, e.fromDomain)
	amount("size", int(min(size>>8, 1<<20)))
	amount("words", e.text.words>>3)
	amount("parts", e.parts)
	amount("comments", e.comments)
	amount("links", e.links)
	amount("hosts", e.hosts)
	amount("images", e.images+e.imageTags)
	amount("recipients", e.recipients)
	amount("attachments", e.attachments)
	amount("quoted lines", e.text.quoted)
	amount("exclamations", e.text.exclaimed)
	amount("long words", e.text.long)
	amount("capitals", share(e.text.capitals, e.text.words))
	amount("hidden characters", e.text.hidden)
}

// compare makes a feature of how two domains of the header go together: junk is often made by programs that do not care.
func (l *Letter) compare(which, a, b string) {
	how := "of other domains"
	switch {
	case a == "" || b == "":
		how = "not both with a domain"
	case a == b:
		how = "of one domain"
	case baseDomain(a) == baseDomain(b):
		how = "of domains of one owner"
	}
	l.add(kindStructure, which, how)
}

// share is the share of n in all, in hundredths.
func share(n, all int) int { return 100 * n / max(all, 1) }
