package report

import (
	"archive/zip"
	"bytes"
	"compress/flate"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"mailstead/mailbox"
	"mailstead/mailbox/mailboxtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func sample(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	must(t, err)
	return b
}

func gzipped(t testing.TB, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := gzip.NewWriterLevel(&out, gzip.BestSpeed)
	must(t, err)
	_, err = w.Write(b)
	must(t, errors.Join(err, w.Close()))
	return out.Bytes()
}

// zipped is an archive of names and contents, by turns.
func zipped(t testing.TB, files ...string) []byte {
	t.Helper()
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	w.RegisterCompressor(zip.Deflate, func(to io.Writer) (io.WriteCloser, error) { return flate.NewWriter(to, flate.BestSpeed) })
	for i := 0; i < len(files); i += 2 {
		f, err := w.Create(files[i])
		must(t, err)
		_, err = f.Write([]byte(files[i+1]))
		must(t, err)
	}
	must(t, w.Close())
	return out.Bytes()
}

// letter is one with a text and an attachment.
func letter(media, name string, content []byte) []byte {
	return []byte("From: Reports <noreply@Big.Example>\r\nSubject: Report Domain: example.org Submitter: big.example\r\n" +
		"MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\nA report.\r\n--b\r\n" +
		"Content-Type: " + media + "\r\nContent-Transfer-Encoding: base64\r\nContent-Disposition: attachment; filename=\"" + name + "\"\r\n\r\n" +
		lines(base64.StdEncoding.EncodeToString(content)) + "\r\n--b--\r\n")
}

func lines(s string) string {
	var b strings.Builder
	for len(s) > 76 {
		b.WriteString(s[:76] + "\r\n")
		s = s[76:]
	}
	return b.String() + s
}

func day(d, h, m, s int) time.Time { return time.Date(2025, 11, d, h, m, s, 0, time.UTC) }

// What the samples say.
var (
	fromRFC7489 = &Report{
		Kind: KindDMARC, Sender: "big.example", Org: "Big Mail Inc.", ID: "4711", Domain: "example.org", Begin: day(21, 0, 0, 0), End: day(21, 23, 59, 59),
		Rows: []Row{
			{Source: "198.51.100.7", From: "example.org", Disposition: "reject", Count: 300},
			{Source: "192.0.2.1", From: "example.org", DKIM: true, Disposition: "none", Count: 15},
		},
	}
	fromRFC9990 = &Report{
		Kind: KindDMARC, Sender: "big.example", Org: "Sample Reporter", ID: "3v98abbp8ya9n3va8yr8oa3ya", Domain: "example.org", Begin: day(21, 0, 0, 0), End: day(22, 0, 0, 0),
		Rows: []Row{{Source: "2001:db8::15", From: "sub.example.org", DKIM: true, SPF: true, Disposition: "none", Count: 123}},
	}
	fromRFC8460 = &Report{
		Kind: KindTLS, Sender: "big.example", Org: "Company-X", ID: "5065427c-23d3-47ca-b6e0-946ea0e8c4be", Domain: "example.org", Begin: day(21, 0, 0, 0), End: day(21, 23, 59, 59),
		Policies: []Policy{
			{Type: "sts", Domain: "example.org", Succeeded: 5326, Failed: 303, Failures: []Failure{{"certificate-expired", 103}, {"starttls-not-supported", 200}}},
			{Type: "no-policy-found", Domain: "example.net", Succeeded: 1},
		},
	}
)

