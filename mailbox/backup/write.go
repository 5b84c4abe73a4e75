package backup

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"mailstead/mailbox"
)

// Source is what is backed up.
type Source struct {
	Snapshot mailbox.Snapshot
	Beside   []Beside
	Complete bool // no server runs
}

// Beside is a file that lies beside the store and is needed to serve again.
type Beside struct {
	Name string // in the folder of a restored server, with slashes
	Path string // now
}

// Options are the settings of Write; the zero value of each field is good.
type Options struct {
	Keep     int       // how many manifests stay, the new one included; 0 = all
	Progress Progress  // of the octets that are copied
	Now      time.Time // zero = now

	step func() error
}

// Report says what a backup did.
type Report struct {
	Manifest string // its name
	Files    int    // that the backup consists of
	Size     int64  // of these, in octets
	Copied   int    // files
	Written  int64  // octets
	Removed  int    // files that no kept manifest named
	Warnings []string
}

// Write brings the backup folder dir up to the source. It can be ended at any
// moment: the backup is there, whole, or it is not, and the next one uses what
// was copied. ErrInUse, ErrNoBackup when dir holds something else.
func Write(ctx context.Context, dir string, src Source, o Options) (Report, error) {
	d, err := openFolder(dir, o.step)
	if err != nil {
		return Report{}, fmt.Errorf("backup: %w", err)
	}
	w := newWriter(ctx, d, o)
	err = w.write(src)
	if err := errors.Join(err, d.close()); err != nil {
		return w.report, fmt.Errorf("backup: %w", err)
	}
	return w.report, nil
}

// writer makes one backup.
type writer struct {
	ctx      context.Context
	d        *folder
	o        Options
	manifest Manifest
	known    map[string]File // what manifests say of the files in the folder
	missing  int64           // octets to be copied
	report   Report
}

func newWriter(ctx context.Context, d *folder, o Options) *writer {
	if o.Now.IsZero() {
		o.Now = time.Now()
	}
	return &writer{ctx: ctx, d: d, o: o, known: make(map[string]File)}
}

func (w *writer) write(src Source) error {
	if err := w.begin(src); err != nil {
		return err
	}
	for _, f := range src.Snapshot.Files {
		if err := w.storeFile(src.Snapshot.Dir, f); err != nil {
			return err
		}
	}
	for _, b := range src.Beside {
		if err := w.beside(b); err != nil {
			return err
		}
	}
	if err := w.commit(); err != nil {
		return err
	}
	return w.prune()
}

// begin reads what is there.
func (w *writer) begin(src Source) error {
	s := src.Snapshot
	w.manifest = Manifest{Format: manifestFormat, Time: w.o.Now.UTC(), Store: s.Store,
		Checkpoint: s.Checkpoint, Last: s.Last, Complete: src.Complete, Files: []File{}}
	for _, dir := range []string{manifestFolder, besideFolder, path.Join(storesFolder, s.Store)} {
		if err := w.d.mkdir(w.d.path(dir)); err != nil {
			return err
		}
	}
	names, err := Manifests(w.d.root)
	if err != nil {
		return err
	}
	for _, name := range names {
		m, err := ReadManifest(w.d.root, name)
		if errors.Is(err, ErrDamaged) {
			continue // told of when unnamed files are removed
		}
		if err != nil {
			return err
		}
		for _, f := range m.Files {
			w.known[m.at(f)] = f
		}
	}
	for _, f := range s.Files {
		if !w.has(s.Dir, f) {
			w.missing += f.Size
		}
	}
	w.progress(0)
	return nil
}

func (w *writer) progress(n int64) {
	w.report.Written += n
	if w.o.Progress != nil {
		w.o.Progress(w.report.Written, max(w.missing, w.report.Written))
	}
}

// headSize is how much of a file is compared before it is taken for the same: a
// segment's header, with the random number of the run that wrote it.
const headSize = 4096

// has reports whether the folder has a file of the snapshot: the same name in
// the same store is the same bytes, so size and beginning are looked at only to
// tell a store from one that somebody copied with its identity.
func (w *writer) has(dir string, f mailbox.SnapshotFile) bool {
	there := w.d.path(w.location(f))
	info, err := os.Stat(there)
	if err != nil || info.Size() != f.Size {
		return false
	}
	return sameHead(there, filepath.Join(dir, filepath.FromSlash(f.Name)))
}

func (w *writer) location(f mailbox.SnapshotFile) string {
	return path.Join(storesFolder, w.manifest.Store, f.Name)
}

func sameHead(a, b string) bool {
	x, errX := head(a)
	y, errY := head(b)
	return errX == nil && errY == nil && bytes.Equal(x, y)
}

func head(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, headSize))
}

// storeFile puts a file of the snapshot into the manifest, and into the folder
// if that lacks it.
func (w *writer) storeFile(dir string, f mailbox.SnapshotFile) error {
	from, at := filepath.Join(dir, filepath.FromSlash(f.Name)), w.location(f)
	entry := File{Name: inStore + f.Name, Size: f.Size}
	if w.has(dir, f) {
		if known, ok := w.known[at]; ok && known.Size == f.Size {
			entry.SHA256 = known.SHA256
			w.add(entry)
			return nil
		}
		// A backup that was ended copied it: it counts if it is what is to be copied.
		same, sum, err := w.same(w.d.path(at), from, f.Size)
		if err != nil {
			return err
		}
		if same {
			entry.SHA256 = sum
			w.add(entry)
			return nil
		}
	}
	sum, err := w.copy(from, at, f.Size)
	if err != nil {
		return err
	}
	entry.SHA256 = sum
	w.add(entry)
	return nil
}

