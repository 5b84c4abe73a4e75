package mailauth

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"mailstead/smtp/dns"
)

const (
	// listTimeout is for all lists together: they are signals, and not worth
	// waiting for.
	listTimeout = 5 * time.Second
	// maxListReason is the longest text of a list that is passed on, in bytes.
	maxListReason = 200
	// maxListNetworks is the number of networks that one list's answers are
	// held against.
	maxListNetworks = 32
)

// ErrBadList is wrapped by what ParseDNSList says of a list it cannot read.
var ErrBadList = errors.New("not a DNS list")

// DNSList is a list of addresses in the DNS (RFC 5782): of those one does not
// want mail from, or of those that can be trusted.
type DNSList struct {
	// Zone is its domain, like "zen.spamhaus.org".
	Zone string
	// Answers are the networks of the answers that mean "listed". None: all of
	// 127.0.0.0/8 but 127.0.0.1, which a list must never hold, and
	// 127.255.255.0/24, by which lists say that they do not answer us.
	Answers []netip.Prefix
}

// ListHit is what one list says of an address.
type ListHit struct {
	// Zone is the list's.
	Zone string
	// Listed is false also where the list could not be asked.
	Listed bool
	// Answers are those that mean "listed".
	Answers []netip.Addr
	// Reason is the list's text: a stranger's words, in printable ASCII, at most
	// 200 bytes.
	Reason string
	// Err is why nothing was learned: a failed look-up, or a list that refuses
	// to answer.
	Err error
}

var (
	loopback    = netip.MustParsePrefix("127.0.0.0/8")
	listErrors  = netip.MustParsePrefix("127.255.255.0/24")
	neverListed = netip.MustParseAddr("127.0.0.1")
	errRefused  = errors.New("the list does not answer us")
)

// ParseDNSList reads "ZONE" or "ZONE=NETWORK,...", like
// "list.example=127.0.0.2,127.0.0.4/30". Its errors wrap ErrBadList.
func ParseDNSList(text string) (DNSList, error) {
	zone, networks, given := strings.Cut(text, "=")
	ascii, err := dns.ASCII(strings.TrimSpace(zone))
	if err != nil || !strings.Contains(ascii, ".") {
		return DNSList{}, fmt.Errorf("%w: %.80q: the zone is no domain", ErrBadList, text)
	}
	l := DNSList{Zone: ascii}
	if !given {
		return l, nil
	}
	for network := range strings.SplitSeq(networks, ",") {
		p, err := parseNetwork(strings.TrimSpace(network))
		if err != nil || !loopback.Overlaps(p) || p.Bits() < loopback.Bits() {
			return DNSList{}, fmt.Errorf("%w: %.80q: %.40q is no network below %s", ErrBadList, text, network, loopback)
		}
		if l.Answers = append(l.Answers, p); len(l.Answers) > maxListNetworks {
			return DNSList{}, fmt.Errorf("%w: %.80q: more than %d networks", ErrBadList, text, maxListNetworks)
		}
	}
	return l, nil
}

// parseNetwork reads an address or a network.
func parseNetwork(s string) (netip.Prefix, error) {
	if strings.Contains(s, "/") {
		p, err := netip.ParsePrefix(s)
		return p.Masked(), err
	}
	a, err := netip.ParseAddr(s)
	if err != nil {
		return netip.Prefix{}, err
	}
	return netip.PrefixFrom(a, a.BitLen()), nil
}

// CheckLists asks all lists at once for an address. It takes 5 s at most; the
// answers are in the order of the lists.
func CheckLists(ctx context.Context, r HostResolver, ip netip.Addr, lists []DNSList) []ListHit {
	ctx, cancel := bounded(ctx, listTimeout)
	defer cancel()
	hits := make([]ListHit, len(lists))
	var all sync.WaitGroup
	for i, l := range lists {
		all.Go(func() { hits[i] = l.check(ctx, r, ip.Unmap().WithZone("")) })
	}
	all.Wait()
	return hits
}

func (l DNSList) check(ctx context.Context, r HostResolver, ip netip.Addr) ListHit {
	hit := ListHit{Zone: l.Zone}
	name := listName(ip, l.Zone)
	answer, err := r.LookupA(ctx, name)
	if err != nil {
		if !dns.IsNotFound(err) {
			hit.Err = err
		}
		return hit
	}
	hit.Answers, hit.Err = l.judge(answer.Records)
	if hit.Listed = len(hit.Answers) > 0; !hit.Listed {
		return hit
	}
	if texts, err := r.LookupTXT(ctx, name); err == nil {
		hit.Reason = strangersText(texts.Records[0], maxListReason)
	}
	return hit
}

// judge picks the answers that mean "listed". Other than those of 127.0.0.0/8
// come from domains that were given up and answer everything (RFC 5782 section
// 2.1).
func (l DNSList) judge(answers []netip.Addr) (listed []netip.Addr, err error) {
	for _, a := range answers {
		switch {
		case !loopback.Contains(a) || a == neverListed:
		case len(l.Answers) > 0:
			if slices.ContainsFunc(l.Answers, func(p netip.Prefix) bool { return p.Contains(a) }) {
				listed = append(listed, a)
			}
		case listErrors.Contains(a):
			err = fmt.Errorf("%s: %w: %s", l.Zone, errRefused, a)
		default:
			listed = append(listed, a)
		}
	}
	return listed, err
}

// listName is the name that a list is asked for (RFC 5782 sections 2.1 and
// 2.4): the address backwards, IPv6 by nibbles.
func listName(ip netip.Addr, zone string) string {
	parts := strings.Split(dottedAddress(ip), ".")
	slices.Reverse(parts)
	return strings.Join(parts, ".") + "." + zone
}

// strangersText gives at most so many bytes of a stranger's text, with anything but
// printable ASCII escaped.
func strangersText(s string, most int) string {
	if len(s) > most {
		s = s[:most]
	}
	quoted := strconv.QuoteToASCII(s)
	quoted = strings.ReplaceAll(quoted[1:len(quoted)-1], `\"`, `"`)
	return quoted[:min(len(quoted), most)]
}
