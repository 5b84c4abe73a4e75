package figures

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"

	"golang.org/x/text/width"

	"mailstead/cmd/internal/threshold"
	"mailstead/smtp/journal"
)

// Columns is how wide a screen is at most.
const Columns = 80

// Bounds of lists on the screen; `--json` has all.
const (
	maxWarnings     = 8
	maxCertificates = 12
	maxRefusals     = 6
)

// ScreenOptions say what a screen is drawn for.
type ScreenOptions struct {
	Columns int            // 40 to Columns; what is outside is moved there
	Colour  bool           // the terminal has colours
	Zone    *time.Location // of times; nil = UTC
}

// leastColumns is the narrowest screen, in which the tables still have their numbers.
const leastColumns = 40

// Screen is the figures in lines for people, no wider than the screen. What others have said is fit for a terminal.
func (f *Figures) Screen(o ScreenOptions) []string {
	if o.Zone == nil {
		o.Zone = time.UTC
	}
	s := &screen{f: f, o: o}
	s.o.Columns = min(max(o.Columns, leastColumns), Columns)
	s.top()
	s.warnings()
	if f.Running {
		s.sessions()
		s.mail()
	}
	s.things()
	s.certificates()
	s.refusals()
	return s.lines
}

// style is how a line looks on a terminal with colours.
type style string

const (
	plain style = ""
	head  style = "\x1b[1m"  // bold
	alarm style = "\x1b[31m" // red
	good  style = "\x1b[32m" // green
	reset       = "\x1b[0m"
)

// screen is one that is being drawn.
type screen struct {
	f     *Figures
	o     ScreenOptions
	lines []string
}

// line adds a line of one style. It is cut where the screen ends.
func (s *screen) line(as style, format string, args ...any) {
	text := cut(strings.TrimRight(printable(fmt.Sprintf(format, args...)), " "), s.o.Columns)
	if s.o.Colour && as != plain && text != "" {
		text = string(as) + text + reset
	}
	s.lines = append(s.lines, text)
}

// block begins what belongs together.
func (s *screen) block(format string, args ...any) {
	s.line(plain, "")
	s.line(head, format, args...)
}

func (s *screen) top() {
	f := s.f
	title := "mailstead " + f.Version
	if f.Hostname != "" {
		title += " on " + f.Hostname
	}
	if f.Running {
		title += ", up for " + span(f.At.Sub(f.Started))
	}
	at := f.At.In(s.o.Zone).Format("2006-01-02 15:04:05")
	title = cut(printable(title), s.o.Columns-len(at)-1)
	s.line(head, "%s%s%s", title, strings.Repeat(" ", s.o.Columns-columns(title)-len(at)), at)
}

func (s *screen) warnings() {
	list := s.f.Warnings
	for _, w := range list[:min(len(list), maxWarnings)] {
		mark := "!"
		for _, l := range fold(printable(w), s.o.Columns-2) {
			s.line(alarm, "%s %s", mark, l)
			mark = " "
		}
	}
	s.more(len(list)-maxWarnings, "warnings")
	if len(list) == 0 {
		s.line(good, "nothing to look after")
	}
	if s.f.Check != "" {
		s.line(plain, "check: %s", s.f.Check)
	}
}

// more says how many things of a list are not shown.
func (s *screen) more(n int, things string) {
	if n > 0 {
		s.line(plain, "  and %d more %s: --json has all", n, things)
	}
}

func (s *screen) sessions() {
	if len(s.f.Sessions) == 0 {
		return
	}
	s.block("%-11s %6s %9s %10s %8s   %9s %9s", "SESSIONS", "OPEN", "LOGGED IN", "ALL SO FAR", "TOO MANY", "LOGINS", "REFUSED")
	for i := range s.f.Sessions {
		p := &s.f.Sessions[i]
		logins, refused := "-", "-"
		if l := slices.IndexFunc(s.f.Logins, func(l Logins) bool { return l.Protocol == p.Protocol }); l >= 0 {
			logins, refused = number(s.f.Logins[l].Accepted), number(s.f.Logins[l].Refused)
		}
		s.line(plain, "%-11s %6s %9s %10s %8s   %9s %9s", p.Protocol, number(p.Open), number(p.LoggedIn), number(p.Accepted), number(p.Refused()), logins, refused)
	}
}

func (s *screen) mail() {
	m := &s.f.Mail
	day := "LAST DAY"
	if s.f.At.Sub(s.f.Started) < 24*time.Hour {
		day = "SINCE START" // what was before is not counted
	}
	s.block("%-30s %11s %11s", "MAIL", "LAST HOUR", day)
	for _, r := range []struct {
		what      string
		hour, day int
	}{
		{"filed into mailboxes", m.LastHour.Filed, m.LastDay.Filed},
		{"delivered from the queue", m.LastHour.Delivered, m.LastDay.Delivered},
		{"given up", m.LastHour.Failed, m.LastDay.Failed},
		{"refused", m.LastHour.Refused, m.LastDay.Refused},
	} {
		s.line(plain, "%-30s %11s %11s", r.what, number(r.hour), number(r.day))
	}
}

