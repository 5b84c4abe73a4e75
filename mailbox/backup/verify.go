package backup

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"mailstead/mailbox"
	"mailstead/mailbox/log"
)

// Verified says what verifying a backup found.
type Verified struct {
	Manifest *Manifest
	Files    int
	Size     int64    // octets
	Followed int      // files beyond the manifest, which following brought
	Problems []string // none: it can be restored, and served from
}

// Verify proves a backup without restoring it: every file has its checksum, and
// checkpoint and log together make a store whose every body is there. It needs
// space for a state.db in the folder for temporary files. manifest is a name,
// or "" for the newest. ErrNoBackup, ErrDamaged for the manifest itself.
func Verify(ctx context.Context, dir, manifest string, progress Progress) (Verified, error) {
	m, err := ReadManifest(dir, manifest)
	if err != nil {
		return Verified{}, fmt.Errorf("verify: %w", err)
	}
	v := verifier{ctx: ctx, dir: dir, m: m, progress: progress, done: Verified{Manifest: m, Files: len(m.Files)}}
	if err := v.sums(); err != nil {
		return v.done, fmt.Errorf("verify: %w", err)
	}
	if manifest == "" {
		extra, err := followed(dir, m)
		if err != nil {
			return v.done, fmt.Errorf("verify: %w", err)
		}
		v.done.Followed = len(extra)
	}
	if err := v.contents(); err != nil {
		return v.done, fmt.Errorf("verify: %w", err)
	}
	return v.done, nil
}

type verifier struct {
	ctx      context.Context
	dir      string
	m        *Manifest
	progress Progress
	done     Verified
}

func (v *verifier) at(f File) string { return filepath.Join(v.dir, filepath.FromSlash(v.m.at(f))) }

// sums reads every file.
func (v *verifier) sums() error {
	got := make(map[string]File)
	total := v.m.size()
	for _, f := range v.m.Files {
		g, err := v.sum(f, total)
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case v.ctx.Err() != nil:
			return err
		case err != nil: // a disk that cannot read it
			v.done.Problems = append(v.done.Problems, fmt.Sprintf("%s cannot be read: %v", v.m.at(f), err))
			got[f.Name] = f
		default:
			got[f.Name] = g
		}
	}
	v.done.Problems = append(v.done.Problems, v.m.problems(got)...)
	return nil
}

func (v *verifier) sum(f File, total int64) (File, error) {
	file, err := os.Open(v.at(f))
	if err != nil {
		return File{}, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return File{}, err
	}
	g := File{Name: f.Name, Size: info.Size()}
	g.SHA256, err = copySum(v.ctx, nowhere{}, file, min(g.Size, f.Size), func(n int64) {
		v.done.Size += n
		if v.progress != nil {
			v.progress(v.done.Size, total)
		}
	})
	return g, err
}

// nowhere takes what is only summed up.
type nowhere struct{}

func (nowhere) Write(p []byte) (int, error) { return len(p), nil }

// contents has the store look at what the manifest names, through a folder of
// links: what else lies in the backup does not count.
func (v *verifier) contents() (err error) {
	temp, err := os.MkdirTemp("", "mailstead-verify-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(temp)) }()
	c := mailbox.Copy{Dir: filepath.Join(temp, "copy"), Scratch: filepath.Join(temp, "scratch"), Checkpoint: v.m.Checkpoint, Last: v.m.Last}
	for _, dir := range []string{c.Scratch, filepath.Join(c.Dir, logFolder, filepath.Dir(log.BigName(0)))} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
	}
	for _, f := range v.m.Files {
		name, ok := strings.CutPrefix(f.Name, inStore)
		if !ok {
			continue
		}
		to, err := filepath.Abs(v.at(f))
		if err != nil {
			return err
		}
		if _, err := os.Stat(to); err != nil {
			continue // it was missed already
		}
		if err := os.MkdirAll(filepath.Join(c.Dir, filepath.FromSlash(path.Dir(name))), 0o700); err != nil {
			return err
		}
		if err := os.Symlink(to, filepath.Join(c.Dir, filepath.FromSlash(name))); err != nil {
			return err
		}
	}
	problems, err := c.Verify(v.ctx)
	v.done.Problems = append(v.done.Problems, problems...)
	return err
}
