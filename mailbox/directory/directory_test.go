package directory

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"mailstead/mailbox"
	"mailstead/mailbox/directory/loginlog"
)

func TestParseAddress(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"Ann@Example.Test", "ann@example.test"},
		{"ann@example.test.", "ann@example.test"},
		{`"ann"@example.test`, "ann@example.test"},
		{`"a\"n n"@example.test`, `a"n n@example.test`},
		{"jörg@bücher.example", "jörg@xn--bcher-kva.example"},
		{"jo\u0308rg@xn--bcher-kva.example", "jörg@xn--bcher-kva.example"},
		{"a@b@example.test", "a@b@example.test"},
		{"ann@[127.0.0.1]", "ann@[127.0.0.1]"},
		{"", ""}, {"ann@.", ""}, {"ann", ""}, {"@example.test", ""}, {"ann@", ""}, {`"ann@example.test`, ""}, {`""@example.test`, ""},
		{"a\nb@example.test", ""}, {"a b@example.test", ""}, {"\xff@example.test", ""}, {`"a\"@example.test`, ""},
		{strings.Repeat("a", maxAddress) + "@example.test", ""},
	} {
		got, err := parseAddress(c.in)
		if (err != nil) != (c.want == "") || err == nil && got.String() != c.want {
			t.Errorf("parseAddress(%q) = %q, %v; want %q", c.in, got, err, c.want)
		}
	}
}

func TestNewAddressRefusesWhatClientsCannotType(t *testing.T) {
	for _, s := range []string{"a+b@x.test", ".a@x.test", "a.@x.test", "a..b@x.test", `"a b"@x.test`, "a@x_y.test", "a@-x.test", "a@x..test", "a@[::1]", strings.Repeat("a", 65) + "@x.test"} {
		if a, err := newAddress(s); !errors.Is(err, ErrAddress) {
			t.Errorf("newAddress(%q) = %v, %v; want ErrAddress", s, a, err)
		}
	}
	if _, err := newAddress("ann.lee@x.test"); err != nil {
		t.Error(err)
	}
}

func FuzzParseAddress(f *testing.F) {
	for _, s := range []string{"a@b", `"a\\b"@c`, "a+b@[IPv6:::1]", "ü@ü", `"@"@x`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		a, err := parseAddress(s)
		if err == nil && (a.local == "" || a.domain == "" || strings.ContainsFunc(a.local, isControl)) {
			t.Errorf("parseAddress(%q) = %q", s, a)
		}
	})
}

var discard = slog.New(slog.DiscardHandler)

// household is a directory's content without a store: two domains, ann (first
// account, two addresses), bob (catch-all of second.test), aliases.
func household() *Directory {
	n := names{domains: map[string]Domain{}, accounts: map[mailbox.AccountID]*accountRecord{}, addresses: map[address]*accountRecord{}, aliases: map[address]Alias{}}
	n.domains["example.test"] = Domain{Name: "example.test"}
	n.domains["second.test"] = Domain{Name: "second.test", CatchAll: "bob@example.test"}
	n.addAccount(&accountRecord{Entry: Entry{ID: 1, Name: "ann@example.test", Addresses: []string{"lee@second.test"}}})
	n.addAccount(&accountRecord{Entry: Entry{ID: 2, Name: "bob@example.test"}})
	for alias, members := range map[string][]string{
		"both@example.test":  {"ann@example.test", "bob@example.test"},
		"far@example.test":   {"far@elsewhere.example", "ann+far@example.test"},
		"case@example.test":  {"Far.Away@elsewhere.example", `"a b"@elsewhere.example`, "far.away@elsewhere.example"},
		"abuse@example.test": {"gone@example.test"},
		"loop1@example.test": {"loop2@example.test"},
		"loop2@example.test": {"loop1@example.test", "bob@example.test"},
		"round@example.test": {"round@example.test"},
		"dead@example.test":  {"gone@example.test"},
		"tree@example.test":  {"both@example.test", "loop1@example.test", "far@example.test"},
	} {
		n.setAlias(Alias{Address: alias, Members: members})
	}
	return &Directory{names: n, now: time.Now, logbook: loginlog.New(nil, time.Now)}
}

