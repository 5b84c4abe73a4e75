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

func TestParseOctets(t *testing.T) {
	for text, want := range map[string]int64{
		"0": 0, "1": 1, "512B": 512, "512 b": 512, "1k": 1000, "1 kB": 1000, "500MB": 500e6, "5GB": 5e9, "5 g": 5e9, "2TB": 2e12, "9PB": 9e15,
		"": -1, "GB": -1, "-1": -1, "5.5GB": -1, "5XB": -1, "5GMB": -1, "5BB": -1, "5GiB": -1, "9223372036854775808": -1, "9224PB": -1, "5GB more": -1,
	} {
		got, err := parseOctets(text)
		if (err != nil) != (want < 0) || err == nil && got != want {
			t.Errorf("%q: %d, %v", text, got, err)
		}
	}
}

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
