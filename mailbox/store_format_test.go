package mailbox

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	goimap "github.com/emersion/go-imap/v2"

	"mailstead/mailbox/log"
)

// storeFixture is a whole store folder with a state.db of a version, as a tar file: what a program of that version left.
func storeFixture(version int) string { return fmt.Sprintf("testdata/store-v%d.tar.gz", version) }

// makeFormatStore makes the folder that the fixture holds: what fillStore makes, a large
// body, expunged messages, a deleted mailbox, checkpoints, and every operation there is.
func makeFormatStore(t *testing.T) string {
	s, a := fillStore(t)
	deliver(t, s, a, "Sent", formatLarge())
	commit(t, s)
	if _, err := s.disk.checkpoint(filepath.Join(s.dir, checkpointFolder)); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"Archive/old", "Gone"} {
		if _, err := s.Create(t.Context(), a, name, ""); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 3 {
		deliver(t, s, a, "Archive/old", letter(10+i), `\Flagged`)
	}
	if _, err := open(t, s, a, "Archive/old").Expunge(t.Context(), []goimap.UID{2}, false); err != nil {
		t.Fatal(err)
	}
	deliver(t, s, a, "Gone", letter(20))
	if err := s.Delete(t.Context(), a, "Gone"); err != nil {
		t.Fatal(err)
	}
	addFormatHistory(t, s)
	closeStore(t, s)
	return s.dir
}

