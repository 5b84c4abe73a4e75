package queue

import (
	"maps"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestEntryTLS: what the sender demands of connections is part of an entry.
func TestEntryTLS(t *testing.T) {
	for _, demand := range []TLSDemand{"", TLSRequired, TLSOptional} {
		entries := split(Envelope{Recipients: []string{"a@a.test"}, TLS: demand}, ordinary, 1, time.Unix(1e9, 0))
		_, e, err := decodeEntry("00000000000001", entries[0].change(1).Value)
		if err != nil || e.TLS != demand {
			t.Errorf("%q is kept as %q, %v", demand, e.TLS, err)
		}
	}
}

// TestEntryFiling: where copies go is part of an entry, each recipient's own, and an entry of
// before says nothing of it, which is INBOX.
func TestEntryFiling(t *testing.T) {
	filing := map[string]Filing{"b@a.test": {Junk: true}, "c@a.test": {Details: []string{"lists", "x"}}}
	entries := split(Envelope{Recipients: []string{"a@a.test", "b@a.test", "c@a.test"}, Filing: filing}, ordinary, 1, time.Unix(1e9, 0))
	if len(entries) != 1 {
		t.Fatalf("%d entries", len(entries))
	}
	_, e, err := decodeEntry("00000000000001", entries[0].change(1).Value)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(filing, e.filing()); d != "" {
		t.Error(d)
	}
	_, old, err := decodeEntry("00000000000001", []byte(`{"destination":"a.test","from":"s@b.test","recipients":[{"address":"b+lists@a.test"}],`+
		`"body":7,"size":4,"received":"2026-11-22T12:00:00Z","next":"2026-11-22T12:00:00Z"}`))
	if err != nil || old.filing() != nil || old.TLS != "" || len(old.open()) != 1 {
		t.Errorf("%+v, %v", old, err)
	}
}

// TestUTF8OfADestination: an address that needs SMTPUTF8 keeps no mail from servers of others (RFC 6531 section 3.2).
func TestUTF8OfADestination(t *testing.T) {
	entries := split(Envelope{From: "a@us.test", Recipients: []string{"x@old.test", "j\u00fcrgen@new.test", "y@new.test"}}, ordinary, 1, time.Unix(1, 0))
	got := map[string]bool{}
	for _, e := range entries {
		got[e.Destination] = e.UTF8
	}
	if want := map[string]bool{"old.test": false, "new.test": true}; !maps.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}
