package log

import "testing"

func TestZerosFollowRecords(t *testing.T) {
	const step = zeroStep
	for _, c := range []struct {
		name                 string
		ready                int
		began, written, done int64
		may                  bool
		wakeAt               int64 // 0 = nobody is to be woken
	}{
		{"nothing is ready", 0, 0, 0, 7 * step, true, 0},
		{"the first step", 1, 0, 0, 0, true, 0},
		{"nothing was written", 1, 0, 0, step, false, step / 2},
		{"two bytes for one", 1, step, 3 * step, 4 * step, true, 0},
		{"and not more", 1, step, 3 * step, 4*step + 2, false, 3*step + 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := &Log{ready: make([]*segment, c.ready), written: c.written, pace: make(chan struct{}, 1)}
			may, written := l.mayZero(c.began, c.done)
			if may != c.may || written != c.written || l.zeroAt != c.wakeAt {
				t.Errorf("mayZero = %v, %d, wakes at %d; want %v, wakes at %d", may, written, l.zeroAt, c.may, c.wakeAt)
			}
			if may {
				return
			}
			l.wrote(c.wakeAt - c.written - 1)
			if len(l.pace) > 0 {
				t.Error("woken too early")
			}
			l.wrote(1)
			if len(l.pace) == 0 {
				t.Error("not woken")
			}
			if may, _ := l.mayZero(c.began, c.done); !may {
				t.Error("woken, and may not")
			}
		})
	}
}
