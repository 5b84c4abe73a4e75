package smtp

import (
	"bytes"
	"encoding/base64"
	"errors"
	"slices"
	"strings"
	"time"

	"mailstead/mailbox/directory"
)

// errCancelled is the client's "*" in an exchange (RFC 4954 section 4).
var errCancelled = say(501, "5.7.0", "Cancelled")

// attempt says to the directory where and how somebody logs in.
func (s *session) attempt() directory.Attempt {
	return directory.Attempt{Protocol: "submission", Remote: s.remote, TLS: s.tls, Shown: s.conn.Certificate(), Client: s.helo}
}

// auth is RFC 4954.
func auth(s *session, arg []byte) (reply, error) {
	name, initial, hasInitial := bytes.Cut(arg, []byte(" "))
	mechanism := strings.ToUpper(string(name))
	switch {
	case !s.submission():
		return say(502, "5.5.1", "Log in on the submission port"), nil
	case s.account.ID != 0:
		return say(503, "5.5.1", "You are logged in"), nil
	case mechanism == "":
		return say(501, "5.5.4", "Say which mechanism"), nil
	case s.tls == nil && !s.server.o.CleartextAuth:
		return say(538, "5.7.11", "Start TLS first"), nil
	case !slices.Contains(s.server.o.Directory.Mechanisms(s.attempt(), s.server.o.CleartextAuth), mechanism):
		return reply{}, directory.ErrMechanism
	}
	x, err := s.server.o.Directory.Exchange(s.attempt(), mechanism)
	if err != nil {
		return s.authFailed(mechanism, err)
	}
	var response []byte
	if hasInitial {
		if response, err = initialResponse(initial); err != nil {
			return reply{}, err
		}
	}
	if err := s.exchangeAuth(x, response); err != nil {
		return s.authFailed(mechanism, err)
	}
	return s.loggedIn(mechanism, x.Account()), nil
}

// exchangeAuth runs the challenges and responses to their end.
func (s *session) exchangeAuth(x directory.Exchange, response []byte) error {
	for {
		challenge, done, err := x.Next(s.ctx(), response)
		if err != nil || done {
			return err
		}
		s.write(say(334, "", base64.StdEncoding.EncodeToString(challenge)))
		line, err := s.prompt(s.server.limits.AuthLine)
		if err != nil {
			return err
		}
		if response, err = clientResponse(line); err != nil {
			return err
		}
	}
}

// initialResponse is the one in the command itself: "=" is an empty one.
func initialResponse(b []byte) ([]byte, error) {
	if string(b) == "=" {
		return []byte{}, nil
	}
	return clientResponse(b)
}

func clientResponse(line []byte) ([]byte, error) {
	if string(line) == "*" {
		return nil, errCancelled
	}
	b, err := base64.StdEncoding.Strict().AppendDecode([]byte{}, line)
	if err != nil {
		return nil, directory.ErrMalformed
	}
	return b, nil
}

// authFailed is the reply to a failed exchange. What is no known refusal is
// temporary here: a client that heard 535 would ask its user for the password.
func (s *session) authFailed(mechanism string, err error) (reply, error) {
	if _, ok := errors.AsType[*lostError](err); ok {
		return reply{}, err
	}
	r, known := replyTo(err)
	if !known {
		s.log.Error("smtp: login failed", "mechanism", mechanism, "err", err)
		return say(454, "4.7.0", "Cannot check that now, try again later"), nil
	}
	s.log.Info("smtp: login refused", "mechanism", mechanism, "code", r.code)
	if s.authFailures++; s.authFailures >= s.server.limits.AuthFailures {
		return bye(421, "4.7.0", "Too many failed logins"), nil
	}
	return r, nil
}

// loggedIn makes the session the account's.
func (s *session) loggedIn(mechanism string, a directory.Account) reply {
	if !s.conn.LoggedIn(a.ID) {
		return bye(421, "4.7.0", "Too many connections of your account")
	}
	s.end = time.Time{}
	s.conn.SetDeadline(s.end)
	s.conn.EndWith(a.Ends)
	s.account = a
	s.log = s.log.With("account", a.Name)
	s.log.Info("smtp: logged in", "mechanism", mechanism, "tls", s.tls != nil)
	return say(235, "2.7.0", "Welcome")
}
