package message

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestParseDate(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{"Mon, 6 Jul 2020 10:00:00 +0200", "2020-07-06T10:00:00+02:00"},
		{" 6 Jul 2020 10:00 -0330\r\n", "2020-07-06T10:00:00-03:30"},
		{"Fri, 21 Nov 1997 09(comment):   55  :  06 -0600 (CST (of (course)))", "1997-11-21T09:55:06-06:00"},
		{"21 Nov 97 09:55:06 GMT", "1997-11-21T09:55:06Z"},
		{"1 Jan 49 00:00:00 EST", "2049-01-01T00:00:00-05:00"},
		{"1 Jan 50 00:00:00 Z", "1950-01-01T00:00:00Z"},
		{"1 Jan 104 00:00:00 +0000", "2004-01-01T00:00:00Z"},
		{"Mon,\r\n 6 July 2020\r\n\t10:00:00 GMT+0200", "2020-07-06T10:00:00+02:00"},
		{"Mon Jul  6 10:00:00 2020", "2020-07-06T10:00:00Z"},
		{"Mon, 06-Jul-2020 10:00:00 +02:00", "2020-07-06T10:00:00+02:00"},
		{"2020-07-06 10:00:00 +0200", "2020-07-06T10:00:00+02:00"},
		{"2020-07-06T10:00:00.123Z", "2020-07-06T10:00:00Z"},
		{"7 Jul 2020 1:02:03 PM +0000", "2020-07-07T13:02:03Z"},
		{"Thu, 31 Dec 1998 23:59:60 +0000", "1999-01-01T00:00:00Z"},
		{"6 Jul 2020", "2020-07-06T00:00:00Z"},
		{"6 Jul 2020 10:00:00 +9999", "2020-07-06T10:00:00Z"},
		{"6 Jul 2020 25:00:00 +0000", ""},
		{"32 Jul 2020 10:00:00 +0000", ""},
		{"31 Feb 2020 10:00:00 +0000", ""},
		{"29 Feb 2019 10:00:00 +0000", ""},
		{"29 Feb 2020 10:00:00 +0000", "2020-02-29T10:00:00Z"},
		{"0 Jul 2020 10:00:00 +0000", ""},
		{"Jul 2020", ""},
		{"", ""},
		{"yesterday", ""},
		{"6 Jul 99999 10:00:00", ""},
	} {
		got := ""
		if d, ok := ParseDate([]byte(tt.in)); ok {
			got = d.Format(time.RFC3339)
		}
		if got != tt.want {
			t.Errorf("%q is %q, want %q", tt.in, got, tt.want)
		}
	}
}

func TestParseAddressList(t *testing.T) {
	box := func(name, local, domain string) Address { return Address{Name: name, Local: local, Domain: domain} }
	broken := func(a Address) Address { a.Broken = true; return a }
	for _, tt := range []struct {
		in   string
		want []Address
	}{
		{"", nil},
		{"a@b.example", []Address{box("", "a", "b.example")}},
		{"Ann Example <ann@example.org>", []Address{box("Ann Example", "ann", "example.org")}},
		{`"Example, Ann" <"a b"@[192.0.2.1]>, c@d (Carl)`, []Address{box("Example, Ann", "a b", "[192.0.2.1]"), box("Carl", "c", "d")}},
		{"friends: a@b, c@d;, e@f", []Address{{Kind: GroupStart, Name: "friends"}, box("", "a", "b"), box("", "c", "d"), {Kind: GroupEnd}, box("", "e", "f")}},
		{"<@x,@y:a@b>", []Address{{Route: "@x,@y", Local: "a", Domain: "b"}}},
		{"john . doe @ example . org", []Address{box("", "john.doe", "example.org")}},
		{"Jürgen <jürgen@exämple.org>", []Address{box("Jürgen", "jürgen", "exämple.org")}},
		// What a check of the sender must not be led astray by.
		{"a@b <c@d>", []Address{broken(box("", "a", "b")), broken(box("", "c", "d"))}},
		{"<a@b> <c@d>", []Address{broken(box("", "a", "b")), broken(box("", "c", "d"))}},
		{"<a@b> c@d", []Address{broken(box("", "a", "b"))}},
		{"a@b c@d", []Address{broken(box("", "a", "b"))}},
		{"a@b@c", []Address{broken(box("", "a@b", "c"))}},
		{"Name a@b", []Address{broken(box("Name", "a", "b"))}},
		{"a", []Address{broken(box("", "a", ""))}},
		{"<a@b", []Address{broken(box("", "a", "b"))}},
		{"a@b\x00", []Address{broken(box("", "a", "b"))}},
		{"(c a@b", nil},
		{"g: a@b", []Address{{Kind: GroupStart, Name: "g"}, box("", "a", "b"), {Kind: GroupEnd, Broken: true}}},
	} {
		if diff := cmp.Diff(tt.want, ParseAddressList([]byte(tt.in))); diff != "" {
			t.Errorf("%q:\n%s", tt.in, diff)
		}
	}
}

