package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"mailstead/mailbox"
	"mailstead/mailbox/directory"
	"mailstead/smtp/dns"
)

// localCommand is the whole server on loopback: the same code and the same
// durability as `serve`, with settings that need no file.
type localCommand struct {
	Dir        string   `default:"./mailstead-local" help:"Folder of all that the server keeps." type:"path"`
	Domain     []string `default:"example.test" help:"Domain of the server (may be repeated)." sep:"none"`
	PortOffset int      `default:"10000" help:"What is added to the standard port numbers."`
	Account    []string `placeholder:"ADDRESS:PASSWORD" help:"Make this account, or set its password (may be repeated)." sep:"none"`
	Welcome    bool     `help:"Put a letter into the INBOX of accounts that are made."`
	Resolver   []string `placeholder:"IP:PORT" help:"DNS server; without one no name is looked up, and mail to other domains waits in the queue." sep:"none"`
	MXPort     int      `name:"mx-port" default:"25" help:"Port of other domains' mail servers."`
	Check      bool     `help:"Only check what was asked for and the formats of the folder, and end."`
}

// Run serves until ctx ends.
func (c *localCommand) Run(ctx context.Context, std streams, log *slog.Logger, p *process) error {
	s, err := c.settings()
	if err == nil && c.Check {
		err = checkFormats(s.Dir, log)
	}
	if err != nil || c.Check {
		return err
	}
	return runServer(ctx, s, log, p, func(srv *server) error { return c.furnish(ctx, srv) }, func(srv *server) error {
		c.printSettings(std.out, s, srv.directory)
		_, err := fmt.Fprintln(std.out, "mailstead is ready")
		return err
	})
}

// loopback are the addresses that `local` listens on.
func loopback() []string {
	hosts := []string{"127.0.0.1"}
	if l, err := net.Listen("tcp", "[::1]:0"); err == nil {
		l.Close()
		hosts = append(hosts, "::1")
	}
	return hosts
}

func (c *localCommand) settings() (settings, error) {
	s := defaultSettings()
	s.local = true
	s.Dir = c.Dir
	domain, err := dns.ASCII(c.Domain[0])
	if err != nil {
		return s, usage("--domain: %v", err)
	}
	s.Hostname = "mail." + domain
	s.Resolvers = append([]string{}, c.Resolver...)
	s.MXPort = c.MXPort
	s.SessionsPerAccount = 0
	hosts := loopback()
	at := func(port int) (addresses []string) {
		for _, h := range hosts {
			addresses = append(addresses, net.JoinHostPort(h, strconv.Itoa(port+c.PortOffset)))
		}
		return addresses
	}
	if c.PortOffset < 0 || c.PortOffset > 65535-995 {
		return s, usage("--port-offset must be 0 to %d", 65535-995)
	}
	s.Listen = listen{
		SMTP: at(25), Submission: at(587), Submissions: at(465),
		IMAP: at(143), IMAPS: at(993), POP3: at(110), POP3S: at(995),
		HTTP: at(80), HTTPS: at(443),
	}
	if err := s.check(); err != nil {
		return s, usage("%v", err)
	}
	if slices.ContainsFunc(c.Account, func(a string) bool { return !strings.Contains(a, ":") }) {
		return s, usage("--account wants ADDRESS:PASSWORD")
	}
	return s, nil
}

// furnish makes the domains and accounts that were asked for and are not there.
func (c *localCommand) furnish(ctx context.Context, srv *server) error {
	d := srv.directory
	for _, domain := range c.Domain {
		if err := d.AddDomain(ctx, domain); err != nil && !errors.Is(err, directory.ErrExists) {
			return fmt.Errorf("domain %s: %w", domain, err)
		}
	}
	for _, a := range c.Account {
		address, password, _ := strings.Cut(a, ":")
		if err := c.account(ctx, srv, address, password); err != nil {
			return fmt.Errorf("account %s: %w", address, err)
		}
	}
	return srv.renameCertificate()
}

// account makes an account with its domain, or sets its password.
func (c *localCommand) account(ctx context.Context, srv *server, address, password string) error {
	d := srv.directory
	if _, err := d.Account(address); err == nil {
		same, err := d.HasPassword(ctx, address, password)
		if err != nil || same {
			return err
		}
		return d.SetPassword(ctx, address, password)
	}
	if _, domain, ok := strings.Cut(address, "@"); ok && !d.IsLocal(domain) {
		if err := d.AddDomain(ctx, domain); err != nil {
			return err
		}
	}
	made, err := d.AddAccount(ctx, address, password)
	if err != nil || !c.Welcome {
		return err
	}
	return welcome(ctx, srv.store, made, time.Now())
}

