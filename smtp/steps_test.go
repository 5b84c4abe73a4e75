package smtp

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"mailstead/mailbox"
	"mailstead/smtp/journal"
	"mailstead/smtp/local"
)

// newTracedHouse is a house whose servers and courier write a journal; steps
// reads what is in it, with the message that each step is of as a letter.
func newTracedHouse(t *testing.T) (h *house, j *journal.Journal, steps func() []string) {
	h = newHouse(t)
	dir := t.TempDir()
	j = journal.Open(dir, journal.Options{})
	t.Cleanup(j.Close)
	h.courier = local.New(local.Options{Store: h.store, Directory: h.directory, Journal: j})
	h.courier.UseQueue(h.queue)
	return h, j, func() (all []string) {
		t.Helper()
		must(t, j.Flush(t.Context()))
		found, _, err := journal.Stories(dir, journal.Filter{})
		must(t, err)
		for i, s := range found {
			for _, e := range s.Steps {
				all = append(all, fmt.Sprintf("%c %s %s %s %s", 'A'+i, e.Step, e.From, strings.Join(e.To, ","), e.Command+e.Mailbox))
			}
		}
		return all
	}
}

// TestJournalOfSessions: whatever becomes of a message, the journal can say it,
// also where there was never one.
func TestJournalOfSessions(t *testing.T) {
	for _, tc := range []struct {
		name string
		talk func(t *testing.T, c *client)
		want []string
	}{
		{"accepted", func(t *testing.T, c *client) {
			c.send("s@b.example", []string{"ann@example.test", "bob@example.test"}, "Message-ID: <1@b>\r\n\r\nx\r\n", "250")
		}, []string{"A received s@b.example ann@example.test,bob@example.test ", "A filed  ann@example.test,bob@example.test INBOX"}},
		{"refused at MAIL", func(t *testing.T, c *client) {
			c.say("MAIL FROM:<s@b.example> SIZE=999999999999", "552")
			c.say("MAIL FROM:<x", "501")
		}, []string{"A refused s@b.example  MAIL", "B refused <x  MAIL"}},
		{"refused at RCPT", func(t *testing.T, c *client) {
			c.say("MAIL FROM:<s@b.example>", "250")
			c.say("RCPT TO:<nobody@example.test>", "550 5.1.1")
			c.say("RCPT TO:<x@elsewhere.example>", "550 5.7.1")
			c.say("QUIT", "221")
		}, []string{"A refused s@b.example nobody@example.test RCPT", "A refused s@b.example x@elsewhere.example RCPT"}},
		{"one of two refused", func(t *testing.T, c *client) {
			c.say("MAIL FROM:<>", "250")
			c.say("RCPT TO:<nobody@example.test>", "550")
			c.say("RCPT TO:<ann@example.test>", "250")
			c.say("DATA", "354")
			c.say("\r\nx\r\n.", "250")
		}, []string{"A refused <> nobody@example.test RCPT", "A received <> ann@example.test ", "A filed  ann@example.test INBOX"}},
		{"refused after its end", func(t *testing.T, c *client) {
			c.send("s@b.example", []string{"ann@example.test"}, "Subject: a\nbare\r\n\r\n", "550 5.6.11")
		}, []string{"A refused s@b.example ann@example.test DATA"}},
		{"refused chunk", func(t *testing.T, c *client) {
			c.say("MAIL FROM:<s@b.example>", "250")
			c.say("RCPT TO:<ann@example.test>", "250")
			c.say("BDAT 5\r\na\nb", "550")
			c.say("RSET", "250")
		}, []string{"A refused s@b.example ann@example.test DATA"}},
		{"given up by RSET", func(t *testing.T, c *client) {
			c.say("MAIL FROM:<s@b.example>", "250")
			c.say("RCPT TO:<ann@example.test>", "250")
			c.say("RSET", "250")
			c.say("MAIL FROM:<s@b.example>", "250")
			c.say("RSET", "250")
		}, []string{"A abandoned s@b.example ann@example.test "}},
		{"to an alias that leads elsewhere, too", func(t *testing.T, c *client) {
			c.send("s@b.example", []string{"team@example.test"}, "\r\nx\r\n", "250")
		}, []string{"A received s@b.example team@example.test ", "A filed  ann@example.test,bob@example.test INBOX"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			h, j, steps := newTracedHouse(t)
			o := h.options(Receiver)
			o.Journal, o.Deliver = j, h.courier
			address, _ := listen(t, o, false)
			tc.talk(t, dial(t, address).hello())
			if got := steps(); !slices.Equal(got, tc.want) {
				t.Errorf("%q, want %q", got, tc.want)
			}
		})
	}
}

// TestJournalOfALostConnection: the transaction ends with the session.
func TestJournalOfALostConnection(t *testing.T) {
	h, j, steps := newTracedHouse(t)
	o := h.options(Receiver)
	o.Journal = j
	address, s := listen(t, o, false)
	c := dial(t, address).hello()
	c.say("MAIL FROM:<s@b.example>", "250")
	c.say("RCPT TO:<ann@example.test>", "250")
	c.say("DATA", "354")
	io.WriteString(c.conn, "Subject: half\r\n")
	c.conn.Close()
	must(t, s.Shutdown(t.Context()))
	if got := steps(); !slices.Equal(got, []string{"A abandoned s@b.example ann@example.test "}) {
		t.Errorf("%q", got)
	}
}

