package main

import (
	"bufio"
	"fmt"
	"io"
	"net/netip"
	"os"
	"strings"
	"time"

	"mailstead/cmd/internal/declared"
	"mailstead/cmd/internal/tomlfile"
	"mailstead/mailbox"
	"mailstead/smtp"
	"mailstead/smtp/keyring"
	"mailstead/smtp/mtasts"
)

// settings are what the wiring in serve.go is told. `serve` reads them from
// its configuration file, `local` makes them up.
type settings struct {
	// Hostname is the server's own name: in greetings, trace headers and
	// notices, and what its certificate is for. Required.
	Hostname string `toml:"hostname"`
	// Dir is the folder of all that the server keeps. Default /var/lib/mailstead.
	Dir string `toml:"dir"`
	// User is who a server that was started as root becomes once its ports are open. Default "": it stays who it is.
	User string `toml:"user"`
	// Listen are the addresses of the listeners.
	Listen listen `toml:"listen"`
	// Certificate and Key are PEM files of the operator's certificate; they are
	// read again when they change. Without them the certificate is self-signed.
	Certificate string `toml:"certificate"`
	Key         string `toml:"key"`
	// ACMEEmail has certificates fetched for all names that lead here; it is the contact that the authority is
	// told, and setting it agrees to the authority's terms. Default "": none are fetched.
	ACMEEmail string `toml:"acme_email"`
	// ACMEDirectory is the URL of an authority's directory. Default "": that of Let's Encrypt.
	ACMEDirectory string `toml:"acme_directory"`
	// ACMECAFile is a PEM file with who has signed the certificate of the authority's own server.
	// Default "": one of those that the system trusts.
	ACMECAFile string `toml:"acme_ca_file"`
	// ACMEEABKeyID and ACMEEABKeyFile, which has the key in base64url, are of an account with the
	// authority from elsewhere. Default "": none is needed.
	ACMEEABKeyID   string `toml:"acme_eab_key_id"`
	ACMEEABKeyFile string `toml:"acme_eab_key_file"`
	// ACMEDNSServer, HOST:PORT, takes dynamic updates of our zones, and ACMEDNSKeyFile, as tsig-keygen(8) writes it,
	// signs them: names are proven by them instead of by HTTP and TLS. Default "": they are not.
	ACMEDNSServer  string `toml:"acme_dns_server"`
	ACMEDNSKeyFile string `toml:"acme_dns_key_file"`
	// PublicAddresses are IP addresses under which the world reaches this machine and which it does not have itself.
	// Default: none; if the machine has no public one, what the hostname leads to.
	PublicAddresses []string `toml:"public_addresses"`
	// Resolvers are DNS servers, IP:PORT. Absent: those of /etc/resolv.conf. An
	// empty list: no name is looked up, and mail to other domains waits.
	Resolvers []string `toml:"resolvers"`
	// MXPort is the port of other domains' mail servers. Default 25.
	MXPort int `toml:"mx_port"`
	// MaxMessageSize is in octets. Default 52428800 (50 MiB).
	MaxMessageSize int64 `toml:"max_message_size"`
	// SessionsPerAccount is how many IMAP sessions, and as many POP3 and
	// submission ones, an account may have. Default 100; 0 = any number.
	SessionsPerAccount int `toml:"sessions_per_account"`
	// Quota is how many octets accounts that are added may hold, as declared.ParseOctets
	// reads it. Default "": no limit.
	Quota string `toml:"quota"`
	// RetentionDays is for how many days deleted messages, mailboxes and accounts
	// can be restored. Default 7; 0 = not at all.
	RetentionDays int `toml:"retention_days"`
	// DelayNotice is after how many hours of trying senders hear that their mail takes long. Default 4.
	DelayNotice int `toml:"delay_notice"`
	// TrustedRelays are addresses and networks of hosts that hand mail on to us.
	// Default: none.
	TrustedRelays []string `toml:"trusted_relays"`
	// ProxyFrom are addresses and networks of proxies in front of this server: their connections, to all ports, begin with the
	// PROXY protocol, and have the address of their client. Default: none.
	ProxyFrom []string `toml:"proxy_from"`
	// DNSLists and DNSAllowLists are lists of clients, as mailauth.ParseDNSList
	// reads them: of those whose mail is refused, and of those that are trusted.
	// Default: none.
	DNSLists      []string `toml:"dns_lists"`
	DNSAllowLists []string `toml:"dns_allow_lists"`
	// Greylist lets suspicious strangers come twice. Default: no.
	Greylist bool `toml:"greylist"`
	// Strangers is how much hosts may do that have not logged in.
	Strangers strangerLimits `toml:"strangers"`
	// Overrides are what is done with mail in a domain's name: accept, junk or
	// refuse. Default: none.
	Overrides map[string]string `toml:"overrides"`
	// SendReports tells other domains that ask for it, once a day, how mail in their name was proven, and how connections to
	// their servers were encrypted. Default true; where nothing is looked up nothing is sent.
	SendReports bool `toml:"send_reports"`
	// MTASTS is the mode of our domains' policies for other servers: testing, enforce or none (RFC 8461 section 5). Default testing.
	MTASTS string `toml:"mta_sts"`
	// MetricsFrom are networks that may ask Listen.Metrics, beside this machine. Default: none.
	MetricsFrom []string `toml:"metrics_from"`
	// Admin is a URI by which users reach the administrator, for mail programs that
	// ask (RFC 5464 section 3.2.1.1). Default "": they are not told.
	Admin string `toml:"admin"`

	local  bool // cleartext passwords are accepted, and the certificate is of our own CA
	errand bool // the store is opened for one action: nothing is purged, whatever RetentionDays

	// How often an authority is asked how far it is, and how long is waited after a change of the DNS. 0 = tls's defaults.
	acmePoll, acmeDelay time.Duration
	// How long is waited between the steps of an exchange of keys for DKIM; zeros are keyring's defaults, and queue.Lifetime.
	keyTimes keyring.Times
}

