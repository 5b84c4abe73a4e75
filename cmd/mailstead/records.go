package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"mailstead/cmd/internal/check"
	"mailstead/smtp/dns"
	"mailstead/smtp/keyring"
	"mailstead/smtp/mailauth"
)

// dnsRecord is a record that a domain's owner is to publish, with what is there.
type dnsRecord struct {
	Name  string   `json:"name"` // without final dot
	Type  string   `json:"type"` // MX, TXT, TLSA, SRV, CNAME, A, AAAA, or PTR, whose name is the address
	Text  string   `json:"text"` // of MX preference and host
	State string   `json:"state,omitempty"`
	Found []string `json:"found,omitempty"` // what is there instead
	Note  string   `json:"note,omitempty"`  // on a key's record that is not that of a key that signs
	Gone  bool     `json:"gone,omitempty"`  // it is to be removed, not published

	version string                    // that texts of its kind begin with; "" = all texts of the name are
	serves  func(found []string) bool // reports whether what is there does what this one is for
}

// What is known of a record; nothing where nobody looked.
const (
	recordMatches = "matches" // what is there does what it is for
	recordDiffers = "differs"
	recordMissing = "missing"
	recordUnknown = "unknown" // the DNS could not be asked
)

// zoneLine is a record as a line of a zone file (RFC 1035 section 5).
func (r *dnsRecord) zoneLine() string {
	return check.Record{Name: r.Name, Type: r.Type, Text: r.Text}.ZoneLine()
}

// proposals are the records of a domain whose server has a hostname, "" when it is not known here: those
// of its keys come with them. isLocal reports whether a domain is of this server.
func proposals(domain, hostname string, keys []dnsRecord, isLocal func(domain string) bool) []dnsRecord {
	domain = keyring.Domain(domain)
	reports := "rua=mailto:postmaster@" + domain // who is always there, and whose letters are read for reports
	reported := func(name, version, rest string) dnsRecord {
		return dnsRecord{Name: name, Type: "TXT", Text: version + "; " + rest + reports, version: version, serves: func(found []string) bool {
			return isReported(found, version, isLocal)
		}}
	}
	var all []dnsRecord
	if hostname != "" {
		host := keyring.Domain(hostname)
		all = append(all, dnsRecord{Name: domain, Type: "MX", Text: "10 " + host + ".", serves: func(found []string) bool {
			return slices.ContainsFunc(found, func(mx string) bool { return strings.HasSuffix(mx, " "+host+".") })
		}})
	}
	all = append(all,
		// Not -all: mail that was forwarded would be refused for it before its signature is looked at (RFC 9989 section 7.1).
		dnsRecord{Name: domain, Type: "TXT", Text: "v=spf1 mx ~all", version: "v=spf1", serves: func(found []string) bool {
			return permitsExchangers(found, keyring.Domain(hostname))
		}},
		// It asks for reports and nothing else: what else sends in the domain's name shows in them.
		reported("_dmarc."+domain, "v=DMARC1", "p=none; "),
		reported("_smtp._tls."+domain, "v=TLSRPTv1", ""), // RFC 8460 section 3
	)
	for _, k := range keys {
		k.serves = func(found []string) bool {
			return slices.ContainsFunc(found, func(f string) bool {
				return withoutSpace(f) == withoutSpace(k.Text) || mailauth.SameKey(f, k.Text)
			})
		}
		all = append(all, k)
	}
	return all
}

func withoutSpace(s string) string {
	return strings.TrimRight(strings.Join(strings.Fields(s), ""), ";")
}

// ofVersion are the texts that are records of a kind.
func ofVersion(found []string, version string) (list []string) {
	for _, f := range found {
		first, _, _ := strings.Cut(f, ";")
		if strings.EqualFold(withoutSpace(first), version) {
			list = append(list, f)
		}
	}
	return list
}

// isReported reports whether there is one record of a version, and it has reports sent to us.
func isReported(found []string, version string, isLocal func(string) bool) bool {
	list := ofVersion(found, version)
	return len(list) == 1 && check.ReportsTo(list[0], isLocal)
}

