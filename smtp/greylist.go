package smtp

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"

	"mailstead/mailbox"
)

const (
	// greyWait is how soon a message that comes again comes too soon: longer than
	// programs that send junk stay with one address, and no longer than mail
	// servers wait before they try again.
	greyWait = 4 * time.Minute
	// greyRetry is how long one may take to come again; servers give up later.
	greyRetry = 48 * time.Hour
	// greyPassed is for how long whoever came again is known: mail that comes
	// monthly has not to wait each time.
	greyPassed = 36 * 24 * time.Hour
	// maxGrey bounds those that wait, and those that have passed: 300 KB of memory
	// and 100 KB on disk for each.
	maxGrey = 8192
	// greySave is how often what has changed is written.
	greySave = 10 * time.Minute
)

// Greylist remembers strangers who were told to come again. Who does has passed: their network
// and the domain they send as, for all recipients. It is in memory, and written into
// a room of the store now and then; a crash forgets ten minutes of it, so that
// some wait once more. Its methods may be called at the same time.
type Greylist struct {
	store *mailbox.Store
	log   *slog.Logger

	mu      sync.Mutex
	waiting greyTimes // since when, by network, reverse-path and account
	passed  greyTimes // last seen, by network and domain
	changed bool      // since it was written
}

// greyTimes are minutes since 1970 by the hashes of what they are about.
type greyTimes map[greyKey]uint32

type greyKey [8]byte

const (
	greyRoom    = "greylist" // the keys are the names below
	greyWaiting = "waiting"
	greyKnown   = "passed"
	greyFormat  = 1 // first octet of a value; then keys with their minutes
	greyEntry   = len(greyKey{}) + 4
)

// OpenGreylist reads what a server has remembered. What cannot be read is
// forgotten: it is worth no refusal to start. log may be nil.
func OpenGreylist(store *mailbox.Store, log *slog.Logger) (*Greylist, error) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	g := &Greylist{store: store, log: log, waiting: greyTimes{}, passed: greyTimes{}}
	for name, into := range map[string]greyTimes{greyWaiting: g.waiting, greyKnown: g.passed} {
		value, _, err := store.Room(greyRoom).Get(name)
		if err != nil {
			return nil, fmt.Errorf("greylist: %w", err)
		}
		if !into.read(value) {
			log.Warn("smtp: a greylist that cannot be read begins anew", "part", name)
		}
	}
	return g, nil
}

// Fresh reports whether a suspicious message has to come again: if it is the
// first of its kind, or comes again too soon. from is the reverse-path.
func (g *Greylist) Fresh(client netip.Addr, from string, account mailbox.AccountID, now time.Time) bool {
	_, network := circles(client)
	_, domain, _ := strings.Cut(from, "@")
	who := greyKeyOf(network.String(), strings.ToLower(domain))
	what := greyKeyOf(network.String(), from, strconv.FormatUint(uint64(account), 10))
	g.mu.Lock()
	defer g.mu.Unlock()
	if age, ok := g.passed.age(who, now); ok && age < greyPassed {
		g.changed = g.changed || age >= greySave
		g.passed.put(who, now, greyPassed)
		return false
	}
	age, ok := g.waiting.age(what, now)
	switch {
	case !ok || age > greyRetry:
		g.waiting.put(what, now, greyRetry)
		g.changed = true
		return true
	case age < greyWait:
		return true
	}
	delete(g.waiting, what)
	g.passed.put(who, now, greyPassed)
	g.changed = true
	return false
}

// Run writes what has changed every ten minutes, and at the end of ctx.
func (g *Greylist) Run(ctx context.Context) {
	tick := time.NewTicker(greySave)
	defer tick.Stop()
	for ctx.Err() == nil {
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
		if err := g.Save(context.WithoutCancel(ctx)); err != nil {
			g.log.Error("smtp: the greylist was not written", "err", err)
		}
	}
}

// Save writes what has changed.
func (g *Greylist) Save(ctx context.Context) error {
	g.mu.Lock()
	if !g.changed {
		g.mu.Unlock()
		return nil
	}
	g.changed = false
	changes := []mailbox.RoomChange{
		{Room: greyRoom, Key: greyWaiting, Value: g.waiting.encode()},
		{Room: greyRoom, Key: greyKnown, Value: g.passed.encode()},
	}
	g.mu.Unlock()
	var failed error
	for _, c := range changes {
		failed = errors.Join(failed, g.store.Change(ctx, c)) // each in a record, which is bounded
	}
	if failed != nil {
		g.mu.Lock()
		g.changed = true
		g.mu.Unlock()
	}
	return failed
}

// greyKeyOf hashes parts: what is remembered is bounded, and tells nobody who writes
// to whom.
func greyKeyOf(parts ...string) (k greyKey) {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	copy(k[:], sum[:])
	return k
}

func minutes(t time.Time) uint32 { return uint32(t.Unix() / 60) }

// age is how long ago something was.
func (g greyTimes) age(k greyKey, now time.Time) (time.Duration, bool) {
	at, ok := g[k]
	return time.Duration(int64(minutes(now))-int64(at)) * time.Minute, ok
}

// put notes now. When all places are taken those older than most go, and where
// that is not enough others by chance: a flood makes some wait once more.
func (g greyTimes) put(k greyKey, now time.Time, most time.Duration) {
	if _, ok := g[k]; !ok && len(g) >= maxGrey {
		for old := range g {
			if age, _ := g.age(old, now); age > most {
				delete(g, old)
			}
		}
		for old := range g { // the order is random
			if len(g) <= maxGrey*3/4 {
				break
			}
			delete(g, old)
		}
	}
	g[k] = minutes(now)
}

func (g greyTimes) encode() []byte {
	b := append(make([]byte, 0, 1+len(g)*greyEntry), greyFormat)
	for k, at := range g {
		b = binary.BigEndian.AppendUint32(append(b, k[:]...), at)
	}
	return b
}

// read adds what was encoded; false where it is something else.
func (g greyTimes) read(b []byte) bool {
	if len(b) == 0 {
		return true // nothing was written yet
	}
	if b[0] != greyFormat || (len(b)-1)%greyEntry != 0 || (len(b)-1)/greyEntry > maxGrey {
		return false
	}
	for b = b[1:]; len(b) > 0; b = b[greyEntry:] {
		g[greyKey(b)] = binary.BigEndian.Uint32(b[len(greyKey{}):])
	}
	return true
}
