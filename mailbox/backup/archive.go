package backup

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"
)

// An archive is a tar file in the format of POSIX.1-2001 with the files of a
// backup under the names of its manifest, which comes last: its checksums are
// known then, and an archive without it was cut off.

// WriteArchive writes a backup to w as one archive.
func WriteArchive(ctx context.Context, w io.Writer, src Source, o Options) (Report, error) {
	if o.Now.IsZero() {
		o.Now = time.Now()
	}
	s := src.Snapshot
	a := archiver{ctx: ctx, tar: tar.NewWriter(w), o: o}
	a.manifest = Manifest{Format: manifestFormat, Time: o.Now.UTC(), Store: s.Store,
		Checkpoint: s.Checkpoint, Last: s.Last, Complete: src.Complete, Files: []File{}}
	for _, f := range s.Files {
		a.total += f.Size
	}
	if err := a.write(src); err != nil {
		return a.report, fmt.Errorf("backup: %w", err)
	}
	return a.report, nil
}

type archiver struct {
	ctx      context.Context
	tar      *tar.Writer
	o        Options
	manifest Manifest
	total    int64
	report   Report
}

func (a *archiver) write(src Source) error {
	for _, f := range src.Snapshot.Files {
		if err := a.storeFile(filepath.Join(src.Snapshot.Dir, filepath.FromSlash(f.Name)), inStore+f.Name, f.Size); err != nil {
			return err
		}
	}
	for _, b := range src.Beside {
		data, ok, err := readBeside(b)
		if err != nil {
			return err
		}
		if ok {
			if err := a.add(inBeside+b.Name, int64(len(data)), bytes.NewReader(data)); err != nil {
				return err
			}
		}
	}
	if err := a.manifest.check(); err != nil {
		return err
	}
	_, data, err := a.manifest.encode()
	if err != nil {
		return err
	}
	if err := a.header(archiveManifest, int64(len(data))); err != nil {
		return err
	}
	_, err = a.tar.Write(data)
	return errors.Join(err, a.tar.Close())
}

func (a *archiver) storeFile(from, name string, size int64) error {
	f, err := os.Open(from)
	if err != nil {
		return err
	}
	defer f.Close()
	return a.add(name, size, io.LimitReader(f, size))
}

func (a *archiver) header(name string, size int64) error {
	return a.tar.WriteHeader(&tar.Header{Name: name, Size: size, Mode: 0o600, ModTime: a.o.Now, Format: tar.FormatPAX})
}

func (a *archiver) add(name string, size int64, from io.Reader) error {
	if err := a.header(name, size); err != nil {
		return err
	}
	sum, err := copySum(a.ctx, a.tar, from, size, a.progress)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	a.manifest.Files = append(a.manifest.Files, File{Name: name, Size: size, SHA256: sum})
	a.report.Files++
	a.report.Copied++
	a.report.Size += size
	return nil
}

func (a *archiver) progress(n int64) {
	a.report.Written += n
	if a.o.Progress != nil {
		a.o.Progress(a.report.Written, max(a.total, a.report.Written))
	}
}

// RestoreArchive is Restore from an archive.
func RestoreArchive(ctx context.Context, from io.Reader, o RestoreOptions) (Restored, error) {
	r := restorer{ctx: ctx, o: o, got: make(map[string]File)}
	if err := r.begin(); err != nil {
		return r.done, fmt.Errorf("restore: %w", err)
	}
	m, err := r.archive(tar.NewReader(from))
	if err == nil {
		err = r.finish(m)
	}
	if err != nil {
		return r.done, fmt.Errorf("restore: %w", err)
	}
	return r.done, nil
}

// archive takes everything out of an archive, up to its manifest.
func (r *restorer) archive(t *tar.Reader) (*Manifest, error) {
	for {
		h, err := t.Next()
		switch {
		case errors.Is(err, io.EOF):
			return nil, fmt.Errorf("%w: the archive ends without a manifest", ErrDamaged)
		case errors.Is(err, tar.ErrHeader) && len(r.got) == 0:
			return nil, fmt.Errorf("%w: this is no archive of one", ErrNoBackup)
		case err != nil:
			return nil, fmt.Errorf("%w: the archive: %w", ErrDamaged, err)
		case h.Typeflag != tar.TypeReg:
			return nil, fmt.Errorf("%w: %q is no file", ErrDamaged, h.Name)
		case h.Name == archiveManifest:
			return decodeManifest(t)
		}
		if err := r.take(h.Name, h.Size, t); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
		}
	}
}

// sumOf is the SHA-256 of data in hexadecimal.
func sumOf(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}
