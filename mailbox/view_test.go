package mailbox

import (
	"fmt"
	"reflect"
	"slices"
	"testing"

	goimap "github.com/emersion/go-imap/v2"
)

// viewOf is a mailbox with n messages and a session's view of it.
func viewOf(t *testing.T, n int) (*Store, *Mailbox, *View) {
	s := newStore(t)
	a := newAccount(t, s)
	for i := range n {
		deliver(t, s, a, "INBOX", letter(i))
	}
	m := open(t, s, a, "INBOX")
	return s, m, m.View(true)
}

func expunge(t *testing.T, m *Mailbox, uids ...goimap.UID) {
	t.Helper()
	if got, err := m.Expunge(t.Context(), uids, false); err != nil || !slices.Equal(got, uids) {
		t.Fatalf("expunged %v, %v; want %v", got, err, uids)
	}
}

func setFlag(t *testing.T, m *Mailbox, flag goimap.Flag, uids ...goimap.UID) ModSeq {
	t.Helper()
	res, err := m.Store(t.Context(), StoreChange{UIDs: uids, Op: FlagsAdd, Flags: []goimap.Flag{flag}})
	if err != nil {
		t.Fatal(err)
	}
	return res.ModSeq
}

// summary is an Update without the rows' details.
type summary struct {
	Expunged []uint32
	Vanished []goimap.UID
	Exists   bool
	Changed  []uint32
}

func summarize(u Update) summary {
	s := summary{Expunged: u.Expunged, Vanished: u.Vanished, Exists: u.Exists}
	for _, r := range u.Changed {
		s.Changed = append(s.Changed, r.Seq)
	}
	return s
}

func expectUpdate(t *testing.T, u Update, want summary) {
	t.Helper()
	if got := summarize(u); !reflect.DeepEqual(got, want) {
		t.Errorf("update is %+v, want %+v", got, want)
	}
}

// TestSequenceNumbers has a second session expunge while the first one may not
// be told: its numbers stand still, new messages come behind, and what is gone
// is left out of Rows.
func TestSequenceNumbers(t *testing.T) {
	s, m, v := viewOf(t, 6)
	expectUpdate(t, v.Update(true), summary{})
	expunge(t, m, 2, 3, 5)
	deliver(t, s, m.box.account, "INBOX", letter(7))
	expectUpdate(t, v.Update(false), summary{Exists: true})
	if got := v.UIDs(); !slices.Equal(got, []goimap.UID{1, 2, 3, 4, 5, 6, 7}) {
		t.Errorf("the view has %v", got)
	}
	var seqs []uint32
	for _, r := range v.Rows(nil, 1, 99) {
		seqs = append(seqs, r.Seq)
		if seq, ok := v.Seq(r.UID); !ok || seq != r.Seq {
			t.Errorf("UID %d is %d, %v; its row says %d", r.UID, seq, ok, r.Seq)
		}
	}
	if !slices.Equal(seqs, []uint32{1, 4, 6, 7}) {
		t.Errorf("rows %v", seqs)
	}
	setFlag(t, m, `\Seen`, 6)
	expectUpdate(t, v.Update(false), summary{Changed: []uint32{6}})
	expectUpdate(t, v.Update(false), summary{})
	// Each as it counts at its moment: 2, then what was 3, then what was 5.
	expectUpdate(t, v.Update(true), summary{Expunged: []uint32{2, 2, 3}, Vanished: []goimap.UID{2, 3, 5}})
	if got := v.UIDs(); !slices.Equal(got, []goimap.UID{1, 4, 6, 7}) {
		t.Errorf("the view has %v", got)
	}
	expunge(t, m, 1, 4, 6, 7)
	deliver(t, s, m.box.account, "INBOX", letter(8))
	expunge(t, m, 8)
	deliver(t, s, m.box.account, "INBOX", letter(9))
	expectUpdate(t, v.Update(true), summary{Expunged: []uint32{1, 1, 1, 1}, Vanished: []goimap.UID{1, 4, 6, 7}, Exists: true})
	if got := v.UIDs(); !slices.Equal(got, []goimap.UID{9}) {
		t.Errorf("the view has %v", got)
	}
}

// TestExpungeOwed has an expunge be held back with nothing new after it.
func TestExpungeOwed(t *testing.T) {
	_, m, v := viewOf(t, 3)
	expunge(t, m, 2)
	expectUpdate(t, v.Update(false), summary{})
	expectUpdate(t, v.Update(true), summary{Expunged: []uint32{2}, Vanished: []goimap.UID{2}})
	expectUpdate(t, v.Update(true), summary{})
}

