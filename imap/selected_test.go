package imap

import (
	"fmt"
	"strings"
	"testing"

	goimap "github.com/emersion/go-imap/v2"

	"mailstead/imap/wire"
	"mailstead/mailbox"
)

// TestKeywordTableIsFull has a mailbox stop promising that keywords can be made (RFC 3501
// section 7.1, PERMANENTFLAGS) when it has as many as it can.
func TestKeywordTableIsFull(t *testing.T) {
	ts := newTestServer(t)
	ts.fill(t, "INBOX", 1)
	var first, last []string
	for n := range mailbox.MaxKeywords {
		keyword := fmt.Sprintf("k%d", n)
		if n < mailbox.MaxKeywords-1 {
			first = append(first, keyword)
			continue
		}
		last = append(last, keyword)
	}
	c := ts.connect(t).login()
	c.send("a SELECT INBOX\r\n")
	c.expect("a OK")
	for _, step := range []struct {
		keywords []string
		room     bool
	}{{first, true}, {last, false}} {
		c.send("b STORE 1 +FLAGS.SILENT (" + strings.Join(step.keywords, " ") + ")\r\nc NOOP\r\nd SELECT INBOX\r\n")
		if line := c.expect("* OK [PERMANENTFLAGS"); strings.Contains(line, `\*`) != step.room {
			t.Error(line)
		}
		c.expect("d OK")
	}
	c.send("e STORE 1 +FLAGS (more)\r\n")
	if line := c.expect("e "); !strings.HasPrefix(line, "e NO [LIMIT]") {
		t.Error(line)
	}
}

// TestSpans resolves message sets in a mailbox with the UIDs 1, 3, 4, 7 and 9, and in
// an empty one.
func TestSpans(t *testing.T) {
	ts := newTestServer(t)
	ts.fill(t, "INBOX", 9)
	m, err := ts.store.OpenMailbox(t.Context(), ts.account, "INBOX")
	must(t, err)
	defer m.Close()
	_, err = m.Expunge(t.Context(), []goimap.UID{2, 5, 6, 8}, false)
	must(t, err)
	empty, err := ts.store.OpenMailbox(t.Context(), ts.account, "Archive")
	must(t, err)
	defer empty.Close()
	full, none := &selected{mailbox: m, view: m.View(false)}, &selected{mailbox: empty, view: empty.View(false)}
	tests := []struct {
		sel  *selected
		set  string // with u in front, of UIDs
		want string
	}{
		{full, "1:*", "1:5"}, {full, "2,4:5", "2:2 4:5"}, {full, "*", "5:5"}, {full, "*:2", "2:5"}, {full, "5,*", "5:5"}, {full, "9:*", "5:5"},
		{full, "6", "none"}, {full, "1:6", "none"}, {full, "3,7:*", "3:3 5:5"}, {full, "5,9:*", "5:5"},
		{none, "1:*", ""}, {none, "*", ""}, {none, "1", "none"},
		{full, "u1:*", "1:5"}, {full, "u2", ""}, {full, "u2:5", "2:3"}, {full, "u1,4,9,12", "1:1 3:3 5:5"}, {full, "u*", "5:5"}, {full, "u10:*", "5:5"},
		{full, "u9,10:*", "5:5"}, {full, "u5:6", ""}, {full, "u*:4", "3:5"}, {full, "u4294967295", ""}, {full, "u1:4294967295", "1:5"},
		{none, "u1:*", ""}, {none, "u*", ""},
	}
	for _, test := range tests {
		text, uid := strings.CutPrefix(test.set, "u")
		d := wire.NewDecoder(strings.NewReader(text+"\r\n"), wire.Limits{}, wire.Hooks{})
		must(t, d.Next())
		s := &session{dec: d, selected: test.sel}
		var got []string
		for _, sp := range s.numbers(&request{command: &command{}, uid: uid}) {
			got = append(got, fmt.Sprintf("%d:%d", sp.from, sp.to))
		}
		if d.Err() != nil {
			got = []string{"none"}
		}
		if have := strings.Join(got, " "); have != test.want {
			t.Errorf("%s: %s, want %s", test.set, have, test.want)
		}
	}
}

// TestManyShortRanges has sets of thousands of ranges answered in order and whole, with
// messages gone between, though the store is asked for many ranges at a time.
func TestManyShortRanges(t *testing.T) {
	ts := newTestServer(t)
	ts.fill(t, "INBOX", 3*searchRows)
	s := newDirectSession(t, ts.store, ts.account)
	var set, want []string
	var gone []goimap.UID
	for n := 1; n <= 3*searchRows; n += 2 {
		set = append(set, fmt.Sprint(n))
		if n%5 == 0 {
			gone = append(gone, goimap.UID(n))
			continue
		}
		want = append(want, fmt.Sprint(n))
	}
	if _, err := s.selected.mailbox.Expunge(t.Context(), gone, false); err != nil {
		t.Fatal(err)
	}
	out, rep, err := s.run(t, "FETCH "+strings.Join(set, ",")+" (UID)")
	if err != nil || rep.Code != "EXPUNGEISSUED" {
		t.Errorf("%+v, %v", rep, err)
	}
	var wantFetch strings.Builder
	for _, n := range want {
		wantFetch.WriteString("* " + n + " FETCH (UID " + n + ")\r\n")
	}
	if string(out) != wantFetch.String() {
		t.Error("FETCH answers something else")
	}
	if got := string(s.say(t, "SEARCH "+strings.Join(set, ",")+" SUBJECT x")); got != "* SEARCH "+strings.Join(want, " ")+"\r\n" {
		t.Error("SEARCH finds something else")
	}
	if got := string(s.say(t, "SEARCH RETURN (MIN) 5,15,25,"+strings.Join(set[20:], ","))); got != "* ESEARCH (TAG \"a\") MIN 41\r\n" {
		t.Error(got)
	}
}
