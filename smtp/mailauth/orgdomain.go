package mailauth

import (
	"context"
	"strings"

	"mailstead/smtp/dns"
)

// maxTreeWalk is the number of names that one tree walk asks for (RFC 9989
// section 4.10).
const maxTreeWalk = 8

// treeWalker finds DMARC Policy Records above domains. It asks for each name
// once, however many walks pass it.
type treeWalker struct {
	resolver Resolver
	records  *Records
	known    map[string]*dmarcRecord // by domain; nil: it has none
}

// placedRecord is a record with the domain it was found at.
type placedRecord struct {
	domain string
	*dmarcRecord
}

// walk gives the records at a domain and above it, the longest name first, up
// to one that says whether it is a public suffix (RFC 9989 section 4.10).
// Domain is in A-labels.
func (w *treeWalker) walk(ctx context.Context, domain string) ([]placedRecord, error) {
	var found []placedRecord
	for _, name := range walkNames(domain) {
		r, err := w.record(ctx, name)
		if err != nil {
			return nil, err
		}
		if r == nil {
			continue
		}
		found = append(found, placedRecord{name, r})
		if r.psd != 'u' {
			break
		}
	}
	return found, nil
}

// walkNames are the names of a tree walk: the domain and those above it, of
// which at most seven are asked for.
func walkNames(domain string) []string {
	names := []string{domain}
	for {
		_, above, found := strings.Cut(domain, ".")
		if !found {
			return names
		}
		domain = above
		if strings.Count(domain, ".")+1 < maxTreeWalk {
			names = append(names, domain)
		}
	}
}

// record gives the DMARC Policy Record of one domain. Several are none (RFC
// 9989 section 4.10 step 2).
func (w *treeWalker) record(ctx context.Context, domain string) (*dmarcRecord, error) {
	if r, ok := w.known[domain]; ok {
		return r, nil
	}
	answer, err := w.resolver.LookupTXT(ctx, "_dmarc."+domain)
	if err != nil && !dns.IsNotFound(err) {
		return nil, err
	}
	var r *dmarcRecord
	for _, text := range answer.Records {
		next, ok := w.records.dmarcRecord(text)
		if !ok {
			continue
		}
		if r != nil {
			r = nil
			break
		}
		r = next
	}
	if w.known == nil {
		w.known = make(map[string]*dmarcRecord)
	}
	w.known[domain] = r
	return r, nil
}

// organization selects the Organizational Domain of a domain from what a walk
// found (RFC 9989 section 4.10.2).
func organization(domain string, found []placedRecord) string {
	if len(found) == 0 {
		return domain
	}
	// The walk ended with the only record that may have the psd tag, and that
	// with the fewest labels.
	last := found[len(found)-1]
	if last.psd == 'y' && last.domain != domain {
		head := domain[:len(domain)-len(last.domain)-1]
		return domain[strings.LastIndexByte(head, '.')+1:]
	}
	return last.domain
}
