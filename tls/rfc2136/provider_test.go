package rfc2136_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/libdns/libdns"

	"mailstead/smtp/dns"
	"mailstead/smtp/dns/dnstest"
	"mailstead/tls/rfc2136"
)

const zone = "example.test. SOA ns.example.test. root.example.test. 1 3600 600 86400 60\n"

func TestUpdate(t *testing.T) {
	server := dnstest.New(t, zone)
	key, err := rfc2136.ParseKey(dnstest.UpdateKey)
	if err != nil {
		t.Fatal(err)
	}
	look := func(name string) []string {
		r, err := dns.New(dns.Options{Servers: []string{server.Addr()}})
		if err != nil {
			t.Fatal(err)
		}
		a, err := r.LookupTXT(t.Context(), name)
		if err != nil && !dns.IsNotFound(err) {
			t.Fatal(err)
		}
		return a.Records
	}
	p := &rfc2136.Provider{Server: server.Addr(), Key: key}
	long := strings.Repeat("x", 300)
	one := libdns.RR{Name: "_acme-challenge.mail", Type: "TXT", Data: "one", TTL: time.Minute}
	two := libdns.RR{Name: "_acme-challenge.mail", Type: "TXT", Data: long, TTL: time.Minute}
	if done, err := p.AppendRecords(t.Context(), "example.test.", []libdns.Record{one, two}); err != nil || len(done) != 2 {
		t.Fatalf("%v, %v", done, err)
	}
	if got := look("_acme-challenge.mail.example.test"); len(got) != 2 || got[0] != "one" || got[1] != long {
		t.Errorf("there is %q", got)
	}
	if _, err := p.DeleteRecords(t.Context(), "example.test.", []libdns.Record{one}); err != nil {
		t.Fatal(err)
	}
	if got := look("_acme-challenge.mail.example.test"); len(got) != 1 || got[0] != long {
		t.Errorf("after deleting one there is %q", got)
	}

	unsigned := &rfc2136.Provider{Server: server.Addr()}
	if _, err := unsigned.AppendRecords(t.Context(), "example.test.", []libdns.Record{one}); !errors.Is(err, rfc2136.ErrRefused) || !strings.Contains(err.Error(), "REFUSED") {
		t.Errorf("without a key: %v", err)
	}
	other, err := rfc2136.ParseKey(strings.ReplaceAll(dnstest.UpdateKey, "bWFpb", "bWFpc"))
	if err != nil {
		t.Fatal(err)
	}
	forged := &rfc2136.Provider{Server: server.Addr(), Key: other}
	if _, err := forged.AppendRecords(t.Context(), "example.test.", []libdns.Record{one}); err == nil {
		t.Error("another key is accepted")
	} else if strings.Contains(err.Error(), "bWFp") {
		t.Errorf("the secret is in %q", err)
	}
	for _, wrong := range []libdns.RR{{Name: "x", Type: "A", Data: "192.0.2.1"}, {Name: strings.Repeat("x", 64), Type: "TXT"}} {
		if _, err := p.AppendRecords(t.Context(), "example.test.", []libdns.Record{wrong}); err == nil {
			t.Errorf("%v was put there", wrong)
		}
	}
	if got := look("_acme-challenge.mail.example.test"); len(got) != 1 {
		t.Errorf("in the end there is %q", got)
	}
}

// TestServerThatSaysNothing is given up when the context ends.
func TestServerThatSaysNothing(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		c, err := l.Accept()
		if err == nil {
			c.Read(make([]byte, 1))
			cancel()
			defer c.Close()
			<-t.Context().Done()
		}
	}()
	p := &rfc2136.Provider{Server: l.Addr().String()}
	if _, err := p.AppendRecords(ctx, "example.test.", []libdns.Record{libdns.RR{Name: "x", Type: "TXT", Data: "x"}}); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

func TestKeyFiles(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"tsig-keygen", dnstest.UpdateKey, ""},
		{"bare", "key mail.example. { secret c2VjcmV0; algorithm HMAC-SHA512; };", ""},
		{"empty", "", "no TSIG key"},
		{"no secret", `key "k" { algorithm hmac-sha256; };`, "algorithm and secret"},
		{"weak", `key "k" { algorithm hmac-md5; secret "c2VjcmV0"; };`, "hmac-md5 is not one of"},
		{"no base64", `key "k" { algorithm hmac-sha256; secret "c2V"; };`, "base64"},
	} {
		file := filepath.Join(t.TempDir(), "key")
		if err := os.WriteFile(file, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		key, err := rfc2136.ReadKey(file)
		if c.want == "" && (err != nil || key.Name == "") || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v", c.name, err)
		}
		if shown := fmt.Sprintf("%v %+v %#v %s", key, key, key, key.LogValue()); strings.Contains(shown, "c2V") || strings.Contains(shown, "bWFp") {
			t.Errorf("%s: the secret shows in %s", c.name, shown)
		}
	}
	if _, err := rfc2136.ReadKey(filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("a file that is not there was read")
	}
}
