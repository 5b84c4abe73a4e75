package smtp

import (
	"context"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"mailstead/mailbox"
	"mailstead/mailbox/directory"
	"mailstead/mailbox/mailboxtest"
	"mailstead/smtp/dns"
	"mailstead/smtp/mailauth"
)

// withSenders gives ann, bob and carl lists of senders.
func withSenders(t testing.TB, h *house) (carl mailbox.AccountID) {
	t.Helper()
	carl = addAccount(t, h.directory, "carl@example.test")
	for _, e := range []struct {
		account string
		list    directory.List
		sender  string
	}{
		{"ann", directory.Blocked, "pest.example"}, {"bob", directory.Blocked, "pest.example"},
		{"ann", directory.Blocked, "half.example"}, {"ann", directory.Allowed, "friend@half.example"},
		{"ann", directory.Allowed, "strict.example"}, {"ann", directory.Allowed, "careful.example"},
		{"carl", directory.Forwarders, "pass.example"}, {"carl", directory.Blocked, "pest.example"},
	} {
		must(t, h.directory.AddSender(t.Context(), e.account+"@example.test", e.list, e.sender))
	}
	return carl
}

func TestSendersDialogues(t *testing.T) {
	h := newHouse(t)
	withSenders(t, h)
	c := newChecks(t)
	c.Senders = h.directory
	mailboxtest.PlayDir(t, "testdata/receiver-senders/*.dialog", func(t *testing.T) mailboxtest.Player {
		o := h.options(Receiver)
		o.Checks, o.Limits.GreetDelay = c, time.Millisecond
		o.Journal = watchOutcome(t, "receiver-senders")
		address, _ := listen(t, o, false)
		return mailboxtest.Player{TLS: clientTLS(), Dial: func(int) (net.Conn, error) { return net.Dial("tcp", address) }}
	})
}

// TestEachAccountsCopy is where that account wants it.
func TestEachAccountsCopy(t *testing.T) {
	const received = "Received: from mx.far.example (mx.far.example [192.0.2.25]) by mx.pass.example with ESMTP id 1; Sun, 22 Nov 2026 12:00:00 +0000\r\n"
	for _, tc := range []struct {
		name, from, header string
		to                 []string
		junk, inbox        []string // who has it where
	}{
		{"one has blocked the author", "a@pass.example", "From: x@half.example\r\n", []string{"ann", "bob"}, []string{"ann"}, []string{"bob"}},
		{"one has allowed what is quarantined", "a@pass.example", "From: a@careful.example\r\n", []string{"ann", "bob"}, []string{"bob"}, []string{"ann"}},
		{"one has allowed what is to be refused", "a@pass.example", "From: a@strict.example\r\n", []string{"ann", "bob"}, []string{"ann", "bob"}, nil},
		{"and a list had it on the way", "a@pass.example", "From: a@strict.example\r\nList-Id: <x>\r\n", []string{"ann", "bob"}, []string{"bob"}, []string{"ann"}},
		{"one has a forwarder who proves it", "a@far.example", received + "From: a@far.example\r\n", []string{"carl"}, nil, []string{"carl"}},
		{"and another account has not", "a@far.example", received + "From: a@far.example\r\n", []string{"carl", "bob"}, []string{"bob"}, []string{"carl"}},
		{"a forwarder who proves nothing", "a@pass.example", received + "From: a@strict.example\r\n", []string{"carl"}, []string{"carl"}, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			h := newHouse(t)
			accounts := map[string]mailbox.AccountID{"ann": h.ann, "bob": h.bob, "carl": withSenders(t, h)}
			c, _ := judged(t, h, func(c *Checks) { c.Senders = h.directory })
			to := make([]string, len(tc.to))
			for i, name := range tc.to {
				to[i] = name + "@example.test"
			}
			c.send(tc.from, to, tc.header+"\r\n", "250")
			for name, id := range accounts {
				inbox, junk := len(h.inbox(t, id)), len(h.messages(t, id, "Junk"))
				if want := slices.Contains(tc.inbox, name); inbox != 0 != want {
					t.Errorf("%s has %d in INBOX", name, inbox)
				}
				if want := slices.Contains(tc.junk, name); junk != 0 != want {
					t.Errorf("%s has %d in Junk", name, junk)
				}
			}
		})
	}
}

// fakeFilter has opinions, and remembers the letter.
type fakeFilter struct {
	opinions map[mailbox.AccountID]Opinion
	letter   Letter
	text     string
	accounts []mailbox.AccountID
}

func (*fakeFilter) Reads([]mailbox.AccountID) bool { return true }

func (f *fakeFilter) Assess(_ context.Context, l Letter, accounts []mailbox.AccountID) []Opinion {
	text, err := io.ReadAll(io.NewSectionReader(l.Raw, 0, l.Size))
	if err != nil {
		panic(err)
	}
	f.letter, f.text, f.accounts = l, string(text), accounts
	all := make([]Opinion, len(accounts))
	for i, a := range accounts {
		all[i] = f.opinions[a]
	}
	return all
}

