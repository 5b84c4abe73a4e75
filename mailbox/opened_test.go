package mailbox

import "testing"

// TestFilledMailboxIsOpen delivers to a mailbox without messages: who opens it then finds
// it in memory, and the same there as state.db says.
func TestFilledMailboxIsOpen(t *testing.T) {
	s := newStore(t)
	a := newAccount(t, s)
	for n := range 3 {
		deliver(t, s, a, "INBOX", letter(n))
	}
	if n, _ := unused(s); n != 1 {
		t.Fatalf("%d mailboxes are in memory", n)
	}
	commit(t, s)
	if n, messages := unused(s); n != 1 || messages != 3 {
		t.Errorf("%d mailboxes are in memory, with %d messages", n, messages)
	}
	m := open(t, s, a, "INBOX")
	if n, messages := unused(s); n != 0 || messages != 0 {
		t.Error("it counts as unused while a session has it open")
	}
	expunge(t, m, 1, 2, 3)
	m.Close()
	if err := s.Delete(t.Context(), a, mustCreate(t, s, a, "Filled")); err != nil {
		t.Fatal(err)
	}
	commit(t, s)
	if n, _ := unused(s); n != 1 {
		t.Errorf("%d mailboxes are in memory, where one of two was deleted", n)
	}
}

// unused is how many mailboxes are in memory without a session, and how many messages count as theirs.
func unused(s *Store) (mailboxes, messages int) {
	s.opened.mu.Lock()
	defer s.opened.mu.Unlock()
	return len(s.opened.idle), s.opened.messages
}

// mustCreate makes a mailbox with one message.
func mustCreate(t *testing.T, s *Store, a AccountID, name string) string {
	t.Helper()
	if _, err := s.Create(t.Context(), a, name, ""); err != nil {
		t.Fatal(err)
	}
	deliver(t, s, a, name, letter(1))
	return name
}

// TestFilledMailboxesLeaveMemory has a mailbox that nobody opens outgrow what is kept.
func TestFilledMailboxesLeaveMemory(t *testing.T) {
	var o opened
	small, large := filledBox(1), filledBox(keepOpen-1)
	o.adopt(small)
	o.adopt(large)
	o.adopt(large)
	if len(o.idle) != 2 || o.messages != keepOpen {
		t.Fatalf("%d are kept, with %d messages", len(o.idle), o.messages)
	}
	o.written(map[*box]struct{}{small: {}}) // so it is not the longest unused one
	small.messages = filledBox(2).messages
	large.changes = []*change{{box: large, added: make([]added, 1)}} // a delivery is no reason to keep it
	o.written(map[*box]struct{}{small: {}, filledBox(7): {}})
	if len(o.idle) != 1 || small.messages == nil || large.messages != nil || o.messages != 2 {
		t.Errorf("%d are kept, with %d messages", len(o.idle), o.messages)
	}
	o.adopt(filledBox(keepOpen + 1))
	if len(o.idle) != 0 || o.messages != 0 {
		t.Errorf("%d are kept, with %d messages", len(o.idle), o.messages)
	}
}

// filledBox is a mailbox of n messages in memory.
func filledBox(n int) *box {
	m := new(messages)
	m.grow(n)
	m.uids = m.uids[:n]
	return &box{messages: m}
}
