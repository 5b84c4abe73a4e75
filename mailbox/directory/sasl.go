package directory

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"github.com/xdg-go/scram"
)

// maxResponse bounds a decoded client response. RFC 4616 allows 255 octets for
// each of PLAIN's three fields in characters; this is far above any real one.
const maxResponse = 8192

// Exchange is one SASL authentication. Next takes the client's response (nil
// for an absent initial response, empty for an empty one) and returns the next
// challenge, or done. A successful SCRAM ends with a challenge that the client
// answers with an empty response. After done, Account says who it is.
type Exchange interface {
	Next(ctx context.Context, response []byte) (challenge []byte, done bool, err error)
	Account() Account
}

// Mechanisms are the SASL mechanisms offered on the connection, best first;
// the -PLUS forms only where TLS gives a channel binding. Without TLS the same
// when cleartext is set, and none otherwise.
func (d *Directory) Mechanisms(at Attempt, cleartext bool) []string {
	if at.TLS == nil && !cleartext {
		return nil
	}
	if len(bindings(at)) > 0 {
		return []string{"SCRAM-SHA-256-PLUS", "SCRAM-SHA-256", "SCRAM-SHA-1-PLUS", "SCRAM-SHA-1", "PLAIN", "LOGIN"}
	}
	return []string{"SCRAM-SHA-256", "SCRAM-SHA-1", "PLAIN", "LOGIN"}
}

// Exchange begins an authentication with a mechanism, named in any case.
// ErrMechanism.
func (d *Directory) Exchange(at Attempt, mechanism string) (Exchange, error) {
	base := exchange{directory: d, at: at}
	switch strings.ToUpper(mechanism) {
	case "PLAIN":
		return &plain{exchange: base}, nil
	case "LOGIN":
		return &login{exchange: base}, nil
	case "SCRAM-SHA-256":
		return newScram(base, scram.SHA256, false)
	case "SCRAM-SHA-1":
		return newScram(base, scram.SHA1, false)
	case "SCRAM-SHA-256-PLUS":
		return newScram(base, scram.SHA256, true)
	case "SCRAM-SHA-1-PLUS":
		return newScram(base, scram.SHA1, true)
	}
	return nil, ErrMechanism
}

// exchange is what all mechanisms share.
type exchange struct {
	directory *Directory
	at        Attempt
	account   Account
}

// Account is who logged in, once Next said done.
func (e *exchange) Account() Account { return e.account }

// log in with what the client said, as authorization identity authz.
func (e *exchange) login(ctx context.Context, authz, user, password string) (bool, error) {
	account, err := e.directory.Login(ctx, e.at, user, password)
	if err != nil {
		return false, err
	}
	return e.become(account, authz)
}

// become sets the account, if the client does not ask to act as another.
func (e *exchange) become(account Account, authz string) (bool, error) {
	if authz != "" {
		as, err := e.directory.Account(authz)
		if err != nil || as.ID != account.ID {
			return false, ErrCredentials
		}
	}
	e.account = account
	return true, nil
}

// plain is RFC 4616: authorization identity, user and password in one message.
type plain struct{ exchange }

func (p *plain) Next(ctx context.Context, response []byte) ([]byte, bool, error) {
	if response == nil {
		return []byte{}, false, nil
	}
	fields := bytes.Split(response, []byte{0})
	if len(fields) != 3 || len(fields[1]) == 0 || len(response) > maxResponse {
		return nil, false, ErrMalformed
	}
	done, err := p.login(ctx, string(fields[0]), string(fields[1]), string(fields[2]))
	return nil, done, err
}

// login is the mechanism of that name, which no RFC describes and Outlook
// needs: two questions, two answers.
type login struct {
	exchange
	user  string
	asked int // questions so far
}

func (l *login) Next(ctx context.Context, response []byte) ([]byte, bool, error) {
	if len(response) > maxResponse {
		return nil, false, ErrMalformed
	}
	if l.asked == 0 && response == nil {
		l.asked = 1
		return []byte("Username:"), false, nil
	}
	if l.asked < 2 {
		l.user, l.asked = string(response), 2
		return []byte("Password:"), false, nil
	}
	done, err := l.login(ctx, "", l.user, string(response))
	return nil, done, err
}

// scramExchange is RFC 5802. The library checks one verifier at a time, so
// each password of the account has a conversation; they share nonce, salt and
// count, hence say the same until one of them finds the proof right.
type scramExchange struct {
	exchange
	hash          scram.HashGeneratorFcn
	bindings      []scram.ChannelBinding // of the connection, the best first
	plus          bool                   // a -PLUS mechanism
	binding       scram.ChannelBinding   // that the client chose; of another mechanism the best
	try           *try
	conversations []*scram.ServerConversation
	authz         string
	proved        bool
}

