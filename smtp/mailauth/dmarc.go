package mailauth

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"mailstead/smtp/dns"
)

const (
	// dmarcTimeout is for one whole check.
	dmarcTimeout = 20 * time.Second
	// maxIdentifiers is the number of identifiers that are held against a From:
	// that of SPF, and those of as many signatures as anybody verifies.
	maxIdentifiers = 16
)

// Identifier is a domain that SPF or DKIM has judged (RFC 9989 section 3.2.1).
type Identifier struct {
	// Method is "spf" for the domain of the MAIL FROM identity, "dkim" for a
	// signature's d=.
	Method string
	// Domain may be Unicode.
	Domain string
	// Result is the method's; only Pass authenticates, and TempError leaves
	// open what would have been.
	Result Result
}

// DMARC holds the author's domain of a message against who was authenticated
// (RFC 9989). Its methods may be called at the same time.
type DMARC struct {
	// Resolver answers the look-ups.
	Resolver Resolver
	// Timeout bounds a check; what takes longer is TempError. Default 20 s.
	Timeout time.Duration
	// Records keeps records from one check to the next. nil = each check reads its own.
	Records *Records
}

// DMARCResult is what a check came to.
type DMARCResult struct {
	// Result is None, where no record applies; Pass; Fail; TempError; or
	// PermError, where a record cannot be used.
	Result Result
	// Author is the domain that was checked, in A-labels.
	Author string
	// Domain is where the record was found that applies: Author, or a domain
	// above it. Empty if there is none.
	Domain string
	// Organization is the Organizational Domain of Author, empty where nothing
	// depended on it.
	Organization string
	// Published is what the record asks for, "none" where none applies.
	Published DMARCPolicy
	// Policy is what is asked for of this message: Published if the result is
	// Fail, one step milder while Testing, and otherwise "none".
	Policy DMARCPolicy
	// Testing says that the owner only tries the policy out (tag "t").
	Testing bool
	// Reported says that the record asks for reports.
	Reported bool
	// Aligned is the identifier that proves Author: for Pass, and where no policy
	// is known, too, if it is the author's very domain.
	Aligned Identifier
	// Err is the reason of None, TempError and PermError.
	Err error
}

var (
	errDMARCNoRecord = errors.New("no DMARC record")
	errDMARCBroken   = errors.New("DMARC record without a valid policy")
)

// Check evaluates DMARC for the domain in From, which may be Unicode. Of the
// identifiers 16 are looked at.
func (d *DMARC) Check(ctx context.Context, author string, identifiers []Identifier) DMARCResult {
	r := DMARCResult{Author: author, Published: DMARCNone, Policy: DMARCNone}
	ascii, err := dns.ASCII(author)
	if err != nil {
		r.Result, r.Err = PermError, err
		return r
	}
	r.Author = ascii
	if Offline(d.Resolver) {
		r.Result, r.Err = None, dns.ErrDisabled
		return r
	}
	timeout := d.Timeout
	if timeout <= 0 {
		timeout = dmarcTimeout
	}
	ctx, cancel := bounded(ctx, timeout)
	defer cancel()
	w := &treeWalker{resolver: d.Resolver, records: d.Records}
	identifiers = byCost(identifiers[:min(len(identifiers), maxIdentifiers)], ascii)
	record, err := r.discover(ctx, w)
	if err == nil {
		r.Result, err = r.align(ctx, w, record, identifiers)
	} else if i := slices.IndexFunc(identifiers, r.provenBy); i >= 0 {
		r.Aligned = identifiers[i]
	}
	switch {
	case errors.Is(err, errDMARCNoRecord):
		r.Result, r.Err = None, err
	case errors.Is(err, errDMARCBroken):
		r.Result, r.Err = PermError, err
	case err != nil:
		r.Result, r.Err = lookupFailed(err), fmt.Errorf("DMARC for %s: %w", r.Author, err)
	case r.Result == Fail && r.Testing:
		r.Policy = r.Published.inTest()
	case r.Result == Fail:
		r.Policy = r.Published
	}
	return r
}

