package mailbox

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	goimap "github.com/emersion/go-imap/v2"
)

var (
	modelTime = flag.Duration("model", time.Second, "how long TestSessionsAgainstLedger works")
	modelSeed = flag.Uint64("modelseed", 0, "seed of TestSessionsAgainstLedger; 0 = another each time")
)

// ledger is what sessions that race were told, entry by entry. A message is
// known by mailbox and UID; whatever the order in which the store decided, each
// is made once, taken away once at most, and what is left is what was made and
// not taken away.
type ledger struct {
	mu   sync.Mutex
	made map[spotOf]string // the letter there, or from what it was copied
	from map[spotOf]spotOf // of copies and of what was moved
	gone map[spotOf]bool   // answered
	try  map[spotOf]bool   // asked to be taken away: it may be gone without an answer
	errs []error
}

// spotOf is where a message is or was.
type spotOf struct {
	account AccountID
	box     string
	uid     goimap.UID
}

func newLedger() *ledger {
	return &ledger{made: make(map[spotOf]string), from: make(map[spotOf]spotOf), gone: make(map[spotOf]bool), try: make(map[spotOf]bool)}
}

func (l *ledger) complain(format string, args ...any) {
	l.errs = append(l.errs, fmt.Errorf(format, args...))
}

func (l *ledger) make(at spotOf, text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, twice := l.made[at]; twice {
		l.complain("%v was given twice", at)
	}
	l.made[at] = text
}

func (l *ledger) copied(from, to spotOf, moved bool) {
	l.make(to, "")
	l.mu.Lock()
	l.from[to] = from
	l.mu.Unlock()
	if moved {
		l.take(from)
	}
}

func (l *ledger) asked(account AccountID, box string, uids []goimap.UID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, uid := range uids {
		l.try[spotOf{account, box, uid}] = true
	}
}

func (l *ledger) take(at spotOf) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.gone[at] {
		l.complain("%v was taken away twice", at)
	}
	l.gone[at] = true
}

// text is the letter at a spot, whatever it was copied from. l.mu is held.
func (l *ledger) text(at spotOf) string {
	for l.made[at] == "" {
		from, ok := l.from[at]
		if !ok {
			return ""
		}
		at = from
	}
	return l.made[at]
}

// stage is a store under sessions that race.
type stage struct {
	t        *testing.T
	s        *Store
	accounts []AccountID
	ledger   *ledger
	deleted  *deletedMail // what was deleted must be restorable; nil where retention is off
	swaps    [2]int       // counted by sessions, of each account's counter

	mu      sync.Mutex
	letters int
	refused int // over quota
	steps   int
	crashAt int           // the step at which it crashes
	crash   chan struct{} // closed then
}

const (
	modelSessions = 4
	leastSteps    = 60 // of a session
	modelQuota    = 60 // messages of the second account
)

var modelBoxes = []string{"INBOX", "Archive", "Trash"}

// TestSessionsAgainstLedger has sessions of two accounts, one of them at the
// edge of its quota, deliver, copy, move, expunge, restore, count by
// UNCHANGEDSINCE and read slowly, while space is cleaned and checkpoints are made;
// then it crashes in the middle of that. What sessions were told must be what is there, bodies
// name their owners, and the check finds nothing. The seed is printed: it
// decides what is tried, the scheduler what races.
func TestSessionsAgainstLedger(t *testing.T) {
	seed := *modelSeed
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("seed %d", seed)
	rounds := 0
	for end := time.Now().Add(*modelTime); !t.Failed() && (rounds == 0 || time.Now().Before(end)); rounds++ {
		r := rand.New(rand.NewPCG(seed, uint64(rounds)))
		newStage(t, r).round(r)
	}
	t.Logf("%d rounds", rounds)
}

func newStage(t *testing.T, r *rand.Rand) *stage {
	o := testOptions(t)
	o.CommitEvery = 5 * time.Millisecond
	var deleted *deletedMail
	if r.IntN(2) == 0 {
		o.Retention = -1 // what is expunged is cleaned away
	} else {
		deleted = newDeletedMail()
	}
	s, err := Open(t.TempDir(), o)
	if err != nil {
		t.Fatal(err)
	}
	s.cleaner.rest, s.cleaner.compactAfter, s.cleaner.compactLeast = 0, 1, 0
	m := &stage{t: t, s: s, ledger: newLedger(), deleted: deleted}
	for range m.swaps {
		m.accounts = append(m.accounts, newAccount(t, s))
	}
	if err := s.SetQuota(t.Context(), m.accounts[1], Quota{Messages: modelQuota}); err != nil {
		t.Fatal(err)
	}
	for _, a := range m.accounts {
		if _, err := s.Create(t.Context(), a, "Counter", ""); err != nil {
			t.Fatal(err)
		}
		deliver(t, s, a, "Counter", letter(0))
	}
	return m
}

