package imap

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"syscall"
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

// BenchmarkSearchFewWords searches 100,000 messages that are made of two hundred words, so that the full-text index leaves
// many: about 1 in 20 has all the pieces of the phrase and 1 in 500 the phrase, 1 in 75 the sender, 1 in 30 the subject.
// It reports the processor time of a search in user and system mode, the pages that were mapped for it, and the hits.
func BenchmarkSearchFewWords(b *testing.B) {
	const messages, vocabulary = 100_000, 200
	rng := rand.New(rand.NewPCG(22, 5))
	words := make([]string, vocabulary)
	for i := range words {
		words[i] = randomWord(rng)
		if i >= vocabulary-10 {
			words[i] += "é"
		}
	}
	zipf := rand.NewZipf(rng, 1.2, 4, vocabulary-1)
	any := func() string { return words[rng.IntN(vocabulary-10)] }
	store, account := directStore(b, b.TempDir(), 0)
	texts := make(chan string)
	var writers sync.WaitGroup
	for range 32 { // one flush is for all of them
		writers.Go(func() {
			for text := range texts {
				deliver(b, store, account, []byte(text), mailbox.Target{})
			}
		})
	}
	for i := range messages {
		var text strings.Builder
		fmt.Fprintf(&text, "From: \"%s %s\" <sender@x.example>\r\nTo: <user@x.example>\r\nSubject: %s %s %s %s %s %s\r\nMessage-ID: <%d.%x@x.example>\r\n",
			words[rng.IntN(150)], words[rng.IntN(150)], any(), any(), any(), any(), any(), any(), i, rng.Uint64())
		text.WriteString("MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n")
		for j := 1; text.Len() < 2000; j++ {
			text.WriteString(words[zipf.Uint64()])
			text.WriteString([]string{" ", "\r\n"}[j/12-(j-1)/12])
		}
		text.WriteString("\r\n")
		texts <- text.String()
	}
	close(texts)
	writers.Wait()
	if err := store.RebuildSearch(b.Context(), nil); err != nil {
		b.Fatal(err)
	}
	s := newDirectSession(b, store, account)
	for _, tt := range []struct{ name, keys string }{
		{"absent", "BODY notinanymessage"}, {"phrase", fmt.Sprintf("BODY %q", words[0]+" "+words[140]+" "+words[1])},
		{"from", fmt.Sprintf("FROM %q", words[100])}, {"subject", fmt.Sprintf("SUBJECT %q", words[160])},
	} {
		b.Run(tt.name, func(b *testing.B) { searchCounted(b, s, "UID SEARCH "+tt.keys) })
	}
}

// searchCounted says a search and reports what each took.
func searchCounted(b *testing.B, s *directSession, command string) {
	var before, after syscall.Rusage
	s.say(b, command) // what is mapped stays
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &before); err != nil {
		b.Fatal(err)
	}
	hits := 0
	for b.Loop() {
		hits = len(bytes.Fields(s.say(b, command))) - 2
	}
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &after); err != nil {
		b.Fatal(err)
	}
	n := float64(b.N)
	b.ReportMetric(float64(after.Utime.Nano()-before.Utime.Nano())/1e6/n, "user-ms")
	b.ReportMetric(float64(after.Stime.Nano()-before.Stime.Nano())/1e6/n, "sys-ms")
	b.ReportMetric(float64(after.Minflt-before.Minflt)/n, "faults")
	b.ReportMetric(float64(hits), "hits")
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
