//go:build linux

package mailbox

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"mailstead/mailbox/log"
	"mailstead/mailbox/message"
)

// A disk that others use, too, changes its speed within a minute, so store and raw
// program take short turns: rawTurns of rawSegments each, every one of the store's
// between two of the raw program's. A turn takes about a second: in a shorter one
// what the databases still owe at its end would be more than it ever is.
const (
	rawTurns    = 8
	rawSegments = 24
)

// BenchmarkBesideRaw has the store deliver messages that are indexed already,
// and then a program without any idea of mail do the same to the same disk:
// write the bytes of the log in the same groups, with an fdatasync after each,
// while it writes the same zeros ahead, and as many bytes as the store's databases
// and checkpoints took into one flat file. A turn of the store ends when its databases have all that the
// turn brought, and a checkpoint that was begun meanwhile is made. "%raw" is the store's rate in percent of the raw program's, each turn's beside
// the mean of the raw ones before and behind it: the median of all turns, with the quarter below and above
// it; -benchtime 3x makes three times as many turns. "%bare" is
// it beside a raw program that writes the log and its zeros only. "%idle" is how much of the store's time
// passed between a flush of the log and the next write to it.
func BenchmarkBesideRaw(b *testing.B) {
	for _, c := range []rawCase{{1, 2000, 1 << 20}, {1, 16000, 4 << 20}, {16, 16000, 16 << 20}, {64, 16000, 16 << 20}, {64, 2000, 8 << 20}} {
		b.Run(fmt.Sprintf("writers=%d/bytes=%d", c.writers, c.size), func(b *testing.B) {
			var f rawFigures
			for b.Loop() {
				f.take(b, c)
			}
			slices.Sort(f.share)
			n := len(f.share)
			b.ReportMetric(f.share[n/2], "%raw")
			b.ReportMetric(f.share[n/4], "%raw-quarter")
			b.ReportMetric(f.share[n-1-n/4], "%raw-3quarters")
			b.ReportMetric(median(f.bare), "%bare")
			b.ReportMetric(median(f.idle), "%idle")
			b.ReportMetric(median(f.group), "msg/group")
			b.ReportMetric(median(f.store), "msg/s")
			b.ReportMetric(median(f.raw), "raw-msg/s")
			b.ReportMetric(median(f.used), "µs-cpu/msg")
			b.ReportMetric(median(f.store)*float64(c.size)/1e6, "MB/s")
		})
	}
}

// rawFigures are those of all turns.
type rawFigures struct{ share, bare, store, raw, idle, group, used []float64 }

// take adds the turns of one store.
func (f *rawFigures) take(b *testing.B, c rawCase) {
	t := c.open(b, b.TempDir())
	defer t.close(b)
	run := t.turn(b, rawSegments) // warms up
	raw := replay(b, b.TempDir(), run.segments, run.databases)
	for range rawTurns {
		run = t.turn(b, rawSegments)
		n := float64(run.messages)
		after := replay(b, b.TempDir(), run.segments, run.databases)
		bare := replay(b, b.TempDir(), run.segments, 0)
		f.share = append(f.share, 50*(raw+after).Seconds()/run.took.Seconds())
		f.bare = append(f.bare, 100*bare.Seconds()/run.took.Seconds())
		f.store, f.raw = append(f.store, run.rate()), append(f.raw, n/after.Seconds())
		f.idle = append(f.idle, 100*run.idle.Seconds()/run.took.Seconds())
		f.group = append(f.group, n/float64(run.syncs))
		f.used = append(f.used, float64(run.used.Microseconds())/n)
		raw = after
	}
}

