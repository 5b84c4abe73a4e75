package imap

import (
	"slices"
	"strings"

	goimap "github.com/emersion/go-imap/v2"

	"mailstead/imap/wire"
	"mailstead/mailbox"
)

// store is STORE and UID STORE (RFC 3501 section 6.4.6) with UNCHANGEDSINCE (RFC 7162
// section 3.1.3).
func (s *session) store(r *request) (reply, error) {
	s.dec.SP()
	spans := s.numbers(r)
	s.dec.SP()
	var change mailbox.StoreChange
	change.UnchangedSince = s.unchangedSince()
	silent := s.storeItem(&change)
	s.dec.End()
	if err := s.dec.Err(); err != nil {
		return reply{}, err
	}
	if s.selected.readOnly {
		return reply{}, errReadOnly
	}
	if change.UnchangedSince != nil {
		s.enableCondstore()
	}
	change.UIDs, change.View = s.selected.uidsOf(spans), s.selected.view
	change.Permits = []mailbox.Permit{s.permitSelected(r)}
	result, err := s.selected.mailbox.Store(s.ctx, change)
	if err != nil {
		return reply{}, err
	}
	if err := s.tellStored(spans, &change, &result, silent); err != nil {
		return reply{}, err
	}
	if len(result.Modified) == 0 {
		return reply{}, nil
	}
	return reply{Code: "MODIFIED " + s.modified(r, result.Modified), Text: "conditional STORE failed for some"}, nil
}

var errReadOnly = no(goimap.ResponseCodeNoPerm, "the mailbox is selected read-only")

// unchangedSince reads the optional (UNCHANGEDSINCE n) with the space behind it.
func (s *session) unchangedSince() (since *mailbox.ModSeq) {
	if s.dec.Peek() != '(' {
		return nil
	}
	s.dec.List(func() {
		if s.dec.Word() != "UNCHANGEDSINCE" {
			s.dec.Fail("unknown modifier")
		}
		s.dec.SP()
		n := mailbox.ModSeq(s.dec.Number64())
		since = &n
	})
	s.dec.SP()
	return since
}

// storeItem reads FLAGS, +FLAGS or -FLAGS, perhaps with .SILENT, and the flags.
func (s *session) storeItem(change *mailbox.StoreChange) (silent bool) {
	item, silent := strings.CutSuffix(s.dec.Word(), ".SILENT")
	switch item {
	case "FLAGS":
		change.Op = mailbox.FlagsReplace
	case "+FLAGS":
		change.Op = mailbox.FlagsAdd
	case "-FLAGS":
		change.Op = mailbox.FlagsRemove
	default:
		s.dec.Fail("expected FLAGS, +FLAGS or -FLAGS")
	}
	s.dec.SP()
	if s.dec.Peek() == '(' {
		change.Flags = s.dec.Flags()
	} else {
		change.Flags = s.dec.BareFlags()
	}
	s.checkFlags(change.Flags)
	return silent
}

// checkFlags refuses flags with a backslash that are not the client's to set: \Recent,
// and all that RFC 3501 does not define.
func (s *session) checkFlags(flags []goimap.Flag) {
	for _, f := range flags {
		if strings.HasPrefix(string(f), `\`) && systemBit(f) < 0 {
			s.dec.Fail("%q is no flag that can be set", string(f))
		}
	}
}

// systemBit returns the bit of a system flag, -1 for other flags.
func systemBit(f goimap.Flag) int {
	for bit, name := range systemFlags {
		if f == name {
			return bit
		}
	}
	return -1
}

// tellStored answers a STORE. With .SILENT the client knows the flags already, unless
// somebody else changed them just before; but not the MODSEQ they have now, and after
// UNCHANGEDSINCE it waits for that of each message that passed (RFC 7162 section 3.1.3).
func (s *session) tellStored(spans []span, change *mailbox.StoreChange, result *mailbox.StoreResult, silent bool) error {
	if result.ModSeq != 0 {
		s.selected.view.Reported(result.ModSeq)
	}
	if silent && !s.condstore && len(result.Surprise) == 0 {
		return nil
	}
	s.tellKeywords()
	return s.selected.each(spans, func(row *mailbox.Row) error {
		switch {
		case !silent || holds(result.Surprise, row.UID):
			s.tellRow(row, true)
		case !s.condstore:
		case row.ModSeq == result.ModSeq, change.UnchangedSince != nil && !holds(result.Modified, row.UID):
			s.tellRow(row, false)
		}
		return s.enc.Err()
	})
}

// holds reports whether uid is one of uids, which ascend.
func holds(uids []goimap.UID, uid goimap.UID) bool {
	_, found := slices.BinarySearch(uids, uid)
	return found
}

// modified names the messages that failed UNCHANGEDSINCE as the command named them.
func (s *session) modified(r *request, uids []goimap.UID) string {
	if r.uid {
		return string(wire.AppendNumbers(nil, uids))
	}
	var seqs []uint32
	for _, uid := range uids {
		if seq, ok := s.selected.view.Seq(uid); ok {
			seqs = append(seqs, seq)
		}
	}
	return string(wire.AppendNumbers(nil, seqs))
}
