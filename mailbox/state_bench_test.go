//go:build linux

package mailbox

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	goimap "github.com/emersion/go-imap/v2"
	"golang.org/x/sys/unix"

	"mailstead/mailbox/log"
)

const benchMessages = 100_000

// benchDisk has one mailbox of 100,000 messages, delivered over 100 commits as
// a living server does it.
func benchDisk(b *testing.B) *writer {
	b.Helper()
	w := &writer{t: b, d: newDisk(b)}
	w.ops(opAccount{Account: 1}, opMailbox{ID: 1, Account: 1, Name: "INBOX", UIDValidity: 1})
	for n := 0; n < benchMessages; {
		var recs []appliedRecord
		for range benchMessages / 100 {
			n++
			recs = append(recs, delivery(1, goimap.UID(n), BodyID(n), FlagSet{}))
		}
		w.apply(recs...)
		w.recs = nil
	}
	return w
}

// dropPages makes the file cold: its pages leave the kernel's cache.
func dropPages(b *testing.B, path string) {
	b.Helper()
	f, err := os.Open(path)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	if err := errors.Join(f.Sync(), unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED)); err != nil {
		b.Fatal(err)
	}
}

func BenchmarkLoadMessages(b *testing.B) {
	w := benchDisk(b)
	load := func(b *testing.B, d *disk) {
		n := 0
		if _, err := d.loadMessages(1, func(block []Message) { n += len(block) }); err != nil || n != benchMessages {
			b.Fatalf("%d messages, error %v", n, err)
		}
	}
	b.Run("warm", func(b *testing.B) {
		for b.Loop() {
			load(b, w.d)
		}
	})
	b.Run("cold", func(b *testing.B) {
		for b.Loop() {
			b.StopTimer()
			d := coldCopy(b, w.d)
			b.StartTimer()
			load(b, d)
		}
	})
}

// coldCopy opens a copy whose pages are not in memory.
func coldCopy(b *testing.B, d *disk) *disk {
	b.Helper()
	dir := b.TempDir()
	for _, name := range []string{stateFile, derivedFile} {
		copyTestFile(b, filepath.Join(d.dir, name), filepath.Join(dir, name))
	}
	c, err := openDisk(dir, diskOptions{})
	if err != nil {
		b.Fatal(err)
	}
	for _, name := range []string{stateFile, derivedFile} { // opening has read them
		dropPages(b, filepath.Join(dir, name))
	}
	b.Cleanup(func() {
		if err := c.close(); err != nil {
			b.Error(err)
		}
	})
	return c
}

func BenchmarkApplyFlagsOfAll(b *testing.B) {
	w := benchDisk(b)
	flip := bits(seen)
	for b.Loop() {
		flip[0] ^= 1 << seen
		w.ops(opFlags{Mailbox: 1, Flags: flip, UIDs: []uidRange{{1, benchMessages}}})
	}
}

func BenchmarkApplyDeliveries(b *testing.B) {
	w := benchDisk(b)
	n := benchMessages
	b.ReportAllocs()
	for b.Loop() {
		var recs []appliedRecord
		for range 1000 {
			n++
			recs = append(recs, delivery(1, goimap.UID(n), BodyID(n), FlagSet{}))
		}
		w.apply(recs...)
		w.recs = nil
	}
}

func BenchmarkApplyOneFlag(b *testing.B) {
	w := benchDisk(b)
	uid := goimap.UID(1)
	for b.Loop() {
		uid = uid%benchMessages + 1
		w.ops(opFlags{Mailbox: 1, Flags: bits(seen), UIDs: []uidRange{{uid, uid}}})
		w.recs = nil
	}
}

func BenchmarkPlaces(b *testing.B) {
	w := benchDisk(b)
	var bodies []BodyID
	for i := range benchMessages {
		bodies = append(bodies, BodyID(i+1))
	}
	b.Run(fmt.Sprint(len(bodies)), func(b *testing.B) {
		for b.Loop() {
			found := 0
			err := w.d.places(bodies, func(i int, _ log.Place, ok bool) {
				if ok {
					found++
				}
			})
			if err != nil || found != len(bodies) {
				b.Fatalf("%d found, error %v", found, err)
			}
		}
	})
	b.Run("1", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, ok, err := w.d.place(4711); !ok || err != nil {
				b.Fatal(ok, err)
			}
		}
	})
}

