package queue

import (
	"testing"
	"time"
)

func TestSchedule(t *testing.T) {
	const day = 24 * time.Hour
	for _, tt := range []struct {
		name     string
		attempts int
		age      time.Duration
		jitter   float64
		want     time.Duration
		giveUp   bool
	}{
		{"first", 1, 0, 0, 5 * time.Minute, false},
		{"second", 2, 5 * time.Minute, 0, 10 * time.Minute, false},
		{"third", 3, 15 * time.Minute, 0, 20 * time.Minute, false},
		{"fourth", 4, 35 * time.Minute, 0, 40 * time.Minute, false},
		{"fifth", 5, 75 * time.Minute, 0, time.Hour, false},
		{"sixth", 6, 3 * time.Hour, 0, 2 * time.Hour, false},
		{"seventh", 7, 5 * time.Hour, 0, 4 * time.Hour, false},
		{"eighth", 8, 9 * time.Hour, 0, 4 * time.Hour, false},
		{"hundredth", 100, day, 0, 4 * time.Hour, false},
		{"spread", 1, 0, 0.5, 5*time.Minute + 15*time.Second, false},
		{"widely spread", 8, day, 0.999, 4*time.Hour + 1438*time.Second + 560*time.Millisecond, false},
		{"the last at the end of the lifetime", 30, 5*day - time.Hour, 0.9, time.Hour, false},
		{"just before the end", 30, 5*day - time.Second, 0, 5 * time.Minute, false},
		{"too old", 30, 5 * day, 0, 0, true},
		{"old, but hardly tried", 4, 9 * day, 0, 40 * time.Minute, false},
		{"old and tried", 5, 9 * day, 0, 0, true},
		{"the clock went back", 2, -time.Hour, 0, 10 * time.Minute, false},
	} {
		got, giveUp := schedule(tt.attempts, tt.age, tt.jitter)
		if got != tt.want || giveUp != tt.giveUp {
			t.Errorf("%s: got %v, %v, want %v, %v", tt.name, got, giveUp, tt.want, tt.giveUp)
		}
	}
}

func TestLongest(t *testing.T) {
	if got, _ := schedule(1000, time.Hour, 1); got != longest {
		t.Errorf("the longest delay is %v, not %v", got, longest)
	}
}
