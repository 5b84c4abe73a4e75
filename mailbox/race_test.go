package mailbox

import (
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	goimap "github.com/emersion/go-imap/v2"

	"mailstead/mailbox/message"
)

// TestSessionsAtOnce has sessions deliver, change, move, expunge and look at
// the same mailboxes, with the databases always being brought up, and then
// crashes. Nothing that was acknowledged may be missing.
func TestSessionsAtOnce(t *testing.T) {
	o := testOptions(t)
	o.CommitEvery = time.Millisecond
	s, err := Open(t.TempDir(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeStore(t, s) })
	a := newAccount(t, s)
	const sessions, letters = 6, 60
	var sent [sessions][]string
	var work sync.WaitGroup
	for n := range sessions {
		work.Go(func() {
			r := rand.New(rand.NewPCG(uint64(n), 7))
			m := open(t, s, a, []string{"INBOX", "Archive"}[n%2])
			v := m.View(n < 2)
			for i := range letters {
				body := letter(n*letters + i)
				deliver(t, s, a, []string{"INBOX", "Archive"}[r.IntN(2)], body, "key"+goimap.Flag(fmt.Sprint(r.IntN(8))))
				sent[n] = append(sent[n], body)
				actAtRandom(t, r, s, m, v)
			}
		})
	}
	work.Wait()
	checkSent(t, s, a, slices.Concat(sent[:]...))
	checkSent(t, crash(t, s), a, slices.Concat(sent[:]...))
}

// actAtRandom is a session's turn. Nothing is removed for good: messages only move.
func actAtRandom(t *testing.T, r *rand.Rand, s *Store, m *Mailbox, v *View) {
	ctx := t.Context()
	before := slices.Clone(v.UIDs())
	u := v.Update(r.IntN(2) == 0)
	if len(before)-len(u.Expunged) > int(v.Len()) {
		t.Errorf("view shrank from %d to %d with %d expunges", len(before), v.Len(), len(u.Expunged))
	}
	list := v.Rows(nil, 1, v.Len())
	msgs := make([]Message, len(list))
	for i := range list {
		msgs[i] = list[i].Message
	}
	var some []goimap.UID
	for _, uid := range v.UIDs() {
		if r.IntN(8) == 0 {
			some = append(some, uid)
		}
	}
	var err error
	switch r.IntN(5) {
	case 0:
		_, err = m.Store(ctx, StoreChange{UIDs: some, Op: FlagOp(r.IntN(3)), Flags: []goimap.Flag{`\Seen`, "key1"}})
	case 1:
		_, err = m.Move(ctx, some, []string{"INBOX", "Archive"}[r.IntN(2)])
	case 2:
		err = s.Indexes(msgs, func(i int, v message.View) error {
			if v.Size() != msgs[i].Size {
				t.Errorf("index of another message: %d bytes, want %d", v.Size(), msgs[i].Size)
			}
			return nil
		})
	case 3:
		for _, msg := range msgs[:min(len(msgs), 5)] {
			if b, err := s.OpenBody(msg.Body); err != nil {
				t.Error(err)
			} else if n, err := b.WriteTo(io.Discard); err != nil || n != msg.Size {
				t.Errorf("body of %d bytes, %v; want %d", n, err, msg.Size)
			} else {
				b.Close()
			}
		}
	default:
		err = s.Change(ctx, RoomChange{Room: "race", Key: fmt.Sprint(r.IntN(10)), Value: []byte("x")})
	}
	if err != nil {
		t.Error(err)
	}
}

// checkSent expects each letter once in INBOX or Archive.
func checkSent(t *testing.T, s *Store, a AccountID, want []string) {
	t.Helper()
	var have []string
	for _, name := range []string{"INBOX", "Archive"} {
		for _, r := range rows(open(t, s, a, name)) {
			have = append(have, text(t, s, r.Body))
		}
	}
	slices.Sort(have)
	slices.Sort(want)
	if !slices.Equal(have, want) {
		t.Errorf("%d letters, %d were acknowledged", len(have), len(want))
	}
}

