package directory

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"sync"
	"time"

	"mailstead/mailbox"
)

// Sending is an amount of mail that leaves: what an account may send in sendingDay, or has sent.
type Sending struct {
	Messages   int `json:"messages,omitempty"`
	Recipients int `json:"recipients,omitempty"`
	Strangers  int `json:"strangers,omitempty"` // recipients the account had never written to
}

// Unlimited is a limit of a Sending that is none.
const Unlimited = -1

// DefaultSending is what an account may send where nothing else was said: more than a person writes, much less than
// somebody sends who has stolen the password.
var DefaultSending = Sending{Messages: 1000, Recipients: 2000, Strangers: 300}

// sendingDay is the time in which an account may send as much as its limits say. What is sent is forgotten evenly, so
// that whoever reached a limit can go on a little soon.
const sendingDay = 24 * time.Hour

// OverSending says that an account has reached a limit of what it may send.
type OverSending struct {
	What  string        // messages, recipients or strangers
	Limit int           // of a day
	Wait  time.Duration // until what was asked for will be within it; 0 = it never will
	Tell  bool          // its owner was not told within a day, and is to be told now
}

// Error says which limit it is.
func (e *OverSending) Error() string {
	return fmt.Sprintf("directory: limit of %d %s a day", e.Limit, e.What)
}

// sentKey is where what an account sent is kept; behind it is the account's id.
const sentKey = "sent/"

func sentPath(id mailbox.AccountID) string { return sentKey + strconv.FormatUint(uint64(id), 10) }

// sent is what an account has sent, as it is kept: amounts that become less by the time.
type sent struct {
	At         time.Time `json:"at"`
	Messages   float64   `json:"messages"`
	Recipients float64   `json:"recipients"`
	Strangers  float64   `json:"strangers"`
	Told       time.Time `json:"told,omitzero"` // when the owner heard of a limit
}

// sendings is what all accounts have sent.
type sendings struct {
	mu   sync.Mutex
	sent map[mailbox.AccountID]sent
}

// read takes over what was kept of an account.
func (s *sendings) read(id string, value []byte) error {
	n, err := strconv.ParseUint(id, 10, 64)
	if err != nil {
		return err
	}
	var v sent
	if err := json.Unmarshal(value, &v); err != nil {
		return err
	}
	s.sent[mailbox.AccountID(n)] = v
	return nil
}

// age takes off what is forgotten by now. A clock that was set back forgets nothing.
func (s sent) age(limit Sending, now time.Time) sent {
	part := max(0, now.Sub(s.At).Seconds()/sendingDay.Seconds())
	less := func(amount float64, limit, usual int) float64 {
		if limit == Unlimited {
			limit = usual
		}
		return max(0, amount-part*float64(limit))
	}
	s.Messages = less(s.Messages, limit.Messages, DefaultSending.Messages)
	s.Recipients = less(s.Recipients, limit.Recipients, DefaultSending.Recipients)
	s.Strangers = less(s.Strangers, limit.Strangers, DefaultSending.Strangers)
	s.At = now.UTC()
	return s
}

// over is the limit that n more would be beyond; nil for none.
func (s sent) over(limit, n Sending) *OverSending {
	for _, l := range []struct {
		what     string
		amount   float64
		n, limit int
	}{
		{"messages", s.Messages, n.Messages, limit.Messages},
		{"recipients", s.Recipients, n.Recipients, limit.Recipients},
		{"strangers", s.Strangers, n.Strangers, limit.Strangers},
	} {
		excess := l.amount + float64(l.n-l.limit)
		if l.limit == Unlimited || l.n == 0 || excess <= 0 {
			continue
		}
		o := &OverSending{What: l.what, Limit: l.limit}
		if l.n <= l.limit {
			o.Wait = time.Duration(excess / float64(l.limit) * float64(sendingDay))
		}
		return o
	}
	return nil
}

