package mailbox

import "time"

// SetRetention changes Options.Retention: what is purged from the next look on follows it, also what was deleted before. It does
// nothing to a store that purges nothing (KeepDeleted), nor does it make one of it.
func (s *Store) SetRetention(r time.Duration) {
	switch {
	case s.o.Retention == KeepDeleted || r == KeepDeleted:
		return
	case r == 0:
		r = defaultRetention
	}
	s.retain.Store(int64(max(r, 0)))
}

// SetNewAccountQuota changes Options.NewAccountQuota, for accounts that are made from now on.
func (s *Store) SetNewAccountQuota(q Quota) { s.newQuota.Store(&q) }
