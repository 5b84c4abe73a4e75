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
	"slices"
	"strings"

	"mailstead/mailbox"
	"mailstead/mailbox/log"
)

// RestoreOptions are the settings of Restore and RestoreArchive.
type RestoreOptions struct {
	Dir      string // the server's folder; the store comes to Dir/store
	Manifest string // by its name; "" = the newest, with what was followed since
	// KeepValidity restores mailboxes with the UIDVALIDITY they had, so that mail
	// programs need not load them anew. It is for a server that moves: the backup
	// is a complete one, and the old server is never started again.
	KeepValidity bool
	Damaged      bool // restore what there is, although files are damaged or missing
	Progress     Progress
}

// Restored says what a restore did.
type Restored struct {
	Manifest *Manifest
	Size     int64    // octets
	Followed int      // segments beyond the manifest that came by following
	Left     []string // files beside the store that were there, and were left as they are
	Problems []string // files that are damaged or missing; only with Damaged
	Renewed  bool     // the first start gives every mailbox a new UIDVALIDITY
}

var (
	// ErrNotEmpty says that there is a store already.
	ErrNotEmpty = errors.New("there is a store already")
	// ErrNotComplete says that UIDVALIDITY cannot stay: mail was perhaps
	// acknowledged that is not in the backup.
	ErrNotComplete = errors.New("the backup was made of a running server, or was followed: mail may be missing from it, so UIDVALIDITY cannot be kept")
)

const (
	restoringFolder = "restoring" // within the server's folder
	storeFolder     = "store"
	archiveManifest = "manifest.json"
)

// Restore brings a backup folder's store back into a folder that has none.
// Every file is held against its checksum while it is copied. The store has its
// place when it is whole and durable; until then a killed restore is simply
// begun again. ErrNotEmpty, ErrNotComplete, ErrDamaged, ErrNoBackup.
func Restore(ctx context.Context, from string, o RestoreOptions) (Restored, error) {
	m, err := ReadManifest(from, o.Manifest)
	if err != nil {
		return Restored{}, fmt.Errorf("restore: %w", err)
	}
	var extra []string
	if o.Manifest == "" {
		if extra, err = followed(from, m); err != nil {
			return Restored{}, fmt.Errorf("restore: %w", err)
		}
	}
	r := restorer{ctx: ctx, o: o, got: make(map[string]File), total: m.size()}
	if err := r.begin(); err != nil {
		return r.done, fmt.Errorf("restore: %w", err)
	}
	for _, f := range m.Files {
		if err := r.takeFile(filepath.Join(from, filepath.FromSlash(m.at(f))), f.Name, f.Size); err != nil {
			return r.done, fmt.Errorf("restore: %w", err)
		}
	}
	for _, name := range extra {
		if err := r.takeFile(filepath.Join(from, storesFolder, m.Store, filepath.FromSlash(name)), inStore+name, -1); err != nil {
			return r.done, fmt.Errorf("restore: %w", err)
		}
		if path.Dir(name) == logFolder {
			r.done.Followed++
		}
	}
	if err := r.finish(m); err != nil {
		return r.done, fmt.Errorf("restore: %w", err)
	}
	return r.done, nil
}

// followed lists what a backup folder has of the manifest's store beyond it:
// large bodies, and the segments that were shipped later, as far as their
// records follow those of the manifest without a gap.
func followed(dir string, m *Manifest) ([]string, error) {
	named := make(map[string]bool)
	newest := ""
	for _, f := range m.Files {
		name := strings.TrimPrefix(f.Name, inStore)
		named[name] = true
		if path.Dir(name) == logFolder {
			newest = max(newest, path.Base(name))
		}
	}
	store := filepath.Join(dir, storesFolder, m.Store)
	bigs, err := namesIn(store, path.Dir(path.Join(logFolder, log.BigName(0))))
	if err != nil {
		return nil, err
	}
	segments, err := namesIn(store, logFolder)
	if err != nil {
		return nil, err
	}
	bigs = slices.DeleteFunc(bigs, func(name string) bool { return named[name] })
	segments = slices.DeleteFunc(segments, func(name string) bool { return path.Base(name) <= newest })
	last := log.LSN(m.Last)
	for i, name := range segments {
		end, err := followOn(filepath.Join(store, filepath.FromSlash(name)), last)
		if err != nil {
			return nil, err
		}
		if end == last { // not what comes next
			segments = segments[:i]
			break
		}
		last = end
	}
	if len(segments) == 0 {
		return nil, nil
	}
	return append(bigs, segments...), nil
}

// namesIn lists the finished files of a folder of the store, by name.
func namesIn(store, sub string) (names []string, err error) {
	entries, err := os.ReadDir(filepath.Join(store, filepath.FromSlash(sub)))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	for _, e := range entries {
		if e.Type().IsRegular() && !strings.HasSuffix(e.Name(), tempSuffix) {
			names = append(names, path.Join(sub, e.Name()))
		}
	}
	return names, nil
}

