package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"strings"
	"time"

	"mailstead/mailbox"
	"mailstead/mailbox/junk"
	"mailstead/mailbox/junk/training"
	"mailstead/smtp"
	"mailstead/smtp/mailauth"
)

// filter asks the trainer what letters say.
type filter struct {
	trainer *training.Trainer
	heads   chan []byte // buffers
	log     *slog.Logger
}

// maxHeads bounds the letters whose beginnings are in memory at once for the filter; more wait.
const maxHeads = 2

func newFilter(t *training.Trainer, log *slog.Logger) *filter {
	f := &filter{trainer: t, heads: make(chan []byte, maxHeads), log: log}
	for range maxHeads {
		f.heads <- nil
	}
	return f
}

// Reads is that of smtp.Filter.
func (f *filter) Reads(accounts []mailbox.AccountID) bool { return f.trainer.Reads(accounts) }

// Assess is that of smtp.Filter.
func (f *filter) Assess(ctx context.Context, l smtp.Letter, accounts []mailbox.AccountID) []smtp.Opinion {
	var head []byte
	select {
	case head = <-f.heads:
	case <-ctx.Done():
		return nil
	}
	defer func() { f.heads <- head }()
	if head == nil {
		head = make([]byte, training.MaxHead)
	}
	n, err := l.Raw.ReadAt(head[:min(l.Size, training.MaxHead)], 0)
	if err == io.EOF {
		err = nil
	}
	var thought []training.Opinion
	if err == nil {
		thought, err = f.trainer.Judge(head[:n], factsOf(l.Facts), accounts)
	}
	if err != nil {
		f.log.Warn("the junk filter could not read a letter; it is judged by the rest", "err", err)
		return nil
	}
	opinions := make([]smtp.Opinion, len(thought))
	for i, o := range thought {
		opinions[i] = smtp.Opinion{Known: o.Known, Score: o.Score, Words: wordsOf(o.Signals)}
	}
	return opinions
}

// factsOf are the facts that the filter learns from, too.
func factsOf(f *mailauth.Facts) junk.Facts {
	facts := junk.Facts{
		SPF: junk.Result(f.SPF.Result), DKIM: junk.Result(f.DKIM), DMARC: junk.Result(f.DMARC.Result), ARC: junk.Result(f.ARC), IPRev: junk.Result(f.IPRev),
		Client: f.Client,
	}
	if f.DMARC.Result == mailauth.Pass {
		facts.Domain = strings.ToLower(f.DMARC.Author)
	}
	if !f.Client.IsValid() {
		facts.Client = netip.Addr{}
	}
	return facts
}

// wordsOf are the signals that speak for junk.
func wordsOf(signals []junk.Signal) (words []string) {
	for _, s := range signals {
		if s.Weight > 0 {
			words = append(words, fmt.Sprintf("%s (%+.1f)", s.Words, s.Weight))
		}
	}
	return words
}

// rejectsEvery is how often mail that was refused is looked through for what is old.
const rejectsEvery = time.Hour

// sweepRejected removes old copies of refused mail until ctx ends.
func (s *server) sweepRejected(ctx context.Context) {
	tick := time.NewTicker(rejectsEvery)
	defer tick.Stop()
	for {
		for _, a := range s.directory.Accounts() {
			if err := s.here.SweepRejected(ctx, a.ID); err != nil && ctx.Err() == nil {
				s.log.Warn("old copies of refused mail stay for now", "account", a.Name, "err", err)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// accountJunkCommand is `mailstead account junk`.
type accountJunkCommand struct {
	place
	format
	Address string `arg:"" help:"An address of the account."`
	Reset   bool   `help:"Forget what the account has taught the filter, and whom it knows."`
}

func (c accountJunkCommand) Run(ctx context.Context, std streams, log *slog.Logger) error {
	row, err := call[junkInfo](ctx, c.place, log, "account junk", junkParams{c.Address, c.Reset})
	if err != nil {
		return err
	}
	heads := []string{"ACCOUNT", "JUNK", "GOOD", "SERVER JUNK", "SERVER GOOD", "CORRESPONDENTS"}
	return print(std.out, c.format, []junkInfo{row}, heads, func(j junkInfo) []any {
		return []any{j.Account, j.Junk, j.Good, j.ServerJunk, j.ServerGood, j.Correspondents}
	})
}

type junkParams struct {
	Account string `json:"account"`
	Reset   bool   `json:"reset,omitempty"`
}

// junkInfo is what the filter has learned: letters of junk and of good mail from the account and from all, and whom the account knows.
type junkInfo struct {
	Account        string `json:"account"`
	Junk           int    `json:"junk"`
	Good           int    `json:"good"`
	ServerJunk     int    `json:"server_junk"`
	ServerGood     int    `json:"server_good"`
	Correspondents int    `json:"correspondents"`
}

func (a *admin) accountJunk(ctx context.Context, p junkParams) (junkInfo, error) {
	e, err := a.directory.Account(p.Account)
	if err != nil {
		return junkInfo{}, err
	}
	t, err := a.filter()
	if err != nil {
		return junkInfo{}, err
	}
	if p.Reset {
		if err := t.Forget(ctx, e.ID); err != nil {
			return junkInfo{}, err
		}
	}
	s, err := t.Summary(e.ID)
	return junkInfo{e.Name, s.Junk, s.Good, s.ServerJunk, s.ServerGood, s.Correspondents}, err
}

// filter is the running server's, or one of its own.
func (a *admin) filter() (*training.Trainer, error) {
	if a.trainer == nil {
		t, err := training.Open(training.Options{Store: a.store})
		if err != nil {
			return nil, err
		}
		a.trainer = t
	}
	return a.trainer, nil
}
