package mailauth

import (
	"fmt"
	"strings"
	"testing"

	"mailstead/smtp/dns"
)

func TestReadAuthor(t *testing.T) {
	good := func(address string) Author {
		return Author{Domain: address[strings.LastIndexByte(address, '@')+1:], Address: address}
	}
	sloppy := func(a Author) Author { a.Sloppy = true; return a }
	bad := func(p AuthorProblem) Author { return Author{Problem: p} }
	for _, tt := range []struct {
		name, header string
		want         Author
	}{
		{"plain", "From: ann@example.org\r\n", good("ann@example.org")},
		{"with a name", "Subject: x\r\nFROM: Ann Example <ann@Example.ORG>\r\nTo: b@c.test\r\n", good("ann@example.org")},
		{"folded, quoted, with comments", "From: \"Example, Ann\"\r\n (who (else)) <ann@example.org> (work)\r\n", good("ann@example.org")},
		{"space before the colon", "From : ann@example.org\r\n", good("ann@example.org")},
		{"an encoded name", "From: =?utf-8?q?service=40bank=2Etest?= <x@evil.test>\r\n", good("x@evil.test")},
		{"a name that is an address", "From: \"service@bank.test\" <x@evil.test>\r\n", good("x@evil.test")},
		{"two of one domain", "From: a@example.org, b@Example.org\r\n", good("a@example.org")},
		{"a source route", "From: <@bank.test:x@evil.test>\r\n", good("x@evil.test")},
		{"obsolete spaces", "From: x @ evil . test\r\n", good("x@evil.test")},
		{"Unicode", "From: <jürgen@Bücher.test>\r\n", good("jürgen@xn--bcher-kva.test")},
		{"an @ in the local part", "From: <\"service@bank.test\"@evil.test>\r\n", good("service@bank.test@evil.test")},
		{"a final dot", "From: x@evil.test.\r\n", good("x@evil.test")},

		{"nothing", "Subject: x\r\n", bad(AuthorMissing)},
		{"no header", "", bad(AuthorMissing)},
		{"empty", "From:\r\n", bad(AuthorMissing)},
		{"only a comment", "From: (nobody)\r\n", bad(AuthorMissing)},
		{"in the body", "Subject: x\r\n\r\nFrom: a@example.org\r\n", bad(AuthorMissing)},
		{"two fields", "From: x@evil.test\r\nFrom: a@bank.test\r\n", bad(AuthorFields)},
		{"two fields, the same", "From: a@bank.test\r\nSubject: x\r\nfrom : a@bank.test\r\n", bad(AuthorFields)},
		{"an empty group", "From: undisclosed:;\r\n", bad(AuthorGroup)},
		{"a group", "From: bank: x@evil.test;\r\n", bad(AuthorGroup)},
		{"a group behind an address", "From: x@evil.test, g: a@bank.test;\r\n", bad(AuthorGroup)},
		{"two domains", "From: a@bank.test, x@evil.test\r\n", bad(AuthorSeveral)},
		{"too many", "From: " + strings.Repeat("a@example.org, ", maxAuthors) + "a@example.org\r\n", bad(AuthorSeveral)},
		{"as many as are read", "From: " + strings.Repeat("a@example.org, ", maxAuthors) + "\r\n", good("a@example.org")},
		{"no domain", "From: root\r\n", bad(AuthorUnreadable)},
		{"no local part", "From: <@example.org>\r\n", bad(AuthorUnreadable)},
		{"an address literal", "From: a@[192.0.2.1]\r\n", bad(AuthorUnreadable)},
		{"an encoded domain", "From: a@=?utf-8?q?bank=2Etest?=\r\n", bad(AuthorUnreadable)},
		{"an encoded address", "From: =?utf-8?q?=3Ca=40bank=2Etest=3E?= <x@evil.test\r\n", bad(AuthorUnreadable)},
		{"NUL", "From: a@bank.test\x00 <x@evil.test>\r\n", bad(AuthorUnreadable)},
		{"two without a comma", "From: a@bank.test <x@evil.test>\r\n", bad(AuthorUnreadable)},
		{"two in brackets", "From: <a@bank.test> <x@evil.test>\r\n", bad(AuthorUnreadable)},
		{"two @", "From: a@bank.test@evil.test\r\n", bad(AuthorUnreadable)},
		{"an open comment", "From: (x <a@bank.test>\r\n", bad(AuthorMissing)},
		{"an open quote", "From: \"a@bank.test <x@evil.test>\r\n", bad(AuthorUnreadable)},
		{"a broken one whose comment names another", "From: Bank x@evil.test (a@bank.test)\r\n", bad(AuthorUnreadable)},

		{"the address as a name", "From: a@example.org <a@Example.org>\r\n", sloppy(good("a@example.org"))},
		{"a name without brackets", "From: Ann a@example.org\r\n", sloppy(good("a@example.org"))},
		{"an open bracket", "From: Ann <a@example.org\r\n", sloppy(good("a@example.org"))},
		{"Unicode twice", "From: a@bücher.test <a@xn--bcher-kva.test>\r\n", sloppy(good("a@xn--bcher-kva.test"))},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := ReadAuthor([]byte(tt.header)); got != tt.want {
				t.Errorf("%q: got %+v\nwant %+v", tt.header, got, tt.want)
			}
		})
	}
}

// An author is a domain that can be asked for, or a problem, never both; and
// what is broken never hides a domain.
func FuzzReadAuthor(f *testing.F) {
	for _, value := range []string{
		"a@example.org", "\"a\" (b) <c@d.test>", "g:a@b.test;", "a@b.test <c@d.test", "a@=?utf-8?q?b?=", "@,@;@:<@>", "a@b.test\x00, c@ü.test",
		"(((", "<@a,@b:c@d.test>", strings.Repeat("a@b.test,", 60),
	} {
		f.Add(value)
	}
	f.Fuzz(func(t *testing.T, value string) {
		a := ReadAuthor(fmt.Appendf(nil, "From: %s\r\n", value))
		if (a.Problem == "") != (a.Domain != "") || (a.Domain != "") != (a.Address != "") {
			t.Fatalf("%q: %+v", value, a)
		}
		if a.Domain == "" {
			return
		}
		if ascii, err := dns.ASCII(a.Domain); err != nil || ascii != a.Domain {
			t.Errorf("%q: domain %q", value, a.Domain)
		}
	})
}
