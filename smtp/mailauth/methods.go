package mailauth

import (
	"bytes"
	"net/netip"

	"mailstead/mailbox/message"
)

// Method is the result as it is written into Authentication-Results (RFC 8601
// section 2.7.2). For the null reverse-path that is postmaster at the name of
// HELO.
func (r SPFResult) Method() MethodResult {
	m := MethodResult{Method: "spf", Result: known(r.Result), Reason: errorWords(r.Result, r.Err)}
	switch {
	case r.Identity == SPFHelo && r.Domain != "":
		m.Properties = []Property{{"smtp", string(SPFHelo), r.Domain}}
	case r.Sender != "":
		m.Properties = []Property{{"smtp", string(SPFMailFrom), r.Sender}}
	}
	return m
}

// Method is the result as it is written into Authentication-Results (RFC 9989
// section 9.1), for a failure with what the domain asks for.
func (r DMARCResult) Method() MethodResult {
	m := MethodResult{Method: "dmarc", Result: known(r.Result), Reason: errorWords(r.Result, r.Err)}
	if r.Result == Fail {
		m.Reason = "the domain asks for: " + string(r.Policy)
	}
	if r.Author != "" {
		m.Properties = []Property{{"header", "from", r.Author}}
	}
	return m
}

// Method is the result for a client's address as it is written into
// Authentication-Results (RFC 8601 section 2.7.3).
func (r IPRevResult) Method(ip netip.Addr) MethodResult {
	m := MethodResult{Method: "iprev", Result: known(r.Result)}
	if ip.IsValid() {
		m.Properties = []Property{{"policy", "iprev", ip.Unmap().WithZone("").String()}}
	}
	return m
}

// known is a result that can be written: what was not tried found nothing.
func known(r Result) Result {
	if r == "" {
		return None
	}
	return r
}

// errorWords gives the reason of errors, for whoever has to mend them. Why there
// is nothing to check is no news.
func errorWords(r Result, err error) string {
	if err == nil || r != TempError && r != PermError {
		return ""
	}
	return err.Error()
}

// DKIMFact is what all signatures of a message came to together: Pass if any
// passed, else TempError if any could not be judged, else Fail if there is any
// that was judged, else None.
func (r Results) DKIMFact() Result {
	fact := None
	for _, d := range r.DKIM {
		switch {
		case d.Result == Pass:
			return Pass
		case d.Result == TempError:
			fact = TempError
		case d.Result != None && fact == None:
			fact = Fail
		}
	}
	return fact
}

// ARCFact is what the chain came to, with TempError where a key could not be
// looked up.
func (r Results) ARCFact() Result {
	if r.ARC.Result == Fail && r.ARC.Temporary {
		return TempError
	}
	return known(r.ARC.Result)
}

// Identifiers are the domains that SPF and DKIM have judged, for DMARC. A
// signature counts with the domain of d= (RFC 9989 section 4.4.1), and the
// reverse-path only as it is: the null one has the name of HELO (RFC 7208
// section 2.4).
func Identifiers(spf SPFResult, signatures []DKIMResult) []Identifier {
	ids := []Identifier{{Method: "spf", Domain: spf.Domain, Result: spf.Result}}
	for _, d := range signatures {
		ids = append(ids, Identifier{Method: "dkim", Domain: d.Domain, Result: d.Result})
	}
	return ids
}

// IsMailingList reports whether a header has a field by which mailing lists
// are known: List-Id (RFC 2919) or List-Post (RFC 2369). The others of RFC 2369
// are in newsletters, too.
func IsMailingList(header []byte) bool {
	for f := range message.Fields(header) {
		if bytes.EqualFold(f.Name, []byte("List-Id")) || bytes.EqualFold(f.Name, []byte("List-Post")) {
			return true
		}
	}
	return false
}
