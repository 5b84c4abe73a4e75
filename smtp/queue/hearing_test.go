package queue_test

import (
	"crypto/tls"
	"io"
	"net/smtp"
	"strings"
	"testing"

	"mailstead/mailbox"
	"mailstead/mailbox/directory"
	ourssmtp "mailstead/smtp"
)

// hears submits a message of ann's with parameters behind its addresses.
func (s *server) hears(mail string, rcpts ...string) {
	s.t.Helper()
	c, err := smtp.Dial(s.listener.Addr().String())
	must(s.t, err)
	defer c.Close()
	must(s.t, c.StartTLS(&tls.Config{InsecureSkipVerify: true}))
	must(s.t, c.Auth(smtp.PlainAuth("", "ann@us.test", "secret", "127.0.0.1")))
	for _, line := range append([]string{"MAIL FROM:" + mail}, rcpts...) {
		must(s.t, c.Text.PrintfLine("%s", line))
		_, _, err := c.Text.ReadResponse(250)
		must(s.t, err)
	}
	w, err := c.Data()
	must(s.t, err)
	_, err = io.WriteString(w, hello)
	must(s.t, err)
	must(s.t, w.Close())
}

// TestSenderHearsOfMailboxes: a user who wants to hear of success hears of a mailbox here, and of an alias, from the same server.
func TestSenderHearsOfMailboxes(t *testing.T) {
	s := startServer(t, t.TempDir(), "us.test", settings{role: ourssmtp.Submission, tls: certificate()}, "ann@us.test", "kim@us.test", "joe@us.test")
	must(t, s.directory.AddAlias(t.Context(), "all@us.test", "kim@us.test", "joe@us.test"))
	s.hears("<ann@us.test> ENVID=QQ+2B1 RET=FULL", "RCPT TO:<kim@us.test> NOTIFY=SUCCESS ORCPT=rfc822;Kim+2Bx@us.test", "RCPT TO:<all@us.test> NOTIFY=SUCCESS,FAILURE", "RCPT TO:<joe@us.test> NOTIFY=NEVER")
	notices := strings.Join(s.inbox("ann@us.test", 2), "")
	expect(t, notices, "Subject: Delivered: hello\r\n", "In-Reply-To: <1@us.test>\r\n", "Original-Envelope-Id: QQ+1\r\n",
		"Original-Recipient: rfc822; Kim+x@us.test\r\nFinal-Recipient: rfc822; kim@us.test\r\nAction: delivered\r\nStatus: 2.0.0\r\n",
		"Final-Recipient: rfc822; all@us.test\r\nAction: expanded\r\nStatus: 2.0.0\r\n")
	if strings.Contains(notices, "joe@") || strings.Contains(notices, "Hello.") {
		t.Errorf("the notices are\n%s", notices)
	}
	s.inbox("kim@us.test", 1)
	s.inbox("joe@us.test", 1)
}

// TestSenderHearsOfAFullMailbox: a copy that had to wait is told of when it is there.
func TestSenderHearsOfAFullMailbox(t *testing.T) {
	s := startServer(t, t.TempDir(), "us.test", settings{role: ourssmtp.Submission, tls: certificate()}, "ann@us.test", "kim@us.test", "joe@us.test")
	kim, err := s.directory.Resolve("kim@us.test")
	must(t, err)
	limit := func(d directory.Delivery, octets int64) {
		t.Helper()
		must(t, s.store.SetQuota(t.Context(), d.Account, mailbox.Quota{Storage: octets}))
	}
	limit(kim.Local[0], 100) // more than RCPT asks for, less than the message has
	s.hears("<ann@us.test>", "RCPT TO:<kim@us.test> NOTIFY=SUCCESS", "RCPT TO:<joe@us.test>")
	s.inbox("joe@us.test", 1)
	limit(kim.Local[0], 0)
	must(t, s.queue.Retry("all"))
	s.inbox("kim@us.test", 1)
	expect(t, s.inbox("ann@us.test", 1)[0], "Final-Recipient: rfc822; kim@us.test\r\nAction: delivered\r\n")
}
