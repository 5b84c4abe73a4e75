package deflate

import (
	"bytes"
	"compress/flate"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
)

// samples are texts of many kinds.
func samples() map[string][]byte {
	random := rand.NewChaCha8([32]byte{1})
	noise := make([]byte, 100<<10)
	random.Read(noise)
	var lines bytes.Buffer
	for i := range 4000 {
		fmt.Fprintf(&lines, "* %d FETCH (UID %d FLAGS (\\Seen) RFC822.SIZE %d)\r\n", i, i*3, i*i)
	}
	return map[string][]byte{
		"empty": {}, "octet": {0}, "command": []byte("a NOOP\r\n"), "noise": noise,
		"zeros": make([]byte, 300<<10), "lines": lines.Bytes(),
		"period 3": bytes.Repeat([]byte("abc"), 50<<10), "far": append(append(noise[:30<<10:30<<10], make([]byte, 5000)...), noise[:30<<10]...),
	}
}

func TestReaderReadsWhatWasCompressed(t *testing.T) {
	for name, text := range samples() {
		for level := flate.HuffmanOnly; level <= flate.BestCompression; level++ {
			if testing.Short() && level > flate.BestSpeed && level < flate.BestCompression {
				continue // they write the same kinds of blocks
			}
			var b bytes.Buffer
			w, err := flate.NewWriter(&b, level)
			if err != nil {
				t.Fatal(err)
			}
			for rest := text; len(rest) > 0; {
				n := min(len(rest), 7000)
				w.Write(rest[:n])
				w.Flush()
				rest = rest[n:]
			}
			w.Close()
			for how, src := range map[string]io.Reader{
				"whole": bytes.NewReader(b.Bytes()), "octets": iotest.OneByteReader(bytes.NewReader(b.Bytes())),
				"with errors": iotest.DataErrReader(bytes.NewReader(b.Bytes())),
			} {
				got, err := io.ReadAll(iotest.HalfReader(NewReader(src)))
				if err != nil || !bytes.Equal(got, text) {
					t.Errorf("%s, level %d, %s: %d octets of %d, %v", name, level, how, len(got), len(text), err)
				}
			}
		}
	}
}

// TestReaderHandsOutWhatIsFlushed inflates streams of zlib, cut where zlib flushed: the
// text up to there must come without more input. NN-KIND.z is the stream, NN-KIND.cuts
// has a line "COMPRESSED PLAIN" for each flush, and 00-text what was compressed.
func TestReaderHandsOutWhatIsFlushed(t *testing.T) {
	text, err := os.ReadFile("testdata/00-text")
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("testdata/*.z")
	if err != nil || len(files) < 4 {
		t.Fatal("streams are missing", files, err)
	}
	for _, name := range files {
		t.Run(filepath.Base(name), func(t *testing.T) {
			stream, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			cuts, err := os.ReadFile(strings.TrimSuffix(name, ".z") + ".cuts")
			if err != nil {
				t.Fatal(err)
			}
			src := &stopping{}
			r := NewReader(src)
			from, plain := 0, 0
			for line := range strings.Lines(string(cuts)) {
				var to, end int
				if _, err := fmt.Sscan(line, &to, &end); err != nil {
					t.Fatal(err)
				}
				src.b = stream[from:to]
				for plain < end {
					p := make([]byte, end-plain)
					n, err := r.Read(p)
					if err != nil || !bytes.Equal(p[:n], text[plain:plain+n]) {
						t.Fatalf("at %d of %d: %q, %v", plain, end, p[:n], err)
					}
					plain += n
				}
				from = to
			}
			if plain == 0 || from != len(stream) {
				t.Fatal("the cuts do not end with the stream")
			}
		})
	}
}

// stopping is a connection that has nothing more at times.
type stopping struct{ b []byte }

var errStopped = errors.New("nothing there")

func (s *stopping) Read(p []byte) (int, error) {
	if len(s.b) == 0 {
		return 0, errStopped
	}
	n := copy(p, s.b)
	s.b = s.b[n:]
	return n, nil
}

// An interruption anywhere loses nothing.
func TestReaderGoesOnAfterErrors(t *testing.T) {
	text := samples()["lines"]
	var b bytes.Buffer
	if _, err := NewWriter(&b).Write(text); err != nil {
		t.Fatal(err)
	}
	src := &stopping{}
	r := NewReader(src)
	var got []byte
	p := make([]byte, 100)
	for _, c := range b.Bytes() {
		src.b = []byte{c}
		for {
			n, err := r.Read(p)
			got = append(got, p[:n]...)
			if err != nil {
				if err != errStopped {
					t.Fatal(err)
				}
				break
			}
		}
	}
	if !bytes.Equal(got, text) {
		t.Errorf("%d octets of %d", len(got), len(text))
	}
}

func TestWriter(t *testing.T) {
	for name, text := range samples() {
		var b bytes.Buffer
		w := NewWriter(&b)
		for _, size := range []int{1, 10, 1000, 100000} {
			b.Reset()
			r := flate.NewReader(&b)
			for rest := text; len(rest) > 0; {
				n := min(len(rest), size*100, len(text)/3+1)
				if m, err := w.Write(rest[:n]); m != n || err != nil {
					t.Fatal(m, err)
				}
				got := make([]byte, n)
				if _, err := io.ReadFull(r, got); err != nil || !bytes.Equal(got, rest[:n]) {
					t.Fatalf("%s: %v", name, err)
				}
				rest = rest[n:]
			}
		}
	}
}

