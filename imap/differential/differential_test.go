// Package differential holds the server against another one: the same messages, the same
// commands, and each difference between the answers has to be explained by a sentence of a
// standard, in testdata/explained.txt. The other one is Dovecot 2.3, where it is installed.
package differential

import (
	"flag"
	"testing"
)

var (
	corpus = flag.String("corpus", "", "folder of the SpamAssassin public corpus, see .ci/corpus; empty = generated and golden messages only")
	total  = flag.Int("letters", 300, "how many generated and golden messages")
	show   = flag.Int("show", 5, "how many unexplained differences of a kind are shown")
	seed   = flag.Uint64("seed", 1, "of the generated messages")
)

// TestDifferential compares FETCH, SEARCH, SORT and THREAD.
func TestDifferential(t *testing.T) {
	theirs := startDovecot(t)
	p := &pair{ours: startOurs(t), theirs: theirs}
	p.letters = golden(t)
	if testing.Short() { // the race detector makes Dovecot wait for us
		*total = min(*total, 150)
	}
	p.letters = append(p.letters, odd(*total-len(p.letters), *seed)...)
	p.letters = append(p.letters, ordered(*total/2, *seed)...)
	if *corpus != "" {
		p.letters = append(p.letters, real(t, *corpus)...)
	}
	mark(p.letters)
	for _, c := range []*client{p.ours, p.theirs} {
		for _, m := range p.letters {
			c.add(m)
		}
		c.must("SELECT INBOX")
	}
	explained := readExplanations(t, "testdata/explained.txt")
	t.Run("fetch", func(t *testing.T) { judge(t, explained, p.fetchAll()) })
	t.Run("sections", func(t *testing.T) { judge(t, explained, p.fetchSections()) })
	t.Run("search", func(t *testing.T) { judge(t, explained, p.searchAll()) })
	t.Run("sort", func(t *testing.T) { judge(t, explained, p.sortAll()) })
	t.Run("thread", func(t *testing.T) { judge(t, explained, p.threadAll()) })
	for _, e := range explained {
		t.Logf("%6d %s", e.count, e.name)
		if e.count == 0 && *corpus != "" {
			t.Errorf("%q explains nothing any more", e.name)
		}
	}
}
