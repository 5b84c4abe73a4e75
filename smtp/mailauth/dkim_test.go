package mailauth

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"time"

	"mailstead/smtp/dns"
)

// keyZone is a DNS that has TXT records only.
type keyZone struct {
	texts map[string][]string
	fail  error // of every look-up

	mu    sync.Mutex
	asked map[string]int
}

func (z *keyZone) LookupTXT(ctx context.Context, name string) (dns.Answer[string], error) {
	z.mu.Lock()
	if z.asked == nil {
		z.asked = map[string]int{}
	}
	z.asked[name]++
	z.mu.Unlock()
	if z.fail != nil {
		return dns.Answer[string]{}, z.fail
	}
	if texts := z.texts[name]; len(texts) > 0 {
		return dns.Answer[string]{Records: texts, Authentic: strings.HasSuffix(name, ".secure.example")}, nil
	}
	return dns.Answer[string]{}, &dns.Error{Name: name, Type: "TXT", NotFound: true}
}

// The keys of RFC 8463 appendix A.1, which is all that tests need of keys.
var (
	edKey = ed25519.NewKeyFromSeed(must(base64.StdEncoding.DecodeString("nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=")))

	rsaKey = sync.OnceValue(func() *rsa.PrivateKey {
		block, _ := pem.Decode(must(os.ReadFile("testdata/rfc8463.pem")))
		return must(x509.ParsePKCS1PrivateKey(block.Bytes))
	})
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// testZone has the keys of example.org: ed and rsa.
func testZone() *keyZone {
	return &keyZone{texts: map[string][]string{
		"ed._domainkey.example.org":            {must(KeyRecord(edKey.Public()))},
		"rsa._domainkey.example.org":           {must(KeyRecord(rsaKey().Public()))},
		"ed._domainkey.xn--bcher-kva.example":  {must(KeyRecord(edKey.Public()))},
		"ed._domainkey.secure.example":         {must(KeyRecord(edKey.Public()))},
		"xn--bcher-kva._domainkey.example.org": {must(KeyRecord(edKey.Public()))},
	}}
}

var testNow = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// verifyMessage verifies a message that arrives in pieces of some octets.
func verifyMessage(t testing.TB, zone Resolver, message string, piece int) Results {
	t.Helper()
	header, body := cutMessage(message)
	v := NewVerifier(t.Context(), Options{Resolver: zone, Now: func() time.Time { return testNow }}, []byte(header))
	defer v.Close()
	for chunk := range slices.Chunk([]byte(body), piece) {
		if n, err := v.Write(chunk); n != len(chunk) || err != nil {
			t.Fatalf("Write: %d, %v", n, err)
		}
	}
	return v.Finish()
}

// cutMessage cuts behind the empty line.
func cutMessage(message string) (header, body string) {
	if i := strings.Index(message, "\r\n\r\n"); i >= 0 {
		return message[:i+4], message[i+4:]
	}
	return message, ""
}

// The canonical forms once more, as RFC 6376 section 3.4 describes them: slow
// and simple.
var spaces = regexp.MustCompile(`[ \t]+`)

func withoutLastLines(body string) string {
	for strings.HasSuffix(body, "\r\n") {
		body = body[:len(body)-2]
	}
	return body
}

func slowBody(form canonicalization, body string) string {
	if form == simple {
		return withoutLastLines(body) + "\r\n"
	}
	lines := strings.Split(body, "\r\n")
	for i, line := range lines {
		lines[i] = strings.TrimSuffix(spaces.ReplaceAllString(line, " "), " ")
	}
	if body = withoutLastLines(strings.Join(lines, "\r\n")); body == "" {
		return ""
	}
	return body + "\r\n"
}

func slowField(form canonicalization, field string) string {
	if form == simple {
		return field
	}
	name, value, _ := strings.Cut(field, ":")
	value = strings.ReplaceAll(value, "\r\n", "")
	return strings.ToLower(strings.TrimRight(name, " \t")) + ":" + strings.Trim(spaces.ReplaceAllString(value, " "), " ") + "\r\n"
}

// forgery is a signed message to be made, with whatever is wrong with it.
type forgery struct {
	tags         string // of the signature but b=; "bh=@" stands for the right hash
	header, body string
	forms        [2]canonicalization // how it is signed
	length       int                 // octets of the body that are signed, -1 all
	key          crypto.Signer
}

const (
	forgedTags   = "v=1; a=ed25519-sha256; c=relaxed/relaxed; d=example.org; s=ed; h=from:to:subject:date; bh=@"
	forgedHeader = "From: Ann <ann@example.org>\r\nTo: bob@example.net\r\nSubject:  A  question\r\nDate: Sun, 1 Mar 2026 11:59:00 +0000\r\n"
	forgedBody   = "Hello  Bob,\r\n\r\n\tdo you come? \r\n\r\n\r\n"
)

// newForgery is one that verifies; edits replace words of its tags, in pairs.
func newForgery(edits ...string) forgery {
	tags := forgedTags
	for i := 0; i < len(edits); i += 2 {
		tags = strings.Replace(tags, edits[i], edits[i+1], 1)
	}
	return forgery{tags: tags, header: forgedHeader, body: forgedBody, forms: [2]canonicalization{relaxed, relaxed}, length: -1, key: edKey}
}

// field is the signature.
func (f forgery) field(name string) string {
	body := slowBody(f.forms[1], f.body)
	if f.length >= 0 {
		body = body[:min(f.length, len(body))]
	}
	sum := sha256.Sum256([]byte(body))
	tags := strings.Replace(f.tags, "bh=@", "bh="+base64.StdEncoding.EncodeToString(sum[:]), 1)
	unsigned := name + ": " + tags + "; b="
	var signed strings.Builder
	names := regexp.MustCompile(`\bh=([^;]*)`).FindStringSubmatch(tags)
	if names != nil {
		signed.WriteString(f.signedFields(strings.Split(names[1], ":")))
	}
	signed.WriteString(strings.TrimSuffix(slowField(f.forms[0], unsigned), "\r\n"))
	return unsigned + base64.StdEncoding.EncodeToString(signText(f.key, signed.String())) + "\r\n"
}

// signedFields are the fields that h= chooses, in their canonical form.
func (f forgery) signedFields(names []string) string {
	fields := regexp.MustCompile(`(?m)^.*\r\n(?:[ \t].*\r\n)*`).FindAllString(f.header, -1)
	var out strings.Builder
	for _, name := range names {
		name = strings.TrimSpace(name)
		for i, field := range slices.Backward(fields) {
			if have, _, _ := strings.Cut(field, ":"); strings.EqualFold(strings.TrimSpace(have), name) {
				out.WriteString(slowField(f.forms[0], field))
				fields = slices.Delete(slices.Clone(fields), i, i+1)
				break
			}
		}
	}
	return out.String()
}

func signText(key crypto.Signer, text string) []byte {
	sum := sha256.Sum256([]byte(text))
	if _, ok := key.(ed25519.PrivateKey); ok {
		return must(key.Sign(nil, sum[:], crypto.Hash(0)))
	}
	return must(key.Sign(rand.Reader, sum[:], crypto.SHA256))
}

func (f forgery) message() string {
	return f.field("DKIM-Signature") + f.header + "\r\n" + f.body
}

// with makes other forgeries of one.
func (f forgery) with(change func(*forgery)) forgery {
	change(&f)
	return f
}

// TestVerify has a case for each rule of RFC 6376 that a signature can break.
func TestVerify(t *testing.T) {
	long := strings.Repeat("x:", maxSignedNames)
	for _, c := range []struct {
		name   string
		f      forgery
		change [2]string // of the signed message: what is replaced, and by what
		want   verdict   // the zero value is Pass
	}{
		{name: "as it was sent", f: newForgery()},
		{name: "RSA", f: newForgery("ed25519-sha256", "rsa-sha256", "s=ed", "s=rsa").with(func(f *forgery) { f.key = rsaKey() })},
		{name: "simple", f: newForgery("relaxed/relaxed", "simple/simple").with(func(f *forgery) { f.forms = [2]canonicalization{} })},
		{name: "one form is for the header", f: newForgery("relaxed/relaxed", "relaxed").with(func(f *forgery) { f.forms[1] = simple })},
		{name: "no form is simple", f: newForgery("c=relaxed/relaxed; ", "").with(func(f *forgery) { f.forms = [2]canonicalization{} })},
		{name: "folded anywhere", f: newForgery("; h=from:to:", " ;\r\n\t h= from :\r\n  to : ", "d=", "d = \r\n ")},
		{name: "unknown tag", f: newForgery("v=1", "v=1; zz=what=ever")},
		{name: "other order", f: newForgery("v=1; ", "", "bh=@", "bh=@; v=1")},
		{name: "empty place", f: newForgery("v=1; ", "v=1;; ")},
		{name: "from above signed again", f: newForgery("h=from:", "h=from:from:")},
		{name: "header changed", f: newForgery(), change: [2]string{"A  question", "An answer"}, want: badSignature},
		{name: "white space changed", f: newForgery(), change: [2]string{"A  question", " A\r\n question "}},
		{name: "white space changed, simple", f: newForgery("relaxed/relaxed", "simple/relaxed").with(func(f *forgery) { f.forms[0] = simple }), change: [2]string{"A  question", "A question"}, want: badSignature},
		{name: "body changed", f: newForgery(), change: [2]string{"Bob,", "Rob,"}, want: badBody},
		{name: "body longer", f: newForgery(), change: [2]string{"come? ", "come?\r\nPS."}, want: badBody},
		{name: "empty lines at the end", f: newForgery(), change: [2]string{"come? \r\n", "come?\r\n\r\n\r\n\r\n"}},
		{name: "signature changed", f: newForgery(), change: [2]string{"d=example.org", "D=example.org"}, want: missingTag},
		{name: "tag added", f: newForgery(), change: [2]string{"v=1;", "v=1; n=x;"}, want: badSignature},
		{name: "b= is no base64", f: newForgery(), change: [2]string{"; b=", "; b=*"}, want: badSyntax},
		{name: "b= is empty", f: newForgery(), change: [2]string{"; b=", "; b=; z="}, want: missingTag},
		{name: "an added field that is guarded", f: newForgery("subject", "subject:subject"), change: [2]string{"Date:", "Subject: no\r\nDate:"}, want: badSignature},
		{name: "an added field that is not", f: newForgery(), change: [2]string{"\r\nTo:", "\r\nReply-To: eve@example.com\r\nTo:"}},
		{name: "another From above", f: newForgery(), change: [2]string{"From:", "From: eve@example.com\r\nFrom:"}, want: moreFrom},
		{name: "another From below", f: newForgery(), change: [2]string{"Date:", "From: eve@example.com\r\nDate:"}, want: badSignature},
		{name: "a line that is no field hides the body", f: newForgery(), change: [2]string{"+0000\r\n", "+0000\r\nClick here!\r\n"}, want: badBody},
		{name: "SHA-1", f: newForgery("ed25519-sha256", "rsa-sha1"), want: historicMethod},
		{name: "unknown algorithm", f: newForgery("ed25519-sha256", "ed448-sha512"), want: unknownMethod},
		{name: "no version", f: newForgery("v=1; ", ""), want: missingTag},
		{name: "another version", f: newForgery("v=1", "v=1.0"), want: badVersion},
		{name: "no algorithm", f: newForgery("a=ed25519-sha256; ", ""), want: missingTag},
		{name: "no domain", f: newForgery("d=example.org; ", ""), want: missingTag},
		{name: "no selector", f: newForgery("s=ed; ", ""), want: missingTag},
		{name: "no body hash", f: newForgery("bh=@", "q=dns/txt"), want: missingTag},
		{name: "no names", f: newForgery("h=from:to:subject:date; ", ""), want: missingTag},
		{name: "a tag twice", f: newForgery("s=ed", "s=ed; s=ed"), want: badSyntax},
		{name: "an unknown tag twice", f: newForgery("s=ed", "y=1; s=ed; y=1"), want: badSyntax},
		{name: "no tag list", f: newForgery("s=ed", "s=ed; what"), want: badSyntax},
		{name: "too many tags", f: newForgery("s=ed", "s=ed"+manyTags(maxTags)), want: badSyntax},
		{name: "a control character", f: newForgery("s=ed", "s=ed; n=\x01"), want: badSyntax},
		{name: "body hash too short", f: newForgery("bh=@", "bh=AAAA"), want: badSyntax},
		{name: "unknown form", f: newForgery("relaxed/relaxed", "relaxed/nofws"), want: unknownForm},
		{name: "known query", f: newForgery("s=ed", "s=ed; q=dns/txt")},
		{name: "one known query", f: newForgery("s=ed", "s=ed; q=http/get : dns/txt")},
		{name: "unknown query", f: newForgery("s=ed", "s=ed; q=http/get"), want: unknownQuery},
		{name: "From not signed", f: newForgery("h=from:", "h="), want: fromNotSigned},
		{name: "an empty name", f: newForgery("to:", "to::"), want: badSyntax},
		{name: "too many names", f: newForgery("h=from:", "h=from:"+long), want: badSyntax},
		{name: "as many names as may be", f: newForgery("h=from:", "h=from:"+long[:2*(maxSignedNames-4)])},
		{name: "a large field", f: newForgery("s=ed", "s=ed; z="+strings.Repeat("z", maxSignatureField)), want: badSyntax},
		{name: "a domain of one label", f: newForgery("example.org", "org"), want: badSyntax},
		{name: "a domain with final dot", f: newForgery("example.org", "example.org."), want: badSyntax},
		{name: "no domain name", f: newForgery("example.org", "example..org"), want: badSyntax},
		{name: "capital letters", f: newForgery("example.org", "EXAMPLE.org", "s=ed", "s=ED")},
		{name: "a domain in Unicode", f: newForgery("example.org", "bücher.example")},
		{name: "a selector in Unicode", f: newForgery("s=ed", "s=bücher")},
		{name: "the user", f: newForgery("s=ed", "s=ed; i=ann=2Bx@example.org")},
		{name: "a subdomain's user", f: newForgery("s=ed", "s=ed; i=@mail.Example.org")},
		{name: "somebody else's user", f: newForgery("s=ed", "s=ed; i=ann@badexample.org"), want: foreignAgent},
		{name: "the parent's user", f: newForgery("s=ed", "s=ed; i=ann@org"), want: foreignAgent},
		{name: "a user without domain", f: newForgery("s=ed", "s=ed; i=ann"), want: badSyntax},
		{name: "a user that cannot be decoded", f: newForgery("s=ed", "s=ed; i=ann=2@example.org"), want: badSyntax},
		{name: "expired", f: newForgery("s=ed", "s=ed; t=1772366000; x=1772366399"), want: expired},
		{name: "expires now", f: newForgery("s=ed", "s=ed; x=1772366400")},
		{name: "expires before it was signed", f: newForgery("s=ed", "s=ed; t=1872366000; x=1872366000"), want: badSyntax},
		{name: "signed in the future", f: newForgery("s=ed", "s=ed; t=1872366000")},
		{name: "no time", f: newForgery("s=ed", "s=ed; t=-1"), want: badSyntax},
		{name: "endless time", f: newForgery("s=ed", "s=ed; x=1000000000000"), want: badSyntax},
		{name: "all of the body", f: newForgery("s=ed", "s=ed; l=29").with(func(f *forgery) { f.length = 29 })},
		{name: "part of the body", f: newForgery("s=ed", "s=ed; l=20").with(func(f *forgery) { f.length = 20 }), want: unsignedEnd},
		{name: "nothing of the body", f: newForgery("s=ed", "s=ed; l=0").with(func(f *forgery) { f.length = 0 }), want: unsignedEnd},
		{name: "more than the body", f: newForgery("s=ed", "s=ed; l=30"), want: shortBody},
		{name: "an endless body", f: newForgery("s=ed", "s=ed; l="+strings.Repeat("9", 76)), want: shortBody},
		{name: "a length too long", f: newForgery("s=ed", "s=ed; l="+strings.Repeat("9", 77)), want: badSyntax},
		{name: "a length that is none", f: newForgery("s=ed", "s=ed; l=0x10"), want: badSyntax},
		{name: "no key", f: newForgery("s=ed", "s=other"), want: noKey},
		{name: "the key of another kind", f: newForgery("s=ed", "s=rsa"), want: otherKey},
		{name: "no name in the DNS", f: newForgery("s=ed", "s="+strings.Repeat("x.", 120)+"x"), want: noKey},
		{name: "no body", f: newForgery().with(func(f *forgery) { f.body = "" })},
		{name: "a body without line end", f: newForgery().with(func(f *forgery) { f.body = "Hi" })},
		{name: "its own name among the names", f: newForgery("h=from:", "h=dkim-signature:from:")},
	} {
		t.Run(c.name, func(t *testing.T) {
			message := changed(t, c.f.message(), c.change)
			want := c.want
			if want == (verdict{}) {
				want.result = Pass
			}
			for _, piece := range []int{1, 2, 7, 1 << 20} {
				r := verifyMessage(t, testZone(), message, piece)
				if len(r.DKIM) != 1 || r.DKIM[0].Result != want.result || r.DKIM[0].Reason != want.reason {
					t.Fatalf("in pieces of %d: %+v, want %+v\n%s", piece, r.DKIM, want, message)
				}
			}
		})
	}
}

func manyTags(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "; y%d=1", i)
	}
	return b.String()
}

