package feedback

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"mailstead/smtp/dns"
	"mailstead/smtp/mailauth"
)

// The members of a TLS report (RFC 8460 section 4.4).
type (
	jsonReport struct {
		Org      string       `json:"organization-name"`
		Range    jsonRange    `json:"date-range"`
		Contact  string       `json:"contact-info"`
		ID       string       `json:"report-id"`
		Policies []jsonPolicy `json:"policies"`
	}
	jsonRange struct {
		Start string `json:"start-datetime"`
		End   string `json:"end-datetime"`
	}
	jsonPolicy struct {
		Policy   jsonApplied   `json:"policy"`
		Summary  jsonSummary   `json:"summary"`
		Failures []jsonFailure `json:"failure-details,omitempty"`
	}
	jsonApplied struct {
		Type   string   `json:"policy-type"`
		Lines  []string `json:"policy-string,omitempty"`
		Domain string   `json:"policy-domain"`
		MX     []string `json:"mx-host,omitempty"`
	}
	jsonSummary struct {
		Succeeded int64 `json:"total-successful-session-count"`
		Failed    int64 `json:"total-failure-session-count"`
	}
	jsonFailure struct {
		Type   string `json:"result-type"`
		Host   string `json:"receiving-mx-hostname,omitempty"`
		IP     string `json:"receiving-ip,omitempty"`
		Count  int64  `json:"failed-session-count"`
		Reason string `json:"failure-reason-code,omitempty"`
	}
)

// linesOf gives what a policy says, as a report repeats it; nothing where that is not known any more.
type linesOf func(policy, domain string) []string

// tlsReport is the JSON of a report. What has no row is in no count: a report that is full says less, not wrong.
func tlsReport(k key, from string, rows []counts[tlsRow], lines linesOf) ([]byte, error) {
	report := jsonReport{
		Org: from, Contact: "postmaster@" + from, ID: k.id(from),
		Range: jsonRange{k.begin().Format(time.RFC3339), k.end().Format(time.RFC3339)},
	}
	for _, c := range rows {
		p := report.policy(c.Row.Policy, cmp.Or(c.Row.Base, k.domain), lines)
		if c.Row.Result == "" {
			p.Summary.Succeeded += c.N
			continue
		}
		p.Summary.Failed += c.N
		p.Failures = append(p.Failures, jsonFailure{c.Row.Result, c.Row.Host, c.Row.IP, c.N, c.Row.Words})
	}
	// Readers take the first policy's domain for that of the report; the domain itself goes before its hosts.
	slices.SortStableFunc(report.Policies, func(a, b jsonPolicy) int {
		return cmp.Or(cmp.Compare(rank(a.Policy.Type), rank(b.Policy.Type)), strings.Compare(a.Policy.Domain, b.Policy.Domain))
	})
	b, err := json.MarshalIndent(report, "", " ")
	if err != nil {
		return nil, fmt.Errorf("feedback: report about %s: %w", k.domain, err)
	}
	return append(b, '\n'), nil
}

func rank(policy string) int { return slices.Index([]string{"sts", noPolicy, "tlsa"}, policy) }

// policy is the part of a report about one policy.
func (j *jsonReport) policy(kind, domain string, lines linesOf) *jsonPolicy {
	i := slices.IndexFunc(j.Policies, func(p jsonPolicy) bool { return p.Policy.Type == kind && p.Policy.Domain == domain })
	if i < 0 {
		applied := jsonApplied{Type: kind, Domain: domain, Lines: lines(kind, domain)}
		for _, line := range applied.Lines {
			if mx, ok := strings.CutPrefix(line, "mx: "); ok {
				applied.MX = append(applied.MX, mx)
			}
		}
		if kind == "tlsa" {
			applied.MX = []string{domain}
		}
		i = len(j.Policies)
		j.Policies = append(j.Policies, jsonPolicy{Policy: applied})
	}
	return &j.Policies[i]
}

// maxTLSA is how many records of a host are repeated.
const maxTLSA = 10

// lines finds what policies say.
func (r *Reporter) lines(ctx context.Context) linesOf {
	return func(policy, domain string) (list []string) {
		switch policy {
		case "sts":
			return r.o.Policy(domain)
		case "tlsa":
			answer, err := r.o.Resolver.LookupTLSA(ctx, "_25._tcp."+domain)
			if err != nil {
				return nil
			}
			for _, t := range answer.Records[:min(len(answer.Records), maxTLSA)] {
				list = append(list, fmt.Sprintf("%d %d %d %X", t.Usage, t.Selector, t.Matching, t.Data))
			}
		}
		return list
	}
}

// tlsDestinations are where a domain wants TLS reports.
type tlsDestinations struct {
	mail []mailauth.ReportAddress
	web  []string // URLs
}

const (
	maxTLSRecord = 2000 // octets of a TXT record
	maxWeb       = 2    // URLs that a report is posted to
)

// wantsTLS finds where reports about a domain are to be sent (RFC 8460 section 3). An error is temporary.
func (r *Reporter) wantsTLS(ctx context.Context, domain string) (tlsDestinations, error) {
	answer, err := r.o.Resolver.LookupTXT(ctx, "_smtp._tls."+domain)
	if err != nil && !dns.IsNotFound(err) {
		return tlsDestinations{}, err
	}
	return parseTLSRecords(answer.Records), nil
}

// parseTLSRecords reads the one record that there may be.
func parseTLSRecords(texts []string) (d tlsDestinations) {
	var records []string
	for _, text := range texts {
		if version, _, ok := strings.Cut(text, ";"); ok && strings.TrimRight(version, " \t") == "v=TLSRPTv1" && len(text) <= maxTLSRecord {
			records = append(records, text)
		}
	}
	if len(records) != 1 {
		return d
	}
	for field := range strings.SplitSeq(records[0], ";") {
		name, value, _ := strings.Cut(strings.Trim(field, " \t"), "=")
		if strings.TrimRight(name, " \t") == "rua" {
			return tlsDestinations{mailauth.ParseReportURIs(value), webURIs(value)}
		}
	}
	return d
}

// webURIs are the https ones of a list.
func webURIs(list string) (urls []string) {
	for uri := range strings.SplitSeq(list, ",") {
		u, err := url.Parse(strings.Trim(uri, " \t"))
		if err == nil && strings.EqualFold(u.Scheme, "https") && u.Hostname() != "" && u.User == nil && len(urls) < maxWeb {
			urls = append(urls, u.String())
		}
	}
	return urls
}
