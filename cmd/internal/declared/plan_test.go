package declared

import (
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"mailstead/mailbox/directory"
	"mailstead/smtp/route"
)

// TestPlan holds what is done, and in which order, against tables.
func TestPlan(t *testing.T) {
	prune, all := Options{Prune: true}, Options{Prune: true, PruneAccounts: true}
	const small = "[domains.\"a.test\"]\n[accounts.\"ann@a.test\"]\naddresses = [\"info@a.test\"]\nquota = \"1GB\"\nblock = [\"x@far.test\"]\n"
	for _, c := range []struct {
		name      string
		now, file string
		o         Options
		want      string // lines; then a line for each note
	}{
		{"nothing", small, small, all, ""},
		{"spelling", small, strings.NewReplacer("a.test", "A.Test.", "x@far", "X@Far", "1GB", "1000 mb").Replace(small), all, ""},
		{"what is not named stays", small, "", Options{}, "note: 2 things are on the server and not in the file, and stay; --prune takes them away, and with --prune-accounts accounts, too"},
		{"accounts stay with what is theirs", small, "", prune, "note: not in the file, and kept with what is theirs: ann@a.test; --prune-accounts removes them with all their mail"},
		{"all goes", small, "", all, "- account ann@a.test, with all its mail\n- domain a.test"},
		{"entries and settings go with --prune", small, "[domains.\"a.test\"]\n[accounts.\"ann@a.test\"]\n", prune,
			"~ account ann@a.test: quota none, was 1GB\n- account ann@a.test: blocks x@far.test\n- account ann@a.test: address info@a.test"},
		{"allowed is not blocked", small, "[accounts.\"ann@a.test\"]\nallow = [\"x@far.test\"]\n", Options{}, "+ account ann@a.test: allows x@far.test"},
		{"another name", small, "[accounts.\"info@a.test\"]\naddresses = [\"ann@a.test\"]\n", Options{}, "~ account ann@a.test: its name is info@a.test"},
		{"another name, and the old one goes", small, "[domains.\"a.test\"]\n[accounts.\"info@a.test\"]\nquota = \"1GB\"\nblock = [\"x@far.test\"]\n", prune,
			"~ account ann@a.test: its name is info@a.test\n- account info@a.test: address ann@a.test"},
		{"an address becomes an alias", small, "[domains.\"a.test\"]\n[accounts.\"ann@a.test\"]\nquota = \"1GB\"\nblock = [\"x@far.test\"]\n[aliases.\"info@a.test\"]\nmembers = [\"ann@a.test\"]\n", prune,
			"- account ann@a.test: address info@a.test\n+ alias info@a.test\n+ alias info@a.test: member ann@a.test"},
		{"an account becomes an alias", small, "[domains.\"a.test\"]\n[aliases.\"ann@a.test\"]\nmembers = [\"ann@far.test\"]\n", all,
			"- account ann@a.test, with all its mail\n+ alias ann@a.test\n+ alias ann@a.test: member ann@far.test"},
		{"aliases turn round", "[domains.\"a.test\"]\n[aliases.\"x@a.test\"]\nmembers = [\"y@a.test\"]\n[aliases.\"y@a.test\"]\nmembers = [\"z@far.test\"]\n",
			"[domains.\"a.test\"]\n[aliases.\"y@a.test\"]\nmembers = [\"x@a.test\"]\n[aliases.\"x@a.test\"]\nmembers = [\"z@far.test\"]\n", prune,
			"+ alias x@a.test: member z@far.test\n- alias x@a.test: member y@a.test\n+ alias y@a.test: member x@a.test\n- alias y@a.test: member z@far.test"},
		{"a domain comes to stand for another", "[domains.\"a.test\"]\n[domains.\"b.test\"]\n[aliases.\"x@b.test\"]\nmembers = [\"z@far.test\"]\n",
			"[domains.\"a.test\"]\n[domains.\"b.test\"]\nalias_of = \"a.test\"\n[aliases.\"x@a.test\"]\nmembers = [\"z@far.test\"]\n", prune,
			"- alias x@b.test\n~ domain b.test: stands for a.test\n+ alias x@a.test\n+ alias x@a.test: member z@far.test"},
		{"what leads to who goes", small + "[aliases.\"l@a.test\"]\nmembers = [\"ann@a.test\", \"z@far.test\"]\n", "[domains.\"a.test\"]\n[aliases.\"l@a.test\"]\nmembers = [\"ann@a.test\", \"z@far.test\"]\n", all,
			"- alias l@a.test: member ann@a.test\n- account ann@a.test, with all its mail\nnote: the alias l@a.test does not lead to accounts that are removed any more"},
		{"a route for the same mail", "[routes.old]\nvia = \"old.test\"\n", "[routes.new]\nvia = \"new.test\"\n", prune, "- route old\n+ route new: new.test:587"},
		{"a route elsewhere", "[routes.r]\nvia = \"old.test\"\n", "[routes.r]\nvia = \"new.test:465\"\n", prune, "~ route r: new.test:465, was old.test:587"},
		{"disabled stays", "[domains.\"a.test\"]\n[accounts.\"ann@a.test\"]\ndisabled = true\ndisabled_reason = \"lost\"\n", "[accounts.\"ann@a.test\"]\n", Options{}, ""},
		{"enabled", "[domains.\"a.test\"]\n[accounts.\"ann@a.test\"]\ndisabled = true\n", "[accounts.\"ann@a.test\"]\ndisabled = false\n", Options{}, "- account ann@a.test: disabled"},
		{"app passwords are not made", small, "[domains.\"a.test\"]\n[accounts.\"ann@a.test\"]\napp_passwords = [\"phone\"]\n", prune,
			"~ account ann@a.test: quota none, was 1GB\n- account ann@a.test: blocks x@far.test\n- account ann@a.test: address info@a.test\nnote: ann@a.test has no app password \"phone\""},
	} {
		now := planned(t, parsed(t, c.now), Setup{}, Options{}).to
		plan, faults := parsed(t, c.file).Plan(now, c.o)
		if len(faults) > 0 {
			t.Errorf("%s: %v", c.name, faults)
			continue
		}
		got := plan.Lines()
		for _, note := range plan.Notes {
			got = append(got, "note: "+note)
		}
		want := strings.Split(c.want, "\n")
		if c.want == "" {
			want = nil
		}
		if !slices.EqualFunc(got, want, func(g, w string) bool { return g == w || strings.HasPrefix(w, "note") && strings.HasPrefix(g, w) }) {
			t.Errorf("%s:\n%s\nwant\n%s", c.name, strings.Join(got, "\n"), c.want)
		}
	}
}

