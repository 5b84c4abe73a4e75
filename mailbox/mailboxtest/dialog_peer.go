package mailboxtest

import (
	"bufio"
	"bytes"
	"compress/flate"
	"errors"
	"io"
	"net"
	"time"
)

// maxLine bounds a line of the server: more than any reply that a dialogue
// could want to compare, and a server in a loop does not fill the memory.
const maxLine = 1 << 20

// errLongLine is what a line beyond maxLine gives.
var errLongLine = errors.New("a line of more than 1 MiB")

// peer is the client's end of one connection.
type peer struct {
	net.Conn
	in *bufio.Reader
	// skipping is set between a skip and the expectation that ends it.
	skipping bool
	// writeErr is the first failed write that nothing has explained yet.
	writeErr error
}

func newPeer(c net.Conn) *peer {
	return &peer{Conn: c, in: bufio.NewReader(c)}
}

// readLine returns the next line without its CRLF. Only CRLF ends a line, so
// bare CRs and LFs stay visible. With an error comes what was read before it.
func (c *peer) readLine(deadline time.Time) (string, error) {
	if err := c.SetReadDeadline(deadline); err != nil {
		return "", err
	}
	var line []byte
	for {
		piece, err := c.in.ReadSlice('\n')
		line = append(line, piece...)
		if len(line) > maxLine {
			return "", errLongLine
		}
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		if err != nil {
			return string(line), err
		}
		if text, ok := bytes.CutSuffix(line, []byte("\r\n")); ok {
			return string(text), nil
		}
	}
}

// compressed is a connection with DEFLATE on both ways. The time limits of reading and
// writing are those of the connection below.
type compressed struct {
	net.Conn
	in  io.Reader
	out *flate.Writer
}

func newCompressed(c net.Conn) *compressed {
	out, err := flate.NewWriter(c, flate.DefaultCompression)
	if err != nil {
		panic(err) // only for a level that is none
	}
	return &compressed{Conn: c, in: flate.NewReader(c), out: out}
}

func (c *compressed) Read(p []byte) (int, error) { return c.in.Read(p) }

func (c *compressed) Write(p []byte) (int, error) {
	n, err := c.out.Write(p)
	return n, errors.Join(err, c.out.Flush())
}
