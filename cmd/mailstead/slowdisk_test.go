//go:build linux

package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// slowDisk is an ext4 on a device whose flush takes as long as it is told, and nothing
// else takes any time: a loop device over a file in memory, which the kernel reads,
// writes and flushes through FUSE (fuse(4), include/uapi/linux/fuse.h). A process of its own
// answers: threads that wait in a flush would have this one hear late of the network.
type slowDisk struct {
	delay   time.Duration
	flushes *atomic.Int64 // in memory of both processes

	fuse   int    // file descriptor of /dev/fuse
	memory []byte // what the file holds

	device string // of the loop
	folder string // where the file is
	dir    string // where the ext4 is
}

// slowDiskBytes is its size: address space, memory only where something was written.
const slowDiskBytes = 3 << 30

// newSlowDisk mounts one, or skips the test. The test's end takes all of it away.
func newSlowDisk(t *testing.T, delay time.Duration) *slowDisk {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("a disk of its own needs root")
	}
	top, err := os.MkdirTemp("", "mailstead-slow-") // not t.TempDir, which the peer's users may not enter
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.Remove(top) }) // fails, and leaves everything, where something is still mounted
	d := &slowDisk{delay: delay, folder: filepath.Join(top, "fuse"), dir: filepath.Join(top, "disk")}
	for _, dir := range []string{d.folder, d.dir} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { os.Remove(dir) })
	}
	if err := os.Chmod(top, 0o755); err != nil {
		t.Fatal(err)
	}
	d.serve(t)
	out, err := exec.Command("losetup", "--find", "--show", filepath.Join(d.folder, slowFile)).Output()
	if err != nil {
		t.Skipf("no loop device here: %v", err)
	}
	d.device = strings.TrimSpace(string(out))
	t.Cleanup(func() { d.command(t, "losetup", "--detach", d.device) })
	d.command(t, "mkfs.ext4", "-q", "-E", "lazy_itable_init=0,lazy_journal_init=0", d.device)
	d.command(t, "mount", d.device, d.dir)
	t.Cleanup(func() { d.command(t, "umount", d.dir) })
	if err := os.Chmod(d.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return d
}

func (d *slowDisk) command(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Errorf("%s %s: %v: %s", name, strings.Join(args, " "), err, out)
	}
}

// settle has the kernel write what waits for it.
func (d *slowDisk) settle(t *testing.T) {
	t.Helper()
	f, err := os.Open(d.dir)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := unix.Syncfs(int(f.Fd())); err != nil {
		t.Fatal(err)
	}
}

// slowDiskEnv has a process answer for a disk whose flush takes so long; its files
// are then slowDiskFuse and slowDiskTally.
const (
	slowDiskEnv   = "MAILSTEAD_SLOWDISK"
	slowDiskFuse  = 3
	slowDiskTally = 4
)

// serve mounts the file system with the file, which a process answers for until it is unmounted.
func (d *slowDisk) serve(t *testing.T) {
	t.Helper()
	var err error
	if d.fuse, err = unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC, 0); err != nil {
		t.Skipf("no FUSE here: %v", err)
	}
	options := fmt.Sprintf("fd=%d,rootmode=40000,user_id=0,group_id=0", d.fuse)
	if err := unix.Mount("mailstead", d.folder, "fuse.mailstead", unix.MS_NOSUID|unix.MS_NODEV, options); err != nil {
		unix.Close(d.fuse)
		t.Skipf("FUSE cannot be mounted here: %v", err)
	}
	tally, err := unix.MemfdCreate("flushes", unix.MFD_CLOEXEC)
	if err := errors.Join(err, unix.Ftruncate(tally, int64(os.Getpagesize()))); err != nil {
		t.Fatal(err)
	}
	d.flushes = sharedTally(t, tally)
	answers := exec.Command(os.Args[0], "-test.run", "^TestSlowDiskAnswers$", "-test.timeout", "0")
	answers.Env = append(os.Environ(), slowDiskEnv+"="+d.delay.String())
	answers.ExtraFiles = []*os.File{os.NewFile(uintptr(d.fuse), "fuse"), os.NewFile(uintptr(tally), "flushes")}
	if err := answers.Start(); err != nil {
		t.Fatal(err)
	}
	for _, f := range answers.ExtraFiles {
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		if err := unix.Unmount(d.folder, 0); err != nil {
			t.Errorf("unmounting %s: %v", d.folder, err)
			unix.Unmount(d.folder, unix.MNT_DETACH|unix.MNT_FORCE) // else nobody would end the process
		}
		if err := answers.Wait(); err != nil {
			t.Errorf("the process that answers for the disk: %v", err)
		}
	})
}

// sharedTally is a counter that the processes have in common whose file it is.
func sharedTally(t *testing.T, fd int) *atomic.Int64 {
	t.Helper()
	page, err := unix.Mmap(fd, 0, os.Getpagesize(), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Munmap(page) })
	return (*atomic.Int64)(unsafe.Pointer(&page[0]))
}

// TestSlowDiskAnswers answers the kernel until the file system is unmounted.
func TestSlowDiskAnswers(t *testing.T) {
	text := os.Getenv(slowDiskEnv)
	if text == "" {
		t.Skip("it is the other process of TestSlowFlush")
	}
	delay, err := time.ParseDuration(text)
	if err != nil {
		t.Fatal(err)
	}
	d := &slowDisk{delay: delay, fuse: slowDiskFuse, flushes: sharedTally(t, slowDiskTally)}
	d.memory, err = unix.Mmap(-1, 0, slowDiskBytes, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_NORESERVE)
	if err != nil {
		t.Fatal(err)
	}
	var work sync.WaitGroup
	for range fuseReaders {
		work.Go(d.answerAll)
	}
	work.Wait()
}

