package mailauth

import (
	"context"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"mailstead/smtp/dns"
)

// DMARCPublished is what a DMARC Policy Record says, as reports repeat it (RFC 9990 section 3.1.1.5).
type DMARCPublished struct {
	P          DMARCPolicy // "none" where the record has none that can be used
	SP, NP     DMARCPolicy // "" where they are not given
	StrictDKIM bool        // adkim=s
	StrictSPF  bool        // aspf=s
	Testing    bool        // t=y
	Reports    string      // rua: URIs with commas between
}

// Published reads the DMARC Policy Record at the very domain, in A-labels; ok is false where it has none. An error
// is temporary.
func (d *DMARC) Published(ctx context.Context, domain string) (p DMARCPublished, ok bool, err error) {
	w := &treeWalker{resolver: d.Resolver, known: make(map[string]*dmarcRecord)}
	r, err := w.record(ctx, domain)
	if err != nil || r == nil {
		return p, false, err
	}
	return DMARCPublished{
		P: r.assessment(), SP: r.sp, NP: r.np, StrictDKIM: r.strictDKIM, StrictSPF: r.strictSPF, Testing: r.testing, Reports: r.reports,
	}, true, nil
}

// ReportAddress is where a report is to be sent.
type ReportAddress struct {
	Address string // without brackets, its domain in A-labels
	MaxSize int64  // octets that a letter may have there; 0 = nothing is said
}

// maxReportAddresses is how many URIs of a record are looked at: real ones have one to three.
const maxReportAddresses = 5

// ReportAddresses gives the addresses of rua, in the record of a domain, that want reports about it: those that
// are not of its Organizational Domain have to say so themselves (RFC 9990 section 4). Where that cannot be
// found out for now it is an error.
func (d *DMARC) ReportAddresses(ctx context.Context, domain, rua string) ([]ReportAddress, error) {
	w := &treeWalker{resolver: d.Resolver, known: make(map[string]*dmarcRecord)}
	var all []ReportAddress
	for _, a := range ParseReportURIs(rua) {
		allowed, err := w.reportsAllowed(ctx, domain, a)
		if err != nil {
			return nil, err
		}
		for _, a := range allowed {
			if !slices.ContainsFunc(all, func(b ReportAddress) bool { return b.Address == a.Address }) {
				all = append(all, a)
			}
		}
	}
	return all, nil
}

// reportsAllowed gives what an address comes to: itself, what its domain names instead, or nothing.
func (w *treeWalker) reportsAllowed(ctx context.Context, domain string, a ReportAddress) ([]ReportAddress, error) {
	_, host, _ := strings.Cut(a.Address, "@")
	from, err := w.walk(ctx, domain)
	if err != nil {
		return nil, err
	}
	to, err := w.walk(ctx, host)
	if err != nil {
		return nil, err
	}
	if organization(domain, from) == organization(host, to) {
		return []ReportAddress{a}, nil
	}
	name := domain + "._report._dmarc." + host
	if len(name) > maxDomainName {
		return nil, nil
	}
	answer, err := w.resolver.LookupTXT(ctx, name)
	if err != nil && !dns.IsNotFound(err) {
		return nil, err
	}
	for _, text := range answer.Records {
		r, ok := parseDMARCRecord(text)
		if !ok {
			continue
		}
		if r.reports == "" {
			return []ReportAddress{a}, nil
		}
		instead := ParseReportURIs(r.reports)
		if slices.ContainsFunc(instead, func(b ReportAddress) bool { return !strings.HasSuffix(b.Address, "@"+host) }) {
			return nil, nil // step 9: nobody is led on
		}
		return instead, nil
	}
	return nil, nil
}

// maxDomainName is the octets of a domain name as it is written (RFC 1035 section 3.1).
const maxDomainName = 253

// ParseReportURIs gives the mail addresses of a list of URIs, five at most; others, and what is malformed, are
// passed over (RFC 9990 section 3.5). A size behind "!" is that of RFC 7489 section 6.4.
func ParseReportURIs(list string) []ReportAddress {
	var all []ReportAddress
	for uri := range strings.SplitSeq(list, ",") {
		if len(all) == maxReportAddresses {
			break
		}
		uri, size, _ := strings.Cut(strings.Trim(uri, " \t"), "!")
		if a, ok := parseMailto(uri); ok {
			all = append(all, ReportAddress{a, parseReportSize(size)})
		}
	}
	return all
}

// parseMailto gives the one address of a mailto URI (RFC 6068). It has to be a plain one: letters, digits
// and what else atoms are made of.
func parseMailto(uri string) (address string, ok bool) {
	const scheme = "mailto:"
	if len(uri) < len(scheme) || !strings.EqualFold(uri[:len(scheme)], scheme) {
		return "", false
	}
	text, _, _ := strings.Cut(uri[len(scheme):], "?")
	text, err := url.PathUnescape(text)
	if err != nil || strings.Count(text, "@") != 1 {
		return "", false
	}
	local, domain, _ := strings.Cut(text, "@")
	ascii, err := dns.ASCII(domain)
	if err != nil || !isDotAtom(local) {
		return "", false
	}
	return local + "@" + ascii, true
}

// maxLocalPart is RFC 5321 section 4.5.3.1.1's.
const maxLocalPart = 64

// isDotAtom tells whether a local part needs no quotes (RFC 5322 section 3.2.3).
func isDotAtom(s string) bool {
	if s == "" || len(s) > maxLocalPart || s[0] == '.' || s[len(s)-1] == '.' || strings.Contains(s, "..") {
		return false
	}
	return !strings.ContainsFunc(s, func(r rune) bool {
		return r <= ' ' || r > '~' || strings.ContainsRune(`()<>[]:;@\,"`, r)
	})
}

// parseReportSize reads the size behind "!": digits, and k, m, g or t for powers of 1024. What is malformed says
// nothing.
func parseReportSize(s string) int64 {
	s = strings.ToLower(s)
	shift := 0
	if n := len(s); n > 0 {
		if i := strings.IndexByte("kmgt", s[n-1]); i >= 0 {
			s, shift = s[:n-1], 10*(i+1)
		}
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n <= 0 || n > 1<<62>>shift {
		return 0
	}
	return n << shift
}