// TestFaults: what is wrong is told where it stands.
func TestFaults(t *testing.T) {
	const head = "[domains.\"a.test\"]\n[domains.\"b.test\"]\nalias_of = \"a.test\"\n[accounts.\"ann@a.test\"]\n"
	for _, c := range []struct{ text, want string }{
		{"[domains", "line 1, column 8: "},
		{"[acounts.\"ann@a.test\"]\n", `line 1, column 10: unknown setting acounts."ann@a.test"; did you mean accounts?`},
		{head + "qouta = \"1GB\"\n", `line 5, column 1: unknown setting accounts."ann@a.test".qouta; did you mean quota?`},
		{head + "vacation.txt = \"x\"\n", `.vacation.txt; did you mean text?`},
		{head + "quota = 5\n", "line 5, column 9: "},
		{head + "quota = \"much\"\n", `line 5, column 1: quota: "much" is no size like 500MB or 5GB`},
		{head + "quota_messages = -1\n", "line 5, column 1: quota_messages cannot be negative"},
		{head + "strangers_per_day = -1\n", "line 5, column 1: strangers_per_day must be 0"},
		{head + "addresses = [\"x@a.test\",\n  \"no address\"]\n", "line 6, column 3: addresses: \"no address\" is no address that can be used here"},
		{head + "addresses = [\"x@b.test\"]\n", "line 5, column 1: x@b.test: b.test stands for a.test"},
		{head + "addresses = [\"x@far.test\"]\n", "line 5, column 1: x@far.test: far.test is no domain of this server, nor of the file"},
		{head + "addresses = [\"ann@a.test\"]\n", "addresses: ann@a.test is the account's name"},
		{head + "block = [\"x@far.test\"]\nallow = [\"X@Far.test\"]\n", "line 6, column 1: allow: x@far.test is blocked, too"},
		{head + "forward = [\"nonsense\"]\n", "line 5, column 12: forward: "},
		{head + "forward_keep = false\n", "line 5, column 1: forward_keep goes with forward"},
		{head + "hidden_capabilities = [\"IMAP4rev1\"]\n", "line 5, column 24: hidden_capabilities: "},
		{head + "disabled_reason = \"x\"\n", "line 5, column 1: disabled_reason goes with disabled = true"},
		{head + "refuse_mail = true\n", "line 5, column 1: refuse_mail goes with disabled = true"},
		{head + "disabled = true\ndisabled_reason = \"a\\nb\"\n", "line 6, column 1: disabled_reason: the reason is to be one line"},
		{head + "vacation.days = 3\n", "line 5, column 1: vacation: "},
		{head + "[accounts.\"Ann@a.test\"]\n", `accounts."ann@a.test" is accounts."Ann@a.test", which is there already`},
		{head + "[accounts.\"x y@a.test\"]\n", `line 5, column 11: accounts."x y@a.test": "x y@a.test" is no address`},
		{head + "[aliases.\"ann@a.test\"]\nmembers = [\"x@far.test\"]\n", "line 5, column 10: ann@a.test is an address of both the account ann@a.test and the alias ann@a.test"},
		{head + "[aliases.\"l@a.test\"]\n", "line 5, column 10: aliases.\"l@a.test\": members is missing"},
		{head + "[aliases.\"l@a.test\"]\nmembers = [\"l@b.test\"]\n", "line 6, column 1: l@a.test cannot lead to itself"},
		{head + "[masked.\"m@a.test\"]\n", "line 5, column 9: masked.\"m@a.test\": account is missing"},
		{head + "[masked.\"m@a.test\"]\naccount = \"bob@a.test\"\n", "line 6, column 1: account: \"bob@a.test\" is no account of this server"},
		{head + "[masked.\"m@a.test\"]\naccount = \"ann@a.test\"\nlabel = \"a\\tb\"\n", "line 7, column 1: label: "},
		{"[domains.\"a b\"]\n", "line 1, column 10: domains.\"a b\": \"a b\" is no domain name like example.org"},
		{"[domains.\"a.test\"]\nalias_of = \"b.test\"\n", "line 2, column 1: alias_of: b.test is no domain of this server"},
		{"[domains.\"a.test\"]\nalias_of = \"a.test\"\n", "alias_of: a.test cannot stand for itself"},
		{head + "[domains.\"c.test\"]\nalias_of = \"b.test\"\n", "line 6, column 1: alias_of: b.test stands for a.test itself: say a.test"},
		{head + "[domains.\"c.test\"]\nalias_of = \"a.test\"\ncatch_all = \"ann@a.test\"\n", "line 7, column 1: catch_all: c.test stands for a.test"},
		{"[routes.r]\n", "line 1, column 9: routes.r: via is missing: a server as HOST:PORT, or direct"},
		{"[routes.\"a b\"]\nvia = \"direct\"\n", "line 1, column 9: routes.\"a b\": "},
		{"[routes.r]\nvia = \"direct\"\ntls = \"none\"\n", "line 3, column 1: tls goes with a server in via"},
		{"[routes.r]\nvia = \"x.test:0\"\n", "line 2, column 1: via: "},
		{"[routes.r]\nvia = \"x.test\"\npin = \"12\"\n", "line 1, column 9: r: route: it cannot be used: a fingerprint"},
		{"[routes.r]\nvia = \"x.test\"\npassword_file = \"p\"\n", "line 3, column 1: password_file goes with user"},
		{"[routes.r]\nvia = \"x.test\"\nuser = \"us\"\n", "line 3, column 1: the server does not know the password of the route r: give password_file"},
		{"[routes.r]\nvia = \"x.test\"\naccounts = [\"ann@a.test\"]\n", "line 3, column 1: accounts: \"ann@a.test\" is no account"},
		{strings.Repeat("#", MaxFile+1), "it is larger than 4194304 octets"},
	} {
		f, all := Parse([]byte(c.text))
		if len(all) == 0 {
			_, all = f.Plan(Setup{}, Options{})
		}
		if len(all) == 0 || !strings.Contains(all.Error(), c.want) {
			t.Errorf("%.200s\n%v, want %s", c.text, all, c.want)
		}
	}
}

