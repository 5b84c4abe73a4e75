package remote

import (
	"fmt"

	"mailstead/smtp/queue"
)

// verdict is the part of an outcome that a server, or the lack of one, decides.
// It is also the error that ends a conversation.
type verdict struct {
	status   queue.Status
	code     int    // 0: ours
	enhanced string // never empty
	text     string // printable ASCII, at most maxText bytes
}

func (v verdict) Error() string {
	if v.code != 0 {
		return fmt.Sprintf("%d %s %s", v.code, v.enhanced, v.text)
	}
	return fmt.Sprintf("%s %s", v.enhanced, v.text)
}

func temporary(enhanced, format string, args ...any) verdict {
	return verdict{queue.Temporary, 0, enhanced, sanitise(fmt.Sprintf(format, args...))}
}

func permanent(enhanced, format string, args ...any) verdict {
	return verdict{queue.Permanent, 0, enhanced, sanitise(fmt.Sprintf(format, args...))}
}

// verdict gives what a reply to a command means for those it was about. A reply
// that does not fit the command (354 to RCPT) is a fault of the server's, and
// servers get mended.
func (r reply) verdict(command string, want int) verdict {
	switch r.class() {
	case want:
		return verdict{queue.Delivered, r.code, r.enhancedOr("2.0.0"), r.text()}
	case 4:
		return verdict{queue.Temporary, r.code, r.enhancedOr("4.0.0"), r.text()}
	case 5:
		return verdict{queue.Permanent, r.code, r.enhancedOr("5.0.0"), r.text()}
	}
	return verdict{queue.Temporary, r.code, "4.5.0", sanitise("unexpected reply to " + command + ": " + r.text())}
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
func outranks(v verdict, old queue.Outcome) bool {
	switch {
	case old.Enhanced == "":
		return true // nothing is recorded
	case v.status != queue.Temporary:
		return false
	}
	return old.Status == queue.Permanent || old.Code == 0
}
