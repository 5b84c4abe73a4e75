package directory

import (
	"bytes"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha1"
	"crypto/sha256"
	"fmt"
	"hash"
	"unicode/utf8"

	"github.com/xdg-go/stringprep"
	"golang.org/x/crypto/argon2"
)

// The cost of one password check. argon2id by the second recommendation of
// OWASP's list (19 MiB, two passes); the SCRAM count is what a phone still
// computes unnoticed, above RFC 7677's minimum of 4096.
const (
	argonTime   = 2
	argonMemory = 19 * 1024 // KiB
	argonBytes  = 32
	scramCount  = 10000
	saltBytes   = 16
	maxHashing  = 2    // checks at a time: 2 × 19 MiB on a machine with 512 MB
	maxPassword = 1024 // octets; longer ones only cost hashing time
)

// credentials are what is kept of the passwords of an account. All of them
// share salt and count, so that SCRAM, which sends these before it knows which
// password is meant, can try each.
type credentials struct {
	Salt      []byte     `json:"salt"`
	Count     int        `json:"scram_count"`
	Verifiers []verifier `json:"verifiers"`
}

// verifier recognises one password without knowing it.
type verifier struct {
	Argon2id []byte   `json:"argon2id"` // over the shared salt
	SHA256   scramKey `json:"scram_sha256"`
	SHA1     scramKey `json:"scram_sha1"`

	App *AppPassword `json:"app,omitempty"` // nil: the account's own
}

// scramKey are StoredKey and ServerKey of RFC 5802 section 3.
type scramKey struct {
	Stored []byte `json:"stored"`
	Server []byte `json:"server"`
}

// String keeps credentials out of logs.
func (credentials) String() string { return "[credentials]" }

// GoString is String for %#v.
func (credentials) GoString() string { return "[credentials]" }

// preparePassword applies SASLprep (RFC 4013), as SCRAM demands of both sides.
// ErrPassword.
func preparePassword(password string) (string, error) {
	switch {
	case password == "":
		return "", problem(ErrPassword, "the password is empty; choose one")
	case len(password) > maxPassword:
		return "", problem(ErrPassword, "the password is too long: it may have %d octets", maxPassword)
	case !utf8.ValidString(password):
		return "", problem(ErrPassword, "the password is not UTF-8; type it at a terminal that is set to UTF-8")
	}
	prepared, err := stringprep.SASLprep.Prepare(password)
	if err != nil || prepared == "" {
		return "", problem(ErrPassword, "the password has characters that mail programs cannot agree on, like control characters; choose others")
	}
	return prepared, nil
}

// newCredentials makes the credentials of a prepared password.
func newCredentials(prepared string) (credentials, error) {
	c := credentials{Salt: randomBytes(saltBytes), Count: scramCount}
	v, err := newVerifier(prepared, c)
	c.Verifiers = []verifier{v}
	return c, err
}

// newVerifier makes a verifier with the salt and count of c.
func newVerifier(prepared string, c credentials) (v verifier, err error) {
	v.Argon2id = argon(prepared, c.Salt)
	if v.SHA256, err = newScramKey(sha256.New, prepared, c); err != nil {
		return verifier{}, err
	}
	v.SHA1, err = newScramKey(sha1.New, prepared, c)
	return v, err
}

func newScramKey(h func() hash.Hash, prepared string, c credentials) (scramKey, error) {
	salted, err := pbkdf2.Key(h, prepared, c.Salt, c.Count, h().Size())
	if err != nil {
		return scramKey{}, fmt.Errorf("derive SCRAM key: %w", err)
	}
	client := h()
	client.Write(mac(h, salted, "Client Key"))
	return scramKey{Stored: client.Sum(nil), Server: mac(h, salted, "Server Key")}, nil
}

func mac(h func() hash.Hash, key []byte, text string) []byte {
	m := hmac.New(h, key)
	m.Write([]byte(text))
	return m.Sum(nil)
}

func argon(prepared string, salt []byte) []byte {
	return argon2.IDKey([]byte(prepared), salt, argonTime, argonMemory, 1, argonBytes)
}

// verify reports whether a prepared password is one of c's. It takes the same
// time whatever c holds, also nothing.
func (c credentials) verify(prepared string) bool {
	_, ok := c.find(prepared)
	return ok
}

// find is verify that gives the verifier, too.
func (c credentials) find(prepared string) (v verifier, ok bool) {
	salt := c.Salt
	if len(salt) == 0 {
		salt = make([]byte, saltBytes)
	}
	sum := argon(prepared, salt)
	for _, o := range c.Verifiers {
		if hmac.Equal(sum, o.Argon2id) {
			v, ok = o, true
		}
	}
	return v, ok
}

// decoy are the credentials of a user that does not exist: the same salt
// every time it is asked for, and keys that nothing matches.
func (d *Directory) decoy(user string) credentials {
	sum := mac(sha256.New, d.secret, "salt\x00"+user)
	return credentials{Salt: bytes.Clone(sum[:saltBytes]), Count: scramCount, Verifiers: []verifier{{
		Argon2id: randomBytes(argonBytes),
		SHA256:   scramKey{Stored: randomBytes(sha256.Size), Server: randomBytes(sha256.Size)},
		SHA1:     scramKey{Stored: randomBytes(sha1.Size), Server: randomBytes(sha1.Size)},
	}}}
}

// randomBytes never fails: crypto/rand ends the process when the system has no
// randomness.
func randomBytes(n int) []byte {
	b := make([]byte, n)
	rand.Read(b)
	return b
}
