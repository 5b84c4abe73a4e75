package dns

import (
	"errors"
	"fmt"
)

// ErrDisabled is the cause of every failed look-up of a Resolver that was
// given no server: nothing is asked, and the answer may come once one is set.
var ErrDisabled = errors.New("no DNS server is configured")

// ErrBadName is the cause when a name cannot exist in the DNS: an empty or
// overlong label, a name over 253 bytes, characters no host name has, or
// Unicode that IDNA (RFC 5891) does not allow.
var ErrBadName = errors.New("not a domain name")

// Error is what every look-up fails with. Exactly one of NotFound and
// Temporary is set.
type Error struct {
	// Name is the name that was asked for, as the caller gave it.
	Name string
	// Type is the record type: "MX", "A", "AAAA", "TXT", "PTR", "TLSA", "CNAME",
	// or "A/AAAA" where both were asked.
	Type string
	// NotFound says that there is no such record, and asking again soon gives
	// the same answer.
	NotFound bool
	// NoName says, beside NotFound, that the name itself does not exist
	// (NXDOMAIN, RFC 2308 section 2.1): it has no record of any type.
	NoName bool
	// Temporary says that nothing was learned: no server answered in time, or
	// none could find out.
	Temporary bool
	// Err is the cause, nil when a server gave the answer.
	Err error
}

// Error tells what was looked up and why it failed.
func (e *Error) Error() string {
	what := "temporary failure"
	switch {
	case e.NoName:
		what = "no such name"
	case e.NotFound:
		what = "no such record"
	}
	if e.Err != nil {
		return fmt.Sprintf("look up %s of %q: %s: %v", e.Type, e.Name, what, e.Err)
	}
	return fmt.Sprintf("look up %s of %q: %s", e.Type, e.Name, what)
}

// Unwrap gives the cause to errors.Is and errors.As.
func (e *Error) Unwrap() error { return e.Err }

// IsNotFound tells whether err says that the record does not exist, which
// includes a name that does not exist.
func IsNotFound(err error) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && e.NotFound
}
