package directory

import (
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Held is somebody whose failed logins are answered late.
type Held struct {
	Address  string // of a client, or an IPv6 /64; "" where it is a user name
	User     string // that was tried, of an account its name
	Failures int
	Since    time.Time
	Until    time.Time // when they are forgotten, if no more come
}

// The throttle's keys begin so.
const (
	addressMark = "address "
	userMark    = "user "
)

// HeldBack are those whose failed logins are answered late, the first first. It is in memory only: a
// start forgets all.
func (d *Directory) HeldBack() []Held {
	t := d.throttle
	t.mu.Lock()
	defer t.mu.Unlock()
	var list []Held
	for key, f := range t.keys {
		if f.count < freeFailures || t.now().Sub(f.since) > failureWindow {
			continue
		}
		h := Held{Failures: f.count, Since: f.since.UTC(), Until: f.since.Add(failureWindow).UTC()}
		h.User, _ = strings.CutPrefix(key, userMark)
		if address, is := strings.CutPrefix(key, addressMark); is {
			h.Address, h.User = address, ""
		}
		list = append(list, h)
	}
	slices.SortFunc(list, func(a, b Held) int { return a.Since.Compare(b.Since) })
	return list
}

// ReleaseAddress forgets the failed logins of a network, or of one address; it returns of how many.
func (d *Directory) ReleaseAddress(network netip.Prefix) int {
	return d.release(func(key string) bool {
		text, is := strings.CutPrefix(key, addressMark)
		if !is {
			return false
		}
		if ip, err := netip.ParseAddr(text); err == nil {
			return network.Contains(ip)
		}
		p, err := netip.ParsePrefix(text)
		return err == nil && p.Overlaps(network)
	})
}

// ReleaseUser forgets those with a user name: any address of an account, or a name that nobody has.
func (d *Directory) ReleaseUser(user string) int {
	key := d.try(Attempt{}, user).keys[1]
	return d.release(func(k string) bool { return k == key })
}

// ReleaseAll forgets those of all.
func (d *Directory) ReleaseAll() int { return d.release(func(string) bool { return true }) }

func (d *Directory) release(which func(key string) bool) (n int) {
	t := d.throttle
	t.mu.Lock()
	defer t.mu.Unlock()
	for key, f := range t.keys {
		if which(key) {
			delete(t.keys, key)
			if f.count > 0 {
				n++
			}
		}
	}
	return n
}
