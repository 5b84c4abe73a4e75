package imap

import (
	"math"
	"slices"
	"strconv"

	goimap "github.com/emersion/go-imap/v2"

	"mailstead/imap/wire"
	"mailstead/mailbox"
)

// resync is what a client knows of a mailbox that it comes back to: the parameter
// QRESYNC of SELECT and EXAMINE (RFC 7162 section 3.2.5).
type resync struct {
	validity uint32
	since    mailbox.ModSeq
	known    goimap.UIDSet // nil = all
	matched  bool          // the two that follow were given
	seqs     goimap.SeqSet
	uids     goimap.UIDSet
}

// resyncParameter reads the list behind QRESYNC.
func (s *session) resyncParameter() *resync {
	r := &resync{}
	s.dec.SP()
	s.dec.Expect('(')
	if r.validity = s.dec.Number(); r.validity == 0 {
		s.dec.Fail("0 is no UIDVALIDITY")
	}
	s.dec.SP()
	if r.since = modSeq(s.dec); r.since == 0 {
		s.dec.Fail("0 is no mod-sequence")
	}
	more := s.dec.Accept(' ')
	if more && s.dec.Peek() != '(' {
		r.known = s.knownUIDs()
		more = s.dec.Accept(' ')
	}
	if more {
		s.resyncMatches(r)
	}
	s.dec.Expect(')')
	return r
}

// knownUIDs reads a set of UIDs without "*".
func (s *session) knownUIDs() goimap.UIDSet {
	set := s.dec.UIDSet()
	if set.Dynamic() {
		s.dec.Fail("* is not allowed here")
	}
	return set
}

// resyncMatches reads sequence numbers and the UIDs that belong to them (section 3.2.5.2).
func (s *session) resyncMatches(r *resync) {
	r.matched = true
	s.dec.Expect('(')
	r.seqs = s.dec.SeqSet()
	if r.seqs.Dynamic() {
		s.dec.Fail("* is not allowed here")
	}
	s.dec.SP()
	r.uids = s.knownUIDs()
	s.dec.Expect(')')
	if s.dec.Err() == nil && count(r.seqs) != count(r.uids) {
		s.dec.Fail("there are not as many sequence numbers as UIDs")
	}
}

// count is the number of messages that a set without "*" names.
func count(set goimap.NumSet) (n uint64) {
	switch set := set.(type) {
	case goimap.SeqSet:
		for _, r := range set {
			n += uint64(r.Stop-r.Start) + 1
		}
	case goimap.UIDSet:
		for _, r := range set {
			n += uint64(r.Stop-r.Start) + 1
		}
	}
	return n
}

// checkResync refuses what the client may not say in its state (RFC 7162 section 3.2.3,
// RFC 9586 section 4: sequence numbers are none of its business any more).
func (s *session) checkResync(r *resync) error {
	switch {
	case r == nil:
		return nil
	case !s.qresync:
		return bad("QRESYNC has not been enabled")
	case s.uidOnly && r.matched:
		return errUIDRequired
	}
	return nil
}

// tellResync tells of what is gone, and then of what changed, since the client knew the
// mailbox. A client that knew another mailbox by this name finds out by the UIDVALIDITY.
func (s *session) tellResync(r *resync, info *mailbox.Info) error {
	if r.validity != info.UIDValidity {
		return nil
	}
	known := r.known
	if known == nil {
		known = goimap.UIDSet{{Start: 1, Stop: math.MaxUint32}}
	}
	s.tellVanishedEarlier(known, r.since, s.selected.matchedUpTo(r))
	spans := s.selected.spansOfUIDs(known)
	if len(spans) > 0 {
		s.tellKeywords()
	}
	return s.selected.each(spans, func(row *mailbox.Row) error {
		if row.ModSeq > r.since {
			s.tellRow(row, true)
		}
		return s.enc.Err()
	})
}

// matchedUpTo returns the highest UID up to which the client knows all that is gone: the
// last of its pairs of sequence number and UID that still belong together. Both sides
// count as many messages up to there, and nothing comes into a mailbox but at its end.
func (sel *selected) matchedUpTo(r *resync) goimap.UID {
	have := sel.view.UIDs()
	var upTo goimap.UID
	i, next := 0, goimap.UID(0) // the UID that belongs to the next sequence number
	for _, seqs := range r.seqs {
		for seq := seqs.Start; ; seq++ {
			if next == 0 || next > r.uids[i].Stop {
				if next != 0 {
					i++
				}
				next = r.uids[i].Start
			}
			if int(seq) > len(have) || have[seq-1] != next {
				return upTo
			}
			upTo = next
			if next++; seq == seqs.Stop {
				break
			}
		}
	}
	return upTo
}

