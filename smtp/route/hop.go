package route

import (
	"cmp"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"mailstead/smtp/dns"
)

// Security is what the connection to a smarthost is like.
type Security string

// The kinds of connections. With the first two the smarthost has to prove by its certificate that it is the one
// that is meant, and nothing is said to one that does not.
const (
	ImplicitTLS Security = "implicit" // TLS from the first octet (RFC 8314 section 3.3)
	StartTLS    Security = "starttls" // STARTTLS, which has to be offered and to work (RFC 3207)
	NoTLS       Security = "none"     // in the clear: to this machine and to private networks only
)

// The ports where nobody names one: those of RFC 8314 section 7.3, RFC 6409 section 3.1 and RFC 5321 section 4.5.4.2.
const (
	portImplicit = 465
	portStartTLS = 587
	portNoTLS    = 25
)

// Hop is a server that takes mail on. The zero value is none: mail goes directly.
type Hop struct {
	Host     string   `json:"host"` // a domain name in A-labels, or an IP address without brackets
	Port     int      `json:"port"`
	Security Security `json:"security"`
}

// ParseHop reads "host", "host:port", an address, or "[2001:db8::1]:port". Without security it is that of the
// port: implicit TLS for 465, STARTTLS for all others. ErrInvalid.
func ParseHop(s string, security Security) (Hop, error) {
	h := Hop{Host: strings.Trim(s, "[]"), Security: security}
	if host, port, err := net.SplitHostPort(s); err == nil {
		h.Host = host
		if h.Port, err = strconv.Atoi(port); err != nil || h.Port == 0 {
			return Hop{}, invalid("%.20q is no port", port)
		}
	}
	if h.Security == "" {
		h.Security = StartTLS
		if h.Port == portImplicit {
			h.Security = ImplicitTLS
		}
	}
	ports := map[Security]int{ImplicitTLS: portImplicit, StartTLS: portStartTLS, NoTLS: portNoTLS}
	h.Port = cmp.Or(h.Port, ports[h.Security])
	if ip, ok := h.Address(); ok {
		h.Host = ip.String()
	} else if ascii, err := dns.ASCII(h.Host); err == nil {
		h.Host = ascii
	}
	return h, h.check()
}

// String is the host with its port; "direct" without.
func (h Hop) String() string {
	if h == (Hop{}) {
		return "direct"
	}
	return net.JoinHostPort(h.Host, strconv.Itoa(h.Port))
}

// Address is the host, where it is an address.
func (h Hop) Address() (netip.Addr, bool) {
	ip, err := netip.ParseAddr(h.Host)
	return ip.Unmap(), err == nil && ip.Zone() == ""
}

func (h Hop) check() error {
	switch h.Security {
	case ImplicitTLS, StartTLS, NoTLS:
	default:
		return invalid("%.20q is no kind of connection: implicit, starttls or none", string(h.Security))
	}
	if h.Port < 1 || h.Port > 65535 {
		return invalid("%d is no port", h.Port)
	}
	ip, literal := h.Address()
	if !literal {
		if ascii, err := dns.ASCII(h.Host); err != nil || ascii != h.Host {
			return invalid("%.80q is no host", h.Host)
		}
		return nil
	}
	if ip.IsUnspecified() || ip.IsMulticast() {
		return invalid("%s is not the address of a server", ip)
	}
	if h.Security == NoTLS && !Near(ip) {
		return invalid("%s is not this machine and not in a private network, and needs TLS", ip)
	}
	return nil
}

// Near tells whether an address is this machine's, or of a private network (RFC 1918, RFC 4193) or the same link:
// where a connection may do without TLS.
func Near(ip netip.Addr) bool {
	ip = ip.Unmap()
	return ip.IsLoopback() || ip.IsPrivate() || ip.IsLinkLocalUnicast()
}
