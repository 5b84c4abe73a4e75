package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/netip"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/term"

	"mailstead/cmd/internal/setup"
	"mailstead/mailbox"
	"mailstead/mailbox/directory"
	"mailstead/smtp/dns"
	"mailstead/smtp/keyring"
)

// setupCommand is `mailstead setup`.
type setupCommand struct {
	Domain       string `arg:"" help:"The domain that mail is for."`
	Yes          bool   `help:"Ask nothing: take every default that no flag gives."`
	Hostname     string `placeholder:"NAME" help:"The machine's own name (default: mail.DOMAIN)."`
	Account      string `placeholder:"ADDRESS" help:"The first account (default: the name of whoever runs setup)."`
	PasswordFile string `placeholder:"FILE" help:"File whose first line is the account's password, - for standard input (default: one is generated, and shown)."`
	ACMEEmail    string `name:"acme-email" placeholder:"ADDRESS" help:"Contact for certificates from Let's Encrypt; it agrees to its terms (default: the account)." xor:"acme"`
	NoACME       bool   `name:"no-acme" help:"Fetch no certificates." xor:"acme"`
	Dir          string `placeholder:"DIR" type:"path" help:"Folder of all that the server keeps (default: /var/lib/mailstead)."`
	Config       string `default:"${config}" type:"path" help:"Configuration file."`
	User         string `default:"mailstead" help:"System user that the server runs as."`
	Foreground   bool   `name:"run" help:"Run the server in the foreground afterwards."`
	NoService    bool   `help:"Install and start no service."`
	NoWatch      bool   `help:"Do not wait until the records are in the DNS."`
}

// Run sets a server up.
func (c *setupCommand) Run(ctx context.Context, std streams, log *slog.Logger) error {
	terminal, err := c.terminal(std)
	if err != nil {
		return err
	}
	host, err := setup.ThisHost()
	if err != nil {
		return err
	}
	password, err := c.password(std)
	if err != nil {
		return err
	}
	resolvers, err := readResolvConf(systemResolvers)
	if err != nil {
		log.Debug("no resolvers", "error", err) // the warnings say it
	}
	s := c.setup(terminal, host, &settled{config: c.Config, dir: c.Dir, log: log})
	s.Password, s.Probe = password, setup.ProbeHost(resolvers)
	if err := s.Run(ctx); err != nil {
		return setupFailure(err)
	}
	if !c.Foreground {
		return nil
	}
	return s.RunServer(ctx)
}

func (c *setupCommand) setup(t *setup.Terminal, h setup.Host, server *settled) *setup.Setup {
	places := setup.UsualPlaces()
	places.Config, places.User = c.Config, c.User
	if c.Dir != "" {
		places.Dir = c.Dir
	}
	server.dir = places.Dir
	return &setup.Setup{
		Options: setup.Options{
			Domain: c.Domain, Places: places, DirGiven: c.Dir != "", Yes: c.Yes, Hostname: c.Hostname, Account: c.Account,
			Contact: c.ACMEEmail, NoCertificates: c.NoACME, NoService: c.NoService, NoWatch: c.NoWatch, Serve: c.Foreground,
		},
		Terminal: t, Host: h, Server: server,
	}
}

// setupFailure gives errors their exit status.
func setupFailure(err error) error {
	switch {
	case errors.Is(err, setup.ErrAnswer):
		return usage("%v", err)
	case errors.Is(err, context.Canceled):
		return &failure{Exit: exitFailed, Text: "setup was cut off; running it again goes on from there"}
	}
	return err
}

// terminal is where questions are asked; without one there is nobody to ask.
func (c *setupCommand) terminal(std streams) (*setup.Terminal, error) {
	in, isFile := std.in.(*os.File)
	out, toFile := std.out.(*os.File)
	if isFile && toFile && term.IsTerminal(int(in.Fd())) {
		return setup.NewTerminal(in, out), nil
	}
	if !c.Yes {
		return nil, usage("there is no terminal to ask at; --yes takes the defaults of all questions")
	}
	return setup.Unattended(std.out), nil
}

// password is that of the flag, "" without.
func (c *setupCommand) password(std streams) (string, error) {
	switch c.PasswordFile {
	case "":
		return "", nil
	case "-":
		return nonEmpty(readLine(std.in))
	}
	f, err := os.Open(c.PasswordFile)
	if err != nil {
		return "", fmt.Errorf("the password's file: %w", err)
	}
	defer f.Close()
	return nonEmpty(readLine(f))
}

func nonEmpty(password string, err error) (string, error) {
	if err == nil && password == "" {
		return "", usage("the password is empty")
	}
	return password, err
}

// settled is the server that setup works on: the one of a configuration file.
type settled struct {
	config, dir string
	log         *slog.Logger
}

// ReadConfig reads the configuration.
func (s *settled) ReadConfig(name string) (setup.Settings, error) {
	c, err := readConfig(name)
	if err == nil {
		s.dir = c.Dir
	}
	return setup.Settings{Hostname: c.Hostname, Dir: c.Dir, Contact: c.ACMEEmail}, err
}

