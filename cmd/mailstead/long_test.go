package main

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"
)

// withAction adds an action for the time of a test. It comes before the
// servers that are to know it.
func withAction(t *testing.T, name string, a action) {
	t.Helper()
	actions[name] = a
	t.Cleanup(func() { delete(actions, name) })
}

type countParams struct {
	To int64 `json:"to"`
}

// counting reports every number.
func counting(_ *admin, _ context.Context, p countParams, tell report) (int64, error) {
	for i := range p.To + 1 {
		tell(progress{"counting", i, p.To, "numbers"})
	}
	return p.To, nil
}

// TestLongAction: progress comes before the answer, through the socket and
// alone on the folder.
func TestLongAction(t *testing.T) {
	withAction(t, "count", actLong(counting))
	serving, alone := trialDir(t), trialDir(t)
	startTrial(t, serving)
	startTrial(t, alone).stop()
	for _, dir := range []string{serving, alone} {
		var last progress
		n, err := callLong[int64](t.Context(), place{Dir: dir}, slog.Default(), func(p progress) { last = p }, "count", countParams{50_000})
		if err != nil || n != 50_000 || last != (progress{"counting", n, n, "numbers"}) {
			t.Errorf("%d, %v, %+v", n, err, last)
		}
	}
}

// TestLongActionFails: an error is an answer, too.
func TestLongActionFails(t *testing.T) {
	withAction(t, "fail", actLong(func(_ *admin, _ context.Context, _ nothing, tell report) (nothing, error) {
		tell(progress{Doing: "failing"})
		return nothing{}, &failure{Exit: exitNoSuch, Text: "no such luck"}
	}))
	withAction(t, "break", actLong(func(*admin, context.Context, nothing, report) (nothing, error) { panic("broken") }))
	dir := trialDir(t)
	s := startTrial(t, dir)
	_, err := callLong[nothing](t.Context(), place{Dir: dir}, slog.Default(), unheard, "fail", nothing{})
	if exitCode(err) != exitNoSuch || err.Error() != "no such luck" {
		t.Error(err)
	}
	_, err = callLong[nothing](t.Context(), place{Dir: dir}, slog.Default(), unheard, "break", nothing{})
	if err == nil || !strings.Contains(s.err.String(), "an action broke") {
		t.Errorf("%v, %s", err, s.err.String())
	}
}

// waiting is an action that ends with its context only.
func waiting(ended chan<- error) action {
	return actLong(func(_ *admin, ctx context.Context, _ nothing, tell report) (nothing, error) {
		tell(progress{Doing: "waiting"})
		<-ctx.Done()
		ended <- context.Cause(ctx)
		return nothing{}, ctx.Err()
	})
}

// TestLongActionEndsWithItsClient: the server does not go on for nobody.
func TestLongActionEndsWithItsClient(t *testing.T) {
	ended := make(chan error, 1)
	withAction(t, "wait", waiting(ended))
	dir := trialDir(t)
	startTrial(t, dir)
	ctx, cancel := context.WithCancel(t.Context())
	_, err := callLong[nothing](ctx, place{Dir: dir}, slog.Default(), func(progress) { cancel() }, "wait", nothing{})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("the client: %v", err)
	}
	select {
	case err := <-ended:
		if !errors.Is(err, errClientGone) {
			t.Errorf("the action: %v", err)
		}
	case <-time.After(patienceOfTests):
		t.Error("the action goes on")
	}
	if got := command(t, "", "domain", "list", "--dir", dir); got.code != 0 {
		t.Errorf("after it: %+v", got)
	}
}

// TestLongActionEndsWithTheServer: a server that stops does not wait for it,
// and its client is told.
func TestLongActionEndsWithTheServer(t *testing.T) {
	ended := make(chan error, 1)
	withAction(t, "wait", waiting(ended))
	dir := trialDir(t)
	s := startTrial(t, dir)
	begun, answered := make(chan struct{}), make(chan error, 1)
	go func() {
		_, err := callLong[nothing](t.Context(), place{Dir: dir}, slog.Default(), func(progress) { close(begun) }, "wait", nothing{})
		answered <- err
	}()
	<-begun
	if code := s.stop(); code != 0 {
		t.Errorf("exit %d: %s", code, s.err.String())
	}
	if err := <-answered; err == nil || err.Error() != "the server is stopping" {
		t.Errorf("the client: %v", err)
	}
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("the action: %v", err)
	}
}
