package declared

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"time"
	"unicode"

	"mailstead/cmd/internal/tomlfile"
	"mailstead/mailbox/directory"
	"mailstead/smtp/route"
)

// head stands at the beginning of every file.
const head = `# What is set up on a mailstead server beside its configuration file, for mailstead apply: see mailstead(1).
# What is usual is left out, and so are passwords: for an account that is not there yet password_file names a file with one,
# or one is made and printed.
`

// maxLine is how long a list in one line may be, in octets.
const maxLine = 120

// Render writes a setup as a file, which leaves out what is usual. Two that are the same give the same text.
func Render(s Setup) string {
	s = s.Normal()
	return head + "state = " + tomlfile.Quote(Digest(s)) + "\n" + s.body()
}

// Digest names a setup: two that differ in what a file can say have different ones. It does not change with the server's usual quota,
// nor with app passwords.
func Digest(s Setup) string {
	s = s.Normal()
	s.DefaultQuota = 0
	for name, a := range s.Accounts {
		a.Apps = nil
		s.Accounts[name] = a
	}
	sum := sha256.Sum256([]byte(s.body()))
	return "sha256:" + hex.EncodeToString(sum[:16])
}

// body is all but the head.
func (s *Setup) body() string {
	var w writer
	for _, name := range sorted(s.Domains) {
		w.table("domains", name)
		w.domain(s.Domains[name])
	}
	for _, name := range sorted(s.Accounts) {
		w.table("accounts", name)
		w.account(s.Accounts[name], s.DefaultQuota)
	}
	for _, name := range sorted(s.Aliases) {
		w.table("aliases", name)
		w.alias(s.Aliases[name])
	}
	for _, name := range sorted(s.Masked) {
		w.table("masked", name)
		w.masked(s.Masked[name])
	}
	for _, name := range sorted(s.Routes) {
		w.table("routes", name)
		w.route(s.Routes[name])
	}
	return w.String()
}

// writer writes TOML. What is usual is empty and not written.
type writer struct{ strings.Builder }

func (w *writer) table(parts ...string) { fmt.Fprintf(w, "\n[%s]\n", tomlfile.JoinKey(parts)) }

func (w *writer) text(key, value string) {
	if value != "" {
		fmt.Fprintf(w, "%s = %s\n", key, tomlfile.Quote(value))
	}
}

func (w *writer) number(key string, n int64, usual bool) {
	if !usual {
		fmt.Fprintf(w, "%s = %d\n", key, n)
	}
}

func (w *writer) truth(key string, value, usual bool) {
	if value != usual {
		fmt.Fprintf(w, "%s = %t\n", key, value)
	}
}

func (w *writer) time(key string, t time.Time) {
	if !t.IsZero() {
		fmt.Fprintf(w, "%s = %s\n", key, t.UTC().Format(time.RFC3339Nano))
	}
}

func (w *writer) list(key string, list []string) {
	if len(list) == 0 {
		return
	}
	var quoted []string
	for _, v := range list {
		quoted = append(quoted, tomlfile.Quote(v))
	}
	if line := key + " = [" + strings.Join(quoted, ", ") + "]"; len(line) <= maxLine {
		w.WriteString(line + "\n")
		return
	}
	w.WriteString(key + " = [\n  " + strings.Join(quoted, ",\n  ") + ",\n]\n")
}

// lines writes a text as it is read by people, where TOML can.
func (w *writer) lines(key, text string) {
	odd := func(r rune) bool { return r != '\n' && !unicode.IsPrint(r) || r == '\\' }
	if !strings.Contains(text, "\n") || strings.Contains(text, `""`) || strings.HasSuffix(text, `"`) || strings.ContainsFunc(text, odd) {
		w.text(key, text)
		return
	}
	fmt.Fprintf(w, "%s = \"\"\"\n%s\"\"\"\n", key, text)
}

func (w *writer) domain(d Domain) {
	w.text("alias_of", d.AliasOf)
	w.text("catch_all", d.CatchAll)
	w.truth("reports", !d.NoReports, true)
}

func (w *writer) account(a Account, usualQuota int64) {
	w.list("addresses", a.Addresses)
	if a.Quota != usualQuota {
		w.text("quota", octets(a.Quota))
	}
	w.number("quota_messages", a.QuotaMessages, a.QuotaMessages == 0)
	for _, l := range sendingLimits(a.Sending) {
		w.number(l.key, int64(max(0, l.n)), l.n == 0)
	}
	w.list("forward", a.Forward)
	w.truth("forward_keep", !a.ForwardNoKeep, true)
	w.list("send_as", a.SendAs)
	w.list("block", a.Block)
	w.list("allow", a.Allow)
	w.list("forwarders", a.Forwarders)
	w.list("hidden_capabilities", a.Hidden)
	if d := a.Disabled; d != nil {
		w.truth("disabled", true, false)
		w.text("disabled_reason", d.Reason)
		w.truth("refuse_mail", d.RefuseMail, false)
	}
	if len(a.Apps) > 0 {
		w.WriteString("# To know of them: mailstead account app-password makes them.\n")
	}
	w.list("app_passwords", a.Apps)
	if a.Vacation != nil {
		w.vacation(*a.Vacation)
	}
}

// vacation is written into the account's table: a key with a dot in it.
func (w *writer) vacation(v directory.Vacation) {
	w.lines("vacation.text", v.Text)
	w.text("vacation.subject", v.Subject)
	w.time("vacation.from", v.From)
	w.time("vacation.until", v.Until)
	w.number("vacation.days", int64(v.Days), v.Days == directory.DefaultVacationDays)
	w.list("vacation.addresses", v.Addresses)
}

// sendingLimit is a limit of what an account may send, as directory.Sending has it.
type sendingLimit struct {
	key string
	n   int
}

func sendingLimits(s directory.Sending) []sendingLimit {
	return []sendingLimit{{"messages_per_day", s.Messages}, {"recipients_per_day", s.Recipients}, {"strangers_per_day", s.Strangers}}
}

func (w *writer) alias(a Alias) {
	w.list("members", a.Members)
	w.truth("members_only", a.MembersOnly, false)
	w.text("owner", a.Owner)
}

func (w *writer) masked(m Masked) {
	w.text("account", m.Account)
	w.text("label", m.Label)
	if m.Expires != "" {
		fmt.Fprintf(w, "expires = %s\n", m.Expires)
	}
	w.truth("off", m.Off, false)
}

func (w *writer) route(r Route) {
	via := r.Hop.String()
	w.text("via", via)
	if usual, err := route.ParseHop(via, ""); r.Hop != (route.Hop{}) && (err != nil || usual.Security != r.Hop.Security) {
		w.text("tls", string(r.Hop.Security))
	}
	w.list("to", r.To)
	w.list("accounts", r.Accounts)
	w.list("from", r.From)
	w.number("after", int64(r.After), r.After == 0)
	if r.User != "" {
		w.text("user", r.User)
		w.WriteString("# password_file = \"...\" where the server does not know the password yet\n")
	}
	w.lines("ca", r.CA)
	w.text("pin", r.Pin)
}

// Moment is a time as Masked keeps it.
func Moment(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339Nano)
}
