package transfer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"

	goimap "github.com/emersion/go-imap/v2"

	"mailstead/mailbox"
)

// Account is the source of what an account of the store holds.
type Account struct {
	Store *mailbox.Store
	ID    mailbox.AccountID
	// Only names the mailboxes to be sent, each with those below it; none = all.
	Only []string
}

// rowsAtOnce is how many messages are looked up together.
const rowsAtOnce = 256

// Send sends all mailboxes, and then their messages in the order of UIDs. A message
// that is expunged meanwhile is left out. ErrNoAccount, ErrNoMailbox.
func (a *Account) Send(ctx context.Context, to Sink) error {
	list, err := a.mailboxes()
	if err != nil {
		return err
	}
	for _, m := range list {
		if err := to.Folder(ctx, Folder{Name: m.Name, Subscribed: m.Subscribed, Use: m.SpecialUse}); err != nil {
			return err
		}
	}
	for _, m := range list {
		if err := a.sendMailbox(ctx, to, m.Name); err != nil {
			return fmt.Errorf("mailbox %s: %w", m.Name, err)
		}
	}
	return nil
}

// mailboxes lists what is to be sent.
func (a *Account) mailboxes() ([]mailbox.Info, error) {
	all, err := a.Store.Mailboxes(a.ID)
	if err != nil || len(a.Only) == 0 {
		return all, err
	}
	for _, name := range a.Only {
		if _, err := a.Store.Mailbox(a.ID, name); err != nil {
			return nil, fmt.Errorf("mailbox %s: %w", name, err)
		}
	}
	return slices.DeleteFunc(all, func(m mailbox.Info) bool {
		return !slices.ContainsFunc(a.Only, func(name string) bool { return isOrBelow(m.Name, name) })
	}), nil
}

// isOrBelow says whether name is folder or one of those below it; INBOX is so in any case.
func isOrBelow(name, folder string) bool {
	if strings.EqualFold(folder, inbox) {
		folder = inbox
	}
	rest, ok := strings.CutPrefix(name, folder)
	return ok && (rest == "" || rest[0] == '/')
}

func (a *Account) sendMailbox(ctx context.Context, to Sink, name string) error {
	m, err := a.Store.OpenMailbox(ctx, a.ID, name)
	if errors.Is(err, mailbox.ErrNoMailbox) {
		return nil // deleted meanwhile
	}
	if err != nil {
		return err
	}
	defer m.Close()
	s := sending{store: a.Store, box: m, to: to, name: name, view: m.View(false), flags: map[mailbox.FlagSet][]goimap.Flag{}}
	if s.info, err = m.Info(); err != nil {
		return nil // the same
	}
	for seq := uint32(1); seq <= s.view.Len(); seq += rowsAtOnce {
		if err := s.rows(ctx, seq, seq+rowsAtOnce-1); err != nil {
			return err
		}
	}
	return nil
}

// sending is one mailbox being sent.
type sending struct {
	store  *mailbox.Store
	box    *mailbox.Mailbox
	info   mailbox.Info
	to     Sink
	name   string
	view   *mailbox.View
	list   []mailbox.Row
	msgs   []mailbox.Message
	bodies mailbox.Bodies
	buf    []byte
	flags  map[mailbox.FlagSet][]goimap.Flag
}

func (s *sending) rows(ctx context.Context, from, to uint32) error {
	s.list = s.view.Rows(s.list[:0], from, to)
	s.msgs = s.msgs[:0]
	for i := range s.list {
		s.msgs = append(s.msgs, s.list[i].Message)
	}
	if err := s.store.LocateBodies(s.msgs, &s.bodies); err != nil {
		return err
	}
	if s.buf == nil {
		s.buf = make([]byte, copyBuffer)
	}
	for i := range s.msgs {
		if err := s.message(ctx, i); err != nil {
			return err
		}
	}
	return nil
}

func (s *sending) message(ctx context.Context, i int) error {
	m := &s.msgs[i]
	origin := fmt.Sprintf("%s, UID %d", s.name, m.UID)
	body, err := s.bodies.Open(i, s.buf)
	if errors.Is(err, mailbox.ErrGone) {
		return nil
	}
	if err != nil {
		return s.to.Problem(Problem{Origin: origin, Text: err.Error()})
	}
	defer body.Close()
	return send(ctx, s.to, &Message{
		Folders: []string{s.name}, Flags: s.namesOf(m.Flags), Date: m.Internal.Time(), Origin: origin,
		Name: fmt.Sprintf("V%dU%010d", s.info.UIDValidity, m.UID),
		Body: io.NewSectionReader(body, 0, math.MaxInt64),
	})
}

// namesOf spells a set of flags out.
func (s *sending) namesOf(f mailbox.FlagSet) []goimap.Flag {
	if list, ok := s.flags[f]; ok {
		return list
	}
	var list []goimap.Flag
	for bit, flag := range systemFlags {
		if f.Has(bit) {
			list = append(list, flag)
		}
	}
	for k, keyword := range s.box.Keywords() {
		if f.Has(mailbox.KeywordBit + k) {
			list = append(list, goimap.Flag(keyword))
		}
	}
	s.flags[f] = list
	return list
}

// systemFlags are those a message can have, by their bit.
var systemFlags = [...]goimap.Flag{
	mailbox.FlagSeen:     goimap.FlagSeen,
	mailbox.FlagAnswered: goimap.FlagAnswered,
	mailbox.FlagFlagged:  goimap.FlagFlagged,
	mailbox.FlagDeleted:  goimap.FlagDeleted,
	mailbox.FlagDraft:    goimap.FlagDraft,
}
