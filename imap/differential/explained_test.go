package differential

import (
	"bufio"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// explanation is why differences of some kind are right. All that is given has to hold.
type explanation struct {
	name                          string
	in, ours, theirs, letter, raw *regexp.Regexp // nil = anything
	how                           []func(ours, theirs string) bool
	why                           string

	count int
}

// relations are what an explanation can say about both values together. Values are quoted as
// in Go.
var relations = map[string]func(ours, theirs string) bool{
	"case":   strings.EqualFold,
	"spaces": func(ours, theirs string) bool { return withoutSpaces(ours) == withoutSpaces(theirs) },
	"more": func(ours, theirs string) bool {
		return strings.HasPrefix(lower(theirs), strings.TrimRight(lower(ours), `")`))
	},
	"less": func(ours, theirs string) bool {
		return strings.HasPrefix(lower(ours), strings.TrimRight(lower(theirs), `")`))
	},
	"lacks":    lacks,
	"line-end": hasLineEnd,
	"no-end":   func(ours, theirs string) bool { return hasLineEnd(theirs, ours) },
}

var lower = strings.ToLower

// lacks reports whether theirs is ours without some piece of it.
func lacks(ours, theirs string) bool {
	ours, theirs = lower(ours), lower(theirs)
	if len(theirs) >= len(ours) {
		return false
	}
	same := 0
	for same < len(theirs) && ours[same] == theirs[same] {
		same++
	}
	return strings.HasSuffix(ours, theirs[same:])
}

// hasLineEnd reports whether theirs is ours with one line end more, or counts one more.
func hasLineEnd(ours, theirs string) bool {
	x, err := strconv.ParseInt(ours, 10, 64)
	if y, err2 := strconv.ParseInt(theirs, 10, 64); err == nil && err2 == nil {
		return y-x == 1 || y-x == 2 // lines or octets
	}
	ours = strings.TrimSuffix(ours, `"`)
	rest, ok := strings.CutPrefix(theirs, ours)
	return ok && (rest == `\r"` || rest == `\r\n"` || rest == `\r\n\r\n"`)
}

var spaces = regexp.MustCompile(`(\\[trn]|\s)+`)

func withoutSpaces(s string) string { return spaces.ReplaceAllString(s, "") }

// readExplanations reads the list: paragraphs of "field: value" lines, a value going on in
// the lines that begin with a space.
func readExplanations(t *testing.T, name string) (list []*explanation) {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var e *explanation
	in := bufio.NewScanner(f)
	for n := 1; in.Scan(); n++ {
		line := in.Text()
		switch {
		case strings.HasPrefix(line, "#"), strings.TrimSpace(line) == "":
			continue
		case strings.HasPrefix(line, " ") && e != nil:
			e.why += " " + strings.TrimSpace(line)
			continue
		}
		field, text, _ := strings.Cut(line, ":")
		text = strings.TrimSpace(text)
		if field == "name" {
			e = &explanation{name: text}
			list = append(list, e)
			continue
		}
		if err := e.set(field, text); err != nil {
			t.Fatalf("%s:%d: %v", name, n, err)
		}
	}
	for _, e := range list {
		if e.in == nil || !reason.MatchString(e.why) {
			t.Errorf("%s: %q does not say where it is, or by which RFC", name, e.name)
		}
	}
	return list
}

// reason is what every explanation has.
var reason = regexp.MustCompile(`RFC [0-9]{3,4}`)

func (e *explanation) set(field, text string) error {
	var err error
	compile := func() (r *regexp.Regexp) { r, err = regexp.Compile("(?s)" + text); return r }
	switch field {
	case "in":
		e.in = compile()
	case "ours":
		e.ours = compile()
	case "theirs":
		e.theirs = compile()
	case "letter":
		e.letter = compile()
	case "raw":
		e.raw = compile()
	case "why":
		e.why = text
	case "how":
		for word := range strings.FieldsSeq(text) {
			relation, ok := relations[word]
			if !ok {
				return fmt.Errorf("no relation %q", word)
			}
			e.how = append(e.how, relation)
		}
	default:
		return fmt.Errorf("no field %q", field)
	}
	return err
}

// explains reports whether the explanation is about the difference.
func (e *explanation) explains(d *difference) bool {
	matches := func(r *regexp.Regexp, s string) bool { return r == nil || r.MatchString(s) }
	if !matches(e.in, d.where) || !matches(e.ours, d.ours) || !matches(e.theirs, d.theirs) {
		return false
	}
	if d.letter != nil && (!matches(e.letter, d.letter.name) || e.raw != nil && !e.raw.Match(d.letter.raw)) {
		return false
	}
	return !slices.ContainsFunc(e.how, func(relation func(_, _ string) bool) bool { return !relation(d.ours, d.theirs) })
}

// judge counts the differences by their explanations; those without one fail the test.
func judge(t *testing.T, list []*explanation, found []difference) {
	t.Helper()
	unexplained, seen := map[string]int{}, map[string]bool{}
	for i := range found {
		d := &found[i]
		if at := slices.IndexFunc(list, func(e *explanation) bool { return e.explains(d) }); at >= 0 {
			list[at].count++
			continue
		}
		same := d.where + "\x00" + d.ours + "\x00" + d.theirs
		if strings.HasPrefix(d.where, "SEARCH") {
			same += d.letter.name
		}
		if seen[same] {
			continue
		}
		seen[same] = true
		if unexplained[d.where]++; unexplained[d.where] <= *show {
			t.Errorf("%s", d)
		}
	}
	for where, n := range unexplained {
		if n > *show {
			t.Errorf("%s: %d different differences in all that are not explained", where, n)
		}
	}
}

func (d *difference) String() string {
	name := "-"
	if d.letter != nil {
		name = d.letter.name
	}
	ours, theirs := aroundDifference(d.ours, d.theirs)
	return fmt.Sprintf("%s of %s\n  ours:   %s\n  theirs: %s", d.where, name, ours, theirs)
}

// aroundDifference cuts two long texts to what is around the first octet that differs.
func aroundDifference(a, b string) (string, string) {
	at := 0
	for at < min(len(a), len(b)) && a[at] == b[at] {
		at++
	}
	cut := func(s string) string {
		from, to := max(0, at-60), min(len(s), at+160)
		if from >= to {
			from = 0
		}
		return fmt.Sprintf("%s (%d octets)", s[from:to], len(s))
	}
	return cut(a), cut(b)
}
