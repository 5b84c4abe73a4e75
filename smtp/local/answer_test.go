package local

import (
	"io"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	"mailstead/mailbox"
	"mailstead/mailbox/directory"
	"mailstead/smtp/queue"
)

var away = directory.Away{
	Vacation: directory.Vacation{Text: "I am away.", Days: 7, Addresses: []string{"old@far.test", "team@a.test"}},
	Own:      []string{"ann@a.test", "lee@b.test"},
}

// TestWhatIsAnswered has each rule of RFC 3834 section 2 and RFC 5230 section 4 that speaks against an answer.
func TestWhatIsAnswered(t *testing.T) {
	for _, tc := range []struct{ from, header, by, why string }{
		{"eva@b.test", "To: ann@a.test", "ann@a.test", ""},
		{"eva@b.test", "To: x@b.test\r\nCC: \"Ann, Lee\" <ANN+shop@A.Test>", "ann@a.test", ""},
		{"eva@b.test", "Cc: lee@b.test", "lee@b.test", ""},
		{"eva@b.test", "Resent-To: ann@a.test", "ann@a.test", ""},
		{"eva@b.test", "To: Team@a.test", "ann@a.test", ""},
		{"eva@b.test", "To: old@far.test\r\nCc: lee@b.test", "lee@b.test", ""},
		{"SRS0=AAAAAAAA=AA=b.test=eva@far.test", "To: ann@a.test", "ann@a.test", ""},
		{"eva@b.test", "To: ann@a.test\r\nAuto-Submitted: no (really)\r\nPrecedence: first-class", "ann@a.test", ""},
		{"eva@b.test", "To: ann@a.test\r\nX-Auto-Response-Suppress: RN, NRN", "ann@a.test", ""},
		{"eva@b.test", "To: ann@a.test\r\nContent-Type: multipart/mixed; boundary=x", "ann@a.test", ""},

		{"", "To: ann@a.test", "", toNobody},
		{"MAILER-DAEMON@b.test", "To: ann@a.test", "", toProgram},
		{"owner-list@b.test", "To: ann@a.test", "", toProgram},
		{"list-request@b.test", "To: ann@a.test", "", toProgram},
		{"list-bounces@b.test", "To: ann@a.test", "", toProgram},
		{"bounces+123-ann=a.test@b.test", "To: ann@a.test", "", toProgram},
		{"No-Reply@b.test", "To: ann@a.test", "", toProgram},
		{"noreply-77@b.test", "To: ann@a.test", "", toProgram},
		{"SRS0=AAAAAAAA=AA=b.test=noreply@far.test", "To: ann@a.test", "", toProgram},
		{"lee@b.test", "To: ann@a.test", "", toOneself},
		{"ann+x@a.test", "To: ann@a.test", "", toOneself},
		{"eva@b.test", "List-Id: <x.b.test>\r\nTo: ann@a.test", "", toList},
		{"eva@b.test", "List-Unsubscribe: <mailto:x@b.test>\r\nTo: ann@a.test", "", toList},
		{"eva@b.test", "Precedence: Bulk\r\nTo: ann@a.test", "", toBulk},
		{"eva@b.test", "Precedence: list\r\nTo: ann@a.test", "", toBulk},
		{"eva@b.test", "Precedence: junk\r\nTo: ann@a.test", "", toBulk},
		{"eva@b.test", "Auto-Submitted: auto-replied\r\nTo: ann@a.test", "", toAutomatic},
		{"eva@b.test", "Auto-Submitted: auto-generated; x=y\r\nTo: ann@a.test", "", toAutomatic},
		{"eva@b.test", "Auto-Submitted:\r\nTo: ann@a.test", "", toAutomatic},
		{"eva@b.test", "Content-Type: multipart/report; report-type=disposition-notification\r\nTo: ann@a.test", "", toAutomatic},
		{"eva@b.test", "X-Auto-Response-Suppress: DR, OOF\r\nTo: ann@a.test", "", toUnwanted},
		{"eva@b.test", "X-Auto-Response-Suppress: All\r\nTo: ann@a.test", "", toUnwanted},
		{"eva@b.test", "X-Autoreply: yes\r\nTo: ann@a.test", "", toUnwanted},
		{"eva@b.test", "X-Junk: for one of its recipients\r\nTo: ann@a.test", "", toJunk},
		{"eva@b.test", "X-Spam-Flag: YES\r\nTo: ann@a.test", "", toJunk},
		{"eva@b.test", "To: everybody@a.test", "", notAddressed},
		{"eva@b.test", "To: undisclosed-recipients:;", "", notAddressed},
		{"eva@b.test", "Subject: to ann@a.test", "", notAddressed},
		{"eva@b.test", "", "", notAddressed},
		{"eva@b.test", "X: " + strings.Repeat("x", maxAnsweredHeader) + "\r\nTo: ann@a.test", "", toLong},
	} {
		header := tc.header
		if header != "" {
			header += "\r\n"
		}
		if by, why := answerTo(tc.from, []byte(header), away); by != tc.by || why != tc.why {
			t.Errorf("from <%s> %.60q: by %q, %q; want %q, %q", tc.from, header, by, why, tc.by, tc.why)
		}
	}
}

