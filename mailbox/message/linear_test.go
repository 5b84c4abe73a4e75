package message

import (
	"bytes"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"
)

// repeat fills about size octets with s.
func repeat(s string, size int) string { return strings.Repeat(s, size/len(s)+1) }

// Eight times the input must not cost much more than eight times the work, whatever it holds. Work is the processor time
// of this process, the least of some runs; quadratic work would be sixty-four times.
func TestLinear(t *testing.T) {
	if testing.Short() {
		t.Skip("measures processor time for some seconds")
	}
	nest := func(format string) func(n int) string {
		return func(n int) string {
			var b strings.Builder
			for i := 0; b.Len() < n; i++ {
				fmt.Fprintf(&b, strings.ReplaceAll(format, "N", "%[1]d"), i)
			}
			return b.String()
		}
	}
	cases := map[string]func(n int) string{
		"addresses":        func(n int) string { return "To: " + repeat("a@b.example, ", n) },
		"comments":         func(n int) string { return "To: " + repeat("(", n) },
		"comment pairs":    func(n int) string { return "To: a" + repeat("(x)", n) + "@b" },
		"angles":           func(n int) string { return "To: " + repeat("<", n) },
		"routes":           func(n int) string { return "To: <" + repeat("@a,", n) },
		"at signs":         func(n int) string { return "To: " + repeat("a@", n) },
		"groups":           func(n int) string { return "To: " + repeat("g:;", n) },
		"commas":           func(n int) string { return "To: " + repeat(",  ", n) },
		"literals":         func(n int) string { return "To: " + repeat("[", n) },
		"escapes":          func(n int) string { return "To: \"" + repeat(`\"`, n) },
		"fields":           func(n int) string { return repeat("A:\r\n", n) },
		"folded":           func(n int) string { return "To:" + repeat(" a\r\n", n) },
		"encoded words":    func(n int) string { return "Subject: " + repeat("=?utf-8?q?a?= ", n) },
		"broken words":     func(n int) string { return "Subject: " + repeat("=?a?q?", n) },
		"half words":       func(n int) string { return "Subject: " + repeat("=?", n) },
		"8-bit words":      func(n int) string { return "Subject: " + repeat("\xe9 a ", n) },
		"blobs":            func(n int) string { return "Subject: " + repeat("[a]", n) },
		"ids":              func(n int) string { return "References: " + repeat("<a", n) },
		"parameters":       func(n int) string { return "Content-Type: a/b" + repeat(";a=b", n) },
		"pieces":           nest("Content-Type: a/b; x*N=y\r\nContent-Type: a/b; x*N*=y\r\n"),
		"junk parameters":  func(n int) string { return "Content-Type: a/b" + repeat(" c", n) },
		"languages":        func(n int) string { return "Content-Language: " + repeat("a,", n) },
		"nested multipart": nest("Content-Type: multipart/mixed; boundary=bN\r\n\r\n--bN\r\n"),
		"nested message":   nest("Content-Type: message/rfc822\r\n\r\n"),
		"digests":          nest("Content-Type: multipart/digest; boundary=bN\r\n\r\n--bN\r\n\r\n"),
		"delimiters":       func(n int) string { return "Content-Type: multipart/mixed; boundary=b\r\n\r\n" + repeat("--b\r\n", n) },
		"near delimiters":  func(n int) string { return "Content-Type: multipart/mixed; boundary=b\r\n\r\n" + repeat("--c\r\n", n) },
		"one body line":    func(n int) string { return "Content-Type: multipart/mixed; boundary=b\r\n\r\n" + repeat("--", n) },
		"html tags":        func(n int) string { return "Content-Type: text/html\r\n\r\n" + repeat("<", n) },
		"html references":  func(n int) string { return "Content-Type: text/html\r\n\r\n" + repeat("&a", n) },
		"html comments":    func(n int) string { return "Content-Type: text/html\r\n\r\n" + repeat("<!--", n) },
		"html scripts":     func(n int) string { return "Content-Type: text/html\r\n\r\n" + repeat("<script></s", n) },
		"quoted-printable": func(n int) string {
			return "Content-Type: text/plain\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n" + repeat("=", n)
		},
	}
	for name, build := range cases {
		t.Run(name, func(t *testing.T) {
			const small, factor = 24 << 10, 8
			few, many := []byte(build(small)), []byte(build(factor*small))
			for try := 1; ; try++ {
				a, b := leastWork(few, 5), leastWork(many, 2)
				if b < 3*factor*max(a, 300*time.Microsecond) {
					return
				}
				if try == 20 { // what is quadratic never passes; what is not may be held up by others for some tries
					t.Fatalf("%v for %d octets, %v for %d", a, len(few), b, len(many))
				}
			}
		})
	}
}

