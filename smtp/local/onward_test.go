package local_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/smtp"
	"strconv"
	"strings"
	"testing"
	"time"

	"mailstead/mailbox"
	"mailstead/mailbox/directory"
	"mailstead/mailbox/mailboxtest"
	ourssmtp "mailstead/smtp"
	"mailstead/smtp/dns"
	"mailstead/smtp/dns/dnstest"
	"mailstead/smtp/local"
	"mailstead/smtp/mailauth"
	"mailstead/smtp/queue"
	"mailstead/smtp/remote"
)

const patience = time.Minute

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// party is a mail server with one domain at an address of its own, which judges what comes.
type party struct {
	t         *testing.T
	domain    string
	store     *mailbox.Store
	directory *directory.Directory
	courier   *local.Courier
	replies   *local.Replies
	queue     *queue.Queue
	address   string
}

// three are sender.test at 127.0.0.2, us.test, which hands mail on, and far.test at 127.0.0.4. All send from 127.0.0.1,
// but for what a test says with sender.test's address.
type three struct {
	sender, us, far *party
	key             mailauth.SigningKey // of sender.test
}

func newThree(t *testing.T) *three {
	private, err := mailauth.NewEd25519Key()
	must(t, err)
	w := &three{key: mailauth.SigningKey{Domain: "sender.test", Selector: "s", Private: private}}
	record, err := mailauth.KeyRecord(private.Public())
	must(t, err)
	zone := dnstest.New(t, `
sender.test. MX 10 mx.sender.test.
mx.sender.test. A 127.0.0.2
sender.test. TXT "v=spf1 ip4:127.0.0.2 -all"
_dmarc.sender.test. TXT "v=DMARC1; p=reject"
us.test. MX 10 mx.us.test.
mx.us.test. A 127.0.0.1
us.test. TXT "v=spf1 ip4:127.0.0.1 -all"
_dmarc.us.test. TXT "v=DMARC1; p=none"
far.test. MX 10 mx.far.test.
mx.far.test. A 127.0.0.4
far.test. TXT "v=spf1 ip4:127.0.0.1 -all"
1.0.0.127.in-addr.arpa. PTR mx.us.test.
2.0.0.127.in-addr.arpa. PTR mx.sender.test.
`+mailauth.ZoneRecord(w.key.RecordName(), record)+"\n")
	resolver, err := dns.New(dns.Options{Servers: []string{zone.Addr()}})
	must(t, err)
	listeners, port := listenAll(t, "127.0.0.2", "127.0.0.1", "127.0.0.4")
	w.sender = newParty(t, "sender.test", listeners[0], resolver, port, "eva@sender.test", "owner@sender.test")
	w.us = newParty(t, "us.test", listeners[1], resolver, port, "ann@us.test", "carl@us.test")
	w.far = newParty(t, "far.test", listeners[2], resolver, port, "bob@far.test")
	return w
}

// listenAll listens on one port of several addresses, as the couriers know one port.
func listenAll(t *testing.T, hosts ...string) ([]net.Listener, int) {
	t.Helper()
	for range 20 {
		first, err := net.Listen("tcp", hosts[0]+":0")
		must(t, err)
		all, port := []net.Listener{first}, first.Addr().(*net.TCPAddr).Port
		for _, h := range hosts[1:] {
			l, err := net.Listen("tcp", net.JoinHostPort(h, strconv.Itoa(port)))
			if err != nil {
				break
			}
			all = append(all, l)
		}
		if len(all) == len(hosts) {
			return all, port
		}
		for _, l := range all {
			l.Close()
		}
	}
	t.Fatal("no port is free on all addresses")
	return nil, 0
}

func newParty(t *testing.T, domain string, l net.Listener, resolver *dns.Resolver, port int, accounts ...string) *party {
	t.Helper()
	p := &party{t: t, domain: domain, store: mailboxtest.NewStore(t), address: l.Addr().String()}
	var err error
	p.directory, err = directory.Open(p.store, directory.Options{})
	must(t, err)
	must(t, p.directory.AddDomain(t.Context(), domain))
	for _, a := range accounts {
		_, err := p.directory.AddAccount(t.Context(), a, "secret")
		must(t, err)
	}
	p.replies, err = local.OpenReplies(local.RepliesOptions{Store: p.store, Directory: p.directory})
	must(t, err)
	p.courier = local.New(local.Options{Store: p.store, Directory: p.directory, Replies: p.replies})
	world, err := remote.New(remote.Options{Resolver: resolver, Hostname: "mx." + domain, MXPort: port, Private: true})
	must(t, err)
	t.Cleanup(world.Close)
	p.queue, err = queue.Open(p.store, queue.Options{
		Local: p.courier, Remote: world, IsLocal: p.directory.IsLocal, Hostname: "mx." + domain, Limits: queue.Limits{Grace: time.Millisecond},
	})
	must(t, err)
	p.courier.UseQueue(p.queue)
	server := ourssmtp.New(ourssmtp.Options{
		Role: ourssmtp.Receiver, Hostname: "mx." + domain, Directory: p.directory, Deliver: p.courier,
		Limits: ourssmtp.Limits{GreetDelay: time.Millisecond},
		Checks: &ourssmtp.Checks{Resolver: resolver, Names: func() []string { return []string{domain} }},
	})
	running, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{}, 3)
	go func() { p.queue.Run(running); ended <- struct{}{} }()
	go func() { p.replies.Run(running, p.queue); ended <- struct{}{} }()
	go func() { server.Serve(l); ended <- struct{}{} }()
	t.Cleanup(func() {
		ctx, stop := context.WithTimeout(context.Background(), patience)
		defer stop()
		server.Shutdown(ctx)
		cancel()
		for range 3 {
			<-ended
		}
	})
	return p
}

