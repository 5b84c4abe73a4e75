package main

import (
	"encoding/json"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"mailstead/smtp/dns/dnstest"
)

// keysShown is what `mailstead domain dkim show` says of a server's domain.
func keysShown(t *testing.T, s *instance) []keyInfo {
	t.Helper()
	got := command(t, "", "domain", "dkim", "show", s.domain, "--dir", s.dir, "--json")
	var keys []keyInfo
	if err := json.Unmarshal([]byte(got.out), &keys); err != nil || got.code != 0 {
		t.Fatalf("dkim show: %+v, %v", got, err)
	}
	return keys
}

func countKeys(keys []keyInfo, state, found string) (n int) {
	for _, k := range keys {
		if string(k.State) == state && k.Found == found {
			n++
		}
	}
	return n
}

// TestRotationBetweenServers: a message that waits was signed with the old keys, one that comes after the rotation with
// the new ones, and another server finds both proven. That the records of the new keys came later is seen.
func TestRotationBetweenServers(t *testing.T) {
	resolver := dnstest.New(t, authZone)
	far := newInstance(t, filepath.Join(t.TempDir(), "far"), "far.test", "--resolver", resolver.Addr())
	us := newInstance(t, filepath.Join(t.TempDir(), "us"), "us.test", "--resolver", resolver.Addr(), "--mx-port", strconv.Itoa(far.offset+25))
	us.start()
	setZone := func() {
		t.Helper()
		zone := authZone
		for _, k := range keysShown(t, us) {
			r := dnsRecord{Name: k.Name, Type: "TXT", Text: k.Record}
			zone += r.zoneLine() + "\n"
		}
		if err := resolver.SetZone(zone); err != nil {
			t.Fatal(err)
		}
	}
	setZone()
	o := &outside{us, far}
	o.submit(t, "old", "a0@far.test") // nobody is there
	eventually(t, "a message waits", func() bool {
		list := o.queue(t)
		return len(list) == 1 && list[0].Attempts == 1 && list[0].State == "waiting"
	})
	if got := command(t, "", "domain", "dkim", "rotate", "us.test", "--dir", us.dir); got.code != 0 || strings.Count(got.out, " IN TXT ") != 2 {
		t.Errorf("%+v", got)
	}
	if keys := keysShown(t, us); countKeys(keys, "signing", recordMatches) != 2 || countKeys(keys, "waiting", recordMissing) != 2 {
		t.Errorf("%+v", keys)
	}
	setZone()
	if keys := keysShown(t, us); countKeys(keys, "signing", recordMatches) != 2 || countKeys(keys, "waiting", recordMatches) != 2 {
		t.Errorf("%+v", keys)
	}
	if got := command(t, "", "domain", "dkim", "rotate", "us.test", "--now", "--dir", us.dir); got.code != 0 {
		t.Errorf("%+v", got)
	}
	if keys := keysShown(t, us); countKeys(keys, "old", recordMatches) != 2 || countKeys(keys, "signing", recordMatches) != 2 {
		t.Errorf("%+v", keys)
	}
	waiting := o.queue(t)[0].ID
	far.start()
	if got := command(t, "", "queue", "retry", waiting, "--dir", us.dir); got.code != 0 {
		t.Errorf("%+v", got)
	}
	far.arrives("a0@far.test", "Subject: old\n")
	o.submit(t, "new", "a0@far.test")
	var all []string
	eventually(t, "both messages", func() bool {
		var err error
		if all, err = far.inbox("a0@far.test"); err != nil {
			t.Fatal(err)
		}
		return len(all) == 2
	})
	for _, letter := range all {
		selector := "header.s=mailstead-rsa "
		if strings.Contains(letter, "Subject: new") {
			selector = "header.s=mailstead-rsa-20"
		}
		letter = strings.Join(strings.Fields(letter), " ")
		if strings.Count(letter, "dkim=pass") != 2 || !strings.Contains(letter, "dmarc=pass") || !strings.Contains(letter, selector) {
			t.Errorf("want %s and two signatures that pass:\n%s", selector, letter)
		}
	}
}
