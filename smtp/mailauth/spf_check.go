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

// spfCheck is one check with what it has used up so far.
type spfCheck struct {
	resolver     HostResolver
	ip           netip.Addr // IPv4 where it was mapped into IPv6
	helo         string
	local        string // of the sender
	senderDomain string // in A-labels
	receiver     string
	now          func() time.Time
	records      *Records

	lookups int
	void    int
	named   bool     // names is known
	names   []string // of ip, validated
	unnamed error    // why there may be more of them
}

// spfOutcome is what a record came to.
type spfOutcome struct {
	result Result
	domain string   // whose record it was
	term   string   // that decided
	exp    spfMacro // of that record
	err    error
}

// spfError ends a check with a result of its own.
type spfError struct {
	result Result
	err    error
}

func (e *spfError) Error() string { return e.err.Error() }
func (e *spfError) Unwrap() error { return e.err }

func permanent(err error) error { return &spfError{PermError, err} }

// outcomeOf is what a check that err ended came to.
func outcomeOf(domain string, err error) spfOutcome {
	o := spfOutcome{result: lookupFailed(err), domain: domain, err: err}
	var e *spfError
	if errors.As(err, &e) {
		o.result = e.result
	}
	return o
}

// checkHost evaluates the record of a domain and those it redirects to. It is
// recursive by include, as deep as the number of look-ups allows.
func (c *spfCheck) checkHost(ctx context.Context, domain string) spfOutcome {
	for redirected := false; ; redirected = true {
		record, err := c.record(ctx, domain)
		if err != nil {
			o := outcomeOf(domain, err)
			// RFC 7208 section 6.1: there must be something behind a redirect.
			if redirected && o.result == None {
				o.result = PermError
			}
			return o
		}
		o, matched := c.evaluate(ctx, domain, record)
		if matched || record.redirect == nil || c.unusable(record.redirect) {
			return o
		}
		next, err := spfDomain(c.target(ctx, record.redirect, domain))
		if err == nil {
			err = c.count()
		}
		if err != nil {
			return outcomeOf(domain, permanent(fmt.Errorf("redirect of %s: %w", domain, err)))
		}
		domain = next
	}
}

// record fetches the record of a domain (RFC 7208 sections 4.4 and 4.5).
func (c *spfCheck) record(ctx context.Context, domain string) (*spfRecord, error) {
	answer, err := c.resolver.LookupTXT(ctx, domain)
	switch {
	case dns.IsNotFound(err):
		return nil, &spfError{None, errSPFNoRecord}
	case err != nil:
		return nil, err
	}
	text, found := "", false
	for _, t := range answer.Records {
		if !isSPFRecord(t) {
			continue
		}
		if found {
			return nil, permanent(fmt.Errorf("%s: %w", domain, errSPFRecords))
		}
		text, found = t, true
	}
	if !found {
		return nil, &spfError{None, errSPFNoRecord}
	}
	record, err := c.records.spfRecord(text)
	if err != nil {
		return nil, permanent(fmt.Errorf("SPF record of %s: %w", domain, err))
	}
	return record, nil
}

// evaluate looks for the first directive that matches. Without one the result
// is Neutral (RFC 7208 section 4.7), unless the record redirects.
func (c *spfCheck) evaluate(ctx context.Context, domain string, record *spfRecord) (o spfOutcome, matched bool) {
	for i := range record.directives {
		d := &record.directives[i]
		matched, err := c.matches(ctx, domain, d)
		if err != nil {
			return outcomeOf(domain, fmt.Errorf("%.80q of %s: %w", d.text, domain, err)), true
		}
		if matched {
			return spfOutcome{result: d.result, domain: domain, term: d.text, exp: record.exp}, true
		}
	}
	return spfOutcome{result: Neutral, domain: domain, term: "default"}, false
}

// matches evaluates one directive of domain's record.
func (c *spfCheck) matches(ctx context.Context, domain string, d *spfDirective) (bool, error) {
	switch d.mechanism {
	case spfAll:
		return true, nil
	case spfIP4, spfIP6:
		return d.network.Contains(c.ip), nil
	}
	if err := c.count(); err != nil {
		return false, err
	}
	if c.unusable(d.target) {
		return false, nil
	}
	target := c.target(ctx, d.target, domain)
	switch d.mechanism {
	case spfInclude:
		return c.include(ctx, target)
	case spfA:
		addrs, err := c.addresses(ctx, target)
		return c.among(addrs, d), c.tally(err)
	case spfMX:
		return c.mx(ctx, target, d)
	case spfPTR:
		return c.ptr(ctx, target), nil
	default: // exists: always IPv4 (RFC 7208 section 5.7)
		_, err := c.resolver.LookupA(ctx, target)
		return err == nil, c.tally(err)
	}
}

