package tomlfile

import (
	"fmt"
	"strconv"
	"strings"
)

// Quote is a basic string of TOML: what Go escapes otherwise is written by its number.
func Quote(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\t':
			b.WriteString(`\t`)
		case r == '\r':
			b.WriteString(`\r`)
		case strconv.IsPrint(r):
			b.WriteRune(r)
		case r > 0xffff:
			fmt.Fprintf(&b, `\U%08X`, r)
		default:
			fmt.Fprintf(&b, `\u%04X`, r)
		}
	}
	b.WriteByte('"')
	return b.String()
}

// MaxCompared bounds what Distance compares, in octets: names of settings are shorter.
const MaxCompared = 64

// Distance is how many letters have to be put in, taken away, changed or swapped with their neighbour to make b of a.
func Distance(a, b string) int {
	if len(a) > MaxCompared || len(b) > MaxCompared {
		return len(a) + len(b)
	}
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			change := 1
			if a[i-1] == b[j-1] {
				change = 0
			}
			rows[i][j] = min(rows[i-1][j]+1, rows[i][j-1]+1, rows[i-1][j-1]+change)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				rows[i][j] = min(rows[i][j], rows[i-2][j-2]+1)
			}
		}
	}
	return rows[len(a)][len(b)]
}

// Nearest is the one of some names that somebody may have meant by another, "" for none.
func Nearest(name string, of []string) string {
	best, distance := "", 1+min(len(name), MaxCompared)/3
	for _, o := range of {
		if d := Distance(name, o); d < distance {
			best, distance = o, d
		}
	}
	return best
}
