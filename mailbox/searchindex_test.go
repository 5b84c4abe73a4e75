package mailbox

import (
	"bytes"
	"fmt"
	"slices"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"mailstead/mailbox/message"
	"mailstead/mailbox/search"
)

// The index leaves more of the time to who writes than to who does not.
func TestSearchIndexMakesWay(t *testing.T) {
	s := newStore(t)
	a := newAccount(t, s)
	w := &searchWorker{s: s, seen: s.numbered()}
	if d := w.pause(time.Second); d != time.Second {
		t.Errorf("a rest of %v while nobody writes", d)
	}
	deliver(t, s, a, "INBOX", letter(1))
	if d := w.pause(time.Second); d != searchShare*time.Second {
		t.Errorf("a rest of %v while somebody writes", d)
	}
	if d := w.pause(time.Second); d != time.Second {
		t.Errorf("a rest of %v afterwards", d)
	}
}

// quietSearch ends the background, so that the index follows when a test says so.
func quietSearch(s *Store) {
	s.search.cancel()
	s.search.work.Wait()
}

// indexNow has the search index follow up to here.
func indexNow(t testing.TB, s *Store) {
	t.Helper()
	w := &searchWorker{s: s, ctx: t.Context()}
	if err := w.catchUp(); err != nil {
		t.Fatal(err)
	}
}

// deliverWords delivers letters with words that only they have.
func deliverWords(t testing.TB, s *Store, a AccountID, from, n int) {
	t.Helper()
	for i := from; i < from+n; i++ {
		deliver(t, s, a, "INBOX", fmt.Sprintf("From: Sender%04d <a@x.example>\r\nSubject: title%04d\r\n\r\nThe word is unique%04d.\r\n", i, i, i))
	}
}

// expectFound looks for the word of each letter: the index leaves no other one.
func expectFound(t testing.TB, s *Store, a AccountID, words []int) {
	t.Helper()
	m, err := s.OpenMailbox(t.Context(), a, "INBOX")
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	rows := m.View(false).Rows(nil, 1, 1<<31)
	for _, n := range words {
		for text, scope := range map[string]search.Scope{"Sender%04d": search.From, "title%04d": search.Subject, "word is unique%04d": search.Body} {
			needle, _ := search.NewNeedle(scope, message.FoldString(fmt.Sprintf(text, n)))
			filter := s.TextFilter([][]search.Needle{{needle}})
			found := 0
			for i := range rows {
				if filter.MayContain(0, rows[i].Body) {
					found++
					if uid := int(rows[i].UID); uid != n {
						t.Errorf("%s: message %d may have the text of %d", fmt.Sprintf(text, n), uid, n)
					}
				}
			}
			if found != 1 {
				t.Errorf("%s: %d messages may contain it", fmt.Sprintf(text, n), found)
			}
		}
	}
}

// What Select leaves is what MayContain says of each message and each text, in whatever order the messages are asked
// for: in the index, waiting for it, and come after the filter was made.
func TestSearchSelects(t *testing.T) {
	s := newStore(t)
	quietSearch(s)
	a := newAccount(t, s)
	deliverWords(t, s, a, 1, 1100)
	indexNow(t, s)
	var texts [][]search.Needle
	for _, text := range []string{"unique00", "unique000", "e011", "nowhere"} {
		n, _ := search.NewNeedle(search.Body, message.FoldString(text))
		texts = append(texts, []search.Needle{n})
	}
	f := s.TextFilter(texts)
	var bodies []BodyID
	for i := range BodyID(1100) {
		bodies = append(bodies, 1+i*7%1100)
	}
	bodies = append(bodies, 5000)
	for _, asked := range [][]int{{0}, {1}, {2}, {3}, {0, 1}, {1, 2}, {0, 3}} {
		var want []int
		for i, id := range bodies {
			if !slices.ContainsFunc(asked, func(text int) bool { return !f.MayContain(text, id) }) {
				want = append(want, i)
			}
		}
		if got := f.Select(nil, asked, bodies); !slices.Equal(got, want) {
			t.Errorf("texts %v: %d messages, MayContain says %d", asked, len(got), len(want))
		}
	}
}