// Accounts are those of a domain.
func (s *settled) Accounts(ctx context.Context, domain string) (names []string, err error) {
	if inside, err := os.ReadDir(storeDir(s.dir)); errors.Is(err, fs.ErrNotExist) || err == nil && len(inside) == 0 {
		return nil, nil
	}
	list, err := asOwner(s.dir, func() ([]accountInfo, error) {
		return call[[]accountInfo](ctx, place{Config: s.config}, s.log, "account list", nothing{})
	})
	for _, a := range list {
		if _, of, _ := strings.Cut(a.Name, "@"); of == domain {
			names = append(names, a.Name)
		}
	}
	return names, err
}

// asOwner does something as the user whose a server's folder is: what root makes in it the server could not open.
func asOwner[R any](dir string, do func() (R, error)) (result R, err error) {
	info, err := os.Stat(storeDir(dir))
	if err != nil {
		return result, fmt.Errorf("the server's folder: %w", err)
	}
	of, ok := info.Sys().(*syscall.Stat_t)
	if !ok || os.Geteuid() != 0 || of.Uid == 0 {
		return do()
	}
	gid := os.Getegid()
	if err := errors.Join(syscall.Setegid(int(of.Gid)), syscall.Seteuid(int(of.Uid))); err != nil {
		return result, fmt.Errorf("act as the folder's owner: %w", err)
	}
	defer func() {
		err = errors.Join(err, syscall.Seteuid(0), syscall.Setegid(gid))
	}()
	return do()
}

// Furnish makes what is missing in the store.
func (s *settled) Furnish(ctx context.Context, a setup.Answers) (setup.Made, error) {
	c, err := readConfig(s.config)
	if err != nil {
		return setup.Made{}, err
	}
	f, err := asOwner(c.Dir, func() (furnished, error) {
		return call[furnished](ctx, place{Config: s.config}, s.log, "setup", furnishParams{a.Domain, a.Account, a.Password})
	})
	if err != nil {
		return setup.Made{}, err
	}
	if !strings.EqualFold(f.Hostname, c.Hostname) {
		return setup.Made{}, fmt.Errorf("the server that runs in %s is called %s, the configuration says %s: restart it (systemctl restart mailstead) and run setup again",
			c.Dir, f.Hostname, c.Hostname)
	}
	addresses := hostAddresses(&c)
	list := append(hostRecords(c.Hostname, addresses), f.Records...)
	made := setup.Made{Domain: f.Domain, Account: f.Account, Letter: f.Letter, Postmaster: f.Postmaster}
	for _, r := range list {
		if !r.Gone {
			made.Records = append(made.Records, setupRecord(r))
		}
	}
	return made, nil
}

// setupRecord is a record as setup tells of it.
func setupRecord(r dnsRecord) setup.Record {
	out := setup.Record{Name: r.Name, Type: r.Type, Text: r.Text, Zone: r.zoneLine(), Note: r.Note}
	if r.Type == "PTR" {
		out.Zone, out.Note = "", "your provider sets it, for its address of this machine"
	}
	return out
}

// hostAddresses are the addresses under which the world reaches this machine.
func hostAddresses(c *settings) []netip.Addr {
	list := setup.OwnAddresses()
	for _, text := range c.PublicAddresses {
		if a, err := netip.ParseAddr(text); err == nil && !slices.Contains(list, a.Unmap()) {
			list = append(list, a.Unmap())
		}
	}
	return list
}

// hostRecords are those of the server's own name, and of its addresses.
func hostRecords(hostname string, addresses []netip.Addr) (list []dnsRecord) {
	host := keyring.Domain(hostname)
	var back []dnsRecord
	for _, a := range addresses {
		kind := "A"
		if a.Is6() {
			kind = "AAAA"
		}
		list = append(list, dnsRecord{Name: host, Type: kind, Text: a.String()})
		back = append(back, dnsRecord{Name: a.String(), Type: "PTR", Text: host + "."})
	}
	return append(list, back...)
}

// Look asks the DNS which records are there. What serves their ends counts, whatever its words: so they are held
// against what the domain is proposed.
func (s *settled) Look(ctx context.Context, list []setup.Record) []setup.State {
	states := make([]setup.State, len(list))
	c, err := readConfig(s.config)
	if err == nil && c.Resolvers == nil {
		c.Resolvers, err = readResolvConf(systemResolvers)
	}
	if err != nil {
		return states
	}
	r, err := dns.New(dns.Options{Servers: c.Resolvers}) // one that remembers nothing
	if err != nil || r.Disabled() {
		return states
	}
	records := make([]dnsRecord, len(list))
	for i, l := range list {
		records[i] = serving(dnsRecord{Name: l.Name, Type: l.Type, Text: l.Text}, &c)
	}
	lookUp(ctx, r, records)
	for i := range records {
		states[i] = map[string]setup.State{recordMatches: setup.There, recordMissing: setup.Missing, recordDiffers: setup.Differs}[records[i].State]
	}
	return states
}

