package smtp

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/textproto"
	"strings"
	"sync"
	"testing"
	"time"

	"mailstead/mailbox"
	"mailstead/smtp/local"
)

// client is a connection of a test: each line is sent and its reply compared.
type client struct {
	t    testing.TB
	conn net.Conn
	text *textproto.Conn
}

func dial(t testing.TB, address string) *client {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	must(t, err)
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(time.Minute))
	return &client{t, conn, textproto.NewConn(conn)}
}

// reply reads one and wants it to begin with want.
func (c *client) reply(want string) string {
	c.t.Helper()
	for {
		line, err := c.text.ReadLine()
		if err != nil {
			c.t.Fatalf("%v instead of %q", err, want)
		}
		if len(line) > 3 && line[3] == '-' {
			continue
		}
		if !strings.HasPrefix(line, want) {
			c.t.Fatalf("reply %q, want %q", line, want)
		}
		return line
	}
}

func (c *client) say(line, want string) string {
	c.t.Helper()
	_, err := io.WriteString(c.conn, line+"\r\n")
	must(c.t, err)
	return c.reply(want)
}

// hello begins a session.
func (c *client) hello() *client {
	c.t.Helper()
	c.reply("220")
	c.say("EHLO client.example", "250")
	return c
}

// login is hello with a login in clear.
func (c *client) login() *client {
	c.t.Helper()
	c.hello().say("AUTH PLAIN AGFubkBleGFtcGxlLnRlc3QAc2VjcmV0", "235")
	return c
}

// send sends one message and returns the last reply.
func (c *client) send(from string, to []string, message, want string) string {
	c.t.Helper()
	c.say("MAIL FROM:<"+from+">", "250")
	for _, r := range to {
		c.say("RCPT TO:<"+r+">", "250")
	}
	c.say("DATA", "354")
	return c.say(message+".", want)
}

func atNoon() time.Time { return time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC) }

func TestStoredOctets(t *testing.T) {
	h := newHouse(t)
	o := h.options(Receiver)
	o.Now = atNoon
	address, s := listen(t, o, false)
	message := "Subject: \xfcber\r\nBcc: x@example.test\r\n\r\n.a\r\n..b\r\ngr\xc3\xbc\xdfe \x01\x7f\r\n" + strings.Repeat("long", 1000) + "\r\n"
	first := s.counter.Load()
	c := dial(t, address).hello()
	c.send("sender@b.example", []string{"ann@example.test", "bob@example.test"}, strings.ReplaceAll("\r\n"+message, "\r\n.", "\r\n..")[2:], "250 2.0.0")
	want := "Return-Path: <sender@b.example>\r\n" +
		"Received: from client.example ([127.0.0.1])\r\n\tby mx.example.test with ESMTP id " + nameAt(atNoon(), first+1) + ";\r\n\tSun, 22 Nov 2026 12:00:00 +0000\r\n" + message
	for name, account := range map[string]mailbox.AccountID{"ann": h.ann, "bob": h.bob} {
		if got := h.inbox(t, account); len(got) != 1 || got[0] != want {
			t.Errorf("%s has %q, want %q", name, got, want)
		}
	}
}

func TestProtocolKeyword(t *testing.T) {
	h := newHouse(t)
	o := h.options(Submission)
	o.CleartextAuth = true
	address, _ := listen(t, o, false)
	c := dial(t, address).login()
	c.say("MAIL FROM:<ann@example.test> SMTPUTF8", "250")
	c.say("RCPT TO:<bob@example.test>", "250")
	c.say("DATA", "354")
	c.say("From: ann@example.test\r\n\r\n.", "250")
	if got := h.inbox(t, h.bob); len(got) != 1 || !strings.Contains(got[0], " with UTF8SMTPA id ") {
		t.Errorf("bob has %q", got)
	}
}

