package remote

import (
	"fmt"
	"time"
)

// Status is what became of a recipient in one attempt.
type Status uint8

const (
	// Temporary says to try again later. It is the zero value: where nothing is
	// known, mail is kept.
	Temporary Status = iota
	// Delivered says that the remote server has taken responsibility.
	Delivered
	// Permanent says that trying again would end the same way.
	Permanent
)

// String gives the status in lower case, as in logs.
func (s Status) String() string {
	switch s {
	case Temporary:
		return "temporary"
	case Delivered:
		return "delivered"
	case Permanent:
		return "permanent"
	}
	return fmt.Sprintf("Status(%d)", uint8(s))
}

// Outcome is what one attempt came to for one recipient.
type Outcome struct {
	// Recipient is the address as it stands in the Message.
	Recipient string
	Status    Status
	// Code is the SMTP reply code, 0 when no server had said anything.
	Code int
	// Enhanced is the enhanced status code (RFC 3463), the server's or else one
	// of ours that fits; never empty.
	Enhanced string
	// Text is the server's reply, or in our words what went wrong: one line of
	// printable ASCII, at most 500 bytes.
	Text string
	// Host is the server that decided, "mx.example.net [192.0.2.1]"; empty if
	// none was reached.
	Host string
	// TLS says whether the conversation with it was encrypted.
	TLS bool
	// At is when it was decided.
	At time.Time
}

// verdict is the part of an Outcome that a server, or the lack of one, decides.
// It is also the error that ends a conversation.
type verdict struct {
	status   Status
	code     int // 0: ours
	enhanced string
	text     string
}

func (v verdict) Error() string {
	if v.code != 0 {
		return fmt.Sprintf("%d %s %s", v.code, v.enhanced, v.text)
	}
	return fmt.Sprintf("%s %s", v.enhanced, v.text)
}

func temporary(enhanced, format string, args ...any) verdict {
	return verdict{Temporary, 0, enhanced, sanitise(fmt.Sprintf(format, args...))}
}

func permanent(enhanced, format string, args ...any) verdict {
	return verdict{Permanent, 0, enhanced, sanitise(fmt.Sprintf(format, args...))}
}

// verdict gives what a reply to a command means for those it was about. A reply
// that does not fit the command (354 to RCPT) is a fault of the server's, and
// servers get mended.
func (r reply) verdict(command string, want int) verdict {
	switch r.class() {
	case want:
		return verdict{Delivered, r.code, r.enhancedOr("2.0.0"), r.text()}
	case 4:
		return verdict{Temporary, r.code, r.enhancedOr("4.0.0"), r.text()}
	case 5:
		return verdict{Permanent, r.code, r.enhancedOr("5.0.0"), r.text()}
	}
	return verdict{Temporary, r.code, "4.5.0", sanitise("unexpected reply to " + command + ": " + r.text())}
}

func (r reply) enhancedOr(def string) string {
	if e := r.enhanced(); e != "" {
		return e
	}
	return def
}

// outranks tells whether what a whole host came to replaces what is recorded
// for a recipient. What a server said about the recipient stays; a temporary
// failure takes the place of a permanent one, since some host may yet take it.
func outranks(v verdict, old Outcome) bool {
	switch {
	case old.At.IsZero():
		return true
	case v.status != Temporary:
		return false
	}
	return old.Status == Permanent || old.Code == 0
}