// round has all sessions work, crashes meanwhile, and looks at both stores.
func (m *stage) round(r *rand.Rand) {
	ctx, cancel := context.WithCancel(m.t.Context())
	defer cancel()
	m.crashAt, m.crash = 1+r.IntN(modelSessions*leastSteps), make(chan struct{})
	var background, sessions sync.WaitGroup
	background.Go(func() { m.cleanUp(ctx) })
	for n := range modelSessions {
		seed := r.Uint64()
		sessions.Go(func() { m.session(n, rand.New(rand.NewPCG(seed, 1)), leastSteps+int(seed%40)) })
	}
	if m.deleted != nil {
		seed := r.Uint64()
		sessions.Go(func() { m.leave(rand.New(rand.NewPCG(seed, 1))) })
	}
	crashed := m.crashNow()
	sessions.Wait()
	cancel()
	background.Wait()
	m.toTheQuota(r)
	m.look(m.s, "running", nil)
	again := reopen(m.t, m.s)
	m.look(again, "opened again", nil)
	m.restoreAll(again, "opened again", nil)
	if crashed != nil {
		m.look(crashed.store, "crashed", crashed)
		m.restoreAll(crashed.store, "crashed", crashed)
		closeStore(m.t, crashed.store)
	}
}

// toTheQuota delivers until the quota refuses, if it has not yet.
func (m *stage) toTheQuota(r *rand.Rand) {
	for range modelQuota + 1 {
		err := m.deliver(r, 1)
		if errors.Is(err, ErrOverQuota) {
			return
		}
		if err != nil {
			m.t.Error(err)
			return
		}
	}
	m.t.Errorf("the quota refused nothing")
}

// cleanUp gives back space and makes checkpoints until ctx ends.
func (m *stage) cleanUp(ctx context.Context) {
	for ctx.Err() == nil {
		if err := m.s.pass(ctx); err != nil && ctx.Err() == nil {
			m.t.Errorf("cleaning: %v", err)
			return
		}
		select {
		case <-ctx.Done():
		case <-time.After(5 * time.Millisecond): // the sessions are to have the disk, too
		}
	}
}

func (m *stage) session(n int, r *rand.Rand, steps int) {
	account := n % len(m.accounts)
	for range steps {
		m.counted()
		var err error
		switch r.IntN(12) {
		case 10:
			err = m.restore(account)
		case 11:
			err = m.fillAndDelete(r, account)
		case 0, 1, 2, 3:
			err = m.deliver(r, account)
		case 4:
			err = m.transfer(r, account, false)
		case 5:
			err = m.transfer(r, account, true)
		case 6:
			err = m.expunge(r, account)
		case 7:
			err = m.count(account)
		default:
			err = m.read(r, account)
		}
		m.mu.Lock()
		if errors.Is(err, ErrOverQuota) && account == 1 {
			m.refused++
			err = nil
		}
		m.mu.Unlock()
		if err != nil {
			m.t.Errorf("session %d: %v", n, err)
			return
		}
	}
}

// counted counts a step, which may be the one that crashes.
func (m *stage) counted() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.steps++; m.steps == m.crashAt {
		close(m.crash)
	}
}

// modelLetter names its number in every line.
func modelLetter(n, lines int) string {
	return fmt.Sprintf("Subject: letter %d\r\n\r\n", n) + strings.Repeat(fmt.Sprintf("this is letter %d\r\n", n), lines)
}

func (m *stage) deliver(r *rand.Rand, account int) error {
	box := modelBoxes[r.IntN(2)]
	text, uid, err := m.deliverTo(r, m.accounts[account], box)
	if err == nil {
		m.ledger.make(spotOf{m.accounts[account], box, uid}, text)
	}
	return err
}

// deliverTo delivers the next letter.
func (m *stage) deliverTo(r *rand.Rand, a AccountID, box string) (text string, uid goimap.UID, err error) {
	m.mu.Lock()
	m.letters++
	n := m.letters
	m.mu.Unlock()
	lines := 1 + r.IntN(50)
	if r.IntN(10) == 0 {
		lines = 2500 // a file of its own
	}
	text = modelLetter(n, lines)
	b := m.s.NewBody()
	defer b.Abort()
	if _, err := b.Write([]byte(text)); err != nil {
		return "", 0, err
	}
	placed, err := m.s.Deliver(m.t.Context(), b, []Target{{Account: a, Name: box}}, nil)
	if err != nil {
		return "", 0, err
	}
	return text, placed[0].UID, placed[0].Err
}

