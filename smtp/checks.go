package smtp

import (
	"net/netip"
	"slices"

	"mailstead/smtp/dns"
	"mailstead/smtp/feedback"
	"mailstead/smtp/mailauth"
)

// Checks are what is found out about mail from outside, and how it is decided
// on. Resolver is needed, the zero value of each other field is good.
type Checks struct {
	// Resolver answers the look-ups.
	Resolver mailauth.HostResolver
	// RecordOnly writes down what was found about the sender, but nothing is refused or filed
	// into Junk for it: only accounts' lists and the filter decide.
	RecordOnly bool
	// TrustedRelays are hosts that hand mail on to us: another exchanger of
	// ours, a tunnel, the provider of before. Their mail is judged by the host
	// that they had it from, and never refused for what it is.
	TrustedRelays []netip.Prefix
	// Own are the operator's own hosts, whose conduct is not watched: they may
	// send as much as they like, and have a greeting at once.
	Own []netip.Prefix
	// Blocked and Allowed are lists of clients whose mail is refused, and of
	// clients that can be trusted.
	Blocked, Allowed []mailauth.DNSList
	// Overrides are what is done with mail in a domain's name, or in the name of
	// one below it. The domains are in A-labels.
	Overrides map[string]mailauth.Override
	// Rules are those of the decision.
	Rules mailauth.Rules
	// Senders are the lists of senders that accounts have. nil = none have any.
	Senders Senders
	// Greylist lets suspicious strangers come twice. nil = nobody has to.
	Greylist *Greylist
	// Filter judges what messages say. nil = nothing is thought of it.
	Filter Filter
	// Rejected keeps copies of mail that is refused for what it says. nil = none are kept.
	Rejected Rejected
	// Observe is told what was found about each message, for the reports that authors' domains ask for. nil = nobody is.
	Observe func(feedback.Observation)
	// Names gives the names and domains that are ours: a client that says HELO
	// with one lies, and so does an Authentication-Results field that is there
	// already. nil = the server's Hostname alone.
	Names func() []string
}

// trusts reports whether a host is a trusted relay.
func (c *Checks) trusts(ip netip.Addr) bool {
	ip = ip.Unmap().WithZone("")
	return slices.ContainsFunc(c.TrustedRelays, func(p netip.Prefix) bool { return p.Contains(ip) })
}

// within reports whether the client is in a network.
func (s *session) within(p netip.Prefix) bool { return p.Contains(s.remote.Unmap().WithZone("")) }

// isClient reports whether ip is the other end of the connection.
func (s *session) isClient(ip netip.Addr) bool { return ip == s.remote.Unmap().WithZone("") }

// ours are the names of this server as they were when the client said its own.
func (s *session) ours() []string {
	if s.names == nil {
		s.names = s.server.names()
	}
	return s.names
}

// names are those that are ours, in A-labels.
func (s *manner) names() []string {
	names := []string{s.o.Hostname}
	if s.o.Checks.Names != nil {
		names = append(names, s.o.Checks.Names()...)
	}
	for i, n := range names {
		if ascii, err := dns.ASCII(n); err == nil {
			names[i] = ascii
		}
	}
	return names
}
