package directory

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/xdg-go/scram"

	"mailstead/mailbox"
)

// inBubble gives a directory in a store of its own, on fake time, with an account ann@example.test, and a way
// to open it again.
func inBubble(t *testing.T, f func(t *testing.T, d *Directory, again func() *Directory)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		store, err := mailbox.Open(t.TempDir(), mailbox.Options{SegmentSize: 256 << 10, CommitEvery: 24 * time.Hour, Logger: discard})
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := errors.Join(store.Check(), store.Close()); err != nil {
				t.Error(err)
			}
		}()
		d := openDirectory(t, store)
		must := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		must(d.AddDomain(t.Context(), "example.test"))
		_, err = d.AddAccount(t.Context(), "ann@example.test", "own secret")
		must(err)
		f(t, d, func() *Directory { return openDirectory(t, store) })
	})
}

// scramLogin logs in by SCRAM.
func scramLogin(t *testing.T, d *Directory, at Attempt, mechanism, password string) (Account, error) {
	t.Helper()
	hash := scram.SHA256
	if mechanism == "SCRAM-SHA-1" {
		hash = scram.SHA1
	}
	client, err := hash.NewClient("ann@example.test", password, "")
	if err != nil {
		t.Fatal(err)
	}
	e, err := d.Exchange(at, mechanism)
	if err != nil {
		t.Fatal(err)
	}
	err = prove(t.Context(), e, client.NewConversation())
	return e.Account(), err
}

// TestAppPasswords logs in with app passwords by all ways there are, where they are for it and where not, before
// and after their end, a restart and a new password of the account's own.
func TestAppPasswords(t *testing.T) {
	inBubble(t, func(t *testing.T, d *Directory, again func() *Directory) {
		add := func(label string, scope []string, expires time.Time) string {
			t.Helper()
			p, err := d.AddAppPassword(t.Context(), "ann@example.test", label, scope, expires)
			if err != nil {
				t.Fatal(err)
			}
			if !regexp.MustCompile(`^([a-z2-7]{5}-){3}[a-z2-7]{5}$`).MatchString(p) {
				t.Errorf("password %q", p)
			}
			return p
		}
		passwords := map[string]string{
			"own": "own secret", "phone": add("phone", []string{"imap", "smtp"}, time.Time{}),
			"printer": add("printer", []string{"smtp"}, time.Now().Add(48*time.Hour)), "laptop": add("laptop", nil, time.Time{}),
		}
		mechanisms := map[string][]string{ // of LOGIN, what is right is remembered the second time
			"imap": {"LOGIN", "LOGIN", "SCRAM-SHA-256"}, "pop3": {"LOGIN"}, "submission": {"SCRAM-SHA-1"},
		}
		check := func(when string, want map[string]string) {
			t.Helper()
			for label, password := range passwords {
				for _, protocol := range []string{"imap", "pop3", "submission"} {
					at := Attempt{Protocol: protocol, Remote: netip.MustParseAddr("192.0.2.1")}
					for _, mechanism := range mechanisms[protocol] {
						var err error
						if mechanism == "LOGIN" {
							_, err = d.Login(t.Context(), at, "Ann@example.test", password)
						} else {
							_, err = scramLogin(t, d, at, mechanism, password)
						}
						allowed := strings.Contains(want[label], protocol) || want[label] == "all"
						if (err == nil) != allowed || err != nil && !errors.Is(err, ErrCredentials) {
							t.Errorf("%s: %s by %s and %s: %v", when, label, protocol, mechanism, err)
						}
						d.throttle = newThrottle(d.now)
					}
				}
			}
		}
		check("at first", map[string]string{"own": "all", "phone": "imap submission", "printer": "submission", "laptop": "all"})
		time.Sleep(49 * time.Hour)
		d = again()
		check("after its end and a restart", map[string]string{"own": "all", "phone": "imap submission", "laptop": "all"})
		if err := d.SetPassword(t.Context(), "ann@example.test", "another secret"); err != nil {
			t.Fatal(err)
		}
		check("the account's own changed", map[string]string{"phone": "imap submission", "laptop": "all"})
		passwords["own"] = "another secret"
		if err := d.RemoveAppPassword(t.Context(), "ann@example.test", "Laptop"); err != nil {
			t.Fatal(err)
		}
		check("one taken back", map[string]string{"own": "all", "phone": "imap submission"})
		if err := d.RemoveAppPassword(t.Context(), "ann@example.test", "laptop"); !errors.Is(err, ErrNoSuch) {
			t.Errorf("taken back again: %v", err)
		}
	})
}

