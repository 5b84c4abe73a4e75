package local

import (
	"mailstead/mailbox"
	"mailstead/smtp/queue"
)

// tell gives an envelope the recipients of whom its sender wants to hear.
func (p *plan) tell(e queue.Envelope) queue.Envelope {
	for _, n := range p.news {
		e.Settled = append(e.Settled, n.Settled)
	}
	return e
}

// withCopies has the queue's entries about copies made only where the copy is: the last ones are
// those of the news, in their order.
func (p *plan) withCopies(changes []mailbox.RoomChange) []mailbox.RoomChange {
	first := len(changes) - len(p.news)
	for i, n := range p.news {
		changes[first+i].With = n.copy + 1
	}
	return changes
}

// queueTells takes the news out of the plan for one queued recipient, as the queue tells the sender of
// it, and returns what that is.
func (p *plan) queueTells() (told queue.Action) {
	if len(p.news) > 0 {
		told = p.news[0].Action
	}
	p.news = nil
	return told
}
