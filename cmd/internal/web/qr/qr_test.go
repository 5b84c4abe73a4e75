package qr

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
)

// rows are the modules of a code in letters.
func (c *Code) rows() string {
	var b strings.Builder
	for y := range c.Side {
		for x := range c.Side {
			if c.Dark(x, y) {
				b.WriteByte('#')
			} else {
				b.WriteByte('.')
			}
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// maskOf reads the mask in the format information of a code in letters.
func maskOf(rows string) (mask int) {
	const pattern = 0b101 // what the three bits of the mask are turned over with
	for i := range 3 {
		if strings.Split(rows, "\n")[8][2+i] == '#' {
			mask |= 4 >> i
		}
	}
	return mask ^ pattern
}

// TestKnownCodes holds codes of each version, each as full as it can be, against those of qrencode 4.1.1 (-8 -l M). Which mask is the best
// is for each encoder to say; all else is the same.
func TestKnownCodes(t *testing.T) {
	text, err := os.ReadFile("testdata/codes.txt")
	if err != nil {
		t.Fatal(err)
	}
	known := strings.Split(string(text), "\n\n")
	if len(known) != len(versions) {
		t.Fatalf("%d codes", len(known))
	}
	for i, k := range known {
		t.Run(fmt.Sprint(i+1), func(t *testing.T) {
			said, want, _ := strings.Cut(k, "\n")
			want = strings.TrimSuffix(want, "\n") + "\n"
			v := &versions[i]
			got := draw(i+1, interleave(v, payload(said, v.data())), maskOf(want)).rows()
			if got != want {
				t.Errorf("%q:\n%swant\n%s", said, got, want)
			}
			c, err := Encode(said)
			if err != nil || c.Side != 17+4*(i+1) {
				t.Fatalf("%d octets: %v, %v", len(said), c, err)
			}
			if again := draw(i+1, interleave(v, payload(said, v.data())), maskOf(c.rows())); again.rows() != c.rows() || again.penalty() > draw(i+1, interleave(v, payload(said, v.data())), maskOf(want)).penalty() {
				t.Error("another mask is better")
			}
		})
	}
}

// TestEncodeBounds: what fits is encoded, from nothing on, and what does not is an error.
func TestEncodeBounds(t *testing.T) {
	for n := range MaxText + 1 {
		if _, err := Encode(strings.Repeat("x", n)); err != nil {
			t.Errorf("%d octets: %v", n, err)
		}
	}
	if _, err := Encode(strings.Repeat("x", MaxText+1)); !errors.Is(err, ErrTooLong) {
		t.Errorf("one more: %v", err)
	}
}

// TestPath paints the path again.
func TestPath(t *testing.T) {
	c, err := Encode("https://example.test/")
	if err != nil {
		t.Fatal(err)
	}
	painted := make([]byte, c.Side*c.Side)
	for i := range painted {
		painted[i] = '.'
	}
	for part := range strings.SplitSeq(strings.TrimSuffix(c.Path(), "z"), "z") {
		var x, y, wide, back int
		if _, err := fmt.Sscanf(part, "M%d %dh%dv1H%d", &x, &y, &wide, &back); err != nil || back != x {
			t.Fatalf("%q: %v", part, err)
		}
		for i := range wide {
			painted[y*c.Side+x+i] = '#'
		}
	}
	if want := strings.ReplaceAll(c.rows(), "\n", ""); string(painted) != want {
		t.Errorf("%s\nwant\n%s", painted, want)
	}
}
