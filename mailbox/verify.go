package mailbox

import (
	"context"
	"errors"
	"fmt"
	"time"

	goimap "github.com/emersion/go-imap/v2"

	"mailstead/mailbox/log"
)

// ErrVerifying says that the store is being verified already.
var ErrVerifying = errors.New("mailbox: the store is being verified already")

// VerifyOptions are the settings of Verify; the zero value is good.
type VerifyOptions struct {
	Rest     bool                 // leave half of the time to others: the store is in use
	Progress func(VerifyProgress) // may be nil
}

// VerifyProgress says how far Verify is.
type VerifyProgress struct {
	Step        string
	Done, Total int64 // Total is an estimate
	Octets      bool  // what is counted: octets, or else items
}

// Finding is something that is not as it should be.
type Finding struct {
	Where string // log, state.db, derived.db or memory
	What  string

	// Of the log: the bytes of a segment, and the records in them. Last is
	// below First where the records are not known.
	Segment     uint32
	Offset, End int64
	First, Last log.LSN

	Hit     []Hit // messages that cannot be read, and queued ones; at most maxHits
	HitMore int   // and so many more
}

// Hit is a message whose body is damaged, or an entry of a room.
type Hit struct {
	Body      BodyID
	Account   AccountID
	Mailbox   string // its name
	UID       goimap.UID
	Expunged  bool // it could have been restored
	Room, Key string
}

// Verified is what Verify found.
type Verified struct {
	Findings []Finding // at most maxProblems of each place
	Octets   int64     // of the log and large bodies that were read
	Records  int64
	Bodies   int64 // that are referenced
	Indexes  int64
	Orphans  int64 // indexes of bodies that are not there any more: no damage
	Fenced   int   // bodies that are refused from now on
	Took     time.Duration
}

// maxHits is how many messages a finding names.
const maxHits = 1000

// Verify holds everything the store has on disk against its checksums and
// invariants: every record and body of the log; state.db, of which it makes a
// copy and checks that; every referenced body's place; derived.db; and the
// memory. It runs while the store is used. Bodies that are damaged are refused
// with ErrDamaged afterwards, until a later Verify finds them whole; damaged
// indexes are made again. The error says why it could not be done:
// ErrVerifying, ErrClosed, ctx's, or the system's; damage is a Finding.
func (s *Store) Verify(ctx context.Context, o VerifyOptions) (Verified, error) {
	if !s.verifying.TryLock() {
		return Verified{}, ErrVerifying
	}
	defer s.verifying.Unlock()
	v := &verification{s: s, ctx: ctx, o: o, began: time.Now(), damaged: make(map[BodyID]int)}
	if v.o.Progress == nil {
		v.o.Progress = func(VerifyProgress) {}
	}
	v.worked = v.began
	err := v.run()
	v.found.Took = time.Since(v.began)
	if err != nil {
		return v.found, fmt.Errorf("verifying the store: %w", err)
	}
	return v.found, nil
}

// verification is one Verify.
type verification struct {
	s     *Store
	ctx   context.Context
	o     VerifyOptions
	found Verified
	began time.Time

	worked   time.Time // since the last rest
	progress VerifyProgress

	copy    *database      // of state.db; nil when it is damaged
	bigSize int64          // octets of large bodies
	damage  []log.Damage   // of the log
	first   int            // the finding about damage[0]; those of the others follow
	damaged map[BodyID]int // the finding of each damaged body
}

func (v *verification) run() (err error) {
	if err := v.memory(); err != nil {
		return err
	}
	if err := v.openCopy(); err != nil {
		return errors.Join(err, v.closeCopy())
	}
	defer func() { err = errors.Join(err, v.closeCopy()) }()
	for _, step := range []func() error{v.state, v.readLog, v.bodies, v.hits, v.indexes} {
		if err := step(); err != nil {
			return err
		}
	}
	if v.copy == nil { // nobody knows which bodies there are
		return nil
	}
	fenced := make(map[BodyID]struct{}, len(v.damaged))
	for id := range v.damaged {
		if len(fenced) < maxFenced {
			fenced[id] = struct{}{}
		}
	}
	v.found.Fenced = len(fenced)
	if err := v.s.fence.replace(v.s.files, v.s.dir, fenced); err != nil {
		return fmt.Errorf("listing the damaged bodies: %w", err)
	}
	return nil
}

// add notes a finding and returns its index.
func (v *verification) add(f Finding) int {
	v.found.Findings = append(v.found.Findings, f)
	return len(v.found.Findings) - 1
}

// step begins a step.
func (v *verification) step(name string, total int64, octets bool) {
	v.progress = VerifyProgress{Step: name, Total: total, Octets: octets}
	v.o.Progress(v.progress)
}

// Work and rest take turns of this length.
const verifyTurn = 20 * time.Millisecond

// did counts what was done, rests, and says whether to stop.
func (v *verification) did(n int64) error {
	v.progress.Done += n
	v.progress.Total = max(v.progress.Total, v.progress.Done)
	took := time.Since(v.worked)
	if took < verifyTurn {
		return nil
	}
	v.o.Progress(v.progress)
	if v.o.Rest {
		rest := time.NewTimer(took)
		defer rest.Stop()
		select {
		case <-rest.C:
		case <-v.ctx.Done():
		}
	}
	v.worked = time.Now()
	return v.ctx.Err()
}

// memory holds the memory against state.db.
func (v *verification) memory() error {
	v.step("comparing memory with the database", 0, false)
	if err := v.s.apply(); err != nil { // most of it before writers have to wait
		return err
	}
	errs, err := v.s.compareMemory(true)
	for _, e := range errs {
		v.add(Finding{Where: "memory", What: e.Error()})
	}
	return err
}

// readLog reads every record and every body.
func (v *verification) readLog() error {
	total := v.bigSize
	for _, segment := range v.s.log.Segments() {
		total += segment.Size
	}
	v.step("reading the log", total, true)
	damage, err := v.s.log.Verify(func(r log.Record, body []byte) error {
		v.found.Records++
		n := log.RecordSize(len(r.Meta), int64(len(body)))
		if r.Place.Big {
			n += r.Place.Size
		}
		v.found.Octets += n
		return v.did(n)
	})
	v.first = len(v.found.Findings)
	for _, d := range damage {
		if v.s.stillThere(d.Segment) {
			v.damage = append(v.damage, d)
			v.add(Finding{Where: "log", What: d.What, Segment: d.Segment, Offset: d.Offset, End: d.End, First: d.First, Last: d.Last})
		}
	}
	return err
}

// stillThere reports whether the log has a segment.
func (s *Store) stillThere(number uint32) bool {
	for _, segment := range s.log.Segments() {
		if segment.Number == number {
			return true
		}
	}
	return false
}

// damageAt returns the finding about the bytes at p, -1 for none.
func (v *verification) damageAt(p log.Place) int {
	for i, d := range v.damage {
		if d.Segment == p.Segment && int64(p.Offset) >= d.Offset && int64(p.Offset) < d.End {
			return v.first + i
		}
	}
	return -1
}
