package imap

import (
	"slices"
	"strings"
	"testing"
)

// TestHiddenCapabilities: an account's clients are not told of what was hidden for it,
// all others are, and strangers see everything.
func TestHiddenCapabilities(t *testing.T) {
	ts := newTestServer(t)
	if err := ts.directory.SetCapabilities(t.Context(), testUser, []string{"COMPRESS", "quota=res-storage", "appendlimit"}, nil); err != nil {
		t.Fatal(err)
	}
	list := func(user, password string) []string {
		c := ts.connect(t)
		c.expect("* OK ")
		c.send("a LOGIN " + user + " " + password + "\r\n")
		c.expect("a OK ")
		c.send("b CAPABILITY\r\n")
		return strings.Fields(c.expect("* CAPABILITY "))
	}
	shown, all := list(testUser, testPassword), list(testUser2, testPassword2)
	var hidden []string
	for _, name := range all {
		if !slices.Contains(shown, name) {
			name, _, _ = strings.Cut(name, "5")
			hidden = append(hidden, name)
		}
	}
	if got, want := strings.Join(hidden, " "), "QUOTA=RES-STORAGE COMPRESS=DEFLATE APPENDLIMIT="; got != want {
		t.Errorf("hidden are %q, want %q", got, want)
	}
}
