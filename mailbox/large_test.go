package mailbox

import (
	"context"
	"flag"
	"fmt"
	"io/fs"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	goimap "github.com/emersion/go-imap/v2"
)

// The large store. Small forms of both tests are part of every run of all
// tests; make bench-large gives the sizes, and docs/PERFORMANCE.md the figures.
var (
	largeMessages = flag.Int("large.messages", 3000, "messages of TestLargeMailbox")
	largeMB       = flag.Int("large.mb", 40, "mail in TestLargeCorpus, in 10^6 bytes")
	largeSeconds  = flag.Float64("large.seconds", 0.2, "how long TestLargeCorpus delivers at full load, with and without cleaning")
	largePairs    = flag.Int("large.pairs", 2, "how many times TestLargeCorpus does each of both")
	largeCold     = flag.Bool("large.cold", false, "also start with the page cache of the whole machine dropped (needs root)")
	largeRest     = flag.Duration("large.rest", 0, "how long a started store rests before its memory is looked at")
	largeDir      = flag.String("large.dir", "", "folder for both; empty = a temporary one")
)

// small says that what an empty store has is much of what there is: segments
// are smaller then, and the databases are not counted.
func small() bool { return *largeMB < 1000 && *largeMessages < 100_000 }

// smallSegment is the size of segments in the small form, in bytes.
const smallSegment = 1 << 20

func openLarge(t *testing.T) (*Store, []Target) {
	t.Helper()
	dir := *largeDir
	if dir == "" {
		dir = t.TempDir()
	} else {
		var err error
		if dir, err = os.MkdirTemp(dir, "large"); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { os.RemoveAll(dir) })
	}
	s := openAgain(t, filepath.Join(dir, "store"))
	return s, []Target{{Account: newAccount(t, s), Name: "INBOX"}}
}

// largeOptions keep nothing that was deleted, and clean when they are told to.
func largeOptions() Options {
	o := Options{Retention: -1, CleanEvery: time.Hour}
	if small() {
		o.SegmentSize = smallSegment
	}
	return o
}

func openAgain(t *testing.T, dir string) *Store {
	t.Helper()
	o := largeOptions()
	o.Logger = testOptions(t).Logger
	s, err := Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// window is how many deliveries each of the filling goroutines has on its way.
const window = 32

// fill delivers what next returns until it returns nil.
func fill(t *testing.T, s *Store, targets []Target, next func() []byte) {
	t.Helper()
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			var under []*Delivery
			for text := next(); text != nil; text = next() {
				body := s.NewBody()
				body.Write(text)
				d, err := s.StartDelivery(t.Context(), body, targets)
				if err != nil {
					t.Error(err)
					return
				}
				if under = append(under, d); len(under) == window {
					under = waitFor(t, under, window/2)
				}
			}
			waitFor(t, under, len(under))
		})
	}
	wg.Wait()
	if t.Failed() {
		t.FailNow()
	}
}

// waitFor waits for the first n and returns the others.
func waitFor(t *testing.T, under []*Delivery, n int) []*Delivery {
	for _, d := range under[:n] {
		if err := d.Wait(); err != nil {
			t.Error(err)
		}
	}
	return append(under[:0], under[n:]...)
}

// largeProbe is how many deliveries a point of the curve is measured with.
const largeProbe = 1000

