package mailbox

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"

	"go.etcd.io/bbolt"

	"mailstead/mailbox/log"
)

// Copy is a store's folder that nobody has open, with a checkpoint and the log
// after it: one that was copied from a snapshot. It is read and not changed.
type Copy struct {
	Dir        string
	Checkpoint ModSeq // what its newest checkpoint is true for
	Last       ModSeq // the last change that it has to have
	Scratch    string // an empty folder; takes a state.db
}

// Verify proves that the copy can be served from: every record of the log
// validates, those after the checkpoint are all there, together they make a
// state.db that is right in itself, and every body that this refers to is
// where it says. It returns what is wrong, in words for people; the error is
// of the verifying.
func (c Copy) Verify(ctx context.Context) (problems []string, err error) {
	view, err := log.OpenView(filepath.Join(c.Dir, logFolder))
	if errors.Is(err, log.ErrDamaged) {
		return []string{err.Error()}, nil
	}
	if err != nil {
		return nil, err
	}
	v := copyVerifier{Copy: c, ctx: ctx, view: view}
	err = v.run()
	return v.problems, errors.Join(err, view.Close())
}

type copyVerifier struct {
	Copy
	ctx      context.Context
	view     *log.View
	disk     *disk
	problems []string
}

func (v *copyVerifier) problem(format string, args ...any) {
	if len(v.problems) < maxProblems {
		v.problems = append(v.problems, fmt.Sprintf(format, args...))
	}
}

func (v *copyVerifier) run() error {
	damage, err := v.view.Verify(func(log.Record, []byte) error { return v.ctx.Err() })
	for _, d := range damage {
		v.problem("segment %d, records %d to %d: %s", d.Segment, d.First, d.Last, d.What)
	}
	if err != nil {
		return err
	}
	at, err := files{log.OS()}.restoreInto(filepath.Join(v.Scratch, stateFile), filepath.Join(v.Dir, checkpointFolder))
	if err != nil {
		return err
	}
	if ModSeq(at) != v.Checkpoint {
		v.problem("the newest whole checkpoint is for record %d, not %d", at, v.Checkpoint)
	}
	if v.disk, err = openDisk(v.Scratch, diskOptions{Logger: slog.New(slog.DiscardHandler)}); err != nil {
		return err
	}
	return errors.Join(v.state(at), v.disk.close())
}

// state brings the checkpoint up to the log and looks at what comes out.
func (v *copyVerifier) state(at log.LSN) error {
	var batch []appliedRecord
	weight := int64(0)
	apply := func() error {
		err := v.disk.apply(batch)
		batch, weight = batch[:0], 0
		return err
	}
	read, err := v.view.Read(at, max(at, log.LSN(v.Last)), func(r log.Record) error {
		ops, err := decodeOps(r.Meta)
		if err != nil {
			return fmt.Errorf("record %d: %w", r.LSN, err)
		}
		batch = append(batch, appliedRecord{LSN: r.LSN, Ops: ops, Body: BodyID(r.BodyID), Place: r.Place})
		if weight += weigh(ops); weight < commitWeight {
			return nil
		}
		return errors.Join(apply(), v.ctx.Err())
	})
	switch {
	case errors.Is(err, log.ErrGone), errors.Is(err, errRecord):
		v.problem("the log after the checkpoint ends at record %d, not %d: %v", read, v.Last, err)
	case err != nil:
		return err
	}
	if len(batch) > 0 {
		if err := apply(); err != nil {
			return err
		}
	}
	if err := v.disk.check(); err != nil {
		v.problem("what checkpoint and log make is not right: %v", err)
	}
	return v.bodies()
}

// bodies looks for every body that a message, a deleted message or a room holds.
func (v *copyVerifier) bodies() error {
	return v.disk.state.View(func(tx *bbolt.Tx) error {
		return tableOf(tx, bucketBodies).ForEach(func(key, value []byte) error {
			if len(key) != 8 {
				return nil // the check has said so
			}
			list, err := decodeBodyChunk(nil, bodyChunk(binary.BigEndian.Uint64(key)), value)
			if err != nil {
				return nil // the same
			}
			for _, s := range list {
				if s.Refs == 0 || s.Lost {
					continue
				}
				if err := v.body(s.Place, log.BodyID(s.ID)); err != nil {
					return err
				}
			}
			return v.ctx.Err()
		})
	})
}

// body opens one. That its bytes are right is known from its record by now.
func (v *copyVerifier) body(p log.Place, id log.BodyID) error {
	b, err := v.view.Body(p, id)
	if errors.Is(err, log.ErrGone) || errors.Is(err, log.ErrDamaged) || errors.Is(err, io.EOF) {
		v.problem("body %d is not where the log says: %v", id, err)
		return nil
	}
	if err != nil {
		return err
	}
	return b.Close()
}
