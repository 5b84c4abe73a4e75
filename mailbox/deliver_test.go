package mailbox

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	goimap "github.com/emersion/go-imap/v2"
	"go.etcd.io/bbolt"
)

// TestOneBodyManyOwners delivers to several mailboxes at once, of which some refuse.
func TestOneBodyManyOwners(t *testing.T) {
	for how, restart := range restarts {
		t.Run(how, func(t *testing.T) {
			s := newStore(t)
			a, b := newAccount(t, s), newAccount(t, s)
			date := time.Date(2026, 5, 17, 10, 0, 0, 0, time.FixedZone("", -3*3600))
			body := s.NewBody()
			io.WriteString(body, letter(1))
			var held BodyID
			placed, err := s.Deliver(t.Context(), body, []Target{
				{Account: a, Name: "inbox", Date: date},
				{Account: a, Name: "nothing"},
				{Account: 99, Name: "INBOX"},
				{Account: b, Name: "Junk", Flags: []goimap.Flag{"$Junk"}},
				{Account: b, Name: "Junk"},
			}, func(id BodyID) []RoomChange {
				held = id
				return []RoomChange{{Room: "queue", Key: "1", Value: []byte("x"), Body: id}}
			})
			if err != nil {
				t.Fatal(err)
			}
			for i, want := range []error{nil, ErrNoMailbox, ErrNoAccount, nil, nil} {
				if !errors.Is(placed[i].Err, want) || (want == nil) != (placed[i].UID != 0 && placed[i].UIDValidity != 0) {
					t.Errorf("target %d: %+v", i, placed[i])
				}
			}
			body.Abort() // does nothing any more
			s = restart(t, s)
			first, junk := rows(open(t, s, a, "INBOX")), rows(open(t, s, b, "Junk"))
			if len(first) != 1 || len(junk) != 2 || first[0].Body != held || junk[0].Body != held || junk[1].Body != held || junk[1].UID != 2 {
				t.Fatalf("%+v and %+v of body %d", first, junk, held)
			}
			if !first[0].Internal.Time().Equal(date) || first[0].Internal.Zone != -180 {
				t.Errorf("INTERNALDATE %v", first[0].Internal.Time())
			}
			if text(t, s, held) != letter(1) {
				t.Error("the body is another")
			}
			for _, x := range []struct {
				a    AccountID
				name string
			}{{a, "INBOX"}, {b, "Junk"}} {
				m := open(t, s, x.a, x.name)
				if _, err := m.ExpungeAll(t.Context(), false); err != nil {
					t.Error(err)
				}
			}
			s = restart(t, s)
			if text(t, s, held) != letter(1) {
				t.Error("the queue's body went with the messages")
			}
		})
	}
}

func TestDeliverNothing(t *testing.T) {
	s := newStore(t)
	a := newAccount(t, s)
	before := s.nextLSN()
	body := s.NewBody()
	io.WriteString(body, letter(1))
	placed, err := s.Deliver(t.Context(), body, []Target{{Account: a, Name: "none"}}, nil)
	if err != nil || !errors.Is(placed[0].Err, ErrNoMailbox) || s.nextLSN() != before {
		t.Errorf("%+v, %v, %d records", placed, err, s.nextLSN()-before)
	}
	// The body was not used up.
	if placed, err = s.Deliver(t.Context(), body, []Target{{Account: a, Name: "INBOX"}}, nil); err != nil || placed[0].UID != 1 {
		t.Errorf("%+v, %v", placed, err)
	}
	if _, err := s.Deliver(t.Context(), body, []Target{{Account: a, Name: "INBOX"}}, nil); err == nil {
		t.Error("a body was delivered twice")
	}
}

