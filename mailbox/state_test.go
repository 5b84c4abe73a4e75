package mailbox

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	goimap "github.com/emersion/go-imap/v2"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"go.etcd.io/bbolt"

	"mailstead/mailbox/log"
)

// newDisk opens databases in a new folder; the test ends with their check.
func newDisk(t testing.TB) *disk {
	t.Helper()
	d, err := openDisk(t.TempDir(), diskOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(d.check(), d.close()); err != nil {
			t.Error(err)
		}
	})
	return d
}

// writer makes records with ascending LSNs.
type writer struct {
	t    testing.TB
	d    *disk
	lsn  log.LSN
	recs []appliedRecord // everything written, for applying again
}

func (w *writer) apply(recs ...appliedRecord) {
	w.t.Helper()
	for i := range recs {
		w.lsn++
		recs[i].LSN = w.lsn
	}
	w.recs = append(w.recs, recs...)
	if err := w.d.apply(recs); err != nil {
		w.t.Fatal(err)
	}
}

func (w *writer) ops(ops ...op) {
	w.t.Helper()
	w.apply(appliedRecord{Ops: ops})
}

func place(body BodyID) log.Place {
	return log.Place{Segment: uint32(body / 100), Offset: uint32(body % 100 * 4096), Size: int64(body) * 10, Big: body%7 == 0}
}

// delivery is a record that brings a body and adds it under one UID.
func delivery(id ID, uid goimap.UID, body BodyID, f FlagSet) appliedRecord {
	return appliedRecord{Body: body, Place: place(body), Ops: []op{opAdd{Mailbox: id, Messages: []added{testMessage(uid, body, f)}}}}
}

func testMessage(uid goimap.UID, body BodyID, f FlagSet) added {
	return added{UID: uid, Flags: f, Size: int64(body) * 10, Internal: Date{Unix: 1700000000 + int64(uid), Zone: 60}, Saved: 1700000100, Body: body}
}

// messagesOf returns a mailbox as loadMessages gives it, and whoever opens it gets it, too.
func messagesOf(t testing.TB, d *disk, id ID) []Message {
	t.Helper()
	var all []Message
	lsn, err := d.loadMessages(id, func(block []Message) { all = append(all, block...) })
	if err != nil {
		t.Fatal(err)
	}
	if lsn != d.applied() {
		t.Errorf("loaded for LSN %d, applied %d", lsn, d.applied())
	}
	m, opened, err := d.openMessages(id, 0)
	if err != nil || opened != lsn || !slices.Equal(messagesIn(m), all) {
		t.Errorf("opened for LSN %d, error %v: %+v\nis not what was loaded: %+v", opened, err, messagesIn(m), all)
	}
	return all
}

// messagesIn returns what arrays hold, as loadMessages does.
func messagesIn(m *messages) (all []Message) {
	for i := range m.len() {
		var one Message
		m.at(i, &one)
		one.FlagsID = 0
		all = append(all, one)
	}
	return all
}

var ignoreCount = cmpopts.IgnoreUnexported(diskMailbox{})

const (
	seen    = FlagSeen
	deleted = FlagDeleted
)

func bits(b ...int) (f FlagSet) {
	for _, bit := range b {
		f = f.With(bit)
	}
	return f
}