// TestLargeMailbox fills one mailbox. At 1,000, 10,000 ... messages it says
// what one more delivery costs; in the end, how fast a new process has the
// store and the mailbox open, in how much memory, and how long a start takes
// that has to make state.db again.
func TestLargeMailbox(t *testing.T) {
	s, targets := openLarge(t)
	m := open(t, s, targets[0].Account, "INBOX")
	text := largeLetter(1000)
	have := 0
	for mark := 1000; have < *largeMessages; mark *= 10 {
		mark = min(mark, *largeMessages)
		var left atomic.Int64
		left.Store(int64(mark - have - largeProbe))
		fill(t, s, targets, func() []byte {
			if left.Add(-1) < 0 {
				return nil
			}
			return text
		})
		commit(t, s)
		have = int(m.View(false).Len())
		cost := probe(t, s, targets, min(largeProbe, *largeMessages-have))
		have = int(m.View(false).Len())
		t.Logf("at %7d messages, a delivery: one after the other %4.0f µs (median %4.0f), 16 writers %4.0f µs, processor %4.0f µs",
			have, cost.mean, cost.median, cost.together, cost.processor)
	}
	m.Close()
	closeStore(t, s)
	t.Logf("disk: %s", diskUse(t, s.dir))
	for _, how := range []string{"in the page cache", "from the disk"} {
		if how == "from the disk" && !dropCaches(t) {
			continue
		}
		r := startChild(t, s.dir, targets[0].Account)
		t.Logf("%s: start %v, INBOX open %v; memory of the process %.1f MB, with the mailbox open %.1f MB (%.1f bytes a message)", how,
			r.Start, r.Open, float64(r.Idle)/1e6, float64(r.Loaded)/1e6, float64(r.Loaded-r.Idle)/float64(have))
		if r.Messages != have {
			t.Errorf("%d of %d messages are there", r.Messages, have)
		}
	}
	if err := os.Remove(filepath.Join(s.dir, stateFile)); err != nil {
		t.Fatal(err)
	}
	r := startChild(t, s.dir, targets[0].Account)
	t.Logf("without state.db: start %v, INBOX open %v", r.Start, r.Open)
	if r.Messages != have {
		t.Errorf("%d of %d messages are there after a rebuild", r.Messages, have)
	}
}

// deliveryCost is what a delivery costs, in µs; the applier's work is in processor.
type deliveryCost struct{ mean, median, together, processor float64 }

func probe(t *testing.T, s *Store, targets []Target, n int) (c deliveryCost) {
	t.Helper()
	text := largeLetter(1000)
	one := func() error {
		body := s.NewBody()
		body.Write(text)
		_, err := s.Deliver(context.Background(), body, targets, nil)
		return err
	}
	var each []float64
	before := processorTime()
	began := time.Now()
	for range n / 2 {
		at := time.Now()
		if err := one(); err != nil {
			t.Fatal(err)
		}
		each = append(each, time.Since(at).Seconds()*1e6)
	}
	c.mean, c.median = time.Since(began).Seconds()*1e6/float64(n/2), median(each)
	began = time.Now()
	atOnce(t, 16, n-n/2, one)
	c.together = time.Since(began).Seconds() * 1e6 / float64(n-n/2)
	commit(t, s)
	c.processor = (processorTime() - before).Seconds() * 1e6 / float64(n)
	return c
}

// processorTime is what this process has used.
func processorTime() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// largeUse is what the parts of a store take on the disk, in bytes.
type largeUse struct {
	log, big, state, derived, checkpoints int64
}

func (u largeUse) sum() int64 { return u.log + u.big + u.state + u.derived + u.checkpoints }

func (u largeUse) String() string {
	mb := func(n int64) float64 { return float64(n) / 1e6 }
	return fmt.Sprintf("%.1f MB (log %.1f, large bodies %.1f, state.db %.1f, derived.db %.1f, checkpoints %.1f)",
		mb(u.sum()), mb(u.log), mb(u.big), mb(u.state), mb(u.derived), mb(u.checkpoints))
}

// diskUse counts blocks, not lengths.
func diskUse(t *testing.T, dir string) (u largeUse) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		n := info.Sys().(*syscall.Stat_t).Blocks * 512
		switch name, _ := filepath.Rel(dir, path); {
		case strings.HasPrefix(name, logFolder+"/big/"):
			u.big += n
		case strings.HasPrefix(name, logFolder):
			u.log += n
		case strings.HasPrefix(name, checkpointFolder):
			u.checkpoints += n
		case name == derivedFile:
			u.derived += n
		default:
			u.state += n
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// largeMail is the corpus in no order, until there is so much of it.
type largeMail struct {
	letters [][]byte
	mu      sync.Mutex
	random  *rand.Rand
	most    int64
	size    int64
}

func (l *largeMail) next() []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.size >= l.most {
		return nil
	}
	text := l.letters[l.random.IntN(len(l.letters))]
	l.size += int64(len(text))
	return text
}

