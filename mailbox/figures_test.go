package mailbox

import "testing"

// TestFiguresOfAStore: what is counted is what was done, and what is behind catches up.
func TestFiguresOfAStore(t *testing.T) {
	s := newStore(t)
	a := newAccount(t, s)
	before := s.Figures()
	for i := range 3 {
		deliver(t, s, a, "INBOX", letter(i))
	}
	if err := s.apply(); err != nil {
		t.Fatal(err)
	}
	f := s.Figures()
	if f.Accounts != 1 || f.Messages != 3 || f.Size <= 0 || f.Mailboxes == 0 {
		t.Errorf("mail: %+v", f)
	}
	if f.Last < before.Last+3 || f.Applied < before.Last+3 || f.Pending < 0 {
		t.Errorf("behind: %+v", f)
	}
	count := func(f Figures) (n uint64) {
		for _, b := range f.Flushes {
			n += b.Count
		}
		return n
	}
	if count(f) < count(before)+3 || f.FlushTime <= before.FlushTime {
		t.Errorf("%d flushes in %v, before %d in %v", count(f), f.FlushTime, count(before), before.FlushTime)
	}
	if f.Commits <= before.Commits || f.CommitTime <= before.CommitTime {
		t.Errorf("%d commits in %v, before %d in %v", f.Commits, f.CommitTime, before.Commits, before.CommitTime)
	}
	if f.Segments == 0 || f.LogSize <= before.LogSize || f.StateSize == 0 || f.DerivedSize == 0 {
		t.Errorf("on disk: %+v", f)
	}
	if f.DiskSize <= 0 || f.DiskFree <= 0 || f.DiskFree > f.DiskSize || f.Full {
		t.Errorf("disk: %+v", f)
	}
	if err := s.clean(t.Context()); err != nil {
		t.Fatal(err)
	}
	if f := s.Figures(); f.Live < 3*15 {
		t.Errorf("%d bytes are held", f.Live)
	}
}