func TestSubmittedHeader(t *testing.T) {
	h := newHouse(t)
	o := h.options(Submission)
	o.CleartextAuth, o.Now = true, atNoon
	address, s := listen(t, o, false)
	first := s.counter.Load()
	received := func(n uint64) string {
		return "Received: from mx.example.test\r\n\tby mx.example.test with ESMTPA id " + nameAt(atNoon(), first+n) + ";\r\n\tSun, 22 Nov 2026 12:00:00 +0000\r\n"
	}
	const trace, date = "Return-Path: <ann@example.test>\r\nDelivered-To: bob@example.test\r\n", "Date: Sun, 22 Nov 2026 12:00:00 +0000\r\n"
	c := dial(t, address).login()
	for i, tc := range []struct{ name, in, out string }{
		{"complete", "Message-ID: <1@x>\r\ndate: then\r\nFrom: ann@example.test\r\n\r\nb\r\n", "Message-ID: <1@x>\r\ndate: then\r\nFrom: ann@example.test\r\n\r\nb\r\n"},
		{"date is missing", "Message-ID: <1@x>\r\nFrom: ann@example.test\r\n\r\nb\r\n", date + "Message-ID: <1@x>\r\nFrom: ann@example.test\r\n\r\nb\r\n"},
		{
			"Bcc is folded", "Message-ID: <1@x>\r\nDate: then\r\nBcc: a@b.test,\r\n c@d.test,\r\n\te@f.test\r\nFrom: ann@example.test\r\nBCC : g@h.test\r\nResent-Bcc: i@j.test\r\nBccx: stays\r\n\r\nBcc: b\r\n",
			"Message-ID: <1@x>\r\nDate: then\r\nFrom: ann@example.test\r\nBccx: stays\r\n\r\nBcc: b\r\n",
		},
		{
			"no header", "Message-ID: <1@x>\r\nFrom: ann@example.test\r\nno field\r\nBcc: in the body\r\n\r\nb\r\n",
			date + "Message-ID: <1@x>\r\nFrom: ann@example.test\r\n\r\nno field\r\nBcc: in the body\r\n\r\nb\r\n",
		},
		{"no body", "Message-ID: <1@x>\r\n", date + "From: <ann@example.test>\r\nMessage-ID: <1@x>\r\n"},
		{"only a body", "\r\nb\r\n", date + "From: <ann@example.test>\r\nMessage-ID: <RANDOM@example.test>\r\n\r\nb\r\n"},
		{"bare line ends", "Message-ID: <1@x>\nDate: then\nFrom: ann@example.test\n\nb.\nc\r\n", "Message-ID: <1@x>\r\nDate: then\r\nFrom: ann@example.test\r\n\r\nb.\r\nc\r\n"},
	} {
		c.send("ann@example.test", []string{"bob@example.test"}, tc.in, "250")
		got := h.inbox(t, h.bob)
		last := got[len(got)-1]
		if before, id, ok := strings.Cut(last, "Message-ID: <"); ok && strings.Contains(tc.out, "RANDOM") {
			id, after, _ := strings.Cut(id, "@")
			if len(id) < 20 {
				t.Errorf("%s: Message-ID %q", tc.name, id)
			}
			last = before + "Message-ID: <RANDOM@" + after
		}
		if want := trace + received(uint64(i+1)) + tc.out; last != want {
			t.Errorf("%s: stored\n%q, want\n%q", tc.name, last, want)
		}
	}
}

// TestElsewhere: mail for others goes to the queue in the record that stores
// the body; a copy that leaves has no Return-Path.
func TestElsewhere(t *testing.T) {
	h := newHouse(t)
	o := h.options(Submission)
	o.CleartextAuth = true
	address, _ := listen(t, o, false)
	c := dial(t, address).login()
	c.send("ann@example.test", []string{"bob@example.test", "x@elsewhere.example", "team@example.test"}, "From: ann@example.test\r\n\r\n", "250")
	for name, account := range map[string]mailbox.AccountID{"ann": h.ann, "bob": h.bob} {
		if got := h.inbox(t, account); len(got) != 1 || strings.Contains(got[0], "Return-Path") {
			t.Errorf("%s has %q", name, got)
		}
	}
	queued := h.queue.all()
	if len(queued) != 1 || h.queue.woken != 1 {
		t.Fatalf("queue has %+v, woken %d times", queued, h.queue.woken)
	}
	e := queued[0]
	if e.From != "ann@example.test" || fmt.Sprint(e.Recipients) != "[x@elsewhere.example far@elsewhere.example]" || e.Account != h.ann || e.Size < 100 {
		t.Errorf("queued %+v", e)
	}
}

// TestWhatTheMessageNeeds: the queue is told what is in the message, not what
// the client said of it.
func TestWhatTheMessageNeeds(t *testing.T) {
	h := newHouse(t)
	o := h.options(Submission)
	o.CleartextAuth = true
	address, _ := listen(t, o, false)
	c := dial(t, address).login()
	for i, tc := range []struct {
		params, to, message string
		eightBit, utf8      bool
	}{
		{" BODY=8BITMIME SMTPUTF8", "x@b.example", "From: ann@example.test\r\n\r\nplain\r\n", false, false},
		{"", "x@b.example", "From: ann@example.test\r\n\r\n" + strings.Repeat("x", 40) + "\xff" + strings.Repeat("x", 40) + "\r\n", true, false},
		{"", "x@b.example", "From: ann@example.test\r\nSubject: \u00fcber\r\n\r\n", true, true},
		{" SMTPUTF8", "\u00fc@b.example", "From: ann@example.test\r\n\r\n", false, false}, // the queue looks at recipients itself
	} {
		c.say("MAIL FROM:<ann@example.test>"+tc.params, "250")
		c.say("RCPT TO:<"+tc.to+">", "250")
		c.say("DATA", "354")
		c.say(tc.message+".", "250")
		if e := h.queue.all()[i]; e.EightBit != tc.eightBit || e.UTF8 != tc.utf8 {
			t.Errorf("%d: queued %+v", i, e)
		}
	}
}

