package journal

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// history is the journal of four messages, of which eve sent one, had one alone, and one with ann.
var history = []Event{
	{Step: Received, ID: "1", From: "s@far.test", To: []string{"Eve@a.test", "ann@a.test"}},
	{Step: Judged, ID: "1", Verdict: "accept"},
	{Step: Filed, ID: "1", Mailbox: "INBOX", To: []string{"eve@a.test"}},
	{Step: Filed, ID: "1", Mailbox: "INBOX", To: []string{"ann@a.test"}},
	{Step: Received, ID: "2", From: "s@far.test", To: []string{"sales@a.test"}},
	{Step: Judged, ID: "2", Verdict: "accept"},
	{Step: Filed, ID: "2", Mailbox: "lists", To: []string{"eve@a.test"}},
	{Step: Received, ID: "3", User: "eve@a.test", From: "eve@a.test", To: []string{"x@far.test", "ann@a.test"}},
	{Step: Delivered, ID: "3", To: []string{"x@far.test"}},
	{Step: Filed, ID: "3", To: []string{"ann@a.test"}},
	{Step: Refused, ID: "4", Command: "RCPT", To: []string{"EVE+shop@a.test"}, Reply: "452 full"},
	{Step: Received, ID: "5", From: "s@far.test", To: []string{"steve@a.test"}},
	{Step: Deferred, ID: "5", To: []string{"steve@a.test"}, Reply: "450 <eve@a.test> is away"},
	{Step: Filed, ID: "5", To: []string{"steve@a.test"}, Mailbox: "ann"},
	{Step: Talked, ID: "1", To: []string{"ann@a.test", "eve@a.test"}, Said: []string{"> RCPT TO:<ann@a.test>", "> RCPT TO:<eve+x@a.test> ORCPT=rfc822;eve+2Bx@a.test", "< 250 ok"}},
	{Step: Talked, ID: "2", To: []string{"eve@a.test"}, Said: []string{"> RCPT TO:<eve@a.test>"}},
	{Step: Lost, Count: 3},
}

// TestErase: of somebody's own messages nothing remains, of those that others had what is
// theirs, and of all others everything; twice is once, whether a server runs or not.
func TestErase(t *testing.T) {
	want := []Event{
		{Step: Received, ID: "1", From: "s@far.test", To: []string{"ann@a.test"}},
		{Step: Judged, ID: "1", Verdict: "accept"},
		{Step: Filed, ID: "1", Mailbox: "INBOX", To: []string{"ann@a.test"}},
		{Step: Talked, ID: "1", To: []string{"ann@a.test"}, Said: []string{"> RCPT TO:<ann@a.test>", "< 250 ok"}},
		{Step: Received, ID: "5", From: "s@far.test", To: []string{"steve@a.test"}},
		{Step: Filed, ID: "5", To: []string{"steve@a.test"}, Mailbox: "ann"},
		{Step: Lost, Count: 3},
	}
	for name, running := range map[string]bool{"server": true, "no server": false} {
		t.Run(name, func(t *testing.T) {
			dir, c := filepath.Join(t.TempDir(), "journal"), noon()
			j := newJournal(dir, Options{Now: c.now}, sizes{mail: 1 << 20, refused: 1 << 20, said: 1 << 20, file: 300}) // some files
			go j.run()
			for _, e := range history {
				j.Add(e)
				must(t, j.Flush(t.Context()))
			}
			erase := func() int {
				if !running {
					j.Close()
					n, err := Erase(dir, []string{"eve@a.test"})
					must(t, err)
					return n
				}
				n, err := j.Erase(t.Context(), []string{"eve@a.test"})
				must(t, err)
				return n
			}
			if n := erase(); n != 12 {
				t.Errorf("%d lines are gone or changed", n)
			}
			got := events(t, dir)
			for i := range got {
				got[i].At = Event{}.At
			}
			byID := func(x, y Event) int { return strings.Compare(x.ID, y.ID) }
			slices.SortStableFunc(got, byID)
			sorted := slices.Clone(want)
			slices.SortStableFunc(sorted, byID)
			if d := cmp.Diff(sorted, got); d != "" {
				t.Error(d)
			}
			if n := erase(); n != 0 {
				t.Errorf("%d lines the second time", n)
			}
			if running {
				j.Add(Event{Step: Filed, ID: "6", To: []string{"ann@a.test"}})
				j.Close()
				if n := len(events(t, dir)); n != len(want)+1 {
					t.Errorf("%d events after one more", n)
				}
			}
			names, err := os.ReadDir(dir)
			must(t, err)
			for _, f := range names {
				raw, err := os.ReadFile(filepath.Join(dir, f.Name()))
				must(t, err)
				if text := strings.ReplaceAll(strings.ToLower(string(raw)), "steve@", ""); strings.Contains(text, "eve@") || strings.Contains(text, "eve+") {
					t.Errorf("%s still has %s", f.Name(), raw)
				}
			}
		})
	}
	var none *Journal
	if n, err := none.Erase(t.Context(), []string{"eve@a.test"}); n != 0 || err != nil {
		t.Errorf("%d, %v of no journal", n, err)
	}
}

// TestErasureGoesOnAfterACrash: what a crash left of a file that was to take another's place goes at the next start.
func TestErasureGoesOnAfterACrash(t *testing.T) {
	dir := t.TempDir()
	half := filepath.Join(dir, "mail-20261122-0001.jsonl"+newEnding)
	must(t, os.WriteFile(half, []byte("half"), 0o600))
	Open(dir, Options{Now: noon().now}).Close()
	if _, err := os.Stat(half); !os.IsNotExist(err) {
		t.Errorf("%s: %v", half, err)
	}
}

// TestSizesFollowTheDisk: a small disk has a small journal, in files of which one that goes is not all.
func TestSizesFollowTheDisk(t *testing.T) {
	full := sizes{mail: mailBytes, refused: refusedBytes, said: saidBytes, file: fileBytes}
	for disk, want := range map[int64]sizes{
		0:         full, // nobody knows
		100 << 30: full,
		4 << 30:   full,
		300 << 20: {mail: 6 << 20 * 3 / 5, refused: 6 << 20 / 5, said: 6 << 20 / 5, file: 6 << 20 / 20},
		16 << 20:  {mail: 335544 * 3 / 5, refused: 335544 / 5, said: 335544 / 5, file: leastFile},
	} {
		if got := sizesFor(disk); got != want {
			t.Errorf("%d: %+v, want %+v", disk, got, want)
		}
	}
	if n := diskSize(filepath.Join(t.TempDir(), "not", "there")); n != 0 {
		t.Errorf("a folder of nowhere is on %d octets", n)
	}
	if n := diskSize(filepath.Join(t.TempDir(), "new")); n < 1<<20 {
		t.Errorf("a new folder is on %d octets", n)
	}
}
