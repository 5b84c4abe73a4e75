package main

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"time"

	"mailstead/smtp"
)

// bansCommand is `mailstead bans`.
type bansCommand struct {
	List bansListCommand `cmd:"" help:"Who is held back for what it did too often, and until when."`
}

type bansListCommand struct {
	place
	format
}

func (c bansListCommand) Run(ctx context.Context, std streams, log *slog.Logger) error {
	rows, err := call[[]ban](ctx, c.place, log, "bans list", nothing{})
	if err != nil {
		return err
	}
	return print(std.out, c.format, rows, []string{"WHO", "SINCE", "UNTIL", "REASON"}, func(b ban) []any {
		return []any{b.Who, b.Since.Format(time.RFC3339), b.Until.Format(time.RFC3339), b.Reason}
	})
}

// unbanCommand is `mailstead unban`.
type unbanCommand struct {
	place
	Who string `arg:"" help:"An address, a network, a user name, or all."`
}

func (c unbanCommand) Run(ctx context.Context, std streams, log *slog.Logger) error {
	n, err := call[unbanned](ctx, c.place, log, "unban", name{c.Who})
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(std.out, "released: %d\n", n.Released)
	return err
}

// ban is somebody who is held back.
type ban struct {
	Who    string    `json:"who"` // an address, a network or a user name
	Since  time.Time `json:"since"`
	Until  time.Time `json:"until"` // if nothing more comes
	Reason string    `json:"reason"`
}

// unbanned is how many were released.
type unbanned struct {
	Released int `json:"released"`
}

// receiver is the server at port 25.
func (s *server) receiver() *smtp.Server {
	for _, f := range s.fronts {
		if r, ok := f.server.(*smtp.Server); ok && f.name == "smtp" {
			return r
		}
	}
	return nil
}

func (a *admin) bansList(context.Context, nothing) ([]ban, error) {
	list := []ban{}
	for _, h := range a.directory.HeldBack() {
		reason := fmt.Sprintf("%d failed logins; the next ones are answered late", h.Failures)
		list = append(list, ban{cmp.Or(h.Address, h.User), h.Since, h.Until, reason})
	}
	if a.receiver != nil {
		for _, r := range a.receiver.Restrained() {
			who := r.Who.String()
			if r.Who.IsSingleIP() {
				who = r.Who.Addr().String()
			}
			list = append(list, ban{who, r.Since, r.Until, "too many " + r.What + " at port 25"})
		}
	}
	slices.SortStableFunc(list, func(x, y ban) int { return x.Since.Compare(y.Since) })
	return list, nil
}

func (a *admin) unban(_ context.Context, p name) (unbanned, error) {
	if p.Name == "all" {
		n := a.directory.ReleaseAll()
		if a.receiver != nil {
			n += a.receiver.Release(netip.PrefixFrom(netip.IPv4Unspecified(), 0)) + a.receiver.Release(netip.PrefixFrom(netip.IPv6Unspecified(), 0))
		}
		return unbanned{n}, nil
	}
	n := 0
	if network, ok := parseNetwork(p.Name); ok {
		n = a.directory.ReleaseAddress(network)
		if a.receiver != nil {
			n += a.receiver.Release(network)
		}
	} else {
		n = a.directory.ReleaseUser(p.Name)
	}
	if n == 0 {
		return unbanned{}, &failure{Exit: exitNoSuch, Text: fmt.Sprintf("%.80q is not held back; mailstead bans list tells who is", p.Name)}
	}
	return unbanned{n}, nil
}

// parseNetwork reads a network, or an address as one.
func parseNetwork(s string) (netip.Prefix, bool) {
	if p, err := netip.ParsePrefix(s); err == nil {
		return p.Masked(), true
	}
	ip, err := netip.ParseAddr(s)
	if err != nil {
		return netip.Prefix{}, false
	}
	ip = ip.Unmap().WithZone("")
	return netip.PrefixFrom(ip, ip.BitLen()), true
}
