package mailauth

import (
	"context"
	"encoding/hex"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// maxDomainLength is that of a name without final dot (RFC 1035 section 2.3.4).
const maxDomainLength = 253

// unusable tells whether a macro needs a local part that can be no label: such
// terms match nothing (RFC 8616 section 4).
func (c *spfCheck) unusable(m spfMacro) bool {
	return !isASCII(c.local) && m.names("sl")
}

// target gives the name that a domain-spec of domain's record means, shortened
// from the left where it is too long (RFC 7208 section 7.3).
func (c *spfCheck) target(ctx context.Context, m spfMacro, domain string) string {
	if m == nil {
		return domain
	}
	name := c.expand(ctx, m, domain)
	for len(name) > maxDomainLength {
		_, rest, found := strings.Cut(name, ".")
		if !found {
			break
		}
		name = rest
	}
	return name
}

// expand puts in what the macro letters stand for (RFC 7208 section 7.2).
func (c *spfCheck) expand(ctx context.Context, m spfMacro, domain string) string {
	return m.expand(func(letter byte) string {
		switch letter {
		case 's':
			return c.local + "@" + c.senderDomain
		case 'l':
			return c.local
		case 'o':
			return c.senderDomain
		case 'd':
			return domain
		case 'i':
			return dottedAddress(c.ip)
		case 'p':
			return c.clientName(ctx, domain)
		case 'v':
			if c.ip.Is4() {
				return "in-addr"
			}
			return "ip6"
		case 'h':
			return c.helo
		case 'c':
			return c.ip.String()
		case 'r':
			if c.receiver == "" {
				return "unknown"
			}
			return c.receiver
		default: // t
			now := time.Now
			if c.now != nil {
				now = c.now
			}
			return strconv.FormatInt(now().Unix(), 10)
		}
	})
}

// dottedAddress writes an address for %{i}: IPv6 as nibbles.
func dottedAddress(ip netip.Addr) string {
	if ip.Is4() {
		return ip.String()
	}
	b := ip.As16()
	digits := hex.EncodeToString(b[:])
	out := make([]byte, 0, 2*len(digits))
	for i := range len(digits) {
		out = append(out, digits[i], '.')
	}
	return string(out[:len(out)-1])
}

// clientName is %{p}: the validated name that fits domain best.
func (c *spfCheck) clientName(ctx context.Context, domain string) string {
	names := c.clientNames(ctx)
	if len(names) == 0 {
		return "unknown"
	}
	if slices.Contains(names, domain) {
		return domain
	}
	if i := slices.IndexFunc(names, func(name string) bool { return isSubdomain(name, domain) }); i >= 0 {
		return names[i]
	}
	return names[0]
}

// explain fetches the domain owner's words for a failure (RFC 7208 section
// 6.2). Whatever is wrong with them is as if there were none.
func (c *spfCheck) explain(ctx context.Context, o spfOutcome) string {
	if o.exp == nil || c.unusable(o.exp) {
		return ""
	}
	answer, err := c.resolver.LookupTXT(ctx, c.target(ctx, o.exp, o.domain))
	if err != nil || len(answer.Records) != 1 || len(answer.Records[0]) > maxSPFRecord {
		return ""
	}
	m, err := parseMacro(answer.Records[0], macroInExplanation)
	if err != nil {
		return ""
	}
	// The values are a stranger's, too: they may hold line ends.
	text := c.expand(ctx, m, o.domain)
	for i := range len(text) {
		if text[i] < ' ' || text[i] > '~' {
			return ""
		}
	}
	return text[:min(len(text), maxSPFExplanation)]
}

// isSubdomain tells whether name is domain or below it; both in lower case
// without final dot.
func isSubdomain(name, domain string) bool {
	rest, ok := strings.CutSuffix(name, domain)
	return ok && domain != "" && (rest == "" || strings.HasSuffix(rest, "."))
}
