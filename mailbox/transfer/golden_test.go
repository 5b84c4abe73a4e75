package transfer

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// readTree reads a golden tree: comments, files as "-- name" with their text, and behind
// "== want" what a source must send.
func readTree(t testing.TB, name string) (files map[string]string, want []string) {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	body, wanted, ok := strings.Cut(string(text), "== want\n")
	if !ok {
		t.Fatalf("%s has no line == want", name)
	}
	files = map[string]string{}
	file := ""
	for line := range strings.Lines(body) {
		if next, ok := strings.CutPrefix(line, "-- "); ok {
			file = strings.TrimSuffix(next, "\n")
			files[file] = ""
		} else if file != "" {
			files[file] += line
		}
	}
	return files, strings.Split(strings.TrimSuffix(wanted, "\n"), "\n")
}

// fileTime is the time of all files of golden trees.
var fileTime = time.Date(2017, 7, 14, 2, 40, 0, 0, time.UTC)

// writeTree makes the files of a golden tree, with lines as given or ended by CRLF.
func writeTree(t testing.TB, files map[string]string, crlf bool) string {
	t.Helper()
	root := t.TempDir()
	for name, text := range files {
		if crlf {
			text = strings.ReplaceAll(text, "\n", "\r\n")
		}
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, fileTime, fileTime); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// TestGoldenTrees reads the trees in testdata: what other programs write, in our words.
func TestGoldenTrees(t *testing.T) {
	trees, err := filepath.Glob("testdata/*.tree")
	if err != nil || len(trees) < 6 {
		t.Fatal(trees, err)
	}
	for _, tree := range trees {
		for _, crlf := range []bool{false, true} {
			files, want := readTree(t, tree)
			name := strings.TrimSuffix(filepath.Base(tree), ".tree")
			if crlf {
				name += " with CRLF"
			}
			t.Run(name, func(t *testing.T) {
				root := writeTree(t, files, crlf)
				var s Source = &MboxSource{Path: root}
				if strings.HasPrefix(name, "maildir") {
					s = &MaildirSource{Path: root}
				}
				got := pictureOf(t, s)
				compare(t, got.lines, want)
				for _, p := range got.problems {
					t.Errorf("problem: %+v", p)
				}
			})
		}
	}
}

// TestUnreadable: what cannot be read is told, and the rest is sent.
func TestUnreadable(t *testing.T) {
	root := writeTree(t, map[string]string{"cur/1:2,": "Subject: x\n\n", "cur/4:2,": "Subject: y\n\n"}, false)
	if err := os.Mkdir(filepath.Join(root, "cur", "2:2,"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("nowhere", filepath.Join(root, "cur", "3:2,")); err != nil {
		t.Fatal(err)
	}
	got := pictureOf(t, &MaildirSource{Path: root})
	if len(got.problems) != 2 || len(got.lines) != 3 {
		t.Fatalf("%q, problems %q", got.lines, got.problems)
	}
	if err := (&MboxSource{Path: root + "/none"}).Send(t.Context(), got); err == nil {
		t.Error("no error for what is not there")
	}
}
