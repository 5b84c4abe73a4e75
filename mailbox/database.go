package mailbox

import (
	"errors"
	"fmt"
	"path/filepath"
	"runtime/debug"
	"sync"
	"sync/atomic"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

// database is a bbolt file. All transactions go through its methods: bbolt
// reads the file through a mapping, where a page that the disk cannot give is
// not an error but a fault, which would end the process without a word.
type database struct {
	bolt    atomic.Pointer[bbolt.DB]
	writing sync.Mutex // held in a transaction that writes: between two of them the file may be replaced
	files   files
	path    string
	// faulted is told of such a fault, and of any other panic in a transaction;
	// nil while the store opens, when the error is enough.
	faulted func(error)
	// stuck is set where a transaction that writes has panicked: it may keep the next
	// one, and Close, out for ever.
	stuck atomic.Bool
}

// errFault says that a page of a database could not be read.
var errFault = errors.New("mailbox: a page of a database could not be read")

// openBolt opens a database file. Whatever ends that, a panic of bbolt over a
// damaged file too, is an error; after a panic the file stays open and locked,
// so it is to be replaced, never opened again. The error of a damaged file
// wraps errDatabase.
func (f files) openBolt(path string, o *bbolt.Options) (d *database, err error) {
	defer func(before bool) {
		debug.SetPanicOnFault(before)
		if p := recover(); p != nil {
			d, err = nil, fmt.Errorf("%w: opening %s: %v", errDatabase, path, p)
		}
	}(debug.SetPanicOnFault(true))
	db, err := f.openDatabase(path, o)
	if err != nil {
		return nil, fmt.Errorf("opening %s: %w", path, databaseError(err))
	}
	d = &database{files: f, path: path}
	d.bolt.Store(db)
	return d, nil
}

// View runs f in a read transaction.
func (d *database) View(f func(*bbolt.Tx) error) (err error) {
	defer d.guard(debug.SetPanicOnFault(true), &err)
	for {
		db := d.bolt.Load()
		if err = db.View(f); !errors.Is(err, berrors.ErrDatabaseNotOpen) || db == d.bolt.Load() {
			return err
		}
	}
}

// Update runs f in a transaction that is synced when Update returns nil.
func (d *database) Update(f func(*bbolt.Tx) error) (err error) {
	defer d.guard(debug.SetPanicOnFault(true), &err)
	d.writing.Lock()
	defer d.writing.Unlock()
	done := false
	defer func() { d.stuck.CompareAndSwap(false, !done) }()
	err = d.bolt.Load().Update(f)
	done = true
	return err
}

// exclusive runs f in a transaction that keeps writers out, and changes nothing.
func (d *database) exclusive(f func(*bbolt.Tx)) (err error) {
	defer d.guard(debug.SetPanicOnFault(true), &err)
	d.writing.Lock()
	defer d.writing.Unlock()
	tx, err := d.bolt.Load().Begin(true)
	if err != nil {
		return err
	}
	done := false
	defer func() {
		d.stuck.CompareAndSwap(false, !done)
		err = errors.Join(err, tx.Rollback())
	}()
	f(tx)
	done = true
	return nil
}

// compactInto copies everything into another database, from one read transaction.
func (d *database) compactInto(to *database) (err error) {
	defer d.guard(debug.SetPanicOnFault(true), &err)
	return bbolt.Compact(to.bolt.Load(), d.bolt.Load(), checkpointBatch)
}

// Close closes the file, after every transaction has ended. One whose writer panicked
// stays open, and is to be replaced.
func (d *database) Close() error {
	if d.stuck.Load() {
		return nil
	}
	return d.bolt.Load().Close()
}

// replace has all transactions from now on use the file of by, which has the place of
// this one's already; by is not used any more. It returns when those that read the file
// of before have ended, and closes it. The caller holds writing.
func (d *database) replace(by *database) error { return d.bolt.Swap(by.bolt.Load()).Close() }

// guard ends a method: before is what SetPanicOnFault returned. Whatever the
// transaction panicked with becomes an error, since it may be due to damage: a page
// that cannot be read, a broken seal, or a tree that bbolt cannot make sense of. Once
// the store is open, faulted is told, and the next start looks.
func (d *database) guard(before bool, err *error) {
	debug.SetPanicOnFault(before)
	if p := recover(); p != nil {
		*err = errors.Join(*err, d.panicked(p))
		if d.faulted != nil {
			d.mark()
			d.faulted(*err)
		}
		return
	}
	if d.faulted != nil && errors.Is(*err, errDatabase) {
		d.mark() // others are served: only the next start looks
	}
}

// panicked makes an error of what a transaction panicked with.
func (d *database) panicked(p any) error {
	if broken, ok := p.(*sealError); ok {
		return fmt.Errorf("%s: %w", d.path, broken)
	}
	fault, ok := p.(interface {
		error
		Addr() uintptr // see debug.SetPanicOnFault
	})
	if ok {
		return fmt.Errorf("%w: %w: %s: %w", errDatabase, errFault, d.path, fault)
	}
	return fmt.Errorf("%w: %s: %v\n%s", errDatabase, d.path, p, debug.Stack())
}

// mark leaves the mark of a start that did not finish, so that the next one
// checks the databases first. An error changes nothing: the disk may be gone.
func (d *database) mark() {
	if m, err := d.files.Create(filepath.Join(filepath.Dir(d.path), startingFile)); err == nil {
		m.Close()
	}
}
