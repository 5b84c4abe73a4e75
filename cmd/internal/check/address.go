package check

import (
	"context"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"mailstead/smtp/dns"
	"mailstead/smtp/mailauth"
)

// addresses judges whether the host's name leads to this machine, by addresses that the world can reach.
func addresses(ctx context.Context, v *visit) (results []Result) {
	host := v.Host.Name
	a, err := v.Resolver.LookupAddrs(ctx, host)
	switch {
	case dns.IsNotFound(err):
		return []Result{wrong(host, v.addressLine(), "the server's own name has no address in the DNS")}
	case err != nil:
		return []Result{unknown(host, err)}
	}
	for _, ip := range a.Records[:min(len(a.Records), maxHosts)] {
		switch {
		case !dns.IsPublic(ip):
			results = append(results, wrong(host, v.addressLine(), "it leads to %s, which the Internet does not lead to", ip))
		case len(v.Host.Addresses) == 0:
			results = append(results, Result{Subject: host, State: Unknown, Found: "it leads to " + ip.String() + ", and this machine has no public address of its own to compare",
				Remedy: `in the configuration file:  public_addresses = ["` + ip.String() + `"]`})
		case !slices.Contains(v.Host.Addresses, ip):
			results = append(results, wrong(host, v.addressLine(), "it leads to %s, which is not an address of this machine (if it is one after all, name it in public_addresses)", ip))
		default:
			results = append(results, ok(host, "%s", ip))
		}
	}
	if slices.ContainsFunc(results, func(r Result) bool { return r.State == Wrong }) {
		return results
	}
	for _, ip := range v.Host.Sending {
		if dns.IsPublic(ip) && !slices.Contains(a.Records, ip) {
			results = append(results, wrong(host, "publish  "+addressRecord(host, ip).ZoneLine(), "mail leaves from %s, to which it does not lead", ip))
		}
	}
	return results
}

// addressLine says which records the host's name is to have.
func (v *visit) addressLine() string {
	var lines []string
	for _, ip := range v.Host.Addresses {
		if dns.IsPublic(ip) {
			lines = append(lines, addressRecord(v.Host.Name, ip).ZoneLine())
		}
	}
	if len(lines) == 0 {
		return "publish  " + v.Host.Name + ". IN A  with the address under which the world reaches this machine"
	}
	return "publish  " + strings.Join(lines, "  and  ")
}

// sending are the public addresses that mail leaves from: as the machine says, or where it does not know them, as its name says.
func (v *visit) sending(ctx context.Context) ([]address, error) {
	own := slices.DeleteFunc(slices.Clone(v.Host.Sending), func(ip address) bool { return !dns.IsPublic(ip) })
	if len(own) > 0 {
		return own, nil
	}
	a, err := v.Resolver.LookupAddrs(ctx, v.Host.Name)
	if dns.IsNotFound(err) {
		return nil, nil // host.address says it
	}
	return slices.DeleteFunc(a.Records, func(ip address) bool { return !dns.IsPublic(ip) }), err
}

// reverse judges the names of the addresses that mail leaves from (PTR): receivers want one, that leads back, and that is
// not made by a provider for whoever has the address.
func reverse(ctx context.Context, v *visit) (results []Result) {
	all, err := v.sending(ctx)
	if err != nil {
		return []Result{unknown(v.Host.Name, err)}
	}
	for _, ip := range all {
		results = append(results, v.reverseOf(ctx, ip))
	}
	return results
}

func (v *visit) reverseOf(ctx context.Context, ip address) Result {
	host, subject := v.Host.Name, ip.String()
	remedy := "have your provider set the reverse name (PTR) of " + subject + " to " + host
	switch r := mailauth.CheckIPRev(ctx, v.Resolver, ip); r.Result {
	case mailauth.Pass:
		switch {
		case slices.Contains(r.Names, host) && isGeneric(host, ip):
			return wrong(subject, "choose a name of your own, have the PTR of "+subject+" say it, and set hostname", "its name %s looks like one that a provider has made", host)
		case slices.Contains(r.Names, host):
			return ok(subject, "%s", host)
		case slices.ContainsFunc(r.Names, func(n string) bool { return isGeneric(n, ip) }):
			return wrong(subject, remedy, "its name %s looks like one that a provider has made", r.Names[0])
		}
		return info(subject, remedy, "its name is %s, and not that which the server greets with", r.Names[0])
	case mailauth.PermError:
		return wrong(subject, remedy, "it has no name (PTR)")
	case mailauth.Fail:
		a, err := v.Resolver.LookupPTR(ctx, ip)
		if err != nil {
			return unknown(subject, err)
		}
		if slices.Contains(a.Records, host) {
			return ok(subject, "%s", host) // that it does not lead back, host.address says
		}
		return wrong(subject, remedy, "its name %s does not lead back to it", a.Records[0])
	default:
		return unknown(subject, r.Err)
	}
}

// providers' words in names that come with a line, not with a server.
var lineWord = regexp.MustCompile(`(^|[.-])(dyn|dynamic|dynip|[axv]?dsl|dhcp|pool|pppoe?|cable|dial(up|in)?|dip)[0-9]*([.-]|$)`)

var number = regexp.MustCompile(`[0-9]+`)

// isGeneric reports whether a name looks like one that a provider makes for each of its addresses.
func isGeneric(name string, ip netip.Addr) bool {
	if lineWord.MatchString(name) {
		return true
	}
	if !ip.Is4() {
		return false
	}
	numbers := number.FindAllString(name, -1)
	for octet := range strings.SplitSeq(ip.String(), ".") {
		i := slices.Index(numbers, octet)
		if i < 0 {
			return false
		}
		numbers = slices.Delete(numbers, i, i+1)
	}
	return true
}

// validated is a domain whose zone has been signed for long: a resolver that validates says so.
const validated = "ietf.org"

// resolvers judges whether names can be looked up, and whether the answers are validated (DNSSEC), as far as they can be believed:
// what comes over a network anybody there can change.
func resolvers(ctx context.Context, v *visit) []Result {
	const subject = ""
	if mailauth.Offline(v.Resolver) {
		return []Result{{Subject: subject, State: Unknown, Found: "no name is looked up here, so nothing of the DNS was checked",
			Remedy: `in the configuration file:  resolvers = ["127.0.0.1:53"]`}}
	}
	a, err := v.Resolver.LookupMX(ctx, validated)
	switch {
	case err != nil:
		return []Result{wrong(subject, "see whether the servers of resolvers, or of /etc/resolv.conf, answer:  dig MX "+validated, "it does not answer: %s", words(err))}
	case !a.Authentic:
		return []Result{info(subject, `apt-get install unbound, and in the configuration file:  resolvers = ["127.0.0.1:53"]`,
			"it does not validate answers (DNSSEC), or is not on this machine, so other servers' keys (DANE) are not believed")}
	}
	return []Result{ok(subject, "it validates answers (DNSSEC)")}
}
