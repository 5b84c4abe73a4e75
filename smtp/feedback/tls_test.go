package feedback

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"mailstead/smtp/mailauth"
	"mailstead/smtp/queue"
	"mailstead/smtp/report"
	"mailstead/smtp/route"
)

// courier says the same of each attempt.
type courier []queue.Outcome

func (c courier) Deliver(context.Context, string, queue.Message) []queue.Outcome { return c }

// TestTLSReport: outcomes of attempts become one report the next day, which our own reader reads.
func TestTLSReport(t *testing.T) {
	w := newWorld(t)
	const host = "mx.asks.test [192.0.2.9]"
	right := queue.Outcome{Status: queue.Delivered, Code: 250, Host: host, TLS: true, Security: queue.Security{Policy: "sts", Words: "the certificate is right"}}
	expired := queue.Outcome{Status: queue.Delivered, Code: 250, Host: host, TLS: true, Security: queue.Security{Policy: "sts", Result: "certificate-expired", Words: "its certificate is past its time"}}
	dane := queue.Outcome{Host: host, Security: queue.Security{Policy: "tlsa", Result: "starttls-not-supported", Words: "DANE: no STARTTLS"}}
	free := queue.Outcome{Status: queue.Delivered, Code: 250, Host: host, TLS: true}
	clear := queue.Outcome{Status: queue.Permanent, Code: 550, Host: host}
	silent := queue.Outcome{Text: "no answer"}
	attempt := func(m queue.Message, destination string, outcomes ...queue.Outcome) {
		t.Helper()
		got := w.r.Watch(courier(outcomes)).Deliver(t.Context(), destination, m)
		if diff := cmp.Diff(outcomes, got); diff != "" {
			t.Error(diff)
		}
	}
	user := queue.Message{From: "ann@us.test"}
	attempt(user, "asks.test", right, right) // two recipients of one connection
	attempt(user, "asks.test", right)
	attempt(user, "asks.test", expired, right)
	attempt(user, "asks.test", dane)
	attempt(user, "asks.test", free)
	attempt(user, "asks.test", clear)
	attempt(user, "asks.test", silent)
	attempt(queue.Message{Report: true}, "asks.test", right)
	attempt(queue.Message{From: "ann@us.test", TLS: queue.TLSOptional}, "asks.test", free)
	attempt(queue.Message{From: "ann@us.test", Route: route.Route{Hop: route.Hop{Host: "smart.test"}}}, "asks.test", free)
	attempt(user, "[192.0.2.1]", free)
	attempt(user, "us.test", free)
	attempt(user, "silent.test", free) // asks for nothing
	w.nextDay()
	w.r.work(t.Context())
	w.r.work(t.Context())
	texts := w.letters()
	if len(texts) != 1 {
		t.Fatalf("%d letters", len(texts))
	}
	want := queue.Envelope{Recipients: []string{"tls@asks.test"}, Size: int64(len(texts[0])), Received: w.now, Report: true, TLS: queue.TLSOptional}
	if diff := cmp.Diff(want, w.sent[0]); diff != "" {
		t.Error(diff)
	}
	signed(t, texts[0])
	golden(t, "tls.json", unpack(t, texts[0]))
	head, _, _ := strings.Cut(texts[0][strings.Index(texts[0], "From: "):], "Content-Disposition")
	golden(t, "tls.head", []byte(head))
	if !strings.Contains(texts[0], `filename="us.test!asks.test!1763769600!1763855999.json.gz"`) {
		t.Errorf("%s", texts[0])
	}
	for _, field := range []string{"TLS-Report-Domain", "TLS-Report-Submitter"} { // RFC 8460 section 5.3
		if !strings.Contains(strings.ReplaceAll(texts[0], "\r\n\t ", ""), ":"+field) {
			t.Errorf("%s is not signed:\n%s", field, texts[0])
		}
	}
	r, err := report.Read(strings.NewReader(texts[0]), int64(len(texts[0])))
	must(t, err)
	if diff := cmp.Diff(&report.Report{
		Kind: report.KindTLS, Sender: "us.test", Org: "us.test", ID: "2025-11-22.tls.asks.test@us.test", Domain: "asks.test",
		Begin: time.Date(2025, 11, 22, 0, 0, 0, 0, time.UTC), End: time.Date(2025, 11, 22, 23, 59, 59, 0, time.UTC),
		Policies: []report.Policy{
			{Type: "sts", Domain: "asks.test", Succeeded: 3, Failed: 1, Failures: []report.Failure{{Type: "certificate-expired", Count: 1}}},
			{Type: "no-policy-found", Domain: "asks.test", Succeeded: 1, Failed: 1, Failures: []report.Failure{{Type: "validation-failure", Count: 1}}},
			{Type: "tlsa", Domain: "mx.asks.test", Failed: 1, Failures: []report.Failure{{Type: "starttls-not-supported", Count: 1}}},
		},
	}, r); diff != "" {
		t.Error(diff)
	}
	var all []Sent
	must(t, EachSent(w.store, func(s Sent) error {
		all = append(all, s)
		return nil
	}))
	if diff := cmp.Diff([]Sent{{Day: "2025-11-22", Kind: TLS, Domain: "asks.test", To: []string{"tls@asks.test"}, Count: 7, At: w.now}}, all); diff != "" {
		t.Error(diff)
	}
	w.now = w.now.Add(keepSent + 48*time.Hour)
	w.r.work(t.Context())
	must(t, w.store.Room(roomName).Each("", func(name string, _ []byte) error {
		t.Errorf("%s is kept", name)
		return nil
	}))
}

