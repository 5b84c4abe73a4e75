package main

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"mailstead/smtp/mailauth"
	"mailstead/smtp/mtasts"
	"mailstead/smtp/queue"
)

// tableDoc is what mailstead.toml(5) says above the settings of a table.
var tableDoc = map[string]string{
	"listen": "has the addresses of the listeners, each a list of HOST:PORT.\n" +
		"An empty host is every address of the machine, an empty list switches a listener off.",
	"strangers": "has how much hosts may do that send mail from outside; each number is 1 to 1000000.\n" +
		"What they did is forgotten evenly over an hour, so that a limit is how much fits into an hour in the long run, and at once at most.\n" +
		"Hosts are counted by their IPv4 address or their IPv6 /64.\n" +
		"Nothing of it is kept over a restart, this machine's own programs and trusted relays are not counted, and nobody is where no name is looked up.",
}

// settingTable has every setting, in the order in which people read of them.
func settingTable() []setting {
	return slices.Concat(serverSettings(), certificateSettings(), networkSettings(), limitSettings(), judgingSettings(), tellingSettings(), listenSettings(), strangerSettings())
}

func serverSettings() []setting {
	return []setting{
		{
			name: "hostname", kind: "string", fixed: true, example: `hostname = "mail.example.org"`,
			doc: "The server's own name, like mail.example.org: in greetings, in trace headers and in notices, and what its certificate is for.\n" +
				"It should be what the address of the machine resolves to.",
			check: func(s *settings) error {
				if s.Hostname == "" || strings.ContainsFunc(s.Hostname, func(r rune) bool { return r <= ' ' || r > '~' }) {
					return errors.New("hostname must be set to the server's own name, like mail.example.org")
				}
				return nil
			},
		},
		{
			name: "dir", kind: "string", fixed: true, example: `dir = "/srv/mail"`,
			doc: "Folder of all that the server keeps.",
			check: func(s *settings) error {
				if s.Dir == "" {
					return errors.New("dir must not be empty")
				}
				return nil
			},
		},
		{
			name: "user", kind: "string", fixed: true, example: `user = "mailstead"`,
			none: "it stays who it is",
			doc: "Who a server that was started as root becomes once its ports are open; see Ports and privileges in\n" +
				"mailstead(1).",
		},
	}
}

