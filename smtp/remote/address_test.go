package remote

import (
	"errors"
	"strings"
	"testing"
)

var addresses = []struct {
	in, want string // "" is refused
	utf8     bool
}{
	{"a@Example.test", "a@example.test", false},
	{"A.b+c=d@example.test", "A.b+c=d@example.test", false},
	{"a..b.@example.test", "a..b.@example.test", false},
	{`"a b"@example.test`, `"a b"@example.test`, false},
	{`"a@b>\"\\"@example.test`, `"a@b>\"\\"@example.test`, false},
	{"jürgen@example.test", "jürgen@example.test", true},
	{"a@bücher.test", "a@xn--bcher-kva.test", false},
	{"a@[192.0.2.1]", "a@[192.0.2.1]", false},
	{"a@[IPv6:2001:db8::1]", "a@[IPv6:2001:db8::1]", false},
	{strings.Repeat("a", 200) + "@example.test", strings.Repeat("a", 200) + "@example.test", false},
	{"", "", false},
	{"a", "", false},
	{"@example.test", "", false},
	{"a@", "", false},
	{"a b@example.test", "", false},
	{"a@b@example.test", "", false},
	{"<a@example.test>", "", false},
	{"a>@example.test", "", false},
	{"a@example.test> SIZE=1", "", false},
	{"a\r\n@example.test", "", false},
	{"a@example.test\r\nDATA", "", false},
	{"a@example.test\x00", "", false},
	{"a\u0085b@example.test", "", false},
	{"a\u2028b@example.test", "", false},
	{"\xff@example.test", "", false},
	{`"a@example.test`, "", false},
	{`""@example.test`, "", false},
	{`"a"b"@example.test`, "", false},
	{`"a\"@example.test`, "", false},
	{"\"a\r\nb\"@example.test", "", false},
	{"\"a\\\r\"@example.test", "", false},
	{"@relay.test:a@example.test", "", false},
	{"a@[2001:db8::1]", "", false},
	{"a@[IPv6:192.0.2.1]", "", false},
	{"a@[IPv6:fe80::1%eth0]", "", false},
	{"a@[x-tag:y]", "", false},
	{"a@[]", "", false},
	{"a@exa mple.test", "", false},
	{strings.Repeat("a", 400) + "@example.test", "", false},
}

func TestParsePath(t *testing.T) {
	for _, tt := range addresses {
		got, err := parsePath(tt.in)
		if got.text != tt.want || got.utf8 != tt.utf8 || (tt.want == "") != errors.Is(err, errAddress) {
			t.Errorf("%q: got %+v, %v", tt.in, got, err)
		}
	}
}

// What passes for an address is one argument of a command.
func FuzzParsePath(f *testing.F) {
	for _, tt := range addresses {
		f.Add(tt.in)
	}
	f.Fuzz(func(t *testing.T, in string) {
		p, err := parsePath(in)
		if err != nil {
			return
		}
		if strings.ContainsAny(p.text, "\r\n\x00") || !strings.Contains(p.text, "@") || isASCII(p.text) == p.utf8 {
			t.Errorf("%q became %+v", in, p)
		}
		if !strings.HasPrefix(p.text, `"`) && strings.ContainsAny(p.text, "<> \t\"") {
			t.Errorf("%q became %+v", in, p)
		}
		if again, err := parsePath(p.text); err != nil || again != p {
			t.Errorf("%q became %+v, then %+v, %v", in, p, again, err)
		}
	})
}
