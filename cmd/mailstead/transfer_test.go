package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// smallMaildir makes a Maildir with a folder below it, and something that cannot be read.
func smallMaildir(t *testing.T) string {
	t.Helper()
	root := filepath.Join(t.TempDir(), "Maildir")
	for name, text := range map[string]string{
		"cur/1.a:2,S":             "Subject: one\n\na\n",
		"new/2.a":                 "Subject: two\n\nb\n",
		".Sent Items/cur/3.a:2,F": "Subject: three\n\nc\n",
	} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(root, name)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(root, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// TestExportImportBothWays takes mail in and home again through the control socket and
// alone on the folder: what people see is the same.
func TestExportImportBothWays(t *testing.T) {
	maildir := smallMaildir(t)
	broken := smallMaildir(t)
	if err := os.Symlink("nowhere", filepath.Join(broken, "cur", "4.a:2,")); err != nil {
		t.Fatal(err)
	}
	script := []struct {
		args     string // $home is a folder of the server's
		code     int
		out, err string
	}{
		{"import ann@a.test $in --dry-run", 0, "3 messages would be imported, 0 were there already, 0 left out", ""},
		{"import ann@a.test $in", 0, "3 messages imported, 0 were there already, 0 left out", ""},
		{"import ann@a.test $broken", exitFailed, "0 messages imported, 3 were there already, 1 left out", "no such file"},
		{"import ann@a.test $in --into Old", 0, "3 messages imported", ""},
		{"export ann@a.test $home/maildir", 0, "6 messages exported, 0 were there already, 0 left out", ""},
		{"export ann@a.test $home/maildir --quiet", 0, "0 messages exported, 6 were there already, 0 left out", ""},
		{"export ann@a.test $home/mbox --format mbox --mailbox inbox --mailbox Old", 0, "5 messages exported", ""},
		{"export ann@a.test $home/mbox --format mbox", exitExists, "", "exists already"},
		{"export ann@a.test $home/none --mailbox None", exitNoSuch, "", "no such mailbox"},
		{"export nobody@a.test $home/none", exitNoSuch, "", "no address of an account"},
		{"import nobody@a.test $in", exitNoSuch, "", "no address of an account"},
		{"import ann@a.test $home/mbox", 0, "0 messages imported, 5 were there already", ""},
		{"import ann@a.test $home/mbox/INBOX --into Single", 0, "2 messages imported", ""},
		{"import ann@a.test $home/absent", exitFailed, "", "no such file"},
		{"import ann@a.test $home/mbox/INBOX --format maildir", exitUsage, "", "no Maildir"},
		{"export ann@a.test $home/single --mailbox Single", 0, "2 messages exported", ""},
	}
	serving, alone := folderWithMail(t), folderWithMail(t)
	startTrial(t, serving)
	for _, dir := range []string{serving, alone} {
		for _, setup := range []string{"domain add a.test", "account add ann@a.test"} {
			if got := command(t, "secret\n", append(strings.Fields(setup), "--dir", dir)...); got.code != 0 {
				t.Fatalf("%s: %+v", setup, got)
			}
		}
	}
	for _, s := range script {
		play := func(dir string) outcome {
			args := strings.Fields(s.args)
			for i, a := range args {
				args[i] = strings.NewReplacer("$in", maildir, "$broken", broken, "$home", dir+"-home").Replace(a)
			}
			got := command(t, "", append(args, "--dir", dir)...)
			got.out, got.err = strings.ReplaceAll(got.out, dir, "DIR"), strings.ReplaceAll(got.err, dir, "DIR")
			return got
		}
		a, b := play(serving), play(alone)
		if a.code != s.code || !strings.Contains(a.out, s.out) || !strings.Contains(a.err, s.err) || (a.err == "") != (s.code == 0) {
			t.Errorf("%s: %+v", s.args, a)
		}
		if a != b {
			t.Errorf("%s:\nserving %+v\nalone   %+v", s.args, a, b)
		}
	}
}

// TestImportAndServerThatStops: a server that is told to stop does not wait for an import
// whose client says nothing, and its store is whole.
func TestImportAndServerThatStops(t *testing.T) {
	dir := folderWithMail(t)
	s := startTrial(t, dir)
	for _, setup := range []string{"domain add a.test", "account add ann@a.test"} {
		if got := command(t, "secret\n", append(strings.Fields(setup), "--dir", dir)...); got.code != 0 {
			t.Fatalf("%s: %+v", setup, got)
		}
	}
	conn, err := openStream(t.Context(), dir, "import", importParams{Account: "ann@a.test"})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := fmt.Fprint(conn, "M\x00\x00\x00\x15"+`{"folders":["INBOX"]}`+"D\x00\x00\x00\x05"+"x: y\nW\x00\x00\x00\x00"); err != nil {
		t.Fatal(err)
	}
	if code := s.stop(); code != 0 {
		t.Fatalf("exit %d: %s", code, s.err.String())
	}
	home := t.TempDir()
	got := command(t, "", "export", "ann@a.test", home, "--dir", dir)
	if got.code != 0 || !strings.Contains(got.out, " messages exported") {
		t.Errorf("%+v", got)
	}
}
