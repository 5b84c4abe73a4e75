package mailbox

import (
	"maps"
	"slices"
	"strings"

	goimap "github.com/emersion/go-imap/v2"
)

// catalogue says which accounts there are and which mailboxes by which names.
// There are two: one of everything numbered, which decisions are made against,
// and one of everything durable, which is shown. Both move by the same apply.
type catalogue struct {
	accounts    map[AccountID]*account
	listings    map[ID]*listing
	shared      map[ID]*listing    // those that have an access control list
	annotations map[ID]annotations // with those of the server under ServerAnnotations
}

// account is one account in a catalogue.
type account struct {
	names      map[string]*listing
	subscribed map[string]struct{}
	quota      Quota
	usage      Usage // the sum of its mailboxes
	annotated  annotationUsage
}

// listing is a mailbox's description. It is never changed, only replaced.
type listing struct {
	box    *box
	name   string
	use    goimap.MailboxAttr
	grants []Grant // its access control list, as opRights has it
}

func newCatalogue() *catalogue {
	return &catalogue{accounts: make(map[AccountID]*account), listings: make(map[ID]*listing), shared: make(map[ID]*listing),
		annotations: make(map[ID]annotations)}
}

func (c *catalogue) addAccount(a AccountID) *account {
	acc := &account{names: make(map[string]*listing), subscribed: make(map[string]struct{})}
	c.accounts[a] = acc
	return acc
}

// find returns the listing of a canonical name. ErrNoAccount, ErrNoMailbox.
func (c *catalogue) find(a AccountID, name string) (*listing, error) {
	acc := c.accounts[a]
	if acc == nil {
		return nil, ErrNoAccount
	}
	l := acc.names[name]
	if l == nil {
		return nil, ErrNoMailbox
	}
	return l, nil
}

// apply moves the catalogue by one operation; those on messages and rooms are
// not its business. A mailbox that is new here has its box among changes.
func (c *catalogue) apply(o op, changes []*change) {
	switch o := o.(type) {
	case opAccount:
		if o.Deleted {
			c.dropAccount(o.Account)
		} else {
			c.addAccount(o.Account)
		}
	case opLimits:
		if acc := c.accounts[o.Account]; acc != nil {
			acc.quota = o.Quota
		}
	case opMailbox:
		c.list(o, changes)
	case opMailboxGone:
		if l := c.listings[o.ID]; l != nil {
			c.dropAnnotations(o.ID)
			delete(c.accounts[l.box.account].names, l.name)
			c.unlist(o.ID)
		}
	case opRights:
		if l := c.listings[o.Mailbox]; l != nil {
			c.setGrants(l, o.Grants)
		}
	case opAnnotation:
		c.annotate(o)
	case opSubscription:
		if acc := c.accounts[o.Account]; acc == nil {
			return
		} else if o.On {
			acc.subscribed[o.Name] = struct{}{}
		} else {
			delete(acc.subscribed, o.Name)
		}
	}
}

// count adds what changes do to the usage of their accounts.
func (c *catalogue) count(changes []*change) {
	for _, ch := range changes {
		if acc := c.accounts[ch.box.account]; acc != nil {
			acc.usage.add(ch.grown)
		}
	}
}

func (c *catalogue) dropAccount(a AccountID) {
	acc := c.accounts[a]
	if acc == nil {
		return
	}
	for _, l := range acc.names {
		c.dropAnnotations(l.box.id)
		c.unlist(l.box.id)
	}
	c.dropAnnotationsOf(a)
	delete(c.accounts, a)
	for _, l := range c.shared {
		if kept := withoutAccounts(l.grants, func(id AccountID) bool { return id == a }); len(kept) < len(l.grants) {
			c.setGrants(l, kept)
		}
	}
}

// unlist forgets a mailbox but for its name.
func (c *catalogue) unlist(id ID) {
	delete(c.listings, id)
	delete(c.shared, id)
}

// setGrants gives a mailbox an access control list.
func (c *catalogue) setGrants(l *listing, grants []Grant) {
	changed := *l
	changed.grants = grants
	c.enlist(&changed)
}

// enlist makes l the listing of its mailbox.
func (c *catalogue) enlist(l *listing) {
	c.accounts[l.box.account].names[l.name] = l
	c.listings[l.box.id] = l
	delete(c.shared, l.box.id)
	if len(l.grants) > 0 {
		c.shared[l.box.id] = l
	}
}

func (c *catalogue) list(o opMailbox, changes []*change) {
	acc := c.accounts[o.Account]
	if acc == nil {
		return
	}
	l := &listing{name: o.Name, use: o.SpecialUse}
	if old := c.listings[o.ID]; old != nil {
		l.box, l.grants = old.box, old.grants
		delete(acc.names, old.name)
	} else if i := slices.IndexFunc(changes, func(c *change) bool { return c.box.id == o.ID }); i >= 0 {
		l.box = changes[i].box
	}
	c.enlist(l)
}

// sorted returns the account's listings by name.
func (a *account) sorted() []*listing {
	return slices.SortedFunc(maps.Values(a.names), func(x, y *listing) int { return strings.Compare(x.name, y.name) })
}

// below returns the listings under name, by name.
func (a *account) below(name string) []*listing {
	prefix := name + "/"
	list := a.sorted()
	return slices.DeleteFunc(list, func(l *listing) bool { return !strings.HasPrefix(l.name, prefix) })
}
