package check

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"mailstead/mailbox"
	"mailstead/mailbox/mailboxtest"
	"mailstead/smtp/mtasts"
)

// spf is a result of a domain's SPF record.
func spf(s State) Result {
	return Result{ID: "domain.spf", Domain: "a.test", Subject: "a.test", State: s, Found: "there is none", Why: "it matters", Remedy: "publish it"}
}

// dkim is one of a domain's key.
func dkim(s State) Result {
	return Result{ID: "domain.dkim", Domain: "a.test", Subject: "k._domainkey.a.test", State: s, Found: "it is another", Why: "it matters", Remedy: "replace it"}
}

// TestCompare: what is told is what became wrong, and what is right again or gone; what nobody could find out says nothing.
func TestCompare(t *testing.T) {
	other, nobody := spf(OK), spf(Unknown)
	other.Subject, nobody.Subject = "other", "nobody"
	told := func(all ...Result) (keys []string) {
		for _, r := range all {
			keys = append(keys, r.key())
		}
		return keys
	}
	for name, tc := range map[string]struct {
		told               []string
		now                []Result
		wrong, right, gone int
		after              []string
	}{
		"nothing":                      {now: []Result{spf(OK), dkim(Info)}},
		"became wrong":                 {now: []Result{spf(Wrong), dkim(OK)}, wrong: 1, after: told(spf(Wrong))},
		"still wrong":                  {told: told(spf(Wrong)), now: []Result{spf(Wrong)}, after: told(spf(Wrong))},
		"right again":                  {told: told(spf(Wrong)), now: []Result{spf(OK)}, right: 1},
		"good enough again":            {told: told(spf(Wrong)), now: []Result{spf(Info)}, right: 1},
		"nobody knows whether":         {told: told(spf(Wrong)), now: []Result{spf(Unknown)}, after: told(spf(Wrong))},
		"nobody knows, nor did before": {now: []Result{spf(Unknown)}},
		"not there any more":           {told: told(spf(Wrong), dkim(Wrong)), now: []Result{dkim(Wrong), other}, gone: 1, after: told(dkim(Wrong))},
		"nobody could look":            {told: told(spf(Wrong), dkim(Wrong)), now: []Result{dkim(Wrong)}, after: told(dkim(Wrong), spf(Wrong))},
		"nobody could look for it":     {told: told(spf(Wrong)), now: []Result{other, nobody}, after: told(spf(Wrong))},
		"one wrong, one right":         {told: told(spf(Wrong)), now: []Result{spf(OK), dkim(Wrong)}, wrong: 1, right: 1, after: told(dkim(Wrong))},
		"two faults of one thing":      {now: []Result{spf(Wrong), spf(Wrong)}, wrong: 2, after: told(spf(Wrong))},
		"one of two mended":            {told: told(spf(Wrong)), now: []Result{spf(OK), spf(Wrong)}, after: told(spf(Wrong))},
	} {
		n := compare(tc.told, tc.now)
		if len(n.wrong) != tc.wrong || len(n.right) != tc.right || len(n.gone) != tc.gone || !slices.Equal(n.told, tc.after) {
			t.Errorf("%s: %+v", name, n)
		}
	}
}

// letters are those that a watch has written.
type letters struct {
	store *mailbox.Store
	all   []string
	fail  error
}

func (l *letters) tell(ctx context.Context, subject, text string, changes ...mailbox.RoomChange) error {
	if l.fail != nil {
		return l.fail
	}
	l.all = append(l.all, "Subject: "+subject+"\n\n"+text)
	return l.store.Change(ctx, changes...)
}

// TestDailyRound: the postmaster hears of each change once, also where a letter could not be written at first, and the round is
// kept with a sample of the store's size.
func TestDailyRound(t *testing.T) {
	store := mailboxtest.NewStore(t)
	l := &letters{store: store}
	var found []Result
	now := statesNow
	w := &Watch{
		Store: store, Round: func(context.Context) ([]Result, error) { return found, nil }, Used: func() (int64, error) { return 1000, nil },
		Tell: l.tell, Now: func() time.Time { return now }, Logger: slog.New(slog.DiscardHandler),
	}
	round := func(want int, results ...Result) {
		t.Helper()
		now, found = now.AddDate(0, 0, 1), results
		err := w.Once(t.Context())
		if (err == nil) != (l.fail == nil) || len(l.all) != want {
			t.Fatalf("%v; %d letters: %q", err, len(l.all), l.all)
		}
		last, ok, err := LastRound(store)
		if err != nil || !ok || !last.Time.Equal(now) || len(last.Results) != len(results) {
			t.Fatalf("%+v, %v, %v", last, ok, err)
		}
	}
	round(0, spf(OK), dkim(OK))
	l.fail = errors.New("no postmaster")
	round(0, spf(Wrong), dkim(OK))
	l.fail = nil
	round(1, spf(Wrong), dkim(OK))
	round(1, spf(Wrong), dkim(OK))
	round(1, spf(Unknown), dkim(OK))
	round(2, spf(OK), dkim(Wrong))
	const want = `Subject: Something is wrong: domain.dkim k._domainkey.a.test

The daily check of this server has found a change.

This is wrong:

  domain.dkim k._domainkey.a.test
    it is another
    Why it matters: it matters.
    What to do: replace it

This is right again, or is not there any more:

  domain.spf a.test

See how it is now:  mailstead check
You are told of each change once.
`
	if l.all[1] != want {
		t.Errorf("%s\nwant\n%s", l.all[1], want)
	}
	next := dkim(OK)
	next.Subject = "new._domainkey.a.test"
	round(3, spf(OK), next)
	if !strings.Contains(l.all[2], "Subject: It is right again\n") || !strings.Contains(l.all[2], "domain.dkim a.test k._domainkey.a.test") {
		t.Error(l.all[2])
	}
	samples, err := Samples(store)
	if err != nil || len(samples) != 7 || samples[6] != (Sample{now, 1000}) {
		t.Errorf("%v, %v", samples, err)
	}
	if err := store.Check(); err != nil {
		t.Error(err)
	}
}

