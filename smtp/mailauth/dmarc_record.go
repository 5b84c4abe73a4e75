package mailauth

import (
	"net/url"
	"strings"
)

// maxDMARCRecord is the longest record that is read, in bytes. Real ones with a
// dozen report addresses stay below 1,000.
const maxDMARCRecord = 4096

// DMARCPolicy is what a domain's owner asks for where mail in its name fails
// (RFC 9989 section 4.7, tag "p").
type DMARCPolicy string

// The policies, from the mildest to the hardest.
const (
	DMARCNone       DMARCPolicy = "none"
	DMARCQuarantine DMARCPolicy = "quarantine"
	DMARCReject     DMARCPolicy = "reject"
)

// dmarcRecord is a DMARC Policy Record (RFC 9989 section 4.7).
type dmarcRecord struct {
	p, sp, np   DMARCPolicy // "": not given
	strictDKIM  bool
	strictSPF   bool
	psd         byte // 'y', 'n' or 'u'
	testing     bool
	broken      bool // p is missing or wrong, or sp or np are wrong
	hasReportTo bool // rua has an address
	reports     string
}

// parseDMARCRecord reads a text of the DNS. It is no record unless it begins
// with the version; behind it, what is wrong or unknown is passed over (RFC
// 9989 section 4.8), and of a tag that is given twice the first one counts.
func parseDMARCRecord(text string) (*dmarcRecord, bool) {
	if len(text) > maxDMARCRecord {
		return nil, false
	}
	version, rest, _ := strings.Cut(text, ";")
	name, value, ok := cutTag(version)
	if !ok || name != "v" || value != "DMARC1" {
		return nil, false
	}
	r := &dmarcRecord{psd: 'u'}
	seen := make(map[string]bool)
	for tag := range strings.SplitSeq(rest, ";") {
		name, value, ok := cutTag(tag)
		if !ok || seen[name] {
			continue
		}
		seen[name] = true
		r.set(name, value)
	}
	r.broken = r.broken || r.p == ""
	return r, true
}

// cutTag takes "name = value" apart; names are the same in any case.
func cutTag(tag string) (name, value string, ok bool) {
	name, value, ok = strings.Cut(tag, "=")
	return strings.ToLower(strings.Trim(name, " \t")), strings.Trim(value, " \t"), ok
}

func (r *dmarcRecord) set(name, value string) {
	flag := strings.ToLower(value)
	switch name {
	case "p":
		r.policy(&r.p, flag)
	case "sp":
		r.policy(&r.sp, flag)
	case "np":
		r.policy(&r.np, flag)
	case "adkim":
		r.strictDKIM = flag == "s"
	case "aspf":
		r.strictSPF = flag == "s"
	case "psd":
		if flag == "y" || flag == "n" {
			r.psd = flag[0]
		}
	case "t":
		r.testing = flag == "y"
	case "rua":
		r.hasReportTo, r.reports = hasReportAddress(value), value
	}
}

func (r *dmarcRecord) policy(place *DMARCPolicy, value string) {
	switch p := DMARCPolicy(value); p {
	case DMARCNone, DMARCQuarantine, DMARCReject:
		*place = p
	default:
		r.broken = true
	}
}

// hasReportAddress tells whether a list of URIs has one that can be read. The
// size behind "!" is obsolete (RFC 9989 section 4.8).
func hasReportAddress(list string) bool {
	for uri := range strings.SplitSeq(list, ",") {
		uri, _, _ = strings.Cut(strings.Trim(uri, " \t"), "!")
		if u, err := url.Parse(uri); err == nil && u.Scheme != "" && (u.Opaque != "" || u.Host != "") {
			return true
		}
	}
	return false
}

// assessment is the policy for the domain of the record itself.
func (r *dmarcRecord) assessment() DMARCPolicy {
	if r.broken {
		return DMARCNone // RFC 9989 section 4.10.1
	}
	return r.p
}

// assessmentBelow is the policy for a domain below that of the record (RFC 9989
// section 4.7, tags "sp" and "np").
func (r *dmarcRecord) assessmentBelow(exists bool) DMARCPolicy {
	switch {
	case r.broken:
		return DMARCNone
	case !exists && r.np != "":
		return r.np
	case r.sp != "":
		return r.sp
	}
	return r.p
}

// distinguishes tells whether it matters that a domain below exists.
func (r *dmarcRecord) distinguishes() bool {
	return r.assessmentBelow(true) != r.assessmentBelow(false)
}

// inTest is what is left of a policy while its owner tries it out (RFC 9989
// section 4.7, tag "t").
func (p DMARCPolicy) inTest() DMARCPolicy {
	if p == DMARCReject {
		return DMARCQuarantine
	}
	return DMARCNone
}
