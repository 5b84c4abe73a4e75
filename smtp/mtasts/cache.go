// Package mtasts finds and keeps what other domains say of the connections that their mail is to
// come by: SMTP MTA Strict Transport Security, RFC 8461.
//
// A policy that was found once holds until its time is over, whatever becomes of the DNS and of its
// web server meanwhile: that is what it protects by. So policies are in a room of
// the store, found again after a restart, and are fetched anew each day.
package mtasts

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"mailstead/mailbox"
	"mailstead/smtp/dns"
)

const (
	roomName = "mta-sts" // the keys are domains, the values kept in JSON

	maxKept    = 5000                // policies: a personal server writes to a few hundred domains
	pause      = 5 * time.Minute     // before a fetch that failed is tried again (RFC 8461 section 3.3)
	freshen    = 24 * time.Hour      // after which a policy is fetched anew (section 3.3)
	forget     = 90 * 24 * time.Hour // without mail to a domain, after which its policy is not fetched anew
	sweepEvery = time.Hour
)

// Options are what a Cache works with. Store and Resolver are needed.
type Options struct {
	// Store keeps the policies.
	Store *mailbox.Store
	// Resolver finds out whether a domain has a policy, and where its web server is. One without servers
	// finds none.
	Resolver *dns.Resolver
	// Own tells whether an address is this server's, which is not asked. Default: none.
	Own func(netip.Addr) bool
	// Private allows servers at addresses that the Internet does not lead to (dns.IsPublic).
	Private bool
	// Dial opens TCP connections. Default: that of a net.Dialer.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Roots are the authorities of web servers' certificates. Default: the system's.
	Roots *x509.CertPool
	// Now is the clock. Default: time.Now.
	Now func() time.Time
	// Logger hears of policies that cannot be fetched. Default: none.
	Logger *slog.Logger
}

// Cache has the policies of domains. Its methods may be called at the same time.
type Cache struct {
	o      Options
	client *http.Client

	mu       sync.Mutex
	kept     map[string]kept
	failed   map[string]failure
	fetching map[string]chan struct{} // closed at the end
}

// kept is a policy with what is known about it.
type kept struct {
	Policy
	ID      string    `json:"id"`
	Fetched time.Time `json:"fetched"`
	Used    time.Time `json:"used"` // when mail was last sent to the domain, as of when it was fetched
}

// failure is a policy that could not be fetched.
type failure struct {
	id  string
	at  time.Time
	err error
}

// Finding is what holds for mail to a domain.
type Finding struct {
	// Policy is nil where there is none. It is not to be changed.
	Policy *Policy
	// Err is why there is none, although the domain announces one; Result is its name in RFC 8460 section 4.3.
	Err    error
	Result string
}

