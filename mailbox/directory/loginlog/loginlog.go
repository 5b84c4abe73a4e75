// Package loginlog keeps who logged in to which account, when, from where, with what, and who tried to: for
// owners who want to know whether somebody else does. A line is a run of logins that are alike, of a day at most, so that a
// phone that comes each minute is one line a day. Lines wait in memory and are written together; a
// kill loses what came since (Flush).
package loginlog

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode"

	"mailstead/mailbox"
)

// The bounds of the log.
const (
	// Days is for how long a line is kept.
	Days = 90
	// maxLines bounds the lines of an account, some 2 MB; maxFailed those of them that tell of failures, so that whoever
	// guesses passwords pushes no login of the owner's out. When they are reached the oldest tenth goes.
	maxLines, maxFailed = 10000, 2000
	// maxRun is how long a line can go on.
	maxRun = 24 * time.Hour
	// maxOpen bounds the runs that are remembered, of all accounts; what is beyond it has a line each.
	maxOpen = 4096
	// maxWaiting bounds what waits to be written where the disk takes nothing.
	maxWaiting = 2 * maxOpen
	// maxGuessers bounds the networks of an account from which failures have a line of their own at a time; all others are one.
	maxGuessers = 100
	// maxClients and maxClient bound what programs say of themselves: how many of a line, and octets of each.
	maxClients, maxClient = 4, 100
	// chunk is how many lines are written or removed by one record.
	chunk = 100
)

// Result is what became of a login.
type Result string

// Results of logins.
const (
	OK       Result = "ok"
	Wrong    Result = "wrong password"
	Disabled Result = "account disabled"
	NotFor   Result = "app password not for this" // or past its end
)

// Login is one login, or an attempt.
type Login struct {
	Account  mailbox.AccountID
	Protocol string // as in directory.Attempt
	Remote   netip.Addr
	Client   string // what the program says of itself; "" = nothing yet
	App      string // the label of the app password; "" = the account's own, or none that is known
	Result   Result
}

// Line is a run of logins that are alike.
type Line struct {
	First    time.Time `json:"first"`
	Last     time.Time `json:"last"`
	Count    int       `json:"count"`
	Protocol string    `json:"protocol"`
	Remote   string    `json:"remote"`            // an address; of failures a network, "" for many
	Clients  []string  `json:"clients,omitempty"` // programs, as they said
	App      string    `json:"app,omitempty"`
	Result   Result    `json:"result"`
}

// Log is safe for concurrent use.
type Log struct {
	store *mailbox.Store
	now   func() time.Time

	writing sync.Mutex // is held while lines are written or removed
	counts  map[mailbox.AccountID]int
	made    uint16 // keys; makes those of a millisecond differ

	mu      sync.Mutex
	runs    map[kind]*entry
	failing map[mailbox.AccountID]int // runs of failures
	ended   []*entry                  // that are to be written, and do not go on
	lasts   map[mailbox.AccountID]Line
	told    map[mailbox.AccountID]bool // of lasts: written
	dropped int
}

// kind is what logins of a run have in common.
type kind struct {
	account  mailbox.AccountID
	protocol string
	from     netip.Prefix
	app      string
	result   Result
}

// entry is a line with where it is kept; "" = nowhere yet.
type entry struct {
	Line
	account mailbox.AccountID
	key     string
	dirty   bool
}

// New returns the log that is kept in a store.
func New(s *mailbox.Store, now func() time.Time) *Log {
	return &Log{
		store: s, now: now, counts: map[mailbox.AccountID]int{}, runs: map[kind]*entry{},
		failing: map[mailbox.AccountID]int{}, lasts: map[mailbox.AccountID]Line{}, told: map[mailbox.AccountID]bool{},
	}
}

// Note takes a login down. It waits for nobody.
func (l *Log) Note(login Login) {
	now := l.now().UTC()
	l.mu.Lock()
	defer l.mu.Unlock()
	k := l.kindOf(login)
	e := l.runs[k]
	if e == nil || now.Sub(e.First).Abs() >= maxRun {
		l.end(k, e)
		e = &entry{account: login.Account, Line: Line{First: now, Protocol: k.protocol, Remote: text(k.from), App: k.app, Result: k.result}}
		l.begin(k, e)
	}
	e.Last, e.dirty = now, true
	e.Count++
	e.identify(login.Client)
	if login.Result == OK {
		l.lasts[login.Account], l.told[login.Account] = e.Line, false
	}
}

// Identify notes what the program of a login said of itself after it.
func (l *Log) Identify(login Login) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e := l.runs[l.kindOf(login)]; e != nil {
		e.identify(login.Client)
	}
}

// kindOf is the run that a login belongs to.
func (l *Log) kindOf(login Login) kind {
	ip := login.Remote.Unmap().WithZone("")
	bits := ip.BitLen()
	if login.Result != OK { // guesses come from all over a network
		bits = 48
		if ip.Is4() {
			bits = 24
		}
	}
	from, _ := ip.Prefix(bits) // an address that is none has the zero one
	k := kind{login.Account, login.Protocol, from, login.App, login.Result}
	if l.runs[k] == nil && login.Result != OK && l.failing[login.Account] >= maxGuessers {
		k.from = netip.Prefix{}
	}
	return k
}

// text is a network as people read it, one address without its length.
func text(p netip.Prefix) string {
	switch {
	case !p.IsValid():
		return ""
	case p.IsSingleIP():
		return p.Addr().String()
	}
	return p.String()
}