// acceptor answers as a test wants.
type acceptor struct {
	Acceptor
	accept func(local.Transaction) error
}

func (a acceptor) Accept(_ context.Context, t local.Transaction, _ *mailbox.NewBody) error {
	return a.accept(t)
}

// fullDisk is an acceptor without space for more than some octets.
type fullDisk struct {
	Acceptor
	space int64
}

func (f fullDisk) HasSpace(n int64) error {
	if n > f.space {
		return fmt.Errorf("asked early: %w", mailbox.ErrNoSpace)
	}
	return nil
}

// A message that will find no space is refused before it is sent.
func TestNoSpaceIsSaidAtMail(t *testing.T) {
	h := newHouse(t)
	o := h.options(Receiver)
	o.Deliver = fullDisk{h.courier, 1000}
	address, _ := listen(t, o, false)
	c := dial(t, address).hello()
	c.say("MAIL FROM:<a@b.example> SIZE=1001", "452 4.3.1 ")
	c.say("RCPT TO:<ann@example.test>", "503")
	c.say("MAIL FROM:<a@b.example> SIZE=1000", "250")
	c.say("RSET", "250")
	c.say("MAIL FROM:<a@b.example>", "250")
}

func TestReplyAfterTheMessage(t *testing.T) {
	h := newHouse(t)
	var result error
	var logged bytes.Buffer
	o := h.options(Receiver)
	o.Deliver = acceptor{h.courier, func(local.Transaction) error { return result }}
	o.Logger = slog.New(slog.NewTextHandler(&logged, nil))
	address, _ := listen(t, o, false)
	c := dial(t, address).hello()
	for _, tc := range []struct {
		err  error
		want string
	}{
		{nil, "250 2.0.0 Accepted as"},
		{&local.Refusal{Code: 452, Enhanced: "4.2.2", Text: "Mailbox is full"}, "452 4.2.2 Mailbox is full"},
		{fmt.Errorf("wrapped: %w", &local.Refusal{Code: 550, Enhanced: "5.1.1", Text: "No"}), "550 5.1.1 No"},
		{fmt.Errorf("wrapped: %w", mailbox.ErrNoSpace), "452 4.3.1 "},
		{mailbox.ErrClosed, "451 4.3.0 Local trouble, try again later"},
		{errors.New("open /var/secret: input/output error"), "451 4.3.0 Local trouble, try again later"},
	} {
		result = tc.err
		c.send("a@b.example", []string{"ann@example.test"}, "\r\n", tc.want)
	}
	c.say("QUIT", "221")
	if !strings.Contains(logged.String(), "/var/secret") {
		t.Error("the log does not say what happened")
	}
}

func TestPanicEndsOneSession(t *testing.T) {
	h := newHouse(t)
	o := h.options(Receiver)
	o.Deliver = acceptor{h.courier, func(local.Transaction) error { panic("as asked") }}
	address, _ := listen(t, o, false)
	other := dial(t, address).hello()
	c := dial(t, address).hello()
	c.send("a@b.example", []string{"ann@example.test"}, "\r\n", "421 4.3.0")
	if _, err := c.text.ReadLine(); err != io.EOF {
		t.Errorf("after a panic: %v", err)
	}
	other.say("NOOP", "250")
}

// TestLostInTheMiddle: a client that goes away in its message leaves nothing.
func TestLostInTheMiddle(t *testing.T) {
	h := newHouse(t)
	address, s := listen(t, h.options(Receiver), false)
	for _, tail := range []string{"DATA\r\nSubject: x\r\n\r\nhalf", "DATA\r\nSubject: x\r\n\r\nx\r\n.", "BDAT 3\r\na\r\nBDAT 1000 LAST\r\nabc", "DATA\r\n\r\n" + strings.Repeat("x\r\n", 1<<20)} {
		c := dial(t, address).hello()
		c.say("MAIL FROM:<a@b.example>", "250")
		c.say("RCPT TO:<ann@example.test>", "250")
		_, err := io.WriteString(c.conn, tail)
		must(t, err)
		c.conn.(*net.TCPConn).SetLinger(0)
		must(t, c.conn.Close())
	}
	must(t, s.Shutdown(t.Context())) // every session has ended
	if got := h.inbox(t, h.ann); len(got) != 0 {
		t.Errorf("ann has %q", got)
	}
}

