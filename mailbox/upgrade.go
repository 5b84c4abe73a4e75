package mailbox

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"

	"mailstead/mailbox/log"
)

// ErrNewer says that a newer program wrote a file of the store; the error is a *NewerError.
var ErrNewer = errors.New("mailbox: written by a newer version of mailstead")

// NewerError says what this program cannot read. Nothing in the folder was changed.
type NewerError struct {
	File    string // within the store's folder
	Version int    // that it has
	Format  Format
	Program string // that had the store open last, as far as that is known
}

func (e *NewerError) Error() string {
	by := "a newer mailstead"
	if e.Program != "" {
		by = "mailstead " + e.Program
	}
	known := fmt.Sprint(e.Format.Writes)
	if e.Format.Oldest < e.Format.Writes {
		known = fmt.Sprintf("%d to %d", e.Format.Oldest, e.Format.Writes)
	}
	return fmt.Sprintf("%s has format version %d, this program knows %s: it was written by %s. Nothing was changed. Install that version or a newer one, or restore a backup that was made before it",
		e.File, e.Version, known, by)
}

// Is has the error be ErrNewer, and what the packages that read the files return.
func (e *NewerError) Is(target error) bool {
	return target == ErrNewer || target == log.ErrNewerFormat && e.Format.Name == segmentFormat || target == errNewerSchema && e.Format.Name == stateFormat
}

// ErrNoRoomToUpgrade says that there is no space for the copy of state.db that is made before it is brought up, and for
// bringing it up.
var ErrNoRoomToUpgrade = errors.New("mailbox: no room to bring the database up")

// Step is what a start does with a file.
type Step string

// The steps.
const (
	StepNone    Step = "nothing"
	StepBringUp Step = "bring up" // after a copy
	StepAnew    Step = "make anew"
	StepRefuse  Step = "refuse"
)

// FoundFormat is a format as the store has it.
type FoundFormat struct {
	Format
	File    string // within the store's folder, "" where there is none
	Version int    // 0: there is none
	Step    Step   // of the next start by this program
}

// Inspection says what a start by this program would find and do.
type Inspection struct {
	Program string // that had the store open last; "" = not known
	Found   []FoundFormat
	Copy    int64    // bytes of the copy that is made before state.db is brought up; 0 = none is
	Need    int64    // bytes that have to be free for that
	Free    int64    // bytes that are
	Kept    []string // copies of upgrades before, newest first, within the store's folder
}

// Err is what a start would be refused with: *NewerError, ErrNoRoomToUpgrade, or nil.
func (i *Inspection) Err() error {
	for _, f := range i.Found {
		if f.Step == StepRefuse {
			return &NewerError{File: f.File, Version: f.Version, Format: f.Format, Program: i.Program}
		}
	}
	if i.Need > i.Free {
		return noRoom(i.Need, i.Free)
	}
	return nil
}

func noRoom(need, free int64) error {
	return fmt.Errorf("%w: it needs %d MB, for a copy of before and as much again, and %d MB are free. Nothing was changed. Make room on the store's disk, or go on with the version of before",
		ErrNoRoomToUpgrade, (need+1e6-1)/1e6, free/1e6)
}

// Inspect reads which formats a store's folder has. It takes no lock and changes nothing, so it tells a new program what it
// would do while an older one runs. A folder without a store has none of them.
func Inspect(dir string, o Options) (Inspection, error) {
	i, err := files{o.withDefaults().FS}.inspect(dir)
	if err != nil {
		return i, fmt.Errorf("inspecting the store %s: %w", dir, err)
	}
	return i, nil
}

