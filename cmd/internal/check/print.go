package check

import (
	"cmp"
	"fmt"
	"io"
	"strings"
)

// marks are what stands in front of a result, by its state.
type marks map[State]string

var (
	unicodeMarks = marks{OK: "✓", Wrong: "✗", Unknown: "?", Info: "·"}
	asciiMarks   = marks{OK: "ok", Wrong: "!!", Unknown: "??", Info: "--"}
)

// IsUTF8 reports whether a program may write more than ASCII, by the first of LC_ALL, LC_CTYPE and LANG that is set (locale(7)).
func IsUTF8(environment func(string) string) bool {
	locale := strings.ToLower(cmp.Or(environment("LC_ALL"), environment("LC_CTYPE"), environment("LANG")))
	return strings.Contains(locale, "utf-8") || strings.Contains(locale, "utf8")
}

// columns of the name of a check, so that what was found stands below each other.
const nameColumns = 11

// Print writes results for people, those of the host and of each domain apart; behind what is wrong, why it matters and what
// mends it.
func Print(w io.Writer, results []Result, utf8 bool) error {
	m := asciiMarks
	if utf8 {
		m = unicodeMarks
	}
	var b strings.Builder
	group := ""
	for _, r := range results {
		if g := r.group(); g != group {
			if group != "" {
				b.WriteString("\n")
			}
			b.WriteString(g + "\n")
			group = g
		}
		text := r.Found
		if r.Subject != "" && r.Subject != r.Domain {
			text = r.Subject + ": " + text
		}
		_, name, _ := strings.Cut(r.ID, ".")
		lines := []string{fmt.Sprintf("  %-2s %-*s %s", m[r.State], nameColumns, name, text)}
		for _, more := range []string{r.Why, r.Remedy} {
			if more != "" {
				lines = append(lines, strings.Repeat(" ", nameColumns+6)+more)
			}
		}
		for _, line := range lines {
			b.WriteString(line + "\n")
		}
	}
	text := b.String()
	if !utf8 {
		text = strings.NewReplacer("…", "...").Replace(text)
	}
	_, err := io.WriteString(w, text)
	return err
}

// group is the heading that a result stands under.
func (r *Result) group() string {
	if r.Domain != "" {
		return "Domain " + r.Domain
	}
	switch first, _, _ := strings.Cut(r.ID, "."); first {
	case "host":
		return "Host, as the world sees it"
	case "server":
		return "Server"
	default:
		return "Machine"
	}
}
