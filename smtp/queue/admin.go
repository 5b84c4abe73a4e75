package queue

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"mailstead/mailbox"
	"mailstead/smtp/journal"
)

// Info is an entry as administrators see it.
type Info struct {
	ID          string     `json:"id"`
	State       string     `json:"state"` // waiting, trying, held, or disabled: there is no way to that destination
	From        string     `json:"from"`  // "" is the null reverse-path
	Destination string     `json:"destination"`
	Via         string     `json:"via"`        // the smarthost that it goes by now; "" = the servers of the destination
	Recipients  []string   `json:"recipients"` // those that are not delivered
	Size        int64      `json:"size"`       // octets
	Received    time.Time  `json:"received"`
	Attempts    int        `json:"attempts"`
	NextAttempt *time.Time `json:"next_attempt"` // null while held or disabled
	LastError   string     `json:"last_error"`   // "" before the first failure
}

// Details is an entry with all that is known of it.
type Details struct {
	Info
	Errors []RecipientError `json:"errors"` // one for each recipient that has failed
}

// RecipientError is how the last attempt failed for a recipient.
type RecipientError struct {
	Recipient string    `json:"recipient"`
	At        time.Time `json:"at"`
	Code      int       `json:"code"`   // SMTP reply code, 0 where there was none
	Status    string    `json:"status"` // enhanced status code
	Text      string    `json:"text"`
	Host      string    `json:"host"` // who said so, "" for this server
	TLS       bool      `json:"tls"`
	Permanent bool      `json:"permanent"` // the sender has still to be told
}

