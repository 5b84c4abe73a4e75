package mailbox

import (
	"context"
	"errors"
	"fmt"
)

// Quota is what an account may hold at most, in the terms of RFC 9208 section 5.
// A field that is 0 sets no limit.
type Quota struct {
	Storage  int64 // octets, each mailbox's copy counted
	Messages int64
}

// errNegativeQuota says that a limit is below 0.
var errNegativeQuota = errors.New("mailbox: a quota cannot be negative")

// admit says whether an account that holds used may get more. What it holds
// above its quota (which may have been lowered) is nobody's business until then.
func (q Quota) admit(used, more Usage) error {
	switch {
	case q.Storage > 0 && used.Size+more.Size > q.Storage:
		return fmt.Errorf("%w: %d and %d more octets of %d", ErrOverQuota, used.Size, more.Size, q.Storage)
	case q.Messages > 0 && used.Messages+more.Messages > q.Messages:
		return fmt.Errorf("%w: %d and %d more messages of %d", ErrOverQuota, used.Messages, more.Messages, q.Messages)
	}
	return nil
}

func (u *Usage) add(more Usage) {
	u.Messages += more.Messages
	u.Size += more.Size
}

// usage is what the mailbox counts with in its account.
func (h *header) usage() Usage {
	if h.gone {
		return Usage{}
	}
	return Usage{Messages: int64(h.messages), Size: h.size}
}

// growth is what a mailbox that is going from before to after adds to its account's usage.
func growth(before, after *header) Usage {
	had, has := before.usage(), after.usage()
	return Usage{Messages: has.Messages - had.Messages, Size: has.Size - had.Size}
}

// fits says whether account a may get more, with everything numbered and what
// this record has decided so far. ErrOverQuota.
func (d *decision) fits(a AccountID, more Usage) error {
	acc := d.s.pending.accounts[a]
	if acc == nil || acc.quota == (Quota{}) {
		return nil
	}
	used := acc.usage
	for _, c := range d.changes {
		if c.box.account == a {
			used.add(growth(&c.box.pending, &c.after))
		}
	}
	return acc.quota.admit(used, more)
}

// SetQuota sets the limits of an account, which may hold more already: then
// nothing comes in until enough is deleted. They are enforced for deliveries
// and copies, of each against all that was acknowledged or decided before it,
// and never for flags, deletions and moves. ErrNoAccount.
func (s *Store) SetQuota(ctx context.Context, a AccountID, q Quota) error {
	if q.Storage < 0 || q.Messages < 0 {
		return errNegativeQuota
	}
	return s.write(ctx, urgent, baseNeed, nil, func(d *decision) error {
		acc := s.pending.accounts[a]
		if acc == nil {
			return ErrNoAccount
		}
		if acc.quota != q {
			d.ops = append(d.ops, opLimits{Account: a, Quota: q})
		}
		return nil
	})
}

// Quota returns the limits of account a. ErrNoAccount.
func (s *Store) Quota(a AccountID) (Quota, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	acc := s.durable.accounts[a]
	if acc == nil {
		return Quota{}, ErrNoAccount
	}
	return acc.quota, nil
}

// Usage returns what account a holds; mail that can only be restored does not
// count. ErrNoAccount.
func (s *Store) Usage(a AccountID) (Usage, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	acc := s.durable.accounts[a]
	if acc == nil {
		return Usage{}, ErrNoAccount
	}
	return acc.usage, nil
}

// DeletedSize is the sum of the sizes of the messages with \Deleted, in octets
// (RFC 9208 section 4.1.4). It looks at every message.
func (m *Mailbox) DeletedSize() (size int64) {
	m.box.mu.RLock()
	defer m.box.mu.RUnlock()
	if m.box.durable.gone {
		return 0
	}
	list := m.box.messages
	for i, set := range list.sets {
		if list.flags.sets[set].Has(FlagDeleted) {
			size += int64(list.size[i])
		}
	}
	return size
}

// HasQuota says whether account a may get a message of n octets now; 0 when its
// size is not known. It is a cheap question, for refusing a message before it
// is sent; nothing is promised. ErrNoAccount, ErrOverQuota.
func (s *Store) HasQuota(a AccountID, n int64) error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	acc := s.durable.accounts[a]
	if acc == nil {
		return ErrNoAccount
	}
	return acc.quota.admit(acc.usage, Usage{Messages: 1, Size: max(n, 1)})
}
