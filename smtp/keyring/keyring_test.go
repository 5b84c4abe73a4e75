package keyring

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-msgauth/dkim"

	"mailstead/mailbox"
	"mailstead/mailbox/mailboxtest"
	"mailstead/smtp/dns"
	"mailstead/smtp/mailauth"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestMain makes small RSA keys: those of mailauth.NewRSAKey take most of the time.
func TestMain(m *testing.M) {
	kinds[0].make = func() (crypto.Signer, error) { return rsa.GenerateKey(rand.Reader, 1024) }
	os.Exit(m.Run())
}

// world is a ring with a clock, a DNS and a queue of the test's own.
type world struct {
	t     *testing.T
	store *mailbox.Store
	ring  *Ring
	now   time.Time
	zone  map[string]string // TXT records
	down  bool              // the DNS does not answer
	held  time.Time         // when a message came that waits; zero = none does
	asked []string
}

func newWorld(t *testing.T) *world {
	w := &world{t: t, store: mailboxtest.NewStore(t), now: time.Date(2025, 11, 22, 23, 0, 0, 0, time.UTC), zone: map[string]string{}}
	w.restart()
	return w
}

func (w *world) restart() {
	w.t.Helper()
	var err error
	w.ring, err = Open(w.store, Options{
		Now: func() time.Time { return w.now },
		Lookup: func(_ context.Context, name string) ([]string, error) {
			w.asked = append(w.asked, name)
			switch text := w.zone[name]; {
			case w.down:
				return nil, &dns.Error{Name: name, Temporary: true, Err: errors.New("no answer")}
			case text == "":
				return nil, &dns.Error{Name: name, NotFound: true, NoName: true}
			default:
				return []string{text}, nil
			}
		},
		Waits: func(before time.Time) (bool, error) { return !w.held.IsZero() && w.held.Before(before), nil },
	})
	must(w.t, err)
}

// states is how a domain's keys are, in short.
func (w *world) states(domain string) string {
	w.t.Helper()
	keys, err := w.ring.Keys(domain)
	must(w.t, err)
	var all []string
	for _, k := range keys {
		all = append(all, k.Selector+" "+string(k.State))
	}
	return strings.Join(all, ", ")
}

// publish puts all records that are to be there into the DNS.
func (w *world) publish(domain string) {
	w.t.Helper()
	keys, err := w.ring.Keys(domain)
	must(w.t, err)
	for _, k := range keys {
		w.zone[k.Name()] = k.Record
	}
}

// steps looks whenever something is due until a time, restarting each time, as a step must not depend on
// what was not kept; but for a look that is to be confirmed.
func (w *world) until(end time.Time) {
	w.t.Helper()
	for w.now.Before(end) {
		next := w.ring.look(w.t.Context())
		if !next.After(w.now) {
			w.t.Fatalf("at %v the next look is at %v", w.now, next)
		}
		w.now = next
	}
}

const (
	oldPair = "mailstead-ed25519 %[1]s, mailstead-rsa %[1]s"
	newPair = "mailstead-ed25519-20251122 %[1]s, mailstead-rsa-20251122 %[1]s"
)

func both(first string, a State, second string, b State) string {
	return fmt.Sprintf(first, a) + ", " + fmt.Sprintf(second, b)
}

