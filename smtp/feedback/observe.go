package feedback

import (
	"context"
	"net/netip"
	"slices"
	"strings"

	"mailstead/smtp/mailauth"
	"mailstead/smtp/queue"
)

// Observation is what was found about one message from outside, and done with it.
type Observation struct {
	Facts       *mailauth.Facts
	Signatures  []mailauth.DKIMResult
	Verdict     *mailauth.Verdict
	ReversePath string   // "" is the null one
	Recipients  []string // addresses
	Report      bool     // it looks like a report itself
}

// dmarcRow is what messages have in common that are counted as one (RFC 9990 section 3.1.1.9).
type dmarcRow struct {
	Source      string `json:"source"`
	From        string `json:"from"`
	Envelope    string `json:"envelope,omitempty"`
	SPFDomain   string `json:"spf_domain,omitempty"`
	SPF         string `json:"spf,omitempty"`
	Signatures  string `json:"signatures,omitempty"` // "domain selector result" each, with semicolons between
	Disposition string `json:"disposition"`
	Proven      string `json:"proven,omitempty"` // "spf" or "dkim", by which DMARC passed
	Reason      string `json:"reason,omitempty"`
	Comment     string `json:"comment,omitempty"`
}

// Observe counts a message, where the owner of its author's domain asks for reports. What is deferred comes again and
// is counted then.
func (r *Reporter) Observe(o Observation) {
	f := o.Facts
	switch {
	case r.idle.Load() || !f.DMARC.Reported || !f.Client.IsValid() || o.Verdict.Action == mailauth.Defer:
		return
	case o.Report && f.DMARC.Result == mailauth.Pass: // else two servers report on each other's reports for ever
		return
	case r.o.Ours(f.DMARC.Domain):
		return
	}
	row := rowOf(o)
	r.mu.Lock()
	defer r.mu.Unlock()
	if !slices.ContainsFunc(o.Recipients, func(to string) bool { return !r.off[domainOf(to)] }) {
		return
	}
	r.dmarc.count(r.today(DMARC, f.DMARC.Domain), row)
}

// Of a message's signatures as many are told: half of what the verifier looks at, and no more than so many octets.
const (
	maxSignatures    = 5
	maxSignatureText = 300
)

// rowOf is the row that a message is counted in.
func rowOf(o Observation) dmarcRow {
	f := o.Facts
	row := dmarcRow{Source: f.Client.Unmap().WithZone("").String(), From: f.DMARC.Author}
	if o.ReversePath != "" {
		row.Envelope = domainOf(o.ReversePath)
	}
	if f.SPF.Domain != "" {
		row.SPFDomain, row.SPF = f.SPF.Domain, string(f.SPF.Result)
	}
	row.Signatures = signaturesOf(f.DMARC.Author, o.Signatures)
	if f.DMARC.Result == mailauth.Pass {
		row.Proven = f.DMARC.Aligned.Method
	}
	row.Disposition, row.Reason, row.Comment = applied(f, o.Verdict)
	return row
}

// signaturesOf lists signatures, those that say most first (RFC 9990 section 3.1.3).
func signaturesOf(author string, all []mailauth.DKIMResult) string {
	rank := func(d mailauth.DKIMResult) int {
		switch {
		case d.Result == mailauth.Pass && d.Domain == author:
			return 0
		case d.Result == mailauth.Pass:
			return 1
		}
		return 2
	}
	all = slices.DeleteFunc(slices.Clone(all), func(d mailauth.DKIMResult) bool {
		return d.Domain == "" || d.Selector == "" || strings.ContainsAny(d.Domain+d.Selector, " ;")
	})
	slices.SortStableFunc(all, func(a, b mailauth.DKIMResult) int { return rank(a) - rank(b) })
	var list []string
	room := maxSignatureText
	for _, d := range all[:min(len(all), maxSignatures)] {
		text := d.Domain + " " + d.Selector + " " + string(d.Result)
		if room -= len(text) + 1; room < 0 {
			break
		}
		list = append(list, text)
	}
	return strings.Join(list, ";")
}

