package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

// completed are the words that a line can go on with, "" = the next word is begun.
func completed(t *testing.T, root *kong.Node, words ...string) []string {
	t.Helper()
	var out bytes.Buffer
	if err := newCompletion(root, words).print(t.Context(), &out); err != nil {
		t.Fatal(err)
	}
	var list []string
	for line := range strings.Lines(out.String()) {
		word, _, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
		list = append(list, word)
	}
	return list
}

func TestCompletion(t *testing.T) {
	root := commandModel(t).Node
	for _, c := range []struct{ line, want string }{
		{"ver", "verify version"},
		{"account app-password ", "add list remove"},
		{"account app", "app-password"},
		{"account list --di", "--dir"},
		{"--log-level debug account rename --d", "--dir --drop-old"},
		{"completion ", "bash zsh fish"},
		{"completion f", "fish"},
		{"completion bash ", ""},
		{"account list --dir ", anyFile},
		{"account list --dir=/t", anyFile},
		{"restore x ", anyFile},
		{"config explain listen.http", "listen.http listen.https"},
		{"nonsense ver", "verify version"}, // it may be a slip that is yet to be mended
		{"account show --nonsense ", ""},
		{"export --format m", "maildir mbox"},
		{"export --format=mb", "--format=mbox"},
	} {
		if got := completed(t, root, strings.Split(c.line, " ")...); strings.Join(got, " ") != c.want {
			t.Errorf("%q: %q, want %q", c.line, got, c.want)
		}
	}
}

// TestShellsComplete has shells complete a line, with the accounts of a running server.
func TestShellsComplete(t *testing.T) {
	dir := trialDir(t)
	startTrial(t, dir, "--account", "ann@example.test:pass", "--account", "bea@example.test:pass")
	bin := t.TempDir()
	if err := os.Symlink(program().Path, filepath.Join(bin, "mailstead")); err != nil {
		t.Fatal(err)
	}
	script, err := filepath.Abs("completions")
	if err != nil {
		t.Fatal(err)
	}
	line := "mailstead account show --dir " + dir + " ann@ex"
	for shell, text := range map[string]string{
		// bash has cut the last word at the @.
		"bash": `source ` + script + `/mailstead.bash; COMP_LINE="` + line + `"; COMP_POINT=${#COMP_LINE}; COMP_WORDS=(mailstead account show --dir ` + dir + ` ann @ ex); COMP_CWORD=7; _mailstead mailstead; echo "ann@${COMPREPLY[*]}"`,
		"fish": `source ` + script + `/mailstead.fish; complete -C "` + line + `"`,
		"zsh":  `compdef() { :; }; _describe() { print -rl -- $found; }; source ` + script + `/mailstead.zsh; words=(` + line + `); CURRENT=$#words; _mailstead`,
	} {
		t.Run(shell, func(t *testing.T) {
			if _, err := exec.LookPath(shell); err != nil {
				t.Skip("not installed: ", err)
			}
			cmd := exec.Command(shell, "-c", text)
			cmd.Env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"), "HOME="+bin, asCommand+"=1")
			out, err := cmd.CombinedOutput()
			if err != nil || strings.TrimSpace(string(out)) != "ann@example.test" {
				t.Errorf("%v: %q", err, out)
			}
		})
	}
}
