package smtp

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"mailstead/mailbox"
	"mailstead/mailbox/directory"
	"mailstead/smtp/dns"
	"mailstead/smtp/mailauth"
)

// examination is what is found out about one message from outside, from MAIL
// to its end. It belongs to the session's goroutine; the look-ups that it starts
// end with close.
type examination struct {
	session *session
	checks  *Checks
	ctx     context.Context    // of look-ups that have to ask; nil before the first one
	cancel  context.CancelFunc // nil as well
	late    bool               // the message is whole: what is asked now has CheckWait only
	offline bool               // nothing is looked up
	asked   sync.WaitGroup     // look-ups about the author
	ours    []string           // names of this server
	client  *inquiry           // about whom is judged; nil where nobody can be asked about
	behind  *inquiry           // about the host before an account's forwarder; nil while no account needs it

	facts    mailauth.Facts // but for those of single accounts
	header   []byte         // as received, and then without what claims to be ours
	verifier *mailauth.Verifier
	signer   *mailauth.Signer // nil where nothing is handed on that we sign
	found    mailauth.Results
	parties  []party
	words    []string         // of the filter, that can be told to all parties
	verdict  mailauth.Verdict // of the message

	// Room, which other messages use again.
	room, head []byte // for the header as received, and as stored
	methods    []mailauth.MethodResult
	first      inquiry
}

// examinations are those that were closed.
var examinations = sync.Pool{New: func() any { return new(examination) }}

// maxKeptHeader bounds the room for a header that is kept, in octets.
const maxKeptHeader = 16 << 10

// maxKeptRoom bounds the parties, and the results, whose room is kept.
const maxKeptRoom = 16

// examine begins with what is known at MAIL: a client that is judged itself is
// asked about while it goes on.
func (s *session) examine(from string) *examination {
	e := examinations.Get().(*examination)
	e.session, e.checks, e.ours = s, s.server.o.Checks, s.ours()
	e.offline = mailauth.Offline(e.checks.Resolver)
	e.facts.TrustedRelay = e.checks.trusts(s.remote)
	e.facts.EarlyTalker = s.early
	if !e.facts.TrustedRelay && s.remote.IsValid() {
		e.client = e.inquire(&e.first, s.remote, s.helo, from)
	}
	return e
}

// waiting is the context of what has to wait for somebody's answer. It ends with the examination, and CheckWait after the
// end of the message. Most mail needs none: all is in the cache.
func (e *examination) waiting() context.Context {
	switch {
	case e.offline:
		return e.session.ctx()
	case e.ctx != nil:
	case e.late:
		e.ctx, e.cancel = context.WithTimeout(e.session.ctx(), e.session.server.limits.CheckWait)
	default:
		e.ctx, e.cancel = context.WithCancel(e.session.ctx())
	}
	return e.ctx
}

// begin reads the header and starts with the signatures. Of mail through a
// relay the header says whom to ask about. Where nothing can be proven, and nobody
// has to read the body, all is decided here.
func (e *examination) begin(header []byte, unicode bool) ([]byte, error) {
	if err := e.session.checkHeader(header); err != nil {
		return nil, err
	}
	e.parties = appendParties(e.parties[:0], e.session.tx.Recipients)
	reads := e.readsBody()
	if e.header = header; reads {
		e.room = append(e.room[:0], header...) // the window it stands in moves on
		e.header = e.room
	}
	if e.facts.TrustedRelay {
		e.client = e.inquireBehind()
	}
	e.facts.Author = mailauth.ReadAuthor(e.header)
	e.facts.MailingList = mailauth.IsMailingList(e.header)
	e.facts.Override = mailauth.OverrideFor(e.checks.Overrides, e.facts.Author.Domain)
	if domain := e.facts.Author.Domain; domain != "" && !e.offline {
		e.askPolicy("_dmarc." + domain)
	}
	e.verifier = mailauth.NewVerifier(e.session.ctx(), mailauth.Options{
		Resolver: e.checks.Resolver, Records: &e.session.server.records, Now: e.session.server.o.Now, Waiting: e.waiting,
	}, e.header)
	if !reads {
		return e.finish(unicode, nil)
	}
	if len(e.onwardKeys()) > 0 {
		e.signer = mailauth.NewSigner(e.header)
	}
	return nil, nil
}

