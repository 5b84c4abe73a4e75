package mailbox

import (
	"context"
	"slices"

	goimap "github.com/emersion/go-imap/v2"
)

// FlagOp is how STORE changes flags.
type FlagOp uint8

const (
	FlagsReplace FlagOp = iota
	FlagsAdd
	FlagsRemove
)

// StoreChange is what a STORE asks for.
type StoreChange struct {
	UIDs           []goimap.UID // ascending; unknown ones are passed over
	Op             FlagOp
	Flags          []goimap.Flag
	UnchangedSince *ModSeq  // only messages whose MODSEQ is not larger (RFC 7162 section 3.1.3)
	View           *View    // of the session that asks; nil = nobody has to be told
	Permits        []Permit // flags that one of them does not allow stay as they are (RFC 4314 section 4)
}

// permitted returns the flags that may change, and those of change.Flags that are among
// them. ErrRights where there are none, though there are some to add or remove (RFC 4314
// section 4).
func (change *StoreChange) permitted(l *listing) (allowed FlagSet, flags []goimap.Flag, err error) {
	allowed, flags = l.allowedFlags(change.Permits), change.Flags
	if allowed == AllRights.Flags() {
		return allowed, flags, nil
	}
	flags = slices.DeleteFunc(slices.Clone(flags), func(f goimap.Flag) bool {
		if isKeyword(f) {
			return !allowed.Has(KeywordBit)
		}
		bit := systemFlag(f)
		return bit < 0 || !allowed.Has(bit)
	})
	some := len(change.Flags) > 0 && change.Op != FlagsReplace
	if allowed == (FlagSet{}) || some && len(flags) == 0 {
		return allowed, nil, ErrRights
	}
	return allowed, flags, nil
}

// StoreResult is what a STORE did.
type StoreResult struct {
	ModSeq   ModSeq       // of the change; 0 when nothing changed
	Modified []goimap.UID // failed UnchangedSince
	Surprise []goimap.UID // changed on top of a change that View's session was not told of
}

// Store changes flags; durable when it returns. Messages that have the flags
// already keep their MODSEQ. ErrGone, ErrLimit, ErrRights.
func (m *Mailbox) Store(ctx context.Context, change StoreChange) (StoreResult, error) {
	var res StoreResult
	if len(change.UIDs) == 0 {
		return res, nil
	}
	b := m.box
	need := baseNeed + len(change.UIDs)*storeNeed
	if slices.ContainsFunc(change.Flags, isKeyword) {
		need += keywordsNeed
	}
	err := m.s.write(ctx, urgent, need, nil, func(d *decision) error {
		l, err := d.permitted(b, change.Permits)
		if err != nil {
			return err
		}
		allowed, flags, err := change.permitted(l)
		if err != nil {
			return err
		}
		set, err := b.bits(flags, change.Op != FlagsRemove)
		if err != nil {
			return err
		}
		c := d.change(b)
		st := storing{change: change, set: set, allowed: allowed, header: &c.after}
		b.candidates(selection{uids: change.UIDs}, st.take)
		res.Modified, res.Surprise = st.modified, st.surprise
		if len(st.groups) == 0 {
			return nil
		}
		d.recordKeywords(c)
		d.setFlags(c, st.result())
		res.ModSeq = ModSeq(d.lsn)
		return nil
	})
	if err != nil {
		return StoreResult{}, err
	}
	return res, nil
}

// storing collects what a STORE changes, grouped by the resulting flags: one
// operation for each set, however many messages.
type storing struct {
	change   StoreChange
	set      FlagSet
	allowed  FlagSet // the others stay as they are
	header   *header
	modified []goimap.UID
	surprise []goimap.UID
	groups   []storeGroup
	ids      map[FlagSet]int // which group, once there are several
	last     int
}

type storeGroup struct {
	flags FlagSet
	uids  runs
}

// take decides about one message.
func (st *storing) take(c *candidate) {
	if since := st.change.UnchangedSince; since != nil && c.modseq > *since {
		st.modified = append(st.modified, c.UID)
		return
	}
	flags := st.flags(c.Flags)
	if flags == c.Flags {
		return
	}
	if v := st.change.View; v != nil && !v.told(c.modseq) {
		st.surprise = append(st.surprise, c.UID)
	}
	st.header.countFlags(c.Flags, -1)
	st.header.countFlags(flags, 1)
	st.group(flags).uids.add(c)
}

// flags is what a message with flags old gets.
func (st *storing) flags(old FlagSet) FlagSet {
	set, allowed := st.set, st.allowed
	switch st.change.Op {
	case FlagsAdd:
		set = FlagSet{old[0] | set[0], old[1] | set[1]}
	case FlagsRemove:
		set = FlagSet{old[0] &^ set[0], old[1] &^ set[1]}
	}
	return FlagSet{set[0]&allowed[0] | old[0]&^allowed[0], set[1]&allowed[1] | old[1]&^allowed[1]}
}

func (st *storing) group(flags FlagSet) *storeGroup {
	if st.last < len(st.groups) && st.groups[st.last].flags == flags {
		return &st.groups[st.last]
	}
	i, ok := st.ids[flags]
	if !ok {
		if st.ids == nil {
			st.ids = make(map[FlagSet]int)
		}
		i = len(st.groups)
		st.ids[flags] = i
		st.groups = append(st.groups, storeGroup{flags: flags})
	}
	st.last = i
	return &st.groups[i]
}

func (st *storing) result() []flagRun {
	list := make([]flagRun, len(st.groups))
	for i, g := range st.groups {
		list[i] = flagRun{flags: g.flags, uids: g.uids.list}
	}
	return list
}
