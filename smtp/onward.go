package smtp

import (
	"strings"

	"mailstead/mailbox/directory"
	"mailstead/smtp/mailauth"
)

// judgeOnward decides for whom the message is not handed on: for those to whom it is junk, as
// it would be our junk to the next server; and for nobody where it says that it is from a domain of
// ours and cannot prove it, as our envelope and signature would prove it to everybody. What
// nobody has then is refused.
func (e *examination) judgeOnward() {
	tx := e.session.tx
	if list, closed := e.closedList(); closed {
		e.refuse("members", "5.7.2", membersOnly(list))
		return
	}
	forged := e.forgesUs()
	kept := false
	for _, p := range e.parties {
		junk := p.verdict.Action == mailauth.Junk
		if p.onward && (junk || forged) {
			tx.Withhold = append(tx.Withhold, p.account)
		}
		kept = kept || p.keeps || p.onward && !junk && !forged
	}
	if kept || len(tx.Withhold) == 0 || e.verdict.Action == mailauth.Defer || e.verdict.Action == mailauth.Refuse {
		return
	}
	text := "This address forwards its mail, and your message looks like junk"
	if forged {
		text = "This address forwards its mail, and your message is not proven to be from " + e.facts.Author.Domain
	}
	e.refuse("forward", "5.7.1", text)
}

// refuse makes the verdict a refusal.
func (e *examination) refuse(rule, enhanced, text string) {
	e.verdict = mailauth.Verdict{
		Action: mailauth.Refuse, Rule: rule, Code: 550, Enhanced: enhanced, Text: printable(text),
		Reasons: append([]string{printable(text)}, e.verdict.Reasons...),
	}
}

// forgesUs reports whether the author's domain is ours, or below one of ours, and the
// message has no proof of it.
func (e *examination) forgesUs() bool {
	if e.checks.RecordOnly || e.facts.TrustedRelay || e.facts.DMARC.Result == mailauth.Pass {
		return false
	}
	author := e.facts.Author.Domain
	for _, ours := range e.ours {
		if author == ours || strings.HasSuffix(author, "."+ours) {
			return true
		}
	}
	return false
}

// mayPost holds lists for members to what the envelope says (RFC 5321 section 3.9.2); of mail from outside the
// header is looked at, too, when it is there.
func (s *session) mayPost(to directory.Route) error {
	d := s.server.o.Directory
	for _, list := range to.Closed {
		if d.IsMember(list, s.tx.From) || s.account.ID != 0 && d.HasMember(list, s.account.ID) {
			continue
		}
		return say(550, "5.7.2", printable(membersOnly(list)))
	}
	return nil
}

func membersOnly(list string) string {
	return "Only members may write to <" + list + ">, and you did not write from the address of one"
}

// closedList gives a list that the message goes to and may not, as its author is no member, or
// says so against the policy of the author's domain.
func (e *examination) closedList() (string, bool) {
	forged := !e.checks.RecordOnly && e.facts.DMARC.Result == mailauth.Fail
	for _, r := range e.session.tx.Recipients {
		for _, list := range r.Route.Closed {
			if forged || !e.session.server.o.Directory.IsMember(list, e.facts.Author.Address) {
				return list, true
			}
		}
	}
	return "", false
}
