package mailbox

import (
	"encoding/binary"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"go.etcd.io/bbolt"
)

// cutMapping takes all pages but the first two away from a file that is
// mapped: touching them is a bus error, as it is where a disk fails.
func cutMapping(t *testing.T, path string, page int) {
	t.Helper()
	if err := os.Truncate(path, int64(2*page)); err != nil {
		t.Fatal(err)
	}
}

// marked reports whether the next start will check the databases of dir.
func marked(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, startingFile))
	return err == nil
}

// TestMapFault has every kind of transaction meet a page that is not there.
func TestMapFault(t *testing.T) {
	walk := func(tx *bbolt.Tx) error {
		return tx.ForEach(func(_ []byte, b *bbolt.Bucket) error {
			return b.ForEach(func(_, _ []byte) error { return nil })
		})
	}
	for name, use := range map[string]func(*database) error{
		"view":      func(d *database) error { return d.View(walk) },
		"exclusive": func(d *database) error { return d.exclusive(func(tx *bbolt.Tx) { _ = walk(tx) }) },
		"update":    func(d *database) error { return d.Update(walk) },
		"copy": func(d *database) error {
			_, err := osFiles.compactInto(filepath.Join(filepath.Dir(d.path), "copy"), d)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			d, err := openDisk(t.TempDir(), diskOptions{}) // left open: what a fault leaves of it cannot be closed
			if err != nil {
				t.Fatal(err)
			}
			fillDisk(t, d, 3000)
			cutMapping(t, d.state.path, os.Getpagesize())
			if err := use(d.state); !errors.Is(err, errFault) || !errors.Is(err, errDatabase) {
				t.Errorf("while it opens: %v", err)
			}
			if marked(d.dir) {
				t.Error("the error was enough, but there is a mark")
			}
			if name != "view" { // a writer that met a fault keeps the next one out
				return
			}
			var told error
			d.onFault(func(err error) { told = err })
			if err := use(d.state); !errors.Is(err, errFault) || told == nil || !marked(d.dir) {
				t.Errorf("%v, told %v, marked %v", err, told, marked(d.dir))
			}
		})
	}
}

// TestMapFaultEndsTheStore: a page that cannot be read ends the process, and
// the next start makes the database again.
func TestMapFaultEndsTheStore(t *testing.T) {
	for _, file := range []string{stateFile, derivedFile} {
		t.Run(file, func(t *testing.T) {
			filled, a := fillStore(t)
			closeStore(t, filled)
			o := testOptions(t)
			var mu sync.Mutex // what works in the background meets the fault, too
			var told error
			o.Fatal = func(err error) {
				mu.Lock()
				defer mu.Unlock()
				told = errors.Join(told, err)
			}
			s, err := Open(filled.dir, o)
			if err != nil {
				t.Fatal(err)
			}
			defer func() {
				s.search.cancel() // it would tell this test of the fault when the test is over
				s.search.work.Wait()
				s.closeFiles()
			}()
			list := rows(open(t, s, a, "INBOX"))
			page := os.Getpagesize()
			if file == derivedFile {
				page = derivedPage
			}
			cutMapping(t, filepath.Join(s.dir, file), page)
			if file == stateFile {
				_, err = s.OpenBody(list[0].Body)
			} else {
				err = s.disk.indexes([]BodyID{list[0].Body}, func(int, []byte) error { return nil })
			}
			mu.Lock()
			if !errors.Is(err, errFault) || !errors.Is(told, errFault) {
				t.Errorf("%v, told %v", err, told)
			}
			mu.Unlock()
			dir := t.TempDir()
			if err := copyFolder(dir, s.dir); err != nil {
				t.Fatal(err)
			}
			expectFilled(t, openStore(t, dir), a)
		})
	}
}

// TestPanicInATransaction is an error that says where, and the next start looks.
func TestPanicInATransaction(t *testing.T) {
	d := newDisk(t)
	var told error
	d.onFault(func(err error) { told = err })
	err := d.state.View(func(*bbolt.Tx) error { panic("assertion failed") })
	if !errors.Is(err, errDatabase) || told == nil || !strings.Contains(err.Error(), "assertion failed") || !strings.Contains(err.Error(), "TestPanicInATransaction") {
		t.Errorf("%v, told %v", err, told)
	}
	if !marked(d.dir) {
		t.Error("no mark")
	}
}

// TestPagesGoOnOverOthers: a leaf that says that it goes on over more pages, or fewer, than
// it does is seen in a file that is read whole, and in one that is not, if it is among the last ones,
// where it would take others' pages along.
func TestPagesGoOnOverOthers(t *testing.T) {
	d, err := openDisk(memoryDir(t), diskOptions{})
	if err != nil {
		t.Fatal(err)
	}
	fillDisk(t, d, 5000)
	err = d.applyDerived([]derivedEntry{{Body: 1, Value: make([]byte, 5*derivedPage)}, {Body: 2, Value: make([]byte, 2*derivedPage)}}, 1)
	if err := errors.Join(err, d.close()); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{d.state.path, d.derived.path} {
		if err := errors.Join(checkPages(path, math.MaxInt64), checkPages(path, 0)); err != nil {
			t.Fatalf("an undamaged file: %v", err)
		}
		kinds, size := usedPages(t, path)
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		for i, id := range kinds["leaf"] {
			at, field := int64(id*size)+12, make([]byte, 4)
			if _, err := f.ReadAt(field, at); err != nil {
				t.Fatal(err)
			}
			more := binary.LittleEndian.Uint32(field)
			for _, wrong := range []uint32{more + 1, more - 1, more ^ 1<<(i%32), 1 << 31} { // one less than none is four billion
				if _, err := f.WriteAt(binary.LittleEndian.AppendUint32(nil, wrong), at); err != nil {
					t.Fatal(err)
				}
				if err := checkPages(path, math.MaxInt64); !errors.Is(err, errDatabase) {
					t.Errorf("%s, leaf %d that goes on over %d pages, not %d: %v", path, id, wrong, more, err)
				}
				if err := checkPages(path, 0); wrong > more+1<<10 && !errors.Is(err, errDatabase) {
					t.Errorf("%s, branches and heads, leaf %d that goes on over %d pages, not %d: %v", path, id, wrong, more, err)
				}
			}
			if _, err := f.WriteAt(field, at); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// damageFreelist ruins the page of a bbolt file that opening it for writing reads.
func damageFreelist(t *testing.T, path string) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	// Behind the page's header of 16 bytes: magic, version, page size, flags,
	// root (16 bytes), freelist, pages, transaction.
	const pageSize, freelist, transaction = 16 + 8, 16 + 32, 16 + 48
	size := binary.LittleEndian.Uint32(data[pageSize:])
	newest := data
	if other := data[size:]; binary.LittleEndian.Uint64(other[transaction:]) > binary.LittleEndian.Uint64(data[transaction:]) {
		newest = other
	}
	page := data[binary.LittleEndian.Uint64(newest[freelist:])*uint64(size):]
	clear(page[:512])
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}