// TestRotation plays the whole life of keys, with a restart between all steps.
func TestRotation(t *testing.T) {
	w := newWorld(t)
	if err := w.ring.Rotate(t.Context(), "a.test", false); !errors.Is(err, ErrNoKeys) {
		t.Errorf("a domain without keys: %v", err)
	}
	must(t, w.ring.Ensure(t.Context(), "A.test"))
	w.publish("a.test")
	first := signatures(t, w.ring)
	expect := func(want string) {
		t.Helper()
		w.restart()
		if got := w.states("a.test"); got != want {
			t.Fatalf("%v: %s, want %s", w.now, got, want)
		}
	}
	expect(fmt.Sprintf(oldPair, Signing))

	must(t, w.ring.Rotate(t.Context(), "a.test", false))
	must(t, w.ring.Rotate(t.Context(), "a.test", false)) // again is the same one
	expect(both(oldPair, Signing, newPair, Waiting))

	began := w.now
	w.until(began.Add(10 * time.Hour)) // nobody publishes anything
	expect(both(oldPair, Signing, newPair, Waiting))
	if n := len(w.asked); n < 20 || n > 60 {
		t.Errorf("looked %d times in ten hours", n)
	}
	keys, err := w.ring.Keys("a.test")
	must(t, err)
	w.zone[keys[2].Name()] = keys[2].Record // half of it
	w.zone[keys[3].Name()] = keys[0].Record // and a wrong one
	w.until(began.Add(20 * time.Hour))
	expect(both(oldPair, Signing, newPair, Waiting))
	w.publish("a.test")
	w.down = true
	w.until(began.Add(30 * time.Hour))
	expect(both(oldPair, Signing, newPair, Waiting))
	w.down = false
	w.ring.look(t.Context())
	if got, want := w.states("a.test"), both(oldPair, Signing, newPair, Waiting); got != want {
		t.Errorf("seen once: %s", got)
	}
	w.until(w.now.Add(2 * time.Hour))
	expect(both(newPair, Signing, oldPair, Old))

	// What was signed before verifies all the time, and what is signed now, too.
	keys, err = w.ring.Keys("a.test")
	must(t, err)
	switched := keys[0].Since
	w.held = switched.Add(time.Second / 2) // an administrator holds a message that was signed just before
	w.until(switched.Add(12*24*time.Hour - 3*time.Hour))
	expect(both(newPair, Signing, oldPair, Old))
	w.until(switched.Add(30 * 24 * time.Hour))
	expect(both(newPair, Signing, oldPair, Old))
	verifies(t, w, first)
	verifies(t, w, signatures(t, w.ring))
	w.held = time.Time{}
	w.until(w.now.Add(24 * time.Hour))
	expect(both(newPair, Signing, oldPair, Retired))
	if value, ok, err := w.store.Room(roomName).Get("a.test/mailstead-rsa"); err != nil || !ok || strings.Contains(string(value), `"key"`) {
		t.Errorf("a retired key is %s, %v, %v", value, ok, err)
	}
	w.until(w.now.Add(24 * time.Hour))
	expect(both(newPair, Signing, oldPair, Retired)) // its record is still there
	delete(w.zone, "mailstead-rsa._domainkey.a.test")
	delete(w.zone, "mailstead-ed25519._domainkey.a.test")
	w.until(w.now.Add(24 * time.Hour))
	expect(fmt.Sprintf(newPair, Signing))
}

// letter is what the tests sign.
const letter = "From: x@a.test\r\nSubject: x\r\n\r\nbody\r\n"

func signatures(t *testing.T, r *Ring) string {
	t.Helper()
	fields, err := r.Sign("mail.a.test", []byte(letter[:30]), func(w io.Writer) error {
		_, err := io.WriteString(w, letter[30:])
		return err
	})
	must(t, err)
	if strings.Count(string(fields), "DKIM-Signature:") != 2 {
		t.Errorf("%q", fields)
	}
	return string(fields)
}

// verifies checks that both signatures in front of the letter hold with what the DNS has now.
func verifies(t *testing.T, w *world, fields string) {
	t.Helper()
	found, err := dkim.VerifyWithOptions(strings.NewReader(fields+letter), &dkim.VerifyOptions{LookupTXT: func(name string) ([]string, error) {
		if w.zone[name] == "" {
			return nil, fmt.Errorf("no record at %s", name)
		}
		return []string{w.zone[name]}, nil
	}})
	if err != nil || len(found) != 2 || found[0].Err != nil || found[1].Err != nil {
		t.Errorf("%+v, %v", found, err)
	}
}