// some opens a mailbox and chooses some of what it has, or what it once had.
func (m *stage) some(r *rand.Rand, account int) (box *Mailbox, name string, list []goimap.UID, err error) {
	name = modelBoxes[r.IntN(len(modelBoxes))]
	if box, err = m.s.OpenMailbox(m.t.Context(), m.accounts[account], name); err != nil {
		return nil, "", nil, err
	}
	v := box.View(false)
	runtime.Gosched()
	for _, uid := range v.UIDs() {
		if r.IntN(6) == 0 {
			list = append(list, uid)
		}
	}
	return box, name, list, nil
}

func (m *stage) transfer(r *rand.Rand, account int, move bool) error {
	box, name, list, err := m.some(r, account)
	if err != nil {
		return err
	}
	defer box.Close()
	to := modelBoxes[r.IntN(len(modelBoxes))]
	if len(list) == 0 || move && to == name {
		return nil // none would mean all; what stays where it is would be taken twice
	}
	act := box.Copy
	if move {
		act = box.Move
		m.ledger.asked(m.accounts[account], name, list)
	} else {
		list = list[:min(len(list), 3)]
	}
	done, err := act(m.t.Context(), list, to)
	if err != nil {
		return err
	}
	for i, uid := range done.Source {
		m.ledger.copied(spotOf{m.accounts[account], name, uid}, spotOf{m.accounts[account], to, done.Dest[i]}, move)
	}
	return nil
}

func (m *stage) expunge(r *rand.Rand, account int) error {
	box, name, list, err := m.some(r, account)
	if err != nil {
		return err
	}
	defer box.Close()
	m.ledger.asked(m.accounts[account], name, list)
	gone, err := box.Expunge(m.t.Context(), list, false)
	if err != nil {
		return err
	}
	for _, uid := range gone {
		m.ledger.take(spotOf{m.accounts[account], name, uid})
	}
	return nil
}

// counterBits are keywords that make a number.
var counterBits = []goimap.Flag{"b0", "b1", "b2", "b3", "b4", "b5", "b6", "b7", "b8", "b9"}

// counterOf reads the number of an account's counter.
func counterOf(box *Mailbox) (n int, at Row) {
	at = rows(box)[0]
	for i, name := range box.Keywords() {
		if at.Flags.Has(KeywordBit + i) {
			var bit int
			fmt.Sscanf(name, "b%d", &bit)
			n |= 1 << bit
		}
	}
	return n, at
}

// count adds one to the account's counter, unless another session was faster:
// UNCHANGEDSINCE loses no addition and makes none twice (RFC 7162 section 3.1.3).
func (m *stage) count(account int) error {
	box, err := m.s.OpenMailbox(m.t.Context(), m.accounts[account], "Counter")
	if err != nil {
		return err
	}
	defer box.Close()
	n, at := counterOf(box)
	runtime.Gosched()
	var flags []goimap.Flag
	for i, f := range counterBits {
		if (n+1)&(1<<i) != 0 {
			flags = append(flags, f)
		}
	}
	res, err := box.Store(m.t.Context(), StoreChange{UIDs: []goimap.UID{at.UID}, Op: FlagsReplace, Flags: flags, UnchangedSince: &at.ModSeq})
	if err == nil && res.Modified == nil {
		m.mu.Lock()
		m.swaps[account]++
		m.mu.Unlock()
	}
	return err
}

// read reads some letters slowly: meanwhile they are moved, expunged and cleaned away.
func (m *stage) read(r *rand.Rand, account int) error {
	box, name, _, err := m.some(r, account)
	if err != nil {
		return err
	}
	defer box.Close()
	list := rows(box)
	for range min(len(list), 3) {
		row := list[r.IntN(len(list))]
		got, err := readSlowly(m.s, row)
		if errors.Is(err, ErrGone) {
			continue
		}
		if err != nil {
			return fmt.Errorf("reading %s UID %d: %w", name, row.UID, err)
		}
		if !namesOne(got) {
			return fmt.Errorf("reading %s UID %d: another's bytes: %.200q", name, row.UID, got)
		}
	}
	return nil
}

func readSlowly(s *Store, row Row) (string, error) {
	b, err := s.OpenBody(row.Body)
	if err != nil {
		return "", err
	}
	defer b.Close()
	var text strings.Builder
	buf := make([]byte, 7000)
	for off := int64(0); off < row.Size; {
		n, err := b.ReadAt(buf[:min(int64(len(buf)), row.Size-off)], off)
		if n == 0 {
			return "", fmt.Errorf("at %d of %d: %w", off, row.Size, err)
		}
		text.Write(buf[:n])
		off += int64(n)
		runtime.Gosched()
	}
	return text.String(), nil
}

// namesOne reports whether a letter has one number from its first line to its last.
func namesOne(text string) bool {
	var n int
	if _, err := fmt.Sscanf(text, "Subject: letter %d\r\n", &n); err != nil {
		return false
	}
	return text == modelLetter(n, strings.Count(text, "\r\n")-2)
}

