package feedback

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-msgauth/dkim"
	"github.com/google/go-cmp/cmp"

	"mailstead/mailbox"
	"mailstead/mailbox/mailboxtest"
	"mailstead/smtp/dns"
	"mailstead/smtp/dns/dnstest"
	"mailstead/smtp/mailauth"
	"mailstead/smtp/queue"
	"mailstead/smtp/report"
)

var writeGolden = flag.Bool("write-golden", false, "write the reports of testdata anew")

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// world is a reporter of us.test with a clock, a DNS and a queue of the test's own.
type world struct {
	t     *testing.T
	store *mailbox.Store
	zone  *dnstest.Server
	now   time.Time
	r     *Reporter
	o     Options // what restart changes of them
	sent  []queue.Envelope
	dirty int // reports of sent that were not read yet
}

const worldZone = `
asks.test. TXT "v=spf1 -all"
_dmarc.asks.test. TXT "v=DMARC1; p=reject; sp=quarantine; aspf=s; rua=mailto:d@asks.test,mailto:reports@reader.test!10m"
asks.test._report._dmarc.reader.test. TXT "v=DMARC1;"
_smtp._tls.asks.test. TXT "v=TLSRPTv1; rua=mailto:tls@asks.test"
_25._tcp.mx.asks.test. TLSA 3 1 1 0000000000000000000000000000000000000000000000000000000000000001
_smtp._tls.web.test. TXT "v=TLSRPTv1;rua=https://reader.test/v1/tlsrpt"
reader.test. A 127.0.0.1
inner.test. A 127.0.0.1
`

func newWorld(t *testing.T) *world {
	w := &world{t: t, store: mailboxtest.NewStore(t), zone: dnstest.New(t, worldZone), now: time.Date(2025, 11, 22, 12, 0, 0, 0, time.UTC)}
	w.restart()
	return w
}

// ourKeys are those of us.test.
var ourKeys = sync.OnceValues(func() ([]mailauth.SigningKey, error) {
	short, err := mailauth.NewEd25519Key()
	if err != nil {
		return nil, err
	}
	long, err := mailauth.NewRSAKey()
	return []mailauth.SigningKey{{Domain: "us.test", Selector: "short", Private: short}, {Domain: "us.test", Selector: "long", Private: long}}, err
})

func sign(_ string, start []byte, rest func(io.Writer) error) ([]byte, error) {
	keys, err := ourKeys()
	if err != nil {
		return nil, err
	}
	s := mailauth.NewSigner(start)
	if err := rest(s); err != nil {
		return nil, err
	}
	return s.Finish(keys, time.Now())
}

func (w *world) clock() time.Time { return w.now }

// restart is a kill and a start: what was not written is lost.
func (w *world) restart() {
	w.t.Helper()
	o := w.o
	o.Store, o.Now, o.Sign = w.store, w.clock, sign
	if o.From == nil {
		o.From = func() string { return "us.test" }
	}
	o.Ours = func(d string) bool { return d == "us.test" || strings.HasSuffix(d, ".us.test") }
	o.Policy = func(d string) []string {
		return []string{"version: STSv1", "mode: testing", "mx: mx." + d, "max_age: 86400"}
	}
	var err error
	if o.Resolver == nil {
		o.Resolver, err = dns.New(dns.Options{Servers: []string{w.zone.Addr()}})
		must(w.t, err)
	}
	w.r, err = Open(o)
	must(w.t, err)
	w.r.UseQueue(w)
}

// Add takes a report like the queue.
func (w *world) Add(e queue.Envelope) func(mailbox.BodyID) []mailbox.RoomChange {
	return func(body mailbox.BodyID) []mailbox.RoomChange {
		w.sent = append(w.sent, e)
		return []mailbox.RoomChange{{Room: "test", Key: fmt.Sprintf("%03d/%d", len(w.sent), body), Value: []byte{1}, Body: body}}
	}
}

func (w *world) Wake() {}