func newScram(base exchange, hash scram.HashGeneratorFcn, plus bool) (Exchange, error) {
	s := &scramExchange{exchange: base, hash: hash, bindings: bindings(base.at), plus: plus}
	if plus && len(s.bindings) == 0 {
		return nil, ErrMechanism
	}
	return s, nil
}

func (s *scramExchange) Next(ctx context.Context, response []byte) ([]byte, bool, error) {
	switch {
	case len(response) > maxResponse:
		return nil, false, ErrMalformed
	case s.proved:
		if len(response) != 0 {
			return nil, false, ErrMalformed
		}
		return nil, true, nil
	case s.try == nil && response == nil:
		return []byte{}, false, nil
	case s.try == nil:
		challenge, err := s.first(string(response))
		return challenge, false, err
	}
	challenge, err := s.final(ctx, string(response))
	return challenge, false, err
}

// first answers client-first-message. What is wrong with it is not secret.
func (s *scramExchange) first(response string) ([]byte, error) {
	if err := s.choose(response); err != nil {
		return nil, err
	}
	user, err := s.userOf(response)
	if err != nil {
		return nil, err
	}
	s.try = s.directory.try(s.at, user)
	nonce := base64.RawStdEncoding.EncodeToString(randomBytes(18))
	var challenge string
	for _, v := range s.try.credentials.Verifiers {
		c, err := s.conversation(v, nonce)
		if err != nil {
			return nil, err
		}
		if challenge, err = c.Step(response); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
		}
		s.authz = c.AuthzID()
		s.conversations = append(s.conversations, c)
	}
	return []byte(challenge), nil
}

// userOf runs the message through a conversation of its own, which parses it
// and tells the user name.
func (s *scramExchange) userOf(response string) (string, error) {
	var user string
	server, err := s.hash.NewServer(func(name string) (scram.StoredCredentials, error) {
		user = name
		return scram.StoredCredentials{}, nil
	})
	if err != nil {
		return "", fmt.Errorf("SCRAM: %w", err)
	}
	if _, err := s.bound(server).Step(response); err != nil {
		if strings.Contains(err.Error(), "channel") || strings.Contains(err.Error(), "downgrade") {
			return "", fmt.Errorf("%w: %w", ErrBinding, err)
		}
		return "", fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return user, nil
}

// conversation is the server's side for one verifier.
func (s *scramExchange) conversation(v verifier, nonce string) (*scram.ServerConversation, error) {
	key := v.SHA256
	if s.hash().Size() == scram.SHA1().Size() {
		key = v.SHA1
	}
	server, err := s.hash.NewServer(func(string) (scram.StoredCredentials, error) {
		c := s.try.credentials
		return scram.StoredCredentials{
			KeyFactors: scram.KeyFactors{Salt: string(c.Salt), Iters: c.Count},
			StoredKey:  key.Stored,
			ServerKey:  key.Server,
		}, nil
	})
	if err != nil {
		return nil, fmt.Errorf("SCRAM: %w", err)
	}
	return s.bound(server.WithNonceGenerator(func() string { return nonce })), nil
}

// bound starts a conversation. A -PLUS mechanism demands its binding. Without
// -PLUS the connection's binding is still given where there is one, since a
// client that says "y" was shown a list from which somebody struck -PLUS
// (RFC 5802 section 6).
func (s *scramExchange) bound(server *scram.Server) *scram.ServerConversation {
	if s.plus {
		return server.NewConversationWithChannelBindingRequired(s.binding)
	}
	return server.NewConversationWithChannelBinding(s.binding)
}

// final judges the proof, at the throttle's pace.
func (s *scramExchange) final(ctx context.Context, response string) ([]byte, error) {
	s.try.asked = s.directory.now() // the delay of a refusal cannot be waited for in advance
	if err := s.directory.throttle.wait(ctx, s.try.keys[:]...); err != nil {
		return nil, err
	}
	for i, c := range s.conversations {
		challenge, err := c.Step(response)
		if err != nil || !c.Valid() || !s.try.known {
			continue
		}
		if err := s.directory.admit(ctx, s.try, s.try.credentials.Verifiers[i]); err != nil {
			return nil, s.directory.notAdmitted(ctx, s.try, err)
		}
		if ok, err := s.become(s.try.account, s.authz); !ok {
			return nil, errors.Join(err, s.directory.refuse(ctx, s.try))
		}
		s.directory.accept(s.try)
		s.proved = true
		return []byte(challenge), nil
	}
	return nil, s.directory.refuse(ctx, s.try)
}
