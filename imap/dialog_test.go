package imap

import (
	"testing"

	"mailstead/mailbox/mailboxtest"
)

// TestDialogues plays every dialogue in testdata, each against a server of its own.
func TestDialogues(t *testing.T) {
	mailboxtest.PlayDir(t, "testdata/*.dialog", func(t *testing.T) mailboxtest.Player {
		t.Parallel() // most of the time is spent on hashing passwords and waiting for flushes
		return newTestServer(t).player()
	})
}
