package mtasts

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"mailstead/smtp/dns"
)

// Mode says what becomes of mail whose connection does not come up to a policy (RFC 8461 section 5).
type Mode string

// The modes of policies.
const (
	Enforce Mode = "enforce" // it is not sent
	Testing Mode = "testing" // it is sent, and reports are asked for
	None    Mode = "none"    // there is no policy any more
)

// Bounds of a policy.
const (
	maxPolicy   = 64 << 10               // octets; what RFC 8461 section 3.3 suggests
	maxAge      = 31557600 * time.Second // a year (section 3.2); what says more is taken for that
	maxPatterns = 100                    // hosts; domains of millions of users name a dozen
	maxRecord   = 1000                   // octets of a TXT record: its few fields take fifty
	maxID       = 32                     // of the letters and digits in an id (section 3.1)
	version     = "STSv1"
)

// ErrPolicy says that a policy is not what RFC 8461 section 3.2 makes it.
var ErrPolicy = errors.New("mtasts: not a policy")

// Policy is what a domain says of the connections that its mail is to come by.
type Policy struct {
	Mode   Mode          `json:"mode"`
	MaxAge time.Duration `json:"max_age"` // for which it holds, at most a year
	MX     []string      `json:"mx"`      // hosts in lower case and A-labels; "*." in front stands for one label
}

// Allows tells whether a host, in lower case and A-labels, is one that the policy names (RFC 8461 section 4.1).
func (p *Policy) Allows(host string) bool {
	label, parent, _ := strings.Cut(host, ".")
	return slices.ContainsFunc(p.MX, func(pattern string) bool {
		if suffix, ok := strings.CutPrefix(pattern, "*."); ok {
			return label != "" && parent == suffix
		}
		return host == pattern
	})
}

// Parse reads a policy (RFC 8461 section 3.2), of 64 KiB at most. Fields that are not known are passed over, and so is what is
// said twice. Errors wrap ErrPolicy.
func Parse(text string) (Policy, error) {
	if len(text) > maxPolicy {
		return Policy{}, fmt.Errorf("%w: larger than %d octets", ErrPolicy, maxPolicy)
	}
	fields := make(map[string]string)
	var p Policy
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\r\n\t ")
		if line == "" {
			continue
		}
		key, value, found := strings.Cut(line, ":")
		if !found || key == "" || strings.ContainsAny(key, " \t") {
			return Policy{}, fmt.Errorf("%w: line %.80q", ErrPolicy, line)
		}
		value = strings.TrimLeft(value, " \t")
		if key == "mx" {
			p.MX = append(p.MX, value)
		} else if _, again := fields[key]; !again && isKnown(key) {
			fields[key] = value
		}
	}
	return p.fill(fields)
}

func isKnown(key string) bool { return key == "version" || key == "mode" || key == "max_age" }

// fill completes a policy by the fields that stand once, and checks it.
func (p Policy) fill(fields map[string]string) (Policy, error) {
	if fields["version"] != version {
		return Policy{}, fmt.Errorf("%w: version %.40q", ErrPolicy, fields["version"])
	}
	if p.Mode = Mode(fields["mode"]); p.Mode != Enforce && p.Mode != Testing && p.Mode != None {
		return Policy{}, fmt.Errorf("%w: mode %.40q", ErrPolicy, p.Mode)
	}
	age := fields["max_age"]
	if age == "" || len(age) > 10 || strings.Trim(age, "0123456789") != "" {
		return Policy{}, fmt.Errorf("%w: max_age %.40q", ErrPolicy, age)
	}
	seconds, err := strconv.ParseInt(age, 10, 64)
	if err != nil {
		return Policy{}, fmt.Errorf("%w: max_age: %v", ErrPolicy, err)
	}
	p.MaxAge = time.Duration(min(seconds, int64(maxAge/time.Second))) * time.Second
	if len(p.MX) > maxPatterns || len(p.MX) == 0 && p.Mode != None {
		return Policy{}, fmt.Errorf("%w: %d hosts", ErrPolicy, len(p.MX))
	}
	for i, pattern := range p.MX {
		if p.MX[i], err = cleanPattern(pattern); err != nil {
			return Policy{}, err
		}
	}
	return p, nil
}

// cleanPattern gives a pattern in lower case.
func cleanPattern(pattern string) (string, error) {
	host, star := strings.CutPrefix(pattern, "*.")
	clean, err := dns.ASCII(host)
	if err != nil || clean != strings.ToLower(host) { // A-labels, without a final dot
		return "", fmt.Errorf("%w: mx %.80q", ErrPolicy, pattern)
	}
	if star {
		return "*." + clean, nil
	}
	return clean, nil
}

// parseRecords finds the id of the policy in the TXT records of a domain (RFC 8461 section 3.1). Without exactly one
// record that is well-formed, there is none.
func parseRecords(texts []string) (id string, ok bool) {
	texts = slices.DeleteFunc(slices.Clone(texts), func(s string) bool {
		rest, found := strings.CutPrefix(s, "v="+version)
		return !found || !strings.HasPrefix(strings.TrimLeft(rest, " \t"), ";")
	})
	if len(texts) != 1 || len(texts[0]) > maxRecord {
		return "", false
	}
	for i, field := range strings.Split(texts[0], ";") {
		key, value, found := strings.Cut(strings.Trim(field, " \t"), "=")
		switch {
		case i == 0 || key == "" && !found:
		case !found || value == "":
			return "", false
		case key == "id" && id == "":
			id = value
		}
	}
	return id, isID(id)
}

func isID(id string) bool {
	return 1 <= len(id) && len(id) <= maxID && !strings.ContainsFunc(id, func(c rune) bool {
		return !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9')
	})
}
