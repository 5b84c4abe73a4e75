package mailbox

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
)

// deletedMail is what the sessions of a stage have deleted otherwise than
// message by message, and what they have restored.
type deletedMail struct {
	mu       sync.Mutex
	letters  map[AccountID][]string // of mailboxes that were deleted, and some of them restored
	left     map[AccountID][]string // of whole accounts, of which the same is true
	restored map[AccountID]int      // messages in "Restored"
}

func newDeletedMail() *deletedMail {
	return &deletedMail{letters: make(map[AccountID][]string), left: make(map[AccountID][]string), restored: make(map[AccountID]int)}
}

// clone is what was answered until now; nil of nil.
func (d *deletedMail) clone() *deletedMail {
	if d == nil {
		return nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	c := &deletedMail{letters: maps.Clone(d.letters), left: maps.Clone(d.left), restored: maps.Clone(d.restored)}
	return c
}

// note keeps a letter that was answered.
func (d *deletedMail) note(to map[AccountID][]string, a AccountID, text string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	to[a] = append(slices.Clip(to[a]), text) // clones share what was there
}

// restore restores single messages, now and then all that there are. The
// account at the edge of its quota has none restored: that goes over it.
func (m *stage) restore(account int) error {
	d, a := m.deleted, m.accounts[account]
	if d == nil || account == 1 {
		return nil
	}
	r, err := m.s.RestoreMessages(m.t.Context(), a, DeletedFilter{})
	d.mu.Lock()
	defer d.mu.Unlock()
	d.restored[a] += r.Messages // of an error, too: what it has restored stays
	return err
}

// fillAndDelete makes a mailbox with some letters and deletes it. Every second
// one is restored: what is not in it then, another session has restored
// message by message.
func (m *stage) fillAndDelete(r *rand.Rand, account int) error {
	d, a := m.deleted, m.accounts[account]
	if d == nil || account == 1 {
		return nil
	}
	m.mu.Lock()
	m.letters++
	name := fmt.Sprint("Own ", m.letters)
	m.mu.Unlock()
	if _, err := m.s.Create(m.t.Context(), a, name, ""); err != nil {
		return err
	}
	for range 1 + r.IntN(4) {
		text, _, err := m.deliverTo(r, a, name)
		if err != nil {
			return err
		}
		d.note(d.letters, a, text)
	}
	if err := m.s.Delete(m.t.Context(), a, name); err != nil || r.IntN(2) == 0 {
		return err
	}
	back, err := m.s.RestoreMailbox(m.t.Context(), a, name)
	if err == nil && back.Mailbox != name {
		err = fmt.Errorf("%s was restored as %s", name, back.Mailbox)
	}
	return err
}

// leave makes accounts with mail, deletes them, and restores every second one.
func (m *stage) leave(r *rand.Rand) {
	for range 4 {
		if err := m.leaveOnce(r); err != nil {
			m.t.Errorf("the one who leaves: %v", err)
		}
	}
}

func (m *stage) leaveOnce(r *rand.Rand) error {
	a, err := m.s.CreateAccount(m.t.Context(), nil)
	if err != nil {
		return err
	}
	for range 3 {
		text, _, err := m.deliverTo(r, a, modelBoxes[r.IntN(2)])
		if err != nil {
			return err
		}
		m.deleted.note(m.deleted.left, a, text)
	}
	if err := m.s.DeleteAccount(m.t.Context(), a); err != nil || r.IntN(2) == 0 {
		return err
	}
	_, err = m.s.RestoreAccount(m.t.Context(), a)
	return err
}

// lookAtRestored expects in "Restored" what was said to be restored, each
// letter once: after a crash, more may be there. m.ledger.mu is held.
func (m *stage) lookAtRestored(s *Store, when string, after *crashed) {
	d := m.deleted
	if after != nil {
		d = after.mail
	}
	if d == nil {
		return
	}
	for _, a := range m.accounts {
		texts, err := textsIn(m, s, a, restoredName)
		if err != nil {
			m.t.Errorf("%s: %v", when, err)
		}
		slices.Sort(texts)
		if n := len(slices.Compact(slices.Clone(texts))); n != len(texts) {
			m.t.Errorf("%s: %d letters were restored, %d of them once more", when, n, len(texts)-n)
		}
		if len(texts) < d.restored[a] || after == nil && len(texts) > d.restored[a] {
			m.t.Errorf("%s: %d messages are in %s, %d were said to be", when, len(texts), restoredName, d.restored[a])
		}
	}
}

// textsIn reads the letters of a mailbox that may not be there.
func textsIn(m *stage, s *Store, a AccountID, name string) (texts []string, err error) {
	box, err := s.OpenMailbox(m.t.Context(), a, name)
	if errors.Is(err, ErrNoMailbox) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer box.Close()
	for _, row := range rows(box) {
		got := text(m.t, s, row.Body)
		if !namesOne(got) {
			err = errors.Join(err, fmt.Errorf("%s has %.60q", name, got))
		}
		texts = append(texts, got)
	}
	return texts, err
}

// restoreAll restores everything, and expects every letter that was ever
// delivered: nothing that was deleted is lost before its time.
func (m *stage) restoreAll(s *Store, when string, after *crashed) {
	d := m.deleted
	if after != nil {
		d = after.mail
	}
	if d == nil {
		return
	}
	want := m.delivered(d, after)
	for a := range d.left {
		if _, err := s.RestoreAccount(m.t.Context(), a); err != nil && !errors.Is(err, ErrExists) {
			m.t.Errorf("%s: account %d: %v", when, a, err)
		}
	}
	for _, a := range m.accounts {
		if _, err := s.RestoreMessages(m.t.Context(), a, DeletedFilter{}); err != nil {
			m.t.Errorf("%s: account %d: %v", when, a, err)
		}
	}
	for a, letters := range want {
		have := make(map[string]bool)
		infos, err := s.Mailboxes(a)
		if err != nil {
			m.t.Errorf("%s: account %d: %v", when, a, err)
			continue
		}
		for _, info := range infos {
			if info.Name == "Counter" {
				continue
			}
			texts, err := textsIn(m, s, a, info.Name)
			if err != nil {
				m.t.Errorf("%s: account %d: %v", when, a, err)
			}
			for _, t := range texts {
				have[t] = true
			}
		}
		for _, l := range letters {
			if !have[l] {
				m.t.Errorf("%s: account %d: %.30q was deleted, and cannot be restored", when, a, l)
			}
		}
	}
}

// delivered are all letters whose delivery was answered, before the crash
// where there was one.
func (m *stage) delivered(d *deletedMail, after *crashed) map[AccountID][]string {
	d.mu.Lock()
	defer d.mu.Unlock()
	all := maps.Clone(d.letters)
	maps.Copy(all, d.left)
	m.ledger.mu.Lock()
	defer m.ledger.mu.Unlock()
	spots := slices.Collect(maps.Keys(m.ledger.made))
	if after != nil {
		spots = after.made
	}
	for _, at := range spots {
		if text := m.ledger.made[at]; text != "" {
			all[at.account] = append(slices.Clip(all[at.account]), text)
		}
	}
	return all
}