// askPolicy has the record that decides on most mail known when the body has come.
func (e *examination) askPolicy(name string) {
	r := e.checks.Resolver
	if !mailauth.AtOnce(e.session.ctx(), r, func(ctx context.Context) { r.LookupTXT(ctx, name) }) {
		ctx := e.waiting()
		e.asked.Go(func() { r.LookupTXT(ctx, name) })
	}
}

// readsBody reports whether what is decided, or what is said of the message, may depend on its
// body: not where nobody is asked for keys, the filter has no opinion of any letter, and nothing
// is signed.
func (e *examination) readsBody() bool {
	c := e.checks
	if !e.offline || !c.RecordOnly {
		return true
	}
	accounts := accountsOf(e.parties)
	onward := slices.ContainsFunc(e.parties, func(p party) bool { return p.onward })
	return onward && e.session.server.o.SigningKeys != nil || c.Filter != nil && c.Filter.Reads(accounts)
}

// inquireBehind asks about the host that the client had the message from; nil
// where the header does not tell.
func (e *examination) inquireBehind() *inquiry {
	trusted := e.checks.trusts
	if !e.facts.TrustedRelay { // the client is trusted by an account
		trusted = e.session.isClient
	}
	ip, helo, ok := mailauth.ClientBehind(e.header, trusted)
	if !ok {
		return nil
	}
	return e.inquire(new(inquiry), ip, helo, e.session.tx.From)
}

// Write takes the next octets of the body. It never fails.
func (e *examination) Write(p []byte) (int, error) {
	if e.signer != nil {
		e.signer.Write(p)
	}
	return e.verifier.Write(p)
}

// finish waits for all answers, which had the time of the transfer before, and
// decides; what is not known by then is a temporary error. The header is what is stored: ours
// in front, and without what claims to be ours. An error is the refusal. body is nil where
// nobody reads it.
func (e *examination) finish(unicode bool, body *mailbox.Spool) ([]byte, error) {
	if e.late = body != nil; e.late && e.cancel != nil {
		defer time.AfterFunc(e.session.server.limits.CheckWait, e.cancel).Stop()
	}
	e.found = e.verifier.Finish()
	e.asked.Wait()
	e.facts.DKIM, e.facts.ARC = e.found.DKIMFact(), e.found.ARCFact()
	e.facts.Harvesting = e.session.harvests()
	e.authenticate(&e.facts, e.client)
	e.header = removeField(mailauth.RemoveForged(e.header, e.ours...), junkField)
	e.decide(body)
	if err := e.session.ctx().Err(); err != nil {
		return nil, fmt.Errorf("the connection ended before the answers came: %w", err) // else whoever hangs up proves less
	}
	e.report()
	e.noteVerdicts()
	e.observe()
	if err := e.refusal(); err != nil {
		e.keepCopies(unicode, body)
		return nil, err
	}
	e.file()
	return e.signed(e.stored(unicode)), nil
}

// stored is the header with our fields in front, in room that is used again.
func (e *examination) stored(unicode bool) []byte {
	e.head = append(e.appendOurFields(e.head[:0], unicode), e.header...)
	return e.head
}

// signed puts signatures in front of mail that an alias leads elsewhere, for the alias's domain: the
// author's may not survive the way, and who hands mail on says so. It is not said of
// what we would not want ourselves.
func (e *examination) signed(header []byte) []byte {
	if e.signer == nil {
		return header
	}
	s := e.session
	fields, err := e.signer.Finish(e.onwardKeys(), s.tx.Received)
	if err != nil {
		s.log.Error("smtp: message was not signed", "id", s.tx.ID, "err", err)
		return header
	}
	return append(fields, header...)
}