// crashed is a store as a crash left it, with what was certain before.
type crashed struct {
	store *Store
	made  []spotOf        // answered before it
	gone  map[spotOf]bool // answered before it
	mail  *deletedMail    // answered before it; nil where retention is off
}

// crashNow copies the store's files while all sessions work, and opens the copy.
func (m *stage) crashNow() *crashed {
	select {
	case <-m.crash:
	case <-time.After(time.Minute): // sessions have ended early, and said why
		m.t.Error("never came to the crash")
		return nil
	}
	release := m.s.keepFiles() // a copy takes time, in which a crash would remove nothing
	defer release()
	m.s.applier.commit.Lock()
	c := &crashed{gone: make(map[spotOf]bool)}
	m.ledger.mu.Lock()
	for at := range m.ledger.made {
		c.made = append(c.made, at)
	}
	for at := range m.ledger.gone {
		c.gone[at] = true
	}
	m.ledger.mu.Unlock()
	c.mail = m.deleted.clone()
	dir := m.t.TempDir()
	err := copyWhileRunning(dir, m.s.dir)
	m.s.applier.commit.Unlock()
	if err != nil {
		m.t.Errorf("copying the store: %v", err)
		return nil
	}
	c.store = openStore(m.t, dir)
	return c
}

// copyWhileRunning copies a store's folder as a crash at the beginning of the
// copy would have left it, or a moment later: later segments first, so that
// what one says of those before it is in their copies. No commit may be made
// and no file removed meanwhile.
func copyWhileRunning(to, from string) error {
	segments, err := filepath.Glob(filepath.Join(from, logFolder, "*.seg"))
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(to, logFolder), 0o700); err != nil {
		return err
	}
	slices.Sort(segments)
	for _, name := range slices.Backward(segments) {
		data, err := os.ReadFile(name)
		if err == nil {
			err = os.WriteFile(filepath.Join(to, logFolder, filepath.Base(name)), data, 0o600)
		}
		if err != nil {
			return err
		}
	}
	if err := copyInto(to, from, filepath.Join(logFolder, "big")); err != nil {
		return err
	}
	for _, name := range []string{stateFile, derivedFile} {
		data, err := os.ReadFile(filepath.Join(from, name))
		if err == nil {
			err = os.WriteFile(filepath.Join(to, name), data, 0o600)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// copyInto copies a folder of a store.
func copyInto(to, from, folder string) error {
	if err := os.MkdirAll(filepath.Join(to, folder), 0o700); err != nil {
		return err
	}
	return copyFolder(filepath.Join(to, folder), filepath.Join(from, folder))
}

// look holds a store against the ledger. Of a crashed one, what was answered
// before the crash must be there or gone; what came later may be.
func (m *stage) look(s *Store, when string, after *crashed) {
	l := m.ledger
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, err := range l.errs {
		m.t.Errorf("%s: %v", when, err)
	}
	found := make(map[spotOf]bool)
	for i, a := range m.accounts {
		for _, name := range modelBoxes {
			for _, row := range rows(open(m.t, s, a, name)) {
				at := spotOf{a, name, row.UID}
				found[at] = true
				got := text(m.t, s, row.Body)
				if want := l.text(at); want != got && (after == nil || want != "") || !namesOne(got) {
					m.t.Errorf("%s: %v is %.60q, want %.60q", when, at, got, want)
				}
			}
		}
		if n, _ := counterOf(open(m.t, s, a, "Counter")); after == nil && n != m.swaps[i] {
			m.t.Errorf("%s: %d additions were answered, the counter says %d", when, m.swaps[i], n)
		}
		if u, err := s.Usage(a); err != nil || i == 1 && u.Messages > modelQuota {
			m.t.Errorf("%s: %d messages, the quota is %d, %v", when, u.Messages, modelQuota, err)
		}
	}
	m.lookAtRestored(s, when, after)
	if after != nil {
		m.lookAfterCrash(found, after)
		return
	}
	for at := range l.made {
		if found[at] == l.gone[at] {
			m.t.Errorf("%s: %v: there %v, taken away %v", when, at, found[at], l.gone[at])
		}
	}
	if want := len(l.made) - len(l.gone); len(found) != want {
		m.t.Errorf("%s: %d messages, want %d", when, len(found), want)
	}
}

func (m *stage) lookAfterCrash(found map[spotOf]bool, after *crashed) {
	for _, at := range after.made {
		if !found[at] && !m.ledger.try[at] {
			m.t.Errorf("crashed: %v was answered and is lost", at)
		}
	}
	for at := range after.gone {
		if found[at] {
			m.t.Errorf("crashed: %v was taken away and is back", at)
		}
	}
}
