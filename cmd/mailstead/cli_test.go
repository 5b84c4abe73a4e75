package main

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

func TestWrongUse(t *testing.T) {
	for _, c := range []struct {
		args string
		say  string // on standard error
	}{
		{"", "expected one of"},
		{"nonsense", "unexpected argument nonsense"},
		{"domain", "expected one of"},
		{"domain add", `expected "<domain>"`},
		{"domain list extra", "unexpected argument extra"},
		{"domain list --nonsense", "unknown flag --nonsense"},
		{"domain list --dir /x --config /y", "can't be used together"},
		{"--log-level loud version", "--log-level"},
		{"help nonsense", "unexpected argument nonsense"},
		{"local --port-offset 64541", "--port-offset"},
		{"local --port-offset -1", "--port-offset"},
		{"local --port-offset many", "--port-offset"},
		{"local --mx-port 0", "mx_port"},
		{"local --resolver ns.example.test", "not IP:PORT"},
		{"local --domain bad\x01domain", "not a domain name"},
	} {
		got := command(t, "", strings.FieldsFunc(c.args, func(r rune) bool { return r == ' ' })...)
		if got.code != exitUsage || got.out != "" || !strings.Contains(got.err, c.say) {
			t.Errorf("%q: exit %d, %q, %q", c.args, got.code, got.out, got.err)
		}
	}
}

// TestHelp: every command and group explains itself, in both spellings.
func TestHelp(t *testing.T) {
	if testing.Short() {
		t.Skip("the short form runs under the race detector; one goroutine writes help")
	}
	model := commandModel(t)
	commands := leaves(model.Node, nil)
	groups := map[string]bool{"": true}
	for name := range commands {
		for words := strings.Fields(name); len(words) > 0; words = words[:len(words)-1] {
			groups[strings.Join(words, " ")] = true
		}
	}
	for _, name := range slices.Sorted(maps.Keys(groups)) {
		words := strings.Fields(name)
		asked := command(t, "", append([]string{"help"}, words...)...)
		flagged := command(t, "", append(slices.Clone(words), "--help")...)
		if asked != flagged || asked.code != 0 || asked.err != "" {
			t.Errorf("%s: help says %+v\n--help says %+v", name, asked, flagged)
		}
		if want := strings.TrimSpace("Usage: mailstead " + name); !strings.HasPrefix(asked.out, want) {
			t.Errorf("%s: %q", name, asked.out)
		}
		if node := commands[name]; node != nil && !strings.Contains(flat(asked.out), flat(node.Help)) {
			t.Errorf("%s: %q is not in its help", name, node.Help)
		}
	}
}

func flat(s string) string { return strings.Join(strings.Fields(s), " ") }

func TestVersion(t *testing.T) {
	if got := command(t, "", "version"); got != (outcome{0, "mailstead " + version + "\n", ""}) {
		t.Errorf("%+v", got)
	}
}

// TestNoServer: what cannot be found is said by name.
func TestNoServer(t *testing.T) {
	dir := trialDir(t)
	for _, args := range [][]string{
		{"domain", "list", "--dir", dir},
		{"domain", "list", "--config", dir + "/none.toml"},
		{"serve", "--config", dir + "/none.toml"},
	} {
		if got := command(t, "", args...); got.code != exitFailed || got.out != "" || !strings.Contains(got.err, dir) {
			t.Errorf("%q: %+v", args, got)
		}
	}
}

// TestNewerStore: every command that opens a store says that a newer program
// wrote it, and leaves it as it is.
func TestNewerStore(t *testing.T) {
	dir := trialDir(t)
	s := startTrial(t, dir)
	s.stop()
	segments, err := filepath.Glob(filepath.Join(storeDir(dir), "log", "*.seg"))
	if err != nil || len(segments) == 0 {
		t.Fatalf("%d segments, error %v", len(segments), err)
	}
	segment := slices.Min(segments) // the newest may be one that nothing was written to
	data, err := os.ReadFile(segment)
	if err != nil {
		t.Fatal(err)
	}
	castagnoli := crc32.MakeTable(crc32.Castagnoli)
	for _, at := range []int{0, 2048} { // both copies of its header
		binary.LittleEndian.PutUint32(data[at+8:], 2)
		binary.LittleEndian.PutUint32(data[at+60:], crc32.Checksum(data[at:at+60], castagnoli))
	}
	if err := os.WriteFile(segment, data, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"local", "--port-offset", strconv.Itoa(freeOffset(t))}, {"verify"}, {"verify", "--rebuild"}, {"account", "list"}} {
		got := command(t, "", append(args, "--dir", dir)...)
		if got.code != exitFailed || !strings.Contains(got.err, "format version 2, this program knows 1") || strings.Contains(got.err, "goroutine") {
			t.Errorf("%v: exit %d, %q", args, got.code, got.err)
		}
	}
	if now, err := os.ReadFile(segment); err != nil || !bytes.Equal(now, data) {
		t.Errorf("the segment was changed, error %v", err)
	}
}
