package check

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math/big"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"mailstead/smtp/dns"
	"mailstead/smtp/dns/dnstest"
	"mailstead/smtp/mailauth"
	"mailstead/smtp/mtasts"
)

var writeStates = flag.Bool("write-states", false, "write what comes out into testdata/states")

var resolverPort = regexp.MustCompile(`127\.0\.0\.1:[0-9]{4,5}`)

// statesNow is the time of all states.
var statesNow = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// world is what a state is made of beside the zone.
type world struct {
	Host    Host
	Keys    map[string]string // selectors with the states of their keys; each key is its own
	Policy  string            // that is served; "" = that of the domain
	Ports   map[string]string // by the name of a listener, or HOST:PORT: what is said there first; "closed" = nobody listens
	Name    string            // of the certificate there
	Options struct {
		Loop     bool
		Insecure bool // no zone is signed
		Offline  bool // nobody can be asked
		Broken   bool // the resolver answers nothing
	}
}

// keyText is the record of a key of a selector.
func keyText(selector string) string {
	return "v=DKIM1; k=ed25519; p=" + map[string]string{
		"rsa": "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=",
		"ed":  "Qs5W5K7JRp9kg0AfcVdDOT0dl+vzXBJ8hRU3M4QE7Q4=",
		"new": "O2onvM62pC1io6jQKm8Nc2UyFXcd4kOmOsBIoYtZ2ik=",
	}[selector]
}

const soundPolicy = "version: STSv1\r\nmode: enforce\r\nmx: mail.example.org\r\nmax_age: 86400\r\n"

// soundWorld is one where nothing is wrong.
func soundWorld() world {
	return world{
		Host: Host{
			Name: "mail.example.org", Version: "1.0", Running: true,
			Addresses: []netip.Addr{netip.MustParseAddr("198.51.100.7"), netip.MustParseAddr("2001:db8::7")},
			Sending:   []netip.Addr{netip.MustParseAddr("198.51.100.7"), netip.MustParseAddr("2001:db8::7")},
			TLSA:      []string{"3 1 1 00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"}, Issuer: "letsencrypt.org",
			Certificates: []Certificate{{Name: "mail.example.org", Issuer: "R11", NotAfter: statesNow.AddDate(0, 0, 60)}},
			Listeners: []Listener{{"smtp", "127.0.0.1:25"}, {"submissions", "127.0.0.1:465"}, {"imap", "127.0.0.1:143"}, {"imaps", "127.0.0.1:993"},
				{"pop3", "127.0.0.1:110"}, {"http", "127.0.0.1:80"}, {"https", "127.0.0.1:443"}},
			Clock:  Clock{Known: true, Synchronised: true},
			Disk:   Disk{true, 50e9, 80e9, []Sample{{statesNow.AddDate(0, 0, -20), 1e9}, {statesNow, 2e9}}},
			Memory: Memory{true, 300e6, 500e6, 40e6}, Files: Files{true, 40, 65536},
			Backup: Backup{statesNow.AddDate(0, 0, -1)}, Queue: Queue{Entries: 2, Oldest: time.Hour},
		},
		Keys: map[string]string{"rsa": "signing", "ed": "signing"}, Name: "mail.example.org",
	}
}

// domain is the one of a world, with what `domain show` proposes.
func (w *world) domain() Domain {
	const name = "example.org"
	d := Domain{Name: name, Policy: soundPolicy, Ours: func(d string) bool { return d == name }}
	d.Records = []Record{
		{Name: name, Type: "MX", Text: "10 mail.example.org."}, {Name: name, Type: "TXT", Text: "v=spf1 mx ~all"},
		{Name: "_dmarc." + name, Type: "TXT", Text: "v=DMARC1; p=none; rua=mailto:postmaster@example.org"},
		{Name: "_smtp._tls." + name, Type: "TXT", Text: "v=TLSRPTv1; rua=mailto:postmaster@example.org"},
		{Name: "_mta-sts." + name, Type: "TXT", Text: "v=STSv1; id=20261122;"},
		{Name: "_ua-auto-config." + name, Type: "TXT", Text: "v=UAAC1; a=sha256; d=abc"},
		{Name: "_imaps._tcp." + name, Type: "SRV", Text: "0 1 993 mail.example.org."},
		{Name: "_submissions._tcp." + name, Type: "SRV", Text: "0 1 465 mail.example.org."},
	}
	for _, role := range []string{"autoconfig", "autodiscover", "ua-auto-config", "mta-sts"} {
		d.Records = append(d.Records, Record{Name: role + "." + name, Type: "CNAME", Text: "mail.example.org."})
	}
	for _, selector := range []string{"rsa", "ed", "new"} {
		if state := w.Keys[selector]; state != "" {
			d.Keys = append(d.Keys, Key{Record{Name: selector + "._domainkey." + name, Type: "TXT", Text: keyText(selector)}, state})
		}
	}
	return d
}

