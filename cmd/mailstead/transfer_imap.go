package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/term"

	"mailstead/imap/client"
	"mailstead/mailbox/transfer"
)

// imapLogin is how commands reach an account of another server.
type imapLogin struct {
	User          string `required:"" placeholder:"USER" help:"The name to log in with there."`
	PasswordFile  string `placeholder:"FILE" type:"path" xor:"secret" help:"A file whose first line is the password; without, it is asked for, or read from standard input."`
	TokenFile     string `placeholder:"FILE" type:"path" xor:"secret" help:"A file with an OAuth 2.0 access token instead of a password. It is read again for each connection."`
	StartTLS      bool   `name:"starttls" xor:"tls" help:"Begin TLS after connecting, on port 143, instead of port 993."`
	InsecurePlain bool   `xor:"tls" help:"No TLS at all: only to a loopback address."`
	CAFile        string `name:"ca-file" placeholder:"FILE" type:"path" help:"Certificates of the authorities that vouch for the server; without, those of the system."`
}

// otherServer is a server and how to log in there.
type otherServer struct {
	imapLogin
	o        client.Options
	password string
}

// server reads what there is to read before the first connection.
func (l imapLogin) server(std streams, host string) (*otherServer, error) {
	s := &otherServer{imapLogin: l, o: client.Options{Security: client.ImplicitTLS}}
	port := "993"
	switch {
	case l.StartTLS:
		s.o.Security, port = client.StartTLS, "143"
	case l.InsecurePlain:
		s.o.Security, port = client.Plain, "143"
	}
	var err error
	if s.o.Address, err = withPort(host, port); err != nil {
		return nil, err
	}
	if l.CAFile != "" {
		pem, err := os.ReadFile(l.CAFile)
		if err != nil {
			return nil, err
		}
		roots := x509.NewCertPool()
		if !roots.AppendCertsFromPEM(pem) {
			return nil, usage("%s holds no certificate", l.CAFile)
		}
		s.o.TLS = &tls.Config{RootCAs: roots}
	}
	switch {
	case l.TokenFile != "":
		_, err = s.token()
	case l.PasswordFile != "":
		s.password, err = firstLine(l.PasswordFile)
	default:
		s.password, err = oncePassword(std, l.User)
	}
	return s, err
}

// withPort completes HOST or HOST:PORT. An IPv6 address with a port is in brackets.
func withPort(host, port string) (string, error) {
	if h, p, err := net.SplitHostPort(host); err == nil && h != "" && p != "" {
		return net.JoinHostPort(h, p), nil
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	if host == "" || strings.ContainsAny(host, "/@ []") || strings.Contains(host, ":") && net.ParseIP(host) == nil {
		return "", usage("%q is no host, with or without a port", host)
	}
	return net.JoinHostPort(host, port), nil
}

// token reads the access token: a program that renews it may have written another.
func (s *otherServer) token() (string, error) { return firstLine(s.TokenFile) }

func firstLine(file string) (string, error) {
	f, err := os.Open(file)
	if err != nil {
		return "", err
	}
	defer f.Close()
	line, err := readLine(f)
	if err == nil && line == "" {
		err = fmt.Errorf("%s: its first line is empty", file)
	}
	return line, err
}

// oncePassword asks for a password that exists already.
func oncePassword(std streams, user string) (string, error) {
	f, ok := std.in.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return readLine(std.in)
	}
	return askPassword(std, f, "Password of "+printable(user)+": ")
}

// dial connects and logs in.
func (s *otherServer) dial(ctx context.Context) (*client.Conn, error) {
	c, err := client.Dial(ctx, s.o)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.o.Address, plainError(err))
	}
	if s.TokenFile != "" {
		var token string
		if token, err = s.token(); err == nil {
			err = c.Bearer(s.o.Address, s.User, token)
		}
	} else {
		err = c.Login(s.User, s.password)
	}
	if err != nil {
		c.Close()
		return nil, fmt.Errorf("%s: log in as %s: %w", s.o.Address, s.User, err)
	}
	return c, nil
}

// plainError adds to an error what can be done about it.
func plainError(err error) error {
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return fmt.Errorf("%w; if that is the right server, give the authority of its certificate with --ca-file", err)
	}
	return err
}

// importIMAPCommand is `mailstead import imap`.
type importIMAPCommand struct {
	place
	quiet
	imapLogin
	From        string   `required:"" placeholder:"HOST" help:"The server that has the mail, with or without a port: imap.example.net."`
	Account     string   `required:"" placeholder:"ADDRESS" help:"An address of the account here."`
	Into        string   `placeholder:"MAILBOX" help:"Put all folders below this mailbox, under their own names."`
	Folder      []string `sep:"none" placeholder:"FOLDER" help:"Only this folder and those below it; may be repeated."`
	Exclude     []string `sep:"none" placeholder:"FOLDER" help:"Not this folder and those below it; may be repeated."`
	Since       string   `placeholder:"DATE" help:"Only what arrived there on that day or later: 2024-12-31."`
	Removals    bool     `help:"Remove here what was taken from there before and is there no more."`
	Connections int      `default:"4" placeholder:"N" help:"How many connections work at once, 1 to 16. A server that takes fewer is content with them."`
	Report      string   `placeholder:"FILE" type:"path" help:"Write what is left out, and why, to this file."`
	DryRun      bool     `help:"Only count what would be done."`
}

