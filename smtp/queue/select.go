package queue

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"mailstead/smtp/dns"
	"mailstead/smtp/journal"
)

// Selection says which entries are meant: those of IDs, or, without any, those that fit all that is set.
type Selection struct {
	IDs  []string `json:"ids,omitempty"`
	To   string   `json:"to,omitempty"`   // a domain, or a recipient's address
	From string   `json:"from,omitempty"` // a domain, or an address; "<>" is the null reverse-path
	Held bool     `json:"held,omitempty"` // only those that are held
}

// fits reports whether a selection without IDs means an entry.
func (s *Selection) fits(e *entry) bool {
	return (!s.Held || e.Held) && s.fitsTo(e) && (s.From == "" || s.From == "<>" && e.From == "" || isFrom(s.From, e.From))
}

func (s *Selection) fitsTo(e *entry) bool {
	if s.To == "" {
		return true
	}
	if strings.LastIndexByte(s.To, '@') <= 0 {
		return e.Destination != "" && destinationOf("@"+strings.TrimPrefix(s.To, "@")) == e.Destination
	}
	return slices.ContainsFunc(e.Recipients, func(r recipient) bool { return strings.EqualFold(r.Address, s.To) })
}

// isFrom reports whether an address is the one that is wanted, or of that domain.
func isFrom(wanted, address string) bool {
	if strings.LastIndexByte(wanted, '@') > 0 {
		return strings.EqualFold(wanted, address)
	}
	domain, err := dns.ASCII(strings.TrimPrefix(wanted, "@"))
	return err == nil && address != "" && destinationOf(address) == domain
}

// Select returns the entries on disk that are meant, the oldest first. ErrNoSuch for an ID that is none; another error says that
// not all could be read.
func (q *Queue) Select(s Selection) (list []Info, err error) {
	err = q.each(s, func(id entryID, e *entry) { list = append(list, q.info(id, e)) })
	if err != nil {
		return nil, fmt.Errorf("queue: list: %w", err)
	}
	return list, nil
}

// each calls f with the entries on disk that are meant, the oldest first.
func (q *Queue) each(s Selection, f func(entryID, *entry)) error {
	if len(s.IDs) > 0 {
		return q.eachOf(s.IDs, f)
	}
	return q.room.Each("", func(key string, value []byte) error {
		if id, e, err := decodeEntry(key, value); err == nil && s.fits(&e) {
			f(id, &e)
		}
		return nil
	})
}

func (q *Queue) eachOf(ids []string, f func(entryID, *entry)) error {
	var all []entryID
	for _, text := range ids {
		id, err := parseID(text)
		if err != nil {
			return err
		}
		all = append(all, id)
	}
	slices.Sort(all)
	for _, id := range slices.Compact(all) {
		e, err := q.load(id)
		if err != nil {
			return err
		}
		f(id, &e)
	}
	return nil
}

// Act is what an administrator does to entries.
type Act string

// The acts.
const (
	ActRetry   Act = "retry"   // it is tried now; what is held stays held
	ActHold    Act = "hold"    // it is not tried until it is released, and does not get too old meanwhile
	ActRelease Act = "release" // what is held is tried again, now
	ActDrop    Act = "drop"    // it is gone, and nobody is told; an attempt under way may still deliver it
)

// ErrAct says that there is no such act.
var ErrAct = errors.New("queue: no such act")

// change is what an act does to an entry; false = nothing.
func (a Act) change(e *entry, now time.Time) bool {
	switch a {
	case ActRetry:
		e.Next = now.UTC()
	case ActHold:
		e.Held = true
	case ActRelease:
		if !e.Held {
			return false
		}
		e.Held, e.Next = false, now.UTC()
	case ActDrop:
		e.Recipients = nil
	}
	return true
}

// Apply does something to all entries that are meant, and returns to how many. ErrAct; ErrNoSuch for an ID that is none, and then
// nothing was done.
func (q *Queue) Apply(ctx context.Context, s Selection, act Act) (n int, err error) {
	if !slices.Contains([]Act{ActRetry, ActHold, ActRelease, ActDrop}, act) {
		return 0, fmt.Errorf("%w: %.20q", ErrAct, act)
	}
	q.adopt()
	var ids []entryID
	if err := q.each(s, func(id entryID, e *entry) {
		if act != ActRelease || e.Held {
			ids = append(ids, id)
		}
	}); err != nil {
		return 0, err
	}
	for some := range slices.Chunk(ids, editTogether) {
		done, err := q.applyTo(ctx, q.jobsOf(some), act)
		if n += done; err != nil {
			return n, err
		}
	}
	return n, nil
}