// BenchmarkDevice counts what the device does for a message: flushes and bytes
// written, on an ext4 of its own on a loop device, so that no neighbour is
// counted. It needs root. Everything is in it: zeros, databases, checkpoints.
func BenchmarkDevice(b *testing.B) {
	for _, c := range []rawCase{{1, 2000, 4 << 20}, {1, 16000, 0}, {64, 16000, 0}} {
		b.Run(fmt.Sprintf("writers=%d/bytes=%d", c.writers, c.size), func(b *testing.B) {
			var flushes, written, calls float64
			for b.Loop() {
				d := newLoopDevice(b)
				run := c.deliver(b, d.dir, 4)
				n := float64(run.messages)
				flushes, written, calls = run.flushes/n, run.written/(n*float64(c.size)), float64(run.syncs)/n
				d.remove(b)
			}
			b.ReportMetric(flushes, "device-flushes/msg")
			b.ReportMetric(written, "device-bytes/byte")
			b.ReportMetric(calls, "log-fdatasyncs/msg")
		})
	}
}

// rawCase is a load: so many writers, bodies of so many bytes, and where a run
// would take minutes, smaller segments than a store has; 0 = those.
type rawCase struct {
	writers, size int
	segment       int64
}

// rawRun is what became of it.
type rawRun struct {
	messages         int
	took             time.Duration
	used             time.Duration // of the processor, by the whole process
	idle             time.Duration // of it, in which the log was neither written nor flushed
	syncs            int64         // fdatasyncs of records
	flushes, written float64
	databases        int64 // bytes that were written beside the log
	segments         []tracedSegment
}

func (r *rawRun) rate() float64 { return float64(r.messages) / r.took.Seconds() }

// rawStore is a store under that load.
type rawStore struct {
	rawCase
	s       *Store
	fs      *tracingFS
	targets []Target
	ready   *indexedLetter
	dir     string
	between bool // turns: s.disk.copying is held
}

func (c rawCase) open(b *testing.B, dir string) *rawStore {
	b.Helper()
	fs := &tracingFS{FS: log.OS(), files: make(map[string]*tracedFile), began: time.Now()}
	s, err := Open(filepath.Join(dir, "store"), Options{FS: fs, SegmentSize: c.segment, Logger: testOptions(b).Logger})
	if err != nil {
		b.Fatal(err)
	}
	return &rawStore{c, s, fs, []Target{{Account: newAccount(b, s), Name: "INBOX"}}, newIndexedLetter(b, c.size), dir, false}
}

func (t *rawStore) close(b *testing.B) {
	if t.between {
		t.s.disk.copying.Unlock()
	}
	closeStore(b, t.s)
}

// deliver fills so many segments of a new store.
func (c rawCase) deliver(b *testing.B, dir string, segments int) rawRun {
	b.Helper()
	t := c.open(b, dir)
	defer t.close(b)
	return t.turn(b, segments)
}

// turn fills so many segments more, beginning with a new one while two are prepared. Between
// turns the store rests, so that the raw program has the disk: what the databases owe the turn is part of it.
func (t *rawStore) turn(b *testing.B, segments int) rawRun {
	b.Helper()
	s, fs := t.s, t.fs
	if err := s.log.Seal(); err != nil {
		b.Fatal(err)
	}
	t.restart()
	fs.await(2)
	if t.between {
		s.disk.copying.Unlock()
	}
	t.between = true
	run := rawRun{messages: int(int64(segments) * s.log.SegmentSize() / log.RecordSize(bodyMeta, int64(t.size)))}
	warmPages(b)
	before, used, wrote := countDevice(t.dir), processorTime(), bytesWritten(b)
	fs.begin()
	began := time.Now()
	fs.idle.Store(0)
	fs.ended.Store(int64(began.Sub(fs.began)))
	atOnce(b, t.writers, run.messages, func() error {
		_, err := s.Deliver(b.Context(), t.ready.body(s), t.targets, nil)
		return err
	})
	run.idle = time.Duration(fs.idle.Load())
	if err := s.apply(); err != nil {
		b.Fatal(err)
	}
	s.disk.copying.Lock() // waits for a checkpoint under way, and keeps the next one for the next turn
	run.took, run.used = time.Since(began), processorTime()-used
	wrote = bytesWritten(b) - wrote - fs.bytes.Load()
	run.syncs = fs.groups.Load()
	after := countDevice(t.dir)
	run.flushes, run.written = after.flushes-before.flushes, after.bytes-before.bytes
	run.segments = fs.trace()
	run.databases = wrote
	s.search.cancel() // it would work on beside the raw program
	s.search.work.Wait()
	fs.await(2) // so would what prepares segments
	return run
}

