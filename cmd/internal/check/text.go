package check

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"mailstead/smtp/dns"
)

type address = netip.Addr

// nobody is an address that no record names: it is reserved for nobody, so what permits it permits everybody.
var nobody = netip.MustParseAddr("240.0.0.1")

// maxQuote is how much of a stranger's text is shown, in octets.
const maxQuote = 200

// quote is a stranger's text in printable ASCII, cut at so many octets.
func quote(s string, most int) string {
	if len(s) > most {
		return strconv.QuoteToASCII(s[:most]) + "…"
	}
	return strconv.QuoteToASCII(s)
}

func joined(addresses []address) string {
	var texts []string
	for _, a := range addresses[:min(len(addresses), maxHosts)] {
		texts = append(texts, a.String())
	}
	return strings.Join(texts, ", ")
}

// parent is the name above one, "" above the last.
func parent(name string) string {
	_, above, _ := strings.Cut(name, ".")
	return above
}

// tlsaText is a TLSA record as zone files have it (RFC 6698 section 2.2).
func tlsaText(t dns.TLSA) string {
	return fmt.Sprintf("%d %d %d %x", t.Usage, t.Selector, t.Matching, t.Data)
}

// addressRecord is the record of a name for an address.
func addressRecord(name string, ip address) Record {
	kind := "AAAA"
	if ip.Is4() {
		kind = "A"
	}
	return Record{Name: name, Type: kind, Text: ip.String()}
}
