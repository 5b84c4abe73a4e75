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
	TLS        TLSDemand        `json:"tls"`               // what its sender demands of connections; "" = what the destination wants
	EnvelopeID string           `json:"envelope_id"`       // ENVID, in xtext
	Return     Return           `json:"return"`            // RET
	Waited     time.Duration    `json:"waited"`            // for how long it has been tried, in nanoseconds
	GiveUp     *time.Time       `json:"give_up,omitempty"` // when it is given up, if nothing holds it; not there while held or disabled
	DelayTold  bool             `json:"delay_told"`        // its sender knows that it takes long
	Wishes     []RecipientWish  `json:"wishes"`            // of recipients of whom the sender said what to hear
	Errors     []RecipientError `json:"errors"`            // one for each recipient that has failed
}

// RecipientWish is what the sender wants to hear of a recipient (RFC 3461).
type RecipientWish struct {
	Recipient string `json:"recipient"`
	Notify    string `json:"notify"`   // as NOTIFY says it; "" = nothing was said
	Original  string `json:"original"` // ORCPT
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
func (q *Queue) List() ([]Info, error) { return q.Select(Selection{}) }

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
	d := Details{
		Info: q.info(n, &e), TLS: e.TLS, EnvelopeID: e.EnvelopeID, Return: e.Return, Waited: e.Waited, DelayTold: e.DelayTold,
		Wishes: []RecipientWish{}, Errors: []RecipientError{}, // lists in JSON, too
	}
	if d.NextAttempt != nil {
		since := e.Tried
		if since.IsZero() {
			since = e.Received
		}
		at := since.Add(Lifetime - e.Waited).UTC()
		d.GiveUp = &at
	}
	for _, r := range e.Recipients {
		if r.Wish != (Wish{}) {
			d.Wishes = append(d.Wishes, RecipientWish{r.Address, r.Notify.String(), cleanAddress(r.Original)})
		}
		if f := r.Last; f != nil && r.Done == "" {
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
	s := Selection{IDs: []string{id}}
	if id == "all" {
		s.IDs = nil
	}
	_, err := q.Apply(context.Background(), s, ActRetry) // it waits for nobody but the disk
	return err
}

// changeAll changes all entries.
func (q *Queue) changeAll(ctx context.Context, change func(*entry)) error {
	q.adopt()
	for jobs := range slices.Chunk(q.all(), editTogether) {
		if err := q.change(ctx, jobs, func(_ entryID, e *entry) { change(e) }); err != nil && !errors.Is(err, ErrNoSuch) {
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
	return q.change(ctx, []*job{j}, func(_ entryID, e *entry) { change(e) })
}

// change changes entries on disk, by one record, and then on the board. Those
// that are gone are passed over; ErrNoSuch when all are. With another error of
// reading none is changed.
func (q *Queue) change(ctx context.Context, jobs []*job, change func(entryID, *entry)) error {
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
		change(j.id, &e)
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
		q.board.schedule(j, q.due(e))
	}
}