// TestChangesThatBelongToCopies: a change that belongs to a target is made with its copy, and not where it was refused.
func TestChangesThatBelongToCopies(t *testing.T) {
	s := newStore(t)
	a := newAccount(t, s)
	targets := []Target{{Account: a, Name: "none"}, {Account: a, Name: "INBOX"}}
	deliver := func(targets []Target, with ...int) (keys []string) {
		t.Helper()
		body := s.NewBody()
		defer body.Abort()
		io.WriteString(body, letter(1))
		_, err := s.Deliver(t.Context(), body, targets, func(id BodyID) (changes []RoomChange) {
			for _, w := range with {
				changes = append(changes, RoomChange{Room: "r", Key: fmt.Sprintf("%d-%d", len(targets), w), Value: []byte("x"), Body: id, With: w})
			}
			return changes
		})
		if err != nil {
			t.Fatal(err)
		}
		s.Room("r").Each("", func(key string, _ []byte) error { keys = append(keys, key); return nil })
		return keys
	}
	before := s.nextLSN()
	if keys := deliver(targets[:1], 1); len(keys) > 0 || s.nextLSN() != before {
		t.Errorf("without a copy there are %q", keys)
	}
	if keys := deliver(targets, 0, 1, 2); !slices.Equal(keys, []string{"2-0", "2-2"}) {
		t.Errorf("with one of two copies there are %q", keys)
	}
}

// TestBodySizes crosses every buffer size and the limits.
func TestBodySizes(t *testing.T) {
	s := newStore(t)
	s.o.MaxMessageSize = 2 << 20
	a := newAccount(t, s)
	var want []string
	sizes := []int{0, 1}
	for _, n := range bufferSizes {
		sizes = append(sizes, n-1, n, n+1)
	}
	limit := int(s.log.InlineLimit())
	for _, n := range append(sizes, limit, limit+1, 2<<20) {
		line := []byte("0123456789abcdef\r\n")
		data := string(bytes.Repeat(line, n/len(line)+1)[:n])
		body := s.NewBody()
		for rest := data; rest != ""; {
			k := min(len(rest), 1000)
			if _, err := io.WriteString(body, rest[:k]); err != nil {
				t.Fatal(err)
			}
			rest = rest[k:]
		}
		buf := make([]byte, 10)
		if k, _ := body.ReadAt(buf, int64(n/2)); string(buf[:k]) != data[n/2:min(n, n/2+10)] {
			t.Errorf("%d bytes: the middle reads %q", n, buf[:k])
		}
		if body.Size() != int64(n) || body.Index() == nil {
			t.Errorf("%d bytes: size %d", n, body.Size())
		}
		if _, err := s.Deliver(t.Context(), body, []Target{{Account: a, Name: "INBOX"}}, nil); err != nil {
			t.Fatal(err)
		}
		want = append(want, data)
	}
	s = crash(t, s)
	for i, r := range rows(open(t, s, a, "INBOX")) {
		if got := text(t, s, r.Body); got != want[i] || r.Size != int64(len(want[i])) {
			t.Errorf("message %d has %d bytes, want %d", r.UID, len(got), len(want[i]))
		}
	}
}

func TestTooBig(t *testing.T) {
	s := newStore(t)
	s.o.MaxMessageSize = 3 << 19
	a := newAccount(t, s)
	body := s.NewBody()
	chunk := []byte(strings.Repeat("x", 1<<18))
	var err error
	for range 7 {
		if _, err = body.Write(chunk); err != nil {
			break
		}
	}
	if !errors.Is(err, ErrTooBig) {
		t.Errorf("write: %v", err)
	}
	if _, err := s.Deliver(t.Context(), body, []Target{{Account: a, Name: "INBOX"}}, nil); !errors.Is(err, ErrTooBig) {
		t.Errorf("deliver: %v", err)
	}
	body.Abort()
	body.Abort()
	if ids, err := s.log.Bigs(); err != nil || len(ids) != 0 {
		t.Errorf("left behind: %v, %v", ids, err)
	}
}

