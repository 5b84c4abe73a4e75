package main

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"mailstead/cmd/internal/declared"
)

// wholeSetup is a file with all that one can say.
const wholeSetup = `
[domains."example.org"]
catch_all = "info@example.org"
reports = false

[domains."example.net"]
alias_of = "example.org"

[accounts."ann@example.org"]
password_file = "ann.password"
addresses = ["anna@example.org", "Info@example.org"]
quota = "5GB"
quota_messages = 1000
messages_per_day = 0
recipients_per_day = 50
forward = ["bob@example.net", "Ann.Other@far.example"]
forward_keep = false
send_as = ["far.example"]
block = ["spam@far.example"]
allow = ["good.example"]
forwarders = ["192.0.2.1"]
hidden_capabilities = ["NOTIFY"]
vacation.text = """
I am away.

Ann
"""
vacation.until = 2999-09-01T00:00:00Z
vacation.days = 3

[accounts."bob@example.org"]
disabled = true
disabled_reason = "moved"
refuse_mail = true

[aliases."list@example.org"]
members = ["ann@example.net", "all@example.org", "Someone@far.example"]
members_only = true
owner = "bob@example.org"

[aliases."all@example.org"]
members = ["bob@example.org"]

[masked."bado-dabo@example.org"]
account = "anna@example.org"
label = "shop"
expires = 2020-01-01T00:00:00Z
off = true

[routes.smart]
via = "smart.example"
to = ["far.example"]
accounts = ["ann@example.org"]
user = "us"
password_file = "smart.password"

[routes.rest]
via = "direct"
after = 2
`

