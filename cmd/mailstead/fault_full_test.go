//go:build linux

package main

import (
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	goimap "github.com/emersion/go-imap/v2"
	gosmtp "github.com/emersion/go-smtp"
	"golang.org/x/sys/unix"
)

// smallDisk is the folder of an ext4 file system of its own, of size octets.
func smallDisk(t *testing.T, size int64) string {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("mounting a small file system takes root")
	}
	image, dir := filepath.Join(t.TempDir(), "disk"), t.TempDir()
	f, err := os.Create(image)
	if err == nil {
		err = errors.Join(f.Truncate(size), f.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, words := range [][]string{
		{"mkfs.ext4", "-q", "-m", "0", "-F", image}, // no blocks kept for root, who runs this
		{"mount", "-o", "loop", image, dir},
	} {
		if out, err := exec.Command(words[0], words[1:]...).CombinedOutput(); err != nil {
			t.Skipf("a small file system cannot be made here: %s: %v: %s", words[0], err, out)
		}
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", dir).CombinedOutput(); err != nil {
			t.Errorf("umount: %v: %s", err, out)
		}
	})
	return dir
}

// filler is a file that takes a disk's space away.
type filler struct {
	t    *testing.T
	name string
	size int64
}

func newFiller(t *testing.T, disk string) *filler {
	return &filler{t: t, name: filepath.Join(disk, "filler")}
}

func (f *filler) free() int64 {
	f.t.Helper()
	var st unix.Statfs_t
	if err := unix.Statfs(filepath.Dir(f.name), &st); err != nil {
		f.t.Fatal(err)
	}
	return int64(st.Bavail) * int64(st.Bsize)
}

// leave grows the file, or cuts it, until about so many octets are free.
func (f *filler) leave(free int64) {
	f.t.Helper()
	file, err := os.OpenFile(f.name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		f.t.Fatal(err)
	}
	defer file.Close()
	if lack := free - f.free(); lack > 0 {
		f.size = max(0, f.size-lack)
		if err := file.Truncate(f.size); err != nil {
			f.t.Fatal(err)
		}
	}
	const block = 4096
	for step := int64(64 << 20); step >= block; {
		if step > f.free()-free {
			step /= 2
			continue
		}
		switch err := unix.Fallocate(int(file.Fd()), 0, f.size, step); {
		case err == nil:
			f.size += step
		case errors.Is(err, unix.ENOSPC):
			step /= 2
		case !errors.Is(err, unix.EINTR):
			f.t.Fatalf("fallocate: %v", err)
		}
	}
}

// greedy has every block taken as soon as it is free, until stop is called.
func (f *filler) greedy() (stop func()) {
	done, ended := make(chan struct{}), make(chan struct{})
	stop = sync.OnceFunc(func() {
		close(done)
		<-ended
	})
	f.t.Cleanup(stop)
	go func() { // ends with stop
		defer close(ended)
		for {
			select {
			case <-done:
				return
			case <-time.After(time.Millisecond):
				f.leave(0)
			}
		}
	}()
	return stop
}

func (f *filler) remove() {
	f.t.Helper()
	if err := os.Remove(f.name); err != nil {
		f.t.Fatal(err)
	}
	f.size = 0
}

// noSpace reports whether err is the refusal for lack of space, as the protocol says it.
func noSpace(err error) bool {
	if no := new(goimap.Error); errors.As(err, &no) {
		return no.Type == goimap.StatusResponseTypeNo && no.Code == goimap.ResponseCodeOverQuota
	}
	if smtp := new(gosmtp.SMTPError); errors.As(err, &smtp) {
		return smtp.Code == 452
	}
	return false
}

// brings are a worker's steps that need space; frees are those that must go
// on without.
func (w *worker) brings() map[string]func() error {
	return map[string]func() error{"SMTP": w.deliver, "APPEND": w.appendLetter}
}

func (w *worker) frees() map[string]func() error {
	return map[string]func() error{"STORE": w.storeFlags, "expunge": w.expunge, "MOVE": w.moveLetters, "POP3 DELE": w.popDelete}
}

// notDone says that the outstanding command was refused. The connections are
// given up, since go-smtp's client does not go on after every refusal.
func (w *worker) notDone() {
	w.oracle.possible = nil
	w.disconnect()
}

// tryWithoutSpace does steps; each is done, or refused for lack of space and
// then not done at all.
func (w *worker) tryWithoutSpace(n int) (refused int, err error) {
	steps := []func() error{w.deliver, w.appendLetter, w.copyLetters, w.storeFlags, w.moveLetters, w.expunge, w.popDelete}
	for range n {
		switch err := steps[w.random.IntN(len(steps))](); {
		case noSpace(err):
			w.notDone()
			refused++
		case err != nil:
			return refused, err
		}
	}
	return refused, nil
}

