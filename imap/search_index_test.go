package imap

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"mailstead/mailbox"
	"mailstead/mailbox/message"
)

// searched is a message with what a search compares: folded pieces of text, of which those of the header come first.
type searched struct {
	raw    []byte
	header []byte
	texts  []string
	fields int // of the texts
}

func newSearched(t testing.TB, raw []byte) *searched {
	t.Helper()
	v, err := message.Open(message.Parse(raw).AppendTo(nil))
	if err != nil {
		t.Fatal(err)
	}
	m := &searched{raw: raw, header: raw[:v.HeaderSize()]}
	var r message.TextReader
	for _, scope := range []message.Scope{message.ScopeHeader, message.ScopeBody} {
		m.fields = len(m.texts)
		err = r.Read(bytes.NewReader(raw), &v, scope, func(text []byte, first bool) bool {
			if folded := string(message.Fold(nil, text)); first {
				m.texts = append(m.texts, folded)
			} else {
				m.texts[len(m.texts)-1] += folded
			}
			return true
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return m
}

// matches judges by the message itself.
func (m *searched) matches(key string, needle []byte) bool {
	has := func(text string) bool { return strings.Contains(text, string(needle)) }
	switch key {
	case "BODY":
		return slices.ContainsFunc(m.texts[m.fields:], has)
	case "TEXT":
		return slices.ContainsFunc(m.texts, has)
	}
	return message.HeaderContains(m.header, key, needle)
}

// searchCorpus is the messages that the indexer of messages is tested with, and some that differ in their words.
func searchCorpus(t testing.TB, rng *rand.Rand) (list []*searched) {
	t.Helper()
	files, err := filepath.Glob("../mailbox/message/testdata/*.eml")
	if err != nil || len(files) < 50 {
		t.Fatalf("%d golden messages, %v", len(files), err)
	}
	for _, f := range files {
		raw, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, newSearched(t, raw))
	}
	vocabulary := strings.Fields("invoice straße ﬁlter Zürich İzmir счёт почта λόγος 中文 電子郵件 メール 한국어 ไทย 😀 a of 1,50 x@y.example")
	words := func(n int) string {
		var b strings.Builder
		for range n {
			fmt.Fprintf(&b, "%s%s", vocabulary[rng.IntN(len(vocabulary))], []string{" ", "", "\r\n", strconv.Itoa(rng.IntN(1000))}[rng.IntN(4)])
		}
		return b.String()
	}
	for i := range 1200 {
		kind := []string{"plain; charset=utf-8", "html; charset=utf-8", "plain"}[i%3]
		subject := strings.NewReplacer("\r", "", "\n", "").Replace(words(4))
		raw := fmt.Sprintf("From: Person%d <p%d@x.example>\r\nTo: %s@y.example\r\nSubject: %s\r\nX-Tag: tag-%d\r\nContent-Type: text/%s\r\n\r\n%s",
			i%50, i, strconv.Itoa(i%7), subject, i%100, kind, words(1+rng.IntN(60)))
		list = append(list, newSearched(t, []byte(raw)))
	}
	return list
}

// quoted is a needle as a literal, as it may hold anything.
func quoted(s string) string { return fmt.Sprintf("{%d+}\r\n%s", len(s), s) }

// randomNeedle is a part of a text that is there, or one that most likely is not.
func randomNeedle(rng *rand.Rand, list []*searched) string {
	for {
		m := list[rng.IntN(len(list))]
		if len(m.texts) == 0 {
			continue
		}
		text := m.texts[rng.IntN(len(m.texts))]
		if text == "" {
			continue
		}
		from := rng.IntN(len(text))
		for !utf8.RuneStart(text[from]) {
			from--
		}
		to := min(from+1+rng.IntN(1+rng.IntN(30)), len(text))
		for to < len(text) && !utf8.RuneStart(text[to]) {
			to++
		}
		if needle := text[from:to]; !strings.ContainsAny(needle, "\x00") {
			if rng.IntN(8) == 0 {
				return needle + "q"
			}
			return needle
		}
	}
}

// TestSearchWithIndex holds searches of random texts against the messages themselves: with some of them indexed and
// stored, some that wait to be stored, some that came later, and some that are gone.
func TestSearchWithIndex(t *testing.T) {
	rng := rand.New(rand.NewPCG(13, 14))
	corpus := searchCorpus(t, rng)
	rng.Shuffle(len(corpus), func(i, j int) { corpus[i], corpus[j] = corpus[j], corpus[i] })
	dir := t.TempDir()
	store, account := directStore(t, dir, 0)
	keys := []string{"BODY", "BODY", "TEXT", "From", "To", "Subject", "HEADER X-Tag", "HEADER Received", "HEADER Content-Type"}
	there := make(map[int]*searched) // by UID
	uid := 0
	s := newDirectSession(t, store, account)
	fill := func(n int) {
		for range n {
			deliver(t, store, account, corpus[uid].raw, mailbox.Target{})
			there[uid+1] = corpus[uid]
			uid++
		}
		s.selected.view.Update(true)
	}
	compare := func(n int) {
		t.Helper()
		for range trialsOf(n, n/5) {
			key, needle := keys[rng.IntN(len(keys))], randomNeedle(rng, corpus)
			name, command := key, strings.ToUpper(key)
			if rest, ok := strings.CutPrefix(key, "HEADER "); ok {
				name, command = rest, key
			}
			var want []string
			for i := range uid {
				if m := there[i+1]; m != nil && m.matches(name, message.FoldString(needle)) {
					want = append(want, strconv.Itoa(i+1))
				}
			}
			got := strings.Fields(string(s.say(t, "UID SEARCH CHARSET UTF-8 "+command+" "+quoted(needle))))[2:]
			if !slices.Equal(got, want) {
				t.Errorf("%s %q found %v, want %v", key, needle, got, want)
			}
		}
	}
	fill(100)
	compare(20) // whatever the background has done so far
	fill(1100)
	if err := store.RebuildSearch(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	compare(150)
	fill(len(corpus) - uid)
	compare(50)
	for i := range uid {
		if i%3 == 0 {
			delete(there, i+1)
			s.say(t, fmt.Sprintf("UID STORE %d +FLAGS.SILENT (\\Deleted)", i+1))
		}
	}
	s.say(t, "EXPUNGE")
	compare(30)
}

// trialsOf is how often something is tried: fewer times in the short form, which runs under the race detector.
func trialsOf(usual, short int) int {
	if testing.Short() {
		return short
	}
	return usual
}