// serving gives a record that came as text the judgement of what serves its end.
func serving(r dnsRecord, c *settings) dnsRecord {
	domain := r.Name
	for strings.HasPrefix(domain, "_") || strings.Contains(domain, "._domainkey.") {
		_, domain, _ = strings.Cut(domain, ".")
	}
	all := proposals(domain, c.Hostname, nil, func(d string) bool { return d == domain })
	all = append(all, guides(domain, c.Hostname, c.guide())...)
	if strings.Contains(r.Name, "._domainkey.") {
		all = proposals(domain, "", []dnsRecord{r}, func(string) bool { return false })
	}
	for _, p := range all {
		if p.Name == r.Name && p.Type == r.Type && p.Text == r.Text {
			return p
		}
	}
	r.serves = func(found []string) bool { return slices.Contains(found, r.Text) }
	return r
}

// furnishParams are a domain and its first account, which may be none.
type furnishParams struct {
	Domain   string `json:"domain"`
	Account  string `json:"account"`
	Password string `json:"password"`
}

// furnished is what was made; the rest was there.
type furnished struct {
	Domain     bool        `json:"domain"`
	Account    bool        `json:"account"`
	Letter     bool        `json:"letter"`
	Postmaster string      `json:"postmaster"`
	Hostname   string      `json:"hostname"`
	Records    []dnsRecord `json:"records"`
}

// furnish makes what is missing of a domain, its keys, an account and its first letter. Done twice it does nothing more.
func (a *admin) furnish(ctx context.Context, p furnishParams) (f furnished, err error) {
	f.Hostname = a.hostname
	switch err := a.directory.AddDomain(ctx, p.Domain); {
	case err == nil:
		f.Domain = true
	case !errors.Is(err, directory.ErrExists):
		return f, fmt.Errorf("domain %s: %w", p.Domain, err)
	}
	if err := a.keys.Ensure(ctx, p.Domain); err != nil {
		return f, fmt.Errorf("keys of %s: %w", p.Domain, err)
	}
	if err := a.domainsChanged(); err != nil {
		return f, err
	}
	if p.Account != "" {
		if err := a.furnishAccount(ctx, p, &f); err != nil {
			return f, fmt.Errorf("account %s: %w", p.Account, err)
		}
	}
	if to, err := a.directory.Resolve("postmaster@" + p.Domain); err == nil && len(to.Local) > 0 {
		f.Postmaster = to.Local[0].Name
	}
	f.Records = proposals(p.Domain, a.hostname, a.keyRecords(p.Domain), a.directory.IsLocal)
	if a.hostTLSA != nil {
		f.Records = append(f.Records, tlsaRecords(a.hostname, a.hostTLSA())...)
	}
	f.Records = append(f.Records, guides(p.Domain, a.hostname, a.guide)...)
	return f, nil
}

func (a *admin) furnishAccount(ctx context.Context, p furnishParams, f *furnished) error {
	e, err := a.directory.Account(p.Account)
	if errors.Is(err, directory.ErrNoSuch) {
		f.Account = true
		if _, err = a.directory.AddAccount(ctx, p.Account, p.Password); err == nil {
			e, err = a.directory.Account(p.Account)
		}
	}
	if err != nil {
		return err
	}
	inbox, err := a.store.Mailbox(e.ID, "INBOX")
	if err != nil || inbox.UIDNext > 1 { // it had letters, the first among them
		return err
	}
	f.Letter = true
	return putLetter(ctx, a.store, e.ID, setup.Letter(e.Name, a.hostname, time.Now()))
}

// putLetter puts a letter into an account's INBOX.
func putLetter(ctx context.Context, store *mailbox.Store, to mailbox.AccountID, text string) error {
	b := store.NewBody()
	defer b.Abort()
	if _, err := b.Write([]byte(text)); err != nil {
		return fmt.Errorf("first letter: %w", err)
	}
	placed, err := store.Deliver(ctx, b, []mailbox.Target{{Account: to, Name: "INBOX"}}, nil)
	if err == nil {
		err = placed[0].Err
	}
	if err != nil {
		return fmt.Errorf("first letter: %w", err)
	}
	return nil
}

// askAddresses gives the addresses of a host.
func askAddresses(ctx context.Context, r *dns.Resolver, host string) (texts []string, err error) {
	a, err := r.LookupAddrs(ctx, host)
	for _, ip := range a.Records {
		texts = append(texts, ip.String())
	}
	return texts, err
}

// askReverse gives the names of an address.
func askReverse(ctx context.Context, r *dns.Resolver, address string) (texts []string, err error) {
	ip, err := netip.ParseAddr(address)
	if err != nil {
		return nil, err
	}
	a, err := r.LookupPTR(ctx, ip)
	for _, name := range a.Records {
		texts = append(texts, name+".")
	}
	return texts, err
}
