package imap

import (
	"testing"

	"mailstead/mailbox"
)

// TestFetchAllocatesNothingPerLine: what FETCH answers from the arrays and the stored
// indexes is copied, whatever the number of messages. What a command and a transaction of
// the store allocate is one for many lines.
func TestFetchAllocatesNothingPerLine(t *testing.T) {
	if testing.Short() {
		t.Skip("the short form runs under the race detector, which allocates on its own")
	}
	const messages, kinds = 4096, 16
	dir := t.TempDir()
	var account mailbox.AccountID
	t.Run("filling", func(t *testing.T) {
		var store *mailbox.Store
		store, account = directStore(t, dir, 1<<20)
		for i := range kinds {
			deliver(t, store, account, benchMessage(i), mailbox.Target{Date: benchDate, Flags: benchFlags[i%3]})
		}
		copyUntil(t, store, account, messages)
		indexed(t, store) // so that it is not done beside
	})
	store, err := mailbox.Open(dir, mailbox.Options{SegmentSize: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	for _, enable := range []string{"CONDSTORE", "IMAP4rev2", "UIDONLY"} {
		s := newDirectSession(t, store, account)
		s.drop = true
		s.say(t, "ENABLE "+enable)
		for _, items := range []string{
			"FLAGS", "(UID FLAGS MODSEQ)", "FAST", "ALL", "FULL", "ENVELOPE", "BODYSTRUCTURE", "(ENVELOPE BODYSTRUCTURE)",
			"(UID RFC822.SIZE FLAGS BODY.PEEK[HEADER.FIELDS (" + thunderbirdFields + ")])", "BODY.PEEK[HEADER]",
			"(PREVIEW EMAILID THREADID SAVEDATE)",
		} {
			s.expectAllocs(t, enable+": ", "UID FETCH 1:* "+items, messages, messages/16)
		}
	}
}

// expectAllocs expects a command that answers with so many lines to allocate no more than
// atMost times. Other goroutines of the process are counted, too, so that the best of
// several tries counts.
func (s *directSession) expectAllocs(t *testing.T, where, command string, lines, atMost int) {
	t.Helper()
	var allocs float64
	for range 20 {
		s.written = 0
		allocs = testing.AllocsPerRun(1, func() { s.say(t, command) })
		if s.written < int64(2*lines) {
			t.Fatalf("%s%s: %d octets for %d lines", where, command, s.written, lines)
		}
		if allocs <= float64(atMost) {
			return
		}
	}
	t.Errorf("%s%s: %v allocations for %d lines, more than %d", where, command, allocs, lines, atMost)
}

// copyUntil copies the messages of INBOX, all of them and again, until there are n.
func copyUntil(t testing.TB, store *mailbox.Store, account mailbox.AccountID, n int) {
	t.Helper()
	m, err := store.OpenMailbox(t.Context(), account, "INBOX")
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	for {
		uids := m.View(false).UIDs()
		if len(uids) >= n {
			return
		}
		if _, err := m.Copy(t.Context(), uids[:min(len(uids), n-len(uids))], "INBOX"); err != nil {
			t.Fatal(err)
		}
	}
}
