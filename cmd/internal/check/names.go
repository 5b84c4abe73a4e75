package check

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"mailstead/smtp/dns"
	"mailstead/smtp/mtasts"
)

// leads judges whether the names by which mail programs and other servers look for a domain lead here: those that are to be
// aliases of the host.
func leads(ctx context.Context, v *visit) (results []Result) {
	host, err := v.Resolver.LookupAddrs(ctx, v.Host.Name)
	if err != nil {
		return nil // host.address says it
	}
	for _, r := range v.domain.Records {
		if r.Type != "CNAME" || r.Gone {
			continue
		}
		a, err := v.Resolver.LookupAddrs(ctx, r.Name)
		switch {
		case dns.IsNotFound(err):
			results = append(results, wrong(r.Name, publish(r), "the name is not there"))
		case err != nil:
			results = append(results, unknown(r.Name, err))
		case !slices.ContainsFunc(a.Records, func(ip address) bool { return slices.Contains(host.Records, ip) }):
			results = append(results, wrong(r.Name, replaceBy(r), "it leads to %s, which is not this server", joined(a.Records)))
		default:
			results = append(results, ok(r.Name, "it leads here"))
		}
	}
	return results
}

// vouchers judges the texts that are to be published and that no other check is about: each is there, beside others.
func vouchers(ctx context.Context, v *visit) (results []Result) {
	d := v.domain
	for _, r := range d.Records {
		if r.Type != "TXT" || r.Gone || !strings.HasPrefix(r.Name, "_ua-auto-config.") {
			continue
		}
		found, err := v.texts(ctx, r.Name, func(t string) bool { return withoutSpace(t) == withoutSpace(r.Text) })
		switch {
		case err != nil:
			results = append(results, unknown(r.Name, err))
		case len(found) == 0:
			results = append(results, info(r.Name, publish(r), "the record that vouches for the settings of mail programs is missing"))
		default:
			results = append(results, ok(r.Name, "%s", r.Text))
		}
	}
	return results
}

func withoutSpace(s string) string {
	return strings.TrimRight(strings.Join(strings.Fields(s), ""), ";")
}

// services judges the SRV records of what mail programs connect to (RFC 6186). Priorities and weights are the owner's to choose.
func services(ctx context.Context, v *visit) (results []Result) {
	good := 0
	for _, r := range v.domain.Records {
		if r.Type != "SRV" || r.Gone {
			continue
		}
		a, err := v.Resolver.LookupSRV(ctx, r.Name)
		switch {
		case dns.IsNotFound(err):
			results = append(results, wrong(r.Name, publish(r), "the record is missing"))
		case err != nil:
			results = append(results, unknown(r.Name, err))
		case !slices.ContainsFunc(a.Records, func(s dns.SRV) bool { return strings.HasSuffix(r.Text, fmt.Sprintf(" %d %s.", s.Port, s.Host)) }):
			results = append(results, wrong(r.Name, replaceBy(r), "it names %s, port %d", a.Records[0].Host, a.Records[0].Port))
		default:
			good++
		}
	}
	if good > 0 {
		results = append(results, ok(v.domain.Name, "%d services are named", good))
	}
	return results
}

// wildcardProbe is a name that nobody publishes.
const wildcardProbe = "mailstead-check-of-wildcards"

// wildcard judges whether a domain has an answer to every question for texts: one that has, has also one at the
// names where a record of ours is missing, or was removed.
func wildcard(ctx context.Context, v *visit) []Result {
	name := wildcardProbe + "." + v.domain.Name
	a, err := v.Resolver.LookupTXT(ctx, name)
	switch {
	case dns.IsNotFound(err):
		return []Result{ok(v.domain.Name, "no text is published for every name (wildcard)")}
	case err != nil:
		return []Result{unknown(v.domain.Name, err)}
	}
	return []Result{wrong(v.domain.Name, "remove  *."+v.domain.Name+". IN TXT", "a text is published for every name (wildcard): %s", quoted(a.Records))}
}

// policyRecord judges the record that announces the MTA-STS policy (RFC 8461 section 3.1).
func policyRecord(ctx context.Context, v *visit) []Result {
	d := v.domain
	if d.Policy == "" {
		return nil
	}
	name := "_mta-sts." + d.Name
	found, fault := v.oneOf(ctx, name, "v=STSv1", "MTA-STS")
	if fault != nil {
		return fault
	}
	line := d.proposed("TXT", name)
	switch id := tags(found)["id"]; {
	case id == "":
		return []Result{wrong(name, replaceBy(line), "it has no id, so it does not count: %s", quote(found, maxQuote))}
	case id != tags(line.Text)["id"]:
		return []Result{wrong(name, replaceBy(line), "its id is that of another policy, so that others may not fetch the present one: %s", quote(found, maxQuote))}
	}
	return []Result{ok(name, "%s", found)}
}

// policyServed judges the MTA-STS policy that others fetch (RFC 8461 section 3.3). Where the name does not lead here, domain.names
// says so.
func policyServed(ctx context.Context, v *visit) []Result {
	d := v.domain
	if d.Policy == "" || v.Policy == nil {
		return nil
	}
	url := "https://mta-sts." + d.Name + "/.well-known/mta-sts.txt"
	want, err := mtasts.Parse(d.Policy)
	if err != nil {
		return []Result{unknown(url, err)}
	}
	got, err := v.Policy(ctx, d.Name)
	switch {
	case err != nil:
		return []Result{v.unfetched(url, err)}
	case got.Mode != want.Mode:
		return []Result{wrong(url, "lead mta-sts."+d.Name+" to this server, whose mta_sts is "+string(want.Mode), "another server says mode %s", got.Mode)}
	case !slices.Equal(got.MX, want.MX):
		return []Result{wrong(url, "lead mta-sts."+d.Name+" to this server, which names "+strings.Join(want.MX, ", "), "another server names the exchangers %s", strings.Join(got.MX, ", "))}
	}
	return []Result{ok(url, "mode %s, mx %s", got.Mode, strings.Join(got.MX, ", "))}
}