func (c importIMAPCommand) Run(ctx context.Context, std streams, log *slog.Logger) error {
	other, err := c.server(std, c.From)
	if err != nil {
		return err
	}
	show := newShown(std, c.quiet, "importing")
	source, err := c.source(std, show, other)
	if err != nil {
		return err
	}
	if c.Report != "" {
		f, err := os.Create(c.Report)
		if err != nil {
			return err
		}
		defer f.Close()
		show.report = f
	}
	server, err := c.settings()
	if err != nil {
		return err
	}
	p := importParams{Account: c.Account, From: c.User + "@" + strings.ToLower(other.o.Address), Into: c.Into, DryRun: c.DryRun}
	source.Taken = func(ctx context.Context, folder string, validity uint32) (transfer.Taken, error) {
		return call[transfer.Taken](ctx, c.place, log, "import taken", takenParams{p, folder, validity})
	}
	totals, err := importOver(ctx, server.Dir, p, source, show)
	if errors.Is(err, errNoServer) {
		err = alone(&server, log, func(a *admin) (err error) {
			source.Taken = func(ctx context.Context, folder string, validity uint32) (transfer.Taken, error) {
				return a.importTaken(ctx, takenParams{p, folder, validity})
			}
			totals, err = a.importMail(ctx, p, source, show.problem, show.progress)
			return err
		})
	}
	if c.DryRun {
		totals.Messages = source.wanted.Load()
		totals.Octets = source.octets.Load()
		totals.Known = source.had.Load()
		totals.Changed, totals.Removed = source.changed.Load(), source.gone.Load()
	}
	return finishImport(std, show, c.DryRun, totals, err)
}

// imapSource is a source with what it has told.
type imapSource struct {
	transfer.IMAPSource
	wanted, octets, had, changed, gone atomic.Int64
}

// source makes the source of what the flags say.
func (c importIMAPCommand) source(std streams, show *shown, other *otherServer) (*imapSource, error) {
	if c.Connections < 1 || c.Connections > 16 {
		return nil, usage("--connections %d: 1 to 16", c.Connections)
	}
	s := &imapSource{IMAPSource: transfer.IMAPSource{
		Dial: other.dial, Connections: c.Connections, Only: c.Folder, But: c.Exclude, Removals: c.Removals, LookOnly: c.DryRun,
	}}
	if c.Since != "" {
		var err error
		if s.Since, err = time.ParseInLocation(time.DateOnly, c.Since, time.Local); err != nil {
			return nil, usage("--since %s: a date is written like 2024-12-31", c.Since)
		}
	}
	s.Looked = func(l transfer.Looked) {
		s.wanted.Add(int64(l.New))
		s.octets.Add(l.Octets)
		s.had.Add(int64(l.Messages - l.New))
		s.changed.Add(int64(l.Changed))
		s.gone.Add(int64(l.Gone))
		show.looked(l, c.DryRun)
	}
	s.Sent = show.sent
	return s, nil
}

// looked shows a folder that was looked at.
func (s *shown) looked(l transfer.Looked, dry bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.total += int64(l.New)
	s.looks += int64(l.Messages)
	if !dry {
		s.bar.show(progress{Doing: "looking at what there is", Done: s.looks, Unit: "messages"})
		return
	}
	s.bar.end()
	fmt.Fprintf(s.std.out, "%s: %d messages, %d to be imported, %s\n", printable(l.Folder), l.Messages, l.New, amount(l.Octets, octets))
}

// sent notes how far a folder is, for the next time that progress is shown.
func (s *shown) sent(folder string, done, of int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.bar.detail = fmt.Sprintf("%s %d of %d", folder, done, of)
}

// key is what two imports at the same time must not share.
func (p importParams) key() string {
	return strings.Join([]string{p.Account, p.From, p.Into}, "\x00")
}

// takenParams ask what was imported from a folder before.
type takenParams struct {
	importParams
	Folder   string `json:"folder"`
	Validity uint32 `json:"validity"`
}

// importTaken is a step of `import imap`.
func (a *admin) importTaken(_ context.Context, p takenParams) (transfer.Taken, error) {
	id, err := a.account(p.Account)
	if err != nil {
		return transfer.Taken{}, err
	}
	return transfer.TakenFrom(transfer.ImportOptions{Store: a.store, Account: id, From: p.From, Into: p.Into}, p.Folder, p.Validity)
}

// exportIMAPCommand is `mailstead export imap`.
type exportIMAPCommand struct {
	place
	quiet
	imapLogin
	To      string   `required:"" placeholder:"HOST" help:"The server that gets the mail, with or without a port: imap.example.net."`
	Account string   `required:"" placeholder:"ADDRESS" help:"An address of the account here."`
	Mailbox []string `sep:"none" placeholder:"MAILBOX" help:"Only this mailbox and those below it; may be repeated."`
	Report  string   `placeholder:"FILE" type:"path" help:"Write what is left out, and why, to this file."`
}

func (c exportIMAPCommand) Run(ctx context.Context, std streams, log *slog.Logger) error {
	other, err := c.server(std, c.To)
	if err != nil {
		return err
	}
	conn, err := other.dial(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	show := newShown(std, c.quiet, "exporting")
	if c.Report != "" {
		f, err := os.Create(c.Report)
		if err != nil {
			return err
		}
		defer f.Close()
		show.report = f
	}
	sink, err := transfer.NewIMAPSink(conn, transfer.ExportOptions{Report: show.problem, Progress: show.progress})
	if err != nil {
		return fmt.Errorf("%s: %w", other.o.Address, err)
	}
	err = exportTo(ctx, c.place, log, exportParams{c.Account, c.Mailbox}, sink)
	if _, told := errors.AsType[*failure](err); err != nil && !told {
		err = fmt.Errorf("%w; what was exported stays, and is passed over when it is done again", err)
	}
	return finishExport(std, show, sink, err)
}
