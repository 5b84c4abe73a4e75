package mailbox

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"mailstead/mailbox/log"
)

// logFolder is the folder of the log within the store's.
const logFolder = "log"

// recover brings the databases up to the log and the memory up to the
// databases. What it accepts of the log is durable before any of it is applied.
func (s *Store) recover() error {
	if err := s.refuseNewer(); err != nil {
		return err
	}
	unfinished, err := s.files.markStart(s.dir)
	if err != nil {
		return err
	}
	if err := s.openDatabases(unfinished); err != nil {
		return err
	}
	s.disk.noteProgram(s.o.Program)
	found, err := s.replayLog()
	if err != nil {
		return err
	}
	if err := s.loadHeaders(); err != nil {
		return err
	}
	if err := s.renewMarked(); err != nil {
		return err
	}
	if err := s.dropUnnamed(found.whole); err != nil {
		return err
	}
	s.replayed = found.bodies
	if err := s.expectIndexes(); err != nil {
		return err
	}
	if err := s.loadSearch(); err != nil {
		return err
	}
	if err := s.checkpointer.begin(s); err != nil {
		return err
	}
	if err := s.fence.load(s.files, s.dir); err != nil {
		s.logger.Warn("the list of damaged bodies cannot be read; verify makes it anew", "err", err)
	}
	s.disk.onFault(s.databaseFault)
	if err := s.beginRetention(); err != nil {
		return err
	}
	s.sweepSnapshots()
	return s.files.startDone(s.dir)
}

// childTime is how long the check of a database in a child process may take:
// it reads the whole file.
const childTime = 10 * time.Minute

// check has a child process look at a database.
func (s *Store) check(path string) error {
	ctx, cancel := context.WithTimeout(context.Background(), childTime)
	defer cancel()
	err := s.files.checkDatabase(ctx, path)
	if errors.Is(err, errNoChild) {
		s.logger.Warn("the database was not checked", "file", path, "reason", err)
	}
	return err
}

// dropDamagedDerived removes a damaged derived.db: it is made again.
func (s *Store) dropDamagedDerived() error {
	path := filepath.Join(s.dir, derivedFile)
	err := s.check(path)
	if !errors.Is(err, errDatabase) {
		return nil
	}
	s.logger.Warn("making the derived database anew", "file", path, "reason", err)
	if err := s.files.remove(path); err != nil {
		return fmt.Errorf("removing the damaged %s: %w", derivedFile, err)
	}
	return nil
}

// openDatabases opens state.db and derived.db. After a start that did not
// finish a child process looks at them first, since damage can end the
// process that has one open. A damaged or missing state.db is made again from
// the newest whole checkpoint, and the log after that.
func (s *Store) openDatabases(unfinished bool) error {
	state := filepath.Join(s.dir, stateFile)
	there, err := s.files.exists(state)
	if err != nil {
		return fmt.Errorf("looking for %s: %w", stateFile, err)
	}
	if unfinished {
		s.logger.Warn("the last start did not finish: checking the databases first")
		if err := s.dropDamagedDerived(); err != nil {
			return err
		}
		if there {
			err = s.check(state)
		}
	}
	unsynced, failed := s.files.exists(filepath.Join(s.dir, failedFile))
	if failed != nil {
		return fmt.Errorf("looking for the mark of a failed commit: %w", failed)
	}
	if unsynced && there {
		err = errors.Join(err, errUnsynced)
	}
	if there && !errors.Is(err, errDatabase) {
		if s.disk, err = openDisk(s.dir, s.diskOptions()); !errors.Is(err, errDatabase) {
			return err
		}
	}
	if err != nil && there {
		s.logger.Error("the database is damaged: making it again from checkpoint and log", "reason", err)
	}
	if _, err := s.files.rebuild(s.dir, filepath.Join(s.dir, checkpointFolder)); err != nil {
		return err
	}
	if unsynced {
		if err := s.files.remove(filepath.Join(s.dir, failedFile)); err != nil {
			return fmt.Errorf("removing the mark of a failed commit: %w", err)
		}
	}
	s.disk, err = openDisk(s.dir, s.diskOptions())
	return err
}

func (s *Store) diskOptions() diskOptions {
	return diskOptions{Logger: s.logger, Files: s.files, Keep: true, Program: s.o.Program, Now: s.now}
}

// errUnsynced says that the last commit of a database failed.
var errUnsynced = fmt.Errorf("%w: its last commit failed on the disk", errDatabase)

// replayed is what replaying the log found.
type replayed struct {
	bodies []BodyID // that the records brought
	whole  bool     // no damage was seen
}

