package imap

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"testing"

	"mailstead/imap/wire"
	"mailstead/mailbox"
)

// directSession is a session without a connection: a test hands it commands and gets
// what it would have written.
type directSession struct {
	*session
	commands strings.Reader
	out      bytes.Buffer
	drop     bool  // answers are counted only
	written  int64 // octets
	largest  int   // write, in octets
}

// newDirectSession returns a session of the account with INBOX selected.
func newDirectSession(t testing.TB, store *mailbox.Store, account mailbox.AccountID) *directSession {
	t.Helper()
	o := Options{Store: store}.orDefault()
	s := &directSession{session: &session{options: &o, log: o.Logger, ctx: context.Background(), state: stateLoggedIn}}
	s.account.ID = account
	s.enc = wire.NewEncoder(s)
	s.dec = wire.NewDecoder(&s.commands, wire.Limits{}, wire.Hooks{})
	s.say(t, "SELECT INBOX")
	t.Cleanup(s.deselect)
	return s
}

// Write takes what the session writes.
func (s *directSession) Write(p []byte) (int, error) {
	s.written += int64(len(p))
	s.largest = max(s.largest, len(p))
	if s.drop {
		return len(p), nil
	}
	return s.out.Write(p)
}

// run runs a command and returns its untagged responses, valid until the next command.
func (s *directSession) run(t testing.TB, command string) ([]byte, reply, error) {
	t.Helper()
	return s.runAfter(t, command, nil)
}

// runAfter is run; between, which may be nil, happens when the session has looked whether
// the command may be said.
func (s *directSession) runAfter(t testing.TB, command string, between func()) ([]byte, reply, error) {
	t.Helper()
	s.out.Reset()
	s.commands.Reset("a " + command + "\r\n")
	if err := s.dec.Next(); err != nil {
		t.Fatal(err)
	}
	r := parseCommand(s.dec)
	if between != nil {
		late, run := *r.command, r.command.run
		late.run = func(s *session, r *request) (reply, error) {
			between()
			return run(s, r)
		}
		r.command = &late
	}
	rep, err := s.runCommand(r)
	if err := s.enc.Flush(); err != nil {
		t.Fatal(err)
	}
	return s.out.Bytes(), rep, err
}

// say runs a command that has to succeed.
func (s *directSession) say(t testing.TB, command string) []byte {
	t.Helper()
	out, _, err := s.run(t, command)
	if err != nil {
		t.Fatalf("%s: %v", command, err)
	}
	return out
}

// directStore opens a store in dir with one account. It is not checked at the end:
// tests damage it.
func directStore(t testing.TB, dir string, segment int64) (*mailbox.Store, mailbox.AccountID) {
	t.Helper()
	store, err := mailbox.Open(dir, mailbox.Options{SegmentSize: segment, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	account, err := store.CreateAccount(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	return store, account
}

// deliver puts a message into INBOX.
func deliver(t testing.TB, store *mailbox.Store, account mailbox.AccountID, message []byte, target mailbox.Target) {
	t.Helper()
	body := store.NewBody()
	defer body.Abort()
	if _, err := body.Write(message); err != nil {
		t.Error(err)
		return
	}
	target.Account, target.Name = account, "INBOX"
	placed, err := store.Deliver(t.Context(), body, []mailbox.Target{target}, nil)
	if err != nil || placed[0].Err != nil {
		t.Error(err, placed)
	}
}

// contextOf gives the session a context that can be cancelled.
func contextOf(s *directSession) (context.Context, context.CancelFunc) {
	var cancel context.CancelFunc
	s.ctx, cancel = context.WithCancel(s.ctx)
	return s.ctx, cancel
}