// TestVerifySays looks at what a result tells beside pass.
func TestVerifySays(t *testing.T) {
	f := newForgery("d=example.org", "d=Secure.Example", "s=ed", "s=ed; l=20; i=ann@mail.secure.example").with(func(f *forgery) { f.length = 20 })
	message := f.message()
	got := verifyMessage(t, testZone(), message, 100).DKIM[0]
	prefix := regexp.MustCompile(`; b=(.{8})`).FindStringSubmatch(message)[1]
	want := DKIMResult{Result: Policy, Reason: unsignedEnd.reason, Domain: "secure.example", Selector: "ed", Identity: "ann@mail.secure.example",
		Algorithm: "ed25519-sha256", KeyBits: 256, Prefix: prefix, Unsigned: 9, Authentic: true}
	if got != want {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

// TestVerifyKeys has a case for each rule of key records.
func TestVerifyKeys(t *testing.T) {
	ed := base64.StdEncoding.EncodeToString(edKey.Public().(ed25519.PublicKey))
	pkix := base64.StdEncoding.EncodeToString(must(x509.MarshalPKIXPublicKey(rsaKey().Public())))
	pkcs1 := base64.StdEncoding.EncodeToString(x509.MarshalPKCS1PublicKey(&rsaKey().PublicKey))
	edSigned := newForgery()
	rsaSigned := newForgery("ed25519-sha256", "rsa-sha256").with(func(f *forgery) { f.key = rsaKey() })
	sub := newForgery("s=ed", "s=ed; i=@sub.example.org")
	broken := newForgery("bh=@", "bh="+base64.StdEncoding.EncodeToString(make([]byte, 32)))
	for _, c := range []struct {
		name    string
		f       forgery
		records []string
		want    verdict
		testing bool
	}{
		{name: "plain", f: edSigned, records: []string{"v=DKIM1; k=ed25519; p=" + ed}},
		{name: "without version, with notes", f: edSigned, records: []string{"k=ed25519; n=a note; g=*; p=" + ed + ";"}},
		{name: "white space in the key", f: edSigned, records: []string{"k=ed25519; p=" + ed[:9] + " \t " + ed[9:]}},
		{name: "RSA by default", f: rsaSigned, records: []string{"p=" + pkix}},
		{name: "RSA named", f: rsaSigned, records: []string{"v=DKIM1; k=rsa; p=" + pkix}},
		{name: "RSA without wrapping", f: rsaSigned, records: []string{"v=DKIM1; p=" + pkcs1}},
		{name: "another version", f: edSigned, records: []string{"v=DKIM2; k=ed25519; p=" + ed}, want: badKey},
		{name: "version not first", f: edSigned, records: []string{"k=ed25519; v=DKIM1; p=" + ed}, want: badKey},
		{name: "no record of a key", f: edSigned, records: []string{"v=spf1 -all"}, want: badKey},
		{name: "some text", f: edSigned, records: []string{"hello"}, want: badKey},
		{name: "the second is one", f: edSigned, records: []string{"v=spf1 -all", "k=ed25519; p=" + ed}},
		{name: "no key", f: edSigned, records: []string{"v=DKIM1; k=ed25519"}, want: badKey},
		{name: "revoked", f: edSigned, records: []string{"v=DKIM1; k=ed25519; p="}, want: revokedKey},
		{name: "no base64", f: edSigned, records: []string{"k=ed25519; p=!"}, want: badKey},
		{name: "too short for its type", f: edSigned, records: []string{"k=ed25519; p=" + base64.StdEncoding.EncodeToString(make([]byte, 31))}, want: badKey},
		{name: "unknown type", f: edSigned, records: []string{"k=ed448; p=" + ed}, want: otherKey},
		{name: "type of another", f: rsaSigned, records: []string{"k=ed25519; p=" + ed}, want: otherKey},
		{name: "no RSA key", f: rsaSigned, records: []string{"p=" + ed}, want: badKey},
		{name: "a key of another kind as RSA", f: rsaSigned, records: []string{"p=" + base64.StdEncoding.EncodeToString(must(x509.MarshalPKIXPublicKey(edKey.Public())))}, want: badKey},
		{name: "1016 bits", f: rsaSigned, records: []string{"p=" + hugeKey(1016)}, want: smallKey},
		{name: "8192 bits", f: rsaSigned, records: []string{"p=" + hugeKey(8192)}, want: largeKey},
		{name: "4096 bits", f: rsaSigned, records: []string{"p=" + hugeKey(4096)}, want: badSignature},
		{name: "endless", f: rsaSigned, records: []string{"p=" + hugeKey(65536)}, want: badKey},
		{name: "for SHA-256", f: edSigned, records: []string{"h=sha1 : sha256; k=ed25519; p=" + ed}},
		{name: "for SHA-1", f: edSigned, records: []string{"h=sha1; k=ed25519; p=" + ed}, want: otherHash},
		{name: "for mail", f: edSigned, records: []string{"s=x:email; k=ed25519; p=" + ed}},
		{name: "for all", f: edSigned, records: []string{"s=*; k=ed25519; p=" + ed}},
		{name: "for something else", f: edSigned, records: []string{"s=tlsrpt; k=ed25519; p=" + ed}, want: otherService},
		{name: "trying", f: edSigned, records: []string{"t=y; k=ed25519; p=" + ed}, testing: true},
		{name: "trying and failing", f: broken, records: []string{"t=s:y; k=ed25519; p=" + ed}, want: verdict{Neutral, badBody.reason}, testing: true},
		{name: "failing", f: broken, records: []string{"k=ed25519; p=" + ed}, want: badBody},
		{name: "strict, same domain", f: edSigned, records: []string{"t=s; k=ed25519; p=" + ed}},
		{name: "strict, subdomain", f: sub, records: []string{"t=s; k=ed25519; p=" + ed}, want: otherAgent},
		{name: "not strict, subdomain", f: sub, records: []string{"k=ed25519; p=" + ed}},
	} {
		t.Run(c.name, func(t *testing.T) {
			zone := &keyZone{texts: map[string][]string{"ed._domainkey.example.org": c.records}}
			got := verifyMessage(t, zone, c.f.message(), 1000).DKIM[0]
			want := c.want
			if want == (verdict{}) {
				want.result = Pass
			}
			if got.Result != want.result || got.Reason != want.reason || got.Testing != c.testing {
				t.Errorf("got %+v, want %+v", got, want)
			}
		})
	}
}

// hugeKey is a public key of a length, which nobody has the private half of.
func hugeKey(bits uint) string {
	n := new(big.Int).Lsh(big.NewInt(1), bits-1)
	n.SetBit(n, 0, 1)
	return base64.StdEncoding.EncodeToString(must(x509.MarshalPKIXPublicKey(&rsa.PublicKey{N: n, E: 65537})))
}

// TestVerifyWithoutAnswers is about look-ups that fail.
func TestVerifyWithoutAnswers(t *testing.T) {
	for _, c := range []struct {
		name string
		err  error
		want verdict
	}{
		{"not now", &dns.Error{Temporary: true, Err: errors.New("no answer")}, noKeyNow},
		{"never", &dns.Error{NotFound: true, NoName: true}, noKey},
		{"not in this house", &dns.Error{Temporary: true, Err: dns.ErrDisabled}, notLookedUp},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := verifyMessage(t, &keyZone{fail: c.err}, newForgery().message(), 100)
			if r.DKIM[0].Result != c.want.result || r.DKIM[0].Reason != c.want.reason {
				t.Errorf("got %+v, want %+v", r.DKIM[0], c.want)
			}
		})
	}
}