// addFormatHistory adds an account with a quota and something restored, another
// that is purged and forgotten, bodies that were moved, and ids passed over.
func addFormatHistory(t *testing.T, s *Store) {
	t.Helper()
	kept, purged := newAccount(t, s), newAccount(t, s)
	deliver(t, s, purged, "INBOX", formatLarge())
	if err := errors.Join(s.SetQuota(t.Context(), kept, formatQuota), s.DeleteAccount(t.Context(), purged), s.PurgeAccount(t.Context(), purged)); err != nil {
		t.Fatal(err)
	}
	for range checkpointsKept {
		if err := s.pass(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := s.disk.checkpoint(filepath.Join(s.dir, checkpointFolder)); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.clean(t.Context()); err != nil {
		t.Fatal(err)
	}
	deliver(t, s, kept, "INBOX", letter(40))
	if err := s.Annotate(t.Context(), kept, ServerAnnotations, []Annotation{{"/private/comment", []byte("kept")}}); err != nil {
		t.Fatal(err)
	}
	m := open(t, s, kept, "INBOX") // as SELECT does: what is \Recent is told
	m.View(true)
	if _, err := m.Store(t.Context(), storeOf(1, FlagsAdd, `\Answered`, nil)); err != nil {
		t.Fatal(err)
	}
	expungeAll(t, s, kept, "INBOX")
	if err := s.ChangeRights(t.Context(), kept, "Archive", formatRights); err != nil {
		t.Fatal(err)
	}
	if _, err := s.RestoreMessages(t.Context(), kept, DeletedFilter{}); err != nil {
		t.Fatal(err)
	}
	segment := s.log.Segments()[0].Number // with everything of fillStore
	if err := s.log.Seal(); err != nil {
		t.Fatal(err)
	}
	commit(t, s)
	r := &cleaning{s: s, ctx: t.Context(), began: time.Now()}
	if err := errors.Join(r.move([]uint32{segment}), s.skipIDs()); err != nil {
		t.Fatal(err)
	}
}

var formatRights = RightsChange{Grant: Grant{Account: 1, Rights: RightLookup | RightRead}}

var formatQuota = Quota{Storage: 1 << 30, Messages: 1000}

// expectHistory expects what addFormatHistory made.
func expectHistory(t *testing.T, s *Store) {
	t.Helper()
	if q, err := s.Quota(2); err != nil || q != formatQuota {
		t.Errorf("the quota is %+v, error %v", q, err)
	}
	if info, err := s.Access(1, 2, "Archive"); err != nil || info.Rights != formatRights.Rights {
		t.Errorf("the rights are %v, error %v", info.Rights, err)
	}
	if list := rows(open(t, s, 2, "Restored")); len(list) != 1 || text(t, s, list[0].Body) != letter(40) {
		t.Errorf("Restored has %+v", list)
	}
	if value, ok := s.Annotations(2, ServerAnnotations).Get("/private/comment"); !ok || value != "kept" {
		t.Errorf("the annotation is %q", value)
	}
	if _, err := s.Mailboxes(3); !errors.Is(err, ErrNoAccount) {
		t.Errorf("the purged account: %v", err)
	}
	if a := newAccount(t, s); a <= skippedAccounts {
		t.Errorf("the next account is %d", a)
	}
}

// expectEveryCode expects the log to hold every operation there is.
func expectEveryCode(t *testing.T, s *Store) {
	t.Helper()
	found := make(map[byte]bool)
	_, err := s.log.Verify(func(r log.Record, _ []byte) error {
		ops, err := decodeOps(r.Meta)
		for _, o := range ops {
			found[o.appendTo(nil)[0]] = true
		}
		return err
	})
	for code := byte(codeAccount); code <= codeAnnotation; code++ {
		if !found[code] {
			t.Errorf("the log of the fixture has no operation %d", code)
		}
	}
	if err != nil {
		t.Error(err)
	}
}

func formatLarge() string {
	return "Subject: large\r\n\r\n" + strings.Repeat("a line of a large body\r\n", 60_000)
}

// TestStoreFormat: a folder of each version opens, holds what was put into it, and
// takes more; also when its databases have to be made again. Without the
// fixture, -write-formats makes it.
func TestStoreFormat(t *testing.T) {
	if *writeFormats {
		writeFixture(t, storeFixture(stateSchema().version), packFolder(t, makeFormatStore(t)))
	}
	for version := range stateSchema().version {
		version++
		for name, remove := range map[string][]string{
			"as it was": nil, "from the checkpoint": {stateFile, derivedFile}, "from the log": {stateFile, derivedFile, checkpointFolder},
		} {
			t.Run(fmt.Sprintf("%d %s", version, name), func(t *testing.T) {
				dir := t.TempDir()
				unpackFolder(t, storeFixture(version), dir)
				for _, file := range remove {
					if err := os.RemoveAll(filepath.Join(dir, file)); err != nil {
						t.Fatal(err)
					}
				}
				s := openStore(t, dir)
				expectEveryCode(t, s)
				expectFormatStore(t, s)
				if uid := deliver(t, s, 1, "INBOX", letter(30)); uid != 6 {
					t.Errorf("the next UID is %d", uid)
				}
				verify(t, s, 0)
				expectMore(t, reopen(t, s))
			})
		}
	}
}

// expectFormatStore expects what makeFormatStore made.
func expectFormatStore(t *testing.T, s *Store) {
	t.Helper()
	expectFilled(t, s, 1)
	expectHistory(t, s)
	if list := rows(open(t, s, 1, "Sent")); len(list) != 1 || text(t, s, list[0].Body) != formatLarge() {
		t.Errorf("Sent has %+v", list)
	}
	list := rows(open(t, s, 1, "Archive/old"))
	if len(list) != 2 || list[1].UID != 3 || !list[1].Flags.Has(FlagFlagged) || text(t, s, list[1].Body) != letter(12) {
		t.Errorf("Archive/old has %+v", list)
	}
	if _, err := s.Mailbox(1, "Gone"); !errors.Is(err, ErrNoMailbox) {
		t.Errorf("the deleted mailbox: %v", err)
	}
}

func expectMore(t *testing.T, s *Store) {
	t.Helper()
	if got := uids(open(t, s, 1, "INBOX")); !slices.Equal(got, []goimap.UID{1, 3, 4, 5, 6}) {
		t.Errorf("INBOX has %v", got)
	}
}

func packFolder(t *testing.T, dir string) []byte {
	t.Helper()
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	w := tar.NewWriter(z)
	if err := errors.Join(w.AddFS(os.DirFS(dir)), w.Close(), z.Close()); err != nil {
		t.Fatal(err)
	}
	return packed.Bytes()
}

func unpackFolder(t *testing.T, path, dir string) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		name := filepath.Join(dir, h.Name)
		if h.Typeflag == tar.TypeDir {
			err = os.MkdirAll(name, 0o700)
		} else {
			var content []byte
			content, err = io.ReadAll(r)
			err = errors.Join(err, os.MkdirAll(filepath.Dir(name), 0o700), os.WriteFile(name, content, 0o600))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// TestIndexesAreMadeInTheBackground: a start does not wait for them, and one
// that comes to its end before them leaves the rest to the next.
func TestIndexesAreMadeInTheBackground(t *testing.T) {
	s := newStore(t)
	a := newAccount(t, s)
	for i := range 200 {
		deliver(t, s, a, "INBOX", letter(i))
	}
	closeStore(t, s)
	if err := os.Remove(filepath.Join(s.dir, derivedFile)); err != nil {
		t.Fatal(err)
	}
	d, err := openDisk(s.dir, diskOptions{})
	if err != nil {
		t.Fatal(err)
	}
	half := &Store{disk: d}
	if err := errors.Join(half.expectIndexes(), d.applyDerived([]derivedEntry{{Body: 1, Value: []byte{255}}}, d.applied()), d.close()); err != nil {
		t.Fatal(err)
	}
	s = openStore(t, s.dir)
	list := rows(open(t, s, a, "INBOX"))
	checkIndexes(t, s, list[150:], 50)
	expectAllIndexes(t, s, list)
}

// Indexes that state.db was ahead of when the server was killed are made again, too.
func TestIndexesBehindAreMade(t *testing.T) {
	s := newStore(t)
	a := newAccount(t, s)
	for i := range 50 {
		deliver(t, s, a, "INBOX", letter(i))
	}
	list := rows(open(t, s, a, "INBOX"))
	closeStore(t, s)
	d, err := openDisk(s.dir, diskOptions{})
	if err != nil {
		t.Fatal(err)
	}
	lost := []derivedEntry{{Body: list[10].Body}} // began before one that was stored
	for i := range list[30:] {
		lost = append(lost, derivedEntry{Body: list[30+i].Body})
	}
	if err := errors.Join(d.applyDerived(lost, d.applied()), d.close()); err != nil {
		t.Fatal(err)
	}
	expectAllIndexes(t, openStore(t, s.dir), list)
}

// expectAllIndexes waits until what is missing was made, and looks whether it is there.
func expectAllIndexes(t *testing.T, s *Store, list []Row) {
	t.Helper()
	for end := time.Now().Add(2 * time.Minute); ; time.Sleep(time.Millisecond) {
		from, err := s.disk.remakeFrom()
		if err != nil || time.Now().After(end) {
			t.Fatalf("from %d, %v", from, err)
		}
		if from == 0 {
			break
		}
	}
	var bodies []BodyID
	for i := range list {
		bodies = append(bodies, list[i].Body)
	}
	err := s.disk.indexes(bodies, func(i int, value []byte) error {
		if value == nil {
			t.Errorf("body %d has no index", bodies[i])
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}
