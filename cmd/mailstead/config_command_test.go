package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"mailstead/cmd/internal/tomlfile"
)

// writeFile puts a text into a file of a folder.
func writeFile(t *testing.T, dir, name, text string) string {
	t.Helper()
	name = filepath.Join(dir, name)
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// TestConfigCommands plays what people read of a good file and of a bad one.
func TestConfigCommands(t *testing.T) {
	dir := t.TempDir()
	good := writeFile(t, dir, "good.toml", "hostname = \"mail.example.test\"\ndir = \""+dir+"\"\nresolvers = []\nacme_email = \"a@example.test\"\n[overrides]\n\"news.test\" = \"junk\"\n[listen]\npop3 = []\n")
	bad := writeFile(t, dir, "bad.toml", "hostname = \"mail.example.test\"\nresolver = []\nmx_port = 70000\n")
	broken := writeFile(t, dir, "broken.toml", "hostname = \n")
	for _, c := range []struct {
		args string
		code int
		out  string // a part of it
		err  string
	}{
		{"config check " + good, 0, good + " is good.\n", ""},
		{"config check " + bad, exitFailed, bad + ":2:1: error: unknown setting resolver; did you mean resolvers?\n" + bad + ":3:1: error: mx_port must be 1 to 65535\n", "cannot be used: a server started with it would stop at once"},
		{"config check --json " + bad, exitFailed, `"line": 3`, "cannot be used"},
		{"config check " + broken, exitFailed, broken + ":1:12: error: ", "cannot be used"},
		{"config check " + dir + "/none.toml", exitNoSuch, "", "no such file"},
		{"config show --config " + good, 0, "hostname = \"mail.example.test\"", ""},
		{"config show --config " + good, 0, "# line 1\n", ""},
		{"config show --config " + good, 0, "mx_port = 25", ""},
		{"config show --config " + good, 0, `overrides = { "news.test" = "junk" }`, ""},
		{"config show --config " + bad, exitFailed, "", "line 2, column 1: unknown setting resolver; did you mean resolvers?\nline 3"},
		{"config explain listen.pop3 --config " + good, 0, "listen.pop3 = [string, ...]\n\nPOP3 with STLS.\n\nDefault:  [\":110\"]\nNow:      []\nChanges:  count with mailstead reload, for connections made from then on\nExample:\n  [listen]\n  pop3 = [\"192.0.2.1:110\", \"[2001:db8::1]:110\"]\n", ""},
		{"config explain certificate --config " + good, 0, "certificate = string\n\nPEM files of a certificate, with its chain, and of its key.\nThey belong together", ""},
		{"config explain hostname --config " + broken, 0, "not known, as " + broken + " cannot be used", ""},
		{"config explain lisen.pop3", exitNoSuch, "", "there is no setting lisen.pop3; did you mean listen.pop3?"},
		{"config explain zzzzzzzz", exitNoSuch, "", "'mailstead config explain' lists all"},
		{"config explain", 0, "strangers.network_connections ", ""},
	} {
		got := command(t, "", strings.Fields(c.args)...)
		if got.code != c.code || !strings.Contains(got.out, c.out) || !strings.Contains(got.err, c.err) || (c.err == "") != (got.err == "") || c.out == "" && got.out != "" {
			t.Errorf("%s: exit %d\n%s%s", c.args, got.code, got.out, got.err)
		}
		for line := range strings.Lines(got.out) {
			if strings.HasPrefix(c.args, "config explain") && len(line) > 81 && !strings.Contains(line, dir) {
				t.Errorf("%s: more than a line of a terminal: %q", c.args, line)
			}
		}
	}
	shown := command(t, "", "config", "show", "--config", good)
	var object map[string]any
	if err := json.Unmarshal([]byte(command(t, "", "config", "show", "--json", "--config", good).out), &object); err != nil || object["mx_port"] != 25.0 || len(object["listen"].(map[string]any)) != len(listen{}.all()) {
		t.Errorf("as JSON: %v, %v", object, err)
	}
	again, all := parseSettings([]byte(shown.out)) // what is shown can be used as a file
	want, err := readConfig(good)
	if len(all) > 0 || err != nil || again.Listen.SMTP[0] != want.Listen.SMTP[0] || again.Overrides["news.test"] != "junk" {
		t.Errorf("shown: %v, %v\n%s", all, err, shown.out)
	}
}

// TestMachine: what the file asks for and the machine does not have is told as warnings.
func TestMachine(t *testing.T) {
	dir := t.TempDir()
	now := time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)
	writePair := func(name string, end time.Time) (certificate, key string) {
		private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name}, NotBefore: now.AddDate(-1, 0, 0), NotAfter: end}
		der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
		if err != nil {
			t.Fatal(err)
		}
		secret, err := x509.MarshalPKCS8PrivateKey(private)
		if err != nil {
			t.Fatal(err)
		}
		file := name + end.Format(time.DateOnly)
		return writeFile(t, dir, file+".pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))),
			writeFile(t, dir, file+".key", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})))
	}
	certificate, key := writePair("mail.example.test", now.AddDate(0, 6, 0))
	_, otherKey := writePair("other.example.test", now.AddDate(0, 6, 0))
	otherCertificate, _ := writePair("third.example.test", now.AddDate(0, 6, 0))
	old, oldKey := writePair("mail.example.test", now.AddDate(0, 0, -1))
	ending, endingKey := writePair("mail.example.test", now.AddDate(0, 0, 7))
	open := writeFile(t, dir, "open.key", "x")
	if err := os.Chmod(open, 0o644); err != nil {
		t.Fatal(err)
	}
	m := machine{now: func() time.Time { return now }, resolvConf: filepath.Join(dir, "none")}
	for _, c := range []struct {
		name   string
		change func(*settings)
		want   string // "" = nothing
	}{
		{"all is there", func(*settings) {}, ""},
		{"no certificate", func(s *settings) { s.Certificate, s.Key = "", "" }, "neither certificate nor acme_email is set"},
		{"no file", func(s *settings) { s.Certificate = dir + "/none.pem" }, "none.pem: no such file"},
		{"no key", func(s *settings) { s.Key = dir + "/none.key" }, "key: open " + dir + "/none.key"},
		{"another's key", func(s *settings) { s.Key = otherKey }, "certificate and key do not make a pair: private key does not match public key"},
		{"no PEM", func(s *settings) { s.Key = open }, "do not make a pair"},
		{"a key for all to read", func(s *settings) { s.Key = open }, "every user of the machine can read " + open},
		{"another's certificate", func(s *settings) {
			s.Certificate, s.Key = otherCertificate, strings.Replace(otherCertificate, ".pem", ".key", 1)
		}, "it is for third.example.test, and not for mail.example.test"},
		{"an old one", func(s *settings) { s.Certificate, s.Key = old, oldKey }, "it ended on 2026-05-31"},
		{"one that ends", func(s *settings) { s.Certificate, s.Key = ending, endingKey }, "it ends on 2026-06-08"},
		{"a bare name", func(s *settings) { s.Hostname = "mail" }, `"mail" has no domain`},
		{"no folder above", func(s *settings) { s.Dir = dir + "/a/b" }, "nor the folder above it"},
		{"a file for a folder", func(s *settings) { s.Dir = open }, "is no folder"},
		{"no authority", func(s *settings) { s.ACMECAFile = dir + "/ca.pem" }, "acme_ca_file: open"},
		{"no secret", func(s *settings) { s.ACMEEABKeyID, s.ACMEEABKeyFile = "id", dir+"/eab" }, "acme_eab_key_file: open"},
		{"no TSIG key", func(s *settings) { s.ACMEDNSServer, s.ACMEDNSKeyFile = "ns.test:53", open }, "acme_dns_key_file: "},
		{"no system resolvers", func(s *settings) { s.Resolvers = nil }, "resolvers is not set, and"},
		{"another machine's address", func(s *settings) { s.Listen.IMAP = []string{"192.0.2.1:143"} }, "does not have the address 192.0.2.1"},
		{"no port", func(s *settings) { s.Listen.IMAP = []string{":mailstead-none"} }, `listen.imap: "mailstead-none" is no port`},
		{"a port for two", func(s *settings) { s.Listen.POP3 = []string{":143"} }, "listen.pop3: :143 is also of listen.imap"},
		{"loopback", func(s *settings) { s.Listen.IMAP = []string{"127.0.0.7:143"} }, ""},
	} {
		s := defaultSettings()
		s.Hostname, s.Dir, s.Certificate, s.Key, s.Resolvers = "mail.example.test", dir, certificate, key, []string{}
		c.change(&s)
		all := m.check(&s)
		if c.want == "" && len(all) > 0 || c.want != "" && !slices.ContainsFunc(all, func(f tomlfile.Fault) bool { return f.Warning && strings.Contains(f.Text, c.want) }) {
			t.Errorf("%s: %v, want %q", c.name, all, c.want)
		}
	}
}
