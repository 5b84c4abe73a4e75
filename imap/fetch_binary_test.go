package imap

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"testing"

	"mailstead/mailbox"
)

// TestFetchBinaryOfLargeParts decodes a part that is larger than what is kept, whole and
// in pieces, with a NUL and without.
func TestFetchBinaryOfLargeParts(t *testing.T) {
	ts := newTestServer(t)
	for _, octet := range []byte{'x', 0} {
		data := bytes.Repeat([]byte("0123456789abcdefghij"), 40_000)
		data[len(data)-7] = octet
		msg := bytes.NewBufferString("Subject: 1\r\nContent-Transfer-Encoding: base64\r\n\r\n")
		for text := base64.StdEncoding.EncodeToString(data); len(text) > 0; {
			n := min(76, len(text))
			msg.WriteString(text[:n] + "\r\n")
			text = text[n:]
		}
		deliver(t, ts.store, ts.account, msg.Bytes(), mailbox.Target{Name: "INBOX"})
		c := ts.connect(t).login()
		c.send("a FETCH * BINARY.SIZE[1]\r\n")
		if line := c.expect("* "); !bytes.HasSuffix([]byte(line), []byte(fmt.Sprintf("(BINARY.SIZE[1] %d)\r\n", len(data)))) {
			t.Error(line)
		}
		for _, part := range []struct{ offset, size int }{{0, len(data)}, {3, 5}, {100_001, 300_000}, {799_990, 100}, {900_000, 1}} {
			c.send(fmt.Sprintf("b FETCH * BINARY.PEEK[1]<%d.%d>\r\n", part.offset, part.size))
			from := min(part.offset, len(data))
			want := data[from:min(from+part.size, len(data))]
			head := fmt.Sprintf("BINARY[1]<%d> {%d}\r\n", part.offset, len(want))
			if octet == 0 {
				head = fmt.Sprintf("BINARY[1]<%d> ~{%d}\r\n", part.offset, len(want))
			}
			if line := c.expect("* "); !bytes.HasSuffix([]byte(line), []byte(head)) {
				t.Fatalf("%q, want %q", line, head)
			}
			got := make([]byte, len(want))
			if _, err := io.ReadFull(c.in, got); err != nil || !bytes.Equal(got, want) {
				t.Fatalf("%+v: other octets; %v", part, err)
			}
			c.expect("b OK")
		}
	}
}
