package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"

	"mailstead/cmd/internal/check"
	"mailstead/smtp/keyring"
)

// checkCommand is `mailstead check`.
type checkCommand struct {
	place
	format
	Domain []string `arg:"" optional:"" help:"Only these domains, and not the host."`
	Only   string   `placeholder:"CHECK" help:"Only the checks of this name, like spf, domain.spf, host or host.*."`
	Loop   bool     `help:"Try also whether the public mail exchanger takes mail for each domain; no letter comes of it."`
}

type checkParams struct {
	Domains []string `json:"domains"`
	Only    string   `json:"only"`
	Loop    bool     `json:"loop"`
}

func (c checkCommand) Run(ctx context.Context, std streams, log *slog.Logger) error {
	results, err := call[[]check.Result](ctx, c.place, log, "check", checkParams{c.Domain, c.Only, c.Loop})
	if err != nil {
		return err
	}
	if c.JSON {
		err = print(std.out, c.format, results, nil, nil)
	} else {
		err = check.Print(std.out, results, check.IsUTF8(os.Getenv))
	}
	if n := check.Failed(results); err == nil && n > 0 {
		err = &failure{Exit: exitFailed, Text: fmt.Sprintf("what is wrong: %d of %d", n, len(results))}
	}
	return err
}

// check makes a round of checks.
func (a *admin) check(ctx context.Context, p checkParams) ([]check.Result, error) {
	o, err := a.checkOptions()
	if err != nil {
		return nil, err
	}
	o.Only, o.Loop, o.DomainsOnly = p.Only, p.Loop, len(p.Domains) > 0
	var names []string
	for _, d := range p.Domains {
		found, err := a.directory.Domain(d)
		if err != nil {
			return nil, err
		}
		names = append(names, found.Name)
	}
	if len(names) == 0 {
		for _, d := range a.directory.Domains() {
			names = append(names, d.Name)
		}
	}
	for _, d := range names {
		o.Domains = append(o.Domains, a.checkedDomain(d))
	}
	results, err := check.Run(ctx, o)
	if errors.Is(err, check.ErrNoSuchCheck) {
		return nil, usage("--only: %v", err)
	}
	return slices.Concat([]check.Result{}, results), err
}

// checkedDomain is a domain with what it is to publish.
func (a *admin) checkedDomain(domain string) check.Domain {
	d := check.Domain{Name: keyring.Domain(domain), Policy: a.guide.policy, Ours: a.directory.IsLocal}
	if a.hostname == "" {
		d.Policy = ""
	}
	for _, r := range a.proposed(domain) {
		d.Records = append(d.Records, check.Record{Name: r.Name, Type: r.Type, Text: r.Text, Gone: r.Gone})
	}
	keys, err := a.keys.Keys(domain)
	if err != nil {
		return d // it has none
	}
	for _, k := range keys {
		d.Keys = append(d.Keys, check.Key{Record: check.Record{Name: k.Name(), Type: "TXT", Text: k.Record}, State: string(k.State)})
	}
	return d
}
