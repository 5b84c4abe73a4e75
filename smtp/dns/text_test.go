package dns

import (
	"strings"
	"testing"

	miekg "github.com/miekg/dns"
)

// Texts come out with the bytes that were on the wire, whatever the library
// makes of them in between.
func FuzzText(f *testing.F) {
	for _, text := range []string{"", "v=spf1 -all", `a\b"c`, "\\", "\\\\", "\\065", "\x00\x1f\x7f\xff", "ü", "a.b;c d"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > 255 {
			return
		}
		// A TXT record of the root with one string (RFC 1035 section 3.3.14).
		wire := "\x00\x00\x10\x00\x01\x00\x00\x00\x00" + string([]byte{byte((len(text) + 1) >> 8), byte(len(text) + 1), byte(len(text))}) + text
		rr, _, err := miekg.UnpackRR([]byte(wire), 0)
		if err != nil {
			t.Fatal(err)
		}
		if got := unescape(strings.Join(rr.(*miekg.TXT).Txt, "")); got != text {
			t.Errorf("got %q, want %q", got, text)
		}
	})
}

// A name that may be asked for is the same after its way over the wire.
func FuzzQuestionName(f *testing.F) {
	for _, name := range []string{"Example.test.", "a+b=c.test", `back\slash.test`, `\.test`, `a"b(c);d @e.test`, "bücher.test", "a\tb"} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		asked, err := questionName(name)
		if err != nil {
			return
		}
		wire, err := query(question{asked, miekg.TypeA}, false).Pack()
		if err != nil {
			t.Fatalf("%q cannot be asked: %v", asked, err)
		}
		var m miekg.Msg
		if err := m.Unpack(wire); err != nil {
			t.Fatal(err)
		}
		if !sameName(m.Question[0].Name, asked) {
			t.Errorf("asked for %q, got %q", asked, m.Question[0].Name)
		}
	})
}
