package mailauth

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
)

const (
	maxKeyRecord = 4096 // octets of a key record; that of a 4096-bit key has 760
	minRSABits   = 1024 // RFC 8301 section 3.2
	maxRSABits   = 4096 // what RFC 8301 section 3.2 has to be verified; the work grows with the square
)

var (
	badKey       = verdict{PermError, "the key record is malformed"}
	noKey        = verdict{PermError, "no key record"}
	noKeyNow     = verdict{TempError, "the key record could not be looked up"}
	notLookedUp  = verdict{None, "no key is looked up here"}
	revokedKey   = verdict{PermError, "the key was revoked"}
	smallKey     = verdict{PermError, "the key is shorter than 1024 bits"}
	largeKey     = verdict{PermError, "the key is longer than 4096 bits"}
	otherKey     = verdict{PermError, "the key is for another algorithm"}
	otherHash    = verdict{PermError, "the key is not for SHA-256"}
	otherService = verdict{PermError, "the key is not for mail"}
	otherAgent   = verdict{PermError, "the key is not for subdomains"}
	badSignature = verdict{Fail, "the signature does not match"}
)

// publicKey is a key record (RFC 6376 section 3.6.1).
type publicKey struct {
	method  method
	rsa     *rsa.PublicKey
	ed25519 ed25519.PublicKey
	testing bool // t=y: the domain only tries DKIM
	strict  bool // t=s: i= has the very domain of d=
}

// bits is the length of the key.
func (k *publicKey) bits() int {
	if k.rsa != nil {
		return k.rsa.N.BitLen()
	}
	return 8 * len(k.ed25519)
}

// parseKey reads a key record, and says why it cannot be used for mail.
func parseKey(record string) (*publicKey, verdict) {
	if len(record) > maxKeyRecord {
		return nil, badKey
	}
	tags, err := parseTags([]byte(record))
	if err != nil {
		return nil, badKey
	}
	// A version is the first tag, and DKIM1 to the letter.
	if v := tags.find("v"); v != nil && (v != &tags[0] || string(v.value) != "DKIM1") {
		return nil, badKey
	}
	if h := tags.find("h"); h != nil && !listHas(h.value, "sha256") {
		return nil, otherHash
	}
	if s := tags.find("s"); s != nil && !listHas(s.value, "email") && !listHas(s.value, "*") {
		return nil, otherService
	}
	p := tags.find("p")
	if p == nil {
		return nil, badKey
	}
	if len(p.value) == 0 {
		return nil, revokedKey
	}
	data, err := decodeBase64(p.value)
	if err != nil {
		return nil, badKey
	}
	flags := tags.value("t")
	k := &publicKey{testing: listHas(flags, "y"), strict: listHas(flags, "s")}
	return k, k.parseData(tags.find("k"), data)
}

// parseData reads p= for the type in k=.
func (k *publicKey) parseData(keyType *tag, data []byte) verdict {
	switch {
	case keyType == nil || bytes.EqualFold(keyType.value, []byte("rsa")):
		k.method = rsaSHA256
		return k.parseRSA(data)
	case bytes.EqualFold(keyType.value, []byte("ed25519")):
		if len(data) != ed25519.PublicKeySize {
			return badKey
		}
		k.method, k.ed25519 = ed25519SHA256, data
		return verdict{}
	}
	return otherKey
}

// parseRSA reads the form of RFC 6376's examples, SubjectPublicKeyInfo, and the
// one its text names, RSAPublicKey.
func (k *publicKey) parseRSA(der []byte) verdict {
	if pub, err := x509.ParsePKIXPublicKey(der); err == nil {
		var ok bool
		if k.rsa, ok = pub.(*rsa.PublicKey); !ok {
			return badKey
		}
	} else if k.rsa, err = x509.ParsePKCS1PublicKey(der); err != nil {
		return badKey
	}
	switch bits := k.bits(); {
	case bits < minRSABits:
		return smallKey
	case bits > maxRSABits:
		return largeKey
	}
	return verdict{}
}

// verify holds a signature against the hash of what it signs.
func (k *publicKey) verify(s *signature, sum *[sha256.Size]byte) verdict {
	if k.method != s.method {
		return otherKey
	}
	valid := false
	if k.ed25519 != nil {
		valid = ed25519.Verify(k.ed25519, sum[:], s.data)
	} else {
		valid = rsa.VerifyPKCS1v15(k.rsa, crypto.SHA256, sum[:], s.data) == nil
	}
	if !valid {
		return badSignature
	}
	return verdict{}
}
