package local

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"time"

	"mailstead/mailbox"
	"mailstead/mailbox/directory"
	"mailstead/smtp/journal"
	"mailstead/smtp/queue"
)

// replyRoom is where the state of automatic replies is kept in the store. Its keys:
//
//	told/ACCOUNT/SENDER   when a sender was answered, in seconds since 1970; the sender is hashed
//	due/ACCOUNT/SENDER    letter: a reply that is not in the queue yet
//
// Both are made by the record that stores the message which is answered, and only where the account's copy
// is stored. The record that puts the reply into the queue takes due away.
const (
	replyRoom = "vacation"
	toldKey   = "told/"
	dueKey    = "due/"
)

const (
	// repliesPerHour bounds the replies of one account: enough for a busy person's mail, little for a flood.
	repliesPerHour = 30
	// maxTold bounds the senders that are remembered for an account: when there are more, strangers wait for their answer.
	maxTold = 5000
	// forgetAtOnce is how many that are past are taken out by one record.
	forgetAtOnce = 20
	// sendAgain is when replies are tried again that could not be stored.
	sendAgain = time.Minute
)

// Replies makes automatic replies. Its methods may be called at the same time.
type Replies struct {
	o    RepliesOptions
	kick chan struct{}

	mu   sync.Mutex
	told map[mailbox.AccountID]map[string]int64 // when senders were answered, by the hash of their address
}

// RepliesOptions are what automatic replies are made with; Store and Directory are needed.
type RepliesOptions struct {
	Store     *mailbox.Store
	Directory interface {
		Away(mailbox.AccountID, time.Time) (directory.Away, bool)
	}
	// Sign gives fields with signatures of a domain for a message: start is its beginning, rest writes the rest.
	Sign    func(domain string, start []byte, rest func(io.Writer) error) ([]byte, error)
	Journal *journal.Journal // nil = nobody is told
	Now     func() time.Time // nil = time.Now
	Logger  *slog.Logger     // nil = none
}

// OpenReplies reads who was answered.
func OpenReplies(o RepliesOptions) (*Replies, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	r := &Replies{o: o, kick: make(chan struct{}, 1), told: map[mailbox.AccountID]map[string]int64{}}
	err := o.Store.Room(replyRoom).Each(toldKey, func(key string, value []byte) error {
		account, sender, ok := replyKey(key, toldKey)
		at, err := strconv.ParseInt(string(value), 10, 64)
		if !ok || err != nil {
			return nil // not ours to understand; it stays
		}
		r.note(account, sender, at)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("local: who was answered: %w", err)
	}
	return r, nil
}

// replyKey takes a key apart.
func replyKey(key, kind string) (mailbox.AccountID, string, bool) {
	id, sender, ok := strings.Cut(strings.TrimPrefix(key, kind), "/")
	n, err := strconv.ParseUint(id, 10, 64)
	return mailbox.AccountID(n), sender, ok && err == nil
}

func keyFor(kind string, a mailbox.AccountID, sender string) string {
	return kind + strconv.FormatUint(uint64(a), 10) + "/" + sender
}

// note remembers that a sender was answered; callers hold mu, or are alone.
func (r *Replies) note(a mailbox.AccountID, sender string, at int64) {
	if r.told[a] == nil {
		r.told[a] = map[string]int64{}
	}
	r.told[a][sender] = at
}

// hashOf is how a sender is remembered: not by name.
func hashOf(address string) string {
	sum := sha256.Sum256([]byte(strings.ToLower(address)))
	return hex.EncodeToString(sum[:16])
}

// plan decides whether an account answers a message, and gives the changes that keep the reply and
// that the sender was answered; nil for none. undo takes that back where they were not made.
func (r *Replies) plan(a mailbox.AccountID, t *Transaction, header func() []byte) (changes []mailbox.RoomChange, undo func()) {
	now := r.o.Now()
	away, ok := r.o.Directory.Away(a, now)
	if !ok {
		return nil, nil
	}
	h := header()
	by, why := answerTo(t.From, h, away)
	sender := hashOf(t.From)
	r.mu.Lock()
	defer r.mu.Unlock()
	before, again := r.told[a][sender]
	if why == "" {
		why = r.enough(a, sender, away.Days, now)
	}
	if why != "" {
		r.o.Logger.Debug("local: no automatic reply", "id", t.ID, "account", away.Own[0], "reason", why)
		return nil, nil
	}
	l := letter{
		Account: uint64(a), Transaction: t.ID, From: by, To: t.From, Subject: cmp.Or(away.Subject, replySubject(h)), Text: away.Text,
		References: references(h), ID: rand.Text(), Date: now,
	}
	value, err := json.Marshal(l)
	if err != nil {
		panic(fmt.Sprintf("local: a letter of plain values does not become JSON: %v", err))
	}
	changes = append(r.forget(a, now),
		mailbox.RoomChange{Room: replyRoom, Key: keyFor(dueKey, a, sender), Value: value},
		mailbox.RoomChange{Room: replyRoom, Key: keyFor(toldKey, a, sender), Value: strconv.AppendInt(nil, now.Unix(), 10)})
	r.note(a, sender, now.Unix())
	return changes, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		if delete(r.told[a], sender); again {
			r.note(a, sender, before)
		}
	}
}

