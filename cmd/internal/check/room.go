package check

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"mailstead/mailbox"
)

// The room of what is remembered from one round to the next, described in docs/STORAGE.md.
const (
	roomName   = "check"
	roundKey   = "round"
	samplesKey = "samples"
	backupKey  = "backup"
)

// maxSamples is how many samples of the disk are kept: more than a forecast looks at.
const maxSamples = 40

// Round is what a daily round has found.
type Round struct {
	Time    time.Time `json:"time"`
	Results []Result  `json:"results"`
	Told    []string  `json:"told"` // what the postmaster knows to be wrong: results' keys
}

// LastRound gives the last daily round of a store; ok is false where there was none yet.
func LastRound(store *mailbox.Store) (r Round, ok bool, err error) {
	ok, err = read(store, roundKey, &r)
	return r, ok, err
}

// read gets the value of a key, as JSON.
func read(store *mailbox.Store, key string, to any) (ok bool, err error) {
	value, ok, err := store.Room(roomName).Get(key)
	if err == nil && ok {
		err = json.Unmarshal(value, to)
	}
	if err != nil {
		return false, fmt.Errorf("check: read %s: %w", key, err)
	}
	return ok, nil
}

// change is the change that writes a value down.
func change(key string, value any) (mailbox.RoomChange, error) {
	text, err := json.Marshal(value)
	if err != nil {
		return mailbox.RoomChange{}, fmt.Errorf("check: keep %s: %w", key, err)
	}
	return mailbox.RoomChange{Room: roomName, Key: key, Value: text}, nil
}

// noteEvery is how often a backup that goes on and on is noted.
const noteEvery = time.Hour

// NoteBackup writes down that a backup was complete at a time, unless one was within the hour before.
func NoteBackup(ctx context.Context, store *mailbox.Store, at time.Time) error {
	last, err := LastBackup(store)
	if err != nil || at.Sub(last) < noteEvery {
		return err
	}
	c, err := change(backupKey, at.UTC())
	if err != nil {
		return err
	}
	return store.Change(ctx, c)
}

// LastBackup is when a backup was complete last, as far as the server knows; zero = never.
func LastBackup(store *mailbox.Store) (at time.Time, err error) {
	_, err = read(store, backupKey, &at)
	return at, err
}

// Samples are those of the store's size that daily rounds have kept, the oldest first.
func Samples(store *mailbox.Store) (list []Sample, err error) {
	_, err = read(store, samplesKey, &list)
	return list, err
}

// addSample keeps a sample.
func addSample(ctx context.Context, store *mailbox.Store, s Sample) error {
	list, err := Samples(store)
	if err != nil {
		return err
	}
	list = append(list, s)
	c, err := change(samplesKey, list[max(0, len(list)-maxSamples):])
	if err != nil {
		return err
	}
	return store.Change(ctx, c)
}

// key is what a result is known by from one round to the next, kind what it has in common with the others of its check.
func (r *Result) key() string  { return r.kind() + " " + r.Subject }
func (r *Result) kind() string { return r.ID + " " + r.Domain }

// kindOf is the kind of the result with a key.
func kindOf(key string) string {
	id, rest, _ := strings.Cut(key, " ")
	domain, _, _ := strings.Cut(rest, " ")
	return id + " " + domain
}

// errNothingFound is about a round without results, which says nothing.
var errNothingFound = errors.New("check: the round has no results")
