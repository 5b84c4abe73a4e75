package smtp

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// contentCases are messages as they come after DATA, what is stored of them on
// port 25, and on submission.
var contentCases = []struct {
	name, in     string
	out          string // "" with err
	err          error
	repaired     string
	repairedErr  error
	rest         string // left for the next command
	withoutDots  bool
	unterminated bool
}{
	{name: "empty", in: ".\r\n"},
	{name: "a line", in: "a\r\n.\r\n", out: "a\r\n", repaired: "a\r\n"},
	{name: "next command stays", in: "a\r\n.\r\nQUIT\r\n", out: "a\r\n", repaired: "a\r\n", rest: "QUIT\r\n"},
	{name: "stuffed dot", in: "..\r\n..a\r\n.b\r\n.\r\n", out: ".\r\n.a\r\nb\r\n", repaired: ".\r\n.a\r\nb\r\n"},
	{name: "dot within a line", in: "a.\r\nb.c\r\n.\r\n", out: "a.\r\nb.c\r\n", repaired: "a.\r\nb.c\r\n"},
	{name: "empty lines", in: "\r\n\r\n.\r\n", out: "\r\n\r\n", repaired: "\r\n\r\n"},
	{name: "bare LF", in: "a\nb\r\n.\r\n", err: errBareLF, repaired: "a\r\nb\r\n"},
	{name: "bare LF after a sentence", in: "a.\nb\r\n.\r\n", err: errBareLF, repaired: "a.\r\nb\r\n"},
	{name: "bare LF at the start", in: "\na\r\n.\r\n", err: errBareLF, repaired: "\r\na\r\n"},
	{name: "bare CR", in: "a\rb\r\n.\r\n", err: errBareCR, repaired: "a\r\nb\r\n"},
	{name: "CR CR LF", in: "a\r\r\n.\r\n", err: errBareCR, repaired: "a\r\n"},
	{name: "CR CR LF dot CR LF ends", in: "a\r\r\n.\r\nQUIT\r\n", err: errBareCR, repaired: "a\r\n", rest: "QUIT\r\n"},
	{name: "NUL", in: "a\x00b\r\n.\r\n", err: errNUL, repairedErr: errNUL},
	{name: "8-bit", in: "gr\xc3\xbc\xdf\r\n.\r\n", out: "gr\xc3\xbc\xdf\r\n", repaired: "gr\xc3\xbc\xdf\r\n"},

	// The ways in which a second message was smuggled past other servers.
	{name: "LF dot LF", in: "a\n.\nMAIL\r\n.\r\n", err: errBareLF, repairedErr: errDotLine},
	{name: "LF dot CR LF", in: "a\n.\r\nMAIL\r\n.\r\n", err: errBareLF, repairedErr: errDotLine},
	{name: "CR LF dot LF", in: "a\r\n.\nMAIL\r\n.\r\n", err: errDotLine, repairedErr: errDotLine},
	{name: "CR dot CR", in: "a\r.\rMAIL\r\n.\r\n", err: errBareCR, repairedErr: errDotLine},
	{name: "CR dot CR LF", in: "a\r.\r\nMAIL\r\n.\r\n", err: errBareCR, repairedErr: errDotLine},
	{name: "CR LF dot CR", in: "a\r\n.\rMAIL\r\n.\r\n", err: errDotLine, repairedErr: errDotLine},
	{name: "CR LF dot CR CR LF", in: "a\r\n.\r\r\nMAIL\r\n.\r\n", err: errDotLine, repairedErr: errDotLine},
	{name: "CR LF NUL dot CR LF", in: "a\r\n\x00.\r\nMAIL\r\n.\r\n", err: errNUL, repairedErr: errNUL},
	{name: "LF stuffed dot", in: "a\n..b\r\n.\r\n", err: errBareLF, repairedErr: errDotLine},
	{name: "LF CR dot", in: "a\n\r.\r\n.\r\n", err: errBareLF, repairedErr: errDotLine},

	{name: "chunk keeps dots", withoutDots: true, in: ".\r\n..\r\n.a", out: ".\r\n..\r\n.a", repaired: ".\r\n..\r\n.a"},
	{name: "chunk ends in CR", withoutDots: true, in: "a\r", err: errBareCR, repaired: "a\r\n"},
	{name: "chunk with a lone dot and LF", withoutDots: true, in: "a\r\n.\nb", err: errDotLine, repairedErr: errDotLine},
	{name: "chunk ends in dot CR", withoutDots: true, in: "a\r\n.\r", err: errDotLine, repairedErr: errDotLine},
	{name: "chunk with LF and a dot", withoutDots: true, in: "a\n.b\r\n", err: errBareLF, repairedErr: errDotLine},

	{name: "not ended", in: "a\r\n.", out: "a\r\n", repaired: "a\r\n", unterminated: true},
	{name: "not ended by LF dot LF", in: "a\n.\n", err: errBareLF, repairedErr: errDotLine, unterminated: true},
}

// receive feeds in, cut by cut, and returns what was stored and left.
func receive(in string, dots, repair bool, cut func(rest int) int) (out, rest string, done bool, err error) {
	var b bytes.Buffer
	c := content{out: &b, dots: dots, repair: repair}
	for in != "" && !done {
		piece := in[:cut(len(in))]
		var n int
		n, done = c.feed([]byte(piece))
		in = in[n:]
	}
	if done || !dots {
		c.end()
	}
	return b.String(), in, done, c.err
}

