package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"mailstead/tls"
)

// runServer is the life of a server in the order of what it may do: it takes or opens its listeners, becomes the
// user that it is to be, opens the store, and serves until ctx ends or it is to be executed anew. Who connects early
// waits. furnish is called before anything is served, ready when everything is.
func runServer(ctx context.Context, s settings, log *slog.Logger, p *process, furnish, ready func(*server) error) error {
	gates, err := openGates(ctx, &s, p)
	if err != nil {
		return err
	}
	if p != nil {
		if err := dropPrivileges(&s, log); err != nil {
			return errors.Join(err, closeGates(gates))
		}
	}
	srv, err := newServer(s, log)
	if err != nil {
		return errors.Join(err, closeGates(gates))
	}
	srv.process, srv.gates = p, gates
	if err := furnish(srv); err != nil {
		return errors.Join(err, closeGates(gates), srv.close())
	}
	return srv.run(ctx, func() error { return ready(srv) })
}

// openGates takes what was inherited, if this is a process of its own, and opens what is missing: all, or none.
func openGates(ctx context.Context, s *settings, p *process) (all []gate, err error) {
	var given []gate
	if p != nil {
		if given, err = inherit(); err != nil {
			return nil, err
		}
	}
	all, rest, surplus, err := assign(given, s.Listen, filepath.Join(s.Dir, controlName))
	if err != nil {
		return nil, errors.Join(err, closeGates(given))
	}
	if err := closeGates(surplus); err != nil {
		return nil, errors.Join(err, closeGates(all))
	}
	for _, e := range rest {
		for _, address := range e.addresses {
			l, err := tls.Listen(ctx, "tcp", address)
			if err != nil {
				return nil, errors.Join(fmt.Errorf("%s: %w%s", e.name, err, listenHint(err)), closeGates(all))
			}
			all = append(all, gate{e.name, address, l})
		}
	}
	return all, nil
}

// listenHint says what to do where a port may not be opened.
func listenHint(err error) string {
	if !errors.Is(err, syscall.EACCES) {
		return ""
	}
	return " (ports below 1024 need root with user set, the capability CAP_NET_BIND_SERVICE, or sockets of the service manager)"
}

// openControl opens the control socket, or goes on with the one that was left open. One whose name somebody
// has removed would be found by nobody.
func (s *server) openControl() (*control, error) {
	i := slices.IndexFunc(s.gates, func(d gate) bool { return d.endpoint == controlEndpoint })
	if i < 0 {
		return listenControl(s.settings.Dir, s.admin, s.log)
	}
	left := s.gates[i]
	s.gates = slices.Delete(s.gates, i, i+1)
	if info, err := os.Lstat(left.address); err == nil && info.Mode()&os.ModeSocket != 0 {
		return inheritControl(left, s.admin, s.log), nil
	}
	if err := left.listener.Close(); err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	return listenControl(s.settings.Dir, s.admin, s.log)
}

// closeControl ends the control socket, or leaves it open for who comes next.
func (s *server) closeControl(c *control, restart bool) error {
	if restart {
		return c.leave()
	}
	return c.close()
}

// watchdogInterval is how often the service manager of the process wants to hear of it; 0 for nil.
func (p *process) watchdogInterval() time.Duration {
	if p == nil {
		return 0
	}
	return watchdogInterval(os.Getenv, os.Getpid())
}
