package main

import (
	"context"
	"log/slog"
	"strings"

	"mailstead/smtp/feedback"
	"mailstead/smtp/keyring"
)

// openFeedback opens what is counted for the reports that other domains ask for.
func (s *server) openFeedback() (err error) {
	s.feedback, err = feedback.Open(feedback.Options{
		Store: s.store, Resolver: s.resolver, From: s.reporter, Sign: s.keys.Sign, Ours: s.isOurs, Policy: s.policies.Lines,
		Own: s.ownAddress, Private: s.settings.local, Off: !s.settings.SendReports, Logger: s.log,
	})
	return err
}

// reporter is the domain that reports are from: that of the server's name, or the nearest above it, if it has keys;
// else the first that has some.
func (s *server) reporter() string {
	if keys := s.keys.OfHost(s.settings.Hostname); len(keys) > 0 {
		return keys[0].Domain
	}
	for _, d := range s.domainNames() {
		if domain := keyring.Domain(d); len(s.keys.Of(domain)) > 0 {
			return domain
		}
	}
	return ""
}

// domainReportsCommand is `mailstead domain reports`.
type domainReportsCommand struct {
	On  domainReportsOnCommand  `cmd:"" help:"Send reports to other domains that ask for them, about mail for and from a domain."`
	Off domainReportsOffCommand `cmd:"" help:"Send none."`
}

type domainReportsOnCommand struct {
	place
	Domain string `arg:"" help:"The domain."`
}

func (c domainReportsOnCommand) Run(ctx context.Context, log *slog.Logger) error {
	_, err := call[nothing](ctx, c.place, log, "domain reports", domainReportsParams{c.Domain, true})
	return err
}

type domainReportsOffCommand struct {
	place
	Domain string `arg:"" help:"The domain."`
}

func (c domainReportsOffCommand) Run(ctx context.Context, log *slog.Logger) error {
	_, err := call[nothing](ctx, c.place, log, "domain reports", domainReportsParams{c.Domain, false})
	return err
}

type domainReportsParams struct {
	Domain string `json:"domain"`
	On     bool   `json:"on"`
}

func (a *admin) domainReports(ctx context.Context, p domainReportsParams) (nothing, error) {
	d, err := a.directory.Domain(p.Domain)
	if err != nil {
		return nothing{}, err
	}
	return nothing{}, a.feedback.SetReports(ctx, d.Name, p.On)
}

// reportSentCommand is `mailstead report sent`.
type reportSentCommand struct {
	place
	format
}

func (c reportSentCommand) Run(ctx context.Context, std streams, log *slog.Logger) error {
	rows, err := call[[]feedback.Sent](ctx, c.place, log, "report sent", nothing{})
	if err != nil {
		return err
	}
	return print(std.out, c.format, rows, []string{"DAY", "REPORT", "DOMAIN", "COUNT", "SENT", "TO"}, func(s feedback.Sent) []any {
		return []any{s.Day, s.Kind, s.Domain, s.Count, s.At.Format("2006-01-02 15:04"), strings.Join(s.To, " ")}
	})
}

func (a *admin) reportSent(context.Context, nothing) ([]feedback.Sent, error) {
	list := []feedback.Sent{}
	err := feedback.EachSent(a.store, func(s feedback.Sent) error {
		list = append(list, s)
		return nil
	})
	return list, err
}
