// Package cms signs documents as the Cryptographic Message Syntax has it (RFC 5652): SignedData with the
// document inside.
package cms

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
	"time"
)

// ErrKey is what Sign answers to a key that is neither of RSA nor of ECDSA.
var ErrKey = errors.New("cms: no signatures by keys of this kind")

var (
	oidData          = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 1}
	oidSignedData    = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 2}
	oidContentType   = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 3}
	oidMessageDigest = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 4}
	oidSigningTime   = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 5}
	oidSHA256        = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 1}
	oidRSA           = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 1}
	oidECDSASHA256   = asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 2}
)

// contentInfo is the outermost structure (RFC 5652 section 3).
type contentInfo struct {
	Type    asn1.ObjectIdentifier
	Content signedData `asn1:"explicit,tag:0"`
}

// signedData is that of section 5.1.
type signedData struct {
	Version      int
	Digests      []pkix.AlgorithmIdentifier `asn1:"set"`
	Content      encapsulated
	Certificates asn1.RawValue
	Signers      []signer `asn1:"set"`
}

// encapsulated is the document (section 5.2).
type encapsulated struct {
	Type    asn1.ObjectIdentifier
	Content []byte `asn1:"explicit,tag:0"`
}

// signer is one signature (section 5.3).
type signer struct {
	Version    int
	Identifier issuerAndSerial
	Digest     pkix.AlgorithmIdentifier
	Attributes asn1.RawValue
	Algorithm  pkix.AlgorithmIdentifier
	Signature  []byte
}

type issuerAndSerial struct {
	Issuer asn1.RawValue
	Serial *big.Int
}

type attribute struct {
	Type   asn1.ObjectIdentifier
	Values []any `asn1:"set"`
}

// versionOfBoth is that of the structures for a signer who is named by issuer and serial number, and a document of type data.
const versionOfBoth = 1

// Sign signs a document with a certificate's key, at a time, and puts document and chain into what it returns, in DER.
// ErrKey.
func Sign(document []byte, certificate *tls.Certificate, now time.Time) ([]byte, error) {
	if len(certificate.Certificate) == 0 {
		return nil, errors.New("cms: there is no certificate")
	}
	leaf, err := x509.ParseCertificate(certificate.Certificate[0])
	if err != nil {
		return nil, fmt.Errorf("cms: %w", err)
	}
	attributes, err := signedAttributes(document, now)
	if err != nil {
		return nil, fmt.Errorf("cms: %w", err)
	}
	algorithm, signature, err := sign(certificate.PrivateKey, attributes)
	if err != nil {
		return nil, err
	}
	// What is signed is a SET OF; what is sent is the same with a tag of its own (section 5.4).
	var set asn1.RawValue
	if _, err := asn1.Unmarshal(attributes, &set); err != nil {
		return nil, fmt.Errorf("cms: %w", err)
	}
	var chain []byte
	for _, c := range certificate.Certificate {
		chain = append(chain, c...)
	}
	digest := pkix.AlgorithmIdentifier{Algorithm: oidSHA256} // without parameters (RFC 5754 section 2)
	out, err := asn1.Marshal(contentInfo{oidSignedData, signedData{
		Version: versionOfBoth, Digests: []pkix.AlgorithmIdentifier{digest},
		Content:      encapsulated{oidData, document},
		Certificates: implicit(chain),
		Signers: []signer{{
			Version: versionOfBoth, Identifier: issuerAndSerial{asn1.RawValue{FullBytes: leaf.RawIssuer}, leaf.SerialNumber},
			Digest: digest, Attributes: implicit(set.Bytes), Algorithm: algorithm, Signature: signature,
		}},
	}})
	if err != nil {
		return nil, fmt.Errorf("cms: %w", err)
	}
	return out, nil
}

// implicit is a set behind the tag [0].
func implicit(elements []byte) asn1.RawValue {
	return asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 0, IsCompound: true, Bytes: elements}
}

// signedAttributes are what is signed in place of the document, whose hash they have (section 11).
func signedAttributes(document []byte, now time.Time) ([]byte, error) {
	sum := sha256.Sum256(document)
	return asn1.MarshalWithParams([]attribute{
		{oidContentType, []any{oidData}},
		{oidSigningTime, []any{now.UTC()}},
		{oidMessageDigest, []any{sum[:]}},
	}, "set")
}

// sign signs with SHA-256, with which all curves and sizes of keys go that certificates have.
func sign(key crypto.PrivateKey, message []byte) (algorithm pkix.AlgorithmIdentifier, signature []byte, err error) {
	private, ok := key.(crypto.Signer)
	if !ok {
		return algorithm, nil, ErrKey
	}
	switch private.Public().(type) {
	case *rsa.PublicKey:
		algorithm = pkix.AlgorithmIdentifier{Algorithm: oidRSA, Parameters: asn1.NullRawValue} // RFC 3370 section 3.2
	case *ecdsa.PublicKey:
		algorithm = pkix.AlgorithmIdentifier{Algorithm: oidECDSASHA256} // RFC 5753 section 2.1.1
	default:
		return algorithm, nil, ErrKey
	}
	sum := sha256.Sum256(message)
	if signature, err = private.Sign(rand.Reader, sum[:], crypto.SHA256); err != nil {
		return algorithm, nil, fmt.Errorf("cms: %w", err)
	}
	return algorithm, signature, nil
}
