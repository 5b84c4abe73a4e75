package mailbox

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"mailstead/mailbox/log"
)

// Erasure is what EraseAccount did.
type Erasure struct {
	Segments int   // of the log that were unlinked
	Freed    int64 // bytes of them and of large bodies' files
	// Left names files that may still hold something of the account: segments
	// with damage, files that were set aside, snapshots for a backup.
	Left []string
}

// eraseRest is cleanRest for an erasure: somebody waits for it.
const eraseRest = 1

// EraseAccount removes account a, with changes, and everything of it from the
// disk: mail, what retention keeps, and what segments, checkpoints and free
// pages of the databases still hold. A body that another account has, too,
// stays. words are what else names the account, its addresses: log records of
// any kind that hold one are rewritten, too. An account that is removed already
// is erased as well. tell is called with what is being done, how much of it is
// done, and of how much in bytes (0 = nobody knows). An erasure that fails, or is
// ended after the account was removed, goes on when the store is opened again,
// or when it is called again. ErrRoomKey, ErrNoSpace, ErrClosed.
func (s *Store) EraseAccount(ctx context.Context, a AccountID, words []string, tell func(doing string, done, total int64), changes ...RoomChange) (Erasure, error) {
	e := erasing{s: s, ctx: ctx, account: a, words: words, tell: tell, mailboxes: make(map[ID]bool)}
	if err := e.begin(changes); err != nil {
		return e.result, fmt.Errorf("erasing an account: %w", err)
	}
	if err := e.run(); err != nil {
		return e.result, fmt.Errorf("erasing an account: %w", err)
	}
	return e.result, nil
}

// erasing is one erasure.
type erasing struct {
	s         *Store
	ctx       context.Context
	account   AccountID
	words     []string
	tell      func(string, int64, int64)
	mailboxes map[ID]bool // of the account, as far as the log tells
	result    Erasure
}

// eraseKey begins the keys that say what is being erased, in the room of cleaning.
const eraseKey = "erasing "

// noted is the change that notes words for a start that has to go on; nil is done.
func (e *erasing) noted(words []byte) RoomChange {
	return RoomChange{Room: cleanRoom, Key: fmt.Sprint(eraseKey, uint32(e.account)), Value: words}
}

// begin removes the account and notes what is to be done.
func (e *erasing) begin(changes []RoomChange) error {
	changes = append(slices.Clip(changes), e.noted([]byte(strings.Join(e.words, "\n"))))
	err := e.s.DeleteAccount(e.ctx, e.account, changes...)
	if errors.Is(err, ErrNoAccount) {
		return e.s.Change(e.ctx, changes...)
	}
	return err
}

// unfinished are the erasures that a start before this one began, with their
// words. Open asks before anybody can begin another.
func (s *Store) unfinished() (map[AccountID][]string, error) {
	found := make(map[AccountID][]string)
	err := s.Room(cleanRoom).Each(eraseKey, func(key string, value []byte) error {
		id, err := strconv.ParseUint(strings.TrimPrefix(key, eraseKey), 10, 32)
		if err != nil {
			return fmt.Errorf("%w: room %s has the key %q", errDatabase, cleanRoom, key)
		}
		var words []string
		if len(value) > 0 {
			words = strings.Split(string(value), "\n")
		}
		found[AccountID(id)] = words
		return nil
	})
	return found, err
}

// finishErasures goes on with what a start before this one began.
func (s *Store) finishErasures(ctx context.Context, unfinished map[AccountID][]string) error {
	for _, id := range slices.Sorted(maps.Keys(unfinished)) {
		s.logger.Info("going on with erasing an account", "account", id)
		if _, err := s.EraseAccount(ctx, id, unfinished[id], func(string, int64, int64) {}); err != nil {
			return err
		}
	}
	return nil
}

func (e *erasing) run() error {
	s := e.s
	if err := s.PurgeAccount(e.ctx, e.account); err != nil {
		return err
	}
	s.cleaner.mu.Lock()
	defer s.cleaner.mu.Unlock()
	rest := s.cleaner.rest
	s.cleaner.rest = min(rest, eraseRest)
	defer func() { s.cleaner.rest = rest }()
	if err := e.clean(); err != nil {
		return err
	}
	// The words themselves are not to stay, either: their record is among the
	// segments that were cleaned.
	if err := s.Change(e.ctx, e.noted([]byte{})); err != nil {
		return err
	}
	if err := s.apply(); err != nil {
		return err
	}
	e.tell("overwriting free pages of the databases", 0, 0)
	if err := s.overwriteFree(e.ctx); err != nil {
		return err
	}
	// The checkpoints are copies of what was before.
	if err := e.checkpoints(); err != nil {
		return err
	}
	if err := e.leftovers(); err != nil {
		return err
	}
	return s.Change(e.ctx, e.noted(nil))
}

