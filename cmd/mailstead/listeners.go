package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"sync/atomic"

	"mailstead/tls"
	"mailstead/tls/serve"
)

// bound is a listener with the front that serves it.
type bound struct {
	gate     gate // what it was made of
	front    front
	listener net.Listener
	dropped  atomic.Bool // it is closed, and not for a fault
}

// bound is a gate of a front: its clients are those that a proxy names, and have implicit TLS where its endpoint wants it.
func (s *server) bound(f front, g gate) *bound {
	l := s.proxied(f.name, g.listener)
	if g.endpoint == f.implicit {
		l = serve.ListenTLS(l, tls.Config(s.source, f.protocol))
	}
	return &bound{gate: g, front: f, listener: l}
}

// bind opens the listener of an address.
func (s *server) bind(ctx context.Context, name, address string) (*bound, error) {
	i := slices.IndexFunc(s.fronts, func(f front) bool { return f.plain == name || f.implicit == name })
	if i < 0 {
		return nil, fmt.Errorf("listen.%s: nobody serves it", name)
	}
	l, err := tls.Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("%s: %w%s", name, err, listenHint(err))
	}
	return s.bound(s.fronts[i], gate{name, address, l}), nil
}

func closeAll(all []*bound) {
	for _, b := range all {
		b.dropped.Store(true)
		b.listener.Close()
	}
}

// servedListeners are the listeners that are served.
type servedListeners struct {
	running *sync.WaitGroup
	failed  chan error // hears of the first that fails

	mu  sync.Mutex
	all []*bound
}

// start serves listeners until they are closed.
func (s *servedListeners) start(all []*bound) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all = append(s.all, all...)
	for _, b := range all {
		s.running.Go(func() {
			err := b.front.server.Serve(b.listener)
			if errors.Is(err, serve.ErrClosed) || b.dropped.Load() {
				return
			}
			select {
			case s.failed <- fmt.Errorf("%s: %w", b.front.name, err):
			default: // another one ends the server
			}
		})
	}
}

// drop closes listeners. Sessions that came through them go on.
func (s *servedListeners) drop(all []*bound) {
	s.mu.Lock()
	defer s.mu.Unlock()
	closeAll(all)
	s.all = slices.DeleteFunc(s.all, func(b *bound) bool { return slices.Contains(all, b) })
}

// change says which listeners are to be opened, and which are to be closed, to be as in l.
func (s *servedListeners) change(l listen) (open []endpoint, dropped []*bound) {
	s.mu.Lock()
	defer s.mu.Unlock()
	kept := map[*bound]bool{}
	for _, b := range s.all {
		kept[b] = b.gate.address == "" // the service manager's, in place of what the file has
	}
	for _, e := range l.all() {
		if slices.ContainsFunc(s.all, func(b *bound) bool { return b.gate.endpoint == e.name && b.gate.address == "" }) {
			continue
		}
		missing := endpoint{name: e.name}
		for _, address := range e.addresses {
			i := slices.IndexFunc(s.all, func(b *bound) bool { return b.gate.endpoint == e.name && b.gate.address == address && !kept[b] })
			if i < 0 {
				missing.addresses = append(missing.addresses, address)
				continue
			}
			kept[s.all[i]] = true
		}
		if len(missing.addresses) > 0 {
			open = append(open, missing)
		}
	}
	for _, b := range s.all {
		if !kept[b] {
			dropped = append(dropped, b)
		}
	}
	return open, dropped
}

// gates are those of the listeners that are served now.
func (s *servedListeners) gates() (all []gate) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, b := range s.all {
		all = append(all, b.gate)
	}
	return all
}
