package queue

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"mailstead/smtp/route"
)

// mail is what the choice of a route looks at.
func (e *entry) mail() route.Mail {
	return route.Mail{
		From: e.From, Account: e.Account, To: e.Destination,
		Attempts: e.Attempts, Unreachable: e.Unreachable, Via: e.Via,
	}
}

// route is the way that an entry takes now.
func (q *Queue) route(e *entry) route.Route {
	if q.o.Routes == nil || q.isLocal(e.Destination) {
		return route.Route{}
	}
	return q.o.Routes(e.mail())
}

// way is where an entry waits in line on the board: the smarthost that it goes by, so that mail for many
// domains does not open a connection for each, or its own destination.
func (q *Queue) way(e *entry) string {
	if key := q.route(e).Key(); key != "" {
		return key
	}
	return e.Destination
}

// bySmarthost tells whether a way is one over a smarthost, which has a space in its name.
func bySmarthost(way string) bool { return strings.Contains(way, " ") }

// fallBack has an entry go on at once where another way is open to mail that reached nobody.
func (q *Queue) fallBack(e *entry, outcomes []Outcome, now time.Time) {
	if e.Unreachable || !unreachable(outcomes) || len(e.open()) == 0 {
		return
	}
	before := q.way(e)
	e.Unreachable = true
	if q.way(e) == before {
		e.Unreachable = false
		return
	}
	e.Next = now.UTC()
}

// Reroute has an entry go by a smarthost from now on whatever the routes say, or all of them with the id "all";
// the zero hop is the direct way, nil what the routes say. They are tried now, but for those that are held.
// ErrNoSuch.
func (q *Queue) Reroute(ctx context.Context, id string, via *route.Hop) error {
	change := func(e *entry) {
		if q.isLocal(e.Destination) {
			return
		}
		e.Via, e.Unreachable, e.Next = via, false, q.o.Now().UTC()
	}
	if id != "all" {
		return q.edit(ctx, id, change)
	}
	return q.changeAll(ctx, change)
}

// Rerouted is to be called when routes have changed: what waits for a smarthost, or for one now, is tried now. An
// error says that not all entries could be read, and that those wait for what they did.
func (q *Queue) Rerouted() error {
	q.adopt()
	var errs []error
	for _, j := range q.all() {
		if err := q.rerouted(j); err != nil && !errors.Is(err, ErrNoSuch) {
			errs = append(errs, err)
		}
	}
	q.Wake()
	if len(errs) > 0 {
		return fmt.Errorf("queue: %d entries could not be read: %w", len(errs), errs[0])
	}
	return nil
}

func (q *Queue) rerouted(j *job) error {
	e, err := q.load(j.id)
	if err != nil {
		return err
	}
	way := q.way(&e)
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.board.jobs[j.id] != j || j.state == trying { // what is being tried follows when the attempt ends
		return nil
	}
	if way == j.to.name && !bySmarthost(way) {
		return nil
	}
	q.board.move(j, way)
	j.to.outage = outage{}
	q.board.schedule(j, q.o.Now())
	return nil
}
