package mailauth

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/emersion/go-msgauth/authres"
	"github.com/emersion/go-msgauth/dkim"
)

// oddMessage is a message with what breaks signatures: long and folded lines,
// white space everywhere, 8 bits, dots, no last line end, fields twice.
func oddMessage(r *rand.Rand) (header, body string) {
	var h, b strings.Builder
	h.WriteString("From: Ann <ann@example.org>\r\nTo: bob@example.net\r\nDate: Sun, 1 Mar 2026 11:59:00 +0000\r\n")
	names := []string{"Subject", "SUBJECT", "X-Long", "Cc", "Received", "received", "List-Id", "Message-ID", "Content-Type", "X-y"}
	values := []string{" text", "text", "\ttwo  words ", " folded\r\n line", "\r\n\tall folded\t", " ünïcode", strings.Repeat(" word", 60), " a: b ; c=d", ""}
	for range r.IntN(20) {
		h.WriteString(names[r.IntN(len(names))] + ":" + values[r.IntN(len(values))] + "\r\n")
	}
	pieces := []string{"\r\n", "\r\n\r\n\r\n", " ", "\t", "  ", ".", ".\r\n", "..", "words and words", "grüße", strings.Repeat("long", 300), " \r\n", "--boundary\r\n", "\xff\xfe"}
	for range r.IntN(60) {
		b.WriteString(pieces[r.IntN(len(pieces))])
	}
	return h.String(), b.String()
}

// oracleVerify is what go-msgauth says of a message, signature by signature.
func oracleVerify(t *testing.T, zone *keyZone, message string) []string {
	t.Helper()
	found, err := dkim.VerifyWithOptions(strings.NewReader(message), &dkim.VerifyOptions{
		LookupTXT: func(name string) ([]string, error) { return zone.texts[name], nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	var domains []string
	for _, v := range found {
		if v.Err != nil {
			domains = append(domains, "")
			continue
		}
		domains = append(domains, v.Domain)
	}
	return domains
}

// TestSignaturesAreGoodElsewhere has an independent implementation verify
// what we sign.
func TestSignaturesAreGoodElsewhere(t *testing.T) {
	keys := []SigningKey{{"example.org", "rsa", rsaKey()}, {"example.org", "ed", edKey}}
	zone := testZone()
	for seed := range uint64(300) {
		header, body := oddMessage(rand.New(rand.NewPCG(seed, 2)))
		signatures, err := Sign(keys, testNow, []byte(header), strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		message := string(signatures) + header + "\r\n" + body
		if got := oracleVerify(t, zone, message); fmt.Sprint(got) != "[example.org example.org]" {
			t.Fatalf("seed %d: go-msgauth says %q of\n%q", seed, got, message)
		}
	}
}

// TestForeignSignatures verifies what an independent implementation signs, and
// what became of it on the way: with the same results.
func TestForeignSignatures(t *testing.T) {
	zone := testZone()
	passed, failed := 0, 0
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 3))
		header, body := oddMessage(r)
		forms := []dkim.Canonicalization{dkim.CanonicalizationSimple, dkim.CanonicalizationRelaxed}
		o := &dkim.SignOptions{
			Domain: "example.org", Selector: "ed", Signer: edKey,
			HeaderCanonicalization: forms[r.IntN(2)], BodyCanonicalization: forms[r.IntN(2)],
			HeaderKeys: []string{"from", "subject", "Subject", "Received", "cc", "x-none", "X-Long"},
		}
		if r.IntN(2) == 0 {
			o.Selector, o.Signer = "rsa", rsaKey()
		}
		var out bytes.Buffer
		if err := dkim.Sign(&out, strings.NewReader(header+"\r\n"+body), o); err != nil {
			t.Fatal(err)
		}
		message := damage(r, out.String())
		want := oracleVerify(t, zone, message)[0] != ""
		got := verifyMessage(t, zone, message, 1+r.IntN(200)).DKIM[0]
		if (got.Result == Pass) != want {
			t.Fatalf("seed %d: %+v, go-msgauth says %v of\n%q", seed, got, want, message)
		}
		if want {
			passed++
		} else {
			failed++
		}
	}
	if passed < 50 || failed < 50 {
		t.Errorf("%d passed, %d failed: that says nothing", passed, failed)
	}
}

// damage does to a message what happens on the way, or does nothing.
func damage(r *rand.Rand, message string) string {
	edits := [][2]string{{"", ""}, {"  ", " "}, {"\r\n\r\n", "\r\n\r\n "}, {" \r\n", "\r\n"}, {"words", "word"}, {"Subject:", "Subject: "}, {"\r\n\t", "\r\n "}, {"Subject", "subject"}}
	edit := edits[r.IntN(len(edits))]
	header, rest, _ := strings.Cut(message, "To: bob") // the signature stays as it is
	return header + "To: bob" + strings.Replace(rest, edit[0], edit[1], 1)
}

// TestResultsAreReadElsewhere has our Authentication-Results parsed by others.
func TestResultsAreReadElsewhere(t *testing.T) {
	results := verifyMessage(t, testZone(), newForgery("s=ed", "s=ed; i=ann@mail.example.org").message(), 100)
	field := AuthResults{"mx.example.net", append(results.AppendMethods(nil), MethodResult{"spf", Fail, "no such \"host\"", []Property{{"smtp", "mailfrom", "eve@example.com"}}})}.AppendField(nil, false)
	_, value, _ := strings.Cut(string(field), ":")
	id, found, err := authres.Parse(strings.ReplaceAll(value, "\r\n", ""))
	if err != nil || id != "mx.example.net" || len(found) != 2 {
		t.Fatalf("%q: %q, %v, %v", value, id, found, err)
	}
	if d, ok := found[0].(*authres.DKIMResult); !ok || d.Value != authres.ResultPass || d.Domain != "example.org" || d.Identifier != "ann@mail.example.org" {
		t.Errorf("%+v", found[0])
	}
	if s, ok := found[1].(*authres.SPFResult); !ok || s.Value != authres.ResultFail || s.From != "eve@example.com" {
		t.Errorf("%+v", found[1])
	}
}