// TestLargeCorpus fills a store with mail of usual sizes, and holds what it
// takes on the disk against the mail: full, and after half of it, drawn at
// random, was deleted and cleaned away. In between it delivers at full load
// with and without cleaning.
func TestLargeCorpus(t *testing.T) {
	s, targets := openLarge(t)
	mail := &largeMail{letters: largeCorpus(), random: rand.New(rand.NewPCG(1, 2)), most: int64(*largeMB) * 1e6}
	began := time.Now()
	fill(t, s, targets, mail.next)
	commit(t, s)
	took := time.Since(began)
	m := open(t, s, targets[0].Account, "INBOX")
	n := m.View(false).Len()
	t.Logf("%d messages, %.0f MB, mean %.1f KB, in %.1f s: %.0f MB/s, %.0f messages/s", n, float64(mail.size)/1e6,
		float64(mail.size)/1e3/float64(n), took.Seconds(), float64(mail.size)/1e6/took.Seconds(), float64(n)/took.Seconds())
	m.Close()
	closeStore(t, s)
	if dropCaches(t) {
		r := startChild(t, s.dir, targets[0].Account)
		t.Logf("from the disk: start %v, INBOX open %v; memory of the process %.1f MB, with the mailbox open %.1f MB", r.Start, r.Open, float64(r.Idle)/1e6, float64(r.Loaded)/1e6)
	}

	s = openAgain(t, s.dir)
	m = open(t, s, targets[0].Account, "INBOX")
	holdUse(t, "full", s, m, 1.04)
	deleteHalf(t, s, m, 1, mail.random)
	last := m.View(false).UIDs()[m.View(false).Len()-1]
	measureCleaning(t, s, targets, mail)
	deleteHalf(t, s, m, last+1, mail.random)
	s.cleaner.mu.Lock()
	s.cleaner.rest = 0
	s.cleaner.mu.Unlock()
	began = time.Now()
	for range 3 { // what is moved waits for checkpoints, too
		afterADay(t, s)
		if err := s.clean(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("the rest cleaned in %.1f s", time.Since(began).Seconds())
	holdUse(t, "half deleted, cleaned", s, m, 1.15)
}

// afterADay makes the checkpoints that a day makes.
func afterADay(t *testing.T, s *Store) {
	t.Helper()
	for range checkpointsKept {
		if err := s.pass(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := s.disk.checkpoint(filepath.Join(s.dir, checkpointFolder)); err != nil {
			t.Fatal(err)
		}
	}
}

// deleteHalf expunges each second message from first on, as chance will have it.
func deleteHalf(t *testing.T, s *Store, m *Mailbox, first goimap.UID, random *rand.Rand) {
	t.Helper()
	var gone []goimap.UID
	for _, uid := range m.View(false).UIDs() {
		if uid >= first && random.IntN(2) == 0 {
			gone = append(gone, uid)
		}
	}
	began := time.Now()
	for part := range slices.Chunk(gone, 50_000) {
		if _, err := m.Expunge(t.Context(), part, false); err != nil {
			t.Fatal(err)
		}
	}
	expunged := time.Since(began)
	if err := s.PurgeAccount(t.Context(), m.box.account); err != nil { // what retention does when it is over
		t.Fatal(err)
	}
	commit(t, s)
	t.Logf("%d expunged in %v, purged in %v", len(gone), expunged.Round(time.Millisecond), (time.Since(began) - expunged).Round(time.Millisecond))
}

// holdUse says what the store takes, and holds it against share times what is alive.
func holdUse(t *testing.T, when string, s *Store, m *Mailbox, share float64) {
	t.Helper()
	info, err := m.Info()
	if err != nil {
		t.Fatal(err)
	}
	mail := float64(info.Size)
	u := diskUse(t, s.dir)
	spare := 2 * s.log.SegmentSize()
	t.Logf("%s: %s on the disk for %.1f MB of mail; without two segments (%.0f MB) and checkpoints %.4f of it, with them %.4f", when, u, mail/1e6,
		float64(spare)/1e6, float64(u.sum()-spare-u.checkpoints)/mail, float64(u.sum())/mail)
	most := int64(share*mail) + spare + u.checkpoints
	if small() {
		most += u.state + u.derived + 16*smallSegment + int64(mail/6) // a store that was not cleaned takes twice its mail
	}
	if u.sum() > most {
		t.Errorf("%s: the store takes %d bytes, which is more than %d", when, u.sum(), most)
	}
}

// measureCleaning delivers at full load, in turns with and without cleaning.
func measureCleaning(t *testing.T, s *Store, targets []Target, mail *largeMail) {
	t.Helper()
	var share, off, on []float64
	for i := range *largePairs {
		var without, with load
		for _, cleans := range []bool{i%2 == 1, i%2 == 0} { // a disk that gets slower favours neither
			if cleans {
				with = cleanUnderLoad(t, s, targets, mail)
			} else {
				without = fullLoad(t, s, targets, mail)
			}
		}
		t.Logf("delivery at full load: %v; while cleaning (%.0f %% of the time): %v", without, 100*with.cleaned, with)
		off, on, share = append(off, without.rate), append(on, with.rate), append(share, 100*with.rate/without.rate)
	}
	quotient := 100 * median(on) / median(off)
	slices.Sort(share)
	n := len(share)
	t.Logf("delivery while cleaning: %.0f %% of the rate without, by the medians of both; pairs %.0f %%, half of them between %.0f and %.0f, all between %.0f and %.0f",
		quotient, median(share), share[n/4], share[n-1-n/4], share[0], share[n-1])
}

// cleanUnderLoad is fullLoad with a round of cleaning meanwhile, which is called off at the end.
func cleanUnderLoad(t *testing.T, s *Store, targets []Target, mail *largeMail) load {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	began := time.Now()
	var cleaned time.Duration
	go func() {
		err := s.clean(ctx)
		cleaned = time.Since(began)
		done <- err
	}()
	l := fullLoad(t, s, targets, mail)
	took := time.Since(began)
	cancel()
	if err := <-done; err != nil && ctx.Err() == nil {
		t.Fatal(err)
	}
	l.cleaned = min(1, cleaned.Seconds()/took.Seconds())
	return l
}

// load is what went on at full load.
type load struct {
	rate    float64 // MB/s
	others  int     // records that were not deliveries
	written float64 // bytes that the device has written, of a byte of mail; others' are counted, too
	flushes float64 // of the device, a MB of mail; as above
	used    float64 // processor time, µs a message
	cleaned float64 // part of the time in which it was cleaned
}

func (l load) String() string {
	return fmt.Sprintf("%.0f MB/s (%.2f bytes written a byte, %.2f flushes a MB, %.0f µs of processor a message, %d records moved bodies or forgot them)",
		l.rate, l.written, l.flushes, l.used, l.others)
}

// fullLoad delivers with 16 writers for a while.
func fullLoad(t *testing.T, s *Store, targets []Target, mail *largeMail) (l load) {
	t.Helper()
	mail.most = math.MaxInt64
	before, first := mail.size, s.log.Last()
	device, used := countDevice(s.dir), processorTime()
	began := time.Now()
	end := began.Add(time.Duration(*largeSeconds * float64(time.Second)))
	var delivered atomic.Int64
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			for time.Now().Before(end) {
				body := s.NewBody()
				body.Write(mail.next())
				if _, err := s.Deliver(t.Context(), body, targets, nil); err != nil {
					t.Error(err)
					return
				}
				delivered.Add(1)
			}
		})
	}
	wg.Wait()
	size := float64(mail.size - before)
	l.rate = size / 1e6 / time.Since(began).Seconds()
	l.others = int(s.log.Last()-first) - int(delivered.Load())
	after := countDevice(s.dir)
	l.written = (after.bytes - device.bytes) / size
	l.flushes = (after.flushes - device.flushes) / (size / 1e6)
	l.used = float64((processorTime() - used).Microseconds()) / float64(delivered.Load())
	return l
}
