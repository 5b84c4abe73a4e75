package smtp

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"mailstead/smtp/mailauth"
)

// examination is what is found out about one message from outside, from MAIL
// to its end. It belongs to the session's goroutine; the look-ups that it starts
// end with close.
type examination struct {
	session *session
	checks  *Checks
	ctx     context.Context
	cancel  context.CancelFunc
	asked   sync.WaitGroup // look-ups about the client
	relayed bool           // the client is a trusted relay
	ours    []string       // names of this server

	// The look-ups write these, each its own; asked.Wait comes before reading.
	spf              mailauth.SPFResult
	iprev            mailauth.IPRevResult
	blocked, allowed []mailauth.ListHit

	facts    mailauth.Facts
	header   []byte // as received
	verifier *mailauth.Verifier
	verdict  mailauth.Verdict
}

// examine begins with what is known at MAIL: a client that is judged itself is
// asked about while it goes on.
func (s *session) examine(from string) *examination {
	e := &examination{session: s, checks: s.server.o.Checks, relayed: s.server.o.Checks.trusts(s.remote), ours: s.server.names()}
	e.ctx, e.cancel = context.WithCancel(s.ctx())
	e.facts.TrustedRelay = e.relayed
	if !e.relayed && s.remote.IsValid() {
		e.ask(s.remote, s.helo, from)
	}
	return e
}

// ask starts all look-ups about a client beside each other.
func (e *examination) ask(ip netip.Addr, helo, from string) {
	c, resolver := e.checks, e.checks.Resolver
	e.facts.Client = ip
	e.facts.Helo = mailauth.CheckHeloName(helo, ip, e.ours)
	spf := mailauth.SPF{Resolver: resolver, Receiver: e.session.server.o.Hostname, Now: e.session.server.o.Now}
	e.asked.Go(func() { e.spf = spf.CheckMailFrom(e.ctx, ip, helo, from) })
	e.asked.Go(func() { e.iprev = mailauth.CheckIPRev(e.ctx, resolver, ip) })
	if len(c.Blocked) > 0 {
		e.asked.Go(func() { e.blocked = mailauth.CheckLists(e.ctx, resolver, ip, c.Blocked) })
	}
	if len(c.Allowed) > 0 {
		e.asked.Go(func() { e.allowed = mailauth.CheckLists(e.ctx, resolver, ip, c.Allowed) })
	}
}

// begin reads the header and starts with the signatures. Of mail through a
// relay the header says whom to ask about.
func (e *examination) begin(header []byte) error {
	if err := checkHeader(header, e.session.server.limits); err != nil {
		return err
	}
	e.header = bytes.Clone(header) // the window it stands in moves on
	if e.relayed {
		if ip, helo, ok := mailauth.ClientBehind(e.header, e.checks.trusts); ok {
			e.ask(ip, helo, e.session.tx.From)
		}
	}
	e.facts.Author = mailauth.ReadAuthor(e.header)
	e.facts.MailingList = mailauth.IsMailingList(e.header)
	e.facts.Override = mailauth.OverrideFor(e.checks.Overrides, e.facts.Author.Domain)
	if domain := e.facts.Author.Domain; domain != "" {
		// The record that decides on most mail is known when the body has come.
		e.asked.Go(func() { e.checks.Resolver.LookupTXT(e.ctx, "_dmarc."+domain) })
	}
	e.verifier = mailauth.NewVerifier(e.ctx, mailauth.Options{Resolver: e.checks.Resolver, Now: e.session.server.o.Now}, e.header)
	return nil
}

// Write takes the next octets of the body. It never fails.
func (e *examination) Write(p []byte) (int, error) { return e.verifier.Write(p) }

// finish waits for all answers, which had the time of the transfer before, and
// decides; what is not known by then is a temporary error. The header is what is stored: ours
// in front, and without what claims to be ours. An error is the refusal.
func (e *examination) finish(unicode bool) ([]byte, error) {
	defer time.AfterFunc(e.session.server.limits.CheckWait, e.cancel).Stop()
	found := e.verifier.Finish()
	e.asked.Wait()
	dmarc := e.authenticate(found)
	if err := e.session.ctx().Err(); err != nil {
		return nil, fmt.Errorf("the connection ended before the answers came: %w", err) // else whoever hangs up proves less
	}
	e.verdict = mailauth.Judge(e.facts, e.checks.Rules)
	e.report()
	if err := e.refusal(); err != nil {
		return nil, err
	}
	e.file()
	s := e.session
	results := mailauth.AuthResults{ID: s.server.o.Hostname, Methods: found.Methods()}
	results.Methods = append(results.Methods, e.spf.Method(), dmarc.Method(), e.iprev.Method(e.facts.Client))
	head := results.AppendField(s.returnPath(), unicode && s.tx.utf8)
	head = s.appendReceived(head)
	return append(head, mailauth.RemoveForged(e.header, e.ours...)...), nil
}

// authenticate makes facts of what was found, with DMARC at their end.
func (e *examination) authenticate(found mailauth.Results) mailauth.DMARCResult {
	f := &e.facts
	f.SPF, f.IPRev, f.Blocked, f.Allowed = e.spf, e.iprev.Result, e.blocked, e.allowed
	f.DKIM, f.ARC = found.DKIMFact(), found.ARCFact()
	if f.Author.Domain != "" {
		d := mailauth.DMARC{Resolver: e.checks.Resolver}
		f.DMARC = d.Check(e.ctx, f.Author.Domain, mailauth.Identifiers(e.spf, found.DKIM))
	}
	return f.DMARC
}

// report tells the log what was found and decided.
func (e *examination) report() {
	f, v := &e.facts, &e.verdict
	e.session.log.Info("smtp: message judged", "id", e.session.tx.ID, "action", v.Action, "rule", v.Rule, "reasons", v.Reasons,
		"author", f.Author.Domain, "client", f.Client, "spf", f.SPF.Result, "dkim", f.DKIM, "dmarc", f.DMARC.Result,
		"arc", f.ARC, "iprev", f.IPRev, "recorded-only", e.checks.RecordOnly)
}

// refusal is the reply for a verdict that takes nothing.
func (e *examination) refusal() error {
	v := &e.verdict
	if e.checks.RecordOnly || v.Action != mailauth.Defer && v.Action != mailauth.Refuse {
		return nil
	}
	return say(v.Code, v.Enhanced, v.Text)
}

// file sends the copies to Junk, if that is where they go.
func (e *examination) file() {
	if e.checks.RecordOnly || e.verdict.Action != mailauth.Junk {
		return
	}
	for i := range e.session.tx.Recipients {
		e.session.tx.Recipients[i].Junk = true
	}
}

// close ends all look-ups and waits for them.
func (e *examination) close() {
	e.cancel()
	if e.verifier != nil {
		e.verifier.Close()
	}
	e.asked.Wait()
}
