//go:build linux

package mailbox

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"mailstead/mailbox/log"
)

// What the child of TestPowerLoss is told.
const (
	powerLossFolder = "MAILSTEAD_POWERLOSS_FOLDER" // of the store
	powerLossRound  = "MAILSTEAD_POWERLOSS_ROUND"  // part of the messages' names
	powerLossLies   = "MAILSTEAD_POWERLOSS_LIES"   // true = the log is not synced
)

const (
	ext4Shutdown        = 0x8004587d // EXT4_IOC_SHUTDOWN, _IOR('X', 125, __u32)
	shutdownNoLogFlush  = 2          // EXT4_GOING_FLAGS_NOLOGFLUSH: as if the power went
	powerLossDisk       = 256 << 20
	powerLossDeliveries = 4 // at a time
)

// TestPowerLoss takes a file system away under a process that acknowledges
// deliveries, as a power cut does: ext4 on a loop device forgets what it has
// not written yet. After a mount everything acknowledged must be there.
func TestPowerLoss(t *testing.T) {
	d := newLoopDisk(t)
	dir := filepath.Join(d.folder, "store")
	acknowledged := make(map[string]bool)
	for round := range number("MAILSTEAD_POWERLOSSES", 1) {
		if err := d.round(t, dir, round, false, acknowledged); err != nil {
			t.Fatal(err)
		}
		t.Logf("round %d: %d deliveries acknowledged in all", round, len(acknowledged))
	}
}

// TestPowerLossNegativeControl does it with a log that is never synced.
func TestPowerLossNegativeControl(t *testing.T) {
	d := newLoopDisk(t)
	for round := range 5 {
		dir := filepath.Join(d.folder, fmt.Sprint(round))
		if err := d.round(t, dir, round, true, make(map[string]bool)); err != nil {
			t.Logf("noticed in round %d: %.300s", round, err)
			return
		}
	}
	t.Error("a log that is never synced was not noticed")
}

// round loses the disk once and holds what is left against what was
// acknowledged, which it adds to.
func (d *loopDisk) round(t *testing.T, dir string, round int, lies bool, acknowledged map[string]bool) error {
	d.mount(t)
	got, err := d.lose(t, dir, round, lies)
	if err != nil {
		return err
	}
	for _, name := range got {
		acknowledged[name] = true
	}
	d.mount(t)
	err = auditLoss(t, dir, acknowledged)
	d.unmount(t)
	return err
}

// loopDisk is a file system in a file.
type loopDisk struct {
	device string
	folder string
	on     bool
}

func newLoopDisk(t *testing.T) *loopDisk {
	mkfs, err := exec.LookPath("mkfs.ext4")
	if err != nil {
		t.Skipf("no ext4 can be made here: %v", err)
	}
	root, err := os.MkdirTemp(memoryFolder(), "mailstead")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(root) })
	image, err := os.Create(filepath.Join(root, "image"))
	if err != nil {
		t.Fatal(err)
	}
	defer image.Close()
	if err := image.Truncate(powerLossDisk); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(mkfs, "-q", "-F", image.Name()).CombinedOutput(); err != nil {
		t.Fatalf("mkfs.ext4: %v: %s", err, out)
	}
	device, err := attach(image)
	if err != nil {
		t.Skipf("no loop device here (that takes root): %v", err)
	}
	t.Cleanup(func() { device.Close() }) // the last one who has it open: it is detached
	d := &loopDisk{device: device.Name(), folder: filepath.Join(root, "disk")}
	if err := os.Mkdir(d.folder, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount(d.device, d.folder, "ext4", 0, ""); err != nil {
		t.Skipf("ext4 cannot be mounted here (that takes root): %v", err)
	}
	d.on = true
	t.Cleanup(func() { d.unmount(t) })
	return d
}

