package mailbox

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"mailstead/mailbox/log/disktest"
)

// trial is the life of one store through several power cuts.
type trial struct {
	seed    uint64
	dir     string // holds the lock only: all else is on the simulated disk
	rng     *rand.Rand
	known   *moments
	faults  simFaults
	d       *simDisk
	tenants []*tenant
	words   errorWords

	mu    sync.Mutex
	wrong error // the first contradiction that a goroutine found
}

// simFaults are the faults that the simulation must notice.
type simFaults struct {
	lies     func(moment string) bool // syncs that do nothing
	recovery bool                     // of segments, and only while the store opens
	cleaning bool                     // of segments, and only while it is cleaned
	corrupts bool                     // state.db may come out so that bbolt ends the process over it
	lost     bool                     // state.db is lost after each cut, not after some
	aim      string                   // the power always goes in this kind of moment
}

// moments are the kinds of changes that were seen, by how often the power went
// in them: cuts are aimed at the rare ones.
type moments struct {
	mu   sync.Mutex
	cuts map[string]int
	all  int
}

// aim draws a kind of moment.
func (m *moments) aim(rng *rand.Rand) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	names := slices.Sorted(maps.Keys(m.cuts))
	if len(names) == 0 {
		return ""
	}
	return names[rng.IntN(len(names))]
}

func (m *moments) saw(seen map[string]int, cut string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for moment := range seen {
		m.cuts[moment] += 0
	}
	m.all++
	if cut != "" {
		m.cuts[cut]++
	}
}

// errorWords collects what the store reports as an error: with a disk that
// only loses what was not synced, it has no reason to.
type errorWords struct {
	mu    sync.Mutex
	lines []string
}

func (w *errorWords) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lines = append(w.lines, string(bytes.TrimSpace(p)))
	return len(p), nil
}

func (w *errorWords) take() (lines []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	lines, w.lines = w.lines, nil
	return lines
}

func newTrial(dir string, seed uint64, known *moments, faults simFaults) *trial {
	t := &trial{seed: seed, dir: dir, rng: rand.New(rand.NewPCG(seed, 0)), known: known, faults: faults, d: newSimDisk(dir)}
	t.d.Lie(faults.lies)
	for i := range 1 + t.rng.IntN(3) {
		t.tenants = append(t.tenants, newTenant(fmt.Sprintf("tenant%d", i)))
	}
	return t
}

func (t *trial) options(d *simDisk) Options {
	return Options{
		FS:          d,
		SegmentSize: 256 << 10,
		CommitEvery: time.Hour,
		CleanEvery:  time.Hour,
		Retention:   -1,
		Logger:      slog.New(slog.NewTextHandler(&t.words, &slog.HandlerOptions{Level: slog.LevelError})),
		Fatal: func(err error) {
			if !errors.Is(err, disktest.ErrPower) {
				t.note(fmt.Errorf("the store gave up: %w", err))
			}
		},
	}
}

// note keeps the first contradiction.
func (t *trial) note(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.wrong == nil {
		t.wrong = err
	}
}

// judge says whether an error is one: when the power is out, all fail.
func (t *trial) judge(d *simDisk, err error) error {
	dead := d.Dead()
	t.mu.Lock()
	defer t.mu.Unlock()
	words := t.words.take()
	if t.wrong != nil {
		return t.wrong
	}
	if dead {
		return nil
	}
	if len(words) > 0 {
		err = errors.Join(err, fmt.Errorf("the store reports an error: %s", strings.Join(words, "\n")))
	}
	return err
}

// run lives through n power cuts. Its error has what is needed to look into it.
func (t *trial) run(n int) (err error) {
	defer func() { // bbolt panics over a file that is not what it wrote
		if p := recover(); p != nil {
			err = fmt.Errorf("seed %d: panic: %v", t.seed, p)
		}
	}()
	for cuts := 0; cuts < n; {
		t.arm()
		err := t.life()
		if err == nil && t.rng.IntN(4) == 0 { // only the program ends; what it had not synced is there until the next cut
			t.d.Kill()
			continue
		}
		cuts++
		if err == nil {
			t.d = t.d.restart(t.rng, chance(t.rng, 0, .1, .5, .9, 1))
			err = t.prove()
			t.loseState()
		}
		if err != nil {
			return fmt.Errorf("seed %d, cut %d: %w\nthe last changes were: %s", t.seed, cuts, err, t.d.Recent())
		}
	}
	return nil
}

