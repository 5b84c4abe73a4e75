package mailbox

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	goimap "github.com/emersion/go-imap/v2"
)

// retainedLetter is one letter of the model: in a mailbox, deleted, or purged
// and then not in the model any more.
type retainedLetter struct {
	box string // it is in, or was in
	at  int64  // when it was deleted; 0 = it is there
	in  int    // the making of box that it was in
}

// retainedBox is a deleted mailbox.
type retainedBox struct {
	name string
	at   int64
	in   int
}

// retentionModel is a store with one account, in the simplest terms.
type retentionModel struct {
	t       *testing.T
	rand    *rand.Rand
	clock   *fakeClock
	s       *Store
	a       AccountID
	made    int
	boxes   map[string]int // by name: which making of it
	letters map[int]*retainedLetter
	gone    []retainedBox
	last    int
	log     []string
}

// TestRestoreModel deletes, restores, purges and crashes at random, and holds
// the store against the model after each step.
func TestRestoreModel(t *testing.T) {
	for seed := range uint64(trialsOf(3, 1)) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			m := &retentionModel{t: t, rand: rand.New(rand.NewPCG(seed, 7)), clock: newFakeClock(),
				boxes: map[string]int{}, letters: map[int]*retainedLetter{}}
			m.s = m.clock.open(t, t.TempDir(), 0)
			m.a = newAccount(t, m.s)
			for _, name := range names(t, m.s, m.a) {
				m.make(name)
			}
			for range 50 {
				m.step()
				m.compare()
				if t.Failed() {
					t.Fatalf("seed %d: %v", seed, m.log)
				}
			}
			closeStore(t, m.s)
		})
	}
}

func (m *retentionModel) make(name string) {
	m.made++
	m.boxes[name] = m.made
}

func (m *retentionModel) must(err error) {
	m.t.Helper()
	if err != nil {
		m.t.Fatalf("%v: %v", m.log, err)
	}
}

func (m *retentionModel) step() {
	m.clock.pass(time.Minute) // no two deletions are at one time
	steps := []struct {
		name string
		do   func()
	}{
		{"deliver", m.deliver}, {"deliver", m.deliver}, {"expunge", m.expunge}, {"expunge", m.expunge}, {"move", m.move},
		{"delete mailbox", m.deleteBox}, {"restore mailbox", m.restoreBox}, {"restore messages", m.restoreMessages},
		{"account", m.account}, {"days", m.days}, {"restart", m.restart},
	}
	s := steps[m.rand.IntN(len(steps))]
	m.log = append(m.log, s.name)
	s.do()
}

func (m *retentionModel) someBox() string {
	list := slices.Sorted(maps.Keys(m.boxes))
	return list[m.rand.IntN(len(list))]
}

// in returns the letters that are in a mailbox, ascending.
func (m *retentionModel) in(name string) (list []int) {
	for n, l := range m.letters {
		if l.at == 0 && l.box == name {
			list = append(list, n)
		}
	}
	slices.Sort(list)
	return list
}

func (m *retentionModel) deliver() {
	name := m.someBox()
	for range 1 + m.rand.IntN(40) {
		m.last++
		deliver(m.t, m.s, m.a, name, letter(m.last))
		m.letters[m.last] = &retainedLetter{box: name}
	}
}

func (m *retentionModel) drop(n int) {
	l := m.letters[n]
	l.at, l.in = m.clock.wall.Unix(), m.boxes[l.box]
}

// some returns the rows of about a third of what is in a mailbox, with the letters they are.
func (m *retentionModel) some(b *Mailbox) (list []Row, letters []int) {
	for _, r := range rows(b) {
		if m.rand.IntN(3) == 0 {
			var n int
			_, err := fmt.Sscanf(text(m.t, m.s, r.Body), "From: a@example.test\r\nSubject: letter %d", &n)
			m.must(err)
			list, letters = append(list, r), append(letters, n)
		}
	}
	return list, letters
}

func (m *retentionModel) expunge() {
	b := open(m.t, m.s, m.a, m.someBox())
	defer b.Close()
	list, letters := m.some(b)
	_, err := b.Expunge(m.t.Context(), rowUIDs(list), false)
	m.must(err)
	for _, n := range letters {
		m.drop(n)
	}
}

func (m *retentionModel) move() {
	b, to := open(m.t, m.s, m.a, m.someBox()), m.someBox()
	defer b.Close()
	list, letters := m.some(b)
	_, err := b.Move(m.t.Context(), rowUIDs(list), to)
	m.must(err)
	for _, n := range letters {
		m.letters[n].box = to
	}
}

func (m *retentionModel) deleteBox() {
	name := m.someBox()
	if name == inbox {
		return
	}
	m.must(m.s.Delete(m.t.Context(), m.a, name))
	m.dropBox(name)
}

func (m *retentionModel) dropBox(name string) {
	for _, n := range m.in(name) {
		m.drop(n)
	}
	m.gone = append(m.gone, retainedBox{name, m.clock.wall.Unix(), m.boxes[name]})
	delete(m.boxes, name)
}

