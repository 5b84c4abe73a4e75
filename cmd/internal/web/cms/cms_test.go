package cms

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

const document = "<plist>\r\nwhat is signed\n</plist>"

// authority signs certificates of servers.
type authority struct {
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "CA"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &authority{key, cert}
}

// issue makes a certificate for a key, as ACME's are: for a server, with a serial number whose first bit is set.
func (a *authority) issue(t *testing.T, key crypto.Signer) *tls.Certificate {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: new(big.Int).SetBytes(bytes.Repeat([]byte{0x9f}, 16)), DNSNames: []string{"mail.example.test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Certificate{Certificate: [][]byte{der, a.cert.Raw}, PrivateKey: key}
}

// TestSign reads what was signed, and has OpenSSL verify it where there is one.
func TestSign(t *testing.T) {
	ca := newAuthority(t)
	p256, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	small, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	for name, key := range map[string]crypto.Signer{"P-256": p256, "P-384": p384, "RSA": small} {
		t.Run(name, func(t *testing.T) {
			certificate := ca.issue(t, key)
			signed, err := Sign([]byte(document), certificate, time.Now())
			if err != nil {
				t.Fatal(err)
			}
			verify(t, signed, certificate)
			verifyByOpenSSL(t, signed, ca.cert)
		})
	}
	_, odd, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Sign([]byte(document), ca.issue(t, odd), time.Now()); !errors.Is(err, ErrKey) {
		t.Errorf("Ed25519: %v", err)
	}
	if _, err := Sign([]byte(document), &tls.Certificate{}, time.Now()); err == nil {
		t.Error("without a certificate it is signed")
	}
}

// verify does what section 5.6 says.
func verify(t *testing.T, signed []byte, certificate *tls.Certificate) {
	t.Helper()
	var c contentInfo
	if rest, err := asn1.Unmarshal(signed, &c); err != nil || len(rest) > 0 {
		t.Fatalf("%v, and %d octets behind it", err, len(rest))
	}
	if s := c.Content; string(s.Content.Content) != document || len(s.Signers) != 1 || !bytes.Equal(s.Certificates.Bytes, append(bytes.Clone(certificate.Certificate[0]), certificate.Certificate[1]...)) {
		t.Errorf("content %q, %d signers, %d octets of certificates", s.Content.Content, len(s.Signers), len(s.Certificates.Bytes))
	}
	leaf, err := x509.ParseCertificate(certificate.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	one := c.Content.Signers[0]
	if one.Identifier.Serial.Cmp(leaf.SerialNumber) != 0 || !bytes.Equal(one.Identifier.Issuer.FullBytes, leaf.RawIssuer) {
		t.Errorf("signed by number %x", one.Identifier.Serial)
	}
	sum := sha256.Sum256([]byte(document))
	if !bytes.Contains(one.Attributes.Bytes, sum[:]) {
		t.Error("the document's hash is not among what is signed")
	}
	set, err := asn1.Marshal(asn1.RawValue{Tag: asn1.TagSet, IsCompound: true, Bytes: one.Attributes.Bytes})
	if err != nil {
		t.Fatal(err)
	}
	algorithm := x509.ECDSAWithSHA256
	if leaf.PublicKeyAlgorithm == x509.RSA {
		algorithm = x509.SHA256WithRSA
	}
	if err := leaf.CheckSignature(algorithm, set, one.Signature); err != nil {
		t.Error(err)
	}
}

func verifyByOpenSSL(t *testing.T, signed []byte, ca *x509.Certificate) {
	t.Helper()
	openssl, err := exec.LookPath("openssl")
	if err != nil {
		t.Log("openssl is not there to verify it, too")
		return
	}
	dir := t.TempDir()
	roots, in := filepath.Join(dir, "ca.pem"), filepath.Join(dir, "signed.der")
	for name, text := range map[string][]byte{roots: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca.Raw}), in: signed} {
		if err := os.WriteFile(name, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	// A server's certificate signs here, as with all who sign profiles so: the device asks for no other purpose.
	out, err := exec.CommandContext(t.Context(), openssl, "cms", "-verify", "-binary", "-inform", "DER", "-in", in, "-CAfile", roots, "-purpose", "any").Output()
	if err != nil || string(out) != document {
		t.Errorf("openssl: %v, %q", err, out)
	}
}
