package remote

import (
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/xdg-go/scram"

	"mailstead/smtp/route"
)

const (
	// leastIterations are those that RFC 7677 section 4 wants of a server; with fewer a recorded exchange
	// is guessed sooner.
	leastIterations = 4096
	// mostIterations are as many as take a second here. A server could have us count for hours.
	mostIterations = 1_000_000
)

// errMechanism says that a mechanism was not to be used, before anything was known about the password.
var errMechanism = errors.New("the mechanism cannot be used")

// mechanism is a way to log in (RFC 4954); ok is the server's last word.
type mechanism struct {
	name string
	run  func(s *session, l route.Login) (last reply, err error)
}

// mechanisms are those that we know, the best first: SCRAM does not show the password, and -PLUS holds
// only for this connection (RFC 5802, RFC 7677). All are used within TLS only.
var mechanisms = []mechanism{
	{"SCRAM-SHA-256-PLUS", scramPlus},
	{"SCRAM-SHA-256", scramPlain},
	{"PLAIN", authPlain},
	{"LOGIN", authLogin},
}

// login tells a smarthost who we are, by the best mechanism that it has, if there is anything to tell. A login
// that is refused is no reason to return mail: it waits until somebody sets it right.
func (s *session) login(l route.Login) error {
	if l.User == "" {
		return nil
	}
	if !s.tls {
		return temporary("4.7.10", "a password does not go over a connection without TLS")
	}
	for _, m := range mechanisms {
		if !slices.Contains(s.ext.auth, m.name) {
			continue
		}
		last, err := m.run(s, l)
		switch {
		case errors.Is(err, errMechanism):
			s.told.note("%v", err)
			continue
		case err != nil:
			return err
		}
		return refusal(l, last)
	}
	return unwanted("4.7.4", "the smarthost offers no way to log in that is known here, only %q", strings.Join(s.ext.auth, " ")) // RFC 3463 section 3.8
}

// refusal is what a server's last word about a login means; nil = it is accepted.
func refusal(l route.Login, last reply) error {
	switch {
	case last.code == 235:
		return nil
	case last.class() == 4:
		return unwanted("4.7.0", "the smarthost cannot check the login as %s now: %d %s", l.User, last.code, last.text())
	}
	return unwanted("4.7.8", "the smarthost refuses the login as %s: %d %s", l.User, last.code, last.text())
}

// unwanted is temporary of a server that waits for a goodbye.
func unwanted(enhanced, format string, args ...any) error {
	return fmt.Errorf("%w: %w", errUnwanted, temporary(enhanced, format, args...))
}

// auth sends a line of an exchange, which nobody is told, and reads the reply.
func (s *session) auth(line, shown string) (reply, error) {
	s.told.said(shown)
	if err := s.sendUntold(line); err != nil {
		return reply{}, err
	}
	if err := s.flush("logging in"); err != nil {
		return reply{}, err
	}
	return s.reply("AUTH", s.timeouts.Hello)
}

// answer is auth of an answer to a challenge.
func (s *session) answer(response, shown string) (reply, error) {
	return s.auth(base64.StdEncoding.EncodeToString([]byte(response)), shown)
}

// cancel ends an exchange (RFC 4954 section 4). The reply is a refusal, whatever it says.
func (s *session) cancel() error {
	_, err := s.auth("*", "*")
	return err
}

// challenge reads what a server asks (RFC 4954 section 4). A refusal at this point says nothing of a password, and
// is errMechanism.
func (s *session) challenge(name string, rep reply) (string, error) {
	if rep.code != 334 {
		if s.closing != nil {
			return "", *s.closing
		}
		return "", fmt.Errorf("%w: %s: %d %s", errMechanism, name, rep.code, rep.text())
	}
	text, err := base64.StdEncoding.DecodeString(strings.TrimSpace(rep.lines[0]))
	if err != nil {
		return "", s.giveUp(fmt.Errorf("%w: %s: the challenge is not in base64", errMechanism, name))
	}
	return string(text), nil
}

// giveUp cancels an exchange because of cause.
func (s *session) giveUp(cause error) error {
	if err := s.cancel(); err != nil {
		return err
	}
	return cause
}

