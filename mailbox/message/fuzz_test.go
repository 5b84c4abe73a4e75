package message

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"unicode/utf8"
)

// checkWire reports what is wrong with a value in IMAP's parenthesised syntax: lists, NIL, numbers and quoted strings,
// one space between items (none between adjacent lists), nothing that a quoted string may not hold.
func checkWire(b []byte, utf8Allowed bool) error {
	depth := 0
	if len(b) > 0 && b[0] != '(' {
		return fmt.Errorf("begins with %q", b[0])
	}
	for i := 0; i < len(b); {
		if depth == 0 && i > 0 {
			return fmt.Errorf("text after the end at %d", i)
		}
		switch c := b[i]; {
		case c == '(':
			if i > 0 && b[i-1] != '(' && b[i-1] != ' ' && b[i-1] != ')' {
				return fmt.Errorf("list at %d after %q", i, b[i-1])
			}
			depth++
			i++
			if i < len(b) && b[i] == ')' {
				return fmt.Errorf("empty list at %d", i)
			}
		case c == ')':
			if b[i-1] == ' ' {
				return fmt.Errorf("space before ) at %d", i)
			}
			depth--
			i++
		case c == ' ':
			if b[i-1] == ' ' || b[i-1] == '(' {
				return fmt.Errorf("stray space at %d", i)
			}
			i++
		default:
			if b[i-1] != '(' && b[i-1] != ' ' {
				return fmt.Errorf("item at %d after %q", i, b[:i])
			}
			n, err := wireItem(b[i:], utf8Allowed)
			if err != nil {
				return fmt.Errorf("at %d: %w", i, err)
			}
			i += n
		}
	}
	if depth != 0 {
		return fmt.Errorf("%d lists are not closed", depth)
	}
	return nil
}

// wireItem returns the length of NIL, a number or a quoted string.
func wireItem(b []byte, utf8Allowed bool) (int, error) {
	if bytes.HasPrefix(b, []byte("NIL")) {
		return 3, nil
	}
	if n := len(b) - len(bytes.TrimLeft(b, "0123456789")); n > 0 {
		return n, nil
	}
	if b[0] != '"' {
		return 0, fmt.Errorf("no item: %q", b[:min(len(b), 20)])
	}
	for i := 1; i < len(b); i++ {
		switch c := b[i]; {
		case c == '"':
			if utf8Allowed && !utf8.Valid(b[:i]) {
				return 0, fmt.Errorf("no UTF-8: %q", b[:i])
			}
			return i + 1, nil
		case c == '\\':
			i++
			if i == len(b) || b[i] != '"' && b[i] != '\\' {
				return 0, fmt.Errorf("bad escape")
			}
		case c == 0 || c == '\r' || c == '\n' || c >= 0x80 && !utf8Allowed:
			return 0, fmt.Errorf("octet %#x in a quoted string", c)
		}
	}
	return 0, fmt.Errorf("string without end")
}

// wireCount counts the items of a list, those of lists inside it not.
func wireCount(b []byte) int {
	n, depth, quoted, fresh := 0, 0, false, true
	for i := 0; i < len(b); i++ {
		switch c := b[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
			if quoted && depth == 1 {
				n++
			}
			fresh = false
		case quoted:
		case c == '(':
			depth++
			if depth == 2 {
				n++
			}
			fresh = true
		case c == ')':
			depth--
		case c == ' ':
			fresh = true
		case fresh && depth == 1:
			n, fresh = n+1, false
		}
	}
	return n
}

func TestCheckWireFindsMistakes(t *testing.T) {
	for _, bad := range []string{"(", ")", "()", "(NIL", "(NIL NIL))", "(NIL  NIL)", "(\"a)", "(\"a\x00\")", "(\"ü\")", "(nil)", "(\"a\"NIL)", "(NIL )"} {
		if checkWire([]byte(bad), false) == nil {
			t.Errorf("%q passes", bad)
		}
	}
	if n := wireCount([]byte(`(NIL "a(" (NIL (1)) 12 (2)(3))`)); n != 6 {
		t.Errorf("wireCount = %d, want 6", n)
	}
}

// chunked indexes raw in chunks of sizes that seed decides.
func chunked(raw []byte, seed uint64) *Index {
	rnd := rand.New(rand.NewPCG(seed, 1))
	var x Indexer
	x.Write([]byte("Subject: the message before\r\n\r\nx"))
	x.Reset()
	for p := raw; len(p) > 0; {
		n := min(len(p), 1+rnd.IntN(1+rnd.IntN(100)))
		x.Write(p[:n])
		p = p[n:]
	}
	return x.Finish()
}