// TestRead: the forms in which reports travel.
func TestRead(t *testing.T) {
	old, now, tls := sample(t, "rfc7489.xml"), sample(t, "rfc9990.xml"), sample(t, "rfc8460.json")
	for name, tc := range map[string]struct {
		letter []byte
		want   *Report
	}{
		"gzip":                      {letter("application/gzip", "r.xml.gz", gzipped(t, old)), fromRFC7489},
		"zip":                       {letter("application/zip", "r.zip", zipped(t, "big.example!example.org!1!2.xml", string(old))), fromRFC7489},
		"zip with more in it":       {letter("application/x-zip-compressed", "r.zip", zipped(t, "README", "x", "d/", "", "R.XML", string(old))), fromRFC7489},
		"plain XML":                 {letter("text/xml", "r.xml", old), fromRFC7489},
		"of today":                  {letter("application/gzip", "r.xml.gz", gzipped(t, now)), fromRFC9990},
		"with a mark in front":      {letter("text/xml", "r.xml", append([]byte("\xef\xbb\xbf\r\n"), old...)), fromRFC7489},
		"as octets":                 {letter("application/octet-stream", "r", gzipped(t, old)), fromRFC7489},
		"by its name":               {letter("application/x-strange", "=?utf-8?q?r.xml.gz?=", gzipped(t, old)), fromRFC7489},
		"TLS, packed":               {letter("application/tlsrpt+gzip", "r.json.gz", gzipped(t, tls)), fromRFC8460},
		"TLS, plain":                {letter("application/tlsrpt+json", "r.json", tls), fromRFC8460},
		"a packed one called plain": {letter("text/xml", "r.xml", gzipped(t, old)), fromRFC7489},
		"a letter that is a report": {[]byte("From: <x@big.example>\r\nContent-Type: application/gzip\r\nContent-Transfer-Encoding: base64\r\n\r\n" + base64.StdEncoding.EncodeToString(gzipped(t, old))), fromRFC7489},
	} {
		got, err := Read(bytes.NewReader(tc.letter), int64(len(tc.letter)))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if d := cmp.Diff(tc.want, got); d != "" {
			t.Errorf("%s: %s", name, d)
		}
	}
}

// TestBad: what is none, or was made to hurt, is refused.
func TestBad(t *testing.T) {
	xml := string(sample(t, "rfc7489.xml"))
	json := string(sample(t, "rfc8460.json"))
	with := func(text, old, instead string) string {
		if !strings.Contains(text, old) {
			t.Fatalf("the sample has no %q", old)
		}
		return strings.Replace(text, old, instead, 1)
	}
	head, record, _ := strings.Cut(xml, "  <record>")
	zeros := make([]byte, maxInflated)
	for name, content := range map[string][]byte{
		"nothing":                 nil,
		"text":                    []byte("Dear postmaster"),
		"no feedback":             []byte("<html><body/></html>"),
		"cut off":                 []byte(xml[:len(xml)/2]),
		"cut off gzip":            gzipped(t, []byte(xml))[:200],
		"entities":                []byte(with(xml, "<feedback>", "<!DOCTYPE lolz [<!ENTITY lol \"lol\"><!ENTITY lol2 \"&lol;&lol;&lol;\">]><feedback>")),
		"external entities":       []byte(with(xml, "<feedback>", "<!DOCTYPE f SYSTEM \"http://127.0.0.1/x.dtd\"><feedback>")),
		"unknown entities":        []byte(with(xml, "Big Mail", "&lol;")),
		"elements in elements":    []byte("<feedback>" + strings.Repeat("<a>", 1<<10)),
		"an end too many":         []byte("</feedback>"),
		"ends in a wrong order":   []byte(with(xml, "</row>", "</count>")),
		"without rows":            []byte(head + "</feedback>"),
		"rows of nonsense":        []byte(head + "<record><row><source_ip>me</source_ip><count>1</count></row></record><record><row><source_ip>192.0.2.1</source_ip><count>-1</count></row></record></feedback>"),
		"without a domain":        []byte(with(xml, "<domain>Example.ORG</domain>", "")),
		"without a time":          []byte(with(xml, "<begin>1763683200</begin>", "")),
		"of the year 1":           []byte(with(xml, "1763683200", "-62135596800")),
		"backwards":               []byte(with(xml, "1763683200", "1863683200")),
		"gzip bomb":               gzipped(t, append([]byte("<feedback>"), zeros...)),
		"zip bomb":                zipped(t, "r.xml", string(append([]byte("<feedback>"), zeros...))),
		"zip in a zip":            zipped(t, "r.xml", string(zipped(t, "r.xml", xml))),
		"archive of many":         zipped(t, strings.Split(strings.Repeat("r.xml,x,", 11)+"r.xml,x", ",")...),
		"archive of others":       zipped(t, "a.txt", "x", "b.txt", "y"),
		"archive that is cut off": zipped(t, "r.xml", xml)[:100],
		"JSON of another kind":    []byte(`{"a":1}`),
		"JSON of other types":     []byte(with(json, `"policies": [`, `"policies": [7, `)),
		"JSON without a time":     []byte(with(json, `"start-datetime"`, `"start"`)),
		"lists in lists":          []byte(`{"policies":` + strings.Repeat("[", 1<<10)),
		"very many objects":       []byte(`{"policies":[` + strings.Repeat("{},", maxJSON/2) + "{}]}"),
		"two values":              []byte(json + json),
	} {
		raw := letter("application/octet-stream", "r", content)
		before := allocated()
		r, err := Read(bytes.NewReader(raw), int64(len(raw)))
		if got := allocated() - before; got > 8*maxInflated {
			t.Errorf("%s: %d octets were allocated for a letter of %d", name, got, len(raw))
		}
		if !errors.Is(err, ErrNone) || r != nil {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
	}
	if len(record) == 0 {
		t.Error("the sample has no record")
	}
	if _, err := Read(bytes.NewReader(nil), maxLetter+1); !errors.Is(err, ErrNone) {
		t.Errorf("a large letter: %v", err)
	}
	if _, err := Read(failing{}, 10); err == nil || errors.Is(err, ErrNone) {
		t.Errorf("a letter that cannot be read: %v", err)
	}
}

// allocated is how many octets this process has allocated ever.
func allocated() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.TotalAlloc
}

