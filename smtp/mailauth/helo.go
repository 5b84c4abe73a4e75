package mailauth

import (
	"net/netip"
	"slices"
	"strings"

	"mailstead/smtp/dns"
)

// HeloProblem says what is odd about the name that a client gives with HELO or
// EHLO; empty for nothing. A mail server of good standing gives its own full
// name (RFC 5321 section 4.1.4), but that alone is no reason to refuse it.
type HeloProblem string

// The problems of HELO names, from the worst to the mildest.
const (
	HeloForged    HeloProblem = "it calls itself by a name of ours"
	HeloLiteral   HeloProblem = "it calls itself by another's address"
	HeloMalformed HeloProblem = "its name is no domain"
	HeloShort     HeloProblem = "its name has one label only"
)

// CheckHeloName looks at a client's name without asking anybody. Ours are our
// host names and domains, in A-labels.
func CheckHeloName(helo string, ip netip.Addr, ours []string) HeloProblem {
	if literal, ok := strings.CutPrefix(helo, "["); ok {
		literal, ok = strings.CutSuffix(literal, "]")
		if len(literal) > 5 && strings.EqualFold(literal[:5], "IPv6:") {
			literal = literal[5:]
		}
		if addr, err := netip.ParseAddr(literal); err == nil && ok && addr.Unmap() == ip.Unmap().WithZone("") {
			return ""
		}
		return HeloLiteral
	}
	if _, err := netip.ParseAddr(helo); err == nil {
		return HeloMalformed // an address without brackets
	}
	name, err := dns.ASCII(helo)
	switch {
	case err != nil:
		return HeloMalformed
	case slices.Contains(ours, name):
		return HeloForged
	case !strings.Contains(name, "."):
		return HeloShort
	}
	return ""
}
