package training

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"mailstead/mailbox"
)

// Options are what a trainer works with; Store is needed.
type Options struct {
	Store *mailbox.Store
	// OnlyTaught says that what is thought of a letter before anything was taught does not count.
	OnlyTaught bool
	Now        func() time.Time // nil = time.Now
	Logger     *slog.Logger     // nil = none
}

const (
	// saveEvery is how long steps wait for the models to be written: at most 7 MB for a server whose every weight was
	// taught, usually some hundred KB, so the disk's share stays below two MB an hour.
	saveEvery = 6 * time.Hour
	// maxSteps is after how many steps models are written all the same, and so what a start has to repeat: about a second.
	maxSteps = 1000
	// maxChanged is how many changes of the room are collected before they are written.
	maxChanged = 256
	// maxUnread is after how many records without a lesson the position is written.
	maxUnread = 100_000
	// retryAfter is the pause after an error of the store.
	retryAfter = 30 * time.Second
	// collectFor is how long changes gather before they are read: an owner's next act is further away.
	collectFor = 200 * time.Millisecond
)

// Trainer is what learns and what judges. Its methods may be called concurrently.
type Trainer struct {
	o      Options
	store  *mailbox.Store
	room   *mailbox.Room
	log    *slog.Logger
	models models

	// teaching is held by whoever learns: Run while it follows the feed, and Forget.
	teaching sync.Mutex
	feed     *mailbox.Feed
	position mailbox.ModSeq          // that was written
	changed  map[string][]byte       // changes of the room that were not; a nil value deletes
	copies   copies                  // that may turn out to be moves
	marks    map[mark]mailbox.BodyID // letters that a keyword taught, by where they are
	masks    map[mailbox.ID]mask
	saved    time.Time // when there was no step waiting

	wrote struct { // submissions wait for nobody who learns
		sync.Mutex
		list []wrote
	}
	wake chan struct{}
}

// mark is where a letter has its keyword.
type mark struct {
	account mailbox.AccountID
	mailbox mailbox.ID
	uid     uint32
}

// Open reads what was learned, and repeats what a crash kept the models from.
func Open(o Options) (*Trainer, error) {
	t := &Trainer{o: o, store: o.Store, room: o.Store.Room(room), log: o.Logger,
		wake: make(chan struct{}, 1), changed: map[string][]byte{}, marks: map[mark]mailbox.BodyID{}, masks: map[mailbox.ID]mask{}}
	if t.log == nil {
		t.log = slog.New(slog.DiscardHandler)
	}
	if t.o.Now == nil {
		t.o.Now = time.Now
	}
	t.models.init(t)
	t.saved = t.o.Now()
	if err := t.load(); err != nil {
		return nil, fmt.Errorf("what was learned of junk: %w", err)
	}
	return t, nil
}

func (t *Trainer) load() error {
	value, ok, err := t.room.Get(positionKey)
	if err != nil {
		return err
	}
	at, n := binary.Uvarint(value)
	switch {
	case !ok:
		at = uint64(t.store.LastChange()) // what was done before there was a filter, it does not ask
		t.set(positionKey, binary.AppendUvarint(nil, at))
		if err := t.flush(context.Background()); err != nil {
			return err
		}
	case n <= 0:
		return fmt.Errorf("%w: the position", errValue)
	}
	t.position = mailbox.ModSeq(at)
	t.feed = t.store.Feed(t.position)
	if err := t.loadMarks(); err != nil {
		return err
	}
	return t.models.load()
}

// loadMarks finds the letters that keywords taught, so that it is noticed when they go.
func (t *Trainer) loadMarks() error {
	return t.room.Each(string(rune(receiptKeys)), func(key string, value []byte) error {
		l, err := readLesson(value)
		if err != nil || len(key) != len(receiptKey(0, 0)) {
			return err
		}
		if l.cause == marked {
			a := mailbox.AccountID(binary.BigEndian.Uint32([]byte(key[1:])))
			t.addMark(mark{a, l.mailbox, uint32(l.uid)}, mailbox.BodyID(binary.BigEndian.Uint64([]byte(key[5:]))))
		}
		return nil
	})
}

// Run learns until ctx ends, and then writes what it learned.
func (t *Trainer) Run(ctx context.Context) {
	news := make(chan struct{}, 1)
	defer t.store.WatchAll(news)()
	tick := time.NewTicker(time.Minute)
	defer tick.Stop()
	for ctx.Err() == nil {
		if err := t.follow(ctx); err != nil && ctx.Err() == nil {
			t.log.Warn("the junk filter does not learn for now", "err", err)
			sleep(ctx, retryAfter)
			continue
		}
		select {
		case <-ctx.Done():
		case <-news:
			sleep(ctx, collectFor) // waking for each letter costs its delivery more than reading it does
		case <-t.wake:
		case <-tick.C:
		}
	}
	t.finish()
}

func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// finish writes everything for the next start.
func (t *Trainer) finish() {
	t.teaching.Lock()
	defer t.teaching.Unlock()
	t.setPosition()
	err := t.noteWritten()
	if err == nil {
		err = t.flush(context.Background())
	}
	if err == nil && t.models.waiting() > 0 {
		err = t.save(context.Background())
	}
	if err != nil && !errors.Is(err, mailbox.ErrClosed) {
		t.log.Warn("what was learned of junk was not written; the next start reads it again", "err", err)
	}
}

