package mtasts

import (
	"slices"
	"strings"
	"testing"
)

// TestLines: what is kept is repeated as it is published, and nothing once its time is over.
func TestLines(t *testing.T) {
	w := newWeb(t)
	c := w.open()
	w.holds(c, "enforce mx.example.test")
	lines := c.Lines("example.test")
	if len(lines) != 4 || !slices.Equal(lines[:3], []string{"version: STSv1", "mode: enforce", "mx: mx.example.test"}) || !strings.HasPrefix(lines[3], "max_age: ") {
		t.Errorf("%q", lines)
	}
	if p, err := Parse(strings.Join(lines, "\n")); err != nil || p.Mode != Enforce {
		t.Errorf("%+v, %v", p, err)
	}
	w.mu.Lock()
	w.now = w.now.AddDate(2, 0, 0)
	w.mu.Unlock()
	if lines := append(c.Lines("example.test"), c.Lines("other.test")...); lines != nil {
		t.Errorf("%q", lines)
	}
}
