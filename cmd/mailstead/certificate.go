package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"mailstead/smtp/dns"
	"mailstead/smtp/keyring"
	"mailstead/tls"
)

// certificateCommand is `mailstead certificate`.
type certificateCommand struct {
	List   certificateListCommand   `cmd:"" help:"List the names with their certificates, and why one has none."`
	Renew  certificateRenewCommand  `cmd:"" help:"Fetch a certificate now, whatever its date."`
	NewKey certificateNewKeyCommand `cmd:"" name:"new-key" help:"Make the next key of a name, to be published before it is used."`
}

type certificateListCommand struct {
	place
	format
}

func (c certificateListCommand) Run(ctx context.Context, std streams, log *slog.Logger) error {
	rows, err := call[[]tls.State](ctx, c.place, log, "certificate list", nothing{})
	if err != nil {
		return err
	}
	now := time.Now()
	return print(std.out, c.format, rows, []string{"NAME", "ISSUER", "DAYS LEFT", "RENEWED", "STATE"}, func(s tls.State) []any {
		return []any{s.Name, orDash(s.Issuer), daysLeft(s, now), day(s.RenewAt), stateWords(s)}
	})
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func day(at time.Time) string {
	if at.IsZero() {
		return "-"
	}
	return at.UTC().Format(time.DateOnly)
}

// daysLeft is for how many whole days a certificate is good.
func daysLeft(s tls.State, now time.Time) string {
	if s.Issuer == "" {
		return "-"
	}
	return fmt.Sprint(int(s.NotAfter.Sub(now).Hours() / 24))
}

// stateWords say how it stands with a name.
func stateWords(s tls.State) string {
	var words []string
	if s.Addresses != "" {
		words = append(words, s.Addresses)
	}
	if s.Error != "" {
		words = append(words, s.Error)
	}
	if !s.NextTry.IsZero() {
		words = append(words, "tried again "+s.NextTry.UTC().Format(time.RFC3339))
	}
	switch {
	case len(words) > 0:
		return strings.Join(words, "; ")
	case s.Issuer == "":
		return "to be fetched"
	}
	return "good"
}

type certificateRenewCommand struct {
	place
	Name    string `arg:"" help:"The name."`
	NextKey bool   `help:"Change to the key that new-key has made."`
}

func (c certificateRenewCommand) Run(ctx context.Context, log *slog.Logger) error {
	_, err := call[nothing](ctx, c.place, log, "certificate renew", renewParams{c.Name, c.NextKey})
	return err
}

type certificateNewKeyCommand struct {
	place
	Name string `arg:"" help:"The name."`
}

func (c certificateNewKeyCommand) Run(ctx context.Context, std streams, log *slog.Logger) error {
	records, err := call[[]string](ctx, c.place, log, "certificate new-key", name{c.Name})
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(std.out, "; To be published side by side, some days before: mailstead certificate renew %s --next-key\n%s\n",
		c.Name, strings.Join(records, "\n"))
	return err
}

// certificateList tells of the names with their certificates.
func (a *admin) certificateList(ctx context.Context, _ nothing) ([]tls.State, error) {
	if a.alone || a.certificates == nil {
		return tls.Stored(ctx, newCertificateStore(a.store))
	}
	return a.certificates(), nil
}

// renewParams are of a renewal.
type renewParams struct {
	Name    string `json:"name"`
	NextKey bool   `json:"next_key"`
}

// errNothingFetched is about a server that fetches no certificates.
var errNothingFetched = errors.New("no certificate is fetched here: the server has to run, with acme_email set")

func (a *admin) certificateRenew(ctx context.Context, p renewParams, tell report) (nothing, error) {
	if a.acme == nil {
		return nothing{}, errNothingFetched
	}
	tell(progress{Doing: "asking for a certificate"})
	return nothing{}, a.acme.Renew(ctx, p.Name, p.NextKey)
}

// certificateNewKey makes the next key of a name, and gives the TLSA records of both.
func (a *admin) certificateNewKey(ctx context.Context, p name) ([]string, error) {
	if a.acme == nil {
		return nil, errNothingFetched
	}
	if err := a.acme.NewKey(ctx, p.Name); err != nil {
		return nil, err
	}
	lines := []string{}
	for _, s := range a.acme.States() {
		if s.Name != strings.ToLower(p.Name) {
			continue
		}
		for _, text := range s.TLSA {
			r := dnsRecord{Name: tlsaName(s.Name), Type: "TLSA", Text: text}
			lines = append(lines, r.zoneLine())
		}
	}
	return lines, nil
}

// certificateStates are those of the running server: of what is fetched, of the operator's files, and of its own
// certificate where there is nothing better.
func (s *server) certificateStates() []tls.State {
	states := []tls.State{}
	if s.acme != nil {
		states = s.acme.States()
	}
	states = append(states, s.files.States()...)
	if len(states) == 0 && !s.settings.local {
		states = append(states, s.certificate.State())
	}
	return states
}

// tlsaName is where the TLSA records of a mail server are (RFC 7672 section 3.1): those of port 25.
func tlsaName(host string) string { return "_25._tcp." + host }

// tlsaRecords are the records of a host's keys for mail servers that go by them (DANE, RFC 7672). They mean something where the
// host's zone is signed (DNSSEC), and do no harm elsewhere.
func tlsaRecords(host string, texts []string) (records []dnsRecord) {
	for _, text := range texts {
		records = append(records, dnsRecord{Name: tlsaName(keyring.Domain(host)), Type: "TLSA", Text: text, serves: func(found []string) bool {
			return slices.Contains(found, text)
		}})
	}
	return records
}

// askTLSA gives the texts of the TLSA records of a name.
func askTLSA(ctx context.Context, r *dns.Resolver, name string) (texts []string, err error) {
	a, err := r.LookupTLSA(ctx, name)
	for _, t := range a.Records {
		texts = append(texts, fmt.Sprintf("%d %d %d %x", t.Usage, t.Selector, t.Matching, t.Data))
	}
	return texts, err
}

// hostTLSA are the records of the server's own name: of the key that it has on port 25, and of the next one.
func (s *server) hostTLSA() []string {
	if s.settings.local {
		return nil // its key is another one at each start
	}
	host := keyring.Domain(s.settings.Hostname)
	if s.files.Covers(host) {
		return s.files.TLSA()
	}
	if s.acme != nil {
		for _, state := range s.acme.States() {
			if state.Name == host {
				return state.TLSA
			}
		}
	}
	return []string{tls.TLSA(s.certificate.Key().Public())}
}
