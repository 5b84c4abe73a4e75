package route

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"mailstead/mailbox"
	"mailstead/mailbox/mailboxtest"
)

const password = "correct horse battery"

func open(t *testing.T, s *mailbox.Store) *Table {
	t.Helper()
	table, err := Open(s)
	if err != nil {
		t.Fatal(err)
	}
	return table
}

func names(all []Route) string {
	var b strings.Builder
	for _, r := range all {
		fmt.Fprintf(&b, "%s ", r.Name)
	}
	return strings.TrimSpace(b.String())
}

// TestTable adds, replaces and removes routes, and finds them again.
func TestTable(t *testing.T) {
	store := mailboxtest.NewStore(t)
	table := open(t, store)
	provider := Route{Name: "provider", Hop: at("s.test"), Login: Login{"ann", password}}
	for _, c := range []struct {
		route   Route
		replace bool
		want    error
	}{
		{provider, false, nil},
		{provider, false, ErrExists},
		{Route{Name: "other", Hop: at("o.test")}, false, ErrConflict},
		{Route{Name: "large", To: []string{"Large.test.", "large.test"}}, false, nil},
		{Route{Name: "later", After: 3, Hop: at("o.test")}, false, nil},
		{Route{Name: "provider", Hop: at("new.test"), Login: Login{User: "ann"}}, true, nil},
		{Route{Name: "two", Accounts: []mailbox.AccountID{2, 1}}, false, nil},
		{Route{Name: "one", To: []string{"x.test"}, Accounts: []mailbox.AccountID{1}}, false, nil},
	} {
		if err := table.Add(t.Context(), c.route, c.replace); !errors.Is(err, c.want) {
			t.Errorf("adding %v: %v, want %v", c.route, err, c.want)
		}
	}
	for _, again := range []*Table{table, open(t, store)} {
		if got := names(again.List()); got != "large later one provider two" {
			t.Errorf("routes %s", got)
		}
		r, err := again.Get("provider")
		if err != nil || r.Hop.Host != "new.test" || r.Login.Password.Reveal() != password {
			t.Errorf("the replaced route is %v, %v, and its password is %v", r, err, r.Login.Password.Reveal() == password)
		}
		if r := again.For(Mail{To: "large.test"}); r.Name != "large" || len(r.To) != 1 {
			t.Errorf("mail for large.test goes by %v", r)
		}
	}
	if err := table.Forget(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	if err := table.Remove(t.Context(), "large"); err != nil {
		t.Fatal(err)
	}
	if err := table.Remove(t.Context(), "large"); !errors.Is(err, ErrNoSuch) {
		t.Errorf("removing it again: %v", err)
	}
	again := open(t, store)
	if got := names(again.List()); got != "later provider two" {
		t.Errorf("routes %s at the end", got)
	}
	if r, err := again.Get("two"); err != nil || len(r.Accounts) != 1 || r.Accounts[0] != 2 {
		t.Errorf("of a route for two accounts is left %v, %v", r, err)
	}
}

// TestBadRoutes refuses what could not work, or would give a password away.
func TestBadRoutes(t *testing.T) {
	table := open(t, mailboxtest.NewStore(t))
	plain := Hop{"127.0.0.1", 25, NoTLS}
	for why, r := range map[string]Route{
		"no name":                     {Hop: at("s.test")},
		"a name like a flag":          {Name: "--all", Hop: at("s.test")},
		"a name of two words":         {Name: "a b", Hop: at("s.test")},
		"no domain":                   {Name: "x", To: []string{"a@b.test"}, Hop: at("s.test")},
		"a login to nobody":           {Name: "x", Login: Login{"ann", password}},
		"no host":                     {Name: "x", Hop: Hop{Port: 25, Security: StartTLS}},
		"a public host in the clear":  {Name: "x", Hop: Hop{"192.0.2.1", 25, NoTLS}},
		"a password in the clear":     {Name: "x", Hop: plain, Login: Login{"ann", password}},
		"a certificate without TLS":   {Name: "x", Hop: plain, Trust: Trust{Pin: strings.Repeat("ab", 32)}},
		"a user without password":     {Name: "x", Hop: at("s.test"), Login: Login{User: "ann"}},
		"a password without user":     {Name: "x", Hop: at("s.test"), Login: Login{Password: password}},
		"a password with a NUL":       {Name: "x", Hop: at("s.test"), Login: Login{"ann", "a\x00b"}},
		"authorities that are none":   {Name: "x", Hop: at("s.test"), Trust: Trust{CA: "nobody"}},
		"a fingerprint of SHA-1":      {Name: "x", Hop: at("s.test"), Trust: Trust{Pin: strings.Repeat("ab", 20)}},
		"less than no attempts":       {Name: "x", Hop: at("s.test"), After: -1},
		"more attempts than are made": {Name: "x", Hop: at("s.test"), After: 1000},
	} {
		if err := table.Add(t.Context(), r, false); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v, want ErrInvalid", why, err)
		}
	}
	if all := table.List(); len(all) > 0 {
		t.Errorf("routes %v", all)
	}
}

// TestSecretsStaySecret prints a route in all ways there are.
func TestSecretsStaySecret(t *testing.T) {
	r := Route{Name: "x", Hop: at("s.test"), Login: Login{"ann", password}}
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("a route", "route", r, "password", r.Login.Password)
	slog.New(slog.NewTextHandler(&log, nil)).Info("a route", "route", r, "password", r.Login.Password)
	inJSON, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	text := log.String() + string(inJSON) + r.Key()
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x"} {
		text += fmt.Sprintf(verb, r) + fmt.Sprintf(verb, &r) + fmt.Sprintf(verb, r.Login.Password)
	}
	for _, bad := range []string{password, fmt.Sprintf("%x", password)} {
		if strings.Contains(text, bad) {
			t.Errorf("the password is in\n%s", text)
		}
	}
	if !strings.Contains(text, stars) {
		t.Error("no sign of a password")
	}
}