func TestContent(t *testing.T) {
	cuts := map[string]func(int) int{
		"whole":  func(n int) int { return n },
		"octets": func(int) int { return 1 },
		"twos":   func(n int) int { return min(2, n) },
		"threes": func(n int) int { return min(3, n) },
	}
	for _, tc := range contentCases {
		for name, cut := range cuts {
			for _, repair := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s/%s/repair=%v", tc.name, name, repair), func(t *testing.T) {
					want, wantErr := tc.out, tc.err
					if repair {
						want, wantErr = tc.repaired, tc.repairedErr
					}
					out, rest, done, err := receive(tc.in, !tc.withoutDots, repair, cut)
					if !errors.Is(err, wantErr) {
						t.Fatalf("err = %v, want %v", err, wantErr)
					}
					if err == nil && out != want {
						t.Errorf("stored %q, want %q", out, want)
					}
					if !tc.withoutDots && done == tc.unterminated {
						t.Errorf("done = %v", done)
					}
					if rest != tc.rest {
						t.Errorf("left %q, want %q", rest, tc.rest)
					}
				})
			}
		}
	}
}

func TestContentLineLength(t *testing.T) {
	for n, want := range map[int]error{maxTextLine - 2: nil, maxTextLine - 1: errTextLine} {
		in := strings.Repeat("x", n) + "\r\n" + strings.Repeat("y", n) + "\r\n.\r\n"
		if _, _, done, err := receive(in, true, false, func(n int) int { return min(n, bodyWindow) }); !errors.Is(err, want) || !done {
			t.Errorf("lines of %d octets: err %v, done %v; want %v", n+2, err, done, want)
		}
	}
}

// TestContentOddLineEnds: what a stranger sends instead of line ends is looked
// at twice, for CRs and for LFs, not once for each octet of the window.
func TestContentOddLineEnds(t *testing.T) {
	fill := func(s string) string { return strings.Repeat(s, bodyWindow/len(s)) }
	for name, window := range map[string]string{
		"clean lines": fill("text\r\n"), "text and a CR": fill("a")[1:] + "\r", "CRs": fill("\ra"), "LFs": fill("a\n"),
		"CR CR LF": fill("\r\r\n"), "a CR in the middle": fill("a") + "\r" + fill("a"),
	} {
		for _, repair := range []bool{false, true} {
			c := content{out: discard{}, dots: true, repair: repair}
			for range 3 {
				c.feed([]byte(window))
			}
			if most := 2 * 3 * len(window); c.looked > most || c.looked == 0 {
				t.Errorf("%s, repair %v: %d octets looked at, want %d at most", name, repair, c.looked, most)
			}
		}
	}
}

// FuzzContent checks that cuts change nothing, that nothing but CRLF.CRLF ends a
// message, and that what is stored has no line end but CRLF.
func FuzzContent(f *testing.F) {
	for _, tc := range contentCases {
		f.Add([]byte(tc.in), !tc.withoutDots, true, uint64(1))
		f.Add([]byte(tc.in), !tc.withoutDots, false, uint64(2))
	}
	f.Fuzz(func(t *testing.T, raw []byte, dots, repair bool, seed uint64) {
		in := string(raw)
		r := rand.New(rand.NewPCG(seed, 0))
		out, rest, done, err := receive(in, dots, repair, func(n int) int { return n })
		out2, rest2, done2, err2 := receive(in, dots, repair, func(n int) int { return 1 + r.IntN(min(n, 9)) })
		if done != done2 || rest != rest2 || (err == nil) != (err2 == nil) || err == nil && out != out2 {
			t.Fatalf("cut: %q %v %q %v\nwhole: %q %v %q %v", out2, err2, rest2, done2, out, err, rest, done)
		}
		if dots {
			end := strings.Index("\r\n"+in, "\r\n.\r\n")
			if done != (end >= 0) || done && rest != in[end+3:] {
				t.Fatalf("ended with %q left", rest)
			}
		}
		if err != nil {
			return
		}
		if bare := strings.ReplaceAll(out, "\r\n", ""); strings.ContainsAny(bare, "\r\n\x00") {
			t.Fatalf("stored %q", out)
		}
		if clean := strings.ReplaceAll(in, "\r\n", ""); !dots && !strings.ContainsAny(clean, "\r\n") && out != in {
			t.Fatalf("stored %q of %q", out, in)
		}
	})
}

// textBody makes n octets of ordinary text in lines of 76.
func textBody(n int) []byte {
	line := strings.Repeat("abcdefg hijk. lmn,op", 4)[:76] + "\r\n"
	return []byte(strings.Repeat(line, n/len(line)+1)[:n/len(line)*len(line)])
}

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }

func BenchmarkContent(b *testing.B) {
	dotted := bytes.ReplaceAll(textBody(1<<20), []byte("\r\na"), []byte("\r\n..a"))
	for name, body := range map[string][]byte{"text": textBody(1 << 20), "every line stuffed": dotted} {
		for _, repair := range []bool{false, true} {
			b.Run(fmt.Sprintf("%s/repair=%v", name, repair), func(b *testing.B) {
				b.SetBytes(int64(len(body)))
				b.ReportAllocs()
				for b.Loop() {
					c := content{out: discard{}, dots: true, repair: repair}
					for rest := body; len(rest) > 0; {
						n, _ := c.feed(rest[:min(len(rest), bodyWindow)])
						rest = rest[n:]
					}
					if c.err != nil {
						b.Fatal(c.err)
					}
				}
			})
		}
	}
}
