package dns

import (
	"strings"
	"time"

	miekg "github.com/miekg/dns"
)

// step is what one message says to a question.
type step struct {
	name       string // at the end of the CNAME chain, lower case, no final dot
	hops       int    // CNAME records passed
	records    []miekg.RR
	unanswered bool // the chain ends in a name the message says nothing about
	ttl        time.Duration
}

// follow walks the CNAME chain within m (RFC 1034 section 3.6.2) and collects
// the records at its end. It passes maxHops+1 CNAMEs at most, which tells a
// chain that is too long.
func follow(m *miekg.Msg, q question, maxHops int) step {
	s := step{name: q.name, ttl: maxTTL}
	for s.hops <= maxHops {
		records, target, ttl := recordsAt(m, s.name, q.qtype)
		if len(records) > 0 {
			s.records, s.ttl = records, min(s.ttl, ttl)
			return s
		}
		if target == "" {
			break
		}
		s.name, s.ttl = target, min(s.ttl, ttl)
		s.hops++
	}
	negative, ok := negativeTTL(m)
	// A CNAME without its target's records, without a denial: the server has
	// not followed it.
	if s.hops > 0 && !ok && m.Rcode == miekg.RcodeSuccess {
		s.unanswered = true
		return s
	}
	s.ttl = min(s.ttl, negative)
	return s
}

// recordsAt gives the records of a type at name, or the target of the CNAME
// there, with the shortest TTL among them.
func recordsAt(m *miekg.Msg, name string, qtype uint16) (records []miekg.RR, target string, ttl time.Duration) {
	ttl = maxTTL
	for _, rr := range m.Answer {
		h := rr.Header()
		if h.Class != miekg.ClassINET || !sameName(h.Name, name) {
			continue
		}
		if cname, ok := rr.(*miekg.CNAME); ok && qtype != miekg.TypeCNAME {
			target = strings.ToLower(plain(cname.Target))
		} else if h.Rrtype != qtype || len(records) == maxRecords {
			continue
		} else {
			records = append(records, inOne(rr))
		}
		ttl = min(ttl, time.Duration(h.Ttl)*time.Second)
	}
	return records, target, ttl
}

// inOne joins the strings of a text: keys come in two or three, and are read many times.
func inOne(rr miekg.RR) miekg.RR {
	txt, ok := rr.(*miekg.TXT)
	if !ok || len(txt.Txt) < 2 {
		return rr
	}
	return &miekg.TXT{Hdr: txt.Hdr, Txt: []string{strings.Join(txt.Txt, "")}}
}

// negativeTTL tells how long a denial may be kept: the lesser of the SOA
// record's own TTL and its MINIMUM field (RFC 2308 section 5). Without a SOA
// record it is not kept.
func negativeTTL(m *miekg.Msg) (time.Duration, bool) {
	for _, rr := range m.Ns {
		if soa, ok := rr.(*miekg.SOA); ok {
			return time.Duration(min(soa.Minttl, soa.Hdr.Ttl)) * time.Second, true
		}
	}
	return 0, false
}

// sameName compares a name of a message with one of ours.
func sameName(wire, name string) bool {
	return strings.EqualFold(plain(wire), name)
}