func BenchmarkIndexes(b *testing.B) {
	d := newDisk(b)
	bodies := fillIndexes(b, d)
	read := func(b *testing.B, d *disk) {
		sum := 0
		err := d.indexes(bodies, func(_ int, value []byte) error {
			sum += len(value)
			return nil
		})
		if err != nil || sum != 1000*len(bodies) {
			b.Fatalf("%d bytes, error %v", sum, err)
		}
	}
	b.Run("warm", func(b *testing.B) {
		for b.Loop() {
			read(b, d)
		}
	})
	b.Run("cold", func(b *testing.B) {
		for b.Loop() {
			b.StopTimer()
			c := coldCopy(b, d)
			b.StartTimer()
			read(b, c)
		}
	})
}

// fillIndexes gives derived.db indexes of 1000 bytes, and returns the bodies.
func fillIndexes(b *testing.B, d *disk) (bodies []BodyID) {
	b.Helper()
	var entries []derivedEntry
	for i := range benchMessages {
		bodies = append(bodies, BodyID(i+1))
		entries = append(entries, derivedEntry{Body: BodyID(i + 1), Value: fmt.Appendf(make([]byte, 0, 1200), "%1000d", i)})
		if len(entries) == 1000 {
			if err := d.applyDerived(entries, 1); err != nil {
				b.Fatal(err)
			}
			entries = nil
		}
	}
	return bodies
}

// BenchmarkCheckPages is what a start adds to opening state.db with a million messages, and
// derived.db with 100,000 indexes, from memory and from the disk.
func BenchmarkCheckPages(b *testing.B) {
	dir := b.TempDir()
	d := millionMessages(b, dir)
	fillIndexes(b, d)
	if err := d.close(); err != nil {
		b.Fatal(err)
	}
	for _, name := range []string{stateFile, derivedFile} {
		for _, cold := range []bool{false, true} {
			b.Run(fmt.Sprintf("%s/cold=%v", name, cold), func(b *testing.B) {
				path := filepath.Join(dir, name)
				used := processorTime()
				for b.Loop() {
					if cold {
						b.StopTimer()
						dropPages(b, path)
						b.StartTimer()
					}
					if err := checkPages(path, wholeAtOpen); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64((processorTime()-used).Microseconds())/float64(b.N), "µs-cpu/op")
				if st, err := os.Stat(path); err == nil {
					b.ReportMetric(float64(st.Size())/1e6, "MB")
				}
			})
		}
	}
}

// Expunging every tenth message touches every chunk.
func BenchmarkApplyExpunge(b *testing.B) {
	w := benchDisk(b)
	digit := goimap.UID(0)
	for b.Loop() {
		var ranges []uidRange
		for uid := digit%10 + 1; uid <= benchMessages; uid += 10 {
			ranges = append(ranges, uidRange{uid, uid})
		}
		w.ops(opExpunge{Mailbox: 1, UIDs: ranges})
		digit++
	}
}

// A MOVE of all takes them from one mailbox to the other, and back.
func BenchmarkApplyMoveOfAll(b *testing.B) {
	w := benchDisk(b)
	w.ops(opMailbox{ID: 2, Account: 1, Name: "Archive", UIDValidity: 2})
	from, to := ID(1), ID(2)
	next := map[ID]goimap.UID{1: benchMessages + 1, 2: 1}
	b.ReportAllocs()
	for b.Loop() {
		list := make([]added, benchMessages)
		for i := range list {
			list[i] = added{UID: next[to] + goimap.UID(i), Size: 30_000, Body: BodyID(i + 1)}
		}
		next[to] += benchMessages
		w.ops(opAdd{Mailbox: to, Messages: list}, opExpunge{Mailbox: from, UIDs: []uidRange{{next[from] - benchMessages, next[from] - 1}}})
		w.recs = nil
		from, to = to, from
	}
}

func BenchmarkCheckpoint(b *testing.B) {
	w := benchDisk(b)
	dir := b.TempDir()
	for b.Loop() {
		w.ops(opRecent{Mailbox: 1, Below: 2}) // else there is nothing new
		if _, err := w.d.checkpoint(dir); err != nil {
			b.Fatal(err)
		}
	}
	stored, err := osFiles.checkpoints(dir)
	if err != nil {
		b.Fatal(err)
	}
	info, err := os.Stat(stored[0].path)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(info.Size())/benchMessages, "bytes/message")
}
