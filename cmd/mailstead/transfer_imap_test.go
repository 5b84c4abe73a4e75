package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

// TestImportExportIMAP moves mail between accounts of one server as if it were two, with
// the server running and through everything that people see.
func TestImportExportIMAP(t *testing.T) {
	dir := folderWithMail(t)
	s := startTrial(t, dir)
	plain, secure := s.address(143), strings.Replace(s.address(993), "127.0.0.1", "localhost", 1)
	begun := strings.Replace(plain, "127.0.0.1", "localhost", 1)
	secret := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(secret, []byte("secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	report := filepath.Join(t.TempDir(), "report")
	do := func(line string) outcome {
		args := strings.Fields(strings.NewReplacer("PLAIN", "--insecure-plain --from "+plain, "STARTTLS", begun+" --starttls --ca-file "+dir+"/ca.pem", "TLS", secure+" --ca-file "+dir+"/ca.pem",
			"AS", "--password-file "+secret+" --user").Replace(line))
		return command(t, "secret\n", append(args, "--dir", dir)...)
	}
	for _, line := range []string{"domain add a.test", "account add ann@a.test", "account add bob@a.test", "account add eve@a.test", "import bob@a.test " + smallMaildir(t)} {
		if got := do(line); got.code != 0 {
			t.Fatalf("%s: %+v", line, got)
		}
	}
	for _, step := range []struct {
		line     string
		code     int
		out, err string
	}{
		{"import imap PLAIN AS bob@a.test --account ann@a.test --dry-run", 0, "INBOX: 2 messages, 2 to be imported", ""},
		{"import imap PLAIN AS bob@a.test --account ann@a.test --folder INBOX", 0, "2 messages imported, 0 were there already, 0 left out", ""},
		{"import imap PLAIN AS bob@a.test --account ann@a.test --report " + report, 0, "1 messages imported, 0 were there already, 0 left out", ""},
		{"import imap --from TLS --user bob@a.test --account ann@a.test --into Old", 0, "3 messages imported", ""},
		{"import imap --from TLS --user bob@a.test --account ann@a.test --into Old --dry-run", 0, "0 messages would be imported, 3 were there already", ""},
		{"import imap --from TLS --user bob@a.test --account nobody@a.test", exitNoSuch, "", "no address of an account"},
		{"import imap --from STARTTLS --user bob@a.test --account ann@a.test", 0, "0 messages imported", ""},
		{"import imap --from 192.0.2.1@x --user bob@a.test --account ann@a.test", exitUsage, "", "is no host"},
		{"import imap PLAIN AS bob@a.test --account ann@a.test --since yesterday", exitUsage, "", "2024-12-31"},
		{"import imap PLAIN AS nobody@a.test --account ann@a.test", exitFailed, "", "log in as nobody@a.test"},
		{"export imap --to TLS --user eve@a.test --account ann@a.test", 0, "6 messages exported, 0 were there already, 0 left out", ""},
		{"export imap --to TLS --user eve@a.test --account ann@a.test --mailbox Old", 0, "0 messages exported, 3 were there already", ""},
		{"import imap PLAIN AS eve@a.test --account bob@a.test --folder Old --exclude Old/INBOX", 0, "1 messages imported", ""},
	} {
		got := do(step.line)
		if got.code != step.code || !strings.Contains(got.out, step.out) || !strings.Contains(got.err, step.err) || (got.err == "") != (step.code == 0) {
			t.Errorf("%s: %+v", step.line, got)
		}
	}
	if text, err := os.ReadFile(report); err != nil || len(text) > 0 {
		t.Errorf("report %q, %v", text, err)
	}
	got := do("export ann@a.test " + dir + "-home")
	for name, sub := range map[string]string{"cur": ":2,S", ".Sent/cur": ":2,F", ".Old.Sent/cur": ":2,F"} {
		if !hasFile(t, filepath.Join(dir+"-home", name), sub) {
			t.Errorf("no %s in %s: %+v", sub, name, got)
		}
	}
}

// hasFile says whether a folder has a file whose name ends so.
func hasFile(t *testing.T, dir, end string) bool {
	t.Helper()
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Log(err)
	}
	for _, f := range list {
		if strings.HasSuffix(f.Name(), end) {
			return true
		}
	}
	return false
}

// TestMovingCommands: every command in docs/MOVING.md is one that there is.
func TestMovingCommands(t *testing.T) {
	known := 0
	for line := range strings.SplitSeq(readPaper(t, "MOVING.md"), "\n") {
		words, ok := strings.CutPrefix(line, "    mailstead ")
		if !ok {
			continue
		}
		parser, err := kong.New(&cli{}, kong.Vars{"config": defaultConfig})
		if err == nil {
			_, err = parser.Parse(strings.Fields(words))
		}
		if err != nil {
			t.Errorf("%s: %v", line, err)
		}
		known++
	}
	if known < 10 {
		t.Errorf("only %d commands", known)
	}
}