// TestTLSReportOfSmarthost: of a smarthost that has published a policy its name is the policy domain, and hears of it; the
// recipients' domain, which nobody connected to, does not, and neither does a smarthost without a policy.
func TestTLSReportOfSmarthost(t *testing.T) {
	w := newWorld(t)
	must(t, w.zone.SetZone(worldZone+"_smtp._tls.smart.test. TXT \"v=TLSRPTv1; rua=mailto:tls@smart.test\"\n"))
	outcome := func(result string) queue.Outcome {
		return queue.Outcome{Status: queue.Delivered, Code: 250, Host: "smart.test [192.0.2.1]", TLS: true, Security: queue.Security{Policy: "sts", Result: result}}
	}
	pinned := queue.Outcome{Enhanced: "4.7.5", Security: queue.Security{Policy: "sts", Words: "its certificate is not the one of the fingerprint"}}
	m := queue.Message{From: "ann@us.test", Route: route.Route{Hop: route.Hop{Host: "Smart.test"}}}
	for _, o := range []queue.Outcome{outcome(""), outcome(""), outcome("certificate-expired"), pinned} {
		w.r.Watch(courier{o}).Deliver(t.Context(), "asks.test", m)
	}
	m.Route.Hop.Host = "asks.test"
	w.r.Watch(courier{{Status: queue.Delivered, Code: 250, Host: "asks.test [192.0.2.1]", TLS: true}}).Deliver(t.Context(), "elsewhere.test", m)
	w.nextDay()
	w.r.work(t.Context())
	texts := w.letters()
	if len(texts) != 1 || w.sent[0].Recipients[0] != "tls@smart.test" {
		t.Fatalf("%d letters, %+v", len(texts), w.sent)
	}
	r, err := report.Read(strings.NewReader(texts[0]), int64(len(texts[0])))
	must(t, err)
	want := []report.Policy{{Type: "sts", Domain: "smart.test", Succeeded: 2, Failed: 1, Failures: []report.Failure{{Type: "certificate-expired", Count: 1}}}}
	if diff := cmp.Diff(want, r.Policies); r.Domain != "smart.test" || diff != "" {
		t.Errorf("of %s: %s", r.Domain, diff)
	}
}

// TestTLSRecords reads what domains publish.
func TestTLSRecords(t *testing.T) {
	for _, tc := range []struct {
		texts []string
		want  tlsDestinations
	}{
		{nil, tlsDestinations{}},
		{[]string{"v=TLSRPTv1; rua=mailto:a@b.test,https://c.test/x?y , mailto:bad"}, tlsDestinations{[]mailauth.ReportAddress{{Address: "a@b.test"}}, []string{"https://c.test/x?y"}}},
		{[]string{"v=TLSRPTv1;x=y;rua=mailto:a@b.test;", "other"}, tlsDestinations{mail: []mailauth.ReportAddress{{Address: "a@b.test"}}}},
		{[]string{"v=TLSRPTv1;rua=mailto:a@b.test", "v=TLSRPTv1;rua=mailto:a@c.test"}, tlsDestinations{}},
		{[]string{"v=TLSRPTv2;rua=mailto:a@b.test"}, tlsDestinations{}},
		{[]string{"v=TLSRPTv1;rua=http://c.test/,https://user@c.test/,https:///,ftp://c.test"}, tlsDestinations{}},
	} {
		if diff := cmp.Diff(tc.want, parseTLSRecords(tc.texts), cmp.AllowUnexported(tlsDestinations{})); diff != "" {
			t.Errorf("%q: %s", tc.texts, diff)
		}
	}
}

// FuzzTLSRecords: whatever others publish leads to few places, all of them plain.
func FuzzTLSRecords(f *testing.F) {
	f.Add("v=TLSRPTv1; rua=mailto:a@b.test,https://c.test/x?y", "v=TLSRPTv1;rua=mailto:a%40b@c")
	f.Fuzz(func(t *testing.T, a, b string) {
		d := parseTLSRecords([]string{a, b})
		if len(d.web) > maxWeb || len(d.mail) > 5 {
			t.Errorf("%+v", d)
		}
		for _, m := range d.mail {
			if strings.ContainsAny(m.Address, " ,<>\r\n\"") || strings.Count(m.Address, "@") != 1 {
				t.Errorf("%q", m.Address)
			}
		}
	})
}
