package main

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	osuser "os/user"
	"strconv"
	"syscall"
)

// identity is a user as the system knows processes.
type identity struct {
	name     string
	uid, gid int
	groups   []int // all that the user is in
}

// lookUpUser finds a user by name or number.
func lookUpUser(name string) (identity, error) {
	u, err := osuser.Lookup(name)
	if _, unknown := errors.AsType[osuser.UnknownUserError](err); unknown {
		if byID, e := osuser.LookupId(name); e == nil {
			u, err = byID, nil
		}
	}
	if err != nil {
		return identity{}, fmt.Errorf("user %q: %w (useradd --system --home-dir / --shell /usr/sbin/nologin %s makes one)", name, err, name)
	}
	id := identity{name: u.Username}
	numbers, err := u.GroupIds()
	if err != nil {
		return id, fmt.Errorf("groups of user %s: %w", name, err)
	}
	var errs [2]error
	id.uid, errs[0] = strconv.Atoi(u.Uid)
	id.gid, errs[1] = strconv.Atoi(u.Gid)
	for _, g := range numbers {
		n, err := strconv.Atoi(g)
		if err != nil {
			return id, fmt.Errorf("groups of user %s: %w", name, err)
		}
		id.groups = append(id.groups, n)
	}
	return id, errors.Join(errs[:]...)
}

// dropPrivileges has the whole process go on as the user that s names, and gives up what a mail server
// does not need. It comes after the ports were opened and before anything else is.
func dropPrivileges(s *settings, log *slog.Logger) error {
	switch {
	case s.User != "":
		id, err := lookUpUser(s.User)
		if err != nil {
			return err
		}
		if err := becomeUser(id, s.Dir); err != nil {
			return err
		}
	case os.Geteuid() == 0 && !s.local:
		log.Warn("the server runs as root: set user, and it becomes that user once its ports are open")
	}
	if s.local {
		return nil
	}
	return confine()
}

// becomeUser changes to id for good. Its folder is made where there is none; one of somebody else is refused, since root cannot
// tell whose mistake it is.
func becomeUser(id identity, dir string) error {
	if now := os.Geteuid(); now == id.uid && now != 0 {
		return nil // as after a restart in place
	} else if now != 0 {
		return fmt.Errorf("only root can become user %s, and this is user %d", id.name, now)
	}
	if id.uid == 0 {
		return errors.New("user must not be root: it is who the server is after it has opened its ports")
	}
	if err := makeFolder(id, dir); err != nil {
		return err
	}
	if err := setUser(id); err != nil {
		return fmt.Errorf("become user %s: %w", id.name, err)
	}
	if err := neverRoot(); err != nil {
		return fmt.Errorf("become user %s: %w", id.name, err)
	}
	return nil
}

// makeFolder makes the server's folder for id, and looks whose it is where there is one.
func makeFolder(id identity, dir string) error {
	err := os.MkdirAll(dir, 0o700)
	if err != nil {
		return fmt.Errorf("make the server's folder: %w", err)
	}
	for _, name := range []string{dir, storeDir(dir)} {
		info, err := os.Stat(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return fmt.Errorf("the server's folder: %w", err)
		}
		owner := info.Sys().(*syscall.Stat_t).Uid
		if int(owner) == id.uid {
			continue
		}
		entries, err := os.ReadDir(name)
		if err != nil || len(entries) > 0 || owner != 0 {
			return errors.Join(fmt.Errorf("the folder %s is user %d's, and not %s's: chown -R %s %s", name, owner, id.name, id.name, dir), err)
		}
		if err := os.Chown(name, id.uid, id.gid); err != nil {
			return fmt.Errorf("the server's folder: %w", err)
		}
	}
	return nil
}

// neverRoot fails if the process could be root again.
func neverRoot() error {
	if syscall.Setuid(0) == nil || setEffectiveRoot() == nil || os.Geteuid() == 0 || os.Getuid() == 0 {
		return errors.New("it could become root again")
	}
	if syscall.Setgid(0) == nil || os.Getegid() == 0 {
		return errors.New("it could get the group of root again")
	}
	return noCapabilities()
}
