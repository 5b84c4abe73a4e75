package mailauth

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// benchMessage is a letter of some octets, signed as providers do: RSA of 2048
// bits, and Ed25519.
func benchMessage(b *testing.B, size int) (header, body []byte, zone *keyZone, keys []SigningKey) {
	rsaKey := must(NewRSAKey())
	keys = []SigningKey{{"example.org", "rsa", rsaKey}, {"example.org", "ed", edKey}}
	zone = testZone()
	zone.texts["rsa._domainkey.example.org"] = []string{must(KeyRecord(rsaKey.Public()))}
	line := "The quick brown fox jumps over the lazy dog, and it does so once more.\r\n"
	body = []byte(strings.Repeat(line, size/len(line)+1)[:size-2] + "\r\n")
	letter := strings.Repeat("Received: from a.example (a.example [192.0.2.1])\r\n\tby b.example with ESMTPS; Sun, 1 Mar 2026 11:59:00 +0000\r\n", 4) +
		forgedHeader + "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nMessage-ID: <x@example.org>\r\n\r\n"
	signatures, err := Sign(keys, testNow, []byte(letter), bytes.NewReader(body))
	if err != nil {
		b.Fatal(err)
	}
	return append(signatures, letter...), body, zone, keys
}

// BenchmarkVerify is everything between header and results, with keys that are
// known at once, for a message without a signature, with one of a kind, and with both.
func BenchmarkVerify(b *testing.B) {
	for _, size := range []int{10 << 10, 1 << 20} {
		header, body, zone, _ := benchMessage(b, size)
		fields, _, _ := splitHeader(header, nil)
		for name, header := range map[string][]byte{
			"unsigned": slices.Concat(header[len(fields[0].raw)+len(fields[1].raw):]),
			"rsa":      slices.Concat(fields[0].raw, header[len(fields[0].raw)+len(fields[1].raw):]),
			"ed25519":  header[len(fields[0].raw):],
			"both":     header,
		} {
			b.Run(fmt.Sprintf("%dK/%s", size>>10, name), func(b *testing.B) {
				b.SetBytes(int64(len(header) + len(body)))
				b.ReportAllocs()
				for b.Loop() {
					v := NewVerifier(context.Background(), Options{Resolver: zone, Now: func() time.Time { return testNow }}, header)
					for chunk := range slices.Chunk(body, 32<<10) {
						v.Write(chunk)
					}
					if r := v.Finish(); slices.ContainsFunc(r.DKIM, func(d DKIMResult) bool { return d.Result != Pass }) {
						b.Fatal(r)
					}
					v.Close()
				}
			})
		}
	}
}

// BenchmarkSignatureMathematics is what no verifier can do without: the hash
// of a body of 10 KB, and the signatures themselves.
func BenchmarkSignatureMathematics(b *testing.B) {
	_, body, _, keys := benchMessage(b, 10<<10)
	sum := sha256.Sum256(body)
	rsaPublic := keys[0].Private.Public().(*rsa.PublicKey)
	rsaSignature, edSignature := signText(keys[0].Private, string(body)), signText(edKey, string(body))
	b.Run("sha256-10K", func(b *testing.B) {
		for b.Loop() {
			sum = sha256.Sum256(body)
		}
	})
	b.Run("rsa-2048", func(b *testing.B) {
		for b.Loop() {
			if rsa.VerifyPKCS1v15(rsaPublic, crypto.SHA256, sum[:], rsaSignature) != nil {
				b.Fatal("does not match")
			}
		}
	})
	b.Run("ed25519", func(b *testing.B) {
		for b.Loop() {
			if !ed25519.Verify(edKey.Public().(ed25519.PublicKey), sum[:], edSignature) {
				b.Fatal("does not match")
			}
		}
	})
}

// BenchmarkSign signs with both keys.
func BenchmarkSign(b *testing.B) {
	header, body, _, keys := benchMessage(b, 10<<10)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Sign(keys, testNow, header, bytes.NewReader(body)); err != nil {
			b.Fatal(err)
		}
	}
}
