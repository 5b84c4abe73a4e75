package wire

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	goimap "github.com/emersion/go-imap/v2"
)

func TestUTF7(t *testing.T) {
	for name, wire := range map[string]string{
		"INBOX": "INBOX", "a&b": "a&-b", "&": "&-", "Entw\u00fcrfe": "Entw&APw-rfe", "~peter/mail/\u53f0\u5317/\u65e5\u672c\u8a9e": "~peter/mail/&U,BTFw-/&ZeVnLIqe-",
		"\U0001f600": "&2D3eAA-", "\u00e4&\u00f6": "&AOQ-&-&APY-", "": "",
	} {
		if got := string(AppendUTF7(nil, name)); got != wire {
			t.Errorf("encode %q: %q, want %q", name, got, wire)
		}
		if got, err := DecodeUTF7(wire); err != nil || got != name {
			t.Errorf("decode %q: %q, %v", wire, got, err)
		}
	}
	for why, wire := range map[string]string{
		"raw 8-bit": "\u00e4", "no end": "&AOQ", "ASCII in base64": "&AGE-", "odd octets": "&AOQA-", "bits left over": "&AOR-", "null shift": "&AOQ-&APY-",
		"lone surrogate": "&2D0-", "swapped surrogates": "&3gDYPQ-", "slash of base64": "&U/BTFw-", "NUL": "&AAA-", "LF": "&AAo-", "control": "a\x01", "C1 control": "&AIU-", "DEL": "\x7f", "padding": "&AOQ=-", "line end in base64": "&AO\nQ-",
	} {
		if got, err := DecodeUTF7(wire); !errors.Is(err, ErrUTF7) {
			t.Errorf("%s: %q decoded to %q, %v", why, wire, got, err)
		}
	}
}

// FuzzUTF7 proves that a name has one spelling.
func FuzzUTF7(f *testing.F) {
	for _, s := range []string{"&AOQ-", "a&-b", "&2D3eAA-", "&AOR-", "&", "&AGE-"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if name, err := DecodeUTF7(s); err == nil {
			if !utf8.ValidString(name) || string(AppendUTF7(nil, name)) != s {
				t.Fatalf("%q -> %q -> %q", s, name, AppendUTF7(nil, name))
			}
		}
		encoded := string(AppendUTF7(nil, s))
		for _, c := range []byte(encoded) {
			if !direct(rune(c)) {
				t.Fatalf("%q encoded to %q", s, encoded)
			}
		}
	})
}

func TestPattern(t *testing.T) {
	long := strings.Repeat("ab/", 200)
	tests := []struct {
		pattern, name string
		want          bool
	}{
		{"*", "", true}, {"*", "a/b", true}, {"%", "a", true}, {"%", "a/b", false}, {"%/%", "a/b", true}, {"%/%", "a/b/c", false},
		{"a*", "ab", true}, {"a*", "a/b/c", true}, {"a/%", "a/b", true}, {"a/%", "a", false}, {"*b", "a/bb", true}, {"*%", "a/b", true}, {"%*", "a/b", true},
		{"a%c", "abc", true}, {"a%c", "a/c", false}, {"a*b*c", "axxbyyc", true}, {"a*b*c", "acb", false}, {"", "", true}, {"", "a", false},
		{"inbox", "INBOX", true}, {"Inb%", "INBOX", true}, {"inb%", "INBOXER", false}, {"inbox/%", "INBOX/a", true}, {"inbox/A", "INBOX/a", false}, {"i*x", "INBOX", true}, {"*nb*", "INBOX", true},
		{"Work", "work", false}, {long + "%", long + "x", true}, {long + "%", long + "x/", false}, {"*" + long + "y", long + "x", false},
	}
	for _, test := range tests {
		p, ok := CompilePattern(test.pattern, '/')
		if !ok {
			t.Fatalf("%q is too long", test.pattern)
		}
		if got := p.Match(test.name); got != test.want {
			t.Errorf("%q against %q: %v", test.pattern, test.name, got)
		}
	}
	if _, ok := CompilePattern(strings.Repeat("x", MaxPattern+1), '/'); ok {
		t.Error("an overlong pattern was compiled")
	}
}

// matchSlowly is the definition of a pattern, in exponential time.
func matchSlowly(pattern, name string) bool {
	switch {
	case pattern == "":
		return name == ""
	case pattern[0] == '*' || pattern[0] == '%':
		for i := 0; i <= len(name); i++ {
			if matchSlowly(pattern[1:], name[i:]) {
				return true
			}
			if i < len(name) && pattern[0] == '%' && name[i] == '/' {
				return false
			}
		}
		return false
	}
	return name != "" && pattern[0] == name[0] && matchSlowly(pattern[1:], name[1:])
}

