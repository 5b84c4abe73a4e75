package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	goimap "github.com/emersion/go-imap/v2"
)

// world is what one worker of the soak test has been promised: for each
// mailbox, the letters in it by name with their flags. A worker's accounts are
// its own, and it does one thing at a time, so there is always exactly one
// world, or two while an answer is outstanding.
type world map[string]map[string]letter

// letter is one message as the worker knows it.
type letter struct {
	hash  string // of all its octets as sent
	flags string // sorted, separated by spaces
}

// clone copies a world.
func (w world) clone() world {
	c := world{}
	for box, letters := range w {
		c[box] = maps.Clone(letters)
	}
	return c
}

// sighting is what a mailbox really held.
type sighting struct {
	uidValidity, uidNext uint32
	modSeq               uint64
	letters              []seen
}

// seen is one message found.
type seen struct {
	uid  goimap.UID
	name string
	letter
}

// oracle judges sightings. It remembers what must never change or fall.
type oracle struct {
	certain  world             // what was promised
	possible world             // what it is if the outstanding command was carried out; nil when none is
	sent     map[string]string // letter → hash, of all that was ever sent
	boxes    map[string]*history
}

// history is what is known of a mailbox for good.
type history struct {
	uidValidity, uidNext uint32
	modSeq               uint64
	names                map[goimap.UID]string
}

func newOracle(boxes ...string) *oracle {
	o := &oracle{certain: world{}, sent: map[string]string{}, boxes: map[string]*history{}}
	for _, b := range boxes {
		o.certain[b] = map[string]letter{}
		o.boxes[b] = &history{names: map[goimap.UID]string{}}
	}
	return o
}

// begin says that a command is about to be given that makes change.
func (o *oracle) begin(change func(world)) {
	o.possible = o.certain.clone()
	change(o.possible)
}

// done says that it was answered OK.
func (o *oracle) done() { o.certain, o.possible = o.possible, nil }

// judge compares all mailboxes with what they may hold, and with their past.
// Afterwards what was seen is what is certain.
func (o *oracle) judge(found map[string]sighting) error {
	observed := world{}
	for box, s := range found {
		h := o.boxes[box]
		if err := h.check(s); err != nil {
			return fmt.Errorf("%s: %w", box, err)
		}
		observed[box] = map[string]letter{}
		for _, l := range s.letters {
			if _, twice := observed[box][l.name]; twice {
				return fmt.Errorf("%s: letter %s is there twice", box, l.name)
			}
			if l.hash != o.sent[l.name] {
				return fmt.Errorf("%s: letter %s is not what was sent", box, l.name)
			}
			observed[box][l.name] = l.letter
		}
	}
	complaint := difference(o.certain, observed)
	if complaint != "" && o.possible != nil && difference(o.possible, observed) == "" {
		complaint = ""
	}
	if complaint != "" {
		return fmt.Errorf("promised and found differ: %s", complaint)
	}
	o.certain, o.possible = observed, nil
	return nil
}

// check holds a mailbox against its past, and adds to it.
func (h *history) check(s sighting) error {
	switch {
	case h.uidValidity != 0 && s.uidValidity != h.uidValidity:
		return fmt.Errorf("UIDVALIDITY was %d and is %d", h.uidValidity, s.uidValidity)
	case s.uidNext < h.uidNext:
		return fmt.Errorf("UIDNEXT fell from %d to %d", h.uidNext, s.uidNext)
	case s.modSeq < h.modSeq:
		return fmt.Errorf("HIGHESTMODSEQ fell from %d to %d", h.modSeq, s.modSeq)
	}
	h.uidValidity, h.uidNext, h.modSeq = s.uidValidity, s.uidNext, s.modSeq
	for _, l := range s.letters {
		if uint32(l.uid) >= s.uidNext {
			return fmt.Errorf("UID %d is not below UIDNEXT %d", l.uid, s.uidNext)
		}
		if was, ok := h.names[l.uid]; ok && was != l.name {
			return fmt.Errorf("UID %d was %s and is %s", l.uid, was, l.name)
		}
		h.names[l.uid] = l.name
	}
	return nil
}

// difference describes the first few differences of two worlds, "" for none.
func difference(want, got world) string {
	var all []string
	for _, box := range slices.Sorted(maps.Keys(want)) {
		for _, name := range slices.Sorted(maps.Keys(want[box])) {
			g, ok := got[box][name]
			switch w := want[box][name]; {
			case !ok:
				all = append(all, fmt.Sprintf("%s lost %s", box, name))
			case g != w:
				all = append(all, fmt.Sprintf("%s has %s as %v, not %v", box, name, g, w))
			}
		}
		for _, name := range slices.Sorted(maps.Keys(got[box])) {
			if _, ok := want[box][name]; !ok {
				all = append(all, fmt.Sprintf("%s has %s, which should not be there", box, name))
			}
		}
	}
	if len(all) > 5 {
		all = append(all[:5], fmt.Sprintf("and %d more", len(all)-5))
	}
	return strings.Join(all, "; ")
}

// flagList is the form of flags that letters are compared in.
func flagList(flags []goimap.Flag) string {
	var list []string
	for _, f := range flags {
		if f != `\Recent` {
			list = append(list, string(f))
		}
	}
	slices.Sort(list)
	return strings.Join(list, " ")
}

// TestOracleCatchesLies shows the oracle a truth that it must accept and lies
// that it must not.
func TestOracleCatchesLies(t *testing.T) {
	const box = "a/INBOX"
	one := letter{hash: "h1", flags: `\Seen`}
	truth := func() sighting {
		return sighting{uidValidity: 7, uidNext: 3, modSeq: 10, letters: []seen{{uid: 1, name: "one", letter: one}, {uid: 2, name: "two", letter: letter{hash: "h2"}}}}
	}
	for _, c := range []struct {
		name string
		lie  func(*sighting)
	}{
		{"a letter is lost", func(s *sighting) { s.letters = s.letters[1:] }},
		{"a letter is there twice", func(s *sighting) { s.letters = append(s.letters, s.letters[0]) }},
		{"a body changed", func(s *sighting) { s.letters[0].hash = "other" }},
		{"a flag was forgotten", func(s *sighting) { s.letters[0].flags = "" }},
		{"an expunged letter came back", func(s *sighting) {
			s.letters = append(s.letters, seen{uid: 2, name: "gone", letter: letter{hash: "h3"}})
		}},
		{"a UID was given to another letter", func(s *sighting) { s.letters[0].uid, s.letters[1].uid = 2, 1 }},
		{"UIDVALIDITY changed", func(s *sighting) { s.uidValidity++ }},
		{"UIDNEXT fell", func(s *sighting) { s.uidNext-- }},
		{"HIGHESTMODSEQ fell", func(s *sighting) { s.modSeq-- }},
	} {
		o := newOracle(box)
		o.sent = map[string]string{"one": "h1", "two": "h2", "gone": "h3"}
		o.begin(func(w world) { w[box]["one"] = one })
		o.done()
		o.begin(func(w world) { w[box]["two"] = letter{hash: "h2"} })
		if err := o.judge(map[string]sighting{box: truth()}); err != nil {
			t.Fatalf("an outstanding letter that came: %v", err)
		}
		lie := truth()
		c.lie(&lie)
		if err := o.judge(map[string]sighting{box: lie}); err == nil {
			t.Errorf("%s, and the oracle believes it", c.name)
		}
	}
}
