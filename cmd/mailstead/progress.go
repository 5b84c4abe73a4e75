package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/term"

	"mailstead/cmd/internal/threshold"
)

// quiet is the flag of commands that show progress.
type quiet struct {
	Quiet bool `short:"q" help:"Do not show progress."`
}

// progressBar shows how far a long action is: on a terminal in one line that is
// drawn again and again, elsewhere in a line from time to time.
type progressBar struct {
	out     io.Writer
	columns int // of the terminal; 0 = none
	now     func() time.Time

	detail string // what is at hand within the step, behind the rest of the line
	doing  string
	began  time.Time // of this step
	first  int64     // where this step began
	drawn  time.Time
	redraw bool // a line of the terminal is to be drawn over
}

const (
	redrawEvery  = 200 * time.Millisecond
	lineEvery    = 10 * time.Second // where there is no terminal
	rateAfter    = time.Second      // the first moments say nothing about the rest
	barWidth     = 24
	leastColumns = 20
)

// bar makes the bar of a command. Its end must be called before anything else
// is written.
func (q quiet) bar(std streams) *progressBar {
	b := &progressBar{out: std.err, now: time.Now}
	if q.Quiet {
		b.out = io.Discard
		return b
	}
	if f, ok := std.err.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		b.columns, _, _ = term.GetSize(int(f.Fd())) // 0 for one that does not know
		b.columns = max(b.columns, leastColumns)
	}
	return b
}

// show is a report.
func (b *progressBar) show(p progress) {
	now := b.now()
	if p.Doing != b.doing {
		b.end()
		b.doing, b.began, b.first, b.drawn = p.Doing, now, p.Done, time.Time{}
		if b.columns == 0 {
			b.drawn = now // what is over at once needs no line
		}
	}
	ended := p.Total > 0 && p.Done >= p.Total
	every := redrawEvery
	if b.columns == 0 {
		every, ended = lineEvery, false
	}
	if now.Sub(b.drawn) < every && !ended {
		return
	}
	b.drawn = now
	line := b.line(p, now)
	if b.columns == 0 {
		fmt.Fprintln(b.out, line)
		return
	}
	b.redraw = true
	fmt.Fprintf(b.out, "\r%s\x1b[K", cut(line, b.columns-1)) // the last column would wrap
}

// end leaves the line of a terminal as it stands.
func (b *progressBar) end() {
	if b.redraw {
		fmt.Fprintln(b.out)
		b.redraw = false
	}
}

// line is what there is to say.
func (b *progressBar) line(p progress, now time.Time) string {
	parts := []string{p.Doing + ":"}
	if p.Total > 0 {
		share := min(1, float64(p.Done)/float64(p.Total))
		parts = append(parts, fmt.Sprintf("%3.0f%%", 100*share))
		if b.columns > 0 {
			full := int(share * barWidth)
			parts = append(parts, "["+strings.Repeat("=", full)+strings.Repeat(" ", barWidth-full)+"]")
		}
		parts = append(parts, amount(p.Done, p.Unit)+" of "+amount(p.Total, p.Unit))
	} else {
		parts = append(parts, amount(p.Done, p.Unit))
	}
	if p.Unit != octets {
		parts = append(parts, p.Unit)
	}
	detail := ""
	if b.detail != "" {
		detail = "; " + printable(b.detail)
	}
	took := now.Sub(b.began)
	if took < rateAfter || p.Done <= b.first {
		return strings.Join(parts, " ") + detail
	}
	rate := float64(p.Done-b.first) / took.Seconds()
	text := strings.Join(parts, " ") + ", " + amount(int64(rate), p.Unit) + "/s"
	if left := p.Total - p.Done; left > 0 {
		text += ", " + (time.Duration(float64(left) / rate * float64(time.Second))).Round(time.Second).String() + " left"
	}
	return text + detail
}

// amount is a number of units, octets with the prefix that leaves few digits.
func amount(n int64, unit string) string {
	if unit != octets {
		return fmt.Sprint(n)
	}
	return threshold.Size(n)
}

// cut shortens a line to so many characters.
func cut(line string, columns int) string {
	for at := range line {
		if columns == 0 {
			return line[:at]
		}
		columns--
	}
	return line
}
