package mailbox

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	goimap "github.com/emersion/go-imap/v2"

	"mailstead/mailbox/log/logtest"
)

// failing is a store whose calls of the file system fail, and what it promised.
type failing struct {
	dir    string
	faults *logtest.Faults
	s      *Store
	a      AccountID

	mu    sync.Mutex
	fatal error // the process would have ended

	certain  map[string]string // letters in INBOX with their flags, as answered
	possible map[string]string // as it is if what was not answered was done all the same
	next     int
}

// newFailing makes a store with an account in memory, if there is a file system there.
func newFailing(t *testing.T) *failing {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "mailstead-test-")
	if err != nil {
		dir = t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	f := &failing{dir: dir, faults: logtest.New(nil, logtest.Rule{}), certain: make(map[string]string)}
	if err := f.open(); err != nil {
		t.Fatal(err)
	}
	f.a = newAccount(t, f.s)
	return f
}

func (f *failing) open() (err error) {
	f.fatal = nil
	f.s, err = Open(f.dir, Options{
		SegmentSize: 256 << 10, CommitEvery: 2 * time.Millisecond, FS: f.faults, Logger: slog.New(slog.DiscardHandler),
		Fatal: func(err error) {
			f.mu.Lock()
			defer f.mu.Unlock()
			f.fatal = errors.Join(f.fatal, err)
		},
	})
	return err
}

func (f *failing) ended() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.fatal
}

// try does something that changes the letters to what change makes of them.
func (f *failing) try(change func(map[string]string), do func() error) error {
	f.possible = maps.Clone(f.certain)
	change(f.possible)
	err := do()
	switch {
	case err == nil:
		f.certain, f.possible = f.possible, nil
	case f.ended() == nil:
		f.possible = nil // refused: nothing of it may be there
	}
	return err
}

func (f *failing) deliver(lines int) error {
	f.next++
	text := modelLetter(f.next, lines)
	return f.try(func(to map[string]string) { to[text] = "" }, func() error {
		b := f.s.NewBody()
		defer func() {
			if f.ended() == nil { // else there is no process that would remove what a record may name
				b.Abort()
			}
		}()
		if _, err := b.Write([]byte(text)); err != nil {
			return err
		}
		placed, err := f.s.Deliver(context.Background(), b, []Target{{Account: f.a, Name: inbox}}, nil)
		if err != nil {
			return err
		}
		return placed[0].Err
	})
}

// onSome opens INBOX and does something with every second letter.
func (f *failing) onSome(change func(to map[string]string, text string), do func(*Mailbox, []goimap.UID) error) error {
	m, err := f.s.OpenMailbox(context.Background(), f.a, inbox)
	if err != nil {
		return err
	}
	defer m.Close()
	var uids []goimap.UID
	var texts []string
	for i, r := range rows(m) {
		if i%2 == 0 {
			text, err := readSlowly(f.s, r)
			if err != nil {
				return err
			}
			uids, texts = append(uids, r.UID), append(texts, text)
		}
	}
	if len(uids) == 0 {
		return nil
	}
	return f.try(func(to map[string]string) {
		for _, text := range texts {
			change(to, text)
		}
	}, func() error { return do(m, uids) })
}

func (f *failing) flag() error {
	return f.onSome(func(to map[string]string, text string) { to[text] = `\Seen` }, func(m *Mailbox, uids []goimap.UID) error {
		_, err := m.Store(context.Background(), StoreChange{UIDs: uids, Op: FlagsReplace, Flags: []goimap.Flag{`\Seen`}})
		return err
	})
}

func (f *failing) expunge() error {
	return f.onSome(func(to map[string]string, text string) { delete(to, text) }, func(m *Mailbox, uids []goimap.UID) error {
		_, err := m.Expunge(context.Background(), uids, false)
		return err
	})
}

// work does a bit of everything. It ends when the process would; the error is
// one that should not be.
func (f *failing) work(allowed ...error) (refused int, err error) {
	for i := range 45 {
		var err error
		switch {
		case i%15 == 14:
			err = f.s.pass(context.Background())
		case i%9 == 8:
			err = f.expunge()
		case i%5 == 4:
			err = f.flag()
		case i%4 == 3:
			err = f.deliver(2500) // a file of its own
		default:
			err = f.deliver(1200)
		}
		if f.ended() != nil {
			return refused, nil
		}
		if err != nil && !slices.ContainsFunc(allowed, func(a error) bool { return errors.Is(err, a) }) {
			return refused, fmt.Errorf("step %d: %w", i, err)
		}
		if err != nil {
			refused++
		}
	}
	return refused, nil
}

// audit ends the store and opens it without faults: all that was answered is there.
func (f *failing) audit(t *testing.T, when string) {
	t.Helper()
	f.faults.Stop()
	if f.s != nil {
		f.s.Close() // says what it could not do any more
	}
	if err := f.open(); err != nil {
		t.Errorf("%s: %v", when, err)
		return
	}
	found := make(map[string]string)
	m := open(t, f.s, f.a, inbox)
	for _, r := range rows(m) {
		flags := ""
		if r.Flags.Has(FlagSeen) {
			flags = `\Seen`
		}
		found[text(t, f.s, r.Body)] = flags
	}
	m.Close()
	if !maps.Equal(found, f.certain) && (f.possible == nil || !maps.Equal(found, f.possible)) {
		t.Errorf("%s: %d letters, answered were %d", when, len(found), len(f.certain))
	}
	if err := errors.Join(f.deliver(1), f.s.Check(), f.s.Close()); err != nil {
		t.Errorf("%s: afterwards: %v", when, err)
	}
}

