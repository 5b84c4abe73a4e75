package report

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"mailstead/mailbox"
)

// waitingPrefix begins the keys of letters that are to be read: their bodies' ids, in hex, which
// sort as they came. An entry holds the body, so that the letter is there however soon
// its recipient deletes it, or the queue has delivered it elsewhere. The value
// counts the starts that have found it, in decimal.
const waitingPrefix = "in/"

const (
	// maxWaiting bounds the letters that wait: a flood is read late, and what is beyond
	// it not at all. 10,000 are some minutes' work.
	maxWaiting = 10_000
	// maxStarts is how many starts have a letter read again: one that takes the
	// server down with it is not to do so for ever.
	maxStarts = 3
)

// Take has a stored letter read that looks like a report: when it returns nil
// that is on disk, and happens, however the server ends. While very many wait
// it is passed over, and is still the letter it was. An error of the store.
func (d *Desk) Take(ctx context.Context, letter mailbox.BodyID) error {
	d.mu.Lock()
	full := len(d.waiting) >= maxWaiting
	d.mu.Unlock()
	if full {
		d.o.Logger.Warn("report: too many reports at once; one is not read")
		return nil
	}
	if err := d.store.Change(ctx, waitingFor(letter, 0)); err != nil {
		return fmt.Errorf("report: noting a letter: %w", err)
	}
	d.mu.Lock()
	d.waiting = append(d.waiting, letter)
	d.mu.Unlock()
	d.wake()
	return nil
}

func (d *Desk) wake() {
	select {
	case d.kick <- struct{}{}:
	default: // it knows
	}
}

func waitingKey(letter mailbox.BodyID) string {
	return fmt.Sprintf("%s%016x", waitingPrefix, uint64(letter))
}

// waitingFor notes a letter that so many starts have found.
func waitingFor(letter mailbox.BodyID, starts int) mailbox.RoomChange {
	return mailbox.RoomChange{Room: roomName, Key: waitingKey(letter), Value: []byte(strconv.Itoa(starts)), Body: letter}
}

// doneWith ends the wait of a letter.
func doneWith(letter mailbox.BodyID) mailbox.RoomChange {
	return mailbox.RoomChange{Room: roomName, Key: waitingKey(letter)}
}

// forget ends the wait of a letter that has no report to be kept.
func (d *Desk) forget(letter mailbox.BodyID) {
	if err := d.store.Change(context.Background(), doneWith(letter)); err != nil && !errors.Is(err, mailbox.ErrClosed) {
		d.o.Logger.Warn("report: a letter that was read is read again after the next start", "err", err)
	}
}

// recall finds the letters that the last run has not read, and counts this start before any
// of them is looked at.
func (d *Desk) recall(ctx context.Context) error {
	var changes []mailbox.RoomChange
	err := d.store.Room(roomName).Each(waitingPrefix, func(key string, value []byte) error {
		id, err := strconv.ParseUint(strings.TrimPrefix(key, waitingPrefix), 16, 64)
		starts, err2 := strconv.Atoi(string(value))
		switch letter := mailbox.BodyID(id); {
		case err != nil || err2 != nil || starts >= maxStarts:
			d.o.Logger.Warn("report: a letter is given up", "letter", key, "starts", starts)
			changes = append(changes, mailbox.RoomChange{Room: roomName, Key: key})
		default:
			changes = append(changes, waitingFor(letter, starts+1))
			d.waiting = append(d.waiting, letter)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("report: letters that wait: %w", err)
	}
	for len(changes) > 0 {
		n := min(len(changes), tidyAtOnce)
		if err := d.store.Change(ctx, changes[:n]...); err != nil {
			return fmt.Errorf("report: letters that wait: %w", err)
		}
		changes = changes[n:]
	}
	if len(d.waiting) > 0 {
		d.wake()
	}
	return nil
}
