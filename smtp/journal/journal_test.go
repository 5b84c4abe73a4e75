package journal

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// clock is one that tests set.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func noon() *clock { return &clock{t: time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)} }

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// events are all that can be read.
func events(t *testing.T, dir string) (all []Event) {
	t.Helper()
	for e, err := range Events(dir) {
		must(t, err)
		all = append(all, e)
	}
	return all
}

// TestRoundTrip: what is added is read, while the journal is open and after.
func TestRoundTrip(t *testing.T) {
	dir, c := filepath.Join(t.TempDir(), "journal"), noon()
	j := Open(dir, Options{Now: c.now})
	want := Event{
		At: c.now(), Step: Judged, ID: "m.1", MessageID: "<1@x>", Queue: "00", Peer: "192.0.2.1", Helo: "h", User: "u", From: "<>",
		To: []string{"a@b.test", "c@d.test"}, Size: 7, Command: "DATA", Found: []string{"spf=pass"}, Verdict: "junk", Rule: "dmarc",
		Reasons: []string{"<a>\n\x1b[2J"}, Mailbox: "INBOX", Attempt: 2, Host: "mx", TLS: true, Reply: "250 Ok", Next: c.now().Add(time.Hour), Count: 1,
	}
	plain := want
	plain.At = time.Time{}
	j.Add(plain)
	must(t, j.Flush(t.Context()))
	if d := cmp.Diff([]Event{want}, events(t, dir)); d != "" {
		t.Error(d)
	}
	j.Add(want)
	j.Close()
	j.Close()
	j.Add(want)
	must(t, j.Flush(t.Context()))
	if n := len(events(t, dir)); n != 2 {
		t.Errorf("%d events after the end, want 2", n)
	}
	for path, mode := range map[string]os.FileMode{dir: 0o700, filepath.Join(dir, "mail-20261122-0001.jsonl"): 0o600} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != mode {
			t.Errorf("%s: %v, %v", path, info, err)
		}
	}
}

// TestEncode: a line has what encoding/json would write, for every field.
func TestEncode(t *testing.T) {
	full := Event{}
	v := reflect.ValueOf(&full).Elem()
	for i := range v.NumField() {
		switch f := v.Field(i); f.Interface().(type) {
		case string, Step:
			f.SetString(v.Type().Field(i).Name + "<\"\\\x00\u2028\xff\u00e4")
		case []string:
			f.Set(reflect.ValueOf([]string{"a", v.Type().Field(i).Name, "\n"}))
		case time.Time:
			f.Set(reflect.ValueOf(noon().now().Add(time.Duration(i))))
		case bool:
			f.SetBool(true)
		default:
			f.SetInt(int64(i + 1))
		}
	}
	for _, e := range []Event{full, {Step: Lost}, {Step: Filed, To: []string{}}} {
		line := appendLine(nil, &e)
		want, err := json.Marshal(e)
		must(t, err)
		var got, as any
		must(t, json.Unmarshal(line, &got))
		must(t, json.Unmarshal(want, &as))
		if d := cmp.Diff(as, got); d != "" || line[len(line)-1] != '\n' {
			t.Errorf("%s: %s", line, d)
		}
	}
	mad := Event{Step: Filed, At: time.Date(20000, 1, 1, 0, 0, 0, 0, time.UTC)}
	if e, ok := parseLine(appendLine(nil, &mad)); !ok || e.At.Year() != 9999 {
		t.Errorf("%v, %v", e, ok)
	}
}

// TestNone: nothing is kept by the nil journal, and nothing is found where there is none.
func TestNone(t *testing.T) {
	var j *Journal
	j.Add(Event{Step: Filed})
	j.AddFor(Event{Step: Filed}, nil)
	must(t, j.Flush(t.Context()))
	j.Close()
	dir := filepath.Join(t.TempDir(), "none")
	if found, _, err := Stories(dir, Filter{}); err != ErrNone || found != nil {
		t.Errorf("%v, %v", found, err)
	}
	if len(events(t, dir)) > 0 {
		t.Error("events from nowhere")
	}
}

// TestManyRecipients are in several events, and none is left out.
func TestManyRecipients(t *testing.T) {
	dir := t.TempDir()
	j := Open(dir, Options{Now: noon().now})
	var all, got []string
	for i := range 2*maxList + 1 {
		all = append(all, fmt.Sprintf("r%d@a.test", i))
	}
	j.AddFor(Event{Step: Received, ID: "1"}, all)
	j.Close()
	list := events(t, dir)
	for _, e := range list {
		got = append(got, e.To...)
	}
	if len(list) != 3 || !slices.Equal(got, all) {
		t.Errorf("%d events for %d recipients", len(list), len(got))
	}
}

