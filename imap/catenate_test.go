package imap

import (
	"fmt"
	"strings"
	"testing"
)

func TestParseMessageURL(t *testing.T) {
	tests := []struct {
		text     string
		ok       bool
		mailbox  string
		validity uint32
		uid      uint32
		path     int // part numbers of the section
		partial  string
	}{
		{text: "/INBOX;UIDVALIDITY=385759045/;UID=20/;SECTION=1.2.MIME", ok: true, mailbox: "INBOX", validity: 385759045, uid: 20, path: 2},
		{text: "/inbox/;uid=20", ok: true, mailbox: "INBOX", uid: 20},
		{text: "/a%2Fb/c;UIDVALIDITY=1/;UID=4294967295/", ok: true, mailbox: "a/b/c", validity: 1, uid: 4294967295},
		{text: ";UID=1/;SECTION=HEADER.FIELDS%20(SUBJECT%20TO)/;PARTIAL=5.6", ok: true, uid: 1, partial: "5.6"},
		{text: "/;UID=1/;PARTIAL=7", ok: true, uid: 1, partial: "7.9223372036854775807"},
		{text: "/%E2%98%83/;UID=1", ok: true, mailbox: "☃", uid: 1},
		{text: "/INBOX;UID=1"},
		{text: "INBOX/;UID=1"},
		{text: "imap://host/INBOX/;UID=1"},
		{text: "/INBOX"},
		{text: "/INBOX/;UID=0"},
		{text: "/INBOX/;UID=4294967296"},
		{text: "/INBOX/;UID=-1"},
		{text: "/INBOX;UIDVALIDITY=0/;UID=1"},
		{text: "/INBOX/;UID=1/;SECTION="},
		{text: "/INBOX/;UID=1/;SECTION=1.2x"},
		{text: "/INBOX/;UID=1/;SECTION=HEADER]%20(FLAGS"},
		{text: "/INBOX/;UID=1/;SECTION=%0D%0A"},
		{text: "/INBOX/;UID=1/;SECTION=HEADER.FIELDS%20({3}"},
		{text: "/INBOX/;UID=1/;PARTIAL="},
		{text: "/INBOX/;UID=1/;PARTIAL=1.0"},
		{text: "/%zz/;UID=1"},
		{text: ""},
	}
	for _, test := range tests {
		u, ok := parseMessageURL(test.text)
		if ok != test.ok {
			t.Errorf("%s: %v", test.text, ok)
			continue
		}
		if !ok {
			continue
		}
		partial := ""
		if u.section.partial {
			partial = fmt.Sprintf("%d.%d", u.section.offset, u.section.count)
		}
		if u.mailbox != test.mailbox || u.validity != test.validity || uint32(u.uid) != test.uid ||
			len(u.section.path) != test.path || partial != test.partial {
			t.Errorf("%s: %+v %+v", test.text, u, u.section)
		}
	}
}

// FuzzMessageURL reads arbitrary URLs; what is refused is told in what a response code
// may hold.
func FuzzMessageURL(f *testing.F) {
	f.Add("/INBOX;UIDVALIDITY=385759045/;UID=20/;SECTION=1.2.MIME/;PARTIAL=1.2")
	f.Add(";UID=1/;SECTION=HEADER.FIELDS%20(SUBJECT%20TO)")
	f.Add("/a ] b/;UID=1\r\n")
	f.Fuzz(func(t *testing.T, text string) {
		if u, ok := parseMessageURL(text); ok {
			if u.uid == 0 || u.section == nil {
				t.Errorf("%q: %+v", text, u)
			}
			return
		}
		code := replyTo(badURL(text)).Code
		if inside := strings.TrimSuffix(strings.TrimPrefix(string(code), `BADURL "`), `"`); strings.ContainsAny(inside, "\r\n]\"\\ ") {
			t.Errorf("%q: %q", text, code)
		}
	})
}