// Everything a record can say comes back from the database, at once and after
// it was opened again.
func TestStateApplyLoad(t *testing.T) {
	d := newDisk(t)
	w := writer{t: t, d: d}
	w.ops(opAccount{Account: 3}, opMailbox{ID: 5, Account: 3, Name: "INBOX", UIDValidity: 77},
		opMailbox{ID: 6, Account: 3, Name: "Junk", UIDValidity: 78, SpecialUse: goimap.MailboxAttrJunk},
		opSubscription{Account: 3, Name: "INBOX", On: true}, opSubscription{Account: 3, Name: "x", On: true})
	w.apply(delivery(5, 1, 100, FlagSet{}), delivery(5, 2, 101, bits(seen)), delivery(5, 300, 102, bits(deleted)))
	w.ops(opKeywords{Mailbox: 5, First: 0, Names: []string{"$Forwarded", "x"}})
	w.ops(opFlags{Mailbox: 5, Flags: bits(seen, KeywordBit+1), UIDs: []uidRange{{1, 1}, {300, 300}}})
	w.ops(opExpunge{Mailbox: 5, Time: 1700000500, UIDs: []uidRange{{2, 2}}})
	w.ops(opRecent{Mailbox: 5, Below: 300})
	w.ops(opSubscription{Account: 3, Name: "x"})
	w.ops(opMailbox{ID: 6, Account: 3, Name: "Spam", UIDValidity: 78, SpecialUse: goimap.MailboxAttrJunk})
	w.ops(opRoom{Room: "queue", Key: "k", Value: []byte("v"), Body: 102})

	want := diskHeaders{
		Applied:  11,
		Last:     lastIDs{Account: 3, Mailbox: 6, Body: 102, UIDValidity: 78},
		Accounts: []AccountID{3},
		Mailboxes: []diskMailbox{
			{Info: Info{ID: 5, Account: 3, Name: "INBOX", UIDValidity: 77, UIDNext: 301, HighestModSeq: 7, Messages: 2, Size: 2020, Recent: 1},
				Keywords: []string{"$Forwarded", "x"}, RecentBelow: 300},
			{Info: Info{ID: 6, Account: 3, Name: "Spam", UIDValidity: 78, UIDNext: 1, HighestModSeq: 1, SpecialUse: goimap.MailboxAttrJunk}, RecentBelow: 1},
		},
		Subscriptions: []subscribed{{3, "INBOX"}},
	}
	messages := []Message{
		{UID: 1, Flags: bits(seen, KeywordBit+1), ModSeq: 6, Size: 1000, Internal: Date{1700000001, 60}, Saved: 1700000100, Body: 100},
		{UID: 300, Flags: bits(seen, KeywordBit+1), ModSeq: 6, Size: 1020, Internal: Date{1700000300, 60}, Saved: 1700000100, Body: 102},
	}
	look := func(d *disk) {
		t.Helper()
		got, err := d.load()
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got, ignoreCount); diff != "" {
			t.Errorf("headers (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff(messages, messagesOf(t, d, 5)); diff != "" {
			t.Errorf("messages (-want +got):\n%s", diff)
		}
		if more := messagesOf(t, d, 6); more != nil {
			t.Errorf("messages of an empty mailbox: %v", more)
		}
		if e, ok, err := d.roomGet("queue", "k"); err != nil || !ok || string(e.Value) != "v" || e.Body != 102 {
			t.Errorf("room entry %v %v %v", e, ok, err)
		}
		if p, ok, err := d.place(101); err != nil || !ok || p != place(101) {
			t.Errorf("place %v %v %v", p, ok, err)
		}
	}
	look(d)
	look(openCopy(t, d))
}

// openCopy opens a copy of d's files as they are on disk now: what a crash at
// this moment would leave.
func openCopy(t testing.TB, d *disk) *disk {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{stateFile, derivedFile} {
		copyTestFile(t, filepath.Join(d.dir, name), filepath.Join(dir, name))
	}
	c, err := openDisk(dir, diskOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(c.check(), c.close()); err != nil {
			t.Error("of the copy:", err)
		}
	})
	return c
}

// copyTestFile leaves holes where the file has zeros: bbolt makes a file
// longer by 16 MB at a time.
func copyTestFile(t testing.TB, from, to string) {
	t.Helper()
	b, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	used := bytes.TrimRight(b, "\x00")
	if err := errors.Join(os.WriteFile(to, used, 0o600), os.Truncate(to, int64(len(b)))); err != nil {
		t.Fatal(err)
	}
}

func TestStateApplyTwice(t *testing.T) {
	d := newDisk(t)
	w := writer{t: t, d: d}
	w.ops(opAccount{Account: 1}, opMailbox{ID: 1, Account: 1, Name: "INBOX", UIDValidity: 1})
	w.apply(delivery(1, 1, 1, FlagSet{}), delivery(1, 2, 2, FlagSet{}))
	before, _ := d.load()
	if err := d.apply(w.recs); err != nil {
		t.Fatal(err)
	}
	// A batch that begins with what is there already, as after a crash.
	w.lsn++
	next := delivery(1, 3, 3, FlagSet{})
	next.LSN = w.lsn
	if err := d.apply(append(w.recs, next)); err != nil {
		t.Fatal(err)
	}
	after, _ := d.load()
	if before.Mailboxes[0].Messages != 2 || after.Mailboxes[0].Messages != 3 || after.Applied != w.lsn {
		t.Errorf("before %+v\nafter %+v", before, after)
	}
}

