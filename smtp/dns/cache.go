package dns

import (
	"container/list"
	"sync"
	"time"
)

const (
	maxTTL         = time.Hour // longest time an answer is kept, whatever its TTL says
	defaultEntries = 4096      // a personal server talks to a few hundred domains a day
	maxCacheBytes  = 4 << 20   // of answers as they came over the wire
)

// question is what a server is asked; name is in the form ASCII gives.
type question struct {
	name  string
	qtype uint16
}

// cache keeps answers until their TTL ends, the least recently used going
// first when the entries or bytes allowed are reached.
type cache struct {
	mu         sync.Mutex
	entries    map[question]*list.Element // of *entry
	recent     list.List                  // most recently used in front
	bytes      int
	maxEntries int
}

type entry struct {
	question
	answer  answer
	expires time.Time
}

func newCache(maxEntries int) *cache {
	return &cache{entries: make(map[question]*list.Element), maxEntries: maxEntries}
}

// get gives the answer kept for q, if its TTL has not ended at now.
func (c *cache) get(q question, now time.Time) (answer, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	el, ok := c.entries[q]
	if !ok {
		return answer{}, false
	}
	e := el.Value.(*entry)
	if !now.Before(e.expires) {
		c.drop(el)
		return answer{}, false
	}
	c.recent.MoveToFront(el)
	return e.answer, true
}

// put keeps a for its TTL, at most maxTTL. A TTL of zero means that the answer
// is for those who wait for it only (RFC 1035 section 3.2.1).
func (c *cache) put(q question, a answer, now time.Time) {
	if a.ttl <= 0 || a.wireSize > maxCacheBytes {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if old, ok := c.entries[q]; ok {
		c.drop(old)
	}
	c.bytes += a.wireSize
	c.entries[q] = c.recent.PushFront(&entry{q, a, now.Add(min(a.ttl, maxTTL))})
	for len(c.entries) > c.maxEntries || c.bytes > maxCacheBytes {
		c.drop(c.recent.Back())
	}
}

// drop removes el; c.mu is held.
func (c *cache) drop(el *list.Element) {
	e := c.recent.Remove(el).(*entry)
	delete(c.entries, e.question)
	c.bytes -= e.answer.wireSize
}