// TestReported does not tell a session what it told its client itself, unless
// somebody changed it again.
func TestReported(t *testing.T) {
	_, m, v := viewOf(t, 3)
	v.Reported(setFlag(t, m, `\Seen`, 1, 2))
	setFlag(t, m, `\Flagged`, 2)
	u := v.Update(true)
	expectUpdate(t, u, summary{Changed: []uint32{2}})
	if f := u.Changed[0].Flags; !f.Has(FlagSeen) || !f.Has(FlagFlagged) {
		t.Errorf("flags %x", f)
	}
	if setFlag(t, m, `\Seen`, 1, 2) != 0 {
		t.Error("flags that were there already changed something")
	}
	v.Reported(setFlag(t, m, `\Draft`, 3))
	expectUpdate(t, v.Update(true), summary{})
}

// TestRecent gives each message to one claiming session.
func TestRecent(t *testing.T) {
	s, m, first := viewOf(t, 3)
	second, examining := m.View(true), m.View(false)
	if first.RecentCount() != 3 || second.RecentCount() != 0 || examining.RecentCount() != 0 {
		t.Errorf("recent: %d, %d, %d", first.RecentCount(), second.RecentCount(), examining.RecentCount())
	}
	deliver(t, s, m.box.account, "INBOX", letter(4))
	if info, err := m.Info(); err != nil || info.Recent != 1 {
		t.Errorf("%+v, %v", info, err)
	}
	examining.Update(true)
	second.Update(true)
	first.Update(true)
	for i, c := range []struct {
		v    *View
		n    uint32
		four bool
	}{{first, 3, false}, {second, 1, true}, {examining, 1, true}} {
		if c.v.RecentCount() != c.n || c.v.Recent(4) != c.four || c.v.Recent(5) {
			t.Errorf("session %d: %d recent, UID 4 %v", i, c.v.RecentCount(), c.v.Recent(4))
		}
	}
	expunge(t, m, 2)
	first.Update(true)
	if first.RecentCount() != 2 || !first.Recent(3) {
		t.Errorf("%d recent after an expunge", first.RecentCount())
	}
	deliver(t, s, m.box.account, "INBOX", letter(5))
	first.Update(true)
	for n := 6; n < 10; n++ {
		deliver(t, s, m.box.account, "INBOX", letter(n))
		first.Update(true)
		if !first.Recent(3) || first.Recent(4) || !first.Recent(goimap.UID(n)) || first.RecentCount() != uint32(n-2) {
			t.Errorf("%d recent after message %d", first.RecentCount(), n)
		}
	}
	if len(first.recent) != 2 {
		t.Errorf("a session has the ranges %v", first.recent)
	}
	deliver(t, s, m.box.account, "INBOX", letter(5))
	s = reopen(t, s) // claims were recorded on the way
	if info, err := s.Mailbox(m.box.account, "INBOX"); err != nil || info.Recent != 1 {
		t.Errorf("after a restart %+v, %v", info, err)
	}
}

// TestRecentStaysShort has a session idle through many deliveries.
func TestRecentStaysShort(t *testing.T) {
	s, m, claiming := viewOf(t, 2)
	examining := m.View(false)
	for i := range 20 {
		deliver(t, s, m.box.account, "INBOX", letter(i))
		claiming.Update(true)
		examining.Update(true)
	}
	if len(claiming.recent) != 1 || len(examining.recent) != 0 || claiming.RecentCount() != 22 {
		t.Errorf("%v and %v are recent", claiming.recent, examining.recent)
	}
	second := m.View(true)
	for i := range 6 {
		deliver(t, s, m.box.account, "INBOX", letter(i))
		[]*View{claiming, second}[i%2].Update(true)
	}
	for uid := goimap.UID(1); uid <= 28; uid++ {
		if want := uid <= 22 || uid%2 == 1; claiming.Recent(uid) != want || second.Recent(uid) == want {
			t.Errorf("UID %d: recent to the first %v, to the second %v", uid, claiming.Recent(uid), second.Recent(uid))
		}
	}
}

// TestChangesOfLate hears of as many changes as are remembered, and of more.
func TestChangesOfLate(t *testing.T) {
	_, m, often := viewOf(t, 2*maxLate)
	for n := 1; n <= maxLate+3; n++ {
		v := m.View(true)
		var want []uint32
		for uid := 1; uid <= n; uid++ {
			lsn := setFlag(t, m, goimap.Flag(fmt.Sprint("k", n)), goimap.UID(uid))
			if uid%3 == 0 {
				v.Reported(lsn)
			} else {
				want = append(want, uint32(uid))
			}
			expectUpdate(t, often.Update(true), summary{Changed: []uint32{uint32(uid)}})
		}
		expectUpdate(t, v.Update(true), summary{Changed: want})
		expectUpdate(t, v.Update(true), summary{})
	}
	if from, to := m.box.messages.flaggedSince(often.seen-1, nil); from != maxLate+2 || to != maxLate+3 {
		t.Errorf("the last change was looked for from %d to %d", from, to)
	}
}

