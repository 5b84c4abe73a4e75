package mailbox

import (
	"cmp"
	"slices"
	"strings"
)

// Rights is a set of the rights of RFC 4314 section 2.1.
type Rights uint16

// The rights, each with its letter.
const (
	RightLookup         Rights = 1 << iota // l: the mailbox is seen
	RightRead                              // r: it is opened, and its state is told
	RightSeen                              // s: \Seen is set and cleared
	RightWrite                             // w: so are all flags but \Seen and \Deleted
	RightInsert                            // i: messages are put into it
	RightPost                              // p: kept for others; nothing here asks for it
	RightCreate                            // k: mailboxes are made below it
	RightDelete                            // x: it is deleted or renamed
	RightDeleteMessages                    // t: \Deleted is set and cleared
	RightExpunge                           // e: messages are expunged
	RightAdmin                             // a: its rights are seen and changed

	AllRights Rights = 1<<iota - 1
	// OwnerRights are those that nobody can take from a mailbox's owner: what has been
	// given away can be taken back.
	OwnerRights = RightLookup | RightAdmin
)

// The virtual rights of RFC 4314 section 2.1.1, for clients that know RFC 2086 only.
const (
	virtualCreate = RightCreate | RightDelete          // c
	virtualDelete = RightDeleteMessages | RightExpunge // d
)

// rightName is a letter, and what it means when it is read; one of these rights is
// enough to have it written.
type rightName struct {
	letter byte
	means  Rights
}

// rightNames are in the order in which they are written.
var rightNames = []rightName{
	{'l', RightLookup}, {'r', RightRead}, {'s', RightSeen}, {'w', RightWrite}, {'i', RightInsert}, {'p', RightPost},
	{'k', RightCreate}, {'x', RightDelete}, {'t', RightDeleteMessages}, {'e', RightExpunge},
	{'c', virtualCreate}, {'d', virtualDelete}, {'a', RightAdmin},
}

// ParseRights reads a list of letters, in any order; c and d mean what RFC 4314 section
// 2.1.1 has them mean. ok is false where there is one that is no right here.
func ParseRights(letters string) (r Rights, ok bool) {
	for i := range len(letters) {
		n := slices.IndexFunc(rightNames, func(n rightName) bool { return n.letter == letters[i] })
		if n < 0 {
			return 0, false
		}
		r |= rightNames[n].means
	}
	return r, true
}

// String returns the letters, with c or d where one of their members is in the set (RFC
// 4314 section 2.1.1).
func (r Rights) String() string {
	var b strings.Builder
	for _, n := range rightNames {
		if r&n.means != 0 {
			b.WriteByte(n.letter)
		}
	}
	return b.String()
}

// Has reports whether all of need are in r.
func (r Rights) Has(need Rights) bool { return r&need == need }

// Flags are those that who has r may set and clear, keywords included (RFC 4314 section 4).
func (r Rights) Flags() FlagSet {
	var f FlagSet
	if r.Has(RightWrite) {
		f = FlagSet{^uint64(0), ^uint64(0)}.Without(FlagSeen).Without(FlagDeleted)
	}
	if r.Has(RightSeen) {
		f = f.With(FlagSeen)
	}
	if r.Has(RightDeleteMessages) {
		f = f.With(FlagDeleted)
	}
	return f
}

// and returns the flags that are in both sets.
func (f FlagSet) and(other FlagSet) FlagSet { return FlagSet{f[0] & other[0], f[1] & other[1]} }

// Anyone, as the account of a Grant, is everybody who has an account.
const Anyone AccountID = 0

// Grant is one entry of a mailbox's access control list (RFC 4314 section 2).
type Grant struct {
	Account  AccountID // Anyone = all
	Negative bool      // it takes the rights away, whatever gives them
	Rights   Rights    // at least one
}

// maxGrants bounds the entries of one list: more than a household or an office has
// people, and few enough that a description stays small.
const maxGrants = 256

func compareGrants(x, y Grant) int {
	return cmp.Or(cmp.Compare(x.Account, y.Account), boolCompare(x.Negative, y.Negative))
}

func boolCompare(x, y bool) int {
	switch {
	case x == y:
		return 0
	case y:
		return -1
	}
	return 1
}

// rightsOf computes what user may do with a mailbox of owner: all that entries for the
// account and for anyone give, without what such entries take. An owner of whom no entry
// says what he has has all.
func rightsOf(grants []Grant, user, owner AccountID) Rights {
	var has, lacks Rights
	if user == owner && !slices.ContainsFunc(grants, func(g Grant) bool { return g.Account == owner && !g.Negative }) {
		has = AllRights
	}
	for _, g := range grants {
		switch {
		case g.Account != user && g.Account != Anyone:
		case g.Negative:
			lacks |= g.Rights
		default:
			has |= g.Rights
		}
	}
	if user == owner {
		return has&^lacks | OwnerRights
	}
	return has &^ lacks
}

// RightsOp is how an entry of an access control list is changed.
type RightsOp uint8

const (
	RightsReplace RightsOp = iota
	RightsAdd
	RightsRemove
)

// RightsChange changes one entry of an access control list.
type RightsChange struct {
	Grant // no rights end the entry
	Op    RightsOp
}

// ParseRightsChange reads what SETACL has as its modification (RFC 4314 section 3.1): a
// list of letters, that are added behind a plus, taken behind a minus, and else replace
// what there is.
func ParseRightsChange(text string) (op RightsOp, r Rights, ok bool) {
	switch {
	case strings.HasPrefix(text, "+"):
		op, text = RightsAdd, text[1:]
	case strings.HasPrefix(text, "-"):
		op, text = RightsRemove, text[1:]
	}
	r, ok = ParseRights(text)
	return op, r, ok
}

// apply returns grants with the entry changed. The owner's cannot go below OwnerRights,
// and with all rights it is not written down. ErrLimit.
func (c *RightsChange) apply(grants []Grant, owner AccountID) ([]Grant, error) {
	own := c.Account == owner && !c.Negative
	g := Grant{Account: c.Account, Negative: c.Negative}
	if own {
		g.Rights = AllRights
	}
	i, found := slices.BinarySearchFunc(grants, g, compareGrants)
	if found {
		g.Rights = grants[i].Rights
	}
	switch c.Op {
	case RightsReplace:
		g.Rights = c.Rights
	case RightsAdd:
		g.Rights |= c.Rights
	case RightsRemove:
		g.Rights &^= c.Rights
	}
	if own {
		g.Rights |= OwnerRights
	}
	kept := slices.Clone(grants)
	if found {
		kept = slices.Delete(kept, i, i+1)
	}
	if g.Rights == 0 || own && g.Rights == AllRights {
		return kept, nil
	}
	if len(kept) == maxGrants {
		return nil, ErrLimit
	}
	return slices.Insert(kept, i, g), nil
}

// withoutAccounts returns grants but for those of accounts that are gone.
func withoutAccounts(grants []Grant, gone func(AccountID) bool) []Grant {
	isGone := func(g Grant) bool { return g.Account != Anyone && gone(g.Account) }
	if !slices.ContainsFunc(grants, isGone) {
		return grants
	}
	return slices.DeleteFunc(slices.Clone(grants), isGone)
}