// loseState takes state.db away now and then: the next start, and the cuts in
// it, have to do with a rebuild.
func (t *trial) loseState() {
	if t.rng.IntN(6) == 0 || t.faults.lost {
		t.d.Lose(filepath.Join(t.dir, stateFile))
	}
}

// arm chooses when the power goes.
func (t *trial) arm() {
	left, aim := 1+t.rng.IntN(300), ""
	switch t.rng.IntN(3) {
	case 0:
		left = 1 + t.rng.IntN(30)
	case 1:
		if aim = t.known.aim(t.rng); aim != "" {
			left = 1 + t.rng.IntN(3)
		}
	}
	if t.faults.aim != "" {
		left, aim = 1+t.rng.IntN(3), t.faults.aim
	}
	seen := make(map[string]int)
	t.d.Cut(t.rng.IntN(2) == 0, func(moment string) bool {
		seen[moment]++
		if aim == "" || aim == moment {
			left--
		}
		if left == 0 {
			t.known.saw(seen, moment)
		}
		return left == 0
	})
}

// life opens the store, holds it against what was promised, and changes it
// until the power goes or it is closed.
func (t *trial) life() error {
	if t.faults.recovery {
		t.d.Lie(only("sync segment"))
	}
	s, err := Open(t.dir, t.options(t.d))
	t.d.Lie(t.faults.lies)
	if err != nil {
		return t.judge(t.d, err)
	}
	if err := t.audit(s, true); err != nil {
		s.Close()
		return t.judge(t.d, err)
	}
	t.work(s)
	return t.judge(t.d, errors.Join(s.Close(), t.wrong))
}

// audit holds a store against what was promised to its tenants.
func (t *trial) audit(s *Store, settle bool) error {
	if err := t.newcomers(s, settle); err != nil {
		return err
	}
	for _, o := range t.tenants {
		if err := o.audit(s, settle); err != nil {
			return err
		}
	}
	return nil
}

// newcomers gives accounts that nobody knows to tenants that were joining.
func (t *trial) newcomers(s *Store, settle bool) error {
	var unknown []AccountID
	for a := range s.durable.accounts {
		if !slices.ContainsFunc(t.tenants, func(o *tenant) bool { return slices.Contains(o.accounts, a) }) {
			unknown = append(unknown, a)
		}
	}
	slices.Sort(unknown)
	for _, o := range t.tenants {
		if !o.joining || len(unknown) == 0 {
			continue
		}
		if settle {
			if err := o.adopt(s, unknown[0]); err != nil {
				return err
			}
		}
		unknown = unknown[1:]
	}
	if len(unknown) > 0 {
		return fmt.Errorf("accounts %v that nobody made", unknown)
	}
	if settle {
		for _, o := range t.tenants {
			o.joining = false
		}
	}
	return nil
}

// work has the tenants change what they have, beside somebody who commits,
// seals and makes checkpoints; in every second trial one hand does all.
func (t *trial) work(s *Store) {
	steps := 60
	if t.seed%2 == 0 {
		for range steps {
			if t.rng.IntN(8) == 0 && !t.goesOn(t.keep(s, t.rng)) || !t.goesOn(t.tenants[t.rng.IntN(len(t.tenants))].change(s, t.rng)) {
				return
			}
		}
		return
	}
	var wg sync.WaitGroup
	for _, o := range t.tenants {
		rng := rand.New(rand.NewPCG(t.rng.Uint64(), 1))
		wg.Go(func() {
			for range steps {
				if !t.goesOn(o.change(s, rng)) {
					return
				}
			}
		})
	}
	rng := rand.New(rand.NewPCG(t.rng.Uint64(), 2))
	wg.Go(func() {
		for range steps / 4 {
			if !t.goesOn(t.keep(s, rng)) {
				return
			}
		}
	})
	wg.Wait()
}

// goesOn reports whether work goes on, and notes an error that has another reason
// than the power.
func (t *trial) goesOn(err error) bool {
	dead := t.d.Dead()
	if err != nil && !dead {
		t.note(err)
	}
	return err == nil && !dead
}

// keep does one of the things that a store does by itself in time.
func (t *trial) keep(s *Store, rng *rand.Rand) error {
	switch rng.IntN(8) {
	case 0:
		return s.log.Seal()
	case 1:
		return t.clean(s)
	case 2:
		_, err := s.disk.checkpoint(filepath.Join(s.dir, checkpointFolder))
		return err
	default:
		return s.apply()
	}
}

