package directory

import (
	"slices"
	"sync/atomic"
)

// loginProtocols are those that logins are counted by; what others say in Attempt is one more together.
var loginProtocols = [...]string{"imap", "pop3", "submission"}

// otherProtocol is the name of that.
const otherProtocol = "other"

// LoginFigures are how many logins of a protocol there were since the start.
type LoginFigures struct {
	Protocol          string // as in Attempt; "other" for all that have no place of their own
	Accepted, Refused uint64 // refused for a wrong name or password, or one that is not for this protocol
}

// loginTally counts logins: the last place is for other protocols.
type loginTally [len(loginProtocols) + 1]struct{ accepted, refused atomic.Uint64 }

func (l *loginTally) note(protocol string, right bool) {
	at := &l[len(loginProtocols)]
	if i := slices.Index(loginProtocols[:], protocol); i >= 0 {
		at = &l[i]
	}
	if right {
		at.accepted.Add(1)
	} else {
		at.refused.Add(1)
	}
}

// Figures tells of the logins of each protocol.
func (d *Directory) Figures() []LoginFigures {
	names := append(loginProtocols[:], otherProtocol)
	list := make([]LoginFigures, len(names))
	for i, name := range names {
		list[i] = LoginFigures{name, d.judged[i].accepted.Load(), d.judged[i].refused.Load()}
	}
	return list
}
