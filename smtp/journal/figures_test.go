package journal

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestFigures: what is counted by message is counted once, what is counted by recipient for each.
func TestFigures(t *testing.T) {
	c := noon()
	j := Open(filepath.Join(t.TempDir(), "journal"), Options{Now: c.now})
	defer j.Close()
	many := make([]string, maxList+1)
	for i := range many {
		many[i] = fmt.Sprintf("u%d@a.test", i)
	}
	j.AddFor(Event{Step: Filed, Mailbox: "INBOX"}, many)
	j.AddFor(Event{Step: Refused, Command: "DATA", Reply: "550 5.7.1 Go away"}, many)
	j.AddFor(Event{Step: Judged, Verdict: "refuse", Rule: "dmarc"}, many)
	j.AddFor(Event{Step: Abandoned}, many)
	c.add(2 * time.Hour)
	j.Add(Event{Step: Filed, Mailbox: "Junk", To: many[:1]})
	j.Add(Event{Step: Filed, Mailbox: "Bank", To: many[:1]})
	j.Add(Event{Step: Refused, Command: "RCPT", Reply: "550 5.1.1 No such user"})
	j.Add(Event{Step: Refused, Command: "RCPT", Reply: "550 5.1.1 No other user"})
	j.Add(Event{Step: Refused, Command: "MAIL", Reply: "500 What"})
	j.Add(Event{Step: Delivered, To: many[:2]})
	j.Add(Event{Step: Deferred, To: many[:3]})
	j.Add(Event{Step: Failed, To: many[:4]})
	want := Figures{
		Copies:    map[string]uint64{"INBOX": maxList + 1, "Junk": 1, "other": 1},
		Refusals:  map[Refusal]uint64{{"DATA", "5.7.1"}: 1, {"RCPT", "5.1.1"}: 2, {"MAIL", "500"}: 1},
		Verdicts:  map[Decision]uint64{{"refuse", "dmarc"}: 1},
		Abandoned: 1, Delivered: 2, Deferred: 3, Failed: 4,
		LastHour: Traffic{Filed: 2, Refused: 3, Delivered: 2, Failed: 4},
		LastDay:  Traffic{Filed: maxList + 3, Refused: 4, Delivered: 2, Failed: 4},
	}
	if d := cmp.Diff(want, j.Figures()); d != "" {
		t.Error(d)
	}
	c.add(23 * time.Hour)
	if got := j.Figures(); got.LastHour != (Traffic{}) || got.LastDay != want.LastHour {
		t.Errorf("a day later %+v, %+v", got.LastHour, got.LastDay)
	}
	if d := cmp.Diff(Figures{}, (*Journal)(nil).Figures()); d != "" {
		t.Error(d)
	}
}

// TestFiguresAreBounded: no stream of odd replies makes the counters grow.
func TestFiguresAreBounded(t *testing.T) {
	tally := newTally()
	for i := range 3 * maxNames {
		tally.count(&Event{Step: Refused, Command: "RCPT", Reply: fmt.Sprintf("550 5.1.%d x", i)}, false)
	}
	if n := len(tally.f.Refusals); n > maxNames+1 {
		t.Errorf("%d names", n)
	}
	var all uint64
	for n := range maps.Values(tally.f.Refusals) {
		all += n
	}
	if all != 3*maxNames {
		t.Errorf("%d counted", all)
	}
}

func TestStatusOf(t *testing.T) {
	for reply, want := range map[string]string{
		"550 5.1.1 No such user": "5.1.1", "421 Busy": "421", "450 4.7.0": "4.7.0", "": "other", "550": "550", "55x 5.1": "other",
		"550 5..1 x": "550", "550 5.1.1.1 x": "550", "550 .1.1 x": "550", "550 5.1111.1111 x": "550", "9999 x": "other",
	} {
		if got := statusOf(reply); got != want {
			t.Errorf("%q: %q, want %q", reply, got, want)
		}
	}
}

// TestRefusals: one line a message, with reasons where a rule decided; each recipient that was refused is one.
func TestRefusals(t *testing.T) {
	dir, c := filepath.Join(t.TempDir(), "journal"), noon()
	if got, err := Refusals(dir, 5); len(got) > 0 || err != nil {
		t.Fatalf("without a journal %v, %v", got, err)
	}
	j := Open(dir, Options{Now: c.now})
	for i, e := range []Event{
		{Step: Judged, ID: "1", Verdict: "refuse", Rule: "dmarc", Reasons: []string{"forged"}},
		{Step: Refused, ID: "1", Command: "DATA", From: "x@y.test", Reply: "550 5.7.1 Refused"},
		{Step: Abandoned, ID: "2"},
		{Step: Refused, ID: "3", Command: "RCPT", To: []string{"a@b.test"}, Reply: "550 5.1.1 No"},
		{Step: Refused, ID: "3", Command: "RCPT", To: []string{"c@b.test"}, Reply: "550 5.1.1 No"},
		{Step: Filed, ID: "4", Mailbox: "INBOX"},
	} {
		e.At = c.now().Add(time.Duration(i) * time.Second)
		j.Add(e)
	}
	j.Close()
	got, err := Refusals(dir, 5)
	must(t, err)
	type line struct{ id, to, reply, rule string }
	var lines []line
	for _, e := range got {
		lines = append(lines, line{e.ID, fmt.Sprint(e.To), e.Reply, e.Rule})
	}
	want := []line{{"3", "[c@b.test]", "550 5.1.1 No", ""}, {"3", "[a@b.test]", "550 5.1.1 No", ""}, {"1", "[]", "550 5.7.1 Refused", "dmarc"}}
	if d := cmp.Diff(want, lines, cmp.AllowUnexported(line{})); d != "" {
		t.Error(d)
	}
	if got, err := Refusals(dir, 1); len(got) != 1 || err != nil || got[0].ID != "3" {
		t.Errorf("one of them: %+v, %v", got, err)
	}
}

// TestRefusalsOfALongFile reads its end only, and from the file before what is missing.
func TestRefusalsOfALongFile(t *testing.T) {
	dir, c := t.TempDir(), noon()
	for number, n := range []int{1, 2000} {
		var lines []byte
		for i := range n {
			lines = appendLine(lines, &Event{At: c.now(), Step: Refused, ID: fmt.Sprint(number, i), Command: "DATA", Reply: "550 5.7.1 Refused for what you said"})
		}
		name := fileName{refusedShelf, c.now().Format(dayFormat), number + 1}
		must(t, os.WriteFile(filepath.Join(dir, name.String()), append(lines, `{"at":"cut`...), 0o600))
	}
	got, err := Refusals(dir, 3000)
	must(t, err)
	if n := len(got); n < 500 || n >= 2000 || got[0].ID != "1 1999" || got[n-1].ID != "0 0" {
		t.Errorf("%d, from %+v to %+v", n, got[0], got[n-1])
	}
}
