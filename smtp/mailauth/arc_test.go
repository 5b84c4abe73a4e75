package mailauth

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"

	"mailstead/smtp/dns"
)

// sealer adds ARC sets to a message. It is here because the server seals
// nothing yet, and to make chains that no sealer would.
type sealer struct {
	header, body string
	sets         []sealedSet // the oldest first
}

type sealedSet struct{ results, message, seal string }

func newSealer() *sealer { return &sealer{header: forgedHeader, body: forgedBody} }

// seal adds a set, whose fields are edited before they are signed: pairs of
// what is replaced, by what.
func (s *sealer) seal(edits ...string) *sealer {
	edit := strings.NewReplacer(edits...).Replace
	n := len(s.sets) + 1
	cv := "pass"
	if n == 1 {
		cv = "none"
	}
	f := newForgery("v=1; ", fmt.Sprintf("i=%d; ", n))
	f.header, f.body, f.tags = s.header, s.body, edit(f.tags)
	set := sealedSet{
		results: edit(fmt.Sprintf("ARC-Authentication-Results: i=%d; list%d.example;\r\n dmarc=pass (p=reject) header.from=example.org\r\n", n, n)),
		message: f.field("ARC-Message-Signature"),
		seal:    edit(fmt.Sprintf("ARC-Seal: i=%d; cv=%s; a=ed25519-sha256; d=example.org; s=ed;\r\n\tt=1; b=", n, cv)),
	}
	var signed strings.Builder
	for _, before := range append(s.sets, set) {
		for _, field := range []string{before.results, before.message, before.seal} {
			signed.WriteString(slowField(relaxed, field))
		}
	}
	text := strings.TrimSuffix(signed.String(), "\r\n")
	set.seal += base64.StdEncoding.EncodeToString(signText(edKey, text)) + "\r\n"
	s.sets = append(s.sets, set)
	return s
}

// seals adds n sets.
func (s *sealer) seals(n int) *sealer {
	for range n {
		s.seal()
	}
	return s
}

// rewrite is what a mailing list does between two sets.
func (s *sealer) rewrite(old, new string) *sealer {
	s.header, s.body = strings.Replace(s.header, old, new, 1), strings.Replace(s.body, old, new, 1)
	return s
}

func (s *sealer) message() string {
	fields := ""
	for _, set := range s.sets {
		fields = set.seal + set.message + set.results + fields
	}
	return fields + s.header + "\r\n" + s.body
}

