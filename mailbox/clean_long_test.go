package mailbox

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	goimap "github.com/emersion/go-imap/v2"

	"mailstead/mailbox/log"
)

// A year of mail, most of which is deleted sooner or later: the store stays as
// large as what is kept, and what was deleted is off the disk within 30 days of
// the end of its retention.
func TestCleaningYear(t *testing.T) {
	t.Parallel()
	const retention, offDisk = 7, 30
	days := trialsOf(365, 150)
	clock := newFakeClock()
	s := clock.open(t, t.TempDir(), retention*24*time.Hour)
	s.cleaner.rest = 0
	a := newAccount(t, s)
	m := open(t, s, a, "INBOX")
	defer m.Close()
	random := rand.New(rand.NewPCG(1, 1))
	marker := func(uid goimap.UID) string { return fmt.Sprintf("<message %d of the year>", uid) }
	gone := make(map[goimap.UID]int) // the day on which it was deleted
	var kept []goimap.UID
	var most float64
	for day := 0; day < days; day += 2 {
		for range 4 {
			n := 1 + random.IntN(400)
			if random.IntN(40) == 0 {
				n *= 5
			}
			uid := goimap.UID(len(gone) + len(kept) + 1)
			deliver(t, s, a, "INBOX", "Subject: x\r\n\r\n"+strings.Repeat(marker(uid)+"\r\n", n))
			kept = append(kept, uid)
		}
		var delete []goimap.UID
		stay := kept[:0]
		for _, uid := range kept {
			if random.IntN(12) == 0 && uid%10 != 0 {
				delete = append(delete, uid)
				gone[uid] = day
			} else {
				stay = append(stay, uid)
			}
		}
		kept = stay
		if len(delete) > 0 { // nil would be all
			if _, err := m.Expunge(t.Context(), delete, false); err != nil {
				t.Fatal(err)
			}
		}
		for range 2 {
			clock.pass(24 * time.Hour)
			round(t, s)
		}
		commit(t, s)
		if err := s.clean(t.Context()); err != nil {
			t.Fatal(err)
		}
		if day%30 == 28 {
			if _, err := s.disk.checkpoint(filepath.Join(s.dir, checkpointFolder)); err != nil {
				t.Fatal(err)
			}
		}
		v, err := s.disk.survey(0)
		if err != nil {
			t.Fatal(err)
		}
		// What retention keeps is held; what waits for its checkpoint is a day's.
		limit := v.live*115/100 + 4*s.o.SegmentSize
		most = max(most, float64(segmentBytes(s))/float64(limit))
	}
	if most > 1 {
		t.Errorf("the segments were %.2f times as long as they may be", most)
	}
	t.Logf("%d messages, %d deleted; segments at most %.2f of what they may be", len(gone)+len(kept), len(gone), most)
	for uid, day := range gone {
		if day < days-retention-offDisk && uid%7 == 0 { // a sample: each looks at every file
			if found := traces(t, s.dir, marker(uid)); len(found) > 0 {
				t.Errorf("message %d was deleted on day %d and is in %v", uid, day, found)
			}
		}
	}
	if list := rows(m); len(list) != len(kept) {
		t.Errorf("%d messages, want %d", len(list), len(kept))
	} else {
		for i := range list {
			if got := text(t, s, list[i].Body); !strings.Contains(got, marker(kept[i])) {
				t.Errorf("message %d is %.60q", kept[i], got)
			}
		}
	}
}

// A disk that is full of mail is in service again when mail is deleted.
func TestFullDiskIsCleaned(t *testing.T) {
	dir := smallDisk(t, "48m")
	clock := newFakeClock()
	s := clock.open(t, filepath.Join(dir, "store"), -1)
	a := newAccount(t, s)
	text := letter(1) + strings.Repeat("0123456789\r\n", 2500)
	stored := 0
	try := func() error {
		err := tryDeliver(t, s, a, text)
		if err == nil {
			stored++
		}
		return err
	}
	for n := range trialsOf(3, 1) {
		var err error
		for err == nil && stored < 20_000 {
			err = try()
		}
		if !errors.Is(err, ErrNoSpace) {
			t.Fatalf("round %d, after %d messages: %v", n, stored, err)
		}
		m := open(t, s, a, "INBOX")
		var delete []goimap.UID
		for i, uid := range uids(m) {
			if i%5 > 0 {
				delete = append(delete, uid)
			}
		}
		if _, err := m.Expunge(t.Context(), delete, false); err != nil {
			t.Fatalf("round %d: expunge on a full disk: %v", n, err)
		}
		stored -= len(delete)
		m.Close()
		clock.pass(time.Minute)
		round(t, s)
		commit(t, s)
		if err := s.clean(t.Context()); err != nil {
			t.Fatalf("round %d: cleaning a full disk: %v", n, err)
		}
		// The log asks for free space a few times a second only.
		for deadline := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
			if err = try(); !errors.Is(err, ErrNoSpace) || time.Now().After(deadline) {
				break
			}
		}
		if err != nil {
			t.Fatalf("round %d: after deleting %d of %d messages: %v", n, len(delete), len(delete)+stored, err)
		}
	}
	m := open(t, s, a, "INBOX")
	defer m.Close()
	if n := len(rows(m)); n != stored {
		t.Errorf("%d messages, want %d", n, stored)
	}
}

// One that cannot be moved is reported, and stays where it is, with its segment.
func TestDamagedBodyIsFenced(t *testing.T) {
	f := newShelf(t)
	var keys []string
	for range 40 {
		keys = append(keys, f.put(200))
	}
	commit(t, f.s)
	place, err := f.s.place(f.ids[keys[0]])
	if err != nil {
		t.Fatal(err)
	}
	for i, key := range keys {
		if i%8 > 0 {
			f.drop(key)
		}
	}
	flip(t, filepath.Join(f.s.dir, logFolder, fmt.Sprintf("%010d.seg", place.Segment)), int64(place.Offset)+2000)
	f.clean()
	if now, err := f.s.place(f.ids[keys[0]]); err != nil || now != place {
		t.Errorf("the damaged body moved from %+v to %+v, error %v", place, now, err)
	}
	if !f.s.cleaner.fenced[place.Segment] {
		t.Error("its segment is not fenced")
	}
	if b, err := f.s.log.Body(place, log.BodyID(f.ids[keys[0]])); err != nil {
		t.Errorf("its segment is gone: %v", err)
	} else {
		b.Close()
	}
	if n := len(f.s.log.Segments()); n > 3 {
		t.Errorf("%d segments are left", n)
	}
	delete(f.sizes, keys[0])
	f.compare(f.s)
	flip(t, filepath.Join(f.s.dir, logFolder, fmt.Sprintf("%010d.seg", place.Segment)), int64(place.Offset)+2000)
}

// flip changes one bit of a file.
func flip(t *testing.T, path string, at int64) {
	t.Helper()
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var b [1]byte
	if _, err := file.ReadAt(b[:], at); err != nil {
		t.Fatal(err)
	}
	b[0] ^= 4
	if _, err := file.WriteAt(b[:], at); err != nil {
		t.Fatal(err)
	}
}
