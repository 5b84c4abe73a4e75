package mailbox

import (
	"context"
	"fmt"
	"slices"
	"strings"

	goimap "github.com/emersion/go-imap/v2"
)

// Bounds of encoded operations, in bytes, for reserving space before the
// decision: a code, the fields' longest varints, and the text beside them.
const (
	baseNeed     = 64
	roomOpNeed   = 40
	goneNeed     = 24
	messageNeed  = 72 // a message in opAdd
	rangeNeed    = 12 // a range of UIDs
	storeNeed    = 40 // a message that gets flags like no other: an opFlags of its own
	keywordsNeed = MaxKeywords * (maxKeywordBytes + 2)
)

// mailboxNeed bounds what a new or renamed mailbox and its subscription take.
func mailboxNeed(name string) int { return baseNeed + 2*len(name) + 64 }

// Mailboxes returns the durable mailboxes of a, sorted by name. ErrNoAccount.
func (s *Store) Mailboxes(a AccountID) ([]Info, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	acc := s.durable.accounts[a]
	if acc == nil {
		return nil, ErrNoAccount
	}
	list := acc.sorted()
	infos := make([]Info, len(list))
	for i, l := range list {
		infos[i] = s.info(a, l)
	}
	return infos, nil
}

// info describes a listing as user sees it: subscription and special use are the
// owner's. The caller holds mu.
func (s *Store) info(user AccountID, l *listing) Info {
	b := l.box
	b.mu.RLock()
	defer b.mu.RUnlock()
	info := Info{
		ID: b.id, Account: b.account, Name: l.name,
		UIDValidity: b.validity, UIDNext: b.durable.uidNext, HighestModSeq: b.durable.highest,
		Messages: b.durable.messages, Unseen: b.durable.unseen, Deleted: b.durable.deleted,
		Size: b.durable.size, Recent: b.recent, Rights: l.rights(user),
	}
	if user == b.account {
		_, info.Subscribed = s.durable.accounts[user].subscribed[l.name]
		info.SpecialUse = l.use
	}
	return info
}

// Mailbox returns one mailbox; the name INBOX in any case. ErrNoAccount, ErrNoMailbox.
func (s *Store) Mailbox(a AccountID, name string) (Info, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	l, err := s.durable.find(a, canonicalName(name))
	if err != nil {
		return Info{}, err
	}
	return s.info(a, l), nil
}

// SpecialUse returns the mailbox of a with that use. ErrNoAccount, ErrNoMailbox.
func (s *Store) SpecialUse(a AccountID, use goimap.MailboxAttr) (Info, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	acc := s.durable.accounts[a]
	if acc == nil {
		return Info{}, ErrNoAccount
	}
	if l := acc.withUse(use); l != nil {
		return s.info(a, l), nil
	}
	return Info{}, ErrNoMailbox
}

// withUse returns the listing with that special use, or nil.
func (a *account) withUse(use goimap.MailboxAttr) *listing {
	for _, l := range a.names {
		if l.use != "" && strings.EqualFold(string(l.use), string(use)) {
			return l
		}
	}
	return nil
}

// Create makes a mailbox and the missing levels above it. At most one mailbox
// of an account has a given special use; "" for none.
// What it makes has the rights of the level above; permits are asked for there.
// ErrNoAccount, ErrExists, ErrName, ErrLimit, ErrSpecialUse, ErrRights.
func (s *Store) Create(ctx context.Context, a AccountID, name string, use goimap.MailboxAttr, permits ...Permit) (Info, error) {
	name = canonicalName(name)
	need := (mailboxNeed(name) + maxGrants*grantNeed) * (1 + strings.Count(name, "/"))
	err := s.write(ctx, ordinary, need, nil, func(d *decision) error {
		acc := s.pending.accounts[a]
		if acc == nil {
			return ErrNoAccount
		}
		if err := acc.permitsBelow(a, name, permits); err != nil {
			return err
		}
		use, err := acc.checkUse(use)
		if err != nil {
			return err
		}
		_, err = d.createTree(acc, a, name, use)
		return err
	})
	if err != nil {
		return Info{}, err
	}
	return s.Mailbox(a, name)
}

