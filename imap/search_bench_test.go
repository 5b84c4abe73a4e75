package imap

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"mailstead/mailbox"
)

// BenchmarkSearchIndexed searches 100,000 different messages, all of them indexed. Words are as common as in a language:
// the nth is there in proportion to 1/n.
func BenchmarkSearchIndexed(b *testing.B) {
	const messages, vocabulary = 100_000, 20_000
	rng := rand.New(rand.NewPCG(15, 16))
	words := make([]string, vocabulary)
	for i := range words {
		words[i] = randomWord(rng)
	}
	zipf := rand.NewZipf(rng, 1.1, 10, vocabulary-1)
	store, account := directStore(b, b.TempDir(), 0)
	var text strings.Builder
	for i := range messages {
		text.Reset()
		fmt.Fprintf(&text, "From: %s <%s@%s.example>\r\nTo: user@x.example\r\nMessage-ID: <%x@x.example>\r\nSubject: %s %s %s\r\n\r\n",
			words[zipf.Uint64()], words[zipf.Uint64()], words[zipf.Uint64()], rng.Uint64(), words[zipf.Uint64()], words[zipf.Uint64()], words[zipf.Uint64()])
		for j := range 250 {
			text.WriteString(words[zipf.Uint64()])
			text.WriteString([]string{" ", " ", " ", "\r\n"}[j%4])
		}
		if i == messages/2 {
			text.WriteString("a xylophonist plays here\r\n")
		}
		deliver(b, store, account, []byte(text.String()), mailbox.Target{})
	}
	if err := store.RebuildSearch(b.Context(), nil); err != nil {
		b.Fatal(err)
	}
	s := newDirectSession(b, store, account)
	phrase := words[300] + " " + words[400]
	for _, tt := range []struct{ name, keys string }{
		{"rare", "BODY xylophonist"}, {"absent", "BODY quizzically"}, {"text-absent", "TEXT quizzically"}, {"phrase", fmt.Sprintf("BODY %q", phrase)},
		{"from", "FROM nobody"}, {"from-hits", fmt.Sprintf("FROM %q", words[120])}, {"unseen-large", "UNSEEN LARGER 100000"}, {"subject", `SUBJECT "no such subject"`}, {"not-deleted-from-body", "NOT DELETED FROM nobody BODY xylophonist"},
		{"three-letters", "BODY qqz"}, {"common-rarer", fmt.Sprintf("BODY %q BODY %q", words[20], words[9000])},
		{"rarer-common", fmt.Sprintf("BODY %q BODY %q", words[9000], words[20])}, {"fuzzy", fmt.Sprintf("FUZZY BODY \"%s %s quizzically xylophonist\"", words[20], words[9000])},
	} {
		b.Run(tt.name, func(b *testing.B) {
			for b.Loop() {
				s.say(b, "UID SEARCH "+tt.keys)
			}
		})
	}
}

// randomWord has letters about as common as in English.
func randomWord(rng *rand.Rand) string {
	const letters = "eeeeeeeeeeeetttttttttaaaaaaaaoooooooiiiiiiinnnnnnnsssssshhhhhhrrrrrrddddlllluuucccmmmwwffggyyppbbvk"
	b := make([]byte, 3+rng.IntN(8))
	for i := range b {
		b[i] = letters[rng.IntN(len(letters))]
	}
	return string(b)
}
