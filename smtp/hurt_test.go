package smtp

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
)

// TestMailThatIsMadeToHurt: whatever a message repeats, it is answered, costs a bounded number of
// questions to the DNS, and memory in proportion to its size. Work is counted in octets that are allocated,
// which no other load on the machine changes.
func TestMailThatIsMadeToHurt(t *testing.T) {
	const plain = "From: a@pass.example\r\nSubject: hello\r\n"
	many := func(n int, format string) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, format, i)
		}
		return b.String()
	}
	signature := "DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d=d%[1]d.example; s=s%[1]d;\r\n h=from:subject; bh=frcCV1k9oG9oKj3dpUqdJg1PxRT2RSN/XKdLCPjaYaY=; b=AAAA\r\n"
	arc := "ARC-Seal: i=%[1]d; cv=pass; a=rsa-sha256; d=d%[1]d.example; s=a%[1]d; b=AAAA\r\n" +
		"ARC-Message-Signature: i=%[1]d; a=rsa-sha256; c=relaxed/relaxed; d=d%[1]d.example; s=m%[1]d; h=from; bh=frcCV1k9oG9oKj3dpUqdJg1PxRT2RSN/XKdLCPjaYaY=; b=AAAA\r\n" +
		"ARC-Authentication-Results: i=%[1]d; x; dmarc=pass\r\n"
	c, zone := judgedBy(t, newHouse(t))
	for _, tc := range []struct {
		name, header, body string
		reply              string
	}{
		{"an ordinary message", plain, "Hello.\r\n", "250"},
		{"signatures of other domains", many(500, signature) + plain, "\r\n", "250"},
		{"sets of ARC", many(300, arc) + plain, "\r\n", "250"},
		{"results that others found", many(900, "Authentication-Results: mx%d.example; dkim=pass (a (b (c))) header.d=x\r\n") + plain, "\r\n", "250"},
		{"results in our name", many(900, "Authentication-Results: mx.example.test; x%d=pass\r\n") + plain, "\r\n", "250"},
		{"servers that it has passed", many(49, "Received: from a%d.example ([192.0.2.1])\r\n") + plain, "\r\n", "250"},
		{"thousands of servers", many(900, "Received: from a%d.example ([192.0.2.1])\r\n") + plain, "\r\n", "554"},
		{"thousands of fields", many(5000, "X-%d: y\r\n") + plain, "\r\n", "55"},
		{"authors", "From: " + many(10_000, "a%d@pass.example,\r\n ") + "a@pass.example\r\n", "\r\n", "554"},
		{"authors of other domains", "From: " + many(8000, "a@d%d.example,\r\n ") + "a@pass.example\r\n", "\r\n", "554"},
		{"comments in comments", "From: " + strings.Repeat("(", 900) + "\r\n a@pass.example\r\n", "\r\n", "554"},
		{"a field without end", "Subject: " + many(20_000, "=?utf-8?q?=41?=\r\n ") + "\r\n", "\r\n", "55"},
		{"parts in parts", plain + "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n",
			many(5000, "--b\r\nContent-Type: multipart/mixed; boundary=b%[1]d\r\n\r\n--b%[1]d\r\n"), "250"},
		{"messages in messages", plain + "Content-Type: message/rfc822\r\n", many(10_000, "Subject: %d\r\nContent-Type: message/rfc822\r\n\r\n"), "250"},
		{"many parts", plain + "Content-Type: multipart/mixed; boundary=b\r\n", many(50_000, "--b\r\n\r\n%d\r\n"), "250"},
		{"nothing but empty lines", many(20, signature) + plain, strings.Repeat("\r\n", 500_000), "250"},
		{"spaces at the ends of lines", many(20, signature) + plain, strings.Repeat(strings.Repeat(" ", 900)+"\r\n", 1000), "250"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			asked := zone()
			message := tc.header + "\r\n" + tc.body
			most := uint64(hurtFixed + hurtShare*len(message))
			for try := 1; ; try++ {
				c.say("MAIL FROM:<a@pass.example>", "250")
				c.say("RCPT TO:<ann@example.test>", "250")
				c.say("DATA", "354")
				before := allocated()
				c.say(message+".", tc.reply)
				got := allocated() - before
				if n := zone() - asked; n > hurtQuestions*try {
					t.Errorf("%d questions", n)
				}
				c.say("NOOP", "250")
				if got <= most {
					break
				}
				if try == 5 { // the store may be at work for an earlier message, but not each time
					t.Fatalf("a message of %d octets had %d allocated, more than %d", len(message), got, most)
				}
			}
		})
	}
}

// What a message may cost: octets that are allocated, client and store included, and questions to the DNS.
const (
	hurtFixed     = 1 << 20
	hurtShare     = 16 // for each octet of the message
	hurtQuestions = 30
)

// allocated is how many octets this process has allocated ever.
func allocated() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.TotalAlloc
}

// judgedBy is judged, with the number of questions that the DNS was asked.
func judgedBy(t *testing.T, h *house) (*client, func() int) {
	t.Helper()
	checks, zone := newChecksAndZone(t)
	c, _ := judged(t, h, func(c *Checks) { *c = *checks })
	return c, func() int { return len(zone.Queries()) }
}

// TestRecipientsThatAreMadeToHurt: recipients beyond the limit are refused one by one, and cost
// nothing that stays.
func TestRecipientsThatAreMadeToHurt(t *testing.T) {
	h := newHouse(t)
	c, zone := judgedBy(t, h)
	const limit, more = 100, 2000
	c.say("MAIL FROM:<a@pass.example>", "250")
	for i := range limit {
		c.say(fmt.Sprintf("RCPT TO:<ann+%d@example.test>", i), "250")
	}
	before := allocated()
	for i := range more {
		c.say(fmt.Sprintf("RCPT TO:<ann+%d@example.test>", limit+i), "452 4.5.3")
	}
	if got := (allocated() - before) / more; got > 8<<10 {
		t.Errorf("%d octets are allocated for each", got)
	}
	c.say("DATA", "354")
	c.say("From: a@pass.example\r\n\r\nHello.\r\n.", "250")
	if n := len(h.inbox(t, h.ann)); n != 1 || zone() > hurtQuestions {
		t.Errorf("ann has %d copies; %d questions", n, zone())
	}
}
