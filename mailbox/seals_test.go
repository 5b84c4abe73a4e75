package mailbox

import (
	"testing"
	"time"
)

// TestHeldSeals: what is remembered of a seal is about that body, and not for ever.
func TestHeldSeals(t *testing.T) {
	var h heldSeals
	now := time.Unix(1_800_000_000, 0)
	const far = 32 * heldBlocks // bodies so far apart have one place
	h.add(7, now)
	h.add(8, now)
	for _, tc := range []struct {
		name string
		id   BodyID
		at   time.Time
		want bool
	}{
		{"one that held", 7, now, true},
		{"its neighbour that held", 8, now, true},
		{"its neighbour that nobody looked at", 9, now, false},
		{"one in the same place", 7 + far, now, false},
		{"one in the same place, further away", 7 + 1000*far, now, false},
		{"later", 7, now.Add(heldFor), false},
		{"earlier", 7, now.Add(-heldFor), false},
	} {
		if got := h.has(tc.id, tc.at); got != tc.want {
			t.Errorf("%s: held is %v, want %v", tc.name, got, tc.want)
		}
	}
	h.add(7+far, now)
	if h.has(7, now) || !h.has(7+far, now) {
		t.Error("two bodies with one place do not drive each other out")
	}
	h.add(9, now)
	h.forget()
	if h.has(9, now) {
		t.Error("a seal is believed that was to be forgotten")
	}
}