// attach makes a block device of a file, until the last user closes it.
func attach(image *os.File) (*os.File, error) {
	control, err := os.OpenFile("/dev/loop-control", os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer control.Close()
	const tries = 5 // somebody else may take the same one
	for range tries {
		var n int
		if n, err = unix.IoctlRetInt(int(control.Fd()), unix.LOOP_CTL_GET_FREE); err != nil {
			return nil, err
		}
		var device *os.File
		if device, err = os.OpenFile(fmt.Sprintf("/dev/loop%d", n), os.O_RDWR, 0); err != nil {
			return nil, err
		}
		config := unix.LoopConfig{Fd: uint32(image.Fd()), Info: unix.LoopInfo64{Flags: unix.LO_FLAGS_AUTOCLEAR}}
		if err = unix.IoctlLoopConfigure(int(device.Fd()), &config); err == nil {
			return device, nil
		}
		device.Close()
	}
	return nil, err
}

func (d *loopDisk) mount(t *testing.T) {
	t.Helper()
	if d.on {
		return
	}
	if err := unix.Mount(d.device, d.folder, "ext4", 0, ""); err != nil {
		t.Fatal(err)
	}
	d.on = true
}

func (d *loopDisk) unmount(t *testing.T) {
	t.Helper()
	if !d.on {
		return
	}
	if err := unix.Unmount(d.folder, 0); err != nil {
		t.Fatal(err)
	}
	d.on = false
}

// lose has a child deliver, takes the disk away at a random moment, and returns
// what the child had said to be stored.
func (d *loopDisk) lose(t *testing.T, dir string, round int, lies bool) (acknowledged []string, err error) {
	child := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^TestPowerLossChild$", "-test.v")
	child.Env = append(os.Environ(), powerLossFolder+"="+dir, fmt.Sprintf("%s=%d", powerLossRound, round), fmt.Sprintf("%s=%t", powerLossLies, lies))
	out, err := child.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := child.Start(); err != nil {
		return nil, err
	}
	after := 1 + rand.IntN(400)
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		name, ok := strings.CutPrefix(lines.Text(), "stored ")
		if !ok {
			continue
		}
		acknowledged = append(acknowledged, name)
		if len(acknowledged) == after {
			if err := d.cut(); err != nil {
				return nil, errors.Join(err, child.Process.Kill(), child.Wait())
			}
		}
	}
	_ = child.Wait() // it has lost its disk
	if len(acknowledged) < after {
		return nil, fmt.Errorf("the child ended by itself after %d deliveries", len(acknowledged))
	}
	d.unmount(t)
	return acknowledged, nil
}

// cut is the power cut.
func (d *loopDisk) cut() error {
	f, err := os.Open(d.folder)
	if err != nil {
		return err
	}
	defer f.Close()
	return unix.IoctlSetPointerInt(int(f.Fd()), ext4Shutdown, shutdownNoLogFlush)
}

// auditLoss holds the store against what was acknowledged.
func auditLoss(t *testing.T, dir string, acknowledged map[string]bool) error {
	s, err := Open(dir, testOptions(t))
	if err != nil {
		return err
	}
	have := make(map[string]bool)
	var errs []error
	for a := range s.durable.accounts {
		m, err := s.OpenMailbox(t.Context(), a, "INBOX")
		if err != nil {
			errs = append(errs, err)
			continue
		}
		for _, r := range rows(m) {
			body, err := readWhole(s, r.Body)
			name, _, _ := strings.Cut(string(body), "\r\n")
			if name = strings.TrimPrefix(name, "Subject: "); err != nil || string(body) != lossBody(name) {
				errs = append(errs, fmt.Errorf("message %q has wrong bytes: %v", name, err))
			}
			have[name] = true
		}
		m.Close()
	}
	for name := range acknowledged {
		if !have[name] {
			errs = append(errs, fmt.Errorf("message %q was acknowledged and is lost", name))
		}
	}
	return errors.Join(append(errs, s.Check(), s.Close())...)
}

// lossBody is a message that is made of its name; some are large bodies.
func lossBody(name string) string {
	lines := 20
	if strings.HasSuffix(name, "7") {
		lines = 3000
	}
	return "Subject: " + name + "\r\n\r\n" + strings.Repeat("This is "+name+".\r\n", lines)
}

// TestPowerLossChild delivers, and says what was stored, until its disk goes.
func TestPowerLossChild(t *testing.T) {
	dir := os.Getenv(powerLossFolder)
	if dir == "" {
		t.Skip("it is run by TestPowerLoss, as its child")
	}
	o := testOptions(t)
	o.CommitEvery = 10 * time.Millisecond
	o.Fatal = func(error) { os.Exit(1) }
	if os.Getenv(powerLossLies) == "true" {
		o.FS = unsyncedFS{log.OS()}
	}
	s, err := Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	a := newAccount(t, s)
	var saying sync.Mutex
	var work sync.WaitGroup
	for worker := range powerLossDeliveries {
		work.Go(func() {
			for n := 0; ; n++ {
				name := fmt.Sprintf("%s-%d-%d", os.Getenv(powerLossRound), worker, n)
				if err := lossDeliver(t, s, a, name); err != nil {
					os.Exit(1)
				}
				saying.Lock()
				fmt.Println("stored " + name)
				saying.Unlock()
			}
		})
	}
	work.Wait()
}

func lossDeliver(t *testing.T, s *Store, a AccountID, name string) error {
	b := s.NewBody()
	defer b.Abort()
	if _, err := io.WriteString(b, lossBody(name)); err != nil {
		return err
	}
	placed, err := s.Deliver(t.Context(), b, []Target{{Account: a, Name: "INBOX"}}, nil)
	if err != nil {
		return err
	}
	return placed[0].Err
}

// unsyncedFS syncs no file.
type unsyncedFS struct{ log.FS }

type unsyncedFile struct{ log.File }

func (f unsyncedFS) Create(name string) (log.File, error) {
	file, err := f.FS.Create(name)
	return unsyncedFile{file}, err
}

func (unsyncedFile) Sync() error     { return nil }
func (unsyncedFile) Datasync() error { return nil }
