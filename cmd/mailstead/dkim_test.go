//go:build linux

package main

import (
	"context"
	"encoding/json"
	"log/slog"
	"maps"
	"net"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"mailstead/smtp/dns/dnstest"
	"mailstead/smtp/keyring"
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

// quickKeys are the waits of an exchange of keys, short enough to be lived through.
var quickKeys = keyring.Times{
	FirstLook: 100 * time.Millisecond, LastLook: 100 * time.Millisecond, Confirm: 100 * time.Millisecond, RareLook: 100 * time.Millisecond,
	Flight: time.Millisecond, Margin: time.Millisecond,
}

// rotation is our server us.test, in this process, whose keys are exchanged quickly, another one, and the zone that one of them
// is found in.
type rotation struct {
	outside
	*testing.T
	zone *dnstest.Server
	text string // of the zone, without keys
	log  lockedBuffer
}

// startRotation starts both.
func startRotation(t *testing.T, zone string) *rotation {
	t.Helper()
	r := &rotation{T: t, text: zone, zone: dnstest.New(t, zone)}
	r.far = newInstance(t, filepath.Join(t.TempDir(), "far"), "far.test", "--resolver", r.zone.Addr())
	r.far.start()
	r.us = newInstance(t, trialDir(t), "us.test")
	c := localCommand{
		Dir: r.us.dir, Domain: []string{"us.test"}, PortOffset: r.us.offset, Account: []string{"a0@us.test:pass"},
		Resolver: []string{r.zone.Addr()}, MXPort: r.far.offset + 25,
	}
	s, err := c.settings()
	if err != nil {
		t.Fatal(err)
	}
	s.keyTimes = quickKeys
	ctx, cancel := context.WithCancel(context.Background())
	ready, ended := make(chan struct{}), make(chan error, 1)
	go func() { // ends with the test
		log := slog.New(slog.NewTextHandler(&r.log, nil))
		ended <- runServer(ctx, s, log, nil, func(srv *server) error { return c.furnish(ctx, srv) }, func(*server) error {
			close(ready)
			return nil
		})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("%v: %s", err, r.log.String())
		}
	})
	select {
	case <-ready:
	case err := <-ended:
		ended <- nil
		t.Fatalf("%v: %s", err, r.log.String())
	}
	return r
}

// publish puts the records of all keys in the given states into the zone, and takes others out.
func (r *rotation) publish(states ...keyring.State) (records map[string]string) {
	r.Helper()
	zone := r.text
	records = map[string]string{}
	for _, k := range r.keys() {
		if slices.Contains(states, k.State) {
			records[k.Name] = k.Record
			zone += (&dnsRecord{Name: k.Name, Type: "TXT", Text: k.Record}).zoneLine() + "\n"
		}
	}
	if err := r.zone.SetZone(zone); err != nil {
		r.Fatal(err)
	}
	return records
}

// keys are those of us.test; nobody asks the DNS for them.
func (r *rotation) keys() []keyInfo {
	r.Helper()
	got := command(r.T, "", "domain", "dkim", "list", "--dir", r.us.dir, "--json")
	var keys []keyInfo
	if err := json.Unmarshal([]byte(got.out), &keys); err != nil || got.code != 0 {
		r.Fatalf("dkim list: %+v, %v", got, err)
	}
	return keys
}

// states are those of the keys for RSA, by what their selectors end in: "" of the first one.
func (r *rotation) states() map[string]keyring.State {
	all := map[string]keyring.State{}
	for _, k := range r.keys() {
		if day, ok := strings.CutPrefix(k.Selector, "mailstead-rsa"); ok {
			all[day] = k.State
		}
	}
	return all
}

// asked is how often the zone was asked for the record of a key for RSA.
func (r *rotation) asked(day string) (n int) {
	for _, q := range r.zone.Queries() {
		if q.Name == "mailstead-rsa"+day+"._domainkey.us.test" {
			n++
		}
	}
	return n
}

