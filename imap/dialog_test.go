package imap

import (
	"testing"

	"mailstead/mailbox/mailboxtest"
)

// TestDialogues plays every dialogue in testdata, each against a server of its own.
func TestDialogues(t *testing.T) {
	storeOrSkip(t)
	mailboxtest.PlayDir(t, "testdata/*.dialog", func(t *testing.T) mailboxtest.Player {
		return newTestServer(t).player()
	})
}
