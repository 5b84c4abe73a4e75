package journal

import (
	"bufio"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// maxLine is more than any event makes, in octets. What is longer is no line of ours.
const maxLine = 1 << 20

// Events yields all steps in the journal of a folder, day by day, those of one
// day as they were written on each shelf. Lines that cannot be read are passed
// over; an error says that a file, or all, could not be read. It may be used
// while a server writes.
func Events(dir string) iter.Seq2[Event, error] { return eventsOn(dir, shelfNames...) }

// eventsOn is Events for some shelves.
func eventsOn(dir string, shelves ...string) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		var all []sizedFile
		for _, name := range shelves {
			files, err := (&shelf{dir: dir, name: name}).files()
			if err != nil {
				yield(Event{}, err)
				return
			}
			all = append(all, files...)
		}
		slices.SortFunc(all, func(x, y sizedFile) int { return x.compare(y.fileName) })
		for _, f := range all {
			if !eventsOf(filepath.Join(dir, f.String()), yield) {
				return
			}
		}
	}
}

// eventsOf yields the steps of one file. One that was just removed has none.
func eventsOf(name string, yield func(Event, error) bool) bool {
	f, err := os.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return true
	}
	if err != nil {
		return yield(Event{}, err)
	}
	defer f.Close()
	for e, err := range read(f) {
		if !yield(e, err) {
			return false
		}
	}
	return true
}

// read yields the steps of a file.
func read(r io.Reader) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		in := bufio.NewReaderSize(r, maxLine)
		for {
			line, err := in.ReadSlice('\n')
			switch {
			case errors.Is(err, bufio.ErrBufferFull):
				continue // the rest of it is no line, either: it does not begin with a brace
			case err == io.EOF:
				return // a line without its end is being written, or was cut off
			case err != nil:
				yield(Event{}, fmt.Errorf("journal: %w", err))
				return
			}
			if e, ok := parseLine(line); ok && !yield(e, nil) {
				return
			}
		}
	}
}

func parseLine(line []byte) (e Event, ok bool) {
	err := json.Unmarshal(line, &e)
	return e, err == nil && e.Step != ""
}

// Story is what is known of one message: its steps by their time.
type Story struct {
	ID    string  `json:"id"` // of the transaction
	Steps []Event `json:"steps"`
}

// Filter says which messages are looked for: those that fit all that is set.
type Filter struct {
	Message  string    // id of the transaction or of an entry in the queue, or a Message-ID, with brackets or without
	From, To string    // an address, a domain, or @ and a domain; the reverse-path or the user, and any recipient or account
	Since    time.Time // a step of it was then or later
	Limit    int       // so many, the newest; 0 = all
	Said     bool      // with what was said to other servers and by them
}

// ErrNone says that the folder has no journal at all.
var ErrNone = errors.New("journal: nothing was written yet")

// Stories returns the messages that fit, the oldest first, and how many steps
// are known to be missing from the whole journal. An error says that not all
// could be read. ErrNone.
func Stories(dir string, f Filter) (found []Story, lost int, err error) {
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return nil, 0, ErrNone
	}
	chosen, lost, err := f.choose(dir)
	if err != nil {
		return nil, 0, err
	}
	at := make(map[string]int, len(chosen))
	found = make([]Story, len(chosen))
	for i, id := range chosen {
		at[id], found[i].ID = i, id
	}
	shelves := shelfNames
	if !f.Said {
		shelves = []string{mailShelf, refusedShelf}
	}
	for e, err := range eventsOn(dir, shelves...) {
		if err != nil {
			return nil, 0, err
		}
		if i, ok := at[e.ID]; ok && e.Step != Lost {
			found[i].Steps = append(found[i].Steps, e)
		}
	}
	for i := range found {
		slices.SortStableFunc(found[i].Steps, func(x, y Event) int { return x.At.Compare(y.At) })
	}
	// What was removed between the two readings is told of no more.
	return slices.DeleteFunc(found, func(s Story) bool { return len(s.Steps) == 0 }), lost, nil
}

// match is what was seen of a message so far.
type match struct {
	id                        string
	first                     time.Time
	message, from, to, recent bool
}

// choose reads the whole journal for the ids of messages that fit, the oldest
// first: what fits may be in different steps.
func (f *Filter) choose(dir string) (ids []string, lost int, err error) {
	seen := map[string]*match{}
	for e, err := range eventsOn(dir, mailShelf, refusedShelf) {
		if err != nil {
			return nil, 0, err
		}
		if e.Step == Lost {
			lost += e.Count
			continue
		}
		m := seen[e.ID]
		if m == nil {
			m = &match{id: e.ID, first: e.At}
			seen[e.ID] = m
		}
		f.note(m, &e)
	}
	var fit []*match
	for _, m := range seen {
		if m.message && m.from && m.to && m.recent {
			fit = append(fit, m)
		}
	}
	slices.SortFunc(fit, func(x, y *match) int { return cmp.Or(x.first.Compare(y.first), strings.Compare(x.id, y.id)) })
	if f.Limit > 0 && len(fit) > f.Limit {
		fit = fit[len(fit)-f.Limit:]
	}
	for _, m := range fit {
		ids = append(ids, m.id)
	}
	return ids, lost, nil
}

func (f *Filter) note(m *match, e *Event) {
	if e.At.Before(m.first) {
		m.first = e.At
	}
	bare := func(id string) string { return strings.TrimSuffix(strings.TrimPrefix(id, "<"), ">") }
	m.message = m.message || f.Message == "" || e.ID == f.Message || e.Queue == f.Message ||
		e.MessageID != "" && bare(e.MessageID) == bare(f.Message)
	m.from = m.from || fits(f.From, e.From) || fits(f.From, e.User)
	m.to = m.to || f.To == "" || slices.ContainsFunc(e.To, func(to string) bool { return fits(f.To, to) })
	m.recent = m.recent || !e.At.Before(f.Since)
}

// fits reports whether an address is the one that is looked for, or of that
// domain.
func fits(wanted, address string) bool {
	if wanted == "" {
		return true
	}
	at := strings.LastIndexByte(address, '@')
	if i := strings.LastIndexByte(wanted, '@'); i > 0 || at < 0 {
		return strings.EqualFold(wanted, address)
	}
	return strings.EqualFold(strings.TrimPrefix(wanted, "@"), address[at+1:])
}
