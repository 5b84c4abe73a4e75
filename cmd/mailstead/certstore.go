package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/caddyserver/certmagic"

	"mailstead/mailbox"
)

const (
	certificateRoom = "certificates" // docs/STORAGE.md has its keys
	// stampSize is of the time in front of a value: microseconds since 1970, big-endian.
	stampSize = 8
	// maxCertificateValue bounds a value in octets; a long chain is 20 KB.
	maxCertificateValue = 256 << 10
)

// certificateStore keeps what belongs to certificates in a room of the store. Its keys are paths; a folder is nothing but
// what the paths have in common. A change is durable when its method returns.
type certificateStore struct {
	store *mailbox.Store
	room  *mailbox.Room

	mu    sync.Mutex
	locks map[string]chan struct{} // closed when the lock is given back
}

var (
	_ certmagic.Storage   = (*certificateStore)(nil)
	_ certmagic.TryLocker = (*certificateStore)(nil)
)

func newCertificateStore(s *mailbox.Store) *certificateStore {
	return &certificateStore{store: s, room: s.Room(certificateRoom), locks: map[string]chan struct{}{}}
}

// Store sets a value.
func (c *certificateStore) Store(ctx context.Context, key string, value []byte) error {
	if len(value) > maxCertificateValue {
		return fmt.Errorf("certificates: %s has %d octets, too many", key, len(value))
	}
	stamped := binary.BigEndian.AppendUint64(nil, uint64(time.Now().UnixMicro()))
	return c.store.Change(ctx, mailbox.RoomChange{Room: certificateRoom, Key: key, Value: append(stamped, value...)})
}

// Load gives a value. fs.ErrNotExist.
func (c *certificateStore) Load(ctx context.Context, key string) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	stamped, ok, err := c.room.Get(key)
	switch {
	case err != nil:
		return nil, err
	case !ok:
		return nil, missing("load", key)
	case len(stamped) < stampSize:
		return nil, fmt.Errorf("certificates: %s is damaged", key)
	}
	return stamped[stampSize:], nil
}

func missing(op, key string) error { return &fs.PathError{Op: op, Path: key, Err: fs.ErrNotExist} }

// Delete takes a value away, or a whole folder; that there is none is no error.
func (c *certificateStore) Delete(ctx context.Context, key string) error {
	var changes []mailbox.RoomChange
	err := c.below(ctx, key, func(k string) {
		changes = append(changes, mailbox.RoomChange{Room: certificateRoom, Key: k})
	})
	if err != nil || len(changes) == 0 {
		return err
	}
	return c.store.Change(ctx, changes...)
}

// below calls f with a key and those of the folder of its name; "" is the room.
func (c *certificateStore) below(ctx context.Context, key string, f func(string)) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return c.room.Each(key, func(k string, _ []byte) error {
		if rest := k[len(key):]; key == "" || rest == "" || rest[0] == '/' {
			f(k)
		}
		return nil
	})
}

// Exists reports whether there is a value, or a folder, and nothing keeps us from seeing it.
func (c *certificateStore) Exists(ctx context.Context, key string) bool {
	found := false
	err := c.below(ctx, key, func(string) { found = true })
	return err == nil && found
}

// List gives the keys of a folder, sorted: those of its values, and of its folders; or, recursive, of all values below it. fs.ErrNotExist.
func (c *certificateStore) List(ctx context.Context, folder string, recursive bool) ([]string, error) {
	var keys []string
	err := c.below(ctx, folder, func(k string) {
		rest := strings.TrimPrefix(k[len(folder):], "/")
		if first, _, deeper := strings.Cut(rest, "/"); deeper && !recursive {
			k = k[:len(k)-len(rest)+len(first)]
		}
		if k != folder {
			keys = append(keys, k)
		}
	})
	if err != nil {
		return nil, err
	}
	if len(keys) == 0 {
		return nil, missing("list", folder)
	}
	slices.Sort(keys) // folders come in between
	return slices.Compact(keys), nil
}

// Stat tells of a value or a folder. fs.ErrNotExist.
func (c *certificateStore) Stat(ctx context.Context, key string) (certmagic.KeyInfo, error) {
	if err := ctx.Err(); err != nil {
		return certmagic.KeyInfo{}, err
	}
	stamped, ok, err := c.room.Get(key)
	switch {
	case err != nil:
		return certmagic.KeyInfo{}, err
	case ok && len(stamped) >= stampSize:
		at := time.UnixMicro(int64(binary.BigEndian.Uint64(stamped)))
		return certmagic.KeyInfo{Key: key, Modified: at, Size: int64(len(stamped) - stampSize), IsTerminal: true}, nil
	case c.Exists(ctx, key):
		return certmagic.KeyInfo{Key: key}, nil
	}
	return certmagic.KeyInfo{}, missing("stat", key)
}

// Lock waits for a lock. They are in memory: one process has the store.
func (c *certificateStore) Lock(ctx context.Context, name string) error {
	for {
		held := c.take(name)
		if held == nil {
			return nil
		}
		select {
		case <-held:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// take takes a free lock and returns nil, or what is closed when it is free.
func (c *certificateStore) take(name string) <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if held := c.locks[name]; held != nil {
		return held
	}
	c.locks[name] = make(chan struct{})
	return nil
}

// TryLock takes a lock if it is free.
func (c *certificateStore) TryLock(ctx context.Context, name string) (bool, error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	return c.take(name) == nil, nil
}

// errNotLocked is about a lock that nobody holds.
var errNotLocked = errors.New("certificates: the lock is not held")

// Unlock gives a lock back, whatever has become of ctx.
func (c *certificateStore) Unlock(_ context.Context, name string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	held := c.locks[name]
	if held == nil {
		return errNotLocked
	}
	delete(c.locks, name)
	close(held)
	return nil
}
