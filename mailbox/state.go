package mailbox

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"mailstead/mailbox/log"
)

// disk is what lies beside the log: state.db, which only log records change,
// and derived.db, which can be made again from the bodies. Its methods may be
// called concurrently, but apply and applyDerived by one goroutine (the applier)
// only. A callback runs inside a read transaction, so it copies and returns:
// it must not write to a client, wait, or call apply.
type disk struct {
	dir        string
	files      files
	state      *database
	derived    *database
	compacting compacting // of derived
	logger     *slog.Logger
	clock      func() time.Time // nil: the system's
	lsn        atomic.Uint64    // applied LSN of state.db
	lsnMade    atomic.Uint64    // applied LSN of derived.db
	copying    sync.Mutex       // one checkpoint at a time
	keeping    sync.RWMutex     // read-held while files of the store must not go, see Store.keepFiles

	// Of reserve, which only the opener and the applier call.
	ahead    int64 // bytes to have behind the used pages
	reserved int64 // bytes of state.db that have their blocks

	aheadState, aheadDerived readAhead

	held heldSeals // of indexes in derived.db
}

// diskOptions are the settings of openDisk; the zero value is good.
type diskOptions struct {
	Logger *slog.Logger // nil discards
	Files  files        // without FS, the operating system's

	// Of an older state.db that is brought up, in a store; a copy that is only looked at is kept by others.
	Keep    bool             // keep a copy of it before
	Program string           // that does it, to be written down; "" = nobody's
	Now     func() time.Time // nil = the system's
}

// The files of a store folder that disk owns.
const (
	stateFile   = "state.db"
	derivedFile = "derived.db"
)

// schema is what a database consists of.
type schema struct {
	version int      // a newer one is refused, an older one brought up
	buckets [][]byte // of a new database
	page    int      // of a new database, in bytes; 0 = the system's
	// steps[n] brings version n+1 to n+2, inside the one transaction that also
	// stores the version: a crash leaves the old schema whole.
	steps []func(*bbolt.Tx) error

	before  func(db *database, had, to int) error // is called before an older one is brought up; nil = nothing
	program string                                // that brings it up, to be written down; "" = nobody's
}

// stateSchema is the schema of state.db.
func stateSchema() schema {
	return schema{version: 2, buckets: [][]byte{bucketMeta, bucketAccounts, bucketMailboxes, bucketCounters, bucketGone,
		bucketSubscriptions, bucketMessages, bucketFlags, bucketBodies, bucketGarbage, bucketExpunged, bucketDeleted, bucketRooms, bucketAnnotations},
		steps: []func(*bbolt.Tx) error{sealAll}}
}

// The buckets of state.db; docs/STORAGE.md has keys and values.
var (
	bucketMeta          = []byte("meta")
	bucketAccounts      = []byte("accounts")
	bucketMailboxes     = []byte("mailboxes")
	bucketCounters      = []byte("counters")
	bucketGone          = []byte("gone")
	bucketSubscriptions = []byte("subscriptions")
	bucketMessages      = []byte("messages")
	bucketFlags         = []byte("flags")
	bucketBodies        = []byte("bodies")
	bucketGarbage       = []byte("garbage")
	bucketExpunged      = []byte("expunged")
	bucketDeleted       = []byte("deleted")
	bucketRooms         = []byte("rooms")
	bucketAnnotations   = []byte("annotations")
)

// The keys of the meta buckets of both databases.
var (
	keySchema  = []byte("schema")
	keyApplied = []byte("applied")
	keyLast    = []byte("last")
)

var (
	// errNewerSchema says that a newer program wrote the database.
	errNewerSchema = errors.New("mailbox: written by a newer version of mailstead")
	// errDatabase says that a database does not hold what was written to it;
	// rebuild makes it again.
	errDatabase = errors.New("mailbox: database is damaged")
)

// databaseTimeout is how long opening waits for bbolt's lock. The store's own
// lock was taken before, so it is free unless somebody looks into the file.
const databaseTimeout = 2 * time.Second

// mapSize is the address space reserved for a database, 64 GiB where there is
// room: a transaction that has to map the file again would wait for all readers.
// It costs no memory.
const mapSize = min(64<<30, math.MaxInt/4)

func databaseOptions(readOnly bool) *bbolt.Options {
	return &bbolt.Options{
		Timeout:         databaseTimeout,
		FreelistType:    bbolt.FreelistMapType,
		InitialMmapSize: mapSize,
		NoStatistics:    true,
		ReadOnly:        readOnly,
	}
}

// openDisk opens the databases in dir and makes those that are missing.
// derived.db is made anew when it cannot be used, with an applied LSN of 0. The
// error for state.db wraps errNewerSchema, errDatabase, or is the system's. The
// caller holds the store's lock.
func openDisk(dir string, o diskOptions) (*disk, error) {
	d := &disk{dir: dir, logger: o.Logger, files: o.Files, clock: o.Now}
	if d.files.FS == nil {
		d.files.FS = log.OS()
	}
	if d.logger == nil {
		d.logger = slog.New(slog.NewTextHandler(io.Discard, nil))
	}
	var err error
	if d.ahead, err = d.files.ahead(dir); err != nil {
		return nil, err
	}
	schema := stateSchema()
	if schema.program = plainProgram([]byte(o.Program)); o.Keep {
		schema.before = d.keepCopy
	}
	if d.state, err = d.files.openSchema(filepath.Join(dir, stateFile), schema); err != nil {
		return nil, err
	}
	if d.derived, err = d.files.openDerived(filepath.Join(dir, derivedFile), d.logger); err != nil {
		return nil, errors.Join(err, d.state.Close())
	}
	if err := d.readApplied(); err != nil {
		return nil, errors.Join(err, d.close())
	}
	d.reserve()
	return d, d.files.SyncDir(dir)
}

