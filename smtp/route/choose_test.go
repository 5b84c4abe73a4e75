package route

import (
	"strings"
	"testing"

	"mailstead/mailbox"
)

func at(host string) Hop { return Hop{host, 587, StartTLS} }

// several are routes of all kinds, by what they are for.
var several = []Route{
	{Name: "account", Accounts: []mailbox.AccountID{1, 2}, Hop: at("account.test")},
	{Name: "account-from", Accounts: []mailbox.AccountID{2}, From: []string{"work.test"}, Hop: at("both.test")},
	{Name: "default", Hop: at("default.test")},
	{Name: "default-3", After: 3, Hop: at("third.test")},
	{Name: "default-6", After: 6, Hop: at("sixth.test")},
	{Name: "from", From: []string{"shop.test"}, Hop: at("shop.test")},
	{Name: "inside", To: []string{"inside.test", "near.test"}},
	{Name: "large", To: []string{"large.test"}, Hop: at("large.test")},
	{Name: "large-1", To: []string{"large.test"}, Accounts: []mailbox.AccountID{1}, Hop: at("large-1.test")},
	{Name: "sub", To: []string{"sub.large.test"}, Hop: at("sub.test")},
}

func TestChoose(t *testing.T) {
	for _, c := range []struct {
		why  string
		mail Mail
		want string
	}{
		{"nothing fits better", Mail{From: "a@x.test", To: "y.test"}, "default"},
		{"our own notices take it, too", Mail{To: "y.test"}, "default"},
		{"the sender's domain", Mail{From: "a@shop.test", To: "y.test"}, "from"},
		{"in any case, with what is below it", Mail{From: "a@Eu.Shop.test", To: "y.test"}, "from"},
		{"not what only ends like it", Mail{From: "a@myshop.test", To: "y.test"}, "default"},
		{"a quoted at", Mail{From: `"a@b"@shop.test`, To: "y.test"}, "from"},
		{"the account goes before the sender's domain", Mail{From: "a@shop.test", Account: 1, To: "y.test"}, "account"},
		{"both go before the account alone", Mail{From: "a@work.test", Account: 2, To: "y.test"}, "account-from"},
		{"both have to be so", Mail{From: "a@work.test", Account: 1, To: "y.test"}, "account"},
		{"another account", Mail{From: "a@work.test", Account: 3, To: "y.test"}, "default"},
		{"the recipient's domain goes before all", Mail{From: "a@work.test", Account: 2, To: "large.test"}, "large"},
		{"with what is below it", Mail{To: "mx.large.test"}, "large"},
		{"the longer domain goes before the shorter", Mail{Account: 1, To: "a.sub.large.test"}, "sub"},
		{"with its account it goes before without", Mail{Account: 1, To: "large.test"}, "large-1"},
		{"direct is a way, too", Mail{Account: 1, To: "near.test"}, "inside"},
		{"two attempts are not three", Mail{To: "y.test", Attempts: 2}, "default"},
		{"a fall-back after three", Mail{To: "y.test", Attempts: 3}, "default-3"},
		{"another after six", Mail{To: "y.test", Attempts: 9}, "default-6"},
		{"the first at once if nobody is reached", Mail{To: "y.test", Attempts: 1, Unreachable: true}, "default-3"},
		{"which does not skip the times of others", Mail{To: "y.test", Attempts: 4, Unreachable: true}, "default-3"},
		{"what is more specific has no fall-back", Mail{To: "large.test", Attempts: 9}, "large"},
		{"an address literal has no domain", Mail{To: "[192.0.2.1]"}, "default"},
		{"an administrator says direct", Mail{To: "large.test", Via: &Hop{}}, ""},
		{"or where, and the route there has the login", Mail{To: "y.test", Via: &Hop{"large.test", 587, StartTLS}}, "large"},
		{"but not that of an account", Mail{Account: 3, To: "y.test", Via: &Hop{"account.test", 587, StartTLS}}, "(account.test:587)"},
		{"whose it is, has it", Mail{Account: 2, To: "y.test", Via: &Hop{"account.test", 587, StartTLS}}, "account"},
		{"or where no route leads", Mail{To: "y.test", Via: &Hop{"new.test", 25, StartTLS}}, "(new.test:25)"},
	} {
		if got := Choose(several, c.mail); got.Name != c.want {
			t.Errorf("%s: %+v goes by %q, want %q", c.why, c.mail, got.Name, c.want)
		}
	}
	if got := Choose(nil, Mail{To: "y.test", Attempts: 9}); !got.Direct() {
		t.Errorf("without routes mail goes by %+v", got)
	}
	for i, r := range several {
		for _, o := range several[i+1:] {
			if r.same(o) {
				t.Errorf("%s and %s are for the same mail", r.Name, o.Name)
			}
		}
	}
}

