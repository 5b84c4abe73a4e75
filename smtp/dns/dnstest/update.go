package dnstest

import (
	"slices"

	miekg "github.com/miekg/dns"
)

// UpdateKey is the TSIG key that updates are to be signed with, as tsig-keygen(8) writes one.
const UpdateKey = `key "` + updateName + `" {
	algorithm hmac-sha256;
	secret "` + updateSecret + `";
};
`

const (
	updateName   = "update.example.test."
	updateSecret = "bWFpbHN0ZWFkIHRlc3RzIHVwZGF0ZSB0aGUgRE5TIQ=="
)

// acceptUpdates lets updates through, which the library refuses by default.
func acceptUpdates(h miekg.Header) miekg.MsgAcceptAction {
	const opcodes = 0xF
	if int(h.Bits>>11)&opcodes == miekg.OpcodeUpdate && h.Bits>>15 == 0 {
		return miekg.MsgAccept
	}
	return miekg.DefaultMsgAcceptFunc(h)
}

// update changes the zone (RFC 2136 section 3.4.2), for whoever has the key.
func (s *Server) update(w miekg.ResponseWriter, m *miekg.Msg) {
	answer := new(miekg.Msg)
	answer.SetReply(m)
	sig := m.IsTsig()
	if sig == nil || w.TsigStatus() != nil {
		answer.Rcode = miekg.RcodeRefused
		if sig != nil {
			answer.Rcode = miekg.RcodeNotAuth
		}
		_ = w.WriteMsg(answer)
		return
	}
	zone := m.Question[0].Name
	s.mu.Lock()
	for _, rr := range m.Ns {
		if !miekg.IsSubDomain(zone, rr.Header().Name) {
			answer.Rcode = miekg.RcodeNotZone
			break
		}
		s.apply(rr)
	}
	s.mu.Unlock()
	answer.SetTsig(sig.Hdr.Name, sig.Algorithm, sig.Fudge, int64(sig.TimeSigned))
	_ = w.WriteMsg(answer)
}

// apply makes one change; s.mu is held.
func (s *Server) apply(rr miekg.RR) {
	switch rr.Header().Class {
	case miekg.ClassINET:
		s.records = append(s.records, rr)
	case miekg.ClassNONE:
		gone := miekg.Copy(rr)
		gone.Header().Class = miekg.ClassINET
		s.records = slices.DeleteFunc(slices.Clone(s.records), func(r miekg.RR) bool { return miekg.IsDuplicate(r, gone) })
	}
}
