package differential

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/mail"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// letter is a message that both servers are given.
type letter struct {
	name    string
	raw     []byte
	flags   []string
	arrival time.Time
	ordered bool // how it is sorted and threaded is said by a standard
}

// golden are the messages of the indexer's own golden test.
func golden(t *testing.T) (letters []*letter) {
	return readLetters(t, "../../mailbox/message/testdata/*.eml", func(raw []byte) []byte { return raw })
}

// real are the messages of the corpus in dir, which has them as they were in mboxes: behind
// a From line, and with line feeds.
func real(t *testing.T, dir string) []*letter {
	var letters []*letter
	for _, set := range []string{"easy-ham-1", "easy-ham-2", "hard-ham-1", "spam-1", "spam-2"} {
		letters = append(letters, readLetters(t, filepath.Join(dir, set, "*.txt"), func(raw []byte) []byte {
			if bytes.HasPrefix(raw, []byte("From ")) {
				_, raw, _ = bytes.Cut(raw, []byte("\n"))
			}
			raw = bytes.ReplaceAll(raw, []byte("\r\n"), []byte("\n"))
			return bytes.ReplaceAll(raw, []byte("\n"), []byte("\r\n"))
		})...)
	}
	return letters
}

func readLetters(t *testing.T, pattern string, change func([]byte) []byte) (letters []*letter) {
	t.Helper()
	names, err := filepath.Glob(pattern)
	if err != nil || len(names) == 0 {
		t.Fatalf("no messages %s: %v", pattern, err)
	}
	for _, name := range names {
		raw, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if len(raw) == 0 { // no message, says APPEND
			continue
		}
		base := strings.TrimSuffix(filepath.Base(name), filepath.Ext(name))
		letters = append(letters, &letter{name: filepath.Base(filepath.Dir(name)) + "/" + base, raw: change(raw)})
	}
	return letters
}

// mark gives letters flags and times of arrival, which are chance, but the same each time.
func mark(letters []*letter) {
	r := rand.New(rand.NewPCG(1, 2))
	for i, m := range letters {
		for _, flag := range []string{`\Seen`, `\Answered`, `\Flagged`, `\Deleted`, `\Draft`, "$Forwarded", "work"} {
			if r.IntN(4) == 0 {
				m.flags = append(m.flags, flag)
			}
		}
		zone := time.FixedZone("", 60*[]int{0, 60, -300, 330, 720, -690}[r.IntN(6)])
		const prime = 10007 // so that no two arrive at the same time: which comes first then is nowhere said
		m.arrival = time.Date(2001, 1, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(i*7919%prime) * 10 * time.Minute).In(zone)
	}
}

// odd makes n messages of pieces that are allowed, unusual or wrong.
func odd(n int, seed uint64) (letters []*letter) {
	for i := range n {
		w := oddWriter{r: rand.New(rand.NewPCG(seed, uint64(i)))}
		w.message(0)
		letters = append(letters, &letter{name: fmt.Sprintf("odd/%d", i), raw: slices.Clone(w.b.Bytes())})
	}
	return letters
}

var (
	// plainFields are what fields look like that are read in one way only.
	plainFields = map[string]*regexp.Regexp{
		"date": regexp.MustCompile(`^ *([A-Z][a-z]{2}, +)?([1-9]|[0-2][0-9]|3[01]) (Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) (19[7-9]|20[0-3])[0-9] ` +
			`([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9])? ([+-](0[0-9]|1[0-4])[0-5][0-9])( \([A-Z]+\))?$`),
		"subject":     regexp.MustCompile(`(?i)^([ -<>-~]|=\?(utf-8|iso-8859-1)\?[QB]\?[!->@-~]*\?=|=[^?])*$`),
		"message-id":  regexp.MustCompile(`^ *<[^<>@" ]+@[^<>@" ]+>$`),
		"in-reply-to": regexp.MustCompile(`^( *<[^<>@" ]+@[^<>@" ]+>)+$`),
		"references":  regexp.MustCompile(`^([ \t\r\n]*<[^<>@" ]+@[^<>@" ]+>)+$`),
	}
	addressFields = []string{"from", "to", "cc"}
	// emptyElement is an element of a list that is not there (RFC 5322 section 4.4).
	emptyElement = regexp.MustCompile(`(^|,)\s*(,|$)`)
	// dayOfYear is a date without its time.
	dayOfYear = regexp.MustCompile(`[0-9]+ [A-Z][a-z]{2} [0-9]{4}`)
)

// hasPlainHeader reports whether nothing in the header can be read in two ways.
func (m *letter) hasPlainHeader() bool {
	header, _, whole := bytes.Cut(m.raw, []byte("\r\n\r\n"))
	if !whole || bytes.ContainsFunc(header, func(r rune) bool { return r == 0 || r > '~' }) {
		return false
	}
	seen := map[string]bool{}
	for _, line := range fieldStarts.Split(string(header), -1) {
		name, value, _ := strings.Cut(line, ":")
		name = strings.ToLower(strings.TrimSpace(name))
		plain, known := plainFields[name]
		isAddress := slices.Contains(addressFields, name)
		if known && !plain.MatchString(value) || (known || isAddress) && seen[name] {
			return false
		}
		if _, err := time.Parse("2 Jan 2006", dayOfYear.FindString(value)); name == "date" && err != nil {
			return false
		}
		if _, err := mail.ParseAddressList(strings.ReplaceAll(value, "\r\n", "")); isAddress && (err != nil || emptyElement.MatchString(value)) {
			return false
		}
		seen[name] = true
	}
	return seen["date"]
}

// fieldStarts are the line ends between fields.
var fieldStarts = regexp.MustCompile(`\r\n\b`)
