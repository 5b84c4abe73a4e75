package queue

import (
	"slices"

	"mailstead/smtp/journal"
)

// noteEntry tells the journal what became of a whole entry.
func (q *Queue) noteEntry(kind journal.Step, id string, e *entry) {
	if q.o.Journal == nil {
		return
	}
	addresses := make([]string, len(e.Recipients))
	for i, r := range e.Recipients {
		addresses[i] = r.Address
	}
	q.o.Journal.AddFor(journal.Event{Step: kind, At: q.o.Now(), ID: e.Transaction, Queue: id}, addresses)
}

// noteAttempt tells the journal of an attempt, which left e before anybody was told
// of it. Neighbours for whom the same was said make one step.
func (q *Queue) noteAttempt(id entryID, e *entry, outcomes []Outcome) {
	if q.o.Journal == nil {
		return
	}
	var step journal.Event
	var to []string
	for _, o := range outcomes {
		s := q.attemptStep(id, e, o)
		if len(to) > 0 && (s.Step != step.Step || s.Host != step.Host || s.Reply != step.Reply || !slices.Equal(s.Found, step.Found)) {
			q.o.Journal.AddFor(step, to)
			to = nil
		}
		step, to = s, append(to, o.Recipient)
	}
	if len(to) > 0 {
		q.o.Journal.AddFor(step, to)
	}
}

// conversation is what was said in an attempt, on its way to the journal.
type conversation struct {
	q     *Queue
	event journal.Event
}

// listen begins a conversation about the open recipients.
func (q *Queue) listen(id entryID, e *entry, open []string) *conversation {
	return &conversation{q, journal.Event{Step: journal.Talked, ID: e.Transaction, Queue: id.String(), Attempt: e.Attempts + 1, To: open}}
}

// tell is for Message.Tell; nil where nobody keeps anything.
func (c *conversation) tell() func(string) {
	if c.q.o.Journal == nil {
		return nil
	}
	return func(line string) { c.event.Said = append(c.event.Said, line) }
}

// note tells the journal what was said, if anything was: before it hears what came of it.
func (c *conversation) note() {
	if len(c.event.Said) > 0 {
		c.event.At = c.q.o.Now()
		c.q.o.Journal.Add(c.event)
	}
}

// noteSecurity tells what was demanded of a connection and found, in words and by the names that
// TLS reports have for it (RFC 8460).
func noteSecurity(e *journal.Event, s Security) {
	if s.Policy != "" {
		e.Found = append(e.Found, "tls-policy="+s.Policy)
	}
	if s.Result != "" {
		e.Found = append(e.Found, "tls-result="+s.Result)
	}
	if s.Words != "" {
		e.Reasons = []string{printable(s.Words, maxText)}
	}
}

// attemptStep is what became of one recipient.
func (q *Queue) attemptStep(id entryID, e *entry, o Outcome) journal.Event {
	f := failureOf(o, q.o.Now())
	s := journal.Event{
		Step: journal.Deferred, At: q.o.Now(), ID: e.Transaction, Queue: id.String(),
		Attempt: e.Attempts, Host: f.Host, TLS: f.TLS, Reply: f.reply(),
	}
	noteSecurity(&s, o.Security)
	switch {
	case o.Status == Delivered:
		s.Step = journal.Delivered
	case o.Status == Permanent || slices.ContainsFunc(e.Recipients, func(r recipient) bool { return r.Failed && r.Address == o.Recipient }):
		s.Step = journal.Failed
	default:
		s.Next = e.Next
	}
	return s
}
