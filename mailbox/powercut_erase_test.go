package mailbox

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// erasure is an account's erasure with the power going in it, or right behind
// its answer.
type erasure struct {
	*trial
	gone *tenant
	lies func(moment string) bool // while it is erased
}

func newErasure(t *testing.T, seed uint64, lies func(string) bool) *erasure {
	dir := filepath.Join(t.TempDir(), "store")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	known := &moments{cuts: make(map[string]int)}
	e := &erasure{trial: newTrial(dir, 2*seed, known, simFaults{}), gone: newTenant("leaver"), lies: lies} // even: one hand
	e.tenants = []*tenant{newTenant("stayer"), e.gone}
	return e
}

// run has the tenants work, one of them erased, and the power go. The erasure
// may begin several times; when it has answered, nothing of it may be left.
func (e *erasure) run() error {
	for range 2 {
		if err := e.life(); err != nil {
			return err
		}
	}
	e.d.Lie(e.lies)
	e.arm()
	for answered := false; !answered; {
		var err error
		if answered, err = e.erase(); err != nil {
			return fmt.Errorf("erasing: %w", err)
		}
	}
	e.d.Lie(nil)
	if found := e.traces(); len(found) > 0 {
		return fmt.Errorf("after the answer and the cut, %s still have mail of the erased account; the last changes were: %s", found, e.d.Recent())
	}
	e.tenants = e.tenants[:1]
	s, err := Open(e.dir, e.options(e.d))
	if err != nil {
		return err
	}
	// The start that went on with it may have begun once more before the cut.
	if err := errors.Join(erasuresEnd(s), s.Close()); err != nil {
		return err
	}
	return e.prove()
}

// erase erases the tenant's accounts. The power goes in it, or when it has
// answered.
func (e *erasure) erase() (answered bool, err error) {
	s, err := Open(e.dir, e.options(e.d))
	if err == nil {
		for _, a := range e.gone.accounts {
			_, failed := s.EraseAccount(context.Background(), a, nil, func(string, int64, int64) {})
			err = errors.Join(err, failed)
		}
	}
	failed := e.judge(e.d, err)
	cut := e.d.restart(e.rng, chance(e.rng, 0, .1, .5, .9, 1))
	if s != nil {
		s.Close() // fails, without power, and says so
		e.words.take()
	}
	e.d = cut
	return err == nil, failed
}

// traces are the files that have something of the erased tenant's letters.
func (e *erasure) traces() (found []string) {
	for _, name := range e.d.Files() {
		if strings.Contains(string(e.d.Bytes(name)), e.gone.word()) {
			found = append(found, strings.TrimPrefix(name, e.dir+"/"))
		}
	}
	return found
}

// TestErasurePowerCuts cuts the power while an account is erased, has the next
// start go on, and cuts it again right behind the answer: then no file of the
// disk has an octet of the account's mail, whatever was not synced, and all
// others have theirs. More of it: MAILSTEAD_ERASURES.
func TestErasurePowerCuts(t *testing.T) {
	for seed := range uint64(number("MAILSTEAD_ERASURES", trialsOf(6, 2))) {
		if err := newErasure(t, seed, nil).run(); err != nil {
			t.Errorf("seed %d: %v", seed, err)
		}
	}
}

// TestErasurePowerCutsNegativeControls: what comes back when syncs are left out
// must be noticed.
func TestErasurePowerCutsNegativeControls(t *testing.T) {
	if testing.Short() {
		t.Skip("the short form runs under the race detector; the same code runs in TestErasurePowerCuts")
	}
	for name, lies := range map[string]func(string) bool{
		"segments unlinked, their folder not synced": only("sync folder log"),
		"free pages overwritten and not synced":      func(m string) bool { return strings.HasPrefix(m, "sync ") && strings.HasSuffix(m, " derived.db") },
	} {
		t.Run(name, func(t *testing.T) {
			for seed := range uint64(20) {
				err := newErasure(t, seed, lies).run()
				if err != nil && strings.Contains(err.Error(), "still have mail") {
					t.Log(err)
					return
				}
			}
			t.Error("not noticed in 20 trials")
		})
	}
}
