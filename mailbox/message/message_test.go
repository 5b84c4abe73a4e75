package message

import (
	"regexp"
	"strings"
	"testing"
)

// view indexes raw and opens what would be stored.
func view(t testing.TB, raw string) *View {
	t.Helper()
	v, err := Open(Parse([]byte(raw)).AppendTo(nil))
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	if err := v.Check(); err != nil {
		t.Fatalf("Check: %v", err)
	}
	return &v
}

// The shapes that mail programs meet most, as regular expressions over BODYSTRUCTURE.
func TestBodyStructureShapes(t *testing.T) {
	const head = "MIME-Version: 1.0\r\nSubject: s\r\nFrom: a@b.example\r\n"
	const text = "Content-Type: text/plain; charset=us-ascii\r\n\r\nhello\r\n"
	tests := []struct{ name, raw, want string }{
		{"plain", head + text, `^\("TEXT" "PLAIN" \("CHARSET" "us-ascii"\) NIL NIL "7BIT" 7 1 NIL NIL NIL NIL\)$`},
		{"no MIME header", "Subject: s\r\n\r\nhi\r\n", `^\("TEXT" "PLAIN" \("CHARSET" "us-ascii"\) NIL NIL "7BIT" 4 1`},
		{"html qp", head + "Content-Type: text/html; charset=\"utf-8\"\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n<p>=C3=BC</p>\r\n",
			`^\("TEXT" "HTML" \("CHARSET" "utf-8"\) NIL NIL "QUOTED-PRINTABLE" 15 1`},
		{"alternative", head + "Content-Type: multipart/alternative; boundary=b1\r\n\r\n--b1\r\n" + text + "--b1\r\nContent-Type: text/html\r\n\r\n<b>x</b>\r\n--b1--\r\n",
			`^\(\("TEXT" "PLAIN".*?\)\("TEXT" "HTML" NIL.*\) "ALTERNATIVE" \("BOUNDARY" "b1"\) NIL NIL NIL\)$`},
		{"attachment with name", head + "Content-Type: multipart/mixed; boundary=\"b 2\"\r\n\r\n--b 2\r\n" + text + "--b 2\r\nContent-Type: application/pdf; name=\"a b.pdf\"\r\nContent-Transfer-Encoding: base64\r\nContent-Disposition: attachment; filename=\"a b.pdf\"\r\n\r\nAAAA\r\n--b 2--\r\n",
			`"APPLICATION" "PDF" \("NAME" "a b.pdf"\) NIL NIL "BASE64" 4 NIL \("ATTACHMENT" \("FILENAME" "a b.pdf"\)\) NIL NIL\)`},
		{"message/rfc822", head + "Content-Type: multipart/mixed; boundary=b3\r\n\r\n--b3\r\n" + text + "--b3\r\nContent-Type: message/rfc822\r\n\r\nSubject: inner\r\nFrom: i@i.example\r\n\r\ninner body\r\n--b3--\r\n",
			`"MESSAGE" "RFC822" NIL NIL NIL "7BIT" 47 \(NIL "inner" \(\(NIL NIL "i" "i.example"\)\).*?\) \("TEXT" "PLAIN"`},
		{"nested multipart", head + "Content-Type: multipart/mixed; boundary=o\r\n\r\n--o\r\nContent-Type: multipart/related; boundary=i\r\n\r\n--i\r\n" + text + "--i\r\nContent-Type: image/png\r\nContent-ID: <c1@x>\r\nContent-Transfer-Encoding: base64\r\n\r\nAAAA\r\n--i--\r\n--o\r\n" + text + "--o--\r\n",
			`^\(\(\("TEXT".*?\)\("IMAGE" "PNG" NIL "<c1@x>" NIL "BASE64".*?\) "RELATED".*\)\("TEXT" "PLAIN".*\) "MIXED"`},
		{"RFC 2231 parameters", head + "Content-Type: application/x-y;\r\n name*0=\"long\";\r\n name*1=\"name.bin\"\r\nContent-Disposition: attachment; filename*=utf-8''%C3%BC.bin\r\n\r\nxx\r\n",
			`"APPLICATION" "X-Y" \("NAME" "longname.bin"\) .*\("FILENAME\*" "utf-8''%C3%BC.bin"\)`},
		{"empty body, language, md5", head + "Content-Type: text/plain\r\nContent-Language: de, en\r\nContent-MD5: Q2hlY2s=\r\nContent-Description: \"desc\"\r\n\r\n",
			`^\("TEXT" "PLAIN" .* NIL "\\"desc\\"" "7BIT" 0 0 "Q2hlY2s=" NIL \("de" "en"\) NIL\)$`},
		{"unterminated boundary", head + "Content-Type: multipart/mixed; boundary=zz\r\n\r\n--zz\r\n" + text, `^\(\("TEXT" "PLAIN".*\) "MIXED"`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := string(view(t, tt.raw).BodyStructure())
			if !regexp.MustCompile(tt.want).MatchString(got) {
				t.Errorf("BODYSTRUCTURE %s\ndoes not match %s", got, tt.want)
			}
		})
	}
}