// slowResolver answers when its context ends.
type slowResolver struct {
	started chan struct{}
	ended   *atomic.Bool
}

func (s slowResolver) LookupTXT(ctx context.Context, name string) (dns.Answer[string], error) {
	s.started <- struct{}{}
	<-ctx.Done()
	s.ended.Store(true)
	return dns.Answer[string]{}, &dns.Error{Name: name, Type: "TXT", Temporary: true, Err: context.Cause(ctx)}
}

// TestCloseEndsLookups gives a message up while its key is looked up.
func TestCloseEndsLookups(t *testing.T) {
	slow := slowResolver{make(chan struct{}, 1), new(atomic.Bool)}
	v := NewVerifier(t.Context(), Options{Resolver: slow}, []byte(newForgery().message()))
	<-slow.started
	if v.Close(); !slow.ended.Load() {
		t.Error("the look-up goes on")
	}
}

// TestVerifierRoom: a message has the room of those before it, and nothing else of them.
func TestVerifierRoom(t *testing.T) {
	zone := testZone()
	good := newForgery()
	odd := strings.Repeat(good.field("DKIM-Signature"), MaxSignatures) + good.message()
	want := map[string]Results{}
	for range 3 {
		for _, message := range []string{good.message(), odd, "Subject: unsigned\r\n\r\nx\r\n", strings.Replace(good.message(), "bh=", "bh=x", 1)} {
			got := verifyMessage(t, zone, message, 1000)
			if first, again := want[message]; again && !reflect.DeepEqual(got, first) {
				t.Errorf("%.60q: %+v, and first %+v", message, got, first)
			}
			want[message] = got
		}
	}
	v := verifiers.New().(*Verifier)
	v.picker.fields, _, _ = splitHeader([]byte(good.header), nil)
	v.findSignatures(true)
	v.forget()
	for _, f := range v.picker.fields[:cap(v.picker.fields)] {
		if f.raw != nil {
			t.Fatalf("%q is kept", f.raw)
		}
	}
	for _, c := range v.dkim[:cap(v.dkim)] {
		if c.field != nil || c.result != (DKIMResult{}) {
			t.Fatalf("%+v is kept", c)
		}
	}
}

