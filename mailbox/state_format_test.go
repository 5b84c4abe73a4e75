package mailbox

import (
	"bufio"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	goimap "github.com/emersion/go-imap/v2"
	"github.com/google/go-cmp/cmp"

	"mailstead/mailbox/log"
)

var writeFormats = flag.Bool("write-formats", false,
	"write testdata for formats that have none yet; what was released is never written again")

const recordsFixture = "testdata/records-v1.txt"

// stateFixture is a state.db of a version.
func stateFixture(version int) string { return fmt.Sprintf("testdata/state-v%d.db", version) }

// What a program of version 1 wrote into its log means the same for ever.
func TestRecordFormat(t *testing.T) {
	if *writeFormats {
		writeRecordsFixture(t)
	}
	f, err := os.Open(recordsFixture)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	found := make(map[string]bool)
	for lines := bufio.NewScanner(f); lines.Scan(); {
		name, value, _ := strings.Cut(lines.Text(), "\t")
		meta, err := hex.DecodeString(value)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		ops, err := decodeOps(meta)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if diff := cmp.Diff(codecCases[name], ops); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		found[name] = true
	}
	for name := range codecCases {
		if !found[name] {
			t.Errorf("%s is not in %s", name, recordsFixture)
		}
	}
}

func writeRecordsFixture(t *testing.T) {
	t.Helper()
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(codecCases)) {
		fmt.Fprintf(&b, "%s\t%x\n", name, appendOps(nil, codecCases[name]))
	}
	writeFixture(t, recordsFixture, []byte(b.String()))
}

func writeFixture(t *testing.T, path string, content []byte) {
	t.Helper()
	if _, err := os.Stat(path); err == nil {
		return
	}
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, content, 0o644)); err != nil {
		t.Fatal(err)
	}
}

// formatRecords leave something in every bucket of state.db.
func formatRecords() []appliedRecord {
	recs := []appliedRecord{
		{Ops: []op{opAccount{Account: 1}, opMailbox{ID: 1, Account: 1, Name: "INBOX", UIDValidity: 41},
			opMailbox{ID: 2, Account: 1, Name: "Trash", UIDValidity: 42, SpecialUse: goimap.MailboxAttrTrash},
			opMailbox{ID: 3, Account: 1, Name: "old", UIDValidity: 43}, opSubscription{Account: 1, Name: "INBOX", On: true},
			opAnnotation{Mailbox: 1, Name: "/shared/comment", Value: []byte("ours")}, opAnnotation{Account: 1, Name: "/private/x", Value: []byte{}},
			opAnnotation{Mailbox: 3, Account: 1, Name: "/private/comment", Value: []byte("of what is deleted")}}},
		delivery(1, 1, 1, FlagSet{}), delivery(1, 2, 2, bits(seen)), delivery(1, 300, 70, bits(deleted)), delivery(3, 1, 71, FlagSet{}),
		{Ops: []op{opKeywords{Mailbox: 1, Names: []string{"$Forwarded"}}, opFlags{Mailbox: 1, Flags: bits(seen, KeywordBit), UIDs: []uidRange{{1, 1}}}}},
		{Ops: []op{opExpunge{Mailbox: 1, Time: 1700001000, UIDs: []uidRange{{2, 2}}}, opMailboxGone{ID: 3, Time: 1700001001}}},
		{Body: 72, Place: place(72)}, // garbage
		{Body: 73, Place: place(73), Ops: []op{opRoom{Room: "queue", Key: "k", Value: []byte("v"), Body: 73}, opRecent{Mailbox: 1, Below: 2}}},
	}
	for i := range recs {
		recs[i].LSN = log.LSN(i + 1)
	}
	return recs
}

// A state.db of each version opens, is whole, and holds what was put into it.
func TestStateFormat(t *testing.T) {
	fresh := newDisk(t)
	if err := fresh.apply(formatRecords()); err != nil {
		t.Fatal(err)
	}
	if *writeFormats {
		dir := t.TempDir()
		if _, err := fresh.checkpoint(dir); err != nil {
			t.Fatal(err)
		}
		stored, err := osFiles.checkpoints(dir)
		if err != nil {
			t.Fatal(err)
		}
		content, err := os.ReadFile(stored[0].path)
		if err != nil {
			t.Fatal(err)
		}
		writeFixture(t, stateFixture(stateSchema().version), content)
	}
	for version := range stateSchema().version {
		version++
		t.Run(fmt.Sprint("version ", version), func(t *testing.T) {
			dir := t.TempDir()
			copyTestFile(t, stateFixture(version), filepath.Join(dir, stateFile))
			old, err := openDisk(dir, diskOptions{})
			if err != nil {
				t.Fatal(err)
			}
			defer old.close()
			if err := old.check(); err != nil {
				t.Error(err)
			}
			if diff := cmp.Diff(dumpState(t, fresh), dumpState(t, old)); diff != "" {
				t.Errorf("(-new +this):\n%s", diff)
			}
		})
	}
}

// dumpState is everything that can be read from state.db.
func dumpState(t *testing.T, d *disk) map[string]any {
	t.Helper()
	h, err := d.load()
	if err != nil {
		t.Fatal(err)
	}
	dump := map[string]any{"accounts": h.Accounts, "quotas": h.Quotas, "subscriptions": h.Subscriptions, "annotations": h.Annotations, "last": h.Last, "applied": h.Applied}
	for _, m := range h.Mailboxes {
		gone, ok, err := d.vanished(m.ID, 0)
		if err != nil || !ok {
			t.Fatal(ok, err)
		}
		dump[fmt.Sprint("mailbox ", m.ID)] = []any{m.Info, m.Keywords, m.RecentBelow, m.HistoryFrom, messagesOf(t, d, m.ID), gone}
	}
	for id := range h.Last.Body + 1 {
		if p, ok, err := d.place(id); ok || err != nil {
			dump[fmt.Sprint("body ", id)] = []any{p, err}
		}
	}
	if dump["annotations of a deleted mailbox"], err = d.annotationsOf(3); err != nil {
		t.Fatal(err)
	}
	page, err := d.roomPage("queue", "", "", 10)
	if err != nil {
		t.Fatal(err)
	}
	dump["room"] = page
	return dump
}

// The tests that docs/STORAGE.md names as proof exist.
func TestStorageDocument(t *testing.T) {
	document, err := os.ReadFile("../docs/STORAGE.md")
	if err != nil {
		t.Fatal(err)
	}
	var code []byte
	for _, pattern := range []string{"../*/*_test.go", "../*/*/*_test.go", "../*/*/*/*_test.go"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range files {
			b, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			code = append(code, b...)
		}
	}
	named := regexp.MustCompile(`\b(Test|Fuzz)[A-Z]\w+`).FindAllString(string(document), -1)
	if len(named) == 0 {
		t.Error("the document names no test")
	}
	for _, name := range named {
		if !strings.Contains(string(code), "\nfunc "+name+"(") {
			t.Errorf("docs/STORAGE.md names %s, which does not exist", name)
		}
	}
}
