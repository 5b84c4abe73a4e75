package declared

import (
	"strings"
	"testing"
)

// whole has everything that a file can say.
const whole = `
[domains."example.org"]
catch_all = "ann@example.org"
reports = false

[domains."example.net"]
alias_of = "example.org"

[accounts."ann@example.org"]
addresses = ["Info@example.org", "anna@example.org"]
quota = "5GB"
quota_messages = 1000
messages_per_day = 0
recipients_per_day = 50
forward = ["bob@example.net", "Ann.Other@far.example"]
forward_keep = false
send_as = ["far.example"]
block = ["Spam@far.example"]
allow = ["good.example"]
forwarders = ["192.0.2.1"]
hidden_capabilities = ["notify"]
app_passwords = ["phone"]
vacation.text = """
I am away.

Ann
"""
vacation.until = 2026-09-01T00:00:00Z
vacation.days = 3

[accounts."bob@example.org"]
password_file = "bob.password"
quota = "none"
disabled = true
disabled_reason = "moved"
refuse_mail = true

[aliases."list@example.org"]
members = ["ann@example.net", "Someone@far.example"]
members_only = true
owner = "bob@example.org"

[masked."bado-dabo@example.org"]
account = "anna@example.org"
label = "shop"
expires = 2020-01-01T00:00:00Z
off = true

[routes.smart]
via = "smart.example"
to = ["Far.Example"]
accounts = ["ann@example.org"]
user = "us"
password_file = "smart.password"
`

// parsed is a file without faults.
func parsed(t testing.TB, text string) *File {
	t.Helper()
	f, all := Parse([]byte(text))
	if len(all) > 0 {
		t.Fatalf("%v", all)
	}
	return f
}

// planned is what a file without faults has done.
func planned(t testing.TB, f *File, now Setup, o Options) *planner {
	t.Helper()
	p, all := f.plan(now, o)
	if len(all) > 0 {
		t.Fatalf("%v", all)
	}
	return p
}

func linesOf(p *planner) string { return strings.Join(Plan{Steps: p.steps}.Lines(), "\n") }

func TestWholeFile(t *testing.T) {
	p := planned(t, parsed(t, whole), Setup{}, Options{})
	const want = `+ domain example.org
+ domain example.net: stands for example.org
+ account ann@example.org
+ account bob@example.org
+ account ann@example.org: address anna@example.org
+ account ann@example.org: address info@example.org
+ alias list@example.org`
	if got := linesOf(p); !strings.HasPrefix(got, want) {
		t.Errorf("%s", got)
	}
	t.Log(linesOf(p))
	text := Render(p.to)
	t.Log(text)
	again := planned(t, parsed(t, text), p.to, Options{Prune: true, PruneAccounts: true})
	if len(again.steps) > 0 || Render(again.to) != text {
		t.Errorf("again:\n%s\n%s", linesOf(again), Render(again.to))
	}
}