// readApplied finds out how far both databases are.
func (d *disk) readApplied() error {
	state, err := metaApplied(d.state)
	if err != nil {
		return err
	}
	derived, err := metaApplied(d.derived)
	if err != nil {
		return err
	}
	d.lsn.Store(uint64(state))
	d.lsnMade.Store(uint64(derived))
	return nil
}

// onFault has f told of pages that cannot be read; f must not return.
func (d *disk) onFault(f func(error)) { d.state.faulted, d.derived.faulted = f, f }

// openSchema opens a database, makes it where it is missing, and brings its
// schema up to s. What is there is synced before: a process that was killed
// between writing a meta page and syncing it leaves a commit that is seen and
// not durable. The next one would write over pages that the commit before still
// uses, and a power cut in it leave neither.
func (f files) openSchema(path string, s schema) (*database, error) {
	if err := f.settle(path); err != nil {
		return nil, fmt.Errorf("opening %s: %w", path, err)
	}
	o := databaseOptions(false)
	o.PageSize = s.page
	db, err := f.openBolt(path, o)
	if err != nil {
		return nil, err
	}
	had, err := s.check(db)
	if errors.Is(err, errOlderSchema) {
		err = nil
		if had > 0 && s.before != nil {
			err = s.before(db, had, s.version)
		}
		if err == nil {
			err = db.Update(s.bringUp)
		}
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("opening %s: %w", path, err), db.Close())
	}
	return db, nil
}

// databaseError marks the errors of opening that say the file is no database.
func databaseError(err error) error {
	for _, damage := range []error{berrors.ErrInvalid, berrors.ErrChecksum, berrors.ErrVersionMismatch} {
		if errors.Is(err, damage) {
			return errors.Join(errDatabase, err)
		}
	}
	return err
}

// schemaOf returns the version of the schema, 0 for a new file.
func schemaOf(tx *bbolt.Tx) (int, error) {
	b := tx.Bucket(bucketMeta)
	if b == nil {
		return 0, nil
	}
	v := b.Get(keySchema)
	if len(v) != 4 {
		return 0, fmt.Errorf("%w: no schema version", errDatabase)
	}
	return int(binary.BigEndian.Uint32(v)), nil
}

func putSchema(tx *bbolt.Tx, version int) error {
	return tx.Bucket(bucketMeta).Put(keySchema, binary.BigEndian.AppendUint32(nil, uint32(version)))
}

// errOlderSchema says that a database has to be brought up.
var errOlderSchema = errors.New("mailbox: written by an older version of mailstead")

// check looks at the version without writing anything: a start on a full disk
// has no block for a transaction that changes nothing.
func (s schema) check(db *database) (had int, err error) {
	err = db.View(func(tx *bbolt.Tx) error {
		had, err = schemaOf(tx)
		switch {
		case err != nil:
			return err
		case had > s.version:
			return fmt.Errorf("%w: schema %d, this one knows %d", errNewerSchema, had, s.version)
		case had < s.version:
			return errOlderSchema
		}
		return nil
	})
	return had, err
}

// bringUp brings an older or new database to the schema s.
func (s schema) bringUp(tx *bbolt.Tx) error {
	had, err := schemaOf(tx)
	if err != nil {
		return err
	}
	if had == 0 {
		for _, name := range s.buckets {
			if _, err := tx.CreateBucketIfNotExists(name); err != nil {
				return err
			}
		}
		return errors.Join(putSchema(tx, s.version), putProgram(tx, s.program))
	}
	for n := had; n < s.version; n++ {
		if n > len(s.steps) {
			return fmt.Errorf("%w: nothing brings schema %d up", errDatabase, n)
		}
		if err := s.steps[n-1](tx); err != nil {
			return fmt.Errorf("bringing schema %d to %d: %w", n, n+1, err)
		}
	}
	return errors.Join(putSchema(tx, s.version), putProgram(tx, s.program))
}

// metaApplied reads the applied LSN; 0 when nothing was applied yet.
func metaApplied(db *database) (lsn log.LSN, err error) {
	err = db.View(func(tx *bbolt.Tx) error {
		lsn = txApplied(tx)
		return nil
	})
	return lsn, err
}

func txApplied(tx *bbolt.Tx) log.LSN {
	v := tableOf(tx, bucketMeta).Get(keyApplied)
	if len(v) != 8 {
		return 0
	}
	return log.LSN(binary.BigEndian.Uint64(v))
}

func putApplied(tx *bbolt.Tx, lsn log.LSN) error {
	return tableOf(tx, bucketMeta).Put(keyApplied, binary.BigEndian.AppendUint64(nil, uint64(lsn)))
}

// applied is the LSN up to which state.db holds the log.
func (d *disk) applied() log.LSN { return log.LSN(d.lsn.Load()) }

// appliedDerived is the LSN up to which derived.db has the indexes of bodies.
func (d *disk) appliedDerived() log.LSN { return log.LSN(d.lsnMade.Load()) }

// close closes both databases, after every reader has finished.
func (d *disk) close() error {
	return errors.Join(d.state.Close(), d.derived.Close())
}
