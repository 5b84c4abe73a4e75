package serve

import (
	"net"
	"net/netip"
	"sync"
)

// counter counts by key, up to a limit for each and one for all; 0 is no limit.
type counter struct {
	limit, most int
	reserve     int // how many more there may be of those that are known

	mu  sync.Mutex
	n   map[any]int
	all int
}

func newCounter(limit int) *counter { return &counter{limit: limit, n: map[any]int{}} }

// limit is which limit of a counter was reached.
type limit uint8

const (
	noLimit limit = iota
	ofKey
	ofAll
)

// add counts one more, or says which limit is reached.
func (c *counter) add(key any) limit { return c.addWithin(key, c.most) }

// addKnown is add for those for whom there is a reserve.
func (c *counter) addKnown(key any) limit { return c.addWithin(key, c.most+c.reserve) }

func (c *counter) addWithin(key any, most int) limit {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.limit > 0 && c.n[key] >= c.limit:
		return ofKey
	case c.most > 0 && c.all >= most:
		return ofAll
	}
	c.n[key]++
	c.all++
	return noLimit
}

// setLimit changes the limit for each key. Who is counted stays so.
func (c *counter) setLimit(limit int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.limit = limit
}

// total is how many are counted now.
func (c *counter) total() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.all
}

func (c *counter) remove(key any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all--
	if c.n[key]--; c.n[key] <= 0 {
		delete(c.n, key)
	}
}

// remoteAddress returns the peer's IP address, the zero one where there is none.
func remoteAddress(a net.Addr) netip.Addr {
	if tcp, ok := a.(*net.TCPAddr); ok {
		return tcp.AddrPort().Addr().Unmap().WithZone("")
	}
	return netip.Addr{}
}

// addressKey is what connections of one peer are counted under: an IPv6 client owns
// its whole /64.
func addressKey(a net.Addr) netip.Prefix {
	ip := remoteAddress(a)
	bits := ip.BitLen()
	if ip.Is6() {
		bits = 64
	}
	p, err := ip.Prefix(bits)
	if err != nil {
		return netip.Prefix{} // no IP connection: all under one key
	}
	return p
}

// Census counts the connections of a server that accepts them itself, by address
// and in all, as Server does.
type Census struct{ c *counter }

// NewCensus lets perAddress connections of an address, an IPv6 /64 counting as one, and
// total ones of all be there at a time; 0 is no limit.
func NewCensus(perAddress, total int) *Census {
	c := newCounter(perAddress)
	c.most = total
	return &Census{c}
}

// Enter counts a connection, or reports false: then it is one too many and does not count.
func (c *Census) Enter(remote net.Addr) bool { return c.c.add(addressKey(remote)) == noLimit }

// Leave takes a connection out that Enter has counted.
func (c *Census) Leave(remote net.Addr) { c.c.remove(addressKey(remote)) }
