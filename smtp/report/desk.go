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
// so that a report that is sent again takes the place of the first.
const roomName = "reports"

// Bounds of what is kept.
const (
	KeepDays  = 180  // by the beginning of the time that is reported
	keepCount = 2000 // reports of a kind: those of 10 reporters for half a year; 20 MB at the very most

	waiting = 32 // letters that wait to be read
	early   = 48 * time.Hour
)

// Desk reads reports in the background, and keeps them.
type Desk struct {
	store *mailbox.Store
	o     Options
	in    chan mailbox.BodyID
	stop  chan struct{}
	once  sync.Once
	ended chan struct{}
}

// Options are what a desk works with. Ours is needed.
type Options struct {
	Ours   func(domain string) bool // reports whether a domain, or one above it, is of this server
	Now    func() time.Time         // nil = time.Now
	Logger *slog.Logger             // nil = none
}

// Open begins to read.
func Open(store *mailbox.Store, o Options) *Desk {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	d := &Desk{store: store, o: o, in: make(chan mailbox.BodyID, waiting), stop: make(chan struct{}), ended: make(chan struct{})}
	go d.run()
	return d
}

// Take has a stored letter read that looks like a report. It never waits: while
// very many wait already it is passed over, and is still the letter it was.
func (d *Desk) Take(letter mailbox.BodyID) {
	select {
	case d.in <- letter:
	default:
		d.o.Logger.Warn("report: too many reports at once; one is not read")
	}
}

// Close reads what waits and ends. The store has to be open until then.
func (d *Desk) Close() {
	if d == nil {
		return
	}
	d.once.Do(func() { close(d.stop) })
	<-d.ended
}

func (d *Desk) run() {
	defer close(d.ended)
	for {
		select {
		case id := <-d.in:
			d.read(id)
		case <-d.stop:
			select {
			case id := <-d.in:
				d.read(id)
				continue
			default:
				return
			}
		}
	}
}

// read reads one letter and keeps its report.
func (d *Desk) read(id mailbox.BodyID) {
	defer d.survive()
	r, err := d.open(id)
	if err == nil {
		err = d.check(r)
	}
	if err == nil {
		err = d.keep(context.Background(), r)
	}
	switch {
	case errors.Is(err, ErrNone):
		d.o.Logger.Info("report: a letter that looks like a report is none", "err", err)
	case err != nil:
		d.o.Logger.Warn("report: not kept", "err", err)
	default:
		d.o.Logger.Info("report: kept", "kind", r.Kind, "domain", r.Domain, "sender", r.Sender, "begin", r.Begin)
	}
}

// survive keeps a report that breaks a reader from taking the server with it.
func (d *Desk) survive() {
	if p := recover(); p != nil {
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

// keep stores a report, and removes those that are too old or too many, by one record.
func (d *Desk) keep(ctx context.Context, r *Report) error {
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
	return d.store.Change(ctx, append(changes, mailbox.RoomChange{Room: roomName, Key: key, Value: value})...)
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