// TestRoundsAreMadeDaily: one soon after the start, each next a day later, sooner than that after none, and with all of them
// the samples stay few.
func TestRoundsAreMadeDaily(t *testing.T) {
	store := mailboxtest.NewStore(t)
	w := &Watch{Store: store, Now: func() time.Time { return statesNow }, Logger: slog.New(slog.DiscardHandler)}
	between := func(name string, least, most time.Duration) {
		t.Helper()
		for range 100 {
			if p := w.pause(); p < least || p > most {
				t.Fatalf("%s: after %s", name, p)
			}
		}
	}
	if p := w.pause(); p > 0 {
		t.Errorf("the first round: after %s", p)
	}
	for _, tc := range []struct {
		name        string
		last        time.Time
		least, most time.Duration
	}{
		{"one just now", statesNow, roundEvery, roundEvery + roundSpread},
		{"one of an hour ago", statesNow.Add(-time.Hour), roundEvery - time.Hour, roundEvery},
		{"one of a clock that was ahead", statesNow.AddDate(1, 0, 0), roundEvery, roundEvery + roundSpread},
	} {
		if err := w.keep(t.Context(), Round{Time: tc.last, Results: []Result{spf(OK)}}); err != nil {
			t.Fatal(err)
		}
		between(tc.name, tc.least, tc.most)
	}
	var many []Sample
	for i := range maxSamples {
		many = append(many, Sample{statesNow.AddDate(0, 0, i), int64(i)})
	}
	c, err := change(samplesKey, many)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(store.Change(t.Context(), c), addSample(t.Context(), store, Sample{statesNow.AddDate(0, 0, maxSamples), maxSamples})); err != nil {
		t.Fatal(err)
	}
	if list, err := Samples(store); err != nil || len(list) != maxSamples || list[0].Used != 1 {
		t.Errorf("%d samples from %+v, %v", len(list), list[0], err)
	}
}

// TestNoteBackup: the newest is known, and one that goes on and on is written down once an hour.
func TestNoteBackup(t *testing.T) {
	store := mailboxtest.NewStore(t)
	if at, err := LastBackup(store); err != nil || !at.IsZero() {
		t.Errorf("before any: %v, %v", at, err)
	}
	want := statesNow
	for _, at := range []time.Time{statesNow, statesNow.Add(noteEvery - 1), statesNow.Add(noteEvery), statesNow.Add(noteEvery + time.Minute)} {
		if err := NoteBackup(t.Context(), store, at); err != nil {
			t.Fatal(err)
		}
		if at.Sub(want) >= noteEvery {
			want = at
		}
		if got, err := LastBackup(store); err != nil || !got.Equal(want) {
			t.Errorf("%v, %v, want %v", got, err, want)
		}
	}
}

// TestRoundIsBounded: a resolver that never answers holds a round up no longer than its time, and says nothing of the host.
func TestRoundIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := soundWorld()
		began := time.Now()
		results, err := Run(t.Context(), Options{
			Host: w.Host, Domains: []Domain{w.domain()}, Resolver: silent{}, Timeout: roundTime,
			Policy: func(ctx context.Context, _ string) (p mtasts.Policy, err error) { <-ctx.Done(); return p, ctx.Err() },
		})
		if took := time.Since(began); err != nil || took > roundTime {
			t.Errorf("%s, %v", took, err)
		}
		for _, r := range results {
			if r.State == Wrong && r.ID != "host.resolver" && r.ID != "server.backup" {
				t.Errorf("%+v", r)
			}
		}
	})
}

// TestWhichChecks: checks are chosen by their names, or a part of them.
func TestWhichChecks(t *testing.T) {
	w := soundWorld()
	for only, want := range map[string]string{
		"version": "server.version", "server.version": "server.version", "machine": "machine.clock machine.disk machine.memory machine.files",
		"m*.[cd]*": "machine.clock machine.disk", "port": "", "[": "",
	} {
		results, err := Run(t.Context(), Options{Host: w.Host, Only: only, Resolver: silent{}, Now: func() time.Time { return statesNow }})
		if errors.Is(err, ErrNoSuchCheck) != (want == "") {
			t.Errorf("%s: %v", only, err)
		}
		var ids []string
		for _, r := range results {
			ids = append(ids, r.ID)
		}
		if got := strings.Join(ids, " "); got != want {
			t.Errorf("%s: %s", only, got)
		}
	}
}

// TestIsUTF8: the first variable that is set says what a terminal can show.
func TestIsUTF8(t *testing.T) {
	for _, tc := range []struct {
		all, ctype, lang string
		want             bool
	}{{"", "", "", false}, {"", "", "C.UTF-8", true}, {"C", "", "C.UTF-8", false}, {"", "de_DE.utf8", "C", true}, {"", "", "POSIX", false}} {
		e := map[string]string{"LC_ALL": tc.all, "LC_CTYPE": tc.ctype, "LANG": tc.lang}
		if got := IsUTF8(func(name string) string { return e[name] }); got != tc.want {
			t.Errorf("%+v: %v", tc, got)
		}
	}
}
