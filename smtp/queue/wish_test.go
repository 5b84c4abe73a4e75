package queue

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

func TestParseNotify(t *testing.T) {
	for in, want := range map[string]string{
		"never": "NEVER", "Success": "SUCCESS", "DELAY,failure": "FAILURE,DELAY", "SUCCESS,FAILURE,DELAY": "SUCCESS,FAILURE,DELAY",
		"": "-", "NEVER,NEVER": "NEVER", "NEVER,DELAY": "-", "SUCCESS,": "-", ",": "-", "SUCCESS, DELAY": "-", "ALWAYS": "-",
	} {
		got, err := ParseNotify(in)
		if (err != nil) != (want == "-") || err == nil && got.String() != want {
			t.Errorf("%q: %q, %v", in, got, err)
		}
	}
}

func TestParseEnvelopeID(t *testing.T) {
	for in, want := range map[string]string{
		"QQ314159": "QQ314159", "a+2Bb": "a+b", "+20+09": " \t", "+7E": "~",
		"": "-", "a=b": "-", "a b": "-", "+2b": "-", "+2": "-", "+": "-", "+00": "-", "+0D+0A": "-", "+7F": "-", "ü": "-", "+C3+BC": "-",
		strings.Repeat("x", 100): strings.Repeat("x", 100), strings.Repeat("x", 101): "-",
	} {
		id, err := ParseEnvelopeID(in)
		if (err != nil) != (want == "-") {
			t.Errorf("%q: %v", in, err)
		}
		if got, _ := decodeXtext(id); err == nil && (id != in || got != want) {
			t.Errorf("%q is %q", in, got)
		}
	}
}

func TestParseOriginal(t *testing.T) {
	for in, want := range map[string]string{
		"rfc822;Bob@far.test": "rfc822; Bob@far.test", "rfc822;bob+2Bx@far.test": "rfc822; bob+x@far.test", "x400;/C=+20de": "-", "x400;/C+3Dde;": "x400; /C=de;",
		"rfc822;": "rfc822; ", "utf-8;j\\x{FC}rgen@far.test": "utf-8; jürgen@far.test", "UTF-8;jürgen@far.test": "UTF-8; jürgen@far.test",
		"utf-8;\\x{1F600}@far.test": "utf-8; \U0001F600@far.test", "utf-8;a\\x{2B}b\\x{5C}@far.test": "utf-8; a+b\\@far.test",
		"": "-", "bob@far.test": "-", ";bob@far.test": "-", "a b;c": "-", "rfc822;a=b": "-", "rfc822;jürgen@far.test": "-",
		"utf-8;": "-", "utf-8;a+2Bb": "-", "utf-8;\\x{D800}": "-", "utf-8;\\x{110000}": "-", "utf-8;\\x{41}": "-", "utf-8;\\x{0FC}": "-", "utf-8;\\x{fc}": "-",
		"utf-8;\\x{00}": "-", "utf-8;\\x{": "-", "utf-8;\\": "-", "utf-8;\xff": "-", "utf-8;\\x{üü}": "-",
		"utf-8;\\x{0A}a":                     "utf-8; \\x{0A}a", // a line end stays encoded
		"rfc822;" + strings.Repeat("x", 493): "rfc822; " + strings.Repeat("x", 491) + "!", "rfc822;" + strings.Repeat("x", 494): "-",
	} {
		s, err := ParseOriginal(in)
		if (err != nil) != (want == "-") {
			t.Errorf("%q: %v", in, err)
		}
		if got := (Wish{Original: s}).original(); err == nil && !strings.HasPrefix(got, strings.TrimSuffix(want, "!")) {
			t.Errorf("%q is %q, want %q", in, got, want)
		}
	}
}

// TestOriginalFor: a server that does not take UTF-8 gets the form of 7 bits, which means the same.
func TestOriginalFor(t *testing.T) {
	w := Wish{Original: "utf-8;jürgen\\x{2B}\U0001F600@far.test"}
	if got := w.OriginalFor(true); got != w.Original {
		t.Errorf("%q", got)
	}
	got := w.OriginalFor(false)
	if want := "utf-8;j\\x{FC}rgen\\x{2B}\\x{1F600}@far.test"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if _, err := ParseOriginal(got); err != nil || (Wish{Original: got}).original() != w.original() {
		t.Errorf("%q is read as %q, %v", got, Wish{Original: got}.original(), err)
	}
}

