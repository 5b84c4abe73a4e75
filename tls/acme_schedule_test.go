package tls

import (
	"crypto/x509"
	"math/big"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/mholt/acmez/v3/acme"
)

func TestNextStep(t *testing.T) {
	now := time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)
	day := 24 * time.Hour
	leaf := func(from, to int) *x509.Certificate {
		return &x509.Certificate{SerialNumber: big.NewInt(7), NotBefore: now.Add(time.Duration(from) * day), NotAfter: now.Add(time.Duration(to) * day)}
	}
	asked := record{Serial: "7", AskAgain: now.Add(day)}
	with := func(r record, change func(*record)) record { change(&r); return r }
	for _, c := range []struct {
		name  string
		leaf  *x509.Certificate
		r     record
		want  step
		until time.Time
	}{
		{"the first time", nil, record{}, fetch, now},
		{"after a failure", nil, record{NextTry: now.Add(time.Minute)}, rest, now.Add(time.Minute)},
		{"the pause is over", nil, record{NextTry: now}, fetch, now},
		{"new: ask when to renew", leaf(0, 90), record{}, ask, now},
		{"what was said of the former", leaf(0, 90), record{Serial: "6", RenewAt: now, AskAgain: now.Add(day)}, ask, now},
		{"asked, nothing to do", leaf(0, 90), asked, rest, now.Add(day)},
		{"two thirds and some are over", leaf(-65, 25), asked, fetch, now},
		{"the authority wants it earlier", leaf(-1, 89), with(asked, func(r *record) { r.RenewAt = now }), fetch, now},
		{"the authority wants it later", leaf(-70, 20), with(asked, func(r *record) { r.RenewAt = now.Add(5 * day) }), rest, now.Add(day)},
		{"a window beyond the end", leaf(-89, 1), with(asked, func(r *record) { r.RenewAt = now.Add(50 * day) }), fetch, now},
		{"a renewal that failed", leaf(-70, 20), with(asked, func(r *record) { r.NextTry = now.Add(time.Hour) }), rest, now.Add(time.Hour)},
		{"out of date: nothing to ask, only to fetch", leaf(-91, -1), record{}, fetch, now},
		{"out of date when it came", leaf(-91, -1), record{Tried: now, NextTry: now.Add(leastBetween)}, rest, now.Add(leastBetween)},
		{"out of date, after a failure", leaf(-91, -1), record{NextTry: now.Add(time.Hour)}, rest, now.Add(time.Hour)},
	} {
		if got, until := nextStep("mail.example.test", c.leaf, c.r, now); got != c.want || !until.Equal(c.until) {
			t.Errorf("%s: %v until %v, want %v until %v", c.name, got, until, c.want, c.until)
		}
	}
}

// TestPauses: an authority that bears five failures of a name in an hour sees four, and what it asks for is done, within a week.
func TestPauses(t *testing.T) {
	attempts := 1
	for at := time.Duration(0); ; attempts++ {
		if at += pauseAfter(attempts, 0); at >= time.Hour {
			break
		}
	}
	if attempts != 4 {
		t.Errorf("%d attempts in the first hour", attempts)
	}
	if got := pauseAfter(1000, 0); got != 24*time.Hour {
		t.Errorf("the longest pause is %v", got)
	}
	if got := pauseAfter(1, 3*time.Hour); got != 3*time.Hour {
		t.Errorf("asked for three hours: %v", got)
	}
	if got := pauseAfter(1, 1000*time.Hour); got != mostPatience {
		t.Errorf("asked for very long: %v", got)
	}
	if lookPause(0) != time.Minute || lookPause(3) != 8*time.Minute || lookPause(100) != 10*time.Minute {
		t.Errorf("looks: %v %v %v", lookPause(0), lookPause(3), lookPause(100))
	}
}

func TestAskedPause(t *testing.T) {
	now := time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Duration{
		"": 0, "120": 2 * time.Minute, "-5": 0, "soon": 0, "99999999999999999999": 0,
		now.Add(time.Hour).Format(http.TimeFormat): time.Hour, now.Add(-time.Hour).Format(http.TimeFormat): 0,
	} {
		if got := askedPause(text, now); got != want {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
}

func TestInWords(t *testing.T) {
	p := acme.Problem{Type: acme.ProblemTypeNamespace + "connection", Detail: "192.0.2.1: Connection refused\x07\n", Subproblems: []acme.Subproblem{{Problem: acme.Problem{Detail: "both"}}}}
	want := "the authority could not connect to this server; ports 80 and 443 have to be open to the world: 192.0.2.1: Connection refused ; both"
	if got := inWords(p); got != want {
		t.Errorf("%q", got)
	}
	if got := inWords(acme.Problem{Type: "about:blank"}); got != "the authority refuses" {
		t.Errorf("%q", got)
	}
	if got := []rune(printable(strings.Repeat("ü ", 1000))); len(got) != maxWords+1 {
		t.Errorf("%d characters", len(got))
	}
}
