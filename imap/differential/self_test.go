package differential

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestDifferencesAreSeen proves that answers are compared where they should be: the first
// is ours, the second has one thing that is different, or nothing.
func TestDifferencesAreSeen(t *testing.T) {
	const ours = `* 1 FETCH (UID 7 FLAGS (\Seen work) INTERNALDATE " 1-Feb-2001 10:00:00 +0100" ENVELOPE ("d" "s" ((NIL NIL "a" "x")) NIL NIL ` +
		`((NIL NIL "b" "x")(NIL NIL "c" "x")) NIL NIL NIL "<1>") BODYSTRUCTURE (("TEXT" "PLAIN" ("CHARSET" "utf-8") NIL NIL "7BIT" 3 1 NIL NIL NIL NIL)` +
		`("MESSAGE" "RFC822" NIL NIL NIL "7BIT" 9 (NIL "in" NIL NIL NIL NIL NIL NIL NIL NIL) ("TEXT" "PLAIN" NIL NIL NIL "7BIT" 0 0) 2 NIL ("inline" ("a" "b")) NIL NIL)` +
		` "MIXED" ("BOUNDARY" "b") NIL NIL NIL) BODY[]<0> {abc})`
	for _, test := range []struct{ from, to, want string }{
		{"", "", ""},
		{`\Seen work`, `work \Seen \Recent`, ""},
		{`" 1-Feb-2001 10:00:00 +0100"`, `"01-Feb-2001 09:00:00 +0000"`, ""},
		{`"TEXT" "PLAIN" ("CHARSET"`, `"text" "Plain" ("charset"`, ""},
		{` "MIXED" ("BOUNDARY" "b") NIL NIL NIL`, ` "MIXED" ("BOUNDARY" "b")`, ""},
		{`\Seen work`, `\Seen`, "FLAGS"},
		{`10:00:00`, `10:00:01`, "INTERNALDATE"},
		{`"s"`, `"S"`, "ENVELOPE subject"},
		{`(NIL NIL "c" "x")`, `(NIL NIL "c" "y")`, "ENVELOPE to"},
		{`(NIL NIL "c" "x")`, ``, "ENVELOPE to"},
		{`"utf-8"`, `"latin1"`, "BODYSTRUCTURE param charset"},
		{`"7BIT" 3 1`, `"7BIT" 3 2`, "BODYSTRUCTURE lines"},
		{`"7BIT" 3 1`, `"8BIT" 3 1`, "BODYSTRUCTURE encoding"},
		{`"in"`, `"out"`, "BODYSTRUCTURE envelope subject"},
		{`("a" "b")`, `("a" "c")`, "BODYSTRUCTURE disposition param a"},
		{` 2 NIL ("inline"`, ` 2 "md5" ("inline"`, "BODYSTRUCTURE md5"},
		{`("TEXT" "PLAIN" NIL NIL NIL "7BIT" 0 0)`, `("TEXT" "HTML" NIL NIL NIL "7BIT" 0 0)`, "BODYSTRUCTURE subtype"},
		{`"MIXED" ("BOUNDARY" "b")`, `"MIXED" ("BOUNDARY" "c")`, "BODYSTRUCTURE param boundary"},
		{`{abc}`, `{abd}`, "BODY[]<0>"},
		{`BODY[]<0> {abc}`, `BODY[] {abc}`, "BODY[] BODY[]<0>"},
	} {
		var where []string
		for _, d := range compareItems(&letter{}, parsed(t, ours), parsed(t, strings.Replace(ours, test.from, test.to, 1))) {
			where = append(where, d.where)
		}
		slices.Sort(where)
		if got := strings.Join(where, " "); got != test.want {
			t.Errorf("%q for %q: differences in %q, want %q", test.to, test.from, got, test.want)
		}
	}
}

// parsed reads a response in which {x} stands for a literal with x.
func parsed(t *testing.T, response string) fetched {
	t.Helper()
	literal := regexp.MustCompile(`\{(.*?)\}`).ReplaceAllStringFunc(response, func(s string) string {
		return fmt.Sprintf("\x00%d\x00%s", len(s)-2, s[1:len(s)-1])
	})
	uid, items, ok := parseFetched([]byte(literal))
	if !ok || uid != "7" {
		t.Fatalf("%q is not understood", response)
	}
	return items
}

// TestMoved proves that as few messages as possible are said to be out of place.
func TestMoved(t *testing.T) {
	p := &pair{letters: []*letter{{name: "a"}, {name: "b"}, {name: "c"}, {name: "d"}, {name: "e"}}}
	for _, test := range []struct {
		theirs []int
		want   string
	}{
		{[]int{1, 2, 3, 4, 5}, ""},
		{[]int{2, 3, 4, 5, 1}, "a: first, behind e"},
		{[]int{1, 3, 2, 4, 5}, "b: behind a, behind c"},
		{[]int{5, 4, 3, 2, 1}, "a: first, behind b|b: behind a, behind c|c: behind b, behind d|d: behind c, behind e"},
	} {
		var got []string
		for _, d := range p.moved("", []int{1, 2, 3, 4, 5}, test.theirs) {
			got = append(got, fmt.Sprintf("%s: %s, %s", d.letter.name, d.ours, d.theirs))
		}
		if text := strings.Join(got, "|"); text != test.want {
			t.Errorf("%v: %s, want %s", test.theirs, text, test.want)
		}
	}
}