const (
	// fuseReaders answer the kernel at once: data goes on while a flush waits.
	fuseReaders = 4

	slowFile    = "disk"
	slowFileID  = 2 // 1 is the folder
	fuseData    = 128 << 10
	fuseIn      = 40 // length 4, operation 4, unique 8, node 8, user 4, group 4, process 4, padding 4
	fuseOut     = 16 // length 4, error 4, unique 8
	fuseForever = 3600

	fuseLookup     = 1
	fuseForget     = 2
	fuseGetattr    = 3
	fuseSetattr    = 4
	fuseOpen       = 14
	fuseRead       = 15
	fuseWrite      = 16
	fuseStatfs     = 17
	fuseRelease    = 18
	fuseFsync      = 20
	fuseFlush      = 25
	fuseInit       = 26
	fuseOpendir    = 27
	fuseReleasedir = 29
	fuseInterrupt  = 36
	fuseDestroy    = 38
	fuseManyForget = 42
)

// answerAll answers the kernel's requests until there is no mount any more.
func (d *slowDisk) answerAll() {
	request := make([]byte, fuseData+4096)
	for {
		n, err := unix.Read(d.fuse, request)
		switch {
		case errors.Is(err, unix.EINTR), errors.Is(err, unix.ENOENT), errors.Is(err, unix.EAGAIN):
			continue
		case err != nil || n < fuseIn:
			return
		}
		le := binary.LittleEndian
		operation, unique, node := le.Uint32(request[4:]), le.Uint64(request[8:]), le.Uint64(request[16:])
		if operation == fuseForget || operation == fuseManyForget || operation == fuseInterrupt {
			continue // nobody waits for an answer
		}
		reply := make([]byte, fuseOut, fuseOut+128)
		reply, failed := d.answer(reply, operation, node, request[fuseIn:n])
		if failed != 0 {
			reply = reply[:fuseOut]
		}
		le.PutUint32(reply, uint32(len(reply)))
		le.PutUint32(reply[4:], uint32(-int32(failed)))
		le.PutUint64(reply[8:], unique)
		unix.Write(d.fuse, reply) // fails when who asked is gone
	}
}

// answer appends what answers a request.
func (d *slowDisk) answer(reply []byte, operation uint32, node uint64, in []byte) ([]byte, syscall.Errno) {
	le := binary.LittleEndian
	switch operation {
	case fuseInit:
		reply = le.AppendUint32(le.AppendUint32(reply, 7), 31) // version
		reply = le.AppendUint32(le.AppendUint32(reply, fuseData), 0)
		reply = append(reply, 12, 0, 9, 0) // requests in the background
		reply = le.AppendUint32(le.AppendUint32(reply, fuseData), 1)
		return append(reply, make([]byte, 64-28)...), 0
	case fuseLookup:
		if node != 1 || strings.TrimRight(string(in), "\x00") != slowFile {
			return reply, unix.ENOENT
		}
		reply = le.AppendUint64(le.AppendUint64(reply, slowFileID), 0)
		reply = le.AppendUint64(le.AppendUint64(reply, fuseForever), fuseForever)
		return appendAttributes(le.AppendUint64(reply, 0), slowFileID), 0
	case fuseGetattr, fuseSetattr:
		return appendAttributes(le.AppendUint64(le.AppendUint64(reply, fuseForever), 0), node), 0
	case fuseOpen, fuseOpendir:
		return append(reply, make([]byte, 16)...), 0
	case fuseRead:
		from, n := le.Uint64(in[8:]), uint64(le.Uint32(in[16:]))
		return append(reply, d.memory[min(from, slowDiskBytes):min(from+n, slowDiskBytes)]...), 0
	case fuseWrite:
		from, n := le.Uint64(in[8:]), le.Uint32(in[16:])
		if from+uint64(n) > slowDiskBytes {
			return reply, unix.ENOSPC
		}
		copy(d.memory[from:], in[40:40+n])
		return le.AppendUint64(reply, uint64(n)), 0
	case fuseStatfs:
		return append(reply, make([]byte, 80)...), 0
	case fuseFsync:
		d.flushes.Add(1)
		time.Sleep(d.delay)
		return reply, 0
	case fuseFlush, fuseRelease, fuseReleasedir, fuseDestroy:
		return reply, 0
	}
	return reply, unix.ENOSYS
}

// appendAttributes appends what stat(2) says of a node.
func appendAttributes(reply []byte, node uint64) []byte {
	le := binary.LittleEndian
	size, mode := uint64(0), uint32(unix.S_IFDIR|0o755)
	if node == slowFileID {
		size, mode = slowDiskBytes, unix.S_IFREG|0o600
	}
	reply = le.AppendUint64(le.AppendUint64(le.AppendUint64(reply, node), size), size/512)
	reply = append(reply, make([]byte, 3*8+3*4)...) // times
	reply = le.AppendUint32(le.AppendUint32(reply, mode), 1)
	reply = append(reply, make([]byte, 3*4)...) // owner, group, device
	return le.AppendUint32(le.AppendUint32(reply, 4096), 0)
}
