package imap

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"unicode"

	"mailstead/imap/wire"
	"mailstead/mailbox"
	"mailstead/mailbox/message"
)

// indexedCorpus is a session whose INBOX has n messages of the corpus, all of them but the last ten in the full-text index.
func indexedCorpus(t *testing.T, rng *rand.Rand, n int) (*directSession, []*searched) {
	corpus := searchCorpus(t, rng)
	rng.Shuffle(len(corpus), func(i, j int) { corpus[i], corpus[j] = corpus[j], corpus[i] })
	corpus = corpus[:n]
	store, account := directStore(t, t.TempDir(), 0)
	s := newDirectSession(t, store, account)
	for i, m := range corpus {
		if i == n-10 {
			if err := store.RebuildSearch(t.Context(), nil); err != nil {
				t.Fatal(err)
			}
		}
		deliver(t, store, account, m.raw, mailbox.Target{})
	}
	s.selected.view.Update(true)
	return s, corpus
}

// TestSearchTreesWithIndex holds searches of random trees of texts against the messages themselves: whatever the index
// says of each text, and in whatever order they are looked for because of it.
func TestSearchTreesWithIndex(t *testing.T) {
	rng := rand.New(rand.NewPCG(17, 18))
	s, corpus := indexedCorpus(t, rng, 400)
	type judge func(i int) bool
	leaf := func() (string, judge) {
		switch rng.IntN(8) {
		case 0:
			n := rng.IntN(len(corpus)) + 1
			return fmt.Sprintf("UID %d:*", n), func(i int) bool { return i+1 >= n }
		case 1:
			n := int64(rng.IntN(1000))
			return fmt.Sprintf("LARGER %d", n), func(i int) bool { return int64(len(corpus[i].raw)) > n }
		}
		key := []string{"BODY", "TEXT", "Subject", "From"}[rng.IntN(4)]
		needle := randomNeedle(rng, corpus)
		folded := message.FoldString(needle)
		return strings.ToUpper(key) + " " + quoted(needle), func(i int) bool { return corpus[i].matches(key, folded) }
	}
	var tree func(depth int) (string, judge)
	tree = func(depth int) (string, judge) {
		if depth == 0 || rng.IntN(4) == 0 {
			return leaf()
		}
		a, inA := tree(depth - 1)
		b, inB := tree(depth - 1)
		switch rng.IntN(3) {
		case 0:
			return "OR " + a + " " + b, func(i int) bool { return inA(i) || inB(i) }
		case 1:
			return "NOT " + a, func(i int) bool { return !inA(i) }
		}
		return "(" + a + " " + b + ")", func(i int) bool { return inA(i) && inB(i) }
	}
	for range trialsOf(150, 30) {
		keys, has := tree(3)
		var want strings.Builder
		for i := range corpus {
			if has(i) {
				fmt.Fprintf(&want, " %d", i+1)
			}
		}
		if got := string(s.say(t, "UID SEARCH CHARSET UTF-8 "+keys)); got != "* SEARCH"+want.String()+"\r\n" {
			t.Errorf("%s\nfound    %sexpected * SEARCH%s", keys, got, want.String())
		}
	}
}

// TestFuzzySearchWithIndex holds what FUZZY finds, and how well it says that it matches, against the messages
// themselves: the index leaves out no message that has half of the words.
func TestFuzzySearchWithIndex(t *testing.T) {
	rng := rand.New(rand.NewPCG(19, 20))
	s, corpus := indexedCorpus(t, rng, 300)
	isWord := func(r rune) bool { return unicode.In(r, unicode.L, unicode.M, unicode.N) }
	for range trialsOf(60, 12) {
		var phrase []string
		for range 1 + rng.IntN(4) {
			phrase = append(phrase, randomNeedle(rng, corpus))
		}
		text := strings.Join(phrase, " ")
		folded := message.FoldString(text)
		words := bytes.FieldsFunc(folded, func(r rune) bool { return !isWord(r) })
		words = words[:min(len(words), maxFuzzyWords)]
		if len(words) == 1 && len(words[0]) == len(folded) {
			words = nil
		}
		var uids []uint32
		var scores []string
		for i, m := range corpus {
			hits := 0
			for _, w := range words {
				if m.matches("BODY", w) {
					hits++
				}
			}
			if score := fuzzyScore(m.matches("BODY", folded), hits, len(words)); score > 0 {
				uids, scores = append(uids, uint32(i+1)), append(scores, strconv.Itoa(score))
			}
		}
		want := `* ESEARCH (TAG "a") UID`
		if len(uids) > 0 {
			want += " ALL " + string(wire.AppendNumbers(nil, uids))
		}
		want += " RELEVANCY (" + strings.Join(scores, " ") + ")\r\n"
		if got := string(s.say(t, "UID SEARCH RETURN (ALL RELEVANCY) FUZZY BODY "+quoted(text))); got != want {
			t.Errorf("%q\ngot  %swant %s", text, got, want)
		}
	}
}

// TestTextsAreOrdered proves that the rarest text is looked for first where all have to be there, and the most common
// one first where one is enough; and that what costs less to know comes before either.
func TestTextsAreOrdered(t *testing.T) {
	store, account := directStore(t, t.TempDir(), 0)
	s := newDirectSession(t, store, account)
	for i := range 100 {
		text := "Subject: subject\r\n\r\ncommon words\r\n"
		if i%10 == 0 {
			text += "sometimes this\r\n"
		}
		if i == 50 {
			text += "unheard of\r\n"
		}
		deliver(t, store, account, []byte(text), mailbox.Target{})
	}
	if err := store.RebuildSearch(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	s.selected.view.Update(true)
	for keys, want := range map[string]string{
		"BODY common BODY unheard TEXT sometimes":       "UNHEARD SOMETIMES COMMON",
		"TEXT unheard BODY common SEEN SUBJECT subject": " SUBJECT UNHEARD COMMON",
		"OR BODY unheard OR BODY common TEXT sometimes": "( COMMON SOMETIMES UNHEARD)",
		"BODY common (BODY sometimes BODY unheard)":     "( UNHEARD SOMETIMES) COMMON",
		"BODY sometimes OR BODY common BODY unheard":    "SOMETIMES ( COMMON UNHEARD)",
		"BODY common NOT BODY unheard":                  "COMMON ( UNHEARD)",
		"BODY zz BODY common BODY unheard":              "UNHEARD COMMON ZZ",
	} {
		prog, err := searchArguments(t, keys)
		if err != nil {
			t.Fatal(keys, err)
		}
		q := s.newSearching(s.selected, prog, "a")
		if err := q.prepare(); err != nil {
			t.Fatal(keys, err)
		}
		if got := needlesIn(&prog.key); got != want {
			t.Errorf("%s: %q, want %q", keys, got, want)
		}
	}
}

// needlesIn shows the texts of a program in the order in which they are looked for.
func needlesIn(k *searchKey) string {
	var list []string
	for i := range k.kids {
		kid := &k.kids[i]
		if len(kid.kids) > 0 {
			list = append(list, "( "+needlesIn(kid)+")")
			continue
		}
		list = append(list, string(kid.needle))
	}
	return strings.Join(list, " ")
}