// clean empties and unlinks every segment that has something of the account.
func (e *erasing) clean() error {
	s := e.s
	// The newest segment always stays, so the one that is written now has to be
	// another one's predecessor.
	if err := s.log.Seal(); err != nil {
		return s.spaceError(err)
	}
	if err := s.pass(e.ctx); err != nil {
		return err
	}
	must, err := e.find()
	if err != nil {
		return err
	}
	r := &cleaning{s: s, ctx: e.ctx, must: must, began: time.Now()}
	e.tell("cleaning", 0, 0)
	// A file that was unlinked must not come back with a crash, also one that an
	// attempt before this one has unlinked.
	err = errors.Join(r.run(), s.log.SyncBigs())
	e.result.Segments, e.result.Freed = r.unlinked, r.freed
	for _, id := range r.kept {
		e.left("log/" + log.BigName(log.BodyID(id)))
	}
	for _, info := range s.log.Segments() {
		if must[info.Number] {
			e.left(fmt.Sprintf("segment %d of the log", info.Number))
		}
	}
	return err
}

// find reads the log for what is of the account. A body that nobody holds any
// more may be of it, too.
func (e *erasing) find() (must map[uint32]bool, err error) {
	s := e.s
	live := make(map[BodyID]bool)
	if err := s.disk.eachBody(nil, func(b *storedBody) { live[b.ID] = b.Refs > 0 }); err != nil {
		return nil, err
	}
	segments := s.log.Segments()
	var done, total int64
	for _, info := range segments {
		total += info.Size
	}
	must = make(map[uint32]bool)
	for _, info := range segments[:max(0, len(segments)-1)] {
		if err := e.ctx.Err(); err != nil {
			return nil, err
		}
		e.tell("reading the log", done, total)
		done += info.Size
		err := s.log.Heads(info, func(r log.Record) error {
			// Every record is looked at: it may make a mailbox that later ones change.
			if e.concerns(r.Meta) || r.BodyID != 0 && !live[BodyID(r.BodyID)] {
				must[info.Number] = true
			}
			return nil
		})
		if errors.Is(err, log.ErrDamaged) {
			must[info.Number] = true
		} else if err != nil && !errors.Is(err, log.ErrGone) {
			return nil, err
		}
	}
	return must, nil
}

// concerns says whether the metadata of a record tells of the account.
func (e *erasing) concerns(meta []byte) bool {
	for _, w := range e.words {
		if bytes.Contains(meta, []byte(w)) {
			return true
		}
	}
	ops, err := decodeOps(meta)
	if err != nil {
		return true
	}
	found := false
	for _, o := range ops {
		found = e.concernsOp(o) || found
	}
	return found
}

func (e *erasing) concernsOp(o op) bool {
	switch o := o.(type) {
	case opAccount:
		return o.Account == e.account
	case opLimits:
		return o.Account == e.account
	case opSubscription:
		return o.Account == e.account
	case opMailbox:
		if o.Account == e.account {
			e.mailboxes[o.ID] = true
		}
		return o.Account == e.account
	case opMailboxGone:
		return e.mailboxes[o.ID]
	case opAnnotation:
		return o.Account == e.account || e.mailboxes[o.Mailbox]
	case opRights:
		return e.mailboxes[o.Mailbox] || hasGrant(o.Grants, e.account)
	case opKeywords:
		return e.mailboxes[o.Mailbox]
	case opAdd:
		return e.mailboxes[o.Mailbox]
	case opFlags:
		return e.mailboxes[o.Mailbox]
	case opExpunge:
		return e.mailboxes[o.Mailbox]
	}
	return false
}

// checkpoints makes both checkpoints anew.
func (e *erasing) checkpoints() error {
	e.tell("making checkpoints", 0, 0)
	for range checkpointsKept {
		if err := errors.Join(e.ctx.Err(), e.s.pass(e.ctx)); err != nil {
			return err
		}
		if _, err := e.s.disk.checkpoint(filepath.Join(e.s.dir, checkpointFolder)); err != nil {
			return err
		}
	}
	stored, err := e.s.files.checkpoints(filepath.Join(e.s.dir, checkpointFolder))
	for _, c := range stored[min(checkpointsKept, len(stored)):] {
		e.left(c.path) // somebody keeps files
	}
	return err
}

// leftovers removes what earlier troubles left, and names what is not the
// store's to remove.
func (e *erasing) leftovers() error {
	f, dir := e.s.files, e.s.dir
	if err := errors.Join(f.remove(filepath.Join(dir, damagedFile)), f.SyncDir(dir)); err != nil {
		return err
	}
	for _, folder := range []string{dir, filepath.Join(dir, logFolder), filepath.Join(dir, logFolder, "big"), filepath.Join(dir, snapshotFolder)} {
		names, err := f.ReadDir(folder)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		for _, name := range names {
			if filepath.Base(folder) == snapshotFolder || strings.HasSuffix(name, ".aside") {
				e.left(filepath.Join(folder, name))
			}
		}
	}
	return nil
}

func (e *erasing) left(what string) { e.result.Left = append(e.result.Left, what) }