// emptyFolder is a server's folder with nothing in it but the store.
func emptyFolder(t *testing.T) string {
	t.Helper()
	s := defaultSettings()
	s.Dir, s.errand = t.TempDir(), true
	store, _, err := openStore(&s, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	return s.Dir
}

// applied runs apply and wants its exit status.
func applied(t *testing.T, code int, dir string, args ...string) outcome {
	t.Helper()
	got := command(t, "", append([]string{"apply", "--dir", dir}, args...)...)
	if got.code != code {
		t.Fatalf("apply %q: exit %d, want %d\n%s%s", args, got.code, code, got.out, got.err)
	}
	return got
}

func exportedText(t *testing.T, dir string) string {
	t.Helper()
	got := command(t, "", "config", "export", "--dir", dir)
	if got.code != 0 || got.err != "" {
		t.Fatalf("export: %+v", got)
	}
	return got.out
}

var printedPassword = regexp.MustCompile(`(?m)^\+ account bob@example\.org\n  its password, which is shown only now: ([a-z2-7-]{23})$`)

// TestApply goes the whole way: a file makes a server, what that exports makes another, which runs, and is the same there.
func TestApply(t *testing.T) {
	if testing.Short() {
		t.Skip("whole servers; the short form runs under the race detector, and TestPlan and TestPlansOfChance have the logic")
	}
	t.Parallel()
	files, first := t.TempDir(), emptyFolder(t)
	writeFile(t, files, "ann.password", "Ann's own\n")
	writeFile(t, files, "smart.password", "of the smarthost")
	whole := writeFile(t, files, "whole.toml", wholeSetup)

	tried := applied(t, exitWould, first, whole, "--dry-run")
	if text := exportedText(t, first); strings.Contains(text, "[") {
		t.Fatalf("a trial made\n%s", text)
	}
	done := applied(t, 0, first, whole)
	password := printedPassword.FindStringSubmatch(done.out)
	if password == nil || regexp.MustCompile(`(?m)^  its .*\n`).ReplaceAllString(done.out, "") != tried.out {
		t.Errorf("tried\n%s\ndone\n%s", tried.out, done.out)
	}
	if again := applied(t, 0, first, whole, "--dry-run", "--prune", "--prune-accounts"); again != (outcome{}) {
		t.Errorf("once more: %+v", again)
	}
	for name, password := range map[string]string{"ann@example.org": "Ann's own", "bob@example.org": password[1]} {
		checkPassword(t, first, name, password)
	}

	text := exportedText(t, first)
	if strings.Contains(text, "Ann's own") || strings.Contains(text, "of the smarthost") {
		t.Errorf("a secret is exported:\n%s", text)
	}
	copied := writeFile(t, files, "copied.toml", text)
	second := trialDir(t)
	startTrial(t, second)
	refused := applied(t, exitFailed, second, copied, "--prune")
	if !strings.Contains(refused.err, "the server does not know the password of the route smart: give password_file") || !strings.Contains(refused.err, "copied.toml:") {
		t.Errorf("without the route's password: %s", refused.err)
	}
	copied = writeFile(t, files, "copied.toml", strings.ReplaceAll(text, `# password_file = "..." `, `password_file = "smart.password" # `))
	applied(t, 0, second, copied, "--prune")
	if got := exportedText(t, second); got != text {
		t.Errorf("exported\n%s\nof a server made from\n%s", got, text)
	}
	if again := applied(t, 0, second, copied, "--if-unchanged"); again.out != "" {
		t.Errorf("once more: %+v", again)
	}
}

// checkPassword wants an account to have a password.
func checkPassword(t *testing.T, dir, account, password string) {
	t.Helper()
	s, err := place{Dir: dir}.settings()
	if err == nil {
		err = alone(&s, slog.New(slog.DiscardHandler), func(a *admin) error {
			if ok, err := a.directory.HasPassword(context.Background(), account, password); !ok || err != nil {
				t.Errorf("%s does not have the password %q: %v", account, password, err)
			}
			return nil
		})
	}
	if err != nil {
		t.Error(err)
	}
}

// TestApplyRefuses has what cannot be applied change nothing, or no more than it says.
func TestApplyRefuses(t *testing.T) {
	t.Parallel()
	dir, files := emptyFolder(t), t.TempDir()
	base := writeFile(t, files, "base.toml", "[domains.\"a.test\"]\n[aliases.\"x@a.test\"]\nmembers = [\"x@far.test\"]\n")
	applied(t, 0, dir, base)
	before := exportedText(t, dir)
	old := writeFile(t, files, "old.toml", strings.ReplaceAll(before, "sha256:", "sha256:0"))
	for _, c := range []struct {
		name, text string
		args       string
		code       int
		say        string
	}{
		{"no-toml", "[domains\n", "", exitFailed, ".toml:1:"},
		{"unknown", "[domains.\"a.test\"]\ncatchall = \"\"\n", "", exitFailed, ".toml:2:1: error: unknown setting domains.\"a.test\".catchall; did you mean catch_all?\n"},
		{"nobody", "[domains.\"a.test\"]\ncatch_all = \"ann@a.test\"\n", "", exitFailed, ":2:1: error: catch_all: \"ann@a.test\" is no account of this server, nor of the file\n"},
		{"password", "[accounts.\"ann@a.test\"]\npassword_file = \"none\"\n", "", exitNoSuch, "no such file"},
		{"flags", "", "--prune-accounts", exitUsage, "--prune-accounts goes with --prune"},
		{"stateless", "", "--if-unchanged", exitUsage, "needs its line with state"},
	} {
		got := applied(t, c.code, dir, append(strings.Fields(c.args), writeFile(t, files, c.name+".toml", c.text))...)
		if got.out != "" || !strings.Contains(got.err, c.say) {
			t.Errorf("%s: %+v", c.name, got)
		}
	}
	if got := applied(t, exitFailed, dir, "--if-unchanged", old); !strings.Contains(got.err, "somebody has changed the server") {
		t.Errorf("an old state: %+v", got)
	}
	applied(t, exitNoSuch, dir, filepath.Join(files, "none.toml"))
	if after := exportedText(t, dir); after != before {
		t.Errorf("before\n%s\nafter\n%s", before, after)
	}

	loop := writeFile(t, files, "loop.toml", "[domains.\"b.test\"]\n[aliases.\"x@a.test\"]\nmembers = [\"y@a.test\"]\n[aliases.\"y@a.test\"]\nmembers = [\"x@a.test\"]\n")
	got := applied(t, exitUsage, dir, loop)
	if !strings.Contains(got.out, "+ domain b.test\n") || !strings.Contains(got.err, "their mail would go round") || !strings.Contains(got.err, "Not done:\n  + alias x@a.test: member y@a.test") {
		t.Errorf("a loop: %+v", got)
	}
}

// TestApplyFromSetupToSetup has a server become one setup of testdata/setups after the other, which chance has made, and wants it to
// be just that each time: every step can be done in the order of the plan.
func TestApplyFromSetupToSetup(t *testing.T) {
	if testing.Short() {
		t.Skip("many password hashes; the short form runs under the race detector, and one goroutine does all of this")
	}
	t.Parallel()
	files, err := filepath.Glob("testdata/setups/*.toml")
	if err != nil || len(files) < 5 {
		t.Fatalf("%q, %v", files, err)
	}
	s, err := place{Dir: emptyFolder(t)}.settings()
	if err != nil {
		t.Fatal(err)
	}
	err = alone(&s, slog.New(slog.DiscardHandler), func(a *admin) error {
		do := doer(func(action string, params json.RawMessage) (response, error) {
			return a.do(t.Context(), request{action, params}, unheard), nil
		})
		for _, name := range append(files, files[0]) {
			becomes(t, name, do)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// becomes applies a file with all flags, and wants it back.
func becomes(t *testing.T, name string, do doer) {
	t.Helper()
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	var out, errs bytes.Buffer
	c := applyCommand{File: name, Prune: true, PruneAccounts: true}
	f, err := c.read(streams{nil, &out, &errs})
	if err == nil {
		err = c.apply(streams{nil, &out, &errs}, f, do)
	}
	var now exported
	if err == nil {
		err = do.get("config export", nothing{}, &now)
	}
	if got := declared.Render(now.Setup); err != nil || got != string(want) {
		t.Errorf("%s: %v\n%s%s\ngot\n%s", name, err, out.String(), errs.String(), got)
	}
}
