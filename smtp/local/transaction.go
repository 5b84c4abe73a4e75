// Package local is the courier to the mailboxes of this server. It takes
// messages from the SMTP server within the session, and from the queue.
package local

import (
	"fmt"
	"time"

	"mailstead/mailbox"
	"mailstead/mailbox/directory"
	"mailstead/smtp/queue"
)

// Transaction is the envelope of a message that was received.
type Transaction struct {
	ID         string // names it in logs and in the trace header
	From       string // reverse-path without brackets; "" is the null one
	Recipients []Recipient
	Account    mailbox.AccountID // who submitted it; 0 for mail from outside
	EightBit   bool              // the message has octets above 127
	UTF8       bool              // the reverse-path or a header field has them (RFC 6531)
	TLS        queue.TLSDemand   // what the sender wants of the connections that it goes on over
	Received   time.Time
	Report     bool                // the message looks like a report about our domains, from whom it says it is from
	Junk       []mailbox.AccountID // accounts whose copy is filed into Junk
	EnvelopeID string              // ENVID, in xtext (RFC 3461 section 4.4)
	Return     queue.Return        // RET
	Proven     bool                // From is not forged, as far as can be known: its owner may be told what becomes of the message
	Withhold   []mailbox.AccountID // accounts that do not hand it on; 0 = aliases do not

	Changes []mailbox.RoomChange // made with the record that stores the message
}

// Recipient is a recipient that was accepted, with where it leads.
type Recipient struct {
	Address string          // as the client wrote it, without brackets
	Route   directory.Route // a relayed address is its own Remote
	Wish    queue.Wish      // what the sender wants to hear of it
}

// Refusal is why a message was not taken, as SMTP says it.
type Refusal struct {
	Code     int    // 4xx or 5xx
	Enhanced string // "4.2.2" (RFC 3463)
	Text     string
}

// Error is the reply's line.
func (r *Refusal) Error() string { return fmt.Sprintf("%d %s %s", r.Code, r.Enhanced, r.Text) }
