package queue

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"mailstead/mailbox"
	"mailstead/smtp/dns"
	"mailstead/smtp/route"
)

// roomName is the room of the store that has the entries: their ids as keys,
// the entries in JSON as values.
const roomName = "queue"

// ErrNoSuch says that the queue has no entry of that id.
var ErrNoSuch = errors.New("queue: no such entry")

// entryID names an entry: the microsecond of its making, or the next number if
// that is taken. So ids ascend, also over restarts.
type entryID uint64

// String is the id as users see it and as the room's key, which sorts by age.
func (id entryID) String() string { return fmt.Sprintf("%014x", uint64(id)) }

func parseID(s string) (entryID, error) {
	n, err := strconv.ParseUint(s, 16, 64)
	if err != nil || entryID(n).String() != s {
		return 0, fmt.Errorf("%w: %.40q", ErrNoSuch, s)
	}
	return entryID(n), nil
}

// entry is one message for the recipients of one destination.
type entry struct {
	Destination string            `json:"destination"` // a domain in lower case and A-labels; "" is this server
	From        string            `json:"from"`
	Account     mailbox.AccountID `json:"account,omitempty"`
	Notice      noticeKind        `json:"notice,omitempty"`
	Transaction string            `json:"transaction,omitempty"` // that the message came by; a notice has that of the message it is about
	Recipients  []recipient       `json:"recipients"`            // those that are not delivered
	Body        mailbox.BodyID    `json:"body"`
	Size        int64             `json:"size"`
	EightBit    bool              `json:"eight_bit,omitempty"`
	UTF8        bool              `json:"utf8,omitempty"`
	TLS         TLSDemand         `json:"tls,omitempty"`
	Received    time.Time         `json:"received"`
	Attempts    int               `json:"attempts,omitempty"`
	Tried       time.Time         `json:"tried,omitzero"`   // when the last attempt ended
	Waited      time.Duration     `json:"waited,omitempty"` // how long it has been tried for, whatever the clock says
	Next        time.Time         `json:"next"`             // when to try again
	Held        bool              `json:"held,omitempty"`
	Via         *route.Hop        `json:"via,omitempty"`         // where an administrator has sent it; the zero hop is the direct way, nil what the routes say
	Unreachable bool              `json:"unreachable,omitempty"` // an attempt reached no server, so that it goes by a fall-back
	EnvelopeID  string            `json:"envelope_id,omitempty"` // ENVID, in xtext
	Return      Return            `json:"return,omitempty"`      // RET
	Proven      bool              `json:"proven,omitempty"`      // the reverse-path of mail from outside
	DelayTold   bool              `json:"delay_told,omitempty"`  // the sender knows that it takes long
	Report      bool              `json:"report,omitempty"`      // of ours to another domain: nobody is told of its failure
}

// noticeKind tells a message from the notices about one.
type noticeKind uint8

const (
	ordinary     noticeKind = iota
	toSender                // that its message failed
	toPostmaster            // that mail failed and nobody else may be told
)

// recipient is one that has not got the message.
type recipient struct {
	Address string   `json:"address"`
	Last    *failure `json:"last,omitempty"`
	Failed  bool     `json:"failed,omitempty"` // for good, and nobody was told yet
	Filing  *Filing  `json:"filing,omitempty"` // nil in entries of before there were any
	Done    Action   `json:"done,omitempty"`   // it needs no attempt any more, and somebody has to be told: Last is how it went
	Wish
}

// decided reports whether no attempt is made any more.
func (r *recipient) decided() bool { return r.Failed || r.Done != "" }

// failure is why an attempt failed.
type failure struct {
	At       time.Time `json:"at"`
	Code     int       `json:"code,omitempty"`
	Enhanced string    `json:"enhanced"`
	Text     string    `json:"text"`
	Host     string    `json:"host,omitempty"`
	TLS      bool      `json:"tls,omitempty"`
	Expired  bool      `json:"expired,omitempty"` // it was temporary, but the last of too many
}

// String is the failure as one line: who said what.
func (f *failure) String() string {
	if f == nil {
		return ""
	}
	s := f.reply()
	if f.Host != "" {
		s = f.Host + " said: " + s
	}
	return s
}

// reply is the failure as SMTP says it.
func (f *failure) reply() string {
	s := f.Text
	if f.Enhanced != "" && !strings.HasPrefix(s, f.Enhanced) {
		s = f.Enhanced + " " + s
	}
	if f.Code != 0 {
		s = strconv.Itoa(f.Code) + " " + s
	}
	return strings.TrimSpace(s)
}