// discover finds the record that applies and what it asks for (RFC 9989 section
// 4.10.1): that of the author's domain, else that of its Organizational Domain,
// else that of the public suffix.
func (r *DMARCResult) discover(ctx context.Context, w *treeWalker) (*dmarcRecord, error) {
	record, err := w.record(ctx, r.Author)
	if err != nil {
		return nil, err
	}
	placed := placedRecord{r.Author, record}
	if record == nil {
		if placed, err = r.discoverAbove(ctx, w); err != nil {
			return nil, err
		}
	}
	r.Domain, r.Testing, r.Reported = placed.domain, placed.testing, placed.hasReportTo
	if placed.broken && !placed.hasReportTo {
		return nil, errDMARCBroken
	}
	if record != nil {
		r.Published = record.assessment()
		return record, nil
	}
	exists := true
	if placed.distinguishes() {
		if exists, err = domainExists(ctx, w.resolver, r.Author); err != nil {
			return nil, err
		}
	}
	r.Published = placed.assessmentBelow(exists)
	return placed.dmarcRecord, nil
}

// discoverAbove finds the record for a domain that has none.
func (r *DMARCResult) discoverAbove(ctx context.Context, w *treeWalker) (placedRecord, error) {
	found, err := w.walk(ctx, r.Author)
	if err != nil {
		return placedRecord{}, err
	}
	if len(found) == 0 {
		return placedRecord{}, errDMARCNoRecord
	}
	r.Organization = organization(r.Author, found)
	// Records between the author and the organization do not count. Where the
	// organization has none, the walk has ended at the public suffix above it.
	for _, f := range found {
		if f.domain == r.Organization {
			return f, nil
		}
	}
	return found[len(found)-1], nil
}

// domainExists tells whether a name is in the DNS, with records of whatever
// type (RFC 9989 section 3.2.13).
func domainExists(ctx context.Context, r Resolver, domain string) (bool, error) {
	_, err := r.LookupTXT(ctx, domain)
	if err == nil {
		return true, nil
	}
	if !dns.IsNotFound(err) {
		return false, err
	}
	var e *dns.Error
	return !errors.As(err, &e) || !e.NoName, nil
}

// provenBy tells whether an identifier passed for the author's very domain.
func (r *DMARCResult) provenBy(id Identifier) bool {
	return id.Result == Pass && id.Domain == r.Author
}

// align decides between Pass and Fail (RFC 9989 section 5.3.5). Where a look-up
// failed that could have led to Pass, it is neither (section 5.3.6).
func (r *DMARCResult) align(ctx context.Context, w *treeWalker, record *dmarcRecord, identifiers []Identifier) (Result, error) {
	var open error
	for _, id := range identifiers {
		strict := record.strictDKIM
		if id.Method == "spf" {
			strict = record.strictSPF
		}
		aligned, err := r.aligned(ctx, w, id.Domain, strict)
		switch {
		case err != nil:
			open = err
		case aligned && id.Result == Pass:
			r.Aligned = id
			return Pass, nil
		case aligned:
			open = fmt.Errorf("%s of %s is open", id.Method, id.Domain)
		}
	}
	if open != nil {
		return TempError, open
	}
	return Fail, nil
}

// byCost gives the identifiers that can matter, in A-labels: those that are the
// author's domain first, as they need no look-up and decide most mail.
func byCost(identifiers []Identifier, author string) []Identifier {
	same := make([]Identifier, 0, len(identifiers))
	var others []Identifier
	for _, id := range identifiers {
		if id.Result != Pass && id.Result != TempError {
			continue
		}
		domain, err := dns.ASCII(id.Domain)
		if err != nil {
			continue
		}
		if id.Domain = domain; domain == author {
			same = append(same, id)
		} else {
			others = append(others, id)
		}
	}
	return append(same, others...)
}

// aligned tells whether a domain speaks for the author's (RFC 9989 section
// 4.4).
func (r *DMARCResult) aligned(ctx context.Context, w *treeWalker, domain string, strict bool) (bool, error) {
	if domain == r.Author || strict {
		return domain == r.Author, nil
	}
	if r.Organization == "" {
		found, err := w.walk(ctx, r.Author)
		if err != nil {
			return false, err
		}
		r.Organization = organization(r.Author, found)
	}
	// An Organizational Domain is the domain itself or above it, so what is not
	// below the author's cannot have the same: strangers cost no look-up.
	if !isSubdomain(domain, r.Organization) {
		return false, nil
	}
	found, err := w.walk(ctx, domain)
	if err != nil {
		return false, err
	}
	return organization(domain, found) == r.Organization, nil
}
