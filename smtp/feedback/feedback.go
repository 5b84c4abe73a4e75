// Package feedback tells other domains what this server has seen of them, where they ask for it: once a day
// and domain, how the mail in their name was proven (DMARC aggregate reports, RFC 9990) and how connections
// to their servers were encrypted (TLS reports, RFC 8460).
//
// It counts in memory and writes the counts into a room of the store now and then, so that a kill loses
// minutes of them; a report is queued by the record that ends its counts, so it is sent once. Days are those
// of UTC. Reports are not counted themselves: two servers would else report on each other's
// reports for ever.
package feedback

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"mailstead/mailbox"
	"mailstead/smtp/dns"
	"mailstead/smtp/queue"
)

// roomName is the room of the store with all that is kept here: counts under "count/", the day, the kind of
// report and the domain; under "sent/", likewise, what was sent; under "off/" domains of this server
// that have no reports sent. Values are JSON.
const (
	roomName    = "feedback"
	countPrefix = "count/"
	sentPrefix  = "sent/"
	offPrefix   = "off/"
)

// Kind is what a report is about.
type Kind string

// The kinds of reports.
const (
	DMARC Kind = "dmarc"
	TLS   Kind = "tls"
)

const (
	flushEvery = 5 * time.Minute // counts are written, and due reports sent; what a kill loses
	keepSent   = 30 * 24 * time.Hour
	changes    = 20        // of a record that removes what is old
	recordSize = 256 << 10 // octets of counts in one record; a single count may be larger
)

// Sender is what reports are handed to: the queue.
type Sender interface {
	Add(queue.Envelope) func(mailbox.BodyID) []mailbox.RoomChange
	Wake()
}

// Options are what a Reporter works with. Store and Resolver are needed.
type Options struct {
	Store *mailbox.Store
	// Resolver finds who wants reports. One without servers: nothing is counted or sent.
	Resolver *dns.Resolver
	// From gives the domain of this server that reports are from, in A-labels, and that signs them; "" = none can. Then
	// nothing is sent, as reports have to be signed. Default: none.
	From func() string
	// Sign gives the fields with a domain's signatures, as keyring.Ring.Sign does.
	Sign func(domain string, start []byte, rest func(io.Writer) error) ([]byte, error)
	// Ours reports whether a domain, or one above it, is of this server: it is not told what it knows. Default: none is.
	Ours func(domain string) bool
	// Policy gives the lines of the MTA-STS policy that is known of a domain, in A-labels. Default: none is.
	Policy func(domain string) []string
	// Own tells whether an address is this server's, which no report is posted to. Default: none.
	Own func(netip.Addr) bool
	// Dial opens TCP connections. Default: that of a net.Dialer.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Private allows web servers in private networks.
	Private bool
	// Off says that nothing is counted or sent: the operator does not want it.
	Off    bool
	Now    func() time.Time // nil = time.Now
	Logger *slog.Logger     // nil = none
}

// Reporter counts, and sends reports. Its methods may be called at the same time.
type Reporter struct {
	o      Options
	idle   atomic.Bool // nothing is counted or sent
	sender Sender
	client *http.Client
	log    *slog.Logger

	mu    sync.Mutex
	dmarc book[dmarcRow]
	tls   book[tlsRow]
	off   map[string]bool // domains of this server

	later map[key]time.Time // when a report that failed is tried again; only Run and what it calls look at it
}

// Open reads the counts. What cannot be read is passed over.
func Open(o Options) (*Reporter, error) {
	if o.Store == nil || o.Resolver == nil {
		return nil, errors.New("feedback: store and resolver are needed")
	}
	o.defaults()
	r := &Reporter{
		o: o, client: newClient(o), log: o.Logger,
		dmarc: newBook[dmarcRow](DMARC), tls: newBook[tlsRow](TLS), off: map[string]bool{}, later: map[key]time.Time{},
	}
	err := o.Store.Room(roomName).Each(countPrefix, func(key string, value []byte) error {
		k, ok := parseKey(key)
		switch {
		case ok && k.kind == DMARC:
			r.dmarc.load(k, value)
		case ok && k.kind == TLS:
			r.tls.load(k, value)
		}
		return nil
	})
	if err == nil {
		err = o.Store.Room(roomName).Each(offPrefix, func(key string, _ []byte) error {
			r.off[strings.TrimPrefix(key, offPrefix)] = true
			return nil
		})
	}
	if err != nil {
		return nil, fmt.Errorf("feedback: open: %w", err)
	}
	r.SetOff(o.Off)
	return r, nil
}

