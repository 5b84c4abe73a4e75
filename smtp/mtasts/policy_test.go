package mtasts

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestParse(t *testing.T) {
	const good = "version: STSv1\r\nmode: enforce\r\nmx: mail.example.test\r\nmx: *.Example.net\r\nmax_age: 86400\r\n"
	want := Policy{Mode: Enforce, MaxAge: 24 * time.Hour, MX: []string{"mail.example.test", "*.example.net"}}
	change := func(from, to string) string { return strings.Replace(good, from, to, 1) }
	for name, tt := range map[string]struct {
		text string
		want Policy // the zero one: refused
	}{
		"as in the RFC":           {good, want},
		"bare LF":                 {strings.ReplaceAll(good, "\r\n", "\n"), want},
		"no last line end":        {strings.TrimSuffix(good, "\r\n"), want},
		"no space, much space":    {change("mode: enforce", "mode:enforce \t"), want},
		"unknown fields":          {good + "x-more: yes: really\r\n", want},
		"the first of two counts": {good + "mode: none\r\nmax_age: 1\r\n", want},
		"blank lines":             {"\r\n" + good + "\n\n", want},
		"another order":           {"mode: enforce\n" + strings.Replace(good, "mode: enforce\r\n", "", 1), want},
		"a year at most":          {change("86400", "9999999999"), Policy{Mode: Enforce, MaxAge: maxAge, MX: want.MX}},
		"none needs no hosts":     {"version: STSv1\nmode: none\nmax_age: 0\n", Policy{Mode: None}},
		"empty":                   {"", Policy{}},
		"another version":         {change("STSv1", "STSv2"), Policy{}},
		"no version":              {change("version: STSv1\r\n", ""), Policy{}},
		"another mode":            {change("enforce", "Enforce"), Policy{}},
		"no hosts":                {"version: STSv1\nmode: testing\nmax_age: 5\n", Policy{}},
		"no age":                  {change("max_age: 86400\r\n", ""), Policy{}},
		"an age below zero":       {change("86400", "-1"), Policy{}},
		"an age of eleven digits": {change("86400", "10000000000"), Policy{}},
		"a star within a name":    {change("*.Example", "mx*.example"), Policy{}},
		"a star alone":            {change("*.Example.net", "*"), Policy{}},
		"a star behind a label":   {change("*.Example.net", "a.*.example"), Policy{}},
		"an address":              {change("*.Example.net", "[192.0.2.1]"), Policy{}},
		"U-labels":                {change("*.Example.net", "*.bücher.test"), Policy{}},
		"a line that is no field": {good + "hello\r\n", Policy{}},
		"a page of the web":       {"<html>\n<a href=\"http://x.test/\">\n", Policy{}},
		"too large":               {good + strings.Repeat("x: y\n", maxPolicy/5), Policy{}},
		"more hosts than anybody": {good + strings.Repeat("mx: a.test\n", maxPatterns), Policy{}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Parse(tt.text)
			if tt.want.Mode == "" {
				if !errors.Is(err, ErrPolicy) {
					t.Errorf("taken: %+v, %v", got, err)
				}
				return
			}
			if d := cmp.Diff(tt.want, got); d != "" || err != nil {
				t.Errorf("%v (-want +got)\n%s", err, d)
			}
		})
	}
}

func TestAllows(t *testing.T) {
	p := Policy{MX: []string{"mail.example.test", "*.example.net"}}
	for host, want := range map[string]bool{
		"mail.example.test": true, "mx1.example.net": true,
		"example.test": false, "other.example.test": false, "a.mail.example.test": false,
		"example.net": false, "a.b.example.net": false, ".example.net": false, "": false, "xexample.net": false,
	} {
		if p.Allows(host) != want {
			t.Errorf("%q: %v", host, !want)
		}
	}
}

func TestRecords(t *testing.T) {
	for name, tt := range map[string]struct {
		texts []string
		id    string
	}{
		"as in the RFC":       {[]string{"v=STSv1; id=20160831085700Z;"}, "20160831085700Z"},
		"no space":            {[]string{"v=STSv1;id=1"}, "1"},
		"more fields":         {[]string{"v=STSv1; more=x; id=1"}, "1"},
		"others are not ours": {[]string{"v=spf1 -all", "v=STSv1; id=1", "v=STSv10; id=2"}, "1"},
		"two":                 {[]string{"v=STSv1; id=1", "v=STSv1; id=2"}, ""},
		"none":                {nil, ""},
		"no id":               {[]string{"v=STSv1;"}, ""},
		"id first":            {[]string{"id=1; v=STSv1"}, ""},
		"malformed id":        {[]string{"v=STSv1; id=a-b"}, ""},
		"long id":             {[]string{"v=STSv1; id=" + strings.Repeat("1", 33)}, ""},
		"no field":            {[]string{"v=STSv1; id=1; hello"}, ""},
		"too long":            {[]string{"v=STSv1; id=1; x=" + strings.Repeat("y", maxRecord)}, ""},
	} {
		if id, ok := parseRecords(tt.texts); ok != (tt.id != "") || ok && id != tt.id {
			t.Errorf("%s: %q, %v", name, id, ok)
		}
	}
}

// Whatever comes from the web, what is kept of it is bounded and means the same when it is read again.
func FuzzParse(f *testing.F) {
	f.Add("version: STSv1\r\nmode: enforce\r\nmx: mail.example.test\r\nmx: *.example.net\r\nmax_age: 86400\r\n")
	f.Add("version:STSv1\nmode:none\nmax_age:0")
	f.Add("mx: *.\nmx: \xff\nmode\n: x\n")
	f.Fuzz(func(t *testing.T, text string) {
		p, err := Parse(text)
		if err != nil {
			if !errors.Is(err, ErrPolicy) {
				t.Fatal(err)
			}
			return
		}
		if p.MaxAge < 0 || p.MaxAge > maxAge || len(p.MX) > maxPatterns || p.Mode != None && len(p.MX) == 0 {
			t.Errorf("%q: %+v", text, p)
		}
		for _, host := range p.MX {
			if again, err := cleanPattern(host); err != nil || again != host {
				t.Errorf("%q is kept as %q", again, host)
			}
			if !p.Allows(strings.Replace(host, "*", "any", 1)) {
				t.Errorf("%q does not allow itself", host)
			}
		}
	})
}

func FuzzRecords(f *testing.F) {
	f.Add("v=STSv1; id=20160831085700Z;")
	f.Add("v=STSv1;=;id=")
	f.Fuzz(func(t *testing.T, text string) {
		if id, ok := parseRecords([]string{text}); ok && (!isID(id) || !strings.HasPrefix(text, "v=STSv1")) {
			t.Errorf("%q has the id %q", text, id)
		}
	})
}
