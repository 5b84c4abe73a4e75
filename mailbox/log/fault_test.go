package log_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"mailstead/mailbox/log"
	"mailstead/mailbox/log/logtest"
)

// trial is a log on a file system with faults, and what it promised.
type trial struct {
	dir    string
	faults *logtest.Faults
	l      *log.Log

	mu    sync.Mutex
	fatal error // the first; the process would have ended

	n       int // of bodies so far
	acked   map[log.LSN]promise
	refused int
}

// promise is an acknowledged record.
type promise struct {
	id    log.BodyID
	size  int
	place log.Place // in the run that wrote it
}

const letterSize = 14_000

func newTrial(t *testing.T) *trial {
	return &trial{dir: filepath.Join(quickDir(t), "log"), faults: logtest.New(nil, logtest.Rule{}), acked: make(map[log.LSN]promise)}
}

// quickDir is a folder in memory where there is one: these tests make
// thousands of flushes, and none of them is about what a disk keeps.
func quickDir(t *testing.T) string {
	dir, err := os.MkdirTemp("/dev/shm", "mailstead-test-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func (tr *trial) open(replay func(log.Record) error) (log.Report, error) {
	l, rep, err := log.Open(log.Options{
		Dir: tr.dir, SegmentSize: 256 << 10, FS: tr.faults, Logger: slog.New(slog.DiscardHandler),
		Fatal: func(err error) {
			tr.mu.Lock()
			defer tr.mu.Unlock()
			if tr.fatal == nil {
				tr.fatal = err
			}
		},
	}, replay)
	tr.l = l
	return rep, err
}

func (tr *trial) ended() error {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	return tr.fatal
}

// content is the body with an id.
func content(id log.BodyID, size int) []byte {
	line := fmt.Appendf(nil, "this is body %d\r\n", id)
	return bytes.Repeat(line, size/len(line)+1)[:size]
}

// put writes a letter, or a large one through a file of its own.
func (tr *trial) put(large bool) error {
	tr.n++
	id, size := log.BodyID(tr.n), letterSize
	e := &log.Entry{Kind: 7, BodyID: id, Meta: []byte("meta")}
	if large {
		size *= 8
		b, err := tr.l.NewBig(id)
		if err != nil {
			return err
		}
		if _, err := b.Write(content(id, size)); err != nil {
			return errors.Join(err, b.Abort())
		}
		if err := b.Commit(); err != nil {
			return errors.Join(err, b.Abort())
		}
		b.Describe(e)
	} else {
		e.Body = content(id, size)
	}
	if err := tr.l.Reserve(e.Size(), false); err != nil {
		return err
	}
	tr.l.Append(e)
	if err := tr.l.Wait(e); err != nil {
		return err
	}
	tr.acked[e.LSN] = promise{id, size, e.Place}
	return nil
}

// work is the workload under which calls fail, over several segments. It ends
// when the process would; the error is one that should not be.
func (tr *trial) work(mayRefuse error) error {
	for i := range 60 {
		err := tr.put(i%8 == 7)
		switch {
		case tr.ended() != nil:
			if err == nil {
				continue // acknowledged just before
			}
			return nil
		case err == nil:
		case errors.Is(err, mayRefuse):
			tr.refused++
		default:
			return fmt.Errorf("letter %d: %w", tr.n, err)
		}
	}
	switch err := tr.l.Seal(); {
	case err == nil, tr.ended() != nil, errors.Is(err, mayRefuse):
		return nil
	default:
		return fmt.Errorf("Seal: %w", err)
	}
}

// audit opens the log without faults, and wants everything acknowledged to be there.
func (tr *trial) audit(t *testing.T, when string) {
	t.Helper()
	stayed := 0 // files that could not be removed
	for _, c := range tr.faults.Failed() {
		if c.Op == logtest.Remove {
			stayed++
		}
	}
	tr.faults.Set(logtest.Rule{})
	tr.fatal = nil
	found := make(map[log.LSN]log.Record)
	rep, err := tr.open(func(r log.Record) error { found[r.LSN] = r; return nil })
	if err != nil {
		t.Errorf("%s: %v", when, err)
		return
	}
	defer tr.l.Close()
	if len(rep.Damaged) > 0 || len(rep.SetAside) > 0 {
		t.Errorf("%s: %+v", when, rep)
	}
	for lsn, p := range tr.acked {
		r, ok := found[lsn]
		if !ok || r.BodyID != p.id {
			t.Errorf("%s: record %d was acknowledged, found is %+v", when, lsn, r)
			return
		}
		if err := tr.hold(r.Place, p); err != nil {
			t.Errorf("%s: record %d: %v", when, lsn, err)
			return
		}
	}
	if n := len(found); n > len(tr.acked)+1 { // one may be durable and unanswered
		t.Errorf("%s: %d records, %d were acknowledged", when, n, len(tr.acked))
	}
	files, err := os.ReadDir(tr.dir)
	if err != nil || len(files) > rep.Segments+4+stayed { // three are spares, one made in a hurry; one is the folder of large bodies
		t.Errorf("%s: %d segments and files %v, %v", when, rep.Segments, files, err)
	}
}

// hold compares a stored body with what was promised.
func (tr *trial) hold(p log.Place, want promise) error {
	b, err := tr.l.Body(p, want.id)
	if err != nil {
		return err
	}
	defer b.Close()
	got, err := io.ReadAll(io.NewSectionReader(b, 0, b.Size()))
	if err == nil && !bytes.Equal(got, content(want.id, want.size)) {
		err = errors.New("another body")
	}
	return err
}

// TestEveryCallFails has each call in turn that changes something fail, and all
// from it on. What is refused says why, what was acknowledged stays, what is
// there can be read, and when calls succeed again mail is taken again. For lack
// of space the process may end only where the current segment is written: what
// is on disk is then unknown.
func TestEveryCallFails(t *testing.T) {
	for _, c := range []struct {
		err    error
		refuse error // what a letter may be refused with
		ops    []logtest.Op
		ends   []string // how the last word of a process may begin
	}{
		{syscall.ENOSPC, log.ErrNoSpace, logtest.Growing, []string{"writing segment", "syncing segment"}},
		{syscall.EIO, syscall.EIO, logtest.Changing, []string{"writing segment", "syncing segment", "cutting segment"}},
		{syscall.EROFS, syscall.EROFS, logtest.Changing, []string{"writing segment", "syncing segment", "cutting segment"}},
	} {
		t.Run(c.err.Error(), func(t *testing.T) {
			t.Parallel()
			calls := callsWithoutFaults(t, c.ops)
			ends, refusals := 0, 0
			every := 6
			if n, err := strconv.Atoi(os.Getenv(faultsEvery)); err == nil {
				every = max(1, n)
			}
			for n := 1 + rand.IntN(every); n <= calls; n += every {
				for _, to := range []int{n, 0} {
					when := fmt.Sprintf("call %d, to %d", n, to)
					tr := newTrial(t)
					tr.faults.Set(logtest.Rule{Ops: c.ops, From: n, To: to, Err: c.err})
					ended, err := tr.run(c.err, c.refuse)
					if err != nil {
						t.Errorf("%s: %v; failed were %v", when, err, tr.faults.Failed())
					}
					if ended != nil {
						ends++
						if !slices.ContainsFunc(c.ends, func(s string) bool { return strings.HasPrefix(ended.Error(), s) }) {
							t.Errorf("%s: the process ends: %v", when, ended)
						}
					}
					refusals += tr.refused
					tr.audit(t, when)
					if t.Failed() {
						return
					}
				}
			}
			t.Logf("%d calls; %d ends, %d refusals", calls, ends, refusals)
			if calls < 100 || ends == 0 || refusals == 0 {
				t.Error("that proves little")
			}
		})
	}
}

// faultsEvery in the environment is of how many calls tests of faults fail one;
// 1 fails every call.
const faultsEvery = "MAILSTEAD_FAULTS"

// run works with faults and then without. It returns why the process would
// have ended, and what is wrong.
func (tr *trial) run(fault, mayRefuse error) (ended, wrong error) {
	if _, err := tr.open(func(log.Record) error { return nil }); err != nil {
		if !errors.Is(err, fault) {
			return nil, fmt.Errorf("opening: %w", err)
		}
		return nil, nil
	}
	defer tr.l.Close() // it says so if a full segment could not be cut
	wrong = tr.work(mayRefuse)
	for _, p := range tr.acked {
		if err := tr.hold(p.place, p); err != nil {
			return nil, fmt.Errorf("reading: %w", err)
		}
	}
	if ended = tr.ended(); ended != nil || wrong != nil {
		return ended, wrong
	}
	tr.faults.Stop()
	if err := tr.put(false); err != nil {
		return nil, fmt.Errorf("without faults again: %w", err)
	}
	return nil, nil
}

// TestReadErrorsAtOpen has each read of a start fail, and all from it on. The
// start fails, or names what it cannot read; nothing is cut or thrown away for
// it, so that the next start finds everything.
func TestReadErrorsAtOpen(t *testing.T) {
	reads := []logtest.Op{logtest.Open, logtest.ReadDir, logtest.Read, logtest.Size}
	whole := newTrial(t)
	if _, err := whole.open(func(log.Record) error { return nil }); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(whole.work(nil), whole.l.Close()); err != nil {
		t.Fatal(err)
	}
	whole.faults.Set(logtest.Rule{Ops: reads})
	if _, err := whole.open(func(log.Record) error { return nil }); err != nil {
		t.Fatal(err)
	}
	calls := whole.faults.Calls()
	if err := whole.l.Close(); err != nil {
		t.Fatal(err)
	}
	failed, named := 0, 0
	for n := 1; n <= calls; n++ {
		for _, to := range []int{n, 0} {
			when := fmt.Sprintf("read %d, to %d", n, to)
			tr := newTrial(t)
			tr.acked, tr.n = whole.acked, whole.n
			if err := os.CopyFS(tr.dir, os.DirFS(whole.dir)); err != nil {
				t.Fatal(err)
			}
			tr.faults.Set(logtest.Rule{Ops: reads, From: n, To: to, Err: syscall.EIO})
			count := 0
			rep, err := tr.open(func(log.Record) error { count++; return nil })
			switch {
			case err == nil && len(rep.Damaged) == 0 && count < len(whole.acked):
				t.Errorf("%s: opened with %d of %d records, and nobody is told: %+v; failed were %v", when, count, len(whole.acked), rep, tr.faults.Failed())
			case err == nil:
				named += len(rep.Damaged)
				if err := tr.l.Close(); err != nil && !errors.Is(err, syscall.EIO) {
					t.Errorf("%s: Close: %v", when, err)
				}
			case !errors.Is(err, syscall.EIO):
				t.Errorf("%s: %v", when, err)
			default:
				failed++
			}
			tr.audit(t, when)
			if t.Failed() {
				return
			}
		}
	}
	t.Logf("%d reads; %d starts failed, %d losses were named", calls, failed, named)
	if calls < 10 || failed == 0 {
		t.Error("that proves little")
	}
}

// callsWithoutFaults counts the calls of the workload when none fails.
func callsWithoutFaults(t *testing.T, ops []logtest.Op) int {
	t.Helper()
	tr := newTrial(t)
	tr.faults.Set(logtest.Rule{Ops: ops})
	if _, err := tr.open(func(log.Record) error { return nil }); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(tr.work(nil), tr.l.Close()); err != nil {
		t.Fatal(err)
	}
	calls := tr.faults.Calls()
	tr.audit(t, "without faults")
	return calls
}