// TestRotationBetweenServers lives through an exchange of keys: nothing but `rotate` and the zone say what is to be done. What is
// sent meanwhile is proven to another server, and what waits for all that time is at its end, by go-msgauth.
func TestRotationBetweenServers(t *testing.T) {
	const zone = authZone + "odd.test. MX 10 mx.odd.test.\nmx.odd.test. A 127.0.0.6\n"
	r := startRotation(t, zone)
	r.publish(keyring.Signing)
	r.submit(t, "late\r\nX-Number: 0", "x@odd.test") // nobody is there
	eventually(t, "a message waits", func() bool {
		list := r.queue(t)
		return len(list) == 1 && list[0].Attempts == 1 && list[0].State == "waiting"
	})
	waiting := r.queue(t)[0].ID

	if got := command(t, "", "domain", "dkim", "rotate", "us.test", "--dir", r.us.dir); got.code != 0 || strings.Count(got.out, " IN TXT ") != 2 {
		t.Errorf("%+v", got)
	}
	day := r.newest()
	eventually(t, "the server looks for the new keys", func() bool { return r.asked(day) > 1 })
	r.submit(t, "before", "a0@far.test")
	if keys := keysShown(t, r.us); countKeys(keys, "signing", recordMatches) != 2 || countKeys(keys, "waiting", recordMissing) != 2 {
		t.Errorf("%+v", keys)
	}

	before := r.asked(day)
	published := r.publish(keyring.Signing, keyring.Waiting)
	eventually(t, "the new keys sign", func() bool {
		return maps.Equal(r.states(), map[string]keyring.State{"": keyring.Old, day: keyring.Signing})
	})
	if n := r.asked(day) - before; n < 2 {
		t.Errorf("the new keys sign after their records were seen %d times", n)
	}
	r.submit(t, "after", "a0@far.test")

	eventually(t, "the old keys' time is over", func() bool { return strings.Contains(r.log.String(), "an old key stays") })
	if got := r.states()[""]; got != keyring.Old {
		t.Errorf("the key of a message that waits is %s", got)
	}
	sink := serveSink(t, net.JoinHostPort("127.0.0.6", strconv.Itoa(r.far.offset+25)))
	if got := command(t, "", "queue", "retry", waiting, "--dir", r.us.dir); got.code != 0 {
		t.Errorf("%+v", got)
	}
	eventually(t, "what has waited leaves", func() bool { return sink.count() == 1 })
	verifyAll(t, sink, published)

	eventually(t, "the old keys are deleted", func() bool { return r.states()[""] == keyring.Retired })
	r.publish(keyring.Signing)
	eventually(t, "the old keys are forgotten", func() bool { return maps.Equal(r.states(), map[string]keyring.State{day: keyring.Signing}) })
	r.proven(map[string]string{"before": "", "after": day})
	if text := sink.got[0][0]; strings.Count(text, " s=mailstead-rsa;") != 1 {
		t.Errorf("what has waited is not signed by the old key:\n%s", text)
	}
}

// newest is what the selectors of the keys that wait end in.
func (r *rotation) newest() string {
	r.Helper()
	for day, state := range r.states() {
		if state == keyring.Waiting {
			return day
		}
	}
	r.Fatal("no key waits")
	return ""
}

// proven checks that the other server has letters, by subject, with the signatures of keys, and found all of them good.
func (r *rotation) proven(days map[string]string) {
	r.Helper()
	var all []string
	eventually(r.T, "the letters", func() bool {
		var err error
		if all, err = r.far.inbox("a0@far.test"); err != nil {
			r.Fatal(err)
		}
		return len(all) >= len(days)
	})
	for _, letter := range all {
		selector := "header.s=mailstead-rsa" + days[subjectOf([]byte(letter))] + " "
		letter = strings.Join(strings.Fields(letter), " ")
		if strings.Count(letter, "dkim=pass") != 2 || !strings.Contains(letter, "dmarc=pass") || !strings.Contains(letter, selector) {
			r.Errorf("want %s and two signatures that pass:\n%s", selector, letter)
		}
	}
	if len(all) > len(days) {
		r.Errorf("%d letters", len(all))
	}
}