// leastWork returns the least processor time of some runs of everything that is done with a message.
func leastWork(raw []byte, runs int) time.Duration {
	least := time.Hour
	var x Indexer
	var tr TextReader
	for range runs {
		start := processorTime()
		x.Reset()
		for p := raw; len(p) > 0; {
			n := min(len(p), 1000)
			x.Write(p[:n])
			p = p[n:]
		}
		v, err := Open(x.Finish().AppendTo(nil))
		if err != nil {
			panic(err)
		}
		v.Section([]int{1, 1, 1}, SectionBody)
		v.AppendReferences(nil)
		tr.Contains(bytes.NewReader(raw), &v, ScopeText, []byte("ABSENT"))
		least = min(least, processorTime()-start)
	}
	return least
}

func processorTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// Mail beyond the limits is described up to them, in a bounded value.
func TestLimits(t *testing.T) {
	const multipart = "Content-Type: multipart/mixed; boundary=b\r\n\r\n"
	tests := []struct {
		name, raw string
		parts     int
		depth     int
		stored    int // at most
	}{
		{"many parts", multipart + strings.Repeat("--b\r\n\r\nx\r\n", 3*MaxParts), MaxParts, 1, 100 * MaxParts},
		{"deep messages", strings.Repeat("Content-Type: message/rfc822\r\n\r\n", 7000), MaxNesting + 1, MaxNesting, 64 << 10},
		{"many addresses", "To: " + repeat("a@b.example, ", 2<<20) + "\r\n\r\n", 1, 0, 100 * maxAddresses},
		{"a long subject", "Subject: " + repeat("\xe9", 1<<20) + "\r\n\r\n", 1, 0, 16 * maxString},
		{"many long headers", multipart + strings.Repeat("--b\r\nContent-ID: <"+repeat("i", 8000)+">\r\n\r\n", MaxParts), MaxParts, 1, 2 * (100*MaxParts + maxPartHeaders)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var x Indexer
			x.Write([]byte(tt.raw))
			stored := x.Finish().AppendTo(nil)
			if len(stored) > tt.stored {
				t.Errorf("%d octets stored, at most %d expected", len(stored), tt.stored)
			}
			v, err := Open(stored)
			if err != nil || v.Check() != nil {
				t.Fatal(err, v.Check())
			}
			parts, depth := 0, 0
			for p := range v.Parts() {
				parts, depth = parts+1, max(depth, p.Depth)
			}
			if parts != tt.parts || depth != tt.depth {
				t.Errorf("%d parts to depth %d, want %d to %d", parts, depth, tt.parts, tt.depth)
			}
			if err := checkWire(v.BodyStructure(), false); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestHeaderLimits proves that a field within the limits of a header is read, and one beyond them is not.
func TestHeaderLimits(t *testing.T) {
	const subject = "Subject: s\r\n"
	fields := func(n int) string { return strings.Repeat("X: y\r\n", n) }
	octets := func(n int) string { return "X: " + strings.Repeat("y", n-len("X: \r\n")) + "\r\n" }
	for name, tt := range map[string]struct {
		before string
		read   bool
	}{
		"the last field":  {fields(MaxHeaderFields - 1), true},
		"one more":        {fields(MaxHeaderFields), false},
		"the last octets": {octets(MaxHeader - len(subject)), true},
		"octets beyond":   {octets(MaxHeader), false},
	} {
		envelope := string(view(t, tt.before+subject+"\r\n").Envelope())
		if got := strings.Contains(envelope, `"s"`); got != tt.read {
			t.Errorf("%s: read is %v: %s", name, got, envelope)
		}
	}
}

// The size of a body must not show in memory.
func TestConstantMemory(t *testing.T) {
	var x Indexer
	chunk := []byte(repeat("a body line that is no delimiter\r\n", 32<<10))
	index := func(chunks int) float64 {
		return testing.AllocsPerRun(3, func() {
			x.Reset()
			x.Write([]byte("Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\n"))
			for range chunks {
				x.Write(chunk)
			}
			x.Finish()
		})
	}
	if small, large := index(1), index(500); large > small+1 {
		t.Errorf("%v allocations for 500 chunks, %v for one", large, small)
	}
}
