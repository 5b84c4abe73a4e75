package setup

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// step is a part of the work. What is done of it is looked up on the machine each time and kept nowhere, so that a
// setup that was cut off, or that somebody's hands went on with, continues from what is there.
type step struct {
	name string
	// look tells in words what is there already; "" = the step is to be done.
	look func(ctx context.Context) (there string, err error)
	// do does it, and tells what it did.
	do func(ctx context.Context) (did string, err error)
}

// perform goes through the steps until one fails.
func (s *Setup) perform(ctx context.Context, steps []step) error {
	for _, st := range steps {
		if err := ctx.Err(); err != nil {
			return err
		}
		words, err := st.look(ctx)
		if err == nil && words == "" {
			words, err = st.do(ctx)
		}
		if err != nil {
			s.Terminal.say("  %s %s", s.Terminal.sign(signMissing), st.name)
			return fmt.Errorf("%s: %w", st.name, err)
		}
		s.Terminal.say("  %s %-14s %s", s.Terminal.sign(signDone), st.name, words)
		if s.kept != nil {
			s.Terminal.paragraph(s.kept...)
			s.kept = nil
		}
	}
	return nil
}

// steps are those of a server at its places, in order: each needs those before it.
func (s *Setup) steps() []step {
	list := []step{}
	if s.Host.Root {
		list = append(list, step{"program", s.hasProgram, s.copyProgram}, step{"system user", s.hasUser, s.addUser})
	}
	list = append(list,
		step{"folder", s.hasFolder, s.makeFolder},
		step{"configuration", s.hasConfig, s.writeConfig},
		step{"mail", never, s.furnish},
		step{"DNS records", never, s.writeZone},
	)
	if s.Host.Root && s.Host.HasSystemd && !s.NoService && !s.Serve {
		list = append(list, step{"service", s.hasUnit, s.writeUnit}, step{"server", s.isRunning, s.start})
	}
	return list
}

// never is the look of a step that finds out by itself what of it is done.
func never(context.Context) (string, error) { return "", nil }

func (s *Setup) hasProgram(context.Context) (string, error) {
	target := s.Host.installed()
	if target == s.Host.Executable {
		return target, nil
	}
	there, err := os.Stat(target)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	own, err := os.Stat(s.Host.Executable)
	if err != nil {
		return "", err
	}
	if there.Size() != own.Size() {
		s.kept = []string{"It is another one than this, and stays; to have this one instead:", "install -m 755 " + shellWord(s.Host.Executable) + " " + target}
	}
	return target + " is there", nil
}

func (s *Setup) copyProgram(context.Context) (string, error) {
	b, err := os.ReadFile(s.Host.Executable)
	if err != nil {
		return "", err
	}
	target := s.Host.installed()
	if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
		return "", err
	}
	return "copied to " + target, File{Name: target, Text: string(b), Mode: 0o755, GID: -1}.write()
}

func (s *Setup) hasUser(context.Context) (string, error) {
	uid, gid, err := s.Host.LookUp(s.Places.User)
	if errors.Is(err, ErrNoUser) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	if uid == 0 {
		return "", fmt.Errorf("%s is root, as whom no server should run", s.Places.User)
	}
	s.uid, s.gid = uid, gid
	return s.Places.User + " is there", nil
}

func (s *Setup) addUser(ctx context.Context) (string, error) {
	name := s.Places.User
	err := s.Host.Run(ctx, "useradd", "--system", "--user-group", "--no-create-home", "--home-dir", s.Places.Dir,
		"--shell", "/usr/sbin/nologin", "--comment", "mail server", name)
	if err != nil {
		return "", fmt.Errorf("%w; make a system user %s with a group of that name, and run setup again", err, name)
	}
	if s.uid, s.gid, err = s.Host.LookUp(name); err != nil {
		return "", err
	}
	return name + " made", nil
}

// owner is whom the server's folder belongs to.
func (s *Setup) owner() int {
	if s.Host.Root {
		return s.uid
	}
	return os.Geteuid()
}

// store is the folder within the server's that makes it one.
const store = "store"

