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
