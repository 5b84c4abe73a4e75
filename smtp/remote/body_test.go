package remote

import (
	"bufio"
	"bytes"
	"io"
	"regexp"
	"strings"
	"testing"
)

// encode writes a message in pieces of n bytes.
func encode(t testing.TB, message string, n int) string {
	t.Helper()
	var out strings.Builder
	w := bufio.NewWriter(&out)
	b := &bodyWriter{w: w}
	for rest := []byte(message); len(rest) > 0; {
		piece := rest[:min(n, len(rest))]
		if _, err := b.Write(piece); err != nil {
			t.Fatal(err)
		}
		rest = rest[len(piece):]
	}
	b.finish()
	w.Flush()
	if b.written != int64(len(message)) {
		t.Errorf("counted %d bytes of %d", b.written, len(message))
	}
	return out.String()
}

var bodies = []struct{ in, want string }{
	{"", ".\r\n"},
	{"a\r\n", "a\r\n.\r\n"},
	{"a", "a\r\n.\r\n"},
	{"\r\n", "\r\n.\r\n"},
	{".", "..\r\n.\r\n"},
	{".\r\n", "..\r\n.\r\n"},
	{"..\r\n", "...\r\n.\r\n"},
	{"a.\r\n.b\r\n", "a.\r\n..b\r\n.\r\n"},
	{"a\n.\nb\n", "a\r\n..\r\nb\r\n.\r\n"},          // LF.LF
	{"a\n.\r\nb", "a\r\n..\r\nb\r\n.\r\n"},          // LF.CRLF
	{"a\r\n.\nb", "a\r\n..\r\nb\r\n.\r\n"},          // CRLF.LF
	{"a\r.\rb", "a\r\n..\r\nb\r\n.\r\n"},            // CR.CR
	{"a\r\n.\rb", "a\r\n..\r\nb\r\n.\r\n"},          // CRLF.CR
	{"a\r\n\x00.\r\nb", "a\r\n\x00.\r\nb\r\n.\r\n"}, // CRLF NUL .
	{"a\r\r\nb", "a\r\n\r\nb\r\n.\r\n"},
	{"a\n\rb", "a\r\n\r\nb\r\n.\r\n"},
	{"a\r", "a\r\n.\r\n"},
	{"a\r\r", "a\r\n\r\n.\r\n"},
	{"\r\n\r\n\n\n", "\r\n\r\n\r\n\r\n.\r\n"},
}

func TestBodyWriter(t *testing.T) {
	for _, tt := range bodies {
		for n := 1; n <= max(1, len(tt.in)); n++ {
			if got := encode(t, tt.in, n); got != tt.want {
				t.Errorf("%q in pieces of %d: got %q, want %q", tt.in, n, got, tt.want)
			}
		}
	}
}

var lineEnd = regexp.MustCompile("\r\n|\r|\n")

// However a message is written, a server that takes only CRLF for a line end
// and one that takes CR and LF as well see one message, with these lines.
func FuzzBodyWriter(f *testing.F) {
	for _, tt := range bodies {
		f.Add(tt.in, 2)
	}
	f.Fuzz(func(t *testing.T, in string, n int) {
		got := encode(t, in, 1+max(n, 0)%64)
		text, ok := strings.CutSuffix(got, ".\r\n")
		if !ok {
			t.Fatalf("%q has no end", got)
		}
		if strings.ContainsAny(strings.ReplaceAll(text, "\r\n", ""), "\r\n") {
			t.Errorf("bare CR or LF in %q", got)
		}
		if strings.HasPrefix(text, ".\r\n") || strings.Contains(text, "\r\n.\r\n") {
			t.Errorf("ends early: %q", got)
		}
		text = strings.TrimPrefix(text, ".")
		want := lineEnd.ReplaceAllString(in, "\r\n")
		if want != "" && !strings.HasSuffix(want, "\r\n") {
			want += "\r\n"
		}
		if plain := strings.ReplaceAll(text, "\r\n.", "\r\n"); plain != want {
			t.Errorf("got %q, want %q", plain, want)
		}
	})
}

func BenchmarkBodyWriter(b *testing.B) {
	for name, line := range map[string]string{
		"lines of 76": strings.Repeat("x", 76) + "\r\n",
		"bare CR":     "\r",
		"bare LF":     "\n",
	} {
		b.Run(name, func(b *testing.B) {
			block := bytes.Repeat([]byte(line), blockSize/len(line))
			b.SetBytes(int64(len(block)))
			b.ReportAllocs()
			out := &bodyWriter{w: bufio.NewWriterSize(io.Discard, blockSize)}
			for b.Loop() {
				out.Write(block)
			}
		})
	}
}