// count takes one of the look-ups that the terms of a check have.
func (c *spfCheck) count() error {
	if c.lookups++; c.lookups > maxSPFLookups {
		return permanent(errSPFLookups)
	}
	return nil
}

// tally lets a look-up that found nothing pass as often as is allowed. A name
// that cannot exist was not looked up (RFC 7208 section 4.8).
func (c *spfCheck) tally(err error) error {
	if !dns.IsNotFound(err) {
		return err
	}
	if errors.Is(err, dns.ErrBadName) {
		return nil
	}
	if c.void++; c.void > maxSPFVoid {
		return permanent(errSPFVoid)
	}
	return nil
}

// include is the table of RFC 7208 section 5.2.
func (c *spfCheck) include(ctx context.Context, target string) (bool, error) {
	target, err := spfDomain(target)
	if err != nil {
		return false, permanent(err)
	}
	o := c.checkHost(ctx, target)
	switch o.result {
	case Pass:
		return true, nil
	case Fail, SoftFail, Neutral:
		return false, nil
	case TempError:
		return false, &spfError{TempError, o.err}
	default:
		return false, permanent(o.err)
	}
}

// addresses gives the addresses of host that can equal the client's.
func (c *spfCheck) addresses(ctx context.Context, host string) ([]netip.Addr, error) {
	return hostAddresses(ctx, c.resolver, host, c.ip)
}

// among tells whether the client is one of addrs, or in their networks of the
// length that d names.
func (c *spfCheck) among(addrs []netip.Addr, d *spfDirective) bool {
	bits := d.bits6
	if c.ip.Is4() {
		bits = d.bits4
	}
	for _, a := range addrs {
		if netip.PrefixFrom(a, bits).Contains(c.ip) {
			return true
		}
	}
	return false
}

// mx asks for a domain's exchangers and their addresses, one after the other,
// as the first one usually matches.
func (c *spfCheck) mx(ctx context.Context, target string, d *spfDirective) (bool, error) {
	answer, err := c.resolver.LookupMX(ctx, target)
	if err != nil {
		return false, c.tally(err)
	}
	if len(answer.Records) > maxSPFLookups {
		return false, permanent(errSPFTooManyMX)
	}
	for _, mx := range answer.Records {
		if mx.Host == "" { // RFC 7505
			continue
		}
		// Exchangers of the other family only are no void look-ups: what counts
		// is that the term found something.
		addrs, err := c.addresses(ctx, mx.Host)
		if err != nil && !dns.IsNotFound(err) {
			return false, err
		}
		if c.among(addrs, d) {
			return true, nil
		}
	}
	return false, nil
}

// doubt takes back what a record came to where the client's names mattered and could
// not be looked up for now. RFC 7208 section 5.5 makes that "no match", which would
// be a refusal for good of mail that passes a minute later.
func (c *spfCheck) doubt(o spfOutcome) spfOutcome {
	if c.unnamed == nil || o.result != Fail && o.result != SoftFail && o.result != Neutral {
		return o
	}
	return outcomeOf(o.domain, fmt.Errorf("names of %s: %w", c.ip, c.unnamed))
}

// ptr tells whether a validated name of the client is target or below it. DNS
// errors are no match (RFC 7208 section 5.5); nor does a missing name count as
// void: it is the client's, not the domain's.
func (c *spfCheck) ptr(ctx context.Context, target string) bool {
	target = strings.ToLower(strings.TrimSuffix(target, "."))
	for _, name := range c.clientNames(ctx) {
		if isSubdomain(name, target) {
			return true
		}
	}
	return false
}

// clientNames gives the names of the client that lead back to it, and asks for
// them once.
func (c *spfCheck) clientNames(ctx context.Context) []string {
	if !c.named {
		c.named = true
		c.names, c.unnamed = validatedNames(ctx, c.resolver, c.ip) // errors are no names (RFC 7208 section 5.5)
		if dns.IsNotFound(c.unnamed) || errors.Is(c.unnamed, dns.ErrDisabled) {
			c.unnamed = nil
		}
	}
	return c.names
}