// peer is what answers at an address of a world; it ends with the test.
func (w *world) peer(t *testing.T, certificate tls.Certificate) func(context.Context, string, string) (net.Conn, error) {
	return func(_ context.Context, _, address string) (net.Conn, error) {
		name := ""
		for _, l := range w.Host.Listeners {
			if l.Address == address {
				name = l.Name
			}
		}
		said, given := w.Ports[name]
		if name == "" {
			said, given = w.Ports[address]
			name = "smtp"
		}
		if said == "closed" {
			return nil, &net.OpError{Op: "dial", Net: "tcp", Err: errors.New("connection refused")}
		}
		if !given {
			said = dialogues[name].greeting
		}
		ours, theirs := net.Pipe()
		t.Cleanup(func() { theirs.Close() })
		go answerAs(theirs, dialogues[name], said, w.Ports["RCPT"], certificate)
		return ours, nil
	}
}

// answerAs plays a server until its client goes.
func answerAs(conn net.Conn, d dialogue, greeting, refusal string, certificate tls.Certificate) {
	defer conn.Close()
	config := &tls.Config{Certificates: []tls.Certificate{certificate}}
	if d.implicit {
		conn = tls.Server(conn, config)
	}
	if greeting != "" {
		fmt.Fprintf(conn, "%s server\r\n", greeting)
	}
	buffer := make([]byte, 4096)
	for {
		n, err := conn.Read(buffer)
		if err != nil {
			return
		}
		switch command := strings.TrimSpace(string(buffer[:n])); {
		case command == "a STARTTLS":
			fmt.Fprint(conn, "* CAPABILITY IMAP4rev1\r\na OK go\r\n")
			conn = tls.Server(conn, config)
		case command == "STLS":
			fmt.Fprint(conn, "+OK\r\n")
			conn = tls.Server(conn, config)
		case command == "STARTTLS":
			fmt.Fprint(conn, "220 go\r\n")
			conn = tls.Server(conn, config)
		case strings.HasPrefix(command, "EHLO"):
			fmt.Fprint(conn, "250-mail\r\n250 STARTTLS\r\n")
		case strings.HasPrefix(command, "RCPT") && refusal != "":
			fmt.Fprintf(conn, "%s\r\n", refusal)
		default:
			fmt.Fprint(conn, "250 ok\r\n")
		}
	}
}

// certificateOf is one that nobody has signed.
func certificateOf(t *testing.T, name string) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{name}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// policy is what a fetch of the policy gives in a world.
func (w *world) policy(context.Context, string) (mtasts.Policy, error) {
	switch w.Policy {
	case "":
		return mtasts.Parse(soundPolicy)
	case "404":
		return mtasts.Policy{}, fmt.Errorf("%w: %q", mtasts.ErrStatus, "404 Not Found")
	case "certificate":
		return mtasts.Policy{}, &tls.CertificateVerificationError{Err: x509.HostnameError{Certificate: &x509.Certificate{DNSNames: []string{"other.example"}}, Host: "mta-sts.example.org"}}
	case "timeout":
		return mtasts.Policy{}, context.DeadlineExceeded
	}
	return mtasts.Parse(strings.ReplaceAll(w.Policy, "\n", "\r\n"))
}

// state is one of the files: what is otherwise than where nothing is wrong, and what comes out.
type state struct {
	name, why string
	zone      string
	world     world
	want      string
}