// CheckSending says whether an account may send n more now: nil, or *OverSending.
func (d *Directory) CheckSending(ctx context.Context, id mailbox.AccountID, n Sending) error {
	limit := d.sendingOf(id)
	d.sendings.mu.Lock()
	s, o := d.sendings.check(id, limit, n, d.now())
	d.sendings.mu.Unlock()
	switch {
	case o == nil:
		return nil
	case o.Tell:
		if err := d.store.Change(ctx, put(sentPath(id), s)); err != nil {
			return fmt.Errorf("keep what account %d has sent: %w", id, err)
		}
	}
	return o
}

// check also notes that the owner is being told, where that is so.
func (s *sendings) check(id mailbox.AccountID, limit, n Sending, now time.Time) (sent, *OverSending) {
	had := s.sent[id].age(limit, now)
	o := had.over(limit, n)
	if o != nil && now.Sub(had.Told) >= sendingDay {
		o.Tell, had.Told = true, now.UTC()
		s.sent[id] = had
	}
	return had, o
}

// CountSending counts what an account sends, and returns the change that keeps it, to be made with the record that
// stores the message; or *OverSending, and nothing is counted. Unsend takes back what was not stored then.
func (d *Directory) CountSending(id mailbox.AccountID, n Sending) (mailbox.RoomChange, error) {
	limit := d.sendingOf(id)
	d.sendings.mu.Lock()
	defer d.sendings.mu.Unlock()
	if _, o := d.sendings.check(id, limit, n, d.now()); o != nil {
		return mailbox.RoomChange{}, o
	}
	return put(sentPath(id), d.sendings.add(id, limit, n, d.now())), nil
}

// Unsend takes back what was counted for a message that was not stored.
func (d *Directory) Unsend(id mailbox.AccountID, n Sending) {
	limit := d.sendingOf(id)
	d.sendings.mu.Lock()
	defer d.sendings.mu.Unlock()
	d.sendings.add(id, limit, Sending{-n.Messages, -n.Recipients, -n.Strangers}, d.now())
}

func (s *sendings) add(id mailbox.AccountID, limit, n Sending, now time.Time) sent {
	v := s.sent[id].age(limit, now)
	v.Messages = max(0, v.Messages+float64(n.Messages))
	v.Recipients = max(0, v.Recipients+float64(n.Recipients))
	v.Strangers = max(0, v.Strangers+float64(n.Strangers))
	s.sent[id] = v
	return v
}

// sendingOf is what an account may send.
func (d *Directory) sendingOf(id mailbox.AccountID) Sending {
	d.mu.RLock()
	defer d.mu.RUnlock()
	var own Sending
	if a := d.names.accounts[id]; a != nil {
		own = a.Sending
	}
	return own.or(d.sending)
}

// or fills what is not said from the usual limits.
func (s Sending) or(usual Sending) Sending {
	for _, l := range []struct{ own, usual *int }{
		{&s.Messages, &usual.Messages}, {&s.Recipients, &usual.Recipients}, {&s.Strangers, &usual.Strangers},
	} {
		if *l.own == 0 {
			*l.own = *l.usual
		}
	}
	return s
}

// EditSending changes the limits of an account's own: 0 is the usual limit, Unlimited is none. It takes effect at once.
// ErrNoSuch.
func (d *Directory) EditSending(ctx context.Context, account string, change func(own *Sending)) error {
	return d.edit(ctx, account, func(a *accountRecord) error {
		change(&a.Sending)
		return nil
	})
}

// Sending gives what an account may send in a day, and how much of it is used. ErrNoSuch.
func (d *Directory) Sending(account string) (limit, used Sending, err error) {
	a, err := d.find(account)
	if err != nil {
		return Sending{}, Sending{}, err
	}
	limit = d.sendingOf(a.ID)
	d.sendings.mu.Lock()
	defer d.sendings.mu.Unlock()
	s := d.sendings.sent[a.ID].age(limit, d.now())
	return limit, Sending{round(s.Messages), round(s.Recipients), round(s.Strangers)}, nil
}

func round(f float64) int { return int(f + 0.5) }
