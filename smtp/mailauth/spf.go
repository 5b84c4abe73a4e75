package mailauth

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"mailstead/smtp/dns"
)

const (
	// spfTimeout is for one whole check. RFC 7208 section 4.6.4 wants at least
	// 20 seconds.
	spfTimeout = 20 * time.Second
	// maxSPFLookups is the number of terms in a check that may ask the DNS, and
	// that of MX records or PTR names of one term (RFC 7208 section 4.6.4).
	maxSPFLookups = 10
	// maxSPFVoid is how many of them may find nothing (RFC 7208 section 4.6.4).
	maxSPFVoid = 2
	// maxSPFRecord is the longest record that is read, in bytes: records are to
	// fit into 512 (RFC 7208 section 3.4), the longest ones seen have 4,000.
	maxSPFRecord = 8192
	// maxSPFExplanation is the longest text of a stranger that is passed on, in
	// bytes: what stands beside it has to fit into a reply line of 512 (RFC 5321
	// section 4.5.3.1.5).
	maxSPFExplanation = 300
)

// HostResolver looks up what SPF, iprev and DNS lists ask for. A dns.Resolver
// is one. Errors are of type *dns.Error.
type HostResolver interface {
	Resolver
	// LookupMX gives the mail exchangers of domain, the most preferred first.
	LookupMX(ctx context.Context, domain string) (dns.Answer[dns.MX], error)
	// LookupA gives the IPv4 addresses of host.
	LookupA(ctx context.Context, host string) (dns.Answer[netip.Addr], error)
	// LookupAAAA gives the IPv6 addresses of host.
	LookupAAAA(ctx context.Context, host string) (dns.Answer[netip.Addr], error)
	// LookupPTR gives the well-formed names of an address, in lower case.
	LookupPTR(ctx context.Context, addr netip.Addr) (dns.Answer[string], error)
}

// SPF checks whether a client may send for a domain (RFC 7208). Its methods may
// be called at the same time.
type SPF struct {
	// Resolver answers the look-ups.
	Resolver HostResolver
	// Receiver is our host name, for explanations that name it. Default
	// "unknown" (RFC 7208 section 7.3).
	Receiver string
	// Timeout bounds a check; what takes longer is TempError. Default 20 s.
	Timeout time.Duration
	// Now is the clock of explanations. Default time.Now.
	Now func() time.Time
	// Records keeps records from one check to the next. nil = each check reads its own.
	Records *Records
}

// SPFIdentity tells what a check was made of, in the words of
// Authentication-Results (RFC 8601 section 2.7.2).
type SPFIdentity string

// The identities of RFC 7208 sections 2.3 and 2.4.
const (
	SPFHelo     SPFIdentity = "helo"
	SPFMailFrom SPFIdentity = "mailfrom"
)

// SPFResult is what a check came to.
type SPFResult struct {
	// Result is None, Neutral, Pass, Fail, SoftFail, TempError or PermError.
	Result Result
	// Identity is what was checked.
	Identity SPFIdentity
	// Domain is the domain that was asked, in A-labels; as the client gave it
	// where it is not a domain name.
	Domain string
	// Sender is the address that was checked: the reverse-path, or postmaster
	// at the name of HELO.
	Sender string
	// Mechanism is the term that decided, as it stands in the record, and
	// "default" where none did. Empty for None, TempError and PermError.
	Mechanism string
	// MechanismDomain is where that term was found: Domain, or where its record
	// redirects to.
	MechanismDomain string
	// Explanation is the domain owner's text for a Fail: a stranger's words, in
	// printable ASCII, at most 300 bytes. Empty if there is none.
	Explanation string
	// Err is the reason of None, TempError and PermError.
	Err error
}

// The reasons why there is nothing to check, or no way to do it.
var (
	errSPFDomain    = errors.New("not a domain name of two labels or more")
	errSPFNoRecord  = errors.New("no SPF record")
	errSPFRecords   = errors.New("more than one SPF record")
	errSPFLookups   = fmt.Errorf("more than %d terms that ask the DNS", maxSPFLookups)
	errSPFVoid      = fmt.Errorf("more than %d look-ups that find nothing", maxSPFVoid)
	errSPFTooManyMX = fmt.Errorf("more than %d mail exchangers", maxSPFLookups)
)

// CheckHelo checks the name that the client at ip gave with HELO or EHLO (RFC
// 7208 section 2.3). Address literals and names of one label are None.
func (s *SPF) CheckHelo(ctx context.Context, ip netip.Addr, helo string) SPFResult {
	r := s.check(ctx, ip, helo, "postmaster", helo)
	r.Identity = SPFHelo
	return r
}

// CheckMailFrom checks the reverse-path that the client at ip gave with MAIL,
// without angle brackets, possibly with a Unicode domain (RFC 8616 section 4).
// With the null reverse-path it checks postmaster at the name of HELO (RFC 7208
// section 2.4).
func (s *SPF) CheckMailFrom(ctx context.Context, ip netip.Addr, helo, mailFrom string) SPFResult {
	local, domain := "postmaster", helo
	if mailFrom != "" {
		// A quoted local part may hold an @, a domain may not.
		at := strings.LastIndexByte(mailFrom, '@')
		if at > 0 {
			local = mailFrom[:at]
		}
		domain = mailFrom[at+1:]
		if at < 0 {
			domain = ""
		}
	}
	r := s.check(ctx, ip, helo, local, domain)
	r.Identity = SPFMailFrom
	return r
}

// check is check_host() of RFC 7208 section 4, with its limits.
func (s *SPF) check(ctx context.Context, ip netip.Addr, helo, local, domain string) SPFResult {
	r := SPFResult{Domain: domain, Sender: local + "@" + domain}
	ascii, err := spfDomain(domain)
	if err != nil {
		r.Result, r.Err = None, err
		return r
	}
	if ascii != domain {
		r.Domain, r.Sender = ascii, local+"@"+ascii
	}
	if Offline(s.Resolver) {
		r.Result, r.Err = None, dns.ErrDisabled
		return r
	}
	timeout := s.Timeout
	if timeout <= 0 {
		timeout = spfTimeout
	}
	ctx, cancel := bounded(ctx, timeout)
	defer cancel()
	c := spfCheck{
		resolver: s.Resolver, ip: ip.Unmap().WithZone(""), helo: helo,
		local: local, senderDomain: ascii, receiver: s.Receiver, now: s.Now, records: s.Records,
	}
	o := c.doubt(c.checkHost(ctx, ascii))
	r.Result, r.Mechanism, r.MechanismDomain, r.Err = o.result, o.term, o.domain, o.err
	if r.Result == Fail {
		r.Explanation = c.explain(ctx, o)
	}
	return r
}

// spfDomain gives the A-labels of a domain that can be asked for a record (RFC
// 7208 section 4.3).
func spfDomain(domain string) (string, error) {
	ascii, err := dns.ASCII(domain)
	if err != nil {
		return "", fmt.Errorf("%w: %w", errSPFDomain, err)
	}
	if !strings.Contains(ascii, ".") {
		return "", errSPFDomain
	}
	return ascii, nil
}

// lookupFailed is the result of a method whose look-up failed without an
// answer: nothing was tried where no DNS server is configured.
func lookupFailed(err error) Result {
	if errors.Is(err, dns.ErrDisabled) {
		return None
	}
	return TempError
}
