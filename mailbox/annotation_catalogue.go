package mailbox

import (
	"cmp"
	"maps"
)

// compare orders annotations by name, shared ones first.
func (k annotationKey) compare(other annotationKey) int {
	return cmp.Or(cmp.Compare(k.account, other.account), cmp.Compare(k.name, other.name))
}

// mayAnnotate reports whether o may change an annotation: those that are set, the
// special use, and a mailbox that comes or goes with its annotations.
func mayAnnotate(o op) bool {
	switch o.(type) {
	case opAnnotation, opMailbox, opMailboxGone:
		return true
	}
	return false
}

// annotate moves the catalogue by one annotation. One of what is not there (the
// record that made it was lost) is passed over.
func (c *catalogue) annotate(o opAnnotation) {
	if !c.annotates(o) {
		return
	}
	k := annotationKey{o.Account, o.Name}
	all := maps.Clone(c.annotations[o.Mailbox]) // readers have the one before
	c.chargeAnnotation(o.Mailbox, k, all, -1)
	delete(all, k)
	if o.Value != nil {
		if all == nil {
			all = make(annotations)
		}
		all[k] = string(o.Value)
		c.chargeAnnotation(o.Mailbox, k, all, 1)
	}
	c.annotations[o.Mailbox] = all
	if len(all) == 0 {
		delete(c.annotations, o.Mailbox)
	}
}

// annotates reports whether there is what an annotation is of.
func (c *catalogue) annotates(o opAnnotation) bool {
	if o.Account != 0 && c.accounts[o.Account] == nil || o.Account == 0 && o.Mailbox == ServerAnnotations {
		return false
	}
	return o.Mailbox == ServerAnnotations || c.listings[o.Mailbox] != nil
}

// chargeAnnotation counts an entry of all, if it is there, in the account that it counts with.
func (c *catalogue) chargeAnnotation(id ID, k annotationKey, all annotations, sign int) {
	value, ok := all[k]
	if !ok {
		return
	}
	owner := k.account
	if l := c.listings[id]; l != nil {
		owner = k.payer(l.box.account)
	}
	if acc := c.accounts[owner]; acc != nil {
		acc.annotated.add(k, value, sign)
	}
}

// dropAnnotations forgets those of a mailbox that is about to go.
func (c *catalogue) dropAnnotations(id ID) {
	all := c.annotations[id]
	for k := range all {
		c.chargeAnnotation(id, k, all, -1)
	}
	delete(c.annotations, id)
}

// dropAnnotationsOf forgets the private ones of an account that is about to go.
func (c *catalogue) dropAnnotationsOf(a AccountID) {
	for id, all := range c.annotations {
		for k := range all {
			if k.account == a {
				c.annotate(opAnnotation{Mailbox: id, Account: a, Name: k.name})
			}
		}
	}
}

// annotationsSeenBy lists the accounts that are to be woken by an annotation.
func (c *catalogue) annotationsSeenBy(o opAnnotation) []AccountID {
	if o.Account != 0 {
		return []AccountID{o.Account}
	}
	if l := c.listings[o.Mailbox]; l != nil {
		return c.appendAudience([]AccountID{l.box.account}, l.box)
	}
	return nil
}
