package tls

import (
	"crypto/tls"
	"time"
)

const (
	selfSignedCert = "self-signed.pem"
	selfSignedKey  = "self-signed-key.pem"
)

// SelfSigned is the source of last resort: a certificate for names that no
// authority has signed. Other servers deliver with it, since port 25 asks for
// no more, and people can accept it by hand. It is kept in dir (made with mode
// 0700 if missing; files 0600), so it stays the same over restarts; its key
// stays the same even when names or time ask for a new certificate. One process
// at a time may use dir.
func SelfSigned(dir string, names []string, o Options) (*Issued, error) {
	pair, err := openPair(dir, selfSignedCert, selfSignedKey)
	if err != nil {
		return nil, err
	}
	issue := func(names []string, now time.Time) (*tls.Certificate, error) {
		if pair.cert == nil || !inTime(pair.cert, now) || !covers(pair.cert, names) {
			t, err := serverTemplate(names, now)
			if err != nil {
				return nil, err
			}
			if err := pair.sign(t, 0o600); err != nil {
				return nil, err
			}
		}
		return &tls.Certificate{Certificate: [][]byte{pair.cert.Raw}, PrivateKey: pair.key, Leaf: pair.cert}, nil
	}
	return newIssued(names, o.withDefaults(), issue)
}
