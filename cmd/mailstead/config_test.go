package main

import (
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"mailstead/smtp"
)

// parseConfig reads the text of a configuration file.
func parseConfig(text string) (settings, error) {
	s, all := parseSettings([]byte(text))
	if len(all) > 0 {
		return settings{}, all
	}
	return s, nil
}

func TestParseConfig(t *testing.T) {
	const host = `hostname = "mail.example.test"` + "\n"
	for _, c := range []struct {
		name, text string
		wrong      string            // in the error; "" is none
		change     func(s *settings) // from the defaults with host
	}{
		{"the least", host, "", func(*settings) {}},
		{"all", host + `
			dir = "/srv/mail"
			certificate = "/c.pem"
			key = "/k.pem"
			acme_email = "admin@example.test"
			acme_directory = "https://ca.test/dir"
			acme_ca_file = "/ca.pem"
			acme_eab_key_id = "id"
			acme_eab_key_file = "/eab"
			acme_dns_server = "ns.example.test:53"
			acme_dns_key_file = "/tsig"
			public_addresses = ["192.0.2.9"]
			resolvers = ["192.0.2.1:53", "[2001:db8::1]:5353"]
			mx_port = 2525
			max_message_size = 1000000
			sessions_per_account = 0
			quota = "5GB"
			mta_sts = "enforce"
			trusted_relays = ["192.0.2.7", "2001:db8:1::/48"]
			proxy_from = ["10.0.0.5", "2001:db8:2::/64"]
			dns_lists = ["bad.example.test"]
			dns_allow_lists = ["good.example.test=127.0.0.2"]
			greylist = true
			metrics_from = ["10.1.2.0/24"]
			[strangers]
			hourly_messages = 1
			network_share = 1000000
			[overrides]
			"news.example.test" = "junk"
			[listen]
			metrics = ["10.1.2.3:9125"]
			smtp = ["192.0.2.1:25", "[2001:db8::1]:25"]
			pop3 = []`, "", func(s *settings) {
			s.Dir, s.Certificate, s.Key = "/srv/mail", "/c.pem", "/k.pem"
			s.ACMEEmail, s.ACMEDirectory, s.ACMECAFile = "admin@example.test", "https://ca.test/dir", "/ca.pem"
			s.ACMEEABKeyID, s.ACMEEABKeyFile, s.ACMEDNSServer, s.ACMEDNSKeyFile = "id", "/eab", "ns.example.test:53", "/tsig"
			s.PublicAddresses = []string{"192.0.2.9"}
			s.Resolvers = []string{"192.0.2.1:53", "[2001:db8::1]:5353"}
			s.MXPort, s.MaxMessageSize, s.SessionsPerAccount, s.Quota = 2525, 1000000, 0, "5GB"
			s.TrustedRelays, s.ProxyFrom = []string{"192.0.2.7", "2001:db8:1::/48"}, []string{"10.0.0.5", "2001:db8:2::/64"}
			s.DNSLists, s.DNSAllowLists = []string{"bad.example.test"}, []string{"good.example.test=127.0.0.2"}
			s.Greylist, s.MTASTS = true, "enforce"
			s.MetricsFrom, s.Listen.Metrics = []string{"10.1.2.0/24"}, []string{"10.1.2.3:9125"}
			s.Strangers.HourlyMessages, s.Strangers.NetworkShare = 1, 1000000
			s.Overrides = map[string]string{"news.example.test": "junk"}
			s.Listen.SMTP, s.Listen.POP3 = []string{"192.0.2.1:25", "[2001:db8::1]:25"}, []string{}
		}},
		{"no resolver is not the system's", host + "resolvers = []", "", func(s *settings) { s.Resolvers = []string{} }},
		{"a slip of the finger", host + "\nresolver = []", "line 3, column 1: unknown setting resolver; did you mean resolvers?", nil},
		{"a slip in a table", host + "[listen]\nsmpt = []", "line 3, column 1: unknown setting listen.smpt; did you mean listen.smtp?", nil},
		{"no TOML", host + "dir = \n", "line 2, column 7: ", nil},
		{"a number for a text", "hostname = 1", "line 1, column 12: hostname: ", nil},
		{"twice", host + host, "hostname", nil},
		{"empty", "", "hostname must be set", nil},
		{"a name with a space", `hostname = "mail example"`, "hostname must be set", nil},
		{"a name that would end a line", `hostname = "mail\r\nx"`, "hostname must be set", nil},
		{"no folder", host + `dir = ""`, "dir must not be empty", nil},
		{"a certificate without key", host + `certificate = "/c.pem"`, "certificate and key", nil},
		{"a key without certificate", host + `key = "/k.pem"`, "certificate and key", nil},
		{"a contact without @", host + `acme_email = "admin"`, "acme_email must be", nil},
		{"an authority without TLS", host + `acme_directory = "http://ca.test/"`, "acme_directory must be an https URL", nil},
		{"half an account", host + `acme_eab_key_id = "id"`, "acme_eab_key_id and acme_eab_key_file", nil},
		{"a key for no server", host + `acme_dns_key_file = "/tsig"`, "acme_dns_key_file is for", nil},
		{"a DNS server without port", host + `acme_dns_server = "ns.test"`, "acme_dns_server:", nil},
		{"no way to be found", host + "acme_email = \"a@b.test\"\n[listen]\nhttp = []\nhttps = []", "acme_email needs", nil},
		{"a public name", host + `public_addresses = ["mail.test"]`, "public_addresses:", nil},
		{"port 0", host + "mx_port = 0", "mx_port", nil},
		{"port 65536", host + "mx_port = 65536", "mx_port", nil},
		{"small messages only", host + "max_message_size = 65535", "max_message_size", nil},
		{"no retention in negative days", host + "retention_days = -1", "retention_days", nil},
		{"an administrator without scheme", host + `admin = "postmaster"`, "admin", nil},
		{"a mode that is none", host + `mta_sts = "off"`, "mta_sts must be", nil},
		{"eternal retention", host + "retention_days = 3651", "retention_days", nil},
		{"huge messages", host + "max_message_size = 1073741825", "max_message_size", nil},
		{"fewer than no sessions", host + "sessions_per_account = -1", "sessions_per_account", nil},
		{"a quota of no size", host + `quota = "much"`, `quota: "much" is no size`, nil},
		{"a proxy by name", host + `proxy_from = ["proxy.example.test"]`, `proxy_from: "proxy.example.test" is no address`, nil},
		{"a relay by name", host + `trusted_relays = ["mx.example.test"]`, `trusted_relays: "mx.example.test" is no address`, nil},
		{"a list of nothing", host + `dns_lists = [""]`, "dns_lists: not a DNS list", nil},
		{"a list of good ones with wrong answers", host + `dns_allow_lists = ["a.test=192.0.2.0/24"]`, "dns_allow_lists: not a DNS list", nil},
		{"strangers without limit", host + "[strangers]\nhourly_errors = 0", "strangers.hourly_errors must be 1 to 1000000", nil},
		{"very many strangers", host + "[strangers]\nnetwork_connections = 1000001", "strangers.network_connections must be 1 to 1000000", nil},
		{"an override to nothing", host + "[overrides]\n\"a.test\" = \"drop\"", "the action for a.test must be accept, junk or refuse", nil},
		{"a resolver by name", host + `resolvers = ["ns.example.test:53"]`, `"ns.example.test:53" is not IP:PORT`, nil},
		{"a resolver without port", host + `resolvers = ["192.0.2.1"]`, `"192.0.2.1" is not IP:PORT`, nil},
		{"a listener without port", host + "[listen]\nimaps = [\"127.0.0.1\"]", `listen.imaps: "127.0.0.1" is not HOST:PORT`, nil},
		{"metrics for everybody", host + "[listen]\nmetrics = [\":9125\"]", `listen.metrics: ":9125" is not on the loopback interface`, nil},
		{"metrics for the network", host + "[listen]\nmetrics = [\"127.0.0.1:1\", \"192.0.2.1:1\"]", `listen.metrics: "192.0.2.1:1" is not on`, nil},
		{"metrics for a name", host + "metrics_from = [\"localnet\"]", "metrics_from: ", nil},
		{"metrics for this machine", host + "[listen]\nmetrics = [\"127.0.0.9:1\", \"[::1]:1\", \"localhost:1\"]", "", func(s *settings) {
			s.Listen.Metrics = []string{"127.0.0.9:1", "[::1]:1", "localhost:1"}
		}},
		{"two mistakes are both told", "mx_port = 0", "mx_port", nil},
		{"NUL", host + "\x00", "", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := parseConfig(c.text)
			if c.change == nil {
				if err == nil || !strings.Contains(err.Error(), c.wrong) {
					t.Errorf("error %v, want %q in it", err, c.wrong)
				}
				return
			}
			want := defaultSettings()
			want.Hostname = "mail.example.test"
			c.change(&want)
			if err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("%+v, %v\nwant %+v", got, err, want)
			}
		})
	}
}

