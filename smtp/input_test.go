package smtp

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

func noIdle() error { return nil }

func TestInputLine(t *testing.T) {
	src := "NOOP\r\n" + "\r\n" + "a\nb\r\n" + strings.Repeat("x", 62) + "\r\n" + strings.Repeat("x", 63) + "\r\n" + strings.Repeat("y", 500) + "\r\nQUIT\r\nrest"
	want := []struct {
		line string
		err  error
	}{
		{"NOOP", nil}, {"", nil}, {"", errLineEnd}, {"b", nil}, {strings.Repeat("x", 62), nil},
		{"", errLineTooLong}, {"", errLineTooLong}, {"QUIT", nil}, {"", io.EOF},
	}
	for name, r := range map[string]io.Reader{"whole": strings.NewReader(src), "octets": iotest.OneByteReader(strings.NewReader(src))} {
		in := newInput(r, 64, noIdle)
		for i, w := range want {
			line, err := in.line(64)
			if string(line) != w.line || !errors.Is(err, w.err) {
				t.Errorf("%s, line %d: %q, %v; want %q, %v", name, i, line, err, w.line, w.err)
			}
		}
	}
}

func TestInputFlood(t *testing.T) {
	in := newInput(strings.NewReader(strings.Repeat("x", 2*maxFlood)), 64, noIdle)
	if _, err := in.line(64); !errors.Is(err, errFlood) {
		t.Errorf("a line without end: %v", err)
	}
}

func TestInputWidenKeepsOctets(t *testing.T) {
	in := newInput(strings.NewReader("DATA\r\nbody\r\nNOOP\r\n"), 64, noIdle)
	if _, err := in.line(64); err != nil {
		t.Fatal(err)
	}
	in.widen()
	p, err := in.window()
	if err != nil || !bytes.HasPrefix(p, []byte("body\r\n")) {
		t.Fatalf("window %q, %v", p, err)
	}
	in.take(len("body\r\n"))
	in.narrow()
	if in.large != nil {
		t.Error("the large buffer is still held")
	}
	if line, err := in.line(64); string(line) != "NOOP" || err != nil {
		t.Errorf("%q, %v", line, err)
	}
}

// FuzzLine checks that lines do not depend on how they arrive, and that none
// has a line end within.
func FuzzLine(f *testing.F) {
	f.Add([]byte("EHLO a\r\nMAIL FROM:<>\r\n"))
	f.Add([]byte("a\nb\r\n\r\n\r\r\n" + strings.Repeat("x", 100) + "\r\n"))
	f.Fuzz(func(t *testing.T, src []byte) {
		whole := newInput(bytes.NewReader(src), 64, noIdle)
		octets := newInput(iotest.OneByteReader(bytes.NewReader(src)), 64, noIdle)
		for {
			a, errA := whole.line(64)
			b, errB := octets.line(64)
			if !bytes.Equal(a, b) || (errA == nil) != (errB == nil) {
				t.Fatalf("%q %v, %q %v", a, errA, b, errB)
			}
			if bytes.IndexByte(a, '\n') >= 0 {
				t.Fatalf("line %q", a)
			}
			if errA != nil && !errors.Is(errA, errLineEnd) && !errors.Is(errA, errLineTooLong) {
				return
			}
		}
	})
}
