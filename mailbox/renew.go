package mailbox

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
)

// renewFile marks a store whose mailboxes are to get new UIDVALIDITYs.
const renewFile = "renew-uidvalidity"

// MarkRenewal has the next Open of the store in dir give every mailbox a new,
// larger UIDVALIDITY before anybody sees one: UIDs that lost records gave will
// be given again, to messages that clients would take for those they remember
// (RFC 3501 section 2.3.1.1). It is durable when it returns, and once is as
// good as twice. Restoring a copy that lacks the last acknowledged records
// needs it; nobody may have the store open.
func MarkRenewal(dir string) error {
	f, err := os.OpenFile(filepath.Join(dir, renewFile), os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("marking the mailboxes for a new UIDVALIDITY: %w", err)
	}
	if err := errors.Join(f.Sync(), f.Close(), syncDir(dir)); err != nil {
		return fmt.Errorf("marking the mailboxes for a new UIDVALIDITY: %w", err)
	}
	return nil
}

// renewMarked does what the mark asks for. It goes when all new UIDVALIDITYs
// are durable: a start that ends before leaves it, and the next one gives all
// of them anew, of which nobody has seen any.
func (s *Store) renewMarked() error {
	mark := filepath.Join(s.dir, renewFile)
	switch _, err := os.Stat(mark); {
	case errors.Is(err, os.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("looking for the mark of new UIDVALIDITYs: %w", err)
	}
	s.logger.Warn("records are lost: every mailbox gets a new UIDVALIDITY, and mail programs load it anew")
	byID := func(x, y *listing) int { return cmp.Compare(x.box.id, y.box.id) }
	for batch := range slices.Chunk(slices.SortedFunc(maps.Values(s.pending.listings), byID), renewBatch) {
		if err := s.renewSome(batch); err != nil {
			return err
		}
	}
	// The removal is synced, too: a mark that came back would cost every mail
	// program a second download.
	if err := errors.Join(os.Remove(mark), syncDir(s.dir)); err != nil {
		return fmt.Errorf("removing the mark of new UIDVALIDITYs: %w", err)
	}
	return nil
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