// FuzzParseConfig: whatever stands in the file, what comes out passes its own checks.
func FuzzParseConfig(f *testing.F) {
	f.Add("hostname = \"mail.example.test\"\nresolvers = []\n[listen]\nsmtp = [\":25\"]\n")
	f.Add("hostname = \"a\"\nhostname = \"b\"")
	f.Add("[listen]\n[listen]")
	f.Add("a.b.c = [[[1]]]")
	f.Add("max_message_size = 1e9")
	f.Fuzz(func(t *testing.T, text string) {
		s, err := parseConfig(text)
		if err == nil && s.check() != nil {
			t.Errorf("accepted %+v, although %v", s, s.check())
		}
	})
}

func TestParseResolvConf(t *testing.T) {
	for text, want := range map[string][]string{
		"nameserver 192.0.2.1\nnameserver 2001:db8::1\n":                           {"192.0.2.1:53", "[2001:db8::1]:53"},
		"# nameserver 192.0.2.1\nsearch example.test\n\tnameserver\t192.0.2.2 # x": {"192.0.2.2:53"},
		"nameserver fe80::1%eth0":                                                  {"[fe80::1%eth0]:53"},
		"nameserver ns.example.test\nnameserver\n":                                 {"127.0.0.1:53"},
		"": {"127.0.0.1:53"}, // resolv.conf(5): without one it is the local machine's
	} {
		if got := parseResolvConf(strings.NewReader(text)); !slices.Equal(got, want) {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

// TestStrangersAsDocumented: the defaults of the file are those of the server, and each
// setting reaches the limit that it is called after.
func TestStrangersAsDocumented(t *testing.T) {
	s := settings{Strangers: strangerLimits{1, 2, 3, 4, 5, 6}}
	want := smtp.Limits{HourlyConnections: 1, HourlyMessages: 2, HourlyUnknown: 3, HourlyErrors: 4, NetworkShare: 5, ConnectionsPerNetwork: 6}
	if got := s.limits(); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	s = defaultSettings()
	if got, want := s.limits(), (smtp.Limits{MessageSize: s.MaxMessageSize, ConnectionsPerAccount: s.SessionsPerAccount}); got.WithDefaults() != want.WithDefaults() {
		t.Errorf("%+v, the server's own are %+v", got.WithDefaults(), want.WithDefaults())
	}
}

func TestReadConfig(t *testing.T) {
	name := filepath.Join(t.TempDir(), "mailstead.toml")
	if _, err := readConfig(name); err == nil || !strings.Contains(err.Error(), name) {
		t.Errorf("a file that is not there: %v", err)
	}
	if err := os.WriteFile(name, []byte("hostname = 1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := readConfig(name); err == nil || !strings.Contains(err.Error(), name) {
		t.Errorf("a file with a mistake: %v", err)
	}
	if err := os.WriteFile(name, []byte("hostname = \"a.test\"\ndir = \"/x\"\nresolvers = []\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if s, err := readConfig(name); err != nil || s.Dir != "/x" || s.Resolvers == nil {
		t.Errorf("%+v, %v", s, err)
	}
}
