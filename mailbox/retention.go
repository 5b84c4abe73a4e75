package mailbox

import (
	"context"
	"errors"
	"math"
	"sync"
	"time"

	"mailstead/mailbox/log"
)

const (
	defaultRetention = 7 * 24 * time.Hour
	// KeepDeleted, as Options.Retention, has the store purge nothing at all: for
	// those who open it for one errand and do not know its retention.
	KeepDeleted = time.Duration(math.MaxInt64)
)

// When and how much is purged.
const (
	// retentionEvery is the time between two looks, or Options.CleanEvery where
	// that is longer: retention counts days.
	retentionEvery = time.Minute
	// A record purges at most so many messages and entries, so that no
	// transaction that applies it is long: they may be in as many places.
	purgeMessages = 4096
	purgeEntries  = 512
	purgeGone     = 512
	// nearSpace, in bodies of the largest inline size, is how much more than what
	// stops deliveries is free when retention is shortened: 128 MiB.
	nearSpace = 128
	// spaceRest is how long is waited for the cleaning of what was purged for
	// lack of space before more is.
	spaceRest = 10 * time.Minute
)

// retention ends what can be restored.
type retention struct {
	mu      sync.Mutex // one at a time purges or restores: both decide by what state.db has
	clock   clockState
	stored  clockState           // as it is in the store
	uptime  func() time.Duration // counts on whatever becomes of the clock
	looked  time.Duration        // uptime of the last look
	short   time.Duration        // uptime until which nothing more is purged for lack of space
	atPurge func(AccountID) []RoomChange
}

// AtPurge has f called when nothing of a deleted account can be restored any
// more; the changes that it returns are made by the same record. f must not
// call the store. It is set once, before the store is used by several.
func (s *Store) AtPurge(f func(AccountID) []RoomChange) {
	s.retention.mu.Lock()
	defer s.retention.mu.Unlock()
	s.retention.atPurge = f
}

// runRetention purges what is due until the store closes.
func (s *Store) runRetention() {
	ticks := time.NewTicker(max(retentionEvery, s.o.CleanEvery))
	defer ticks.Stop()
	for {
		select {
		case <-s.applier.stop:
			return
		case <-ticks.C:
		}
		err := s.retentionRound(context.Background()) // the store's closing ends it
		if err != nil && !errors.Is(err, ErrClosed) {
			s.logger.Warn("purging deleted mail failed; trying again", "err", err)
		}
	}
}

// retentionRound looks at the clock and at the disk, and purges what is due.
func (s *Store) retentionRound(ctx context.Context) error {
	s.retention.mu.Lock()
	defer s.retention.mu.Unlock()
	some, err := s.disk.retains()
	if err != nil {
		return err
	}
	trusted, err := s.lookAtClock(ctx, some)
	if err != nil || !some {
		return err
	}
	if err := s.purgeForSpace(ctx); err != nil || !trusted {
		return err
	}
	p := purging{s: s, before: s.now().Add(-time.Duration(s.retain.Load())).Unix()}
	if due, err := p.due(); err != nil || !due {
		return err
	}
	if err := p.run(ctx); err != nil {
		return err
	}
	s.logger.Info("deleted mail is past retention and was purged", "messages", p.messages, "mailboxes", p.mailboxes)
	return nil
}

// purgeForSpace shortens retention while the disk is nearly full: what was
// deleted first goes first. This does not ask what time it is.
func (s *Store) purgeForSpace(ctx context.Context) error {
	r := &s.retention
	near := nearSpace * s.log.InlineLimit()
	if err := s.log.HasSpace(near); !errors.Is(err, log.ErrNoSpace) {
		return s.spaceError(err)
	}
	if r.uptime() < r.short {
		return nil
	}
	p := purging{s: s, before: math.MaxInt64, enough: 2 * near}
	if err := p.run(ctx); err != nil || p.messages+p.mailboxes == 0 {
		return err
	}
	if p.octets >= p.enough { // else all that was deleted is purged, and what comes now is not to wait
		r.short = r.uptime() + spaceRest
	}
	s.logger.Warn("the disk is nearly full: deleted mail was purged before its time",
		"messages", p.messages, "mailboxes", p.mailboxes, "octets", p.octets, "deleted_until", time.Unix(p.until, 0).UTC())
	return nil
}

// PurgeAccount ends retention of everything that account a had deleted, now:
// messages, mailboxes, and where it was deleted itself all that was in it. It
// returns when that is durable. ErrNoSpace, ErrClosed.
func (s *Store) PurgeAccount(ctx context.Context, a AccountID) error {
	s.retention.mu.Lock()
	defer s.retention.mu.Unlock()
	p := purging{s: s, before: math.MaxInt64, account: a}
	return p.run(ctx)
}

// settle brings everything numbered so far into state.db. ErrNoSpace, ErrClosed.
func (s *Store) settle() error {
	s.seq.Lock()
	newest, closed := s.newest, s.closed
	s.seq.Unlock()
	if closed {
		return ErrClosed
	}
	if err := s.await(newest, nil); err != nil {
		return err
	}
	return s.spaceError(s.apply())
}

