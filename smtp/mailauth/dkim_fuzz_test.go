package mailauth

import (
	"strings"
	"testing"
)

// FuzzSignature reads anything as a signature of each kind.
func FuzzSignature(f *testing.F) {
	good := newForgery()
	f.Add(good.field("DKIM-Signature"))
	f.Add(newSealer().seal().sets[0].seal)
	f.Add("DKIM-Signature: v=1; a=rsa-sha256; c=simple; d=b\xc3\xbccher.example; s=x; l=99999999999999999999; x=1; t=0; i==4A=@x.b\xc3\xbccher.example;\r\n\th=from : to;\r\n bh=; b=\r\n")
	f.Add("x: b=;b")
	f.Fuzz(func(t *testing.T, field string) {
		if n := fieldLength([]byte(field)); n != len(field) || !strings.Contains(field, ":") {
			return // not one field, which is how the parser is called
		}
		for kind := dkimSignature; kind <= arcSeal; kind++ {
			s, tags, broken := parseSignature([]byte(field), kind)
			identity, agent, foreign := s.checkAgent(tags.find("i"))
			checkTimes(tags, testNow)
			if foreign == (verdict{}) && s.domain != "" && (identity == "" || !strings.HasSuffix(agent, s.domain)) {
				t.Fatalf("identity %q, agent %q of %q", identity, agent, s.domain)
			}
			if broken != (verdict{}) {
				continue
			}
			if s.method == noMethod || s.keyName == "" || len(s.data) == 0 || kind != arcSeal && len(s.names) == 0 {
				t.Fatalf("nothing is wrong with %+v", s)
			}
			for _, form := range []canonicalization{simple, relaxed} {
				text := string(form.appendSigned(nil, s.field, s.bFrom, s.bTo))
				if want := slowSigned(form, field, s.bFrom, s.bTo); text != want {
					t.Fatalf("form %d: signed %q, want %q", form, text, want)
				}
			}
		}
	})
}

// slowSigned is the field of a signature without its b=.
func slowSigned(form canonicalization, field string, from, to int) string {
	if form == simple {
		return field[:from] + strings.TrimSuffix(field[to:], "\r\n")
	}
	name, value, _ := strings.Cut(field[:from]+field[to:], ":")
	name = strings.NewReplacer(" ", "", "\t", "").Replace(name)
	return asciiLower(name) + ":" + strings.Join(strings.FieldsFunc(value, func(r rune) bool { return r < 0x80 && isFWS(byte(r)) }), " ")
}

func asciiLower(s string) string {
	b := []byte(s)
	for i := range b {
		b[i] = lower(b[i])
	}
	return string(b)
}

// FuzzVerifier verifies anything, arriving in any pieces: the results are the
// same, and one that matches has been signed by the only key there is.
func FuzzVerifier(f *testing.F) {
	good := newForgery()
	f.Add(good.message(), uint16(1))
	f.Add(newForgery("s=ed", "s=ed; l=20").with(func(f *forgery) { f.length = 20 }).message(), uint16(7))
	f.Add(newSealer().seals(2).message(), uint16(100))
	f.Add(good.field("DKIM-Signature")+good.message(), uint16(9))
	f.Add("\r\n", uint16(1))
	f.Add("DKIM-Signature", uint16(1))
	zone := testZone()
	f.Fuzz(func(t *testing.T, message string, piece uint16) {
		whole := verifyMessage(t, zone, message, len(message)+1)
		pieces := verifyMessage(t, zone, message, int(piece)+1)
		if describeResults(whole) != describeResults(pieces) {
			t.Fatalf("whole:\n%s\nin pieces of %d:\n%s", describeResults(whole), int(piece)+1, describeResults(pieces))
		}
		for _, d := range whole.DKIM {
			if d.Result == Pass && d.KeyBits == 0 || d.Result == "" || (d.Reason == "") != (d.Result == Pass) {
				t.Fatalf("%+v", d)
			}
		}
	})
}

// FuzzARC puts anything where the fields of a set are.
func FuzzARC(f *testing.F) {
	for _, set := range newSealer().seals(3).sets {
		f.Add(set.results, set.message, set.seal)
	}
	f.Add("ARC-Authentication-Results: i=(x)1(y);;a;b=c\r\n", "ARC-Message-Signature: i=1\r\n", "ARC-Seal: i=51; cv=fail\r\n")
	zone := testZone()
	rest := forgedHeader + "\r\n" + forgedBody
	f.Fuzz(func(t *testing.T, results, message, seal string) {
		r := verifyMessage(t, zone, results+message+seal+rest, 50).ARC
		if (r.Result == Pass) != (len(r.Sets) > 0) || r.Result == Fail && r.Reason == "" || r.OldestPass > len(r.Sets) {
			t.Fatalf("%+v", r)
		}
	})
}
