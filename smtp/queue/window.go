package queue

// firstWindow is how many attempts at a destination go on at once before anything is known of it.
const firstWindow = 2

// window is how many attempts at one destination may go on at once: more, one by one, while it takes
// what it is given, half as many as soon as it does not. The zero value is that of
// a destination nothing is known of. It is never below one, so something goes on finding out.
type window struct {
	more int // than firstWindow; negative for fewer
	good int // attempts that went well since it last changed
}

// width is the number of attempts, limit at most.
func (w window) width(limit int) int { return max(1, min(firstWindow+w.more, limit)) }

// took notes an attempt that went well. After as many as go on at once there may be one more.
func (w *window) took(limit int) {
	width := w.width(limit)
	if w.good++; w.good < width {
		return
	}
	w.good = 0
	if width < limit {
		w.more = width + 1 - firstWindow
	}
}

// balked notes an attempt that the destination put off.
func (w *window) balked(limit int) {
	*w = window{more: max(1, w.width(limit)/2) - firstWindow}
}

// response is what an attempt says about how much a destination can take.
type response uint8

const (
	silence response = iota // nothing
	welcome                 // it can take more
	tooMuch                 // it may be too much already
)

// responseOf reads it from outcomes. Whoever says no for good has not been asked too often; of our own trouble,
// which has no code, only that with the connection counts (RFC 3463 section 3.5).
func responseOf(outcomes []Outcome) response {
	r := silence
	for _, o := range outcomes {
		switch {
		case o.Code == 421:
			return tooMuch // RFC 5321 section 3.8: it closes the connection
		case o.Status == Delivered, o.Status == Permanent && o.Code != 0:
			r = welcome
		case r == welcome: // others got it: it is about a mailbox
		case o.Status == Temporary && (o.Code != 0 || o.Enhanced == "4.4.1" || o.Enhanced == "4.4.2"):
			r = tooMuch
		}
	}
	return r
}

// heed makes a destination's window follow an attempt.
func (b *board) heed(d *destination, r response) {
	switch r {
	case welcome:
		d.window.took(b.limits.PerDestination)
	case tooMuch:
		d.window.balked(b.limits.PerDestination)
	}
}
