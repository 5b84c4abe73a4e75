package feedback

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"mailstead/mailbox"
)

// Bounds of what is counted. A personal server hears from some hundred domains a day, of which each has
// a handful of rows; what is beyond them is only known by its number.
const (
	maxDomains = 2000  // and days, of each kind of report: of a flood under made-up names some are told
	maxRows    = 500   // of a report: 300 KB of XML, 10 KB packed
	maxAllRows = 20000 // of each kind of report: 5 MB of memory, 25 where all names are as long as names can be
)

// book has the counts of one kind of report. R is what is counted as one row.
type book[R comparable] struct {
	kind Kind
	of   map[key]*counter[R]
	rows int // of all
}

// counter has the counts of one day and domain.
type counter[R comparable] struct {
	rows  map[R]int64
	rest  int64 // of rows for which there was no place
	dirty bool  // it is not written yet
}

func newBook[R comparable](kind Kind) book[R] { return book[R]{kind: kind, of: map[key]*counter[R]{}} }

// count counts one more of a row.
func (b *book[R]) count(k key, row R) {
	c := b.of[k]
	if c == nil {
		if len(b.of) >= maxDomains {
			return
		}
		c = &counter[R]{rows: map[R]int64{}}
		b.of[k] = c
	}
	c.dirty = true
	n := c.rows[row]
	switch {
	case n > 0:
		c.rows[row] = n + 1
	case len(c.rows) >= maxRows || b.rows >= maxAllRows:
		c.rest++
	default:
		c.rows[row] = 1
		b.rows++
	}
}

// counted is a counter as it is kept.
type counted[R comparable] struct {
	Rows []counts[R] `json:"rows"`
	Rest int64       `json:"rest,omitempty"`
}

// counts is a row with its number.
type counts[R comparable] struct {
	Row R     `json:"row"`
	N   int64 `json:"n"`
}

// list gives the rows, in an order that does not depend on chance.
func (c *counter[R]) list() []counts[R] {
	list := make([]counts[R], 0, len(c.rows))
	text := make(map[R]string, len(c.rows))
	for row, n := range c.rows {
		text[row] = fmt.Sprint(row)
		list = append(list, counts[R]{row, n})
	}
	slices.SortFunc(list, func(x, y counts[R]) int {
		return cmp.Or(cmp.Compare(y.N, x.N), strings.Compare(text[x.Row], text[y.Row]))
	})
	return list
}

// changes are those that write what is not written yet.
func (b *book[R]) changes() (all []mailbox.RoomChange) {
	for k, c := range b.of {
		if !c.dirty {
			continue
		}
		c.dirty = false
		value, err := json.Marshal(counted[R]{c.list(), c.rest})
		if err != nil {
			panic(fmt.Sprintf("feedback: counts of plain values do not become JSON: %v", err))
		}
		all = append(all, mailbox.RoomChange{Room: roomName, Key: countPrefix + k.String(), Value: value})
	}
	return all
}

// unwritten has the counts of a day and domain written again, as that has failed.
func (b *book[R]) unwritten(k key) {
	if c := b.of[k]; c != nil {
		c.dirty = true
	}
}

// load takes over what was written.
func (b *book[R]) load(k key, value []byte) {
	var kept counted[R]
	if json.Unmarshal(value, &kept) != nil || len(b.of) >= maxDomains {
		return
	}
	c := &counter[R]{rows: make(map[R]int64, len(kept.Rows)), rest: kept.Rest}
	for _, r := range kept.Rows {
		c.rows[r.Row] += r.N
	}
	b.of[k] = c
	b.rows += len(c.rows)
}

// drop forgets the counts of a day and domain.
func (b *book[R]) drop(k key) {
	if c := b.of[k]; c != nil {
		b.rows -= len(c.rows)
		delete(b.of, k)
	}
}

// before gives the keys of the days before one, the oldest first.
func (b *book[R]) before(day string) []key {
	var keys []key
	for k := range b.of {
		if k.day < day {
			keys = append(keys, k)
		}
	}
	slices.SortFunc(keys, key.order)
	return keys
}
