package check

import (
	"context"
	"crypto/tls"
	"errors"
	"slices"

	"mailstead/smtp/dns"
	"mailstead/smtp/mtasts"
)

// unfetched is what a failed fetch of a policy says. Who is behind a router that does not lead back may not reach its own public
// address, while others do: a connection that fails is no proof.
func (v *visit) unfetched(url string, err error) Result {
	name := "mta-sts." + v.domain.Name
	if certificate, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return wrong(url, "mailstead certificate renew "+name, "the certificate is not good for it: %v", certificate.Err)
	}
	switch {
	case errors.Is(err, mtasts.ErrPolicy):
		return wrong(url, "lead "+name+" to this server", "what is there is no policy: %s", words(err))
	case errors.Is(err, mtasts.ErrStatus):
		return wrong(url, "lead "+name+" to this server", "there is no policy: %s", words(err))
	case dns.IsNotFound(err):
		return Result{Subject: url, State: Unknown, Found: "its name is not in the DNS"}
	}
	return unknown(url, err)
}

// authority judges whether the CAA records of a name let the authority in use give certificates for it (RFC 8659). Those
// of the nearest name at or above it count (section 3).
func (v *visit) authority(ctx context.Context, name string) Result {
	at, records, err := v.nearestCAA(ctx, name)
	switch {
	case err != nil:
		return unknown(name, err)
	case len(records) == 0:
		return ok(name, "every authority may give certificates")
	}
	line := Record{Name: at, Type: "CAA", Text: `0 issue "` + v.Host.Issuer + `"`}
	restricted := false
	for _, r := range records {
		switch {
		case r.Tag == "issue":
			restricted = true
			if r.Issuer() == v.Host.Issuer {
				return ok(name, "%s may give certificates", v.Host.Issuer)
			}
		case r.Critical && r.Tag != "issuewild" && r.Tag != "iodef":
			return wrong(name, "remove the CAA record "+r.Tag+" of "+at, "a CAA record of %s has the tag %s, marked as critical, which keeps authorities from giving any", at, quote(r.Tag, maxQuote))
		}
	}
	if !restricted {
		return ok(name, "every authority may give certificates")
	}
	return wrong(name, "add  "+line.ZoneLine(), "the CAA records of %s do not name %s, from which this server has its certificates", at, v.Host.Issuer)
}

// nearestCAA gives the CAA records that count for a name, and where they are; none where there are none up to the root.
func (v *visit) nearestCAA(ctx context.Context, name string) (at string, records []dns.CAA, err error) {
	for at = name; at != ""; at = parent(at) {
		a, err := v.Resolver.LookupCAA(ctx, at)
		if err == nil {
			return at, a.Records, nil
		}
		if !dns.IsNotFound(err) {
			return at, nil, err
		}
	}
	return "", nil, nil
}

// hostAuthority is authority of the host's own name, domainAuthority of a domain.
func hostAuthority(ctx context.Context, v *visit) []Result {
	if v.Host.Issuer == "" {
		return nil
	}
	return []Result{v.authority(ctx, v.Host.Name)}
}

func domainAuthority(ctx context.Context, v *visit) []Result {
	if v.Host.Issuer == "" {
		return nil
	}
	if !v.DomainsOnly {
		of, _, err := v.nearestCAA(ctx, v.Host.Name)
		if at, _, e := v.nearestCAA(ctx, v.domain.Name); err == nil && e == nil && of != "" && at == of {
			return nil // the same records: host.caa tells of them
		}
	}
	return []Result{v.authority(ctx, v.domain.Name)}
}

// proofOfKey judges the TLSA records of the host (RFC 7672 section 3.1), which mean something where its zone is signed.
func proofOfKey(ctx context.Context, v *visit) []Result {
	if len(v.Host.TLSA) == 0 {
		return nil
	}
	name := "_25._tcp." + v.Host.Name
	line := Record{Name: name, Type: "TLSA", Text: v.Host.TLSA[0]}
	host, err := v.Resolver.LookupAddrs(ctx, v.Host.Name)
	if err != nil {
		return nil // host.address says it
	}
	a, err := v.Resolver.LookupTLSA(ctx, name)
	switch {
	case err != nil && !dns.IsNotFound(err):
		return []Result{unknown(name, err)}
	case err != nil && host.Authentic:
		return []Result{wrong(name, publish(line), "the zone is signed (DNSSEC), and there is no TLSA record")}
	case err != nil:
		return []Result{info(name, "", "no TLSA record: the zone is not signed (DNSSEC), or the resolver does not say so, and it would say nothing")}
	}
	for _, t := range a.Records {
		if slices.Contains(v.Host.TLSA, tlsaText(t)) {
			return []Result{ok(name, "it is of the key in use")}
		}
	}
	if !host.Authentic {
		return []Result{info(name, replaceBy(line), "it is of another key than that in use, and counts as soon as the zone is signed (DNSSEC)")}
	}
	return []Result{wrong(name, replaceBy(line), "it is of another key than that in use: servers that hold to it (DANE) do not deliver")}
}