// SetOff changes Options.Off. What was counted before stays for when it is on again, as long as other counts do.
func (r *Reporter) SetOff(off bool) { r.idle.Store(off || r.o.Resolver.Disabled()) }

func (o *Options) defaults() {
	if o.From == nil {
		o.From = func() string { return "" }
	}
	if o.Sign == nil {
		o.Sign = func(string, []byte, func(io.Writer) error) ([]byte, error) { return nil, nil }
	}
	if o.Ours == nil {
		o.Ours = func(string) bool { return false }
	}
	if o.Policy == nil {
		o.Policy = func(string) []string { return nil }
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
}

// UseQueue says where reports are handed to. It is called before Run.
func (r *Reporter) UseQueue(s Sender) { r.sender = s }

// Run writes counts and sends reports until ctx ends, and writes what was counted until then.
func (r *Reporter) Run(ctx context.Context) {
	if r.o.Resolver.Disabled() {
		return
	}
	tick := time.NewTicker(flushEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if !r.idle.Load() {
				r.work(ctx)
			}
		case <-ctx.Done():
			r.flush(context.WithoutCancel(ctx))
			return
		}
	}
}

// work does what is due.
func (r *Reporter) work(ctx context.Context) {
	r.flush(ctx)
	r.sendDue(ctx)
	r.tidy(ctx)
}

// flush writes the counts that have changed.
func (r *Reporter) flush(ctx context.Context) {
	r.mu.Lock()
	all := append(r.dmarc.changes(), r.tls.changes()...)
	r.mu.Unlock()
	for len(all) > 0 {
		n, size := 1, len(all[0].Value)
		for n < len(all) && size+len(all[n].Value) <= recordSize {
			size += len(all[n].Value)
			n++
		}
		if err := r.o.Store.Change(ctx, all[:n]...); err != nil {
			if !errors.Is(err, mailbox.ErrClosed) {
				r.log.Warn("feedback: counts were not written, and are later", "err", err)
			}
			r.unwritten(all)
			return
		}
		all = all[n:]
	}
}

// unwritten has counts written again with the next ones.
func (r *Reporter) unwritten(all []mailbox.RoomChange) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range all {
		if k, ok := parseKey(c.Key); ok {
			r.dmarc.unwritten(k)
			r.tls.unwritten(k)
		}
	}
}

// key is what is counted together.
type key struct {
	day    string // of UTC, YYYYMMDD
	kind   Kind
	domain string // in A-labels
}

const dayFormat = "20060102"

func (k key) String() string { return k.day + "/" + string(k.kind) + "/" + k.domain }

// parseKey reads the key of a room.
func parseKey(s string) (key, bool) {
	parts := strings.SplitN(s, "/", 4)
	if len(parts) != 4 {
		return key{}, false
	}
	_, err := time.Parse(dayFormat, parts[1])
	return key{parts[1], Kind(parts[2]), parts[3]}, err == nil
}

// begin is the first second of the day.
func (k key) begin() time.Time {
	t, err := time.Parse(dayFormat, k.day)
	if err != nil {
		return time.Time{} // keys are made of times, or were parsed
	}
	return t
}

// end is the last second of the day.
func (k key) end() time.Time { return k.begin().Add(24*time.Hour - time.Second) }

// today is the key for what is counted now.
func (r *Reporter) today(kind Kind, domain string) key {
	return key{r.o.Now().UTC().Format(dayFormat), kind, domain}
}

// SetReports says whether reports are sent about mail to and from a domain of this server.
func (r *Reporter) SetReports(ctx context.Context, domain string, on bool) error {
	domain = ascii(domain)
	change := mailbox.RoomChange{Room: roomName, Key: offPrefix + domain}
	if !on {
		change.Value = []byte("{}")
	}
	if err := r.o.Store.Change(ctx, change); err != nil {
		return fmt.Errorf("feedback: reports of %s: %w", domain, err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if on {
		delete(r.off, domain)
	} else {
		r.off[domain] = true
	}
	return nil
}

// Reports tells what was set for a domain.
func (r *Reporter) Reports(domain string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return !r.off[ascii(domain)]
}

func ascii(domain string) string {
	if a, err := dns.ASCII(domain); err == nil {
		return a
	}
	return strings.ToLower(domain)
}

// domainOf is the domain of an address.
func domainOf(address string) string {
	return ascii(address[strings.LastIndexByte(address, '@')+1:])
}

// order sorts keys by age.
func (k key) order(other key) int {
	return cmp.Or(strings.Compare(k.day, other.day), strings.Compare(string(k.kind), string(other.kind)), strings.Compare(k.domain, other.domain))
}
