package serve

import "sync/atomic"

// Figures are how many connections a server has and had. Those since the start only grow.
type Figures struct {
	Open     int    // at present, with those that are logged in
	LoggedIn int    // of them
	Accepted uint64 // since the start, as sessions

	// Refused since the start, by the limit that was reached: Options.MaxPerAddress, MaxStrangers, MaxPerAccount.
	RefusedAddress, RefusedStrangers, RefusedAccount uint64
}

// tally counts what Figures tells of the time since the start.
type tally struct{ accepted, address, strangers, account atomic.Uint64 }

// refused counts a connection of a stranger that was one too many.
func (t *tally) refused(by limit) {
	if by == ofKey {
		t.address.Add(1)
	} else {
		t.strangers.Add(1)
	}
}

// Figures counts the connections.
func (s *Server) Figures() Figures {
	s.mu.Lock()
	open := len(s.conns)
	s.mu.Unlock()
	return Figures{
		Open: open, LoggedIn: s.accounts.total(), Accepted: s.tally.accepted.Load(),
		RefusedAddress: s.tally.address.Load(), RefusedStrangers: s.tally.strangers.Load(), RefusedAccount: s.tally.account.Load(),
	}
}
