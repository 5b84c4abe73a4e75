package mailbox

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	goimap "github.com/emersion/go-imap/v2"
	"go.etcd.io/bbolt"

	"mailstead/mailbox/message"
)

// flipDatabases is a closed store of which bits of the databases flip.
type flipDatabases struct {
	dir   string
	a     AccountID
	truth map[string]string
	pages map[string]map[string][]int // of each database, those in use by their kind
	size  map[string]int              // of a page
}

// newFlipDatabases has what every table of state.db needs a key of, branch pages, a
// checkpoint and a log behind it.
func newFlipDatabases(t *testing.T) *flipDatabases {
	s := openStore(t, memoryDir(t))
	quietSearch(s)
	f := &flipDatabases{dir: s.dir, a: newAccount(t, s), pages: make(map[string]map[string][]int), size: make(map[string]int)}
	for i := range 700 {
		name := []string{"INBOX", "Sent", "Trash"}[i%3]
		deliver(t, s, f.a, name, letter(i)+strings.Repeat("x", i%100), "word")
		switch i {
		case 400:
			commit(t, s)
			if _, err := s.disk.checkpoint(filepath.Join(s.dir, checkpointFolder)); err != nil {
				t.Fatal(err)
			}
		case 600:
			indexNow(t, s)
			commit(t, s)
		}
	}
	m := open(t, s, f.a, "INBOX")
	change := StoreChange{UIDs: []goimap.UID{3, 4, 5}, Op: FlagsAdd, Flags: []goimap.Flag{goimap.FlagFlagged}}
	_, err1 := m.Store(t.Context(), change)
	_, err2 := m.Expunge(t.Context(), []goimap.UID{7, 8}, false)
	_, err3 := m.Move(t.Context(), []goimap.UID{10, 11}, "Trash")
	_, err4 := s.Create(t.Context(), f.a, "gone", "")
	deliver(t, s, f.a, "gone", letter(1000))
	err5 := s.Delete(t.Context(), f.a, "gone")
	err6 := s.Change(t.Context(), RoomChange{Room: "r", Key: "k", Value: []byte("v")})
	if err := errors.Join(err1, err2, err3, err4, err5, err6); err != nil {
		t.Fatal(err)
	}
	f.truth = servedBy(s, f.a)
	m.Close()
	closeStore(t, s)
	for _, name := range []string{stateFile, derivedFile} {
		f.pages[name], f.size[name] = usedPages(t, filepath.Join(f.dir, name))
	}
	return f
}