// TestOneRouteForEachMail holds the rule that decides whether two routes may stand beside each other against the
// choice: which of the two comes first makes no difference if and only if they may.
func TestOneRouteForEachMail(t *testing.T) {
	lists := [][]string{nil, {"a.test"}, {"b.a.test"}, {"a.test", "c.test"}}
	accounts := [][]mailbox.AccountID{nil, {1}, {1, 2}}
	var all []Route
	for _, to := range lists {
		for _, from := range [][]string{nil, {"a.test"}, {"a.test", "c.test"}} {
			for _, of := range accounts[:2] {
				for _, after := range []int{0, 2} {
					all = append(all, Route{To: to, From: from, Accounts: of, After: after, Hop: at("x.test")})
				}
			}
		}
	}
	domains := []string{"", "a.test", "b.a.test", "c.test"}
	differs := func(x, y Route) bool {
		x.Name, y.Name = "x", "y"
		for _, to := range domains {
			for _, from := range domains {
				for account := range mailbox.AccountID(2) {
					for _, attempts := range []int{0, 2} {
						m := Mail{To: to, From: "p@" + from, Account: account, Attempts: attempts}
						if Choose([]Route{x, y}, m).Name != Choose([]Route{y, x}, m).Name {
							return true
						}
					}
				}
			}
		}
		return false
	}
	for i, x := range all {
		for _, y := range all[i+1:] {
			if x.same(y) != differs(x, y) {
				t.Fatalf("the choice between %+v and %+v: order counts is %v, said to be the same is %v", x, y, differs(x, y), x.same(y))
			}
		}
	}
}

func TestParseHop(t *testing.T) {
	for _, c := range []struct {
		text string
		tls  Security
		want string // "" = refused
	}{
		{"smtp.example.test", "", "smtp.example.test:587 starttls"},
		{"Smtp.Example.test.", "", "smtp.example.test:587 starttls"},
		{"smtp.example.test:465", "", "smtp.example.test:465 implicit"},
		{"smtp.example.test", ImplicitTLS, "smtp.example.test:465 implicit"},
		{"smtp.example.test:25", "", "smtp.example.test:25 starttls"},
		{"bücher.test:2525", "", "xn--bcher-kva.test:2525 starttls"},
		{"192.0.2.1", "", "192.0.2.1:587 starttls"},
		{"[2001:db8::1]:465", "", "[2001:db8::1]:465 implicit"},
		{"2001:db8::1", "", "[2001:db8::1]:587 starttls"},
		{"127.0.0.1:10025", NoTLS, "127.0.0.1:10025 none"},
		{"10.1.2.3", NoTLS, "10.1.2.3:25 none"},
		{"[fd00::1]", NoTLS, "[fd00::1]:25 none"},
		{"gateway.test", NoTLS, "gateway.test:25 none"}, // its address decides when it is known
		{"192.0.2.1", NoTLS, ""},
		{"100.64.0.1", NoTLS, ""},
		{"0.0.0.0", "", ""},
		{"smtp.example.test:0", "", ""},
		{"smtp.example.test:x", "", ""},
		{"smtp.example.test:70000", "", ""},
		{"a b.test", "", ""},
		{"", "", ""},
		{"smtp.example.test", "perhaps", ""},
	} {
		got, err := ParseHop(c.text, c.tls)
		if text := got.String() + " " + string(got.Security); err == nil && text != c.want || err != nil && c.want != "" {
			t.Errorf("ParseHop(%q, %q) = %s, %v; want %q", c.text, c.tls, text, err, c.want)
		}
	}
}

func TestKey(t *testing.T) {
	r := Route{Hop: at("s.test"), Login: Login{"ann", "secret"}}
	if got := (Route{Name: "x"}).Key(); got != "" {
		t.Errorf("the direct way has the key %q", got)
	}
	if got := r.Key(); got != "via s.test:587 as ann" {
		t.Errorf("key %q", got)
	}
	other := r
	other.Trust.Pin = strings.Repeat("0", 64)
	if other.Key() == r.Key() {
		t.Error("who trusts another certificate shares the connection")
	}
}

func FuzzParseHop(f *testing.F) {
	for _, s := range []string{"smtp.example.test:465", "[2001:db8::1]:25", "[", "::1%lo:1", "a:b:c", "xn--a:1", "1.2.3.4."} {
		f.Add(s, "")
	}
	f.Fuzz(func(t *testing.T, s, tls string) {
		h, err := ParseHop(s, Security(tls))
		if err != nil {
			return
		}
		if again, err := ParseHop(h.String(), h.Security); err != nil || again != h {
			t.Errorf("%q is %v, which is %v, %v", s, h, again, err)
		}
	})
}