// listen are the addresses of the listeners, HOST:PORT; an empty host is every
// address. An empty list switches a listener off.
type listen struct {
	SMTP        []string `toml:"smtp"`        // mail from other servers. Default [":25"]
	Submission  []string `toml:"submission"`  // mail of our users, STARTTLS. Default [":587"]
	Submissions []string `toml:"submissions"` // the same, implicit TLS. Default [":465"]
	IMAP        []string `toml:"imap"`        // STARTTLS. Default [":143"]
	IMAPS       []string `toml:"imaps"`       // implicit TLS. Default [":993"]
	POP3        []string `toml:"pop3"`        // STLS. Default [":110"]
	POP3S       []string `toml:"pop3s"`       // implicit TLS. Default [":995"]
	HTTP        []string `toml:"http"`        // for certificates, and redirects. Default [":80"]
	HTTPS       []string `toml:"https"`       // settings for mail programs. Default [":443"]
	Metrics     []string `toml:"metrics"`     // figures for Prometheus, on loopback unless metrics_from is set. Default: none
}

// strangerLimits are those of hosts that send mail from outside, except where nothing is
// looked up. Hourly ones are of an address: of an IPv4 address, or an IPv6 /64. Each is 1 to
// maxStrangers.
type strangerLimits struct {
	HourlyConnections       int `toml:"hourly_connections"`        // default 1000
	HourlyMessages          int `toml:"hourly_messages"`           // default 1000
	HourlyUnknownRecipients int `toml:"hourly_unknown_recipients"` // then answers are slow, and from four times as many on there are none; default 20
	HourlyErrors            int `toml:"hourly_errors"`             // replies of 5xx; default 300
	// NetworkShare is how many times that a whole network may do, an IPv4 /24 or an IPv6 /48. Default 4.
	NetworkShare int `toml:"network_share"`
	// NetworkConnections is how many connections a network may have at a time. Default 160.
	NetworkConnections int `toml:"network_connections"`
}

// maxStrangers is the largest limit of strangers: more than one host could do here in an hour.
const maxStrangers = 1_000_000

// limits are those of a protocol server of ours for SMTP.
func (s *settings) limits() smtp.Limits {
	return smtp.Limits{
		MessageSize: s.MaxMessageSize, ConnectionsPerAccount: s.SessionsPerAccount,
		HourlyConnections: s.Strangers.HourlyConnections, HourlyMessages: s.Strangers.HourlyMessages,
		HourlyUnknown: s.Strangers.HourlyUnknownRecipients, HourlyErrors: s.Strangers.HourlyErrors,
		NetworkShare: s.Strangers.NetworkShare, ConnectionsPerNetwork: s.Strangers.NetworkConnections,
	}
}

