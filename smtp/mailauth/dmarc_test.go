package mailauth

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"mailstead/smtp/dns"
	"mailstead/smtp/dns/dnstest"
)

// TestDMARC plays testdata/dmarc: "AUTHOR [METHOD:RESULT:DOMAIN]... = RESULT
// POLICY RECORD ORGANIZATION", where "-" is none.
func TestDMARC(t *testing.T) {
	files, err := filepath.Glob("testdata/dmarc/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scenarios: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			s := readScenario(t, file)
			dmarc := &DMARC{Resolver: s.resolver(t)}
			for _, c := range s.cases {
				t.Run(fmt.Sprintf("line %d", c.line), func(t *testing.T) { playDMARC(t, dmarc, c.words) })
			}
		})
	}
}

// checkDMARC is what comes of the words of a case, and what is to come.
func checkDMARC(t *testing.T, dmarc *DMARC, w []string) (got DMARCResult, want []string) {
	split := slices.Index(w, "=")
	var ids []Identifier
	for _, text := range w[1:split] {
		p := strings.SplitN(text, ":", 3)
		ids = append(ids, Identifier{Method: p[0], Result: Result(p[1]), Domain: p[2]})
	}
	return dmarc.Check(t.Context(), w[0], ids), w[split+1:]
}

func playDMARC(t *testing.T, dmarc *DMARC, w []string) {
	got, want := checkDMARC(t, dmarc, w)
	said := []string{string(got.Result), string(got.Policy), orDash(got.Domain), orDash(got.Organization)}
	if d := cmp.Diff(want, said); d != "" {
		t.Errorf("%v: (-want +got)\n%s%v", w, d, got.Err)
	}
	if decided := got.Result == Pass || got.Result == Fail; decided != (got.Err == nil) {
		t.Errorf("%v: %s with error %v", w, got.Result, got.Err)
	}
	aligned := got.Aligned.Domain != ""
	if got.Result == Pass && !aligned || got.Result == Fail && aligned {
		t.Errorf("%v: %s by %v", w, got.Result, got.Aligned)
	}
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func TestDMARCResultSaysWhatWasFound(t *testing.T) {
	dmarc := &DMARC{Resolver: scenario{zone: `_dmarc.example.test. TXT "v=DMARC1; p=reject; t=y"`}.resolver(t)}
	got := dmarc.Check(t.Context(), "Mail.Example.Test", []Identifier{{"spf", "Example.TEST", SoftFail}})
	want := DMARCResult{
		Result: Fail, Author: "mail.example.test", Domain: "example.test", Organization: "example.test",
		Published: DMARCReject, Policy: DMARCQuarantine, Testing: true,
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
	got = dmarc.Check(t.Context(), "mail.example.test", []Identifier{{"dkim", "Example.TEST", Pass}})
	want.Result, want.Policy, want.Aligned = Pass, DMARCNone, Identifier{"dkim", "example.test", Pass}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
}

// Where no policy is known, the very domain is proof, and a relative is none.
func TestDMARCAlignedWithoutRecord(t *testing.T) {
	s := scenario{zone: `test. SOA ns. root. 1 3600 600 86400 60`, faults: []string{"_dmarc.broken.test"}}
	dmarc := &DMARC{Resolver: s.resolver(t)}
	for _, domain := range []string{"example.test", "broken.test"} {
		own, relative := Identifier{"dkim", domain, Pass}, Identifier{"spf", "bounce." + domain, Pass}
		if got := dmarc.Check(t.Context(), domain, []Identifier{relative, own}); got.Result == Pass || got.Aligned != own {
			t.Errorf("%s: got %+v", domain, got)
		}
		if got := dmarc.Check(t.Context(), domain, []Identifier{relative, {"dkim", domain, TempError}}); got.Aligned.Domain != "" {
			t.Errorf("%s: got %+v", domain, got)
		}
	}
}

// The names that RFC 9989 section 4.10 lists, in their order.
func TestTreeWalkNames(t *testing.T) {
	tests := map[string]string{
		"com":                       "com",
		"example.com":               "example.com com",
		"1.2.3.4.5.6.7":             "1.2.3.4.5.6.7 2.3.4.5.6.7 3.4.5.6.7 4.5.6.7 5.6.7 6.7 7",
		"1.2.3.4.5.6.7.8":           "1.2.3.4.5.6.7.8 2.3.4.5.6.7.8 3.4.5.6.7.8 4.5.6.7.8 5.6.7.8 6.7.8 7.8 8",
		"0.1.2.3.4.5.6.7.8":         "0.1.2.3.4.5.6.7.8 2.3.4.5.6.7.8 3.4.5.6.7.8 4.5.6.7.8 5.6.7.8 6.7.8 7.8 8",
		"a.b.c.d.e.f.g.h.i.j.m.e.c": "a.b.c.d.e.f.g.h.i.j.m.e.c g.h.i.j.m.e.c h.i.j.m.e.c i.j.m.e.c j.m.e.c m.e.c e.c c",
	}
	for domain, want := range tests {
		if got := strings.Join(walkNames(domain), " "); got != want {
			t.Errorf("%s: got %s\nwant %s", domain, got, want)
		}
	}
}

// Most mail is signed by the author's own domain: one look-up decides.
func TestDMARCAsksLittle(t *testing.T) {
	server := dnstest.New(t, "test. SOA ns. root. 1 3600 600 86400 60\n_dmarc.example.test. TXT \"v=DMARC1; p=reject\"\n")
	dmarc := &DMARC{Resolver: resolverOf(t, server)}
	if r := dmarc.Check(t.Context(), "example.test", []Identifier{{"dkim", "other.test", Pass}, {"dkim", "example.test", Pass}}); r.Result != Pass {
		t.Errorf("got %+v", r)
	}
	if n := len(server.Queries()); n != 1 {
		t.Errorf("%d questions for the author's own signature, want 1", n)
	}
	var strangers []Identifier
	for i := range 50 {
		strangers = append(strangers, Identifier{"dkim", fmt.Sprintf("s%d.a.b.c.d.e.f.g.h.other.test", i), Pass})
	}
	if r := dmarc.Check(t.Context(), "example.test", strangers); r.Result != Fail {
		t.Errorf("got %+v", r)
	}
	if n := len(server.Queries()); n != 2 { // and _dmarc.test, for the organization
		t.Errorf("%d questions with signatures of strangers, want 2", n)
	}
	// The worst: as many as are looked at, each below the author's organization.
	var relatives []Identifier
	for i := range 50 {
		relatives = append(relatives, Identifier{"dkim", fmt.Sprintf("1.2.3.4.5.6.7.%d.example.test", i), TempError})
	}
	dmarc.Check(t.Context(), "a.b.c.d.e.f.g.h.i.example.test", relatives)
	if n, most := len(server.Queries()), 2+(maxIdentifiers+1)*maxTreeWalk; n > most {
		t.Errorf("%d questions, want %d at most", n, most)
	}
}

func TestDMARCWithoutDNS(t *testing.T) {
	r, err := dns.New(dns.Options{})
	if err != nil {
		t.Fatal(err)
	}
	got := (&DMARC{Resolver: r}).Check(t.Context(), "example.test", nil)
	if got.Result != None || got.Policy != DMARCNone || !errors.Is(got.Err, dns.ErrDisabled) {
		t.Errorf("got %+v", got)
	}
}

// silent never answers TXT before the caller leaves.
type silent struct{}

func (silent) LookupTXT(ctx context.Context, name string) (dns.Answer[string], error) {
	<-ctx.Done()
	return dns.Answer[string]{}, &dns.Error{Name: name, Type: "TXT", Temporary: true, Err: context.Cause(ctx)}
}

func TestDMARCTakesItsTime(t *testing.T) {
	got := (&DMARC{Resolver: silent{}, Timeout: time.Millisecond}).Check(t.Context(), "example.test", nil)
	if got.Result != TempError || !errors.Is(got.Err, context.DeadlineExceeded) {
		t.Errorf("got %+v", got)
	}
}

// Whatever a record holds, it is read within its length, and asks for no more
// than a policy.
func FuzzDMARCRecord(f *testing.F) {
	for _, text := range []string{
		"v=DMARC1", "v=DMARC1; p=reject; sp=quarantine; np=none; t=y; psd=n; adkim=s; aspf=r; rua=mailto:a@b.test!10m,https://x.test/",
		"v=DMARC1;p=;p=none", " v = DMARC1 ;;; p", "v=DMARC1; rua=%zz:,mailto:", "v=DMARC1; P=REJECT\x00",
	} {
		f.Add(text)
	}
	policies := []DMARCPolicy{DMARCNone, DMARCQuarantine, DMARCReject}
	f.Fuzz(func(t *testing.T, text string) {
		r, ok := parseDMARCRecord(text)
		if !ok {
			return
		}
		for _, p := range []DMARCPolicy{r.assessment(), r.assessmentBelow(true), r.assessmentBelow(false)} {
			if !slices.Contains(policies, p) || !slices.Contains(policies, p.inTest()) {
				t.Errorf("%q asks for %q", text, p)
			}
		}
	})
}

func BenchmarkDMARC(b *testing.B) {
	dmarc := &DMARC{Resolver: scenario{zone: `_dmarc.example.test. TXT "v=DMARC1; p=reject; rua=mailto:a@example.test"`}.resolver(b)}
	ids := []Identifier{{"spf", "bounce.example.test", Pass}, {"dkim", "example.test", Pass}}
	b.ReportAllocs()
	for b.Loop() {
		if r := dmarc.Check(b.Context(), "example.test", ids); r.Result != Pass {
			b.Fatal(r)
		}
	}
}