// purging is one pass over what can be restored. The caller holds retention.mu.
type purging struct {
	s       *Store
	before  int64     // Unix seconds: what was deleted earlier goes
	account AccountID // of this one alone; 0 = of all
	enough  int64     // octets at which it ends; 0 = never

	live  map[AccountID]bool // accounts that were there
	gone  []goneMailbox
	of    map[ID]AccountID // mailboxes, deleted or not, where account is set
	holds map[ID]bool      // deleted mailboxes of which messages stay
	batch opPurge
	size  int // messages in batch

	messages, mailboxes int
	octets, until       int64
}

// due reports whether there is anything to purge: one look at the front.
func (p *purging) due() (bool, error) {
	page, err := p.s.disk.deletedPage(nil, 1)
	if err != nil {
		return false, err
	}
	if len(page) > 0 && page[0].Time < p.before {
		return true, nil
	}
	gone, err := p.s.disk.goneMailboxes()
	for i := range gone {
		if gone[i].At < p.before && (gone[i].At != goneRestored || len(page) == 0) {
			return true, err
		}
	}
	return false, err
}

// run purges messages first, so that no deleted mailbox is forgotten before what was in it.
func (p *purging) run(ctx context.Context) (err error) {
	p.live = p.s.liveAccounts()          // before gone is read: of the others that has everything
	if err := p.s.settle(); err != nil { // what was just restored is still in state.db
		return err
	}
	if p.gone, err = p.s.disk.goneMailboxes(); err != nil {
		return err
	}
	p.holds = make(map[ID]bool)
	p.ofAccount()
	err = p.s.disk.eachDeleted(nil, func(e *deletedEntry) (bool, error) {
		if !p.takes(e.Time, e.Mailbox) {
			p.holds[e.Mailbox] = true
			return true, nil
		}
		return true, p.message(ctx, e)
	})
	if err == nil {
		err = p.flush(ctx, nil)
	}
	if err == nil {
		err = p.forget(ctx)
	}
	return err
}

// liveAccounts returns the durable accounts.
func (s *Store) liveAccounts() map[AccountID]bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	live := make(map[AccountID]bool, len(s.durable.accounts))
	for a := range s.durable.accounts {
		live[a] = true
	}
	return live
}

// ofAccount finds the mailboxes of the account.
func (p *purging) ofAccount() {
	if p.account == 0 {
		return
	}
	p.of = make(map[ID]AccountID)
	for i := range p.gone {
		p.of[p.gone[i].ID] = p.gone[i].Account
	}
	p.s.mu.RLock()
	defer p.s.mu.RUnlock()
	for id, l := range p.s.durable.listings {
		p.of[id] = l.box.account
	}
}

func (p *purging) takes(at int64, id ID) bool {
	if p.enough > 0 && p.octets >= p.enough {
		return false
	}
	return at < p.before && (p.account == 0 || p.of[id] == p.account)
}

// message adds an entry to the batch, and writes that when it is full.
func (p *purging) message(ctx context.Context, e *deletedEntry) error {
	p.batch.Messages = append(p.batch.Messages, e.deletedID)
	p.size += len(e.Messages)
	p.messages += len(e.Messages)
	for i := range e.Messages {
		p.octets += e.Messages[i].Size
	}
	p.until = max(p.until, e.Time)
	if p.size < purgeMessages && len(p.batch.Messages) < purgeEntries {
		return nil
	}
	return p.flush(ctx, nil)
}

// forget purges deleted mailboxes nothing of which stays.
func (p *purging) forget(ctx context.Context) error {
	left := make(map[AccountID]int)
	for i := range p.gone {
		left[p.gone[i].Account]++
	}
	var ended []AccountID
	for i := range p.gone {
		m := &p.gone[i]
		if p.holds[m.ID] || !p.takes(m.At, m.ID) {
			continue
		}
		p.batch.Mailboxes = append(p.batch.Mailboxes, m.ID)
		p.mailboxes++
		if left[m.Account]--; left[m.Account] == 0 && !p.live[m.Account] {
			ended = append(ended, m.Account)
		}
		if len(p.batch.Mailboxes) == purgeGone {
			if err := p.flush(ctx, ended); err != nil {
				return err
			}
			ended = nil
		}
	}
	return p.flush(ctx, ended)
}

// deletedNeed bounds what an entry takes in a record, in bytes.
const deletedNeed = 40

// flush writes the batch, and what others keep of deleted accounts that ended.
func (p *purging) flush(ctx context.Context, ended []AccountID) error {
	if p.size+len(p.batch.Mailboxes) == 0 {
		return nil
	}
	var rooms []RoomChange
	need := baseNeed + len(p.batch.Messages)*deletedNeed + len(p.batch.Mailboxes)*goneNeed
	for _, a := range ended {
		if f := p.s.retention.atPurge; f != nil {
			rooms = append(rooms, f(a)...)
		}
	}
	if err := checkRooms(rooms); err != nil {
		return err
	}
	need += roomNeed(rooms)
	err := p.s.write(ctx, urgent, need, nil, func(d *decision) error {
		d.ops = append(d.ops, p.batch)
		d.rooms(rooms)
		return nil
	})
	p.batch, p.size = opPurge{}, 0
	return err
}
