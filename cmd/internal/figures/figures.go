// Package figures is how a server is doing, at one moment: as metrics for Prometheus, and as one screen for
// people. It is made of values only; whoever collects them knows where they come from.
package figures

import (
	"time"

	"mailstead/smtp/journal"
)

// Figures are those of one moment. What is said to be since the start only grows while the server runs.
type Figures struct {
	At       time.Time `json:"at"`
	Version  string    `json:"version"`
	Hostname string    `json:"hostname"` // "" = not known
	Running  bool      `json:"running"`
	Started  time.Time `json:"started,omitzero"`
	Warnings []string  `json:"warnings"`        // what somebody should look after, in words
	Check    string    `json:"check,omitempty"` // what the last check of the whole host has found, in one line

	Sessions     []Sessions    `json:"sessions"`
	Logins       []Logins      `json:"logins"`
	Mail         Mail          `json:"mail"`
	Queue        Queue         `json:"queue"`
	Store        Store         `json:"store"`
	Certificates []Certificate `json:"certificates"`
	Backup       time.Time     `json:"backup,omitzero"` // as of when the last backup is; zero = none is known
	Process      Process       `json:"process"`
	Refusals     []Refusal     `json:"refusals"` // the last ones, the newest first
}

// Sessions are the connections of one protocol.
type Sessions struct {
	Protocol string `json:"protocol"`
	Open     int    `json:"open"`
	LoggedIn int    `json:"logged_in"` // of them
	Accepted uint64 `json:"accepted"`  // since the start

	// Refused since the start, by the limit that was reached.
	RefusedAddress   uint64 `json:"refused_address"`
	RefusedStrangers uint64 `json:"refused_strangers"`
	RefusedAccount   uint64 `json:"refused_account"`
}

// Refused is how many connections were refused, by whatever limit.
func (s *Sessions) Refused() uint64 {
	return s.RefusedAddress + s.RefusedStrangers + s.RefusedAccount
}

// Logins are those of one protocol since the start.
type Logins struct {
	Protocol string `json:"protocol"`
	Accepted uint64 `json:"accepted"`
	Refused  uint64 `json:"refused"`
}

// Mail is what came and went since the start.
type Mail struct {
	Received  []Received `json:"received"`
	Copies    []Copies   `json:"copies"`
	Refused   []Refused  `json:"refused"`
	Verdicts  []Verdict  `json:"verdicts"`
	Abandoned uint64     `json:"abandoned"` // messages that their client did not send to the end

	// Recipients of attempts from the queue.
	Delivered uint64 `json:"delivered"`
	Deferred  uint64 `json:"deferred"`
	Failed    uint64 `json:"failed"`

	LostSteps uint64 `json:"lost_steps"` // that the journal could not write down

	LastHour journal.Traffic `json:"last_hour"`
	LastDay  journal.Traffic `json:"last_day"` // the last 24 hours
}

// Received are messages that were accepted by a protocol.
type Received struct {
	Protocol string `json:"protocol"`
	Messages uint64 `json:"messages"`
}

// Copies are those that were filed into mailboxes of a name: "INBOX", "Junk" or "other".
type Copies struct {
	Mailbox string `json:"mailbox"`
	Count   uint64 `json:"count"`
}

// Refused is how often a command, MAIL, RCPT or DATA, was refused with a status code (RFC 3463).
type Refused struct {
	Command string `json:"command"`
	Status  string `json:"status"`
	Count   uint64 `json:"count"`
}

// Verdict is how often a rule decided so on a message.
type Verdict struct {
	Verdict string `json:"verdict"`
	Rule    string `json:"rule"`
	Count   uint64 `json:"count"`
}

// Queue is the mail on its way out, in entries.
type Queue struct {
	Waiting  int       `json:"waiting"`
	Trying   int       `json:"trying"`
	Held     int       `json:"held"`
	Disabled int       `json:"disabled"` // there is no way to where they are to go
	Oldest   time.Time `json:"oldest,omitzero"`
}

// Entries are all of them.
func (q *Queue) Entries() int { return q.Waiting + q.Trying + q.Held + q.Disabled }

// Store is how the store is doing. Sizes are in octets.
type Store struct {
	Accounts int   `json:"accounts"`
	Messages int64 `json:"messages"`
	Size     int64 `json:"size"` // of the messages, as quotas count them

	Last    uint64 `json:"last"`    // the newest record of the log
	Applied uint64 `json:"applied"` // the newest that the databases have
	Indexed uint64 `json:"indexed"` // the newest that the full-text index has read
	Pending int64  `json:"pending"` // memory of what the databases lack

	Flushes       []Bucket `json:"flushes"` // of the log
	FlushSeconds  float64  `json:"flush_seconds"`
	Commits       uint64   `json:"commits"` // of the databases
	CommitSeconds float64  `json:"commit_seconds"`

	Segments        int    `json:"segments"` // of the log
	LogSize         int64  `json:"log_size"`
	StateSize       int64  `json:"state_size"`
	DerivedSize     int64  `json:"derived_size"`
	Live            int64  `json:"live"` // what of all that somebody holds; 0 = nobody has looked yet
	DiskSize        int64  `json:"disk_size"`
	DiskFree        int64  `json:"disk_free"`
	Full            bool   `json:"full"` // no mail is taken for lack of space
	CleanedSegments uint64 `json:"cleaned_segments"`
	CleanedSize     uint64 `json:"cleaned_size"`
	MovedSize       uint64 `json:"moved_size"`
}

// Bucket is how often something took up to some seconds, and longer than in the bucket before.
type Bucket struct {
	UpTo  float64 `json:"up_to"` // seconds; 0 in the last one: any time
	Count uint64  `json:"count"`
}

// Behind is how many records of the log the databases do not have yet.
func (s *Store) Behind() uint64 { return s.Last - min(s.Last, s.Applied) }

// Unindexed is how many records of the log the full-text index has not read yet.
func (s *Store) Unindexed() uint64 { return s.Last - min(s.Last, s.Indexed) }

// Certificate is how it stands with the certificate of a name.
type Certificate struct {
	Name     string    `json:"name"`
	Issuer   string    `json:"issuer"` // "" = there is none
	NotAfter time.Time `json:"not_after,omitzero"`
	Problem  string    `json:"problem,omitempty"` // in words; "" = none
}

// Process is what the program takes of its machine.
type Process struct {
	Goroutines int     `json:"goroutines"`
	Heap       uint64  `json:"heap"`     // octets
	Resident   int64   `json:"resident"` // octets; 0 = not known
	OpenFiles  int     `json:"open_files"`
	MaxFiles   uint64  `json:"max_files"` // 0 = not known
	CPUSeconds float64 `json:"cpu_seconds"`
}

// Refusal is a message, or a recipient, that was not taken.
type Refusal struct {
	At     time.Time `json:"at"`
	From   string    `json:"from"`
	To     []string  `json:"to"`
	Peer   string    `json:"peer,omitempty"`
	Reason string    `json:"reason"`
}
