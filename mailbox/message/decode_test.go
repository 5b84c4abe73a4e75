package message

import (
	"strings"
	"testing"
)

// TestQuotedPrintableSpace proves that white space goes at the end of a line and nowhere else (RFC 2045 section 6.7, rule
// 3), wherever the text is cut into pieces.
func TestQuotedPrintableSpace(t *testing.T) {
	long := strings.Repeat(" ", 2*maxHeld)
	for text, want := range map[string]string{
		"a \r\nb\t \t\nc":         "a\r\nb\nc",
		"a=20\r\nb =\r\n c":       "a \r\nb  c",
		"a=20 \r\n \r\n\r\n":      "a \r\n\r\n\r\n",
		"a \rb \r":                "a \rb",
		"a  ":                     "a",
		"a =3D b = \r\nc =zz":     "a = b c =zz",
		"a" + long + "b" + "\r\n": "a" + long + "b\r\n",
	} {
		for cut := range len(text) + 1 {
			transfer, ok := NewTransfer([]byte("quoted-printable"))
			if !ok {
				t.Fatal("quoted-printable is not known")
			}
			got := transfer.Append(nil, []byte(text[:cut]))
			got = transfer.Append(got, []byte(text[cut:]))
			if string(got) != want {
				t.Errorf("%.40q cut at %d: %.40q (%d octets), want %.40q", text, cut, got, len(got), want)
			}
		}
	}
}
