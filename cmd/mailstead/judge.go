package main

import (
	"context"
	"fmt"
	"net/netip"

	"mailstead/smtp"
	"mailstead/smtp/mailauth"
)

// checks are those of mail from outside. Without a DNS server nothing can be
// proven, so nothing is decided: what was found is written down as "none".
func (s *server) checks(set *settings) (*smtp.Checks, error) {
	relays, err := parseNetworks(set.TrustedRelays)
	if err != nil {
		return nil, fmt.Errorf("trusted_relays: %w", err)
	}
	blocked, err := parseLists(set.DNSLists)
	if err != nil {
		return nil, fmt.Errorf("dns_lists: %w", err)
	}
	allowed, err := parseLists(set.DNSAllowLists)
	if err != nil {
		return nil, fmt.Errorf("dns_allow_lists: %w", err)
	}
	overrides, err := mailauth.ParseOverrides(set.Overrides)
	if err != nil {
		return nil, fmt.Errorf("overrides: %w", err)
	}
	var greylist *smtp.Greylist
	if set.Greylist {
		greylist = s.greylist
	}
	return &smtp.Checks{
		Resolver: s.resolver, RecordOnly: len(set.Resolvers) == 0, TrustedRelays: relays, Own: ownPrograms,
		Blocked: blocked, Allowed: allowed, Overrides: overrides, Names: s.domainNames,
		Senders: s.directory, Greylist: greylist,
		Rejected: s.here, Observe: s.feedback.Observe,
		Filter: newFilter(s.trainer, s.log),
	}, nil
}

// ownPrograms are on this machine: what they send was sent by its operator.
var ownPrograms = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}

// domainNames are the domains of this server.
func (s *server) domainNames() []string {
	var names []string
	for _, d := range s.directory.Domains() {
		names = append(names, d.Name)
	}
	return names
}

// parseNetworks reads addresses and networks.
func parseNetworks(texts []string) ([]netip.Prefix, error) {
	var all []netip.Prefix
	for _, text := range texts {
		p, err := netip.ParsePrefix(text)
		if ip, e := netip.ParseAddr(text); e == nil {
			p, err = ip.Unmap().WithZone("").Prefix(ip.Unmap().BitLen())
		}
		if err != nil {
			return nil, fmt.Errorf("%q is no address and no network", text)
		}
		all = append(all, p.Masked())
	}
	return all, nil
}

func parseLists(texts []string) ([]mailauth.DNSList, error) {
	var all []mailauth.DNSList
	for _, text := range texts {
		l, err := mailauth.ParseDNSList(text)
		if err != nil {
			return nil, err
		}
		all = append(all, l)
	}
	return all, nil
}

// makeKeys makes the keys of domains that have none, where mail leaves at all.
func (s *server) makeKeys(ctx context.Context) error {
	if len(s.settings.Resolvers) == 0 {
		return nil
	}
	for _, d := range s.domainNames() {
		if err := s.keys.Ensure(ctx, d); err != nil {
			return err
		}
	}
	return nil
}
