package main

import (
	"archive/tar"
	"compress/gzip"
	"encoding/binary"
	"encoding/json"
	"errors"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// olderFolder is a server's folder with a store that a program of before has left, and its configuration.
func olderFolder(t *testing.T) (dir, config string) {
	t.Helper()
	dir = t.TempDir()
	f, err := os.Open(filepath.Join(houseRoot, "mailbox", "testdata", "store-v1.tar.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		name := filepath.Join(storeDir(dir), h.Name)
		if h.Typeflag == tar.TypeDir {
			err = os.MkdirAll(name, 0o700)
		} else {
			var content []byte
			content, err = io.ReadAll(r)
			err = errors.Join(err, os.MkdirAll(filepath.Dir(name), 0o700), os.WriteFile(name, content, 0o600))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir, writeFile(t, dir, "mailstead.toml", "hostname = \"mail.example.test\"\ndir = \""+dir+"\"\nresolvers = []\n")
}

// fromTheFuture has a segment of the log say that it is of a later version, and returns its name.
func fromTheFuture(t *testing.T, dir string) string {
	t.Helper()
	segments, err := filepath.Glob(filepath.Join(storeDir(dir), "log", "*.seg"))
	if err != nil || len(segments) == 0 {
		t.Fatal(segments, err)
	}
	data, err := os.ReadFile(segments[0])
	if err != nil {
		t.Fatal(err)
	}
	for _, at := range []int{0, 2048} {
		binary.LittleEndian.PutUint32(data[at+8:], 99)
		binary.LittleEndian.PutUint32(data[at+60:], crc32.Checksum(data[at:at+60], crc32.MakeTable(crc32.Castagnoli)))
	}
	if err := os.WriteFile(segments[0], data, 0o600); err != nil {
		t.Fatal(err)
	}
	return filepath.Join("log", filepath.Base(segments[0]))
}

// TestUpgradeOfOlderFolder looks at a folder of before, which changes nothing, brings it up, and goes back in vain.
func TestUpgradeOfOlderFolder(t *testing.T) {
	if testing.Short() {
		t.Skip("opens an older store again and again; the short form runs under the race detector")
	}
	dir, config := olderFolder(t)
	state := filepath.Join(storeDir(dir), "state.db")
	before, err := os.ReadFile(state)
	if err != nil {
		t.Fatal(err)
	}
	expect := func(what string, code int, out, says string, args ...string) outcome {
		t.Helper()
		got := command(t, "", args...)
		if got.code != code || !strings.Contains(got.out, out) || !strings.Contains(got.err, says) {
			t.Errorf("%s: exit %d, %q, %q", what, got.code, got.out, got.err)
		}
		return got
	}
	expect("before", exitWould, "state.db            1     2        bring up\n", "changes formats", "upgrade", "--check", "--dir", dir)
	expect("before, room", exitWould, "state.db is copied before: 1 MB have to be free for both, ", "", "upgrade", "--check", "--dir", dir)
	expect("start with it", 0, "", "", "serve", "--check", "--config", config)
	if now, err := os.ReadFile(state); err != nil || string(now) != string(before) {
		t.Errorf("looking has changed state.db, or: %v", err)
	}
	expect("without a server", exitWould, `"has": 1`, "", "upgrade", "--check", "--json", "--dir", dir)
	expect("first action", 0, "", "a copy of before is kept", "domain", "list", "--dir", dir)
	got := expect("after", 0, "", "", "upgrade", "--check", "--json", "--dir", dir)
	var u upgradeState
	if err := json.Unmarshal([]byte(got.out), &u); err != nil || u.Program != version || u.This != version || len(u.Copies) != 1 || u.Copy != 0 || u.Refused != "" {
		t.Errorf("after: %+v, %v", u, err)
	}
	expect("nothing to restart", 0, "no server is running: the next start does it\n", "", "upgrade", "--dir", dir)

	file := fromTheFuture(t, dir)
	refused := file + " has format version 99, this program knows 1: it was written by mailstead " + version + ". Nothing was changed."
	expect("newer", exitFailed, "segment of the log  99    1        refuse\n", refused, "upgrade", "--check", "--dir", dir)
	expect("newer, as JSON", exitFailed, `"would_not_start_since": "`+file+` has format version 99`, "", "upgrade", "--check", "--json", "--dir", dir)
	expect("newer, restart", exitFailed, "refuse", refused, "upgrade", "--dir", dir)
	expect("newer, start with it", exitFailed, "", refused, "serve", "--check", "--config", config)
	expect("newer, start", exitFailed, "", refused, "serve", "--config", config)
	expect("newer, action", exitFailed, "", refused, "domain", "list", "--dir", dir)
	expect("no folder", exitFailed, "", "no server's folder", "upgrade", "--check", "--dir", filepath.Join(dir, "none"))
	expect("JSON without check", exitUsage, "", "--json goes with --check", "upgrade", "--json", "--dir", dir)
}

// TestUpgradeBesideServer looks at the folder of a server that runs and has its databases locked, and commits to them.
func TestUpgradeBesideServer(t *testing.T) {
	dir := trialDir(t)
	startTrial(t, dir, "--account", "ann@example.test:pass")
	got := command(t, "", "upgrade", "--check", "--dir", dir)
	if got.code != 0 || !strings.Contains(got.out, "the folder was last opened by mailstead "+version+"\nthis is mailstead "+version+"\n") {
		t.Errorf("exit %d, %q, %q", got.code, got.out, got.err)
	}
	got = command(t, "", "upgrade", "--dir", dir) // this one runs in the test's process
	if got.code != exitFailed || !strings.Contains(got.err, errNoRestart.Error()) {
		t.Errorf("exit %d, %q, %q", got.code, got.out, got.err)
	}
}
