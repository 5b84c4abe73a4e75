package smtp

import (
	"bytes"
	"os"
	"strings"
	"testing"
	"time"

	"mailstead/mailbox"
	"mailstead/smtp/local"
	"mailstead/smtp/report"
)

// TestReportsArrive: a report that proves whom it is from is read, and is mail as
// before; one that proves nothing, is junk, or is a user's own, is only mail.
func TestReportsArrive(t *testing.T) {
	xml, err := os.ReadFile("report/testdata/rfc7489.xml")
	must(t, err)
	xml = bytes.ReplaceAll(bytes.ReplaceAll(xml, []byte("\r"), nil), []byte("\n"), []byte("\r\n"))
	letter := func(from string) string {
		return "From: " + from + "\r\nSubject: Report Domain: example.org\r\nContent-Type: text/xml\r\n\r\n" + string(xml)
	}
	for name, tc := range map[string]struct {
		from   string
		checks bool
		role   Role
		reply  string
		want   int
	}{
		"proven":                {"reports@pass.example", true, Receiver, "250", 1},
		"proven to be junk":     {"reports@careful.example", true, Receiver, "250", 0},
		"nothing proven":        {"reports@nobody.example", true, Receiver, "250", 0},
		"nothing can be proven": {"reports@nobody.example", false, Receiver, "250", 1},
		"a user's":              {"ann@example.test", false, Submission, "250", 0},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t)
			desk, err := report.Open(h.store, report.Options{
				Ours: func(domain string) bool { return domain == "example.org" },
				Now:  func() time.Time { return time.Date(2025, 11, 22, 12, 0, 0, 0, time.UTC) },
			})
			must(t, err)
			defer desk.Close()
			h.courier = local.New(local.Options{Store: h.store, Directory: h.directory, Reports: desk})
			h.courier.UseQueue(h.queue)
			o := h.options(tc.role)
			o.CleartextAuth = true
			if tc.checks {
				o.Checks, o.Limits.GreetDelay = newChecks(t), time.Millisecond
			}
			address, _ := listen(t, o, false)
			c := dial(t, address)
			if tc.role == Submission {
				c.login()
			} else {
				c.hello()
			}
			c.send(tc.from, []string{"bob@example.test"}, letter(tc.from), tc.reply)
			desk.Close()
			n := 0
			must(t, report.Each(h.store, report.KindDMARC, func(r *report.Report) error {
				if n++; r.Domain != "example.org" || !strings.HasSuffix(tc.from, "@"+r.Sender) {
					t.Errorf("%+v", r)
				}
				return nil
			}))
			if n != tc.want {
				t.Errorf("%d reports, want %d", n, tc.want)
			}
			if n := messagesOf(t, h, h.bob); n != 1 {
				t.Errorf("bob has %d letters", n)
			}
		})
	}
}

// messagesOf counts the messages of an account.
func messagesOf(t *testing.T, h *house, a mailbox.AccountID) int64 {
	t.Helper()
	u, err := h.store.Usage(a)
	must(t, err)
	return u.Messages
}
