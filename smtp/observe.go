package smtp

import (
	"mailstead/smtp/feedback"
	"mailstead/smtp/report"
)

// observe tells what was found and decided, where the author's domain asks for reports.
func (e *examination) observe() {
	tell := e.checks.Observe
	if tell == nil || e.checks.RecordOnly || !e.facts.DMARC.Reported {
		return
	}
	tx := e.session.tx
	to := make([]string, len(tx.Recipients))
	for i, r := range tx.Recipients {
		to[i] = r.Address
	}
	tell(feedback.Observation{
		Facts: &e.facts, Signatures: e.found.DKIM, Verdict: &e.verdict, ReversePath: tx.From, Recipients: to,
		Report: report.Recognize(e.header),
	})
}