// memoryDir is a folder whose flushes cost nothing: nothing here is about them.
func memoryDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp(memoryFolder(), "mailstead")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// usedPages are the pages of a bbolt file that are in use, by their kind, and their size.
func usedPages(t *testing.T, path string) (kinds map[string][]int, size int) {
	t.Helper()
	o := databaseOptions(true)
	o.PreLoadFreelist = true
	db, err := bbolt.Open(path, 0o600, o)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	kinds = make(map[string][]int)
	err = db.View(func(tx *bbolt.Tx) error {
		for id := 0; ; id++ {
			page, err := tx.Page(id)
			if err != nil || page == nil {
				return err
			}
			if page.Type != "free" {
				kinds[page.Type] = append(kinds[page.Type], id)
			}
			id += page.OverflowCount
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return kinds, db.Info().PageSize
}

// servedBy is all that a store serves of an account, with the error of what it does not.
func servedBy(s *Store, a AccountID) map[string]string {
	got := make(map[string]string)
	for _, name := range []string{"INBOX", "Sent", "Trash", "gone"} {
		m, err := s.OpenMailbox(context.Background(), a, name)
		if err != nil {
			got[name] = fmt.Sprint("refused: ", err)
			continue
		}
		list := rows(m)
		var states strings.Builder
		for _, r := range list {
			fmt.Fprintln(&states, r.Message)
			got[fmt.Sprintf("%s %d", name, r.UID)] = bodyServed(s, r.Body)
		}
		got[name] = states.String()
		msgs := make([]Message, len(list))
		for i := range list {
			msgs[i] = list[i].Message
		}
		err = s.Indexes(msgs, func(i int, v message.View) error {
			got[fmt.Sprintf("%s %d index", name, msgs[i].UID)] = fmt.Sprintf("%d %s %s", v.Size(), v.Envelope(), v.BodyStructure())
			return nil
		})
		if err != nil {
			got[name+" indexes"] = fmt.Sprint("refused: ", err)
		}
		m.Close()
	}
	v, ok, err := s.Room("r").Get("k")
	if got["room"] = fmt.Sprintf("%s %v", v, ok); err != nil {
		got["room"] = fmt.Sprint("refused: ", err)
	}
	return got
}

func bodyServed(s *Store, id BodyID) string {
	b, err := s.OpenBody(id)
	if err != nil {
		return fmt.Sprint("refused: ", err)
	}
	defer b.Close()
	var out strings.Builder
	if _, err := b.WriteTo(&out); err != nil {
		return fmt.Sprint("refused: ", err)
	}
	return out.String()
}

// flips is what happens to one database.
type flips struct {
	file, kind string
	n          int
	overflow   bool // in what says over how many pages more a page goes on: the start sees it
}

// flip flips bits of pages of a kind.
func (f *flipDatabases) flip(t *testing.T, rng *rand.Rand, dir string, c flips) {
	t.Helper()
	path := filepath.Join(dir, c.file)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	pages, size := f.pages[c.file][c.kind], f.size[c.file]
	for range c.n {
		at := pages[rng.IntN(len(pages))] * size
		if c.overflow {
			at += 12 + rng.IntN(4)
		} else if rng.IntN(2) == 0 { // the head of the page, and what says where its keys are
			at += rng.IntN(128)
		} else {
			at += rng.IntN(size)
		}
		data[at] ^= 1 << rng.IntN(8)
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// noticing is a store that may find that it is damaged.
type noticing struct {
	*Store
	mu    sync.Mutex
	words []string // of the log at warning and above, and what Fatal was told
	fatal bool
}

func (n *noticing) Write(p []byte) (int, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.words = append(n.words, string(p))
	return len(p), nil
}

func (n *noticing) told(err error) {
	fmt.Fprintln(n, err)
	n.mu.Lock()
	defer n.mu.Unlock()
	n.fatal = true
}

// noticed reports whether anything was said, or is left for the next start.
func (n *noticing) noticed() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.words) > 0 || marked(n.dir)
}

// leave closes the store; where it ended by itself, as far as that goes.
func (n *noticing) leave() error {
	n.mu.Lock()
	fatal := n.fatal
	n.mu.Unlock()
	if !fatal {
		return n.Close()
	}
	n.seq.Lock()
	n.closed = true
	n.seq.Unlock()
	close(n.applier.stop)
	n.cleaner.cancel()
	n.search.cancel()
	if n.disk.state.stuck.Load() || n.disk.derived.stuck.Load() {
		return n.lock.Close() // what works in the background waits for ever
	}
	n.search.work.Wait()
	n.applier.work.Wait()
	return n.closeFiles()
}

// difference returns what got has that is not true, but for what is refused.
func difference(truth, got map[string]string) string {
	keys := maps.Clone(truth)
	maps.Copy(keys, got)
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		want, have := truth[key], got[key]
		if want != have && !strings.HasPrefix(have, "refused: ") {
			return fmt.Sprintf("%s: %.300q, not %.300q", key, have, want)
		}
	}
	return ""
}

// wrong returns a message, or what is known of one, that is served with other content.
func wrong(truth, got map[string]string) string {
	for key, have := range got {
		if want, ok := truth[key]; ok && strings.Contains(key, " ") && want != have && !strings.HasPrefix(have, "refused: ") {
			return fmt.Sprintf("%s is served as %.300q, not %.300q", key, have, want)
		}
	}
	return ""
}

// try opens the store with flipped bits, looks at all of it, verifies it, and starts it
// once more. It returns whether anything was noticed.
func (f *flipDatabases) try(t *testing.T, seed uint64, c flips) (noticed bool) {
	rng := rand.New(rand.NewPCG(seed, 11))
	dir := memoryDir(t)
	if err := copyFolder(dir, f.dir); err != nil {
		t.Fatal(err)
	}
	f.flip(t, rng, dir, c)
	n, err := f.open(t, dir)
	if err != nil {
		t.Fatalf("the store does not open: %v", err)
	}
	if c.overflow && !n.noticed() {
		t.Error("the start did not notice")
	}
	got := servedBy(n.Store, f.a)
	if what := wrong(f.truth, got); what != "" {
		t.Error(what)
	}
	if noticed = n.noticed(); !noticed {
		v, err := n.Verify(context.Background(), VerifyOptions{})
		noticed = err != nil || len(v.Findings) > 0 || n.noticed()
	}
	if what := difference(f.truth, got); what != "" && !noticed {
		t.Errorf("nobody noticed: %s", what)
	}
	words := n.words
	if err := n.leave(); err != nil {
		words = append(words, err.Error())
	}
	again := memoryDir(t) // the next process: no lock of this one is left
	if err := copyFolder(again, dir); err != nil {
		t.Fatal(err)
	}
	next, err := f.open(t, again)
	if err != nil {
		t.Fatalf("the next start: %v, after %q", err, words)
	}
	got = servedBy(next.Store, f.a)
	for key, want := range f.truth {
		if have := got[key]; have != want {
			t.Errorf("after the next start %s: %.300q, not %.300q; before %q", key, have, want, words)
			break
		}
	}
	err = nil
	if c.file == stateFile { // a key that is not found is only an index that is made again
		err = next.Check()
	}
	if err := errors.Join(err, next.leave()); err != nil {
		t.Errorf("%v; before %q", err, words)
	}
	return noticed
}

func (f *flipDatabases) open(t *testing.T, dir string) (*noticing, error) {
	n := &noticing{}
	o := testOptions(t)
	o.Logger, o.Fatal = slog.New(slog.NewTextHandler(n, &slog.HandlerOptions{Level: slog.LevelWarn})), n.told
	if err := os.Remove(filepath.Join(dir, "lock")); err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	s, err := Open(dir, o)
	if err != nil {
		return nil, err
	}
	n.Store = s
	quietSearch(s)
	return n, nil
}

// TestDatabaseFlippedBits flips bits in pages of state.db and derived.db. No message is
// ever served with another content; what is missing, or of other flags, is noticed, by
// the start, by who reads it or by Verify; and the next start has everything again.
// More of it: MAILSTEAD_FLIPS.
func TestDatabaseFlippedBits(t *testing.T) {
	f := newFlipDatabases(t)
	if f.try(t, 0, flips{file: stateFile, kind: "leaf"}) {
		t.Error("something was noticed without a flip")
	}
	counts := make(map[flips][2]int)
	trials := uint64(number("MAILSTEAD_FLIPS", trialsOf(20, 3)))
	for seed := range 1 + trials/10 {
		c := flips{file: []string{stateFile, derivedFile}[seed%2], kind: "leaf", n: 1, overflow: true}
		t.Run(fmt.Sprintf("%d, what %s of %s goes on over", seed, c.kind, c.file), func(t *testing.T) { f.try(t, seed, c) })
	}
	for seed := range trials {
		rng := rand.New(rand.NewPCG(seed, 12))
		c := flips{file: []string{stateFile, stateFile, derivedFile}[rng.IntN(3)], n: []int{1, 1, 2, 8, 64}[rng.IntN(5)]}
		kinds := slices.Sorted(maps.Keys(f.pages[c.file]))
		c.kind = kinds[rng.IntN(len(kinds))]
		t.Run(fmt.Sprintf("%d, %d in %s of %s", seed, c.n, c.kind, c.file), func(t *testing.T) {
			count := counts[flips{file: c.file, kind: c.kind}]
			count[0]++
			if f.try(t, seed, c) {
				count[1]++
			}
			counts[flips{file: c.file, kind: c.kind}] = count
		})
	}
	seen := 0
	for c, count := range counts {
		t.Logf("%s of %s: %d noticed of %d", c.kind, c.file, count[1], count[0])
		seen += count[1]
	}
	if seen == 0 {
		t.Error("no flip was noticed, so nothing is proved")
	}
}