// TestCommitBeforeItsTime writes until so much is pending that the applier does
// not wait for its time, which is an hour here.
func TestCommitBeforeItsTime(t *testing.T) {
	s := newStore(t)
	s.applier.mu.Lock()
	drained := s.applier.drained
	s.applier.mu.Unlock()
	value := make([]byte, 50_000)
	for range commitWeight/len(value) + 1 {
		if err := s.Change(t.Context(), RoomChange{Room: "r", Key: "k", Value: value}); err != nil {
			t.Fatal(err)
		}
	}
	<-drained
	rested := time.Unix(100, 0)
	for _, c := range []struct {
		now    int64
		weight int64
		want   bool
	}{{99, commitWeight, false}, {100, 0, true}, {99, pressingWeight, true}} {
		a := applier{weight: c.weight}
		if got := a.due(time.Unix(c.now, 0), rested); got != c.want {
			t.Errorf("%+v: %v", c, got)
		}
	}
}

// TestWeight counts what a well packed record takes in memory.
func TestWeight(t *testing.T) {
	s, m, _ := viewOf(t, 100)
	commit(t, s)
	for range 6 {
		if _, err := m.Copy(t.Context(), uids(m), "INBOX"); err != nil {
			t.Fatal(err)
		}
	}
	if n := int64(len(uids(m)) - 100); s.applier.weight < 64*n {
		t.Errorf("%d copies count with %d bytes", n, s.applier.weight)
	}
	commit(t, s)
	if s.applier.weight != 0 {
		t.Errorf("%d bytes are left", s.applier.weight)
	}
}

// TestUnstoredIndexesAreBounded has derived.db take nothing for long.
func TestUnstoredIndexesAreBounded(t *testing.T) {
	s := newStore(t)
	a := newAccount(t, s)
	deliver(t, s, a, "INBOX", letter(1))
	list := rows(open(t, s, a, "INBOX"))
	quietSearch(s) // nobody else uses derived.db meanwhile
	s.applier.commit.Lock()
	defer s.applier.commit.Unlock()
	const large = 1 << 20
	for id := BodyID(1000); s.overlay.unstoredBytes() < maxUnstored; id++ {
		s.overlay.remade(id, make([]byte, large))
	}
	if err := s.disk.derived.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.applyDerived(); err == nil {
		t.Fatal("derived.db took indexes")
	}
	if n := s.overlay.unstoredBytes(); n != 0 || len(s.overlay.indexes) != 0 {
		t.Errorf("%d bytes are kept", n)
	}
	var err error
	if s.disk.derived, err = osFiles.openDerived(filepath.Join(s.dir, derivedFile), s.logger); err != nil {
		t.Fatal(err)
	}
	checkIndexes(t, s, list, 1)
}