func certificateSettings() []setting {
	return []setting{
		{name: "certificate", kind: "string", example: `certificate = "/etc/letsencrypt/live/mail.example.org/fullchain.pem"`, check: func(s *settings) error {
			return together(s.Certificate, s.Key, "certificate and key belong together")
		}},
		{
			name: "key", kind: "string", example: `key = "/etc/letsencrypt/live/mail.example.org/privkey.pem"`,
			doc: "PEM files of a certificate, with its chain, and of its key.\n" +
				"They belong together and are read again when they change.\n" +
				"They are for the names that they have, and for whoever asks for none; other names get what `acme_email` brings.",
		},
		{
			name: "acme_email", kind: "string", fixed: true, example: `acme_email = "admin@example.org"`,
			none: "none are fetched; the server makes a certificate of its own, with which mail arrives and which mail programs warn of",
			doc: "Has certificates fetched from an authority, and renewed, for the hostname and for all domains, each with mail, autoconfig, autodiscover, ua-auto-config and mta-sts in front: one certificate for each name, as soon as the name leads to this machine.\n" +
				"The authority is told this address, and setting it agrees to the authority's terms.\n" +
				"It looks at port 80 or 443 of the name to see that it is ours; one of both is enough.\n" +
				"Where another web server has them, let it pass connections for these names on to `listen.https` without opening them, by their server name (SNI), or set `acme_dns_server` .",
			check: (*settings).checkACMEEmail,
		},
		{
			name: "acme_directory", kind: "string", fixed: true, none: "that of Let's Encrypt", example: `acme_directory = "https://acme.zerossl.com/v2/DV90"`,
			doc: "The https URL of another authority's directory.",
			check: func(s *settings) error {
				if s.ACMEDirectory != "" && !strings.HasPrefix(s.ACMEDirectory, "https://") {
					return errors.New("acme_directory must be an https URL")
				}
				return nil
			},
		},
		{
			name: "acme_ca_file", kind: "string", fixed: true, none: "one of those that the system trusts", example: `acme_ca_file = "/etc/mailstead/authority.pem"`,
			doc: "PEM file of who has signed the certificate of the authority's own server.",
		},
		{name: "acme_eab_key_id", kind: "string", fixed: true, none: "none is needed", example: `acme_eab_key_id = "kid-1"`, check: func(s *settings) error {
			return together(s.ACMEEABKeyID, s.ACMEEABKeyFile, "acme_eab_key_id and acme_eab_key_file belong together")
		}},
		{
			name: "acme_eab_key_file", kind: "string", fixed: true, none: "none is needed", example: `acme_eab_key_file = "/etc/mailstead/eab.key"`,
			doc: "An account with the authority from elsewhere: its id, and a file with its key in base64url, as the authority gives them.\n" +
				"They belong together.",
		},
		{
			name: "acme_dns_server", kind: "string", fixed: true, none: "they are not", example: `acme_dns_server = "ns1.example.org:53"`,
			doc: "HOST:PORT of the primary server of the domains' zones, if it takes dynamic updates: names are proven by records that are put there, and need not lead here.",
			check: func(s *settings) error {
				if _, _, err := net.SplitHostPort(s.ACMEDNSServer); s.ACMEDNSServer != "" && err != nil {
					return fmt.Errorf("acme_dns_server: %q is not HOST:PORT", s.ACMEDNSServer)
				}
				return nil
			},
		},
		{
			name: "acme_dns_key_file", kind: "string", fixed: true, none: "updates are not signed", example: `acme_dns_key_file = "/etc/mailstead/tsig.key"`,
			doc: "A file with the TSIG key of the updates, as tsig-keygen(8) writes it.",
			check: func(s *settings) error {
				if s.ACMEDNSKeyFile != "" && s.ACMEDNSServer == "" {
					return errors.New("acme_dns_key_file is for acme_dns_server")
				}
				return nil
			},
		},
	}
}

// together fails where one of two values is set.
func together(a, b, text string) error {
	if (a == "") != (b == "") {
		return errors.New(text)
	}
	return nil
}

func networkSettings() []setting {
	return []setting{
		{
			name: "public_addresses", kind: "[string, ...]", example: `public_addresses = ["203.0.113.7"]`,
			none: "none; if all addresses of the machine are private, what the hostname leads to",
			doc:  "IP addresses under which the world reaches this machine and which the machine does not have itself.",
			check: func(s *settings) error {
				return each(s.PublicAddresses, func(a string) error {
					_, err := parseAddresses([]string{a})
					return named("public_addresses", err)
				})
			},
		},
		{
			name: "proxy_from", kind: "[string, ...]", fixed: true, example: `proxy_from = ["10.0.0.5"]`,
			doc: "Addresses and networks of proxies in front of this server, like `10.0.0.5` or `2001:db8::/64` , that speak the PROXY protocol, version 1 or 2 (in HAProxy `send-proxy-v2` ).\n" +
				"Each connection from there, to any port but that of `listen.metrics` , has to begin with its header, before TLS, and is closed without.\n" +
				"The client that the header names is whom limits count, whom logins and mail are held against, and who is in the journal; what others send is never taken for a header.\n" +
				"Name the proxies only: other programs on such a machine cannot connect without a header, either.",
			check: func(s *settings) error {
				return each(s.ProxyFrom, func(p string) error {
					_, err := parseNetworks([]string{p})
					return named("proxy_from", err)
				})
			},
		},
		{
			name: "resolvers", kind: "[string, ...]", fixed: true, none: "those of resolv.conf(5)", example: `resolvers = ["127.0.0.1:53"]`,
			doc: "DNS servers, IP:PORT.\n" +
				"An empty list: no name is looked up, and mail to other domains waits in the queue.\n" +
				"What a server on this machine (127.0.0.1, ::1) says of DNSSEC is believed, of others it is not: with a validating resolver here, mail goes to domains with TLSA records by DANE.",
			check: func(s *settings) error {
				return each(s.Resolvers, func(r string) error {
					if _, err := netip.ParseAddrPort(r); err != nil {
						return fmt.Errorf("resolvers: %q is not IP:PORT", r)
					}
					return nil
				})
			},
		},
		{
			name: "mx_port", kind: "number", fixed: true, example: `mx_port = 25`,
			doc:   "Port of other domains' mail servers, 1 to 65535.",
			check: inRange("mx_port", 1, 65535, func(s *settings) int64 { return int64(s.MXPort) }),
		},
	}
}

