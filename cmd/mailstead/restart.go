package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A restart in place: the server tells its clients, lets what is under way finish, closes the store and executes its
// binary anew, under the same process id. The listeners stay open meanwhile, the control socket among
// them: who connects waits in the kernel, and is refused by nobody.

// process is the operating system's process, for the commands that may change it. nil in tests that run them in their own.
type process struct {
	binary  string           // what a restart executes: a name, so that it finds the file that has taken the place of ours
	restart <-chan os.Signal // asks for one
	next    []socket         // of a server that has ended to be executed anew
	deaf    []os.Signal      // that must not end what is executed before it listens to them
}

// thisProcess is to be called before anything could have replaced the binary.
func thisProcess() (*process, func()) {
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, syscall.SIGUSR2)
	return &process{binary: ownBinary(), restart: asked}, func() { signal.Stop(asked) }
}

// ownBinary is the name of the binary as it was called, "" if nobody knows. The system's own name is one without symbolic
// links: who puts a new version beside the old and changes the link would get the old one.
func ownBinary() string {
	self, err := os.Executable()
	if err != nil {
		self = ""
	}
	called, err := exec.LookPath(os.Args[0])
	if err == nil {
		called, err = filepath.Abs(called)
	}
	if err != nil || !sameFile(called, self) {
		return self
	}
	return called
}

func sameFile(a, b string) bool {
	x, errX := os.Stat(a)
	y, errY := os.Stat(b)
	return errX == nil && errY == nil && os.SameFile(x, y)
}

// restartRequests are those by signal, none for nil.
func (p *process) restartRequests() <-chan os.Signal {
	if p == nil {
		return nil
	}
	return p.restart
}

const (
	// checkTime is for the new binary to read the configuration.
	checkTime = 30 * time.Second
	// maxComplaint bounds what is kept of what it says.
	maxComplaint = 4 << 10
)

// check has the binary, which may be a new version, say whether it could start with the arguments and the
// configuration.
func (p *process) check(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, checkTime)
	defer cancel()
	c := exec.CommandContext(ctx, p.binary, append(slices.Clone(os.Args[1:]), "--check")...)
	c.Env = environmentWithout(append(slices.Clone(inheritance), "NOTIFY_SOCKET")...)
	c.WaitDelay = time.Second
	out, err := c.CombinedOutput()
	if err != nil {
		out = bytes.TrimSpace(out[:min(len(out), maxComplaint)])
		return fmt.Errorf("%s would not start (%w): %s", p.binary, err, cmp.Or(string(out), "it does not say why"))
	}
	return nil
}

// environmentWithout is that of this process without some variables.
func environmentWithout(names ...string) []string {
	return slices.DeleteFunc(os.Environ(), func(v string) bool {
		name, _, _ := strings.Cut(v, "=")
		return slices.Contains(names, name)
	})
}

// execute replaces the program in this process by its binary; it returns if that fails. The store is closed by now.
func (p *process) execute() error {
	told, err := json.Marshal(handover{PID: os.Getpid(), Sockets: p.next})
	if err != nil {
		return fmt.Errorf("restart: %w", err)
	}
	signal.Ignore(p.deaf...)
	for _, s := range p.next {
		if _, err := unix.FcntlInt(uintptr(s.FD), unix.F_SETFD, 0); err != nil {
			return fmt.Errorf("restart: hand on %s: %w", s.Name, err)
		}
	}
	err = syscall.Exec(p.binary, os.Args, append(environmentWithout(inheritance...), handoverVariable+"="+string(told)))
	return fmt.Errorf("restart: execute %s: %w", p.binary, err)
}

// restarter is a server's part in a restart.
type restarter struct {
	control atomic.Pointer[control] // nil until the server is ready
	busy    atomic.Bool
	sockets []socket      // to be handed on; written before leave is closed
	leave   chan struct{} // closed when all is prepared
}

var (
	errRestarting = errors.New("a restart is under way already")
	errNoRestart  = errors.New("this server cannot restart in place: stop it and start it")
	errStarting   = errors.New("the server is starting: ask again when it is ready")
)

// prepareRestart makes sure that the server can be executed anew and keeps its listeners open beyond its end;
// then the server ends. Whatever error it returns, the server goes on as before.
func (s *server) prepareRestart(ctx context.Context) error {
	if s.process == nil || s.process.binary == "" {
		return errNoRestart
	}
	control := s.restarter.control.Load()
	if control == nil {
		return errStarting
	}
	if !s.restarter.busy.CompareAndSwap(false, true) {
		return errRestarting
	}
	err := s.process.check(ctx)
	if err == nil {
		s.restarter.sockets, err = duplicate(append(s.serving.gates(), gate{controlEndpoint, control.name, control.listener}))
	}
	if err != nil {
		s.restarter.busy.Store(false)
		return err
	}
	close(s.restarter.leave)
	return nil
}

