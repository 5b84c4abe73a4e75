package imap

import (
	"testing"

	"mailstead/mailbox"
	"mailstead/mailbox/mailboxtest"
)

// TestQuotaDialogues has ann with a quota of 4096 octets and three messages, bob
// without one.
func TestQuotaDialogues(t *testing.T) {
	mailboxtest.PlayDir(t, "testdata/quota/*.dialog", func(t *testing.T) mailboxtest.Player {
		t.Parallel()
		ts := newTestServer(t)
		if err := ts.store.SetQuota(t.Context(), ts.account, mailbox.Quota{Storage: 4096, Messages: 3}); err != nil {
			t.Fatal(err)
		}
		return ts.player()
	})
}
