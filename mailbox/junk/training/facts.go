package training

import (
	"net/netip"
	"strings"

	"mailstead/mailbox/junk"
	"mailstead/mailbox/message"
)

// storedFacts are what was found out about a letter when it came, as this server has written it in front (RFC 8601): in the
// Authentication-Results field above the first Received field, which is ours as well. What is below, others wrote.
func storedFacts(raw []byte) junk.Facts {
	var f junk.Facts
	for field := range message.Fields(raw) {
		switch strings.ToLower(string(field.Name)) {
		case "received":
			return f
		case "authentication-results":
			_, results, _ := strings.Cut(string(field.Value[:min(len(field.Value), maxResults)]), ";")
			for result := range strings.SplitSeq(results, ";") {
				takeResult(&f, strings.Fields(result))
			}
			return f
		}
	}
	return f
}

// maxResults bounds the octets of results that are looked at.
const maxResults = 8 << 10

// takeResult takes one result: method=result, then properties and comments (RFC 8601 section 2.2), as this server writes them.
func takeResult(f *junk.Facts, words []string) {
	if len(words) == 0 {
		return
	}
	method, result, _ := strings.Cut(words[0], "=")
	switch r := junk.Result(result); method {
	case "spf":
		f.SPF = r
	case "dkim":
		if f.DKIM == "" || r == junk.Pass {
			f.DKIM = r
		}
	case "dmarc":
		f.DMARC = r
	case "arc":
		f.ARC = r
	case "iprev":
		f.IPRev = r
	}
	for _, word := range words[1:] {
		name, value, _ := strings.Cut(word, "=")
		switch {
		case name == "policy.iprev":
			f.Client, _ = netip.ParseAddr(value)
		case name == "header.from" && method == "dmarc" && f.DMARC == junk.Pass:
			f.Domain = strings.ToLower(value)
		}
	}
}