// welcome puts the first letter into a new account.
func welcome(ctx context.Context, store *mailbox.Store, a directory.Account, now time.Time) error {
	_, domain, _ := strings.Cut(a.Name, "@")
	b := store.NewBody()
	defer b.Abort()
	_, err := fmt.Fprintf(b, "From: mailstead <postmaster@%s>\r\n"+
		"To: <%s>\r\n"+
		"Subject: Welcome to mailstead\r\n"+
		"Date: %s\r\n"+
		"Message-ID: <welcome.%d@%s>\r\n"+
		"MIME-Version: 1.0\r\n"+
		"Content-Type: text/plain; charset=utf-8\r\n"+
		"\r\n"+
		"This is the first letter in your new mailbox.\r\n"+
		"\r\n"+
		"Write to the other account of this server, answer from there, and watch it\r\n"+
		"arrive. Mail to other domains stays in the queue until the server is given a\r\n"+
		"resolver; 'mailstead queue list' shows it.\r\n", domain, a.Name, now.Format(time.RFC1123Z), now.UnixNano(), domain)
	if err != nil {
		return fmt.Errorf("welcome letter: %w", err)
	}
	placed, err := store.Deliver(ctx, b, []mailbox.Target{{Account: a.ID, Name: "INBOX"}}, nil)
	if err == nil {
		err = placed[0].Err
	}
	if err != nil {
		return fmt.Errorf("welcome letter: %w", err)
	}
	return nil
}

// printSettings says what to type into a mail program.
func (c *localCommand) printSettings(w io.Writer, s settings, d *directory.Directory) {
	port := func(standard int) string { return strconv.Itoa(standard + c.PortOffset) }
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "In Thunderbird or another mail program, set up by hand:")
	fmt.Fprintln(t)
	fmt.Fprintf(t, "  incoming, IMAP\tlocalhost\tport %s, SSL/TLS (or %s, STARTTLS)\n", port(993), port(143))
	fmt.Fprintf(t, "  incoming, POP3\tlocalhost\tport %s, SSL/TLS (or %s, STARTTLS)\n", port(995), port(110))
	fmt.Fprintf(t, "  outgoing, SMTP\tlocalhost\tport %s, SSL/TLS (or %s, STARTTLS)\n", port(465), port(587))
	fmt.Fprintf(t, "  from other servers\tlocalhost\tport %s\n", port(25))
	fmt.Fprintf(t, "  trust this CA\t%s/ca.pem\t\n", s.Dir)
	fmt.Fprintln(t)
	given := map[string]string{}
	for _, a := range c.Account {
		address, password, _ := strings.Cut(a, ":")
		given[strings.ToLower(address)] = password
	}
	for _, a := range d.Accounts() {
		password, known := given[a.Name]
		if !known {
			password = "(as it was set)"
		}
		fmt.Fprintf(t, "  user name\t%s\tpassword %s\n", a.Name, password)
	}
	if len(d.Accounts()) == 0 {
		fmt.Fprintf(t, "  no accounts yet\tmailstead account add user@%s --dir %s\t\n", c.Domain[0], s.Dir)
	}
	fmt.Fprintln(t)
	t.Flush()
}

// serveCommand is the server proper.
type serveCommand struct {
	Config string `default:"${config}" help:"Configuration file." type:"path"`
	User   string `placeholder:"NAME" help:"User to become once the ports are open, instead of the setting user."`
	Check  bool   `help:"Only check the configuration and the formats of the folder, and end."`
}

// Run serves until ctx ends.
func (c *serveCommand) Run(ctx context.Context, std streams, log *slog.Logger, p *process) error {
	s, err := c.settings()
	if err == nil && c.Check {
		err = checkFormats(s.Dir, log)
	}
	if err != nil || c.Check {
		return err
	}
	follow := func(srv *server) error {
		srv.reading = c.settings
		return nil
	}
	return runServer(ctx, s, log, p, follow, func(*server) error {
		if _, err := fmt.Fprintln(std.out, "mailstead is ready"); err != nil {
			return err
		}
		return notifySystemd("READY=1")
	})
}

// settings are those of the file, checked as far as that can be done beside a server that runs.
func (c *serveCommand) settings() (settings, error) {
	s, err := readConfig(c.Config)
	if err == nil && s.Resolvers == nil {
		s.Resolvers, err = readResolvConf(systemResolvers)
	}
	if err != nil {
		return s, err
	}
	s.User = cmp.Or(c.User, s.User)
	if s.User == "" {
		return s, nil
	}
	_, err = lookUpUser(s.User)
	return s, err
}
