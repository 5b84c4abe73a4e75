package check

import (
	"cmp"
	"net/netip"
	"time"
)

// Host is what a server knows of itself and of its machine.
type Host struct {
	// Name is the server's own name, in A-labels; "" = it is not known here, and most cannot be judged.
	Name string
	// TLSName is the name that certificates of its listeners are to have; "" = Name.
	TLSName string
	// Version is the program's.
	Version string
	// Running tells whether the server runs.
	Running bool
	// Addresses are those under which the world reaches the machine, as far as it can know them.
	Addresses []netip.Addr
	// Sending are the addresses that connections to the world leave from, one of a family; private ones are translated by
	// somebody.
	Sending []netip.Addr
	// Filtered tells that hosts that are trusted stand before this one, and hand mail on.
	Filtered bool
	// Smarthost is the way that all mail to others leaves by; "" = it goes straight to their servers.
	Smarthost string
	// TLSA are the texts of the records of its keys (RFC 7672).
	TLSA []string
	// Issuer is the name of the authority in use, as CAA records have it (RFC 8659 section 4.2); "" = none, or not known.
	Issuer string
	// Certificates are those of its names.
	Certificates []Certificate
	// Listeners are where it can be reached.
	Listeners []Listener

	Clock  Clock
	Disk   Disk
	Memory Memory
	Files  Files
	Backup Backup
	Queue  Queue
}

func (h *Host) tlsName() string { return cmp.Or(h.TLSName, h.Name) }

// Certificate is what is known of the certificate of a name.
type Certificate struct {
	Name     string
	Issuer   string    // "" = there is none
	NotAfter time.Time // when it ends
	Error    string    // why there is none, or no newer one
	Own      bool      // of the server's own making: nobody trusts it
}

// Listener is a port of the server.
type Listener struct {
	Name    string // of its setting: smtp, submission, submissions, imap, imaps, pop3, pop3s, http or https
	Address string // HOST:PORT to connect to
}

// Clock is what the machine's kernel says of its clock. The zero value is one that nobody knows of.
type Clock struct {
	Known        bool
	Synchronised bool // something keeps it right
}

// Disk is the file system of the store.
type Disk struct {
	Known       bool
	Free, Total int64    // octets
	Samples     []Sample // of some days, the oldest first
}

// Sample is what a store took at a time, in octets.
type Sample struct {
	Time time.Time `json:"time"`
	Used int64     `json:"used"`
}

// Memory is that of the machine, and of the server, in octets.
type Memory struct {
	Known            bool
	Available, Total int64
	Server           int64 // resident
}

// Files are the file descriptors of the server.
type Files struct {
	Known       bool
	Open, Limit int64
}

// Backup is what is known of the newest backup.
type Backup struct {
	Last time.Time // when one was complete; zero = none ever was
}

// Queue is the mail on its way out.
type Queue struct {
	Entries int
	Waiting int           // destinations, for whom mail has waited longer than threshold.QueueLong
	Oldest  time.Duration // of all that is not held
}

// Domain is one of the server's, with what it is to publish.
type Domain struct {
	Name    string   // in A-labels
	Records []Record // as `domain show` proposes them
	Keys    []Key    // for DKIM
	Policy  string   // of MTA-STS, as it is served; "" = none is
	Ours    func(domain string) bool
}

// Key is a key for DKIM with its record.
type Key struct {
	Record
	State string // waiting, signing, old or retired
}