// authPlain is RFC 4616.
func authPlain(s *session, l route.Login) (reply, error) {
	response := base64.StdEncoding.EncodeToString([]byte("\x00" + l.User + "\x00" + l.Password.Reveal()))
	return s.auth("AUTH PLAIN "+response, "AUTH PLAIN (not shown)")
}

// authLogin is the mechanism of that name, which no RFC describes: two questions, two answers.
func authLogin(s *session, l route.Login) (reply, error) {
	rep, err := s.auth("AUTH LOGIN", "AUTH LOGIN")
	if err != nil {
		return reply{}, err
	}
	if _, err := s.challenge("LOGIN", rep); err != nil {
		return reply{}, err
	}
	if rep, err = s.answer(l.User, "(the user, not shown)"); err != nil || rep.code != 334 {
		return rep, err
	}
	return s.answer(l.Password.Reveal(), "(the password, not shown)")
}

func scramPlain(s *session, l route.Login) (reply, error) {
	return runSCRAM(s, l, "SCRAM-SHA-256", (*scram.Client).NewConversation)
}

// scramPlus binds the exchange to the connection by RFC 9266, which TLS 1.3 has and before it only
// with an extended master secret.
func scramPlus(s *session, l route.Login) (reply, error) {
	const name = "SCRAM-SHA-256-PLUS"
	state := s.state()
	binding, err := scram.NewTLSExporterBinding(&state)
	if err != nil {
		return reply{}, fmt.Errorf("%w: %s: %w", errMechanism, name, err)
	}
	return runSCRAM(s, l, name, func(c *scram.Client) *scram.ClientConversation { return c.NewConversationWithChannelBinding(binding) })
}

// runSCRAM is RFC 5802 by RFC 7677. The server proves that it knows the password, too, before its 235 counts.
func runSCRAM(s *session, l route.Login, name string, converse func(*scram.Client) *scram.ClientConversation) (reply, error) {
	client, err := scram.SHA256.NewClient(l.User, l.Password.Reveal(), "")
	if err != nil {
		return reply{}, fmt.Errorf("%w: %s: the password cannot be prepared for it", errMechanism, name)
	}
	talk := converse(client.WithMinIterations(leastIterations))
	first, err := talk.Step("")
	if err != nil {
		return reply{}, fmt.Errorf("%w: %s: %w", errMechanism, name, err)
	}
	rep, err := s.auth("AUTH "+name+" "+base64.StdEncoding.EncodeToString([]byte(first)), "AUTH "+name+" (not shown)")
	if err != nil {
		return reply{}, err
	}
	challenge, err := s.challenge(name, rep)
	if err != nil {
		return reply{}, err
	}
	if n := iterations(challenge); n > mostIterations {
		return reply{}, s.giveUp(fmt.Errorf("%w: %s: the server wants %d iterations", errMechanism, name, n))
	}
	proof, err := talk.Step(challenge)
	if err != nil {
		return reply{}, s.giveUp(fmt.Errorf("%w: %s: %w", errMechanism, name, err))
	}
	if rep, err = s.answer(proof, "(the proof, not shown)"); err != nil || rep.code != 334 {
		return unproved(rep, err)
	}
	final, err := base64.StdEncoding.DecodeString(strings.TrimSpace(rep.lines[0]))
	if err == nil {
		_, err = talk.Step(string(final))
	}
	if err != nil {
		return reply{}, s.giveUp(temporary("4.7.8", "the smarthost does not know the password of %s: %v", l.User, err))
	}
	return s.answer("", "(nothing)")
}

// unproved is the end of an exchange in which the server has not shown that it knows the password: a refusal is
// one, and anything else is no acceptance.
func unproved(rep reply, err error) (reply, error) {
	if err == nil && rep.class() == 2 {
		err = temporary("4.7.8", "the smarthost has not proved that it knows the password")
	}
	return rep, err
}

// iterations are those that the server's first message of SCRAM asks for (RFC 5802 section 7); 0 if
// that cannot be read, which is for others to say.
func iterations(challenge string) int {
	for field := range strings.SplitSeq(challenge, ",") {
		if text, ok := strings.CutPrefix(field, "i="); ok {
			n, err := strconv.Atoi(text)
			if err != nil {
				return mostIterations + 1
			}
			return n
		}
	}
	return 0
}
