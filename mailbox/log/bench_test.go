package log

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"
)

const benchBody = 2 << 10

// countingFS counts the calls that reach segment files and names.
type countingFS struct {
	FS
	calls, flushes atomic.Int64
}

type countingFile struct {
	File
	fs *countingFS
}

func (c *countingFS) Create(name string) (File, error) {
	f, err := c.FS.Create(name)
	return &countingFile{f, c}, err
}

func (c *countingFS) Open(name string, write bool) (File, error) {
	f, err := c.FS.Open(name, write)
	return &countingFile{f, c}, err
}

func (f *countingFile) Writev(bufs [][]byte, off int64) error {
	f.fs.calls.Add(1)
	return f.File.Writev(bufs, off)
}

func (f *countingFile) Datasync() error {
	f.fs.calls.Add(1)
	f.fs.flushes.Add(1)
	return f.File.Datasync()
}

// deviceCounts are the writes and flushes that the block device of dir has
// completed since the machine started, those of neighbours included.
func deviceCounts(dir string) (writes, flushes float64) {
	var st unix.Stat_t
	if unix.Stat(dir, &st) != nil {
		return 0, 0
	}
	b, _ := os.ReadFile(fmt.Sprintf("/sys/dev/block/%d:%d/stat", unix.Major(uint64(st.Dev)), unix.Minor(uint64(st.Dev))))
	f := strings.Fields(string(b))
	if len(f) < 16 { // no such device, or an old kernel
		return 0, 0
	}
	writes, _ = strconv.ParseFloat(f[4], 64)
	flushes, _ = strconv.ParseFloat(f[15], 64)
	return writes, flushes
}

// measure runs f and reports what the b.N records cost.
func measure(b *testing.B, dir string, fs *countingFS, f func()) {
	fs.calls.Store(0)
	fs.flushes.Store(0)
	writes, flushes := deviceCounts(dir)
	b.SetBytes(benchBody)
	b.ReportAllocs()
	b.ResetTimer()
	f()
	b.StopTimer()
	w, fl := deviceCounts(dir)
	n := float64(b.N)
	b.ReportMetric((w-writes)/n, "device-writes/op")
	b.ReportMetric((fl-flushes)/n, "device-flushes/op")
	b.ReportMetric(float64(fs.flushes.Load())/n, "fdatasyncs/op")
	b.ReportMetric(float64(fs.calls.Load())/n, "syscalls/op")
}

// spread runs f b.N times by n goroutines.
func spread(b *testing.B, n int, f func()) {
	var left atomic.Int64
	left.Store(int64(b.N))
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() {
			for left.Add(-1) >= 0 {
				f()
			}
		})
	}
	wg.Wait()
}

// BenchmarkAppend writes durable 2 KiB records; prepared is how a server
// runs, growing the same without zeros.
func BenchmarkAppend(b *testing.B) {
	for _, kind := range []string{"prepared", "growing"} {
		for _, n := range []int{1, 16, 64} {
			b.Run(fmt.Sprintf("%s/writers=%d", kind, n), func(b *testing.B) {
				dir := filepath.Join(b.TempDir(), "log")
				fs := &countingFS{FS: osFS{}}
				o := quiet(dir)
				o.SegmentSize, o.FS = 0, fs
				if kind == "growing" {
					o.FS = plainFS{fs}
				}
				l, _ := mustOpen(b, o, nil)
				body := content(1, benchBody)
				isPrepared(b, l) // that is not what is measured
				measure(b, dir, fs, func() {
					spread(b, n, func() {
						if err := put(l, &Entry{Kind: 1, Meta: body[:100], BodyID: 1, Body: body}); err != nil {
							b.Error(err)
						}
					})
				})
				mustClose(b, l)
			})
		}
	}
}

// plainFS says that zeros are of no use.
type plainFS struct{ *countingFS }

func (p plainFS) Space(dir string) (Space, error) {
	sp, err := p.countingFS.Space(dir)
	sp.CopyOnWrite = true
	return sp, err
}

// BenchmarkRaw is the floor: a loop of pwrite and fdatasync of the same bytes,
// one writer, over zeros and at a file's end.
func BenchmarkRaw(b *testing.B) {
	const zeroed = 32 << 20
	for _, kind := range []string{"prepared", "growing"} {
		b.Run(kind, func(b *testing.B) {
			dir := b.TempDir()
			fs := &countingFS{FS: osFS{}}
			f, err := fs.Create(filepath.Join(dir, "raw"))
			if err != nil {
				b.Fatal(err)
			}
			defer f.Close()
			if kind == "prepared" {
				if err := f.Writev([][]byte{make([]byte, zeroed)}, 0); err != nil {
					b.Fatal(err)
				}
				if err := f.Sync(); err != nil {
					b.Fatal(err)
				}
			}
			record := content(1, int(RecordSize(100, benchBody)))
			measure(b, dir, fs, func() {
				off := int64(0)
				for range b.N {
					if kind == "prepared" && off+int64(len(record)) > zeroed {
						off = 0
					}
					if err := errors.Join(f.Writev([][]byte{record}, off), f.Datasync()); err != nil {
						b.Fatal(err)
					}
					off += int64(len(record))
				}
			})
		})
	}
}

// BenchmarkBody opens and reads a stored body from the page cache.
func BenchmarkBody(b *testing.B) {
	l, _ := mustOpen(b, quiet(filepath.Join(b.TempDir(), "log")), nil)
	defer mustClose(b, l)
	e := letter(1, 16<<10)
	mustPut(b, l, e)
	buf := make([]byte, 16<<10)
	b.SetBytes(int64(len(buf)))
	b.ReportAllocs()
	for b.Loop() {
		body, err := l.Body(e.Place, 1)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := body.ReadAt(buf, 0); err != nil {
			b.Fatal(err)
		}
		body.Close()
	}
}