// TestManySignatures is about messages that want to cost us something.
func TestManySignatures(t *testing.T) {
	good := newForgery()
	zone := testZone()
	r := verifyMessage(t, zone, strings.Repeat(good.field("DKIM-Signature"), 5000)+good.header+"\r\n"+good.body, 1000)
	if len(r.DKIM) != MaxSignatures || r.Ignored != maxFields-MaxSignatures {
		t.Errorf("header of 5000 fields: %d results, %d more", len(r.DKIM), r.Ignored)
	}
	for _, d := range r.DKIM {
		if d.Result != Neutral || d.Reason != headerTooLarge.reason {
			t.Errorf("header of 5000 fields: %+v", d)
		}
	}
	if len(zone.asked) != 0 {
		t.Errorf("asked for %v", zone.asked)
	}
	r = verifyMessage(t, zone, strings.Repeat(good.field("DKIM-Signature"), 500)+good.header+"\r\n"+good.body, 1000)
	if len(r.DKIM) != MaxSignatures || r.Ignored != 490 {
		t.Errorf("500 signatures: %d results, %d more", len(r.DKIM), r.Ignored)
	}
	for _, d := range r.DKIM {
		if d.Result != Pass {
			t.Errorf("500 signatures: %+v", d)
		}
	}
	if n := zone.asked["ed._domainkey.example.org"]; n != 1 {
		t.Errorf("a key was looked up %d times", n)
	}
	last := r.AppendMethods(nil)[MaxSignatures]
	if last.Result != Neutral || last.Reason != "490 more signatures were not judged" {
		t.Errorf("the rest is told as %+v", last)
	}
}

