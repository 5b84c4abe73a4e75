package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mailstead/cmd/internal/figures"
)

// statusOf is what `status --json` says.
func statusOf(t *testing.T, dir string, code int) (f figures.Figures) {
	t.Helper()
	got := command(t, "", "status", "--json", "--dir", dir)
	if err := json.Unmarshal([]byte(got.out), &f); err != nil || got.code != code {
		t.Fatalf("%v: %+v", err, got)
	}
	return f
}

// TestStatus: a running server tells what it did, as metrics, too; a stopped one what it has.
func TestStatus(t *testing.T) {
	t.Parallel()
	const user = "user@example.test"
	dir := trialDir(t)
	s := startTrial(t, dir, "--account", user+":pass")
	s.submit(user, "pass", user)
	f := statusOf(t, dir, 0)
	if !f.Running || f.Store.Messages != 1 || f.Store.Accounts != 1 || f.Mail.LastHour.Filed != 1 || f.Version != version || f.Process.Resident == 0 {
		t.Errorf("%+v", f)
	}
	if m := f.Mail; len(m.Received) != 2 || m.Received[1] != (figures.Received{Protocol: "submission", Messages: 1}) || len(m.Copies) != 1 || m.Copies[0].Mailbox != "INBOX" {
		t.Errorf("mail %+v", m)
	}
	names := ""
	for _, p := range f.Sessions {
		names += p.Protocol + " "
	}
	if names != "smtp submission imap pop3 " || f.Sessions[1].Accepted != 1 || f.Logins[2].Accepted != 1 {
		t.Errorf("sessions %+v, logins %+v", f.Sessions, f.Logins)
	}
	got := command(t, "", "status", "--dir", dir)
	if got.code != 0 || !strings.HasPrefix(got.out, "mailstead "+version+" on mail.example.test, up for ") || strings.Contains(got.out, "\x1b") {
		t.Errorf("%+v", got)
	}
	if got := command(t, "", "status", "--watch", "--dir", dir); got.code != exitUsage || !strings.Contains(got.err, "terminal") {
		t.Errorf("without a terminal: %+v", got)
	}
	if got := command(t, "", "status", "--watch", "--json", "--dir", dir); got.code != exitUsage {
		t.Errorf("both forms: %+v", got)
	}
	if got := command(t, "", "healthcheck", "--dir", dir); got != (outcome{0, "healthy\n", ""}) {
		t.Errorf("%+v", got)
	}
	s.stop()
	if got := command(t, "", "healthcheck", "--dir", dir); got.code != exitFailed || got.out != "" || !strings.Contains(got.err, "no server is running") {
		t.Errorf("stopped: %+v", got)
	}
	f = statusOf(t, dir, exitFailed)
	if f.Running || f.Store.Messages != 1 || len(f.Sessions) != 0 || len(f.Warnings) == 0 || f.Warnings[0] != "no server is running" {
		t.Errorf("stopped: %+v", f)
	}
	got = command(t, "", "status", "--dir", dir)
	if got.code != exitFailed || !strings.Contains(got.out, "! no server is running") || !strings.Contains(got.err, "what its folder has") {
		t.Errorf("stopped: %+v", got)
	}
}

// TestHealthcheckEnds: a server that takes the question and does not answer is not well.
func TestHealthcheckEnds(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	mute, err := net.Listen("unix", filepath.Join(dir, controlName))
	if err != nil {
		t.Fatal(err)
	}
	defer mute.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	err = healthcheckCommand{place{Dir: dir}}.Run(ctx, streams{out: io.Discard})
	if err == nil || !strings.Contains(err.Error(), "does not answer") {
		t.Error(err)
	}
}

// TestMetricsAreServed: the listener is there when it is asked for, and ends with the server.
func TestMetricsAreServed(t *testing.T) {
	t.Parallel()
	s, err := (&localCommand{Dir: trialDir(t), Domain: []string{"example.test"}, PortOffset: 10000, MXPort: 25}).settings()
	if err != nil {
		t.Fatal(err)
	}
	s.Listen = listen{Metrics: []string{"127.0.0.1:0"}}
	srv, err := newServer(s, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	all, err := srv.listen(t.Context())
	if err != nil || len(all) != 1 || all[0].front.name != "metrics" {
		t.Fatalf("%v, %v", all, err)
	}
	ended := make(chan error, 1)
	go func() { ended <- all[0].front.server.Serve(all[0].listener) }()
	client := http.Client{Transport: &http.Transport{}, Timeout: patienceOfTests}
	answer, err := client.Get("http://" + all[0].listener.Addr().String() + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(answer.Body)
	answer.Body.Close()
	if err != nil || answer.StatusCode != http.StatusOK || !bytes.Contains(body, []byte("\nmailstead_store_accounts 0\n")) {
		t.Errorf("%d %v\n%s", answer.StatusCode, err, body)
	}
	client.CloseIdleConnections()
	srv.shutdownFronts()
	if err := <-ended; err == nil {
		t.Error("it ended without a reason")
	}
	if err := srv.close(); err != nil {
		t.Error(err)
	}
}

// TestWatch: the screen is drawn at each tick and when the terminal has another size, says when nobody answers, and the
// terminal is left as it was.
func TestWatch(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ticks, resized := make(chan time.Time), make(chan os.Signal)
	var out bytes.Buffer
	rows, asked := 4, 0
	w := watcher{
		out: &out, ticks: ticks, resized: resized, zone: time.UTC,
		size: func() (int, int, bool) { return 80, rows, false },
		ask: func(context.Context) (figures.Figures, error) {
			if asked++; asked == 2 {
				return figures.Figures{}, errors.New("gone")
			}
			return figures.Figures{At: time.Date(2026, 11, 22, 12, 0, asked, 0, time.UTC), Version: "1"}, nil
		},
	}
	ended := make(chan error)
	go func() { ended <- w.run(ctx) }()
	ticks <- time.Time{} // taken when the first screen is drawn
	resized <- nil       // when the second is
	ticks <- time.Time{}
	cancel()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	text, entered := strings.CutPrefix(out.String(), enterScreen)
	text, left := strings.CutSuffix(text, leaveScreen)
	if !entered || !left {
		t.Fatalf("the terminal is not left as it was: %q", out.String())
	}
	screens := strings.Split(text, toTop)[1:]
	if len(screens) != 4 {
		t.Fatalf("%d screens: %q", len(screens), screens)
	}
	for i, want := range []string{"12:00:01", "no answer: gone", "no answer: gone", "12:00:03"} {
		lines := strings.Split(screens[i], clearLine+"\r\n")
		if !strings.Contains(lines[0], want) || len(lines) != rows || !strings.HasSuffix(screens[i], clearLine+clearRest) {
			t.Errorf("screen %d: %q", i, lines)
		}
	}
}