// TestBadAppPasswords refuses what could not be told apart or never be used.
func TestBadAppPasswords(t *testing.T) {
	inBubble(t, func(t *testing.T, d *Directory, _ func() *Directory) {
		err := d.edit(t.Context(), "ann@example.test", func(r *accountRecord) error {
			for i := range maxAppPasswords {
				r.Password.Verifiers = append(r.Password.Verifiers, verifier{App: &AppPassword{Label: fmt.Sprint(i)}})
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct {
			account, label string
			scope          []string
			expires        time.Time
			want           error
		}{
			{"ann@example.test", "0", nil, time.Time{}, ErrExists},
			{"ann@example.test", "one more", nil, time.Time{}, ErrTooMany},
			{"ann@example.test", "", nil, time.Time{}, ErrAppPassword},
			{"ann@example.test", "a\nb", nil, time.Time{}, ErrAppPassword},
			{"ann@example.test", strings.Repeat("x", maxLabel+1), nil, time.Time{}, ErrAppPassword},
			{"ann@example.test", "x", []string{"imap", "http"}, time.Time{}, ErrAppPassword},
			{"ann@example.test", "x", nil, time.Now(), ErrAppPassword},
			{"bob@example.test", "x", nil, time.Time{}, ErrNoSuch},
		} {
			if _, err := d.AddAppPassword(t.Context(), c.account, c.label, c.scope, c.expires); !errors.Is(err, c.want) {
				t.Errorf("%+v: %v", c, err)
			}
		}
	})
}

func mustList(t *testing.T, d *Directory) []AppPassword {
	t.Helper()
	list, err := d.AppPasswords("ann@example.test")
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// TestLastUse writes down the use of an app password once an hour, and finds it after a restart.
func TestLastUse(t *testing.T) {
	inBubble(t, func(t *testing.T, d *Directory, again func() *Directory) {
		p, err := d.AddAppPassword(t.Context(), "ann@example.test", "phone", nil, time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		if use := mustList(t, d)[0].LastUse; use != nil {
			t.Errorf("unused it was used %+v", use)
		}
		start := time.Now()
		login := func(from, protocol string) {
			t.Helper()
			at := Attempt{Protocol: protocol, Remote: netip.MustParseAddr(from)}
			if _, err := d.Login(t.Context(), at, "ann@example.test", p); err != nil {
				t.Fatal(err)
			}
		}
		login("192.0.2.1", "imap")
		time.Sleep(59 * time.Minute)
		login("192.0.2.2", "submission") // within the hour
		want := Use{At: start.UTC(), Protocol: "imap", Remote: "192.0.2.1"}
		for _, d := range []*Directory{d, again()} {
			if use := mustList(t, d)[0].LastUse; use == nil || !use.At.Truncate(time.Minute).Equal(want.At.Truncate(time.Minute)) || use.Protocol != want.Protocol || use.Remote != want.Remote {
				t.Errorf("used %+v, want %+v", use, want)
			}
		}
		time.Sleep(2 * time.Minute)
		login("192.0.2.2", "submission")
		if use := mustList(t, again())[0].LastUse; use.Remote != "192.0.2.2" || use.Protocol != "smtp" {
			t.Errorf("after an hour used %+v", use)
		}
	})
}

// TestSessionsEndWithTheirPassword tells the sessions of a password that it was taken back, and no others.
func TestSessionsEndWithTheirPassword(t *testing.T) {
	inBubble(t, func(t *testing.T, d *Directory, _ func() *Directory) {
		ends := map[string]context.Context{}
		for _, label := range []string{"phone", "laptop"} {
			p, err := d.AddAppPassword(t.Context(), "ann@example.test", label, nil, time.Time{})
			if err != nil {
				t.Fatal(err)
			}
			a, err := d.Login(t.Context(), Attempt{Protocol: "imap"}, "ann@example.test", p)
			if err != nil {
				t.Fatal(err)
			}
			b, err := scramLogin(t, d, Attempt{Protocol: "imap"}, "SCRAM-SHA-256", p)
			if err != nil || a.Ends == nil || a.Ends != b.Ends {
				t.Errorf("by SCRAM %+v, %v; by LOGIN %+v", b, err, a)
			}
			ends[label] = a.Ends
		}
		own, err := d.Login(t.Context(), Attempt{Protocol: "imap"}, "ann@example.test", "own secret")
		if err != nil || own.Ends == nil || own.Ends.Err() != nil {
			t.Errorf("with the account's own password: %+v, %v", own, err)
		}
		if err := d.RemoveAppPassword(t.Context(), "ann@example.test", "PHONE"); err != nil {
			t.Fatal(err)
		}
		if ends["phone"].Err() == nil || ends["laptop"].Err() != nil {
			t.Errorf("ended: phone %v, laptop %v", ends["phone"].Err(), ends["laptop"].Err())
		}
	})
}
