package tls

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/net/idna"
)

const (
	// maxNames bounds the names of one certificate: about 30 KB, which every TLS
	// library takes (OpenSSL stops at 100 KB).
	maxNames = 1000
	// maxCommonName is the longest common name that X.509 has room for (RFC 5280,
	// ub-common-name). Nobody verifies it, but people read it.
	maxCommonName = 64
)

// ownPair is a key and its certificate in two PEM files. The key is what
// lasts: a certificate that is missing, too old or short of names is made anew
// for the same key, so a published TLSA record of the key (RFC 6698, 3 1 1) and
// a CA that is trusted somewhere stay right. What a crash leaves is a key
// without its certificate, or a file named *.tmp that is written over.
type ownPair struct {
	certFile, keyFile string
	key               *ecdsa.PrivateKey
	cert              *x509.Certificate
}

// openPair makes the folder and the key if they are missing and reads the
// certificate if it is there and belongs to the key.
func openPair(dir, certName, keyName string) (*ownPair, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	p := &ownPair{certFile: filepath.Join(dir, certName), keyFile: filepath.Join(dir, keyName)}
	var err error
	if p.key, err = readKey(p.keyFile); errors.Is(err, fs.ErrNotExist) {
		p.key, err = makeKey(p.keyFile)
	}
	if err != nil {
		return nil, err
	}
	if cert, err := readCert(p.certFile); err == nil && p.key.PublicKey.Equal(cert.PublicKey) {
		p.cert = cert
	}
	return p, nil
}

// sign makes p's certificate from the template, signed by p's own key, and
// writes it with the given mode.
func (p *ownPair) sign(template *x509.Certificate, mode fs.FileMode) error {
	cert, err := signCert(template, template, p.key, p.key)
	if err != nil {
		return err
	}
	data := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw})
	if err := writeFile(p.certFile, data, mode); err != nil {
		return err
	}
	p.cert = cert
	return nil
}

// signCert makes the certificate of template's names for key.
func signCert(template, parent *x509.Certificate, key, parentKey *ecdsa.PrivateKey) (*x509.Certificate, error) {
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), parentKey)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

func newKey() (*ecdsa.PrivateKey, error) {
	return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
}

func makeKey(file string) (*ecdsa.PrivateKey, error) {
	key, err := newKey()
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return key, writeFile(file, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600)
}

// readKey fails with fs.ErrNotExist only when there is no file: a key that
// cannot be understood is never written over.
func readKey(file string) (*ecdsa.PrivateKey, error) {
	der, err := readPEM(file, "PRIVATE KEY")
	if err != nil {
		return nil, err
	}
	parsed, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	key, ok := parsed.(*ecdsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("%s: not an ECDSA key", file)
	}
	return key, nil
}

func readCert(file string) (*x509.Certificate, error) {
	der, err := readPEM(file, "CERTIFICATE")
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

func readPEM(file, kind string) ([]byte, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(data)
	if block == nil || block.Type != kind {
		return nil, fmt.Errorf("%s: no %s in PEM form", file, kind)
	}
	return block.Bytes, nil
}

// writeFile puts data in the file's place at once and durably: a crash leaves
// the old file or the new one.
func writeFile(file string, data []byte, mode fs.FileMode) error {
	temp := file + ".tmp"
	f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, mode)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	// A file that a crash has left keeps its mode when it is opened again.
	if err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(temp, file); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(file))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// serverTemplate is a certificate for a server of these names.
func serverTemplate(names []string, now time.Time) (*x509.Certificate, error) {
	t, err := template(now, leafLifetime)
	if err != nil {
		return nil, err
	}
	if len(names[0]) <= maxCommonName {
		t.Subject.CommonName = names[0]
	}
	t.KeyUsage = x509.KeyUsageDigitalSignature
	t.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	for _, name := range names {
		if ip := net.ParseIP(name); ip != nil {
			t.IPAddresses = append(t.IPAddresses, ip)
		} else {
			t.DNSNames = append(t.DNSNames, name)
		}
	}
	return t, nil
}

// template is what all certificates here have: a random serial number (RFC 5280
// section 4.1.2.2: positive, at most 20 octets) and a term.
func template(now time.Time, lifetime time.Duration) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, err
	}
	return &x509.Certificate{
		SerialNumber:          serial.Add(serial, big.NewInt(1)),
		NotBefore:             now.Add(-backdate),
		NotAfter:              now.Add(lifetime - backdate),
		BasicConstraintsValid: true,
	}, nil
}

// inTime says that cert is good now and not yet near its end.
func inTime(cert *x509.Certificate, now time.Time) bool {
	return !now.Before(cert.NotBefore) && now.Before(cert.NotAfter.Add(-renewBefore))
}

// covers says that cert has all the names.
func covers(cert *x509.Certificate, names []string) bool {
	have := map[string]bool{}
	for _, name := range cert.DNSNames {
		have[name] = true
	}
	for _, ip := range cert.IPAddresses {
		have[ip.String()] = true
	}
	return !slices.ContainsFunc(names, func(name string) bool { return !have[name] })
}

// canonicalNames gives the names the form that they have in a certificate,
// each once and in their order; bad says why the others can be in none.
func canonicalNames(names []string) (out []string, bad []error) {
	seen := map[string]bool{}
	for _, name := range names {
		c, err := canonicalName(name)
		switch {
		case err != nil:
			bad = append(bad, err)
		case !seen[c]:
			seen[c] = true
			out = append(out, c)
		}
	}
	return out, bad
}

var errNoName = errors.New("a certificate needs a name")

// maxName is the longest domain name, in octets (RFC 1035 section 2.3.4).
const maxName = 253

// canonicalName is an IP address in its one spelling, or a host name in lower case
// and A-labels. ASCII labels are not held to the rules of IDNA: hosts
// named like "r3---sn.example.net" exist.
func canonicalName(name string) (string, error) {
	if ip := net.ParseIP(name); ip != nil {
		return ip.String(), nil
	}
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	if name == "" {
		return "", errNoName
	}
	if strings.ContainsFunc(name, func(r rune) bool { return r >= utf8.RuneSelf }) {
		var err error
		if name, err = idna.Lookup.ToASCII(name); err != nil {
			return "", fmt.Errorf("%q is no name for a certificate: %w", name, err)
		}
	}
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > 63 || len(name) > maxName || label[0] == '-' || label[len(label)-1] == '-' ||
			strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
			return "", fmt.Errorf("%q is no name for a certificate", name)
		}
	}
	return name, nil
}

// DomainNames are the names under which clients and other servers look for
// the services of a mail domain: itself, mail., autoconfig. (Thunderbird),
// autodiscover. (Outlook), ua-auto-config. (PACC) and mta-sts. (RFC 8461 section 3.2).
func DomainNames(domain string) []string {
	return []string{domain, "mail." + domain, "autoconfig." + domain, "autodiscover." + domain, "ua-auto-config." + domain, "mta-sts." + domain}
}

func isAddress(name string) bool { return net.ParseIP(name) != nil }

// LoopbackNames are the names of the machine itself.
func LoopbackNames() []string {
	return []string{"localhost", "127.0.0.1", "::1"}
}
