package directory

import (
	"context"
	"errors"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"mailstead/mailbox"
)

// List is one of an account's lists of senders.
type List string

// The lists. A sender is blocked or allowed or neither, never both.
const (
	Blocked    List = "block"     // whose mail the account does not want
	Allowed    List = "allow"     // whose mail is never filed into Junk
	Forwarders List = "forwarder" // who hands on mail that was sent to the account elsewhere
	SendAs     List = "send-as"   // as whom the account may send, beyond what leads to it
)

// maxSenders bounds the entries of an account's lists: all of them are read and
// written with the account, some 50 octets each.
const maxSenders = 1000

// ErrTooMany says that an account's lists are full.
var ErrTooMany = errors.New("directory: too many entries")

// senders are the lists of an account, each entry in the form that is compared: an
// address, a domain with all below it, or a forwarder's network. They do not
// change: an edit makes new ones.
type senders struct {
	Standing   map[string]List `json:"standing,omitempty"` // Blocked or Allowed
	Forwarders []string        `json:"forwarders,omitempty"`
	SendAs     []string        `json:"send_as,omitempty"`
}

func (s *senders) clone() senders {
	return senders{Standing: maps.Clone(s.Standing), Forwarders: slices.Clone(s.Forwarders), SendAs: slices.Clone(s.SendAs)}
}

// own are the entries of a list that stands for itself; nil for the two that share Standing.
func (s *senders) own(list List) *[]string {
	switch list {
	case Forwarders:
		return &s.Forwarders
	case SendAs:
		return &s.SendAs
	}
	return nil
}

// AddSender puts an address or a domain on one of the account's lists, or for
// Forwarders a network, too. What is blocked and is allowed now is not blocked any
// more, and the other way round. ErrNoSuch, ErrAddress, ErrExists, ErrTooMany.
func (d *Directory) AddSender(ctx context.Context, account string, list List, sender string) error {
	entry, err := senderEntry(list, sender)
	if err != nil {
		return err
	}
	return d.edit(ctx, account, func(a *accountRecord) error {
		lists := a.Senders.clone()
		if lists.has(list, entry) {
			return problem(ErrExists, "%s is on that list of %s already", entry, a.Name)
		}
		if own := lists.own(list); own != nil {
			*own = append(*own, entry)
		} else {
			if lists.Standing == nil {
				lists.Standing = map[string]List{}
			}
			lists.Standing[entry] = list
		}
		if len(lists.Standing)+len(lists.Forwarders)+len(lists.SendAs) > maxSenders {
			return problem(ErrTooMany, "the lists of %s are full: they hold %d entries; remove some first", a.Name, maxSenders)
		}
		a.Senders = lists
		return nil
	})
}

// RemoveSender takes an entry off a list. ErrNoSuch, ErrAddress.
func (d *Directory) RemoveSender(ctx context.Context, account string, list List, sender string) error {
	entry, err := senderEntry(list, sender)
	if err != nil {
		return err
	}
	return d.edit(ctx, account, func(a *accountRecord) error {
		lists := a.Senders.clone()
		if !lists.has(list, entry) {
			return problem(ErrNoSuch, "%s is not on that list of %s", entry, a.Name)
		}
		if own := lists.own(list); own != nil {
			*own = slices.DeleteFunc(*own, func(e string) bool { return e == entry })
		} else {
			delete(lists.Standing, entry)
		}
		a.Senders = lists
		return nil
	})
}

func (s *senders) has(list List, entry string) bool {
	if own := s.own(list); own != nil {
		return slices.Contains(*own, entry)
	}
	return s.Standing[entry] == list
}

// Senders gives a list of the account, ascending. ErrNoSuch.
func (d *Directory) Senders(account string, list List) ([]string, error) {
	a, err := d.find(account)
	if err != nil {
		return nil, err
	}
	return a.Senders.list(list), nil
}

func (s *senders) list(list List) []string {
	entries := []string{}
	if own := s.own(list); own != nil {
		entries = append(entries, *own...)
	}
	for entry, standing := range s.Standing {
		if standing == list {
			entries = append(entries, entry)
		}
	}
	slices.Sort(entries)
	return entries
}

