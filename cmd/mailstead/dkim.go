package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"mailstead/smtp/keyring"
)

// domainDKIMCommand is `mailstead domain dkim`.
type domainDKIMCommand struct {
	Rotate dkimRotateCommand `cmd:"" help:"Exchange the keys of a domain for new ones."`
	List   dkimListCommand   `cmd:"" help:"List the keys of all domains."`
	Show   dkimShowCommand   `cmd:"" help:"Show the keys of a domain, with what the DNS has of them."`
}

type dkimRotateCommand struct {
	place
	format
	Domain string `arg:"" help:"The domain."`
	Now    bool   `help:"Sign with the new keys at once, whether or not their records are in the DNS."`
}

func (c dkimRotateCommand) Run(ctx context.Context, std streams, log *slog.Logger) error {
	keys, err := call[[]keyInfo](ctx, c.place, log, "domain dkim rotate", rotateParams{c.Domain, c.Now})
	if err != nil {
		return err
	}
	if err := printKeys(std, c.format, keys); err != nil || c.JSON {
		return err
	}
	var records []dnsRecord
	waits := false
	for _, k := range keys {
		if k.State == keyring.Waiting || c.Now && k.State == keyring.Signing {
			records = append(records, dnsRecord{Name: k.Name, Type: "TXT", Text: k.Record})
		}
		waits = waits || k.State == keyring.Waiting
	}
	words := "Until these records are in the DNS, others take mail that is signed with the new keys for mail without a signature."
	if waits {
		words = "Publish these records, and leave the others. A running server with a resolver looks for them and signs with the new keys once they are there."
	}
	if _, err := fmt.Fprintf(std.out, "\n; %s\n", words); err != nil {
		return err
	}
	for _, r := range records {
		if _, err := fmt.Fprintln(std.out, r.zoneLine()); err != nil {
			return err
		}
	}
	return nil
}

type dkimListCommand struct {
	place
	format
}

func (c dkimListCommand) Run(ctx context.Context, std streams, log *slog.Logger) error {
	keys, err := call[[]keyInfo](ctx, c.place, log, "domain dkim list", nothing{})
	if err != nil {
		return err
	}
	return printKeys(std, c.format, keys)
}

type dkimShowCommand struct {
	place
	format
	Domain string `arg:"" help:"The domain."`
}

func (c dkimShowCommand) Run(ctx context.Context, std streams, log *slog.Logger) error {
	keys, err := call[[]keyInfo](ctx, c.place, log, "domain dkim show", name{c.Domain})
	if err != nil {
		return err
	}
	return printKeys(std, c.format, keys)
}

func printKeys(std streams, f format, keys []keyInfo) error {
	return print(std.out, f, keys, []string{"DOMAIN", "SELECTOR", "KEY", "STATE", "SINCE", "IN THE DNS", "WHAT TO DO"}, func(k keyInfo) []any {
		since, state := "-", k.Found
		if !k.Since.IsZero() {
			since = k.Since.Format(time.DateOnly)
		}
		if state == "" {
			state = "-"
		}
		return []any{k.Domain, k.Selector, k.Algorithm, k.State, since, state, k.advice()}
	})
}

// keyInfo is a key with what the DNS has of it.
type keyInfo struct {
	Domain    string        `json:"domain"`
	Selector  string        `json:"selector"`
	Algorithm string        `json:"algorithm"` // rsa or ed25519
	State     keyring.State `json:"state"`
	Since     time.Time     `json:"since,omitzero"`
	Until     time.Time     `json:"until,omitzero"`
	Name      string        `json:"name"`   // of its TXT record
	Record    string        `json:"record"` // text of that
	Found     string        `json:"found"`  // as dnsRecord.State; "" where nobody looked
}

// advice is what the owner of the domain is to do about a key's record.
func (k keyInfo) advice() string {
	switch {
	case k.State == keyring.Waiting && k.Found == recordMatches:
		return "nothing: it will sign within minutes"
	case k.State == keyring.Waiting:
		return "publish its record"
	case k.State == keyring.Old:
		return "keep its record until " + k.Until.Format(time.DateOnly)
	case k.State == keyring.Retired:
		return "remove its record"
	case k.Found == recordMissing || k.Found == recordDiffers:
		return "publish its record"
	}
	return "nothing"
}

type rotateParams struct {
	Domain string `json:"domain"`
	Now    bool   `json:"now"`
}

func (a *admin) dkimRotate(ctx context.Context, p rotateParams) ([]keyInfo, error) {
	d, err := a.directory.Domain(p.Domain)
	if err != nil {
		return nil, err
	}
	if err := a.keys.Rotate(ctx, d.Name, p.Now); err != nil {
		return nil, err
	}
	return a.keysOf(d.Name)
}

func (a *admin) dkimList(context.Context, nothing) ([]keyInfo, error) {
	list := []keyInfo{}
	for _, d := range a.directory.Domains() {
		keys, err := a.keysOf(d.Name)
		if err != nil && !errors.Is(err, keyring.ErrNoKeys) {
			return nil, err
		}
		list = append(list, keys...)
	}
	return list, nil
}

func (a *admin) dkimShow(ctx context.Context, p name) ([]keyInfo, error) {
	d, err := a.directory.Domain(p.Name)
	if err != nil {
		return nil, err
	}
	list, err := a.keysOf(d.Name)
	if err != nil {
		return nil, err
	}
	records, err := a.records(ctx, d.Name)
	for _, r := range records {
		if i := slices.IndexFunc(list, func(k keyInfo) bool { return k.Name == r.Name }); i >= 0 {
			list[i].Found = r.State
		}
	}
	return list, err
}

// keysOf are the keys of a domain; nobody looks what the DNS has of them.
func (a *admin) keysOf(domain string) ([]keyInfo, error) {
	keys, err := a.keys.Keys(domain)
	if err != nil {
		return nil, err
	}
	list := make([]keyInfo, len(keys))
	for i, k := range keys {
		list[i] = keyInfo{
			Domain: domain, Selector: k.Selector, Algorithm: k.Algorithm, State: k.State, Since: k.Since, Until: k.Until,
			Name: k.Name(), Record: k.Record,
		}
	}
	return list, nil
}

// keyRecords are the records of a domain's keys, with what is to become of those that do not sign.
func (a *admin) keyRecords(domain string) []dnsRecord {
	keys, err := a.keys.Keys(domain)
	if err != nil {
		return nil // it has none
	}
	var records []dnsRecord
	for _, k := range keys {
		r := dnsRecord{Name: k.Name(), Type: "TXT", Text: k.Record, Gone: k.State == keyring.Retired}
		switch k.State {
		case keyring.Waiting:
			r.Note = "of a new key, which signs once this is there"
		case keyring.Old:
			r.Note = "of an old key: keep it until " + k.Until.Format(time.DateOnly) + ", as mail with its signature is on its way"
		case keyring.Retired:
			r.Note = "of a key that is deleted: remove this record"
		}
		records = append(records, r)
	}
	return records
}
