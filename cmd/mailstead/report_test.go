package main

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"
)

// dmarcReport is one about example.test of the day that began at begin.
func dmarcReport(id string, begin time.Time, rows ...string) string {
	return fmt.Sprintf("<feedback><report_metadata><org_name>x</org_name><report_id>%s</report_id><date_range><begin>%d</begin><end>%d</end></date_range>"+
		"</report_metadata><policy_published><domain>example.test</domain></policy_published>%s</feedback>", id, begin.Unix(), begin.Unix()+86399, strings.Join(rows, ""))
}

func dmarcRecord(source string, count int, dkim, disposition string) string {
	return fmt.Sprintf("<record><row><source_ip>%s</source_ip><count>%d</count><policy_evaluated><disposition>%s</disposition><dkim>%s</dkim><spf>fail</spf>"+
		"</policy_evaluated></row><identifiers><header_from>example.test</header_from></identifiers></record>", source, count, disposition, dkim)
}

// reportLetter is a letter with a report, packed.
func reportLetter(t *testing.T, from, media, content string) string {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write([]byte(content)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return "From: " + from + "\r\nSubject: Report Domain: example.test\r\nContent-Type: " + media +
		"\r\nContent-Transfer-Encoding: base64\r\n\r\n" + base64.StdEncoding.EncodeToString(b.Bytes())
}

// TestReports: reports of two servers arrive as letters, and are shown added up
// by day and source, whether the server runs or not.
func TestReports(t *testing.T) {
	dir := trialDir(t)
	s := startTrial(t, dir, "--account", "user@example.test:pass")
	day := time.Now().UTC().AddDate(0, 0, -1).Truncate(24 * time.Hour)
	send := func(from, media, content string) {
		s.deliver(from, "user@example.test", reportLetter(t, from, media, content), "250 ")
	}
	send("dmarc@one.test", "application/gzip", dmarcReport("1", day, dmarcRecord("192.0.2.1", 10, "pass", "none"), dmarcRecord("198.51.100.1", 7, "fail", "reject")))
	send("dmarc@two.test", "application/gzip", dmarcReport("1", day, dmarcRecord("192.0.2.1", 5, "pass", "none"), dmarcRecord("192.0.2.1", 2, "fail", "quarantine")))
	send("dmarc@two.test", "application/gzip", dmarcReport("1", day, dmarcRecord("192.0.2.1", 5, "pass", "none"), dmarcRecord("192.0.2.1", 2, "fail", "quarantine"))) // again
	send("dmarc@two.test", "application/gzip", "no report at all")
	send("tls@one.test", "application/tlsrpt+gzip", fmt.Sprintf(`{"organization-name":"x","report-id":"t","date-range":{"start-datetime":%q,"end-datetime":%q},`+
		`"policies":[{"policy":{"policy-type":"sts","policy-domain":"example.test"},"summary":{"total-successful-session-count":9,"total-failure-session-count":1},`+
		`"failure-details":[{"result-type":"certificate-expired","failed-session-count":1}]}]}`, day.Format(time.RFC3339), day.Add(24*time.Hour).Format(time.RFC3339)))
	if code := s.stop(); code != 0 { // and all that came has been read
		t.Fatalf("exit %d", code)
	}
	date := day.Format(time.DateOnly)
	look := func(state string) {
		t.Helper()
		var rows []dmarcRow
		got := command(t, "", "report", "dmarc", "--json", "--domain", "Example.test", "--dir", dir)
		if err := json.Unmarshal([]byte(got.out), &rows); err != nil || len(rows) != 2 {
			t.Fatalf("%s: %+v, %v", state, got, err)
		}
		if r := rows[0]; r.Day != date || r.Source != "192.0.2.1" || r.Messages != 17 || r.Pass != 15 || r.Fail != 2 || r.Quarantined != 2 || r.Rejected != 0 || len(r.Reporters) != 2 {
			t.Errorf("%s: %+v", state, r)
		}
		if r := rows[1]; r.Source != "198.51.100.1" || r.Messages != 7 || r.Fail != 7 || r.Rejected != 7 || len(r.Reporters) != 1 || r.Reporters[0] != "one.test" {
			t.Errorf("%s: %+v", state, r)
		}
		for args, want := range map[string]string{
			"dmarc":                      "192.0.2.1",
			"tls":                        "certificate-expired:1",
			"tls --domain example.test":  date,
			"tls --domain example.com":   "",
			"dmarc --domain a.test.test": "",
		} {
			got := command(t, "", append(append([]string{"report"}, strings.Fields(args)...), "--dir", dir)...)
			if got.code != 0 || want == "" && got.out != "" || !strings.Contains(got.out, want) {
				t.Errorf("%s: report %s: %+v", state, args, got)
			}
		}
	}
	look("stopped")
	s = startTrial(t, dir)
	look("running")
	got := command(t, "", "mailbox", "list", "user@example.test", "--json", "--dir", dir)
	var boxes []struct {
		Name     string
		Messages int
	}
	if err := json.Unmarshal([]byte(got.out), &boxes); err != nil {
		t.Fatalf("%+v, %v", got, err)
	}
	for _, b := range boxes {
		if b.Name == "INBOX" && b.Messages != 5 {
			t.Errorf("INBOX has %d letters", b.Messages)
		}
	}
}

// TestReportsOutliveAKill: what was answered 250 is read, however the server ends right behind it.
func TestReportsOutliveAKill(t *testing.T) {
	s := newInstance(t, trialDir(t), "example.test")
	s.start()
	d, err := s.smtp(25, "")
	if err != nil {
		t.Fatal(err)
	}
	day := time.Now().UTC().AddDate(0, 0, -1).Truncate(24 * time.Hour)
	const reports = 20
	for i := range reports {
		r := dmarcReport(fmt.Sprint(i), day, dmarcRecord("192.0.2.1", 1, "pass", "none"))
		if err := d.send("dmarc@one.test", reportLetter(t, "dmarc@one.test", "application/gzip", r)+"\r\n", "a0@example.test"); err != nil {
			t.Fatal(err)
		}
	}
	s.end(syscall.SIGKILL)
	s.start()
	eventually(t, "all reports to be read", func() bool {
		var rows []dmarcRow
		got := command(t, "", "report", "dmarc", "--json", "--dir", s.dir)
		if err := json.Unmarshal([]byte(got.out), &rows); err != nil {
			t.Fatalf("%+v, %v", got, err)
		}
		return len(rows) == 1 && rows[0].Messages == reports
	})
}
