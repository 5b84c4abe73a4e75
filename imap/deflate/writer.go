package deflate

import (
	"compress/flate"
	"io"
	"sync"
)

// maxPiece is how much is compressed at a time: twice the distance that matches reach
// over, so that little is lost by starting anew behind it.
const maxPiece = 64 << 10

// Writer compresses. What Write was given can be inflated whole when it returns: it
// ends with a sync flush (an empty stored block). Each piece is compressed on its own,
// with a compressor of half a megabyte and more that is given back before the piece is
// written out: a client that reads slowly holds up none, and the number in use is that
// of the processors.
type Writer struct {
	dst io.Writer
}

// NewWriter returns a Writer that writes what it compresses to dst.
func NewWriter(dst io.Writer) *Writer { return &Writer{dst: dst} }

// Write implements io.Writer. An error is one of the destination; n then counts the
// pieces that were written whole.
func (w *Writer) Write(p []byte) (n int, err error) {
	out := pieces.Get().(*[]byte)
	defer pieces.Put(out)
	for n < len(p) {
		piece := p[n:min(len(p), n+maxPiece)]
		*out = appendCompressed((*out)[:0], piece)
		if _, err := w.dst.Write(*out); err != nil {
			return n, err
		}
		n += len(piece)
	}
	return n, nil
}

// pieces hold a compressed piece, also one that could not be made smaller.
var pieces = sync.Pool{New: func() any { b := make([]byte, 0, maxPiece+1<<10); return &b }}

// compressor appends what its flate.Writer writes to out.
type compressor struct {
	*flate.Writer
	out []byte
}

// sink is the destination of the flate.Writer.
type sink struct{ *compressor }

func (s sink) Write(p []byte) (int, error) {
	s.out = append(s.out, p...)
	return len(p), nil
}

// compressors work at the fastest level: RFC 4978 section 4 sees typical responses
// shrink to 25-40 % with it, and the slower ones find little more in base64.
var compressors = sync.Pool{New: func() any {
	c := new(compressor)
	c.Writer, _ = flate.NewWriter(sink{c}, flate.BestSpeed) // the level is a valid one
	return c
}}

// appendCompressed appends piece, compressed and flushed.
func appendCompressed(dst, piece []byte) []byte {
	c := compressors.Get().(*compressor)
	c.out = dst
	c.Reset(sink{c})
	// The sink never fails, and nothing else does.
	c.Writer.Write(piece)
	c.Flush()
	dst, c.out = c.out, nil
	compressors.Put(c)
	return dst
}