// followOn returns the last record of a segment that begins behind record
// last; last itself if it does not.
func followOn(name string, last log.LSN) (log.LSN, error) {
	number, ok := log.ParseSegmentName(filepath.Base(name))
	if !ok {
		return last, nil
	}
	f, err := os.Open(name)
	if err != nil {
		return last, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return last, err
	}
	_, err = log.ReadSegment(f, number, 0, info.Size(), func(r log.Record) error {
		if r.LSN != last+1 {
			return errGap
		}
		last = r.LSN
		return nil
	})
	if errors.Is(err, errGap) || errors.Is(err, log.ErrDamaged) {
		err = nil
	}
	return last, err
}

var errGap = errors.New("records are missing")

// restorer is one restore.
type restorer struct {
	ctx   context.Context
	o     RestoreOptions
	got   map[string]File // what was copied
	total int64
	done  Restored
}

func (r *restorer) folder() string { return filepath.Join(r.o.Dir, restoringFolder) }

// begin makes sure that there is nothing to be lost.
func (r *restorer) begin() error {
	store := filepath.Join(r.o.Dir, storeFolder)
	if entries, err := os.ReadDir(store); err == nil && len(entries) > 0 {
		return fmt.Errorf("%s: %w", store, ErrNotEmpty)
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.RemoveAll(r.folder()); err != nil {
		return err
	}
	return os.MkdirAll(filepath.Join(r.folder(), storeFolder), 0o700)
}

// takeFile copies a file of a backup folder. A size below 0 is whatever it has.
func (r *restorer) takeFile(from, name string, size int64) error {
	f, err := os.Open(from)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // finish misses it
	}
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if size < 0 || info.Size() < size { // a shorter one is damaged: finish says so
		size = info.Size()
	}
	return r.take(name, size, f)
}

// take copies what comes out of from.
func (r *restorer) take(name string, size int64, from io.Reader) error {
	if err := checkName(name); err != nil {
		return err
	}
	to := filepath.Join(r.folder(), filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	sum, err := copySum(r.ctx, f, from, size, r.progress)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	r.got[name] = File{Name: name, Size: size, SHA256: sum}
	return nil
}

func (r *restorer) progress(n int64) {
	r.done.Size += n
	if r.o.Progress != nil {
		r.o.Progress(r.done.Size, max(r.total, r.done.Size))
	}
}

// finish holds what was copied against the manifest, and gives it its place.
func (r *restorer) finish(m *Manifest) error {
	r.done.Manifest = m
	r.done.Problems = m.problems(r.got)
	if n := len(r.done.Problems); n > 0 && !r.o.Damaged {
		return fmt.Errorf("%w: %s", ErrDamaged, summary(r.done.Problems))
	}
	r.done.Renewed = !r.o.KeepValidity
	if r.o.KeepValidity && (!m.Complete || r.done.Followed > 0 || len(r.done.Problems) > 0) {
		return ErrNotComplete
	}
	store := filepath.Join(r.folder(), storeFolder)
	if r.done.Renewed {
		if err := mailbox.MarkRenewal(store); err != nil {
			return err
		}
	}
	if err := syncTree(r.folder()); err != nil {
		return err
	}
	if err := r.placeBeside(); err != nil {
		return err
	}
	to := filepath.Join(r.o.Dir, storeFolder)
	if err := os.Remove(to); err != nil && !errors.Is(err, fs.ErrNotExist) { // an empty folder
		return err
	}
	if err := os.Rename(store, to); err != nil {
		return err
	}
	return errors.Join(os.RemoveAll(r.folder()), syncDir(r.o.Dir), syncDir(filepath.Dir(r.o.Dir)))
}

// placeBeside moves the files beside the store to where none is yet.
func (r *restorer) placeBeside() error {
	for _, name := range sortedNames(r.got) {
		rest, ok := strings.CutPrefix(name, inBeside)
		if !ok {
			continue
		}
		to := filepath.Join(r.o.Dir, filepath.FromSlash(rest))
		if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
			return err
		}
		if _, err := os.Lstat(to); err == nil {
			r.done.Left = append(r.done.Left, rest)
			continue
		}
		if err := os.Rename(filepath.Join(r.folder(), filepath.FromSlash(name)), to); err != nil {
			return err
		}
		if err := syncDir(filepath.Dir(to)); err != nil {
			return err
		}
	}
	return nil
}

func sortedNames(files map[string]File) []string {
	names := make([]string, 0, len(files))
	for name := range files {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// problems lists the files that are not what the manifest says.
func (m *Manifest) problems(got map[string]File) (list []string) {
	for _, f := range m.Files {
		g, ok := got[f.Name]
		switch {
		case !ok:
			list = append(list, m.at(f)+" is missing")
		case g.Size != f.Size:
			list = append(list, fmt.Sprintf("%s has %d octets, not %d", m.at(f), g.Size, f.Size))
		case g.SHA256 != f.SHA256:
			list = append(list, m.at(f)+": the checksum does not match")
		}
	}
	return list
}

// summary is one line of many problems.
func summary(problems []string) string {
	const shown = 5
	text := strings.Join(problems[:min(shown, len(problems))], "; ")
	if n := len(problems) - shown; n > 0 {
		text += fmt.Sprintf("; and %d more", n)
	}
	return text
}

// syncTree makes the names in all folders below dir durable.
func syncTree(dir string) error {
	return filepath.WalkDir(dir, func(name string, e fs.DirEntry, err error) error {
		if err != nil || !e.IsDir() {
			return err
		}
		return syncDir(name)
	})
}
