package mailbox

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.etcd.io/bbolt"

	"mailstead/mailbox/message"
	"mailstead/mailbox/search"
)

// TestDerivedVersion holds what derived.db has of the golden messages against what it had when its version was given
// out: what reads messages in another way must raise the version, or stores that are older would go on with what they
// have. Messages that are new are added by -write-formats.
func TestDerivedVersion(t *testing.T) {
	path := fmt.Sprintf("testdata/derived-v%d.txt", derivedSchema().version)
	lines := make(map[string]string)
	if data, err := os.ReadFile(path); err == nil {
		for line := range strings.Lines(string(data)) {
			name, sums, _ := strings.Cut(strings.TrimSpace(line), "\t")
			lines[name] = sums
		}
	} else if !*writeFormats {
		t.Fatal(err)
	}
	for name, sums := range derivedSums(t) {
		switch had, ok := lines[name]; {
		case !ok && *writeFormats:
			lines[name] = sums
		case !ok:
			t.Errorf("%s is not in %s: run this with -write-formats", name, path)
		case had != sums:
			t.Errorf("%s: derived.db had %s of it, and has %s: raise the version of derivedSchema, and run this with -write-formats", name, had, sums)
		}
	}
	if *writeFormats {
		var out strings.Builder
		for _, name := range slices.Sorted(maps.Keys(lines)) {
			fmt.Fprintf(&out, "%s\t%s\n", name, lines[name])
		}
		if err := os.WriteFile(path, []byte(out.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// derivedSums returns the sums of what derived.db has of each golden message: of its index, and of its grams.
func derivedSums(t *testing.T) map[string]string {
	paths, err := filepath.Glob("message/testdata/*.eml")
	if err != nil || len(paths) == 0 {
		t.Fatal(paths, err)
	}
	s := newStore(t)
	quietSearch(s)
	a := newAccount(t, s)
	sums := make(map[string]string)
	var reader gramReader
	for i, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		deliver(t, s, a, "INBOX", string(data))
		id := rows(open(t, s, a, "INBOX"))[i].Body
		var x message.Indexer
		x.Write(data)
		grams, err := reader.read(s, id)
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		buckets := binary.BigEndian.AppendUint16(nil, uint16(len(grams.Buckets)))
		for _, bucket := range grams.Buckets {
			buckets = binary.BigEndian.AppendUint16(buckets, bucket)
		}
		sums[filepath.Base(path)] = fmt.Sprintf("%x %x", sum8(storedIndex(x.Finish())), sum8(fmt.Append(buckets, grams.Anything)))
	}
	return sums
}

func sum8(b []byte) []byte {
	sum := sha256.Sum256(b)
	return sum[:8]
}

// TestDerivedOfAnotherVersionIsMadeAgain gives a store the derived.db of another one, which says other things of the
// same bodies: one of another version is not believed, neither in FETCH nor in SEARCH. One of this version is, so that
// the test can fail.
func TestDerivedOfAnotherVersionIsMadeAgain(t *testing.T) {
	const letters = 70
	fill := func(t *testing.T, from int) (*Store, AccountID) {
		s := newStore(t)
		quietSearch(s)
		a := newAccount(t, s)
		deliverWords(t, s, a, from, letters)
		indexNow(t, s)
		if err := s.storeSearch(); err != nil {
			t.Fatal(err)
		}
		closeStore(t, s)
		return s, a
	}
	current := derivedSchema().version
	for name, version := range map[string]int{"older": current - 1, "oldest": 1, "newer": current + 1, "the same": current} {
		t.Run(name, func(t *testing.T) {
			s, a := fill(t, 1)
			wrong, _ := fill(t, 1001)
			data, err := os.ReadFile(filepath.Join(wrong.dir, derivedFile))
			if err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(s.dir, derivedFile)
			if err := os.WriteFile(path, data, 0o600); err != nil {
				t.Fatal(err)
			}
			setSchema(t, path, version)
			s = openStore(t, s.dir)
			quietSearch(s)
			indexNow(t, s)
			for i, row := range rows(open(t, s, a, "INBOX")) {
				expectDerived(t, s, row.Body, i+1, version != current)
			}
		})
	}
}

// setSchema has a closed database say that it is of a version.
func setSchema(t *testing.T, path string, version int) {
	t.Helper()
	db, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bbolt.Tx) error { return putSchema(tx, version) })
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

// expectDerived expects the letter of number n to be known by its own subject, or not to be.
func expectDerived(t *testing.T, s *Store, id BodyID, n int, own bool) {
	t.Helper()
	subject := fmt.Sprintf("title%04d", n)
	err := s.Indexes([]Message{{Body: id}}, func(_ int, v message.View) error {
		if has := strings.Contains(string(v.Envelope()), subject); has != own {
			t.Errorf("letter %d: ENVELOPE %s", n, v.Envelope())
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	needle, _ := search.NewNeedle(search.Subject, message.FoldString(subject))
	if may := s.TextFilter([][]search.Needle{{needle}}).MayContain(0, id); may != own {
		t.Errorf("letter %d: that its subject is there may be: %v", n, may)
	}
}
