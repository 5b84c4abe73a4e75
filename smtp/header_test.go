package smtp

import (
	"bytes"
	"slices"
	"strings"
	"testing"
)

func TestFields(t *testing.T) {
	for _, tc := range []struct {
		in   string
		want []string
		rest string
	}{
		{"", nil, ""},
		{"\r\n", nil, "\r\n"},
		{"A: b\r\nC:d\r\n\r\n", []string{"A: b\r\n", "C:d\r\n"}, "\r\n"},
		{"A: b\r\n c\r\n\td\r\nE:\r\n\r\n", []string{"A: b\r\n c\r\n\td\r\n", "E:\r\n"}, "\r\n"},
		{"A : b\r\n", []string{"A : b\r\n"}, ""},
		{" folded from nothing\r\nA: b\r\n", nil, " folded from nothing\r\nA: b\r\n"},
		{"A: b\r\nno field\r\nC: d\r\n", []string{"A: b\r\n"}, "no field\r\nC: d\r\n"},
		{": b\r\n", nil, ": b\r\n"},
		{" : b\r\n", nil, " : b\r\n"},
		{"\xc3\xa4: b\r\n", nil, "\xc3\xa4: b\r\n"},
		{"A: unended", []string{"A: unended"}, ""},
	} {
		rest := tc.in
		var got []string
		for f := range fields([]byte(tc.in)) {
			got = append(got, string(f))
			rest = rest[len(f):]
		}
		if !slices.Equal(got, tc.want) || rest != tc.rest {
			t.Errorf("%q: %q, rest %q", tc.in, got, rest)
		}
	}
}

func TestFieldIs(t *testing.T) {
	for in, want := range map[string]bool{"Bcc:x": true, "bCC : x": true, "bcc\t: x": true, "Bccx: x": false, "Bc: x": false, "Bcc-x: Bcc:": false} {
		if got := field(in).is("Bcc"); got != want {
			t.Errorf("%q is Bcc: %v", in, got)
		}
	}
}

func FuzzFields(f *testing.F) {
	f.Add([]byte("Received: x\r\n\ty\r\nBcc : z\r\n\r\nbody\r\n"))
	f.Add([]byte("no field\r\n"))
	f.Fuzz(func(t *testing.T, header []byte) {
		var joined []byte
		for f := range fields(header) {
			if len(f) == 0 || f.name() == "" || strings.ContainsAny(f.name(), "\r\n: ") {
				t.Fatalf("field %q with name %q", f, f.name())
			}
			joined = append(joined, f...)
		}
		if !bytes.HasPrefix(header, joined) {
			t.Fatalf("%q is no beginning of %q", joined, header)
		}
		checkHeader(header, Limits{}.WithDefaults())
	})
}
