package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"mailstead/tls"
)

// A process finds sockets that listen already in two ways: a service manager leaves them at the
// descriptors from 3 on and counts them in LISTEN_FDS (sd_listen_fds(3)), and a server that
// executes itself anew (restart.go) tells them in handoverVariable. That is a variable of our
// own because a running Go program cannot free the descriptors from 3 on: some are the runtime's.
const (
	firstInherited   = 3
	maxInherited     = 256     // sockets; nine kinds of listeners with a few addresses each
	maxHandover      = 1 << 16 // octets of handoverVariable
	handoverVariable = "MAILSTEAD_SOCKETS"
	controlEndpoint  = "control" // the control socket, among the names of listen.all
)

// inheritance are the variables that tell of sockets; nobody shall find them twice.
var inheritance = []string{"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "LISTEN_PIDFDID", handoverVariable}

// socket is one that was inherited, as the environment tells of it.
type socket struct {
	FD      int    `json:"fd"`
	Name    string `json:"name"`              // of an endpoint, or whatever the service manager calls it
	Address string `json:"address,omitempty"` // as it was configured; "" = the service manager's
}

// handover is the value of handoverVariable.
type handover struct {
	PID     int      `json:"pid"`
	Sockets []socket `json:"sockets"`
}

// gate is a listener that is open.
type gate struct {
	endpoint string // as in listen.all, or controlEndpoint
	address  string // as it was configured; "" = the service manager's
	listener net.Listener
}

// closeGates closes those that were opened or inherited.
func closeGates(all []gate) error {
	var errs []error
	for _, d := range all {
		errs = append(errs, d.listener.Close())
	}
	return errors.Join(errs...)
}

// inheritedSockets reads what the environment says of sockets for the process pid. What is meant for another
// one, as its parent was, is nothing to us.
func inheritedSockets(env func(string) string, pid int) ([]socket, error) {
	given, err := activated(env, pid)
	if err != nil {
		return nil, err
	}
	text := env(handoverVariable)
	if text == "" {
		return given, nil
	}
	var h handover
	if len(text) > maxHandover {
		return nil, fmt.Errorf("%s is longer than %d octets", handoverVariable, maxHandover)
	}
	if err := json.Unmarshal([]byte(text), &h); err != nil {
		return nil, fmt.Errorf("%s: %w", handoverVariable, err)
	}
	if h.PID != pid {
		return given, nil
	}
	if len(given)+len(h.Sockets) > maxInherited {
		return nil, fmt.Errorf("%s names %d sockets, and %d are the most", handoverVariable, len(h.Sockets), maxInherited)
	}
	return append(given, h.Sockets...), checkSockets(h.Sockets)
}

// checkSockets looks for what cannot be: each descriptor belongs to one socket.
func checkSockets(all []socket) error {
	seen := map[int]bool{}
	for _, s := range all {
		if s.FD < firstInherited || seen[s.FD] {
			return fmt.Errorf("%s: %d cannot be the descriptor of %s", handoverVariable, s.FD, s.Name)
		}
		seen[s.FD] = true
	}
	return nil
}

// activated reads the variables of a service manager.
func activated(env func(string) string, pid int) ([]socket, error) {
	if n, err := strconv.Atoi(env("LISTEN_PID")); err != nil || n != pid {
		return nil, nil
	}
	count := env("LISTEN_FDS")
	n, err := strconv.Atoi(count)
	if err != nil || n < 0 || n > maxInherited {
		return nil, fmt.Errorf("LISTEN_FDS is %.40q, and not the number of sockets, 0 to %d", count, maxInherited)
	}
	names := make([]string, n)
	if list := env("LISTEN_FDNAMES"); list != "" && n > 0 {
		if names = strings.Split(list, ":"); len(names) != n {
			return nil, fmt.Errorf("LISTEN_FDNAMES has %d names for %d sockets", len(names), n)
		}
	}
	var all []socket
	for i, name := range names {
		all = append(all, socket{FD: firstInherited + i, Name: name})
	}
	return all, nil
}

// inherit takes the sockets that the process was left, and removes every trace of them from its environment.
func inherit() (all []gate, err error) {
	sockets, err := inheritedSockets(os.Getenv, os.Getpid())
	for _, name := range inheritance {
		os.Unsetenv(name)
	}
	if err != nil {
		return nil, fmt.Errorf("sockets that were handed over: %w", err)
	}
	for _, s := range sockets {
		unix.CloseOnExec(s.FD)
	}
	for _, s := range sockets {
		l, e := s.open()
		if e != nil {
			err = errors.Join(err, fmt.Errorf("sockets that were handed over: descriptor %d (%s): %w", s.FD, s.Name, e))
			continue
		}
		all = append(all, gate{endpoint: s.Name, address: s.Address, listener: l})
	}
	if err != nil {
		return nil, errors.Join(err, closeGates(all))
	}
	return all, nil
}

// open makes a listener of the socket.
func (s socket) open() (net.Listener, error) {
	var kind unix.Stat_t
	if err := unix.Fstat(s.FD, &kind); err != nil { // before os.NewFile owns what may be nothing, or something of the runtime's
		return nil, err
	}
	if kind.Mode&unix.S_IFMT != unix.S_IFSOCK {
		return nil, errors.New("it is no socket")
	}
	f := os.NewFile(uintptr(s.FD), s.Name)
	if s.Name != controlEndpoint || s.Address == "" {
		return tls.Inherit(f)
	}
	defer f.Close()
	l, err := net.FileListener(f)
	if err != nil {
		return nil, err
	}
	if u, ok := l.(*net.UnixListener); ok {
		u.SetUnlinkOnClose(false) // its name is in use for as long as it is handed on
		return u, nil
	}
	return nil, errors.Join(errors.New("it is no control socket"), l.Close())
}

// assign gives each socket that was inherited to an endpoint. rest are the addresses that are still to
// be opened, surplus the sockets of an earlier configuration that nobody wants any more. control is the name of
// the control socket.
//
// Sockets of a service manager take the place of all addresses of their endpoint: it says which one by
// name, or else they are known by the address that they listen on, or by its port.
func assign(given []gate, l listen, control string) (all []gate, rest []endpoint, surplus []gate, err error) {
	managed := map[string]bool{}
	for _, d := range given {
		switch {
		case d.endpoint == controlEndpoint && d.address == control:
			all = append(all, d)
		case d.endpoint == controlEndpoint, d.address != "" && !l.has(d.endpoint, d.address):
			surplus = append(surplus, d)
		case d.address != "":
			all = append(all, d)
		default:
			if d.endpoint, err = l.endpointOf(d); err != nil {
				return nil, nil, nil, err
			}
			managed[d.endpoint] = true
			all = append(all, d)
		}
	}
	for _, e := range l.all() {
		if managed[e.name] {
			continue
		}
		e.addresses = slices.DeleteFunc(slices.Clone(e.addresses), func(a string) bool {
			return slices.ContainsFunc(all, func(d gate) bool { return d.endpoint == e.name && d.address == a })
		})
		rest = append(rest, e)
	}
	return all, rest, surplus, nil
}

// has reports whether an address is configured for an endpoint.
func (l listen) has(endpoint, address string) bool {
	for _, e := range l.all() {
		if e.name == endpoint {
			return slices.Contains(e.addresses, address)
		}
	}
	return false
}

// endpointOf finds which endpoint a service manager's socket is for.
func (l listen) endpointOf(d gate) (string, error) {
	at := d.listener.Addr().String()
	host, port, err := net.SplitHostPort(at)
	if err != nil {
		return "", fmt.Errorf("a socket that was handed over: %w", err)
	}
	var byPort []string
	for _, e := range l.all() {
		if e.name == d.endpoint {
			return e.name, nil
		}
		for _, a := range e.addresses {
			h, p, err := net.SplitHostPort(a)
			if err != nil || p != port {
				continue
			}
			if h == host {
				return e.name, nil
			}
			byPort = append(byPort, e.name)
		}
	}
	if byPort = slices.Compact(byPort); len(byPort) != 1 {
		return "", fmt.Errorf("the socket %q at %s that was handed over is for none of listen's addresses: give it a name of those, like FileDescriptorName=imaps", d.endpoint, at)
	}
	return byPort[0], nil
}
