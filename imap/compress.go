package imap

import (
	goimap "github.com/emersion/go-imap/v2"

	"mailstead/imap/deflate"
)

// codeCompressionActive is RFC 4978 section 3.
const codeCompressionActive goimap.ResponseCode = "COMPRESSIONACTIVE"

// compress is COMPRESS (RFC 4978 section 3). What follows the reply is compressed in
// both directions. A client that says more before it has the reply has not read the RFC,
// and nobody knows whether that is compressed: it is refused.
func (s *session) compress(r *request) (reply, error) {
	s.dec.SP()
	mechanism := s.dec.Word()
	s.dec.End()
	switch {
	case s.dec.Err() != nil:
		return reply{}, s.dec.Err()
	case mechanism != "DEFLATE":
		return reply{}, bad("unknown compression mechanism")
	case s.conn.compressed():
		return reply{}, &goimap.Error{Type: goimap.StatusResponseTypeBad, Code: codeCompressionActive, Text: "DEFLATE is active already"}
	case s.dec.Buffered() > 0 || s.conn.readAlready():
		return reply{}, bad("COMPRESS is not followed by anything before its reply")
	}
	s.tagged(r, reply{Text: "DEFLATE active"})
	if err := s.enc.Flush(); err != nil {
		return reply{}, err
	}
	s.conn.compress()
	return reply{}, errAnswered
}

// compressed reports whether COMPRESS is active.
func (c *conn) compressed() bool { return c.inflate != nil }

// readAlready ends reading ahead, and reports whether that has read something.
func (c *conn) readAlready() bool {
	c.ahead.stop()
	return c.ahead.waiting() > 0
}

// compress puts the compression layer in.
func (c *conn) compress() {
	c.inflate, c.deflate = deflate.NewReader(&c.ahead), deflate.NewWriter(c.Conn)
}

// decompress takes the compression layer out (RFC 8437 section 4.1); what was read from
// behind it comes with the next reads. It reports false if nobody can tell where the
// client's last compressed command ends.
func (c *conn) decompress() bool {
	if !c.compressed() {
		return true
	}
	rest, ok := c.inflate.Rest()
	c.endCompression()
	c.pending = rest
	return ok
}

// endCompression gives back what the compression layer holds.
func (c *conn) endCompression() {
	if c.inflate != nil {
		c.inflate.Close()
	}
	c.inflate, c.deflate = nil, nil
}
