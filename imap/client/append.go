package client

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	goimap "github.com/emersion/go-imap/v2"

	"mailstead/imap/wire"
)

// Appending is a message that was sent and not answered yet.
type Appending struct {
	c   *Conn
	tag string
}

// maxNonSync is the largest literal that LITERAL- lets go without asking, in octets (RFC
// 7888 section 5).
const maxNonSync = 4096

// ErrSource says that a message could not be read while it was sent: the connection is
// in the middle of it, and of no use any more.
var ErrSource = errors.New("reading the message that is sent")

// Append sends a message of size octets, RFC 3501 section 6.3.11. Its answer is waited for
// with Appending.Wait, so that several are on their way where the server needs not be
// asked first (LITERAL+, RFC 7888). *StatusError when it will not have it, ErrSource.
func (c *Conn) Append(raw string, flags []goimap.Flag, date time.Time, size int64, body io.Reader) (*Appending, error) {
	if _, err := c.Has("LITERAL+"); err != nil {
		return nil, err
	}
	tag, err := c.startMessage(raw, flags, date)
	if err != nil {
		return nil, err
	}
	nonSync := c.caps["LITERAL+"] || c.caps["LITERAL-"] && size <= maxNonSync
	end := "}\r\n"
	if nonSync {
		end = "+}\r\n"
	}
	if _, err := c.out.WriteString(" {" + strconv.FormatInt(size, 10) + end); err != nil {
		return nil, err
	}
	if !nonSync {
		if _, err := c.goAhead(tag); err != nil {
			return nil, err
		}
	}
	n, err := io.Copy(c.out, struct{ io.Reader }{io.LimitReader(body, size)})
	if err == nil && n != size {
		err = fmt.Errorf("%w: %d octets of %d", ErrSource, n, size)
	}
	if err == nil {
		_, err = c.out.WriteString("\r\n")
	}
	return &Appending{c, tag}, err
}

// startMessage writes an APPEND up to the message.
func (c *Conn) startMessage(raw string, flags []goimap.Flag, date time.Time) (tag string, err error) {
	if tag, err = c.beginWith("APPEND", raw); err != nil {
		return tag, err
	}
	b := append(wire.AppendFlags([]byte(" "), flags), ' ')
	if !date.IsZero() {
		b = append(date.AppendFormat(b, wire.DateTimeLayout), ' ')
	}
	_, err = c.out.Write(b[:len(b)-1])
	return tag, err
}

// Wait waits for the server's answer. *StatusError when it has not taken the message.
func (a *Appending) Wait() error { return a.c.await(a.tag, maxAside, nil) }