func addGolden(f *testing.F, add func(raw []byte)) {
	files, err := filepath.Glob("testdata/*.eml")
	if err != nil || len(files) == 0 {
		f.Fatal("no seeds", err)
	}
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		add(raw)
	}
}

func FuzzIndexer(f *testing.F) {
	addGolden(f, func(raw []byte) { f.Add(raw, uint64(len(raw))) })
	f.Fuzz(func(t *testing.T, raw []byte, seed uint64) {
		stored := Parse(raw).AppendTo(nil)
		if again := chunked(raw, seed).AppendTo(nil); !bytes.Equal(stored, again) {
			t.Fatalf("the result depends on the chunks:\n%q\n%q", stored, again)
		}
		v, err := Open(stored)
		if err != nil {
			t.Fatal(err)
		}
		if err := v.Check(); err != nil {
			t.Fatal(err)
		}
		checkView(t, &v, raw)
		checkText(t, &v, raw)
		checkDamage(t, stored, seed)
	})
}

func checkView(t *testing.T, v *View, raw []byte) {
	if v.Size() != int64(len(raw)) || v.HeaderSize() > v.Size() || v.Lines() != int64(bytes.Count(raw, []byte("\n"))) {
		t.Fatalf("size %d, header %d, lines %d of %d octets", v.Size(), v.HeaderSize(), v.Lines(), len(raw))
	}
	for _, w := range []struct {
		wire  []byte
		utf8  bool
		items int // 0: any number
	}{
		{v.Envelope(), false, 10}, {v.BodyStructure(), false, 0}, {v.AppendBody(nil), false, 0},
		{v.EnvelopeUTF8(), true, 10}, {v.BodyStructureUTF8(), true, 0}, {v.AppendBodyUTF8(nil), true, 0},
	} {
		if err := checkWire(w.wire, w.utf8); err != nil {
			t.Fatalf("%q: %v", w.wire, err)
		}
		if w.items > 0 && len(w.wire) > 0 && wireCount(w.wire) != w.items {
			t.Fatalf("%q has %d items", w.wire, wireCount(w.wire))
		}
	}
	checkParts(t, v)
	for _, m := range []FieldMatcher{
		NewFieldMatcher([]string{"subject", "From", "received", "x-other"}, false),
		NewFieldMatcher([]string{"subject"}, false),
		NewFieldMatcher([]string{"subject", "x-other"}, true),
	} {
		want := AppendHeaderFields(nil, raw[:v.HeaderSize()], &m)
		if v.Covers(&m) && !bytes.Equal(v.AppendHeaderFields(nil, &m), want) {
			t.Fatalf("stored fields %q, want %q", v.AppendHeaderFields(nil, &m), want)
		}
	}
	if v.HasHeader() && !bytes.Equal(v.AppendHeader(nil), raw[:v.HeaderSize()]) {
		t.Fatalf("stored header %q, want %q", v.AppendHeader(nil), raw[:v.HeaderSize()])
	}
	if p := v.Preview(); !utf8.Valid(p) || utf8.RuneCount(p) > maxPreview {
		t.Fatalf("preview %q", p)
	}
	if !utf8.Valid(v.BaseSubject()) {
		t.Fatalf("base subject %q", v.BaseSubject())
	}
}

// checkParts holds each part against the one it is in.
func checkParts(t *testing.T, v *View) {
	var stack []PartInfo
	for p := range v.Parts() {
		if p.HeaderStart < 0 || p.HeaderSize < 0 || p.BodySize < 0 || p.Lines < 0 || p.BodyStart+p.BodySize > v.Size() {
			t.Fatalf("part %+v of %d octets", p, v.Size())
		}
		stack = stack[:p.Depth]
		if p.Depth > 0 {
			up := stack[p.Depth-1]
			if up.Kind == Leaf || p.HeaderStart < up.BodyStart || p.BodyStart+p.BodySize > up.BodyStart+up.BodySize {
				t.Fatalf("part %+v\nis outside of %+v", p, up)
			}
		}
		if p.Depth > MaxNesting {
			t.Fatalf("depth %d", p.Depth)
		}
		stack = append(stack, p)
	}
	for _, path := range [][]int{nil, {1}, {2}, {1, 1}, {1, 2}, {2, 1, 1}, {1, 1, 1, 1}} {
		for what := SectionBody; what <= SectionMIME; what++ {
			if off, n, ok := v.Section(path, what); ok && (off < 0 || n < 0 || off+n > v.Size()) {
				t.Fatalf("section %v %d: %d+%d of %d octets", path, what, off, n, v.Size())
			}
		}
	}
}

