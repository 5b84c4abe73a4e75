package tls

import (
	"crypto/x509"
	"hash/fnv"
	"time"
)

const (
	// leastAsk and mostAsk bound how often an authority is asked when to renew, whatever it says itself
	// (RFC 9773 section 4.3.2 wants limits).
	leastAsk = time.Hour
	mostAsk  = 24 * time.Hour
	// mostPatience bounds for how long an authority can have us stay away.
	mostPatience = 7 * 24 * time.Hour
	// leastBetween is the least time from a certificate to the next one of its name, whatever its dates are and
	// whenever the authority wants it renewed.
	leastBetween = time.Hour
	// firstLook and lastLook bound the pauses between two looks at where a name leads; that costs the authority nothing.
	firstLook = time.Minute
	lastLook  = 10 * time.Minute
)

// retries are the pauses after one failure, two, and so on; the last one stays. Four attempts fall into the first hour:
// Let's Encrypt bears five that fail for a name.
var retries = []time.Duration{
	2 * time.Minute, 10 * time.Minute, 30 * time.Minute, time.Hour, 3 * time.Hour, 6 * time.Hour, 12 * time.Hour, 24 * time.Hour,
}

// pauseAfter is how long to wait after so many failures in a row, for an authority that wants to be left alone for asked.
func pauseAfter(failures int, asked time.Duration) time.Duration {
	return max(retries[min(failures, len(retries))-1], min(asked, mostPatience))
}

// lookPause is the pause after so many looks at a name that did not lead here.
func lookPause(looks int) time.Duration {
	return min(firstLook<<min(looks, 10), lastLook)
}

// renewAt is when a certificate is to be renewed: when the authority wants it (RFC 9773), or after two thirds of its
// life, a little later for some names than for others.
func renewAt(name string, leaf *x509.Certificate, r record) time.Time {
	life := leaf.NotAfter.Sub(leaf.NotBefore)
	if r.Serial == leaf.SerialNumber.String() && !r.RenewAt.IsZero() {
		// A window that makes no sense lets no certificate run out.
		if last := leaf.NotAfter.Add(-life / 50); r.RenewAt.After(last) {
			return last
		}
		return r.RenewAt
	}
	h := fnv.New32a()
	h.Write([]byte(name))
	spread := life / 30 * time.Duration(h.Sum32()%1000) / 1000
	return leaf.NotBefore.Add(life*2/3 + spread)
}

// step is what is to be done for a name next.
type step int

const (
	rest  step = iota // nothing until then
	fetch             // ask for a certificate
	ask               // ask when to renew
)

// nextStep decides what is to be done for a name now, or until when nothing is. leaf is nil where there is no certificate.
func nextStep(name string, leaf *x509.Certificate, r record, now time.Time) (step, time.Time) {
	if leaf == nil {
		if now.Before(r.NextTry) {
			return rest, r.NextTry
		}
		return fetch, now
	}
	at := renewAt(name, leaf, r)
	if at.Before(r.NextTry) {
		at = r.NextTry
	}
	again := r.AskAgain
	if r.Serial != leaf.SerialNumber.String() {
		again = time.Time{}
	}
	switch {
	case !now.Before(again) && now.Before(leaf.NotAfter):
		return ask, now // before renewing, too: it may want it later
	case !now.Before(at):
		return fetch, now
	case again.Before(at) && now.Before(leaf.NotAfter):
		return rest, again
	}
	return rest, at
}
