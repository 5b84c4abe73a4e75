package wire

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	goimap "github.com/emersion/go-imap/v2"
)

// command returns a decoder that has read the first line of input, and a counter of
// the literals it asked for.
func command(t testing.TB, input string, limits Limits) (*Decoder, *int) {
	t.Helper()
	asked := 0
	d := NewDecoder(strings.NewReader(input), limits, Hooks{Continue: func() error { asked++; return nil }})
	if err := d.Next(); err != nil {
		t.Fatalf("Next(%q): %v", input, err)
	}
	return d, &asked
}

// TestTokens reads one token of each kind, right and wrong.
func TestTokens(t *testing.T) {
	str := func(f func(*Decoder) string) func(*Decoder) string { return f }
	tests := []struct {
		name, in string
		read     func(*Decoder) string
		want     string // "" with a syntax error when bad
		bad      bool
	}{
		{"atom", "abc", func(d *Decoder) string { return string(d.Atom()) }, "abc", false},
		{"atom ends at a bracket", "abc]", func(d *Decoder) string { s := string(d.Atom()); d.Expect(']'); return s }, "abc", false},
		{"atom is not empty", "(", func(d *Decoder) string { return string(d.Atom()) }, "", true},
		{"atom is 7-bit", "\xe4", func(d *Decoder) string { return string(d.Atom()) }, "", true},
		{"tag has no plus", "+a", func(d *Decoder) string { return string(d.Tag()) }, "", true},
		{"word in upper case", "Fetch", (*Decoder).Word, "FETCH", false},
		{"quoted", `"a b"`, (*Decoder).Str, "a b", false},
		{"quoted, escapes", `"a\"b\\c"`, (*Decoder).Str, `a"b\c`, false},
		{"quoted, empty", `""`, (*Decoder).Str, "", false},
		{"quoted, 8-bit", "\"p\u00e4ss\"", (*Decoder).Str, "p\u00e4ss", false},
		{"quoted, wrong escape", `"a\b"`, (*Decoder).Str, "", true},
		{"quoted without end", `"abc`, (*Decoder).Str, "", true},
		{"quoted, escape at the end", `"abc\`, (*Decoder).Str, "", true},
		{"quoted, NUL", "\"a\x00b\"", (*Decoder).Str, "", true},
		{"quoted, CR", "\"a\rb\"", (*Decoder).Str, "", true},
		{"string is no atom", "abc", (*Decoder).Str, "", true},
		{"astring takes a bracket", "a]b", (*Decoder).AString, "a]b", false},
		{"astring takes no wildcard", "%", (*Decoder).AString, "", true},
		{"list-mailbox takes wildcards", "a/%*", (*Decoder).ListMailbox, "a/%*", false},
		{"nstring NIL", "nil", str(func(d *Decoder) string { s, ok := d.NString(); return fmt.Sprint(s, ok) }), "false", false},
		{"nstring", `"NIL"`, str(func(d *Decoder) string { s, ok := d.NString(); return fmt.Sprint(s, ok) }), "NILtrue", false},
		{"literal", "{3}\r\nabc\r\n", (*Decoder).Str, "abc", false},
		{"literal that does not wait", "{3+}\r\na\r\n\r\n", (*Decoder).Str, "a\r\n", false},
		{"literal8 with NUL", "~{3+}\r\na\x00b\r\n", (*Decoder).Str, "a\x00b", false},
		{"literal with NUL", "{3+}\r\na\x00b\r\n", (*Decoder).Str, "", true},
		{"literal, malformed", "{3", (*Decoder).Str, "", true},
		{"literal, negative", "{-3}", (*Decoder).Str, "", true},
		{"literal, not at the end", "{3} x{3}", (*Decoder).Str, "", true},
		{"mailbox inbox", "iNbOx", (*Decoder).Mailbox, "INBOX", false},
		{"mailbox decoded", `"&AOQ-"`, (*Decoder).Mailbox, "\u00e4", false},
		{"number", "4294967295", func(d *Decoder) string { return fmt.Sprint(d.Number()) }, "4294967295", false},
		{"number too large", "4294967296", func(d *Decoder) string { d.Number(); return "" }, "", true},
		{"number64", "18446744073709551615", func(d *Decoder) string { return fmt.Sprint(d.Number64()) }, "18446744073709551615", false},
		{"number64 too large", "18446744073709551616", func(d *Decoder) string { d.Number64(); return "" }, "", true},
		{"number with many zeros", strings.Repeat("0", 30), func(d *Decoder) string { d.Number64(); return "" }, "", true},
		{"flags", `(\seen $x \Foo)`, func(d *Decoder) string { return fmt.Sprint(d.Flags()) }, `[\Seen $x \Foo]`, false},
		{"flags, none", `()`, func(d *Decoder) string { return fmt.Sprint(d.Flags()) }, `[]`, false},
		{"flags without parentheses", `\Seen a`, func(d *Decoder) string { return fmt.Sprint(d.BareFlags()) }, `[\Seen a]`, false},
		{"flags, too many", "(" + strings.Repeat("a ", MaxFlags) + "a)", func(d *Decoder) string { d.Flags(); return "" }, "", true},
		{"date", "1-Feb-1994", func(d *Decoder) string { return d.Date().Format(time.DateOnly) }, "1994-02-01", false},
		{"date quoted", `"01-feb-1994"`, func(d *Decoder) string { return d.Date().Format(time.DateOnly) }, "1994-02-01", false},
		{"date wrong", "31-Feb-1994", func(d *Decoder) string { d.Date(); return "" }, "", true},
		{"date-time", `" 1-Feb-1994 21:52:25 -0800"`, func(d *Decoder) string { return d.DateTime().Format(time.RFC3339) }, "1994-02-01T21:52:25-08:00", false},
		{"date-time unquoted", "1-Feb-1994", func(d *Decoder) string { d.DateTime(); return "" }, "", true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			in := test.in
			if !strings.HasSuffix(in, "\r\n") {
				in += "\r\n"
			}
			d, _ := command(t, in, Limits{})
			got := test.read(d)
			d.End()
			var syntax *SyntaxError
			if test.bad {
				if !errors.As(d.Err(), &syntax) {
					t.Fatalf("got %q, error %v; want a syntax error", got, d.Err())
				}
				return
			}
			if d.Err() != nil || got != test.want {
				t.Fatalf("got %q, %v; want %q", got, d.Err(), test.want)
			}
		})
	}
}

// TestMailboxNames has names that no mailbox can have told from malformed commands.
func TestMailboxNames(t *testing.T) {
	for _, in := range []string{"&", "a&b", "&AGE-", "{2+}\r\n\x80x", "\"\xe4\"", "\"\u00e4 \xe4\""} {
		d, _ := command(t, in+" x\r\n", Limits{})
		d.Mailbox()
		if !errors.Is(d.Err(), ErrUTF7) {
			t.Errorf("%q: %v", in, d.Err())
		}
	}
}

// TestNamesInUTF8: a name with 8 bits is UTF-8 as a whole, whether that is enabled or not; one
// of 7 bits is modified UTF-7 until then.
func TestNamesInUTF8(t *testing.T) {
	for _, test := range []struct{ in, plain, enabled string }{
		{"\"\u00e4\"", "\u00e4", "\u00e4"},
		{"{3+}\r\n&\u00e4", "&\u00e4", "&\u00e4"},
		{"\"\u00e4&AOQ-\"", "\u00e4&AOQ-", "\u00e4&AOQ-"},
		{"&AOQ-", "\u00e4", "&AOQ-"},
		{"a&-b", "a&b", "a&-b"},
	} {
		for enabled, want := range map[bool]string{false: test.plain, true: test.enabled} {
			d, _ := command(t, test.in+" x\r\n", Limits{})
			d.SetUTF8(enabled)
			if got := d.Mailbox(); got != want || d.Err() != nil {
				t.Errorf("%q, enabled %v: %q, %v; want %q", test.in, enabled, got, d.Err(), want)
			}
		}
	}
}

// TestDepth proves that nesting is bounded for whoever uses List or Enter.
func TestDepth(t *testing.T) {
	var nested func(d *Decoder)
	nested = func(d *Decoder) {
		if d.Peek() == '(' {
			d.List(func() { nested(d) })
			return
		}
		d.Atom()
	}
	for depth, ok := range map[int]bool{1: true, MaxDepth: true, MaxDepth + 1: false, 30000: false} {
		d, _ := command(t, strings.Repeat("(", depth)+"x"+strings.Repeat(")", depth)+"\r\n", Limits{})
		nested(d)
		d.End()
		if (d.Err() == nil) != ok {
			t.Errorf("depth %d: %v", depth, d.Err())
		}
	}
}

// TestRefusedLiterals proves that octets of a refused literal are never taken for
// commands, and that the one that waits to be asked is not asked for.
func TestRefusedLiterals(t *testing.T) {
	small := Limits{Line: 100, Literal: 10, Skip: 1000}
	tests := []struct{ name, in string }{
		{"synchronising", "{11}\r\nnext\r\n"},
		{"synchronising, in the middle", "x y {11}\r\nnext\r\n"},
		{"non-synchronising", "{11+}\r\na LOGOUT\r\n- rest\r\nnext\r\n"},
		{"several", "{11+}\r\na LOGOUT\r\n- {10+}\r\nb LOGOUT\r\n {3}\r\nnext\r\n"},
		{"literal8", "~{11+}\r\na LOGOUT\r\n- rest\r\nnext\r\n"},
		{"no literal", "{x}\r\nnext\r\n"},
		{"in an overlong line", strings.Repeat("x", 300) + " {11+}\r\na LOGOUT\r\n-\r\nnext\r\n"},
		{"overlong line behind it", "{11+}\r\na LOGOUT\r\n-" + strings.Repeat("x", 300) + "{2+}\r\nyy\r\nnext\r\n"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			for _, r := range []io.Reader{strings.NewReader(test.in), iotest.OneByteReader(strings.NewReader(test.in))} {
				d := NewDecoder(r, small, Hooks{Continue: func() error { t.Error("asked for a refused literal"); return nil }})
				if err := d.Next(); err == nil {
					d.Str()
				}
				if d.Err() == nil {
					t.Fatal("accepted")
				}
				if err := d.Discard(); err != nil {
					t.Fatal(err)
				}
				if err := d.Next(); err != nil {
					t.Fatal(err)
				}
				if got := string(d.Atom()); got != "next" {
					t.Fatalf("went on at %q", got)
				}
			}
		})
	}
}

// TestDiscardIsBounded proves that a client cannot make the server read for ever.
func TestDiscardIsBounded(t *testing.T) {
	endless := io.MultiReader(strings.NewReader("a "), iotest.OneByteReader(forever{}))
	for name, in := range map[string]io.Reader{
		"literal": strings.NewReader("{1001+}\r\n" + strings.Repeat("x", 2000)),
		"huge":    strings.NewReader("{99999999999999999999999+}\r\nx"),
		"line":    endless,
	} {
		d := NewDecoder(in, Limits{Line: 100, Literal: 10, Skip: 1000}, Hooks{})
		if d.Next() == nil {
			d.Str()
		}
		if err := d.Discard(); !errors.Is(err, ErrOutOfStep) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

type forever struct{}

func (forever) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'x'
	}
	return len(p), nil
}

// TestCommandBudgets proves that neither many lines nor many literals get around the
// limits of a command, and that each command has them anew.
func TestCommandBudgets(t *testing.T) {
	limits := Limits{Line: 40, Literal: 8, Literals: 20}
	three := "{8+}\r\naaaaaaaa {8+}\r\nbbbbbbbb {8+}\r\ncccccccc\r\n"
	d, _ := command(t, three+"{8+}\r\naaaaaaaa\r\n", limits)
	d.Str()
	d.SP()
	d.Str()
	if d.Err() != nil {
		t.Fatal(d.Err())
	}
	d.SP()
	d.Str()
	var large *LiteralTooLargeError
	if !errors.As(d.Err(), &large) {
		t.Fatalf("third literal: %v", d.Err())
	}
	if err := d.Discard(); err != nil {
		t.Fatal(err)
	}
	if err := d.Next(); err != nil || d.Str() != "aaaaaaaa" {
		t.Fatal(err, d.Err())
	}
	d, _ = command(t, "xxxxxxxxxxxxxxx{1+}\r\nyxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\r\n", limits)
	d.Atom()
	d.Str()
	if !errors.Is(d.Err(), ErrLineTooLong) {
		t.Fatalf("two lines: %v", d.Err())
	}
}

// TestMessageLiteral streams a message through whatever pieces it comes in, and goes
// on behind it also when it was not read to its end.
func TestMessageLiteral(t *testing.T) {
	body := strings.Repeat("0123456789abcdef", 10000)
	in := fmt.Sprintf("{%d}\r\n%s tail\r\nnext\r\n", len(body), body)
	for name, r := range map[string]io.Reader{
		"whole": strings.NewReader(in), "halves": iotest.HalfReader(strings.NewReader(in)), "octets": iotest.OneByteReader(strings.NewReader(in)),
	} {
		for _, read := range []int{0, 1, 700, len(body)} {
			asked := 0
			d := NewDecoder(r, Limits{}, Hooks{Continue: func() error { asked++; return nil }})
			r = io.MultiReader(strings.NewReader(in))
			if err := d.Next(); err != nil {
				t.Fatal(err)
			}
			lit := d.MessageLiteral(int64(len(body)))
			got := make([]byte, read)
			if _, err := io.ReadFull(lit, got); err != nil || string(got) != body[:read] {
				t.Fatalf("%s: %v", name, err)
			}
			if read == len(body) {
				if n, err := lit.Read(make([]byte, 1)); n != 0 || err != io.EOF {
					t.Fatalf("behind the end: %d, %v", n, err)
				}
			}
			d.EndLiteral()
			d.SP()
			if got := string(d.Atom()); got != "tail" || asked != 1 {
				t.Fatalf("%s: %q, asked %d times, %v", name, got, asked, d.Err())
			}
			if err := d.Next(); err != nil || string(d.Atom()) != "next" {
				t.Fatal(err)
			}
		}
	}
	d, _ := command(t, in, Limits{})
	d.MessageLiteral(int64(len(body)))
	d.Fail("refused half way")
	if err := d.Discard(); err != nil {
		t.Fatal(err)
	}
	if err := d.Next(); err != nil || string(d.Atom()) != "next" {
		t.Fatal(err)
	}
	d, asked := command(t, in, Limits{})
	d.MessageLiteral(int64(len(body)) - 1)
	var large *LiteralTooLargeError
	if !errors.As(d.Err(), &large) || *asked != 0 {
		t.Fatal(d.Err())
	}
}

// TestNextSurvivesTimeout proves that what came before a time-out is not lost: IDLE
// interrupts its own reading.
func TestNextSurvivesTimeout(t *testing.T) {
	r := iotest.TimeoutReader(iotest.OneByteReader(strings.NewReader("DONE\r\n")))
	d := NewDecoder(r, Limits{}, Hooks{})
	if err := d.Next(); !errors.Is(err, iotest.ErrTimeout) {
		t.Fatal(err)
	}
	if err := d.Next(); err != nil || string(d.Atom()) != "DONE" {
		t.Fatal(err, d.Err())
	}
}

// TestBeforeRead proves that responses are flushed only when no command waits in
// the buffer.
func TestBeforeRead(t *testing.T) {
	reads := 0
	d := NewDecoder(strings.NewReader("a\r\nb\r\nc\r\n"), Limits{}, Hooks{BeforeRead: func() error { reads++; return nil }})
	for range 3 {
		if err := d.Next(); err != nil {
			t.Fatal(err)
		}
	}
	if reads != 1 {
		t.Fatalf("%d reads for three pipelined commands", reads)
	}
	if err := d.Next(); err != io.EOF || reads != 2 {
		t.Fatal(err, reads)
	}
}

func TestSeqSet(t *testing.T) {
	for in, want := range map[string]string{
		"1": "1", "1,2,3": "1:3", "3,1": "1,3", "4:2": "2:4", "*": "*", "*:5": "5:*", "5:*,2,7": "2,5:*",
		"1:*,5": "1:*", "4294967295": "4294967295", "*:*": "*", "3,*": "3,*", "1:3,2:7,9": "1:7,9", "4294967295,*": "4294967295,*",
	} {
		d, _ := command(t, in+"\r\n", Limits{})
		if set := d.SeqSet(); d.Err() != nil || set.String() != want {
			t.Errorf("%s: %s, %v; want %s", in, set.String(), d.Err(), want)
		}
	}
	for _, in := range []string{"0", "", "1,", "1:", ":1", "1:0", "a", "4294967296", "-1", "1:2:3", "$", "1, 2"} {
		d, _ := command(t, in+"\r\n", Limits{})
		d.UIDSet()
		d.End()
		if d.Err() == nil {
			t.Errorf("%q was accepted", in)
		}
	}
}

func TestAppendNumbers(t *testing.T) {
	for want, nums := range map[string][]goimap.UID{
		"": nil, "5": {5}, "1:3": {1, 2, 3}, "1:2,4": {1, 2, 4}, "7,3:4": {7, 3, 4}, "4294967294:4294967295,1": {4294967294, 4294967295, 1},
	} {
		if got := string(AppendNumbers(nil, nums)); got != want {
			t.Errorf("%v: %s, want %s", nums, got, want)
		}
	}
}

// FuzzTokenizer runs a mix of parsers over arbitrary input: none may panic, hang, or
// hand out more than was sent.
func FuzzTokenizer(f *testing.F) {
	for _, s := range []string{
		"a LOGIN {3}\r\nabc \"d e\"\r\n", "b (a (b {2+}\r\nxy)) 1:*,3 &AOQ-\r\n", "{5+}\r\nab", "~{1}\r\n\x00\r\n",
		strings.Repeat("(", 80), "x {99999999999999999999+}\r\n", "\"\\\"\r\n\r\n\r\n",
	} {
		f.Add([]byte(s), uint16(0x1234))
	}
	f.Fuzz(func(t *testing.T, in []byte, plan uint16) {
		d := NewDecoder(iotest.HalfReader(bytes.NewReader(in)), Limits{Line: 1000, Literal: 64, Skip: 500}, Hooks{})
		total := 0
		for range 50 {
			if err := d.Next(); err != nil && !errors.Is(err, ErrLineTooLong) {
				return
			}
			for step := plan; !d.AtEnd(); step = step>>3 | step<<13 {
				total += readSome(d, step)
				if !d.AtEnd() {
					d.SP()
				}
			}
			if total > len(in) {
				t.Fatalf("%d octets of tokens out of %d", total, len(in))
			}
			if d.Discard() != nil {
				return
			}
		}
	})
}

// readSome reads one token of the kind that step says and returns its length.
func readSome(d *Decoder, step uint16) int {
	switch step % 8 {
	case 0:
		return len(d.Tag())
	case 1:
		return len(d.AString())
	case 2:
		n := 0
		d.List(func() { n += readSome(d, step>>3) })
		return n
	case 3:
		if l := d.MessageLiteral(64); l != nil {
			n, _ := io.Copy(io.Discard, l)
			d.EndLiteral()
			return int(n)
		}
	case 4:
		d.UIDSet()
	case 5:
		d.Flags()
	case 6:
		s, _ := d.NString()
		return len(s)
	case 7:
		return len(d.ListMailbox())
	}
	return 0
}

// FuzzSeqSet holds the parser of sequence sets against the one of go-imap.
func FuzzSeqSet(f *testing.F) {
	for _, s := range []string{"1:*", "1,2,3:5,*", "*:4,9", "4294967295,1", "7:3,5:9,*:2"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, in string) {
		if strings.ContainsAny(in, "\r\n") || len(in) > 1000 {
			return
		}
		d, _ := command(t, in+"\r\n", Limits{})
		set := d.SeqSet()
		d.End()
		if d.Err() != nil {
			return
		}
		for i, r := range set {
			if star(r.Start) > star(r.Stop) || i > 0 && star(r.Start) <= star(set[i-1].Stop) {
				t.Fatalf("%q: %v", in, set)
			}
		}
		again, _ := command(t, set.String()+"\r\n", Limits{})
		if !slices.Equal(again.SeqSet(), set) {
			t.Fatalf("%q: %s parses to something else", in, set)
		}
	})
}