// The special uses that a mailbox can be given; \All and \Flagged would have
// to be views over all mailboxes (RFC 6154 section 2).
var specialUses = []goimap.MailboxAttr{
	goimap.MailboxAttrArchive, goimap.MailboxAttrDrafts, goimap.MailboxAttrJunk,
	goimap.MailboxAttrSent, goimap.MailboxAttrTrash,
}

// checkUse returns use in its own spelling if a new mailbox may have it.
func (a *account) checkUse(use goimap.MailboxAttr) (goimap.MailboxAttr, error) {
	if use == "" {
		return "", nil
	}
	i := slices.IndexFunc(specialUses, func(u goimap.MailboxAttr) bool { return strings.EqualFold(string(u), string(use)) })
	if i < 0 {
		return "", fmt.Errorf("%w: %q", ErrSpecialUse, use)
	}
	if l := a.withUse(use); l != nil {
		return "", fmt.Errorf("%w: %q has it", ErrSpecialUse, l.name)
	}
	return specialUses[i], nil
}

// createTree decides on a mailbox and the missing levels above it.
func (d *decision) createTree(acc *account, a AccountID, name string, use goimap.MailboxAttr) (*change, error) {
	if err := checkOwnName(name); err != nil {
		return nil, err
	}
	if acc.names[name] != nil {
		return nil, ErrExists
	}
	missing := slices.DeleteFunc(parents(name), func(p string) bool { return acc.names[p] != nil })
	if len(acc.names)+len(missing)+1 > maxMailboxes {
		return nil, fmt.Errorf("%w: %d mailboxes", ErrLimit, maxMailboxes)
	}
	grants := acc.inherited(name)
	for _, p := range missing {
		d.create(a, p, "", grants)
	}
	return d.create(a, name, use, grants), nil
}

// create decides on a new mailbox with an access control list.
func (d *decision) create(a AccountID, name string, use goimap.MailboxAttr, grants []Grant) *change {
	s := d.s
	s.lastMailbox++
	b := &box{id: s.lastMailbox, account: a, validity: s.newValidity(), made: ModSeq(d.lsn), told: 1}
	c := &change{box: b, after: header{uidNext: 1, highest: ModSeq(d.lsn)}}
	d.changes = append(d.changes, c)
	d.ops = append(d.ops, opMailbox{ID: b.id, Account: a, Name: name, UIDValidity: b.validity, SpecialUse: use})
	if len(grants) > 0 {
		d.grant(b, grants)
	}
	return c
}

// newValidity is a UIDVALIDITY above all that were ever given. The caller holds seq.
func (s *Store) newValidity() uint32 {
	s.lastValidity = max(s.lastValidity+1, uint32(s.now().Unix()))
	return s.lastValidity
}

// Delete removes a mailbox, on which permits are asked for. Its children stay.
// ErrNoAccount, ErrNoMailbox, ErrInbox, ErrRights.
func (s *Store) Delete(ctx context.Context, a AccountID, name string, permits ...Permit) error {
	name = canonicalName(name)
	if name == inbox {
		return ErrInbox
	}
	return s.write(ctx, urgent, baseNeed, nil, func(d *decision) error {
		l, err := s.pending.find(a, name)
		if err != nil {
			return err
		}
		if err := l.permits(permits); err != nil {
			return err
		}
		d.dropMailbox(l.box)
		return nil
	})
}

