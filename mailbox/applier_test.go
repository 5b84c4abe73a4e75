package mailbox

import (
	"testing"
	"time"
)

func TestClockPause(t *testing.T) {
	for _, tc := range []struct {
		name              string
		every, took, want time.Duration
	}{
		{"a quick disk", time.Second, 3 * time.Millisecond, time.Second},
		{"a slow one", time.Second, 20 * time.Millisecond, 99 * 20 * time.Millisecond},
		{"not for ever", time.Second, 300 * time.Millisecond, clockAtMost},
		{"deliveries keep nine tenths of a very slow one", time.Second, 2 * time.Second, 18 * time.Second},
		{"as told", time.Minute, 20 * time.Millisecond, time.Minute},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := clockPause(tc.every, tc.took); got != tc.want {
				t.Errorf("clockPause(%v, %v) = %v, want %v", tc.every, tc.took, got, tc.want)
			}
		})
	}
}
