package check

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"time"
)

// dialogue is what is said to a listener before its TLS, and what it answers: a line that begins so, after others.
type dialogue struct {
	implicit bool   // TLS is from the first octet on
	greeting string // "" = it says nothing by itself
	steps    []step
	bye      string
}

type step struct{ command, answer string }

var dialogues = map[string]dialogue{
	"smtp":        {greeting: "220 ", steps: []step{{"EHLO localhost", "250 "}, {"STARTTLS", "220 "}}, bye: "QUIT"},
	"submission":  {greeting: "220 ", steps: []step{{"EHLO localhost", "250 "}, {"STARTTLS", "220 "}}, bye: "QUIT"},
	"submissions": {implicit: true, greeting: "220 ", bye: "QUIT"},
	"imap":        {greeting: "* OK ", steps: []step{{"a STARTTLS", "a OK "}}, bye: "b LOGOUT"},
	"imaps":       {implicit: true, greeting: "* OK ", bye: "b LOGOUT"},
	"pop3":        {greeting: "+OK ", steps: []step{{"STLS", "+OK "}}, bye: "QUIT"},
	"pop3s":       {implicit: true, greeting: "+OK ", bye: "QUIT"},
	"http":        {},
	"https":       {implicit: true},
}

// talkTime is how long one connection may take, and maxAnswer how many lines an answer has at most.
const (
	talkTime  = 8 * time.Second
	maxAnswer = 50
)

// listeners judges whether each port of the server answers as it should, with a certificate of its name.
func listeners(ctx context.Context, v *visit) []Result {
	if !v.Host.Running {
		return []Result{wrong("", "systemctl start mailstead", "no server runs in this folder")}
	}
	if v.Dial == nil {
		return nil
	}
	results := make([]Result, len(v.Host.Listeners))
	var trying sync.WaitGroup
	for i, l := range v.Host.Listeners {
		trying.Go(func() { results[i] = v.listener(ctx, l) })
	}
	trying.Wait()
	return together(results)
}

// together are results in which what is wrong for the same reason is told once, and what is right in one line.
func together(results []Result) (all []Result) {
	good := 0
	for _, r := range results {
		if r.State == OK {
			good++
			continue
		}
		i := slices.IndexFunc(all, func(o Result) bool { return r.State == Wrong && o.Found == r.Found && o.Remedy == r.Remedy })
		if i < 0 {
			all = append(all, r)
			continue
		}
		all[i].Subject += ", " + r.Subject
	}
	if good > 0 {
		all = append(all, ok("", "%d of %d ports answer", good, len(results)))
	}
	return all
}

func (v *visit) listener(ctx context.Context, l Listener) Result {
	subject := l.Name + " " + l.Address
	remedy := "see what the server logs, and whether listen." + l.Name + " is right:  journalctl -u mailstead"
	err := talk(ctx, v.Dial, l.Address, v.Host.tlsName(), dialogues[l.Name], nil)
	if name, isName := errors.AsType[x509.HostnameError](err); isName {
		return wrong(subject, "mailstead certificate renew "+v.Host.Name, "the certificate is not of %s: it is of %s", v.Host.tlsName(), strings.Join(name.Certificate.DNSNames, ", "))
	}
	if err != nil {
		return wrong(subject, remedy, "it does not answer as it should: %s", words(err))
	}
	return ok(subject, "it answers")
}

// talk goes through a dialogue with a host that should have a certificate of a name, from whichever authority, and says
// more behind it.
func talk(ctx context.Context, dial func(context.Context, string, string) (net.Conn, error), address, name string, d dialogue, more []step) error {
	ctx, cancel := context.WithTimeout(ctx, talkTime)
	defer cancel()
	conn, err := dial(ctx, "tcp", address)
	if err != nil {
		return err
	}
	defer conn.Close()
	if end, ok := ctx.Deadline(); ok {
		if err := conn.SetDeadline(end); err != nil {
			return err
		}
	}
	in := bufio.NewReader(conn)
	if !d.implicit {
		if err := answer(in, d.greeting); err != nil {
			return err
		}
		if err := say(conn, in, d.steps); err != nil {
			return err
		}
	}
	if d.implicit || len(d.steps) > 0 {
		// Whether the authority is trusted is asked elsewhere: here it is whether the name is right.
		c := tls.Client(conn, &tls.Config{ServerName: name, InsecureSkipVerify: true})
		if err := c.HandshakeContext(ctx); err != nil {
			return fmt.Errorf("TLS: %w", err)
		}
		if err := c.ConnectionState().PeerCertificates[0].VerifyHostname(name); err != nil {
			return err
		}
		conn, in = c, bufio.NewReader(c)
	}
	if d.implicit {
		if err := answer(in, d.greeting); err != nil {
			return err
		}
	}
	if err := say(conn, in, more); err != nil {
		return err
	}
	if d.bye != "" {
		_, _ = conn.Write([]byte(d.bye + "\r\n")) // it may be gone already
	}
	return nil
}