// TestUnsigned is about mail that nobody signed.
func TestUnsigned(t *testing.T) {
	r := verifyMessage(t, &keyZone{}, forgedHeader+"\r\n"+forgedBody, 10)
	if len(r.DKIM) != 0 || r.ARC.Result != None {
		t.Errorf("%+v", r)
	}
	if m := r.AppendMethods(nil); len(m) != 1 || m[0].Method != "dkim" || m[0].Result != None {
		t.Errorf("%+v", m)
	}
}

// TestSign signs with both keys, and lets other hands change what arrives.
func TestSign(t *testing.T) {
	keys := []SigningKey{{"example.org", "rsa", rsaKey()}, {"example.org", "ed", edKey}}
	header := forgedHeader + "MIME-Version: 1.0\r\nX-Other: one\r\n\r\n"
	signatures, err := Sign(keys, testNow, []byte(header), iotest.OneByteReader(strings.NewReader(forgedBody)))
	if err != nil {
		t.Fatal(err)
	}
	for line := range bytes.Lines(signatures) {
		if len(line) > 80 || !bytes.HasSuffix(line, crlf) {
			t.Errorf("line of %d octets: %q", len(line), line)
		}
	}
	message := string(signatures) + header + forgedBody
	check := func(name, message string, want Result) {
		t.Helper()
		r := verifyMessage(t, testZone(), message, 1000)
		if len(r.DKIM) != 2 || r.DKIM[0].Result != want || r.DKIM[1].Result != want {
			t.Errorf("%s: %+v, want %s", name, r.DKIM, want)
		}
		if r.DKIM[0].Algorithm != "rsa-sha256" || r.DKIM[1].Algorithm != "ed25519-sha256" || r.DKIM[0].Domain != "example.org" {
			t.Errorf("%s: %+v", name, r.DKIM)
		}
	}
	check("as sent", message, Pass)
	check("refolded", strings.Replace(message, "A  question", "\r\n\tA question", 1), Pass)
	check("an unsigned field", strings.Replace(message, "X-Other: one\r\n", "List-Id: <x.example.com>\r\n", 1), Pass)
	for _, f := range signedFields {
		if f.guarded {
			check("added "+f.name, strings.Replace(message, "X-Other: one\r\n", f.name+": x\r\n", 1), Fail)
		}
	}
	check("body", message+"x", Fail)
}