// letters are the texts of what was sent since they were last asked for.
func (w *world) letters() (texts []string) {
	w.t.Helper()
	var ids []mailbox.BodyID
	must(w.t, w.store.Room("test").Each("", func(key string, _ []byte) error {
		var n int
		var id mailbox.BodyID
		_, err := fmt.Sscanf(key, "%d/%d", &n, &id)
		ids = append(ids, id)
		return err
	}))
	for _, id := range ids[w.dirty:] {
		b, err := w.store.OpenBody(id)
		must(w.t, err)
		text, err := io.ReadAll(io.NewSectionReader(b, 0, b.Size()))
		must(w.t, errors.Join(err, b.Close()))
		texts = append(texts, string(text))
	}
	w.dirty = len(ids)
	return texts
}

// nextDay goes to the time when all reports of today are due.
func (w *world) nextDay() {
	w.now = w.now.UTC().Truncate(24 * time.Hour).Add(24*time.Hour + earliest + spread)
}

// observe counts a message that asks.test asks for reports about.
func (w *world) observe(change func(*mailauth.Facts, *Observation)) {
	f := &mailauth.Facts{
		Client: netip.MustParseAddr("192.0.2.1"),
		SPF:    mailauth.SPFResult{Result: mailauth.Pass, Domain: "asks.test"},
		DMARC: mailauth.DMARCResult{
			Result: mailauth.Pass, Author: "asks.test", Domain: "asks.test", Published: mailauth.DMARCReject, Policy: mailauth.DMARCNone, Reported: true,
			Aligned: mailauth.Identifier{Method: "spf", Domain: "asks.test", Result: mailauth.Pass},
		},
	}
	o := Observation{Facts: f, Verdict: &mailauth.Verdict{Action: mailauth.Accept, Rule: "default"}, ReversePath: "x@asks.test", Recipients: []string{"ann@us.test"}}
	if change != nil {
		change(f, &o)
	}
	w.r.Observe(o)
}

// fails makes a message one that nothing proves.
func fails(f *mailauth.Facts, o *Observation) {
	f.Client = netip.MustParseAddr("::ffff:198.51.100.7")
	f.SPF = mailauth.SPFResult{Result: mailauth.SoftFail, Domain: "elsewhere.test"}
	f.DMARC.Result, f.DMARC.Policy, f.DMARC.Aligned = mailauth.Fail, mailauth.DMARCReject, mailauth.Identifier{}
	o.ReversePath = "x@elsewhere.test"
	o.Verdict = &mailauth.Verdict{Action: mailauth.Refuse, Rule: "dmarc"}
}

// unpack gives the report in a letter.
func unpack(t *testing.T, text string) []byte {
	t.Helper()
	_, rest, _ := strings.Cut(text, "Content-Disposition:")
	_, rest, _ = strings.Cut(rest, "\r\n\r\n")
	rest, _, _ = strings.Cut(rest, "\r\n--")
	packed, err := decodeBase64(rest)
	must(t, err)
	z, err := gzip.NewReader(bytes.NewReader(packed))
	must(t, err)
	b, err := io.ReadAll(z)
	must(t, err)
	return b
}

// golden holds text against a file of testdata.
func golden(t *testing.T, name string, text []byte) {
	t.Helper()
	name = "testdata/" + name
	if *writeGolden {
		must(t, os.WriteFile(name, text, 0o644))
	}
	want, err := os.ReadFile(name)
	must(t, err)
	if diff := cmp.Diff(string(want), string(text)); diff != "" {
		t.Errorf("%s: %s", name, diff)
	}
}

// signed checks both signatures of a letter by another implementation, and that they cover all fields that matter.
func signed(t *testing.T, text string) {
	t.Helper()
	keys, err := ourKeys()
	must(t, err)
	found, err := dkim.VerifyWithOptions(strings.NewReader(text), &dkim.VerifyOptions{LookupTXT: func(name string) ([]string, error) {
		i := slices.IndexFunc(keys, func(k mailauth.SigningKey) bool { return k.RecordName() == name })
		if i < 0 {
			return nil, errors.New("no such record")
		}
		record, err := mailauth.KeyRecord(keys[i].Private.Public())
		if !strings.Contains(record, "s=email:tlsrpt;") { // RFC 8460 section 3
			t.Errorf("the key %s is not for TLS reports", record)
		}
		return []string{record}, err
	}})
	if err != nil || len(found) != 2 || found[0].Err != nil || found[1].Err != nil || found[0].Domain != "us.test" {
		t.Errorf("%+v, %v", found, err)
	}
}

