package directory

import (
	"errors"
	"fmt"
)

// ErrReason says that a text cannot be the reason why an account is disabled.
var ErrReason = errors.New("directory: not a reason")

// Problem is an error with what an administrator is to hear: what is wrong with which thing, and what
// helps.
type Problem struct {
	Err  error  // one of this package's
	Text string // without the package's name in front
}

func (p *Problem) Error() string { return "directory: " + p.Text }

// Unwrap is what callers decide on.
func (p *Problem) Unwrap() error { return p.Err }

func problem(err error, format string, args ...any) error {
	return &Problem{Err: err, Text: fmt.Sprintf(format, args...)}
}

// quotable bounds what is repeated of a text that somebody gave, in octets.
const quotable = 80

// quoted is a given text as messages repeat it: its odd characters visible.
func quoted(s string) string { return fmt.Sprintf("%.*q", quotable, s) }