func TestWriterReturnsErrors(t *testing.T) {
	pr, pw := io.Pipe()
	pr.CloseWithError(errStopped)
	if n, err := NewWriter(pw).Write(make([]byte, 10)); n != 0 || err != errStopped {
		t.Error(n, err)
	}
}

func TestReaderRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		in   []byte
		want error
	}{
		"a block of type 3":        {[]byte{7}, ErrCorrupt},
		"a wrong length":           {[]byte{1, 1, 0, 1, 0}, ErrCorrupt},
		"a match before the start": {[]byte{0x03, 0x02, 0x00}, ErrCorrupt},
		"empty blocks":             {bytes.Repeat([]byte{0, 0, 0, 0xff, 0xff}, 20000), ErrBarren},
	} {
		r := NewReader(bytes.NewReader(c.in))
		for range 2 { // it sticks
			if _, err := io.Copy(io.Discard, onlyReader{r}); !errors.Is(err, c.want) {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

type onlyReader struct{ io.Reader }

// A connection that has said little holds little.
func TestReaderIsSmall(t *testing.T) {
	var b bytes.Buffer
	NewWriter(&b).Write([]byte("a SELECT INBOX\r\n"))
	r := NewReader(&b)
	if _, err := io.ReadAll(r); err != nil {
		t.Fatal(err)
	}
	if len(r.window.ring) > smallWindow || r.pooled != nil || r.dynamic != nil {
		t.Errorf("window of %d octets, pooled %v, dynamic %v", len(r.window.ring), r.pooled != nil, r.dynamic != nil)
	}
}

// FuzzReader holds Reader against compress/flate: the same text, and an error where it
// has one.
func FuzzReader(f *testing.F) {
	for _, text := range samples() {
		for _, level := range []int{flate.HuffmanOnly, flate.BestSpeed, 6} {
			var b bytes.Buffer
			w, err := flate.NewWriter(&b, level)
			if err != nil {
				f.Fatal(err)
			}
			w.Write(text[:min(len(text), 3000)])
			w.Flush()
			w.Write(text[:min(len(text), 300)])
			w.Close()
			f.Add(b.Bytes(), uint16(100))
		}
	}
	f.Fuzz(func(t *testing.T, in []byte, size uint16) {
		const most = 1 << 20 // of a text; both are cut off there
		want, wantErr := io.ReadAll(io.LimitReader(flate.NewReader(bytes.NewReader(in)), most))
		r := NewReader(bytes.NewReader(in))
		defer r.Close()
		var got []byte
		var err error
		for p := make([]byte, int(size)+1); err == nil && len(got) < most; {
			var n int
			n, err = r.Read(p[:min(len(p), most-len(got))])
			got = append(got, p[:n]...)
		}
		if errors.Is(err, ErrBarren) {
			return
		}
		whole := len(got) == most || err == io.EOF && r.step == stepEnd
		if whole != (wantErr == nil) {
			t.Fatalf("error %v, at the end %v; compress/flate: %v", err, r.step == stepEnd, wantErr)
		}
		// A text that breaks off may come a little further with us: compress/flate does
		// not look at the last bits when a code could be longer.
		if !bytes.HasPrefix(got, want) || whole && len(got) != len(want) {
			t.Fatalf("%d octets, compress/flate has %d", len(got), len(want))
		}
	})
}

func BenchmarkReader(b *testing.B) {
	text := samples()["lines"]
	var z bytes.Buffer
	NewWriter(&z).Write(text)
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	p := make([]byte, 64<<10)
	for b.Loop() {
		r := NewReader(bytes.NewReader(z.Bytes()))
		for {
			if _, err := r.Read(p); err != nil {
				break
			}
		}
		r.Close()
	}
}

func BenchmarkWriter(b *testing.B) {
	text := samples()["lines"]
	w := NewWriter(io.Discard)
	for _, size := range []int{100, 4 << 10, 64 << 10} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				w.Write(text[:size])
			}
		})
	}
}

// TestRest: what follows the compressed part of a stream is not lost.
func TestRest(t *testing.T) {
	for name, end := range map[string]func(*flate.Writer) error{"flush": (*flate.Writer).Flush, "final block": (*flate.Writer).Close} {
		for _, behind := range []string{"", "b", "b LOGOUT\r\n", strings.Repeat("c NOOP\r\n", 20)} {
			var b bytes.Buffer
			w, err := flate.NewWriter(&b, flate.BestSpeed)
			if err != nil {
				t.Fatal(err)
			}
			io.WriteString(w, "a UNAUTHENTICATE\r\n")
			if err := end(w); err != nil {
				t.Fatal(err)
			}
			b.WriteString(behind)
			r := NewReader(&b)
			p := make([]byte, 100)
			n, err := r.Read(p)
			if err != nil || string(p[:n]) != "a UNAUTHENTICATE\r\n" {
				t.Fatalf("%q, %v", p[:n], err)
			}
			if rest, ok := r.Rest(); !ok || string(rest) != behind {
				t.Errorf("%s: %q, %v; want %q", name, rest, ok, behind)
			}
		}
	}
	var b bytes.Buffer
	if _, err := NewWriter(&b).Write([]byte("a NOOP\r\n")); err != nil {
		t.Fatal(err)
	}
	b.Truncate(b.Len() - 4)
	r := NewReader(&b)
	if n, err := r.Read(make([]byte, 100)); n != 8 || err != nil {
		t.Fatal(n, err)
	}
	if _, ok := r.Rest(); ok {
		t.Error("a part without an end has a rest")
	}
}