// onwardKeys are those of the domain of the first recipient whose mail is handed on, as far as is
// known; none if there is no such recipient.
func (e *examination) onwardKeys() []mailauth.SigningKey {
	s := e.session
	if s.server.o.SigningKeys == nil {
		return nil
	}
	for _, r := range s.tx.Recipients {
		goes := func(a string) bool { return !slices.Contains(s.tx.Withhold, r.Route.By[a].Account) }
		if slices.ContainsFunc(r.Route.Remote, goes) {
			domain, err := dns.ASCII(r.Address[strings.LastIndexByte(r.Address, '@')+1:])
			if err != nil {
				return nil // postmaster without a domain
			}
			return s.server.o.SigningKeys(domain)
		}
	}
	return nil
}

// appendOurFields appends what is stored in front of the header.
func (e *examination) appendOurFields(dst []byte, unicode bool) []byte {
	s := e.session
	results := mailauth.AuthResults{ID: s.server.o.Hostname, Methods: e.found.AppendMethods(e.methods[:0])}
	var iprev mailauth.IPRevResult
	if e.client != nil {
		iprev = e.client.iprev
	}
	results.Methods = append(results.Methods, e.facts.SPF.Method(), e.facts.DMARC.Method(), iprev.Method(e.facts.Client))
	e.methods = results.Methods
	head := e.appendWhy(s.appendEnvelope(dst))
	return s.appendReceived(results.AppendField(head, unicode && s.tx.utf8))
}

// authenticate makes facts of what is known about a client, with DMARC at their
// end.
func (e *examination) authenticate(f *mailauth.Facts, about *inquiry) {
	if about != nil {
		about.tell(f)
	}
	if f.Author.Domain != "" {
		d := mailauth.DMARC{Resolver: e.checks.Resolver, Records: &e.session.server.records}
		proven := mailauth.Identifiers(f.SPF, e.found.DKIM)
		check := func(ctx context.Context) { f.DMARC = d.Check(ctx, f.Author.Domain, proven) }
		if !mailauth.AtOnce(e.session.ctx(), e.checks.Resolver, check) {
			check(e.waiting())
		}
	}
}

// decide judges the message for each party, and then as a whole.
func (e *examination) decide(body *mailbox.Spool) {
	opinions := e.opinions(body)
	for i := range e.parties {
		p := &e.parties[i]
		if i < len(opinions) {
			p.opinion = opinions[i]
		}
		p.verdict = e.judge(p.account, e.factsFor(p))
	}
	e.verdict = settle(e.parties)
	e.judgeOnward()
}

// judge decides for one party. Whether a suspicious message is the first of its kind
// is only asked, and noted, where that decides.
func (e *examination) judge(account mailbox.AccountID, f mailauth.Facts) mailauth.Verdict {
	rules, grey := e.checks.Rules, e.checks.Greylist
	rules.Greylist = grey != nil
	f.Fresh = rules.Greylist
	v := mailauth.Judge(f, rules)
	if v.Action != mailauth.Defer || v.Rule != mailauth.RuleSignals {
		return v
	}
	if grey.Fresh(f.Client, e.session.tx.From, account, e.session.server.o.Now()) {
		return v
	}
	f.Fresh = false
	return mailauth.Judge(f, rules)
}

// opinions are the filter's, one for each party; fewer, or none, where it has none.
func (e *examination) opinions(body *mailbox.Spool) []Opinion {
	if e.checks.Filter == nil || body == nil {
		return nil
	}
	accounts := accountsOf(e.parties)
	if last := len(accounts) - 1; last > 0 && accounts[last] != 0 {
		accounts = append(accounts, 0) // what can be told to all of them
	}
	got := e.checks.Filter.Assess(e.waiting(), Letter{
		Raw: letterReader{e.header, body}, Size: int64(len(e.header)) + body.Size(),
		ReversePath: e.session.tx.From, Facts: &e.facts,
	}, accounts)
	if len(got) == len(accounts) {
		e.words = got[len(got)-1].Words
	}
	return got
}