func (s *Setup) hasFolder(context.Context) (string, error) {
	dir := s.Places.Dir
	info, err := os.Stat(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	if !info.IsDir() {
		return "", fmt.Errorf("%s is no folder", dir)
	}
	inside, err := os.ReadDir(dir)
	if err != nil {
		return "", err
	}
	names := make([]string, len(inside))
	for i, e := range inside {
		names[i] = e.Name()
	}
	if len(names) > 0 && !slices.Contains(names, store) {
		return "", fmt.Errorf("%s has other things in it (%s): choose another folder with --dir", dir, strings.Join(names[:min(len(names), 3)], ", "))
	}
	return s.ownFolder(info, names)
}

// ownFolder judges a folder that is empty or a server's by whom it belongs to.
func (s *Setup) ownFolder(info fs.FileInfo, names []string) (string, error) {
	of, ok := info.Sys().(*syscall.Stat_t)
	if !ok || int(of.Uid) == s.owner() {
		if !slices.Contains(names, store) || info.Mode().Perm()&0o077 != 0 || s.ofOther(store) {
			return "", nil
		}
		return s.Places.Dir + " is there", nil
	}
	if of.Uid == 0 && s.Host.Root && s.isUnused() {
		return "", nil // was cut off between making it and giving it away
	}
	return "", fmt.Errorf("%s belongs to user %d, so it is another server's: choose another folder with --dir, or let setup run the server as that user with --user",
		s.Places.Dir, of.Uid)
}

// ofOther tells whether something in the folder is another user's.
func (s *Setup) ofOther(name string) bool {
	info, err := os.Stat(filepath.Join(s.Places.Dir, name))
	if err != nil {
		return true
	}
	of, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(of.Uid) != s.owner()
}

// isUnused tells whether no server was in the folder yet.
func (s *Setup) isUnused() bool {
	inside, err := os.ReadDir(filepath.Join(s.Places.Dir, store))
	return errors.Is(err, fs.ErrNotExist) || err == nil && len(inside) == 0
}

func (s *Setup) makeFolder(context.Context) (string, error) {
	dir := s.Places.Dir
	if s.ofOther(store) && !s.isUnused() {
		return "", fmt.Errorf("%s belongs to another user: give it back with chown -R %s: %s", filepath.Join(dir, store), s.Places.User, shellWord(dir))
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return "", err
	}
	for _, d := range []string{dir, filepath.Join(dir, store)} {
		if err := os.Mkdir(d, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
			return "", err
		}
		if s.Host.Root {
			if err := s.Host.Chown(d, s.uid, s.gid); err != nil {
				return "", err
			}
		}
		if err := os.Chmod(d, 0o700); err != nil {
			return "", err
		}
	}
	return dir + " made, for nobody but " + s.Places.User, syncFolder(filepath.Dir(dir))
}

func (s *Setup) hasConfig(context.Context) (string, error) {
	text, there, err := present(s.Places.Config)
	if err != nil || !there {
		return "", err
	}
	// Hostname and folder were taken from it: what still differs is the operator's.
	if lines := difference(text, ConfigText(s.Answers, s.Places)); len(lines) > 0 {
		s.kept = append([]string{"It has more than setup writes, or less, and stays as it is:"}, lines...)
	}
	return s.Places.Config + " is there", nil
}

func (s *Setup) writeConfig(context.Context) (string, error) {
	f := File{Name: s.Places.Config, Text: ConfigText(s.Answers, s.Places), Mode: 0o640, GID: -1}
	if s.Host.Root {
		f.GID = s.gid
	}
	return s.Places.Config + " written", f.write()
}

func (s *Setup) furnish(ctx context.Context) (did string, err error) {
	if s.made, err = s.Server.Furnish(ctx, s.Answers); err != nil {
		return "", err
	}
	word := func(made bool) string {
		if made {
			return "made"
		}
		return "is there"
	}
	did = "domain " + shown(s.Answers.Domain) + " " + word(s.made.Domain)
	if s.Answers.Account != "" {
		did += ", account " + s.Answers.Account + " " + word(s.made.Account)
	}
	if s.made.Letter {
		did += ", with a first letter"
	}
	if s.made.Postmaster != "" {
		s.kept = []string{"postmaster@ and abuse@ lead to " + s.made.Postmaster}
	}
	return did, nil
}

func (s *Setup) hasUnit(context.Context) (string, error) {
	name, text, err := s.Host.unitFile()
	if err != nil || name == "" {
		return "", err
	}
	wanted := s.servicePlaces()
	if filepath.Dir(name) != s.Host.UnitDirs[0] {
		if wanted.Config != usualConfig || wanted.Dir != usualDir || wanted.User != usualUser {
			return "", nil // ours goes before that of the package
		}
		return name + " is there", nil
	}
	if lines := difference(text, Unit(wanted)); len(lines) > 0 {
		s.kept = append([]string{"It differs from what setup writes, and stays as it is:"}, lines...)
	}
	return name + " is there", nil
}

func (s *Setup) servicePlaces() Places {
	p := s.Places
	p.Program = s.Host.installed()
	return p
}

func (s *Setup) writeUnit(ctx context.Context) (string, error) {
	f := File{Name: filepath.Join(s.Host.UnitDirs[0], UnitName), Text: Unit(s.servicePlaces()), Mode: 0o644, GID: -1}
	if err := os.MkdirAll(filepath.Dir(f.Name), 0o755); err != nil {
		return "", err
	}
	return f.Name + " written", f.write()
}

func (s *Setup) isRunning(ctx context.Context) (string, error) {
	enabled := s.Host.Run(ctx, "systemctl", "is-enabled", "--quiet", UnitName)
	active := s.Host.Run(ctx, "systemctl", "is-active", "--quiet", UnitName)
	if enabled != nil || active != nil {
		return "", ctx.Err()
	}
	return "runs, and starts with the machine", nil
}

func (s *Setup) start(ctx context.Context) (string, error) {
	// A unit that was written before setup was cut off may not be known yet.
	if err := s.Host.Run(ctx, "systemctl", "daemon-reload"); err != nil {
		return "", err
	}
	if err := s.Host.Run(ctx, "systemctl", "enable", "--now", UnitName); err != nil {
		return "", fmt.Errorf("%w; `journalctl -u mailstead` says why", err)
	}
	return "started, and starts with the machine from now on", nil
}

// shellWord writes a word for a shell.
func shellWord(s string) string {
	if s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./@%+=:,") == "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