// split makes an entry for each destination of an envelope, in the order they
// are first named; each recipient counts once.
func split(env Envelope, notice noticeKind, body mailbox.BodyID, now time.Time) []entry {
	if env.Received.IsZero() {
		env.Received = now
	}
	blank := entry{
		From: env.From, Account: env.Account, Notice: notice, Body: body, Size: env.Size, EightBit: env.EightBit, UTF8: env.UTF8, TLS: env.TLS,
		Received: env.Received.UTC(), Next: now.UTC(), Transaction: env.Transaction, Report: env.Report,
		EnvelopeID: env.EnvelopeID, Return: env.Return, Proven: env.Proven,
	}
	var entries []entry
	at := make(map[string]int)
	seen := make(map[string]bool, len(env.Recipients))
	for _, address := range env.Recipients {
		if seen[address] {
			continue
		}
		seen[address] = true
		destination := destinationOf(address)
		i, ok := at[destination]
		if !ok {
			i = len(entries)
			at[destination] = i
			entries = append(entries, blank)
			entries[i].Destination = destination
		}
		r := recipient{Address: address, Wish: env.Wishes[address]}
		entries[i].UTF8 = entries[i].UTF8 || !isASCII(address) // of this destination only: others may know no SMTPUTF8
		if f, ok := env.Filing[address]; ok {
			r.Filing = &f
		}
		entries[i].Recipients = append(entries[i].Recipients, r)
	}
	for _, s := range env.Settled { // each may belong to a copy of its own (mailbox.RoomChange.With)
		e := blank
		e.UTF8 = e.UTF8 || !isASCII(s.Recipient)
		e.Recipients = []recipient{{Address: s.Recipient, Done: s.Action, Wish: s.Wish}}
		entries = append(entries, e)
	}
	return entries
}

// destinationOf is the domain of an address in one spelling; "" without domain.
func destinationOf(address string) string {
	domain := address[strings.LastIndexByte(address, '@')+1:]
	if len(domain) == len(address) {
		return ""
	}
	if ascii, err := dns.ASCII(domain); err == nil {
		return ascii
	}
	return strings.ToLower(domain) // an address literal, or nothing a courier will accept
}

// decodeEntry reads an entry with its id.
func decodeEntry(key string, value []byte) (entryID, entry, error) {
	id, err := parseID(key)
	if err != nil {
		return 0, entry{}, err
	}
	var e entry
	if err := json.Unmarshal(value, &e); err != nil {
		return 0, entry{}, fmt.Errorf("entry %v: %w", id, err)
	}
	for i := range e.Recipients {
		r := &e.Recipients[i]
		r.Failed = r.Failed && r.Last != nil // nobody can be told of a failure without a reason
	}
	return id, e, nil
}

// change writes the entry, or deletes it when it has no recipient left.
func (e *entry) change(id entryID) mailbox.RoomChange {
	c := mailbox.RoomChange{Room: roomName, Key: id.String()}
	if len(e.Recipients) == 0 {
		return c
	}
	value, err := json.Marshal(e)
	if err != nil {
		panic(fmt.Sprintf("queue: an entry of plain values does not become JSON: %v", err))
	}
	c.Value, c.Body = value, e.Body
	return c
}

// open returns the addresses that are still to be tried.
func (e *entry) open() []string {
	var list []string
	for _, r := range e.Recipients {
		if !r.decided() {
			list = append(list, r.Address)
		}
	}
	return list
}

// filing is what was said of recipients, by their addresses; nil for most entries.
func (e *entry) filing() map[string]Filing {
	var all map[string]Filing
	for _, r := range e.Recipients {
		if r.Filing == nil {
			continue
		}
		if all == nil {
			all = map[string]Filing{}
		}
		all[r.Address] = *r.Filing
	}
	return all
}

// wishes are what was said of recipients, by their addresses; nil for most entries.
func (e *entry) wishes() map[string]Wish {
	var all map[string]Wish
	for _, r := range e.Recipients {
		if r.Wish == (Wish{}) {
			continue
		}
		if all == nil {
			all = map[string]Wish{}
		}
		all[r.Address] = r.Wish
	}
	return all
}

// failed returns the recipients of whom somebody has to be told that they failed.
func (e *entry) failed() []recipient { return e.about(ActionFailed, 0) }

