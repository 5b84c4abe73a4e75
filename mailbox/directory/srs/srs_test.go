package srs

import (
	"errors"
	"strings"
	"testing"
	"time"
)

// clock is a time that a test sets.
type clock struct{ at time.Time }

func (c *clock) now() time.Time { return c.at }

func newRewriter(c *clock) *Rewriter {
	return New([]byte(strings.Repeat("secret--", SecretSize/8)), c.now)
}

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// localOf is the local part of an address without quotes.
func localOf(t *testing.T, address string) string {
	t.Helper()
	local, _, ok := split(address)
	if !ok {
		t.Fatalf("%q is no address", address)
	}
	return local
}

func TestForwardAndBack(t *testing.T) {
	r := newRewriter(&clock{start})
	for _, tc := range []struct{ sender, begins string }{
		{"ann@example.org", "SRS0="},
		{"Ann.Lee+news=42@Example.ORG", "SRS0="},
		{`"a b\"c"@example.org`, `"SRS0=`},
		{"jürgen@müller.example", "SRS0="},
		{"ann@[192.0.2.1]", `"SRS0=`},
		{"SRS0-abc=XY=first.example=ann@second.example", "SRS1="},
		{"srs0+abc=XY=first.example=ann@second.example", "SRS1="},
		{"SRS0", ""},
		{"", ""},
		{"@example.org", ""},
		{"ann@", ""},
		{strings.Repeat("x", 300) + "@example.org", ""}, // too long for a path
	} {
		got := r.Forward(tc.sender, "us.test")
		if tc.begins == "" {
			if got != "" {
				t.Errorf("Forward(%q) = %q", tc.sender, got)
			}
			continue
		}
		if !strings.HasPrefix(got, tc.begins) || !strings.HasSuffix(got, "@us.test") {
			t.Errorf("Forward(%q) = %q", tc.sender, got)
		}
		back, err := r.Reverse(localOf(t, got))
		want := tc.sender
		if strings.HasPrefix(want, "srs0+") {
			want = "SRS0" + want[4:] // the scheme's own word; what the first server signed is as it was
		}
		if back != want || err != nil {
			t.Errorf("%q comes back as %q, %v", got, back, err)
		}
	}
}

// A further server writes its own hash, and keeps what the first one made.
func TestEachServerSignsForItself(t *testing.T) {
	a, b, c := newRewriter(&clock{start}), New([]byte("b"), nil), New([]byte("c"), nil)
	one := a.Forward("ann@example.org", "a.test")
	two := b.Forward(one, "b.test")
	three := c.Forward(two, "c.test")
	if len(three) > len(two) {
		t.Errorf("addresses grow with the way: %q", three)
	}
	back, err := c.Reverse(localOf(t, three))
	if back != one || err != nil {
		t.Fatalf("%q leads to %q, %v; want the first server, %q", three, back, err, one)
	}
	if back, err := a.Reverse(localOf(t, back)); back != "ann@example.org" || err != nil {
		t.Errorf("the first server gives %q, %v", back, err)
	}
	if _, err := a.Reverse(localOf(t, three)); !errors.Is(err, ErrForged) {
		t.Errorf("a server takes another one's address: %v", err)
	}
}

func TestCaseDoesNotMatter(t *testing.T) {
	r := newRewriter(&clock{start})
	local := localOf(t, r.Forward("Ann@Example.org", "us.test"))
	for _, l := range []string{strings.ToLower(local), strings.ToUpper(local)} {
		back, err := r.Reverse(l)
		if !strings.EqualFold(back, "ann@example.org") || err != nil {
			t.Errorf("%q = %q, %v", l, back, err)
		}
	}
}

func TestAddressesExpire(t *testing.T) {
	c := &clock{start}
	r := newRewriter(c)
	local := localOf(t, r.Forward("ann@example.org", "us.test"))
	for _, tc := range []struct {
		days int
		want error
	}{
		{0, nil}, {Days, nil}, {Days + 1, ErrExpired}, {dayCycle - 2, ErrExpired}, {-1, nil}, {-2, ErrExpired},
	} {
		c.at = start.AddDate(0, 0, tc.days)
		if _, err := r.Reverse(local); !errors.Is(err, tc.want) {
			t.Errorf("after %d days: %v, want %v", tc.days, err, tc.want)
		}
	}
}

// One character changed anywhere is found.
func TestForgedAddressesAreFound(t *testing.T) {
	r := newRewriter(&clock{start})
	for _, sender := range []string{"ann@example.org", "SRS0=x=y=first.example=ann@second.example"} {
		local := localOf(t, r.Forward(sender, "us.test"))
		for i := range local {
			forged := []byte(local)
			forged[i] = 'q'
			if forged[i] == local[i] || local[i] == 'Q' {
				continue
			}
			if back, err := r.Reverse(string(forged)); err == nil {
				t.Errorf("%s leads to %q", forged, back)
			}
		}
	}
	for _, local := range []string{"", "SRS0", "SRS0=", "SRS0==", "SRS1==", "SRS0=AAAAAAAA=AA=example.org=ann", "SRS2=a=b=c=d", "ann",
		"SRS0=" + strings.Repeat("A", 400)} {
		if back, err := r.Reverse(local); !errors.Is(err, ErrForged) {
			t.Errorf("%q leads to %q, %v", local, back, err)
		}
	}
}

func FuzzReverse(f *testing.F) {
	r := newRewriter(&clock{start})
	f.Add("ann@example.org")
	f.Add(`"a b"@example.org`)
	f.Add("SRS0+@0")
	f.Add("ann@=")
	f.Add("SRS0=AAAAAAAA=AA=example.org=ann@us.test")
	f.Add("SRS1=AAAAAAAA=first.example==h=d=example.org=ann@us.test")
	f.Add("srs1-x=first.example=+h=d=example.org=ann@us.test")
	f.Fuzz(func(t *testing.T, address string) {
		local, _, ok := split(address)
		if !ok {
			if r.Forward(address, "us.test") != "" {
				t.Fatalf("%q is handed on", address)
			}
			return
		}
		if back, err := r.Reverse(local); err == nil && !Is(local) {
			t.Fatalf("%q leads to %q", local, back)
		}
		made := r.Forward(address, "us.test")
		if made == "" {
			return
		}
		inside, _, ok := split(made)
		if !ok || len(made) > maxAddress {
			t.Fatalf("%q is handed on as %q", address, made)
		}
		if _, err := r.Reverse(inside); err != nil {
			t.Fatalf("%q, of %q, does not come back: %v", made, address, err)
		}
	})
}