// TestDeletedMailbox goes away under a session.
func TestDeletedMailbox(t *testing.T) {
	s := newStore(t)
	a := newAccount(t, s)
	deliver(t, s, a, "Junk", letter(1))
	m := open(t, s, a, "Junk")
	v := m.View(true)
	body := rows(m)[0].Body
	if err := s.Delete(t.Context(), a, "Junk"); err != nil {
		t.Fatal(err)
	}
	if !v.Update(true).Gone || len(v.Rows(nil, 1, 1)) != 0 || m.View(true).Len() != 0 {
		t.Error("the mailbox is still there")
	}
	if v := m.View(true); !v.Update(true).Gone {
		t.Error("a session that was late is not told")
	}
	if _, err := m.Info(); err != ErrGone {
		t.Errorf("Info: %v", err)
	}
	if _, err := m.Store(t.Context(), StoreChange{UIDs: []goimap.UID{1}, Op: FlagsAdd, Flags: []goimap.Flag{`\Seen`}}); err != ErrGone {
		t.Errorf("Store: %v", err)
	}
	if _, err := m.Copy(t.Context(), []goimap.UID{1}, "INBOX"); err != ErrGone {
		t.Errorf("Copy: %v", err)
	}
	if _, err := m.ExpungeAll(t.Context(), false); err != ErrGone {
		t.Errorf("Expunge: %v", err)
	}
	m.Close()
	if n, _ := unused(s); n != 0 {
		t.Error("its messages are kept")
	}
	if text(t, s, body) != letter(1) {
		t.Error("the body went before its retention ended")
	}
}

// TestFlagTableIsRebuilt gives a message more different flag sets than a table keeps.
func TestFlagTableIsRebuilt(t *testing.T) {
	m := new(messages)
	for uid := goimap.UID(1); uid <= 3; uid++ {
		m.add(&added{UID: uid, Flags: FlagSet{uint64(uid)}}, 1)
	}
	for n := range uint64(5 * minFlagTable) {
		m.setFlags(&flagRun{flags: FlagSet{1 << 20, n}, uids: []uidRange{{2, 2}}}, ModSeq(n+2))
		var row Message
		for i, want := range []FlagSet{{1}, {1 << 20, n}, {3}} {
			if m.at(i, &row); row.Flags != want {
				t.Fatalf("after %d changes message %d has flags %x, want %x", n+1, i+1, row.Flags, want)
			}
		}
	}
	if len(m.flags.sets) > 2*minFlagTable || len(m.flags.ids) != len(m.flags.sets) {
		t.Errorf("%d sets for 3 messages", len(m.flags.sets))
	}
}

// TestUnusedMailboxesLeaveMemory opens more than is kept.
func TestUnusedMailboxesLeaveMemory(t *testing.T) {
	s := newStore(t)
	a := newAccount(t, s)
	boxes := make([]*box, keepIdle+10)
	for i := range boxes {
		boxes[i] = &box{id: ID(1000 + i), account: a, told: 1}
		if err := s.hold(boxes[i]); err != nil {
			t.Fatal(err)
		}
	}
	for _, b := range boxes {
		s.release(b)
	}
	if n, _ := unused(s); n != keepIdle || boxes[9].messages != nil || boxes[10].messages == nil {
		t.Errorf("%d are kept", n)
	}
	// The longest unused one is being expunged from: the next goes instead.
	boxes[10].changes = []*change{{box: boxes[10], expunged: []uidRange{{1, 1}}}}
	if err := s.hold(boxes[0]); err != nil {
		t.Fatal(err)
	}
	s.release(boxes[0])
	if n, _ := unused(s); n != keepIdle || boxes[10].messages == nil || boxes[11].messages != nil {
		t.Errorf("%d are kept; the busy one %v", n, boxes[10].messages != nil)
	}
	boxes[10].changes = nil
	err := s.hold(boxes[20])
	if n, _ := unused(s); err != nil || n != keepIdle-1 {
		t.Errorf("reopened: %v, %d idle", err, n)
	}
	s.release(boxes[20])
}

func TestCut(t *testing.T) {
	for _, c := range []struct {
		spans []span
		want  string
	}{
		{nil, "abcdefgh"},
		{[]span{{0, 8}}, ""},
		{[]span{{0, 1}, {7, 8}}, "bcdefg"},
		{[]span{{2, 4}, {4, 5}}, "abfgh"},
		{[]span{{1, 2}, {3, 4}, {5, 6}}, "acegh"},
	} {
		if got := string(cut([]byte("abcdefgh"), c.spans)); got != c.want {
			t.Errorf("%v: %q, want %q", c.spans, got, c.want)
		}
	}
}
