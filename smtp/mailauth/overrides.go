package mailauth

import (
	"errors"
	"fmt"
	"strings"

	"mailstead/smtp/dns"
)

// ErrBadOverride is wrapped by what ParseOverrides says of one it cannot use.
var ErrBadOverride = errors.New("not an override")

// OverrideFor finds what is set for a domain, or for the nearest one above it.
// The domains are in A-labels.
func OverrideFor(overrides map[string]Override, domain string) Override {
	if len(overrides) == 0 {
		return ""
	}
	for domain != "" {
		if o, ok := overrides[domain]; ok {
			return o
		}
		_, domain, _ = strings.Cut(domain, ".")
	}
	return ""
}

// ParseOverrides reads overrides as an operator writes them, domain by
// domain: accept, junk or refuse. Its errors wrap ErrBadOverride.
func ParseOverrides(set map[string]string) (map[string]Override, error) {
	all := make(map[string]Override, len(set))
	for domain, action := range set {
		ascii, err := dns.ASCII(domain)
		if err != nil {
			return nil, fmt.Errorf("%w: %.80q is no domain", ErrBadOverride, domain)
		}
		switch o := Override(action); o {
		case OverrideAccept, OverrideJunk, OverrideRefuse:
			all[ascii] = o
		default:
			return nil, fmt.Errorf("%w: the action for %s must be accept, junk or refuse", ErrBadOverride, ascii)
		}
	}
	return all, nil
}
