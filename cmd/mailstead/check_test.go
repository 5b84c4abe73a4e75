package main

import (
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"mailstead/cmd/internal/check"
	"mailstead/smtp/dns/dnstest"
)

// TestDialSelf: behind a proxy on the same machine the server's own connections say that they are for themselves; others say
// nothing.
func TestDialSelf(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for _, tc := range []struct{ from, want string }{{"127.0.0.0/8", "PROXY UNKNOWN\r\n"}, {"10.0.0.5", ""}} {
		s := settings{ProxyFrom: []string{tc.from}}
		conn, err := s.dialSelf(t.Context(), "tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		peer, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		conn.Close()
		got, err := io.ReadAll(peer)
		peer.Close()
		if err != nil || string(got) != tc.want {
			t.Errorf("%s: %q, %v", tc.from, got, err)
		}
	}
}

// TestDailyCheckWrites: the postmaster finds a letter in INBOX about what is wrong, here that there was no backup, and no other one
// about the same.
func TestDailyCheckWrites(t *testing.T) {
	t.Parallel()
	c := localCommand{Dir: trialDir(t), Domain: []string{"example.test"}, Account: []string{"user@example.test:pass"}, PortOffset: freeOffset(t), MXPort: 25}
	settings, err := c.settings()
	if err != nil {
		t.Fatal(err)
	}
	srv, err := newServer(settings, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer srv.close()
	if err := c.furnish(t.Context(), srv); err != nil {
		t.Fatal(err)
	}
	postmaster, err := srv.directory.Resolve("postmaster")
	if err != nil || len(postmaster.Local) != 1 {
		t.Fatalf("%+v, %v", postmaster, err)
	}
	for range 2 {
		if err := srv.watch().Once(t.Context()); err != nil {
			t.Fatal(err)
		}
		u, err := srv.store.Usage(postmaster.Local[0].Account)
		if err != nil || u.Messages != 1 {
			t.Errorf("%+v, %v", u, err)
		}
	}
	last, ok, err := check.LastRound(srv.store)
	if err != nil || !ok || !slices.Contains(last.Told, "server.backup  ") {
		t.Errorf("%+v, %v, %v", last, ok, err)
	}
}

// TestCheckLikesWhatIsProposed: who publishes what `domain show` prints has no fault in the domain, whose records are all missing
// before; the server's ports answer, and a backup that it was asked for is known to it.
func TestCheckLikesWhatIsProposed(t *testing.T) {
	if testing.Short() {
		t.Skip("the short form runs under the race detector, where TestStates does")
	}
	t.Parallel()
	resolver := dnstest.New(t, "")
	s := startTrial(t, trialDir(t), "--resolver", resolver.Addr())
	checked := func(args ...string) (results map[string]check.Result) {
		t.Helper()
		got := command(t, "", append(append([]string{"check", "--json"}, args...), "--dir", s.dir)...)
		var list []check.Result
		if err := json.Unmarshal([]byte(got.out), &list); err != nil || (got.code == 0) != (check.Failed(list) == 0) {
			t.Fatalf("%+v, %v", got, err)
		}
		results = make(map[string]check.Result)
		for _, r := range list {
			if old, ok := results[r.ID]; !ok || old.State != check.Wrong {
				results[r.ID] = r // what is wrong, if anything
			}
		}
		return results
	}
	published := []string{"domain.mx", "domain.spf", "domain.dkim", "domain.dmarc", "domain.mta-sts", "domain.tlsrpt", "domain.srv"}
	before := checked("example.test")
	for _, id := range published {
		if r := before[id]; r.State != check.Wrong || !strings.Contains(r.Remedy, "IN ") {
			t.Errorf("nothing is published: %+v", r)
		}
	}
	shown := command(t, "", "domain", "show", "example.test", "--dir", s.dir)
	_, zone, _ := strings.Cut(shown.out, "\n\n")
	if err := resolver.SetZone(zone + "mail.example.test. A 127.0.0.1\n"); err != nil {
		t.Fatalf("%v\n%s", err, zone)
	}
	after := checked("example.test")
	for _, id := range append(published, "domain.names", "domain.wildcard", "domain.blocklist") {
		if r := after[id]; r.State != check.OK {
			t.Errorf("all is published: %s: %+v", id, r)
		}
	}
	if r, ok := after["host.address"]; ok {
		t.Errorf("the host is looked at, too: %+v", r)
	}
	if r := checked("--only", "listener")["server.listener"]; r.State != check.OK {
		t.Errorf("%+v", r)
	}
	if got := command(t, "", "backup", filepath.Join(t.TempDir(), "backup"), "--dir", s.dir); got.code != 0 {
		t.Fatalf("%+v", got)
	}
	if r := checked("--only", "backup")["server.backup"]; r.State != check.OK {
		t.Errorf("after a backup: %+v", r)
	}
}
