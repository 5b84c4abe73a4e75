package mailbox_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"mailstead/mailbox"
	"mailstead/mailbox/mailboxtest"
)

// TestBodiesLocatedTogether opens bodies that are in memory only, on disk, in files of
// their own, and one that nobody knows.
func TestBodiesLocatedTogether(t *testing.T) {
	dir := t.TempDir()
	s := mailboxtest.OpenStore(t, dir)
	account, err := s.CreateAccount(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 40 {
		if i == 20 { // from here on everything before is in the database, and nothing after
			if err := s.Check(); err != nil {
				t.Fatal(err)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			s = mailboxtest.OpenStore(t, dir)
		}
		text := fmt.Sprintf("Subject: %d\r\n\r\n", i)
		if i == 7 {
			text += strings.Repeat("large\r\n", 300_000)
		}
		body := s.NewBody()
		if _, err := body.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Deliver(t.Context(), body, []mailbox.Target{{Account: account, Name: "INBOX"}}, nil); err != nil {
			t.Fatal(err)
		}
	}
	m, err := s.OpenMailbox(t.Context(), account, "INBOX")
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	var msgs []mailbox.Message
	for _, row := range m.View(false).Rows(nil, 1, 40) {
		msgs = append(msgs, row.Message)
	}
	msgs = append(msgs, mailbox.Message{Body: 1 << 40})
	var bodies mailbox.Bodies
	if err := s.LocateBodies(msgs, &bodies); err != nil {
		t.Fatal(err)
	}
	small := make([]byte, 4<<10)
	for i := range msgs {
		body, err := bodies.Open(i, small)
		if i == 40 {
			if !errors.Is(err, mailbox.ErrGone) {
				t.Errorf("an unknown body: %v, want ErrGone", err)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if body.Size() != msgs[i].Size {
			t.Errorf("body %d has %d octets, want %d", i, body.Size(), msgs[i].Size)
		}
		got := make([]byte, 11)
		if _, err := body.ReadAt(got, 0); err != nil || !strings.HasPrefix(string(got), fmt.Sprintf("Subject: %d", i)) {
			t.Errorf("body %d begins with %q, %v", i, got, err)
		}
		body.Close()
	}
}
