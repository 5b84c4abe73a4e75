package smtp

import (
	"bytes"
	"strings"
	"testing"

	"mailstead/mailbox"
	"mailstead/mailbox/junk/training"
)

// TestWhyJunk: the field that says why is ours alone, and does not tell one recipient what another's filter knows.
func TestWhyJunk(t *testing.T) {
	const message = "From: a@pass.example\r\nX-JUNK: no\r\nX-Junk-Mail: kept\r\nx-junk:\r\n no\r\n\r\nX-Junk: body\r\n"
	for _, tc := range []struct {
		name string
		to   []string
		ann  Opinion
		all  Opinion
		want string // the field
	}{
		{"not junk", []string{"ann"}, Opinion{Score: 0.1, Words: []string{"a word"}}, Opinion{}, ""},
		{"for one", []string{"ann"}, Opinion{Score: 0.95, Words: []string{"the word \"pills\" (+1.2)", "grüße"}}, Opinion{},
			"X-Junk: the content looks like junk (95.0 %); the word \"pills\" (+1.2);\r\n =?utf-8?"},
		{"for one of two", []string{"ann", "bob"}, Opinion{Score: 0.95, Words: []string{"ann's secret"}}, Opinion{Score: 0.5, Words: []string{"what all know"}},
			"X-Junk: for one of its recipients; what all know\r\n"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			h := newHouse(t)
			f := &fakeFilter{opinions: map[mailbox.AccountID]Opinion{h.ann: tc.ann, 0: tc.all}}
			c, _ := judged(t, h, func(c *Checks) { c.Filter = f })
			to := make([]string, len(tc.to))
			for i, name := range tc.to {
				to[i] = name + "@example.test"
			}
			c.send("a@pass.example", to, message, "250")
			got := append(h.messages(t, h.ann, "Junk"), h.inbox(t, h.ann)...)
			if len(got) != 1 {
				t.Fatalf("ann has %q", got)
			}
			head, body, _ := strings.Cut(got[0], "\r\n\r\n")
			if strings.Count(strings.ToLower(head), "\r\nx-junk:") > 1 || tc.want == "" && strings.Contains(strings.ToLower(head), "\r\nx-junk:") {
				t.Errorf("foreign fields are left:\n%s", head)
			}
			if !strings.Contains(got[0], tc.want) || !strings.Contains(head, "\r\nX-Junk-Mail: kept") || body != "X-Junk: body\r\n" {
				t.Errorf("no %q in\n%s", tc.want, got[0])
			}
		})
	}
}

// TestRejectedCopy: what is refused for its content is in Rejects of who would have had it, with what was found.
func TestRejectedCopy(t *testing.T) {
	h := newHouse(t)
	extreme := Opinion{Score: 1, Words: []string{"a word"}}
	f := &fakeFilter{opinions: map[mailbox.AccountID]Opinion{h.ann: extreme, h.bob: extreme}}
	c, _ := judged(t, h, func(c *Checks) { c.Filter, c.Rejected = f, h.courier })
	c.send("a@nobody.example", []string{"ann@example.test"}, "From: a@nobody.example\r\n\r\nbuy\r\n", "550 5.7.1 Refused as junk")
	got := h.messages(t, h.ann, training.Rejects)
	if len(got) != 1 || !strings.HasSuffix(got[0], "From: a@nobody.example\r\n\r\nbuy\r\n") || !strings.Contains(got[0], "X-Junk: Refused as junk") ||
		!strings.Contains(got[0], "spf=fail") {
		t.Errorf("ann's copy: %q", got)
	}
	if n := len(h.inbox(t, h.ann)) + len(h.messages(t, h.ann, "Junk")); n != 0 {
		t.Errorf("ann has %d more", n)
	}
	if _, err := h.store.Mailbox(h.bob, training.Rejects); err == nil {
		t.Error("bob has a mailbox for nothing")
	}
	c.send("a@pass.example", []string{"ann@example.test"}, "From: a@strict.example\r\n\r\nbuy\r\n", "550 5.7.1 Refused by the DMARC policy")
	if n := len(h.messages(t, h.ann, training.Rejects)); n != 1 {
		t.Errorf("%d copies: what a policy refuses is not kept", n)
	}
}

func TestRemoveField(t *testing.T) {
	for _, tc := range []struct{ in, want string }{
		{"A: 1\r\n\r\n", "A: 1\r\n\r\n"},
		{"X-Junk: 1\r\nA: 1\r\n\r\n", "A: 1\r\n\r\n"},
		{"A: x-junk: 1\r\nx-jUNK : 1\r\n\t2\r\nB: 1\r\n\r\n", "A: x-junk: 1\r\nB: 1\r\n\r\n"},
		{"no field\r\nX-Junk:", "no field\r\n"},
		{"", ""},
	} {
		if got := removeField([]byte(tc.in), junkField); !bytes.Equal(got, []byte(tc.want)) {
			t.Errorf("%q became %q, want %q", tc.in, got, tc.want)
		}
	}
}