// List returns the entries on disk, the oldest first. An error says that not all could be read.
func (q *Queue) List() (list []Info, err error) {
	err = q.room.Each("", func(key string, value []byte) error {
		if id, e, err := decodeEntry(key, value); err == nil {
			list = append(list, q.info(id, &e))
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("queue: list: %w", err)
	}
	return list, nil
}

// Show returns one entry. ErrNoSuch.
func (q *Queue) Show(id string) (Details, error) {
	n, err := parseID(id)
	if err != nil {
		return Details{}, err
	}
	e, err := q.load(n)
	if err != nil {
		return Details{}, err
	}
	d := Details{Info: q.info(n, &e)}
	for _, r := range e.Recipients {
		if f := r.Last; f != nil {
			d.Errors = append(d.Errors, RecipientError{
				Recipient: r.Address, At: f.At, Code: f.Code, Status: f.Enhanced,
				Text: f.Text, Host: f.Host, TLS: f.TLS, Permanent: r.Failed,
			})
		}
	}
	return d, nil
}

func (q *Queue) info(id entryID, e *entry) Info {
	i := Info{
		ID: id.String(), State: "waiting", From: cleanAddress(e.From), Destination: e.Destination, Size: e.Size,
		Received: e.Received, Attempts: e.Attempts, LastError: e.last().String(),
	}
	way := q.way(e)
	if bySmarthost(way) {
		i.Via = q.route(e).Hop.String()
	}
	for _, r := range e.Recipients {
		i.Recipients = append(i.Recipients, cleanAddress(r.Address))
	}
	next := e.Next
	q.mu.Lock()
	defer q.mu.Unlock()
	if j := q.board.jobs[id]; j != nil {
		next = j.next.UTC()
		if j.state == trying {
			i.State = "trying"
		}
	}
	switch {
	case e.Held:
		i.State = "held"
	case !q.reachable(way):
		i.State = "disabled"
	default:
		i.NextAttempt = &next
	}
	return i
}

// Retry has an entry tried now, or all of them with the id "all". Held ones
// stay held. An entry that is being tried is tried again: who asks may have
// mended what that attempt stumbles over. ErrNoSuch.
func (q *Queue) Retry(id string) error {
	now := func(e *entry) { e.Next = q.o.Now().UTC() }
	ctx := context.Background() // it waits for nobody but the disk
	if id != "all" {
		return q.edit(ctx, id, now)
	}
	return q.changeAll(ctx, now)
}

// changeAll changes all entries.
func (q *Queue) changeAll(ctx context.Context, change func(*entry)) error {
	q.adopt()
	for jobs := range slices.Chunk(q.all(), editTogether) {
		if err := q.change(ctx, jobs, change); err != nil && !errors.Is(err, ErrNoSuch) {
			return err
		}
	}
	return nil
}

// editTogether is how many entries are changed by one record.
const editTogether = 100

// all returns the jobs of all entries, the oldest first.
func (q *Queue) all() []*job {
	q.mu.Lock()
	defer q.mu.Unlock()
	return slices.SortedFunc(maps.Values(q.board.jobs), func(x, y *job) int { return cmp.Compare(x.id, y.id) })
}

// Hold keeps an entry from being tried until Release; an attempt under way
// ends as it does. A held entry does not get too old. ErrNoSuch.
func (q *Queue) Hold(ctx context.Context, id string) error {
	return q.edit(ctx, id, func(e *entry) { e.Held = true })
}

// Release has a held entry tried again, now. ErrNoSuch.
func (q *Queue) Release(ctx context.Context, id string) error {
	return q.edit(ctx, id, func(e *entry) { e.Held, e.Next = false, q.o.Now().UTC() })
}

// Remove takes an entry out of the queue; nobody is told. An attempt under
// way may still deliver it. ErrNoSuch.
func (q *Queue) Remove(ctx context.Context, id string) error {
	var removed entry
	err := q.edit(ctx, id, func(e *entry) { removed, e.Recipients = *e, nil })
	if err == nil {
		q.noteEntry(journal.Removed, id, &removed)
	}
	return err
}

// edit changes one entry.
func (q *Queue) edit(ctx context.Context, id string, change func(*entry)) error {
	n, err := parseID(id)
	if err != nil {
		return err
	}
	q.adopt()
	q.mu.Lock()
	j := q.board.jobs[n]
	q.mu.Unlock()
	if j == nil {
		return fmt.Errorf("%w: %s", ErrNoSuch, id)
	}
	return q.change(ctx, []*job{j}, change)
}

// change changes entries on disk, by one record, and then on the board. Those
// that are gone are passed over; ErrNoSuch when all are. With another error of
// reading none is changed.
func (q *Queue) change(ctx context.Context, jobs []*job, change func(*entry)) error {
	var changes []mailbox.RoomChange
	var changed []entry
	var of []*job
	for _, j := range jobs { // by age, so that two callers cannot wait for each other
		j.edit.Lock()
		defer j.edit.Unlock()
		e, err := q.load(j.id)
		switch {
		case errors.Is(err, ErrNoSuch):
			continue
		case err != nil:
			return err
		}
		change(&e)
		changes, changed, of = append(changes, e.change(j.id)), append(changed, e), append(of, j)
	}
	if len(of) == 0 {
		return fmt.Errorf("%w: %v", ErrNoSuch, jobs[0].id)
	}
	if err := q.store.Change(ctx, changes...); err != nil {
		return fmt.Errorf("queue: change entry %v: %w", of[0].id, err)
	}
	q.mu.Lock()
	for i, j := range of {
		q.reflect(j, &changed[i])
	}
	q.mu.Unlock()
	q.Wake()
	return nil
}

// reflect brings a change by an administrator onto the board, for a caller that
// has q.mu. What is being tried follows when the attempt ends.
func (q *Queue) reflect(j *job, e *entry) {
	if j.state != trying && len(e.Recipients) > 0 {
		q.board.move(j, q.way(e))
	}
	if j.held = e.Held; !j.held {
		j.to.outage = outage{} // it may be over: that is why somebody asks
	}
	switch {
	case j.state == trying:
		j.again = !e.Held
	case len(e.Recipients) == 0:
		q.board.remove(j)
	default:
		q.board.schedule(j, e.Next)
	}
}