// faultsEvery in the environment is of how many calls tests of faults fail one;
// 1 fails every call.
const faultsEvery = "MAILSTEAD_FAULTS"

// TestStoreOnFailingDisk has calls of the file system fail under a store that
// receives, changes, expunges, cleans and makes checkpoints: one in turn, and
// all from it on. Nothing answered is lost, nothing refused is there, and the
// store serves again. (The databases' own writes are bbolt's: TestCommitOnFullDisk.)
func TestStoreOnFailingDisk(t *testing.T) {
	for _, c := range []struct {
		err     error
		allowed []error
		ops     []logtest.Op
	}{
		{syscall.ENOSPC, []error{ErrNoSpace, syscall.ENOSPC}, logtest.Growing},
		{syscall.EIO, []error{syscall.EIO}, logtest.Changing},
		{syscall.EROFS, []error{syscall.EROFS}, logtest.Changing},
		{syscall.EMFILE, []error{syscall.EMFILE}, []logtest.Op{logtest.Create, logtest.Open, logtest.SyncDir, logtest.ReadDir}},
	} {
		t.Run(c.err.Error(), func(t *testing.T) {
			t.Parallel()
			calls := callsOfStore(t, c.ops)
			every := max(1, number(faultsEvery, calls/6))
			ends, refused := 0, 0
			for n := 1 + rand.IntN(every); n <= calls && !t.Failed(); n += every {
				for _, to := range []int{n, 0} {
					f := newFailing(t)
					f.faults.Set(logtest.Rule{Ops: c.ops, From: n, To: to, Err: c.err})
					r, err := f.work(c.allowed...)
					if err != nil {
						t.Errorf("call %d, to %d: %v; failed were %v", n, to, err, f.faults.Failed())
					}
					if f.ended() != nil {
						ends++
					}
					refused += r
					f.audit(t, fmt.Sprintf("call %d, to %d", n, to))
				}
			}
			t.Logf("%d calls; %d ends, %d refusals", calls, ends, refused)
			if calls < 10 || ends+refused == 0 {
				t.Error("that proves little")
			}
		})
	}
}

// callsOfStore counts the calls of the workload when none fails.
func callsOfStore(t *testing.T, ops []logtest.Op) int {
	t.Helper()
	f := newFailing(t)
	f.faults.Set(logtest.Rule{Ops: ops})
	if _, err := f.work(); err != nil || len(f.certain) < 5 {
		t.Fatalf("%d letters, %v", len(f.certain), err)
	}
	calls := f.faults.Calls()
	f.audit(t, "without faults")
	return calls
}

// TestOpenOnReadOnlyDisk says what is wrong, and changes nothing.
func TestOpenOnReadOnlyDisk(t *testing.T) {
	f := newFailing(t)
	if _, err := f.work(); err != nil {
		t.Fatal(err)
	}
	if err := f.s.Close(); err != nil {
		t.Fatal(err)
	}
	f.faults.Set(logtest.Rule{Ops: logtest.Changing, From: 1, Err: syscall.EROFS})
	if err := f.open(); !errors.Is(err, syscall.EROFS) || !strings.Contains(err.Error(), f.dir) {
		t.Errorf("opening says %v", err)
	}
	f.audit(t, "writable again")
}

// TestClockJumps moves the clock ahead and back. Dates are those of the moment,
// UIDVALIDITY never falls, and nothing is lost.
func TestClockJumps(t *testing.T) {
	const day = 24 * time.Hour
	start := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	now := start
	var mu sync.Mutex
	o := testOptions(t)
	o.Now = func() time.Time { mu.Lock(); defer mu.Unlock(); return now }
	dir := t.TempDir()
	s, err := Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	a := newAccount(t, s)
	validity := uint32(0)
	for i, jump := range []time.Duration{0, day, 3650 * day, -day, -3650 * day, 10 * time.Second} {
		mu.Lock()
		now = start.Add(jump)
		mu.Unlock()
		name := fmt.Sprint("made ", i)
		info, err := s.Create(t.Context(), a, name, "")
		if err != nil || info.UIDValidity <= validity {
			t.Errorf("%v: UIDVALIDITY %d after %d, %v", jump, info.UIDValidity, validity, err)
		}
		validity = info.UIDValidity
		if err := s.Delete(t.Context(), a, name); err != nil {
			t.Fatal(err)
		}
		if info, err = s.Create(t.Context(), a, name, ""); err != nil || info.UIDValidity <= validity {
			t.Errorf("%v: made again with UIDVALIDITY %d after %d, %v", jump, info.UIDValidity, validity, err)
		}
		validity = info.UIDValidity
		deliver(t, s, a, inbox, letter(i))
		m := open(t, s, a, inbox)
		list := rows(m)
		m.Close()
		if len(list) != i+1 || list[i].Internal.Unix != now.Unix() {
			t.Errorf("%v: %d letters, the last of %+v", jump, len(list), list[len(list)-1].Internal)
		}
		closeStore(t, s)
		if s, err = Open(dir, o); err != nil {
			t.Fatalf("%v: %v", jump, err)
		}
	}
	closeStore(t, s)
}