// send brings a message to a party from an address, and returns the refusal as one line.
func (w *three) send(to *party, host, from string, recipients []string, text string) error {
	if err := w.try(to, host, from, recipients, text); err != nil {
		return errors.New(strings.ReplaceAll(err.Error(), `"`, ""))
	}
	return nil
}

func (w *three) try(to *party, host, from string, recipients []string, text string) error {
	c := dial(to, host)
	defer c.Close()
	if err := c.Mail(from); err != nil {
		return err
	}
	for _, r := range recipients {
		if err := c.Rcpt(r); err != nil {
			return err
		}
	}
	d, err := c.Data()
	must(to.t, err)
	_, err = io.WriteString(d, text)
	must(to.t, err)
	return d.Close()
}

func dial(to *party, host string) *smtp.Client {
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(host)}}
	conn, err := d.Dial("tcp", to.address)
	must(to.t, err)
	c, err := smtp.NewClient(conn, "mx."+to.domain)
	must(to.t, err)
	must(to.t, c.Hello("mx.sender.test"))
	return c
}

// inbox waits until a mailbox has n messages.
func (p *party) inbox(account string, n int) []string { return p.mailbox(account, "INBOX", n) }

func (p *party) mailbox(account, name string, n int) []string {
	p.t.Helper()
	owner, err := p.directory.Owner(account)
	must(p.t, err)
	changed := make(chan struct{}, 1)
	defer p.store.WatchAccount(owner.Account, changed)()
	deadline := time.After(patience)
	for {
		all := p.messages(owner.Account, name)
		if len(all) > n {
			p.t.Fatalf("%s has %d messages, want %d: %q", account, len(all), n, all)
		}
		if len(all) == n {
			return all
		}
		select {
		case <-changed:
		case <-deadline:
			p.t.Fatalf("%s has %d messages, want %d", account, len(all), n)
		}
	}
}

func (p *party) messages(id mailbox.AccountID, name string) []string {
	p.t.Helper()
	m, err := p.store.OpenMailbox(p.t.Context(), id, name)
	must(p.t, err)
	defer m.Close()
	v := m.View(false)
	var all []string
	for _, r := range v.Rows(nil, 1, v.Len()) {
		b, err := p.store.OpenBody(r.Body)
		must(p.t, err)
		text, err := io.ReadAll(io.NewSectionReader(b, 0, b.Size()))
		must(p.t, errors.Join(err, b.Close()))
		all = append(all, string(text))
	}
	return all
}

// signed is a letter with sender.test's signature, odd in what servers like to repair.
func (w *three) signed(t *testing.T, to, body string) string {
	t.Helper()
	header := "From: Eva <eva@sender.test>\r\nTo:  " + to + "\r\nSubject: folded\r\n\tand  spaced \r\nDate: Sun, 22 Nov 2026 12:00:00 +0000\r\n" +
		"Message-ID: <1@sender.test>\r\n\r\n"
	s := mailauth.NewSigner([]byte(header))
	_, err := io.WriteString(s, body)
	must(t, err)
	fields, err := s.Finish([]mailauth.SigningKey{w.key}, time.Now())
	must(t, err)
	return string(fields) + header + body
}

// returnPath is the sender of a stored message.
func returnPath(t *testing.T, stored string) string {
	t.Helper()
	first, _, _ := strings.Cut(stored, "\r\n")
	path, ok := strings.CutPrefix(first, "Return-Path: <")
	if !ok {
		t.Fatalf("no Return-Path: %q", stored)
	}
	return strings.TrimSuffix(path, ">")
}