// TestFilter is asked with the letter as it came, once for all.
func TestFilter(t *testing.T) {
	const plain = "From: a@pass.example\r\n\r\nbuy\r\n"
	for _, tc := range []struct {
		name     string
		ann, bob Opinion
		record   bool
		message  string
		want     string
		junk     int // of ann
	}{
		{"nothing", Opinion{}, Opinion{}, false, plain, "250", 0},
		{"junk for one", Opinion{Score: 0.95}, Opinion{Score: 0.2}, false, plain, "250", 1},
		{"extreme, but proven", Opinion{Score: 1}, Opinion{Score: 1}, false, plain, "250", 1},
		{"extreme, and nothing is proven", Opinion{Score: 1}, Opinion{Score: 1}, false, "From: a@nobody.example\r\n\r\nbuy\r\n", "250", 1},
		{"of a correspondent", Opinion{Score: 0.95, Known: true}, Opinion{}, false, plain, "250", 0},
		{"without a DNS server", Opinion{Score: 0.95}, Opinion{}, true, plain, "250", 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			h := newHouse(t)
			f := &fakeFilter{opinions: map[mailbox.AccountID]Opinion{h.ann: tc.ann, h.bob: tc.bob}}
			c, _ := judged(t, h, func(c *Checks) {
				c.Filter, c.RecordOnly = f, tc.record
				if tc.record {
					c.Resolver, _ = dns.New(dns.Options{})
				}
			})
			c.send("a@pass.example", []string{"team@example.test", "ann@example.test"}, "Authentication-Results: mx.example.test; spf=pass\r\n"+tc.message, tc.want)
			if got := len(h.messages(t, h.ann, "Junk")); got != tc.junk {
				t.Errorf("ann has %d in Junk", got)
			}
			if f.text != tc.message || f.letter.ReversePath != "a@pass.example" || !slices.Equal(f.accounts, []mailbox.AccountID{h.ann, h.bob, 0}) {
				t.Errorf("asked for %v with %q of %q", f.accounts, f.text, f.letter.ReversePath)
			}
		})
	}
}

// TestListsWithoutDNS: what accounts have set counts where nothing is proven.
func TestListsWithoutDNS(t *testing.T) {
	h := newHouse(t)
	withSenders(t, h)
	c, _ := judged(t, h, func(c *Checks) {
		c.RecordOnly, c.Senders = true, h.directory
		c.Resolver, _ = dns.New(dns.Options{})
	})
	c.send("", []string{"ann@example.test"}, "From: a@pest.example\r\n\r\n", "550 5.7.1 Your mail is not wanted")
	c.send("", []string{"ann@example.test"}, "From: a@other.example\r\n\r\n", "250")
}

func TestSettle(t *testing.T) {
	const accept, junk, later, no = mailauth.Accept, mailauth.Junk, mailauth.Defer, mailauth.Refuse
	for _, tc := range []struct {
		each  []mailauth.Action
		whole mailauth.Action
		then  []mailauth.Action
	}{
		{[]mailauth.Action{accept}, accept, []mailauth.Action{accept}},
		{[]mailauth.Action{no}, no, []mailauth.Action{no}},
		{[]mailauth.Action{no, no}, no, []mailauth.Action{no, no}},
		{[]mailauth.Action{no, later}, later, []mailauth.Action{no, later}},
		{[]mailauth.Action{no, accept}, accept, []mailauth.Action{junk, accept}},
		{[]mailauth.Action{junk, no}, junk, []mailauth.Action{junk, junk}},
		{[]mailauth.Action{later, junk, accept}, accept, []mailauth.Action{accept, junk, accept}},
	} {
		parties := make([]party, len(tc.each))
		for i, a := range tc.each {
			parties[i].verdict.Action = a
		}
		whole := settle(parties)
		var then []mailauth.Action
		for _, p := range parties {
			then = append(then, p.verdict.Action)
		}
		if whole.Action != tc.whole || !slices.Equal(then, tc.then) {
			t.Errorf("%q came to %q and %q", tc.each, whole.Action, then)
		}
	}
}

func TestLetterReader(t *testing.T) {
	r := letterReader{[]byte("header"), strings.NewReader("body")}
	for off := range int64(12) {
		for n := range 12 {
			p := make([]byte, n)
			got, err := r.ReadAt(p, off)
			want := "headerbody"[min(off, 10):min(off+int64(n), 10)]
			if string(p[:got]) != want || err == nil && got < n || err != nil && err != io.EOF {
				t.Errorf("%d at %d: %q, %v", n, off, p[:got], err)
			}
		}
	}
}
