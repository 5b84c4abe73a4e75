package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"mailstead/cmd/internal/tomlfile"
	"mailstead/tls/rfc2136"
)

// machine is what a configuration is held against beyond its own words.
type machine struct {
	now        func() time.Time
	resolvConf string
}

var thisMachine = machine{now: time.Now, resolvConf: systemResolvers}

// soonOver is how long before its end a certificate that nobody has renewed deserves a word.
const soonOver = 14 * 24 * time.Hour

// check says what the settings ask for that the machine does not have. All of it are warnings: it may come later, or be there for
// the user only that the server runs as.
func (m machine) check(s *settings) (all tomlfile.Faults) {
	warn := func(setting, format string, args ...any) {
		all = append(all, tomlfile.Fault{Setting: setting, Text: fmt.Sprintf(format, args...), Warning: true, Index: -1})
	}
	if !strings.Contains(strings.Trim(s.Hostname, "."), ".") {
		warn("hostname", "hostname: %q has no domain; other servers refuse mail of hosts whose name they cannot look up", s.Hostname)
	}
	m.checkDir(s.Dir, warn)
	m.checkPair(s, warn)
	if _, err := readRoots(s.ACMECAFile); err != nil {
		warn("acme_ca_file", "%v", err)
	}
	if _, err := readSecret(s.ACMEEABKeyFile); err != nil {
		warn("acme_eab_key_file", "%v", err)
	}
	if s.ACMEDNSKeyFile != "" {
		if _, err := rfc2136.ReadKey(s.ACMEDNSKeyFile); err != nil {
			warn("acme_dns_key_file", "acme_dns_key_file: %v", err)
		}
	}
	for _, f := range []struct{ setting, file string }{{"key", s.Key}, {"acme_eab_key_file", s.ACMEEABKeyFile}, {"acme_dns_key_file", s.ACMEDNSKeyFile}} {
		if i, err := os.Stat(f.file); err == nil && i.Mode().Perm()&0o004 != 0 {
			warn(f.setting, "%s: every user of the machine can read %s; chmod o-r takes that away", f.setting, f.file)
		}
	}
	if s.Resolvers == nil {
		if _, err := readResolvConf(m.resolvConf); err != nil {
			warn("resolvers", "resolvers is not set, and %v", err)
		}
	}
	m.checkAddresses(s, warn)
	return all
}

type warner func(setting, format string, args ...any)

// checkDir looks at the server's folder, or at where it will be made.
func (m machine) checkDir(dir string, warn warner) {
	i, err := os.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if _, err := os.Stat(filepath.Dir(dir)); errors.Is(err, fs.ErrNotExist) {
			warn("dir", "dir: neither %s is there nor the folder above it", dir)
		}
	case err != nil:
		warn("dir", "dir: %v", err)
	case !i.IsDir():
		warn("dir", "dir: %s is no folder", dir)
	}
}

// checkPair looks at the operator's certificate.
func (m machine) checkPair(s *settings, warn warner) {
	if s.Certificate == "" {
		if s.ACMEEmail == "" {
			warn("acme_email", "neither certificate nor acme_email is set: mail programs will warn of the certificate that the server makes itself")
		}
		return
	}
	for _, f := range []struct{ setting, file string }{{"certificate", s.Certificate}, {"key", s.Key}} {
		if _, err := os.ReadFile(f.file); err != nil {
			warn(f.setting, "%s: %v", f.setting, err)
			return
		}
	}
	pair, err := tls.LoadX509KeyPair(s.Certificate, s.Key)
	switch {
	case err != nil:
		warn("certificate", "certificate and key do not make a pair: %s", strings.TrimPrefix(err.Error(), "tls: "))
	case m.now().After(pair.Leaf.NotAfter):
		warn("certificate", "certificate: it ended on %s", pair.Leaf.NotAfter.Format(time.DateOnly))
	case pair.Leaf.VerifyHostname(s.Hostname) != nil && s.ACMEEmail == "":
		warn("certificate", "certificate: it is for %s, and not for %s", strings.Join(pair.Leaf.DNSNames, " "), s.Hostname)
	case pair.Leaf.NotAfter.Sub(m.now()) < soonOver:
		warn("certificate", "certificate: it ends on %s", pair.Leaf.NotAfter.Format(time.DateOnly))
	}
}

// checkAddresses looks for listeners on addresses that the machine does not have.
func (m machine) checkAddresses(s *settings, warn warner) {
	own, err := net.InterfaceAddrs()
	if err != nil {
		return
	}
	taken := map[string]string{}
	for _, e := range s.Listen.all() {
		for i, address := range e.addresses {
			if other, ok := taken[address]; ok {
				warn(tomlfile.ItemName("listen."+e.name, i), "listen.%s: %s is also of listen.%s", e.name, address, other)
			}
			taken[address] = e.name
			host, port, _ := net.SplitHostPort(address)
			if _, err := net.LookupPort("tcp", port); err != nil {
				warn(tomlfile.ItemName("listen."+e.name, i), "listen.%s: %q is no port", e.name, port)
			}
			if ip := net.ParseIP(host); ip != nil && !ip.IsUnspecified() && !hasAddress(own, ip) {
				warn(tomlfile.ItemName("listen."+e.name, i), "listen.%s: this machine does not have the address %s", e.name, host)
			}
		}
	}
}

func hasAddress(own []net.Addr, ip net.IP) bool {
	for _, a := range own {
		if n, ok := a.(*net.IPNet); ok && (n.IP.Equal(ip) || n.IP.IsLoopback() && n.Contains(ip)) {
			return true
		}
	}
	return false
}
