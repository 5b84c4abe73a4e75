package mailauth

import (
	"encoding/base64"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"mailstead/smtp/dns/dnstest"
)

// The published examples are held by TestSignedGolden, TestSPF and TestDMARC. The
// tests here hold that they can fail: that what is in an example matters.

// TestSignedVectorsCanFail changes each letter and digit of the signed examples of RFC 6376 and RFC
// 8463, one at a time, and each key: no signature over it matches any more.
func TestSignedVectorsCanFail(t *testing.T) {
	for name, signatures := range map[string]int{"rfc6376": 1, "rfc8463": 2} {
		t.Run(name, func(t *testing.T) {
			zone, message := readKeys(t), readMessage(t, "testdata/signed/"+name+".eml")
			fields := regexp.MustCompile(`(?m)^DKIM-Signature:(.*\r\n)([ \t].*\r\n)*`).FindAllStringIndex(message, -1)
			if len(fields) != signatures {
				t.Fatalf("%d signatures", len(fields))
			}
			passed := func(message string) []bool {
				all := make([]bool, signatures)
				for i, d := range verifyMessage(t, zone, message, len(message)).DKIM {
					all[i] = d.Result == Pass
				}
				return all
			}
			for i, ok := range passed(message) {
				if !ok {
					t.Fatalf("signature %d does not match", i+1)
				}
			}
			for at := range message {
				if !isAlnum(message[at]) || strings.HasPrefix(message[at+1:], "=\r\n") || strings.HasPrefix(message[at+1:], "==\r\n") || strings.HasPrefix(message[at+1:], "=;\r\n") {
					continue // of the last digit before the padding some bits say nothing
				}
				if slices.ContainsFunc(fields, func(f []int) bool { return at >= f[0] && at < f[0]+len("DKIM-Signature") }) {
					continue // then it is no signature, and another is the first
				}
				octets := []byte(message)
				octets[at] ^= 1
				for i, ok := range passed(string(octets)) {
					other := at < fields[len(fields)-1][1] && (at < fields[i][0] || at >= fields[i][1]) // another signature, which is not signed
					if ok != other {
						t.Errorf("signature %d with %q instead of %q at %d: pass is %v", i+1, octets[at], message[at], at, ok)
					}
				}
			}
			for key, records := range zone.texts {
				zone.texts[key] = []string{strings.Replace(records[0], "p=MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQ", "p=MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgA", 1)}
				zone.texts[key][0] = strings.Replace(zone.texts[key][0], "p=11q", "p=12q", 1)
			}
			for i, ok := range passed(message) {
				if ok {
					t.Errorf("signature %d matches with another key", i+1)
				}
			}
		})
	}
}

func isAlnum(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

// TestVectorBodyHashes: the hash of each example's body is the one that the example gives, also where its
// key is not published, as in RFC 8617.
func TestVectorBodyHashes(t *testing.T) {
	tag := regexp.MustCompile(`[; \t]bh=([A-Za-z0-9+/= \t\r\n]+);`)
	for name, want := range map[string]struct {
		form   canonicalization
		hashes int
	}{"rfc6376": {simple, 1}, "rfc8463": {relaxed, 2}, "rfc8617": {relaxed, 3}} {
		header, body := cutMessage(readMessage(t, "testdata/signed/"+name+".eml"))
		sum := hashInPieces(want.form, body, 7)
		found := 0
		for _, m := range tag.FindAllStringSubmatch(header, -1) {
			bh := strings.Join(strings.Fields(m[1]), "")
			if len(bh) == 28 {
				continue // SHA-1
			}
			if found++; bh != base64.StdEncoding.EncodeToString(sum[:]) {
				t.Errorf("%s: the body has %x, bh=%s", name, sum, bh)
			}
		}
		if found != want.hashes {
			t.Errorf("%s: %d hashes, want %d", name, found, want.hashes)
		}
	}
}

// without are records of examples that are there to say nothing: they are the point
// of a case that fails with them and without.
var without = map[string]string{
	"testdata/spf/rfc7208-appendix-a.txt": "4.0.0.10.in-addr.arpa. 140.2.0.192.in-addr.arpa.",
	// It is not the organization's, as there is one with fewer labels.
	"testdata/dmarc/rfc9989-appendix-b.txt": "_dmarc.mail.example.net.",
}

// TestExampleRecordsMatter leaves out each record of the examples of RFC 7208 and RFC 9989, one at
// a time: each time something else comes of some case.
func TestExampleRecordsMatter(t *testing.T) {
	for file, silent := range without {
		t.Run(filepath.Base(file), func(t *testing.T) {
			s := readScenario(t, file)
			whole := s.outcomes(t, s.zone)
			records := strings.SplitAfter(s.zone, "\n")
			for i, record := range records {
				name, _, _ := strings.Cut(record, " ")
				if name == "" || name[0] == ';' {
					continue
				}
				matters := s.outcomes(t, strings.Join(records[:i], "")+strings.Join(records[i+1:], "")) != whole
				if says := !strings.Contains(" "+silent+" ", " "+name+" "); matters != says {
					t.Errorf("%q: it matters: %v", record, matters)
				}
			}
		})
	}
}

// outcomes are what comes of all cases with a zone, as text.
func (s scenario) outcomes(t *testing.T, zone string) string {
	t.Helper()
	server, err := dnstest.Start(zone)
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	resolver := resolverOf(t, server)
	spf, dmarc := newSPF(resolver), &DMARC{Resolver: resolver}
	var b strings.Builder
	for _, c := range s.cases {
		if strings.Contains(strings.Join(c.words, " "), " = ") {
			got, _ := checkDMARC(t, dmarc, c.words)
			fmt.Fprintln(&b, got.Result, got.Policy, got.Domain, got.Organization)
			continue
		}
		got := checkSPF(t, spf, c.words)
		fmt.Fprintln(&b, got.Result, got.Mechanism, got.Explanation)
	}
	return b.String()
}