// TestDMARCReport: messages become one report the next day, which our own reader reads as what was counted.
func TestDMARCReport(t *testing.T) {
	w := newWorld(t)
	for range 3 {
		w.observe(nil)
	}
	w.observe(func(f *mailauth.Facts, o *Observation) { // proven by both, of which one was looked at; in relaxed alignment
		f.DMARC.Author, f.SPF.Domain, o.ReversePath = "sub.asks.test", "sub.asks.test", "x@sub.asks.test"
		f.Client = netip.MustParseAddr("2001:db8::15")
		o.Signatures = []mailauth.DKIMResult{
			{Result: mailauth.Fail, Domain: "list.test", Selector: "l"}, {Result: mailauth.Pass, Domain: "asks.test", Selector: "s"}, {Result: mailauth.Neutral},
		}
	})
	w.observe(fails)
	w.observe(fails)
	w.observe(func(f *mailauth.Facts, o *Observation) {
		fails(f, o)
		f.MailingList, o.Verdict = true, &mailauth.Verdict{Action: mailauth.Junk, Rule: "dmarc"}
	})
	w.observe(func(f *mailauth.Facts, o *Observation) { // not counted: it comes again
		fails(f, o)
		o.Verdict = &mailauth.Verdict{Action: mailauth.Defer, Rule: "signals"}
	})
	w.observe(func(f *mailauth.Facts, o *Observation) { o.Report = true }) // nor a report that is proven
	w.observe(func(f *mailauth.Facts, o *Observation) {                    // but one that is not
		fails(f, o)
		o.Report, o.ReversePath, f.SPF = true, "", mailauth.SPFResult{}
	})
	w.observe(func(f *mailauth.Facts, o *Observation) { f.DMARC.Domain = "us.test" })
	w.observe(func(f *mailauth.Facts, o *Observation) { f.DMARC.Reported = false })
	w.r.work(t.Context())
	if n := len(w.letters()); n != 0 {
		t.Fatalf("%d letters on the same day", n)
	}
	w.nextDay()
	w.r.work(t.Context())
	w.r.work(t.Context())
	texts := w.letters()
	if len(texts) != 1 {
		t.Fatalf("%d letters", len(texts))
	}
	want := queue.Envelope{Recipients: []string{"d@asks.test", "reports@reader.test"}, Size: int64(len(texts[0])), Received: w.now, Report: true}
	if diff := cmp.Diff(want, w.sent[0]); diff != "" {
		t.Error(diff)
	}
	signed(t, texts[0])
	golden(t, "dmarc.xml", unpack(t, texts[0]))
	head, _, _ := strings.Cut(texts[0][strings.Index(texts[0], "From: "):], "Content-Disposition")
	golden(t, "dmarc.head", []byte(head))
	if !strings.Contains(texts[0], `filename="us.test!asks.test!1763769600!1763855999.xml.gz"`) {
		t.Errorf("%s", texts[0])
	}
	r, err := report.Read(strings.NewReader(texts[0]), int64(len(texts[0])))
	must(t, err)
	if diff := cmp.Diff(&report.Report{
		Kind: report.KindDMARC, Sender: "us.test", Org: "us.test", ID: "2025-11-22.dmarc.asks.test@us.test", Domain: "asks.test",
		Begin: time.Date(2025, 11, 22, 0, 0, 0, 0, time.UTC), End: time.Date(2025, 11, 22, 23, 59, 59, 0, time.UTC),
		Rows: []report.Row{
			{Source: "192.0.2.1", From: "asks.test", SPF: true, Disposition: "none", Count: 3},
			{Source: "198.51.100.7", From: "asks.test", Disposition: "reject", Count: 3},
			{Source: "198.51.100.7", From: "asks.test", Disposition: "quarantine", Count: 1},
			{Source: "2001:db8::15", From: "sub.asks.test", DKIM: true, SPF: true, Disposition: "none", Count: 1},
		},
	}, r); diff != "" {
		t.Error(diff)
	}
}

