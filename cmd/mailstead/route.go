package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"strings"

	"mailstead/mailbox"
	"mailstead/smtp/route"
)

// routeCommand is `mailstead route`.
type routeCommand struct {
	Add    routeAddCommand    `cmd:"" help:"Send mail over another server, or directly where others do not; the password is asked for, or read from standard input."`
	List   routeListCommand   `cmd:"" help:"List the routes."`
	Show   routeShowCommand   `cmd:"" help:"Show one route; its password is not shown."`
	Remove routeRemoveCommand `cmd:"" help:"Remove a route."`
	Test   routeTestCommand   `cmd:"" help:"Say which way a message would take, connect to the server there, and log in."`
}

// hopFlags name a server that takes mail on.
type hopFlags struct {
	Via    string `placeholder:"HOST[:PORT]" help:"Over this server."`
	Direct bool   `help:"To the servers of the recipients' domains."`
	TLS    string `name:"tls" placeholder:"KIND" help:"implicit, starttls, or none: in private networks only. Default: implicit on port 465, else starttls."`
}

// hop reads the flags.
func (f hopFlags) hop() (route.Hop, error) {
	switch {
	case (f.Via == "") != f.Direct:
		return route.Hop{}, usage("say either --via HOST or --direct")
	case f.Direct && f.TLS != "":
		return route.Hop{}, usage("--tls goes with --via")
	case f.Direct:
		return route.Hop{}, nil
	}
	return route.ParseHop(f.Via, route.Security(f.TLS))
}

// matchFlags say which mail a route is for.
type matchFlags struct {
	To      []string `placeholder:"DOMAIN" help:"Mail to this domain and all below it."`
	Account []string `placeholder:"ADDRESS" help:"Mail that this account sends."`
	From    []string `placeholder:"DOMAIN" help:"Mail with a sender in this domain, and in all below it."`
}

type routeAddCommand struct {
	place
	hopFlags
	matchFlags
	Fallback     bool   `help:"Only for mail that failed otherwise."`
	After        int    `placeholder:"N" help:"With --fallback: after so many failed attempts, 3 by default."`
	User         string `placeholder:"NAME" help:"Log in as."`
	PasswordFile string `placeholder:"FILE" help:"Read the password from the first line of this file."`
	KeepPassword bool   `help:"With --replace: the password stays."`
	CA           string `name:"ca" placeholder:"FILE" help:"Trust only these authorities (PEM), not those of the system."`
	Pin          string `placeholder:"SHA256" help:"Trust only this certificate, or one of this public key."`
	Replace      bool   `help:"Replace the route of this name."`
	Name         string `arg:"" help:"A name for the route."`
}

func (c routeAddCommand) Run(ctx context.Context, std streams, log *slog.Logger) error {
	hop, err := c.hop()
	if err != nil {
		return err
	}
	p := routeParams{
		routeInfo: routeInfo{Name: c.Name, To: c.To, Accounts: c.Account, From: c.From, Hop: hop, User: c.User, Pin: c.Pin},
		Replace:   c.Replace, KeepPassword: c.KeepPassword,
	}
	if p.After, err = c.after(); err != nil {
		return err
	}
	if p.Password, err = c.password(std); err != nil {
		return err
	}
	if c.CA != "" {
		pem, err := os.ReadFile(c.CA)
		if err != nil {
			return fileFailure(err)
		}
		p.CA = string(pem)
	}
	_, err = call[nothing](ctx, c.place, log, "route add", p)
	return err
}

// after is how many attempts have to fail.
func (c routeAddCommand) after() (int, error) {
	switch {
	case !c.Fallback && c.After != 0:
		return 0, usage("--after goes with --fallback")
	case c.After < 0:
		return 0, usage("--after is a number of attempts")
	case c.Fallback && c.After == 0:
		return route.DefaultAfter, nil
	}
	return c.After, nil
}

// password gets the password that goes with --user.
func (c routeAddCommand) password(std streams) (string, error) {
	switch {
	case c.User == "" && (c.PasswordFile != "" || c.KeepPassword):
		return "", usage("a password goes with --user")
	case c.KeepPassword && (c.PasswordFile != "" || !c.Replace):
		return "", usage("--keep-password goes with --replace, and not with --password-file")
	case c.User == "" || c.KeepPassword:
		return "", nil
	case c.PasswordFile == "":
		return readPassword(std)
	}
	return readPasswordFile(c.PasswordFile)
}

// readPasswordFile reads a password from the first line of a file.
func readPasswordFile(name string) (string, error) {
	f, err := os.Open(name)
	if err != nil {
		return "", fileFailure(err)
	}
	defer f.Close()
	return readLine(f)
}

// fileFailure is an error of a file that somebody has named.
func fileFailure(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return &failure{Exit: exitNoSuch, Text: err.Error()}
	}
	return err
}

type routeListCommand struct {
	place
	format
}

func (c routeListCommand) Run(ctx context.Context, std streams, log *slog.Logger) error {
	rows, err := call[[]routeInfo](ctx, c.place, log, "route list", nothing{})
	if err != nil {
		return err
	}
	return printRoutes(std, c.format, rows)
}

type routeShowCommand struct {
	place
	format
	Name string `arg:"" help:"The route."`
}

func (c routeShowCommand) Run(ctx context.Context, std streams, log *slog.Logger) error {
	row, err := call[routeInfo](ctx, c.place, log, "route show", name{c.Name})
	if err != nil {
		return err
	}
	return printRoutes(std, c.format, []routeInfo{row})
}

