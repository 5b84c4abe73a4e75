package check

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"mailstead/smtp/dns"
	"mailstead/smtp/mailauth"
)

// exchangers judges the MX records of a domain (RFC 5321 section 5.1).
func exchangers(ctx context.Context, v *visit) []Result {
	d, host := v.domain, v.Host.Name
	line := d.proposed("MX", d.Name)
	a, err := v.Resolver.LookupMX(ctx, d.Name)
	switch {
	case dns.IsNotFound(err):
		return []Result{wrong(d.Name, publish(line), "there is no MX record")}
	case err != nil:
		return []Result{unknown(d.Name, err)}
	}
	if slices.ContainsFunc(a.Records, func(m dns.MX) bool { return m.Host == "" }) {
		return []Result{wrong(d.Name, replaceBy(line), "the MX record is \".\", which says that the domain takes no mail (RFC 7505)")}
	}
	i := slices.IndexFunc(a.Records, func(m dns.MX) bool { return m.Host == host })
	if i < 0 {
		return []Result{wrong(d.Name, replaceBy(line), "the mail goes to %s", hosts(a.Records))}
	}
	results := v.exchangerHosts(ctx, a.Records)
	if first := a.Records[0]; first.Preference < a.Records[i].Preference && !v.Host.Filtered {
		results = append(results, wrong(d.Name, fmt.Sprintf("remove  %s. IN MX %d %s.  or give it a larger number", d.Name, first.Preference, first.Host),
			"the mail goes to %s first, and comes here only while that is down", first.Host))
	}
	if len(results) == 0 {
		results = append(results, ok(d.Name, "%s", hosts(a.Records)))
	}
	return results
}

// exchangerHosts are the faults of the hosts that MX records name.
func (v *visit) exchangerHosts(ctx context.Context, records []dns.MX) (faults []Result) {
	for _, mx := range records[:min(len(records), maxHosts)] {
		a, err := v.Resolver.LookupAddrs(ctx, mx.Host)
		switch {
		case dns.IsNotFound(err) && mx.Host == v.Host.Name: // host.address says it
		case dns.IsNotFound(err):
			faults = append(faults, wrong(v.domain.Name, fmt.Sprintf("remove  %s. IN MX %d %s.", v.domain.Name, mx.Preference, mx.Host),
				"the mail exchanger %s has no address", mx.Host))
		case err != nil:
			faults = append(faults, unknown(v.domain.Name, err))
		case a.Name != mx.Host:
			faults = append(faults, wrong(v.domain.Name, fmt.Sprintf("put in the alias's place  %s. IN A  with the address of %s", mx.Host, a.Name),
				"the mail exchanger %s is an alias (CNAME) of %s, which is not allowed (RFC 2181 section 10.3)", mx.Host, a.Name))
		}
	}
	return faults
}

// maxHosts is how many hosts or addresses of one answer are looked at.
const maxHosts = 10

func hosts(records []dns.MX) string {
	var names []string
	for _, m := range records[:min(len(records), maxHosts)] {
		names = append(names, fmt.Sprintf("%d %s", m.Preference, m.Host))
	}
	return strings.Join(names, ", ")
}

// senders judges the SPF record of a domain (RFC 7208).
func senders(ctx context.Context, v *visit) []Result {
	d := v.domain
	line := d.proposed("TXT", d.Name)
	found, err := v.texts(ctx, d.Name, isSPF)
	switch {
	case err != nil:
		return []Result{unknown(d.Name, err)}
	case len(found) == 0:
		return []Result{wrong(d.Name, publish(line), "there is no SPF record")}
	case len(found) > 1:
		return []Result{wrong(d.Name, "make one of them, with the terms of all in front of its end: \"v=spf1 mx … ~all\"",
			"there are %d SPF records, so none counts: %s", len(found), quoted(found))}
	}
	ours := []string{"mx", "a:" + v.Host.Name}
	return []Result{v.permits(ctx, d.Name, found[0], ours, func(s *mailauth.SPF, ip address) mailauth.SPFResult {
		return s.CheckMailFrom(ctx, ip, v.Host.Name, "postmaster@"+d.Name)
	})}
}

// isSPF reports whether a text is an SPF record (RFC 7208 section 4.5).
func isSPF(text string) bool {
	version, _, _ := strings.Cut(strings.ToLower(text), " ")
	return version == "v=spf1"
}

// greetingSender judges the SPF record of the name that the server gives with HELO (RFC 7208 section 2.3): notices
// about mail that could not be delivered have no other.
func greetingSender(ctx context.Context, v *visit) []Result {
	host := v.Host.Name
	line := Record{Name: host, Type: "TXT", Text: "v=spf1 a -all"}
	found, err := v.texts(ctx, host, isSPF)
	switch {
	case err != nil:
		return []Result{unknown(host, err)}
	case len(found) == 0:
		return []Result{info(host, publish(line), "the server's own name has no SPF record, so notices about mail that was not delivered are not proven by it")}
	case len(found) > 1:
		return []Result{wrong(host, "leave one of them: "+line.ZoneLine(), "there are %d SPF records, so none counts: %s", len(found), quoted(found))}
	}
	return []Result{v.permits(ctx, host, found[0], []string{"a", "a:" + host}, func(s *mailauth.SPF, ip address) mailauth.SPFResult {
		return s.CheckHelo(ctx, ip, host)
	})}
}

// permits judges one SPF record: that it can be read to its end, with as few look-ups as are allowed, lets not everybody
// send, and lets us: by one of the terms that name us, which then lead where other checks say, or else by its result.
func (v *visit) permits(ctx context.Context, name, text string, ours []string, check func(*mailauth.SPF, address) mailauth.SPFResult) Result {
	changed := func(terms []string) string {
		return replaceBy(Record{Name: name, Type: "TXT", Text: strings.Join(terms, " ")})
	}
	terms := strings.Fields(text)
	s := &mailauth.SPF{Resolver: v.Resolver}
	switch r := check(s, nobody); r.Result {
	case mailauth.Pass:
		return wrong(name, changed(append(slices.Clone(terms[:len(terms)-1]), "~all")), "it permits everybody to send in this name: %s", quote(text, maxQuote))
	case mailauth.PermError:
		return wrong(name, "take that term out of it, or correct it, so that at most ten ask the DNS and two of them find nothing", "it cannot be used: %s: %s", words(r.Err), quote(text, maxQuote))
	case mailauth.TempError:
		return unknown(name, r.Err)
	}
	if v.Host.Smarthost != "" || slices.ContainsFunc(terms, func(t string) bool { return slices.Contains(ours, strings.TrimPrefix(strings.ToLower(t), "+")) }) {
		return ok(name, "%s", text) // whether it permits a smarthost is not known: nobody knows where that sends from
	}
	addresses, err := v.sending(ctx)
	if err != nil {
		return unknown(name, err)
	}
	for _, ip := range addresses {
		switch r := check(s, ip); r.Result {
		case mailauth.Pass:
		case mailauth.TempError:
			return unknown(name, r.Err)
		default:
			return wrong(name, changed(slices.Insert(terms, 1, ours[0])), "it does not permit %s, from which this server sends: %s", ip, quote(text, maxQuote))
		}
	}
	return ok(name, "%s", text)
}

// texts are the TXT records of a name that are of a kind; none is no error.
func (v *visit) texts(ctx context.Context, name string, of func(string) bool) ([]string, error) {
	a, err := v.Resolver.LookupTXT(ctx, name)
	if dns.IsNotFound(err) {
		return nil, nil
	}
	return slices.DeleteFunc(a.Records, func(t string) bool { return !of(t) }), err
}