// TestReadThreads proves that a THREAD response is read as RFC 5256 section 4 means it.
func TestReadThreads(t *testing.T) {
	p := parser{rest: []byte("* THREAD (2)(3 6 (4 23)(44 7 96))((8)(9 1))")}
	order, places := readThreads(p.values()[2:])
	if got, want := fmt.Sprint(order), "[2 3 6 4 23 44 7 96 8 9 1]"; got != want {
		t.Errorf("order %s, want %s", got, want)
	}
	for uid, want := range map[int]threaded{2: {2, 0}, 6: {3, 3}, 44: {3, 6}, 96: {3, 7}, 8: {1, 0}, 9: {1, 0}, 1: {1, 9}} {
		if places[uid] != want {
			t.Errorf("%d: %v, want %v", uid, places[uid], want)
		}
	}
}

// TestExplanationsHoldTogether proves that an explanation is about a difference only where
// all that it gives holds.
func TestExplanationsHoldTogether(t *testing.T) {
	e := &explanation{}
	for field, text := range map[string]string{"in": "^ENVELOPE", "ours": "a", "theirs": "b", "raw": "(?m)^X: 1", "how": "spaces"} {
		if err := e.set(field, text); err != nil {
			t.Fatal(err)
		}
	}
	about := difference{where: "ENVELOPE to", letter: &letter{raw: []byte("X: 1")}, ours: `"a b"`, theirs: `"ab"`}
	if !e.explains(&about) {
		t.Error("it is not about what it is about")
	}
	for i, change := range []func(*difference){
		func(d *difference) { d.where = "BODY" },
		func(d *difference) { d.ours = "b" },
		func(d *difference) { d.theirs = "a" },
		func(d *difference) { d.letter = &letter{} },
		func(d *difference) { d.theirs = `"abc"` },
	} {
		other := about
		change(&other)
		if e.explains(&other) {
			t.Errorf("%d: it is about another difference, too", i)
		}
	}
}

// TestLacks proves that a value lacks a piece of another only where all else is the same.
func TestLacks(t *testing.T) {
	for _, tt := range []struct {
		ours, theirs string
		want         bool
	}{
		{`("a" "b" "c")`, `("a" "c")`, true},
		{`("a" "b")`, `("A")`, true},
		{`("a" "b")`, `("a" "b")`, false},
		{`("a")`, `("a" "b")`, false},
		{`("a" "b" "c")`, `("a" "x")`, false},
	} {
		if got := lacks(tt.ours, tt.theirs); got != tt.want {
			t.Errorf("lacks(%s, %s) = %v", tt.ours, tt.theirs, got)
		}
	}
}

// TestPlainHeaders proves that what orders are compared by is known to be plain.
func TestPlainHeaders(t *testing.T) {
	const date = "Date: Mon, 6 Jul 2020 10:00:00 +0200\r\n"
	for header, want := range map[string]bool{
		date: true,
		date + "From: Ann <a@x.example>\r\nTo: a@x.example,\r\n b@x.example\r\nSubject: =?utf-8?Q?=C3=A4?= =5 x\r\nReferences: <1@x>\r\n <2@x>\r\n": true,
		"Subject: x\r\n":                       false,
		"Date: yesterday\r\n":                  false,
		date + date:                            false,
		date + "Subject: \xe4\r\n":             false,
		date + "Subject: =?x?Q?y?=\r\n":        false,
		date + "From: root, <\r\n":             false,
		date + "Message-ID: 1@x\r\n":           false,
		date + "References: <1@x> (what)\r\n":  false,
		date + "From: ,,a@x.example\r\n":       false,
		date + "To: a@x.example,  \r\n":        false,
		"Date: 31 Feb 2020 10:00:00 +0200\r\n": false,
	} {
		if m := (&letter{raw: []byte(header + "\r\nbody")}); m.hasPlainHeader() != want {
			t.Errorf("%q: %v, want %v", header, !want, want)
		}
	}
}

// TestContains proves that texts are found in whatever encoding, and only those.
func TestContains(t *testing.T) {
	m := &letter{raw: []byte("Subject: =?utf-8?Q?gr=C3=BC=C3=9Fe?=\r\n\r\nna=C3=AFve st=\r\nraw\r\n\r\nw6RwZmVsIGJpcm5l\r\n\r\n<p>caf&eacute; \xe4\r\n")}
	for needle, want := range map[string]bool{
		"GR\u00dc\u00dfE": true, "na\u00efve": true, "straw": true, "\u00e4pfel": true, "birne": true, "caf\u00e9": true, "\u00e4": true, "xyzzy": false,
	} {
		if m.contains(needle) != want {
			t.Errorf("%s: %v, want %v", needle, !want, want)
		}
	}
}
