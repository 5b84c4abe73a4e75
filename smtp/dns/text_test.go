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