func limitSettings() []setting {
	return []setting{
		{
			name: "max_message_size", kind: "number", fixed: true, example: `max_message_size = 104857600`,
			doc:   "The largest message that is taken, in octets, 65536 to 1073741824.",
			check: inRange("max_message_size", 1<<16, 1<<30, func(s *settings) int64 { return s.MaxMessageSize }),
		},
		{
			name: "sessions_per_account", kind: "number", example: `sessions_per_account = 200`,
			doc: "How many IMAP sessions, and as many POP3 and submission ones, an account may have at a time; 0 is any number.",
			check: func(s *settings) error {
				if s.SessionsPerAccount < 0 {
					return errors.New("sessions_per_account must not be negative")
				}
				return nil
			},
		},
		{
			name: "quota", kind: "size", none: "no limit", example: `quota = "5GB"`,
			doc: "How many octets accounts that are added from now on may hold, like \"500MB\" or \"5GB\"; of those that are there, mailstead(1) changes it with `account quota` .",
			check: func(s *settings) error {
				_, err := s.newAccountQuota()
				return named("quota", err)
			},
		},
		{
			name: "retention_days", kind: "number", example: `retention_days = 30`,
			doc: "For how many days deleted messages, mailboxes and accounts can be restored, 0 to 3650.\n" +
				"0 is not at all.\n" +
				"While the disk is nearly full the time is shorter, for what was deleted first.\n" +
				"Nothing is purged for a day after the clock was set by more than a day.",
			check: inRange("retention_days", 0, maxRetentionDays, func(s *settings) int64 { return int64(s.RetentionDays) }),
		},
		{
			name: "delay_notice", kind: "number", fixed: true, example: `delay_notice = 24`,
			doc: "After how many hours of trying the sender of a message hears, once, that it takes long, 1 to 120.\n" +
				"After 120 it is given up, and that is told, too.",
			check: inRange("delay_notice", 1, int64(queue.Lifetime/time.Hour), func(s *settings) int64 { return int64(s.DelayNotice) }),
		},
	}
}

