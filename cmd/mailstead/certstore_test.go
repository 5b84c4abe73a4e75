package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"mailstead/mailbox"
	"mailstead/mailbox/mailboxtest"
)

// TestCertificateStore holds the store against what certmagic expects of a Storage.
func TestCertificateStore(t *testing.T) {
	store := mailboxtest.NewStore(t)
	c, ctx := newCertificateStore(store), t.Context()
	put := func(key, value string) {
		t.Helper()
		if err := c.Store(ctx, key, []byte(value)); err != nil {
			t.Fatal(err)
		}
	}
	before := time.Now().Add(-time.Second)
	put("a/b", "old")
	put("a/b", "one")
	put("a/c/d", "two")
	put("a/c/e/f", "")
	put("ab/c", "four") // a is no prefix of it
	put("z", "five")
	for key, want := range map[string]string{"a/b": "one", "a/c/d": "two", "a/c/e/f": "", "z": "five"} {
		if got, err := c.Load(ctx, key); err != nil || string(got) != want {
			t.Errorf("Load %s: %q, %v", key, got, err)
		}
	}
	for _, key := range []string{"a", "a/c", "a/b/c", "none", "zz"} {
		if _, err := c.Load(ctx, key); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("Load %s: %v", key, err)
		}
	}
	for key, want := range map[string]bool{"a": true, "a/b": true, "a/c": true, "a/c/e": true, "ab": true, "z": true, "a/bb": false, "b": false} {
		if got := c.Exists(ctx, key); got != want {
			t.Errorf("Exists %s: %v", key, got)
		}
	}
	for _, l := range []struct {
		folder    string
		recursive bool
		want      []string
	}{
		{"a", false, []string{"a/b", "a/c"}},
		{"a", true, []string{"a/b", "a/c/d", "a/c/e/f"}},
		{"a/c", false, []string{"a/c/d", "a/c/e"}},
		{"", false, []string{"a", "ab", "z"}},
		{"", true, []string{"a/b", "a/c/d", "a/c/e/f", "ab/c", "z"}},
	} {
		if got, err := c.List(ctx, l.folder, l.recursive); err != nil || !slices.Equal(got, l.want) {
			t.Errorf("List %q %v: %q, %v", l.folder, l.recursive, got, err)
		}
	}
	if _, err := c.List(ctx, "none", false); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("List of nothing: %v", err)
	}
	info, err := c.Stat(ctx, "a/b")
	if err != nil || info.Key != "a/b" || info.Size != 3 || !info.IsTerminal || info.Modified.Before(before) || info.Modified.After(time.Now()) {
		t.Errorf("Stat of a value: %+v, %v", info, err)
	}
	if info, err := c.Stat(ctx, "a/c"); err != nil || info.IsTerminal || info.Key != "a/c" {
		t.Errorf("Stat of a folder: %+v, %v", info, err)
	}
	if _, err := c.Stat(ctx, "a/bb"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Stat of nothing: %v", err)
	}
	for _, key := range []string{"a", "a", "none"} { // twice is no error
		if err := c.Delete(ctx, key); err != nil {
			t.Errorf("Delete %s: %v", key, err)
		}
	}
	if got, err := c.List(ctx, "", true); err != nil || !slices.Equal(got, []string{"ab/c", "z"}) {
		t.Errorf("after Delete: %q, %v", got, err)
	}
	if err := c.Store(ctx, "big", bytes.Repeat([]byte("x"), maxCertificateValue+1)); err == nil {
		t.Error("a huge value was stored")
	}
	if err := c.Store(ctx, strings.Repeat("x", mailbox.MaxRoomKey+1), nil); err == nil {
		t.Error("a huge key was stored")
	}
	ended, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := c.Load(ended, "z"); !errors.Is(err, context.Canceled) {
		t.Errorf("Load with an ended context: %v", err)
	}
}

// TestCertificateStoreAtOnce: what many store at once is there afterwards, each whole.
func TestCertificateStoreAtOnce(t *testing.T) {
	c, ctx := newCertificateStore(mailboxtest.NewStore(t)), t.Context()
	var storing sync.WaitGroup
	for i := range 20 {
		storing.Go(func() {
			value := bytes.Repeat([]byte{byte('a' + i)}, 1000)
			if err := errors.Join(c.Store(ctx, fmt.Sprint("own/", i), value), c.Store(ctx, "shared", value)); err != nil {
				t.Error(err)
			}
		})
	}
	storing.Wait()
	if keys, err := c.List(ctx, "own", false); err != nil || len(keys) != 20 {
		t.Errorf("%d keys, %v", len(keys), err)
	}
	if v, err := c.Load(ctx, "shared"); err != nil || len(v) != 1000 || bytes.Count(v, v[:1]) != 1000 {
		t.Errorf("%d octets, %v", len(v), err)
	}
}

func TestCertificateLocks(t *testing.T) {
	c, ctx := newCertificateStore(mailboxtest.NewStore(t)), t.Context()
	if err := c.Lock(ctx, "a"); err != nil {
		t.Fatal(err)
	}
	if ok, err := c.TryLock(ctx, "a"); ok || err != nil {
		t.Errorf("TryLock of a held lock: %v, %v", ok, err)
	}
	if ok, err := c.TryLock(ctx, "b"); !ok || err != nil {
		t.Errorf("TryLock of another: %v, %v", ok, err)
	}
	waiting, cancel := context.WithCancel(ctx)
	given := make(chan error, 1)
	go func() { given <- c.Lock(waiting, "a") }()
	cancel()
	if err := <-given; !errors.Is(err, context.Canceled) {
		t.Errorf("a wait that ends: %v", err)
	}
	var held, all sync.WaitGroup
	holders := 0
	held.Add(1)
	for range 10 {
		all.Go(func() {
			held.Wait()
			if err := c.Lock(ctx, "a"); err != nil {
				t.Error(err)
			}
			holders++ // the race detector looks on
			if err := c.Unlock(ctx, "a"); err != nil {
				t.Error(err)
			}
		})
	}
	held.Done()
	ended, cancel2 := context.WithCancel(ctx)
	cancel2()
	if err := c.Unlock(ended, "a"); err != nil { // a lock is given back whatever has become of the work
		t.Error(err)
	}
	all.Wait()
	if err := c.Unlock(ctx, "a"); err == nil || holders != 10 {
		t.Errorf("a lock that nobody holds was given back: %v; %d holders", err, holders)
	}
}