// Open reads the policies that are kept. What cannot be read is passed over.
func Open(o Options) (*Cache, error) {
	if o.Store == nil || o.Resolver == nil {
		return nil, errors.New("mtasts: store and resolver are needed")
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	c := &Cache{
		o: o, client: newClient(o), kept: make(map[string]kept),
		failed: make(map[string]failure), fetching: make(map[string]chan struct{}),
	}
	err := o.Store.Room(roomName).Each("", func(domain string, value []byte) error {
		var k kept
		if err := json.Unmarshal(value, &k); err != nil {
			o.Logger.Warn("mtasts: a policy that is kept cannot be read", "domain", domain, "err", err)
			return nil
		}
		c.kept[domain] = k
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("mtasts: open: %w", err)
	}
	return c, nil
}

// For finds what holds for mail to a domain (RFC 8461 section 5.1), which is in lower case and A-labels. It
// asks the DNS each time, so that a domain can change its policy whenever it wants, and may take a minute where
// there is a new policy.
func (c *Cache) For(ctx context.Context, domain string) Finding {
	k, ok := c.use(domain)
	id, announced := c.announced(ctx, domain)
	if !announced || ok && k.ID == id {
		return finding(k, ok, nil)
	}
	fresh, err := c.fetch(ctx, domain, id)
	if err != nil {
		if ok && k.Mode != None {
			c.o.Logger.Warn("mtasts: a policy has changed and cannot be fetched, the old one holds", "domain", domain, "until", k.end(), "err", err)
		}
		return finding(k, ok, err)
	}
	return finding(fresh, true, nil)
}

// finding is a policy that is kept; without one, err says why.
func finding(k kept, ok bool, err error) Finding {
	switch {
	case !ok:
		return Finding{Err: err, Result: resultOf(err)}
	case k.Mode == None:
		return Finding{}
	}
	return Finding{Policy: &k.Policy}
}

// use gives the policy that is kept, if its time is not over, for mail that is sent now.
func (c *Cache) use(domain string) (kept, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	k, ok := c.kept[domain]
	if !ok || k.over(c.o.Now()) {
		return kept{}, false
	}
	k.Used = c.o.Now()
	c.kept[domain] = k
	return k, true
}

func (k kept) end() time.Time { return k.Fetched.Add(k.MaxAge) }

func (k kept) over(now time.Time) bool { return now.After(k.end()) }

// announced gives the id of the policy that a domain announces. Nothing else is a reason to drop
// one that is kept (RFC 8461 section 3.1), so that there is none and that nobody knows are the same.
func (c *Cache) announced(ctx context.Context, domain string) (id string, ok bool) {
	answer, err := c.o.Resolver.LookupTXT(ctx, "_mta-sts."+domain)
	if err != nil {
		return "", false
	}
	return parseRecords(answer.Records)
}

// fetch gets and keeps the policy of a domain. Who comes while it is under way waits for it; after a
// failure it is left alone for a while.
func (c *Cache) fetch(ctx context.Context, domain, id string) (kept, error) {
	for {
		c.mu.Lock()
		if k, ok := c.kept[domain]; ok && k.ID == id && !k.over(c.o.Now()) {
			c.mu.Unlock()
			return k, nil
		}
		if f, ok := c.failed[domain]; ok && f.id == id && c.o.Now().Sub(f.at) < pause {
			c.mu.Unlock()
			return kept{}, f.err
		}
		other, busy := c.fetching[domain]
		if !busy {
			c.fetching[domain] = make(chan struct{})
			c.mu.Unlock()
			return c.fetchNow(ctx, domain, id, c.o.Now())
		}
		c.mu.Unlock()
		select {
		case <-other:
		case <-ctx.Done():
			return kept{}, ctx.Err()
		}
	}
}

// fetchNow fetches a policy for whoever has entered it in fetching.
func (c *Cache) fetchNow(ctx context.Context, domain, id string, used time.Time) (kept, error) {
	policy, err := download(ctx, c.client, domain)
	now := c.o.Now()
	k := kept{Policy: policy, ID: id, Fetched: now, Used: used}
	var dropped string
	c.mu.Lock()
	close(c.fetching[domain])
	delete(c.fetching, domain)
	delete(c.failed, domain)
	switch {
	case err == nil:
		if before := c.kept[domain]; before.Used.After(used) {
			k.Used = before.Used
		}
		dropped = c.keep(domain, k)
	case ctx.Err() == nil:
		c.fail(domain, failure{id, now, err})
	}
	c.mu.Unlock()
	if err == nil {
		c.save(ctx, domain, k, dropped)
	}
	return k, err
}

// keep takes a policy in. When all places are taken the one that ends first is dropped; c.mu is held.
func (c *Cache) keep(domain string, k kept) (dropped string) {
	if _, ok := c.kept[domain]; !ok && len(c.kept) >= maxKept {
		for d, other := range c.kept {
			if dropped == "" || other.end().Before(c.kept[dropped].end()) {
				dropped = d
			}
		}
		delete(c.kept, dropped)
	}
	c.kept[domain] = k
	return dropped
}

// fail notes a failure; c.mu is held.
func (c *Cache) fail(domain string, f failure) {
	if len(c.failed) >= maxKept {
		clear(c.failed)
	}
	c.failed[domain] = f
}

// save writes a policy to the store, and takes the one out that had to make place. One that cannot be
// written holds until the next restart.
func (c *Cache) save(ctx context.Context, domain string, k kept, dropped string) {
	value, err := json.Marshal(k)
	changes := []mailbox.RoomChange{{Room: roomName, Key: domain, Value: value}}
	if dropped != "" {
		changes = append(changes, mailbox.RoomChange{Room: roomName, Key: dropped})
	}
	if err == nil {
		err = c.o.Store.Change(ctx, changes...)
	}
	if err != nil {
		c.o.Logger.Error("mtasts: a policy could not be kept", "domain", domain, "err", err)
	}
}

// Run fetches policies anew each day, and forgets those whose time is over, until ctx ends.
func (c *Cache) Run(ctx context.Context) {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		c.sweep(ctx)
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// sweep looks at all policies once.
func (c *Cache) sweep(ctx context.Context) {
	c.mu.Lock()
	domains := make([]string, 0, len(c.kept))
	for domain := range c.kept {
		domains = append(domains, domain)
	}
	c.mu.Unlock()
	for _, domain := range domains {
		if ctx.Err() != nil {
			return
		}
		c.tend(ctx, domain)
	}
}

// tend fetches a policy anew if it is time, or forgets it.
func (c *Cache) tend(ctx context.Context, domain string) {
	now := c.o.Now()
	c.mu.Lock()
	k := c.kept[domain]
	_, busy := c.fetching[domain]
	switch {
	case busy:
		c.mu.Unlock()
		return
	case k.over(now):
		delete(c.kept, domain)
		c.mu.Unlock()
		if err := c.o.Store.Change(ctx, mailbox.RoomChange{Room: roomName, Key: domain}); err != nil {
			c.o.Logger.Error("mtasts: a policy could not be forgotten", "domain", domain, "err", err)
		}
		return
	case !k.due(now):
		c.mu.Unlock()
		return
	}
	c.fetching[domain] = make(chan struct{})
	c.mu.Unlock()
	id, ok := c.announced(ctx, domain)
	if !ok {
		// Whoever keeps us from the record shall not keep us from the policy.
		id = k.ID
	}
	if _, err := c.fetchNow(ctx, domain, id, k.Used); err != nil && k.Mode != None {
		c.o.Logger.Warn("mtasts: a policy could not be fetched anew, the old one holds", "domain", domain, "until", k.end(), "err", err)
	}
}

// due tells whether a policy is to be fetched anew, well before its time is over. A clock that
// was ahead puts nothing off.
func (k kept) due(now time.Time) bool {
	age := now.Sub(k.Fetched)
	return (age >= min(freshen, k.MaxAge/2) || age < 0) && now.Sub(k.Used) < forget
}
