package imap

import (
	"errors"

	"mailstead/imap/deflate"
	"mailstead/tls/serve"
)

// conn is a connection that remembers that it has failed, so that an error of the
// connection is told from one of the store whatever both are made of.
type conn struct {
	*serve.Conn
	failure error     // the first error of a read or write: nothing more will come of it
	ahead   readAhead // what Conn is read through

	inflate *deflate.Reader // nil = COMPRESS is not active
	deflate *deflate.Writer
	pending []byte // was read already, and comes before what inflate or Conn have
}

// newConn returns a connection that reads ahead while its session is busy.
func newConn(c *serve.Conn) *conn { return &conn{Conn: c, ahead: readAhead{conn: c}} }

func (c *conn) Read(p []byte) (n int, err error) {
	switch {
	case len(c.pending) > 0:
		n = copy(p, c.pending)
		if c.pending = c.pending[n:]; len(c.pending) == 0 {
			c.pending = nil
		}
	case c.inflate != nil:
		n, err = c.inflate.Read(p)
	default:
		n, err = c.ahead.Read(p)
	}
	return n, c.note(err)
}

func (c *conn) Write(p []byte) (n int, err error) {
	if c.deflate != nil {
		n, err = c.deflate.Write(p)
	} else {
		n, err = c.Conn.Write(p)
	}
	return n, c.note(err)
}

func (c *conn) note(err error) error {
	if c.failure == nil && !errors.Is(err, serve.ErrInterrupted) {
		c.failure = err
	}
	return err
}