func judgingSettings() []setting {
	return []setting{
		{
			name: "trusted_relays", kind: "[string, ...]", example: `trusted_relays = ["192.0.2.1", "2001:db8::/48"]`,
			doc: "Addresses and networks of hosts that hand mail on to this server, like `192.0.2.1` or `2001:db8::/48` : another mail exchanger, a tunnel, the provider of before.\n" +
				"Their mail is judged by the host that they had it from, and is never refused for what it is, as nobody but the relay would be told.",
			check: func(s *settings) error {
				return each(s.TrustedRelays, func(r string) error {
					_, err := parseNetworks([]string{r})
					return named("trusted_relays", err)
				})
			},
		},
		{
			name: "dns_lists", kind: "[string, ...]", example: `dns_lists = ["zen.spamhaus.org"]`,
			doc: "Lists in the DNS of addresses that no mail is taken from, like `zen.spamhaus.org` .\n" +
				"Answers that mean \"listed\" can be given behind an equals sign: `list.example.net=127.0.0.2,127.0.0.4/30` .\n" +
				"Most lists have terms of use, and refuse to answer large public resolvers.",
			check: func(s *settings) error { return checkLists("dns_lists", s.DNSLists) },
		},
		{
			name: "dns_allow_lists", kind: "[string, ...]", example: `dns_allow_lists = ["list.dnswl.org"]`,
			doc: "The same for addresses that can be trusted, like `list.dnswl.org` .\n" +
				"They are not refused for being on another list.",
			check: func(s *settings) error { return checkLists("dns_allow_lists", s.DNSAllowLists) },
		},
		{
			name: "greylist", kind: "boolean", example: `greylist = true`,
			doc: "Whether mail that looks suspicious has to come a second time, some minutes later, as mail servers do and most programs that send junk do not: if the client's name or address is odd, or nothing proves who the sender is.\n" +
				"Nobody waits whom the recipient knows or allows, nor who has passed within the last weeks.\n" +
				"The first mail of a small, sloppy server comes late by that.",
		},
		{
			name: "overrides", kind: "table", example: `overrides = { "lists.example.net" = "accept" }`,
			doc: "What is done with mail in the name of a domain, or of one below it, whatever its owner asks for: accept, junk or refuse.\n" +
				"Nothing proves that such mail is the domain's own.",
			check: func(s *settings) error {
				_, err := mailauth.ParseOverrides(s.Overrides)
				return named("overrides", err)
			},
		},
	}
}

func tellingSettings() []setting {
	return []setting{
		{
			name: "mta_sts", kind: "testing | enforce | none", example: `mta_sts = "enforce"`,
			doc: "What other servers are told of their connections to us, by MTA-STS (RFC 8461): that they must be encrypted, and our certificate one that they trust.\n" +
				"With `testing` they deliver all the same, and report what was not so; see `report tls` of mailstead(1).\n" +
				"Once there are some weeks of reports without failures, `enforce` has them keep mail back that would go to somebody else's server.\n" +
				"It also has them keep it back while the certificate here is not good, so it is for those who watch that.\n" +
				"With `none` a former policy is taken back.\n" +
				"The policy is served at mta-sts.DOMAIN, with a TXT record that has a new id whenever the policy is another: `domain show` prints it.",
			check: func(s *settings) error {
				if m := mtasts.Mode(s.MTASTS); m != mtasts.Testing && m != mtasts.Enforce && m != mtasts.None {
					return errors.New("mta_sts must be testing, enforce or none")
				}
				return nil
			},
		},
		{
			name: "send_reports", kind: "boolean", example: `send_reports = false`,
			doc: "Tell other domains that ask for it, once a day and in numbers only, how mail in their name was proven (DMARC), and how connections to their servers were encrypted (TLS-RPT).\n" +
				"Where nothing is looked up nothing is sent.",
		},
		{
			name: "metrics_from", kind: "[string, ...]", fixed: true, example: `metrics_from = ["10.1.2.0/24"]`,
			none: "none, and then it listens on the loopback interface only",
			doc:  "Addresses and networks that may ask `listen.metrics` , beside this machine.",
			check: func(s *settings) error {
				return each(s.MetricsFrom, func(n string) error {
					_, err := parseNetworks([]string{n})
					return named("metrics_from", err)
				})
			},
		},
		{
			name: "admin", kind: "string", none: "they are not", example: `admin = "mailto:postmaster@example.org"`,
			doc: "A URI by which users can reach the administrator, like mailto:postmaster@example.org.\n" +
				"Mail programs that ask for it by IMAP are told.",
			check: func(s *settings) error {
				if u, err := url.Parse(s.Admin); s.Admin != "" && (err != nil || u.Scheme == "") {
					return errors.New("admin must be a URI, like mailto:postmaster@example.org")
				}
				return nil
			},
		},
	}
}

