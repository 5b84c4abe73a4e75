package pop3

import (
	"encoding/base64"
	"errors"
	"strings"
	"time"

	"mailstead/mailbox/directory"
)

// capa is RFC 2449 section 5.
func (s *session) capa(string) error {
	s.ok("capabilities follow")
	if s.state == stateTransaction || s.passwordAllowed() {
		s.out.line("USER")
	}
	if mechanisms := s.mechanisms(); len(mechanisms) > 0 {
		s.out.line("SASL " + strings.Join(mechanisms, " "))
	}
	if s.mayStartTLS() {
		s.out.line("STLS")
	}
	for _, c := range []string{"TOP", "UIDL", "PIPELINING", "RESP-CODES", "AUTH-RESP-CODE", "EXPIRE NEVER", "UTF8 USER", "IMPLEMENTATION mailstead"} {
		s.out.line(c)
	}
	s.out.line(".")
	return nil
}

func (s *session) attempt() directory.Attempt {
	return directory.Attempt{Protocol: "pop3", Remote: s.conn.Remote(), TLS: s.conn.TLS(), Shown: s.conn.Certificate()}
}

func (s *session) mechanisms() []string {
	return s.options.Directory.Mechanisms(s.attempt(), s.options.AllowInsecureAuth)
}

// passwordAllowed reports whether a password may be sent over the connection.
func (s *session) passwordAllowed() bool {
	return s.options.AllowInsecureAuth || s.conn.TLS() != nil
}

func (s *session) mayStartTLS() bool {
	return s.options.TLSConfig != nil && s.conn.TLS() == nil && s.state == stateAuthorization
}

var errNeedsTLS = refusal("use TLS before logging in")

// stls is RFC 2595 section 4. What the client sent behind it in the clear is
// dropped, with the user name and what else was said: they may be somebody else's.
func (s *session) stls(string) error {
	if !s.mayStartTLS() {
		return refuse("TLS is not available")
	}
	s.ok("begin TLS")
	if err := s.out.flush(); err != nil {
		return err
	}
	if err := s.conn.StartTLS(s.options.TLSConfig); err != nil {
		return errors.Join(errHandshake, err)
	}
	s.in.restart(s.conn)
	s.user, s.utf8 = "", false
	return nil
}

// utf8Mode is RFC 6856 section 2.1.
func (s *session) utf8Mode(args string) error {
	if args != "" {
		return refuse("UTF8 takes no argument")
	}
	s.utf8 = true
	return s.ok("UTF-8 enabled")
}

// userName is USER. Whether there is such a user is told with the password.
func (s *session) userName(name string) error {
	if !s.passwordAllowed() {
		return errNeedsTLS
	}
	if name == "" {
		return refuse("USER needs a name")
	}
	s.user = name
	return s.ok("now the password")
}

// pass is PASS. A password may hold spaces: it is all of the line.
func (s *session) pass(password string) error {
	if !s.passwordAllowed() {
		return errNeedsTLS
	}
	if s.user == "" {
		return refuse("USER comes first")
	}
	user := s.user
	s.user = ""
	account, err := s.options.Directory.Login(s.conn.Context(), s.attempt(), user, password)
	if err != nil {
		return err
	}
	return s.loggedIn(account)
}

// auth is RFC 5034 section 4: without an argument it lists the mechanisms, as
// clients of before CAPA ask.
func (s *session) auth(args string) error {
	if args == "" {
		s.ok("mechanisms follow")
		for _, m := range s.mechanisms() {
			s.out.line(m)
		}
		s.out.line(".")
		return nil
	}
	if !s.passwordAllowed() {
		return errNeedsTLS
	}
	mechanism, initial, given := strings.Cut(args, " ")
	exchange, err := s.options.Directory.Exchange(s.attempt(), mechanism)
	if err != nil {
		return err
	}
	var response []byte
	if given {
		if response, err = decodeInitial(initial); err != nil {
			return err
		}
	}
	for {
		challenge, done, err := exchange.Next(s.conn.Context(), response)
		if err != nil {
			return err
		}
		if done {
			return s.loggedIn(exchange.Account())
		}
		if response, err = s.ask(challenge); err != nil {
			return err
		}
	}
}

// decodeInitial decodes an initial response; "=" is an empty one.
func decodeInitial(text string) ([]byte, error) {
	if text == "=" {
		return []byte{}, nil
	}
	return decode(text)
}

func decode(text string) ([]byte, error) {
	b, err := base64.StdEncoding.Strict().AppendDecode([]byte{}, []byte(text))
	if err != nil {
		return nil, refuse("the response is not base64")
	}
	return b, nil
}

// ask sends a challenge and reads the response.
func (s *session) ask(challenge []byte) ([]byte, error) {
	s.out.line("+ " + base64.StdEncoding.EncodeToString(challenge))
	line, err := s.in.line(maxResponse)
	if err != nil {
		return nil, err
	}
	if string(line) == "*" {
		return nil, refuse("authentication cancelled")
	}
	return decode(string(line))
}

// loggedIn opens the maildrop and moves to the TRANSACTION state.
func (s *session) loggedIn(account directory.Account) error {
	if !s.conn.LoggedIn(account.ID) {
		return refuse("[SYS/TEMP] too many connections of this account")
	}
	drop, err := openMaildrop(s.conn.Context(), s.options.Store, account.ID)
	if err != nil {
		return err
	}
	s.conn.EndWith(account.Ends)
	s.account, s.drop, s.state, s.errors = account, drop, stateTransaction, 0
	s.conn.SetDeadline(time.Time{})
	return s.ok("%d messages", len(drop.messages))
}
