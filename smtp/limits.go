package smtp

import (
	"cmp"
	"time"
)

// Limits bound what one peer can make the server do. The zero value of each
// field is the documented default.
type Limits struct {
	MessageSize           int64         // octets of a message; 50 MiB
	CommandLine           int           // octets with CRLF; 2048 (RFC 5321 section 4.5.3.1.4 demands 512 and more for extensions)
	AuthLine              int           // the same for AUTH and its responses; 12288 (RFC 4954 section 4)
	HeaderSize            int           // octets of a message's header; 256 KiB
	HeaderFields          int           // 1000
	Received              int           // Received fields before a message counts as looping; 50 (RFC 5321 section 6.3)
	Recipients            int           // of a transaction, for those not logged in; 100 (RFC 5321 section 4.5.3.1.8)
	UserRecipients        int           // for those logged in; 1000
	UnknownRecipients     int           // of a connection, then it is cut; 10
	Errors                int           // of a connection, then each further one costs ErrorDelay; 10
	MaxErrors             int           // then it is cut; 20
	ErrorDelay            time.Duration // 1 s
	IdleCommands          int           // NOOP, RSET and the like of a stranger between two messages; 100
	AuthFailures          int           // of a connection, then it is cut; 5
	Idle                  time.Duration // waiting for the peer's next octets; 300 s (RFC 5321 section 4.5.3.2.7)
	LastWait              time.Duration // the same in the middle of a transaction or login while the server stops; 2 s: a round trip to anywhere, not a pause of a person
	Session               time.Duration // whole session of those not logged in; 30 min
	CheckWait             time.Duration // waiting for the DNS when a message has come to its end; 30 s (senders wait for 10 min: RFC 5321 section 4.5.3.2.6)
	ConnectionsPerAddress int           // that have not logged in; 80
	ConnectionsPerNetwork int           // of strangers to a receiver that judges, by IPv4 /24 and IPv6 /48; 160
	GreetDelay            time.Duration // that such a stranger has to wait for the greeting; 500 ms, more than what is sent at once takes around the world
	HourlyConnections     int           // of such a stranger's address, and NetworkShare times as many of its network; 1000: large providers open one for each message
	HourlyMessages        int           // the same for MAIL; 1000: few people get so many, and none of them from one host
	HourlyUnknown         int           // the same for unknown recipients: from there on answers are slow, from four times as many on there are none; 20: honest senders mistype, and lists are old
	HourlyErrors          int           // the same for replies of 5xx, then it is not let in; 300
	NetworkShare          int           // how many times that a whole network may do; 4: an honest sender has some hosts beside each other, and rarely its neighbours all write to one small server
	ConnectionsPerAccount int           // 0 = without limit
}

// WithDefaults gives the limits with the documented default of each field that is zero.
func (l Limits) WithDefaults() Limits {
	l.MessageSize = cmp.Or(l.MessageSize, 50<<20)
	l.CommandLine = cmp.Or(l.CommandLine, 2048)
	l.AuthLine = cmp.Or(l.AuthLine, 12288)
	l.HeaderSize = cmp.Or(l.HeaderSize, 256<<10)
	l.HeaderFields = cmp.Or(l.HeaderFields, 1000)
	l.Received = cmp.Or(l.Received, 50)
	l.Recipients = cmp.Or(l.Recipients, 100)
	l.UserRecipients = cmp.Or(l.UserRecipients, 1000)
	l.UnknownRecipients = cmp.Or(l.UnknownRecipients, 10)
	l.Errors = cmp.Or(l.Errors, 10)
	l.MaxErrors = cmp.Or(l.MaxErrors, 20)
	l.ErrorDelay = cmp.Or(l.ErrorDelay, time.Second)
	l.IdleCommands = cmp.Or(l.IdleCommands, 100)
	l.AuthFailures = cmp.Or(l.AuthFailures, 5)
	l.Idle = cmp.Or(l.Idle, 300*time.Second)
	l.LastWait = cmp.Or(l.LastWait, 2*time.Second)
	l.Session = cmp.Or(l.Session, 30*time.Minute)
	l.CheckWait = cmp.Or(l.CheckWait, 30*time.Second)
	l.ConnectionsPerNetwork = cmp.Or(l.ConnectionsPerNetwork, 160)
	l.GreetDelay = cmp.Or(l.GreetDelay, 500*time.Millisecond)
	l.HourlyConnections = cmp.Or(l.HourlyConnections, 1000)
	l.HourlyMessages = cmp.Or(l.HourlyMessages, 1000)
	l.HourlyUnknown = cmp.Or(l.HourlyUnknown, 20)
	l.HourlyErrors = cmp.Or(l.HourlyErrors, 300)
	l.NetworkShare = cmp.Or(l.NetworkShare, 4)
	l.ConnectionsPerAddress = cmp.Or(l.ConnectionsPerAddress, 80)
	return l
}

// flood is how much of a message that is refused anyway is read to its end,
// so that the client hears why; a client that sends more is cut off.
func (l Limits) flood() int64 { return 2*l.MessageSize + 1<<20 }
