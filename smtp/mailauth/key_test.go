package mailauth

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"fmt"
	"strings"
	"testing"
)

// TestNewKeys makes keys, keeps them, publishes them, and signs with them.
func TestNewKeys(t *testing.T) {
	for name, c := range map[string]struct {
		make   func() (crypto.Signer, error)
		prefix string
		bits   int
		pieces int
	}{
		"RSA":     {NewRSAKey, "v=DKIM1; k=rsa; s=email:tlsrpt; p=MIIB", 2048, 2},
		"Ed25519": {NewEd25519Key, "v=DKIM1; k=ed25519; s=email:tlsrpt; p=", 256, 1},
	} {
		t.Run(name, func(t *testing.T) {
			key, err := c.make()
			if err != nil {
				t.Fatal(err)
			}
			der, err := MarshalPrivateKey(key)
			if err != nil {
				t.Fatal(err)
			}
			if key, err = ParsePrivateKey(der); err != nil {
				t.Fatal(err)
			}
			record, err := KeyRecord(key.Public())
			if err != nil || !strings.HasPrefix(record, c.prefix) {
				t.Fatalf("record %q, %v", record, err)
			}
			pieces := RecordStrings(record)
			if len(pieces) != c.pieces || strings.Join(pieces, "") != record || len(pieces[0]) > 255 {
				t.Errorf("strings %q", pieces)
			}
			signing := SigningKey{"example.org", "x1", key}
			signature, err := Sign([]SigningKey{signing}, testNow, []byte(forgedHeader), strings.NewReader(forgedBody))
			if err != nil {
				t.Fatal(err)
			}
			zone := &keyZone{texts: map[string][]string{signing.RecordName(): {record}}}
			got := verifyMessage(t, zone, string(signature)+forgedHeader+"\r\n"+forgedBody, 100).DKIM[0]
			if got.Result != Pass || got.KeyBits != c.bits {
				t.Errorf("%+v", got)
			}
		})
	}
}

// TestKeysAreNotPrinted looks for secrets where they would get into a log.
func TestKeysAreNotPrinted(t *testing.T) {
	key := SigningKey{"example.org", "ed", edKey}
	for _, format := range []string{"%v", "%+v", "%s", "%#v"} {
		if got := fmt.Sprintf(format, key); got != "ed._domainkey.example.org" {
			t.Errorf("%s prints %s", format, got)
		}
		if got := fmt.Sprintf(format, []SigningKey{key}); strings.Contains(got, "157") || !strings.Contains(got, "ed._domainkey") {
			t.Errorf("%s prints %s", format, got)
		}
	}
}

// TestForeignKeys are not for DKIM.
func TestForeignKeys(t *testing.T) {
	curve := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	if _, err := ParsePrivateKey(must(x509.MarshalPKCS8PrivateKey(curve))); err == nil {
		t.Error("took an ECDSA key")
	}
	if _, err := ParsePrivateKey([]byte("key")); err == nil {
		t.Error("took some text")
	}
	if _, err := KeyRecord(curve.Public()); err == nil {
		t.Error("published an ECDSA key")
	}
	if _, err := Sign([]SigningKey{{"example.org", "x", curve}}, testNow, []byte(forgedHeader), strings.NewReader("")); err == nil {
		t.Error("signed with an ECDSA key")
	}
}

// TestZoneRecord is what is pasted into a zone file.
func TestZoneRecord(t *testing.T) {
	got := ZoneRecord("x._domainkey.example.org", strings.Repeat("a", 254)+`";\`)
	if want := `x._domainkey.example.org. IN TXT "` + strings.Repeat("a", 254) + `\"" ";\\"`; got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
}

// FuzzKeyRecord parses anything a domain may publish.
func FuzzKeyRecord(f *testing.F) {
	for _, record := range []string{
		must(KeyRecord(edKey.Public())), must(KeyRecord(rsaKey().Public())), "v=DKIM1; p=", "v=spf1 -all", "k=rsa; t=y:s; h=sha256; s=email; n=x=3B; p=" + hugeKey(512), "p=" + hugeKey(4096),
		"v=DKIM1; k=ed25519; p=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
	} {
		f.Add(record)
	}
	s := &signature{method: rsaSHA256, data: make([]byte, 256)}
	f.Fuzz(func(t *testing.T, record string) {
		key, broken := parseKey(record)
		if broken != (verdict{}) {
			return
		}
		if bits := key.bits(); key.method == rsaSHA256 && (bits < minRSABits || bits > maxRSABits) || key.method == ed25519SHA256 && len(key.ed25519) != ed25519.PublicKeySize {
			t.Fatalf("a key of %d bits", bits)
		}
		s.method = key.method
		if key.verify(s, new([32]byte)) == (verdict{}) {
			t.Fatal("a signature of zeros matches")
		}
		if key.method == rsaSHA256 {
			if _, err := KeyRecord(&rsa.PublicKey{N: key.rsa.N, E: key.rsa.E}); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// TestSameKey: a key is the same however its record is written, but not one that is only tried out.
func TestSameKey(t *testing.T) {
	record := must(KeyRecord(edKey.Public()))
	data := record[strings.Index(record, "p=")+2:]
	for other, same := range map[string]bool{
		record: true,
		"k=ed25519;p=" + data[:10] + " " + data[10:]: true,
		"v=DKIM1; k=ed25519; t=y; p=" + data:         false,
		"v=DKIM1; k=ed25519; s=tlsrpt; p=" + data:    false,
		"v=DKIM1; k=ed25519; p=":                     false,
		must(KeyRecord(rsaKey().Public())):           false,
		"v=spf1 -all":                                false,
	} {
		if SameKey(record, other) != same || SameKey(other, record) != same {
			t.Errorf("%s: %v", other, !same)
		}
	}
}