func TestResolve(t *testing.T) {
	d := household()
	for _, c := range []struct {
		address, local, remote string
		err                    error
	}{
		{address: "ann@example.test", local: "1"},
		{address: "ANN@EXAMPLE.TEST", local: "1"},
		{address: "lee@second.test", local: "1"},
		{address: "ann+shop@example.test", local: "1+shop"},
		{address: "both@example.test", local: "1 2"},
		{address: "both+x@example.test", local: "1 2"},
		{address: "far@example.test", local: "1+far", remote: "far@elsewhere.example"},
		{address: "loop1@example.test", local: "2"},
		{address: "tree@example.test", local: "1 2", remote: "far@elsewhere.example"},
		{address: "round@example.test", err: ErrNoSuch},
		{address: "dead@example.test", err: ErrNoSuch},
		{address: "nobody@example.test", err: ErrNoSuch},
		{address: "nobody@second.test", local: "2"},
		{address: "postmaster@example.test", local: "1"},
		{address: "Postmaster", local: "1"},
		{address: "abuse+spam@second.test", local: "1"},
		{address: "abuse@example.test", local: "1"},
		{address: "case@example.test", remote: `Far.Away@elsewhere.example "a b"@elsewhere.example`},
		{address: "ann@elsewhere.example", err: ErrNotLocal},
		{address: "ann@[127.0.0.1]", err: ErrNotLocal},
		{address: "ann", err: ErrAddress},
	} {
		route, err := d.Resolve(c.address)
		var local []string
		for _, l := range route.Local {
			s := string('0' + rune(l.Account))
			if l.Detail != "" {
				s += "+" + l.Detail
			}
			local = append(local, s)
		}
		slices.Sort(local)
		if got := strings.Join(local, " "); !errors.Is(err, c.err) || got != c.local || strings.Join(route.Remote, " ") != c.remote {
			t.Errorf("Resolve(%s) = %q %q, %v; want %q %q, %v", c.address, got, route.Remote, err, c.local, c.remote, c.err)
		}
	}
}

// An alias with more members than one may have refuses mail for a time: to leave
// the last ones out would lose what was answered 250.
func TestTangleOfAliases(t *testing.T) {
	d := household()
	var lists []string
	for i := range 4 {
		var members []string
		for j := range maxExpansion / 4 {
			members = append(members, fmt.Sprintf("m%d.%d@elsewhere.example", i, j))
		}
		lists = append(lists, fmt.Sprintf("list%d@example.test", i))
		d.names.setAlias(Alias{Address: lists[i], Members: members})
	}
	d.names.setAlias(Alias{Address: "three@example.test", Members: lists[:3]})
	if route, err := d.Resolve("three@example.test"); err != nil || len(route.Remote) != maxExpansion*3/4 {
		t.Errorf("%d addresses, %v", len(route.Remote), err)
	}
	d.names.setAlias(Alias{Address: "all@example.test", Members: lists})
	if _, err := d.Resolve("all@example.test"); !errors.Is(err, ErrTangle) {
		t.Errorf("too many: %v, want ErrTangle", err)
	}
}

func TestMaySend(t *testing.T) {
	d := household()
	for _, c := range []struct {
		account mailbox.AccountID
		address string
		want    bool
	}{
		{1, "ann@example.test", true}, {1, "ann+list@example.test", true}, {1, "lee@second.test", true}, {1, "both@example.test", true},
		{1, "bob@example.test", false}, {1, "anything@second.test", false}, {1, "ann@elsewhere.example", false}, {1, "far@elsewhere.example", false},
		{2, "anything@second.test", true}, {2, "lee@second.test", false}, {2, "ann@example.test", false}, {2, "nobody@example.test", false},
	} {
		if got := d.MaySend(c.account, c.address); got != c.want {
			t.Errorf("MaySend(%d, %s) = %v, want %v", c.account, c.address, got, c.want)
		}
	}
}

