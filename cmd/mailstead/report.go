package main

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"mailstead/smtp/dns"
	reports "mailstead/smtp/report"
)

// reportCommand is `mailstead report`.
type reportCommand struct {
	DMARC reportDMARCCommand `cmd:"" name:"dmarc" help:"Who sends mail in our domains' names, and what proves it, by day."`
	TLS   reportTLSCommand   `cmd:"" name:"tls" help:"How connections to our servers were encrypted, by day."`
	Sent  reportSentCommand  `cmd:"" help:"What this server has reported to others, who ask for it, in the last 30 days."`
}

// reportOptions are those of both commands.
type reportOptions struct {
	place
	format
	Domain string `placeholder:"DOMAIN" help:"Only about this domain."`
	Days   int    `default:"30" help:"Of how many days."`
}

// reportParams name what is asked for.
type reportParams struct {
	Domain string    `json:"domain"` // "" = all
	Since  time.Time `json:"since"`
}

func (o reportOptions) params(now time.Time) (reportParams, error) {
	if o.Days < 1 || o.Days > reports.KeepDays {
		return reportParams{}, usage("--days must be 1 to %d", reports.KeepDays)
	}
	p := reportParams{Since: now.UTC().AddDate(0, 0, -o.Days)}
	if o.Domain != "" {
		ascii, err := dns.ASCII(o.Domain)
		if err != nil {
			return p, usage("--domain: %v", err)
		}
		p.Domain = ascii
	}
	return p, nil
}

type reportDMARCCommand struct{ reportOptions }

func (c reportDMARCCommand) Run(ctx context.Context, std streams, log *slog.Logger) error {
	p, err := c.params(time.Now())
	if err != nil {
		return err
	}
	rows, err := call[[]dmarcRow](ctx, c.place, log, "report dmarc", p)
	if err != nil {
		return err
	}
	heads := []string{"DAY", "DOMAIN", "SOURCE", "MESSAGES", "PASS", "FAIL", "QUARANTINED", "REJECTED", "REPORTED BY"}
	return print(std.out, c.format, rows, heads, func(r dmarcRow) []any {
		return []any{r.Day, r.Domain, r.Source, r.Messages, r.Pass, r.Fail, r.Quarantined, r.Rejected, strings.Join(r.Reporters, " ")}
	})
}

type reportTLSCommand struct{ reportOptions }

func (c reportTLSCommand) Run(ctx context.Context, std streams, log *slog.Logger) error {
	p, err := c.params(time.Now())
	if err != nil {
		return err
	}
	rows, err := call[[]tlsRow](ctx, c.place, log, "report tls", p)
	if err != nil {
		return err
	}
	return print(std.out, c.format, rows, []string{"DAY", "DOMAIN", "POLICY", "ENCRYPTED", "FAILED", "WHY", "REPORTED BY"}, func(r tlsRow) []any {
		return []any{r.Day, r.Domain, r.Policy, r.Succeeded, r.Failed, cmp.Or(strings.Join(r.Reasons, " "), "-"), strings.Join(r.Reporters, " ")}
	})
}

// dmarcRow is the mail that came from one host on one day in a domain's name, as
// far as anybody has reported it.
type dmarcRow struct {
	Day         string   `json:"day"` // of UTC, YYYY-MM-DD
	Domain      string   `json:"domain"`
	Source      string   `json:"source"` // IP address; others for what is not listed
	Messages    int64    `json:"messages"`
	Pass        int64    `json:"pass"` // proven by SPF or DKIM, aligned
	Fail        int64    `json:"fail"`
	Quarantined int64    `json:"quarantined"`
	Rejected    int64    `json:"rejected"`
	Reporters   []string `json:"reporters"`
}

// tlsRow is the connections under one kind of policy on one day.
type tlsRow struct {
	Day       string   `json:"day"`
	Domain    string   `json:"domain"`
	Policy    string   `json:"policy"`
	Succeeded int64    `json:"succeeded"`
	Failed    int64    `json:"failed"`
	Reasons   []string `json:"reasons"` // with how many sessions each
	Reporters []string `json:"reporters"`
}