// A commit can be in the file although it told of an error: its last sync
// failed. Trying again finds out.
func TestStateApplyAfterFailedSync(t *testing.T) {
	d := newDisk(t)
	w := fillDisk(t, d, 3)
	d.lsn.Store(1) // what apply knew before the commit
	if err := d.apply(w.recs); err != nil {
		t.Fatal(err)
	}
	if n := len(messagesOf(t, d, 1)); n != 3 || d.applied() != 4 {
		t.Errorf("%d messages, applied %d", n, d.applied())
	}
}

func TestStateApplyRefuses(t *testing.T) {
	d := newDisk(t)
	w := writer{t: t, d: d}
	w.ops(opAccount{Account: 1}, opMailbox{ID: 1, Account: 1, Name: "INBOX", UIDValidity: 1})
	w.apply(delivery(1, 5, 1, FlagSet{}))
	for name, c := range map[string]struct {
		recs []appliedRecord
		want error
	}{
		"an old UID":     {[]appliedRecord{{LSN: 10, Ops: []op{opAdd{Mailbox: 1, Messages: []added{testMessage(5, 1, FlagSet{})}}}}}, errUIDOrder},
		"not ascending":  {[]appliedRecord{{LSN: 10}, {LSN: 10}}, errRecord},
		"half of a good": {[]appliedRecord{delivery(1, 9, 9, FlagSet{}), {LSN: 10, Ops: []op{nil}}}, errRecord},
	} {
		c.recs[0].LSN = max(c.recs[0].LSN, 9)
		if err := d.apply(c.recs); !errors.Is(err, c.want) {
			t.Errorf("%s: error %v, want %v", name, err, c.want)
		}
	}
	if d.applied() != 2 || len(messagesOf(t, d, 1)) != 1 {
		t.Errorf("applied %d, %v", d.applied(), messagesOf(t, d, 1))
	}
}