func (e *entry) identify(client string) {
	client = strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) && r != unicode.ReplacementChar {
			return r
		}
		return -1
	}, client)
	if len(client) > maxClient {
		client = strings.ToValidUTF8(client[:maxClient], "")
	}
	if client == "" || len(e.Clients) == maxClients || slices.Contains(e.Clients, client) {
		return
	}
	e.Clients, e.dirty = append(slices.Clip(e.Clients), client), true
}

// begin opens a run.
func (l *Log) begin(k kind, e *entry) {
	switch {
	case len(l.runs) < maxOpen:
		l.runs[k] = e
		if k.result != OK {
			l.failing[k.account]++
		}
	case len(l.ended) < maxWaiting:
		e.dirty = true
		l.ended = append(l.ended, e)
	default:
		l.dropped++
	}
}

// end closes a run; nil is none.
func (l *Log) end(k kind, e *entry) {
	if e == nil {
		return
	}
	delete(l.runs, k)
	if k.result != OK {
		if l.failing[k.account]--; l.failing[k.account] == 0 {
			delete(l.failing, k.account)
		}
	}
	if e.dirty && len(l.ended) < maxWaiting {
		l.ended = append(l.ended, e)
	}
}

// room is where lines are kept, as JSON: under the account, when the line began in milliseconds, whether
// it tells of a failure, and a number. The account's last login is under it, too.
const (
	room    = "logins"
	lastKey = "last"
	failed  = 'f'
	right   = 'o'
)

// Prefix begins the keys of an account, and nothing else.
func Prefix(a mailbox.AccountID) string { return "logins/" + strconv.FormatUint(uint64(a), 10) + "/" }

// timeDigits are those of a time in a key.
const timeDigits = 12

func (l *Log) newKey(e *entry) string {
	l.made++
	mark := failed
	if e.Result == OK {
		mark = right
	}
	return fmt.Sprintf("%s%0*x%c%04x", Prefix(e.account), timeDigits, e.First.UnixMilli(), mark, l.made)
}

// Flush writes down what was noted.
func (l *Log) Flush(ctx context.Context) error {
	l.writing.Lock()
	defer l.writing.Unlock()
	lines, lasts := l.take()
	fresh := map[mailbox.AccountID]int{}
	var changes []mailbox.RoomChange
	for i := range lines {
		if lines[i].key == "" {
			lines[i].key = l.newKey(lines[i].entry)
			fresh[lines[i].account]++
		}
		changes = append(changes, put(lines[i].key, lines[i].line))
	}
	for a, line := range lasts {
		changes = append(changes, put(Prefix(a)+lastKey, line))
	}
	if err := l.write(ctx, changes); err != nil {
		l.putBack(lines, lasts)
		return fmt.Errorf("write the log of logins: %w", err)
	}
	l.written(lines)
	if n := l.takeDropped(); n > 0 {
		return fmt.Errorf("log of logins: %d of too many at a time are not in it", n)
	}
	for a, n := range fresh {
		if err := l.count(ctx, a, n); err != nil {
			return fmt.Errorf("shorten the log of logins: %w", err)
		}
	}
	return nil
}

func put(key string, line Line) mailbox.RoomChange {
	value, err := json.Marshal(line)
	if err != nil {
		panic(fmt.Sprintf("loginlog: a line cannot be kept: %v", err)) // texts, numbers and times always can
	}
	return mailbox.RoomChange{Room: room, Key: key, Value: value}
}

// taken is an entry with its line as it is written.
type taken struct {
	*entry
	line Line
	key  string
}

// take gives what is to be written, and closes runs that are over.
func (l *Log) take() (lines []taken, lasts map[mailbox.AccountID]Line) {
	now := l.now()
	l.mu.Lock()
	defer l.mu.Unlock()
	for k, e := range l.runs {
		if e.dirty {
			lines = append(lines, taken{e, e.Line, e.key})
			e.dirty = false
		}
		if now.Sub(e.First).Abs() >= maxRun {
			l.end(k, e)
		}
	}
	for _, e := range l.ended {
		lines = append(lines, taken{e, e.Line, e.key})
		e.dirty = false
	}
	l.ended = nil
	lasts = map[mailbox.AccountID]Line{}
	for a, told := range l.told {
		if !told {
			lasts[a], l.told[a] = l.lasts[a], true
		}
	}
	return lines, lasts
}

func (l *Log) putBack(lines []taken, lasts map[mailbox.AccountID]Line) {
	l.mu.Lock()
	defer l.mu.Unlock()
	open := map[*entry]bool{}
	for _, e := range l.runs {
		open[e] = true
	}
	for _, t := range lines {
		if t.entry.dirty = true; !open[t.entry] && len(l.ended) < maxWaiting {
			l.ended = append(l.ended, t.entry)
		}
	}
	for a := range lasts {
		l.told[a] = false
	}
}

func (l *Log) takeDropped() (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n, l.dropped = l.dropped, 0
	return n
}

func (l *Log) written(lines []taken) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, t := range lines {
		t.entry.key = t.key
	}
}

// write makes changes, some with one record.
func (l *Log) write(ctx context.Context, changes []mailbox.RoomChange) error {
	for some := range slices.Chunk(changes, chunk) {
		if err := l.store.Change(ctx, some...); err != nil {
			return err
		}
	}
	return nil
}
