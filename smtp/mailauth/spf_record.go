package mailauth

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
)

// spfRecord is a record that was read without an error.
type spfRecord struct {
	directives []spfDirective
	redirect   spfMacro // nil: none, or without effect because of an "all"
	exp        spfMacro // nil: none
}

// spfDirective is a mechanism with its qualifier.
type spfDirective struct {
	text      string // as it stands in the record
	result    Result // if it matches
	mechanism spfMechanism
	target    spfMacro     // nil: the domain whose record this is
	network   netip.Prefix // of ip4 and ip6
	bits4     int          // of a and mx
	bits6     int
}

type spfMechanism uint8

const (
	spfAll spfMechanism = iota
	spfInclude
	spfA
	spfMX
	spfPTR
	spfIP4
	spfIP6
	spfExists
)

// spfMechanisms says which arguments a mechanism has (RFC 7208 section 12).
var spfMechanisms = map[string]struct {
	mechanism spfMechanism
	target    spfTarget
	cidr      bool // dual-cidr-length
}{
	"all":     {spfAll, noTarget, false},
	"include": {spfInclude, mustTarget, false},
	"a":       {spfA, mayTarget, true},
	"mx":      {spfMX, mayTarget, true},
	"ptr":     {spfPTR, mayTarget, false},
	"ip4":     {spfIP4, noTarget, false},
	"ip6":     {spfIP6, noTarget, false},
	"exists":  {spfExists, mustTarget, false},
}

type spfTarget uint8

const (
	noTarget spfTarget = iota
	mayTarget
	mustTarget
)

var spfQualifiers = map[byte]Result{'+': Pass, '-': Fail, '~': SoftFail, '?': Neutral}

// The reasons why a record cannot be read.
var (
	errSPFLong      = fmt.Errorf("SPF record of more than %d bytes", maxSPFRecord)
	errSPFMechanism = errors.New("unknown mechanism")
	errSPFArgument  = errors.New("wrong argument")
	errSPFNetwork   = errors.New("wrong network")
	errSPFTwice     = errors.New("modifier given twice")
)

// isSPFRecord tells whether a text begins with the version section (RFC 7208
// section 4.5).
func isSPFRecord(text string) bool {
	const version = "v=spf1"
	return len(text) >= len(version) && strings.EqualFold(text[:len(version)], version) &&
		(len(text) == len(version) || text[len(version)] == ' ')
}

// parseSPFRecord reads a record that isSPFRecord knows. It is wrong as a whole
// where any part of it is (RFC 7208 section 4.6).
func parseSPFRecord(text string) (*spfRecord, error) {
	if len(text) > maxSPFRecord {
		return nil, errSPFLong
	}
	r := &spfRecord{}
	all := false
	for term := range strings.SplitSeq(text[len("v=spf1"):], " ") {
		if term == "" {
			continue
		}
		if name, value, ok := cutModifier(term); ok {
			if err := r.addModifier(name, value); err != nil {
				return nil, fmt.Errorf("%w: %.80q", err, term)
			}
			continue
		}
		d, err := parseDirective(term)
		if err != nil {
			return nil, fmt.Errorf("%w: %.80q", err, term)
		}
		r.directives = append(r.directives, d)
		all = all || d.mechanism == spfAll
	}
	if all {
		r.redirect = nil // RFC 7208 section 6.1
	}
	return r, nil
}

// cutModifier tells a modifier from a directive: a name, then at once "=" (RFC
// 7208 section 4.6.1).
func cutModifier(term string) (name, value string, ok bool) {
	name, value, ok = strings.Cut(term, "=")
	if !ok || name == "" || !isAlpha(name[0]) {
		return "", "", false
	}
	for i := range len(name) {
		if c := name[i]; !isAlpha(c) && !isDigit(c) && c != '-' && c != '_' && c != '.' {
			return "", "", false
		}
	}
	return name, value, true
}

func (r *spfRecord) addModifier(name, value string) error {
	var place *spfMacro
	switch strings.ToLower(name) {
	case "redirect":
		place = &r.redirect
	case "exp":
		place = &r.exp
	default: // ignored, once it is known to be well formed
		_, err := parseMacro(value, macroInTerm)
		return err
	}
	if *place != nil {
		return errSPFTwice
	}
	var err error
	*place, err = parseDomainSpec(value)
	return err
}

func parseDirective(term string) (spfDirective, error) {
	d := spfDirective{text: term, result: Pass, bits4: 32, bits6: 128}
	if q, ok := spfQualifiers[term[0]]; ok {
		d.result, term = q, term[1:]
	}
	name, argument := term, ""
	if i := strings.IndexAny(term, ":/"); i >= 0 {
		name, argument = term[:i], term[i:]
	}
	m, ok := spfMechanisms[strings.ToLower(name)]
	if !ok {
		return d, errSPFMechanism
	}
	d.mechanism = m.mechanism
	if m.mechanism == spfIP4 || m.mechanism == spfIP6 {
		return d, d.parseNetwork(argument)
	}
	if m.cidr {
		if argument, ok = d.cutDualCIDR(argument); !ok {
			return d, errSPFNetwork
		}
	}
	if argument == "" {
		if m.target == mustTarget {
			return d, errSPFArgument
		}
		return d, nil
	}
	if m.target == noTarget || argument[0] != ':' {
		return d, errSPFArgument
	}
	var err error
	d.target, err = parseDomainSpec(argument[1:])
	return d, err
}

// parseNetwork reads the argument of ip4 and ip6.
func (d *spfDirective) parseNetwork(argument string) error {
	if argument == "" || argument[0] != ':' {
		return errSPFNetwork
	}
	text, length, hasLength := strings.Cut(argument[1:], "/")
	addr, err := netip.ParseAddr(text)
	if err != nil || addr.Zone() != "" || addr.Is4() != (d.mechanism == spfIP4) {
		return errSPFNetwork
	}
	bits := addr.BitLen()
	if hasLength {
		var ok bool
		if bits, ok = cidrLength(length, bits); !ok {
			return errSPFNetwork
		}
	}
	d.network = netip.PrefixFrom(addr, bits)
	return nil
}

// cutDualCIDR takes "/24", "//64" or "/24//64" off the end of an argument. A
// domain-spec never ends like that, as its last label has no slash.
func (d *spfDirective) cutDualCIDR(argument string) (rest string, ok bool) {
	rest = argument
	head, length, found := cutLast(rest, "//")
	if found && isDigits(length) {
		if d.bits6, ok = cidrLength(length, 128); !ok {
			return "", false
		}
		rest = head
	}
	if head, length, found = cutLast(rest, "/"); found && isDigits(length) {
		if d.bits4, ok = cidrLength(length, 32); !ok {
			return "", false
		}
		rest = head
	}
	return rest, true
}

// cidrLength reads a prefix length: no leading zero, no more than the family
// has (RFC 7208 section 5.6).
func cidrLength(s string, most int) (n int, ok bool) {
	if len(s) == 0 || len(s) > 3 || !isDigits(s) || len(s) > 1 && s[0] == '0' {
		return 0, false
	}
	for _, c := range []byte(s) {
		n = 10*n + int(c-'0')
	}
	return n, n <= most
}

func cutLast(s, sep string) (before, after string, found bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}

func isAlpha(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' }
func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func isDigits(s string) bool {
	for i := range len(s) {
		if !isDigit(s[i]) {
			return false
		}
	}
	return s != ""
}