// fullDisk is a server on a small disk, with what it promised.
type fullDisk struct {
	*instance
	worker *worker
	filler *filler
	last   *os.ProcessState // of the process before this one
}

// expectRefusals holds the server to what it must do on a full disk.
func (d *fullDisk) expectRefusals(when string) {
	d.t.Helper()
	d.running()
	for name, step := range d.worker.brings() {
		if err := step(); !noSpace(err) {
			d.t.Errorf("%s: %s: %v, with %d KiB free and %s", when, name, err, d.filler.free()>>10, d.logFiles())
		}
		d.worker.notDone()
	}
	if err := d.submit(); !noSpace(err) {
		d.t.Errorf("%s: submission: %v", when, err)
	}
	for name, step := range d.worker.frees() {
		if err := step(); err != nil {
			d.t.Errorf("%s: %s: %v", when, name, err)
		}
	}
	d.audit(when)
}

// full waits until the server has seen that others took the space: it asks for
// it some times a second only.
func (d *fullDisk) full() {
	d.t.Helper()
	eventually(d.t, "the server sees that the disk is full", func() bool {
		err := d.submit()
		if err != nil && !noSpace(err) {
			d.t.Fatal(err)
		}
		return err != nil
	})
}

// refillReserve gives back what the server needs to prepare its reserve, and
// no more: each start takes a segment of it.
func (d *fullDisk) refillReserve(size int64) {
	d.t.Helper()
	d.filler.leave(size/8 + 4*size/64)
	eventually(d.t, "two segments are prepared", func() bool {
		switch err := d.worker.storeFlags(); {
		case noSpace(err):
			d.worker.notDone()
		case err != nil:
			d.t.Fatal(err)
		}
		return d.spares() >= 2
	})
}

// spares counts the segments that were not written to yet.
func (d *fullDisk) spares() (n int) {
	names, err := filepath.Glob(filepath.Join(storeDir(d.dir), "log", "*.seg"))
	if err != nil {
		d.t.Fatal(err)
	}
	for _, name := range names {
		f, err := os.Open(name)
		if err != nil {
			continue // it has just been removed
		}
		var begin [8]byte
		if _, err := f.ReadAt(begin[:], 0); err == nil && begin == [8]byte{} {
			n++
		}
		f.Close()
	}
	return n
}

// logFiles lists the log's folder, for who wants to know why.
func (d *fullDisk) logFiles() string {
	var b strings.Builder
	entries, _ := os.ReadDir(filepath.Join(storeDir(d.dir), "log"))
	for _, e := range entries {
		if info, err := e.Info(); err == nil {
			st := info.Sys().(*syscall.Stat_t)
			fmt.Fprintf(&b, "%s %d/%d KiB, ", e.Name(), info.Size()>>10, st.Blocks>>1)
		}
	}
	return b.String()
}

// submit sends a message to the world, which waits in the queue.
func (d *fullDisk) submit() error {
	c, err := d.smtp(587, "a0@example.test")
	if err != nil {
		return err
	}
	defer c.Close()
	return c.send("a0@example.test", "From: a0@example.test\r\nSubject: out\r\n\r\nout\r\n", "x@elsewhere.example")
}

func (d *fullDisk) audit(when string) {
	d.t.Helper()
	if verdict, err := d.worker.audit(); verdict != nil || err != nil {
		d.t.Fatalf("%s: %v, %v: %s", when, verdict, err, d.words)
	}
}

// restart ends the server by a signal and starts it again.
func (d *fullDisk) restart(signal syscall.Signal) {
	d.t.Helper()
	d.end(signal)
	d.last = d.process.ProcessState
	d.worker.disconnect()
	d.start()
}

// fill delivers until there is no space.
func (d *fullDisk) fill() {
	d.t.Helper()
	for n := 0; ; n++ {
		err := d.worker.deliver()
		if noSpace(err) {
			d.worker.notDone()
			d.t.Logf("refused after %d messages with %d KiB free", n, d.filler.free()>>10)
			return
		}
		if err != nil || n > 20_000 {
			d.t.Fatalf("after %d messages: %v: %s", n, err, d.words)
		}
	}
}

// useUpReserve changes flags until there is no space even for that.
func (d *fullDisk) useUpReserve() {
	d.t.Helper()
	for n := 0; ; n++ {
		err := d.worker.flagEverySecond(n%2 == 0)
		if noSpace(err) {
			d.worker.notDone()
			d.t.Logf("the reserve was enough for %d changes of many flags", n)
			break
		}
		if err != nil || n > 100_000 {
			d.t.Fatalf("after %d changes: %v: %s", n, err, d.words)
		}
	}
	d.running()
	d.audit("without a reserve")
}