// chance makes setups of few names, so that they meet.
type chance struct{ *rand.Rand }

func (c chance) some(list ...string) (some []string) {
	for _, v := range list {
		if c.IntN(3) == 0 {
			some = append(some, v)
		}
	}
	return some
}

// setup is one that has no faults: without those it would have.
func (c chance) setup() Setup {
	empty := Setup{}
	s := empty.clone()
	s.Domains["a.test"] = Domain{NoReports: c.IntN(2) == 0}
	s.Domains["b.test"] = Domain{}
	if c.IntN(2) == 0 {
		s.Domains["b.test"] = Domain{AliasOf: "a.test"}
	}
	places := []string{"@a.test"}
	if s.Domains["b.test"].AliasOf == "" {
		places = append(places, "@b.test")
	}
	var names []string
	for _, local := range []string{"ann", "bob", "cy", "l", "m", "n"} {
		for _, at := range places {
			names = append(names, local+at)
		}
	}
	c.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
	for range 1 + c.IntN(3) {
		if len(names) == 0 {
			break
		}
		a := c.account(&names)
		s.Accounts[names[0]] = a
		names = names[1:]
	}
	accounts := sorted(s.Accounts)
	var before []string // aliases lead to those made before, so nothing goes round
	for range min(c.IntN(4), len(names)) {
		s.Aliases[names[0]] = Alias{Members: append(c.some(append(before, accounts...)...), "x@far.test"), MembersOnly: c.IntN(2) == 0}
		before, names = append(before, names[0]), names[1:]
	}
	for _, local := range c.some("bado-dabo", "fido-gabe") {
		s.Masked[local+places[c.IntN(len(places))]] = Masked{Account: accounts[c.IntN(len(accounts))], Label: "shop", Off: c.IntN(2) == 0}
	}
	if c.IntN(2) == 0 {
		s.Domains["a.test"] = Domain{CatchAll: accounts[0]}
	}
	for _, name := range c.some("r", "s") {
		s.Routes[name] = Route{To: []string{name + ".test"}, Accounts: c.some(accounts...), Hop: route.Hop{Host: "h.test", Port: 25 + c.IntN(2), Security: route.StartTLS}}
	}
	return s.Normal()
}