// applied says what came of the owner's policy, and why not what it asks for (RFC 9990 section 3.1.6). What was done for other
// reasons, like what the message says, is nobody's business.
func applied(f *mailauth.Facts, v *mailauth.Verdict) (disposition, reason, comment string) {
	d := f.DMARC
	if d.Result == mailauth.Pass {
		return "pass", "", ""
	}
	disposition = "none"
	if v.Rule == "dmarc" {
		switch v.Action {
		case mailauth.Refuse:
			disposition = "reject"
		case mailauth.Junk:
			disposition = "quarantine"
		}
	}
	switch {
	case d.Result != mailauth.Fail:
		return disposition, "other", "the result is " + string(d.Result)
	case disposition == string(d.Published):
		return disposition, "", ""
	case f.TrustedRelay:
		return disposition, "trusted_forwarder", ""
	case f.MailingList:
		return disposition, "mailing_list", ""
	case d.Testing && disposition == string(d.Policy):
		return disposition, "policy_test_mode", ""
	case f.ARC == mailauth.Pass:
		return disposition, "local_policy", "arc=pass"
	}
	return disposition, "local_policy", ""
}

// tlsRow is what connections have in common that are counted as one (RFC 8460 section 4.4).
type tlsRow struct {
	Policy string `json:"policy"`           // tlsa, sts or no-policy-found
	Base   string `json:"base,omitempty"`   // of tlsa: the host that the records are of
	Result string `json:"result,omitempty"` // what was wrong; "" = nothing
	Host   string `json:"host,omitempty"`   // where something was wrong, its name and address
	IP     string `json:"ip,omitempty"`
	Words  string `json:"words,omitempty"`
}

const (
	noPolicy = "no-policy-found"
	// What went wrong where nothing was demanded is not known; RFC 8460 section 4.3.3 has a name for that.
	noEncryption = "validation-failure"
)

// Watch is a courier that counts what another one finds of connections.
func (r *Reporter) Watch(c queue.Courier) queue.Courier { return watched{r, c} }

type watched struct {
	r    *Reporter
	next queue.Courier
}

// Deliver is the other courier's. Reports are not counted, nor is mail for which nobody looked at policies, as its sender does
// not care. Over a smarthost its name is the domain, where it has a policy (RFC 8460 section 1.1): of the recipients' domain
// nothing is seen.
func (w watched) Deliver(ctx context.Context, destination string, m queue.Message) []queue.Outcome {
	outcomes := w.next.Deliver(ctx, destination, m)
	if w.r.idle.Load() || m.Report || m.TLS == queue.TLSOptional {
		return outcomes
	}
	seen := outcomes
	if !m.Route.Direct() {
		destination = m.Route.Hop.Host
		seen = slices.DeleteFunc(slices.Clone(seen), func(o queue.Outcome) bool { return o.Security.Policy == "" })
	}
	if !strings.HasPrefix(destination, "[") {
		w.r.connected(ascii(destination), domainOf(m.From), seen)
	}
	return outcomes
}

// connected counts each connection of an attempt once: recipients for which the same was found had the same.
func (r *Reporter) connected(domain, sender string, outcomes []queue.Outcome) {
	var rows []tlsRow
	for _, o := range outcomes {
		if row, ok := connectionOf(o); ok && !slices.Contains(rows, row) {
			rows = append(rows, row)
		}
	}
	if len(rows) == 0 || r.o.Ours(domain) {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.off[sender] {
		return
	}
	for _, row := range rows {
		r.tls.count(r.today(TLS, domain), row)
	}
}

// connectionOf is the row of the connection that an outcome is of; ok is false where no connection came about, and
// nothing was wrong with a policy either.
func connectionOf(o queue.Outcome) (row tlsRow, ok bool) {
	host, rest, _ := strings.Cut(o.Host, " ")
	row.Policy = o.Security.Policy
	if row.Policy == "tlsa" {
		row.Base = host
	}
	talked := o.Status == queue.Delivered || o.Code != 0
	switch {
	case row.Policy != "" && o.Security.Result != "":
		row.Result, row.Words = o.Security.Result, bounded(o.Security.Words)
	case !talked && !o.TLS:
		return tlsRow{}, false
	case row.Policy == "" && !o.TLS:
		row.Policy, row.Result, row.Words = noPolicy, noEncryption, "the connection was not encrypted"
	case row.Policy == "":
		row.Policy = noPolicy
	}
	if row.Result != "" {
		row.Host = host
		if ip, err := netip.ParseAddr(strings.Trim(rest, "[]")); err == nil {
			row.IP = ip.String()
		}
	}
	return row, true
}

// maxWords bounds a reason, in octets.
const maxWords = 200

func bounded(s string) string { return strings.ToValidUTF8(s[:min(len(s), maxWords)], "") }