// TestAtOnce: told to, new keys sign without a record; another rotation on the same day has other names.
func TestAtOnce(t *testing.T) {
	w := newWorld(t)
	must(t, w.ring.Ensure(t.Context(), "a.test"))
	must(t, w.ring.Rotate(t.Context(), "a.test", false))
	must(t, w.ring.Rotate(t.Context(), "a.test", true))
	if got, want := w.states("a.test"), both(newPair, Signing, oldPair, Old); got != want {
		t.Errorf("%s", got)
	}
	must(t, w.ring.Rotate(t.Context(), "a.test", true))
	w.restart()
	var signing []string
	for _, k := range w.ring.Of("a.test") {
		signing = append(signing, k.Selector)
	}
	slices.Sort(signing)
	if !slices.Equal(signing, []string{"mailstead-ed25519-20251122-2", "mailstead-rsa-20251122-2"}) {
		t.Errorf("%q sign", signing)
	}
	w.until(w.now.Add(time.Hour))
	if len(w.asked) > 0 {
		t.Errorf("the DNS is asked for %q", w.asked)
	}
}

// TestKeysStay: keys are made once, are the same after a start, and go with their domain.
func TestKeysStay(t *testing.T) {
	w := newWorld(t)
	for _, domain := range []string{"bücher.test", "xn--bcher-kva.test", "a.test"} {
		must(t, w.ring.Ensure(t.Context(), domain))
	}
	before, err := w.ring.Keys("bücher.test")
	if err != nil || len(before) != 2 || before[0].Name() != "mailstead-ed25519._domainkey.xn--bcher-kva.test" || before[0].Algorithm != "ed25519" {
		t.Fatalf("%+v, %v", before, err)
	}
	must(t, w.ring.Remove(t.Context(), "A.test"))
	for range 2 {
		if after, err := w.ring.Keys("bücher.test"); err != nil || !slices.Equal(before, after) {
			t.Errorf("%+v, %v, before %+v", after, err, before)
		}
		if keys := w.ring.Of("a.test"); len(keys) > 0 {
			t.Errorf("a domain that was removed has %v", keys)
		}
		w.restart()
	}
}

// TestKeysOfBefore: what is in PKCS #8 signs, and can be exchanged.
func TestKeysOfBefore(t *testing.T) {
	w := newWorld(t)
	for _, k := range kinds {
		private, err := k.make()
		must(t, err)
		der, err := mailauth.MarshalPrivateKey(private)
		must(t, err)
		must(t, w.store.Change(t.Context(), mailbox.RoomChange{Room: roomName, Key: "a.test/" + k.selector, Value: der}))
	}
	w.restart()
	must(t, w.ring.Rotate(t.Context(), "a.test", false))
	w.restart()
	if got, want := w.states("a.test"), both(oldPair, Signing, newPair, Waiting); got != want {
		t.Error(got)
	}
}

// TestBrokenKey: a key that cannot be read is not passed over.
func TestBrokenKey(t *testing.T) {
	for _, value := range []string{"x", "{", `{"state":"signing"}`} {
		store := mailboxtest.NewStore(t)
		must(t, store.Change(t.Context(), mailbox.RoomChange{Room: roomName, Key: "a.test/x", Value: []byte(value)}))
		if _, err := Open(store, Options{}); err == nil {
			t.Errorf("%s was taken", value)
		}
	}
}

// TestRun: what is asked for while Run waits is looked for at once, and Run ends.
func TestRun(t *testing.T) {
	store := mailboxtest.NewStore(t)
	asked := make(chan string, 8)
	r, err := Open(store, Options{Lookup: func(_ context.Context, name string) ([]string, error) {
		asked <- name
		return nil, &dns.Error{Name: name, NotFound: true}
	}})
	must(t, err)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { // ends with ctx
		defer close(ended)
		r.Run(ctx)
	}()
	must(t, r.Ensure(ctx, "a.test"))
	must(t, r.Rotate(ctx, "a.test", false))
	if name := <-asked; !strings.HasSuffix(name, "._domainkey.a.test") {
		t.Errorf("asked for %s", name)
	}
	stop()
	<-ended
}