// follow learns from what is new in the feed.
func (t *Trainer) follow(ctx context.Context) error {
	t.teaching.Lock()
	defer t.teaching.Unlock()
	err := t.feed.Read(ctx, func(c mailbox.Change) error {
		if err := t.change(ctx, &c); err != nil {
			return err
		}
		if len(t.changed) >= maxChanged || t.models.waiting() >= maxSteps {
			return t.settle(ctx)
		}
		return nil
	})
	if errors.Is(err, mailbox.ErrBehind) {
		t.log.Warn("the junk filter missed what was done before: the log does not have it any more")
		t.feed, err = t.store.Feed(t.store.LastChange()), nil
	}
	if err == nil {
		err = t.noteWritten()
	}
	if err != nil {
		return err
	}
	if len(t.changed) > 0 || t.feed.At() > t.position+maxUnread {
		t.setPosition()
	}
	return t.settle(ctx)
}

// settle writes what has to be: changes of the room, and models when it is time.
func (t *Trainer) settle(ctx context.Context) error {
	if err := t.flush(ctx); err != nil {
		return err
	}
	waiting := t.models.waiting()
	if waiting == 0 {
		t.saved = t.o.Now()
	}
	if waiting < maxSteps && t.o.Now().Sub(t.saved) < saveEvery {
		return nil
	}
	return t.save(ctx)
}

func (t *Trainer) set(key string, value []byte) { t.changed[key] = value }

// get reads a key as it will be.
func (t *Trainer) get(key string) ([]byte, bool, error) {
	if value, ok := t.changed[key]; ok {
		return value, value != nil, nil
	}
	return t.room.Get(key)
}

// setPosition notes how far the feed was read. Records that are read again teach nothing twice, so it need not be exact.
func (t *Trainer) setPosition() {
	if at := t.feed.At(); at > t.position {
		t.set(positionKey, binary.AppendUvarint(nil, uint64(at)))
		t.position = at
	}
}

// flush writes the changes of the room, some at a time: each is true by itself.
func (t *Trainer) flush(ctx context.Context) error {
	keys := slices.Sorted(maps.Keys(t.changed))
	for part := range slices.Chunk(keys, maxChanged) {
		changes := make([]mailbox.RoomChange, len(part))
		for i, key := range part {
			changes[i] = mailbox.RoomChange{Room: room, Key: key, Value: t.changed[key]}
		}
		if err := t.store.Change(ctx, changes...); err != nil {
			return err
		}
		for _, key := range part {
			delete(t.changed, key)
		}
	}
	return nil
}

// prefixed are the keys of the room that begin so.
func (t *Trainer) prefixed(prefix string) (keys []string, err error) {
	err = t.room.Each(prefix, func(key string, _ []byte) error {
		keys = append(keys, key)
		return nil
	})
	return keys, err
}

// Forget makes the filter forget what an account taught it: its lessons are undone in the server's model, too, as far as their
// letters can still be read, and its model and its correspondents are gone.
func (t *Trainer) Forget(ctx context.Context, a mailbox.AccountID) error {
	t.teaching.Lock()
	defer t.teaching.Unlock()
	if err := t.forget(ctx, a); err != nil {
		return fmt.Errorf("forgetting what account %d taught: %w", a, err)
	}
	return nil
}

func (t *Trainer) forget(ctx context.Context, a mailbox.AccountID) error {
	if err := t.flush(ctx); err != nil {
		return err
	}
	keys, err := t.prefixed(string(accountKey(receiptKeys, a)))
	if err != nil {
		return err
	}
	for _, key := range keys {
		body := mailbox.BodyID(binary.BigEndian.Uint64([]byte(key[5:])))
		if err := t.undo(a, body, t.feed.At()); err != nil {
			return err
		}
	}
	if err := t.flush(ctx); err != nil {
		return err
	}
	if err := t.save(ctx); err != nil {
		return err
	}
	for _, kind := range []byte{receiptKeys, modelKeys, knownKeys} {
		keys, err := t.prefixed(string(accountKey(kind, a)))
		if err != nil {
			return err
		}
		for _, key := range keys {
			t.set(key, nil)
		}
	}
	t.models.drop(a)
	maps.DeleteFunc(t.marks, func(m mark, _ mailbox.BodyID) bool { return m.account == a })
	return t.flush(ctx)
}

// Summary is what the filter knows.
type Summary struct {
	Junk, Good             int // letters that the account taught
	ServerJunk, ServerGood int // letters that all accounts did
	Correspondents         int // that the account has written to, or rescued
}

// Summary says what was learned from an account.
func (t *Trainer) Summary(a mailbox.AccountID) (Summary, error) {
	var s Summary
	m, err := t.models.of(a)
	if err != nil {
		return s, fmt.Errorf("reading the model of account %d: %w", a, err)
	}
	t.models.mu.RLock()
	if m != nil {
		s.Junk, s.Good = m.Letters()
	}
	if t.models.server != nil {
		s.ServerJunk, s.ServerGood = t.models.server.Letters()
	}
	t.models.mu.RUnlock()
	known, err := t.prefixed(string(accountKey(knownKeys, a)))
	s.Correspondents = len(known)
	return s, err
}

// isBelow reports whether a mailbox is another, or below it.
func isBelow(name, above string) bool {
	rest, ok := strings.CutPrefix(name, above)
	return ok && (rest == "" || rest[0] == '/')
}
