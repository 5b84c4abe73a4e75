package main

import (
	"context"
	"log/slog"
	"strings"
	"time"

	"mailstead/smtp/dns"
	"mailstead/smtp/route"
)

// tryTime is how long a smarthost may take when somebody waits for it at a terminal.
const tryTime = time.Minute

// routeTestParams name a route, or a message.
type routeTestParams struct {
	Name string `json:"name"`
	From string `json:"from"`
	To   string `json:"to"`
}

// triedRoute is what became of a test.
type triedRoute struct {
	Lines   []string `json:"lines"`
	Failure string   `json:"failure"` // "" = it would take mail
}

func (a *admin) routeTest(ctx context.Context, p routeTestParams) (triedRoute, error) {
	r, err := a.routeToTest(p)
	if err != nil {
		return triedRoute{}, err
	}
	t := triedRoute{}
	tell := func(line string) { t.Lines = append(t.Lines, line) }
	if r.Direct() {
		tell("* such mail goes directly, to the servers of its recipients' domains")
		return t, nil
	}
	tell("* such mail goes by the route " + r.Name + ", over " + r.Hop.String())
	ctx, cancel := context.WithTimeout(ctx, tryTime)
	defer cancel()
	if err := a.world.Try(ctx, r, tell); err != nil {
		t.Failure = err.Error()
		return t, nil
	}
	tell("* " + r.Hop.Host + " is ready to take mail")
	return t, nil
}

// routeToTest is the route of a name, or that of a message which nobody has tried yet.
func (a *admin) routeToTest(p routeTestParams) (route.Route, error) {
	if p.Name != "" {
		return a.routes.Get(p.Name)
	}
	m := route.Mail{From: p.From}
	domain := p.To[strings.LastIndexByte(p.To, '@')+1:]
	var err error
	if m.To, err = dns.ASCII(domain); err != nil {
		return route.Route{}, usage("%.80q is no address", p.To)
	}
	if a.directory.IsLocal(m.To) {
		return route.Route{}, usage("%s is a domain of this server, and mail to it does not leave", m.To)
	}
	if e, err := a.directory.Account(p.From); err == nil {
		m.Account = e.ID
	}
	return a.routes.For(m), nil
}

type queueRerouteCommand struct {
	place
	hopFlags
	Routes bool   `help:"By the routes, as if it had never been rerouted."`
	ID     string `arg:"" help:"The entry, or all."`
}

func (c queueRerouteCommand) Run(ctx context.Context, log *slog.Logger) error {
	p := rerouteParams{ID: c.ID}
	if c.Routes && (c.Direct || c.Via != "" || c.TLS != "") {
		return usage("--routes stands alone")
	}
	if !c.Routes {
		hop, err := c.hop()
		if err != nil {
			return err
		}
		p.Via = &hop
	}
	_, err := call[nothing](ctx, c.place, log, "queue reroute", p)
	return err
}

// rerouteParams are an entry of the queue and where it is to go.
type rerouteParams struct {
	ID  string     `json:"id"`
	Via *route.Hop `json:"via"` // the zero hop is the direct way, null what the routes say
}

func (a *admin) queueReroute(ctx context.Context, p rerouteParams) (nothing, error) {
	if p.Via != nil && *p.Via != (route.Hop{}) {
		via, err := route.ParseHop(p.Via.String(), p.Via.Security)
		if err != nil {
			return nothing{}, err
		}
		p.Via = &via
	}
	return nothing{}, a.queue.Reroute(ctx, p.ID, p.Via)
}
