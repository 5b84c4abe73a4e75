package setup

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// ErrNoUser says that the machine has no user of a name.
var ErrNoUser = errors.New("no such user")

// Host is the machine that a server is set up on, as far as others have a hand in it; tests have hosts of their own.
type Host struct {
	// Root tells whether users and services can be made.
	Root bool
	// LookUp finds a user. ErrNoUser.
	LookUp func(name string) (uid, gid int, err error)
	// Run runs a program of the system. Errors tell what it said.
	Run func(ctx context.Context, program string, args ...string) error
	// Chown is os.Chown.
	Chown func(name string, uid, gid int) error
	// HasSystemd tells whether systemd runs the machine (sd_booted(3)).
	HasSystemd bool
	// UnitDirs are where systemd looks for services; the operator's first, into which ours is written.
	UnitDirs []string
	// Executable is the file of this program.
	Executable string
	// ProgramDirs are folders of programs, from which a service may be started.
	ProgramDirs []string
	// ProgramDir is the one of them that the program is copied to if it is in none.
	ProgramDir string
}

// ThisHost is the machine itself.
func ThisHost() (Host, error) {
	self, err := os.Executable()
	if err == nil {
		self, err = filepath.EvalSymlinks(self)
	}
	if err != nil {
		return Host{}, fmt.Errorf("where this program is: %w", err)
	}
	_, booted := os.Stat("/run/systemd/system")
	return Host{
		Root: os.Geteuid() == 0, LookUp: lookUpUser, Run: runProgram, Chown: os.Chown, HasSystemd: booted == nil,
		UnitDirs:   []string{"/etc/systemd/system", "/usr/local/lib/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system"},
		Executable: self, ProgramDir: "/usr/local/bin",
		ProgramDirs: []string{"/usr/local/bin", "/usr/local/sbin", "/usr/bin", "/usr/sbin", "/bin", "/sbin"},
	}, nil
}

func lookUpUser(name string) (uid, gid int, err error) {
	u, err := user.Lookup(name)
	if _, unknown := errors.AsType[user.UnknownUserError](err); unknown {
		return 0, 0, ErrNoUser
	}
	if err != nil {
		return 0, 0, fmt.Errorf("user %s: %w", name, err)
	}
	uid, err = strconv.Atoi(u.Uid)
	if err == nil {
		gid, err = strconv.Atoi(u.Gid)
	}
	return uid, gid, err
}

// maxSaid is how much of what a failed program said is told, in octets.
const maxSaid = 500

func runProgram(ctx context.Context, program string, args ...string) error {
	said, err := exec.CommandContext(ctx, program, args...).CombinedOutput()
	if err == nil {
		return nil
	}
	text := strings.TrimSpace(string(said))
	text = text[max(0, len(text)-maxSaid):] // the end has the reason
	if text != "" {
		text = ", it says: " + text
	}
	return fmt.Errorf("%s: %w%s", strings.Join(append([]string{program}, args...), " "), err, text)
}

// installed is where the service starts the program from: this one, if it is in a folder of programs, else its copy.
func (h *Host) installed() string {
	if slices.Contains(h.ProgramDirs, filepath.Dir(h.Executable)) {
		return h.Executable
	}
	return filepath.Join(h.ProgramDir, "mailstead")
}

// unitFile finds the service.
func (h *Host) unitFile() (name, text string, err error) {
	for _, dir := range h.UnitDirs {
		name = filepath.Join(dir, UnitName)
		text, there, err := present(name)
		if err != nil || there {
			return name, text, err
		}
	}
	return "", "", nil
}