func TestConnectionsPerAddress(t *testing.T) {
	h := newHouse(t)
	o := h.options(Submission)
	o.CleartextAuth, o.Limits = true, Limits{ConnectionsPerAddress: 2, ConnectionsPerAccount: 1}
	address, _ := listen(t, o, false)
	first := dial(t, address).hello()
	dial(t, address).hello()
	dial(t, address).reply("421 4.7.0 Too many connections from your address")
	first.say("AUTH PLAIN AGFubkBleGFtcGxlLnRlc3QAc2VjcmV0", "235") // no stranger any more
	dial(t, address).hello().say("AUTH PLAIN AGFubkBleGFtcGxlLnRlc3QAc2VjcmV0", "421 4.7.0 Too many connections of your account")
	first.say("NOOP", "250")
}

// TestShutdown: an idle client is told at once, a message under way is taken.
func TestShutdown(t *testing.T) {
	h := newHouse(t)
	address, s := listen(t, h.options(Receiver), false)
	idle, busy := dial(t, address).hello(), dial(t, address).hello()
	busy.say("MAIL FROM:<a@b.example>", "250")
	busy.say("RCPT TO:<ann@example.test>", "250")
	busy.say("DATA", "354")
	done := make(chan error, 1)
	go func() { done <- s.Shutdown(context.Background()) }()
	idle.reply("421 4.3.2 mx.example.test is shutting down")
	busy.say("\r\nx\r\n.", "250 2.0.0")
	busy.reply("421 4.3.2")
	must(t, <-done)
	if got := h.inbox(t, h.ann); len(got) != 1 {
		t.Errorf("ann has %d messages", len(got))
	}
}

// TestShutdownInTransaction: a client that goes on comes to the end of its transaction, one that does not is told.
func TestShutdownInTransaction(t *testing.T) {
	h := newHouse(t)
	begin := func(wait time.Duration) (c *client, ended func()) {
		o := h.options(Receiver)
		o.Limits.LastWait = wait
		address, s := listen(t, o, false)
		c, idle := dial(t, address).hello(), dial(t, address).hello()
		c.say("MAIL FROM:<a@b.example>", "250")
		done := make(chan error, 1)
		go func() { done <- s.Shutdown(context.Background()) }()
		idle.reply("421 4.3.2") // it has begun
		return c, func() { must(t, <-done) }
	}
	quick, ended := begin(time.Minute)
	quick.say("RCPT TO:<ann@example.test>", "250")
	quick.say("DATA", "354")
	quick.say("\r\nx\r\n.", "250 2.0.0")
	quick.reply("421 4.3.2")
	ended()
	slow, ended := begin(time.Millisecond)
	slow.reply("421 4.3.2 mx.example.test is shutting down")
	ended()
	if got := h.inbox(t, h.ann); len(got) != 1 {
		t.Errorf("ann has %d messages", len(got))
	}
}

// TestManyAndSlow: connections beside each other, one of them sending octet by
// octet, and every message that was accepted is there once.
func TestManyAndSlow(t *testing.T) {
	h := newHouse(t)
	address, _ := listen(t, h.options(Receiver), false)
	const clients, each = 8, 10
	var wait sync.WaitGroup
	for n := range clients {
		c := dial(t, address).hello()
		wait.Go(func() {
			for i := range each {
				c.send("a@b.example", []string{"ann@example.test"}, fmt.Sprintf("X-Name: %d/%d\r\n\r\n", n, i), "250")
			}
		})
	}
	slow := dial(t, address)
	for _, b := range []byte("EHLO c\r\nMAIL FROM:<>\r\nRCPT TO:<ann@example.test>\r\nDATA\r\nX-Name: slow\r\n\r\n..x\r\n.\r\nQUIT\r\n") {
		_, err := slow.conn.Write([]byte{b})
		must(t, err)
	}
	replies, err := io.ReadAll(slow.conn)
	must(t, err)
	if !strings.Contains(string(replies), "\r\n354 ") || !strings.Contains(string(replies), "Accepted as") {
		t.Errorf("replies %q", replies)
	}
	wait.Wait()
	seen := map[string]int{}
	for _, m := range h.inbox(t, h.ann) {
		_, name, _ := strings.Cut(m, "X-Name: ")
		name, _, _ = strings.Cut(name, "\r\n")
		seen[name]++
	}
	if len(seen) != clients*each+1 || seen["slow"] != 1 || seen["0/0"] != 1 {
		t.Errorf("stored %d different messages: %v", len(seen), seen)
	}
}
