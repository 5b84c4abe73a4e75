package setup

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"time"
	"unicode/utf8"
)

// Record is one that the owner of a domain is to publish.
type Record struct {
	Name string // without final dot
	Type string
	Text string // its value
	Zone string // as a line of a zone file; "" = it is published elsewhere
	Note string // "" = none
}

// State is what the DNS has of a record.
type State int

// The states of a record.
const (
	Unknown State = iota // the DNS did not answer
	Missing
	Differs
	There
)

// zoneMark begins a zone file of ours; a file without it is somebody's own.
const zoneMark = "; Written by mailstead setup, which writes it anew each time. Delete this line to keep changes of your own.\n"

// writeZone writes the records as a zone file beside the configuration.
func (s *Setup) writeZone(context.Context) (string, error) {
	s.zone = filepath.Join(filepath.Dir(s.Places.Config), s.Answers.Domain+".zone")
	text, there, err := present(s.zone)
	if err != nil {
		return "", err
	}
	if there && !strings.HasPrefix(text, zoneMark) {
		return s.zone + " is yours and stays", nil
	}
	wanted := zoneText(s.made.Records)
	if there && text == wanted {
		return s.zone + " is there", nil
	}
	return s.zone + " written", File{Name: s.zone, Text: wanted, Mode: 0o644, GID: -1}.write()
}

func zoneText(records []Record) string {
	var b strings.Builder
	b.WriteString(zoneMark)
	for _, r := range records {
		if r.Note != "" {
			b.WriteString("; " + r.Note + "\n")
		}
		if r.Zone == "" {
			fmt.Fprintf(&b, "; %s IN %s %s\n", r.Name, r.Type, r.Text)
			continue
		}
		b.WriteString(r.Zone + "\n")
	}
	return b.String()
}

// usualWidth is that of a window of which nothing is known.
const usualWidth = 80

// tellRecords prints the table of records. A value that does not fit beside its name has a line of its own from the
// first column on, which the terminal wraps: so it is copied as one.
func (s *Setup) tellRecords() {
	if len(s.made.Records) == 0 {
		return
	}
	width, _ := s.Terminal.Size()
	if width <= 0 {
		width = usualWidth
	}
	s.Terminal.say("\nPublish these records where your domain's DNS is kept. %s\nhas them for import.\n", s.zone)
	fmt.Fprint(s.Terminal.Out, table(s.made.Records, width))
}

func table(records []Record, width int) string {
	name := len("NAME")
	for _, r := range records {
		if len(r.Name) <= width/2 {
			name = max(name, utf8.RuneCountInString(r.Name))
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%-*s  %-5s  VALUE\n", name, "NAME", "TYPE")
	for _, r := range records {
		head := fmt.Sprintf("%-*s  %-5s", name, r.Name, r.Type)
		if len(head)+2+len(r.Text) <= width {
			b.WriteString(head + "  " + r.Text + "\n")
		} else {
			b.WriteString(strings.TrimRight(head, " ") + "\n" + r.Text + "\n")
		}
		if r.Note != "" {
			b.WriteString("   (" + r.Note + ")\n")
		}
	}
	return b.String()
}

// lookEvery is how long the DNS is left alone between two looks.
const lookEvery = 5 * time.Second

// watch shows which records are there, until all are, Enter is pressed, or the context ends. Where lines can be
// drawn again it shows all of them; otherwise one look is told, and each that turned.
func (s *Setup) watch(ctx context.Context) {
	records := s.made.Records
	if len(records) == 0 {
		return
	}
	t := s.Terminal
	width, height := t.Size()
	redraw := width > 0 && len(records)+2 < height
	if width > 0 {
		t.say("\nWhat the DNS has of them (Enter ends the watch, and harms nothing):\n")
	} else {
		t.say("\nWhat the DNS has of them:\n")
	}
	var before []State
	for {
		states := s.Server.Look(ctx, records)
		if ctx.Err() != nil {
			return
		}
		if redraw && before != nil {
			fmt.Fprintf(t.Out, "\x1b[%dA\x1b[J", len(records))
		}
		for i, r := range records {
			if redraw || before == nil || before[i] != states[i] {
				t.say("%s", t.stateLine(r, states[i], width))
			}
		}
		if !anyBut(states, There) {
			t.say("\nAll records are there.")
			return
		}
		if width == 0 || t.Pause(ctx, lookEvery) {
			break
		}
		before = states
	}
	t.say("\nNot all are there yet. `mailstead check %s` tells at any time.", s.Answers.Domain)
}

func anyBut(states []State, s State) bool {
	for _, o := range states {
		if o != s {
			return true
		}
	}
	return false
}

// stateLine is a record's line of the watch, short enough for one of the window's.
func (t *Terminal) stateLine(r Record, state State, width int) string {
	sign, words := signUnknown, "  (the DNS does not answer)"
	switch state {
	case There:
		sign, words = signDone, ""
	case Missing:
		sign, words = signMissing, ""
	case Differs:
		sign, words = signMissing, "  (there is another one)"
	}
	line := fmt.Sprintf("  %s  %-5s  %s%s", t.sign(sign), r.Type, r.Name, words)
	if runes := []rune(line); width > 0 && len(runes) > width-1 {
		return string(runes[:max(width-2, 0)]) + ">"
	}
	return line
}
