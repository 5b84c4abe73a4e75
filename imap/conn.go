package imap

import (
	"errors"

	"mailstead/tls/serve"
)

// conn is a connection that remembers that it has failed, so that an error of the
// connection is told from one of the store whatever both are made of.
type conn struct {
	*serve.Conn
	failure error // the first error of a read or write: nothing more will come of it
}

func (c *conn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	return n, c.note(err)
}

func (c *conn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	return n, c.note(err)
}

func (c *conn) note(err error) error {
	if c.failure == nil && !errors.Is(err, serve.ErrInterrupted) {
		c.failure = err
	}
	return err
}
