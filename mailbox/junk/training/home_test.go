package training

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"

	goimap "github.com/emersion/go-imap/v2"

	"mailstead/mailbox"
	"mailstead/mailbox/junk"
	"mailstead/mailbox/mailboxtest"
)

// home is a store with one account and its filter, which learns when a test says so.
type home struct {
	t       *testing.T
	store   *mailbox.Store
	trainer *Trainer
	account mailbox.AccountID
	now     time.Time
	often   bool // the filter follows each step
}

func newHome(t *testing.T) *home {
	h := &home{t: t, store: mailboxtest.NewStore(t), now: time.Unix(1.8e9, 0)}
	h.account = h.newAccount()
	h.open()
	return h
}

func (h *home) newAccount() mailbox.AccountID {
	h.t.Helper()
	a, err := h.store.CreateAccount(h.t.Context(), nil)
	h.must(err)
	return a
}

func (h *home) must(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

// open starts the filter anew, as after a crash: what was not written is gone.
func (h *home) open() {
	h.t.Helper()
	var err error
	h.trainer, err = Open(Options{Store: h.store, Now: func() time.Time { return h.now }, Logger: slog.New(slog.DiscardHandler)})
	h.must(err)
}

// learn has the filter follow what was done.
func (h *home) learn() {
	h.t.Helper()
	h.must(h.trainer.follow(h.t.Context()))
}

// put delivers a letter, or uploads it, which is the same to the store.
func (h *home) put(name, raw string, flags ...goimap.Flag) goimap.UID {
	h.t.Helper()
	b := h.store.NewBody()
	defer b.Abort()
	_, err := io.WriteString(b, strings.ReplaceAll(raw, "\n", "\r\n"))
	h.must(err)
	placed, err := h.store.Deliver(h.t.Context(), b, []mailbox.Target{{Account: h.account, Name: name, Flags: flags}}, nil)
	h.must(err)
	h.must(placed[0].Err)
	return placed[0].UID
}

// upload appends several letters by one command.
func (h *home) upload(name string, letters ...string) {
	h.t.Helper()
	p := h.store.StartAppending(h.account, name)
	for _, raw := range letters {
		b := h.store.NewBody()
		_, err := io.WriteString(b, strings.ReplaceAll(raw, "\n", "\r\n"))
		h.must(err)
		h.must(p.Add(h.t.Context(), b, nil, time.Time{}))
	}
	_, err := p.Commit(h.t.Context(), nil, 0)
	h.must(err)
}

func (h *home) in(name string, f func(*mailbox.Mailbox) error) {
	h.t.Helper()
	box, err := h.store.OpenMailbox(h.t.Context(), h.account, name)
	h.must(err)
	defer box.Close()
	h.must(f(box))
	if h.often {
		h.learn()
	}
}

func (h *home) move(from string, uid goimap.UID, to string) goimap.UID {
	h.t.Helper()
	return h.transfer((*mailbox.Mailbox).Move, from, uid, to)
}

func (h *home) copy(from string, uid goimap.UID, to string) goimap.UID {
	h.t.Helper()
	return h.transfer((*mailbox.Mailbox).Copy, from, uid, to)
}

// transfer returns the UID of the letter where it came to.
func (h *home) transfer(how func(*mailbox.Mailbox, context.Context, []goimap.UID, string) (mailbox.Copied, error), from string, uid goimap.UID, to string) (came goimap.UID) {
	h.t.Helper()
	h.in(from, func(m *mailbox.Mailbox) error {
		c, err := how(m, h.t.Context(), []goimap.UID{uid}, to)
		if err == nil {
			came = c.Dest[0]
		}
		return err
	})
	return came
}

func (h *home) flag(name string, uid goimap.UID, op mailbox.FlagOp, flags ...goimap.Flag) {
	h.t.Helper()
	h.in(name, func(m *mailbox.Mailbox) error {
		_, err := m.Store(h.t.Context(), mailbox.StoreChange{UIDs: []goimap.UID{uid}, Op: op, Flags: flags})
		return err
	})
}

func (h *home) expunge(name string, uid goimap.UID) {
	h.t.Helper()
	h.in(name, func(m *mailbox.Mailbox) error {
		_, err := m.Expunge(h.t.Context(), []goimap.UID{uid}, false)
		return err
	})
}

// taught is how many letters of junk and of good mail the account's model counts.
func (h *home) taught() [2]int {
	h.t.Helper()
	s, err := h.trainer.Summary(h.account)
	h.must(err)
	return [2]int{s.Junk, s.Good}
}

func (h *home) score(raw string) float64 {
	h.t.Helper()
	o, err := h.trainer.Judge([]byte(strings.ReplaceAll(raw, "\n", "\r\n")), junk.Facts{}, []mailbox.AccountID{h.account})
	h.must(err)
	return o[0].Score
}

// octets are the account's model and the server's.
func (h *home) octets() string {
	h.t.Helper()
	m, err := h.trainer.models.of(h.account)
	h.must(err)
	var all []byte
	for _, m := range []*junk.Model{m, h.trainer.models.server} {
		if m == nil {
			continue
		}
		for part := range m.Parts() {
			all = m.AppendPart(all, part)
		}
	}
	return string(all)
}

// offer is junk, news is not.
func offer(n int) string {
	return fmt.Sprintf("From: Bargains <sales%d@bargain.example>\nTo: owner@home.example\nSubject: Replica watches number %d\nMessage-ID: <%d@bargain.example>\n"+
		"Date: Mon, 3 Aug 2026 10:00:00 +0200\n\nExclusive replica watches with free shipping, our luxury bargain of the week.\nhttp://shop.bargain.example/%d\n", n%3, n, n, n)
}

func news(n int) string {
	return fmt.Sprintf("From: Ada <ada@village.example>\nTo: owner@home.example\nSubject: Choir rehearsal %d\nMessage-ID: <%d@village.example>\n"+
		"Date: Mon, 3 Aug 2026 10:00:00 +0200\n\nThe rehearsal on Thursday begins at seven, bring the violin and the minutes of meeting %d please.\n", n, n, n)
}