// Operations on what a damaged record would have made are passed over, and a
// body it would have brought is known as lost.
func TestStateApplyAfterDamage(t *testing.T) {
	d, err := openDisk(t.TempDir(), diskOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer d.close()
	w := writer{t: t, d: d}
	w.ops(opAdd{Mailbox: 9, Messages: []added{testMessage(1, 1, FlagSet{})}}, opFlags{Mailbox: 9, UIDs: []uidRange{{1, 5}}},
		opExpunge{Mailbox: 9, UIDs: []uidRange{{1, 5}}}, opRecent{Mailbox: 9, Below: 4}, opMailboxGone{ID: 9},
		opKeywords{Mailbox: 9, Names: []string{"x"}}, opRoom{Room: "", Key: "k", Value: []byte{}}, opRoom{Room: "r", Key: "gone"})
	w.apply(appliedRecord{Body: 4, Place: place(4), Ops: []op{opAdd{Mailbox: 9, Messages: []added{testMessage(1, 4, FlagSet{})}}}})
	w.ops(opMailbox{ID: 2, Account: 8, Name: "INBOX", UIDValidity: 1}) // its account's record is lost
	if err := d.check(); err != nil {
		t.Fatal(err)
	}
	w.ops(opKeywords{Mailbox: 2, First: 2, Names: []string{"third"}},
		opAdd{Mailbox: 2, Messages: []added{testMessage(1, 3, bits(KeywordBit+2))}})
	if _, ok, err := d.place(3); ok || err != nil {
		t.Errorf("a lost body has a place: %v", err)
	}
	if err := d.check(); err == nil {
		t.Error("the check is content with a lost body")
	}
	w.ops(opMailboxGone{ID: 2})
	h, err := d.load()
	if err != nil || len(h.Accounts) != 1 || h.Last.Account != 8 || h.Last.Body != 4 {
		t.Errorf("%+v %v", h, err)
	}
}

// A body is garbage as soon as, and only while, nothing holds it.
func TestStateGarbage(t *testing.T) {
	d := newDisk(t)
	w := writer{t: t, d: d}
	garbage := func() (list []string) {
		_ = d.state.View(func(tx *bbolt.Tx) error {
			return tableOf(tx, bucketGarbage).ForEach(func(key, _ []byte) error {
				list = append(list, fmt.Sprint(binary.BigEndian.Uint64(key), " ", binary.BigEndian.Uint64(key[8:])))
				return nil
			})
		})
		return list
	}
	steps := []struct {
		rec  appliedRecord
		want []string
	}{
		{appliedRecord{Body: 1, Place: place(1), Ops: []op{opRoom{Room: "q", Key: "a", Value: []byte{}, Body: 1}}}, nil},
		{appliedRecord{Body: 2, Place: place(2)}, []string{"2 2"}}, // every target was refused
		{appliedRecord{Ops: []op{opRoom{Room: "q", Key: "a", Value: []byte("tried once"), Body: 1}}}, []string{"2 2"}},
		{appliedRecord{Ops: []op{opRoom{Room: "q", Key: "b", Value: []byte{}, Body: 1}, opRoom{Room: "q", Key: "a"}}}, []string{"2 2"}},
		{appliedRecord{Ops: []op{opRoom{Room: "q", Key: "b", Value: []byte{}}}}, []string{"2 2", "5 1"}},
		{appliedRecord{Ops: []op{opRoom{Room: "q", Key: "b", Value: []byte{}, Body: 2}}}, []string{"5 1"}},
		{appliedRecord{Ops: []op{opRoom{Room: "q", Key: "b"}, opRoom{Room: "q", Key: "c", Value: []byte{}, Body: 2}}}, []string{"5 1"}},
		{appliedRecord{Ops: []op{opRoom{Room: "q", Key: "c"}}}, []string{"5 1", "8 2"}},
	}
	for i, s := range steps {
		w.apply(s.rec)
		if diff := cmp.Diff(s.want, garbage()); diff != "" {
			t.Errorf("step %d (-want +got):\n%s", i+1, diff)
		}
		if err := d.check(); err != nil {
			t.Errorf("step %d: %v", i+1, err)
		}
	}
}

// Mail of an erased account and of deleted mailboxes stays for retention, with
// the descriptions that restoring it needs.
func TestStateErase(t *testing.T) {
	d := newDisk(t)
	w := writer{t: t, d: d}
	w.ops(opAccount{Account: 1}, opAccount{Account: 2},
		opMailbox{ID: 1, Account: 1, Name: "INBOX", UIDValidity: 1}, opMailbox{ID: 2, Account: 1, Name: "a", UIDValidity: 2},
		opMailbox{ID: 3, Account: 2, Name: "INBOX", UIDValidity: 3}, opSubscription{Account: 1, Name: "a", On: true},
		opSubscription{Account: 2, Name: "a", On: true})
	var recs []appliedRecord
	for uid := range goimap.UID(600) {
		recs = append(recs, delivery(1, uid+1, BodyID(uid+1), FlagSet{}))
	}
	w.apply(recs...)
	w.ops(opAdd{Mailbox: 2, Messages: []added{testMessage(1, 1, FlagSet{})}}, opAdd{Mailbox: 3, Messages: []added{testMessage(1, 1, FlagSet{})}})
	w.ops(opExpunge{Mailbox: 1, Time: 50, UIDs: []uidRange{{2, 3}}})
	w.ops(opMailboxGone{ID: 2, Time: 100})
	w.ops(opMailbox{ID: 4, Account: 1, Name: "made and erased at once", UIDValidity: 4}, opAccount{Account: 1, Deleted: true, Time: 200})
	h, err := d.load()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]AccountID{2}, h.Accounts); diff != "" || len(h.Mailboxes) != 1 || len(h.Subscriptions) != 1 || h.Last.Account != 2 {
		t.Errorf("%+v", h)
	}
	kept := make(map[ID]int)
	_ = d.state.View(func(tx *bbolt.Tx) error {
		return tableOf(tx, bucketDeleted).ForEach(func(key, value []byte) error {
			id, err := decodeDeletedKey(key)
			list, err2 := decodeDeleted(value)
			kept[id.Mailbox] += len(list)
			return errors.Join(err, err2)
		})
	})
	if diff := cmp.Diff(map[ID]int{1: 600, 2: 1}, kept); diff != "" {
		t.Errorf("deleted messages (-want +got):\n%s", diff)
	}
	_ = d.state.View(func(tx *bbolt.Tx) error {
		at, m, err := decodeGone(tableOf(tx, bucketGone).Get(idKey(ID(2))))
		if at != 100 || m.Name != "a" || m.Account != 1 || err != nil {
			t.Errorf("gone at %d: %+v, %v", at, m, err)
		}
		return nil
	})
}

