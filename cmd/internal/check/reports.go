package check

import (
	"context"
	"slices"
	"strings"

	"mailstead/smtp/mailauth"
)

// policyOfMail judges the DMARC record of a domain (RFC 9989 section 4.7).
func policyOfMail(ctx context.Context, v *visit) []Result {
	d := v.domain
	name := "_dmarc." + d.Name
	found, fault := v.oneOf(ctx, name, "v=DMARC1", "DMARC")
	if fault != nil {
		return fault
	}
	p, given := tags(found)["p"]
	switch {
	case !given:
		return []Result{wrong(name, replaceBy(d.proposed("TXT", name)), "it does not say what to do (p=), so it does not count: %s", quote(found, maxQuote))}
	case !slices.Contains([]mailauth.DMARCPolicy{mailauth.DMARCNone, mailauth.DMARCQuarantine, mailauth.DMARCReject}, mailauth.DMARCPolicy(strings.ToLower(p))):
		return []Result{wrong(name, replaceBy(d.proposed("TXT", name)), "p= must be none, quarantine or reject: %s", quote(found, maxQuote))}
	}
	return []Result{reported(name, found, d)}
}

// reportsOfTLS judges the record by which others report how connections went (RFC 8460 section 3).
func reportsOfTLS(ctx context.Context, v *visit) []Result {
	name := "_smtp._tls." + v.domain.Name
	found, fault := v.oneOf(ctx, name, "v=TLSRPTv1", "TLS report")
	if fault != nil {
		return fault
	}
	return []Result{reported(name, found, v.domain)}
}

// oneOf is the record of a version at a name, of which there must be one.
func (v *visit) oneOf(ctx context.Context, name, version, kind string) (string, []Result) {
	line := v.domain.proposed("TXT", name)
	found, err := v.texts(ctx, name, func(t string) bool {
		first, _, _ := strings.Cut(t, ";")
		return strings.EqualFold(strings.Join(strings.Fields(first), ""), version)
	})
	switch {
	case err != nil:
		return "", []Result{unknown(name, err)}
	case len(found) == 0:
		return "", []Result{wrong(name, publish(line), "there is no %s record", kind)}
	case len(found) > 1:
		return "", []Result{wrong(name, "leave one of them: "+line.ZoneLine(), "there are %d %s records, so none counts: %s", len(found), kind, quoted(found))}
	}
	return found[0], nil
}

// reported is whether a record has reports sent to this server, which shows them.
func reported(name, text string, d *Domain) Result {
	if ReportsTo(text, d.Ours) {
		return ok(name, "%s", text)
	}
	return info(name, "add to rua=  mailto:postmaster@"+d.Name, "it sends no reports to this server, so `mailstead report` cannot show them: %s", quote(text, maxQuote))
}

// ReportsTo reports whether the addresses of rua= in a DMARC or TLS report record have one of a domain of ours.
func ReportsTo(text string, ours func(domain string) bool) bool {
	for uri := range strings.SplitSeq(tags(text)["rua"], ",") {
		address, ok := strings.CutPrefix(strings.ToLower(strings.TrimSpace(uri)), "mailto:")
		_, domain, _ := strings.Cut(address, "@")
		domain, _, _ = strings.Cut(domain, "!") // a size limit
		if ok && ours(domain) {
			return true
		}
	}
	return false
}

// tags takes a record of the form "name=value; …" apart; of a name that is given twice the first counts.
func tags(text string) map[string]string {
	all := make(map[string]string)
	for tag := range strings.SplitSeq(text, ";") {
		name, value, found := strings.Cut(tag, "=")
		name = strings.ToLower(strings.TrimSpace(name))
		if _, known := all[name]; found && !known {
			all[name] = strings.TrimSpace(value)
		}
	}
	return all
}

// keys judges the records of a domain's DKIM keys (RFC 6376 section 3.6.1), each by its own state.
func keys(ctx context.Context, v *visit) (results []Result) {
	for _, k := range v.domain.Keys {
		found, err := v.texts(ctx, k.Name, func(string) bool { return true })
		if err != nil {
			results = append(results, unknown(k.Name, err))
			continue
		}
		results = append(results, k.judge(found)...)
	}
	return results
}

func (k *Key) judge(found []string) []Result {
	right := slices.ContainsFunc(found, func(f string) bool { return mailauth.SameKey(f, k.Text) })
	gone := k.State == keyRetired
	switch {
	case gone && len(found) > 0:
		return []Result{info(k.Name, "remove it", "the record of a key that is deleted is still there")}
	case gone:
		return nil
	case k.State == keyWaiting && !right:
		return []Result{info(k.Name, publish(k.Record), "a new key waits for its record before it signs")}
	case len(found) == 0:
		return []Result{wrong(k.Name, publish(k.Record), "the key's record is missing")}
	case len(found) > 1:
		return []Result{wrong(k.Name, "leave one of them: "+k.ZoneLine(), "there are %d records, and others may take either", len(found))}
	case slices.Contains(strings.Split(tags(found[0])["t"], ":"), "y"):
		return []Result{wrong(k.Name, replaceBy(k.Record), "the record says that the key is only tried out (t=y), so its signatures prove nothing")}
	case !right:
		return []Result{wrong(k.Name, replaceBy(k.Record), "the record is not that of the key: %s", quote(found[0], maxQuote))}
	}
	return []Result{ok(k.Name, "the record is that of the key")}
}

// The states of keys that need no record, or not yet.
const (
	keyWaiting = "waiting"
	keyRetired = "retired"
)
