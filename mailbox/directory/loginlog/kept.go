package loginlog

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"mailstead/mailbox"
)

// Lines are those of an account, the newest login first; most of them at most, 0 for all.
func (l *Log) Lines(ctx context.Context, a mailbox.AccountID, most int) ([]Line, error) {
	if err := l.Flush(ctx); err != nil {
		return nil, err
	}
	all := []Line{}
	err := l.store.Room(room).Each(Prefix(a), func(key string, value []byte) error {
		if strings.HasSuffix(key, lastKey) {
			return nil
		}
		var line Line
		if err := json.Unmarshal(value, &line); err != nil {
			return fmt.Errorf("entry %q: %w", key, err)
		}
		all = append(all, line)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the log of logins: %w", err)
	}
	slices.SortStableFunc(all, func(x, y Line) int { return y.Last.Compare(x.Last) })
	if most > 0 && len(all) > most {
		all = all[:most]
	}
	return all, nil
}

// Last is the last successful login of an account; ok is false where there was none.
func (l *Log) Last(a mailbox.AccountID) (line Line, ok bool, err error) {
	l.mu.Lock()
	line, ok = l.lasts[a]
	l.mu.Unlock()
	if ok {
		return line, true, nil
	}
	value, ok, err := l.store.Room(room).Get(Prefix(a) + lastKey)
	if err == nil && ok {
		err = json.Unmarshal(value, &line)
	}
	if err != nil {
		return Line{}, false, fmt.Errorf("read the last login: %w", err)
	}
	return line, ok, nil
}

// count adds to the lines of an account, and removes the oldest where there are too many.
func (l *Log) count(ctx context.Context, a mailbox.AccountID, fresh int) error {
	n, known := l.counts[a]
	if !known {
		fresh = 0
		if err := l.store.Room(room).Each(Prefix(a), func(string, []byte) error { n++; return nil }); err != nil {
			return err
		}
	}
	l.counts[a] = n + fresh
	if l.counts[a] <= maxFailed { // of whatever kind, it is not too much
		return nil
	}
	return l.shorten(ctx, a)
}

// shorten keeps to the bounds of an account.
func (l *Log) shorten(ctx context.Context, a mailbox.AccountID) error {
	var failures, all []string
	err := l.store.Room(room).Each(Prefix(a), func(key string, _ []byte) error {
		if at := len(Prefix(a)) + timeDigits; len(key) > at {
			all = append(all, key)
			if key[at] == failed {
				failures = append(failures, key)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	gone := oldest(failures, maxFailed)
	all = slices.DeleteFunc(all, func(key string) bool { _, is := slices.BinarySearch(gone, key); return is })
	rest := oldest(all, maxLines)
	l.counts[a] = len(all) - len(rest)
	return l.remove(ctx, slices.Concat(gone, rest))
}

// oldest are those of keys in order that are too many, and a tenth more, so that the next do not pay again.
func oldest(keys []string, most int) []string {
	if len(keys) <= most {
		return nil
	}
	return keys[:len(keys)-most+most/10]
}

func (l *Log) remove(ctx context.Context, keys []string) error {
	var changes []mailbox.RoomChange
	for _, key := range keys {
		changes = append(changes, mailbox.RoomChange{Room: room, Key: key})
	}
	return l.write(ctx, changes)
}

// Forget removes all lines of an account.
func (l *Log) Forget(ctx context.Context, a mailbox.AccountID) error {
	l.writing.Lock()
	defer l.writing.Unlock()
	l.mu.Lock()
	for k, e := range l.runs {
		if k.account == a {
			e.dirty = false
			l.end(k, e)
		}
	}
	l.ended = slices.DeleteFunc(l.ended, func(e *entry) bool { return e.account == a })
	delete(l.lasts, a)
	delete(l.told, a)
	l.mu.Unlock()
	delete(l.counts, a)
	var keys []string
	err := l.store.Room(room).Each(Prefix(a), func(key string, _ []byte) error { keys = append(keys, key); return nil })
	if err == nil {
		err = l.remove(ctx, keys)
	}
	if err != nil {
		return fmt.Errorf("forget the logins of account %d: %w", a, err)
	}
	return nil
}

// Tidy removes lines of more than Days days, and those of accounts that are not known any more.
func (l *Log) Tidy(ctx context.Context, known func(mailbox.AccountID) bool) error {
	l.writing.Lock()
	defer l.writing.Unlock()
	clear(l.counts)
	before := l.now().AddDate(0, 0, -Days)
	var gone []string
	err := l.store.Room(room).Each("", func(key string, _ []byte) error {
		if a, began, ok := parseKey(key); !ok || !known(a) || !began.IsZero() && began.Before(before) {
			gone = append(gone, key)
		}
		return nil
	})
	if err == nil {
		err = l.remove(ctx, gone)
	}
	if err != nil {
		return fmt.Errorf("tidy the log of logins: %w", err)
	}
	return nil
}

// parseKey reads a key; that of a last login has no time.
func parseKey(key string) (a mailbox.AccountID, began time.Time, ok bool) {
	rest, ok := strings.CutPrefix(key, "logins/")
	id, rest, cut := strings.Cut(rest, "/")
	n, err := strconv.ParseUint(id, 10, 32)
	if !ok || !cut || err != nil {
		return 0, time.Time{}, false
	}
	if rest == lastKey {
		return mailbox.AccountID(n), time.Time{}, true
	}
	if len(rest) < timeDigits {
		return 0, time.Time{}, false
	}
	ms, err := strconv.ParseInt(rest[:timeDigits], 16, 64)
	return mailbox.AccountID(n), time.UnixMilli(ms), err == nil
}