type failing struct{}

func (failing) ReadAt([]byte, int64) (int, error) { return 0, errors.New("disk on fire") }

// TestManyRows: the largest rows are kept, the others counted, however many.
func TestManyRows(t *testing.T) {
	xml := string(sample(t, "rfc7489.xml"))
	head, _, _ := strings.Cut(xml, "  <record>")
	var b strings.Builder
	b.WriteString(head)
	total := int64(0)
	for i := range maxRecords + 10 {
		fmt.Fprintf(&b, "<record><row><source_ip>10.%d.%d.%d</source_ip><count>%d</count></row></record>", i>>16, i>>8&255, i&255, i)
		total += int64(i)
	}
	b.WriteString("</feedback>")
	r, err := parse([]byte(b.String()))
	must(t, err)
	for _, row := range r.Rows {
		total -= row.Count
	}
	if len(r.Rows) != keptRows || r.Rest != total || r.Rows[0].Count != maxRecords-1 {
		t.Errorf("%d rows, the first with %d, and %d for the rest; want %d", len(r.Rows), r.Rows[0].Count, r.Rest, total)
	}
	value, err := json.Marshal(r)
	if must(t, err); len(value) > 20<<10 {
		t.Errorf("%d octets are kept", len(value))
	}
}

func TestRecognize(t *testing.T) {
	for header, want := range map[string]bool{
		"Subject: Report Domain: example.com\r\n      Submitter: mail.receiver.example\r\n      Report-ID: <sample-ridtxt@example.com>\r\n": true,
		"From: x\r\nsubject: [Preview] report  domain: example.org Submitter: y\r\n":                                                        true,
		"Subject: =?utf-8?B?UmVwb3J0IERvbWFpbjogZXhhbXBsZS5vcmc=?=\r\n":                                                                     true,
		"TLS-Report-Domain: example.org\r\n":                                                                                                true,
		"Content-Type: multipart/report;\r\n\treport-type=\"tlsrpt\"; boundary=b\r\n":                                                       true,
		"Content-Type: Application/ZIP; name=x\r\n":                                                                                         true,
		"Content-Type: multipart/report; report-type=delivery-status; boundary=b\r\n":                                                       false,
		"Subject: Report on the domain\r\nContent-Type: text/plain\r\n":                                                                     false,
		"X-Subject: Report Domain: x\r\n":                                                                                                   false,
		"\r\nSubject: Report Domain: x\r\n":                                                                                                 false,
		"Subject: " + strings.Repeat("x", maxField) + "Report Domain: x\r\n":                                                                false,
		"": false,
	} {
		if got := Recognize([]byte(header + "\r\nbody")); got != want {
			t.Errorf("%q: %v", header, got)
		}
	}
}

// store keeps a letter as mail.
func stored(t *testing.T, s *mailbox.Store, a mailbox.AccountID, raw []byte) mailbox.BodyID {
	t.Helper()
	b := s.NewBody()
	defer b.Abort()
	_, err := b.Write(raw)
	must(t, err)
	var id mailbox.BodyID
	placed, err := s.Deliver(t.Context(), b, []mailbox.Target{{Account: a, Name: "INBOX"}}, func(body mailbox.BodyID) []mailbox.RoomChange {
		id = body
		return nil
	})
	must(t, err)
	must(t, placed[0].Err)
	return id
}