// factsFor are the facts as one party sees them.
func (e *examination) factsFor(p *party) mailauth.Facts {
	f := e.facts
	if e.checks.RecordOnly {
		f = mailauth.Facts{Author: mailauth.Author{Domain: f.Author.Domain}} // what could be proven is not
	} else if e.forwarded(p) {
		f = e.forwardedFacts()
	}
	if p.account != 0 {
		f.Standing = e.checks.standing(p.account, e.session.tx.From, e.facts.Author.Address)
	}
	f.JunkScore, f.KnownCorrespondent = p.opinion.Score, p.opinion.Known
	return f
}

// forwarded reports whether the client hands on mail for this account.
func (e *examination) forwarded(p *party) bool {
	if e.checks.Senders == nil || e.client == nil || e.facts.TrustedRelay || p.account == 0 {
		return false
	}
	hop := directory.Hop{Client: e.client.client, Names: e.client.iprev.Names}
	if e.facts.SPF.Result == mailauth.Pass {
		hop.ReversePath = e.session.tx.From
	}
	return e.checks.Senders.IsForwarder(p.account, hop)
}

// forwardedFacts are those for accounts of whom the client is a forwarder: about the host
// before it, once for all of them.
func (e *examination) forwardedFacts() mailauth.Facts {
	if e.behind == nil {
		if e.behind = e.inquireBehind(); e.behind == nil {
			e.behind = &inquiry{} // the message began there: nothing is known
		}
	}
	f := e.facts
	f.TrustedRelay = true
	e.authenticate(&f, e.behind)
	return f
}

// report tells the log what was found and decided. Of mail that is simply accepted the
// journal tells, and the log at its finest level only.
func (e *examination) report() {
	f, v, level := &e.facts, &e.verdict, slog.LevelInfo
	if v.Action == mailauth.Accept {
		level = slog.LevelDebug
	}
	ctx := e.session.ctx()
	if !e.session.log.Enabled(ctx, level) {
		return
	}
	e.session.log.Log(ctx, level, "smtp: message judged", "id", e.session.tx.ID, "action", v.Action, "rule", v.Rule, "reasons", v.Reasons,
		"author", f.Author.Domain, "client", f.Client, "spf", f.SPF.Result, "dkim", f.DKIM, "dmarc", f.DMARC.Result,
		"arc", f.ARC, "iprev", f.IPRev, "recorded-only", e.checks.RecordOnly)
}

// refusal is the reply for a verdict that takes nothing.
func (e *examination) refusal() error {
	v := &e.verdict
	if v.Action != mailauth.Defer && v.Action != mailauth.Refuse {
		return nil
	}
	return say(v.Code, v.Enhanced, v.Text)
}

// file sends copies to Junk, where that is decided.
func (e *examination) file() {
	for _, p := range e.parties {
		if p.verdict.Action == mailauth.Junk && p.account != 0 {
			e.session.tx.Junk = append(e.session.tx.Junk, p.account)
		}
	}
}

// close ends all look-ups, waits for them, and leaves the examination to another message.
func (e *examination) close() {
	if e.cancel != nil {
		e.cancel()
	}
	if e.verifier != nil {
		e.verifier.Close()
	}
	for _, q := range []*inquiry{e.client, e.behind} {
		if q != nil {
			q.asked.Wait()
		}
	}
	e.asked.Wait()
	clear(e.parties)
	clear(e.methods)
	*e = examination{room: e.room, head: e.head, parties: e.parties[:0], methods: e.methods[:0]}
	if max(cap(e.room), cap(e.head)) > maxKeptHeader || max(cap(e.parties), cap(e.methods)) > maxKeptRoom {
		*e = examination{}
	}
	examinations.Put(e)
}
