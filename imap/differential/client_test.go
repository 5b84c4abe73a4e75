package differential

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"strconv"
	"strings"
	"testing"
)

// client is a session with one of the servers. It understands responses only as far as
// they can be compared: as words, strings and lists.
type client struct {
	t    *testing.T
	name string
	in   *bufio.Reader
	out  *bufio.Writer
	tag  int
}

func newClient(t *testing.T, name string, in io.Reader, out io.Writer) *client {
	c := &client{t: t, name: name, in: bufio.NewReaderSize(in, 1<<16), out: bufio.NewWriterSize(out, 1<<16)}
	c.response() // the greeting
	return c
}

// response is one line with the literals in it, each as a string between NUL octets: a
// server sends none.
func (c *client) response() []byte {
	c.t.Helper()
	var whole []byte
	for {
		line, err := c.in.ReadSlice('\n')
		for err == bufio.ErrBufferFull {
			whole = append(whole, line...)
			line, err = c.in.ReadSlice('\n')
		}
		if err != nil {
			c.t.Fatalf("%s: %v, after %q", c.name, err, whole[:min(len(whole), 200)])
		}
		whole = append(whole, line[:len(line)-1]...)
		whole = whole[:len(whole)-1] // CR
		n, announced := literalAnnounced(whole)
		if !announced {
			return whole
		}
		whole = append(whole[:strings.LastIndexByte(string(whole), '{')], 0)
		whole = strconv.AppendInt(whole, n, 10)
		whole = append(whole, 0)
		at := len(whole)
		whole = append(whole, make([]byte, n)...)
		if _, err := io.ReadFull(c.in, whole[at:]); err != nil {
			c.t.Fatalf("%s: %v in a literal", c.name, err)
		}
	}
}

// literalAnnounced reports whether a line ends with {n}, and tells n.
func literalAnnounced(line []byte) (n int64, ok bool) {
	if len(line) == 0 || line[len(line)-1] != '}' {
		return 0, false
	}
	open := strings.LastIndexByte(string(line[max(0, len(line)-24):]), '{')
	if open < 0 {
		return 0, false
	}
	digits := string(line[max(0, len(line)-24)+open+1 : len(line)-1])
	n, err := strconv.ParseInt(digits, 10, 64)
	return n, err == nil
}

// command says one, and calls each with every untagged response. It returns the tagged
// reply without its tag.
func (c *client) command(text string, each func(response []byte)) string {
	c.t.Helper()
	c.send(text)
	return c.result(each)
}

// send says a command; result has to follow.
func (c *client) send(text string) {
	c.t.Helper()
	c.tag++
	fmt.Fprintf(c.out, "t%d %s\r\n", c.tag, text)
	if err := c.out.Flush(); err != nil {
		c.t.Fatalf("%s: %v", c.name, err)
	}
}

func (c *client) result(each func(response []byte)) string {
	c.t.Helper()
	tag := fmt.Sprintf("t%d ", c.tag)
	for {
		r := c.response()
		if rest, ok := strings.CutPrefix(string(r), tag); ok {
			return rest
		}
		if each != nil {
			each(r)
		}
	}
}

// must is command for what has to succeed.
func (c *client) must(text string) {
	c.t.Helper()
	if reply := c.command(text, nil); !strings.HasPrefix(reply, "OK") {
		c.t.Fatalf("%s: %.200s: %s", c.name, text, reply)
	}
}

// add appends a message to INBOX. Dovecot encodes anew what comes as a literal8, so only
// what needs one does.
func (c *client) add(m *letter) {
	c.t.Helper()
	binary := ""
	if bytes.IndexByte(m.raw, 0) >= 0 {
		binary = "~"
	}
	c.must(fmt.Sprintf("APPEND INBOX (%s) \"%s\" %s{%d+}\r\n%s", strings.Join(m.flags, " "), m.arrival.Format("_2-Jan-2006 15:04:05 -0700"),
		binary, len(m.raw), m.raw))
}
