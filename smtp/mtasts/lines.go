package mtasts

import (
	"strconv"
	"time"
)

// Lines gives the policy that is kept of a domain, in lower case and A-labels, a field a line, as TLS reports repeat
// it (RFC 8460 section 4.5); nothing without one.
func (c *Cache) Lines(domain string) []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	k, ok := c.kept[domain]
	if !ok || k.over(c.o.Now()) {
		return nil
	}
	lines := []string{"version: " + version, "mode: " + string(k.Mode)}
	for _, mx := range k.MX {
		lines = append(lines, "mx: "+mx)
	}
	return append(lines, "max_age: "+strconv.FormatInt(int64(k.MaxAge/time.Second), 10))
}
