package report

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// tlsReport is a report as it is written (RFC 8460 section 4.4). Members that
// are not shown are passed over.
type tlsReport struct {
	Org   string `json:"organization-name"`
	ID    string `json:"report-id"`
	Range struct {
		Start time.Time `json:"start-datetime"`
		End   time.Time `json:"end-datetime"`
	} `json:"date-range"`
	Policies []struct {
		Policy struct {
			Type   string `json:"policy-type"`
			Domain string `json:"policy-domain"`
		} `json:"policy"`
		Summary struct {
			Succeeded int64 `json:"total-successful-session-count"`
			Failed    int64 `json:"total-failure-session-count"`
		} `json:"summary"`
		Failures []struct {
			Type  string `json:"result-type"`
			Count int64  `json:"failed-session-count"`
		} `json:"failure-details"`
	} `json:"policies"`
}

// parseTLS reads a TLS report. ErrNone.
func parseTLS(content []byte) (*Report, error) {
	if err := boundJSON(content); err != nil {
		return nil, fmt.Errorf("%w: %v", ErrNone, err)
	}
	var t tlsReport
	if err := json.Unmarshal(content, &t); err != nil {
		return nil, fmt.Errorf("%w: %v", ErrNone, err)
	}
	r := &Report{Kind: KindTLS, Org: text(t.Org), ID: text(t.ID), Begin: t.Range.Start.UTC(), End: t.Range.End.UTC()}
	for _, p := range t.Policies[:min(len(t.Policies), keptPolicy)] {
		kept := Policy{
			Type: text(p.Policy.Type), Domain: domain(p.Policy.Domain),
			Succeeded: count(p.Summary.Succeeded), Failed: count(p.Summary.Failed),
		}
		for _, f := range p.Failures {
			kept.add(text(f.Type), count(f.Count))
		}
		r.Policies = append(r.Policies, kept)
	}
	if len(r.Policies) == 0 || r.Policies[0].Domain == "" || !r.checkTimes() {
		return nil, fmt.Errorf("%w: JSON that lacks what a report has", ErrNone)
	}
	r.Domain = r.Policies[0].Domain
	return r, nil
}

// add counts a reason.
func (p *Policy) add(reason string, n int64) {
	i := slices.IndexFunc(p.Failures, func(f Failure) bool { return strings.EqualFold(f.Type, reason) })
	switch {
	case i >= 0:
		p.Failures[i].Count = count(p.Failures[i].Count + n)
	case len(p.Failures) < keptReasons:
		p.Failures = append(p.Failures, Failure{reason, n})
	}
}

// count keeps a number to what can be.
func count(n int64) int64 { return min(max(n, 0), maxCount) }

// boundJSON walks a value before it is read: a short text can name more empty
// objects than there is memory for their fields.
func boundJSON(content []byte) error {
	d := json.NewDecoder(bytes.NewReader(content))
	depth := 0
	for tokens := 0; ; tokens++ {
		t, err := d.Token()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if t == json.Delim('{') || t == json.Delim('[') {
			depth++
		} else if t == json.Delim('}') || t == json.Delim(']') {
			depth--
		}
		if depth > maxDepth || tokens > maxJSON {
			return errNesting
		}
	}
}