func (f files) inspect(dir string) (i Inspection, err error) {
	segments, number, err := log.NewestFormat(f.FS, filepath.Join(dir, logFolder))
	if err != nil {
		return i, err
	}
	i.add(segmentFormat, filepath.Join(logFolder, log.SegmentName(number)), segments)
	state, file, err := f.peekState(dir)
	if err != nil {
		return i, err
	}
	i.Program = state.Program
	i.add(stateFormat, file, state.Version)
	derived, err := f.peek(filepath.Join(dir, derivedFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, errDatabase) {
		return i, err
	}
	i.add(derivedFormat, derivedFile, derived.Version)
	if i.Kept, err = f.copiesOf(dir); err != nil {
		return i, err
	}
	if i.steps(StepBringUp) {
		i.Copy, i.Need = state.Used, 2*state.Used
	}
	space, err := f.Space(dir)
	if errors.Is(err, fs.ErrNotExist) { // no store, and nothing to be copied
		return i, nil
	}
	i.Free = space.Free
	return i, err
}

// peekState is of state.db or, where a start would make it again, of the checkpoint that it would be made of, or of nothing.
func (f files) peekState(dir string) (p peeked, file string, err error) {
	p, err = f.peek(filepath.Join(dir, stateFile))
	if err == nil && p.Version > 0 {
		return p, stateFile, nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, errDatabase) {
		return p, "", err
	}
	stored, err := f.checkpoints(filepath.Join(dir, checkpointFolder))
	if err != nil {
		return p, "", err
	}
	for _, c := range stored {
		p, err = f.peek(c.path)
		if err == nil {
			return p, filepath.Join(checkpointFolder, filepath.Base(c.path)), nil
		}
		if !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, errDatabase) {
			return p, "", err
		}
	}
	return peeked{}, "", nil
}

// add notes a format, and what is to be done with it.
func (i *Inspection) add(name, file string, version int) {
	f := FoundFormat{Format: formatOf(name), File: file, Version: version, Step: StepNone}
	switch {
	case version == 0:
		f.File = ""
	case version == f.Writes:
	case name == derivedFormat:
		f.Step = StepAnew
	case version > f.Writes:
		f.Step = StepRefuse
	default:
		f.Step = StepBringUp
	}
	i.Found = append(i.Found, f)
}

// steps reports whether one of the formats has that step before it.
func (i *Inspection) steps(s Step) bool {
	return slices.ContainsFunc(i.Found, func(f FoundFormat) bool { return f.Step == s })
}

// Pending reports whether a start by this program would change the format of something.
func (i *Inspection) Pending() bool { return i.steps(StepBringUp) || i.steps(StepAnew) }

// The copies of state.db that are made before it is brought up. A name has the two versions, the day, the LSN that the copy is
// true for and the checksum of the file.
const (
	upgradeFolder = "before-upgrade"
	copyName      = "state-%d-to-%d-%s-%016x-%08x.db"
	upgradeTemp   = "copy.tmp"
	copyDay       = "20060102"

	// copiesKept: the one before is that of the upgrade before.
	copiesKept = 2
)

// stateCopy is a copy as its name tells.
type stateCopy struct {
	name     string
	from, to int
	day      string
	lsn      log.LSN
	crc      uint32
}

func (c *stateCopy) makeName() {
	c.name = fmt.Sprintf(copyName, c.from, c.to, c.day, uint64(c.lsn), c.crc)
}

// copies are those of a folder, newest first. Names that are none are passed over.
func (f files) copies(folder string) ([]stateCopy, error) {
	names, err := f.ReadDir(folder)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var list []stateCopy
	for _, name := range names {
		if c, ok := parseCopyName(name); ok {
			list = append(list, c)
		}
	}
	slices.SortFunc(list, func(a, b stateCopy) int {
		return cmp.Or(cmp.Compare(b.lsn, a.lsn), cmp.Compare(b.to, a.to), cmp.Compare(b.name, a.name))
	})
	return list, nil
}

func parseCopyName(name string) (c stateCopy, ok bool) {
	var lsn uint64
	if n, _ := fmt.Sscanf(name, "state-%d-to-%d-%8s-%16x-%8x.db", &c.from, &c.to, &c.day, &lsn, &c.crc); n != 5 {
		return c, false
	}
	c.lsn = log.LSN(lsn)
	c.makeName()
	return c, c.name == name
}

// copiesOf are the names of the copies within a store's folder.
func (f files) copiesOf(dir string) (names []string, err error) {
	list, err := f.copies(filepath.Join(dir, upgradeFolder))
	for _, c := range list {
		names = append(names, filepath.Join(upgradeFolder, c.name))
	}
	return names, err
}
