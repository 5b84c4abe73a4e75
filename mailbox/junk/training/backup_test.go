package training

import (
	"path/filepath"
	"testing"

	"mailstead/mailbox/backup"
	"mailstead/mailbox/mailboxtest"
)

// TestBackup: what was learned is in a backup of a running server, lessons that no model on disk has yet included, and is back after it was
// restored: models, receipts with which lessons can be undone, and people the owner knows.
func TestBackup(t *testing.T) {
	h := newHome(t)
	h.move("Junk", h.put("Junk", news(1)), "INBOX")
	written := h.move("INBOX", h.put("INBOX", offer(1)), "Junk")
	h.learn()
	h.must(h.trainer.save(t.Context()))
	h.move("INBOX", h.put("INBOX", offer(2)), "Junk")
	h.learn()
	if h.trainer.models.waiting() == 0 {
		t.Fatal("no lesson is without a model")
	}
	score, octets, taught := h.score(offer(3)), h.octets(), h.taught()

	to, server := t.TempDir(), t.TempDir()
	snap, err := h.store.Snapshot(t.Context())
	h.must(err)
	_, err = backup.Write(t.Context(), to, backup.Source{Snapshot: snap}, backup.Options{})
	h.must(err)
	_, err = backup.Restore(t.Context(), to, backup.RestoreOptions{Dir: server})
	h.must(err)

	h.store = mailboxtest.OpenStore(t, filepath.Join(server, "store"))
	h.open()
	if got := h.score(offer(3)); got != score || h.octets() != octets || h.taught() != taught {
		t.Errorf("restored: score %.3f instead of %.3f, taught %v instead of %v", got, score, h.taught(), taught)
	}
	if s, err := h.trainer.Summary(h.account); err != nil || s.Correspondents != 1 {
		t.Errorf("restored: %d correspondents: %v", s.Correspondents, err)
	}
	h.move("Junk", written, "INBOX")
	h.learn()
	if got := h.taught(); got != [2]int{taught[0] - 1, taught[1]} {
		t.Errorf("after a lesson was undone: %v", got)
	}
}
