package directory

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/xdg-go/scram"
)

// withPassword gives the household's ann a password and what logins need.
func withPassword(t *testing.T, password string) *Directory {
	t.Helper()
	d := household()
	d.log, d.secret, d.verified, d.hashing, d.relief = discard, randomBytes(secretBytes), newVerified(), make(chan struct{}, maxHashing), newRelief()
	d.throttle = newThrottle(d.now)
	c, err := newCredentials(password)
	if err != nil {
		t.Fatal(err)
	}
	// A second password of the account, which SCRAM must try as well.
	second, err := newScramKey(scram.SHA256, "second", c)
	if err != nil {
		t.Fatal(err)
	}
	c.Verifiers = append([]verifier{{Argon2id: argon("second", c.Salt), SHA256: second, SHA1: c.Verifiers[0].SHA1}}, c.Verifiers...)
	d.names.accounts[1].Password = c
	return d
}

// The delays of refusals pass in no time in these bubbles.

func TestLogin(t *testing.T) { synctest.Test(t, checkLogin) }

func checkLogin(t *testing.T) {
	d := withPassword(t, "secret")
	for _, c := range []struct {
		user, password string
		err            error
	}{
		{"ann@example.test", "secret", nil},
		{"ANN@example.test", "secret", nil},
		{"lee@second.test", "second", nil},
		{"ann@example.test", "se\u00adcret", nil}, // SASLprep drops the soft hyphen
		{"ann@example.test", "Secret", ErrCredentials},
		{"ann@example.test", "", ErrCredentials},
		{"nobody@example.test", "secret", ErrCredentials},
		{"ann+x@example.test", "secret", ErrCredentials},
		{"ann", "secret", ErrCredentials},
	} {
		for range 2 { // the second time from the memory of right ones
			if c.err != nil {
				d.throttle = newThrottle(d.now)
			}
			a, err := d.Login(t.Context(), Attempt{Protocol: "imap"}, c.user, c.password)
			if !errors.Is(err, c.err) || err == nil && a.Name != "ann@example.test" {
				t.Errorf("Login(%q, %q) = %v, %v; want %v", c.user, c.password, a, err, c.err)
			}
			if c.err != nil {
				break
			}
		}
	}
}

func TestRememberedLoginEndsWithThePassword(t *testing.T) {
	synctest.Test(t, checkRememberedLoginEndsWithThePassword)
}

func checkRememberedLoginEndsWithThePassword(t *testing.T) {
	d := withPassword(t, "secret")
	if _, err := d.Login(t.Context(), Attempt{}, "ann@example.test", "secret"); err != nil {
		t.Fatal(err)
	}
	c, err := newCredentials("other")
	if err != nil {
		t.Fatal(err)
	}
	d.names.accounts[1].Password = c
	if _, err := d.Login(t.Context(), Attempt{}, "ann@example.test", "secret"); !errors.Is(err, ErrCredentials) {
		t.Errorf("the old password still counts: %v", err)
	}
}

// converse plays a client's messages, nil being an absent initial response.
func converse(t *testing.T, e Exchange, messages ...string) (challenges []string, done bool, err error) {
	t.Helper()
	for _, m := range messages {
		var response []byte
		if m != absent {
			response = []byte(m)
			if response == nil {
				response = []byte{}
			}
		}
		var challenge []byte
		challenge, done, err = e.Next(t.Context(), response)
		challenges = append(challenges, string(challenge))
		if err != nil || done {
			break
		}
	}
	return challenges, done, err
}

const absent = "(absent)"

func TestPlainAndLogin(t *testing.T) { synctest.Test(t, checkPlainAndLogin) }

func checkPlainAndLogin(t *testing.T) {
	d := withPassword(t, "secret")
	for _, c := range []struct {
		mechanism string
		messages  []string
		err       error
	}{
		{"PLAIN", []string{"\x00ann@example.test\x00secret"}, nil},
		{"plain", []string{absent, "\x00ann@example.test\x00secret"}, nil},
		{"PLAIN", []string{"lee@second.test\x00ann@example.test\x00secret"}, nil},
		{"PLAIN", []string{"bob@example.test\x00ann@example.test\x00secret"}, ErrCredentials},
		{"PLAIN", []string{"\x00ann@example.test\x00wrong"}, ErrCredentials},
		{"PLAIN", []string{"ann@example.test\x00secret"}, ErrMalformed},
		{"PLAIN", []string{""}, ErrMalformed},
		{"PLAIN", []string{"\x00\x00"}, ErrMalformed},
		{"PLAIN", []string{"\x00a\x00b\x00c"}, ErrMalformed},
		{"LOGIN", []string{absent, "ann@example.test", "secret"}, nil},
		{"LOGIN", []string{"ann@example.test", "secret"}, nil},
		{"LOGIN", []string{absent, "ann@example.test", ""}, ErrCredentials},
		{"LOGIN", []string{strings.Repeat("x", maxResponse+1)}, ErrMalformed},
	} {
		d.throttle = newThrottle(d.now)
		e, err := d.Exchange(Attempt{}, c.mechanism)
		if err != nil {
			t.Fatal(err)
		}
		_, done, err := converse(t, e, c.messages...)
		if !errors.Is(err, c.err) || done != (c.err == nil) || done && e.Account().ID != 1 {
			t.Errorf("%s %q: done %v, %v; want %v", c.mechanism, c.messages, done, err, c.err)
		}
	}
	if _, err := d.Exchange(Attempt{}, "CRAM-MD5"); !errors.Is(err, ErrMechanism) {
		t.Error(err)
	}
	if _, err := d.Exchange(Attempt{}, "SCRAM-SHA-256-PLUS"); !errors.Is(err, ErrMechanism) {
		t.Errorf("-PLUS without TLS: %v", err)
	}
}