// TestSignRefuses is about what cannot be signed.
func TestSignRefuses(t *testing.T) {
	key := SigningKey{"example.org", "ed", edKey}
	if _, err := Sign([]SigningKey{key}, testNow, []byte(strings.Repeat("a: b\r\n", maxFields+1)), strings.NewReader("")); !errors.Is(err, ErrHeaderTooLarge) {
		t.Errorf("large header: %v", err)
	}
	broken := errors.New("disk")
	if _, err := Sign([]SigningKey{key}, testNow, []byte(forgedHeader), iotest.ErrReader(broken)); !errors.Is(err, broken) {
		t.Errorf("unreadable body: %v", err)
	}
	small := &rsa.PrivateKey{PublicKey: rsa.PublicKey{N: new(big.Int).Lsh(big.NewInt(1), 511), E: 65537}}
	if _, err := Sign([]SigningKey{{"example.org", "x", small}}, testNow, []byte(forgedHeader), strings.NewReader("")); err == nil {
		t.Error("signed with 512 bits")
	}
}

// TestManyRecipientFields signs a message that has more fields of a name than
// are named.
func TestManyRecipientFields(t *testing.T) {
	header := strings.Repeat("To: x@example.net\r\n", 500) + forgedHeader
	signatures, err := Sign([]SigningKey{{"example.org", "ed", edKey}}, testNow, []byte(header), strings.NewReader(forgedBody))
	if err != nil {
		t.Fatal(err)
	}
	if r := verifyMessage(t, testZone(), string(signatures)+header+"\r\n"+forgedBody, 99); r.DKIM[0].Result != Pass {
		t.Errorf("%+v", r.DKIM)
	}
}

// changed has the first of two texts in a message replaced by the second one; an empty
// one changes nothing.
func changed(t *testing.T, message string, change [2]string) string {
	t.Helper()
	if change[0] != "" && !strings.Contains(message, change[0]) {
		t.Fatalf("%q is not in the message", change[0])
	}
	return strings.Replace(message, change[0], change[1], min(1, len(change[0])))
}
