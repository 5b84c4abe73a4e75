// Package journal keeps what became of every message for a while, so that "where
// is my mail?" has an answer: who sent it, what was found and decided, where it
// was filed, and what other servers said.
//
// A journal is a folder of files with one JSON object a line, a line a step. It
// is no mail: a step is written to the system but not synced, one that cannot be
// written is dropped and counted, and nobody who tells of a step ever waits.
// Files are of a day, at most; they go when they are older than Days, and the
// oldest go first when all together are larger than the bytes of their shelf.
//
// There are three shelves. What strangers did that came to nothing is on one of
// its own, so that a flood of it pushes nothing out that was taken; and so is what
// was said to other servers and by them, which is long, and read when something is odd.
package journal

import (
	"strings"
	"time"
)

// Bounds of what is kept.
const (
	Days = 30 // files of before are removed

	mailBytes    = 48 << 20 // of the shelf of mail that was taken: 100,000 messages or so
	refusedBytes = 16 << 20 // of the shelf of what came to nothing
	saidBytes    = 16 << 20 // of the shelf of conversations: 10,000 attempts or so
	fileBytes    = 2 << 20  // of one file: what is removed at once
	diskShare    = 50       // the part of a small disk that all of it takes: 6 MB of 300
	filesAtLeast = 4        // of a shelf, on a small disk
	leastFile    = 64 << 10

	maxText = 1000 // octets of one string: a Message-ID may fill a line of 998
	maxList = 50   // strings of a list; events with more recipients are made several

	maxSaid       = 500      // lines of a conversation
	maxSaidOctets = 64 << 10 // of all of them
)

// Step is what happened to a message.
type Step string

// The steps of a message.
const (
	Received  Step = "received"  // it is here as a whole, and not yet answered
	Refused   Step = "refused"   // MAIL, RCPT or the message was answered with Reply
	Abandoned Step = "abandoned" // the client went away, or began anew, before the end of the message
	Judged    Step = "judged"    // Verdict, for Reasons, from what was Found
	Filed     Step = "filed"     // it is in the Mailbox of To
	Withheld  Step = "withheld"  // it is not handed on to To, as it is junk or forged
	Queued    Step = "queued"    // it is on its way to To
	Delivered Step = "delivered" // an attempt for To: Host has taken it
	Deferred  Step = "deferred"  // an attempt for To failed, and there is another at Next
	Failed    Step = "failed"    // it was given up for To
	Answered  Step = "answered"  // an automatic reply goes to To
	Notified  Step = "notified"  // a notice is on its way to To; Verdict: "failed", "delayed", "delivered"
	Removed   Step = "removed"   // an administrator took it out of the queue
	Talked    Step = "talked"    // what was Said in an attempt for To
	Lost      Step = "lost"      // Count steps are missing here
)

// Event is one step. Fields that do not belong to it are empty.
type Event struct {
	At        time.Time `json:"at"`
	Step      Step      `json:"step"`
	ID        string    `json:"id,omitempty"`         // of the transaction that the message came by, as in our Received field
	MessageID string    `json:"message_id,omitempty"` // with its brackets
	Queue     string    `json:"queue,omitempty"`      // the entry in the queue
	Peer      string    `json:"peer,omitempty"`       // address of the client
	Helo      string    `json:"helo,omitempty"`       // what it calls itself
	User      string    `json:"user,omitempty"`       // the account that it logged in as
	From      string    `json:"from,omitempty"`       // reverse-path; "<>" is the null one
	To        []string  `json:"to,omitempty"`         // recipients, or accounts where it is about mailboxes
	Size      int64     `json:"size,omitempty"`       // octets
	Command   string    `json:"command,omitempty"`    // that was refused
	Found     []string  `json:"found,omitempty"`      // results of checks, like "spf=pass"
	Verdict   string    `json:"verdict,omitempty"`    // "accept", "junk", "defer", "refuse"
	Rule      string    `json:"rule,omitempty"`       // what decided
	Reasons   []string  `json:"reasons,omitempty"`    // why, in words, the decisive first
	Mailbox   string    `json:"mailbox,omitempty"`
	Attempt   int       `json:"attempt,omitempty"` // from 1
	Host      string    `json:"host,omitempty"`    // the other server
	TLS       bool      `json:"tls,omitempty"`     // the attempt was encrypted
	Reply     string    `json:"reply,omitempty"`   // ours, or the other server's
	Next      time.Time `json:"next,omitzero"`     // when it is tried again
	Count     int       `json:"count,omitempty"`
	Said      []string  `json:"said,omitempty"` // lines: "> " ours, "< " the other server's, "* " what happened besides
}

// Path is a reverse-path as events have it.
func Path(from string) string {
	if from == "" {
		return "<>"
	}
	return from
}

// bound cuts what others have said to a length that keeps a line below maxLine.
func (e *Event) bound() {
	for _, s := range []*string{&e.ID, &e.MessageID, &e.Queue, &e.Peer, &e.Helo, &e.User, &e.From, &e.Command,
		&e.Verdict, &e.Rule, &e.Mailbox, &e.Host, &e.Reply} {
		*s = clip(*s)
	}
	for _, list := range []*[]string{&e.To, &e.Found, &e.Reasons} {
		*list = clipAll(*list)
	}
	e.Said = clipSaid(e.Said)
	e.At, e.Next = e.At.UTC(), e.Next.UTC()
}

// clipSaid leaves out what is too much of a conversation; the list may be the caller's.
func clipSaid(lines []string) []string {
	octets := 0
	for i, line := range lines {
		if octets += len(line); i == maxSaid || octets > maxSaidOctets {
			return lines[:i]
		}
	}
	return lines
}

// clipAll leaves the list alone, which may be the caller's.
func clipAll(list []string) []string {
	list = list[:min(len(list), maxList)]
	for i, s := range list {
		if len(s) > maxText {
			clipped := append([]string{}, list...)
			for j := i; j < len(clipped); j++ {
				clipped[j] = clip(clipped[j])
			}
			return clipped
		}
	}
	return list
}

func clip(s string) string {
	if len(s) <= maxText {
		return s
	}
	return strings.ToValidUTF8(s[:maxText], "")
}