// TestApplied: what is said of the owner's policy.
func TestApplied(t *testing.T) {
	for name, tc := range map[string]struct {
		facts func(*mailauth.Facts)
		v     mailauth.Verdict
		want  string
	}{
		"refused":           {nil, mailauth.Verdict{Action: mailauth.Refuse, Rule: "dmarc"}, "reject  "},
		"refused as junk":   {nil, mailauth.Verdict{Action: mailauth.Refuse, Rule: "junk"}, "none local_policy "},
		"let in":            {nil, mailauth.Verdict{Action: mailauth.Accept, Rule: "sender"}, "none local_policy "},
		"by a relay":        {func(f *mailauth.Facts) { f.TrustedRelay = true }, mailauth.Verdict{Action: mailauth.Junk, Rule: "dmarc"}, "quarantine trusted_forwarder "},
		"by a list":         {func(f *mailauth.Facts) { f.MailingList = true }, mailauth.Verdict{Action: mailauth.Junk, Rule: "dmarc"}, "quarantine mailing_list "},
		"with ARC":          {func(f *mailauth.Facts) { f.ARC = mailauth.Pass }, mailauth.Verdict{Action: mailauth.Junk, Rule: "dmarc"}, "quarantine local_policy arc=pass"},
		"tried out":         {func(f *mailauth.Facts) { f.DMARC.Testing, f.DMARC.Policy = true, mailauth.DMARCQuarantine }, mailauth.Verdict{Action: mailauth.Junk, Rule: "dmarc"}, "quarantine policy_test_mode "},
		"nothing asked for": {func(f *mailauth.Facts) { f.DMARC.Published = mailauth.DMARCNone }, mailauth.Verdict{Action: mailauth.Accept, Rule: "default"}, "none  "},
		"not known":         {func(f *mailauth.Facts) { f.DMARC.Result = mailauth.TempError }, mailauth.Verdict{Action: mailauth.Accept, Rule: "open"}, "none other the result is temperror"},
		"proven, but junk":  {func(f *mailauth.Facts) { f.DMARC.Result = mailauth.Pass }, mailauth.Verdict{Action: mailauth.Junk, Rule: "junk"}, "pass  "},
	} {
		f := &mailauth.Facts{DMARC: mailauth.DMARCResult{Result: mailauth.Fail, Published: mailauth.DMARCReject, Policy: mailauth.DMARCReject}}
		if tc.facts != nil {
			tc.facts(f)
		}
		disposition, reason, comment := applied(f, &tc.v)
		if got := disposition + " " + reason + " " + comment; got != tc.want {
			t.Errorf("%s: %q, want %q", name, got, tc.want)
		}
	}
}

// TestCountsStay: what was written outlives a kill, is sent once however often the server starts, and what is
// switched off is not counted, after a start either.
func TestCountsStay(t *testing.T) {
	w := newWorld(t)
	w.observe(nil)
	w.r.flush(t.Context())
	w.restart()
	w.observe(nil)
	w.r.flush(t.Context())
	w.observe(nil) // lost
	w.restart()
	must(t, w.r.SetReports(t.Context(), "Other.US.test", false))
	w.restart()
	if w.r.Reports("other.us.test") || !w.r.Reports("us.test") {
		t.Error("the wrong domain is off")
	}
	w.observe(func(_ *mailauth.Facts, o *Observation) { o.Recipients = []string{"x@other.us.test"} })
	w.observe(func(_ *mailauth.Facts, o *Observation) { o.Recipients = []string{"x@other.us.test", "x@us.test"} })
	w.r.Watch(courier{{Status: queue.Delivered, Host: "mx.asks.test", TLS: true}}).Deliver(t.Context(), "asks.test", queue.Message{From: "x@other.us.test"})
	must(t, w.r.SetReports(t.Context(), "other.us.test", true))
	w.observe(func(_ *mailauth.Facts, o *Observation) { o.Recipients = []string{"x@other.us.test"} })
	w.nextDay()
	w.r.work(t.Context())
	w.restart()
	w.r.work(t.Context())
	texts := w.letters()
	if len(texts) != 1 || !strings.Contains(string(unpack(t, texts[0])), "<count>4</count>") {
		t.Errorf("%d letters: %s", len(texts), unpack(t, texts[0]))
	}
}

