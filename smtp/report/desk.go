package report

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	"mailstead/mailbox"
)

// roomName is the room of the store that has the reports, in JSON: under the
// kind, the day of their beginning, and a hash of who sent them under which id,
// so that a report that is sent again takes the place of the first. Letters that
// are to be read are in it, too: see waitingPrefix.
const roomName = "reports"

// Bounds of what is kept.
const (
	KeepDays  = 180  // by the beginning of the time that is reported
	keepCount = 2000 // reports of a kind: those of 10 reporters for half a year; 20 MB at the very most

	early = 48 * time.Hour
)

// Desk reads reports in the background, and keeps them.
type Desk struct {
	store *mailbox.Store
	o     Options
	kick  chan struct{} // there is something to read
	stop  chan struct{}
	once  sync.Once
	ended chan struct{}

	mu      sync.Mutex
	waiting []mailbox.BodyID // letters to be read, all of them noted in the room
}

// Options are what a desk works with. Ours is needed.
type Options struct {
	Ours   func(domain string) bool // reports whether a domain, or one above it, is of this server
	Now    func() time.Time         // nil = time.Now
	Logger *slog.Logger             // nil = none
}

// Open begins to read, first what was left to be read by the last run. An error of the store.
func Open(store *mailbox.Store, o Options) (*Desk, error) {
	d := newDesk(store, o)
	if err := d.recall(context.Background()); err != nil {
		return nil, err
	}
	go d.run()
	return d, nil
}

func newDesk(store *mailbox.Store, o Options) *Desk {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &Desk{store: store, o: o, kick: make(chan struct{}, 1), stop: make(chan struct{}), ended: make(chan struct{})}
}

// Close reads some of what waits and ends; the rest is read after the next start.
// The store has to be open until then.
func (d *Desk) Close() {
	if d == nil {
		return
	}
	d.once.Do(func() { close(d.stop) })
	<-d.ended
}

// lastLetters is how many letters are still read when the desk is closed: a second's work.
const lastLetters = 32

func (d *Desk) run() {
	defer close(d.ended)
	for {
		select {
		case <-d.kick:
			d.readAll()
		case <-d.stop:
			for range lastLetters {
				if !d.readNext() {
					break
				}
			}
			return
		}
	}
}

// readAll reads what waits, until the desk is closed.
func (d *Desk) readAll() {
	for d.readNext() {
		select {
		case <-d.stop:
			return
		default:
		}
	}
}

// readNext reads the letter that has waited longest; false: none waits.
func (d *Desk) readNext() bool {
	d.mu.Lock()
	if len(d.waiting) == 0 {
		d.mu.Unlock()
		return false
	}
	id := d.waiting[0]
	d.waiting = d.waiting[1:]
	d.mu.Unlock()
	if d.read(id) {
		d.forget(id)
	}
	return true
}

// read reads one letter and keeps its report. It reports whether the letter is done with, for
// better or worse.
func (d *Desk) read(id mailbox.BodyID) (done bool) {
	defer d.survive(&done)
	r, err := d.open(id)
	if err == nil {
		err = d.check(r)
	}
	if err == nil {
		err = d.keep(context.Background(), r, doneWith(id))
	}
	switch {
	case errors.Is(err, ErrNone):
		d.o.Logger.Info("report: a letter that looks like a report is none", "err", err)
		return true
	case err != nil:
		d.o.Logger.Warn("report: not kept; the letter is read again after the next start", "err", err)
		return false
	}
	d.o.Logger.Info("report: kept", "kind", r.Kind, "domain", r.Domain, "sender", r.Sender, "begin", r.Begin)
	return false // it was noted with the report
}

// survive keeps a report that breaks a reader from taking the server with it.
func (d *Desk) survive(done *bool) {
	if p := recover(); p != nil {
		*done = true
		d.o.Logger.Error("report: reading broke", "panic", p, "stack", string(debug.Stack()))
	}
}

func (d *Desk) open(id mailbox.BodyID) (*Report, error) {
	b, err := d.store.OpenBody(id)
	if err != nil {
		return nil, fmt.Errorf("report: open the letter: %w", err)
	}
	defer b.Close()
	return Read(b, b.Size())
}

// check takes only what is about us, and about days that were.
func (d *Desk) check(r *Report) error {
	now := d.o.Now()
	r.Policies = slices.DeleteFunc(r.Policies, func(p Policy) bool { return !d.o.Ours(p.Domain) })
	switch {
	case !d.o.Ours(r.Domain):
		return fmt.Errorf("%w: it is about %s", ErrNone, r.Domain)
	case r.Begin.After(now.Add(early)) || r.Begin.Before(now.AddDate(0, 0, -KeepDays)):
		return fmt.Errorf("%w: it is about %s", ErrNone, r.Begin.Format(time.DateOnly))
	}
	return nil
}

// keep stores a report, with what else changes by that, and removes those that are too old
// or too many, by one record.
func (d *Desk) keep(ctx context.Context, r *Report, also ...mailbox.RoomChange) error {
	value, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("report: %w", err)
	}
	changes, err := d.tooMany(r.Kind)
	if err != nil {
		return err
	}
	sum := sha256.Sum256([]byte(r.Sender + "\x00" + r.Domain + "\x00" + r.ID))
	key := dayKey(r.Kind, r.Begin) + hex.EncodeToString(sum[:8])
	return d.store.Change(ctx, append(append(changes, also...), mailbox.RoomChange{Room: roomName, Key: key, Value: value})...)
}

func dayKey(k Kind, day time.Time) string {
	return string(k) + "/" + day.UTC().Format("20060102") + "/"
}

// tidyAtOnce is how many reports one record removes, at most; the next goes on.
const tidyAtOnce = 100

// tooMany are the changes that remove what is not kept any more, with room for one
// report.
func (d *Desk) tooMany(k Kind) (changes []mailbox.RoomChange, err error) {
	var keys []string // by day
	err = d.store.Room(roomName).Each(string(k)+"/", func(key string, _ []byte) error {
		keys = append(keys, key)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("report: %w", err)
	}
	first := dayKey(k, d.o.Now().AddDate(0, 0, -KeepDays))
	for i, key := range keys {
		if key >= first && len(keys)-i < keepCount || len(changes) == tidyAtOnce {
			break
		}
		changes = append(changes, mailbox.RoomChange{Room: roomName, Key: key})
	}
	return changes, nil
}

// Each calls f with the reports of a kind that the store keeps, by their day,
// until f returns an error, which is then Each's.
func Each(store *mailbox.Store, k Kind, f func(*Report) error) error {
	return store.Room(roomName).Each(string(k)+"/", func(_ string, value []byte) error {
		var r Report
		if json.Unmarshal(value, &r) != nil || !strings.EqualFold(string(r.Kind), string(k)) {
			return nil // of another version
		}
		return f(&r)
	})
}