func (c chance) account(names *[]string) Account {
	a := Account{
		Quota: int64(c.IntN(2)) * 5e9, QuotaMessages: int64(c.IntN(2)), Sending: directory.Sending{Messages: c.IntN(3) - 1},
		Forward: c.some("x@far.test", "Y@far.test"), SendAs: c.some("far.test", "x@far.test"), Hidden: c.some("NOTIFY", "COMPRESS"), Block: c.some("s@far.test"),
	}
	a.Allow = without(c.some("s@far.test", "t@far.test"), a.Block)
	for range min(c.IntN(3), len(*names)-1) {
		last := len(*names) - 1
		a.Addresses = append(a.Addresses, (*names)[last])
		*names = (*names)[:last]
	}
	if c.IntN(3) == 0 {
		a.Disabled = &Disabled{Reason: strings.Join(c.some("lost", "moved"), " "), RefuseMail: c.IntN(2) == 0}
	}
	if c.IntN(3) == 0 {
		a.Vacation = &directory.Vacation{Text: "Away.\nAnn", Days: 1 + c.IntN(9)}
	}
	return a
}

// TestPlansOfChance: whatever a server has and a file says, the steps lead from the one to the other, and then there are none.
func TestPlansOfChance(t *testing.T) {
	for seed := range uint64(200) {
		c := chance{rand.New(rand.NewPCG(seed, 1))}
		now, to := c.setup(), c.setup()
		text := Render(to)
		f := parsed(t, text)
		for _, o := range []Options{{}, {Prune: true}, {Prune: true, PruneAccounts: true}} {
			p, faults := f.plan(now, o)
			if len(faults) > 0 {
				if o.PruneAccounts {
					t.Fatalf("seed %d: %v\nfrom\n%s\nto\n%s", seed, faults, Render(now), text)
				}
				continue // two names in each other's way
			}
			if !reflect.DeepEqual(p.now.Normal(), p.to) {
				t.Fatalf("seed %d, %+v:\n%s\nlead from\n%s\nto\n%s\nnot to\n%s", seed, o, linesOf(p), Render(now), Render(p.now), Render(p.to))
			}
			if o.PruneAccounts && Render(p.to) != text {
				t.Fatalf("seed %d: meant\n%s\ngot\n%s", seed, text, Render(p.to))
			}
			if again := planned(t, f, p.to, o); len(again.steps) > 0 {
				t.Fatalf("seed %d, %+v: once more\n%s", seed, o, linesOf(again))
			}
		}
	}
}

// FuzzDeclared: what can be read is written so that it is read as the same, and is done by steps that lead there.
func FuzzDeclared(f *testing.F) {
	f.Add([]byte(whole), []byte(""))
	f.Add([]byte(Render(chance{rand.New(rand.NewPCG(1, 1))}.setup())), []byte(Render(chance{rand.New(rand.NewPCG(2, 1))}.setup())))
	f.Add([]byte("domains.\"a.test\".catch_all = \"\"\n[accounts]\n\"ann@a.test\" = { vacation = { text = '''\nx''' } }\n"), []byte("state = \"\"\n"))
	all := Options{Prune: true, PruneAccounts: true}
	f.Fuzz(func(t *testing.T, first, second []byte) {
		now := Setup{}
		for _, data := range [][]byte{first, second} {
			file, faults := Parse(data)
			if len(faults) > 0 {
				return
			}
			p, faults := file.plan(now, all)
			if len(faults) > 0 {
				return
			}
			text := Render(p.to)
			again, faults := Parse([]byte(text))
			if len(faults) > 0 {
				t.Fatalf("%v\n%s", faults, text)
			}
			q, _ := again.plan(p.to, all)
			if len(q.steps) > 0 || Render(q.to) != text {
				t.Fatalf("once more:\n%s\nwas\n%s\nis\n%s", linesOf(q), text, Render(q.to))
			}
			if !reflect.DeepEqual(p.now.Normal(), p.to) {
				t.Fatalf("%s\nlead to\n%s\nnot to\n%s", linesOf(p), Render(p.now), Render(p.to))
			}
			now = p.to
		}
	})
}