// Every section of an attached message in a multipart, by what it says.
func TestSections(t *testing.T) {
	raw := "Subject: outer\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\npreamble\r\n" +
		"--b\r\n\r\nfirst\r\n" +
		"--b\r\nContent-Type: message/rfc822\r\n\r\nSubject: inner\r\n\r\nbody\r\n" +
		"--b\r\nContent-Type: message/rfc822\r\n\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n--c\r\nA: b\r\n\r\nx\r\n--c--\r\n" +
		"--b--\r\nepilogue\r\n"
	v := view(t, raw)
	single := "Subject: s\r\n\r\nonly\r\n"
	tests := []struct {
		raw  string
		path []int
		what Section
		want string // "NIL" for none
	}{
		{raw, nil, SectionBody, raw},
		{raw, nil, SectionHeader, "Subject: outer\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"},
		{raw, nil, SectionMIME, "NIL"},
		{raw, []int{1}, SectionBody, "first"},
		{raw, []int{1}, SectionMIME, "\r\n"},
		{raw, []int{1}, SectionText, "NIL"},
		{raw, []int{1, 1}, SectionBody, "NIL"},
		{raw, []int{2}, SectionMIME, "Content-Type: message/rfc822\r\n\r\n"},
		{raw, []int{2}, SectionBody, "Subject: inner\r\n\r\nbody"},
		{raw, []int{2}, SectionHeader, "Subject: inner\r\n\r\n"},
		{raw, []int{2}, SectionText, "body"},
		{raw, []int{2, 1}, SectionBody, "body"},
		{raw, []int{2, 1}, SectionMIME, "Subject: inner\r\n\r\n"},
		{raw, []int{2, 2}, SectionBody, "NIL"},
		{raw, []int{2, 1, 1}, SectionBody, "NIL"},
		{raw, []int{3, 1}, SectionBody, "x"},
		{raw, []int{3, 1}, SectionMIME, "A: b\r\n\r\n"},
		{raw, []int{3}, SectionText, "--c\r\nA: b\r\n\r\nx\r\n--c--"},
		{raw, []int{4}, SectionBody, "NIL"},
		{raw, []int{0}, SectionBody, "NIL"},
		{single, []int{1}, SectionBody, "only\r\n"},
		{single, []int{1}, SectionMIME, "Subject: s\r\n\r\n"},
		{single, []int{1, 1}, SectionBody, "NIL"},
		{single, []int{2}, SectionBody, "NIL"},
	}
	for _, tt := range tests {
		v := v
		if tt.raw == single {
			v = view(t, single)
		}
		got := "NIL"
		if off, n, ok := v.Section(tt.path, tt.what); ok {
			got = tt.raw[off : off+n]
		}
		if got != tt.want {
			t.Errorf("section %v %d = %q, want %q", tt.path, tt.what, got, tt.want)
		}
	}
}

func TestHeaderFields(t *testing.T) {
	header := "Received: a\r\n\tfolded\r\nFrom: x@y\r\nX-Other: 1\r\nSubject : s\r\nno colon here\r\nRECEIVED: b\r\n\r\n"
	long := "X-Pad: " + strings.Repeat("p", maxWholeHeader) + "\r\n" + header
	tests := []struct {
		names  []string
		not    bool
		want   string
		cached bool // also when the header is not stored whole
	}{
		{[]string{"received", "SUBJECT"}, false, "Received: a\r\n\tfolded\r\nSubject : s\r\nRECEIVED: b\r\n\r\n", true},
		{[]string{"Cc"}, false, "\r\n", true},
		{[]string{"x-other"}, false, "X-Other: 1\r\n\r\n", false},
		{[]string{"received", "x-other", "x-pad"}, true, "From: x@y\r\nSubject : s\r\nno colon here\r\n\r\n", false},
	}
	for _, tt := range tests {
		m := NewFieldMatcher(tt.names, tt.not)
		for _, h := range []string{header, long} {
			v := view(t, h+"body\r\n")
			want := h == header || tt.cached
			if got := v.Covers(&m); got != want {
				t.Errorf("%v: Covers = %v, want %v", tt.names, got, want)
			}
			if got := string(AppendHeaderFields(nil, []byte(h), &m)); got != tt.want {
				t.Errorf("%v: from the header %q, want %q", tt.names, got, tt.want)
			}
			if !want {
				continue
			}
			if got := string(v.AppendHeaderFields(nil, &m)); got != tt.want {
				t.Errorf("%v: stored %q, want %q", tt.names, got, tt.want)
			}
		}
	}
}
