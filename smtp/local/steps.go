package local

import (
	"mailstead/mailbox"
	"mailstead/smtp/journal"
)

// noteFiled tells the journal where the copies of a plan are: failed[i] and
// targets[i] belong to p.local[i].
func (c *Courier) noteFiled(p plan, targets []mailbox.Target, failed []error, transaction string) {
	if c.journal == nil {
		return
	}
	if len(p.local) == 1 && failed[0] == nil { // as with most messages
		c.journal.AddFor(journal.Event{Step: journal.Filed, ID: transaction, Mailbox: targets[0].Name}, []string{p.local[0].Name})
		return
	}
	in := map[string][]string{} // accounts by the mailbox that has their copy
	for i, d := range p.local {
		if failed[i] == nil {
			in[targets[i].Name] = append(in[targets[i].Name], d.Name)
		}
	}
	for name, accounts := range in {
		c.journal.AddFor(journal.Event{Step: journal.Filed, ID: transaction, Mailbox: name}, accounts)
	}
}
