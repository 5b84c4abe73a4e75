package remote

import (
	"bytes"
	"io"
)

// bodyWriter writes a message as the text of DATA (RFC 5321 section 4.5.2):
// every line ends in CRLF, and one that begins with a dot gets a second. A bare
// CR or LF becomes a line end, so that none leaves this server and no server
// that takes them for one sees other lines than we do ("smuggling").
type bodyWriter struct {
	w       textWriter
	chunked bool // for BDAT (RFC 3030): dots are not doubled, and nothing marks the end
	inLine  bool // something of the present line is written
	heldCR  bool // the last byte was a CR; what comes next says of which kind
	written int64
}

// textWriter is a bufio.Writer or a bytes.Buffer.
type textWriter interface {
	io.Writer
	io.ByteWriter
	io.StringWriter
}

// Write takes part of the message. Its errors are those of the connection.
func (b *bodyWriter) Write(p []byte) (int, error) {
	b.written += int64(len(p))
	i := 0
	if b.heldCR && len(p) > 0 {
		b.heldCR = false
		b.endLine()
		if p[0] == '\n' {
			i = 1
		}
	}
	// The next CR and LF are looked for only when passed, so that no text makes
	// this slower than two readings of it.
	cr, lf := -1, -1
	for i < len(p) {
		if cr < i {
			cr = indexFrom(p, i, '\r')
		}
		if lf < i {
			lf = indexFrom(p, i, '\n')
		}
		end := min(cr, lf)
		switch {
		case cr+1 == lf && lf < len(p):
			b.text(p[i : lf+1])
			b.inLine = false
			i = lf + 1
		case end == len(p):
			b.text(p[i:])
			i = end
		case end == cr && cr == len(p)-1:
			b.text(p[i:cr])
			b.heldCR = true
			i = len(p)
		default:
			b.text(p[i:end])
			b.endLine()
			i = end + 1
		}
	}
	// The buffered writer keeps its first error; writing nothing tells it.
	if _, err := b.w.Write(nil); err != nil {
		return 0, err
	}
	return len(p), nil
}

// finish ends the last line, if need be, and the message. The caller flushes.
func (b *bodyWriter) finish() {
	if b.heldCR || b.inLine {
		b.endLine()
	}
	if !b.chunked {
		b.w.WriteString(".\r\n")
	}
}

// text writes part of a line, or all of it with its CRLF.
func (b *bodyWriter) text(p []byte) {
	if len(p) == 0 {
		return
	}
	if !b.inLine && p[0] == '.' && !b.chunked {
		b.w.WriteByte('.')
	}
	b.w.Write(p)
	b.inLine = true
}

func (b *bodyWriter) endLine() {
	b.w.WriteString("\r\n")
	b.inLine = false
}

// indexFrom gives the first index of c in p at or after i, len(p) if there is
// none.
func indexFrom(p []byte, i int, c byte) int {
	if n := bytes.IndexByte(p[i:], c); n >= 0 {
		return i + n
	}
	return len(p)
}