// clean makes a round of cleaning that finds everything worth it.
func (t *trial) clean(s *Store) error {
	if t.faults.cleaning {
		t.d.Lie(only("sync segment"))
		defer t.d.Lie(t.faults.lies)
	}
	s.cleaner.mu.Lock()
	defer s.cleaner.mu.Unlock()
	r := &cleaning{s: s, ctx: context.Background(), low: true, began: time.Now()}
	if err := r.run(); err != nil || t.rng.IntN(2) == 0 {
		return err
	}
	return r.compact()
}

// prove looks at what a power cut left, on a copy of the disk: everything
// promised is there, the store is sound, checkpoints are whole, and without
// state.db the same comes out of checkpoint and log.
func (t *trial) prove() error {
	copied := t.d.copy()
	copied.Lie(nil)
	if t.faults.corrupts {
		if err := copied.checkFile(filepath.Join(t.dir, stateFile), true); err != nil {
			return fmt.Errorf("after the cut: %w", err)
		}
	}
	state, err := t.proveStart(copied)
	if err != nil {
		return fmt.Errorf("after the cut: %w", err)
	}
	if err := t.wholeCheckpoints(copied); err != nil {
		return err
	}
	gone := []string{stateFile}
	if t.rng.IntN(2) == 0 {
		gone = append(gone, derivedFile)
	}
	// Either of the kept checkpoints may be damaged where it lies; cleaning
	// leaves of the log what the older one needs.
	if stored, _ := (files{copied}).checkpoints(filepath.Join(t.dir, checkpointFolder)); len(stored) > 0 && t.rng.IntN(2) == 0 {
		gone = append(gone, filepath.Join(checkpointFolder, filepath.Base(stored[0].path)))
	}
	for _, name := range gone {
		copied.Lose(filepath.Join(t.dir, name))
	}
	rebuilt, err := t.proveStart(copied)
	if err != nil {
		return fmt.Errorf("without %v: %w", gone, err)
	}
	return sameBuckets(state, rebuilt)
}

// proveStart opens the store on a disk that stays, checks everything and
// returns all that is in state.db.
func (t *trial) proveStart(d *simDisk) (map[string]string, error) {
	s, err := Open(t.dir, t.options(d))
	if err != nil {
		return nil, t.judge(d, err)
	}
	err = errors.Join(t.audit(s, false), s.Check())
	var state map[string]string
	if err == nil {
		state, err = allBuckets(s.disk.state)
	}
	return state, t.judge(d, errors.Join(err, s.Close()))
}

// wholeCheckpoints reads every checkpoint that has a name.
func (t *trial) wholeCheckpoints(d *simDisk) error {
	f := files{d}
	dir := filepath.Join(t.dir, checkpointFolder)
	stored, err := f.checkpoints(dir)
	for _, c := range stored {
		temp := filepath.Join(dir, "copied")
		err = errors.Join(err, f.copyChecked(temp, c), f.remove(temp))
	}
	return err
}

// allBuckets is every key of a database with its value, but for what overwrites
// free pages: no record tells of that, and a start is about to delete it.
func allBuckets(db *database) (map[string]string, error) {
	all := make(map[string]string)
	return all, db.View(func(tx *bbolt.Tx) error {
		return tx.ForEach(func(name []byte, b *bbolt.Bucket) error {
			if bytes.Equal(name, bucketOverwrite) {
				return nil
			}
			return b.ForEach(func(key, value []byte) error {
				all[fmt.Sprintf("%s %x", name, key)] = fmt.Sprintf("%x", value)
				return nil
			})
		})
	})
}

func sameBuckets(want, have map[string]string) error {
	var errs []error
	for key, value := range want {
		if other, ok := have[key]; !ok || other != value {
			errs = append(errs, fmt.Errorf("rebuilt state.db: %s is %q, was %q", key, other, value))
		}
	}
	for key, value := range have {
		if _, ok := want[key]; !ok {
			errs = append(errs, fmt.Errorf("rebuilt state.db: %s is %q, was not there", key, value))
		}
	}
	return errors.Join(errs[:min(len(errs), 8)]...)
}

// cutsOfTrial is how many power cuts a store lives through.
const cutsOfTrial = 6

// trials runs trials from a seed on until there were so many cuts, or one fails.
func trials(t *testing.T, seed uint64, cuts int, known *moments, faults simFaults) error {
	root := t.TempDir()
	for done := 0; done < cuts; done += cutsOfTrial {
		dir := filepath.Join(root, fmt.Sprint(seed), "store")
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
		if err := newTrial(dir, seed, known, faults).run(min(cutsOfTrial, cuts-done)); err != nil {
			return err
		}
		seed++
	}
	return nil
}