func (m *retentionModel) restoreBox() {
	if len(m.gone) == 0 {
		return
	}
	name := m.gone[m.rand.IntN(len(m.gone))].name
	_, err := m.s.RestoreMailbox(m.t.Context(), m.a, name)
	m.must(err)
	for i, g := range slices.Backward(m.gone) {
		if g.name == name {
			m.revive(g)
			m.gone = slices.Delete(m.gone, i, i+1)
			return
		}
	}
}

// revive brings a mailbox back under a free name.
func (m *retentionModel) revive(g retainedBox) {
	name := g.name
	for n := 1; m.boxes[name] != 0; n++ {
		name = g.name + " (restored)"
		if n > 1 {
			name = fmt.Sprintf("%s (restored %d)", g.name, n)
		}
	}
	m.make(name)
	for _, l := range m.letters {
		if l.at == g.at && l.in == g.in {
			*l = retainedLetter{box: name}
		}
	}
}

func (m *retentionModel) restoreMessages() {
	f := DeletedFilter{}
	if m.rand.IntN(2) == 0 {
		f.Mailbox = m.someBox()
	}
	r, err := m.s.RestoreMessages(m.t.Context(), m.a, f)
	m.must(err)
	want := 0
	for _, l := range m.letters {
		if l.at != 0 && (f.Mailbox == "" || l.box == f.Mailbox) {
			*l = retainedLetter{box: restoredName}
			want++
		}
	}
	if want > 0 && m.boxes[restoredName] == 0 {
		m.make(restoredName)
	}
	if r.Messages != want {
		m.t.Errorf("%d messages restored, want %d", r.Messages, want)
	}
}

// account deletes the account, passes some days and restores it.
func (m *retentionModel) account() {
	m.must(m.s.DeleteAccount(m.t.Context(), m.a))
	at := m.clock.wall.Unix()
	for _, name := range slices.Sorted(maps.Keys(m.boxes)) {
		m.dropBox(name)
	}
	if m.rand.IntN(2) == 0 {
		m.days()
	}
	_, err := m.s.RestoreAccount(m.t.Context(), m.a)
	m.must(err)
	var stay []retainedBox
	for _, g := range m.gone {
		if g.at == at {
			m.revive(g)
		} else {
			stay = append(stay, g)
		}
	}
	m.gone = stay
}

func (m *retentionModel) days() {
	m.clock.days(m.t, m.s, 1+m.rand.IntN(4))
	past := m.clock.wall.Add(-defaultRetention).Unix()
	maps.DeleteFunc(m.letters, func(_ int, l *retainedLetter) bool { return l.at != 0 && l.at < past })
	m.gone = slices.DeleteFunc(m.gone, func(g retainedBox) bool { return g.at < past })
}

func (m *retentionModel) restart() {
	old := m.s
	m.s = m.clock.restart(m.t, old, m.rand.IntN(2) == 0)
	closeStore(m.t, old)
}

// compare holds the store against the model.
func (m *retentionModel) compare() {
	m.t.Helper()
	var have []string
	for _, name := range names(m.t, m.s, m.a) {
		have = append(have, name)
		b := open(m.t, m.s, m.a, name)
		var texts []string
		for _, r := range rows(b) {
			texts = append(texts, text(m.t, m.s, r.Body))
		}
		b.Close()
		var want []string
		for _, n := range m.in(name) {
			want = append(want, letter(n))
		}
		slices.Sort(want)
		slices.Sort(texts)
		if !slices.Equal(texts, want) {
			m.t.Errorf("%s has %d letters, want %d", name, len(texts), len(want))
		}
	}
	if want := slices.Sorted(maps.Keys(m.boxes)); !slices.Equal(have, want) {
		m.t.Errorf("mailboxes %q, want %q", have, want)
	}
	var texts, want []string
	for _, d := range deletedOf(m.t, m.s, m.a, DeletedFilter{}, 50) {
		texts = append(texts, text(m.t, m.s, d.Body))
	}
	for n, l := range m.letters {
		if l.at != 0 {
			want = append(want, letter(n))
		}
	}
	slices.Sort(want)
	slices.Sort(texts)
	if !slices.Equal(texts, want) {
		m.t.Errorf("%d deleted letters, want %d", len(texts), len(want))
	}
	gone, err := m.s.DeletedMailboxes(m.a)
	m.must(err)
	same := slices.EqualFunc(gone, m.gone, func(g DeletedMailbox, w retainedBox) bool {
		return g.Deleted.Unix() == w.at
	})
	if !same {
		m.t.Errorf("deleted mailboxes %+v, want %+v", gone, m.gone)
	}
}

func rowUIDs(list []Row) []goimap.UID {
	uids := make([]goimap.UID, len(list))
	for i := range list {
		uids[i] = list[i].UID
	}
	return uids
}
