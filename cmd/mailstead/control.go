package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime/debug"
	"sync"
	"syscall"
	"time"

	"mailstead/mailbox"
)

// The control socket is how sub-commands act while a server has the store: one
// request and one answer, each a JSON value, on a connection of its own; before
// the answer of a long action (long.go), values that tell its progress. It lies
// in the server's folder and is open to the folder's owner only.
const (
	controlName    = "control.sock"
	maxRequest     = 1 << 20         // octets of a request: an alias with its thousand members is a tenth of it
	controlTimeout = 5 * time.Minute // of a whole exchange that is not long, and of one write; removing a large account takes a while
)

// request names an action with its parameters.
type request struct {
	Action string          `json:"action"`
	Params json.RawMessage `json:"params"`
}

// response is what an action returned, or how far it is.
type response struct {
	Progress *progress       `json:"progress,omitempty"` // then this is no answer yet
	Failure  *failure        `json:"failure,omitempty"`
	Result   json.RawMessage `json:"result,omitempty"`
}

// control serves the control socket.
type control struct {
	listener net.Listener
	name     string
	admin    func() *admin // of the settings as they are
	log      *slog.Logger
	closing  context.Context // ends the reading of requests
	last     time.Time       // until when requests are read that have begun; set before closing ends
	stop     context.CancelFunc
	running  sync.WaitGroup
}

// listenControl opens the socket. One that a killed server left is replaced:
// whoever has the store's lock owns the folder.
func listenControl(dir string, a func() *admin, log *slog.Logger) (*control, error) {
	name := filepath.Join(dir, controlName)
	if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	c := &control{name: name, admin: a, log: log}
	err := withSocketName(name, func(short string) (err error) {
		// The socket must not be open to others even for the moment until chmod. The
		// mask is the process's: what else is made meanwhile keeps its owner's rights.
		old := syscall.Umask(0o077)
		defer syscall.Umask(old)
		if c.listener, err = net.Listen("unix", short); err != nil {
			return err
		}
		if err = os.Chmod(short, 0o600); err != nil {
			c.listener.Close()
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	c.serve()
	return c, nil
}

// inheritControl serves a socket that a server before has left open. Its name is in use all the time.
func inheritControl(d gate, a func() *admin, log *slog.Logger) *control {
	c := &control{listener: d.listener, name: d.address, admin: a, log: log}
	c.serve()
	return c
}

func (c *control) serve() {
	c.closing, c.stop = context.WithCancel(context.Background())
	c.running.Go(c.accept)
}

// withSocketName calls f with a name that a socket can have: a long one leads
// through the open folder, where the system has names for that.
func withSocketName(name string, f func(short string) error) error {
	if len(name) <= maxSocketName {
		return f(name)
	}
	dir, err := os.Open(filepath.Dir(name))
	if err != nil {
		return err
	}
	defer dir.Close()
	short, err := throughFolder(dir, filepath.Base(name))
	if err != nil {
		return err
	}
	return f(short)
}

// acceptPause is waited after a failed accept: out of file descriptors, most
// often, and they come back.
const acceptPause = time.Second

func (c *control) accept() {
	for {
		conn, err := c.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			c.log.Warn("control socket: accept failed", "error", err)
			time.Sleep(acceptPause)
			continue
		}
		c.running.Go(func() {
			defer conn.Close()
			defer c.survive()
			if err := c.answer(conn); err != nil {
				c.log.Warn("control socket", "error", err)
			}
		})
	}
}

// survive keeps an action that breaks from taking the server with it.
func (c *control) survive() {
	if p := recover(); p != nil {
		c.log.Error("control socket: an action broke", "panic", p, "stack", string(debug.Stack()))
	}
}

func (c *control) answer(conn net.Conn) error {
	if err := conn.SetDeadline(time.Now().Add(controlTimeout)); err != nil {
		return err
	}
	defer context.AfterFunc(c.closing, func() { conn.SetReadDeadline(c.last) })()
	var q request
	requests := json.NewDecoder(io.LimitReader(conn, maxRequest))
	err := requests.Decode(&q)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return nil // whoever it is has not asked for anything
	}
	if err != nil {
		c.log.Warn("control socket: a request cannot be read", "error", err)
		return json.NewEncoder(conn).Encode(response{Failure: &failure{Exit: exitUsage, Text: "the request cannot be read"}})
	}
	if act := streamActions[q.Action]; act != nil {
		return c.answerStream(conn, requests.Buffered(), act, q)
	}
	if actions[q.Action].long {
		return c.answerLong(conn, q)
	}
	ctx, cancel := context.WithTimeout(context.Background(), controlTimeout)
	defer cancel()
	return json.NewEncoder(conn).Encode(c.admin().do(ctx, q, unheard))
}

// close ends the socket when the actions under way have ended; long ones are
// told to.
func (c *control) close() error {
	c.last = time.Unix(1, 0)
	err := c.listener.Close()
	if e := os.Remove(c.name); e != nil && !errors.Is(e, fs.ErrNotExist) { // closing removes it where its name is short
		err = errors.Join(err, e)
	}
	c.stop()
	c.running.Wait()
	return err
}

// lastRequest is how long a restarting server waits for a request whose sender is connected: it has been written.
const lastRequest = time.Second

// leave is close for a server whose socket stays open: who connects from now on is answered by the next one.
func (c *control) leave() error {
	c.last = time.Now().Add(lastRequest)
	if u, ok := c.listener.(*net.UnixListener); ok {
		u.SetUnlinkOnClose(false)
	}
	err := c.listener.Close()
	c.stop()
	c.running.Wait()
	return err
}

// place says which server a sub-command is about.
type place struct {
	Dir    string `help:"The server's folder." placeholder:"DIR" type:"path" xor:"place"`
	Config string `help:"The server's configuration file, which names its folder (default ${config})." placeholder:"FILE" type:"path" xor:"place"`
}

// settings are those of the server, with the default ones where only its folder is named.
func (p place) settings() (settings, error) {
	if p.Dir != "" {
		s := defaultSettings()
		s.Dir, s.errand = p.Dir, true
		return s, nil
	}
	s, err := readConfig(cmp.Or(p.Config, defaultConfig))
	s.errand = true
	return s, err
}

// call performs an action: in the running server through its socket, or else
// here, as the folder's own owner.
func call[R any](ctx context.Context, p place, log *slog.Logger, action string, params any) (R, error) {
	return callLong[R](ctx, p, log, unheard, action, params)
}

// callLong is call for a long action: show is told how far it is.
func callLong[R any](ctx context.Context, p place, log *slog.Logger, show report, action string, params any) (R, error) {
	var result R
	s, err := p.settings()
	if err != nil {
		return result, err
	}
	q := request{Action: action}
	if q.Params, err = json.Marshal(params); err != nil {
		return result, fmt.Errorf("%s: %w", action, err)
	}
	answer, err := ask(ctx, s.Dir, q, show)
	if errors.Is(err, errNoServer) {
		answer, err = actAlone(ctx, &s, log, q, show)
	}
	switch {
	case err != nil:
		return result, err
	case answer.Failure != nil:
		return result, answer.Failure
	}
	if err := json.Unmarshal(answer.Result, &result); err != nil {
		return result, fmt.Errorf("%s: %w", action, err)
	}
	return result, nil
}

// errNoServer says that nobody listens on the control socket.
var errNoServer = errors.New("no server is running")

// dialControl connects to the running server of a folder. errNoServer.
func dialControl(ctx context.Context, dir string) (conn net.Conn, err error) {
	err = withSocketName(filepath.Join(dir, controlName), func(short string) (err error) {
		conn, err = (&net.Dialer{}).DialContext(ctx, "unix", short)
		return err
	})
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) {
		return nil, errNoServer
	}
	if err != nil {
		return nil, fmt.Errorf("ask the running server: %w", err)
	}
	return conn, nil
}