func FuzzAnswerTo(f *testing.F) {
	f.Add("eva@b.test", "To: ann@a.test\r\nSubject: =?utf-8?q?=C3=BC?=\r\nReferences: <a@b> <c@d>\r\n")
	f.Add("SRS0=", "Auto-Submitted\r\n")
	f.Fuzz(func(t *testing.T, from, header string) {
		by, why := answerTo(from, []byte(header), away)
		if (by == "") == (why == "") {
			t.Fatalf("by %q, %q", by, why)
		}
		text := strings.Map(func(r rune) rune { // as an account's text is checked when it is set
			if unicode.IsControl(r) && r != '\r' && r != '\n' && r != '\t' {
				return -1
			}
			return r
		}, header)
		l := letter{From: "ann@a.test", To: "eva@b.test", Subject: replySubject([]byte(header)), Text: text + "x", References: references([]byte(header)), ID: "1"}
		for line := range strings.SplitSeq(string(l.bytes()), "\r\n") {
			if len(line) > 998 || strings.ContainsAny(line, "\r\n\x00") || !isASCII(line) && !strings.Contains(line, "=") {
				t.Fatalf("a line of %d octets: %q", len(line), line)
			}
		}
	})
}

func TestLetter(t *testing.T) {
	l := letter{
		From: "ann@a.test", To: "eva@b.test", Subject: "Grüße", Text: "Bin weg – bis später.\n\n-- \nAnn\n", ID: "X", Date: time.Unix(1e9, 0).UTC(),
		References: references([]byte("References: <1@b> <2@b>\r\nMessage-ID: <3@b>\r\n")),
	}
	const want = "From: <ann@a.test>\r\nTo: <eva@b.test>\r\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\nDate: Sun, 9 Sep 2001 01:46:40 +0000\r\n" +
		"Message-ID: <X@a.test>\r\nIn-Reply-To: <3@b>\r\nReferences: <1@b> <2@b> <3@b>\r\nAuto-Submitted: auto-replied\r\n" +
		"X-Auto-Response-Suppress: All\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n" +
		"Content-Transfer-Encoding: quoted-printable\r\n\r\nBin weg =E2=80=93 bis sp=C3=A4ter.\r\n\r\n--=20\r\nAnn\r\n"
	if got := string(l.bytes()); !strings.EqualFold(got, want) {
		t.Errorf("%s", got)
	}
	if s := replySubject([]byte("Subject: " + strings.Repeat("long ", 100) + "\r\n")); len(s) > 170 || !strings.HasPrefix(s, "Auto: long") {
		t.Errorf("subject %q", s)
	}
}

// away is a directory in which the first account is away.
func (d fakeDirectory) Away(a mailbox.AccountID, _ time.Time) (directory.Away, bool) {
	return away, a == 1
}

// answering is an office that answers, with the time in a test's hand.
func answering(t *testing.T) (*office, *time.Time) {
	o := newOffice(t)
	now := time.Unix(1e9, 0).UTC()
	o.reopen(t, &now)
	return o, &now
}