func TestStateVanished(t *testing.T) {
	d := newDisk(t)
	w := writer{t: t, d: d}
	w.ops(opAccount{Account: 1}, opMailbox{ID: 1, Account: 1, Name: "INBOX", UIDValidity: 1}, opMailbox{ID: 2, Account: 1, Name: "b", UIDValidity: 2})
	var all []added
	for uid := range goimap.UID(3 * maxHistory) {
		all = append(all, testMessage(uid+1, 0, FlagSet{}))
	}
	w.ops(opAdd{Mailbox: 1, Messages: all}, opAdd{Mailbox: 2, Messages: all[:10]}) // LSN 2
	w.ops(opExpunge{Mailbox: 1, UIDs: []uidRange{{1, 3}, {5, 5}}})                 // 3
	w.ops(opExpunge{Mailbox: 1, UIDs: []uidRange{{1, 8}}})                         // 4: 4, 6:8 were there
	w.ops(opExpunge{Mailbox: 1, UIDs: []uidRange{{20, 20}}}, opExpunge{Mailbox: 1, UIDs: []uidRange{{10, 10}, {40000, 50000}}})
	w.ops(opExpunge{Mailbox: 2, UIDs: []uidRange{{1, 1}}})

	check := func(id ID, since ModSeq, ok bool, want ...uidRange) {
		t.Helper()
		got, has, err := d.vanished(id, since)
		if err != nil || has != ok {
			t.Errorf("mailbox %d since %d: ok %v, error %v", id, since, has, err)
		}
		if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("mailbox %d since %d (-want +got):\n%s", id, since, diff)
		}
	}
	check(1, 0, true, uidRange{1, 8}, uidRange{10, 10}, uidRange{20, 20})
	check(1, 3, true, uidRange{4, 4}, uidRange{6, 8}, uidRange{10, 10}, uidRange{20, 20})
	check(1, 4, true, uidRange{10, 10}, uidRange{20, 20})
	check(1, 5, true)
	check(2, 2, true, uidRange{1, 1})
	check(3, 0, false)

	// More ranges than are kept: the oldest go, and the answer says so.
	var odd []uidRange
	for uid := goimap.UID(101); len(odd) < maxHistory-1; uid += 2 {
		odd = append(odd, uidRange{uid, uid})
	}
	w.ops(opExpunge{Mailbox: 1, UIDs: odd}) // 7: forgets 3, 4 and 5
	check(1, 4, false)
	check(1, 5, true, odd...)
	w.ops(opExpunge{Mailbox: 1, UIDs: []uidRange{{30, 30}, {32, 32}}}) // 8: forgets 7
	check(1, 6, false)
	check(1, 7, true, uidRange{30, 30}, uidRange{32, 32})
}

