package rfc2136

import (
	"encoding/base64"
	"fmt"
	"log/slog"
	"os"
	"regexp"
	"strings"

	miekg "github.com/miekg/dns"
)

// Key signs updates (TSIG, RFC 8945).
type Key struct {
	Name              string // with a final dot
	algorithm, secret string // as the library names and takes them
}

// LogValue keeps the secret out of logs.
func (k Key) LogValue() slog.Value { return slog.StringValue(k.Name) }

// String keeps it out of other texts.
func (k Key) String() string { return "TSIG key " + k.Name }

// GoString keeps it out of those, too.
func (k Key) GoString() string { return k.String() }

// maxKeyFile bounds a key file in octets; real ones have 150.
const maxKeyFile = 64 << 10

// algorithms are those of RFC 8945 section 6 that should be used.
var algorithms = map[string]string{
	"hmac-sha256": miekg.HmacSHA256, "hmac-sha384": miekg.HmacSHA384, "hmac-sha512": miekg.HmacSHA512, "hmac-sha224": miekg.HmacSHA224,
}

var (
	keyClause    = regexp.MustCompile(`(?s)\bkey\s+"?([A-Za-z0-9._-]+)"?\s*\{(.*?)\}`)
	keyAlgorithm = regexp.MustCompile(`\balgorithm\s+"?([A-Za-z0-9-]+)"?\s*;`)
	keySecret    = regexp.MustCompile(`\bsecret\s+"?([A-Za-z0-9+/=]+)"?\s*;`)
)

// ReadKey reads a key file as tsig-keygen(8) writes it: key "NAME" { algorithm hmac-sha256; secret "…"; };
func ReadKey(file string) (Key, error) {
	info, err := os.Stat(file)
	if err != nil {
		return Key{}, fmt.Errorf("TSIG key: %w", err)
	}
	if info.Size() > maxKeyFile {
		return Key{}, fmt.Errorf("TSIG key: %s is too large for a key file", file)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return Key{}, fmt.Errorf("TSIG key: %w", err)
	}
	key, err := ParseKey(string(text))
	if err != nil {
		return Key{}, fmt.Errorf("%s: %w", file, err)
	}
	return key, nil
}

// ParseKey reads the text of a key file.
func ParseKey(text string) (Key, error) {
	clause := keyClause.FindStringSubmatch(text)
	if clause == nil {
		return Key{}, fmt.Errorf(`no TSIG key, like: key "name" { algorithm hmac-sha256; secret "..."; };`)
	}
	algorithm, secret := keyAlgorithm.FindStringSubmatch(clause[2]), keySecret.FindStringSubmatch(clause[2])
	if algorithm == nil || secret == nil {
		return Key{}, fmt.Errorf("TSIG key %s: algorithm and secret are needed", clause[1])
	}
	known := algorithms[strings.ToLower(algorithm[1])]
	if known == "" {
		return Key{}, fmt.Errorf("TSIG key %s: the algorithm %s is not one of hmac-sha224, -256, -384 and -512", clause[1], algorithm[1])
	}
	if _, err := base64.StdEncoding.DecodeString(secret[1]); err != nil {
		return Key{}, fmt.Errorf("TSIG key %s: the secret is not in base64", clause[1])
	}
	return Key{Name: miekg.CanonicalName(clause[1]), algorithm: known, secret: secret[1]}, nil
}