// unlisted is the source of messages of which only the number was kept.
const unlisted = "others"

// wanted reports whether a report is asked for.
func (p *reportParams) wanted(r *reports.Report) bool {
	return !r.Begin.Before(p.Since) && (p.Domain == "" || r.Domain == p.Domain || strings.HasSuffix(r.Domain, "."+p.Domain))
}

// reporter is whom a reader knows a report by.
func reporter(r *reports.Report) string { return cmp.Or(r.Sender, r.Org, "?") }

func noteOnce(list *[]string, s string) {
	if !slices.Contains(*list, s) {
		*list = append(*list, s)
	}
}

func (a *admin) reportDMARC(_ context.Context, p reportParams) ([]dmarcRow, error) {
	rows := tally[dmarcRow]{}
	err := reports.Each(a.store, reports.KindDMARC, func(r *reports.Report) error {
		if !p.wanted(r) {
			return nil
		}
		day := r.Begin.Format(time.DateOnly)
		of := func(source string) *dmarcRow {
			row := rows.of(dmarcRow{Day: day, Domain: r.Domain, Source: source}, day, r.Domain, source)
			noteOnce(&row.Reporters, reporter(r))
			return row
		}
		for _, found := range r.Rows {
			of(found.Source).count(found)
		}
		if r.Rest > 0 {
			of(unlisted).Messages += r.Rest
		}
		return nil
	})
	return rows.sorted(func(x, y dmarcRow) int {
		return cmp.Or(strings.Compare(x.Day, y.Day), strings.Compare(x.Domain, y.Domain), cmp.Compare(y.Messages, x.Messages), strings.Compare(x.Source, y.Source))
	}), err
}

// count adds what one reporter has found.
func (d *dmarcRow) count(found reports.Row) {
	d.Messages += found.Count
	if found.DKIM || found.SPF {
		d.Pass += found.Count
	} else {
		d.Fail += found.Count
	}
	switch found.Disposition {
	case "quarantine":
		d.Quarantined += found.Count
	case "reject":
		d.Rejected += found.Count
	}
}

func (a *admin) reportTLS(_ context.Context, p reportParams) ([]tlsRow, error) {
	rows := tally[tlsRow]{}
	err := reports.Each(a.store, reports.KindTLS, func(r *reports.Report) error {
		if !p.wanted(r) {
			return nil
		}
		day := r.Begin.Format(time.DateOnly)
		for _, policy := range r.Policies {
			row := rows.of(tlsRow{Day: day, Domain: policy.Domain, Policy: policy.Type, Reasons: []string{}}, day, policy.Domain, policy.Type)
			row.Succeeded += policy.Succeeded
			row.Failed += policy.Failed
			for _, f := range policy.Failures {
				row.Reasons = append(row.Reasons, fmt.Sprintf("%s:%d", f.Type, f.Count))
			}
			noteOnce(&row.Reporters, reporter(r))
		}
		return nil
	})
	return rows.sorted(func(x, y tlsRow) int {
		return cmp.Or(strings.Compare(x.Day, y.Day), strings.Compare(x.Domain, y.Domain), strings.Compare(x.Policy, y.Policy))
	}), err
}

// tally collects rows by what they are about.
type tally[R any] map[string]*R

// of is the row for a key, which begins as first.
func (t tally[R]) of(first R, key ...string) *R {
	k := strings.Join(key, " ")
	if t[k] == nil {
		t[k] = &first
	}
	return t[k]
}

func (t tally[R]) sorted(order func(x, y R) int) []R {
	list := make([]R, 0, len(t))
	for _, r := range t {
		list = append(list, *r)
	}
	slices.SortFunc(list, order)
	return list
}

// isOurs reports whether a domain, or one above it, is of this server.
func (s *server) isOurs(domain string) bool {
	for domain != "" {
		if s.directory.IsLocal(domain) {
			return true
		}
		_, domain, _ = strings.Cut(domain, ".")
	}
	return false
}