// jobsOf are the jobs of entries that are there still.
func (q *Queue) jobsOf(ids []entryID) (jobs []*job) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, id := range ids {
		if j := q.board.jobs[id]; j != nil {
			jobs = append(jobs, j)
		}
	}
	return jobs
}

// applyTo does it to some entries by one record.
func (q *Queue) applyTo(ctx context.Context, jobs []*job, act Act) (n int, err error) {
	if len(jobs) == 0 {
		return 0, nil
	}
	var dropped []entry
	var ids []entryID
	err = q.change(ctx, jobs, func(id entryID, e *entry) {
		before := *e
		if !act.change(e, q.o.Now()) {
			return
		}
		n++
		if act == ActDrop {
			dropped, ids = append(dropped, before), append(ids, id)
		}
	})
	switch {
	case errors.Is(err, ErrNoSuch): // all went meanwhile
		return 0, nil
	case err != nil:
		return 0, err
	}
	for i := range dropped {
		q.noteEntry(journal.Removed, ids[i].String(), &dropped[i])
	}
	return n, nil
}

// DestinationInfo is what waits for a destination, and why.
type DestinationInfo struct {
	Destination string     `json:"destination"` // "" is this server
	Via         string     `json:"via"`         // the smarthost that it goes by now; "" = the servers of the destination
	Entries     int        `json:"entries"`
	Held        int        `json:"held"`   // of them
	Trying      int        `json:"trying"` // of them
	Recipients  int        `json:"recipients"`
	Size        int64      `json:"size"` // octets of all messages
	Oldest      time.Time  `json:"oldest"`
	NextAttempt *time.Time `json:"next_attempt"`        // the first; null when all are held, or there is no way
	OutUntil    *time.Time `json:"out_until,omitempty"` // it was out of reach, and is not asked until then; not there when it is not
	LastError   string     `json:"last_error"`          // the latest of any; "" before the first failure
}

// Destinations returns where mail is to go, those with the most entries first. An error says that not all entries could
// be read.
func (q *Queue) Destinations() ([]DestinationInfo, error) {
	type line struct{ destination, via string }
	all := map[line]*DestinationInfo{}
	last := map[line]time.Time{}
	err := q.each(Selection{}, func(id entryID, e *entry) {
		i := q.info(id, e)
		at := line{i.Destination, i.Via}
		d := all[at]
		if d == nil {
			d = &DestinationInfo{Destination: i.Destination, Via: i.Via, Oldest: i.Received, OutUntil: q.outUntil(q.way(e))}
			all[at] = d
		}
		d.add(i)
		if f := e.last(); f != nil && !f.At.Before(last[at]) {
			last[at], d.LastError = f.At, f.String()
		}
	})
	if err != nil {
		return nil, fmt.Errorf("queue: destinations: %w", err)
	}
	list := make([]DestinationInfo, 0, len(all))
	for _, d := range all {
		list = append(list, *d)
	}
	slices.SortFunc(list, func(x, y DestinationInfo) int {
		return cmp.Or(y.Entries-x.Entries, strings.Compare(x.Destination, y.Destination), strings.Compare(x.Via, y.Via))
	})
	return list, nil
}

// add counts an entry.
func (d *DestinationInfo) add(i Info) {
	d.Entries++
	d.Recipients += len(i.Recipients)
	d.Size += i.Size
	if i.Received.Before(d.Oldest) {
		d.Oldest = i.Received
	}
	switch i.State {
	case "held":
		d.Held++
	case "trying":
		d.Trying++
	}
	if i.NextAttempt != nil && (d.NextAttempt == nil || i.NextAttempt.Before(*d.NextAttempt)) {
		d.NextAttempt = i.NextAttempt
	}
}

// outUntil is until when nobody is asked on a way; nil when it is open.
func (q *Queue) outUntil(way string) *time.Time {
	q.mu.Lock()
	defer q.mu.Unlock()
	d := q.board.destinations[way]
	if d == nil || !q.o.Now().Before(d.outage.until) {
		return nil
	}
	until := d.outage.until.UTC()
	return &until
}