// number reads a setting of a long run.
func number(name string, otherwise int) int {
	if n, err := strconv.Atoi(os.Getenv(name)); err == nil {
		return n
	}
	return otherwise
}

// trialsOf is how often something is tried: fewer times in the short form, which runs under the race detector. That
// is slow, and about goroutines beside each other, which few trials have all of.
func trialsOf(usual, short int) int {
	if testing.Short() {
		return short
	}
	return usual
}

// TestStorePowerCuts cuts the power under log and databases together. A long
// run: make powercut, or MAILSTEAD_POWERCUTS, from MAILSTEAD_POWERCUT_SEED on. Trials with
// an even seed use one goroutine beside the log's own and are the same each time
// but for when that prepares segments; those with an odd one race.
func TestStorePowerCuts(t *testing.T) {
	cuts, seed := number("MAILSTEAD_POWERCUTS", trialsOf(36, 12)), number("MAILSTEAD_POWERCUT_SEED", 1)
	known := &moments{cuts: make(map[string]int)}
	if err := trials(t, uint64(seed), cuts, known, simFaults{}); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d cuts from seed %d on, in %d kinds of moments:", cuts, seed, len(known.cuts))
	for _, moment := range slices.Sorted(maps.Keys(known.cuts)) {
		t.Logf("%6d %s", known.cuts[moment], moment)
	}
}

// killedCommits has the process killed after bbolt wrote a meta page and before
// it synced it, and the power go in the next commit.
func killedCommits(dir string, seed uint64, faults simFaults) error {
	t := newTrial(dir, 2*seed, &moments{cuts: make(map[string]int)}, faults) // even: one hand
	if err := t.life(); err != nil {
		return err
	}
	for _, moment := range []string{"write meta of state.db", "sync pages of state.db"} {
		left := 1 + t.rng.IntN(3)
		t.d.Cut(false, func(m string) bool {
			if m == moment {
				left--
			}
			return left == 0
		})
		if err := t.life(); err != nil {
			return err
		}
		if moment == "write meta of state.db" {
			t.d.Kill()
		}
	}
	t.d = t.d.restart(t.rng, .5)
	return t.prove()
}

// TestCommitAfterKill proves that a start makes the last commit durable before
// the next one: without it, state.db is lost in some of the trials.
func TestCommitAfterKill(t *testing.T) {
	if testing.Short() {
		t.Skip("the short form runs under the race detector, under which this takes minutes; the same code runs in TestStorePowerCuts")
	}
	root := t.TempDir()
	for name, faults := range map[string]simFaults{
		"sound":                        {},
		"state.db not synced at start": {lies: only("sync state.db"), corrupts: true},
	} {
		noticed := 0
		for seed := range uint64(16) {
			if err := killedCommits(root, seed, faults); err != nil {
				if noticed++; faults.lies == nil {
					t.Errorf("%s, seed %d: %v", name, seed, err)
				}
			}
		}
		if faults.lies != nil && noticed == 0 {
			t.Errorf("%s was not noticed", name)
		}
		t.Logf("%s: noticed in %d trials", name, noticed)
	}
}

// TestStorePowerCutsNegativeControls commits faults on the simulated disk that
// programs have made, or could: each must be noticed, or the test above proves
// nothing.
func TestStorePowerCutsNegativeControls(t *testing.T) {
	if testing.Short() {
		t.Skip("the short form runs under the race detector, under which this takes minutes; the same code runs in TestStorePowerCuts")
	}
	for name, faults := range map[string]simFaults{
		"publish before the flush":                           {lies: only("sync segment")},
		"no sync in recovery":                                {recovery: true},
		"no directory sync":                                  {lies: func(m string) bool { return strings.HasPrefix(m, "sync folder") }},
		"a large body that is not synced":                    {lies: only("sync big body")},
		"checkpoint named before synced":                     {lies: only("sync checkpoint.tmp")},
		"state.db replaced before synced":                    {lies: only("sync state.db.new"), lost: true, corrupts: true, aim: "sync state.db"},
		"state.db's commits not synced":                      {lies: only("sync pages of state.db", "sync meta of state.db"), corrupts: true},
		"segments unlinked before what was moved is on disk": {cleaning: true},
	} {
		t.Run(name, func(t *testing.T) {
			const limit = 400
			err := trials(t, 1, limit, &moments{cuts: make(map[string]int)}, faults)
			if err == nil {
				t.Fatalf("not noticed in %d cuts", limit)
			}
			t.Log(err)
		})
	}
}

func only(names ...string) func(string) bool {
	return func(moment string) bool { return slices.Contains(names, moment) }
}
