package imap

import (
	"encoding/base64"
	"errors"
	"time"

	goimap "github.com/emersion/go-imap/v2"

	"mailstead/imap/wire"
	"mailstead/mailbox/directory"
)

// attempt says who tries to log in.
func (s *session) attempt() directory.Attempt {
	return directory.Attempt{Protocol: "imap", Remote: s.conn.Remote(), TLS: s.conn.TLS(), Shown: s.conn.Certificate(), Client: s.client}
}

// passwordAllowed reports whether a password may be sent over the connection.
func (s *session) passwordAllowed() bool {
	return s.options.AllowInsecureAuth || s.conn.TLS() != nil
}

func (s *session) mayStartTLS() bool {
	return s.options.TLSConfig != nil && s.conn.TLS() == nil
}

// startTLS is RFC 3501 section 6.2.1. Whatever the client sent behind the command in
// the clear is dropped: it may be somebody else's.
func (s *session) startTLS(r *request) (reply, error) {
	s.dec.End()
	if err := s.dec.Err(); err != nil {
		return reply{}, err
	}
	if !s.mayStartTLS() {
		return reply{}, bad("TLS is not available")
	}
	s.conn.ahead.stop() // what comes from now on is for TLS to read
	s.conn.ahead.drop()
	s.enc.Text(r.tag, " OK begin TLS\r\n")
	if err := s.enc.Flush(); err != nil {
		return reply{}, err
	}
	s.dec.Reset(s.conn)
	if err := s.conn.StartTLS(s.options.TLSConfig); err != nil {
		s.log.Debug("imap: TLS handshake failed", "error", err)
		return reply{}, errBye // nothing in the clear may follow
	}
	return reply{}, errAnswered
}

// errAnswered says that the command wrote its tagged reply itself.
var errAnswered = errors.New("imap: answered")

// login is RFC 3501 section 6.2.3.
func (s *session) login(*request) (reply, error) {
	s.dec.SP()
	user := s.dec.AString()
	s.dec.SP()
	password := s.dec.AString()
	s.dec.End()
	if err := s.dec.Err(); err != nil {
		return reply{}, err
	}
	if !s.passwordAllowed() {
		return reply{}, no(goimap.ResponseCodePrivacyRequired, "use TLS before logging in")
	}
	account, err := s.options.Directory.Login(s.ctx, s.attempt(), user, password)
	if err != nil {
		return reply{}, err
	}
	return s.loggedIn(account)
}

// authenticate is RFC 3501 section 6.2.2 with the initial response of RFC 4959.
func (s *session) authenticate(*request) (reply, error) {
	s.dec.SP()
	mechanism := s.dec.Word()
	response, err := s.initialResponse()
	if err != nil {
		return reply{}, err
	}
	if !s.passwordAllowed() {
		return reply{}, no(goimap.ResponseCodePrivacyRequired, "use TLS before logging in")
	}
	exchange, err := s.options.Directory.Exchange(s.attempt(), mechanism)
	if err != nil {
		return reply{}, err
	}
	for {
		challenge, done, err := exchange.Next(s.ctx, response)
		if err != nil {
			return reply{}, err
		}
		if done {
			return s.loggedIn(exchange.Account())
		}
		if response, err = s.ask(challenge); err != nil {
			return reply{}, err
		}
	}
}

// initialResponse reads the rest of the command: nothing, "=" for an empty response,
// or base64.
func (s *session) initialResponse() ([]byte, error) {
	if s.dec.Err() != nil || s.dec.AtEnd() {
		return nil, s.dec.Err()
	}
	s.dec.SP()
	text := s.dec.Rest()
	if err := s.dec.Err(); err != nil {
		return nil, err
	}
	if string(text) == "=" {
		return []byte{}, nil
	}
	if len(text) == 0 {
		return nil, bad("an empty initial response is written =")
	}
	return decodeBase64(text)
}

// ask sends a challenge and reads the client's response, a line of its own.
func (s *session) ask(challenge []byte) ([]byte, error) {
	s.enc.Text("+ ", base64.StdEncoding.EncodeToString(challenge), "\r\n")
	if err := s.dec.Next(); err != nil {
		return nil, err
	}
	text := s.dec.Rest()
	switch string(text) {
	case "*":
		return nil, bad("authentication cancelled")
	case "=": // some clients write an empty response so, as in the command itself
		return []byte{}, nil
	}
	return decodeBase64(text)
}

func decodeBase64(text []byte) ([]byte, error) {
	b, err := base64.StdEncoding.Strict().AppendDecode([]byte{}, text)
	if err != nil {
		return nil, bad("the response is not base64")
	}
	return b, nil
}

// loggedIn moves the session to the authenticated state.
func (s *session) loggedIn(account directory.Account) (reply, error) {
	if !s.conn.LoggedIn(account.ID) {
		return reply{}, no(goimap.ResponseCodeLimit, "too many connections of this account")
	}
	s.conn.EndWith(account.Ends)
	s.account, s.state, s.bad = account, stateLoggedIn, 0
	s.hidden = s.options.Directory.HiddenCapabilities(account.ID)
	s.conn.SetDeadline(time.Time{})
	s.conn.ahead.most.Store(maxReadAhead)
	s.dec.SetLimits(wire.Limits{Skip: 2 * s.options.MaxMessageSize}) // a refused message is read to its end
	return reply{Code: "CAPABILITY " + s.capabilities(), Text: "logged in"}, nil
}
