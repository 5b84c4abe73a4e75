package smtp

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"mailstead/smtp/queue"
)

func TestParsePath(t *testing.T) {
	for _, tc := range []struct {
		in, address, rest string
		ok                bool
	}{
		{"<>", "", "", true},
		{"<> SIZE=1", "", " SIZE=1", true},
		{"<user@example.test>", "user@example.test", "", true},
		{"<User+detail@Example.Test> BODY=7BIT", "User+detail@Example.Test", " BODY=7BIT", true},
		{"<postmaster>", "postmaster", "", true},
		{"<PostMaster>", "postmaster", "", true},
		{`<"postmaster">`, "postmaster", "", true},
		{"<somebody>", "", "", false},
		{"<@a.test,@b.test:user@example.test>", "user@example.test", "", true},
		{"<@a.test:user@example.test>", "user@example.test", "", true},
		{"<@a.test,:user@example.test>", "", "", false},
		{"<@a.test:@b.test:user@example.test>", "", "", false},
		{"<@a.test>", "", "", false},
		{"<@:user@example.test>", "", "", false},
		{`<"user"@example.test>`, "user@example.test", "", true},
		{`<"us er"@example.test>`, `"us er"@example.test`, "", true},
		{`<"a@b"@example.test>`, `"a@b"@example.test`, "", true},
		{`<"a>b"@example.test>`, `"a>b"@example.test`, "", true},
		{`<"a\"b\\c\d"@example.test>`, `"a\"b\\cd"@example.test`, "", true},
		{`<"unclosed@example.test>`, "", "", false},
		{`<""@example.test>`, "", "", false},
		{`<"a"b@example.test>`, "", "", false},
		{"<\"a\rb\"@example.test>", "", "", false},
		{"<\"a\x00\"@example.test>", "", "", false},
		{"<a\x00b@example.test>", "", "", false},
		{"<a..b.@example.test>", "a..b.@example.test", "", true},
		{"<a%b@example.test>", "a%b@example.test", "", true},
		{"<a!b@example.test>", "a!b@example.test", "", true},
		{"<a@b@example.test>", "", "", false},
		{"<a b@example.test>", "", "", false},
		{"<user@>", "", "", false},
		{"<@example.test>", "", "", false},
		{"<user@example.test", "", "", false},
		{"user@example.test", "", "", false},
		{"<user@example..test>", "", "", false},
		{"<user@.example.test>", "", "", false},
		{"<user@example.test.>", "", "", false},
		{"<user@-a.test>", "", "", false},
		{"<user@a-.test>", "", "", false},
		{"<user@a-b_c.test>", "user@a-b_c.test", "", true},
		{"<user@exa mple.test>", "", "", false},
		{"<user@exa(mple.test>", "", "", false},
		{"<user@[192.0.2.1]>", "user@[192.0.2.1]", "", true},
		{"<user@[ipv6:2001:DB8::0001]>", "user@[IPv6:2001:db8::1]", "", true},
		{"<user@[2001:db8::1]>", "", "", false},
		{"<user@[IPv6:192.0.2.1]>", "", "", false},
		{"<user@[IPv6:fe80::1%25eth0]>", "", "", false},
		{"<user@[192.0.2.256]>", "", "", false},
		{"<user@[x:y]>", "", "", false},
		{"<user@[192.0.2.1>", "", "", false},
		{"<j\u00f6rg@b\u00fccher.example>", "j\u00f6rg@b\u00fccher.example", "", true},
		{"<j\xf6rg@example.test>", "", "", false},
		{"<user@b\xfccher.example>", "", "", false},
		{"<" + strings.Repeat("a", 64) + "@" + strings.Repeat("b.", 120) + "test>", strings.Repeat("a", 64) + "@" + strings.Repeat("b.", 120) + "test", "", true},
		{"<a@" + strings.Repeat("b", 64) + ".test>", "", "", false},
		{"<a@" + strings.Repeat("b.", 130) + "test>", "", "", false},
		{"<" + strings.Repeat("a", 400) + "@b.test>", "", "", false},
		{"<" + strings.Repeat("@a.test,", 200) + "@a.test:u@b.test>", "", "", false},
		{"", "", "", false},
		{"<", "", "", false},
	} {
		p, rest, err := parsePath([]byte(tc.in))
		if (err == nil) != tc.ok || err != nil && !errors.Is(err, errPathSyntax) {
			t.Errorf("%q: error %v", tc.in, err)
			continue
		}
		if err == nil && (p.String() != tc.address || string(rest) != tc.rest) {
			t.Errorf("%q: address %q, rest %q; want %q, %q", tc.in, p, rest, tc.address, tc.rest)
		}
	}
}