// clock is a time that tests move.
type clock struct{ t time.Time }

func (c *clock) now() time.Time { return c.t }

func TestThrottleJudgesFiveASecond(t *testing.T) {
	c := &clock{time.Unix(1000, 0)}
	th := newThrottle(c.now)
	for i := range judgedPerSecond {
		if p := th.reserve([]string{"a"}); p > 0 {
			t.Fatalf("attempt %d of a quiet address waits %v", i, p)
		}
	}
	if p := th.reserve([]string{"a"}); p <= 0 || p > time.Second/judgedPerSecond {
		t.Fatalf("the sixth waits %v, want up to 200ms", p)
	}
	if p := th.reserve([]string{"b"}); p > 0 {
		t.Fatalf("another address waits %v", p)
	}
	if p := th.reserve([]string{"c", "a"}); p <= 0 {
		t.Fatal("a user name under attack is judged faster from a new address")
	}
	c.t = c.t.Add(time.Second)
	if p := th.reserve([]string{"a"}); p > 0 {
		t.Fatalf("a second later it still waits %v", p)
	}
	th.passed("a")
	for range judgedPerSecond {
		if p := th.reserve([]string{"a"}); p > 0 {
			t.Fatalf("after a right password it waits %v", p)
		}
	}
}

func TestFailureDelayGrowsFromTheThirtieth(t *testing.T) {
	c := &clock{time.Unix(1000, 0)}
	th := newThrottle(c.now)
	for i := 1; i <= 100; i++ {
		got := th.failed("a", "b")
		if i < freeFailures && got != failureDelay || i >= freeFailures && got <= failureDelay || got > maxFailureDelay {
			t.Fatalf("failure %d is answered after %v", i, got)
		}
	}
	c.t = c.t.Add(failureWindow + 1)
	if got := th.failed("a"); got != failureDelay {
		t.Errorf("in the next window: %v", got)
	}
}

func TestThrottleIsBounded(t *testing.T) {
	c := &clock{time.Unix(1000, 0)}
	th := newThrottle(c.now)
	for i := range 3 * maxTracked {
		th.failed(string(rune('a'+i%26)) + time.Duration(i).String())
	}
	if len(th.keys) > maxTracked {
		t.Errorf("%d keys", len(th.keys))
	}
}

func TestAddressKey(t *testing.T) {
	key := func(s string) string { return addressKey(netip.MustParseAddr(s)) }
	if key("2001:db8::1") != key("2001:db8::ffff:1") || key("2001:db8::1") == key("2001:db8:0:1::1") {
		t.Error("IPv6 addresses are not counted by /64")
	}
	if key("::ffff:192.0.2.1") != key("192.0.2.1") || key("192.0.2.1") == key("192.0.2.2") {
		t.Error("IPv4 addresses are not counted one by one")
	}
}

func TestPreparePassword(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"pass word", "pass word"}, {"I\u00adX", "IX"}, {"\u2168", "IX"}, {"a\u00a0b", "a b"}, {"grün", "grün"}, {"gru\u0308n", "grün"},
		{"", ""}, {"a\x00b", ""}, {"\xff", ""}, {"\u0007", ""}, {"\u00ad", ""}, {strings.Repeat("x", maxPassword+1), ""},
	} {
		got, err := preparePassword(c.in)
		if got != c.want || (err != nil) != (c.want == "") {
			t.Errorf("preparePassword(%q) = %q, %v; want %q", c.in, got, err, c.want)
		}
	}
}

func TestCredentialsVerifyAndHide(t *testing.T) {
	c, err := newCredentials("secret")
	if err != nil {
		t.Fatal(err)
	}
	if !c.verify("secret") || c.verify("Secret") || (credentials{}).verify("secret") {
		t.Error("verify is wrong")
	}
	if c.String() != "[credentials]" {
		t.Error("credentials can be printed")
	}
}
