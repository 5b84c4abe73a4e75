package imap

import (
	"bufio"
	"bytes"
	"compress/flate"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"mailstead/imap/deflate"
)

// compressedClient is logged in and has COMPRESS active.
type compressedClient struct {
	net.Conn
	plain *bufio.Reader // what the server sends, as it is
	in    *bufio.Reader // what it says
	out   *deflate.Writer
}

func dialCompressed(t testing.TB, ts *testServer) *compressedClient {
	t.Helper()
	nc, err := ts.dial(1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	nc.SetDeadline(time.Now().Add(2 * time.Minute))
	c := &compressedClient{Conn: nc, plain: bufio.NewReader(nc)}
	c.in = c.plain
	c.expect(t, "* OK ")
	fmt.Fprintf(nc, "l LOGIN %s %s\r\n", testUser, testPassword)
	c.expect(t, "l OK ")
	io.WriteString(nc, "c COMPRESS DEFLATE\r\n")
	c.expect(t, "c OK ")
	c.in, c.out = bufio.NewReader(flate.NewReader(c.plain)), deflate.NewWriter(nc)
	return c
}

// expect skips lines up to the one that begins with start.
func (c *compressedClient) expect(t testing.TB, start string) {
	t.Helper()
	for {
		line, err := c.in.ReadString('\n')
		if err != nil {
			t.Fatalf("waiting for %q: %q, %v", start, line, err)
		}
		if strings.HasPrefix(line, start) {
			return
		}
	}
}

// TestUnauthenticateEndsCompression: what follows the command is plain on both sides (RFC
// 8437 section 4.1), also in the same packet.
func TestUnauthenticateEndsCompression(t *testing.T) {
	c := dialCompressed(t, newTestServer(t))
	var b bytes.Buffer
	if _, err := deflate.NewWriter(&b).Write([]byte("a NOOP\r\nb UNAUTHENTICATE\r\n")); err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(&b, "d LOGIN %s %s\r\ne COMPRESS DEFLATE\r\n", testUser, testPassword)
	if _, err := c.Write(b.Bytes()); err != nil {
		t.Fatal(err)
	}
	c.expect(t, "b OK ")
	c.in = c.plain
	c.expect(t, "d OK ")
	c.expect(t, "e OK ")
}

// TestCompressedInputIsBounded: a few octets that decode to megabytes are an overlong
// line like any other, and a stream that is none ends the session.
func TestCompressedInputIsBounded(t *testing.T) {
	ts := newTestServer(t)
	c := dialCompressed(t, ts)
	if _, err := c.out.Write(append(bytes.Repeat([]byte("x"), 1<<19), "\r\na NOOP\r\n"...)); err != nil {
		t.Fatal(err)
	}
	c.expect(t, "* BAD [LIMIT] ")
	c.expect(t, "a OK ")
	for _, junk := range [][]byte{{0xff}, make([]byte, 10)} {
		c = dialCompressed(t, ts)
		if _, err := c.Conn.Write(junk); err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(c.plain); err != nil || len(got) > 0 {
			t.Errorf("after %x: %q, %v", junk, got, err)
		}
	}
}