// TestWritersWaitForTheDatabases fills the memory that acknowledged records may take.
func TestWritersWaitForTheDatabases(t *testing.T) {
	s := newStore(t)
	a := newAccount(t, s)
	s.applier.mu.Lock()
	s.applier.weight += maxWeight
	s.applier.mu.Unlock()

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Subscribe(ctx, a, "x", true); !errors.Is(err, context.Canceled) {
		t.Errorf("with nobody waiting: %v", err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Subscribe(t.Context(), a, "x", true) }()
	select {
	case err := <-done:
		t.Fatalf("did not wait: %v", err)
	default:
	}
	s.applier.mu.Lock()
	s.applier.weight -= maxWeight
	s.applier.mu.Unlock()
	commit(t, s)
	if err := <-done; err != nil {
		t.Error(err)
	}

	s.applier.mu.Lock()
	s.applier.weight, s.applier.full = s.applier.weight+maxWeight, true
	s.applier.mu.Unlock()
	body := s.NewBody()
	defer body.Abort()
	io.WriteString(body, letter(1))
	if _, err := s.Deliver(t.Context(), body, []Target{{Account: a, Name: "INBOX"}}, nil); !errors.Is(err, ErrNoSpace) {
		t.Errorf("on a full disk: %v", err)
	}
	s.applier.mu.Lock()
	s.applier.weight -= maxWeight
	s.applier.mu.Unlock()
	commit(t, s)
}

func TestRooms(t *testing.T) {
	for how, restart := range restarts {
		t.Run(how, func(t *testing.T) {
			s := newStore(t)
			value := []byte("one")
			changes := []RoomChange{
				{Room: "r", Key: "a/1", Value: value}, {Room: "r", Key: "a/2", Value: []byte("two")},
				{Room: "r", Key: "b", Value: []byte{}}, {Room: "other", Key: "a/3", Value: []byte("x")},
			}
			if err := s.Change(t.Context(), changes...); err != nil {
				t.Fatal(err)
			}
			copy(value, "!!!") // is the caller's again
			commit(t, s)
			if err := s.Change(t.Context(), RoomChange{Room: "r", Key: "a/2"}, RoomChange{Room: "r", Key: "a/0", Value: []byte("zero")}); err != nil {
				t.Fatal(err)
			}
			s = restart(t, s)
			var got []string
			err := s.Room("r").Each("a/", func(key string, v []byte) error {
				got = append(got, key+"="+string(v))
				return nil
			})
			if want := []string{"a/0=zero", "a/1=one"}; err != nil || !slices.Equal(got, want) {
				t.Errorf("a/ has %q, %v", got, err)
			}
			if v, ok, err := s.Room("r").Get("b"); !ok || v == nil || len(v) != 0 || err != nil {
				t.Errorf("an empty value is %v, %v, %v", v, ok, err)
			}
			if v, ok, err := s.Room("r").Get("a/2"); ok || v != nil || err != nil {
				t.Errorf("a deleted value is %v, %v, %v", v, ok, err)
			}
			if err := s.Room("nobody").Each("", func(string, []byte) error { return errors.New("has keys") }); err != nil {
				t.Errorf("an unknown room: %v", err)
			}
		})
	}
}

// TestRoomKeysThatCannotBe are refused by all that changes rooms, and leave
// nothing behind.
func TestRoomKeysThatCannotBe(t *testing.T) {
	s := newStore(t)
	a := newAccount(t, s)
	last := s.nextLSN()
	for name, bad := range map[string]RoomChange{
		"no room":   {Key: "k", Value: []byte("v")},
		"no key":    {Room: "r", Value: []byte("v")},
		"long room": {Room: strings.Repeat("r", MaxRoomName+1), Key: "k"},
		"long key":  {Room: "r", Key: strings.Repeat("k", MaxRoomKey+1)},
	} {
		good := RoomChange{Room: "r", Key: "good", Value: []byte("v")}
		body := s.NewBody()
		io.WriteString(body, letter(1))
		_, delivered := s.Deliver(t.Context(), body, []Target{{Account: a, Name: "INBOX"}}, func(BodyID) []RoomChange { return []RoomChange{good, bad} })
		body.Abort()
		_, created := s.CreateAccount(t.Context(), func(AccountID) []RoomChange { return []RoomChange{bad} })
		for call, err := range map[string]error{
			"Change": s.Change(t.Context(), good, bad), "Deliver": delivered,
			"CreateAccount": created, "DeleteAccount": s.DeleteAccount(t.Context(), a, bad),
		} {
			if !errors.Is(err, ErrRoomKey) {
				t.Errorf("%s, %s: %v", name, call, err)
			}
		}
	}
	if next := s.nextLSN(); next != last {
		t.Errorf("%d records were written", next-last)
	}
	longest := RoomChange{Room: strings.Repeat("r", MaxRoomName), Key: strings.Repeat("k", MaxRoomKey), Value: []byte("v")}
	if err := s.Change(t.Context(), longest); err != nil {
		t.Fatal(err)
	}
	s = reopen(t, s)
	if v, ok, err := s.Room(longest.Room).Get(longest.Key); !ok || string(v) != "v" {
		t.Errorf("the longest key has %q, %v, %v", v, ok, err)
	}
}

// TestRoomPages walks more keys than a page has, half of them not on disk yet.
func TestRoomPages(t *testing.T) {
	s := newStore(t)
	key := func(i int) string { return string([]byte{'k', byte(i >> 8), byte(i)}) }
	const n = 3*roomPageSize + 7
	for _, first := range []int{0, 1} {
		var changes []RoomChange
		for i := first; i < n; i += 2 {
			changes = append(changes, RoomChange{Room: "r", Key: key(i), Value: []byte(key(i))})
		}
		if err := s.Change(t.Context(), changes...); err != nil {
			t.Fatal(err)
		}
		if first == 0 {
			commit(t, s)
		}
	}
	i := 0
	err := s.Room("r").Each("k", func(k string, v []byte) error {
		if k != key(i) || string(v) != k {
			return fmt.Errorf("key %d is %q", i, k)
		}
		i++
		return nil
	})
	if err != nil || i != n {
		t.Errorf("%d keys, want %d: %v", i, n, err)
	}
}

// TestRoomThatCannotBeRead damages an entry on disk: that it is there is not
// known, which is not the same as that it is not.
func TestRoomThatCannotBeRead(t *testing.T) {
	s := newStore(t)
	keys := []string{"a", "b", "c"}
	for _, key := range keys {
		if err := s.Change(t.Context(), RoomChange{Room: "r", Key: key, Value: []byte("v")}); err != nil {
			t.Fatal(err)
		}
	}
	commit(t, s)
	store := func(stored []byte) {
		err := s.disk.state.Update(func(tx *bbolt.Tx) error {
			room, _ := roomOf(tx, "r")
			return room.Put([]byte("b"), stored)
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	store(nil)
	if v, ok, err := s.Room("r").Get("b"); !errors.Is(err, errDatabase) || ok || v != nil {
		t.Errorf("Get: %q, %v, %v", v, ok, err)
	}
	if v, ok, err := s.Room("r").Get("c"); err != nil || !ok || string(v) != "v" {
		t.Errorf("Get of another: %q, %v, %v", v, ok, err)
	}
	err := s.Room("r").Each("", func(string, []byte) error { return nil })
	if !errors.Is(err, errDatabase) {
		t.Errorf("Each: %v", err)
	}
	enough := errors.New("enough")
	store(appendRoomEntry(nil, 0, []byte("v")))
	if err := s.Room("r").Each("", func(string, []byte) error { return enough }); err != enough {
		t.Errorf("Each, ended by its function: %v", err)
	}
}

func TestWatch(t *testing.T) {
	s := newStore(t)
	a, other := newAccount(t, s), newAccount(t, s)
	m := open(t, s, a, "INBOX")
	ofMailbox, ofAccount, ofOther := make(chan struct{}, 1), make(chan struct{}, 1), make(chan struct{}, 1)
	stopMailbox, stopAccount := m.Watch(ofMailbox), s.WatchAccount(a, ofAccount)
	defer s.WatchAccount(other, ofOther)()
	signalled := func(c chan struct{}) bool {
		select {
		case <-c:
			return true
		default:
			return false
		}
	}
	expect := func(what string, mailbox, account bool) {
		t.Helper()
		if signalled(ofMailbox) != mailbox || signalled(ofAccount) != account || signalled(ofOther) {
			t.Errorf("%s: the wrong ones were told", what)
		}
	}
	deliver(t, s, a, "INBOX", letter(1))
	deliver(t, s, a, "INBOX", letter(2)) // one signal stands for both
	expect("INBOX", true, true)
	deliver(t, s, a, "Sent", letter(3))
	expect("Sent", false, true)
	if err := s.Subscribe(t.Context(), a, "x", true); err != nil {
		t.Error(err)
	}
	expect("subscription", false, true)
	if _, err := s.Create(t.Context(), a, "x", ""); err != nil {
		t.Error(err)
	}
	expect("new mailbox", false, true)
	stopMailbox()
	stopAccount()
	deliver(t, s, a, "INBOX", letter(4))
	expect("after stop", false, false)
}

func TestClosed(t *testing.T) {
	s := newStore(t)
	a := newAccount(t, s)
	closeStore(t, s)
	if err := s.Subscribe(t.Context(), a, "x", true); !errors.Is(err, ErrClosed) {
		t.Errorf("write: %v", err)
	}
	if err := s.Close(); !errors.Is(err, ErrClosed) {
		t.Errorf("second Close: %v", err)
	}
}
