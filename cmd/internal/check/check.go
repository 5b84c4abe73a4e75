// Package check says whether a mail host is in order: what the DNS tells the world of it and of its domains, how it is reached,
// and how the machine is. A check is a judgement over values and over probes behind small interfaces, so that each fault can be
// tried without a network; what is wrong comes with why it matters, and with the record or the command that mends it.
//
// Whoever shows how the host is without asking anybody reads what the last daily round has found by LastRound.
package check

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"mailstead/smtp/dns"
	"mailstead/smtp/mailauth"
	"mailstead/smtp/mtasts"
)

// State is what a check came to.
type State string

// The states. Unknown is no fault: nobody could say.
const (
	OK      State = "ok"
	Wrong   State = "wrong"
	Unknown State = "unknown"
	Info    State = "info" // not wrong, and not as good as it could be
)

// Result is what one check found of one thing.
type Result struct {
	ID      string `json:"id"`               // of the check, like domain.spf
	Domain  string `json:"domain,omitempty"` // that it is about, "" for the host
	Subject string `json:"subject"`          // the name, address or part that was looked at
	State   State  `json:"state"`
	Found   string `json:"found"`
	Why     string `json:"why,omitempty"`    // it matters; for what is wrong
	Remedy  string `json:"remedy,omitempty"` // the record or command that mends it, in one line
}

// Resolver asks the DNS. A dns.Resolver is one; it should remember nothing from before, so that what was mended is seen.
// Errors are of type *dns.Error.
type Resolver interface {
	mailauth.HostResolver
	LookupAddrs(ctx context.Context, host string) (dns.Answer[netip.Addr], error)
	LookupSRV(ctx context.Context, name string) (dns.Answer[dns.SRV], error)
	LookupTLSA(ctx context.Context, name string) (dns.Answer[dns.TLSA], error)
	LookupCAA(ctx context.Context, name string) (dns.Answer[dns.CAA], error)
}

// Options are what a round of checks works with.
type Options struct {
	// Host is what the server knows of itself.
	Host Host
	// Domains are those to be looked at.
	Domains []Domain
	// DomainsOnly leaves the host out.
	DomainsOnly bool
	// Only names checks: an ID, its last word, its first word, or a pattern of path.Match. "" = all.
	Only string
	// Loop tries from here whether the public mail exchanger takes mail for each domain.
	Loop bool
	// Resolver answers look-ups; one that has nobody to ask leaves all out that needs the DNS.
	Resolver Resolver
	// Dial connects to the server's own listeners and to its public addresses.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// DialWorld connects to other hosts by their names; nil: no other host is tried.
	DialWorld func(ctx context.Context, network, address string) (net.Conn, error)
	// Policy fetches the MTA-STS policy of a domain as other servers would.
	Policy func(ctx context.Context, domain string) (mtasts.Policy, error)
	// Now is the clock. nil = time.Now.
	Now func() time.Time
	// Timeout bounds the whole round. 0 = 20 s.
	Timeout time.Duration
}

// ErrNoSuchCheck says that Options.Only fits no check.
var ErrNoSuchCheck = errors.New("no check has that name")

// roundTime is how long a round takes at most: somebody waits for it, and one resolver that does not answer takes 10 s.
const roundTime = 20 * time.Second

// kind is a kind of check.
type kind struct {
	id  string
	why string // what is wrong matters
	dns bool   // it needs the DNS
	run func(context.Context, *visit) []Result
}

// visit is one check with what it looks at.
type visit struct {
	*Options
	domain *Domain // nil for a check of the host
}

// Run makes a round: all checks at once, each result in its place. ErrNoSuchCheck.
func Run(ctx context.Context, o Options) ([]Result, error) {
	if o.Only != "" && !slices.ContainsFunc(slices.Concat(hostChecks, domainChecks), func(k kind) bool { return k.named(o.Only) }) {
		return nil, fmt.Errorf("%w: %s", ErrNoSuchCheck, o.Only)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Timeout == 0 {
		o.Timeout = roundTime
	}
	ctx, cancel := context.WithTimeout(ctx, o.Timeout)
	defer cancel()
	all := o.planned()
	found := make([][]Result, len(all))
	var running sync.WaitGroup
	for i, p := range all {
		running.Go(func() { found[i] = p.make(ctx) })
	}
	running.Wait()
	return slices.Concat(found...), nil
}

// plan is a check that is to be made.
type plan struct {
	kind
	visit visit
}

// planned are the checks of a round, in the order in which they are read.
func (o *Options) planned() (all []plan) {
	add := func(k kind, d *Domain) {
		if (o.Only == "" || k.named(o.Only)) && !(k.dns && mailauth.Offline(o.Resolver)) {
			all = append(all, plan{k, visit{o, d}})
		}
	}
	if !o.DomainsOnly {
		for _, k := range hostChecks {
			add(k, nil)
		}
	}
	for i := range o.Domains {
		for _, k := range domainChecks {
			add(k, &o.Domains[i])
		}
	}
	return all
}

func (p *plan) make(ctx context.Context) []Result {
	results := p.run(ctx, &p.visit)
	for i := range results {
		r := &results[i]
		r.ID = p.id
		if p.visit.domain != nil {
			r.Domain = p.visit.domain.Name
		}
		if r.State == Wrong {
			r.Why = p.why
		}
	}
	return results
}

// named reports whether a check is meant by a name.
func (k kind) named(name string) bool {
	first, last, _ := strings.Cut(k.id, ".")
	matched, err := path.Match(name, k.id)
	return name == first || name == last || err == nil && matched
}

// Failed counts what is wrong.
func Failed(results []Result) (n int) {
	for _, r := range results {
		if r.State == Wrong {
			n++
		}
	}
	return n
}

func ok(subject, format string, args ...any) Result {
	return Result{Subject: subject, State: OK, Found: fmt.Sprintf(format, args...)}
}

func wrong(subject, remedy, format string, args ...any) Result {
	return Result{Subject: subject, State: Wrong, Found: fmt.Sprintf(format, args...), Remedy: remedy}
}

func info(subject, remedy, format string, args ...any) Result {
	return Result{Subject: subject, State: Info, Found: fmt.Sprintf(format, args...), Remedy: remedy}
}

// unknown is what a look-up or a connection came to that has failed without saying anything of the host.
func unknown(subject string, err error) Result {
	return Result{Subject: subject, State: Unknown, Found: words(err)}
}

// words are what an error says, for people.
func words(err error) string {
	if errors.Is(err, context.DeadlineExceeded) {
		return "no answer in time"
	}
	return err.Error()
}