// checkText reads all text, and looks for what was read: it must be found.
func checkText(t *testing.T, v *View, raw []byte) {
	var tr TextReader
	var needle []byte
	err := tr.Read(bytes.NewReader(raw), v, ScopeText, func(text []byte, first bool) bool {
		if !utf8.Valid(text) {
			t.Fatalf("text %q is no UTF-8", text)
		}
		if chars := []rune(string(text)); len(chars) > 1 && len(needle) == 0 {
			needle = Fold(nil, []byte(string(chars[:2])))
		}
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
	if found, err := tr.Contains(bytes.NewReader(raw), v, ScopeText, needle); !found || err != nil {
		t.Fatalf("%q is not found: %v", needle, err)
	}
}

// checkDamage uses a stored value with one octet changed: any answer will do, but there must be one.
func checkDamage(t *testing.T, stored []byte, seed uint64) {
	rnd := rand.New(rand.NewPCG(seed, 2))
	damaged := bytes.Clone(stored)
	damaged[rnd.IntN(len(damaged))] ^= byte(1 + rnd.IntN(255))
	v, err := Open(damaged[:len(damaged)-rnd.IntN(2)])
	if err != nil {
		return
	}
	v.Check()
	v.AppendBody(nil)
	v.AppendBodyUTF8(nil)
	m := NewFieldMatcher([]string{"subject", "x-other"}, false)
	v.AppendHeaderFields(nil, &m)
	v.MessageID()
	v.Section([]int{1, 2}, SectionText)
	for range v.Parts() {
	}
	Contains(bytes.NewReader(damaged), &v, ScopeText, []byte("NEEDLE"))
}

func FuzzAddressList(f *testing.F) {
	for _, s := range []string{"a@b", "A <a@b>, c@d (x)", "g: a@b, c@d;", "<@a,@b:c@d>", `"q\"" <"l p"@[1.2.3.4]>`, "((((", `"`, "<<>>", "a@b@c", "ü <ü@ü>", ",;:@.<>[]()"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, value []byte) {
		depth := 0
		for _, a := range ParseAddressList(value) {
			switch a.Kind {
			case GroupStart:
				depth++
			case GroupEnd:
				depth--
			}
			if depth < 0 || depth > 1 {
				t.Fatal("groups do not match")
			}
			if !a.Broken && a.Kind == Mailbox && (a.Local == "" || a.Domain == "") {
				t.Fatalf("%+v is not said to be broken", a)
			}
		}
		if depth != 0 {
			t.Fatal("a group is not closed")
		}
	})
}

func FuzzDecodeHeader(f *testing.F) {
	for _, s := range []string{"=?utf-8?q?a?= =?utf-8?b?YQ==?=", "=?x?q?=zz?=", "=?iso-2022-jp?b?GyRCJCIbKEI=?=", "=?utf-8?q?=?=?=", "a\r\n b", "\xff", "=?utf-16?b?//4=?="} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		s := DecodeHeader(raw)
		if !utf8.ValidString(s) {
			t.Fatalf("%q is no UTF-8", s)
		}
		BaseSubject(raw)
		AppendMessageIDs(nil, raw)
		whole := FoldString(s)
		var pieces []byte
		for _, r := range s {
			pieces = append(pieces, FoldString(string(r))...)
		}
		if !bytes.Equal(whole, pieces) {
			t.Fatalf("fold of %q depends on where it is cut", s)
		}
		if again := Fold(nil, whole); !bytes.Equal(again, whole) {
			t.Fatalf("fold of %q is %q, its fold is %q", s, whole, again)
		}
		field := AppendField(nil, "Subject", s)
		if bytes.Count(field, []byte("\r\n"))-bytes.Count(field, []byte("\r\n ")) != 1 || !isASCII(field) || bytes.IndexByte(field, 0) >= 0 {
			t.Fatalf("field %q", field)
		}
	})
}

func FuzzParseDate(f *testing.F) {
	for _, s := range []string{"Mon, 6 Jul 2020 10:00:00 +0200", "6 Jul 20 10:00 EST", "2020-07-06T10:00:00Z", "Mon Jul  6 10:00:00 2020", "06-Jul-2020", "1 Jan 1 25:61", "(((", "31 Feb 2021 00:00 +9999"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, value []byte) {
		if d, ok := ParseDate(value); ok && (d.Year() < 1899 || d.Year() > 10000) {
			t.Fatalf("%q is %v", value, d)
		}
	})
}