// TestJournalOfSubmission has the user, and the Message-ID that the server gave.
func TestJournalOfSubmission(t *testing.T) {
	h, j, _ := newTracedHouse(t)
	dir := t.TempDir()
	j.Close()
	j = journal.Open(dir, journal.Options{})
	defer j.Close()
	o := h.options(Submission)
	o.CleartextAuth, o.Journal = true, j
	address, _ := listen(t, o, false)
	c := dial(t, address).login()
	c.send("ann@example.test", []string{"bob@example.test"}, "From: ann@example.test\r\n\r\nx\r\n", "250")
	must(t, j.Flush(t.Context()))
	found, _, err := journal.Stories(dir, journal.Filter{From: "ann@example.test"})
	if err != nil || len(found) != 1 {
		t.Fatalf("%v, %v", found, err)
	}
	e := found[0].Steps[0]
	if e.User != "ann@example.test" || e.Peer != "127.0.0.1" || e.Helo != "client.example" || e.Size == 0 {
		t.Errorf("%+v", e)
	}
	if got := h.inbox(t, h.bob); len(got) != 1 || e.MessageID == "" || !strings.Contains(got[0], "\r\nMessage-ID: "+e.MessageID+"\r\n") {
		t.Errorf("Message-ID %s, bob has %q", e.MessageID, got)
	}
}

// TestJournalOfRefusedCopies: what one mailbox did not take, and where it went.
func TestJournalOfRefusedCopies(t *testing.T) {
	h, j, steps := newTracedHouse(t)
	must(t, h.store.SetQuota(t.Context(), h.bob, mailbox.Quota{Storage: 10}))
	o := h.options(Receiver)
	o.Journal, o.Deliver = j, h.courier
	address, _ := listen(t, o, false)
	c := dial(t, address).hello()
	c.say("MAIL FROM:<s@b.example>", "250")
	c.say("RCPT TO:<bob@example.test>", "250")
	c.say("RCPT TO:<ann@example.test>", "250")
	c.say("DATA", "354")
	c.say("\r\nmore than ten octets\r\n.", "250")
	c.send("s@b.example", []string{"bob@example.test"}, "\r\nmore than ten octets\r\n", "452")
	want := []string{
		"A received s@b.example bob@example.test,ann@example.test ", "A filed  ann@example.test INBOX",
		"B received s@b.example bob@example.test ", "B refused s@b.example bob@example.test DATA",
	}
	if got := steps(); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

// TestJournalOfVerdicts has what was found and decided, and why, of mail that is
// refused by policy, too.
func TestJournalOfVerdicts(t *testing.T) {
	h, j, _ := newTracedHouse(t)
	j.Close()
	dir := t.TempDir()
	j = journal.Open(dir, journal.Options{})
	defer j.Close()
	o := h.options(Receiver)
	o.Journal, o.Checks = j, newChecks(t)
	address, _ := listen(t, o, false)
	c := dial(t, address).hello()
	c.send("a@pass.example", []string{"ann@example.test"}, "From: a@pass.example\r\n\r\nx\r\n", "250")
	c.send("a@strict.example", []string{"ann@example.test"}, "From: a@strict.example\r\n\r\nx\r\n", "550")
	must(t, j.Flush(t.Context()))
	for from, want := range map[string][]string{
		"a@pass.example":   {"received", "judged for ann@example.test: accept (default); found "},
		"a@strict.example": {"judged for ann@example.test: refuse (dmarc): ", "refused at DATA: 550 5.7.1 "},
	} {
		found, _, err := journal.Stories(dir, journal.Filter{From: from})
		if err != nil || len(found) != 1 || len(found[0].Steps) != len(want) {
			t.Fatalf("%s: %v, %v", from, found, err)
		}
		for i, e := range found[0].Steps {
			if !strings.HasPrefix(e.String(), want[i]) {
				t.Errorf("%s: %q, want %q", from, e, want[i])
			}
			if e.Step == journal.Judged && (!slices.Contains(e.Found, "iprev=pass") || len(e.Found) < 3 || len(e.Reasons) == 0 && e.Verdict == "refuse") {
				t.Errorf("%s: %+v", from, e)
			}
		}
	}
}

// TestJournalOfOpinions: accounts that differ have a verdict each, and a copy of
// what is refused for its content is told of.
func TestJournalOfOpinions(t *testing.T) {
	h, j, steps := newTracedHouse(t)
	junk, extreme := Opinion{Score: 0.95, Words: []string{"a word"}}, Opinion{Score: 1, Words: []string{"a word"}}
	session := func(ofAnn Opinion) *client {
		o := h.options(Receiver)
		o.Journal, o.Deliver, o.Checks = j, h.courier, newChecks(t)
		o.Checks.Filter, o.Checks.Rejected = &fakeFilter{opinions: map[mailbox.AccountID]Opinion{h.ann: ofAnn}}, h.courier
		address, _ := listen(t, o, false)
		return dial(t, address).hello()
	}
	session(junk).send("a@pass.example", []string{"ann@example.test", "bob@example.test"}, "From: a@pass.example\r\n\r\nx\r\n", "250")
	session(extreme).send("a@nobody.example", []string{"ann@example.test"}, "From: a@nobody.example\r\n\r\nx\r\n", "550")
	got := steps()
	for _, want := range []string{
		"A judged  ann@example.test ", "A judged  bob@example.test ", "A filed  ann@example.test Junk", "A filed  bob@example.test INBOX",
		"B judged  ann@example.test ", "B filed  ann@example.test Rejects", "B refused a@nobody.example ann@example.test DATA",
	} {
		if !slices.Contains(got, want) {
			t.Errorf("no %q in %q", want, got)
		}
	}
}
