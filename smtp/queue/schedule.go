package queue

import "time"

// Lifetime is for how long delivery of a message is tried, while it is not held: RFC 5321 section 4.5.4.1 wants four to five
// days at least.
const Lifetime = 5 * 24 * time.Hour

const (
	// mostWaited is how much the time between two attempts counts at most: more than
	// the longest delay. What is longer is a clock that jumped, or a server that was
	// off and could not try.
	mostWaited = 6 * time.Hour
	// minAttempts are made before giving up, however old a message is: a server
	// that comes back after a week does not return all its mail at once because the
	// network is not up yet.
	minAttempts = 5
	// spread is the part of a delay that chance adds, so that what failed
	// together is not tried again together.
	spread = 0.1
)

// delays are between an attempt and the next one; the last goes on. The first
// are short for greylisting, which lets a sender in after some minutes.
var delays = [...]time.Duration{
	5 * time.Minute, 10 * time.Minute, 20 * time.Minute, 40 * time.Minute, time.Hour, 2 * time.Hour, 4 * time.Hour,
}

// longest is the longest delay there is.
const longest = 4*time.Hour + 24*time.Minute

// schedule says how long to wait after a temporary failure, or to give up.
// attempts are those that were made, 1 or more; age is the message's; jitter is
// in [0,1). The last attempt is at the end of the lifetime.
func schedule(attempts int, age time.Duration, jitter float64) (delay time.Duration, giveUp bool) {
	if age >= Lifetime && attempts >= minAttempts {
		return 0, true
	}
	delay = delays[min(attempts, len(delays))-1]
	delay += time.Duration(float64(delay) * spread * jitter)
	if left := Lifetime - age; left > 0 {
		delay = max(min(delay, left), delays[0])
	}
	return delay, false
}
