package mailbox

import (
	"context"

	goimap "github.com/emersion/go-imap/v2"
)

// Copied maps source UIDs to the new ones, both ascending and of one length.
type Copied struct {
	UIDValidity  uint32
	Source, Dest []goimap.UID
}

// Copy copies messages with flags and dates into mailbox name of the same
// account, all or none; their SAVEDATE is now (RFC 8514). UIDs (ascending) that are
// gone are passed over. ErrNoMailbox, ErrOverQuota, ErrLimit, ErrNoSpace, ErrGone.
func (m *Mailbox) Copy(ctx context.Context, uids []goimap.UID, name string) (Copied, error) {
	return m.transferTo(ctx, uids, Destination{Account: m.box.account, Name: name}, false, nil)
}

// Move is Copy and Expunge as one change (RFC 6851). Moving into the same mailbox gives new UIDs.
func (m *Mailbox) Move(ctx context.Context, uids []goimap.UID, name string) (Copied, error) {
	return m.transferTo(ctx, uids, Destination{Account: m.box.account, Name: name}, true, nil)
}

// Destination is where messages are put, of any account, whose quota counts them. Permits
// are asked for there, and flags that one does not allow are left out (RFC 4314 section 4).
type Destination struct {
	Account AccountID
	Name    string
	Permits []Permit
}

// CopyTo is Copy to any account. Permits are those for the mailbox itself. ErrRights, too.
func (m *Mailbox) CopyTo(ctx context.Context, uids []goimap.UID, to Destination, permits ...Permit) (Copied, error) {
	return m.transferTo(ctx, uids, to, false, permits)
}

// MoveTo is Move to any account. What leaves the account can be restored there. Permits
// are those for the mailbox itself. ErrRights, too.
func (m *Mailbox) MoveTo(ctx context.Context, uids []goimap.UID, to Destination, permits ...Permit) (Copied, error) {
	return m.transferTo(ctx, uids, to, true, permits)
}

func (m *Mailbox) transferTo(ctx context.Context, uids []goimap.UID, to Destination, move bool, permits []Permit) (Copied, error) {
	var res Copied
	to.Name = canonicalName(to.Name)
	err := m.transfer(ctx, selection{uids: uids}, move, 0, func(d *decision) (*change, FlagSet, error) {
		if _, err := d.permitted(m.box, permits); err != nil {
			return nil, FlagSet{}, err
		}
		return to.open(d)
	}, &res)
	if err != nil {
		return Copied{}, err
	}
	return res, nil
}

// open decides where messages go, and with which flags.
func (to *Destination) open(d *decision) (c *change, allowed FlagSet, err error) {
	l, err := d.s.pending.find(to.Account, to.Name)
	if err != nil {
		return nil, FlagSet{}, ErrNoMailbox
	}
	if err := l.permits(to.Permits); err != nil {
		return nil, FlagSet{}, err
	}
	return d.change(l.box), l.allowedFlags(to.Permits), nil
}

// allowedFlags are those that all permits' accounts may set.
func (l *listing) allowedFlags(permits []Permit) FlagSet {
	allowed := AllRights.Flags()
	for _, p := range permits {
		allowed = allowed.and(l.rights(p.Account).Flags())
	}
	return allowed
}

// transferNeed bounds the metadata of a transfer but for its messages: the
// mailbox to be made with the levels above it, and its keywords.
const transferNeed = baseNeed + keywordsNeed + (maxNameDepth+1)*(2*maxNameBytes+2*baseNeed+maxGrants*grantNeed)

// transfer copies or moves messages to the mailbox that target
// decides on, with more bytes of metadata. A move may use the reserve: it is how mail gets into Trash.
func (m *Mailbox) transfer(ctx context.Context, asked selection, move bool, more int, target func(*decision) (*change, FlagSet, error), res *Copied) error {
	w := ordinary
	if move {
		w = urgent
	}
	need := transferNeed + m.count(asked)*(messageNeed+rangeNeed) + more
	return m.s.write(ctx, w, need, nil, func(d *decision) error {
		if m.box.pending.gone {
			return ErrGone
		}
		to, allowed, err := target(d)
		if err != nil {
			return err
		}
		t := transferring{
			translator: translator{from: m.box.allKeywords(), to: to.box},
			allowed:    allowed,
			saved:      d.s.now().Unix(),
			from:       d.change(m.box),
			move:       move,
		}
		m.box.candidates(asked, t.take)
		if len(t.list) == 0 {
			return nil
		}
		if !move || to.box.account != m.box.account { // a move within an account adds nothing to it
			if err := d.fits(to.box.account, t.usage()); err != nil {
				return err
			}
		}
		d.recordKeywords(to)
		d.add(to, t.list)
		if move {
			d.expunge(t.from, t.gone.list)
		}
		*res = Copied{UIDValidity: to.box.validity, Source: t.source, Dest: make([]goimap.UID, len(t.list))}
		for i := range t.list {
			res.Dest[i] = t.list[i].UID
		}
		return nil
	})
}

// transferring collects what a COPY or MOVE takes along.
type transferring struct {
	translator
	allowed FlagSet // of those that the messages have where they come
	saved   int64   // SAVEDATE of the copies, Unix seconds
	from    *change
	move    bool
	list    []added // the copies, without UIDs
	source  []goimap.UID
	gone    runs
}

// usage is what the copies count with in their account.
func (t *transferring) usage() Usage {
	u := Usage{Messages: int64(len(t.list))}
	for i := range t.list {
		u.Size += t.list[i].Size
	}
	return u
}

// take takes one message.
func (t *transferring) take(c *candidate) {
	copied := c.added
	copied.Saved = t.saved
	if t.to != t.from.box {
		copied.Flags = t.flags(c.Flags)
	}
	copied.Flags = copied.Flags.and(t.allowed)
	t.list = append(t.list, copied)
	t.source = append(t.source, c.UID)
	if t.move {
		t.from.after.count(c.Flags, c.Size, -1)
		t.gone.add(c)
	}
}