// duplicate opens each listener's socket once more, all or none.
func duplicate(all []gate) (sockets []socket, err error) {
	for _, d := range all {
		fd, err := duplicateSocket(d.listener)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("keep the listener of %s: %w", d.endpoint, err), closeSockets(sockets))
		}
		sockets = append(sockets, socket{FD: fd, Name: d.endpoint, Address: d.address})
	}
	return sockets, nil
}

// duplicateSocket does not use the listener's method File, whose descriptor makes both blocking.
func duplicateSocket(l net.Listener) (int, error) {
	c, ok := l.(syscall.Conn)
	if !ok {
		return -1, fmt.Errorf("a listener of type %T has no descriptor", l)
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return -1, err
	}
	fd := -1
	ctlErr := raw.Control(func(from uintptr) { fd, err = unix.FcntlInt(from, unix.F_DUPFD_CLOEXEC, firstInherited) })
	return fd, errors.Join(ctlErr, err)
}

func closeSockets(all []socket) error {
	var errs []error
	for _, s := range all {
		errs = append(errs, unix.Close(s.FD))
	}
	return errors.Join(errs...)
}

// wait returns when the server is to end: at the end of ctx, when a listener fails, or when it is to be
// executed anew, which restart says.
func (s *server) wait(ctx context.Context, failed <-chan error) (restart bool, err error) {
	for {
		select {
		case <-ctx.Done():
			return false, nil
		case err := <-failed:
			return false, err
		case <-s.restarter.leave:
			return true, nil
		case <-s.process.restartRequests():
			s.log.Info("asked to restart by a signal")
			if err := s.prepareRestart(ctx); err != nil {
				s.log.Error("the server is not restarted, and goes on", "error", err)
			}
		}
	}
}

// announceEnd tells the service manager and the log what happens now. A server that restarts does not stop in the manager's eyes.
func (s *server) announceEnd(restart bool) error {
	if restart {
		s.log.Info("restarting")
		return notifyReloading("restarting in place")
	}
	s.log.Info("stopping")
	return notifySystemd("STOPPING=1")
}

// handOn leaves to the process what it is to be executed with. A server that was told to end meanwhile ends.
func (s *server) handOn(ctx context.Context, restart bool, err error) error {
	switch {
	case !restart:
		return err
	case ctx.Err() != nil || err != nil:
		return errors.Join(err, closeSockets(s.restarter.sockets))
	}
	s.process.next = s.restarter.sockets
	s.process.deaf = []os.Signal{syscall.SIGUSR2}
	if !s.settings.local { // `serve` reads its configuration again on SIGHUP; `local` ends with its terminal
		s.process.deaf = append(s.process.deaf, syscall.SIGHUP)
	}
	return nil
}

// restartCommand is `mailstead restart`.
type restartCommand struct{ place }

const (
	// restartTime is for the server to end what is under way, to open its store, and to answer again.
	restartTime = 2 * time.Minute
	// askAgain is how long is waited while the server that was asked still answers.
	askAgain = 20 * time.Millisecond
)

// Run asks for a restart, and waits until the new program answers: the control socket stays open meanwhile.
func (c restartCommand) Run(ctx context.Context, std streams, log *slog.Logger) error {
	s, err := c.place.settings()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, restartTime)
	defer cancel()
	first, err := askRestart(ctx, s.Dir, restartParams{})
	if errors.Is(err, errNoServer) {
		return errNotRunning
	}
	if err != nil {
		return err
	}
	for now := first; now == first; {
		if now, err = askRestart(ctx, s.Dir, restartParams{Only: true}); err != nil {
			return fmt.Errorf("the server has ended to be restarted, and does not answer yet; its log says more: %w", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(askAgain):
		}
	}
	_, err = io.WriteString(std.out, "restarted\n")
	return err
}

// askRestart returns which server has answered.
func askRestart(ctx context.Context, dir string, p restartParams) (restartResult, error) {
	var r restartResult
	params, err := json.Marshal(p)
	if err != nil {
		return r, err
	}
	answer, err := ask(ctx, dir, request{Action: "restart", Params: params}, unheard)
	switch {
	case err != nil:
		return r, err
	case answer.Failure != nil:
		return r, answer.Failure
	}
	return r, json.Unmarshal(answer.Result, &r)
}

type restartParams struct {
	Only bool `json:"only,omitempty"` // to be told who answers
}

// restartResult tells a server from the one that it becomes.
type restartResult struct {
	Started time.Time `json:"started"`
}

var errNotRunning = &failure{Exit: exitFailed, Text: "no server is running"}

// restart is the action: it is answered before the server ends.
func (a *admin) restart(ctx context.Context, p restartParams) (restartResult, error) {
	r := restartResult{a.started}
	switch {
	case a.restartServer == nil:
		return r, errNotRunning
	case p.Only:
		return r, nil
	}
	return r, a.restartServer(ctx)
}