// restart has the search index follow again.
func (t *rawStore) restart() {
	s := t.s
	s.search.cancel()
	s.search.work.Wait()
	ctx, cancel := context.WithCancel(context.Background())
	s.search.cancel = cancel
	s.search.work.Go(func() { s.runSearch(ctx) })
}

// indexedLetter is a message behind the indexer: what Deliver finds.
type indexedLetter struct {
	text   []byte
	index  *message.Index
	stored []byte
}

func newIndexedLetter(b testing.TB, size int) *indexedLetter {
	b.Helper()
	l := &indexedLetter{text: largeLetter(size)}
	x := new(message.Indexer)
	x.Reset()
	x.Write(l.text)
	l.index = x.Finish()
	l.stored = storedIndex(l.index)
	if slices.Contains(bufferSizes[:], cap(l.text)) {
		b.Fatalf("a body of %d bytes would be taken for a pooled buffer", size)
	}
	return l
}

func (l *indexedLetter) body(s *Store) *NewBody {
	x := indexers.Get().(*message.Indexer)
	stored := append(make([]byte, 0, cap(l.stored)), l.stored...) // the store's from here on
	return &NewBody{s: s, id: BodyID(s.lastBody.Add(1)), buf: l.text, size: int64(len(l.text)), indexer: x, index: l.index, stored: stored}
}

// tracingFS notes what is written to segments of the log.
type tracingFS struct {
	log.FS
	groups atomic.Int64 // flushed
	bytes  atomic.Int64 // written to segments, zeros among them
	idle   atomic.Int64 // nanoseconds in which none was written or flushed, since the last
	ended  atomic.Int64 // when that was: nanoseconds since began
	began  time.Time

	mu    sync.Mutex
	files map[string]*tracedFile // by name
}

// tracedSegment is what was done to one segment.
type tracedSegment struct {
	name   string
	length int64 // of the file, in bytes
	zeroed int64 // bytes, before it had its name
	groups []tracedWrite
}

// tracedWrite is one write with an fdatasync behind it.
type tracedWrite struct{ off, n int64 }

// tracedFile is a segment that is written.
type tracedFile struct {
	log.File
	fs    *tracingFS
	named bool
	used  bool // before the turn
	tracedSegment
}

func (t *tracingFS) Create(name string) (log.File, error) {
	f, err := t.FS.Create(name)
	if err != nil {
		return nil, err
	}
	file := &tracedFile{File: f, fs: t}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.files[name] = file
	return file, nil
}

// Rename makes a prepared file a segment.
func (t *tracingFS) Rename(from, to string) error {
	err := t.FS.Rename(from, to)
	t.mu.Lock()
	defer t.mu.Unlock()
	if f := t.files[from]; f != nil && err == nil {
		delete(t.files, from)
		t.files[to] = f
		f.named, f.name = strings.HasSuffix(to, ".seg"), to
	}
	return err
}

func (f *tracedFile) Writev(bufs [][]byte, off int64) error {
	var n int64
	for _, p := range bufs {
		n += int64(len(p))
	}
	f.fs.bytes.Add(n)
	f.fs.mu.Lock()
	if f.named {
		f.groups = append(f.groups, tracedWrite{off, n})
		f.fs.groups.Add(1)
		f.fs.idle.Add(int64(time.Since(f.fs.began)) - f.fs.ended.Load())
	} else {
		f.zeroed += n
	}
	f.fs.mu.Unlock()
	return f.File.Writev(bufs, off)
}

func (f *tracedFile) Datasync() error {
	err := f.File.Datasync()
	f.fs.ended.Store(int64(time.Since(f.fs.began)))
	return err
}

