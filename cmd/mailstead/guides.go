package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"mailstead/cmd/internal/web"
	"mailstead/smtp/dns"
	"mailstead/smtp/keyring"
	"mailstead/smtp/mtasts"
)

// guide is what leads mail programs and other servers to this one. The zero value leads nobody.
type guide struct {
	access web.Access
	https  int    // port, 0 without
	policy string // of MTA-STS, "" without
}

func (s *settings) guide() guide {
	g := guide{access: s.access(), https: s.port(s.Listen.HTTPS)}
	if g.https != 0 {
		g.policy = s.policy()
	}
	return g
}

// For how long other servers hold to a policy of ours, in seconds. One that is tried out, or that is taken back, should be soon
// forgotten; one that is meant has to outlast an attacker's patience (RFC 8461 section 3.2).
const (
	ageOfTrial  = 24 * 3600
	ageOfPolicy = 14 * 24 * 3600
)

// policy is that of all our domains: they have the same server (RFC 8461 section 3.2).
func (s *settings) policy() string {
	age := ageOfTrial
	if mtasts.Mode(s.MTASTS) == mtasts.Enforce {
		age = ageOfPolicy
	}
	return fmt.Sprintf("version: STSv1\r\nmode: %s\r\nmx: %s\r\nmax_age: %d\r\n", s.MTASTS, keyring.Domain(s.Hostname), age)
}

// policyID is the id of a policy: another one for each, and the same for the same, whoever asks and when (RFC 8461 section 3.1).
func policyID(policy string) string {
	sum := sha256.Sum256([]byte(policy))
	return hex.EncodeToString(sum[:10])
}

// guides are the records of a domain by which mail programs find their settings, and other servers the policy.
func guides(domain, hostname string, g guide) []dnsRecord {
	if hostname == "" {
		return nil
	}
	domain, host := keyring.Domain(domain), keyring.Domain(hostname)
	all := services(domain, host, g.access)
	if g.https == 0 {
		return all
	}
	for _, role := range []string{"autoconfig", "autodiscover", web.PACCHost, "mta-sts"} {
		if name := role + "." + domain; name != host {
			r := dnsRecord{Name: name, Type: "CNAME", Text: host + "."}
			r.serves = func(found []string) bool { return slices.Contains(found, r.Text) }
			all = append(all, r)
		}
	}
	if document := web.PACC(domain, g.access, g.https); document != nil {
		r := dnsRecord{Name: "_" + web.PACCHost + "." + domain, Type: "TXT", Text: web.PACCRecord(document), version: web.PACCVersion}
		// Beside others, of documents that were and will be.
		r.serves = func(found []string) bool {
			return slices.ContainsFunc(found, func(f string) bool { return withoutSpace(f) == withoutSpace(r.Text) })
		}
		all = append(all, r)
	}
	if g.policy != "" {
		r := dnsRecord{Name: "_mta-sts." + domain, Type: "TXT", Text: "v=STSv1; id=" + policyID(g.policy) + ";", version: "v=STSv1"}
		r.serves = func(found []string) bool {
			list := ofVersion(found, r.version)
			return len(list) == 1 && withoutSpace(list[0]) == withoutSpace(r.Text)
		}
		all = append(all, r)
	}
	return all
}

// services are the SRV records of what mail programs connect to (RFC 6186, RFC 8314 section 5.1). By their priorities
// IMAP is before POP3, and implicit TLS before STARTTLS (RFC 6186 section 3.4).
func services(domain, host string, a web.Access) (records []dnsRecord) {
	for _, s := range []struct {
		service        string
		priority, port int
	}{
		{"_imaps", 0, a.IMAPS}, {"_imap", 10, a.IMAP}, {"_pop3s", 20, a.POP3S}, {"_pop3", 30, a.POP3},
		{"_submissions", 0, a.Submissions}, {"_submission", 10, a.Submission},
	} {
		if s.port == 0 {
			continue
		}
		target := fmt.Sprintf("%d %s.", s.port, host)
		records = append(records, dnsRecord{
			Name: s.service + "._tcp." + domain, Type: "SRV", Text: fmt.Sprintf("%d 1 %s", s.priority, target),
			// Whatever its priority and weight: they are the owner's to choose.
			serves: func(found []string) bool {
				return slices.ContainsFunc(found, func(f string) bool { return strings.HasSuffix(f, " "+target) })
			},
		})
	}
	return records
}

// askSRV gives the texts of the SRV records of a name.
func askSRV(ctx context.Context, r *dns.Resolver, name string) (texts []string, err error) {
	a, err := r.LookupSRV(ctx, name)
	for _, s := range a.Records {
		texts = append(texts, fmt.Sprintf("%d %d %d %s.", s.Priority, s.Weight, s.Port, s.Host))
	}
	return texts, err
}

// askAlias gives what a name leads to: target, a host with final dot, where it is an alias of that or has an address of it, else
// its own addresses. An address does what the alias is for.
func askAlias(ctx context.Context, r *dns.Resolver, name, target string) (texts []string, err error) {
	own, err := r.LookupAddrs(ctx, name)
	if err != nil {
		return nil, err
	}
	of, err := r.LookupAddrs(ctx, strings.TrimSuffix(target, "."))
	if err != nil && !dns.IsNotFound(err) {
		return nil, err
	}
	for _, ip := range own.Records {
		if slices.Contains(of.Records, ip) {
			return []string{target}, nil
		}
		texts = append(texts, ip.String())
	}
	return texts, nil
}
