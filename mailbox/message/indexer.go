package message

import "bytes"

// Indexer reads a message in one pass. It is an [io.Writer]: write the message's bytes in chunks of any size, then call
// Finish. The zero value is ready; Reset makes it ready for the next message and keeps the buffers. Memory is constant
// for any body. An Indexer is not safe for concurrent use.
type Indexer struct {
	index   Index
	started bool

	pos   int64 // octets read
	lines int64 // line feeds read

	// The line being read.
	lineStart int64
	kept      []byte // its beginning, at most maxLineKept octets, if an earlier write brought it
	midLine   bool   // an earlier write brought its beginning
	lastCR    bool   // the last octet of the earlier write was a CR
	termLen   int64  // length of the line end before this line: 0, 1 or 2

	inHeader   bool
	header     []byte // the header being read, as far as it is kept
	headerRoom int    // octets that it may still take
	partRoom   int    // octets that all headers of parts may still take

	open       []openPart
	boundaries int // open multiparts that wait for a boundary

	fields  fieldTable
	params  paramReader
	writer  wireWriter
	preview previewer
}

// openPart is a part whose end has not been seen.
type openPart struct {
	part     int
	boundary []byte // a multipart's, until its closing delimiter
	lines    int64  // line feeds before its body
}

// Reset makes x ready for another message. The Index of the last one becomes invalid.
func (x *Indexer) Reset() {
	x.index.reset()
	x.started = true
	x.pos, x.lines, x.lineStart, x.termLen, x.midLine, x.lastCR = 0, 0, 0, 0, false, false
	x.kept, x.header = x.kept[:0], kept(x.header)
	x.partRoom = maxPartHeaders
	x.open, x.boundaries = x.open[:0], 0
	x.preview.reset()
	x.beginPart(-1, 0)
}

// kept empties a buffer for use with the next message, unless it grew too large to keep.
func kept(b []byte) []byte {
	if cap(b) > maxKeptBuffer {
		return nil
	}
	return b[:0]
}

// Write takes the next bytes of the message. It never fails.
func (x *Indexer) Write(p []byte) (int, error) {
	if !x.started {
		x.Reset()
	}
	n := len(p)
	for len(p) > 0 {
		switch {
		case x.inHeader:
			p = x.writeHeader(p)
		case x.boundaries == 0:
			x.skipBody(p)
			p = nil
		default:
			p = x.writeBody(p)
		}
	}
	return n, nil
}

// skipBody takes body octets in which nothing is looked for any more.
func (x *Indexer) skipBody(p []byte) {
	x.preview.write(p)
	x.lines += int64(bytes.Count(p, []byte{'\n'}))
	x.pos += int64(len(p))
}

// writeBody takes body octets up to the next delimiter, or all.
func (x *Indexer) writeBody(p []byte) (rest []byte) {
	for len(p) > 0 {
		n := bytes.IndexByte(p, '\n') + 1
		if n == 0 {
			x.preview.write(p)
			x.keepLine(p)
			return nil
		}
		line := p[:n]
		p = p[n:]
		if x.midLine || line[0] == '-' {
			if level, closing := x.delimiter(x.wholeLine(line)); level >= 0 {
				x.takeDelimiter(level, closing, line)
				return p
			}
		}
		if x.preview.on {
			x.preview.write(line)
		}
		x.endLine(line)
	}
	return nil
}

// writeHeader takes header octets up to the end of the header, or all.
func (x *Indexer) writeHeader(p []byte) (rest []byte) {
	for len(p) > 0 {
		n := bytes.IndexByte(p, '\n') + 1
		if n == 0 {
			x.keepHeader(p)
			x.keepLine(p)
			return nil
		}
		line := p[:n]
		p = p[n:]
		whole := x.wholeLine(line)
		if level, closing := x.delimiter(whole); level >= 0 {
			x.takeDelimiter(level, closing, line)
			return p
		}
		x.keepHeader(line)
		x.endLine(line)
		if blank := BlankLine(whole); blank > 0 && blank == len(whole) {
			x.endHeader(x.pos)
			return p
		}
	}
	return nil
}

func (x *Indexer) keepHeader(b []byte) {
	b = b[:min(len(b), x.headerRoom)]
	x.header = append(x.header, b...)
	x.headerRoom -= len(b)
}

// keepLine remembers the beginning of a line whose end a later write brings.
func (x *Indexer) keepLine(b []byte) {
	if !x.midLine {
		x.kept = x.kept[:0]
	}
	x.kept = append(x.kept, b[:min(len(b), maxLineKept-len(x.kept))]...)
	x.midLine = true
	x.lastCR = b[len(b)-1] == '\r'
	x.pos += int64(len(b))
}

// wholeLine returns the line that ends with the given octets, or nil if it is too long to be a delimiter or blank.
func (x *Indexer) wholeLine(end []byte) []byte {
	if x.pos-x.lineStart+int64(len(end)) > maxLineKept {
		return nil
	}
	if !x.midLine {
		return end
	}
	x.kept = append(x.kept, end...)
	return x.kept
}

// endLine counts a line of which these are the last octets.
func (x *Indexer) endLine(end []byte) {
	x.termLen = 1
	if n := len(end); n > 1 && end[n-2] == '\r' || n == 1 && x.midLine && x.lastCR {
		x.termLen = 2
	}
	x.midLine = false
	x.lines++
	x.pos += int64(len(end))
	x.lineStart = x.pos
}