// TestSearchIndexFollows has the index follow deliveries, through restarts: what was stored is there, what was not is
// read again.
func TestSearchIndexFollows(t *testing.T) {
	for _, name := range []string{"running", "reopen", "crash"} {
		t.Run(name, func(t *testing.T) {
			s := newStore(t)
			quietSearch(s)
			a := newAccount(t, s)
			deliverWords(t, s, a, 1, 1100)
			indexNow(t, s)
			expectFound(t, s, a, []int{1, 64, 700, 1023, 1024, 1100})
			s = restarts[name](t, s)
			quietSearch(s)
			if !s.search.knows(64) {
				t.Error("what was stored is not known")
			}
			deliverWords(t, s, a, 1101, 80)
			indexNow(t, s)
			expectFound(t, s, a, []int{1, 1024, 1100, 1101, 1180})
			if err := s.storeSearch(); err != nil {
				t.Fatal(err)
			}
			if n := s.search.waits(); n != 0 {
				t.Errorf("%d bodies still wait", n)
			}
			expectFound(t, s, a, []int{2, 1101, 1180})
		})
	}
}

// TestSearchIndexForgets takes bodies out of every kind of block; Check, at the end, compares memory and disk.
func TestSearchIndexForgets(t *testing.T) {
	s := newStore(t)
	quietSearch(s)
	a := newAccount(t, s)
	deliverWords(t, s, a, 1, 1200)
	indexNow(t, s)
	if err := s.storeSearch(); err != nil {
		t.Fatal(err)
	}
	deliverWords(t, s, a, 1201, 50)
	indexNow(t, s)
	ids := []BodyID{1, 5, 1000, 1030, 1199, 1240}
	if err := s.forgetSearch(ids); err != nil {
		t.Fatal(err)
	}
	known, _, err := s.disk.searchKnown()
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range ids {
		block, i := blockOf(id)
		if set := known[block]; set.Has(i) || s.search.knows(id) {
			t.Errorf("body %d is still indexed", id)
		}
	}
	if err := s.forgetSearch(ids); err != nil {
		t.Errorf("a second time: %v", err)
	}
	s.search.again()
	indexNow(t, s)
	for _, id := range ids {
		if !s.search.knows(id) {
			t.Errorf("body %d is there, and was not indexed again", id)
		}
	}
}

// TestSearchIndexDamage flips a bit in a block: verification says so, and the index is made again.
func TestSearchIndexDamage(t *testing.T) {
	s := newStore(t)
	quietSearch(s)
	a := newAccount(t, s)
	deliverWords(t, s, a, 1, 100)
	indexNow(t, s)
	if err := s.storeSearch(); err != nil {
		t.Fatal(err)
	}
	err := s.disk.derived.Update(func(tx *bbolt.Tx) error {
		key, value := tx.Bucket(bucketSearch).Cursor().First()
		bad := bytes.Clone(value)
		bad[len(bad)/2] ^= 4
		return tx.Bucket(bucketSearch).Put(key, bad)
	})
	if err != nil {
		t.Fatal(err)
	}
	found, err := s.Verify(t.Context(), VerifyOptions{})
	if err != nil || len(found.Findings) != 1 || found.Findings[0].Where != derivedFile {
		t.Errorf("%+v, %v", found.Findings, err)
	}
	indexNow(t, s)
	expectFound(t, s, a, []int{1, 50, 100})
}

// TestSearchIndexBegunAnew has the index begin again while it is complete, and wait until it is.
func TestSearchIndexBegunAnew(t *testing.T) {
	s := newStore(t)
	a := newAccount(t, s)
	deliverWords(t, s, a, 1, 150)
	if err := s.RebuildSearch(t.Context(), func(done, total int64) {
		if done < 0 || done > total {
			t.Errorf("%d of %d", done, total)
		}
	}); err != nil {
		t.Fatal(err)
	}
	expectFound(t, s, a, []int{1, 64, 150})
}
