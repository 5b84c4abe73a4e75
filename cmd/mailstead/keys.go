package main

import (
	"cmp"
	"context"
	"io"
	"slices"
	"time"

	"mailstead/mailbox"
	"mailstead/smtp/dns"
	"mailstead/smtp/keyring"
	"mailstead/smtp/queue"
)

// openKeys opens the keys for DKIM. Without a queue nobody knows what is on its way, so no old key goes.
func (s *server) openKeys(store *mailbox.Store) (err error) {
	o := keyring.Options{Times: s.settings.keyTimes, Waits: s.waitsSince, Logger: s.log}
	o.Times.Flight = cmp.Or(o.Times.Flight, queue.Lifetime)
	if len(s.settings.Resolvers) > 0 {
		o.Lookup = s.lookUpNow
	}
	s.keys, err = keyring.Open(store, o)
	return err
}

// lookUpNow gives the TXT records of a name, by a resolver that remembers nothing: what is missing now is there a
// minute later.
func (s *server) lookUpNow(ctx context.Context, name string) ([]string, error) {
	r, err := dns.New(dns.Options{Servers: s.settings.Resolvers})
	if err != nil {
		return nil, err
	}
	a, err := r.LookupTXT(ctx, name)
	return a.Records, err
}

// waitsSince reports whether the queue has a message that came before a time.
func (s *server) waitsSince(before time.Time) (bool, error) {
	list, err := s.queue.List()
	return slices.ContainsFunc(list, func(i queue.Info) bool { return i.Received.Before(before) }), err
}

// signNotice signs a notice of a host, as queue.Options.Sign wants it.
func (s *server) signNotice(start []byte, rest func(io.Writer) error) ([]byte, error) {
	return s.keys.Sign(s.settings.Hostname, start, rest)
}
