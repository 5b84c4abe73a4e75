package check

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"sync"

	"mailstead/smtp/dns"
	"mailstead/smtp/mailauth"
)

// The lists that large receivers go by. They are free for hosts that ask for themselves, and do not answer public resolvers, which
// they say by an address of 127.255.255.0/24.
var (
	addressLists = []mailauth.DNSList{{Zone: "zen.spamhaus.org"}, {Zone: "bl.spamcop.net"}}
	domainList   = mailauth.DNSList{Zone: "dbl.spamhaus.org"}
)

// remedies of lists are their own pages.
var listPages = map[string]string{
	"zen.spamhaus.org": "https://check.spamhaus.org/",
	"bl.spamcop.net":   "https://www.spamcop.net/bl.shtml",
	"dbl.spamhaus.org": "https://check.spamhaus.org/",
}

// listedAddresses judges whether the addresses that mail leaves from are on a list.
func listedAddresses(ctx context.Context, v *visit) []Result {
	all, err := v.sending(ctx)
	if err != nil {
		return []Result{unknown(v.Host.Name, err)}
	}
	results := make([][]Result, len(all))
	var asking sync.WaitGroup
	for i, ip := range all {
		asking.Go(func() { results[i] = listed(ip.String(), mailauth.CheckLists(ctx, v.Resolver, ip, addressLists)) })
	}
	asking.Wait()
	return slices.Concat(results...)
}

// listed are what lists say of an address or a domain: one result if none has it and each has answered.
func listed(subject string, hits []mailauth.ListHit) (results []Result) {
	for _, h := range hits {
		switch {
		case h.Listed:
			reason := ""
			if h.Reason != "" {
				reason = ": " + h.Reason
			}
			results = append(results, wrong(subject, "find out why, end it, and ask to be removed:  "+listPages[h.Zone], "it is on the list %s%s", h.Zone, reason))
		case h.Err != nil:
			results = append(results, Result{Subject: subject, State: Unknown, Found: "the list " + h.Zone + " does not answer: " + listSilence(h.Err)})
		}
	}
	if len(results) == 0 {
		return []Result{ok(subject, "on no list")}
	}
	return results
}

// listSilence is why a list does not answer, in words.
func listSilence(err error) string {
	if strings.Contains(err.Error(), "127.255.255.") {
		return "it refuses public resolvers; a resolver on this machine is answered"
	}
	return words(err)
}

// listedDomain judges whether a domain is on a list.
func listedDomain(ctx context.Context, v *visit) []Result {
	d := v.domain.Name
	hit := mailauth.ListHit{Zone: domainList.Zone}
	a, err := v.Resolver.LookupA(ctx, d+"."+domainList.Zone)
	if err != nil && !dns.IsNotFound(err) {
		hit.Err = err
	}
	for _, ip := range a.Records {
		switch {
		case listRefuses.Contains(ip):
			hit.Err = errors.New(ip.String())
		case listAnswers.Contains(ip):
			hit.Listed = true
		}
	}
	return listed(d, []mailauth.ListHit{hit})
}

// Answers of lists (RFC 5782 section 2.1): what is in none of these networks is of a domain that was given up.
var (
	listAnswers = netip.MustParsePrefix("127.0.0.0/8")
	listRefuses = netip.MustParsePrefix("127.255.255.0/24")
)