func TestStateRoomPage(t *testing.T) {
	d := newDisk(t)
	w := writer{t: t, d: d}
	for _, k := range []string{"a", "b/1", "b/2", "b/3", "b0", "c"} {
		w.ops(opRoom{Room: "r", Key: k, Value: []byte("value of " + k)}, opRoom{Room: "other", Key: k + "x", Value: []byte{}})
	}
	for _, c := range []struct {
		room, prefix, after string
		limit               int
		want                []string
	}{
		{"r", "", "", 10, []string{"a", "b/1", "b/2", "b/3", "b0", "c"}},
		{"r", "b/", "", 2, []string{"b/1", "b/2"}},
		{"r", "b/", "b/2", 2, []string{"b/3"}},
		{"r", "b/", "b/25", 2, []string{"b/3"}}, // deleted between two pages
		{"r", "b/", "b/3", 2, nil},
		{"r", "", "c", 2, nil},
		{"r", "x", "", 2, nil},
		{"none", "", "", 2, nil},
		{"other", "c", "", 2, []string{"cx"}},
	} {
		page, err := d.roomPage(c.room, c.prefix, c.after, c.limit)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, e := range page {
			got = append(got, e.Key)
			if c.room == "r" && string(e.Value) != "value of "+e.Key {
				t.Errorf("%q has %q", e.Key, e.Value)
			}
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%+v (-want +got):\n%s", c, diff)
		}
	}
	if _, ok, err := d.roomGet("r", "b"); ok || err != nil {
		t.Errorf("%v %v", ok, err)
	}
	if _, ok, err := d.roomGet("none", "b"); ok || err != nil {
		t.Errorf("%v %v", ok, err)
	}
}

func TestStateSchema(t *testing.T) {
	path := filepath.Join(t.TempDir(), stateFile)
	open := func(s schema) error {
		db, err := osFiles.openSchema(path, s)
		if err == nil {
			err = db.Close()
		}
		return err
	}
	if err := open(stateSchema()); err != nil {
		t.Fatal(err)
	}
	newer := stateSchema()
	newer.version++
	broken := errors.New("broken")
	newer.steps = append(newer.steps, func(tx *bbolt.Tx) error {
		return errors.Join(tx.Bucket(bucketMeta).Put([]byte("half"), []byte{1}), broken)
	})
	if err := open(newer); !errors.Is(err, broken) {
		t.Errorf("broken migration: %v", err)
	}
	newer.steps[len(newer.steps)-1] = func(tx *bbolt.Tx) error {
		if tx.Bucket(bucketMeta).Get([]byte("half")) != nil {
			return errors.New("the broken migration left something")
		}
		_, err := tx.CreateBucket([]byte("new"))
		return err
	}
	if err := open(newer); err != nil {
		t.Errorf("migration: %v", err)
	}
	if err := open(newer); err != nil { // not again
		t.Errorf("after the migration: %v", err)
	}
	if err := open(stateSchema()); !errors.Is(err, errNewerSchema) {
		t.Errorf("newer schema: %v", err)
	}
}

func TestStateOpenDamaged(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, stateFile), make([]byte, 64<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := openDisk(dir, diskOptions{}); !errors.Is(err, errDatabase) {
		t.Errorf("error %v", err)
	}
}

func TestDerived(t *testing.T) {
	d := newDisk(t)
	if err := d.applyDerived([]derivedEntry{{1, []byte("one")}, {2, []byte("two")}, {9, []byte("nine")}, {3, []byte("x")}}, 40); err != nil {
		t.Fatal(err)
	}
	if err := d.applyDerived([]derivedEntry{{3, nil}}, 30); err != nil {
		t.Fatal(err)
	}
	var got []string
	err := d.indexes([]BodyID{1, 2, 3, 9, 2, 10, 1}, func(i int, value []byte) error {
		got = append(got, string(value))
		if i != len(got)-1 {
			t.Errorf("call %d has index %d", len(got)-1, i)
		}
		return nil
	})
	if diff := cmp.Diff([]string{"one", "two", "", "nine", "two", "", "one"}, got); diff != "" || err != nil {
		t.Errorf("error %v (-want +got):\n%s", err, diff)
	}
	if d.appliedDerived() != 40 {
		t.Errorf("applied %d", d.appliedDerived())
	}
	stop := errors.New("stop")
	if err := d.indexes([]BodyID{1, 2}, func(i int, _ []byte) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("error %v", err)
	}
}

// A derived.db that cannot be used is made anew.
func TestDerivedDamaged(t *testing.T) {
	dir := t.TempDir()
	for _, content := range []string{"", "rubbish", string(make([]byte, 32<<10))} {
		if err := os.WriteFile(filepath.Join(dir, derivedFile), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		d, err := openDisk(dir, diskOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(d.applyDerived([]derivedEntry{{1, []byte("one")}}, 7), d.check(), d.close()); err != nil {
			t.Error(err)
		}
	}
}