// reopen makes the replies anew, as a restart does.
func (o *office) reopen(t *testing.T, now *time.Time) {
	t.Helper()
	var err error
	o.replies, err = OpenReplies(RepliesOptions{Store: o.store, Directory: o.directory, Now: func() time.Time { return *now }})
	must(t, err)
}

// asked is a message from a sender to the first account, and how many replies are due then and go out.
func (o *office) asked(t *testing.T, from string) int {
	t.Helper()
	must(t, o.accept(t, Transaction{From: from, Recipients: o.recipients("", 0)}, "To: ann@a.test\r\nSubject: x\r\n\r\n"))
	return o.sent(t)
}

func (o *office) sent(t *testing.T) int {
	t.Helper()
	before := len(o.queue.envelopes)
	must(t, o.replies.SendDue(t.Context(), o.queue))
	must(t, o.store.Room(replyRoom).Each(dueKey, func(key string, _ []byte) error {
		t.Errorf("%s is still due", key)
		return nil
	}))
	return len(o.queue.envelopes) - before
}

func TestAnsweredOnceInDays(t *testing.T) {
	o, now := answering(t)
	start := *now
	for _, tc := range []struct {
		after   time.Duration
		restart bool
		from    string
		want    int
	}{
		{0, false, "eva@b.test", 1},
		{0, false, "EVA@b.test", 0},
		{time.Hour, true, "eva@b.test", 0},
		{time.Hour, false, "tom@b.test", 1},
		{7*24*time.Hour - time.Second, true, "eva@b.test", 0},
		{7 * 24 * time.Hour, false, "eva@b.test", 1},
		{7*24*time.Hour + time.Second, true, "eva@b.test", 0},
		{60 * 24 * time.Hour, true, "eva@b.test", 1},
	} {
		*now = start.Add(tc.after)
		if tc.restart {
			o.reopen(t, now)
		}
		if got := o.asked(t, tc.from); got != tc.want {
			t.Errorf("after %v, %s: %d replies, want %d", tc.after, tc.from, got, tc.want)
		}
	}
	e := o.queue.envelopes[0]
	if e.From != "" || e.Account != 1 || len(e.Recipients) != 1 || e.Recipients[0] != "eva@b.test" || e.Proven {
		t.Errorf("the envelope is %+v", e)
	}
	told := 0
	must(t, o.store.Room(replyRoom).Each(toldKey, func(string, []byte) error { told++; return nil }))
	if told != 1 {
		t.Errorf("%d senders are remembered after two months, want 1", told)
	}
}

// TestRepliesAreForgotten with their account, and with no other.
func TestRepliesAreForgotten(t *testing.T) {
	o, _ := answering(t)
	o.asked(t, "eva@b.test")
	others := []mailbox.RoomChange{
		{Room: replyRoom, Key: keyFor(toldKey, 11, "x"), Value: []byte("1")}, // its number begins as the first one's
		{Room: replyRoom, Key: keyFor(dueKey, 11, "x"), Value: []byte("{}")},
	}
	must(t, o.store.Change(t.Context(), append(others, mailbox.RoomChange{Room: replyRoom, Key: keyFor(dueKey, 1, "x"), Value: []byte("{}")})...))
	must(t, ForgetReplies(t.Context(), o.store, 1))
	var left []string
	must(t, o.store.Room(replyRoom).Each("", func(key string, _ []byte) error { left = append(left, key); return nil }))
	if want := []string{others[1].Key, others[0].Key}; !slices.Equal(left, want) {
		t.Errorf("left is %q, want %q", left, want)
	}
}

func TestRepliesPerHour(t *testing.T) {
	o, now := answering(t)
	sent := 0
	for n := range repliesPerHour + 5 {
		sent += o.asked(t, strings.Repeat("x", n+1)+"@b.test")
	}
	if sent != repliesPerHour {
		t.Errorf("%d replies in an hour, want %d", sent, repliesPerHour)
	}
	*now = now.Add(time.Hour)
	if got := o.asked(t, "late@b.test"); got != 1 {
		t.Errorf("%d replies an hour later", got)
	}
}

