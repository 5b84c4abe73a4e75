package mailboxtest

import (
	"fmt"
	"strings"
)

// stepKind is what one line of a dialogue asks for.
type stepKind int

const (
	stepExpect   stepKind = iota // S: TEXT
	stepSkip                     // S: ...
	stepSend                     // C: TEXT, C~ TEXT
	stepStartTLS                 // starttls
	stepCompress                 // compress
	stepClosed                   // close
	stepHangup                   // hangup
)

// words are the steps that are one word.
var words = map[string]stepKind{
	"starttls": stepStartTLS,
	"compress": stepCompress,
	"close":    stepClosed,
	"hangup":   stepHangup,
}

// step is one line of a dialogue.
type step struct {
	line    int // in the file, from 1
	conn    int // 1 to 9
	kind    stepKind
	source  string  // the line's text after its mark
	pattern pattern // of expectations and of what is sent
}

// describe is the expectation as it stands in the file, with the variables it
// refers to.
func (s step) describe(vars map[string]string) string {
	if s.kind == stepClosed {
		return "the end of the connection"
	}
	text := s.source
	for name := range s.pattern.names() {
		if value, known := vars[name]; known {
			text += fmt.Sprintf("  ($%s is %q)", name, value)
		}
	}
	return text
}

// parseScript reads a whole dialogue. known are the variables that exist before
// it begins.
func parseScript(file, text string, known map[string]string) ([]step, error) {
	var steps []step
	number := 0
	for line := range strings.Lines(text) {
		number++
		line = strings.TrimSuffix(strings.TrimSuffix(line, "\n"), "\r")
		if strings.TrimSpace(line) == "" || strings.HasPrefix(line, "#") {
			continue
		}
		s, err := parseStep(line)
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w", file, number, err)
		}
		s.line = number
		steps = append(steps, s)
	}
	if len(steps) == 0 {
		return nil, fmt.Errorf("%s: an empty dialogue proves nothing", file)
	}
	if err := checkScript(steps, known); err != nil {
		return nil, fmt.Errorf("%s:%w", file, err)
	}
	return steps, nil
}

func parseStep(line string) (step, error) {
	s := step{conn: 1}
	if c := line[0]; c >= '1' && c <= '9' {
		s.conn, line = int(c-'0'), line[1:]
	}
	if kind, ok := words[strings.TrimRight(line, " ")]; ok {
		s.kind = kind
		return s, nil
	}
	if len(line) < 2 {
		return s, fmt.Errorf("%q is no line of a dialogue", line)
	}
	mark, rest := line[:2], strings.TrimPrefix(line[2:], " ")
	s.source = rest
	var err error
	switch {
	case mark == "S:" && rest == "...":
		s.kind = stepSkip
	case mark == "S:":
		s.kind = stepExpect
		s.pattern, err = parsePattern(rest, syntax{stars: true})
	case mark == "C:":
		s.kind = stepSend
		s.pattern, err = parsePattern(rest, syntax{})
		s.pattern = append(s.pattern, part{kind: partLiteral, value: "\r\n"})
	case mark == "C~":
		s.kind = stepSend
		s.pattern, err = parsePattern(rest, syntax{escapes: true})
	default:
		return s, fmt.Errorf("%q is no line of a dialogue", line)
	}
	return s, err
}

// checkScript finds what would make a dialogue prove less than it seems to: a
// skip that nothing ends, and a name that is taken and never compared.
func checkScript(steps []step, known map[string]string) error {
	skips := map[int]int{} // connection → line of its open skip
	taken := map[string]int{}
	uses := map[string]int{}
	for _, s := range steps {
		open, skipping := skips[s.conn]
		delete(skips, s.conn)
		switch {
		case s.kind == stepSkip && !skipping:
			skips[s.conn] = s.line
		case skipping && s.kind != stepExpect && s.kind != stepClosed:
			return fmt.Errorf("%d: a skip must be followed by an expectation of its connection", open)
		}
		for name := range s.pattern.names() {
			if _, ok := known[name]; ok {
				continue
			}
			if uses[name]++; uses[name] == 1 {
				taken[name] = s.line
				if s.kind == stepSend {
					return fmt.Errorf("%d: $%s is sent before it is known", s.line, name)
				}
			}
		}
	}
	for _, line := range skips {
		return fmt.Errorf("%d: a skip must be followed by an expectation of its connection", line)
	}
	for name, n := range uses {
		if n == 1 {
			return fmt.Errorf("%d: $%s is taken and never used: write * for anything, $$%s for the word itself", taken[name], name, name)
		}
	}
	return nil
}
