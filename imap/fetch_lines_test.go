package imap

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	goimap "github.com/emersion/go-imap/v2"

	"mailstead/mailbox"
)

// TestFetchLines holds what the arrays answer against lines put together from what the
// store says of each message: with flags that are no block, some \Recent, messages that
// another session expunged, and only what changed.
func TestFetchLines(t *testing.T) {
	store, account := directStore(t, t.TempDir(), 0)
	const messages = 1200 // more than the buffer holds, with these keywords
	long := func(n int) (flags []goimap.Flag) {
		for i := range n {
			flags = append(flags, goimap.Flag(fmt.Sprintf("%s%03d", strings.Repeat("k", 60), i)))
		}
		return flags
	}
	when := time.Date(2024, 2, 29, 23, 59, 1, 0, time.FixedZone("", -9*3600-1800))
	for i := range messages {
		target := mailbox.Target{Date: when.Add(time.Duration(i) * time.Hour)}
		switch i % 7 {
		case 1:
			target.Flags = []goimap.Flag{goimap.FlagSeen, goimap.FlagAnswered}
		case 3:
			target.Flags = long(i % 110)
		}
		deliver(t, store, account, fmt.Appendf(nil, "Subject: %d\r\n\r\n%s", i, strings.Repeat("x", i)), target)
	}
	newDirectSession(t, store, account) // whoever comes later is not told of these as \Recent
	s := newDirectSession(t, store, account)
	deliver(t, store, account, []byte("Subject: late\r\n\r\n"), mailbox.Target{Flags: long(2)})
	s.say(t, "NOOP")
	changed := s.selected.view.HighestModSeq()
	other := newDirectSession(t, store, account)
	other.say(t, `STORE 1,5,7,8,600:610 +FLAGS.SILENT (\Deleted)`)
	other.say(t, "EXPUNGE")
	other.say(t, `STORE 9:12 +FLAGS.SILENT (new-keyword)`)
	for _, uidOnly := range []bool{false, true} {
		s.uidOnly = uidOnly
		s.expectLines(t, 0)
		s.expectLines(t, 1)
		s.expectLines(t, changed)
	}
}

// expectLines fetches each item that the arrays answer alone, and all in one.
func (s *directSession) expectLines(t *testing.T, since mailbox.ModSeq) {
	t.Helper()
	var names []string
	for _, name := range slices.Sorted(maps.Keys(simpleItems)) {
		if simpleItems[name] < fetchPreview {
			names = append(names, name)
		}
	}
	lists := [][]string{names}
	for _, name := range names {
		lists = append(lists, []string{name})
	}
	for _, items := range lists {
		plan, err := fetchArguments(t, "("+strings.Join(items, " ")+")")
		if err != nil {
			t.Fatal(err)
		}
		plan.changedSince = since
		f := fetching{session: s.session, plan: plan}
		s.out.Reset()
		if err := errors.Join(f.run([]span{{1, 500}, {502, 502}, {504, s.selected.view.Len()}}), s.enc.Flush()); err != nil {
			t.Fatal(err)
		}
		if s.largest > bulkSize {
			t.Errorf("%v: a write of %d octets: the buffer has grown", items, s.largest)
		}
		if !f.missing {
			t.Errorf("%v: no message is missing", items)
		}
		want := s.linesOf(items, since)
		got := s.out.String()
		if i := strings.Index(got, "* OK [PERMANENTFLAGS"); i >= 0 { // the new keyword is told of first
			got = got[strings.Index(got, "kept\r\n")+len("kept\r\n"):]
		}
		if got != want {
			t.Errorf("%v since %d: %d octets, want %d: %s", items, since, len(got), len(want), difference(got, want))
		}
	}
}

// difference shows where two texts part.
func difference(got, want string) string {
	at := 0
	for at < min(len(got), len(want)) && got[at] == want[at] {
		at++
	}
	from := max(at-100, 0)
	return fmt.Sprintf("%.300q, want %.300q", got[from:], want[from:])
}

// linesOf puts the answers of expectLines together by other means.
func (s *directSession) linesOf(items []string, since mailbox.ModSeq) string {
	var b strings.Builder
	view := s.selected.view
	for _, row := range view.Rows(nil, 1, view.Len()) {
		if row.ModSeq <= since || row.Seq == 501 || row.Seq == 503 {
			continue
		}
		if s.uidOnly {
			fmt.Fprintf(&b, "* %d UIDFETCH (", row.UID)
		} else {
			fmt.Fprintf(&b, "* %d FETCH (", row.Seq)
		}
		for i, name := range items {
			if i > 0 {
				b.WriteByte(' ')
			}
			b.WriteString(name + " " + s.valueOf(name, &row))
		}
		b.WriteString(")\r\n")
	}
	return b.String()
}

func (s *directSession) valueOf(name string, row *mailbox.Row) string {
	switch name {
	case "UID":
		return fmt.Sprint(row.UID)
	case "FLAGS":
		var flags []string
		for _, f := range flagsOf(row.Flags, s.selected.mailbox.Keywords()) {
			flags = append(flags, string(f))
		}
		if s.selected.view.Recent(row.UID) {
			flags = append(flags, `\Recent`)
		}
		return "(" + strings.Join(flags, " ") + ")"
	case "MODSEQ":
		return fmt.Sprintf("(%d)", row.ModSeq)
	case "INTERNALDATE":
		return row.Internal.Time().Format(`"_2-Jan-2006 15:04:05 -0700"`)
	case "SAVEDATE":
		return time.Unix(row.Saved, 0).UTC().Format(`"_2-Jan-2006 15:04:05 -0700"`)
	case "RFC822.SIZE":
		return fmt.Sprint(row.Size)
	case "EMAILID":
		return fmt.Sprintf("(M%x)", uint64(row.Body))
	}
	return "NIL" // THREADID
}