func TestDecodeHeader(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{" plain \r\n", "plain"},
		{"=?utf-8?q?caf=C3=A9?=", "café"},
		{"a =?UTF-8?B?w7w=?= =?utf-8?q?_=C3=A4?=\r\n b", "a ü ä b"},
		{"=?iso-8859-1*de?Q?=FC?=", "ü"},
		// A character cut between two words.
		{"=?utf-8?b?w6TD?= =?utf-8?b?tg==?=", "äö"},
		{"=?utf-8?q?a?=x =?utf-8?q?b?=", "ax b"},
		{"=?utf-8?q?Really??=", "Really?"},
		{"=?gb2312?b?1tDOxA==?=", "中文"},
		{"=?iso-2022-jp?B?GyRCRnxLXDhsGyhC?=", "日本語"},
		{"=?x-nope?q?a?=", "=?x-nope?q?a?="},
		{"=?utf-8?q?=zz?=", "=?utf-8?q?=zz?="},
		{"=?utf-8?x?a?=", "=?utf-8?x?a?="},
		{"=?utf-8?q?no end", "=?utf-8?q?no end"},
		{"=?utf-8?q?a=0D=0Ab?=", "a  b"},
		{"r\xe9sum\xe9", "résumé"},
		{"=? =?utf-8?q?a?=", "=? a"},
	} {
		if got := DecodeHeader([]byte(tt.in)); got != tt.want {
			t.Errorf("%q is %q, want %q", tt.in, got, tt.want)
		}
	}
}

func TestBaseSubject(t *testing.T) {
	for _, tt := range []struct {
		in, want string
		reply    bool
	}{
		{"hello", "hello", false},
		{"Re: hello", "hello", true},
		{"RE : [x] Fwd [1]: hello  there (FWD) (fwd)", "hello there", true},
		{"[list] hello", "hello", false},
		{"[only]", "[only]", false},
		{"[a][b]", "[b]", false},
		{"[Fwd: Re: [x] hello]", "hello", true},
		{"Re[3]: x", "x", true},
		{"Regarding: x", "Regarding: x", false},
		{"Fwd:", "", true},
		{"=?utf-8?q?Re=3A_=C3=BC?=", "ü", true},
		{"", "", false},
	} {
		if got, reply := BaseSubject([]byte(tt.in)); got != tt.want || reply != tt.reply {
			t.Errorf("%q is %q, %v, want %q, %v", tt.in, got, reply, tt.want, tt.reply)
		}
	}
}

func TestFold(t *testing.T) {
	for _, same := range [][]string{
		{"straße", "STRAßE", "Straße"}, {"é", "É", "e\u0301"}, {"ﬁne", "FINE"}, {"Ǆ", "ǆ", "ǅ"}, {"한", "\u1112\u1161\u11ab"},
		{"１２", "12"}, {"a\u00a0b", "A B"}, {"Σ", "σ"},
	} {
		for _, s := range same[1:] {
			if !bytes.Equal(FoldString(s), FoldString(same[0])) {
				t.Errorf("%q folds to %q, %q to %q", s, FoldString(s), same[0], FoldString(same[0]))
			}
		}
	}
	if bytes.Equal(FoldString("a"), FoldString("b")) {
		t.Error("a equals b")
	}
	// The short ways give what the tables of Unicode say, and folding again changes nothing.
	for r := range rune(0x110000) {
		if 0xd800 <= r && r < 0xe000 {
			continue
		}
		s := string(r)
		fold := FoldString(s)
		if want := appendFold(nil, r); !bytes.Equal(fold, want) {
			t.Fatalf("%U folds to %q, want %q", r, fold, want)
		}
		if again := Fold(nil, fold); !bytes.Equal(again, fold) {
			t.Errorf("%U folds to %q, that to %q", r, fold, again)
		}
	}
}

// A needle is found wherever it lies: across the ends of chunks, of lines and of characters in their encoding.
func TestContainsAcrossChunks(t *testing.T) {
	for pad := textChunk - 40; pad <= textChunk+4; pad++ {
		for _, m := range []struct{ encoding, text string }{
			{"8bit", "x Nädel Ω y"}, {"quoted-printable", "x N=C3=\r\n=A4del =CE=A9 y"},
		} {
			raw := "Subject: s\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: " + m.encoding + "\r\n\r\n" + strings.Repeat("p", pad) + m.text
			found, err := Contains(strings.NewReader(raw), view(t, raw), ScopeBody, FoldString("nÄdel ω"))
			if err != nil || !found {
				t.Fatalf("%s after %d octets: %v, %v", m.encoding, pad, found, err)
			}
		}
	}
}

