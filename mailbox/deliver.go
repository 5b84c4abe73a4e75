package mailbox

import (
	"context"
	"slices"
	"time"

	goimap "github.com/emersion/go-imap/v2"
)

// Target is a mailbox a message goes to.
type Target struct {
	Account AccountID
	Name    string // of the mailbox
	Flags   []goimap.Flag
	Date    time.Time // INTERNALDATE; zero = now
}

// Placed is where a target's copy is.
type Placed struct {
	UIDValidity uint32
	UID         goimap.UID
	Err         error // this target alone was refused: ErrNoAccount, ErrNoMailbox, ErrOverQuota, ErrLimit
}

// HasSpace says whether a message of n bytes would find space now: a cheap
// question, for refusing it before it is sent. Nothing is promised. ErrNoSpace.
func (s *Store) HasSpace(n int64) error { return s.spaceError(s.log.HasSpace(n)) }

// Deliver stores b once for all targets, together with changes, as one record.
// It returns when everything is on disk. An error means that nothing was
// stored, and b can be delivered again or aborted; a target that was refused
// on its own has its Err set and the others are stored. With no target left
// and no changes nothing is stored; changes that belong to a target (RoomChange.With) go with it. The changes function, when not nil, is
// called once with the body's id. ErrTooBig, ErrNoSpace, ErrRoomKey, ErrClosed.
func (s *Store) Deliver(ctx context.Context, b *NewBody, targets []Target, changes func(BodyID) []RoomChange) ([]Placed, error) {
	if err := b.finish(); err != nil {
		return nil, err
	}
	var rooms []RoomChange
	if changes != nil {
		rooms = changes(b.id)
	}
	if err := checkRooms(rooms); err != nil {
		return nil, err
	}
	placed := make([]Placed, len(targets))
	stored := false
	err := s.write(ctx, ordinary, deliverNeed(targets, rooms), b, func(d *decision) error {
		d.deliverAll(targets, b, placed)
		d.rooms(slices.DeleteFunc(rooms, func(c RoomChange) bool { return c.With > 0 && placed[c.With-1].Err != nil }))
		stored = len(d.ops) > 0
		return nil
	})
	if err != nil {
		return nil, err
	}
	if stored {
		b.delivered()
	}
	return placed, nil
}

// deliverAll decides about all targets.
func (d *decision) deliverAll(targets []Target, b *NewBody, placed []Placed) {
	now := d.s.now()
	for i := range targets {
		placed[i] = d.deliver(&targets[i], b, now)
	}
}

// deliverNeed bounds the metadata of a delivery in bytes.
func deliverNeed(targets []Target, rooms []RoomChange) int {
	n := roomNeed(rooms)
	for i := range targets {
		n += messageNeed
		if slices.ContainsFunc(targets[i].Flags, isKeyword) {
			n += keywordsNeed
		}
	}
	return n
}

// deliver decides about one target.
func (d *decision) deliver(t *Target, b *NewBody, now time.Time) Placed {
	l, err := d.s.pending.find(t.Account, canonicalName(t.Name))
	if err != nil {
		return Placed{Err: err}
	}
	if err := d.fits(t.Account, Usage{Messages: 1, Size: b.size}); err != nil {
		return Placed{Err: err}
	}
	flags, err := l.box.bits(t.Flags, true)
	if err != nil {
		return Placed{Err: err}
	}
	date := t.Date
	if date.IsZero() {
		date = now
	}
	c := d.change(l.box)
	if slices.ContainsFunc(t.Flags, isKeyword) {
		d.recordKeywords(c)
	}
	list := []added{{Flags: flags, Size: b.size, Internal: DateOf(date), Saved: now.Unix(), Body: b.id}}
	d.add(c, list)
	return Placed{UIDValidity: l.box.validity, UID: list[0].UID}
}
