package main

import (
	"fmt"
	"io"
	"sync"

	"mailstead/mailbox/transfer"
)

// shown is what people see of an import or export that is under way.
type shown struct {
	std    streams
	bar    *progressBar
	doing  string
	report io.Writer // of problems, also of those that are not shown; nil = none

	mu       sync.Mutex // sources and sinks tell at the same time
	problems int
	total    int64 // messages; 0 = nobody knows
	looks    int64 // messages that were looked at
}

// maxShownProblems bounds the lines about what is left out; all are counted.
const maxShownProblems = 200

func newShown(std streams, q quiet, doing string) *shown {
	return &shown{std: std, bar: q.bar(std), doing: doing}
}

func (s *shown) progress(t transfer.Totals) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.bar.show(progress{Doing: s.doing, Done: t.Messages + t.Known + t.Failed, Total: s.total, Unit: "messages"})
	return nil
}

// problem tells what is left out, and why. Names are of anybody's making, and this may be
// a terminal.
func (s *shown) problem(p transfer.Problem) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.problems++
	if s.report != nil {
		if _, err := fmt.Fprintf(s.report, "%s\t%s\n", printable(p.Origin), printable(p.Text)); err != nil {
			return fmt.Errorf("writing the report: %w", err)
		}
	}
	switch {
	case s.problems < maxShownProblems:
		s.bar.end()
		fmt.Fprintf(s.std.err, "mailstead: left out: %s: %s\n", printable(p.Origin), printable(p.Text))
	case s.problems == maxShownProblems:
		s.bar.end()
		fmt.Fprintln(s.std.err, "mailstead: more is left out, and only counted")
	}
	return nil
}