// kept are the reports of a kind.
func kept(t *testing.T, s *mailbox.Store, k Kind) (all []*Report) {
	t.Helper()
	must(t, Each(s, k, func(r *Report) error { all = append(all, r); return nil }))
	return all
}

// TestDesk: letters become reports of ours, one that comes again is counted once,
// and nothing that cannot be is kept.
func TestDesk(t *testing.T) {
	s := mailboxtest.NewStore(t)
	a, err := s.CreateAccount(t.Context(), nil)
	must(t, err)
	now := day(22, 12, 0, 0)
	d, err := Open(s, Options{Ours: func(domain string) bool { return domain == "example.org" }, Now: func() time.Time { return now }})
	must(t, err)
	xml, tls := string(sample(t, "rfc7489.xml")), sample(t, "rfc8460.json")
	for _, content := range []string{
		xml, xml,
		strings.Replace(xml, "4711", "4712", 1),
		strings.Replace(xml, "Example.ORG", "example.com", 1),
		strings.ReplaceAll(strings.Replace(xml, "1763683200", "1700000000", 1), "1763769599", "1700086400"),
		strings.ReplaceAll(strings.Replace(xml, "1763683200", "1795219200", 1), "1763769599", "1795305600"),
		"nothing",
		string(tls),
	} {
		must(t, d.Take(t.Context(), stored(t, s, a, letter("application/gzip", "r.gz", gzipped(t, []byte(content))))))
	}
	d.Close()
	d.Close()
	again := *fromRFC7489
	again.ID = "4712"
	got := kept(t, s, KindDMARC)
	if len(got) == 2 && got[0].ID > got[1].ID { // keys are hashes
		got[0], got[1] = got[1], got[0]
	}
	if diff := cmp.Diff([]*Report{fromRFC7489, &again}, got); diff != "" {
		t.Error(diff)
	}
	ours := *fromRFC8460
	ours.Policies = ours.Policies[:1]
	if diff := cmp.Diff([]*Report{&ours}, kept(t, s, KindTLS)); diff != "" {
		t.Error(diff)
	}
	box, err := s.Mailbox(a, "INBOX")
	if err != nil || box.Messages != 8 {
		t.Errorf("INBOX has %d letters, %v", box.Messages, err)
	}
}

// TestKept: the oldest go first when there are too many, and those of days that are over.
func TestKept(t *testing.T) {
	s := mailboxtest.NewStore(t)
	now := day(22, 12, 0, 0)
	d, err := Open(s, Options{Ours: func(string) bool { return true }, Now: func() time.Time { return now }})
	must(t, err)
	defer d.Close()
	var changes []mailbox.RoomChange
	for i := range keepCount {
		changes = append(changes, mailbox.RoomChange{Room: roomName, Key: fmt.Sprintf("%s%04d", dayKey(KindDMARC, day(1, 0, 0, 0)), i), Value: []byte(`{"kind":"dmarc"}`)})
	}
	changes = append(changes, mailbox.RoomChange{Room: roomName, Key: dayKey(KindTLS, now.AddDate(0, 0, -KeepDays-1)) + "x", Value: []byte(`{"kind":"tls"}`)})
	for some := range slices.Chunk(changes, 500) {
		must(t, s.Change(t.Context(), some...))
	}
	must(t, d.keep(t.Context(), fromRFC7489))
	all := kept(t, s, KindDMARC)
	if len(all) != keepCount || all[len(all)-1].ID != "4711" {
		t.Errorf("%d reports, the last is %s", len(all), all[len(all)-1].ID)
	}
	if n := len(kept(t, s, KindTLS)); n != 1 {
		t.Errorf("%d TLS reports: those of one kind leave the others alone", n)
	}
	must(t, d.keep(t.Context(), fromRFC8460))
	if all := kept(t, s, KindTLS); len(all) != 1 || all[0].ID != fromRFC8460.ID {
		t.Errorf("%d TLS reports", len(all))
	}
	now = now.AddDate(1, 0, 0)
	next := *fromRFC7489
	next.Begin = now
	for range keepCount/tidyAtOnce + 1 {
		must(t, d.keep(t.Context(), &next))
	}
	if n := len(kept(t, s, KindDMARC)); n != 1 {
		t.Errorf("%d reports a year later", n)
	}
}
