package smtp

import (
	"errors"
	"strconv"

	"mailstead/mailbox"
	"mailstead/mailbox/directory"
	"mailstead/smtp/local"
)

// reply is what the server says to a command. As an error it is a refusal
// decided where it was born.
type reply struct {
	code     int
	enhanced string // RFC 2034; "" for replies that have none: greeting, EHLO, 3xx
	lines    []string
	last     bool                // the connection ends after it
	then     func(*session) bool // run once the reply is on its way; false ends the connection
}

// say makes a reply of one line.
func say(code int, enhanced, text string) reply {
	return reply{code: code, enhanced: enhanced, lines: []string{text}}
}

// bye makes a reply that is followed by the end of the connection.
func bye(code int, enhanced, text string) reply {
	r := say(code, enhanced, text)
	r.last = true
	return r
}

// Error is the reply's first line.
func (r reply) Error() string { return string(r.append(nil)) }

// append writes the reply with its line ends. Each line carries the enhanced
// code (RFC 2034 section 3).
func (r reply) append(b []byte) []byte {
	for i, line := range r.lines {
		b = strconv.AppendInt(b, int64(r.code), 10)
		if i == len(r.lines)-1 {
			b = append(b, ' ')
		} else {
			b = append(b, '-')
		}
		if r.enhanced != "" {
			b = append(append(b, r.enhanced...), ' ')
		}
		b = append(append(b, line...), '\r', '\n')
	}
	return b
}

// refusals are the errors that have a reply of their own.
var refusals = []struct {
	err   error
	reply reply
}{
	{errLineTooLong, say(500, "5.5.2", "Line too long")},
	{errLineEnd, say(500, "5.5.2", "A line must end with CR LF")},
	{errFlood, bye(500, "5.5.2", "Line too long")},
	{errPathSyntax, say(501, "5.1.3", "Malformed address")},
	{errPathUTF8, say(553, "5.6.7", "This address needs SMTPUTF8")},
	{errParamSyntax, say(501, "5.5.4", "Malformed parameter")},
	{errParamUnknown, say(555, "5.5.4", "Parameter not recognized")},

	{errBareLF, say(550, "5.6.11", "Message has a bare LF; lines must end with CR LF")},
	{errBareCR, say(550, "5.6.11", "Message has a bare CR; lines must end with CR LF")},
	{errDotLine, say(550, "5.6.11", "Message has a bare CR or LF next to a dot")},
	{errNUL, say(550, "5.6.11", "Message has a NUL octet")},
	{errTextLine, say(550, "5.6.11", "Message has a line of more than 1 MiB")},
	{errTooBig, say(552, "5.3.4", "Message too big")},
	{errHeaderTooBig, say(552, "5.3.4", "Message header too big")},
	{errLoop, say(554, "5.4.6", "Message is in a loop: too many Received fields")},
	{errForwardLoop, say(554, "5.4.6", "Message is in a loop: it was forwarded from here before")},
	{mailbox.ErrTooBig, say(552, "5.3.4", "Message too big")},
	{mailbox.ErrNoSpace, say(452, "4.3.1", "Not enough disk space, try again later")},
	{mailbox.ErrOverQuota, say(452, "4.2.2", "Mailbox is full")},

	{directory.ErrAddress, say(501, "5.1.3", "Malformed address")},
	{directory.ErrNotLocal, say(550, "5.7.1", "Relaying denied")},
	{directory.ErrRefusesMail, say(550, "5.2.1", "This mailbox takes no mail")},
	{directory.ErrSwitchedOff, say(550, "5.1.1", "This address is not in use any more")},
	{directory.ErrTimeOver, say(550, "5.1.1", "This address was for a limited time, which is over")},
	{directory.ErrNoSuch, say(550, "5.1.1", "No such user here")},
	{directory.ErrCredentials, say(535, "5.7.8", "Wrong user name or password")},
	{directory.ErrBinding, say(535, "5.7.8", "Channel binding does not match")},
	{directory.ErrMechanism, say(504, "5.5.4", "Mechanism not offered here")},
	{directory.ErrMalformed, say(501, "5.5.2", "Malformed authentication exchange")},
}

// replyTo is the one way from an error to a reply. What it does not know is
// temporary and says nothing to the peer; known is false then.
func replyTo(err error) (r reply, known bool) {
	if errors.As(err, &r) {
		return r, true
	}
	if f, ok := errors.AsType[*local.Refusal](err); ok {
		return say(f.Code, f.Enhanced, f.Text), true
	}
	if d, ok := errors.AsType[*directory.DisabledError](err); ok { // the registry of RFC 5248 has X.7.13 with 525 for it
		return say(525, "5.7.13", d.Error()), true
	}
	for _, known := range refusals {
		if errors.Is(err, known.err) {
			return known.reply, true
		}
	}
	return say(451, "4.3.0", "Local trouble, try again later"), false
}
