package mailbox

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"

	"mailstead/mailbox/log"
)

// renewFile marks a store whose mailboxes are to get new UIDVALIDITYs.
const renewFile = "renew-uidvalidity"

// MarkRenewal has the next Open of the store in dir give every mailbox a new,
// larger UIDVALIDITY before anybody sees one: UIDs that lost records gave will
// be given again, to messages that clients would take for those they remember
// (RFC 3501 section 2.3.1.1). It is durable when it returns, and once is as
// good as twice. Restoring a copy that lacks the last acknowledged records
// needs it; nobody may have the store open.
func MarkRenewal(dir string) error { return files{log.OS()}.markRenewal(dir) }

func (f files) markRenewal(dir string) error {
	name := filepath.Join(dir, renewFile)
	mark, err := f.Create(name)
	if errors.Is(err, fs.ErrExist) { // and is perhaps not durable
		mark, err = f.Open(name, true)
	}
	if err == nil {
		err = errors.Join(mark.Sync(), mark.Close(), f.SyncDir(dir))
	}
	if err != nil {
		return fmt.Errorf("marking the mailboxes for a new UIDVALIDITY: %w", err)
	}
	return nil
}

// renewMarked does what the mark asks for. It goes when all new UIDVALIDITYs
// are durable: a start that ends before leaves it, and the next one gives all
// of them anew, of which nobody has seen any.
func (s *Store) renewMarked() error {
	mark := filepath.Join(s.dir, renewFile)
	switch there, err := s.files.exists(mark); {
	case err != nil:
		return fmt.Errorf("looking for the mark of new UIDVALIDITYs: %w", err)
	case !there:
		return nil
	}
	s.logger.Warn("records are lost: every mailbox gets a new UIDVALIDITY, and mail programs load it anew")
	if err := s.skipIDs(); err != nil {
		return err
	}
	byID := func(x, y *listing) int { return cmp.Compare(x.box.id, y.box.id) }
	for batch := range slices.Chunk(slices.SortedFunc(maps.Values(s.pending.listings), byID), renewBatch) {
		if err := s.renewSome(batch); err != nil {
			return err
		}
	}
	// The removal is synced, too: a mark that came back would cost every mail
	// program a second download.
	if err := errors.Join(s.files.Remove(mark), s.files.SyncDir(s.dir)); err != nil {
		return fmt.Errorf("removing the mark of new UIDVALIDITYs: %w", err)
	}
	return nil
}

// How many ids are passed over, since the lost records may have given them:
// clients know messages by ids of bodies and mailboxes by theirs (RFC 8474), too.
// Both are far more than a server gives between two backups, and leave room for
// 65,000 renewals; a larger id of a body is two bytes more for every 64 of them.
const (
	skippedBodies    = 1 << 32
	skippedMailboxes = 1 << 16
	skippedAccounts  = 1 << 16
)

// skipIDs passes over ids that lost records may have given.
func (s *Store) skipIDs() error {
	return s.write(context.Background(), urgent, baseNeed, nil, func(d *decision) error {
		s.lastMailbox += skippedMailboxes
		d.ops = append(d.ops, opGiven{
			Account: AccountID(s.lastAccount.Add(skippedAccounts)), Mailbox: s.lastMailbox, Body: BodyID(s.lastBody.Add(skippedBodies)),
		})
		return nil
	})
}

// renewBatch is how many mailboxes one record describes anew: it fits into the
// smallest segment.
const renewBatch = 20

// renewSome gives mailboxes that nobody has open new UIDVALIDITYs.
func (s *Store) renewSome(batch []*listing) error {
	need := baseNeed
	for _, l := range batch {
		need += mailboxNeed(l.name)
	}
	return s.write(context.Background(), urgent, need, nil, func(d *decision) error {
		for _, l := range batch {
			b := l.box
			b.validity = s.newValidity()
			d.change(b)
			d.ops = append(d.ops, opMailbox{ID: b.id, Account: b.account, Name: l.name, UIDValidity: b.validity, SpecialUse: l.use})
		}
		return nil
	})
}
