package smtp

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"mailstead/smtp/feedback"
)

// TestObserved: what was found of mail in the name of a domain that asks for reports, and done with it, is told; of other
// mail nothing.
func TestObserved(t *testing.T) {
	h := newHouse(t)
	var told []string
	c, _ := judged(t, h, func(checks *Checks) {
		checks.Observe = func(o feedback.Observation) {
			told = append(told, fmt.Sprint(o.Facts.DMARC.Domain, " ", o.Facts.DMARC.Result, " ", o.Facts.Client, " ", o.Verdict.Action, " ", o.Verdict.Rule, " <", o.ReversePath, "> ", o.Recipients, " ", len(o.Signatures), " ", o.Report))
		}
	})
	c.send("a@asks.example", []string{"ann@example.test"}, "From: a@asks.example\r\n\r\nx\r\n", "550")
	c.send("a@pass.example", []string{"ann@example.test"}, "From: a@pass.example\r\n\r\nx\r\n", "250")
	c.send("", []string{"ann@example.test", "bob@example.test"}, "From: a@asks.example\r\nSubject: Report Domain: x\r\nList-Id: <x>\r\nDKIM-Signature: v=1\r\n\r\nx\r\n", "250")
	c.say("QUIT", "221")
	if diff := cmp.Diff([]string{
		"asks.example fail 127.0.0.1 refuse dmarc <a@asks.example> [ann@example.test] 0 false",
		"asks.example fail 127.0.0.1 junk dmarc <> [ann@example.test bob@example.test] 1 true",
	}, told); diff != "" {
		t.Error(diff)
	}
}
