// Package logtest has the log's file system fail where a test wants it to.
package logtest

import (
	"slices"
	"sync"
	"time"

	"mailstead/mailbox/log"
)

// Op is a call of log.FS or log.File.
type Op string

// The calls that can fail. Closing never does, and neither does Mkdir, which
// is over before anything is in the folder; Reserve and Modified are no
// failure to those who ask.
const (
	Create    Op = "create"
	Open      Op = "open"
	ReadDir   Op = "readdir"
	Rename    Op = "rename"
	Remove    Op = "remove"
	Link      Op = "link"
	SyncDir   Op = "syncdir"
	Space     Op = "space"
	Read      Op = "read"
	Write     Op = "write"
	Size      Op = "size"
	WriteBack Op = "writeback"
	Datasync  Op = "datasync"
	Sync      Op = "sync"
	Truncate  Op = "truncate"
	Allocate  Op = "allocate"
)

// Growing are the calls that can end for lack of space.
var Growing = []Op{Create, Rename, Link, SyncDir, Write, WriteBack, Datasync, Sync, Truncate, Allocate}

// Changing are the calls that a read-only file system refuses.
var Changing = []Op{Create, Rename, Link, Remove, Write, WriteBack, Datasync, Sync, Truncate, Allocate}

// Call is one call: what, of which file or folder, and, of those that Rule.Ops
// names, the how manyeth, from 1.
type Call struct {
	Op   Op
	Name string
	N    int
}

// Rule says which calls fail, and how.
type Rule struct {
	Ops  []Op              // the calls it is about
	Name func(string) bool // and of which files or folders; nil = all
	From int               // the first of them that fails, from 1; 0 = none
	To   int               // the last one; 0 = all from there on
	Err  error             // what they return; nothing is done
}

// Faults is a file system some calls of which fail. It may be used concurrently.
type Faults struct {
	fs log.FS

	mu     sync.Mutex
	rule   Rule
	calls  int // that the rule is about
	failed []Call
}

// New has fs fail as rule says; a nil fs is the operating system's.
func New(fs log.FS, rule Rule) *Faults {
	if fs == nil {
		fs = log.OS()
	}
	return &Faults{fs: fs, rule: rule}
}

// Set replaces the rule; counting begins anew.
func (f *Faults) Set(rule Rule) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.rule, f.calls, f.failed = rule, 0, nil
}

// Stop has no more calls fail.
func (f *Faults) Stop() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.rule.From = 0
}

// Calls is the number of calls that the rule was about.
func (f *Faults) Calls() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.calls
}

// Failed are the calls that failed, in their order.
func (f *Faults) Failed() []Call {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.failed)
}

// fails counts a call and returns its error, if it is to have one.
func (f *Faults) fails(op Op, name string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	r := &f.rule
	if !slices.Contains(r.Ops, op) || r.Name != nil && !r.Name(name) {
		return nil
	}
	f.calls++
	if r.From == 0 || f.calls < r.From || r.To > 0 && f.calls > r.To {
		return nil
	}
	f.failed = append(f.failed, Call{op, name, f.calls})
	return r.Err
}

func (f *Faults) Create(name string) (log.File, error) {
	return f.open(Create, name, func() (log.File, error) { return f.fs.Create(name) })
}

func (f *Faults) Open(name string, write bool) (log.File, error) {
	return f.open(Open, name, func() (log.File, error) { return f.fs.Open(name, write) })
}

func (f *Faults) open(op Op, name string, open func() (log.File, error)) (log.File, error) {
	if err := f.fails(op, name); err != nil {
		return nil, err
	}
	opened, err := open()
	if err != nil {
		return nil, err
	}
	return &file{opened, f, name}, nil
}

func (f *Faults) ReadDir(dir string) ([]string, error) {
	if err := f.fails(ReadDir, dir); err != nil {
		return nil, err
	}
	return f.fs.ReadDir(dir)
}

func (f *Faults) Mkdir(dir string) error { return f.fs.Mkdir(dir) }

func (f *Faults) Rename(from, to string) error {
	if err := f.fails(Rename, from); err != nil {
		return err
	}
	return f.fs.Rename(from, to)
}

func (f *Faults) Remove(name string) error {
	if err := f.fails(Remove, name); err != nil {
		return err
	}
	return f.fs.Remove(name)
}

func (f *Faults) Link(from, to string) error {
	if err := f.fails(Link, from); err != nil {
		return err
	}
	return f.fs.Link(from, to)
}

func (f *Faults) Modified(name string) (time.Time, error) { return f.fs.Modified(name) }

func (f *Faults) SyncDir(dir string) error {
	if err := f.fails(SyncDir, dir); err != nil {
		return err
	}
	return f.fs.SyncDir(dir)
}

func (f *Faults) Space(dir string) (log.Space, error) {
	if err := f.fails(Space, dir); err != nil {
		return log.Space{}, err
	}
	return f.fs.Space(dir)
}

// file is an open file. The name stays the one it was opened by.
type file struct {
	log.File
	faults *Faults
	name   string
}

func (o *file) ReadAt(p []byte, off int64) (int, error) {
	if err := o.faults.fails(Read, o.name); err != nil {
		return 0, err
	}
	return o.File.ReadAt(p, off)
}

func (o *file) Writev(bufs [][]byte, off int64) error {
	if err := o.faults.fails(Write, o.name); err != nil {
		return err
	}
	return o.File.Writev(bufs, off)
}

func (o *file) Size() (int64, error) {
	if err := o.faults.fails(Size, o.name); err != nil {
		return 0, err
	}
	return o.File.Size()
}

func (o *file) WriteBack(off, n int64) error {
	if err := o.faults.fails(WriteBack, o.name); err != nil {
		return err
	}
	return o.File.WriteBack(off, n)
}

func (o *file) Datasync() error {
	if err := o.faults.fails(Datasync, o.name); err != nil {
		return err
	}
	return o.File.Datasync()
}

func (o *file) Sync() error {
	if err := o.faults.fails(Sync, o.name); err != nil {
		return err
	}
	return o.File.Sync()
}

func (o *file) Truncate(size int64) error {
	if err := o.faults.fails(Truncate, o.name); err != nil {
		return err
	}
	return o.File.Truncate(size)
}

func (o *file) Allocate(size int64) error {
	if err := o.faults.fails(Allocate, o.name); err != nil {
		return err
	}
	return o.File.Allocate(size)
}