// TestNoReplyToWhatWasNotTaken: not to a copy that was refused, nor to junk, and then the next one is answered.
func TestNoReplyToWhatWasNotTaken(t *testing.T) {
	o, _ := answering(t)
	must(t, o.store.SetQuota(t.Context(), o.accounts[0].Account, mailbox.Quota{Storage: 1}))
	tx := Transaction{From: "eva@b.test", Recipients: o.recipients("", 0)}
	if err := o.accept(t, tx, "To: ann@a.test\r\n\r\n"); err == nil || o.sent(t) != 0 {
		t.Errorf("refused with %v, and answered", err)
	}
	tx.Recipients = o.recipients("", 0, 1) // it waits in the queue for the first account
	if err := o.accept(t, tx, "To: ann@a.test\r\n\r\n"); err != nil {
		t.Error(err)
	}
	if n := o.sent(t); n != 0 {
		t.Errorf("%d answers to a copy that is not there", n)
	}
	must(t, o.store.SetQuota(t.Context(), o.accounts[0].Account, mailbox.Quota{}))
	tx.Junk = []mailbox.AccountID{o.accounts[0].Account}
	if err := o.accept(t, tx, "To: ann@a.test\r\n\r\n"); err != nil || o.sent(t) != 0 {
		t.Errorf("junk is answered, %v", err)
	}
	if o.asked(t, "eva@b.test") != 1 {
		t.Error("no answer to what is taken at last")
	}
}

// TestReplyOutlivesAStop: what was stored with a message and not sent goes out at the next start.
func TestReplyOutlivesAStop(t *testing.T) {
	o, now := answering(t)
	must(t, o.accept(t, Transaction{From: "eva@b.test", Recipients: o.recipients("", 0)}, "To: ann@a.test\r\n\r\n"))
	o.reopen(t, now)
	if n := o.sent(t); n != 1 {
		t.Fatalf("%d replies, want 1", n)
	}
	if text := o.text(t, o.queue.bodies[0]); !strings.Contains(text, "To: <eva@b.test>\r\n") {
		t.Errorf("%q", text)
	}
	if o.asked(t, "eva@b.test") != 0 {
		t.Error("and once more")
	}
}

// TestCopyIsNotForwardedAgain: what a full mailbox gets later goes nowhere else, as that was done.
func TestCopyIsNotForwardedAgain(t *testing.T) {
	o := newOffice(t)
	forwarding := directory.Route{
		Local: o.accounts[:1], Remote: []string{"x@b.test"},
		By: map[string]directory.Leading{"x@b.test": {Address: o.accounts[0].Name, Account: o.accounts[0].Account}},
	}
	o.directory[o.accounts[0].Name] = forwarding
	must(t, o.store.SetQuota(t.Context(), o.accounts[0].Account, mailbox.Quota{Storage: 1}))
	must(t, o.accept(t, Transaction{From: "eva@b.test", Recipients: []Recipient{{Address: o.accounts[0].Name, Route: forwarding}}}, "\r\n"))
	if n := len(o.queue.envelopes); n != 2 || o.queue.envelopes[0].From != "back-to-eva@b.test-by-u1@a.test" {
		t.Fatalf("queued %+v", o.queue.envelopes)
	}
	waiting := o.queue.envelopes[1]
	if waiting.From != "eva@b.test" || !waiting.Filing[o.accounts[0].Name].Here {
		t.Fatalf("waiting %+v", waiting)
	}
	must(t, o.store.SetQuota(t.Context(), o.accounts[0].Account, mailbox.Quota{}))
	m := queue.Message{
		From: waiting.From, Recipients: waiting.Recipients, Filing: waiting.Filing,
		Open: func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader("\r\n")), nil },
	}
	if out := o.Deliver(t.Context(), "a.test", m); out[0].Status != queue.Delivered {
		t.Errorf("%+v", out)
	}
	if n := len(o.queue.envelopes); n != 2 {
		t.Errorf("it was forwarded again: %+v", o.queue.envelopes[2:])
	}
}