// readState reads a file. Behind the first line, which says what is tried, are changes of the zone (- a beginning of lines that go,
// + a line that comes), then JSON of what else is otherwise, then behind a line of = what comes out.
func readState(t *testing.T, file, zone string) state {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	s := state{name: strings.TrimSuffix(filepath.Base(file), ".txt"), world: soundWorld()}
	given, want, _ := strings.Cut(string(text), "\n=\n")
	s.want = want
	var facts strings.Builder
	for i, line := range strings.Split(given, "\n") {
		switch {
		case i == 0:
			s.why = line
		case strings.HasPrefix(line, "- "):
			before := zone
			zone = without(zone, line[2:])
			if before == zone {
				t.Fatalf("%s: no line of the zone begins with %q", file, line[2:])
			}
		case strings.HasPrefix(line, "+ "):
			zone += line[2:] + "\n"
		default:
			facts.WriteString(line + "\n")
		}
	}
	s.zone = zone
	if text := strings.TrimSpace(facts.String()); text != "" {
		d := json.NewDecoder(strings.NewReader(text))
		d.DisallowUnknownFields()
		if err := d.Decode(&s.world); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
	}
	return s
}

// without is a zone without the lines that begin so.
func without(zone, start string) string {
	var kept strings.Builder
	for line := range strings.Lines(zone) {
		if !strings.HasPrefix(line, start) {
			kept.WriteString(line)
		}
	}
	return kept.String()
}

// TestStates: in each state of wrongness what is wrong is named with its remedy, and nothing else; where nothing is wrong all
// checks say so. -write-states writes what comes out.
func TestStates(t *testing.T) {
	zone, err := os.ReadFile("testdata/sound.zone")
	if err != nil {
		t.Fatal(err)
	}
	sound := string(zone)
	for _, selector := range []string{"rsa", "ed"} {
		sound += mailauth.ZoneRecord(selector+"._domainkey.example.org", keyText(selector)) + "\n"
	}
	names, err := filepath.Glob("testdata/states/*.txt")
	if err != nil || len(names) < 25 {
		t.Fatalf("%d states, %v", len(names), err)
	}
	for i, name := range names {
		if testing.Short() && i%4 != 0 && !strings.HasSuffix(name, "sound.txt") {
			continue // under the race detector some of them do
		}
		s := readState(t, name, sound)
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			results, err := Run(t.Context(), s.options(t))
			if err != nil {
				t.Fatal(err)
			}
			all := s.name == "sound"
			var shown []Result
			for _, r := range results {
				if all && r.State != OK || r.State == Wrong && (r.Why == "" || r.Remedy == "") {
					t.Errorf("%+v", r)
				}
				if all || r.State != OK {
					shown = append(shown, r)
				}
			}
			var b strings.Builder
			if err := Print(&b, shown, true); err != nil {
				t.Fatal(err)
			}
			got := resolverPort.ReplaceAllString(b.String(), "RESOLVER")
			if *writeStates {
				s.write(t, name, got)
			} else if got != s.want {
				t.Errorf("%s\nprinted\n%s\nwant\n%s", s.why, got, s.want)
			}
		})
	}
}

func (s *state) write(t *testing.T, file, got string) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err == nil {
		given, _, _ := strings.Cut(string(text), "\n=\n")
		err = os.WriteFile(file, []byte(strings.TrimRight(given, "\n")+"\n=\n"+got), 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// options are those of a round in a state.
func (s *state) options(t *testing.T) Options {
	t.Helper()
	server := dnstest.New(t, s.zone)
	server.SetAuthentic(!s.world.Options.Insecure)
	o := dns.Options{Servers: []string{server.Addr()}}
	if s.world.Options.Offline {
		o.Servers = nil
	}
	if s.world.Options.Broken {
		server.SetFault("ietf.org", dnstest.Fault{ServFail: true})
	}
	resolver, err := dns.New(o)
	if err != nil {
		t.Fatal(err)
	}
	dial := s.world.peer(t, certificateOf(t, s.world.Name))
	return Options{
		Host: s.world.Host, Domains: []Domain{s.world.domain()}, Loop: s.world.Options.Loop, Resolver: resolver, Dial: dial, DialWorld: dial,
		Policy: s.world.policy, Now: func() time.Time { return statesNow }, Timeout: time.Minute, // nothing here depends on the time of a busy machine
	}
}
