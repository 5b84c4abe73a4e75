package remote

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"testing/iotest"

	"mailstead/smtp/queue"
)

// However a message is read, its chunks are its lines, with nothing added but CRLF.
func TestChunker(t *testing.T) {
	big := strings.Repeat("0123456789abcdef\r\n", 40_000)
	for _, tt := range []struct{ in, want string }{
		{"", ""},
		{"a", "a\r\n"},
		{".\r\n..\r\n", ".\r\n..\r\n"},
		{"a\n.\rb\r", "a\r\n.\r\nb\r\n"},
		{big, big},
		{big + ".", big + ".\r\n"},
	} {
		c := newChunker(&session{}, iotest.HalfReader(strings.NewReader(tt.in)), int64(len(tt.in)))
		var got bytes.Buffer
		for last := false; !last; {
			var chunk []byte
			var err error
			if chunk, last, err = c.next(); err != nil {
				t.Fatal(err)
			}
			if len(chunk) > chunkSize+2*blockSize {
				t.Errorf("a chunk of %d octets", len(chunk))
			}
			got.Write(chunk)
		}
		if got.String() != tt.want {
			t.Errorf("%.40q became %.40q", tt.in, got.String())
		}
	}
}

// Half a message is no message: neither one that ends early nor one that cannot be read.
func TestChunkerFails(t *testing.T) {
	c := newChunker(&session{}, strings.NewReader("abc"), 4)
	if _, _, err := c.next(); asVerdict(err).text != "the message ends after 3 of 4 bytes" {
		t.Errorf("too short: %v", err)
	}
	c = newChunker(&session{}, iotest.ErrReader(errors.New("bad block")), 4)
	if _, _, err := c.next(); asVerdict(err).text != "read the message: bad block" {
		t.Errorf("unreadable: %v", err)
	}
}

const bdatHello = "S: 220 x\nC: EHLO us.test\nS: 250-x\nS: 250-PIPELINING\nS: 250 CHUNKING\nC: MAIL*\nC: RCPT*\nS: 250 ok\nS: 250 ok\n"

// A large message goes in chunks, each before the reply to the last; what is refused is not sent to its end.
func TestChunksOfALargeMessage(t *testing.T) {
	for _, tt := range []struct {
		name, script, text string
		status             queue.Status
	}{
		{"taken", "C: BDAT 262144\nread 262144\nC: BDAT 262144\nread 262144\nS: 250 1\nC: BDAT 95714 LAST\nread 95714\nS: 250 2\nS: 250 done\n" + goodbye, "done", queue.Delivered},
		{"refused early", "C: BDAT 262144\nread 262144\nC: BDAT 262144\nread 262144\nS: 552 enough\nS: 503 I said so\n" + goodbye, "enough", queue.Permanent},
		{"put off in the middle", "C: BDAT 262144\nread 262144\nC: BDAT 262144\nread 262144\nS: 250 1\nC: BDAT 95714 LAST\nread 95714\nS: 451 no\nS: 503 no\n" + goodbye, "no", queue.Temporary},
		{"a reply too many on the way", "C: BDAT 262144\nread 262144\nC: BDAT 262144\nread 262144\nS~ 250 1\\r\\n250 1\\r\\n\nC: BDAT 95714 LAST\nread 95714\nS~ 250 2\\r\\n451 full\\r\\n\neof",
			"malformed reply: more replies than commands while sending the message", queue.Temporary},
		{"lost in the middle", "C: BDAT 262144\nread 262144\nC: BDAT*", "connection lost while*", queue.Temporary},
		{"lost at the end", "C: BDAT 262144\nread 262144\nC: BDAT 262144\nread 262144\nS: 250 1\nC: BDAT 95714 LAST\nread 95714\nS: 250 2", "connection lost while waiting for the reply to the end of the message", queue.Temporary},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, oneMX)
			w.message = strings.Repeat("0123456789abcdefghijklmnopq\r\n", 22_000)[:620_000]
			w.scripts["192.0.2.1"] = []script{lines(bdatHello + tt.script)}
			c := w.courier()
			o := c.Deliver(t.Context(), "example.test", w.letter("a@example.test"))[0]
			if o.Status != tt.status || !matches(o.Text, tt.text) {
				t.Errorf("got %s", describe(o))
			}
		})
	}
}