func (w *writer) add(f File) {
	w.manifest.Files = append(w.manifest.Files, f)
	w.report.Files++
	w.report.Size += f.Size
}

// same compares two files by their sums.
func (w *writer) same(a, b string, size int64) (bool, string, error) {
	x, err := w.sum(a, size)
	if err != nil {
		return false, "", err
	}
	y, err := w.sum(b, size)
	return x == y, x, err
}

func (w *writer) sum(name string, size int64) (string, error) {
	f, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	return copySum(w.ctx, nowhere{}, io.LimitReader(f, size), size, nil)
}

// copy copies a file of the snapshot durably, and returns its sum.
func (w *writer) copy(from, at string, size int64) (string, error) {
	src, err := os.Open(from)
	if err != nil {
		return "", err
	}
	defer src.Close()
	to := w.d.path(at)
	if err := w.d.mkdir(filepath.Dir(to)); err != nil {
		return "", err
	}
	dst, err := w.d.create(to + tempSuffix)
	if err != nil {
		return "", err
	}
	sum, err := copySum(w.ctx, dst, io.LimitReader(src, size), size, w.progress)
	if err := errors.Join(err, w.d.step(), dst.Sync(), dst.Close()); err != nil {
		return "", fmt.Errorf("copying %s: %w", from, err)
	}
	w.report.Copied++
	return sum, w.d.rename(to+tempSuffix, to)
}

// copyBuffer is what is copied between two looks at the context.
const copyBuffer = 1 << 20

// copySum copies size octets and returns their SHA-256 in hexadecimal.
func copySum(ctx context.Context, to io.Writer, from io.Reader, size int64, progress func(int64)) (string, error) {
	sum := sha256.New()
	buf := make([]byte, min(copyBuffer, max(size, 1)))
	for left := size; left > 0; {
		if err := ctx.Err(); err != nil {
			return "", err
		}
		n, err := io.ReadFull(from, buf[:min(int64(len(buf)), left)])
		if err != nil {
			return "", fmt.Errorf("%d octets are missing: %w", left-int64(n), err)
		}
		sum.Write(buf[:n])
		if _, err := to.Write(buf[:n]); err != nil {
			return "", err
		}
		left -= int64(n)
		if progress != nil {
			progress(int64(n))
		}
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

// maxBeside bounds a file beside the store in octets; keys and settings are small.
const maxBeside = 64 << 20

// readBeside reads a file beside the store. One that is gone by now is none.
func readBeside(b Beside) (data []byte, ok bool, err error) {
	f, err := os.Open(b.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	defer f.Close()
	data, err = io.ReadAll(io.LimitReader(f, maxBeside+1))
	if err == nil && len(data) > maxBeside {
		err = fmt.Errorf("%s is too large to be kept beside a store", b.Path)
	}
	return data, err == nil, err
}

func (w *writer) beside(b Beside) error {
	data, ok, err := readBeside(b)
	if err != nil || !ok {
		return err
	}
	f := File{Name: inBeside + b.Name, Size: int64(len(data)), SHA256: sumOf(data)}
	if err := checkName(f.Name); err != nil {
		return err
	}
	at := w.d.path(w.manifest.at(f))
	if there, err := os.ReadFile(at); err != nil || !bytes.Equal(there, data) {
		if err := w.d.writeFile(at, data); err != nil {
			return err
		}
		w.report.Copied++
	}
	w.add(f)
	return nil
}

// commit makes the backup one. All that the manifest names is durable.
func (w *writer) commit() error {
	if err := w.manifest.check(); err != nil {
		return err
	}
	name, data, err := w.manifest.encode()
	if err != nil {
		return err
	}
	if err := w.d.writeFile(w.d.path(path.Join(manifestFolder, name)), data); err != nil {
		return err
	}
	w.report.Manifest = name
	return nil
}

// prune removes old manifests, and then the files that no manifest names.
func (w *writer) prune() error {
	names, err := Manifests(w.d.root)
	if err != nil {
		return err
	}
	if n := len(names) - w.o.Keep; w.o.Keep > 0 && n > 0 {
		for _, name := range names[:n] {
			if name == w.report.Manifest { // the clock was set back
				continue
			}
			if err := w.d.remove(w.d.path(path.Join(manifestFolder, name))); err != nil {
				return err
			}
		}
		if err := w.d.syncDir(w.d.path(manifestFolder)); err != nil {
			return err
		}
		if names, err = Manifests(w.d.root); err != nil {
			return err
		}
	}
	named := make(map[string]bool)
	for _, name := range names {
		m, err := ReadManifest(w.d.root, name)
		if err != nil { // what it names is not known, so nothing is removed
			w.report.Warnings = append(w.report.Warnings, fmt.Sprintf("old files are kept: %v", err))
			return nil
		}
		for _, f := range m.Files {
			named[m.at(f)] = true
		}
	}
	return w.removeUnnamed(named)
}

func (w *writer) removeUnnamed(named map[string]bool) error {
	for _, top := range []string{storesFolder, besideFolder, manifestFolder} {
		err := filepath.WalkDir(w.d.path(top), func(name string, e fs.DirEntry, err error) error {
			if err != nil || !e.Type().IsRegular() {
				return err
			}
			rel, err := filepath.Rel(w.d.root, name)
			if err != nil {
				return err
			}
			at := filepath.ToSlash(rel)
			if named[at] || top == manifestFolder && !strings.HasSuffix(at, tempSuffix) {
				return nil
			}
			w.report.Removed++
			return w.d.remove(name)
		})
		if err != nil {
			return err
		}
	}
	return nil
}