func (f *tracedFile) Allocate(size int64) error {
	f.length = size
	return f.File.Allocate(size)
}

// trace returns the segments with records in their order.
func (t *tracingFS) trace() (list []tracedSegment) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, f := range t.files {
		if f.named && len(f.groups) > 0 {
			list = append(list, f.tracedSegment)
		}
	}
	slices.SortFunc(list, func(a, b tracedSegment) int { return cmp.Compare(a.name, b.name) })
	return list
}

// begin forgets what was written so far.
func (t *tracingFS) begin() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, f := range t.files {
		f.used = f.used || len(f.groups) > 0
		f.groups = nil
	}
	t.groups.Store(0)
	t.bytes.Store(0)
}

// await waits until so many segments are ready: how a server runs.
func (t *tracingFS) await(n int) {
	for {
		t.mu.Lock()
		ready := 0
		for _, f := range t.files {
			if f.named && !f.used && len(f.groups) == 0 {
				ready++
			}
		}
		t.mu.Unlock()
		if ready >= n {
			return
		}
		time.Sleep(time.Millisecond)
	}
}

// bytesWritten is how many bytes this process has written, to whatever it was.
func bytesWritten(b *testing.B) int64 {
	b.Helper()
	text, err := os.ReadFile("/proc/self/io")
	if err != nil {
		b.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if n, ok := strings.CutPrefix(line, "wchar: "); ok {
			written, err := strconv.ParseInt(strings.TrimSpace(n), 10, 64)
			if err != nil {
				b.Fatal(err)
			}
			return written
		}
	}
	b.Fatal("the kernel does not count what is written")
	return 0
}

// warmPages leaves the kernel with free memory that it has had in use before: as much as a turn takes for its
// files. What a virtual machine gets from its host anew costs more than all else that is done with it. The file
// is in a folder of its own: a device whose bytes are counted does not see it.
func warmPages(b *testing.B) {
	b.Helper()
	name := filepath.Join(b.TempDir(), "warm")
	f, err := os.Create(name)
	if err != nil {
		b.Fatal(err)
	}
	for range warmBytes / len(rawZeros) {
		if _, err := f.Write(rawZeros[:]); err != nil {
			b.Fatal(err)
		}
	}
	if err := errors.Join(f.Close(), os.Remove(name)); err != nil {
		b.Fatal(err)
	}
}

// warmBytes is more than any turn writes.
const warmBytes = 768 << 20

// replay is the raw program. It prepares segments, two ahead, with zeros where
// the store had them, and writes and flushes what the store wrote and flushed. Beside that it
// brings the bytes of the databases to a file, with one flush for each segment.
func replay(b *testing.B, dir string, segments []tracedSegment, databases int64) time.Duration {
	b.Helper()
	var longest int64
	for i := range segments {
		for _, w := range segments[i].groups {
			longest = max(longest, w.n)
		}
	}
	record := make([]byte, longest)
	for i := range record {
		record[i] = byte(i * 7)
	}
	const ahead = 2 // as the store has: the next one is begun when one is taken, also behind the last
	prepared, begin := make(chan rawSegment, ahead), make(chan struct{}, len(segments)+ahead)
	var preparing sync.WaitGroup
	preparing.Go(func() {
		for i := 0; ; i++ {
			if _, more := <-begin; !more {
				return
			}
			prepared <- prepareRaw(filepath.Join(dir, strconv.Itoa(i)), &segments[i%len(segments)])
		}
	})
	for range ahead {
		begin <- struct{}{}
	}
	for len(prepared) < ahead {
		time.Sleep(time.Millisecond)
	}
	full := make(chan struct{}, len(segments))
	kept := make(chan error)
	go func() {
		kept <- writeRawDatabases(filepath.Join(dir, "databases"), full, databases/int64(len(segments)))
	}()
	warmPages(b)
	began := time.Now()
	for i := range segments {
		s := <-prepared
		begin <- struct{}{}
		for _, w := range segments[i].groups {
			s.err = errors.Join(s.err, writeRaw(s.f, record[:w.n], w.off))
			if s.err != nil {
				b.Fatal(s.err)
			}
		}
		s.f.Close()
		full <- struct{}{}
	}
	close(full)
	if err := <-kept; err != nil {
		b.Fatal(err)
	}
	took := time.Since(began)
	close(begin)
	for range ahead {
		(<-prepared).f.Close()
	}
	preparing.Wait()
	return took
}