// TestForwardedMailIsProven: what is handed on is the author's at the next server, which asks to refuse all that is not: by
// the signature that stands, and the envelope is ours.
func TestForwardedMailIsProven(t *testing.T) {
	w := newThree(t)
	must(t, w.us.directory.AddForward(t.Context(), "ann@us.test", nil, "bob@far.test"))
	text := w.signed(t, "ann@us.test", ". A dot, \xc3\xbc and trailing space \r\n..\r\n\r\nand no more.\r\n\r\n")
	must(t, w.send(w.us, "127.0.0.2", "eva@sender.test", []string{"ann@us.test"}, text))

	got := w.far.inbox("bob@far.test", 1)[0]
	if path := returnPath(t, got); !strings.HasPrefix(path, "SRS0=") || !strings.HasSuffix(path, "=sender.test=eva@us.test") {
		t.Errorf("the sender is %q", path)
	}
	header, _, _ := strings.Cut(got, "\r\nReceived:")
	for _, want := range []string{"dkim=pass", "header.d=sender.test", "spf=pass", "us.test", "dmarc=pass"} {
		if !strings.Contains(header, want) {
			t.Errorf("no %q in %q", want, header)
		}
	}
	if !strings.HasSuffix(got, text) || !strings.Contains(got, "\r\nDelivered-To: ann@us.test\r\n") {
		t.Errorf("it is not as it was sent, or not with what we write in front:\n%q\n%q", got, text)
	}
	if kept := w.us.inbox("ann@us.test", 1)[0]; !strings.HasSuffix(kept, text) {
		t.Errorf("the copy is %q", kept)
	}
}

// TestFailedForwardComesBack to the sender, by the return address, which is good for nothing else.
func TestFailedForwardComesBack(t *testing.T) {
	w := newThree(t)
	no := false
	must(t, w.us.directory.AddForward(t.Context(), "ann@us.test", &no, "nobody@far.test"))
	must(t, w.send(w.us, "127.0.0.2", "eva@sender.test", []string{"ann@us.test"}, w.signed(t, "ann@us.test", "Hello\r\n")))
	notice := w.sender.inbox("eva@sender.test", 1)[0]
	if !strings.Contains(notice, "nobody@far.test") || !strings.Contains(notice, "Auto-Submitted: auto-replied\r\n") || returnPath(t, notice) != "" {
		t.Errorf("eva has %q", notice)
	}
	if all := w.us.inbox("ann@us.test", 0); len(all) > 0 {
		t.Errorf("ann kept %q", all)
	}

	// What another server that took it first would send.
	back := w.us.directory.ReversePath("eva@sender.test", directory.Leading{Address: "ann@us.test", Account: 1})
	report := "From: <mailer-daemon@far.test>\r\nSubject: failed\r\n\r\nIt did not work.\r\n"
	must(t, w.send(w.us, "127.0.0.2", "", []string{back}, report))
	if all := w.sender.inbox("eva@sender.test", 2); returnPath(t, all[1]) != "" || !strings.HasSuffix(all[1], "work.\r\n") {
		t.Errorf("eva has %q", all[1])
	}
	forged := strings.Replace(back, "eva@", "owner@", 1)
	for _, tc := range []struct{ from, to, want string }{
		{"", forged, "550"},
		{"", "SRS0=AAAAAAAA=AA=far.test=bob@us.test", "550"},
		{"eva@sender.test", back, "550"},
		{"eva@sender.test", "bob@far.test", "550"},
	} {
		err := w.send(w.us, "127.0.0.2", tc.from, []string{tc.to}, report)
		if err == nil || !strings.HasPrefix(err.Error(), tc.want) {
			t.Errorf("from <%s> to <%s>: %v", tc.from, tc.to, err)
		}
	}
}

// TestNotHandedOn: junk, and what is in our name without a proof; the sender hears of it where nobody keeps it.
func TestNotHandedOn(t *testing.T) {
	w := newThree(t)
	ctx, no := t.Context(), false
	must(t, w.us.directory.AddForward(ctx, "ann@us.test", &no, "bob@far.test"))
	must(t, w.us.directory.AddForward(ctx, "carl@us.test", nil, "bob@far.test"))
	must(t, w.us.directory.AddAlias(ctx, "away@us.test", "bob@far.test"))
	forged := "From: <carl@us.test>\r\nSubject: pay\r\n\r\nPay.\r\n"
	for _, to := range []string{"ann@us.test", "away@us.test"} {
		err := w.send(w.us, "127.0.0.2", "eva@sender.test", []string{to}, forged)
		if err == nil || !strings.HasPrefix(err.Error(), "550 5.7.1 This address forwards its mail") {
			t.Errorf("to %s: %v", to, err)
		}
	}
	must(t, w.send(w.us, "127.0.0.2", "eva@sender.test", []string{"carl@us.test"}, forged))
	w.us.inbox("carl@us.test", 1)
	// One answer for all: ann, who keeps nothing, has it in Junk, and the alias's copy is the postmaster's.
	must(t, w.send(w.us, "127.0.0.2", "eva@sender.test", []string{"carl@us.test", "ann@us.test", "away@us.test"}, forged))
	w.us.inbox("carl@us.test", 2)
	w.us.mailbox("ann@us.test", "Junk", 1)
	if list, err := w.us.queue.List(); err != nil || len(list) > 0 {
		t.Errorf("the queue has %+v, %v", list, err)
	}
}

