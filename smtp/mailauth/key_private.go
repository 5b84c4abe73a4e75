package mailauth

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"strings"
)

// SigningKey is a private key for DKIM and where its public half is published.
type SigningKey struct {
	// Domain is d=, who signs, in lower case and A-labels.
	Domain string
	// Selector is s=, a label or several, in the same form.
	Selector string
	// Private is an RSA key of 1024 to 4096 bits, or an Ed25519 key.
	Private crypto.Signer
}

// String is the name of the key record; the key itself is never printed.
func (k SigningKey) String() string { return k.RecordName() }

// GoString is String.
func (k SigningKey) GoString() string { return k.RecordName() }

// RecordName is the domain name of the TXT record with the public key (RFC 6376
// section 3.6.2.1), without final dot.
func (k SigningKey) RecordName() string { return k.Selector + "._domainkey." + k.Domain }

// newRSABits is the length of new RSA keys: what RFC 8301 section 3.2 says
// signers should have, and what DNS providers' forms can still take.
const newRSABits = 2048

// NewRSAKey makes a key of 2048 bits.
func NewRSAKey() (crypto.Signer, error) { return rsa.GenerateKey(rand.Reader, newRSABits) }

// NewEd25519Key makes a key for RFC 8463. Not every receiver knows it, so it
// signs beside an RSA key.
func NewEd25519Key() (crypto.Signer, error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	return key, err
}

// MarshalPrivateKey gives a key as PKCS #8, in DER.
func MarshalPrivateKey(key crypto.Signer) ([]byte, error) { return x509.MarshalPKCS8PrivateKey(key) }

// ParsePrivateKey reads a key from PKCS #8, in DER. It fails for keys that are
// not for DKIM: of another kind, or too short or long.
func ParsePrivateKey(der []byte) (crypto.Signer, error) {
	parsed, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, fmt.Errorf("private key for DKIM: %w", err)
	}
	key, ok := parsed.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("private key for DKIM: of type %T", parsed)
	}
	if _, err := methodOf(key.Public()); err != nil {
		return nil, fmt.Errorf("private key for DKIM: %w", err)
	}
	return key, nil
}

// KeyRecord is the text of the TXT record for a public key (RFC 6376 section
// 3.6.1). It fails for keys that are not for DKIM.
func KeyRecord(public crypto.PublicKey) (string, error) {
	m, err := methodOf(public)
	if err != nil {
		return "", err
	}
	data, ok := public.(ed25519.PublicKey)
	if !ok {
		if data, err = x509.MarshalPKIXPublicKey(public); err != nil {
			return "", err
		}
	}
	// Whoever reads TLS reports may ignore those whose key is not named for them (RFC 8460 section 3).
	return "v=DKIM1; k=" + m.keyType() + "; s=email:tlsrpt; p=" + base64.StdEncoding.EncodeToString(data), nil
}

// SameKey reports whether two key records are of one key, and can both be used for mail.
func SameKey(a, b string) bool {
	x, bad := parseKey(a)
	if bad != (verdict{}) {
		return false
	}
	y, bad := parseKey(b)
	if bad != (verdict{}) || x.method != y.method || x.testing != y.testing {
		return false
	}
	if x.rsa != nil {
		return x.rsa.Equal(y.rsa)
	}
	return x.ed25519.Equal(y.ed25519)
}

// maxString is the octets of one string of a TXT record (RFC 1035 section 3.3).
const maxString = 255

// RecordStrings cuts the text of a TXT record into strings of at most 255 octets.
func RecordStrings(text string) []string {
	var list []string
	for len(text) > maxString {
		list = append(list, text[:maxString])
		text = text[maxString:]
	}
	return append(list, text)
}

// ZoneRecord is a TXT record as a line of a zone file. Text is printable ASCII.
func ZoneRecord(name, text string) string {
	quote := strings.NewReplacer(`\`, `\\`, `"`, `\"`)
	var b strings.Builder
	b.WriteString(name + ". IN TXT")
	for _, s := range RecordStrings(text) {
		b.WriteString(` "` + quote.Replace(s) + `"`)
	}
	return b.String()
}
