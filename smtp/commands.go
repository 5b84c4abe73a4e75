package smtp

import (
	"bytes"
	"strings"
)

// state is how far a session is; the table below has sets of them.
type state uint8

const (
	inStart  state = 1 << iota // before HELO or EHLO
	inReady                    // between messages
	inMail                     // a sender is given
	inRcpt                     // and a recipient
	inChunks                   // and a first BDAT

	inAny = inStart | inReady | inMail | inRcpt | inChunks
)

// command is one line of the table. run is given what follows the verb and
// returns what to say; errors are made replies by replyTo.
type command struct {
	in   state
	run  func(s *session, arg []byte) (reply, error)
	idle bool // brings no message forward: counted
}

// commands is all that can be said. BDAT is said in any state because its
// octets follow in any case and have to be read.
var commands = map[string]command{
	"HELO":     {inAny, helo, true},
	"EHLO":     {inAny, ehlo, true},
	"MAIL":     {inReady, mail, false},
	"RCPT":     {inMail | inRcpt, rcpt, false},
	"DATA":     {inRcpt, data, false},
	"BDAT":     {inAny, bdat, false},
	"RSET":     {inAny, rset, true},
	"NOOP":     {inAny, noop, true},
	"QUIT":     {inAny, quit, false},
	"VRFY":     {inAny, vrfy, true},
	"EXPN":     {inAny, expn, true},
	"HELP":     {inAny, help, true},
	"STARTTLS": {inReady, startTLS, false},
	"AUTH":     {inReady, auth, false},
}

// httpVerbs are what a browser says when somebody makes it talk to us; what
// follows was written by somebody else and must not be taken for commands.
var httpVerbs = []string{"GET", "POST", "PUT", "HEAD", "OPTIONS", "CONNECT", "DELETE", "PATCH", "TRACE"}

// maxVerb is the length of the longest verb.
const maxVerb = len("STARTTLS")

// run finds the command of a line, asks whether it may be said now, and runs it.
func (s *session) run(line []byte) (reply, error) {
	verb, arg := splitCommand(line)
	c, ok := commands[verb]
	switch {
	case !ok:
		return unknownCommand(verb), nil
	case len(line)+len(crlf) > s.server.limits.CommandLine && verb != "AUTH":
		return reply{}, errLineTooLong
	case c.in&s.state() == 0:
		return s.outOfOrder(verb), nil
	case c.idle && s.idles():
		return bye(421, "4.7.0", "Too many commands without a message"), nil
	}
	r, err := c.run(s, arg)
	s.noteRefusal(verb, arg, r, err)
	if err != nil && (verb == "MAIL" || verb == "RCPT") { // what others say may be a secret
		s.log.Info("smtp: refused", "command", printable(string(line)), "err", err)
	}
	return r, err
}

// idles counts the commands with which a stranger keeps a connection busy.
func (s *session) idles() bool {
	s.idling++
	return s.account.ID == 0 && s.idling > s.server.limits.IdleCommands
}

// splitCommand cuts the verb, in upper case, from its argument.
func splitCommand(line []byte) (verb string, arg []byte) {
	v, arg, _ := bytes.Cut(line, []byte(" "))
	if len(v) > maxVerb {
		return "", nil
	}
	return strings.ToUpper(string(v)), bytes.Trim(arg, " ")
}

func unknownCommand(verb string) reply {
	for _, v := range httpVerbs {
		if verb == v {
			return bye(221, "2.7.0", "This is a mail server")
		}
	}
	return say(500, "5.5.2", "Command not recognized")
}

func (s *session) state() state {
	switch {
	case s.helo == "":
		return inStart
	case s.tx == nil:
		return inReady
	case s.tx.chunks():
		return inChunks
	case len(s.tx.Recipients) > 0:
		return inRcpt
	}
	return inMail
}

// outOfOrder is the reply to a command that cannot be said now.
func (s *session) outOfOrder(verb string) reply {
	r := say(503, "5.5.1", "Not now")
	switch now := s.state(); {
	case now == inStart:
		r.lines[0] = "Say EHLO first"
	case now == inReady:
		r.lines[0] = "Say MAIL first"
	case now == inChunks && s.tx.failed:
		r.lines[0] = "A chunk was refused, say RSET"
	case now == inChunks:
		r.lines[0] = "After BDAT only BDAT or RSET"
	case verb == "DATA", verb == "BDAT":
		r = say(554, "5.5.1", "No valid recipients") // RFC 5321 section 3.3
	default:
		r.lines[0] = "Sender is given already"
	}
	if verb == "DATA" {
		return s.refuseData(r)
	}
	return r
}

// refuseData refuses DATA. What a client sends behind it without waiting is
// its message (RFC 2920 section 3.1 forbids that): it must not be run as commands.
func (s *session) refuseData(r reply) reply {
	r.last = s.in.buffered() > 0
	return r
}