// flagEverySecond sets or takes a flag of every second letter, which is a
// large record for a small command.
func (w *worker) flagEverySecond(set bool) error {
	if err := w.selectBox(inboxA); err != nil {
		return err
	}
	var uids goimap.UIDSet
	var names []string
	seen := w.oracle.boxes[inboxA].names
	newest := map[string]goimap.UID{} // a letter that was moved away and back has had several
	for uid, name := range seen {
		newest[name] = max(newest[name], uid)
	}
	for i, uid := range slices.Sorted(maps.Keys(seen)) {
		name := seen[uid]
		if _, there := w.oracle.certain[inboxA][name]; there && i%2 == 0 && newest[name] == uid {
			uids.AddNum(uid)
			names = append(names, name)
		}
	}
	const flag = "every-second"
	op := goimap.StoreFlagsDel
	if set {
		op = goimap.StoreFlagsAdd
	}
	w.oracle.begin(func(to world) {
		for _, n := range names {
			l := to[inboxA][n]
			flags := slices.DeleteFunc(strings.Fields(l.flags), func(f string) bool { return f == flag })
			if set {
				flags = append(flags, flag)
			}
			slices.Sort(flags)
			l.flags = strings.Join(flags, " ")
			to[inboxA][n] = l
		}
	})
	if err := w.imap.Store(uids, &goimap.StoreFlags{Op: op, Silent: true, Flags: []goimap.Flag{flag}}, nil).Close(); err != nil {
		return err
	}
	w.oracle.done()
	return nil
}

// tinyDisk is for a disk whose reserve is used up in seconds: it takes three times as long as the other.
var tinyDisk = flag.Bool("tinydisk", false, "TestFullDisk fills one of 130 MiB, too")

// TestFullDisk takes the space away from the real server: at first mail does,
// then a file that takes every last block. It must refuse what brings octets,
// go on with what makes room, lose nothing, survive being killed and stopped,
// and serve again by itself when there is space.
func TestFullDisk(t *testing.T) {
	if testing.Short() {
		t.Skip("fills its disk; the short form runs under the race detector, under which this takes minutes")
	}
	t.Parallel() // it waits for its own disk
	sizes := []int64{300 << 20}
	if *tinyDisk {
		sizes = append(sizes, 130<<20)
	}
	for _, size := range sizes {
		t.Run(fmt.Sprintf("%d MiB", size>>20), func(t *testing.T) {
			disk := smallDisk(t, size)
			d := &fullDisk{instance: newInstance(t, filepath.Join(disk, "server"), "example.test", "--log-level", "warn"), filler: newFiller(t, disk)}
			d.start()
			d.worker = d.instance.worker(rand.Uint64())
			if err := d.submit(); err != nil {
				t.Fatal(err)
			}
			for range 30 {
				if err := d.worker.step(); err != nil {
					t.Fatal(err)
				}
			}
			d.filler.leave(size/8 + 20<<20)
			d.fill()
			d.filler.leave(d.filler.free() / 2) // what full segments give back when they are cut must not tip it
			d.full()
			d.expectRefusals("full of mail")

			stop := d.filler.greedy()
			d.expectRefusals("full to the last block")
			if refused, err := d.worker.tryWithoutSpace(150); err != nil || refused == 0 {
				t.Fatalf("load without space: %d refused, %v: %s", refused, err, d.words)
			}
			for _, signal := range []syscall.Signal{syscall.SIGKILL, syscall.SIGTERM} {
				stop()
				d.refillReserve(size)
				stop = d.filler.greedy()
				d.full()
				d.restart(signal)
				if code := d.last.ExitCode(); signal == syscall.SIGTERM && code != 0 {
					t.Errorf("stopped on a full disk, it says exit %d", code)
				}
				d.expectRefusals("started after " + signal.String())
			}
			if size < 200<<20 && !testing.Short() { // a small reserve is used up in seconds
				d.useUpReserve()
				d.restart(syscall.SIGKILL)
				d.audit("killed without a reserve")
				if err := d.worker.deliver(); !noSpace(err) {
					t.Errorf("without a reserve: %v", err)
				}
				d.worker.notDone()
			}
			stop()
			d.filler.remove()
			eventually(t, "the server takes mail again", func() bool {
				err := d.worker.deliver()
				if err != nil && !noSpace(err) {
					t.Fatal(err)
				}
				if err != nil {
					d.worker.notDone()
				}
				return err == nil
			})
			for range 30 {
				if err := d.worker.step(); err != nil {
					t.Fatal(err)
				}
			}
			d.audit("space again")
			d.restart(syscall.SIGKILL)
			d.audit("killed with space")
			d.end(syscall.SIGTERM)
			if strings.Contains(d.words.String(), "level=ERROR") {
				t.Errorf("the last server complains: %s", d.words)
			}
			checkStore(t, d.dir)
		})
	}
}
