package imap

import (
	"fmt"
	"slices"
	"testing"

	goimap "github.com/emersion/go-imap/v2"

	"mailstead/mailbox"
)

// TestRightsAreAskedWhenItIsDecided: a right that is taken away while a command runs, behind
// the look that it takes at the rights when it begins, is missing when the change is decided
// (RFC 4314 section 4 says what each command then answers).
func TestRightsAreAskedWhenItIsDecided(t *testing.T) {
	r := newRightsTest(t)
	before := []goimap.Flag{goimap.FlagAnswered, goimap.FlagDeleted}
	for _, c := range []struct {
		command string
		loses   string // of all rights
		refused bool
		after   []goimap.Flag // that the message has; nothing else is seen to change
	}{
		{"EXPUNGE", "e", true, before},
		{"UID EXPUNGE 1", "e", true, before},
		{"CLOSE", "e", false, before},
		{"MOVE 1 INBOX", "e", true, before},
		{"UID MOVE 1 INBOX", "t", true, before},
		{"COPY 1 INBOX", "r", true, before},
		{"REPLACE 1 INBOX {1+}\r\nx", "t", true, before},
		{"UID REPLACE 1 INBOX {1+}\r\nx", "e", true, before},
		{"STORE 1 +FLAGS (\\Flagged)", "w", true, before},
		{"STORE 1 FLAGS (\\Seen $Junk)", "swt", true, before},
		{"UID STORE 1 FLAGS (\\Seen $Junk)", "wt", false, []goimap.Flag{goimap.FlagSeen, goimap.FlagAnswered, goimap.FlagDeleted}},
		{"UID STORE 1 -FLAGS.SILENT (\\Answered \\Deleted)", "w", false, []goimap.Flag{goimap.FlagAnswered}},
		{"FETCH 1 BODY[]", "s", false, before},
		{"FETCH 1 BODY[]", "r", false, before},
	} {
		t.Run(c.command+" without "+c.loses, func(t *testing.T) {
			r.made++
			name := fmt.Sprint("team", r.made)
			if _, err := r.store.Create(t.Context(), r.account, name, ""); err != nil {
				t.Fatal(err)
			}
			give := func(rights mailbox.Rights) {
				change := mailbox.RightsChange{Grant: mailbox.Grant{Account: r.bob, Rights: rights}}
				if err := r.store.ChangeRights(t.Context(), r.account, name, change); err != nil {
					t.Fatal(err)
				}
			}
			give(mailbox.AllRights)
			r.put(r.account, name, before...)
			s := newDirectSession(t, r.store, r.bob)
			s.options.Directory = r.directory
			s.say(t, "SELECT \"Other Users/"+testUser+"/"+name+"\"")

			_, _, err := s.runAfter(t, c.command, func() { give(mailbox.AllRights &^ letters(c.loses)) })
			if refused := err != nil && replyTo(err).Code == goimap.ResponseCodeNoPerm; refused != c.refused || !refused && err != nil {
				t.Errorf("refused %v: %v", refused, err)
			}
			if info, err := r.store.Mailbox(r.bob, "INBOX"); err != nil || info.Messages > 0 {
				t.Errorf("bob has %d messages, %v", info.Messages, err)
			}
			m, err := r.store.OpenMailbox(t.Context(), r.account, name)
			if err != nil {
				t.Fatal(err)
			}
			defer m.Close()
			rows := m.View(false).Rows(nil, 1, 2)
			if len(rows) != 1 || !slices.Equal(flagsOf(rows[0].Flags, m.Keywords()), c.after) {
				t.Errorf("the messages are %+v, want one with %q", rows, c.after)
			}
		})
	}
}
