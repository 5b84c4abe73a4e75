// Package dnstest is a DNS server for tests: it answers from a zone text on a
// loopback address, takes updates, and fails on demand.
package dnstest

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	miekg "github.com/miekg/dns"
)

// Fault is how the server misbehaves for one name.
type Fault struct {
	// ServFail answers SERVFAIL.
	ServFail bool
	// Drop answers nothing.
	Drop bool
	// Truncate cuts every answer over UDP, so that the client comes by TCP.
	Truncate bool
	// NoEDNS answers FORMERR to questions with EDNS0, as some old servers do.
	NoEDNS bool
	// Bare leaves the records at the end of a CNAME out of the answer.
	Bare bool
	// Insecure leaves the AD bit out that SetAuthentic gives.
	Insecure bool
	// Delay is waited before answering.
	Delay time.Duration
	// Times is how many questions meet the fault. 0 means all of them.
	Times int
}

// Server answers questions from its zone, over UDP and TCP on one port.
type Server struct {
	addr     string
	udp, tcp *miekg.Server
	serving  sync.WaitGroup
	closed   chan struct{}

	mu        sync.Mutex
	records   []miekg.RR
	faults    map[string]Fault // by canonical name
	authentic bool
	queries   []Query
}

// Query is a question that reached the server.
type Query struct {
	Name string // lower case, no final dot
	Type string // "MX"
	Net  string // "udp" or "tcp"
}

// New starts a server with a zone text and stops it when the test ends.
//
// The text is that of a zone file (RFC 1035 section 5): several domains may
// stand in it, with full names and final dots. A TTL is 300 s if none is given.
// Denials carry the SOA record of the domain, if the zone has one.
func New(tb testing.TB, zone string) *Server {
	tb.Helper()
	s, err := Start(zone)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(s.Close)
	return s
}

// Start starts a server on a free port of 127.0.0.1; Close ends it.
func Start(zone string) (*Server, error) { return StartAt("127.0.0.1:0", zone) }

// StartAt is Start at another IP:PORT.
func StartAt(at, zone string) (*Server, error) {
	s := &Server{faults: make(map[string]Fault), closed: make(chan struct{})}
	if err := s.SetZone(zone); err != nil {
		return nil, err
	}
	pc, l, err := listen(at)
	if err != nil {
		return nil, err
	}
	s.addr = pc.LocalAddr().String()
	s.udp = &miekg.Server{PacketConn: pc, Handler: s}
	s.tcp = &miekg.Server{Listener: l, Handler: s}
	for _, srv := range []*miekg.Server{s.udp, s.tcp} {
		srv.MsgAcceptFunc, srv.TsigSecret = acceptUpdates, map[string]string{updateName: updateSecret}
		started := make(chan struct{})
		srv.NotifyStartedFunc = func() { close(started) }
		// It ends when Close shuts it down.
		s.serving.Go(func() { _ = srv.ActivateAndServe() })
		<-started
	}
	return s, nil
}

// listen takes one port for both protocols. The kernel picks it for UDP and may
// have given it away for TCP, hence the repetition.
func listen(at string) (net.PacketConn, net.Listener, error) {
	var last error
	for range 10 {
		pc, err := net.ListenPacket("udp", at)
		if err != nil {
			return nil, nil, err
		}
		l, err := net.Listen("tcp", pc.LocalAddr().String())
		if err == nil {
			return pc, l, nil
		}
		pc.Close()
		last = err
	}
	return nil, nil, last
}

// Addr is the server's IP:PORT.
func (s *Server) Addr() string { return s.addr }

// Close stops the server and waits until it has ended.
func (s *Server) Close() {
	close(s.closed)
	err := errors.Join(s.udp.Shutdown(), s.tcp.Shutdown())
	s.serving.Wait()
	if err != nil {
		panic(err) // only when it was closed twice
	}
}