// writeRawDatabases appends n bytes for each segment that is full.
func writeRawDatabases(name string, full <-chan struct{}, n int64) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	defer f.Close()
	part := make([]byte, n)
	for off := int64(0); ; off += n {
		if _, more := <-full; !more {
			return nil
		}
		if n > 0 {
			err = errors.Join(err, writeRaw(f, part, off))
		}
		if err != nil {
			return err
		}
	}
}

type rawSegment struct {
	f   *os.File
	err error
}

// writeRaw writes and flushes.
func writeRaw(f *os.File, p []byte, off int64) error {
	if _, err := f.WriteAt(p, off); err != nil {
		return err
	}
	return unix.Fdatasync(int(f.Fd()))
}

// rawZeros is never written, so that all of it is one page of memory, as the store's zeros are.
var rawZeros [1 << 20]byte

// prepareRaw makes a file ready as the store did: space, then zeros in steps of 1 MB
// that are handed to the device, and one sync.
func prepareRaw(name string, s *tracedSegment) rawSegment {
	f, err := os.Create(name)
	if err != nil {
		return rawSegment{err: err}
	}
	const step = int64(len(rawZeros))
	if err := unix.Fallocate(int(f.Fd()), 0, 0, s.length); err != nil {
		return rawSegment{f, err}
	}
	const reach = unix.SYNC_FILE_RANGE_WAIT_BEFORE | unix.SYNC_FILE_RANGE_WRITE | unix.SYNC_FILE_RANGE_WAIT_AFTER
	for off := int64(0); off < s.zeroed; off += step {
		if _, err := f.WriteAt(rawZeros[:], off); err != nil {
			return rawSegment{f, err}
		}
		if err := unix.SyncFileRange(int(f.Fd()), off, step, reach); err != nil {
			return rawSegment{f, err}
		}
	}
	return rawSegment{f, f.Sync()}
}

// loopDevice is an ext4 on a device of its own.
type loopDevice struct{ device, dir string }

const loopBytes = 1 << 30

// newLoopDevice makes a loop device with a file system, or skips.
func newLoopDevice(b *testing.B) loopDevice {
	b.Helper()
	if os.Geteuid() != 0 {
		b.Skip("a loop device needs root")
	}
	dir := b.TempDir()
	d := loopDevice{dir: filepath.Join(dir, "mounted")}
	image := filepath.Join(dir, "image")
	if err := errors.Join(os.Mkdir(d.dir, 0o700), os.WriteFile(image, nil, 0o600), os.Truncate(image, loopBytes)); err != nil {
		b.Fatal(err)
	}
	out, err := exec.Command("losetup", "--find", "--show", image).Output()
	if err != nil {
		b.Skipf("no loop device here: %v", err)
	}
	d.device = strings.TrimSpace(string(out))
	for _, command := range [][]string{{"mkfs.ext4", "-q", "-E", "lazy_itable_init=0,lazy_journal_init=0", d.device}, {"mount", d.device, d.dir}} {
		if out, err := exec.Command(command[0], command[1:]...).CombinedOutput(); err != nil {
			d.remove(b)
			b.Skipf("%s: %v: %s", command[0], err, out)
		}
	}
	return d
}

// remove unmounts and gives the device back.
func (d loopDevice) remove(b *testing.B) {
	b.Helper()
	exec.Command("umount", d.dir).Run() // may not be mounted
	if out, err := exec.Command("losetup", "--detach", d.device).CombinedOutput(); err != nil {
		b.Errorf("losetup --detach %s: %v: %s", d.device, err, out)
	}
}