// replayLog opens the log and applies what state.db lacks of it. Where records
// are lost, the mark of a renewal is made before anything behind them is
// applied: afterwards nothing else would tell of them.
func (s *Store) replayLog() (found replayed, err error) {
	had := s.disk.applied()
	last := had
	var batch []appliedRecord
	weight := int64(0)
	apply := func() error {
		if len(batch) == 0 {
			return nil
		}
		err := s.disk.apply(batch)
		batch, weight = batch[:0], 0
		return err
	}
	var rep log.Report
	s.log, rep, err = log.Open(log.Options{
		Dir:         filepath.Join(s.dir, logFolder),
		FS:          s.files.FS,
		SegmentSize: s.o.SegmentSize,
		Applied:     had,
		Publish:     s.publish,
		Fatal:       s.o.Fatal,
		Logger:      s.logger,
	}, func(r log.Record) error {
		if r.LSN != last+1 {
			if err := s.files.markRenewal(s.dir); err != nil {
				return err
			}
		}
		last = r.LSN
		ops, err := decodeOps(r.Meta)
		if err != nil {
			return fmt.Errorf("record %d: %w", r.LSN, err)
		}
		batch = append(batch, appliedRecord{LSN: r.LSN, Ops: ops, Body: BodyID(r.BodyID), Place: r.Place})
		if r.BodyID != 0 {
			found.bodies = append(found.bodies, BodyID(r.BodyID))
		}
		if weight += weigh(ops); weight >= commitWeight {
			return apply()
		}
		return nil
	})
	if err != nil {
		return found, err
	}
	s.last = rep.NextNumber - 1
	s.published.Store(uint64(s.last))
	s.reportLosses(rep)
	found.whole = len(rep.Damaged) == 0 && rep.LostTo == 0
	if slices.ContainsFunc(rep.Damaged, func(d log.Damage) bool { return d.First <= d.Last && d.Last > had }) {
		if err := s.files.markRenewal(s.dir); err != nil {
			return found, err
		}
	}
	return found, apply()
}

// reportLosses says what recovery could not bring back.
func (s *Store) reportLosses(rep log.Report) {
	for _, d := range rep.Damaged {
		s.logger.Error("damage in the log", "segment", d.Segment, "first", d.First, "last", d.Last, "what", d.What)
	}
	if rep.LostTo != 0 {
		s.logger.Error("the log lacks records that the databases have; their bodies are lost",
			"first", rep.LostFrom, "last", rep.LostTo)
	}
	if rep.Replayed > 0 {
		s.logger.Info("recovered from the log", "records", rep.Replayed, "took", rep.Took)
	}
}

// loadHeaders fills the memory with what state.db knows of accounts and mailboxes.
func (s *Store) loadHeaders() error {
	h, err := s.disk.load()
	if err != nil {
		return err
	}
	s.lastAccount.Store(uint32(h.Last.Account))
	indexed, err := s.disk.lastIndexed()
	if err != nil {
		return err
	}
	s.lastBody.Store(uint64(max(h.Last.Body, indexed)))
	s.lastMailbox, s.lastValidity = h.Last.Mailbox, h.Last.UIDValidity
	for _, c := range []*catalogue{s.pending, s.durable} {
		for _, a := range h.Accounts {
			c.addAccount(a).quota = h.Quotas[a]
		}
		for _, sub := range h.Subscriptions {
			c.apply(opSubscription{Account: sub.Account, Name: sub.Name, On: true}, nil)
		}
	}
	for i := range h.Mailboxes {
		m := &h.Mailboxes[i]
		o := opMailbox{ID: m.ID, Account: m.Account, Name: m.Name, UIDValidity: m.UIDValidity, SpecialUse: m.SpecialUse}
		known := []*change{{box: storedBox(m), grown: Usage{Messages: int64(m.Messages), Size: m.Size}}}
		for _, c := range []*catalogue{s.pending, s.durable} {
			c.apply(o, known)
			c.apply(opRights{Mailbox: m.ID, Grants: m.Grants}, nil)
			c.count(known)
		}
	}
	for _, o := range h.Annotations {
		s.pending.annotate(o)
		s.durable.annotate(o)
	}
	return nil
}

// storedBox is the box of a mailbox as state.db has it.
func storedBox(m *diskMailbox) *box {
	h := header{
		uidNext: m.UIDNext, highest: m.HighestModSeq, messages: m.Messages, unseen: m.Unseen,
		deleted: m.Deleted, size: m.Size, keywords: len(m.Keywords),
	}
	b := &box{id: m.ID, account: m.Account, validity: m.UIDValidity, pending: h, durable: h,
		keywords: m.Keywords, told: m.RecentBelow, recent: m.Recent}
	b.last.Store(uint64(m.HighestModSeq))
	return b
}

// dropUnnamed removes files of large bodies that no record names: their
// delivery did not get that far. Where the log is not whole, they may be what
// is left of acknowledged messages, and are set aside.
func (s *Store) dropUnnamed(whole bool) error {
	ids, err := s.log.Bigs()
	if err != nil {
		return err
	}
	for _, id := range ids {
		s.lastBody.Store(max(s.lastBody.Load(), uint64(id)))
		_, named, err := s.disk.place(BodyID(id))
		switch {
		case err != nil || named:
		case whole:
			err = s.log.RemoveBig(id)
		default:
			s.logger.Error("a large message is named by no record, and set aside", "body", id)
			err = s.log.SetBigAside(id)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