// record notes how an attempt at the open recipients ended: delivered ones
// leave, others are failed or wait for the next attempt. jitter is in [0,1).
func (e *entry) record(outcomes []Outcome, now time.Time, jitter float64) {
	e.Attempts++
	e.grow(now)
	delay, giveUp := schedule(e.Attempts, e.Waited, jitter)
	left := e.Recipients[:0]
	for i, r := range e.Recipients {
		if r.decided() {
			left = append(left, r)
			continue
		}
		o := outcomeOf(outcomes, i, r.Address)
		if o.Status == Delivered {
			if r.delivered(o, now) {
				left = append(left, r)
			}
			continue
		}
		r.Last = failureOf(o, now)
		r.Last.Expired = o.Status == Temporary && giveUp
		r.Failed = o.Status == Permanent || giveUp
		left = append(left, r)
	}
	e.Recipients = left
	e.Next = now.Add(delay).UTC()
}

// delivered notes that a recipient has the message, and reports whether its sender has to be told.
func (r *recipient) delivered(o Outcome, now time.Time) bool {
	if o.Told == "" || r.Notify&NotifySuccess == 0 {
		return false
	}
	r.Done, r.Last, r.Failed = o.Told, failureOf(o, now), false
	return true
}

// grow counts the time since the last attempt. A clock that jumped adds little, and
// takes nothing away: mail is not given up because of a year that never was.
func (e *entry) grow(now time.Time) {
	since := e.Tried
	if since.IsZero() {
		since = e.Received
	}
	e.Waited += min(max(now.Sub(since), 0), mostWaited)
	e.Tried = now.UTC()
}

// keep notes how an attempt ended that was broken off because the queue stops:
// what was decided counts, the rest was not tried. It reports whether anything changed.
func (e *entry) keep(outcomes []Outcome, now time.Time) bool {
	changed := false
	left := e.Recipients[:0]
	for i, r := range e.Recipients {
		o := outcomeOf(outcomes, i, r.Address)
		switch {
		case r.decided() || o.Status == Temporary:
		case o.Status == Permanent:
			r.Last, r.Failed, changed = failureOf(o, now), true, true
		default:
			changed = true
			if !r.delivered(o, now) {
				continue
			}
		}
		left = append(left, r)
	}
	e.Recipients = left
	return changed
}

// outcomeOf finds the outcome of a recipient, which is likely at i. One that
// the courier forgot is temporary.
func outcomeOf(outcomes []Outcome, i int, address string) Outcome {
	if i < len(outcomes) && outcomes[i].Recipient == address {
		return outcomes[i]
	}
	i = slices.IndexFunc(outcomes, func(o Outcome) bool { return o.Recipient == address })
	if i >= 0 {
		return outcomes[i]
	}
	return Outcome{Recipient: address, Enhanced: "4.3.0", Text: "nothing is known of this recipient"}
}

// Bounds of what others say, in octets.
const (
	maxText = 500 // of a reply: more than RFC 5321 section 4.5.3.1.5 allows in a line
	maxHost = 300 // of a server's name and address
)

func failureOf(o Outcome, now time.Time) *failure {
	class := byte('4')
	switch o.Status {
	case Permanent:
		class = '5'
	case Delivered:
		class = '2'
	}
	f := &failure{At: now.UTC().Truncate(time.Second), Enhanced: o.Enhanced,
		Text: printable(o.Text, maxText), Host: printable(o.Host, maxHost), TLS: o.TLS}
	if o.Code >= 200 && o.Code <= 599 {
		f.Code = o.Code
	}
	if !isEnhanced(o.Enhanced) {
		f.Enhanced = string(class) + ".0.0"
	}
	return f
}

// isEnhanced reports whether s is a status code of RFC 3463 section 2.
func isEnhanced(s string) bool {
	parts := strings.Split(s, ".")
	if len(parts) != 3 || len(parts[0]) != 1 || !strings.Contains("245", parts[0]) {
		return false
	}
	for _, p := range parts[1:] {
		if n, err := strconv.ParseUint(p, 10, 16); err != nil || n > 999 || len(p) > 3 {
			return false
		}
	}
	return true
}

// printable makes others' words fit for a log, a terminal and a header.
func printable(s string, limit int) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case r == '\t' || r == '\r' || r == '\n':
			return ' '
		case r < ' ' || r > '~':
			return '?'
		}
		return r
	}, s)
	return strings.TrimSpace(s[:min(len(s), limit)])
}