// senderEntry gives an entry in the form that is compared. ErrAddress.
func senderEntry(list List, s string) (string, error) {
	if list == Forwarders {
		if p, err := netip.ParsePrefix(s); err == nil {
			return p.Masked().String(), nil
		}
		if ip, err := netip.ParseAddr(s); err == nil {
			ip = ip.Unmap().WithZone("")
			return netip.PrefixFrom(ip, ip.BitLen()).String(), nil
		}
	}
	if _, err := netip.ParseAddr(s); err == nil { // a host, not a domain
		return "", problem(ErrAddress, "%s is the address of a host; say that of a sender, or a domain", s)
	}
	if strings.Contains(s, "@") {
		a, err := parseAddress(s)
		if err != nil || !validDomain(a.domain) {
			return "", addressProblem(s)
		}
		return a.String(), nil
	}
	domain := foldDomain(s)
	if !validDomain(domain) || !strings.Contains(domain, ".") {
		return "", domainProblem(s)
	}
	return domain, nil
}

// Standing says whether the account has blocked or allowed a sender who is known
// by these addresses; empty for neither. The entry that says most of an address
// decides: the address itself, with its plus-detail and then without, its domain, and
// the domains above; where two say as much, Allowed.
func (d *Directory) Standing(id mailbox.AccountID, addresses ...string) List {
	lists := d.sendersOf(id)
	if len(lists.Standing) == 0 {
		return ""
	}
	var standing List
	best := -1
	for _, a := range addresses {
		at, list := lists.standing(a)
		if list != "" && (best < 0 || at < best || at == best && list == Allowed) {
			best, standing = at, list
		}
	}
	return standing
}

// standing finds the entry that says most of an address; at grows as it says less.
func (s *senders) standing(text string) (at int, list List) {
	a, err := parseAddress(text)
	if err != nil {
		return 0, ""
	}
	if list = s.Standing[a.String()]; list != "" {
		return 0, list
	}
	if base, _, ok := splitDetail(a.local); ok {
		if list = s.Standing[base+"@"+a.domain]; list != "" {
			return 1, list
		}
	}
	at = 2
	for domain := range domainsFrom(a.domain) {
		if list = s.Standing[domain]; list != "" {
			return at, list
		}
		at++
	}
	return 0, ""
}

// domainsFrom iterates over a domain and those above it.
func domainsFrom(domain string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for domain != "" && yield(domain) {
			_, domain, _ = strings.Cut(domain, ".")
		}
	}
}

// Hop is a host that hands a message to us, as far as that is proven.
type Hop struct {
	Client netip.Addr
	// Names are those of the client that lead back to it.
	Names []string
	// ReversePath is the sender of the message, if SPF passes for it.
	ReversePath string
}

// IsForwarder reports whether a hop is on the account's list of forwarders: by
// its network, by a name of it within a domain of the list, or by the
// reverse-path, if that is an address of the list or within a domain of it.
func (d *Directory) IsForwarder(id mailbox.AccountID, h Hop) bool {
	lists := d.sendersOf(id)
	if len(lists.Forwarders) == 0 {
		return false
	}
	path, err := parseAddress(h.ReversePath)
	if err == nil {
		if base, _, ok := splitDetail(path.local); ok && slices.Contains(lists.Forwarders, base+"@"+path.domain) {
			return true
		}
	}
	return slices.ContainsFunc(lists.Forwarders, func(entry string) bool {
		switch {
		case strings.Contains(entry, "/"):
			p, err := netip.ParsePrefix(entry)
			return err == nil && p.Contains(h.Client.Unmap().WithZone(""))
		case strings.Contains(entry, "@"):
			return err == nil && path.String() == entry
		}
		within := func(name string) bool { return name == entry || strings.HasSuffix(name, "."+entry) }
		return err == nil && within(path.domain) || slices.ContainsFunc(h.Names, func(n string) bool { return within(foldDomain(n)) })
	})
}

// isGranted reports whether an address is on the account's list of those it may send as: itself, also with
// a plus-detail, its domain or one above it.
func (d *Directory) isGranted(id mailbox.AccountID, text string) bool {
	lists := d.sendersOf(id)
	a, err := parseAddress(text)
	if err != nil || len(lists.SendAs) == 0 {
		return false
	}
	base, _, _ := splitDetail(a.local)
	return slices.ContainsFunc(lists.SendAs, func(entry string) bool {
		return entry == a.String() || entry == base+"@"+a.domain || entry == a.domain || strings.HasSuffix(a.domain, "."+entry)
	})
}

func (d *Directory) sendersOf(id mailbox.AccountID) senders {
	d.mu.RLock()
	defer d.mu.RUnlock()
	if a := d.names.accounts[id]; a != nil {
		return a.Senders
	}
	return senders{}
}
