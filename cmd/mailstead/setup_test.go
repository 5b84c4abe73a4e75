package main

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mailstead/cmd/internal/setup"
	"mailstead/smtp/dns/dnstest"
)

// homeSetup is a setup in a folder of the test's own, as somebody without root's rights does it.
type homeSetup struct {
	t      *testing.T
	config string
	out    bytes.Buffer
}

func (h *homeSetup) run(change ...func(*setup.Setup)) error {
	h.t.Helper()
	dir := filepath.Dir(h.config)
	c := setupCommand{Domain: "example.test", Config: h.config, Dir: filepath.Join(dir, "mail"), User: "mailstead", Yes: true, NoWatch: true, Account: "ann", NoACME: true}
	s := c.setup(setup.Unattended(&h.out), setup.Host{Executable: "/bin/mailstead"}, &settled{config: h.config, log: slog.New(slog.DiscardHandler)})
	s.Password = "secret"
	for _, f := range change {
		f(s)
	}
	return s.Run(h.t.Context())
}

// TestSetupCommand sets a server up twice in a folder without a service, and looks at what is there.
func TestSetupCommand(t *testing.T) {
	h := &homeSetup{t: t, config: filepath.Join(trialDir(t), "mailstead.toml")}
	for range 2 {
		if err := h.run(); err != nil {
			t.Fatalf("%v\n%s", err, h.out.String())
		}
	}
	if n := strings.Count(h.out.String(), "account ann@example.test made, with a first letter"); n != 1 {
		t.Errorf("made %d times:\n%s", n, h.out.String())
	}
	s, err := readConfig(h.config)
	if err != nil {
		t.Fatal(err)
	}
	s.errand = true
	err = alone(&s, slog.New(slog.DiscardHandler), func(a *admin) error {
		e, err := a.directory.Account("ann@example.test")
		if err != nil {
			return err
		}
		if same, err := a.directory.HasPassword(t.Context(), e.Name, "secret"); err != nil || !same {
			t.Errorf("the password is another one: %v", err)
		}
		inbox, err := a.store.Mailbox(e.ID, "INBOX")
		if err != nil || inbox.Messages != 1 {
			t.Errorf("%d letters, %v", inbox.Messages, err)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	checkZoneIsSeen(t, h.config)
}

// checkZoneIsSeen publishes the zone file that setup wrote, and has setup look at the DNS before and afterwards.
func checkZoneIsSeen(t *testing.T, config string) {
	t.Helper()
	zone, err := os.ReadFile(filepath.Join(filepath.Dir(config), "example.test.zone"))
	if err != nil {
		t.Fatal(err)
	}
	resolver := dnstest.New(t, "")
	f, err := os.OpenFile(config, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString("resolvers = [\"" + resolver.Addr() + "\"]\n"); err != nil {
		t.Fatal(err)
	}
	server := &settled{config: config, log: slog.New(slog.DiscardHandler)}
	made, err := server.Furnish(t.Context(), setup.Answers{Domain: "example.test"})
	if err != nil {
		t.Fatal(err)
	}
	look := func(want setup.State) {
		t.Helper()
		for i, state := range server.Look(t.Context(), made.Records) {
			if r := made.Records[i]; state != want && r.Type != "A" && r.Type != "AAAA" && r.Type != "PTR" {
				t.Errorf("%s %s: state %d, want %d", r.Name, r.Type, state, want)
			}
		}
	}
	look(setup.Missing)
	// The host's addresses are this machine's, and none where it has no public one.
	if err := resolver.SetZone(string(zone) + "\nmail.example.test. A 192.0.2.1\n"); err != nil {
		t.Fatal(err)
	}
	look(setup.There)
}

// TestSetupBesideARunningServer goes through the server's socket.
func TestSetupBesideARunningServer(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a server; the short form runs under the race detector")
	}
	h := &homeSetup{t: t, config: filepath.Join(trialDir(t), "mailstead.toml")}
	if err := h.run(); err != nil {
		t.Fatal(err)
	}
	server := startTrial(t, filepath.Join(filepath.Dir(h.config), "mail"), "--domain", "example.test")
	h.out.Reset()
	if err := h.run(); err != nil {
		t.Fatalf("%v\n%s", err, h.out.String())
	}
	if !strings.Contains(h.out.String(), "domain example.test is there") {
		t.Error(h.out.String())
	}
	if err := h.run(func(s *setup.Setup) { s.Domain, s.Account = "second.test", "bob" }); err != nil {
		t.Errorf("a second domain: %v", err)
	}
	server.dialTLS(993, "* OK").say("a LOGIN bob@second.test secret", "a OK")
}

func TestSetupWithoutTerminal(t *testing.T) {
	got := command(t, "", "setup", "example.org", "--config", filepath.Join(t.TempDir(), "x"))
	if got.code != exitUsage || !strings.Contains(got.err, "--yes takes the defaults") {
		t.Errorf("%+v", got)
	}
}

// TestFirstLetter holds it against what the store indexes, as every letter.
func TestFirstLetter(t *testing.T) {
	text := setup.Letter("ann@example.org", "mail.example.org", time.Unix(1e9, 0).UTC())
	if strings.Contains(strings.ReplaceAll(text, "\r\n", ""), "\n") || !strings.Contains(text, "\r\n\r\nThis is the first letter") {
		t.Errorf("%q", text)
	}
	for line := range strings.SplitSeq(text, "\r\n") {
		if len(line) > 78 { // RFC 5322 section 2.1.1
			t.Errorf("%d octets: %s", len(line), line)
		}
	}
}

var _ setup.Server = (*settled)(nil)