// permitsExchangers reports whether there is one SPF record, and it names us in plain words. What else may permit
// us, by addresses or others' records, is not gone after.
func permitsExchangers(found []string, host string) bool {
	var records [][]string
	for _, f := range found {
		if terms := strings.Fields(strings.ToLower(f)); len(terms) > 0 && terms[0] == "v=spf1" {
			records = append(records, terms)
		}
	}
	if len(records) != 1 { // several are an error (RFC 7208 section 4.5)
		return false
	}
	return slices.ContainsFunc(records[0], func(term string) bool {
		term = strings.TrimPrefix(term, "+")
		return term == "mx" || host != "" && term == "a:"+host
	})
}

// lookTime is how long the DNS is asked for what is there.
const lookTime = 10 * time.Second

// lookUp asks the DNS what is there of records.
func lookUp(ctx context.Context, r *dns.Resolver, records []dnsRecord) {
	ctx, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	var asking sync.WaitGroup
	for i := range records {
		asking.Go(func() { records[i].compare(records[i].ask(ctx, r)) })
	}
	asking.Wait()
}

// ask gives the texts of the records of a name.
func (r *dnsRecord) ask(ctx context.Context, resolver *dns.Resolver) ([]string, error) {
	switch r.Type {
	case "TLSA":
		return askTLSA(ctx, resolver, r.Name)
	case "SRV":
		return askSRV(ctx, resolver, r.Name)
	case "CNAME":
		return askAlias(ctx, resolver, r.Name, r.Text)
	case "A", "AAAA":
		return askAddresses(ctx, resolver, r.Name)
	case "PTR":
		return askReverse(ctx, resolver, r.Name)
	case "TXT":
		a, err := resolver.LookupTXT(ctx, r.Name)
		return a.Records, err
	}
	a, err := resolver.LookupMX(ctx, r.Name)
	var texts []string
	for _, mx := range a.Records {
		texts = append(texts, fmt.Sprintf("%d %s.", mx.Preference, mx.Host))
	}
	return texts, err
}

// compare holds a record against what is there. Texts beside it, of other things, are not told of.
func (r *dnsRecord) compare(found []string, err error) {
	found = slices.DeleteFunc(found, func(f string) bool {
		return !strings.HasPrefix(strings.ToLower(withoutSpace(f)), strings.ToLower(r.version))
	})
	switch {
	case err != nil && !dns.IsNotFound(err):
		r.State = recordUnknown
	case len(found) == 0:
		r.State = recordMissing
	case r.serves(found):
		r.State = recordMatches
	default:
		r.State, r.Found = recordDiffers, found
	}
}

// maxFound is how much of a text is shown that is there instead, in octets.
const maxFound = 300

// printRecords prints records as lines of a zone file, with comments where somebody looked.
func printRecords(w io.Writer, records []dnsRecord) error {
	if len(records) == 0 {
		return nil
	}
	var b strings.Builder
	b.WriteString("\n; To be published in the DNS, so that mail comes here, others can verify what is sent\n; from here, and report what they find.\n")
	for _, r := range records {
		if r.State != "" {
			fmt.Fprintf(&b, "; %s\n", r.State)
		}
		for _, f := range r.Found {
			fmt.Fprintf(&b, ";   there is %+q\n", f[:min(len(f), maxFound)])
		}
		if r.Note != "" {
			fmt.Fprintf(&b, "; %s\n", r.Note)
		}
		if r.Gone {
			b.WriteString("; ") // who pastes all of it publishes the others
		}
		b.WriteString(r.zoneLine() + "\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// proposed are what the owner of a domain is to publish.
func (a *admin) proposed(domain string) []dnsRecord {
	all := proposals(domain, a.hostname, a.keyRecords(domain), func(d string) bool { return a.directory.IsLocal(d) })
	if a.hostTLSA != nil {
		all = append(all, tlsaRecords(a.hostname, a.hostTLSA())...)
	}
	return append(all, guides(domain, a.hostname, a.guide)...)
}

// records are what the owner of a domain is to publish; with a resolver, what of it is there.
func (a *admin) records(ctx context.Context, domain string) ([]dnsRecord, error) {
	all := a.proposed(domain)
	if len(a.resolvers) == 0 {
		return all, nil
	}
	// One that remembers nothing: what is missing now is there a minute later.
	r, err := dns.New(dns.Options{Servers: a.resolvers})
	if err != nil {
		return nil, fmt.Errorf("resolvers: %w", err)
	}
	lookUp(ctx, r, all)
	return all, nil
}
