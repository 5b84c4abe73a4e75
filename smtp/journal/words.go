package journal

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// String is the step in words, on one line and fit for a terminal.
func (e Event) String() string { return Printable(e.words()) }

// Printable makes what others have said fit for a terminal.
func Printable(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, s)
}

func (e *Event) words() string {
	to := strings.Join(e.To, ", ")
	switch e.Step {
	case Received:
		return fmt.Sprintf("received %d octets from %s for %s%s", e.Size, e.sender(), to, e.named())
	case Refused:
		return fmt.Sprintf("refused at %s: %s (from %s%s)", e.Command, e.Reply, e.sender(), prefixed(" for ", to))
	case Abandoned:
		return fmt.Sprintf("the client went before the end of the message (from %s%s)", e.sender(), prefixed(" for ", to))
	case Judged:
		return fmt.Sprintf("judged%s: %s%s%s%s", prefixed(" for ", to), e.Verdict, bracketed(e.Rule), prefixed(": ", strings.Join(e.Reasons, "; ")),
			prefixed("; found ", strings.Join(e.Found, " ")))
	case Filed:
		return fmt.Sprintf("filed into %s of %s", e.Mailbox, to)
	case Withheld:
		return fmt.Sprintf("not handed on to %s", to)
	case Queued:
		return fmt.Sprintf("queued as %s for %s", e.Queue, to)
	case Delivered:
		return fmt.Sprintf("delivered to %s by %s%s", to, e.attempt(), e.heard())
	case Deferred:
		return fmt.Sprintf("not yet delivered to %s by %s%s; tried again %s", to, e.attempt(), e.heard(), e.Next.Format(time.RFC3339))
	case Failed:
		return fmt.Sprintf("given up for %s after %s%s", to, e.attempt(), e.heard())
	case Answered:
		return fmt.Sprintf("an automatic reply goes to %s", to)
	case Notified:
		return fmt.Sprintf("a notice of %s goes to %s", cmp.Or(notices[e.Verdict], "failure"), to)
	case Removed:
		return fmt.Sprintf("removed from the queue by the administrator, for %s", to)
	case Talked:
		return fmt.Sprintf("what was said in attempt %d for %s:", e.Attempt, to)
	case Lost:
		return strconv.Itoa(e.Count) + " steps are missing"
	}
	return string(e.Step)
}

// notices are what notices are about, by what they say has become of the message.
var notices = map[string]string{"delayed": "delay", "delivered": "success"}

// sender is who brought the message.
func (e *Event) sender() string {
	s := e.From
	if e.User != "" {
		s += ", logged in as " + e.User
	}
	if e.Peer != "" {
		s += ", at " + e.Peer
	}
	return s + prefixed(", which says it is ", e.Helo)
}

func (e *Event) named() string { return prefixed(", Message-ID ", e.MessageID) }

func (e *Event) attempt() string {
	s := "attempt " + strconv.Itoa(e.Attempt)
	if e.TLS {
		s += ", encrypted"
	}
	return s + bracketed(strings.Join(e.Reasons, "; "))
}

// heard is who said what.
func (e *Event) heard() string {
	switch {
	case e.Reply == "":
		return ""
	case e.Host == "":
		return ": " + e.Reply
	}
	return ": " + e.Host + " said: " + e.Reply
}

func prefixed(before, s string) string {
	if s == "" {
		return ""
	}
	return before + s
}

func bracketed(s string) string {
	if s == "" {
		return ""
	}
	return " (" + s + ")"
}
