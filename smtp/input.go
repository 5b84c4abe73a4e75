package smtp

import (
	"bytes"
	"errors"
	"io"
	"sync"
)

// Errors of reading from a connection.
var (
	errLineTooLong = errors.New("smtp: command line too long") // the line was consumed
	errLineEnd     = errors.New("smtp: command line not ended by CRLF")
	errFlood       = errors.New("smtp: the peer sends without end") // the connection must end
)

// maxFlood is how much of an overlong command line is read in search of its
// end. Something that sends more without a line end is no mail client.
const maxFlood = 256 << 10

// bodyWindow is the size of the buffer a message is read through: large
// enough that system calls and calls of the store do not show in a profile.
const bodyWindow = 64 << 10

var windows = sync.Pool{New: func() any { return new([bodyWindow]byte) }}

// input is the reading half of a connection: lines of commands from a small
// buffer, messages through a large one borrowed for their time.
type input struct {
	src   io.Reader
	idle  func() error // called before each read that may wait: sends the replies of the group
	small []byte
	large *[bodyWindow]byte // nil outside of messages
	buf   []byte            // small, or a slice of large
	r, w  int               // buf[r:w] is unread
}

func newInput(src io.Reader, size int, idle func() error) *input {
	b := make([]byte, size)
	return &input{src: src, idle: idle, small: b, buf: b}
}

// reset drops what is buffered: what was sent in clear before a TLS handshake
// must never be taken for a command (RFC 3207 section 6).
func (in *input) reset() { in.r, in.w = 0, 0 }

// buffered is how many octets are there without waiting.
func (in *input) buffered() int { return in.w - in.r }

// fill reads more; there is room for at least one octet when it is called.
func (in *input) fill() error {
	if in.r > 0 {
		in.w = copy(in.buf, in.buf[in.r:in.w])
		in.r = 0
	}
	if err := in.idle(); err != nil {
		return err
	}
	n, err := in.src.Read(in.buf[in.w:])
	in.w += n
	if n > 0 {
		return nil
	}
	if err == nil {
		return io.ErrNoProgress
	}
	return err
}

// line returns the next command line without its CRLF, valid until the next
// call. errLineTooLong and errLineEnd leave the reader at the next line.
func (in *input) line(limit int) ([]byte, error) {
	limit = min(limit, len(in.buf))
	for scanned := 0; ; {
		if i := bytes.IndexByte(in.buf[in.r+scanned:in.w], '\n'); i >= 0 {
			l := in.buf[in.r : in.r+scanned+i+1]
			in.r += len(l)
			return cutLine(l, limit)
		}
		if scanned = in.w - in.r; scanned >= limit {
			return nil, in.skipLine()
		}
		if err := in.fill(); err != nil {
			return nil, err
		}
	}
}

// cutLine takes the CRLF from l. A line that ends in a bare LF is refused: a
// peer that reads line ends otherwise than we do may be made to smuggle.
func cutLine(l []byte, limit int) ([]byte, error) {
	if len(l) > limit {
		return nil, errLineTooLong
	}
	if len(l) < 2 || l[len(l)-2] != '\r' {
		return nil, errLineEnd
	}
	return l[:len(l)-2], nil
}

// skipLine reads up to the end of an overlong line.
func (in *input) skipLine() error {
	for skipped := 0; skipped < maxFlood; {
		if i := bytes.IndexByte(in.buf[in.r:in.w], '\n'); i >= 0 {
			in.r += i + 1
			return errLineTooLong
		}
		skipped += in.w - in.r
		in.r, in.w = 0, 0
		if err := in.fill(); err != nil {
			return err
		}
	}
	return errFlood
}

// widen borrows the large buffer for a message, with what is unread.
func (in *input) widen() {
	if in.large != nil {
		return
	}
	in.large = windows.Get().(*[bodyWindow]byte)
	in.w = copy(in.large[:], in.buf[in.r:in.w])
	in.r, in.buf = 0, in.large[:]
}

// narrow gives the large buffer back once what is unread fits the small one;
// a client that pipelines more than that keeps it a while longer.
func (in *input) narrow() {
	if in.large == nil || in.buffered() > len(in.small) {
		return
	}
	in.w = copy(in.small, in.buf[in.r:in.w])
	in.r, in.buf = 0, in.small
	windows.Put(in.large)
	in.large = nil
}

// release gives the large buffer back at the end of the connection.
func (in *input) release() {
	if in.large != nil {
		windows.Put(in.large)
	}
	in.large, in.buf, in.r, in.w = nil, nil, 0, 0
}

// window returns what is unread, waiting for at least one octet.
func (in *input) window() ([]byte, error) {
	if in.r == in.w {
		if err := in.fill(); err != nil {
			return nil, err
		}
	}
	return in.buf[in.r:in.w], nil
}

// take says that n octets of the window were used.
func (in *input) take(n int) { in.r += n }
