package smtp

import (
	"bytes"
	"errors"
	"slices"
	"time"

	"mailstead/mailbox"
	"mailstead/mailbox/junk/training"
	"mailstead/smtp/journal"
	"mailstead/smtp/mailauth"
)

// step begins an event of the session, and of its transaction where there is one.
func (s *session) step(kind journal.Step) journal.Event {
	e := journal.Event{Step: kind, Helo: s.helo, User: s.account.Name}
	if s.remote.IsValid() {
		e.Peer = s.remote.String()
	}
	if s.tx != nil {
		e.ID, e.From, e.Size = s.tx.ID, journal.Path(s.tx.From), s.tx.size
	}
	return e
}

// noteRefusal tells the journal of a refused MAIL or RCPT. What else is refused
// brings no message into question, or is told by those it ends.
func (s *session) noteRefusal(verb string, arg []byte, r reply, err error) {
	if s.server.o.Journal == nil || verb != "MAIL" && verb != "RCPT" {
		return
	}
	if err != nil {
		r, _ = replyTo(err)
	}
	if r.code < 400 {
		return
	}
	e := s.step(journal.Refused)
	e.Command, e.Reply = verb, r.line()
	address := addressIn(arg)
	switch {
	case verb == "RCPT":
		e.To = []string{address}
	case s.tx == nil: // a message that did not get so far as to have a name
		e.ID, e.From = s.server.newName(s.server.o.Now()), journal.Path(address)
	}
	s.server.o.Journal.Add(e)
}

// addressIn is the address that a refused MAIL or RCPT was about, as far as it
// can be told.
func addressIn(arg []byte) string {
	_, rest, _ := bytes.Cut(arg, []byte(":"))
	if p, _, err := parsePath(bytes.TrimLeft(rest, " ")); err == nil {
		return p.String()
	}
	return printable(string(rest))
}

// noteMessage tells the journal of a message that is here as a whole, that was
// refused with r, or that was given up.
func (s *session) noteMessage(kind journal.Step, at time.Time, r reply) {
	s.tx.told = true
	if s.server.o.Journal == nil {
		return
	}
	e := s.step(kind)
	e.At = at
	if m := s.tx.message; m != nil {
		e.Size, e.MessageID = m.size, m.messageID
	}
	if kind == journal.Refused {
		e.Command, e.Reply = "DATA", r.line()
	}
	s.server.o.Journal.AddFor(e, s.tx.addresses())
}

// noteRefused tells the journal that the message was refused. One whose
// connection broke is told of when its transaction ends.
func (s *session) noteRefused(err error) {
	if _, lost := errors.AsType[*lostError](err); lost {
		return
	}
	r, _ := replyTo(err)
	s.noteMessage(journal.Refused, s.server.o.Now(), r)
}

// noteAbandoned tells the journal of a transaction that has recipients and ends
// without an answer to its message.
func (s *session) noteAbandoned() {
	if s.tx.told || len(s.tx.Recipients) == 0 {
		return
	}
	s.noteMessage(journal.Abandoned, s.server.o.Now(), reply{})
}

// noteVerdicts tells the journal what was found out about a message, and what was decided
// about it: once, or for each account where accounts differ.
func (e *examination) noteVerdicts() {
	s := e.session
	if s.server.o.Journal == nil {
		return
	}
	if refused := e.refusal() != nil; refused || !slices.ContainsFunc(e.parties, func(p party) bool { return p.verdict.Action != e.verdict.Action }) {
		s.server.o.Journal.AddFor(e.judged(&e.verdict), s.tx.addresses())
		return
	}
	for i := range e.parties {
		p := &e.parties[i]
		s.server.o.Journal.AddFor(e.judged(&p.verdict), []string{s.tx.accountName(p.account)})
	}
}

// noteKept tells the journal where copies of a refused message are.
func (e *examination) noteKept(accounts []mailbox.AccountID) {
	s := e.session
	names := make([]string, len(accounts))
	for i, a := range accounts {
		names[i] = s.tx.accountName(a)
	}
	s.server.o.Journal.AddFor(journal.Event{Step: journal.Filed, At: s.server.o.Now(), ID: s.tx.ID, Mailbox: training.Rejects}, names)
}

// judged is the step of one verdict.
func (e *examination) judged(v *mailauth.Verdict) journal.Event {
	f := &e.facts
	step := journal.Event{
		Step: journal.Judged, At: e.session.server.o.Now(), ID: e.session.tx.ID,
		Verdict: string(v.Action), Rule: v.Rule, Reasons: v.Reasons,
	}
	found := [...]struct {
		method string
		result mailauth.Result
	}{{"spf=", f.SPF.Result}, {"dkim=", f.DKIM}, {"dmarc=", f.DMARC.Result}, {"arc=", f.ARC}, {"iprev=", f.IPRev}}
	step.Found = make([]string, 0, len(found))
	for _, r := range found {
		if r.result != "" {
			step.Found = append(step.Found, r.method+string(r.result))
		}
	}
	return step
}

// accountName names an account that recipients lead to; those elsewhere have none.
func (t *transaction) accountName(id mailbox.AccountID) string {
	for _, r := range t.Recipients {
		for _, d := range r.Route.Local {
			if d.Account == id {
				return d.Name
			}
		}
	}
	return "addresses elsewhere"
}

// addresses are those of the recipients.
func (t *transaction) addresses() []string {
	list := make([]string, len(t.Recipients))
	for i, r := range t.Recipients {
		list[i] = r.Address
	}
	return list
}

// line is the reply's first line, without its end.
func (r reply) line() string {
	line, _, _ := bytes.Cut(r.append(nil), crlf)
	return string(line)
}

// maxMessageID bounds what is kept of a Message-ID; a line of RFC 5322 has no longer one.
const maxMessageID = 998

// messageIDOf is the Message-ID of a header, with its brackets; "" without one.
func messageIDOf(header []byte) string {
	for f := range fields(header) {
		if f.is("Message-ID") {
			id := bytes.TrimSpace(f.value())
			return string(id[:min(len(id), maxMessageID)])
		}
	}
	return ""
}
