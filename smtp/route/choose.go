package route

import (
	"cmp"
	"slices"
	"strings"

	"mailstead/mailbox"
	"mailstead/smtp/dns"
)

// Mail is what the choice of a route looks at: a message to the recipients of one domain.
type Mail struct {
	From        string            // reverse-path without brackets; "" is the null one, of no domain
	Account     mailbox.AccountID // who submitted it; 0 for mail from outside and our own notices
	To          string            // the recipients' domain in A-labels and lower case
	Attempts    int               // failed ones
	Unreachable bool              // one of them reached no server at all
	Via         *Hop              // what an administrator has decided; nil = nothing
}

// Choose gives the way that a message takes now. Of the routes that are for it, the most specific counts: one that
// names the recipients' domain before one that does not, the longer domain before the shorter; then one that names
// the account; then one that names the sender's domain, the longer before the shorter; then, once enough attempts
// have failed or nobody was reached, a fall-back before one that is none. Without a route it is the direct way.
func Choose(routes []Route, m Mail) Route {
	if m.Via != nil {
		return via(routes, m)
	}
	return best(routes, m)
}

func best(routes []Route, m Mail) Route {
	var found Route
	var foundRank rank
	for _, r := range routes {
		if k, ok := r.rank(m); ok && (found.Name == "" || k.compare(foundRank) > 0) {
			found, foundRank = r, k
		}
	}
	return found
}

// via is the way that an administrator has decided on. A login for it is that of a route there, if the route is for
// mail of this sender: nobody's mail goes in another's name.
func via(routes []Route, m Mail) Route {
	if *m.Via == (Hop{}) {
		return Route{}
	}
	there := slices.DeleteFunc(slices.Clone(routes), func(r Route) bool {
		return r.Hop.Host != m.Via.Host || r.Hop.Port != m.Via.Port
	})
	for i := range there {
		there[i].To, there[i].After = nil, 0
	}
	if r := best(there, m); r.Name != "" {
		return r
	}
	return Route{Name: "(" + m.Via.String() + ")", Hop: *m.Via}
}

// rank is how specific a route is for a message: labels of the recipients' domain, 1 for the account, labels of the
// sender's domain, and whether it is a fall-back. The first difference decides.
type rank [4]int

func (k rank) compare(o rank) int { return slices.Compare(k[:], o[:]) }

// rank tells whether a route is for a message.
func (r Route) rank(m Mail) (k rank, ok bool) {
	if r.After > 0 {
		if m.Attempts < r.After && !m.Unreachable {
			return k, false
		}
		// Of two the one whose time has come last; of those that come early, the first.
		k[3] = maxAfter + 1 + r.After
		if m.Attempts < r.After {
			k[3] = maxAfter + 1 - r.After
		}
	}
	if len(r.To) > 0 {
		if k[0] = longest(r.To, m.To); k[0] == 0 {
			return k, false
		}
	}
	if len(r.Accounts) > 0 {
		if m.Account == 0 || !slices.Contains(r.Accounts, m.Account) {
			return k, false
		}
		k[1] = 1
	}
	if len(r.From) > 0 {
		if k[2] = longest(r.From, domainOf(m.From)); k[2] == 0 {
			return k, false
		}
	}
	return k, true
}

// longest is how many labels the longest of the domains has that name is, or is below; 0 = of none.
func longest(domains []string, name string) int {
	most := 0
	for _, d := range domains {
		if name == d || strings.HasSuffix(name, "."+d) {
			most = max(most, strings.Count(d, ".")+1)
		}
	}
	return most
}

// domainOf is the domain of a reverse-path, as routes name it; "" of the null one.
func domainOf(address string) string {
	_, domain, _ := strings.Cut(address[max(strings.LastIndexByte(address, '@'), 0):], "@")
	ascii, err := dns.ASCII(domain)
	if err != nil {
		return ""
	}
	return ascii
}

// same tells whether there can be mail that two routes are for alike, so that nobody could say which it takes.
func (r Route) same(o Route) bool {
	return r.After == o.After && meet(r.To, o.To) && meet(r.Accounts, o.Accounts) && meet(r.From, o.From)
}

// meet tells whether two lists are both empty, or have a member in common.
func meet[E cmp.Ordered](a, b []E) bool {
	if len(a) == 0 || len(b) == 0 {
		return len(a) == len(b)
	}
	return slices.ContainsFunc(a, func(e E) bool { return slices.Contains(b, e) })
}
