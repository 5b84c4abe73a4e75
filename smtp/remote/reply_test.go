package remote

import (
	"bufio"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func read(s string) (reply, error) {
	return readReply(bufio.NewReaderSize(strings.NewReader(s), maxReplyLine))
}

var replies = []struct {
	in       string
	code     int
	enhanced string
	text     string
	err      error
}{
	{in: "250 ok\r\n", code: 250, text: "ok"},
	{in: "250\r\n", code: 250},
	{in: "250 \n", code: 250},
	{in: "250-2.0.0 a\r\n250-2.0.0\r\n250 2.0.0 b\r\n", code: 250, enhanced: "2.0.0", text: "a b"},
	{in: "550 5.1.1 <x@y.test>: no such user\r\n", code: 550, enhanced: "5.1.1", text: "<x@y.test>: no such user"},
	{in: "550 5.1.1\r\n", code: 550, enhanced: "5.1.1"},
	{in: "450 5.1.1 contradicts\r\n", code: 450, text: "5.1.1 contradicts"},
	{in: "550 5.1 half\r\n", code: 550, text: "5.1 half"},
	{in: "550 5.1.1234 too long\r\n", code: 550, text: "5.1.1234 too long"},
	{in: "550 5.x.1 no number\r\n", code: 550, text: "5.x.1 no number"},
	{in: "554 bell \a and \x1b[31m and ümlaut\xff\r\n", code: 554, text: "bell ? and ?[31m and ?mlaut?"},
	{in: "554 " + strings.Repeat("x", 600) + "\r\n", code: 554, text: strings.Repeat("x", 497) + "..."},
	{in: "", err: io.EOF},
	{in: "250 ok", err: io.EOF},
	{in: "250-a\r\n", err: io.EOF},
	{in: "25\r\n", err: errReplyForm},
	{in: "2x0 a\r\n", err: errReplyForm},
	{in: "199 a\r\n", err: errReplyForm},
	{in: "600 a\r\n", err: errReplyForm},
	{in: "250_a\r\n", err: errReplyForm},
	{in: "250-a\r\n550 b\r\n", err: errReplyForm},
	{in: "250 " + strings.Repeat("x", maxReplyLine) + "\r\n", err: errReplyLine},
	{in: strings.Repeat("250-a\r\n", maxReplyLines) + "250 a\r\n", err: errReplyLines},
	{in: strings.Repeat("250-\r\n", maxReplyLines-1) + "250 a\r\n", code: 250, text: "a"},
}

func TestReadReply(t *testing.T) {
	for _, tt := range replies {
		rep, err := read(tt.in)
		if !errors.Is(err, tt.err) || rep.code != tt.code || rep.enhanced() != tt.enhanced || rep.text() != tt.text {
			t.Errorf("%.60q: got %d %q %q, %v", tt.in, rep.code, rep.enhanced(), rep.text(), err)
		}
	}
}

// Whatever a server says, the reply is well formed and its text harmless, and
// no more is read than belongs to it.
func FuzzReadReply(f *testing.F) {
	for _, tt := range replies {
		f.Add(tt.in)
	}
	f.Fuzz(func(t *testing.T, in string) {
		src := strings.NewReader(in)
		r := bufio.NewReaderSize(src, maxReplyLine)
		rep, err := readReply(r)
		if err != nil {
			return
		}
		if rep.code < 200 || rep.code > 599 || len(rep.lines) == 0 || len(rep.lines) > maxReplyLines {
			t.Errorf("reply %+v", rep)
		}
		if e := rep.enhanced(); e != "" && !isEnhanced(e) {
			t.Errorf("enhanced code %q", e)
		}
		text := rep.text()
		if len(text) > maxText || strings.ContainsFunc(text, func(c rune) bool { return c < ' ' || c > '~' }) {
			t.Errorf("text %q", text)
		}
		taken := in[:len(in)-src.Len()-r.Buffered()]
		if strings.Count(taken, "\n") != len(rep.lines) || !strings.HasSuffix(taken, "\n") {
			t.Errorf("took %q for %d lines", taken, len(rep.lines))
		}
		_ = parseExtensions(rep)
	})
}

func TestParseExtensions(t *testing.T) {
	for _, tt := range []struct {
		in   string
		want extensions
	}{
		{"250 PIPELINING\r\n", extensions{}}, // the first line is the greeting
		{"250-x\r\n250-pipelining\r\n250-8bitmime\r\n250-SMTPUTF8\r\n250 StartTLS\r\n",
			extensions{pipelining: true, eightBit: true, utf8: true, startTLS: true}},
		{"250-x\r\n250 SIZE\r\n", extensions{sizeParam: true}},
		{"250-x\r\n250 SIZE 0\r\n", extensions{sizeParam: true}},
		{"250-x\r\n250 SIZE 1000\r\n", extensions{sizeParam: true, size: 1000}},
		{"250-x\r\n250 SIZE 99999999999999999999\r\n", extensions{sizeParam: true}},
		{"250-x\r\n250 SIZE -1\r\n", extensions{sizeParam: true}},
		{"250-x\r\n250-PIPELININGS\r\n250 \r\n", extensions{}},
	} {
		rep, err := read(tt.in)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(tt.want, parseExtensions(rep), cmp.AllowUnexported(extensions{})); d != "" {
			t.Errorf("%q (-want +got)\n%s", tt.in, d)
		}
	}
}