// things are what has one line each.
func (s *screen) things() {
	q, st := &s.f.Queue, &s.f.Store
	s.line(plain, "")
	text := "empty"
	if q.Entries() > 0 {
		var parts []string
		for _, p := range []struct {
			n    int
			what string
		}{{q.Waiting, "waiting"}, {q.Trying, "being tried"}, {q.Held, "held"}, {q.Disabled, "without a way"}} {
			if p.n > 0 {
				parts = append(parts, number(p.n)+" "+p.what)
			}
		}
		text = strings.Join(parts, ", ")
		if !q.Oldest.IsZero() {
			text += "; the oldest for " + span(s.f.At.Sub(q.Oldest))
		}
	}
	s.thing("queue", text)
	s.thing("store", fmt.Sprintf("%s of %s, %s", units(st.Messages, "message"), units(int64(st.Accounts), "account"), threshold.Size(st.Size)))
	s.thing("disk", fmt.Sprintf("%s of %s free; log %s, databases %s", threshold.Size(st.DiskFree), threshold.Size(st.DiskSize), threshold.Size(st.LogSize), threshold.Size(st.StateSize+st.DerivedSize)))
	if s.f.Running {
		s.thing("log", s.logWords())
	}
	text = "none is known of"
	if !s.f.Backup.IsZero() {
		text = "the last is " + span(s.f.At.Sub(s.f.Backup)) + " old"
	}
	s.thing("backup", text)
	if p := &s.f.Process; s.f.Running {
		s.thing("memory", fmt.Sprintf("%s resident, %s on the heap; %s, %s", threshold.Size(p.Resident), threshold.Size(int64(p.Heap)),
			units(int64(p.OpenFiles), "open file"), units(int64(p.Goroutines), "goroutine")))
	}
}

// logWords say what a flush takes, and how far the log is ahead.
func (s *screen) logWords() string {
	st := &s.f.Store
	var flushes uint64
	for _, b := range st.Flushes {
		flushes += b.Count
	}
	text := "no flush yet"
	if flushes > 0 {
		text = fmt.Sprintf("%s flushes, %.2f ms each", number(flushes), 1000*st.FlushSeconds/float64(flushes))
	}
	if n := st.Behind(); n > 0 {
		text += fmt.Sprintf("; databases %s behind", number(n))
	}
	if n := st.Unindexed(); n > 0 {
		text += fmt.Sprintf("; search %s behind", number(n))
	}
	return text
}

func (s *screen) thing(name, text string) { s.line(plain, "%-11s %s", name, text) }

func (s *screen) certificates() {
	list := s.f.Certificates
	if len(list) == 0 {
		return
	}
	s.block("%-34s %-9s %s", "CERTIFICATES", "LEFT", "ISSUER, OR WHAT IS WRONG")
	for i := range list[:min(len(list), maxCertificates)] {
		c := &list[i]
		left, as := "none", plain
		if c.Issuer != "" {
			d := c.NotAfter.Sub(s.f.At)
			left = units(int64(d/(24*time.Hour)), "day")
			if d < threshold.CertificateSoon {
				as = alarm
			}
		}
		s.line(as, "%s %-9s %s", pad(printable(c.Name), 34), left, cmp.Or(c.Problem, c.Issuer, "to be fetched"))
	}
	s.more(len(list)-maxCertificates, "certificates")
}

func (s *screen) refusals() {
	list := s.f.Refusals
	if len(list) == 0 {
		return
	}
	s.block("LAST REFUSED")
	for i := range list[:min(len(list), maxRefusals)] {
		r := &list[i]
		at := r.At.In(s.o.Zone)
		when := at.Format("15:04")
		if s.f.At.Sub(r.At) > 24*time.Hour {
			when = at.Format("01-02")
		}
		who := cmp.Or(r.From, "?")
		if len(r.To) > 0 {
			who += " to " + r.To[0]
		}
		if len(r.To) > 1 {
			who += fmt.Sprintf(" and %d more", len(r.To)-1)
		}
		if r.Peer != "" {
			who += ", at " + r.Peer
		}
		s.line(plain, "%s %s", when, who)
		s.line(plain, "      %s", r.Reason)
	}
}

// printable makes what others have said fit for a terminal.
func printable(text string) string { return journal.Printable(strings.ToValidUTF8(text, "\uFFFD")) }

// columns is how many columns a text takes, at most: characters of East Asia and pictures take two.
func columns(text string) (n int) {
	for _, r := range text {
		n += runeColumns(r)
	}
	return n
}

func runeColumns(r rune) int {
	switch width.LookupRune(r).Kind() {
	case width.EastAsianWide, width.EastAsianFullwidth:
		return 2
	case width.EastAsianAmbiguous: // in terminals of East Asia; dashes and dots are drawn in one by all others
		return 1
	}
	if unicode.Is(unicode.So, r) && r > 0x1000 { // pictures, of which some are not in that table
		return 2
	}
	return 1
}

// cut shortens a text to so many columns, and marks that it did.
func cut(text string, most int) string {
	if columns(text) <= most {
		return text
	}
	n := 0
	for at, r := range text {
		if n += runeColumns(r); n > most-1 {
			return text[:at] + "…"
		}
	}
	return text
}

// pad cuts a text to so many columns, or fills it up to them.
func pad(text string, to int) string {
	text = cut(text, to)
	return text + strings.Repeat(" ", to-columns(text))
}

// fold breaks a text between words into lines of so many columns. A word that is longer is cut later.
func fold(text string, most int) (lines []string) {
	line := ""
	for word := range strings.FieldsSeq(text) {
		if line != "" && columns(line)+1+columns(word) > most {
			lines = append(lines, line)
			line = ""
		}
		if line != "" {
			line += " "
		}
		line += word
	}
	return append(lines, line)
}