// delimiter reports which open part's delimiter a line is, -1 for none. What follows the boundary does not matter (RFC 2046
// section 5.1.1, note to implementors), unless it could be more of a boundary: one may begin with another. The longest
// counts, and of equal ones the innermost.
func (x *Indexer) delimiter(line []byte) (level int, closing bool) {
	level = -1
	if x.boundaries == 0 || len(line) < 3 || line[0] != '-' || line[1] != '-' {
		return level, false
	}
	text, longest := line[2:], 0
	for i := len(x.open) - 1; i >= 0; i-- {
		b := x.open[i].boundary
		if len(b) <= longest || !bytes.HasPrefix(text, b) {
			continue
		}
		tail, closes := bytes.CutPrefix(text[len(b):], []byte("--"))
		if len(tail) == 0 || !isBoundaryChar(tail[0]) {
			level, longest, closing = i, len(b), closes
		}
	}
	return level, closing
}

// isBoundaryChar reports whether an octet may go on with a boundary: bcharsnospace of RFC 2046 section 5.1.1.
func isBoundaryChar(c byte) bool {
	return '0' <= c && c <= '9' || 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z' || bytes.IndexByte([]byte("'()+_,-./:=?"), c) >= 0
}

// takeDelimiter closes what the delimiter of an open multipart ends, and begins the part that it begins. line holds the
// last octets of the delimiter line.
func (x *Indexer) takeDelimiter(level int, closing bool, line []byte) {
	x.closeDown(level+1, x.lineStart-x.termLen)
	if len(line) > 0 {
		x.endLine(line)
	}
	if closing {
		x.open[level].boundary = nil
		x.boundaries--
		return
	}
	x.beginPart(x.open[level].part, x.pos)
}

// closeDown closes the open parts from the innermost to that of the given level. Their bodies end at the offset end,
// before the line end that belongs to the delimiter.
func (x *Indexer) closeDown(level int, end int64) {
	for x.inHeader {
		// A delimiter where a header still goes on: it ends there, without a blank line.
		if i := int(x.lineStart - x.current().headerStart); i < len(x.header) {
			x.headerRoom += len(x.header) - i
			x.header = x.header[:i]
		}
		x.endHeader(x.lineStart)
	}
	if end < x.current().bodyStart() {
		end = x.lineStart // the line end before the delimiter is the header's
	}
	lines := x.lines
	if end < x.lineStart {
		lines--
	}
	for i := len(x.open) - 1; i >= level; i-- {
		o := &x.open[i]
		x.index.closePart(o.part, end, lines-o.lines)
		x.preview.end(o.part, x.index.parts[o.part].bodySize)
		if o.boundary != nil {
			x.boundaries--
		}
	}
	x.open = x.open[:level]
}

func (x *Indexer) current() *part { return &x.index.parts[x.open[len(x.open)-1].part] }

// beginPart opens a part whose header begins at the offset start.
func (x *Indexer) beginPart(parent int, start int64) {
	x.open = append(x.open, openPart{part: len(x.index.parts)})
	x.index.parts = append(x.index.parts, part{parent: parent, headerStart: start})
	x.inHeader = true
	x.header = x.header[:0]
	x.headerRoom = min(maxPartHeader, x.partRoom)
	if parent < 0 {
		x.headerRoom = MaxHeader
	}
}

// endHeader reads the header of the innermost part, which ends at the offset end, and goes on to its body.
func (x *Indexer) endHeader(end int64) {
	x.inHeader = false
	i := len(x.open) - 1
	at := x.open[i].part
	p := &x.index.parts[at]
	p.headerSize = end - p.headerStart
	x.open[i].lines = x.lines
	if at > 0 {
		x.partRoom -= len(x.header)
	}
	opaque := len(x.open) > MaxNesting || len(x.index.parts) >= MaxParts
	boundary := x.readPart(p, opaque)
	if at == 0 {
		// The root's header is wanted once more when the index is stored.
		x.index.header, x.header = x.header, x.index.header[:0]
	}
	switch p.kind {
	case multipartPart:
		if len(boundary) > 0 {
			x.open[i].boundary = boundary
			x.boundaries++
		}
	case messagePart:
		x.beginPart(at, end)
	}
	if len(x.index.parts) >= MaxParts {
		x.ignoreDelimiters()
	}
}

// ignoreDelimiters makes everything that follows the body of the innermost part.
func (x *Indexer) ignoreDelimiters() {
	for i := range x.open {
		x.open[i].boundary = nil
	}
	x.boundaries = 0
}

// Finish ends the message and returns its index, which is valid until the next Reset.
func (x *Indexer) Finish() *Index {
	if !x.started {
		x.Reset()
	}
	if x.midLine && x.boundaries > 0 {
		// A last line without its end may be the closing delimiter.
		if level, closing := x.delimiter(x.wholeLine(nil)); level >= 0 {
			x.takeDelimiter(level, closing, nil)
			x.midLine = false
			x.lineStart = x.pos
		}
	}
	for x.inHeader {
		x.endHeader(x.pos)
	}
	end := x.pos
	for i := len(x.open) - 1; i >= 0; i-- {
		o := &x.open[i]
		x.index.closePart(o.part, end, x.lines-o.lines)
		x.preview.end(o.part, x.index.parts[o.part].bodySize)
	}
	x.open = x.open[:0]
	x.index.finish(x)
	x.started = false
	return &x.index
}

// Parse indexes a whole message.
func Parse(raw []byte) *Index {
	var x Indexer
	x.Write(raw)
	return x.Finish()
}