func listenSettings() []setting {
	all := []setting{
		{name: "smtp", doc: "Mail from other servers."},
		{name: "submission", doc: "Mail of our users, with STARTTLS."},
		{name: "submissions", doc: "The same with implicit TLS."},
		{name: "imap", doc: "IMAP with STARTTLS."},
		{name: "imaps", doc: "IMAP with implicit TLS."},
		{name: "pop3", doc: "POP3 with STLS."},
		{name: "pop3s", doc: "POP3 with implicit TLS."},
		{name: "http", doc: "HTTP, for the authority that certificates are fetched from, and for mail programs that ask for their settings; other requests are sent to HTTPS."},
		{name: "https", doc: "HTTPS: settings for mail programs, by Mozilla's autoconfig and by Autodiscover.\n" +
			"They are told the first port of each list above that is not on the loopback interface."},
		{name: "metrics", doc: "Figures for Prometheus, over HTTP without TLS and password: on the loopback interface only, unless `metrics_from` says who may ask.\n" +
			"docs/OPERATIONS.md has them all, with a dashboard and alert rules."},
	}
	d := defaultSettings()
	for i, e := range d.Listen.all() {
		all[i].name, all[i].kind = "listen."+e.name, "[string, ...]"
		all[i].example = fmt.Sprintf("%s = [\"192.0.2.1%s\", \"[2001:db8::1]%[2]s\"]", e.name, cmp.Or(slices.Concat(e.addresses, []string{""})[0], ":0"))
		all[i].check = func(s *settings) error {
			return each(s.Listen.all()[i].addresses, func(a string) error {
				if _, _, err := net.SplitHostPort(a); err != nil {
					return fmt.Errorf("listen.%s: %q is not HOST:PORT", e.name, a)
				}
				if e.name == metricsName {
					return s.checkMetricsAddress(a)
				}
				return nil
			})
		}
		if e.name == metricsName {
			all[i].example = `metrics = ["127.0.0.1:9125"]`
		}
	}
	return all
}

func strangerSettings() []setting {
	all := []setting{
		{name: "hourly_connections", doc: "Connections; further ones are turned away with 421.\nLarge providers open one for each message."},
		{name: "hourly_messages", doc: "Messages that are begun; further ones have to come later (450)."},
		{name: "hourly_unknown_recipients", doc: "Recipients that are not here: from there on answers are slow, and from four times as many on the connection ends."},
		{name: "hourly_errors", doc: "Refusals with 5xx; then connections are turned away with 421."},
		{name: "network_share", doc: "How many times these a whole network may do, an IPv4 /24 or an IPv6 /48."},
		{name: "network_connections", doc: "Connections that such a network may have at a time."},
	}
	for i := range all {
		k := &all[i]
		k.example = k.name + " = 500"
		k.name, k.kind = "strangers."+k.name, "number"
		k.check = inRange(k.name, 1, maxStrangers, func(s *settings) int64 { return k.value(s).Int() })
	}
	return all
}

// inRange checks that a number is in its range.
func inRange(name string, least, most int64, of func(*settings) int64) func(*settings) error {
	return func(s *settings) error {
		if n := of(s); n < least || n > most {
			return fmt.Errorf("%s must be %d to %d", name, least, most)
		}
		return nil
	}
}

// each checks the values of a list up to the first that is wrong.
func each(list []string, check func(string) error) error {
	for i, text := range list {
		if err := check(text); err != nil {
			return &itemError{i, err}
		}
	}
	return nil
}

func checkLists(name string, texts []string) error {
	return each(texts, func(l string) error {
		_, err := parseLists([]string{l})
		return named(name, err)
	})
}

// named puts the name of a setting in front of an error.
func named(name string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", name, err)
}

func (s *settings) checkACMEEmail() error {
	switch {
	case s.ACMEEmail == "":
		return nil
	case !strings.Contains(s.ACMEEmail, "@") || strings.ContainsFunc(s.ACMEEmail, func(r rune) bool { return r <= ' ' || r > '~' }):
		return errors.New("acme_email must be an e-mail address")
	case s.ACMEDNSServer == "" && len(s.Listen.HTTP) == 0 && len(s.Listen.HTTPS) == 0:
		return errors.New("acme_email needs listen.http or listen.https, by which the authority sees that a name is ours, or acme_dns_server")
	}
	return nil
}