func FuzzPath(f *testing.F) {
	for _, s := range []string{"<>", "<a@b.test> SIZE=1", `<"a\"b"@b.test>`, "<@a.test,@b.test:u@c.test>", "<u@[IPv6:::1]>", "<j\u00f6rg@b\u00fccher.example>", "<postmaster>"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		p, rest, err := parsePath(in)
		if err != nil {
			return
		}
		if !bytes.HasSuffix(in, rest) {
			t.Fatalf("%q: rest %q is no rest", in, rest)
		}
		a := p.String()
		if strings.ContainsAny(a, "\r\n\x00") || len(a) > 2*maxAddress+2 {
			t.Fatalf("%q: address %q", in, a)
		}
		again, rest, err := parsePath([]byte("<" + a + ">"))
		if err != nil || again != p || len(rest) != 0 {
			t.Fatalf("%q: %q is read as %+v, %v", in, a, again, err)
		}
	})
}

func TestMailParams(t *testing.T) {
	for _, tc := range []struct {
		in   string
		want mailParams
		err  error
	}{
		{"", mailParams{}, nil},
		{" SIZE=1000 BODY=8BITMIME SMTPUTF8", mailParams{size: 1000, utf8: true}, nil},
		{" size=1000  body=7bit", mailParams{size: 1000}, nil},
		{" SIZE=99999999999999999999", mailParams{size: 1<<63 - 1}, nil},
		{" SIZE=999999999999999999999", mailParams{}, errParamSyntax},
		{" SIZE=", mailParams{}, errParamSyntax},
		{" SIZE", mailParams{}, errParamSyntax},
		{" SIZE=-1", mailParams{}, errParamSyntax},
		{" SIZE=1 SIZE=2", mailParams{}, errParamSyntax},
		{" BODY=BINARYMIME", mailParams{}, errParamSyntax},
		{" SMTPUTF8=1", mailParams{}, errParamSyntax},
		{" AUTH=<>", mailParams{}, nil},
		{" REQUIRETLS", mailParams{tls: true}, nil},
		{" REQUIRETLS=1", mailParams{}, errParamSyntax},
		{" RET=full ENVID=QQ+2B1", mailParams{returns: queue.ReturnFull, envelopeID: "QQ+2B1"}, nil},
		{" RET=HDRS RET=FULL", mailParams{}, errParamSyntax},
		{" RET", mailParams{}, errParamSyntax},
		{" RET=ALL", mailParams{}, errParamSyntax},
		{" ENVID", mailParams{}, errParamSyntax},
		{" ENVID=a+2b", mailParams{}, errParamSyntax},
		{" NOTIFY=NEVER", mailParams{}, errParamUnknown},
		{" -X=1", mailParams{}, errParamSyntax},
		{" X=a=b", mailParams{}, errParamSyntax},
		{"SIZE=1", mailParams{}, errParamSyntax},
		{strings.Repeat(" A=B", 21), mailParams{}, errParamSyntax},
	} {
		ps, err := parseParams([]byte(tc.in))
		var got mailParams
		if err == nil {
			got, err = mailParamsOf(ps, true, true)
		}
		if !errors.Is(err, tc.err) || err == nil && got != tc.want {
			t.Errorf("%q: %+v, %v; want %+v, %v", tc.in, got, err, tc.want, tc.err)
		}
	}
	ps, _ := parseParams([]byte(" AUTH=<>"))
	if _, err := mailParamsOf(ps, false, true); !errors.Is(err, errParamUnknown) {
		t.Errorf("AUTH= where AUTH is not offered: %v", err)
	}
}

func FuzzParams(f *testing.F) {
	f.Add([]byte(" SIZE=1000 BODY=8BITMIME SMTPUTF8 AUTH=<>"))
	f.Add([]byte(" X"))
	f.Fuzz(func(t *testing.T, in []byte) {
		ps, err := parseParams(in)
		if err != nil {
			return
		}
		if len(ps) > maxParams {
			t.Fatalf("%d parameters", len(ps))
		}
		if m, err := mailParamsOf(ps, true, true); err == nil && m.size < 0 {
			t.Fatalf("size %d", m.size)
		}
	})
}