// TestBound: nothing that others say makes a line that cannot be read again.
func TestBound(t *testing.T) {
	dir := t.TempDir()
	j := Open(dir, Options{})
	long := strings.Repeat("\x00\xff\u00e4", 100000)
	list := slices.Repeat([]string{long}, 100)
	e := Event{Step: Received, ID: long, MessageID: long, Helo: long, From: long, To: list, Found: list, Reasons: list, Reply: long}
	j.Add(e)
	j.Close()
	if got := events(t, dir); len(got) != 1 || len(got[0].Reasons) != maxList {
		t.Errorf("%d events", len(got))
	}
	if list[0] != long {
		t.Error("the caller's list was changed")
	}
	if b := appendLine(nil, &e); len(b) > maxLine {
		t.Errorf("a line of %d octets", len(b))
	}
}

// TestManyAtOnce: what many add at once, while others wait for it to be written, is
// all there and whole.
func TestManyAtOnce(t *testing.T) {
	dir := t.TempDir()
	j := Open(dir, Options{})
	const writers, each = 8, 500
	var wait sync.WaitGroup
	for w := range writers {
		wait.Go(func() {
			for i := range each {
				step := Filed
				if i%3 == 0 {
					step = Refused
				}
				j.Add(Event{Step: step, ID: fmt.Sprint(w), Size: int64(i + 1)})
				if i%50 == 0 {
					if err := j.Flush(t.Context()); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	wait.Wait()
	j.Close()
	seen := map[string]bool{}
	for _, e := range events(t, dir) {
		seen[e.ID+" "+fmt.Sprint(e.Size)] = true
	}
	if len(seen) != writers*each {
		t.Errorf("%d of %d steps", len(seen), writers*each)
	}
}

// TestFull: who adds never waits; what is dropped is counted, and the count is read.
func TestFull(t *testing.T) {
	dir, c := t.TempDir(), noon()
	j := newJournal(dir, Options{Now: c.now}, sizes{mailBytes, refusedBytes, saidBytes, fileBytes})
	reply := strings.Repeat("x", maxText)
	for range 2 * maxWaiting / maxText { // nobody writes yet
		j.Add(Event{Step: Filed, ID: "1", Reply: reply})
	}
	kept := j.waiting[onMail].steps
	if n := len(j.waiting[onMail].lines); n > maxWaiting+2*maxText || j.dropped == 0 {
		t.Errorf("%d octets wait, %d steps were dropped", n, j.dropped)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := j.Flush(ctx); err != context.Canceled {
		t.Errorf("flush: %v", err)
	}
	go j.run()
	must(t, j.Flush(t.Context()))
	j.Close()
	found, lost, err := Stories(dir, Filter{})
	if err != nil || lost != 2*maxWaiting/maxText-kept || len(found) != 1 || len(found[0].Steps) != kept {
		t.Errorf("%d messages, %d lost, %v; %d were kept", len(found), lost, err, kept)
	}
}

// TestFolderThatCannotBeWritten: mail goes on, the log hears of it, and the
// journal goes on when the folder is there again, saying how much is missing.
func TestFolderThatCannotBeWritten(t *testing.T) {
	parent, c := t.TempDir(), noon()
	dir := filepath.Join(parent, "journal")
	must(t, os.WriteFile(dir, nil, 0o600))
	var said bytes.Buffer
	j := Open(dir, Options{Now: c.now, Logger: slog.New(slog.NewTextHandler(&said, nil))})
	for range 3 {
		j.Add(Event{Step: Filed, ID: "1"})
		must(t, j.Flush(t.Context()))
	}
	must(t, os.Remove(dir))
	j.Add(Event{Step: Filed, ID: "2"}) // still at rest
	must(t, j.Flush(t.Context()))
	c.add(restAfter)
	j.Add(Event{Step: Filed, ID: "3"})
	j.Close()
	found, lost, err := Stories(dir, Filter{})
	if err != nil || lost != 4 || len(found) != 1 || found[0].ID != "3" {
		t.Errorf("%v, %d lost, %v", found, lost, err)
	}
	if n := strings.Count(said.String(), "cannot be written"); n != 1 {
		t.Errorf("told %d times: %s", n, said.String())
	}
}

// TestFullDisk: nobody who adds hears of it; what is lost is counted, and told when
// there is room.
func TestFullDisk(t *testing.T) {
	if _, err := os.Stat("/dev/full"); err != nil {
		t.Skip("there is no file that is always full:", err)
	}
	dir, c := t.TempDir(), noon()
	name := filepath.Join(dir, "mail-20261122-0001.jsonl")
	must(t, os.Symlink("/dev/full", name))
	var said bytes.Buffer
	j := Open(dir, Options{Now: c.now, Logger: slog.New(slog.NewTextHandler(&said, nil))})
	for range 5 {
		j.Add(Event{Step: Filed, ID: "1"})
		j.Add(Event{Step: Refused, ID: "2"}) // has its own file
		must(t, j.Flush(t.Context()))
		c.add(restAfter / 3)
	}
	must(t, os.Remove(name))
	c.add(restAfter)
	j.Add(Event{Step: Filed, ID: "3"})
	j.Close()
	found, lost, err := Stories(dir, Filter{})
	if err != nil || lost != 5 || len(found) != 2 || len(found[0].Steps) != 5 || found[1].ID != "3" {
		t.Errorf("%v, %d lost, %v", found, lost, err)
	}
	if !strings.Contains(said.String(), "no space left on device") {
		t.Errorf("said %q", said.String())
	}
}

// TestDays: files of a day go when their days are over; the shelf of what was
// refused has its own room.
func TestDays(t *testing.T) {
	dir, c := t.TempDir(), noon()
	j := Open(dir, Options{Now: c.now})
	for day := range 40 {
		j.Add(Event{Step: Filed, ID: fmt.Sprint(day)})
		j.Add(Event{Step: Refused, ID: fmt.Sprint(day)})
		must(t, j.Flush(t.Context()))
		c.add(24 * time.Hour)
	}
	j.Close()
	found, _, err := Stories(dir, Filter{})
	if err != nil || len(found) != Days+1 || found[0].ID != "9" || len(found[0].Steps) != 2 {
		t.Errorf("%d messages, %v", len(found), err)
	}
	c.add(365 * 24 * time.Hour)
	j = Open(dir, Options{Now: c.now}) // a start alone cleans up
	j.Close()
	if got := events(t, dir); len(got) > 0 {
		t.Errorf("%d events of last year", len(got))
	}
}

// TestBudget: the oldest files go first, and those of one shelf leave the other alone.
func TestBudget(t *testing.T) {
	dir, c := t.TempDir(), noon()
	s := sizes{mail: 1 << 20, refused: 1 << 20, said: 1 << 20, file: 128 << 10}
	j := newJournal(dir, Options{Now: c.now}, s)
	go j.run()
	j.Add(Event{Step: Filed, ID: "kept"})
	reply := strings.Repeat("x", maxText)
	for i := range 2000 {
		j.Add(Event{Step: Refused, ID: fmt.Sprint(i), Reply: reply})
		if i%50 == 0 {
			must(t, j.Flush(t.Context()))
		}
	}
	j.Close()
	total := int64(0)
	files, err := os.ReadDir(dir)
	must(t, err)
	for _, f := range files {
		info, err := f.Info()
		must(t, err)
		if total += info.Size(); info.Size() > s.file+maxWaiting/4 {
			t.Errorf("%s has %d octets", f.Name(), info.Size())
		}
	}
	if total > s.refused+s.file || total < s.refused-3*s.file {
		t.Errorf("%d octets in all", total)
	}
	all := events(t, dir)
	if i := slices.IndexFunc(all, func(e Event) bool { return e.ID == "kept" }); i < 0 {
		t.Error("what was refused pushed out what was taken")
	}
	if slices.ContainsFunc(all, func(e Event) bool { return e.ID == "0" }) {
		t.Error("the oldest is still there")
	}
}

// TestCutOff: a line that a kill cut off takes no other with it, and files that
// are none of ours are left alone.
func TestCutOff(t *testing.T) {
	dir, c := t.TempDir(), noon()
	name := filepath.Join(dir, "mail-20261122-0001.jsonl")
	text := string(appendLine(nil, &Event{Step: Filed, ID: "1"})) + "[]\nnull\n{}\n{\"step\":7}\n" + strings.Repeat("y", maxLine+10) + "\n" + `{"step":"filed","id":"cut`
	must(t, os.WriteFile(name, []byte(text), 0o600))
	for _, other := range []string{"notes.jsonl", "mail-2026-1.jsonl", "mail-20260101-x.jsonl", "post-20000101-0001.jsonl"} {
		must(t, os.WriteFile(filepath.Join(dir, other), []byte(text), 0o600))
	}
	j := Open(dir, Options{Now: c.now})
	j.Add(Event{Step: Filed, ID: "2"})
	j.Close()
	var ids []string
	for _, e := range events(t, dir) {
		ids = append(ids, e.ID)
	}
	if !slices.Equal(ids, []string{"1", "2"}) {
		t.Errorf("ids %q", ids)
	}
	if files, err := os.ReadDir(dir); err != nil || len(files) != 5 {
		t.Errorf("%d files, %v", len(files), err)
	}
}

// TestClockIsSetBack: the journal goes on, and stories are told by their time.
func TestClockIsSetBack(t *testing.T) {
	dir, c := t.TempDir(), noon()
	j := Open(dir, Options{Now: c.now})
	j.Add(Event{Step: Filed, ID: "1"})
	must(t, j.Flush(t.Context()))
	c.add(-72 * time.Hour)
	j.Add(Event{Step: Received, ID: "1"})
	j.Close()
	found, _, err := Stories(dir, Filter{})
	if err != nil || len(found) != 1 || found[0].Steps[0].Step != Received {
		t.Errorf("%v, %v", found, err)
	}
}

func TestStories(t *testing.T) {
	dir, c := t.TempDir(), noon()
	j := Open(dir, Options{Now: c.now})
	for _, e := range []Event{
		{ID: "1", Step: Received, From: "ann@a.test", User: "ann@a.test", MessageID: "<x@a.test>", To: []string{"bob@b.test", "eve@c.test"}},
		{ID: "2", Step: Refused, From: "<>", To: []string{"none@a.test"}, Command: "RCPT"},
		{ID: "1", Step: Queued, Queue: "00q", To: []string{"eve@c.test"}},
		{ID: "3", Step: Received, From: "bob@sub.b.test", To: []string{"postmaster"}},
		{ID: "3", Step: Filed, To: []string{"Ann@a.test"}, Mailbox: "INBOX"},
		{ID: "1", Step: Delivered, Queue: "00q", To: []string{"eve@c.test"}, Host: "mx.c.test", Reply: "250 Ok"},
	} {
		j.Add(e)
		must(t, j.Flush(t.Context()))
		c.add(time.Hour)
	}
	j.Close()
	for _, tc := range []struct {
		f    Filter
		want string
	}{
		{Filter{}, "1:3 2:1 3:2"},
		{Filter{Limit: 2}, "2:1 3:2"},
		{Filter{Message: "1"}, "1:3"},
		{Filter{Message: "00q"}, "1:3"},
		{Filter{Message: "<x@a.test>"}, "1:3"},
		{Filter{Message: "x@a.test"}, "1:3"},
		{Filter{Message: "x"}, ""},
		{Filter{From: "ANN@a.test"}, "1:3"},
		{Filter{From: "nn@a.test"}, ""},
		{Filter{From: "b.test"}, ""},
		{Filter{From: "@sub.b.test"}, "3:2"},
		{Filter{From: "<>"}, "2:1"},
		{Filter{To: "a.test"}, "2:1 3:2"},
		{Filter{To: "eve@c.test"}, "1:3"},
		{Filter{To: "postmaster"}, "3:2"},
		{Filter{To: "eve@c.test", From: "bob@sub.b.test"}, ""},
		{Filter{Since: noon().now().Add(90 * time.Minute)}, "1:3 3:2"},
		{Filter{Since: noon().now().Add(24 * time.Hour)}, ""},
	} {
		found, _, err := Stories(dir, tc.f)
		must(t, err)
		var got []string
		for _, s := range found {
			got = append(got, fmt.Sprintf("%s:%d", s.ID, len(s.Steps)))
		}
		if s := strings.Join(got, " "); s != tc.want {
			t.Errorf("%+v: %s, want %s", tc.f, s, tc.want)
		}
	}
}

// TestWords: each step has its sentence, on one line whatever others have said.
func TestWords(t *testing.T) {
	next := time.Date(2026, 11, 22, 13, 0, 0, 0, time.UTC)
	for _, tc := range []struct {
		e    Event
		want string
	}{
		{Event{Step: Received, Size: 9, From: "a@b.test", Peer: "192.0.2.1", Helo: "h\x1b[1m", To: []string{"x@y.test"}, MessageID: "<1@b>"},
			"received 9 octets from a@b.test, at 192.0.2.1, which says it is h?[1m for x@y.test, Message-ID <1@b>"},
		{Event{Step: Received, Size: 9, From: "<>", User: "u@a.test", To: []string{"x@y.test", "z"}}, "received 9 octets from <>, logged in as u@a.test for x@y.test, z"},
		{Event{Step: Refused, Command: "MAIL", Reply: "550 no", From: "a@b.test"}, "refused at MAIL: 550 no (from a@b.test)"},
		{Event{Step: Abandoned, From: "a@b.test", To: []string{"x"}}, "the client went before the end of the message (from a@b.test for x)"},
		{Event{Step: Judged, Verdict: "junk", Rule: "dmarc", Reasons: []string{"p", "q"}, Found: []string{"spf=fail", "dkim=none"}}, "judged: junk (dmarc): p; q; found spf=fail dkim=none"},
		{Event{Step: Judged, Verdict: "accept", To: []string{"u"}}, "judged for u: accept"},
		{Event{Step: Filed, Mailbox: "INBOX", To: []string{"u"}}, "filed into INBOX of u"},
		{Event{Step: Queued, Queue: "0a", To: []string{"u"}}, "queued as 0a for u"},
		{Event{Step: Delivered, To: []string{"u"}, Attempt: 2, TLS: true, Host: "mx", Reply: "250 ok"}, "delivered to u by attempt 2, encrypted: mx said: 250 ok"},
		{Event{Step: Deferred, To: []string{"u"}, Attempt: 1, Reply: "4.4.1 no answer", Next: next}, "not yet delivered to u by attempt 1: 4.4.1 no answer; tried again 2026-11-22T13:00:00Z"},
		{Event{Step: Failed, To: []string{"u"}, Attempt: 9}, "given up for u after attempt 9"},
		{Event{Step: Notified, To: []string{"u"}}, "a notice of failure goes to u"},
		{Event{Step: Notified, Verdict: "delayed", To: []string{"u"}}, "a notice of delay goes to u"},
		{Event{Step: Notified, Verdict: "delivered", To: []string{"u"}}, "a notice of success goes to u"},
		{Event{Step: Removed, To: []string{"u"}}, "removed from the queue by the administrator, for u"},
		{Event{Step: Talked, Attempt: 2, To: []string{"b@far.test"}}, "what was said in attempt 2 for b@far.test:"},
		{Event{Step: Lost, Count: 3}, "3 steps are missing"},
		{Event{Step: "of tomorrow"}, "of tomorrow"},
	} {
		if got := tc.e.String(); got != tc.want {
			t.Errorf("%s: %q, want %q", tc.e.Step, got, tc.want)
		}
	}
}

// FuzzRead: whatever a file holds, reading ends, and what was read can be
// written and read again.
func FuzzRead(f *testing.F) {
	f.Add([]byte(`{"at":"2026-11-22T12:00:00Z","step":"filed","id":"1","to":["a"]}` + "\n"))
	f.Add([]byte("{\"step\":\"x\",\"next\":\"2026-11-22T12:00:00+23:00\"}\n{\n\n"))
	f.Add([]byte(strings.Repeat("[", 1000) + "\n{\"step\":\"\xff\"}\n"))
	f.Add([]byte("{\"step\":\"x\",\"to\":[]}\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		for e, err := range read(bytes.NewReader(data)) {
			if err != nil {
				t.Fatal(err)
			}
			if strings.ContainsAny(e.String(), "\n\x1b") {
				t.Errorf("%q goes to a terminal", e.String())
			}
			line := appendLine(nil, &e)
			if len(line) == 0 {
				continue
			}
			again, ok := parseLine(line)
			if !ok || !cmp.Equal(e, again, cmpopts.EquateEmpty()) { // an empty list is left out
				t.Errorf("%+v was written and read as %+v", e, again)
			}
		}
	})
}

// BenchmarkAdd is what a step costs whoever takes it down, with the writer's work beside.
func BenchmarkAdd(b *testing.B) {
	j := Open(b.TempDir(), Options{})
	defer j.Close()
	e := Event{Step: Received, ID: "m.1", Peer: "192.0.2.1", Helo: "client.example", From: "a@b.test", To: []string{"x@y.test"}, Size: 1000, MessageID: "<123456789@b.test>"}
	n := 0
	for b.Loop() {
		j.Add(e)
		if n++; n%1000 == 0 {
			must(b, j.Flush(b.Context()))
		}
	}
	b.ReportMetric(float64(j.dropped), "dropped")
}
