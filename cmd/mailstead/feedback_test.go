package main

import (
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"mailstead/mailbox"
	"mailstead/smtp/dns/dnstest"
)

// TestOthersAreCounted: what one server of ours sends another is counted by both, for the reports of tomorrow: the mail by
// who gets it, the connection by who sends it.
func TestOthersAreCounted(t *testing.T) {
	zone := strings.Replace(authZone, `_dmarc.us.test. TXT "v=DMARC1; p=reject"`, `_dmarc.us.test. TXT "v=DMARC1; p=reject; rua=mailto:d@us.test"`, 1)
	resolver := dnstest.New(t, zone)
	far := newInstance(t, filepath.Join(t.TempDir(), "far"), "far.test", "--resolver", resolver.Addr())
	us := newInstance(t, filepath.Join(t.TempDir(), "us"), "us.test", "--resolver", resolver.Addr(), "--mx-port", strconv.Itoa(far.offset+25))
	far.start()
	us.start()
	o := &outside{us, far}
	o.submit(t, "counted", "a0@far.test")
	far.arrives("a0@far.test", "Subject: counted\n")
	eventually(t, "the queue is empty", func() bool { return len(o.queue(t)) == 0 })
	far.end(syscall.SIGTERM)
	us.end(syscall.SIGTERM)
	for s, want := range map[*instance]string{far: "/dmarc/us.test", us: "/tls/far.test"} {
		keys := countedBy(t, s)
		if len(keys) != 1 || !strings.HasSuffix(keys[0], want) {
			t.Errorf("%s counts %q, want %s", s.domain, keys, want)
		}
	}
}

// countedBy are the keys of what a server that has ended has counted.
func countedBy(t *testing.T, s *instance) (keys []string) {
	t.Helper()
	store, err := mailbox.Open(storeDir(s.dir), mailbox.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	err = store.Room("feedback").Each("count/", func(key string, _ []byte) error {
		keys = append(keys, key)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(keys)
	return keys
}
