package mailauth

import (
	"bytes"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

// TestAppendField writes fields as they go into messages.
func TestAppendField(t *testing.T) {
	for _, c := range []struct {
		name    string
		r       AuthResults
		unicode bool
		want    string
	}{
		{"nothing", AuthResults{ID: "mx.example.org"}, false, "Authentication-Results: mx.example.org; none\r\n"},
		{"all methods", AuthResults{"mx.example.org", []MethodResult{
			{"spf", Pass, "", []Property{{"smtp", "mailfrom", "ann@example.com"}}},
			{"dkim", Fail, "the body was changed", []Property{{"header", "d", "example.com"}, {"header", "b", "ab/+="}}},
			{"dmarc", None, "", []Property{{"header", "from", "example.com"}}},
			{"iprev", TempError, "", []Property{{"policy", "iprev", "2001:db8::1"}}},
		}}, false, "Authentication-Results: mx.example.org;\r\n\tspf=pass smtp.mailfrom=ann@example.com;\r\n" +
			"\tdkim=fail reason=\"the body was changed\" header.d=example.com header.b=\"ab/+=\";\r\n" +
			"\tdmarc=none header.from=example.com;\r\n\tiprev=temperror policy.iprev=\"2001:db8::1\"\r\n"},
		{"Unicode for all", AuthResults{"bücher.example", []MethodResult{{"spf", Pass, "größe", []Property{{"smtp", "mailfrom", "jörg@bücher.example"}, {"smtp", "helo", "BÜCHER.example"}}}}}, true,
			"Authentication-Results: bücher.example;\r\n\tspf=pass reason=\"größe\" smtp.mailfrom=jörg@bücher.example\r\n\t  smtp.helo=BÜCHER.example\r\n"},
		{"Unicode for nobody", AuthResults{"bücher.example", []MethodResult{{"spf", Pass, "größe", []Property{{"smtp", "mailfrom", "jörg@bücher.example"}, {"smtp", "rcptto", "ann@bücher.example"}, {"smtp", "helo", "--ü."}}}}}, false,
			"Authentication-Results: xn--bcher-kva.example;\r\n\tspf=pass reason=\"gr??e\" smtp.mailfrom=@xn--bcher-kva.example\r\n\t  smtp.rcptto=ann@xn--bcher-kva.example smtp.helo=\"--?.\"\r\n"},
		{"injection", AuthResults{"mx.example.org", []MethodResult{{"spf; dkim", "pass\r\nX: y", "a\"b\\c\r\nX: y\x00", []Property{{"smtp", "mail from", "a; dkim=pass@example.com"}, {"", "", "\xff"}}}}}, false,
			"Authentication-Results: mx.example.org;\r\n\tspfdkim=passXy reason=\"a\\\"b\\\\c  X: y \"\r\n\t  smtp.mailfrom=\"a; dkim=pass@example.com\" x.x=\"?\"\r\n"},
		{"quoted local part", AuthResults{"mx", []MethodResult{{"spf", Pass, "", []Property{{"smtp", "mailfrom", `"a b"@example.com`}, {"smtp", "helo", ""}, {"smtp", "x", "a@b@c"}}}}}, false,
			"Authentication-Results: mx;\r\n\tspf=pass smtp.mailfrom=\"\\\"a b\\\"@example.com\" smtp.helo=\"\" smtp.x=\"a@b@c\"\r\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := string(c.r.AppendField([]byte("X: y\r\n"), c.unicode))
			if diff := cmp.Diff("X: y\r\n"+c.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestLongValues are cut, at a character's end.
func TestLongValues(t *testing.T) {
	for _, value := range []string{strings.Repeat("x", 1000), strings.Repeat("ü", 1000), strings.Repeat("xü€😀", 100), strings.Repeat("\xff", 1000)} {
		for _, unicode := range []bool{true, false} {
			field := AuthResults{"mx", []MethodResult{{"spf", Pass, "", []Property{{"smtp", "helo", value}}}}}.AppendField(nil, unicode)
			if len(field) > maxPvalue+100 || !utf8.Valid(field) {
				t.Errorf("%d octets: %q", len(field), field)
			}
		}
	}
}

// TestParseAuthResults reads the examples of RFC 8601 appendix B, and fields that
// are worse.
func TestParseAuthResults(t *testing.T) {
	spf := MethodResult{"spf", Pass, "", []Property{{"smtp", "mailfrom", "example.net"}}}
	for _, c := range []struct {
		value string
		want  AuthResults
		ok    bool
	}{
		{"example.org 1; none", AuthResults{ID: "example.org"}, true},
		{" example.com;\r\n   spf=pass smtp.mailfrom=example.net\r\n", AuthResults{"example.com", []MethodResult{spf}}, true},
		{"example.com; auth=pass (cram-md5) smtp.auth=sender@example.net; spf=pass smtp.mailfrom=example.net",
			AuthResults{"example.com", []MethodResult{{"auth", Pass, "", []Property{{"smtp", "auth", "sender@example.net"}}}, spf}}, true},
		{`example.com; dkim=pass reason="good signature" header.i=@mail-router.example.net; dkim=fail reason=bad header.i=@newyork.example.com`,
			AuthResults{"example.com", []MethodResult{{"dkim", Pass, "good signature", []Property{{"header", "i", "@mail-router.example.net"}}},
				{"dkim", Fail, "bad", []Property{{"header", "i", "@newyork.example.com"}}}}}, true},
		{"foo.example.net (foobar) 1 (baz); dkim (Because I like it) / 1 (One yay) = (wait for it) fail policy (A dot can go here) . (like that) expired (this surprised me) = (as I wasn't expecting it) 1362471462",
			AuthResults{"foo.example.net", []MethodResult{{"dkim", Fail, "", []Property{{"policy", "expired", "1362471462"}}}}}, true},
		{"a", AuthResults{ID: "a"}, true},
		{"a;", AuthResults{ID: "a"}, true},
		{"a; spf=pass smtp.mailfrom=example.net; ", AuthResults{"a", []MethodResult{spf}}, true},
		{`"a\"b (c)" ; DKIM = Pass Header.B = ab/+==`, AuthResults{`a"b (c)`, []MethodResult{{"dkim", Pass, "", []Property{{"header", "b", "ab/+=="}}}}}, true},
		{`a; spf=none smtp.mailfrom="" reason=""`, AuthResults{"a", []MethodResult{{"spf", None, "", []Property{{"smtp", "mailfrom", ""}}}}}, true},
		{`a; spf=pass smtp.mailfrom="a b"@example.net x=unknown`, AuthResults{"a", []MethodResult{{"spf", Pass, "", []Property{{"smtp", "mailfrom", "a b@example.net"}}}}}, true},
		{"", AuthResults{}, false},
		{"; spf=pass", AuthResults{}, false},
		{"a 2; spf=pass", AuthResults{ID: ""}, false},
		{"a b; spf=pass", AuthResults{ID: ""}, false},
		{"a; spf", AuthResults{ID: "a"}, false},
		{"a; spf=", AuthResults{ID: "a"}, false},
		{"a; spf=pass smtp.mailfrom=example.net; dkim=pass (", AuthResults{"a", []MethodResult{spf}}, false},
		{"a; spf=pass smtp.mailfrom=example.net; =pass", AuthResults{"a", []MethodResult{spf}}, false},
		{"a; spf=pass smtp.=x", AuthResults{ID: "a"}, false},
		{"a; spf=pass smtp.mailfrom=\"x", AuthResults{ID: "a"}, false},
		{"a; spf=pass smtp.mailfrom=\x01", AuthResults{ID: "a"}, false},
		{"a " + strings.Repeat("(", 11) + strings.Repeat(")", 11) + "; none", AuthResults{ID: ""}, false},
		{"a " + strings.Repeat("(", 10) + strings.Repeat(")", 10) + "; none", AuthResults{ID: "a"}, true},
		{"a; none" + strings.Repeat(" ", maxResultsField), AuthResults{}, false},
	} {
		got, ok := ParseAuthResults([]byte(c.value))
		if ok != c.ok || !cmp.Equal(got, c.want) && (ok || got.ID != c.want.ID || len(got.Methods) != len(c.want.Methods)) {
			t.Errorf("%.200q: %+v %v, want %+v %v", c.value, got, ok, c.want, c.ok)
		}
	}
	many := "a" + strings.Repeat("; spf=pass"+strings.Repeat(" smtp.helo=x", 30), 100)
	got, _ := ParseAuthResults([]byte(many)[:maxResultsField/2])
	for _, m := range got.Methods[:10] {
		if len(m.Properties) != maxProperties {
			t.Errorf("%d properties", len(m.Properties))
		}
	}
	if got, ok := ParseAuthResults([]byte("a" + strings.Repeat("; spf=pass", 101))); ok || len(got.Methods) != maxMethods {
		t.Errorf("%d methods, %v", len(got.Methods), ok)
	}
}

// TestRemoveForged is about fields that claim to be ours.
func TestRemoveForged(t *testing.T) {
	const before, after = "Received: x\r\n", "From: ann@example.com\r\nX:\r\n y\r\n\r\n"
	for _, c := range []struct {
		field string
		kept  bool
	}{
		{"Authentication-Results: mx.example.org; dkim=pass\r\n", false},
		{"Authentication-Results: example.org; dkim=pass\r\n", false},
		{"Authentication-Results: other.example.org; dkim=pass\r\n", false},
		{"authentication-results : (a (comment)) \r\n\t MX.Example.ORG 1;\r\n dkim=pass\r\n", false},
		{"Authentication-Results: \"mx.ex\\ample.org\"; dkim=pass\r\n", false},
		{"Authentication-Results: mx.example.org.; dkim=pass\r\n", false},
		{"Authentication-Results: mx.xn--bcher-kva.example; dkim=pass\r\n", false},
		{"Authentication-Results: mx.bücher.example; dkim=pass\r\n", false},
		{"Authentication-Results: mx.example.org\r\n", false},
		{"Authentication-Results: gmail.example 2; dkim=pass\r\n", false},
		{"Authentication-Results: a b c\r\n", false},
		{"Authentication-Results: (\r\n", false},
		{"Authentication-Results:\r\n", false},
		{"Authentication-Results: gmail.example; dkim=pass header.d=mx.example.org\r\n", true},
		{"Authentication-Results: notexample.org; dkim=pass\r\n", true},
		{"Authentication-Results: mx.example.org.evil.example; what\r\n", true},
		{"X-Authentication-Results: mx.example.org; dkim=pass\r\n", true},
		{"ARC-Authentication-Results: i=1; mx.example.org; dkim=pass\r\n", true},
		{"this is no field\r\nAuthentication-Results: gmail.example; none\r\n", true},
	} {
		header := []byte(before + c.field + after)
		want := before + after
		if c.kept {
			want = string(header)
		}
		got := RemoveForged(header, "mx.example.org", "example.org", "bücher.example")
		if string(got) != want || c.kept && &got[0] != &header[0] {
			t.Errorf("%q: %q", c.field, got)
		}
		if again := RemoveForged(bytes.Repeat(header, 1), "nobody.example"); c.kept && string(again) != string(header) {
			t.Errorf("%q: %q for nobody", c.field, again)
		}
	}
	forged := "Authentication-Results: mx.example.org; dkim=pass\r\n"
	body := "\r\n" + forged
	if got := RemoveForged([]byte(forged+"no field\r\n"+forged+after+forged), "mx.example.org"); string(got) != "no field\r\n"+after+forged {
		t.Errorf("around a line that is no field: %q", got)
	}
	if got := RemoveForged([]byte(body), "mx.example.org"); string(got) != body {
		t.Errorf("what is no header: %q", got)
	}
}

// FuzzAuthResults parses anything, and reads back what it writes.
func FuzzAuthResults(f *testing.F) {
	for _, value := range []string{
		"example.org 1; none", "mx; dkim=pass (x (y)) header.b=\"a\\\"b\" reason=z; spf/1=fail smtp.mailfrom=a@b", "\"a b\"; x=y z.w=\"", "((((", "a; b=c d.e=f@g@h;",
	} {
		f.Add([]byte(value), true)
	}
	f.Fuzz(func(t *testing.T, value []byte, unicode bool) {
		r, ok := ParseAuthResults(value)
		field := r.AppendField(nil, unicode)
		if !bytes.HasSuffix(field, crlf) || fieldLength(field) != len(field) || bytes.ContainsAny(bytes.ReplaceAll(field, []byte("\r\n\t"), nil)[:len(bytes.ReplaceAll(field, []byte("\r\n\t"), nil))-2], "\r\n\x00") {
			t.Fatalf("not one field: %q", field)
		}
		if !unicode && !isASCII(string(field)) {
			t.Fatalf("not ASCII: %q", field)
		}
		again, ok2 := ParseAuthResults(field[len("Authentication-Results:"):])
		if ok && r.ID != "" && (!ok2 || len(again.Methods) != len(r.Methods)) {
			t.Fatalf("%+v was written as %q, which reads as %+v", r, field, again)
		}
		if ok && len(r.ID) > 0 && bytes.HasPrefix(RemoveForged(append([]byte("Authentication-Results:"), field[len("Authentication-Results:"):]...), again.ID), []byte("Auth")) {
			t.Fatalf("its own ID is not removed: %q", field)
		}
	})
}