// tellVanishedEarlier tells which of the messages in set, above the UID from, were
// expunged after since (RFC 7162 section 3.2.10.1). When the store does not remember that
// far back it tells of all that are not there. What is still in the session's view is not
// gone for it: of that it hears in its turn.
func (s *session) tellVanishedEarlier(set goimap.UIDSet, since mailbox.ModSeq, from goimap.UID) {
	sel := s.selected
	gone, ok := sel.mailbox.Vanished(since)
	if !ok {
		info, err := sel.mailbox.Info()
		if err != nil || info.UIDNext <= 1 {
			return
		}
		gone = goimap.UIDSet{{Start: 1, Stop: info.UIDNext - 1}}
	}
	if from > 0 {
		gone = without(gone, from)
	}
	gone = holes(intersection(set, gone), sel.view.UIDs())
	if len(gone) > 0 {
		s.enc.SetBuf(append(appendUIDSet(append(s.enc.Buf(), "* VANISHED (EARLIER) "...), gone), "\r\n"...))
	}
}

// without returns the UIDs of set, which ascends, above from.
func without(set goimap.UIDSet, from goimap.UID) goimap.UIDSet {
	if from == math.MaxUint32 {
		return nil
	}
	return intersection(set, goimap.UIDSet{{Start: from + 1, Stop: math.MaxUint32}})
}

// intersection returns the UIDs that are in both sets, which ascend. A range of a that
// ends with "*" has no end; "*" alone is the last message, which is there.
func intersection(a, b goimap.UIDSet) goimap.UIDSet {
	var out goimap.UIDSet
	for i, j := 0, 0; i < len(a) && j < len(b); {
		if a[i].Start == 0 {
			break
		}
		stop := a[i].Stop
		if stop == 0 {
			stop = math.MaxUint32
		}
		if from, to := max(a[i].Start, b[j].Start), min(stop, b[j].Stop); from <= to {
			out = append(out, goimap.UIDRange{Start: from, Stop: to})
		}
		if stop < b[j].Stop {
			i++
		} else {
			j++
		}
	}
	return out
}

// holes returns set without the UIDs in have; both ascend.
func holes(set goimap.UIDSet, have []goimap.UID) goimap.UIDSet {
	var out goimap.UIDSet
	for _, r := range set {
		i, _ := slices.BinarySearch(have, r.Start)
		from := r.Start
		for ; i < len(have) && have[i] <= r.Stop; i++ {
			if from < have[i] {
				out = append(out, goimap.UIDRange{Start: from, Stop: have[i] - 1})
			}
			from = have[i] + 1
		}
		if from <= r.Stop && from != 0 {
			out = append(out, goimap.UIDRange{Start: from, Stop: r.Stop})
		}
	}
	return out
}

// appendUIDSet appends a set without "*".
func appendUIDSet(dst []byte, set goimap.UIDSet) []byte {
	for i, r := range set {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = strconv.AppendUint(dst, uint64(r.Start), 10)
		if r.Stop > r.Start {
			dst = append(dst, ':')
			dst = strconv.AppendUint(dst, uint64(r.Stop), 10)
		}
	}
	return dst
}

// tellGone tells of messages that are gone: by UIDs to a client that knows VANISHED, in one
// response (RFC 7162 section 3.2.10.2, RFC 9586 section 3.6), else one by one.
func (s *session) tellGone(u *mailbox.Update) {
	switch {
	case len(u.Vanished) == 0:
	case s.qresync || s.uidOnly:
		b := wire.AppendNumbers(append(s.enc.Buf(), "* VANISHED "...), u.Vanished)
		s.enc.SetBuf(append(b, "\r\n"...))
		s.vanished = true
	default:
		for _, seq := range u.Expunged {
			s.enc.Text("* ").Number(uint64(seq)).Text(" EXPUNGE\r\n")
		}
	}
}

// checkVanished refuses the modifier VANISHED where it has no meaning (section 3.2.6).
func (s *session) checkVanished(r *request, p *fetchPlan) {
	switch {
	case !p.vanished:
	case !s.qresync:
		s.dec.Fail("QRESYNC has not been enabled")
	case !r.uid:
		s.dec.Fail("VANISHED goes with UID FETCH")
	}
}

// progress tells a client with QRESYNC how far it has come when it would not know, or
// think that it is further: a VANISHED brings no mod-sequence with it, and the
// mod-sequences of a FETCH may be above that of a change it was not told of yet (RFC 7162
// section 3.2 and the example of section 6). It is empty when there is nothing to say.
func (s *session) progress() (code string) {
	told := s.modSeqs
	gone := s.vanished
	s.modSeqs, s.vanished = false, false
	if !s.qresync || s.selected == nil {
		return ""
	}
	view := s.selected.view
	if !gone && !(told && view.Behind()) {
		return ""
	}
	return "HIGHESTMODSEQ " + strconv.FormatUint(uint64(view.HighestModSeq()), 10)
}

// tellProgress writes progress as a response of its own.
func (s *session) tellProgress() {
	if code := s.progress(); code != "" {
		s.enc.Text("* OK [", code, "] so far\r\n")
	}
}