// TestARC has a case for each rule of RFC 8617 section 5.2.
func TestARC(t *testing.T) {
	for _, c := range []struct {
		name   string
		s      *sealer
		change [2]string // of the sealed message
		want   ARCResult // but its sets
		sets   int
	}{
		{name: "no chain", s: newSealer(), want: ARCResult{Result: None}},
		{name: "one set", s: newSealer().seal(), sets: 1},
		{name: "three sets", s: newSealer().seals(3), sets: 3},
		{name: "fifty sets", s: newSealer().seals(50), sets: 50},
		{name: "fifty-one sets", s: newSealer().seals(51), want: ARCResult{Reason: longChain.reason}},
		{name: "a list between the first and the second", s: newSealer().seal().rewrite("A  question", "[list] A  question").seals(2), want: ARCResult{OldestPass: 2}, sets: 3},
		{name: "changed after the last", s: newSealer().seals(2).rewrite("Bob", "Rob"), want: ARCResult{Reason: "message signature 2: the body was changed"}},
		{name: "header changed after the last", s: newSealer().seals(2), change: [2]string{"A  question", "No"}, want: ARCResult{Reason: "message signature 2: the signature does not match"}},
		{name: "results changed", s: newSealer().seals(3), change: [2]string{"i=2; list2.example", "i=2; list3.example"}, want: ARCResult{Reason: "seal 2: the signature does not match"}},
		{name: "a message signature changed", s: newSealer().seals(3), change: [2]string{"Signature: i=2;", "Signature: i=2; n=1;"}, want: ARCResult{Reason: "seal 2: the signature does not match"}},
		{name: "a seal changed", s: newSealer().seals(3), change: [2]string{"ARC-Seal: i=1;", "ARC-Seal: i=1; n=1;"}, want: ARCResult{Reason: "seal 1: the signature does not match"}},
		{name: "refolded", s: newSealer().seals(3), change: [2]string{"ARC-Seal: i=1; cv=none;", "arc-seal : i=1;\r\n\tcv=none;"}, sets: 3},
		{name: "the first is missing", s: newSealer().seals(2), change: [2]string{"ARC-Authentication-Results: i=1", "X: i=1"}, want: ARCResult{Reason: gap.reason}},
		{name: "a gap", s: newSealer().seals(3), change: [2]string{"ARC-Seal: i=2", "X: i=2"}, want: ARCResult{Reason: gap.reason}},
		{name: "no message signature", s: newSealer().seals(3), change: [2]string{"ARC-Message-Signature: i=2", "X: i=2"}, want: ARCResult{Reason: gap.reason}},
		{name: "results twice", s: newSealer().seals(2), change: [2]string{"ARC-Auth", "ARC-Authentication-Results: i=1; x; none\r\nARC-Auth"}, want: ARCResult{Reason: doubleField.reason}},
		{name: "a message signature twice", s: newSealer().seals(2), change: [2]string{"ARC-Message-Signature: i=2", "ARC-Message-Signature: i=1"}, want: ARCResult{Reason: doubleField.reason}},
		{name: "a seal twice", s: newSealer().seals(2), change: [2]string{"ARC-Seal: i=2", "ARC-Seal: i=1"}, want: ARCResult{Reason: doubleField.reason}},
		{name: "no instance in the results", s: newSealer().seals(2), change: [2]string{"Results: i=2;", "Results: x=2;"}, want: ARCResult{Reason: brokenField.reason}},
		{name: "no instance in a seal", s: newSealer().seals(2), change: [2]string{"Seal: i=2;", "Seal: "}, want: ARCResult{Reason: brokenField.reason}},
		{name: "no instance in a message signature", s: newSealer().seals(2), change: [2]string{"Signature: i=2;", "Signature: i=0;"}, want: ARCResult{Reason: brokenField.reason}},
		{name: "an instance of three digits", s: newSealer().seals(2), change: [2]string{"Seal: i=2;", "Seal: i=100;"}, want: ARCResult{Reason: longChain.reason}},
		{name: "an instance that is too long", s: newSealer().seals(2), change: [2]string{"Seal: i=2;", "Seal: i=9999;"}, want: ARCResult{Reason: brokenField.reason}},
		{name: "failed before", s: newSealer().seals(1).seal("cv=pass", "cv=fail"), want: ARCResult{Reason: failedBefore.reason}},
		{name: "failed, and went on", s: newSealer().seals(1).seal("cv=pass", "cv=fail").seal(), want: ARCResult{Reason: wrongStatus.reason}},
		{name: "the first says pass", s: newSealer().seal("cv=none", "cv=pass"), want: ARCResult{Reason: wrongStatus.reason}},
		{name: "the second says none", s: newSealer().seal().seal("cv=pass", "cv=none"), want: ARCResult{Reason: wrongStatus.reason}},
		{name: "a seal says nothing", s: newSealer().seal("cv=none; ", ""), want: ARCResult{Reason: wrongStatus.reason}},
		{name: "a seal with h=", s: newSealer().seal("\tt=1", "\th=from"), want: ARCResult{Reason: "seal 1: " + sealNames.reason}},
		{name: "a seal without key", s: newSealer().seal().seal("s=ed;\r\n", "s=no;\r\n"), want: ARCResult{Reason: "seal 2: no key record"}},
		{name: "a seal without domain", s: newSealer().seal("d=example.org; s=ed;\r\n", "s=ed;\r\n"), want: ARCResult{Reason: "seal 1: " + missingTag.reason}},
		{name: "SHA-1", s: newSealer().seal("cv=none; a=ed25519-sha256", "cv=none; a=rsa-sha1"), want: ARCResult{Reason: "seal 1: " + historicMethod.reason}},
		{name: "a signature of ARC fields", s: newSealer().seal("h=from:", "h=arc-seal:from:"), want: ARCResult{Reason: "message signature 1: " + arcNames.reason}},
		{name: "an old signature of ARC fields", s: newSealer().seal("h=from:", "h=arc-seal:from:").seal(), want: ARCResult{OldestPass: 2}, sets: 2},
		{name: "a signature without From", s: newSealer().seal("h=from:", "h="), want: ARCResult{Reason: "message signature 1: " + fromNotSigned.reason}},
		{name: "a version is read over", s: newSealer().seal("; c=relaxed", "; v=7; c=relaxed"), sets: 1},
		{name: "part of the body", s: newSealer().seal("h=from:", "l=0; h=from:"), want: ARCResult{Reason: "message signature 1: the body was changed"}},
		{name: "expired", s: newSealer().seal("h=from:", "x=1; h=from:"), want: ARCResult{Reason: "message signature 1: " + expired.reason}},
		{name: "an older one without key", s: newSealer().seal("s=ed; h", "s=gone; h").seals(2), want: ARCResult{OldestPass: 2}, sets: 3},
	} {
		t.Run(c.name, func(t *testing.T) {
			message := changed(t, c.s.message(), c.change)
			want := c.want
			switch {
			case c.sets > 0:
				want.Result = Pass
			case want.Result == "":
				want.Result = Fail
			}
			got := verifyMessage(t, testZone(), message, 100).ARC
			if got.Result != want.Result || got.Reason != want.Reason || got.OldestPass != want.OldestPass || got.Temporary || len(got.Sets) != c.sets {
				t.Errorf("got %+v\nwant %+v with %d sets\n%.3000s", got, want, c.sets, message)
			}
		})
	}
}