func printRoutes(std streams, f format, rows []routeInfo) error {
	return print(std.out, f, rows, []string{"ROUTE", "FOR", "VIA", "TLS", "USER", "TRUSTS"}, func(r routeInfo) []any {
		return []any{r.Name, r.mail(), r.Via, string(r.Hop.Security), r.User, r.trusts()}
	})
}

type routeRemoveCommand struct {
	place
	Name string `arg:"" help:"The route."`
}

func (c routeRemoveCommand) Run(ctx context.Context, log *slog.Logger) error {
	_, err := call[nothing](ctx, c.place, log, "route remove", name{c.Name})
	return err
}

type routeTestCommand struct {
	place
	From string `placeholder:"ADDRESS" help:"The way of a message of this sender."`
	To   string `placeholder:"ADDRESS" help:"The way of a message to this recipient."`
	Name string `arg:"" optional:"" help:"The route; without, the one of a message."`
}

func (c routeTestCommand) Run(ctx context.Context, std streams, log *slog.Logger) error {
	if c.Name == "" && c.To == "" || c.Name != "" && (c.To != "" || c.From != "") {
		return usage("name a route, or a message by --to ADDRESS and --from ADDRESS")
	}
	tried, err := call[triedRoute](ctx, c.place, log, "route test", routeTestParams{c.Name, c.From, c.To})
	if err != nil {
		return err
	}
	for _, line := range tried.Lines {
		fmt.Fprintln(std.out, line)
	}
	if tried.Failure != "" {
		return &failure{Exit: exitFailed, Text: tried.Failure}
	}
	return nil
}

// routeInfo is a route as people see it.
type routeInfo struct {
	Name     string    `json:"name"`
	To       []string  `json:"to"`       // domains; none = any
	Accounts []string  `json:"accounts"` // addresses; none = any
	From     []string  `json:"from"`     // domains; none = any
	After    int       `json:"after"`    // failed attempts; 0 = from the first one
	Via      string    `json:"via"`      // host and port, or "direct"
	Hop      route.Hop `json:"hop"`
	User     string    `json:"user"`
	CA       string    `json:"ca"`
	Pin      string    `json:"pin"`
}

// mail says which mail a route is for.
func (r routeInfo) mail() string {
	var parts []string
	for _, p := range []struct {
		word string
		list []string
	}{{"to ", r.To}, {"of ", r.Accounts}, {"from ", r.From}} {
		if len(p.list) > 0 {
			parts = append(parts, p.word+strings.Join(p.list, " "))
		}
	}
	if r.After > 0 {
		parts = append(parts, fmt.Sprintf("after %d attempts", r.After))
	}
	if len(parts) == 0 {
		return "all"
	}
	return strings.Join(parts, ", ")
}

// trusts says whose certificates count.
func (r routeInfo) trusts() string {
	switch {
	case r.Hop == (route.Hop{}) || r.Hop.Security == route.NoTLS:
		return "-"
	case r.Pin != "":
		return "sha256:" + r.Pin
	case r.CA != "":
		return "authorities of its own"
	}
	return "the system"
}

// routeParams are a new route.
type routeParams struct {
	routeInfo
	Password     string `json:"password"`
	KeepPassword bool   `json:"keep_password"`
	Replace      bool   `json:"replace"`
}

func (a *admin) routeAdd(ctx context.Context, p routeParams) (nothing, error) {
	r := route.Route{
		Name: p.Name, To: p.To, From: p.From, After: p.After, Hop: p.Hop,
		Login: route.Login{User: p.User, Password: route.Secret(p.Password)}, Trust: route.Trust{CA: p.CA, Pin: p.Pin},
	}
	for _, address := range p.Accounts {
		e, err := a.directory.Account(address)
		if err != nil {
			return nothing{}, err
		}
		r.Accounts = append(r.Accounts, e.ID)
	}
	if p.KeepPassword {
		before, err := a.routes.Get(p.Name)
		if err != nil {
			return nothing{}, err
		}
		r.Login.Password = before.Login.Password
	}
	if err := a.routes.Add(ctx, r, p.Replace); err != nil {
		return nothing{}, err
	}
	return nothing{}, a.queue.Rerouted()
}

func (a *admin) routeList(context.Context, nothing) ([]routeInfo, error) {
	rows := []routeInfo{}
	for _, r := range a.routes.List() {
		rows = append(rows, a.routeInfo(r))
	}
	return rows, nil
}

func (a *admin) routeShow(_ context.Context, p name) (routeInfo, error) {
	r, err := a.routes.Get(p.Name)
	if err != nil {
		return routeInfo{}, err
	}
	return a.routeInfo(r), nil
}

func (a *admin) routeRemove(ctx context.Context, p name) (nothing, error) {
	if err := a.routes.Remove(ctx, p.Name); err != nil {
		return nothing{}, err
	}
	return nothing{}, a.queue.Rerouted()
}

func (a *admin) routeInfo(r route.Route) routeInfo {
	i := routeInfo{
		Name: r.Name, To: list(r.To), Accounts: []string{}, From: list(r.From), After: r.After,
		Via: r.Hop.String(), Hop: r.Hop, User: r.Login.User, CA: r.Trust.CA, Pin: r.Trust.Pin,
	}
	for _, id := range r.Accounts {
		i.Accounts = append(i.Accounts, a.accountName(id))
	}
	return i
}

// accountName is an account's name, or says that it was removed.
func (a *admin) accountName(id mailbox.AccountID) string {
	for _, e := range a.directory.Accounts() {
		if e.ID == id {
			return e.Name
		}
	}
	return fmt.Sprintf("(removed account %d)", id)
}

// list is never null in JSON.
func list(all []string) []string {
	if all == nil {
		return []string{}
	}
	return all
}