const (
	defaultConfig     = "/etc/mailstead/mailstead.toml"
	maxConfig         = 1 << 20 // octets of a configuration file; nobody's is larger by intent
	systemResolvers   = "/etc/resolv.conf"
	defaultMaxMessage = 50 << 20
	maxRetentionDays  = 3650 // what is to be kept for longer is better not deleted
)

// defaultSettings are the settings of an empty configuration file.
func defaultSettings() settings {
	return settings{
		Dir: "/var/lib/mailstead",
		Listen: listen{
			SMTP: []string{":25"}, Submission: []string{":587"}, Submissions: []string{":465"},
			IMAP: []string{":143"}, IMAPS: []string{":993"}, POP3: []string{":110"}, POP3S: []string{":995"},
			HTTP: []string{":80"}, HTTPS: []string{":443"},
		},
		MXPort:             25,
		MaxMessageSize:     defaultMaxMessage,
		SessionsPerAccount: 100,
		RetentionDays:      7,
		DelayNotice:        4,
		SendReports:        true,
		MTASTS:             string(mtasts.Testing),
		Strangers: strangerLimits{
			HourlyConnections: 1000, HourlyMessages: 1000, HourlyUnknownRecipients: 20, HourlyErrors: 300,
			NetworkShare: 4, NetworkConnections: 160,
		},
	}
}

// retention is RetentionDays as the store takes it.
func (s *settings) retention() time.Duration {
	switch {
	case s.errand:
		return mailbox.KeepDeleted
	case s.RetentionDays == 0:
		return -1
	}
	return time.Duration(s.RetentionDays) * 24 * time.Hour
}

// readConfig reads a configuration file. Resolvers that are not set stay nil.
func readConfig(name string) (settings, error) {
	data, err := readConfigFile(name)
	if err != nil {
		return settings{}, err
	}
	s, all := parseSettings(data)
	if len(all) > 0 {
		return settings{}, fmt.Errorf("configuration %s: %w", name, all)
	}
	return s, nil
}

// readConfigFile reads the text of a configuration file.
func readConfigFile(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxConfig+1))
	if err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	if len(data) > maxConfig {
		return nil, fmt.Errorf("configuration %s: it is larger than %d octets", name, maxConfig)
	}
	return data, nil
}

// parseSettings reads settings and checks them. A key that is not known is a fault: most often it is a known one with a slip of
// the finger. With faults the settings are not to be used.
func parseSettings(data []byte) (settings, tomlfile.Faults) {
	s := defaultSettings()
	all, filled := tomlfile.Decode(data, &s, nearest)
	if !filled {
		return s, all
	}
	all = append(all, s.checkAll()...)
	all.Locate(data)
	return s, all.InOrder()
}

// newAccountQuota is what accounts that are added may hold.
func (s *settings) newAccountQuota() (q mailbox.Quota, err error) {
	if s.Quota != "" {
		q.Storage, err = declared.ParseOctets(s.Quota)
	}
	return q, err
}

// endpoint is one kind of listener.
type endpoint struct {
	name      string
	addresses []string
}

func (l listen) all() []endpoint {
	return []endpoint{
		{"smtp", l.SMTP}, {"submission", l.Submission}, {"submissions", l.Submissions},
		{"imap", l.IMAP}, {"imaps", l.IMAPS}, {"pop3", l.POP3}, {"pop3s", l.POP3S},
		{"http", l.HTTP}, {"https", l.HTTPS}, {metricsName, l.Metrics},
	}
}

// readResolvConf finds the system's DNS servers.
func readResolvConf(name string) ([]string, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("the system's resolvers: %w", err)
	}
	defer f.Close()
	return parseResolvConf(f), nil
}

// parseResolvConf reads the nameserver lines of resolv.conf(5). Without any, the
// local machine is meant.
func parseResolvConf(r io.Reader) []string {
	var servers []string
	for lines := bufio.NewScanner(io.LimitReader(r, maxConfig)); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		if len(fields) < 2 || fields[0] != "nameserver" {
			continue
		}
		if ip, err := netip.ParseAddr(fields[1]); err == nil {
			servers = append(servers, netip.AddrPortFrom(ip, 53).String())
		}
	}
	if len(servers) == 0 {
		servers = []string{"127.0.0.1:53"}
	}
	return servers
}