func ask(ctx context.Context, dir string, q request, show report) (response, error) {
	var r response
	conn, err := dialControl(ctx, dir)
	if err != nil {
		return r, err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	sent := json.NewEncoder(conn).Encode(q) // what it does not want to hear to the end is answered all the same
	for answers := json.NewDecoder(conn); ; {
		r = response{}
		if err := answers.Decode(&r); err != nil {
			return r, fmt.Errorf("the running server's answer: %w", errors.Join(ctx.Err(), sent, err))
		}
		if r.Progress == nil {
			return r, nil
		}
		show(*r.Progress)
	}
}

// ownFolder fails where there is no store, and where it is another user's: what
// root made in it, the server could not open at its next start.
func ownFolder(dir string) error {
	info, err := os.Stat(storeDir(dir))
	if err != nil {
		return fmt.Errorf("no server's folder: %w", err)
	}
	if s, ok := info.Sys().(*syscall.Stat_t); ok && int(s.Uid) != os.Geteuid() {
		return fmt.Errorf("no server is running, and the folder %s is user %d's: act as that user, or start the server", dir, s.Uid)
	}
	return nil
}

// actAlone opens the store for one action.
func actAlone(ctx context.Context, s *settings, log *slog.Logger, q request, show report) (r response, err error) {
	err = alone(s, log, func(a *admin) error {
		r = a.do(ctx, q, spaced(show, time.Now))
		return nil
	})
	return r, err
}

// alone opens the store of a folder without a server for what f does.
func alone(s *settings, log *slog.Logger, f func(*admin) error) error {
	if err := ownFolder(s.Dir); err != nil {
		return err
	}
	store, d, err := openStore(s, log)
	if errors.Is(err, mailbox.ErrLocked) {
		return fmt.Errorf("%w, which does not answer on its control socket", err)
	}
	if err != nil {
		return err
	}
	a, err := newAdmin(store, d, log)
	if err == nil {
		a.journalDir, a.hostname, a.guide, a.settings = journalDir(s.Dir), s.Hostname, s.guide(), s
		err = f(a)
	}
	if closed := store.Close(); err == nil {
		err = closed // joined errors would hide what a failure's exit status is
	}
	return err
}