// enough says why a sender is not answered though nothing else speaks against it; callers hold mu. A clock that was set back
// has answered nobody in the future.
func (r *Replies) enough(a mailbox.AccountID, sender string, days int, now time.Time) string {
	if at, ok := r.told[a][sender]; ok && now.Sub(time.Unix(at, 0)) < time.Duration(days)*24*time.Hour {
		return "its sender was answered already"
	}
	recent := 0
	for _, at := range r.told[a] {
		if age := now.Sub(time.Unix(at, 0)); age >= 0 && age < time.Hour {
			recent++
		}
	}
	switch {
	case recent >= repliesPerHour:
		return "too many were answered within the hour"
	case len(r.told[a]) >= maxTold:
		return "too many were answered"
	}
	return ""
}

// forget takes some out of memory who may be answered again, and gives the changes for it; callers hold mu. Should
// those not be made, the next start brings them back.
func (r *Replies) forget(a mailbox.AccountID, now time.Time) []mailbox.RoomChange {
	var changes []mailbox.RoomChange
	for sender, at := range r.told[a] {
		if now.Sub(time.Unix(at, 0)) < (directory.MaxVacationDays+1)*24*time.Hour {
			continue
		}
		delete(r.told[a], sender)
		if changes = append(changes, mailbox.RoomChange{Room: replyRoom, Key: keyFor(toldKey, a, sender)}); len(changes) == forgetAtOnce {
			break
		}
	}
	return changes
}

// wake has replies sent that are due.
func (r *Replies) wake() {
	select {
	case r.kick <- struct{}{}:
	default: // it is awake
	}
}

// Run puts replies into a queue until ctx ends: at first those that a stop has left behind.
func (r *Replies) Run(ctx context.Context, q Queue) {
	again := time.NewTimer(0)
	defer again.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-r.kick:
		case <-again.C:
		}
		if err := r.SendDue(ctx, q); err != nil && !errors.Is(err, mailbox.ErrClosed) {
			r.o.Logger.Warn("local: automatic replies wait", "err", err)
			again.Reset(sendAgain)
		}
	}
}

// SendDue puts the replies that are due into a queue.
func (r *Replies) SendDue(ctx context.Context, q Queue) error {
	var failed error
	err := r.o.Store.Room(replyRoom).Each(dueKey, func(key string, value []byte) error {
		var l letter
		if err := json.Unmarshal(value, &l); err != nil {
			r.o.Logger.Error("local: an automatic reply cannot be read, and is dropped", "err", err)
			return r.o.Store.Change(ctx, mailbox.RoomChange{Room: replyRoom, Key: key})
		}
		failed = errors.Join(failed, r.send(ctx, q, key, &l))
		return ctx.Err()
	})
	return errors.Join(failed, err)
}

// send stores a reply in the queue, and takes it off what is due by the same record. Its envelope has the null
// reverse-path (RFC 3834 section 3.3, RFC 5230 section 5.1), so that nothing ever answers it, and nobody is told should it fail.
func (r *Replies) send(ctx context.Context, q Queue, key string, l *letter) error {
	text := l.bytes()
	b := r.o.Store.NewBody()
	defer b.Abort()
	if r.o.Sign != nil {
		fields, err := r.o.Sign(l.From[strings.LastIndexByte(l.From, '@')+1:], text, func(io.Writer) error { return nil })
		if err != nil {
			r.o.Logger.Error("local: an automatic reply was not signed", "id", l.Transaction, "err", err)
		}
		if _, err := b.Write(fields); err != nil {
			return fmt.Errorf("local: write an automatic reply: %w", err)
		}
	}
	if _, err := b.Write(text); err != nil {
		return fmt.Errorf("local: write an automatic reply: %w", err)
	}
	e := queue.Envelope{
		Recipients: []string{l.To}, Account: mailbox.AccountID(l.Account), Size: b.Size(), Transaction: l.Transaction,
		UTF8: !isASCII(l.To) || !isASCII(l.From), Received: l.Date,
	}
	_, err := r.o.Store.Deliver(ctx, b, nil, func(body mailbox.BodyID) []mailbox.RoomChange {
		return append(q.Add(e)(body), mailbox.RoomChange{Room: replyRoom, Key: key})
	})
	if err != nil {
		return fmt.Errorf("local: queue an automatic reply: %w", err)
	}
	r.o.Journal.AddFor(journal.Event{Step: journal.Answered, ID: l.Transaction, At: r.o.Now()}, []string{l.To})
	q.Wake()
	return nil
}

// answers plans the automatic replies to a message from a session: by accounts to which it comes, and for which it
// is no junk. settle is told with which errors the copies were stored.
func (c *Courier) answers(p *plan, t *Transaction, b *mailbox.NewBody) (settle func(failed []error)) {
	var undos []func()
	var at []int
	var header []byte
	read := func() []byte {
		if header == nil {
			header = headerOf(b)
		}
		return header
	}
	for i, d := range p.local {
		if c.replies == nil || t.From == "" || p.isJunk(d.Account) {
			continue
		}
		changes, undo := c.replies.plan(d.Account, t, read)
		for _, change := range changes {
			change.With = i + 1
			p.changes = append(p.changes[:len(p.changes):len(p.changes)], change)
		}
		if undo != nil {
			undos, at = append(undos, undo), append(at, i)
		}
	}
	return func(failed []error) {
		for i, undo := range undos {
			if at[i] >= len(failed) || failed[at[i]] != nil {
				undo()
			}
		}
		if len(undos) > 0 {
			c.replies.wake()
		}
	}
}

// headerOf reads the header of a message that is being taken.
func headerOf(b *mailbox.NewBody) []byte {
	header := make([]byte, min(b.Size(), maxAnsweredHeader))
	n, _ := b.ReadAt(header, 0) // less than all is read as that
	header = header[:n]
	if end := strings.Index(string(header), "\r\n\r\n"); end >= 0 {
		return header[:end+2]
	}
	return header
}