// TestCountsThatCannotBeWritten are written with the next ones.
func TestCountsThatCannotBeWritten(t *testing.T) {
	w := newWorld(t)
	var err error
	w.store, err = mailbox.Open(t.TempDir(), mailbox.Options{})
	must(t, err)
	w.restart()
	must(t, w.store.Close())
	w.observe(nil)
	w.r.flush(t.Context())
	if n := len(w.r.dmarc.changes()); n != 1 {
		t.Errorf("%d counts are still to be written, want 1", n)
	}
}

// TestNotNow: while the DNS does not answer, or nobody can sign, counts wait; in the end they are forgotten.
func TestNotNow(t *testing.T) {
	w := newWorld(t)
	signer := ""
	w.o.From = func() string { return signer }
	w.restart()
	w.observe(nil)
	w.r.flush(t.Context())
	w.nextDay()
	w.r.work(t.Context())
	signer = "us.test"
	w.r.work(t.Context()) // too early again
	w.now = w.now.Add(again)
	w.zone.SetFault("_dmarc.asks.test", dnstest.Fault{ServFail: true})
	w.r.work(t.Context())
	w.now = w.now.Add(again)
	w.zone.SetFault("_dmarc.asks.test", dnstest.Fault{})
	w.zone.SetFault("asks.test._report._dmarc.reader.test", dnstest.Fault{ServFail: true})
	w.r.work(t.Context())
	if n := len(w.letters()); n != 0 {
		t.Fatalf("%d letters", n)
	}
	w.zone.SetFault("asks.test._report._dmarc.reader.test", dnstest.Fault{})
	w.now = w.now.Add(again)
	w.r.work(t.Context())
	if n := len(w.letters()); n != 1 {
		t.Errorf("%d letters in the end", n)
	}
	signer = ""
	w.observe(nil)
	w.now = w.now.Add(5 * 24 * time.Hour)
	w.r.work(t.Context())
	w.restart()
	if n := len(w.letters()); n != 0 || len(w.r.dmarc.of) != 0 {
		t.Errorf("%d letters, %d counted", n, len(w.r.dmarc.of))
	}
}

// TestIdle: without a resolver, or where the operator does not want it, nothing is counted.
func TestIdle(t *testing.T) {
	w := newWorld(t)
	disabled, err := dns.New(dns.Options{})
	must(t, err)
	for _, o := range []Options{{Off: true}, {Resolver: disabled}} {
		w.o = o
		w.restart()
		w.observe(nil)
		w.r.Watch(courier{{Status: queue.Delivered, Host: "mx", TLS: true}}).Deliver(t.Context(), "asks.test", queue.Message{})
		if n := len(w.r.dmarc.of) + len(w.r.tls.of); n != 0 {
			t.Errorf("%d counted", n)
		}
		ctx, stop := context.WithCancel(t.Context())
		stop()
		w.r.Run(ctx)
	}
	w.o = Options{Off: true}
	w.restart()
	w.r.SetOff(false)
	w.observe(nil)
	if n := len(w.r.dmarc.of); n != 1 {
		t.Errorf("%d counted once reports are on", n)
	}
}

// TestRun: what was counted is written at the end.
func TestRun(t *testing.T) {
	w := newWorld(t)
	ctx, stop := context.WithCancel(t.Context())
	w.observe(nil)
	stop()
	w.r.Run(ctx)
	w.restart()
	if len(w.r.dmarc.of) != 1 {
		t.Error("the counts are lost")
	}
}

