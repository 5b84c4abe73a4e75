package mailbox

import (
	"slices"

	"mailstead/mailbox/log"
)

// publish makes a flushed group durable state and tells who waits for news.
// The log calls it in LSN order, before the group's writers wake. What a
// message needs (its body's place and index) comes before the message, and a
// mailbox's content before its name. The feed of changes has the group when
// all of it is shown.
func (s *Store) publish(group []*log.Entry) {
	for _, e := range group {
		r := e.Value.(*record)
		s.overlay.publish(r)
		for _, c := range r.changes {
			if c.box.publish(c) {
				s.opened.adopt(c.box)
			}
		}
		s.publishCatalogue(r)
		if slices.ContainsFunc(r.ops, changesRights) {
			for _, c := range r.changes {
				c.box.signal() // once more: sessions look at their rights, which the catalogue has
			}
		}
		s.watchers.signal(r.accounts)
	}
	s.published.Store(uint64(group[len(group)-1].LSN))
	s.watchers.signal(wholeStore)
	s.applier.take(group)
}

// publishCatalogue moves the durable catalogue, if r changes it.
func (s *Store) publishCatalogue(r *record) {
	if !slices.ContainsFunc(r.ops, isCatalogueOp) && !slices.ContainsFunc(r.changes, (*change).grows) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, o := range r.ops {
		s.durable.apply(o, r.changes)
	}
	s.durable.count(r.changes)
	if slices.ContainsFunc(r.ops, mayAnnotate) {
		s.annotated.Store(uint64(r.entry.LSN))
	}
}

// isCatalogueOp reports whether o is about accounts and names.
func isCatalogueOp(o op) bool {
	switch o.(type) {
	case opAccount, opLimits, opMailbox, opMailboxGone, opSubscription, opRights, opAnnotation:
		return true
	}
	return false
}

// grows reports whether c changes its account's usage.
func (c *change) grows() bool { return c.grown != Usage{} }
