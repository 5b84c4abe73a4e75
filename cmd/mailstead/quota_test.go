package main

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mailstead/mailbox"
)

func TestQuotaText(t *testing.T) {
	for want, q := range map[string]mailbox.Quota{
		"-": {}, "5.0 GB": {Storage: 5e9}, "7 messages": {Messages: 7}, "500 B, 7 messages": {Storage: 500, Messages: 7},
	} {
		if got := quotaText(q); got != want {
			t.Errorf("%+v: %q, want %q", q, got, want)
		}
	}
}

// TestNewAccountsGetTheQuota of the configuration, also without a running server.
func TestNewAccountsGetTheQuota(t *testing.T) {
	s := defaultSettings()
	s.Dir = t.TempDir()
	store, _, err := openStore(&s, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(t.TempDir(), "mailstead.toml")
	text := fmt.Sprintf("hostname = \"mail.a.test\"\ndir = %q\nquota = \"5GB\"\n", s.Dir)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, step := range []step{
		{action: "domain add", args: "a.test"},
		{action: "account add", args: "ann@a.test", stdin: "secret\n"},
		{action: "account show", args: "ann@a.test", out: "5.0 GB"},
	} {
		got := command(t, step.stdin, append(strings.Fields(step.action+" "+step.args), "--config", config)...)
		if got.code != 0 || !strings.Contains(got.out, step.out) {
			t.Errorf("%s: %+v", step.action, got)
		}
	}
}