// say says commands, each after the answer to the one before.
func say(conn net.Conn, in *bufio.Reader, steps []step) error {
	for _, s := range steps {
		if _, err := conn.Write([]byte(s.command + "\r\n")); err != nil {
			return err
		}
		if err := answer(in, s.answer); err != nil {
			return fmt.Errorf("%s: %w", s.command, err)
		}
	}
	return nil
}

// answer reads lines up to one that begins as it should, behind those of SMTP that go on, and the untagged ones of IMAP.
func answer(in *bufio.Reader, want string) error {
	if want == "" {
		return nil
	}
	for range maxAnswer {
		line, err := in.ReadSlice('\n')
		if err != nil {
			return err
		}
		text := strings.TrimSpace(string(line)) + " "
		switch {
		case strings.HasPrefix(text, want):
			return nil
		case strings.HasPrefix(text, want[:3]+"-"), strings.HasPrefix(text, "* ") && want[0] != '*':
		default:
			return fmt.Errorf("it said %s", quote(strings.TrimSpace(text), maxQuote))
		}
	}
	return errors.New("its answer has no end")
}

// wellKnown are domains whose mail servers are always there: one of them answers where connections to port 25 are not
// held back.
var wellKnown = []string{"gmail.com", "outlook.com", "yahoo.com", "icloud.com"}

// outward judges whether connections to other mail servers are possible. Many providers hold port 25 back until they are asked.
func outward(ctx context.Context, v *visit) []Result {
	const subject = ""
	if v.DialWorld == nil {
		return nil
	}
	if v.Host.Smarthost != "" {
		return []Result{ok(subject, "mail leaves by %s", v.Host.Smarthost)}
	}
	errs := make([]error, len(wellKnown))
	var trying sync.WaitGroup
	for i, domain := range wellKnown {
		trying.Go(func() { errs[i] = v.greeted(ctx, domain) })
	}
	trying.Wait()
	blocked := false
	for i, err := range errs {
		if err == nil {
			return []Result{ok(subject, "the mail server of %s answers", wellKnown[i])}
		}
		_, isDial := errors.AsType[*net.OpError](err)
		blocked = blocked || isDial || errors.Is(err, context.DeadlineExceeded)
	}
	if !blocked {
		return []Result{unknown(subject, errs[0])}
	}
	return []Result{wrong(subject, "ask your provider to open outgoing port 25; or have mail leave by another server:  mailstead route add",
		"no mail server of %s can be reached: %s", strings.Join(wellKnown, ", "), words(errs[0]))}
}

// greeted reports whether the first mail exchanger of a domain greets.
func (v *visit) greeted(ctx context.Context, domain string) error {
	mx, err := v.Resolver.LookupMX(ctx, domain)
	if err != nil {
		return err
	}
	return talk(ctx, v.DialWorld, net.JoinHostPort(mx.Records[0].Host, "25"), "", dialogue{greeting: "220 ", bye: "QUIT"}, nil)
}

// loop judges whether the public mail exchanger takes mail for a domain: connected to by the public address of the host, it goes as
// far as the recipient, so that no letter comes of it.
func loop(ctx context.Context, v *visit) []Result {
	if !v.Loop || v.Dial == nil {
		return nil
	}
	subject := "postmaster@" + v.domain.Name
	a, err := v.Resolver.LookupAddrs(ctx, v.Host.Name)
	if err != nil {
		return []Result{unknown(subject, err)}
	}
	for _, ip := range a.Records[:min(len(a.Records), maxHosts)] {
		at := net.JoinHostPort(ip.String(), "25")
		err = talk(ctx, v.Dial, at, v.Host.tlsName(), dialogues["smtp"], []step{
			{"EHLO [" + literal(v.Host.Sending, ip) + "]", "250 "}, {"MAIL FROM:<>", "250 "}, {"RCPT TO:<" + subject + ">", "250 "}, {"RSET", "250 "},
		})
		if _, isDial := errors.AsType[*net.OpError](err); isDial {
			return []Result{{Subject: subject, State: Unknown, Found: "from here " + at + " cannot be reached (" + words(err) + "); many routers do not lead back"}}
		}
		if err != nil {
			return []Result{wrong(subject, "see what the server logs:  journalctl -u mailstead", "%s does not take it: %s", at, words(err))}
		}
	}
	return []Result{ok(subject, "taken at %s", joined(a.Records))}
}

// literal is the address that a connection to another leaves from, as EHLO has it (RFC 5321 section 4.1.3).
func literal(sending []address, to address) string {
	from := to // what is its own is reached from itself
	for _, s := range sending {
		if s.Is4() == to.Is4() {
			from = s
		}
	}
	if from.Is4() {
		return from.String()
	}
	return "IPv6:" + from.String()
}
