package main

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestProgressBar: what people see of an action's steps, on a terminal and in a log.
func TestProgressBar(t *testing.T) {
	type told struct {
		after time.Duration
		progress
	}
	steps := []told{
		{0, progress{"reading the log", 0, 3_000_000_000, octets}},
		{100 * time.Millisecond, progress{"reading the log", 10_000_000, 3_000_000_000, octets}}, // too soon to be drawn
		{4900 * time.Millisecond, progress{"reading the log", 750_000_000, 3_000_000_000, octets}},
		{10 * time.Second, progress{"reading the log", 1_500_000_000, 3_000_000_000, octets}},
		{time.Second, progress{"counting", 0, 0, "messages"}},
		{11 * time.Second, progress{"counting", 44, 0, "messages"}},
		{time.Second, progress{"déjà vu", 1, 1, "messages"}},
	}
	for _, c := range []struct {
		name    string
		columns int
		want    string
	}{
		{"terminal", 90, "" +
			"\rreading the log:   0% [                        ] 0 B of 3.0 GB\x1b[K" +
			"\rreading the log:  25% [======                  ] 750.0 MB of 3.0 GB, 150.0 MB/s, 15s left\x1b[K" +
			"\rreading the log:  50% [============            ] 1.5 GB of 3.0 GB, 100.0 MB/s, 15s left\x1b[K\n" +
			"\rcounting: 0 messages\x1b[K" +
			"\rcounting: 44 messages, 4/s\x1b[K\n" +
			"\rdéjà vu: 100% [========================] 1 of 1 messages\x1b[K\n"},
		{"narrow terminal", 20, "" +
			"\rreading the log:   \x1b[K" +
			"\rreading the log:  2\x1b[K" +
			"\rreading the log:  5\x1b[K\n" +
			"\rcounting: 0 message\x1b[K" +
			"\rcounting: 44 messag\x1b[K\n" +
			"\rdéjà vu: 100% [====\x1b[K\n"},
		{"log", 0, "" +
			"reading the log:  50% 1.5 GB of 3.0 GB, 100.0 MB/s, 15s left\n" +
			"counting: 44 messages, 4/s\n"},
	} {
		var out bytes.Buffer
		now := time.Now()
		b := &progressBar{out: &out, columns: c.columns, now: func() time.Time { return now }}
		for _, s := range steps {
			now = now.Add(s.after)
			b.show(s.progress)
		}
		b.end()
		b.end()
		if got := out.String(); got != c.want {
			t.Errorf("%s:\n%q\nwant\n%q", c.name, got, c.want)
		}
	}
}

func TestQuietAndWithoutTerminal(t *testing.T) {
	var out bytes.Buffer
	std := streams{strings.NewReader(""), &out, &out}
	for _, q := range []quiet{{false}, {true}} {
		b := q.bar(std)
		b.show(progress{"reading", 1, 1, octets})
		b.now = func() time.Time { return time.Now().Add(time.Minute) }
		b.show(progress{"reading", 1, 1, octets})
		b.end()
	}
	if got := out.String(); got != "reading: 100% 1 B of 1 B\n" {
		t.Errorf("%q", got)
	}
}

func TestAmount(t *testing.T) {
	for n, want := range map[int64]string{0: "0 B", 999: "999 B", 1000: "1.0 kB", 1_234_567: "1.2 MB", 5_000_000_000_000_000_000: "5.0 EB"} {
		if got := amount(n, octets); got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
}

// TestSpacedReports: the first and the last of each step pass, and a few between.
func TestSpacedReports(t *testing.T) {
	now := time.Now()
	var passed []progress
	tell := spaced(func(p progress) { passed = append(passed, p) }, func() time.Time { return now })
	for i := range int64(1001) {
		tell(progress{"one", i, 1000, octets})
		now = now.Add(time.Millisecond)
	}
	tell(progress{"two", 0, 0, octets})
	tell(progress{"two", 1, 0, octets})
	var done []int64
	for _, p := range passed {
		done = append(done, p.Done)
	}
	if want := []int64{0, 200, 400, 600, 800, 1000, 0}; !slices.Equal(done, want) {
		t.Errorf("%v, want %v", done, want)
	}
}