// TestOnward: what is wanted of an alias goes on to one member, and is split for several (RFC 3461 section 5.2.7).
func TestOnward(t *testing.T) {
	for _, tt := range []struct {
		notify  Notify
		members int
		want    Notify
		action  Action
	}{
		{0, 1, 0, ""}, {0, 2, 0, ""}, {NotifyNever, 2, NotifyNever, ""}, {NotifySuccess, 1, NotifySuccess, ""},
		{NotifySuccess, 2, NotifyNever, ActionExpanded}, {NotifySuccess | NotifyDelay, 2, NotifyDelay, ActionExpanded}, {NotifyFailure, 2, NotifyFailure, ""},
	} {
		got, action := Wish{tt.notify, "rfc822;x"}.Onward(tt.members)
		if (got != Wish{tt.want, "rfc822;x"}) || action != tt.action {
			t.Errorf("%v to %d: %v, %q", tt.notify, tt.members, got, action)
		}
	}
}

// TestEntryWishes: what the sender wants to hear is part of an entry, and entries of before have nothing of it.
func TestEntryWishes(t *testing.T) {
	wishes := map[string]Wish{"a@a.test": {Notify: NotifyNever}, "b@a.test": {Notify: NotifySuccess | NotifyDelay, Original: "rfc822;x@y.test"}}
	entries := split(Envelope{
		Recipients: []string{"a@a.test", "b@a.test", "c@a.test"}, Wishes: wishes, EnvelopeID: "QQ", Return: ReturnFull, Proven: true,
		Settled: []Settled{{"list@us.test", ActionDelivered, Wish{Notify: NotifySuccess}}},
	}, ordinary, 1, time.Unix(1e9, 0))
	if len(entries) != 2 {
		t.Fatalf("%d entries", len(entries))
	}
	_, e, err := decodeEntry("00000000000001", entries[0].change(1).Value)
	if err != nil || e.EnvelopeID != "QQ" || e.Return != ReturnFull || !e.Proven || len(e.open()) != 3 {
		t.Errorf("%+v, %v", e, err)
	}
	if d := cmp.Diff(wishes, e.wishes()); d != "" {
		t.Error(d)
	}
	_, e, err = decodeEntry("00000000000001", entries[1].change(1).Value)
	if err != nil || e.Destination != "" || len(e.open()) != 0 || len(e.about(ActionDelivered, 0)) != 1 {
		t.Errorf("%+v, %v", e, err)
	}
	var old entry
	if err := json.Unmarshal([]byte(`{"destination":"a.test","recipients":[{"address":"a@a.test"}],"body":7}`), &old); err != nil || old.wishes() != nil || old.Proven {
		t.Errorf("%+v, %v", old, err)
	}
}

// FuzzWish: whatever a client says is refused, or can be said again and shown on one line.
func FuzzWish(f *testing.F) {
	f.Add("QQ+2B", "rfc822;bob+2Bx@far.test", "SUCCESS,DELAY")
	f.Add("+09", "utf-8;j\\x{FC}rgen\\x{0A}@far.test", "NEVER")
	f.Add("ü", "utf-8;ü", "never")
	f.Fuzz(func(t *testing.T, id, original, notify string) {
		if n, err := ParseNotify(notify); err == nil {
			if again, err := ParseNotify(n.String()); err != nil || again != n {
				t.Errorf("%q is %q", notify, n)
			}
		}
		if s, err := ParseEnvelopeID(id); err == nil && (s != id || strings.ContainsAny(s, " =\r\n")) {
			t.Errorf("ENVID %q", s)
		}
		s, err := ParseOriginal(original)
		if err != nil {
			return
		}
		w := Wish{Original: s}
		shown := w.original()
		if !utf8.ValidString(shown) || strings.ContainsAny(shown, "\r\n\x00\x1b") {
			t.Errorf("%q is shown as %q", s, shown)
		}
		if plain := w.OriginalFor(false); !isASCII(plain) || strings.ContainsAny(plain, " =\r\n") {
			t.Errorf("%q goes on as %q", s, plain)
		}
	})
}