// prove runs a library client against an exchange.
func prove(ctx context.Context, e Exchange, c *scram.ClientConversation) error {
	say, err := c.Step("")
	for err == nil {
		var challenge []byte
		var done bool
		challenge, done, err = e.Next(ctx, []byte(say))
		if err != nil || done {
			return err
		}
		say, err = c.Step(string(challenge))
		if c.Done() && err == nil {
			_, _, err = e.Next(ctx, []byte{})
			return err
		}
	}
	return err
}

func TestScram(t *testing.T) { synctest.Test(t, checkScram) }

func checkScram(t *testing.T) {
	d := withPassword(t, "secret")
	for _, c := range []struct {
		mechanism, user, password string
		hash                      scram.HashGeneratorFcn
		err                       error
	}{
		{"SCRAM-SHA-256", "ann@example.test", "secret", scram.SHA256, nil},
		{"SCRAM-SHA-256", "ann@example.test", "second", scram.SHA256, nil},
		{"SCRAM-SHA-1", "lee@second.test", "secret", scram.SHA1, nil},
		{"SCRAM-SHA-256", "ann@example.test", "wrong", scram.SHA256, ErrCredentials},
		{"SCRAM-SHA-1", "nobody@example.test", "secret", scram.SHA1, ErrCredentials},
	} {
		client, err := c.hash.NewClient(c.user, c.password, "")
		if err != nil {
			t.Fatal(err)
		}
		e, err := d.Exchange(Attempt{}, c.mechanism)
		if err != nil {
			t.Fatal(err)
		}
		conversation := client.NewConversation()
		err = prove(t.Context(), e, conversation)
		if !errors.Is(err, c.err) || c.err == nil && (!conversation.Valid() || e.Account().ID != 1) {
			t.Errorf("%s %s %s: %v, want %v", c.mechanism, c.user, c.password, err, c.err)
		}
	}
}

func TestScramDoesNotTellWhoExists(t *testing.T) {
	d := withPassword(t, "secret")
	first := func(user string) string {
		e, err := d.Exchange(Attempt{}, "SCRAM-SHA-256")
		if err != nil {
			t.Fatal(err)
		}
		challenges, _, err := converse(t, e, "n,,n="+user+",r=nonce")
		if err != nil {
			t.Fatal(err)
		}
		_, salt, _ := strings.Cut(challenges[0], ",s=")
		return salt
	}
	if salt := first("nobody@example.test"); first("nobody@example.test") != salt {
		t.Error("the salt of an unknown user changes")
	}
	if first("nobody@example.test") == first("noone@example.test") {
		t.Error("all unknown users have one salt")
	}
	if len(first("nobody@example.test")) != len(first("ann@example.test")) {
		t.Error("salt or count of an unknown user look different")
	}
}

func TestScramRefusesNonsense(t *testing.T) {
	d := withPassword(t, "secret")
	for _, m := range []string{"", "n", "n,,", "n,,n=ann@example.test", "p=tls-exporter,,n=ann@example.test,r=x", "n,,m=x,n=a,r=b", "\x00", strings.Repeat("n", maxResponse+1)} {
		e, err := d.Exchange(Attempt{}, "SCRAM-SHA-256")
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := converse(t, e, m); !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrBinding) {
			t.Errorf("%q: %v", m, err)
		}
	}
}

func FuzzScram(f *testing.F) {
	f.Add("n,,n=ann@example.test,r=abc", "c=biws,r=abcx,p=AAAA")
	f.Add("y,a=x,n=,r=", "")
	d := household()
	d.log, d.secret = discard, randomBytes(secretBytes)
	f.Fuzz(func(t *testing.T, first, final string) {
		d.throttle = newThrottle(d.now)
		ctx, cancel := context.WithCancel(t.Context())
		cancel() // a refusal need not be waited for
		e, err := d.Exchange(Attempt{}, "SCRAM-SHA-256")
		if err != nil {
			t.Fatal(err)
		}
		if _, done, err := e.Next(ctx, []byte(first)); err == nil && !done {
			if _, done, _ := e.Next(ctx, []byte(final)); done {
				t.Errorf("%q %q logged in", first, final)
			}
		}
	})
}