// TestBounds: what is too much is known by its number, and costs no memory.
func TestBounds(t *testing.T) {
	w := newWorld(t)
	for i := range maxRows + 10 {
		w.observe(func(f *mailauth.Facts, _ *Observation) {
			f.Client = netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)})
		})
	}
	for i := range maxDomains + 10 {
		w.observe(func(f *mailauth.Facts, _ *Observation) { f.DMARC.Domain = fmt.Sprintf("d%d.test", i) })
	}
	if n := len(w.r.dmarc.of); n != maxDomains {
		t.Errorf("%d domains", n)
	}
	k := w.r.today(DMARC, "asks.test")
	if c := w.r.dmarc.of[k]; len(c.rows) != maxRows || c.rest != 10 {
		t.Errorf("%d rows, %d beside them", len(c.rows), c.rest)
	}
	for _, change := range w.r.dmarc.changes() {
		must(t, w.store.Change(t.Context(), change))
		break
	}
	b := newBook[dmarcRow](DMARC)
	for i := range maxAllRows + 10 {
		b.count(key{"20251122", DMARC, fmt.Sprint(i % 100)}, dmarcRow{Source: fmt.Sprint(i)})
	}
	if b.rows != maxAllRows {
		t.Errorf("%d rows", b.rows)
	}
	w.nextDay()
	must(t, w.r.send(t.Context(), "us.test", k))
	texts := w.letters()
	if len(texts) != 1 || !strings.Contains(string(unpack(t, texts[0])), "<error>10 messages were counted beyond the rows of this report</error>") {
		t.Errorf("%d letters", len(texts))
	}
}

// TestTooLarge: an address gets no letter that it says is too large.
func TestTooLarge(t *testing.T) {
	w := newWorld(t)
	must(t, w.zone.SetZone(strings.ReplaceAll(worldZone, "!10m", "!1k")))
	w.observe(nil)
	w.nextDay()
	w.r.work(t.Context())
	if len(w.sent) != 1 || !slices.Equal(w.sent[0].Recipients, []string{"d@asks.test"}) {
		t.Errorf("%+v", w.sent)
	}
}

// TestPost: a TLS report is posted where that is asked for, tried again after a failure, and never to
// where no server of the internet is.
func TestPost(t *testing.T) {
	status := http.StatusServiceUnavailable
	var got []byte
	var kind string
	web := httptest.NewTLSServer(http.HandlerFunc(func(rw http.ResponseWriter, q *http.Request) {
		kind = q.Method + " " + q.URL.Path + " " + q.Header.Get("Content-Type")
		got, _ = io.ReadAll(q.Body)
		rw.WriteHeader(status)
	}))
	defer web.Close()
	w := newWorld(t)
	w.o.Private = true
	w.o.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		if address != "127.0.0.1:443" {
			t.Errorf("connected to %s", address)
		}
		return new(net.Dialer).DialContext(ctx, network, web.Listener.Addr().String())
	}
	w.restart()
	w.r.Watch(courier{{Status: queue.Delivered, Host: "mx.web.test", TLS: true}}).Deliver(t.Context(), "web.test", queue.Message{})
	w.nextDay()
	w.r.work(t.Context())
	if len(w.r.tls.of) != 1 || len(got) == 0 {
		t.Errorf("%d counted after %d octets were not taken", len(w.r.tls.of), len(got))
	}
	status = http.StatusCreated
	w.now = w.now.Add(again)
	w.r.work(t.Context())
	if len(w.r.tls.of) != 0 || kind != "POST /v1/tlsrpt application/tlsrpt+gzip" {
		t.Errorf("%d counted, %s", len(w.r.tls.of), kind)
	}
	z, err := gzip.NewReader(bytes.NewReader(got))
	must(t, err)
	text, err := io.ReadAll(z)
	if err != nil || !strings.Contains(string(text), `"policy-domain": "web.test"`) {
		t.Errorf("%s, %v", text, err)
	}
	w.o.Private, w.o.Dial = false, nil
	w.restart()
	if err := w.r.post(t.Context(), "https://inner.test/", nil); !errors.Is(err, dns.ErrNoPlace) {
		t.Errorf("loopback: %v", err)
	}
}

// TestDue: always at the same time of the next day, and not all at once.
func TestDue(t *testing.T) {
	hours := map[int]int{}
	for i := range 400 {
		k := key{"20251122", TLS, fmt.Sprintf("d%d.test", i)}
		due := k.due("us.test")
		if due != k.due("us.test") || due.Before(k.end()) {
			t.Errorf("%v", due)
		}
		hours[due.Hour()]++
	}
	for hour := range 4 {
		if hours[hour] < 40 {
			t.Errorf("at hours %v", hours)
		}
	}
}

func decodeBase64(text string) ([]byte, error) {
	return base64.StdEncoding.DecodeString(strings.ReplaceAll(text, "\r\n", ""))
}