// TestOneGroup has changes of one message meet in one flush: each is decided
// against what was numbered before it, though nothing of that is durable.
func TestOneGroup(t *testing.T) {
	s := newStore(t)
	a := newAccount(t, s)
	for i := range 3 {
		deliver(t, s, a, "INBOX", letter(i))
	}
	m := open(t, s, a, "INBOX")
	v := m.View(false)
	since := rows(m)[0].ModSeq
	held := holdPublish(t, s, a)

	type outcome struct {
		res     StoreResult
		removed []goimap.UID
		copied  Copied
		err     error
	}
	results := make([]outcome, 6)
	steps := []func(*outcome){
		func(o *outcome) { o.res, o.err = m.Store(t.Context(), storeOf(1, FlagsAdd, `\Seen`, &since)) },
		func(o *outcome) { o.res, o.err = m.Store(t.Context(), storeOf(1, FlagsAdd, `\Flagged`, &since)) },
		func(o *outcome) { o.removed, o.err = m.Expunge(t.Context(), []goimap.UID{2}, false) },
		func(o *outcome) { o.copied, o.err = m.Copy(t.Context(), []goimap.UID{1, 2, 3}, "INBOX") },
		func(o *outcome) { o.res, o.err = m.Store(t.Context(), storeOf(5, FlagsAdd, `\Deleted`, nil)) },
		func(o *outcome) { o.removed, o.err = m.ExpungeAll(t.Context(), true) },
	}
	var work sync.WaitGroup
	for i, step := range steps {
		if i == 1 {
			work.Go(func() { step(&results[i]) }) // changes nothing, so it gets no number
			continue
		}
		next := s.nextLSN()
		work.Go(func() { step(&results[i]) })
		waitNumbered(s, next)
	}
	if u := v.Update(true); u.Exists || u.Expunged != nil || u.Changed != nil || v.Len() != 3 {
		t.Errorf("something is visible before it is durable: %+v", u)
	}
	held()
	work.Wait()
	for i, r := range results {
		if r.err != nil {
			t.Errorf("step %d: %v", i, r.err)
		}
	}
	if r := results[0].res; r.ModSeq == 0 || r.Modified != nil {
		t.Errorf("first STORE: %+v", r)
	}
	if r := results[1].res; r.ModSeq != 0 || !slices.Equal(r.Modified, []goimap.UID{1}) {
		t.Errorf("a STORE in the same group passed UNCHANGEDSINCE: %+v", r)
	}
	if r := results[3].copied; !slices.Equal(r.Source, []goimap.UID{1, 3}) || !slices.Equal(r.Dest, []goimap.UID{4, 5}) {
		t.Errorf("COPY of a message that is expunged in the same group: %+v", r)
	}
	if r := results[5].removed; !slices.Equal(r, []goimap.UID{5}) {
		t.Errorf("EXPUNGE of a copy with a flag of the same group: %v", r)
	}
	if got := uids(m); !slices.Equal(got, []goimap.UID{1, 3, 4}) {
		t.Errorf("left are %v", got)
	}
	if r := rows(m); r[0].Flags != (FlagSet{}).With(FlagSeen) || r[2].Flags != r[0].Flags {
		t.Errorf("the copy has flags %v, its source %v", r[2].Flags, r[0].Flags)
	}
}

func storeOf(uid goimap.UID, op FlagOp, flag goimap.Flag, since *ModSeq) StoreChange {
	return StoreChange{UIDs: []goimap.UID{uid}, Op: op, Flags: []goimap.Flag{flag}, UnchangedSince: since}
}

// holdPublish stops the log in the middle of publishing a change, so that what
// is numbered meanwhile becomes one group. The result lets it go on.
func holdPublish(t *testing.T, s *Store, a AccountID) (release func()) {
	t.Helper()
	s.overlay.mu.Lock()
	next := s.nextLSN()
	done := make(chan error, 1)
	go func() { done <- s.Change(t.Context(), RoomChange{Room: "hold", Key: "k", Value: []byte("v")}) }()
	waitNumbered(s, next)
	return func() {
		s.overlay.mu.Unlock()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

func (s *Store) nextLSN() uint64 {
	s.seq.Lock()
	defer s.seq.Unlock()
	return uint64(s.last) + 1
}

// waitNumbered waits until the record with the number is decided.
func waitNumbered(s *Store, lsn uint64) {
	for s.nextLSN() <= lsn {
		runtime.Gosched()
	}
}

// TestLoadingBesideCommits loads a mailbox again and again while it gets
// messages and state.db is brought up: whatever comes between reading state.db
// and laying the changes over it must be in neither twice nor nowhere.
func TestLoadingBesideCommits(t *testing.T) {
	s := newStore(t)
	a := newAccount(t, s)
	deliver(t, s, a, "INBOX", letter(1))
	m := open(t, s, a, "INBOX")
	for len(rows(m)) < 2000 {
		if _, err := m.Copy(t.Context(), uids(m), "INBOX"); err != nil {
			t.Fatal(err)
		}
	}
	commit(t, s)
	stop := make(chan struct{})
	var work sync.WaitGroup
	work.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
				deliver(t, s, a, "INBOX", letter(i))
				commit(t, s)
			}
		}
	})
	b := m.box
	for range 100 {
		b.drop()
		if err := s.hold(b); err != nil {
			t.Fatal(err)
		}
		b.mu.RLock()
		if n := uint32(b.messages.len()); n != b.durable.messages || b.messages.uids[n-1] != b.durable.uidNext-1 {
			t.Errorf("%d messages up to UID %d were loaded; the header says %+v", n, b.messages.uids[n-1], b.durable)
		}
		b.mu.RUnlock()
		s.release(b)
	}
	close(stop)
	work.Wait()
}