// FuzzPattern holds the matcher against the definition.
func FuzzPattern(f *testing.F) {
	f.Add("a*b%c", "axb/c")
	f.Add("%/%*", "a/b/c")
	f.Add("***%%%", "")
	f.Fuzz(func(t *testing.T, pattern, name string) {
		if len(pattern) > 12 || len(name) > 16 || strings.HasPrefix(strings.ToUpper(pattern+name), "INBOX") || strings.HasPrefix(name, "INBOX") {
			return
		}
		p, _ := CompilePattern(pattern, '/')
		if got, want := p.Match(name), matchSlowly(pattern, name); got != want && !EqualFold(strings.SplitN(pattern, "/", 2)[0], "INBOX") {
			t.Fatalf("%q against %q: %v, want %v", pattern, name, got, want)
		}
	})
}

func TestAppendString(t *testing.T) {
	for in, want := range map[string]string{
		"": `""`, "a b": `"a b"`, `a"\`: `"a\"\\"`, "a\r\nb": "{4}\r\na\r\nb", "\u00e4": "{2}\r\n\u00e4", "a\x00b": "{3}\r\na b",
		strings.Repeat("x", maxQuoted+1): "{4097}\r\n" + strings.Repeat("x", maxQuoted+1),
	} {
		if got := string(AppendString(nil, in)); got != want {
			t.Errorf("%.20q: %.40q, want %.40q", in, got, want)
		}
	}
	for in, want := range map[string]string{"INBOX": "INBOX", "a b": `"a b"`, "": `""`, "nil": `"nil"`, "a*": `"a*"`, "\u00e4": "&AOQ-", "x]": "x]"} {
		if got := string(AppendMailbox(nil, in)); got != want {
			t.Errorf("mailbox %q: %q, want %q", in, got, want)
		}
	}
	when := time.Date(2026, 7, 1, 2, 3, 4, 0, time.FixedZone("", -7*3600))
	if got := string(AppendDateTime(nil, when)); got != `" 1-Jul-2026 02:03:04 -0700"` {
		t.Error(got)
	}
}

// writes counts what reaches the connection.
type writes struct {
	bytes.Buffer
	n int
}

func (w *writes) Write(p []byte) (int, error) { w.n++; return w.Buffer.Write(p) }

func TestEncoder(t *testing.T) {
	var w writes
	e := NewEncoder(&w)
	e.Text("* ").Number(7).Text(" FETCH (FLAGS ").Flags([]goimap.Flag{goimap.FlagSeen, "a"}).Text(" X ").Str("y").Text(")").CRLF()
	if w.n != 0 {
		t.Fatal("written before Flush")
	}
	if err := e.Flush(); err != nil || w.String() != "* 7 FETCH (FLAGS (\\Seen a) X \"y\")\r\n" || w.n != 1 {
		t.Fatalf("%q, %d writes, %v", w.String(), w.n, err)
	}
	if len(e.buf) != 0 || e.pool != nil {
		t.Fatal("an idle encoder keeps a buffer")
	}
	// A full buffer is written out without being asked to, a broken writer is remembered.
	w.Reset()
	for range flushAt {
		e.Text("0123456789")
	}
	if w.Len() < 9*flushAt || e.Err() != nil {
		t.Fatalf("%d octets written of %d", w.Len(), 10*flushAt)
	}
	e.Reset(brokenWriter{})
	e.Text("x")
	if err := e.Flush(); !errors.Is(err, io.ErrClosedPipe) {
		t.Fatal(err)
	}
	if e.Text(strings.Repeat("x", 10*flushAt)); !errors.Is(e.Err(), io.ErrClosedPipe) || len(e.buf) != 0 {
		t.Fatal("more is collected for a broken writer")
	}
}

// brokenWriter is a connection that is gone.
type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

// BenchmarkEncodeFlags writes the line that clients ask for most.
func BenchmarkEncodeFlags(b *testing.B) {
	e := NewEncoder(io.Discard)
	flags := []goimap.Flag{goimap.FlagSeen, goimap.FlagAnswered}
	b.ReportAllocs()
	for b.Loop() {
		e.Text("* ").Number(12345).Text(" FETCH (UID ").Number(99999).Text(" FLAGS ").Flags(flags).Text(")\r\n")
	}
}

// BenchmarkDecodeCommand reads a typical command.
func BenchmarkDecodeCommand(b *testing.B) {
	r := &repeat{text: []byte("a12 UID FETCH 1:* (UID FLAGS)\r\n")}
	d := NewDecoder(r, Limits{}, Hooks{})
	b.ReportAllocs()
	for b.Loop() {
		if err := d.Next(); err != nil {
			b.Fatal(err)
		}
		d.Tag()
		d.SP()
		d.Word()
		d.Rest()
	}
}

// repeat reads as the same text for ever.
type repeat struct {
	text []byte
	at   int
}

func (r *repeat) Read(p []byte) (int, error) {
	n := 0
	for n < len(p) {
		k := copy(p[n:], r.text[r.at:])
		n += k
		r.at = (r.at + k) % len(r.text)
	}
	return n, nil
}