// Rename renames a mailbox with everything below it, and makes the missing
// levels above the new name; renaming INBOX moves its messages to the new name
// and leaves it empty (RFC 3501 section 6.3.5). Subscriptions stay as they are.
// Permits are asked for on the mailbox, but RightCreate on the level above the new name
// (RFC 4314 section 4). ErrNoAccount, ErrNoMailbox, ErrExists, ErrName, ErrLimit, ErrRights.
func (s *Store) Rename(ctx context.Context, a AccountID, from, to string, permits ...Permit) error {
	from, to = canonicalName(from), canonicalName(to)
	if from == inbox {
		return s.renameInbox(ctx, a, to, permits)
	}
	return s.write(ctx, urgent, s.renameNeed(a, to), nil, func(d *decision) error {
		acc := s.pending.accounts[a]
		if acc == nil {
			return ErrNoAccount
		}
		if err := acc.permitsRename(a, from, to, permits); err != nil {
			return err
		}
		return d.rename(acc, a, from, to)
	})
}

// permitsRename asks for RightCreate above the new name and for the rest on what is
// renamed. A level that is no mailbox is the owner's.
func (a *account) permitsRename(owner AccountID, from, to string, permits []Permit) error {
	for _, p := range permits {
		above := Permit{Account: p.Account, Rights: p.Rights & RightCreate}
		p.Rights &^= RightCreate
		l := a.names[from]
		if l == nil && p.Account != owner {
			return ErrNoMailbox
		}
		if l != nil && l.permits([]Permit{p}) != nil || a.permitsBelow(owner, to, []Permit{above}) != nil {
			return ErrRights
		}
	}
	return nil
}

// renameNeed bounds the metadata of renaming all of an account's mailboxes.
func (s *Store) renameNeed(a AccountID, to string) int {
	s.mu.RLock()
	defer s.mu.RUnlock()
	need := (1 + strings.Count(to, "/")) * (mailboxNeed(to) + maxGrants*grantNeed)
	if acc := s.durable.accounts[a]; acc != nil {
		for name := range acc.names {
			need += mailboxNeed(to) + len(name)
		}
	}
	return need
}

// rename decides that from and all below it move to to.
func (d *decision) rename(acc *account, a AccountID, from, to string) error {
	moving := acc.below(from)
	if l := acc.names[from]; l != nil {
		moving = append([]*listing{l}, moving...)
	}
	if len(moving) == 0 {
		return ErrNoMailbox
	}
	if from == to {
		return ErrExists
	}
	if err := checkOwnName(to); err != nil {
		return err
	}
	if strings.HasPrefix(to, from+"/") {
		return fmt.Errorf("%w: below itself", ErrName)
	}
	missing := slices.DeleteFunc(parents(to), func(p string) bool { return acc.names[p] != nil })
	if len(acc.names)+len(missing) > maxMailboxes {
		return fmt.Errorf("%w: %d mailboxes", ErrLimit, maxMailboxes)
	}
	grants := acc.inherited(to)
	for _, p := range missing {
		d.create(a, p, "", grants)
	}
	for _, l := range moving {
		name := to + l.name[len(from):]
		if err := checkOwnName(name); err != nil {
			return err
		}
		if acc.names[name] != nil {
			return fmt.Errorf("%w: %q", ErrExists, name)
		}
		b := l.box
		d.change(b)
		d.ops = append(d.ops, opMailbox{ID: b.id, Account: a, Name: name, UIDValidity: b.validity, SpecialUse: l.use})
	}
	return nil
}

// renameInbox moves everything in INBOX into a new mailbox.
func (s *Store) renameInbox(ctx context.Context, a AccountID, to string, permits []Permit) error {
	m, err := s.OpenMailbox(ctx, a, inbox)
	if err != nil {
		return err
	}
	defer m.Close()
	return m.transfer(ctx, selection{all: true}, true, s.annotationsNeed(m.box.id), func(d *decision) (*change, FlagSet, error) {
		acc := s.pending.accounts[a]
		if acc == nil {
			return nil, FlagSet{}, ErrNoAccount
		}
		if err := acc.permitsRename(a, inbox, to, permits); err != nil {
			return nil, FlagSet{}, err
		}
		c, err := d.createTree(acc, a, to, "")
		if err != nil {
			return nil, FlagSet{}, err
		}
		return c, AllRights.Flags(), d.copyAnnotations(m.box.id, c.box.id, a)
	}, new(Copied))
}
