package mailbox

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	goimap "github.com/emersion/go-imap/v2"
)

// Appending puts messages into one mailbox, all or none of them (RFC 3502), and may take
// another one away in the same change (RFC 8508). It belongs to one goroutine.
//
// A record of the log brings one body. So each but the last goes into the log when the
// next one is added, held by an entry of a room; the last one's record adds all of them
// and gives the entries up. What a crash leaves of the room goes at the next start.
type Appending struct {
	s       *Store
	account AccountID
	name    string
	permits []Permit
	list    []incoming
	last    *NewBody // of the last one of list; the others are staged
	waiting []staged // not known to be durable
	queued  int64    // octets of these
	held    []RoomChange
}

// incoming is a message that is to be added.
type incoming struct {
	body  BodyID
	size  int64
	flags []goimap.Flag
	date  time.Time
}

// staged is a body on its way into the log.
type staged struct {
	rec  *record
	body *NewBody
}

const (
	// appendRoom holds the bodies that no message names yet, under their ids.
	appendRoom = "append"
	// maxQueued is how many octets of bodies may wait in memory for the disk.
	maxQueued = 4 << 20
)

// StartAppending begins to append to the mailbox name of a. Nothing is checked before
// Commit, which asks for permits there and leaves out flags that one does not allow (RFC
// 4314 section 4).
func (s *Store) StartAppending(a AccountID, name string, permits ...Permit) *Appending {
	return &Appending{s: s, account: a, name: canonicalName(name), permits: permits}
}

// Size is what was added so far, in octets.
func (p *Appending) Size() (octets int64) {
	for i := range p.list {
		octets += p.list[i].size
	}
	return octets
}

// Add adds a message; b is p's from then on, unless there is an error. The zero date is
// the time of Commit. ErrTooBig, ErrNoSpace, ErrClosed.
func (p *Appending) Add(ctx context.Context, b *NewBody, flags []goimap.Flag, date time.Time) error {
	if err := b.finish(); err != nil {
		return err
	}
	if err := p.stage(ctx); err != nil {
		return err
	}
	p.list = append(p.list, incoming{body: b.id, size: b.size, flags: flags, date: date})
	p.last = b
	return nil
}

// stage sends the last body on its way into the log.
func (p *Appending) stage(ctx context.Context) error {
	b := p.last
	if b == nil {
		return nil
	}
	hold := []RoomChange{{Room: appendRoom, Key: fmt.Sprintf("%016x", uint64(b.id)), Value: []byte{1}, Body: b.id}}
	rec, _, err := p.s.begin(ctx, ordinary, roomNeed(hold), b, func(d *decision) error {
		d.rooms(hold)
		return nil
	})
	if rec == nil {
		return err
	}
	p.last = nil
	p.held = append(p.held, hold...)
	p.waiting = append(p.waiting, staged{rec, b})
	if p.queued += b.size; err == nil && p.queued <= maxQueued {
		return nil
	}
	return errors.Join(err, p.settle())
}

// settle waits until everything staged is durable, and gives its memory back.
func (p *Appending) settle() (err error) {
	for _, st := range p.waiting {
		err = errors.Join(err, p.s.finish(st.rec, nil))
		st.body.delivered()
	}
	p.waiting, p.queued = nil, 0
	return err
}

// Placing is where the messages of an Appending are.
type Placing struct {
	UIDValidity uint32
	UIDs        []goimap.UID // in the order in which they were added
}

// Commit adds all messages, at least one, as one change, and returns when it is on disk.
// With replaced, which may be nil, it removes uid of that mailbox in the same change, for
// which permits are asked; the quota counts what is left of both. After an error nothing
// has changed.
// ErrNoAccount, ErrNoMailbox, ErrNoMessage, ErrOverQuota, ErrLimit, ErrNoSpace, ErrGone, ErrRights, ErrClosed.
func (p *Appending) Commit(ctx context.Context, replaced *Mailbox, uid goimap.UID, permits ...Permit) (Placing, error) {
	if p.last == nil {
		return Placing{}, errors.New("mailbox: nothing to append")
	}
	var placed Placing
	release := releases(p.held)
	need := baseNeed + rangeNeed + keywordsNeed + len(p.list)*messageNeed + roomNeed(release)
	err := p.s.write(ctx, ordinary, need, p.last, func(d *decision) error {
		if replaced != nil {
			if err := d.replace(replaced.box, uid, permits); err != nil {
				return err
			}
		}
		var err error
		if placed, err = d.append(p); err != nil {
			return err
		}
		d.rooms(release)
		return nil
	})
	if err != nil {
		return Placing{}, err
	}
	p.last.delivered()
	p.last, p.held = nil, nil
	return placed, p.settle()
}

