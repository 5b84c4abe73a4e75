package queue

import "time"

// Figures are how many entries there are in each state (Info.State), and since when the oldest waits.
type Figures struct {
	Waiting, Trying, Held, Disabled int
	Oldest                          time.Time // zero when there are none
}

// Figures counts the entries. It looks at each in memory.
func (q *Queue) Figures() (f Figures) {
	q.mu.Lock()
	defer q.mu.Unlock()
	var oldest entryID
	for id, j := range q.board.jobs {
		if oldest == 0 || id < oldest {
			oldest = id
		}
		switch {
		case j.held:
			f.Held++
		case !q.reachable(j.to.name):
			f.Disabled++
		case j.state == trying:
			f.Trying++
		default:
			f.Waiting++
		}
	}
	if oldest != 0 {
		f.Oldest = time.UnixMicro(int64(oldest)).UTC()
	}
	return f
}
