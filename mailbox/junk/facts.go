package junk

import "net/netip"

// Result is what a check of a sender came to, in the words of RFC 8601 section 2.7: "pass", "fail", "softfail", "none" …;
// empty where nothing was checked.
type Result string

// The results that count. Others, and temporary errors above all, speak neither for nor against a letter.
const (
	Pass     Result = "pass"
	Fail     Result = "fail"
	SoftFail Result = "softfail"
)

// Facts are what is known of a letter besides its bytes. The zero value says that nothing is.
//
// What is learned and unlearned depends on them: a lesson can be undone only with the Facts it was taught with, so keep to
// what the letter's own trace header tells, but for the reputation, which no lesson depends on.
type Facts struct {
	// SPF, DKIM, DMARC and ARC are the results for the sender, IPRev that of the client's names.
	SPF, DKIM, DMARC, ARC, IPRev Result
	// Domain is the domain that is proved to be responsible for the letter, in lower case: by DMARC, else of a DKIM
	// signature, else by SPF. Empty if none is.
	Domain string
	// Client is the address of the client; the zero value if it is not known.
	Client netip.Addr
	// Helo says that the client's name is not one that an honest client uses.
	Helo bool
	// Blocked and Allowed say that a list of bad or of good clients has it.
	Blocked, Allowed bool

	// WrittenTo says that the owner of the mailbox has written to the author. A reputation.
	WrittenTo bool
	// Rescued says that the owner took mail of the author out of Junk. A reputation.
	Rescued bool
}

// known reports whether the author has a good name with the owner: one that is not proved to be somebody else's.
func (f *Facts) known() bool { return (f.WrittenTo || f.Rescued) && f.DMARC != Fail }

// addTo makes features of what lessons may depend on.
func (f *Facts) addTo(l *Letter) {
	for _, r := range [...]struct {
		name   string
		result Result
	}{{"SPF", f.SPF}, {"DKIM", f.DKIM}, {"DMARC", f.DMARC}, {"ARC", f.ARC}, {"iprev", f.IPRev}} {
		if r.result != "" {
			l.add(kindFact, r.name, string(r.result))
		}
	}
	if f.Domain != "" {
		l.add(kindDomain, f.Domain)
	}
	if network, ok := network(f.Client); ok {
		l.add(kindClient, network)
	}
	if f.Helo {
		l.add(kindFact, "HELO", "odd")
	}
	if f.Blocked {
		l.add(kindFact, "client", "blocked")
	}
	if f.Allowed {
		l.add(kindFact, "client", "allowed")
	}
}

// network is the network of a client: what one sender usually has, 256 addresses of IPv4 or a /48 of IPv6 (RFC 6177
// section 2).
func network(client netip.Addr) (string, bool) {
	client = client.Unmap()
	bits := 48
	if client.Is4() {
		bits = 24
	}
	p, err := client.WithZone("").Prefix(bits)
	return p.String(), err == nil && client.IsValid()
}