// releases gives up what holds made.
func releases(holds []RoomChange) []RoomChange {
	list := make([]RoomChange, len(holds))
	for i, h := range holds {
		list[i] = RoomChange{Room: h.Room, Key: h.Key}
	}
	return list
}

// replace decides that a message goes for others that come.
func (d *decision) replace(b *box, uid goimap.UID, permits []Permit) error {
	if _, err := d.permitted(b, permits); err != nil {
		return err
	}
	c := d.change(b)
	var gone runs
	b.candidates(selection{uids: []goimap.UID{uid}}, func(msg *candidate) {
		c.after.count(msg.Flags, msg.Size, -1)
		gone.add(msg)
	})
	if len(gone.list) == 0 {
		return ErrNoMessage
	}
	d.expunge(c, gone.list)
	return nil
}

// append decides about all messages of p.
func (d *decision) append(p *Appending) (Placing, error) {
	l, err := d.s.pending.find(p.account, p.name)
	if err != nil {
		return Placing{}, err
	}
	if err := l.permits(p.permits); err != nil {
		return Placing{}, err
	}
	allowed := l.allowedFlags(p.permits)
	if err := d.fits(p.account, Usage{Messages: int64(len(p.list)), Size: p.Size()}); err != nil {
		return Placing{}, err
	}
	now := d.s.now()
	list := make([]added, len(p.list))
	keywords := false
	for i, in := range p.list {
		if !allowed.Has(KeywordBit) {
			in.flags = slices.DeleteFunc(slices.Clone(in.flags), isKeyword) // none is made for it
		}
		keywords = keywords || slices.ContainsFunc(in.flags, isKeyword)
		flags, err := l.box.bits(in.flags, true)
		if err != nil {
			return Placing{}, err
		}
		date := in.date
		if date.IsZero() {
			date = now
		}
		list[i] = added{Flags: flags.and(allowed), Size: in.size, Internal: DateOf(date), Saved: now.Unix(), Body: in.body}
	}
	c := d.change(l.box)
	if keywords {
		d.recordKeywords(c)
	}
	d.add(c, list)
	placed := Placing{UIDValidity: l.box.validity, UIDs: make([]goimap.UID, len(list))}
	for i := range list {
		placed.UIDs[i] = list[i].UID
	}
	return placed, nil
}

// Abort gives up what was not committed. After Commit it does nothing.
func (p *Appending) Abort() {
	if p.last != nil {
		p.last.Abort()
		p.last = nil
	}
	err := p.settle()
	if len(p.held) > 0 {
		// A session that is cut off aborts, too, so its context would be of no use.
		err = errors.Join(err, p.s.Change(context.Background(), releases(p.held)...))
		p.held = nil
	}
	if err != nil {
		p.s.logger.Warn("giving up messages that were not appended; the next start does it", "err", err)
	}
}

// dropStaged gives up what a process that ended left of its Appendings.
func (s *Store) dropStaged() error {
	var left []RoomChange
	err := s.Room(appendRoom).Each("", func(key string, _ []byte) error {
		left = append(left, RoomChange{Room: appendRoom, Key: key})
		return nil
	})
	if err != nil || len(left) == 0 {
		return err
	}
	for part := range slices.Chunk(left, releaseBatch) {
		if err := s.Change(context.Background(), part...); err != nil {
			return err
		}
	}
	s.logger.Info("messages of appends that were cut off are given up", "messages", len(left))
	return nil
}

// releaseBatch is how many entries one record gives up: it fits into the smallest
// segment.
const releaseBatch = 500
