package mailauth

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
)

func TestMethodsOfResults(t *testing.T) {
	ip := netip.MustParseAddr("::ffff:192.0.2.1")
	for _, tc := range []struct {
		name string
		m    MethodResult
		want string
	}{
		{"SPF", SPFResult{Result: Pass, Identity: SPFMailFrom, Sender: "a@b.example", Domain: "b.example"}.Method(), "spf=pass smtp.mailfrom=a@b.example"},
		{"SPF of HELO", SPFResult{Result: Fail, Identity: SPFHelo, Sender: "postmaster@b.example", Domain: "b.example"}.Method(), "spf=fail smtp.helo=b.example"},
		{"no record is no news", SPFResult{Result: None, Sender: "a@b.example", Err: errSPFNoRecord}.Method(), "spf=none smtp.mailfrom=a@b.example"},
		{"SPF to be mended", SPFResult{Result: PermError, Sender: "a@b.example", Err: errSPFRecords}.Method(), `spf=permerror reason="more than one SPF record" smtp.mailfrom=a@b.example`},
		{"SPF was not asked", SPFResult{}.Method(), "spf=none"},
		{"DMARC", DMARCResult{Result: Pass, Author: "b.example", Policy: DMARCNone}.Method(), "dmarc=pass header.from=b.example"},
		{"DMARC fails", DMARCResult{Result: Fail, Author: "b.example", Policy: DMARCReject}.Method(), `dmarc=fail reason="the domain asks for: reject" header.from=b.example`},
		{"DMARC later", DMARCResult{Result: TempError, Author: "b.example", Err: errors.New("no answer")}.Method(), `dmarc=temperror reason="no answer" header.from=b.example`},
		{"no author", DMARCResult{}.Method(), "dmarc=none"},
		{"iprev", IPRevResult{Result: Pass}.Method(ip), "iprev=pass policy.iprev=192.0.2.1"},
		{"iprev was not asked", IPRevResult{}.Method(netip.Addr{}), "iprev=none"},
	} {
		field := string(AuthResults{ID: "mx.example", Methods: []MethodResult{tc.m}}.AppendField(nil, false))
		if got := strings.Join(strings.Fields(strings.TrimPrefix(field, "Authentication-Results: mx.example;")), " "); got != tc.want {
			t.Errorf("%s: %q, want %q", tc.name, got, tc.want)
		}
	}
}

func TestFactsOfResults(t *testing.T) {
	of := func(results ...Result) Results {
		var r Results
		for _, one := range results {
			r.DKIM = append(r.DKIM, DKIMResult{Result: one})
		}
		return r
	}
	for _, tc := range []struct {
		found Results
		want  Result
	}{
		{of(), None},
		{of(None), None},
		{of(Fail, Pass), Pass},
		{of(PermError, TempError, Fail), TempError},
		{of(None, Neutral), Fail},
		{of(Policy), Fail},
	} {
		if got := tc.found.DKIMFact(); got != tc.want {
			t.Errorf("%v: %s, want %s", tc.found.DKIM, got, tc.want)
		}
	}
	for want, r := range map[Result]ARCResult{
		None: {}, Pass: {Result: Pass}, Fail: {Result: Fail}, TempError: {Result: Fail, Temporary: true},
	} {
		if got := (Results{ARC: r}).ARCFact(); got != want {
			t.Errorf("ARC %+v: %s, want %s", r, got, want)
		}
	}
}

func TestIsMailingList(t *testing.T) {
	for header, want := range map[string]bool{
		"From: a@b\r\nlist-id: <x.y>\r\n\r\n":            true,
		"List-Post: <mailto:l@x.example>\r\n\r\n":        true,
		"List-Unsubscribe: <mailto:u@x.example>\r\n\r\n": false,
		"From: a@b\r\n\r\nList-Id: <in.the.body>\r\n":    false,
		"": false,
	} {
		if got := IsMailingList([]byte(header)); got != want {
			t.Errorf("%q: %v", header, got)
		}
	}
}

func TestOverrides(t *testing.T) {
	all, err := ParseOverrides(map[string]string{"B.example": "refuse", "x.b.example": "accept", "bücher.example": "junk"})
	if err != nil {
		t.Fatal(err)
	}
	for domain, want := range map[string]Override{
		"b.example": OverrideRefuse, "y.b.example": OverrideRefuse, "x.b.example": OverrideAccept, "z.x.b.example": OverrideAccept,
		"xb.example": "", "example": "", "": "", "xn--bcher-kva.example": OverrideJunk,
	} {
		if got := OverrideFor(all, domain); got != want {
			t.Errorf("%s: %q, want %q", domain, got, want)
		}
	}
	for _, bad := range []map[string]string{{"b.example": "drop"}, {"b.example": ""}, {"b..example": "junk"}} {
		if _, err := ParseOverrides(bad); !errors.Is(err, ErrBadOverride) {
			t.Errorf("%v: %v", bad, err)
		}
	}
}