// SetZone replaces everything the server knows.
func (s *Server) SetZone(zone string) error {
	p := miekg.NewZoneParser(strings.NewReader(zone), ".", "")
	p.SetDefaultTTL(300)
	var records []miekg.RR
	for rr, ok := p.Next(); ok; rr, ok = p.Next() {
		records = append(records, rr)
	}
	if err := p.Err(); err != nil {
		return fmt.Errorf("zone text: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.records = records
	return nil
}

// SetFault makes the server misbehave for a name; the zero Fault ends that.
func (s *Server) SetFault(name string, f Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults[miekg.CanonicalName(name)] = f
}

// SetAuthentic sets the AD bit of all answers: validated by DNSSEC.
func (s *Server) SetAuthentic(yes bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.authentic = yes
}

// Queries gives the questions that have come in so far, in order.
func (s *Server) Queries() []Query {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.queries)
}

// ServeDNS answers one question.
func (s *Server) ServeDNS(w miekg.ResponseWriter, question *miekg.Msg) {
	if len(question.Question) != 1 {
		return
	}
	network := w.LocalAddr().Network()
	fault := s.arrive(question.Question[0], network)
	if fault.Delay > 0 {
		select {
		case <-time.After(fault.Delay):
		case <-s.closed:
			return
		}
	}
	if fault.Drop {
		return
	}
	if question.Opcode == miekg.OpcodeUpdate {
		s.update(w, question)
		return
	}
	// The client may have left: nothing to do about that here.
	_ = w.WriteMsg(s.reply(question, network, fault))
}

// arrive notes the question and takes the fault that applies to it.
func (s *Server) arrive(q miekg.Question, network string) Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	name := miekg.CanonicalName(q.Name)
	s.queries = append(s.queries, Query{strings.TrimSuffix(name, "."), miekg.TypeToString[q.Qtype], network})
	f := s.faults[name]
	if f.Times > 0 {
		left := f
		if left.Times--; left.Times == 0 {
			left = Fault{}
		}
		s.faults[name] = left
	}
	return f
}

func (s *Server) reply(question *miekg.Msg, network string, fault Fault) *miekg.Msg {
	m := new(miekg.Msg)
	m.SetReply(question)
	m.RecursionAvailable = true
	switch {
	case fault.ServFail:
		m.Rcode = miekg.RcodeServerFailure
		return m
	case fault.NoEDNS && question.IsEdns0() != nil:
		m.Rcode = miekg.RcodeFormatError
		return m
	}
	s.mu.Lock()
	m.AuthenticatedData = s.authentic && !fault.Insecure
	s.answer(m, fault.Bare)
	s.mu.Unlock()
	if network == "udp" {
		size := miekg.MinMsgSize
		if opt := question.IsEdns0(); opt != nil {
			size = int(opt.UDPSize())
		}
		m.Truncate(size)
		if fault.Truncate {
			m.Truncated, m.Answer, m.Ns = true, nil, nil
		}
	}
	return m
}

// answer fills m from the zone, passing CNAME records; s.mu is held.
func (s *Server) answer(m *miekg.Msg, bare bool) {
	q := m.Question[0]
	name := miekg.CanonicalName(q.Name)
	passed := make(map[string]bool)
	for !passed[name] {
		passed[name] = true
		found, target := s.at(name, q.Qtype)
		m.Answer = append(m.Answer, found...)
		if target == "" || bare {
			if len(found) == 0 {
				s.deny(m, name)
			}
			return
		}
		name = target
	}
}

// at gives the records of a type at name, or the CNAME there and its target.
func (s *Server) at(name string, qtype uint16) (found []miekg.RR, target string) {
	for _, rr := range s.records {
		if miekg.CanonicalName(rr.Header().Name) != name {
			continue
		}
		if rr.Header().Rrtype == qtype {
			found = append(found, rr)
		} else if cname, ok := rr.(*miekg.CNAME); ok {
			return []miekg.RR{cname}, miekg.CanonicalName(cname.Target)
		}
	}
	return found, ""
}

// deny says that name has no such record, or does not exist when nothing is at
// or below it (RFC 8020).
func (s *Server) deny(m *miekg.Msg, name string) {
	m.Rcode = miekg.RcodeNameError
	for _, rr := range s.records {
		owner := miekg.CanonicalName(rr.Header().Name)
		if miekg.IsSubDomain(name, owner) {
			m.Rcode = miekg.RcodeSuccess
		}
		if rr.Header().Rrtype == miekg.TypeSOA && miekg.IsSubDomain(owner, name) {
			m.Ns = []miekg.RR{rr}
		}
	}
}