func TestContains(t *testing.T) {
	raw := "Subject: =?utf-8?q?=C3=84pfel?= outside\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\npreamble\r\n--b\r\n\r\nfirst end\r\n" +
		"--b\r\nContent-Type: text/html\r\n\r\n<style>hidden</style><p>sec<b>ond</b> &uuml;ber\r\nline</p>\r\n" +
		"--b\r\nContent-Type: application/pdf; name=\"report.pdf\"\r\nContent-Transfer-Encoding: base64\r\n\r\naGlkZGVu\r\n" +
		"--b\r\nContent-Type: message/rfc822\r\n\r\nSubject: inner subject\r\n\r\ninner body\r\n--b--\r\n"
	v := view(t, raw)
	for _, tt := range []struct {
		scope  Scope
		needle string
		want   bool
	}{
		{ScopeText, "äpfel OUTSIDE", true}, {ScopeHeader, "äpfel", true}, {ScopeBody, "äpfel", false},
		{ScopeHeader, "first", false}, {ScopeBody, "first", true}, {ScopeBody, "preamble", false},
		{ScopeBody, "second über line", true}, {ScopeBody, "hidden", false}, {ScopeBody, "report.pdf", true},
		{ScopeBody, "inner subject", true}, {ScopeBody, "inner body", true}, {ScopeText, "subject: inner", true},
		{ScopeBody, "endsec", false}, {ScopeBody, "", true}, {ScopeText, "absent", false},
	} {
		got, err := Contains(strings.NewReader(raw), v, tt.scope, FoldString(tt.needle))
		if err != nil || got != tt.want {
			t.Errorf("scope %d %q: %v, %v, want %v", tt.scope, tt.needle, got, err, tt.want)
		}
	}
	if !HeaderContains([]byte(raw), "subject", FoldString("ÄPF")) || HeaderContains([]byte(raw), "subject", FoldString("inner")) ||
		!HeaderContains(v.StoredHeader(), "Content-Type", nil) || HeaderContains([]byte(raw), "Cc", nil) {
		t.Error("HeaderContains")
	}
}

type failingReader struct{ err error }

func (r failingReader) ReadAt([]byte, int64) (int, error) { return 0, r.err }

func TestReadErrors(t *testing.T) {
	v := view(t, "Subject: s\r\n\r\nbody\r\n")
	want := errors.New("disk")
	if _, err := Contains(failingReader{want}, v, ScopeText, []byte("X")); !errors.Is(err, want) {
		t.Errorf("error %v", err)
	}
	if found, err := Contains(failingReader{io.EOF}, v, ScopeText, []byte("X")); found || err != nil {
		t.Errorf("a message that became shorter: %v, %v", found, err)
	}
}

func TestOpenRefuses(t *testing.T) {
	good := Parse([]byte("Subject: s\r\n\r\nbody\r\n")).AppendTo(nil)
	for name, bad := range map[string][]byte{
		"nothing": nil, "another version": append([]byte{storedVersion + 1}, good[1:]...), "cut": good[:len(good)-1],
		"longer": append(slices.Clone(good), 0), "only the version": good[:1],
	} {
		if _, err := Open(bad); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestViewAllocatesNothing(t *testing.T) {
	stored := Parse(mixedMail(1000)).AppendTo(nil)
	m := NewFieldMatcher([]string{"From", "Subject", "Received"}, false)
	dst := make([]byte, 0, 4096)
	path := []int{1, 2}
	if n := testing.AllocsPerRun(100, func() {
		v, err := Open(stored)
		if err != nil {
			t.Fatal(err)
		}
		dst = v.AppendHeaderFields(dst[:0], &m)
		dst = v.AppendBody(append(dst, v.Envelope()...))
		v.Section(path, SectionBody)
		v.MessageID()
		v.Preview()
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestAppendField(t *testing.T) {
	for _, tt := range []struct{ value, want string }{
		{"plain", "X: plain\r\n"},
		{"", "X: \r\n"},
		{"a\r\nBcc: b\x00", "X: a Bcc: b\r\n"},
		{"Grüße aus Köln", "X: =?utf-8?q?Gr=C3=BC=C3=9Fe?= aus =?utf-8?q?K=C3=B6ln?=\r\n"},
		{strings.Repeat("word ", 20), "X:" + strings.Repeat(" word", 15) + "\r\n" + strings.Repeat(" word", 5) + "\r\n"},
	} {
		if got := string(AppendField(nil, "X", tt.value)); got != tt.want {
			t.Errorf("%q gives %q, want %q", tt.value, got, tt.want)
		}
	}
	long := AppendField(nil, "X", strings.Repeat("ü", 500)+strings.Repeat("a", 5000))
	for line := range bytes.Lines(long) {
		if len(line) > 80 {
			t.Errorf("line of %d octets", len(line))
		}
	}
	if got := DecodeHeader(long[2:]); got != strings.Repeat("ü", 500)+strings.Repeat("a", 5000) {
		t.Errorf("decodes to %q", got)
	}
}

func TestFormatAddress(t *testing.T) {
	for _, tt := range []struct{ name, want string }{
		{"", "a@b"}, {"Ann Example", "Ann Example <a@b>"}, {`Q. "A", C`, `"Q. \"A\", C" <a@b>`}, {"Jürgen\r\n", "=?utf-8?q?J=C3=BCrgen?= <a@b>"},
	} {
		got := FormatAddress(tt.name, "a@b")
		if got != tt.want {
			t.Errorf("%q gives %q, want %q", tt.name, got, tt.want)
		}
		if list := ParseAddressList([]byte(got)); len(list) != 1 || list[0].Broken || list[0].Local != "a" {
			t.Errorf("%q reads as %+v", got, list)
		}
	}
}