// TestForwardLoopEnds where it comes back to.
func TestForwardLoopEnds(t *testing.T) {
	w := newThree(t)
	must(t, w.us.directory.AddForward(t.Context(), "ann@us.test", nil, "bob@far.test"))
	no := false
	must(t, w.far.directory.AddForward(t.Context(), "bob@far.test", &no, "ann@us.test"))
	must(t, w.send(w.us, "127.0.0.2", "eva@sender.test", []string{"ann@us.test"}, w.signed(t, "ann@us.test", "Hello\r\n")))
	notice := w.sender.inbox("eva@sender.test", 1)[0]
	if !strings.Contains(notice, "5.4.6") {
		t.Errorf("eva has %q", notice)
	}
	w.us.inbox("ann@us.test", 1)
}

// TestListForMembers takes mail of members, by envelope and author, and sends in its own name.
func TestListForMembers(t *testing.T) {
	w := newThree(t)
	ctx := t.Context()
	must(t, w.us.directory.AddAlias(ctx, "club@us.test", "eva@sender.test", "ann@us.test", "nobody@far.test"))
	must(t, w.us.directory.SetMembersOnly(ctx, "club@us.test", true))
	must(t, w.us.directory.SetOwner(ctx, "club@us.test", "carl@us.test"))
	member := w.signed(t, "club@us.test", "Hello\r\n")
	for _, tc := range []struct{ from, text string }{
		{"owner@sender.test", member},
		{"", member},
		{"eva@sender.test", strings.Replace(member, "From: Eva <eva@", "From: Eva <owner@", 1)},
		{"ann@us.test", "From: <eva@sender.test>\r\n\r\nnot proven\r\n"},
	} {
		err := w.send(w.us, "127.0.0.2", tc.from, []string{"club@us.test"}, tc.text)
		if err == nil || !strings.HasPrefix(err.Error(), "550 5.7.") {
			t.Errorf("from <%s>: %v", tc.from, err)
		}
	}
	must(t, w.send(w.us, "127.0.0.2", "eva@sender.test", []string{"club@us.test"}, member))
	w.us.inbox("ann@us.test", 1)
	if got := w.sender.inbox("eva@sender.test", 1)[0]; returnPath(t, got) != "club-bounces@us.test" {
		t.Errorf("eva has %q", got)
	}
	if notice := w.us.inbox("carl@us.test", 1)[0]; !strings.Contains(notice, "nobody@far.test") {
		t.Errorf("the owner has %q", notice)
	}
}

// TestTwoWhoAreAway: each answers the other's mail once, and nobody answers an answer.
func TestTwoWhoAreAway(t *testing.T) {
	w := newThree(t)
	for p, account := range map[*party]string{w.us: "ann@us.test", w.sender: "eva@sender.test"} {
		v := directory.Vacation{Text: "I am away.", Days: 7}
		must(t, p.directory.SetVacation(t.Context(), account, &v))
	}
	text := w.signed(t, "ann@us.test", "Hello\r\n")
	for n := range 2 {
		must(t, w.send(w.us, "127.0.0.2", "eva@sender.test", []string{"ann@us.test"}, text))
		w.us.inbox("ann@us.test", n+1)
	}
	got := w.sender.inbox("eva@sender.test", 1)[0]
	for _, want := range []string{
		"Return-Path: <>\r\n", "From: <ann@us.test>\r\n", "To: <eva@sender.test>\r\n", "Subject: Auto: folded and spaced\r\n",
		"In-Reply-To: <1@sender.test>\r\n", "References: <1@sender.test>\r\n", "Auto-Submitted: auto-replied\r\n", "\r\n\r\nI am away.\r\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in %q", want, got)
		}
	}
	// What is answered is decided and stored with the message: no record of eva's server says that she answers.
	for p, want := range map[*party]int{w.us: 1, w.sender: 0} {
		told := 0
		must(t, p.store.Room("vacation").Each("", func(key string, _ []byte) error {
			if !strings.HasPrefix(key, "told/") {
				return nil // it is taken away when the reply is in the queue
			}
			told++
			return nil
		}))
		if told != want {
			t.Errorf("%s answered %d senders, want %d", p.domain, told, want)
		}
	}
}