// TestARCSets looks at what a chain tells.
func TestARCSets(t *testing.T) {
	s := newSealer().seal("d=example.org; s=ed;\r\n", "d=Secure.Example; s=ed;\r\n").seal("list2.example;", "list2.example; (broken")
	got := verifyMessage(t, testZone(), s.message(), 100).ARC
	if got.Result != Pass || len(got.Sets) != 2 {
		t.Fatalf("%+v", got)
	}
	first := got.Sets[0]
	if first.Domain != "secure.example" || first.Selector != "ed" || first.MessageDomain != "example.org" || first.Results.ID != "list1.example" {
		t.Errorf("%+v", first)
	}
	if m := first.Results.Methods; len(m) != 1 || m[0].Method != "dmarc" || m[0].Result != Pass || m[0].Properties[0] != (Property{"header", "from", "example.org"}) {
		t.Errorf("%+v", m)
	}
	if second := got.Sets[1]; second.Domain != "example.org" || len(second.Results.Methods) != 0 {
		t.Errorf("%+v", second)
	}
	if m := got.method(); m.Method != "arc" || m.Result != Pass || m.Properties[0] != (Property{"header", "oldest-pass", "0"}) || m.Properties[1] != (Property{"header", "d", "example.org"}) {
		t.Errorf("%+v", m)
	}
}

// TestARCWithoutAnswers tells trouble of the moment from a chain that is broken,
// and from a server that asks nobody.
func TestARCWithoutAnswers(t *testing.T) {
	nobody := &keyZone{fail: &dns.Error{Temporary: true, Err: dns.ErrDisabled}}
	if got := verifyMessage(t, nobody, newSealer().seals(2).message(), 100).ARC; got.Result != None || got.Temporary {
		t.Errorf("%+v", got)
	}
	zone := &keyZone{fail: &dns.Error{Temporary: true, Err: errors.New("no answer")}}
	got := verifyMessage(t, zone, newSealer().seals(2).message(), 100).ARC
	if got.Result != Fail || !got.Temporary || got.Reason != "message signature 2: "+noKeyNow.reason {
		t.Errorf("%+v", got)
	}
}

// TestARCFlood is about chains that want to cost us something.
func TestARCFlood(t *testing.T) {
	set := newSealer().seal().sets[0]
	for name, message := range map[string]string{
		"seals":              strings.Repeat(set.seal, 900) + forgedHeader,
		"message signatures": strings.Repeat(set.message, 900) + forgedHeader,
		"results":            strings.Repeat(set.results, 900) + forgedHeader,
		"too large a header": strings.Repeat("X: y\r\n", maxFields) + set.seal + forgedHeader,
	} {
		zone := testZone()
		if r := verifyMessage(t, zone, message+"\r\n", 100).ARC; r.Result == Pass || len(zone.asked) > 0 {
			t.Errorf("%s: %+v, asked for %v", name, r, zone.asked)
		}
	}
	zone := testZone()
	many := newSealer()
	for i := range maxARCSets {
		many.seal("s=ed; h", fmt.Sprintf("s=m%d; h", i), "s=ed;\r\n", fmt.Sprintf("s=s%d;\r\n", i))
	}
	if r := verifyMessage(t, zone, many.message(), 1000).ARC; r.Result != Fail || len(zone.asked) > 2*maxARCSets {
		t.Errorf("50 sets of other keys each: %+v, asked for %d keys", r, len(zone.asked))
	}
}
