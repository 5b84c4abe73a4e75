package backup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"time"

	"mailstead/mailbox"
	"mailstead/mailbox/log"
)

// Following is a running server whose log is followed.
type Following struct {
	// Snapshot makes one of the store. release is called when it was copied.
	Snapshot func(context.Context) (src Source, release func(), err error)
	// Log says how far the log is. ErrNoSource while no server runs.
	Log func(context.Context) ([]mailbox.LogSegment, error)
	// Store is the store's folder.
	Store string
	// Every is the time between two looks at the log; 0 = half a second.
	Every time.Duration
	// Shipped is told of the octets that went, after each time some did. May be nil.
	Shipped func(octets int64)
	// Begun is told of each ordinary backup that was made. May be nil.
	Begun func(Report)
}

// ErrNoSource says that no server runs at the moment.
var ErrNoSource = errors.New("no server is running")

const (
	followEvery = 500 * time.Millisecond
	// An ordinary backup is made again after so much of the log, or so long when
	// there was any: it bounds what a restore has to read, and removes old files.
	followBytes = 256 << 20
	followTime  = time.Hour
)

// Follow makes a backup and then ships the log as it is written, until ctx
// ends, which is no error. What was durable at the source is durable in dir
// half a second or so later; large bodies go before the records that name them.
// It waits for a server that is away, and goes on when it is back.
func Follow(ctx context.Context, dir string, f Following, o Options) error {
	if f.Every == 0 {
		f.Every = followEvery
	}
	d, err := openFolder(dir, o.step)
	if err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	w := follower{Following: f, ctx: ctx, d: d, o: o}
	err = w.run()
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		err = nil
	}
	if err := errors.Join(err, d.close()); err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	return nil
}

type follower struct {
	Following
	ctx context.Context
	d   *folder
	o   Options

	store   string           // identity
	base    uint32           // the last segment of the ordinary backup
	sizes   map[uint32]int64 // what was shipped of those behind it
	scanned map[uint32]int64 // how far their records were looked at
	bytes   int64            // shipped since the ordinary backup
	began   time.Time        // of that
}

// errAnew says that something of the log went before it was shipped.
var errAnew = errors.New("the log has to be taken anew")

func (w *follower) run() error {
	if err := w.begin(); err != nil {
		return err
	}
	tick := time.NewTicker(w.Every)
	defer tick.Stop()
	for {
		err := w.ship()
		due := w.bytes >= followBytes || w.bytes > 0 && time.Since(w.began) >= followTime
		if errors.Is(err, errAnew) || err == nil && due {
			err = w.begin()
		}
		if err != nil && !errors.Is(err, ErrNoSource) {
			return err
		}
		select {
		case <-w.ctx.Done():
			return w.ctx.Err()
		case <-tick.C:
		}
	}
}

// begin makes an ordinary backup.
func (w *follower) begin() error {
	src, release, err := w.Snapshot(w.ctx)
	if err != nil {
		return err
	}
	defer release()
	src.Complete = false // a server runs, or will
	o := w.o
	o.Now = time.Now()
	one := newWriter(w.ctx, w.d, o)
	if err := one.write(src); err != nil {
		return err
	}
	w.store, w.base = src.Snapshot.Store, 0
	for _, f := range src.Snapshot.Files {
		if number, ok := log.ParseSegmentName(path.Base(f.Name)); ok {
			w.base = max(w.base, number)
		}
	}
	w.sizes, w.scanned, w.bytes, w.began = make(map[uint32]int64), make(map[uint32]int64), 0, time.Now()
	if w.Begun != nil {
		w.Begun(one.report)
	}
	return nil
}

// ship brings over what is durable by now.
func (w *follower) ship() error {
	segments, err := w.Log(w.ctx)
	if err != nil {
		return err
	}
	var shipped int64
	for _, s := range segments {
		if s.Number <= w.base || s.Size <= w.sizes[s.Number] {
			continue
		}
		n, err := w.segment(s)
		shipped += n
		if errors.Is(err, fs.ErrNotExist) {
			err = errAnew
		}
		if err != nil {
			return err
		}
	}
	w.bytes += shipped
	if shipped > 0 && w.Shipped != nil {
		w.Shipped(shipped)
	}
	return nil
}

// segment appends to a segment in the folder what it has more by now.
func (w *follower) segment(s mailbox.LogSegment) (int64, error) {
	from, err := os.Open(filepath.Join(w.Store, filepath.FromSlash(s.Name)))
	if err != nil {
		return 0, err
	}
	defer from.Close()
	if err := w.bigs(from, s); err != nil {
		return 0, err
	}
	at := w.sizes[s.Number]
	to, err := w.openSegment(s, at)
	if err != nil {
		return 0, err
	}
	n, err := w.append(to, from, at, s.Size)
	if err := errors.Join(err, to.Close()); err != nil {
		return n, err
	}
	w.sizes[s.Number] = s.Size
	return n, nil
}

// openSegment opens the copy, which has size octets.
func (w *follower) openSegment(s mailbox.LogSegment, size int64) (*os.File, error) {
	name := w.d.path(path.Join(storesFolder, w.store, s.Name))
	if size > 0 {
		if err := w.d.step(); err != nil {
			return nil, err
		}
		return os.OpenFile(name, os.O_WRONLY, 0)
	}
	if err := w.d.mkdir(filepath.Dir(name)); err != nil {
		return nil, err
	}
	f, err := w.d.create(name)
	if err != nil {
		return nil, err
	}
	return f, w.d.syncDir(filepath.Dir(name))
}

func (w *follower) append(to, from *os.File, at, end int64) (int64, error) {
	if err := w.d.step(); err != nil {
		return 0, err
	}
	n, err := io.Copy(io.NewOffsetWriter(to, at), io.NewSectionReader(from, at, end-at))
	if err := errors.Join(err, w.d.step(), to.Sync()); err != nil {
		return n, err
	}
	if n < end-at {
		return n, errAnew // not the file that it was
	}
	return n, nil
}

// bigs copies the large bodies that new records of a segment name.
func (w *follower) bigs(from *os.File, s mailbox.LogSegment) error {
	end, err := log.ReadSegment(from, s.Number, w.scanned[s.Number], s.Size, func(r log.Record) error {
		if !r.Place.Big {
			return w.ctx.Err()
		}
		return w.big(r.BodyID)
	})
	if errors.Is(err, log.ErrDamaged) {
		return errAnew
	}
	if err != nil {
		return err
	}
	w.scanned[s.Number] = end
	return nil
}

func (w *follower) big(id log.BodyID) error {
	name := path.Join(logFolder, log.BigName(id))
	from := filepath.Join(w.Store, filepath.FromSlash(name))
	info, err := os.Stat(from)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // nobody holds it any more
	}
	if err != nil {
		return err
	}
	one := newWriter(w.ctx, w.d, w.o)
	_, err = one.copy(from, path.Join(storesFolder, w.store, name), info.Size())
	return err
}
