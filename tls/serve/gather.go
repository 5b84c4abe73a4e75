package serve

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"sync"
)

const (
	// gathered is how much of an answer is encrypted before it goes out: several records,
	// of 16 KB each at most, so that they do not cost a system call,
	// and wake the peer up, one by one. crypto/tls makes those at the start of an answer a
	// tenth of that, for who would wait for a whole one.
	gathered = 64 << 10
	// maxRecord is more than a record of TLS 1.2 or 1.3 has.
	maxRecord = 5 + 16<<10 + 2048
	// leastGathered is from how many octets on an answer may be more than one record.
	leastGathered = 1 << 10
)

// records are what socket gathers in. A connection has one only while it writes.
var records = sync.Pool{New: func() any { b := make([]byte, 0, gathered+maxRecord); return &b }}

// socket is what TLS lies over.
type socket struct {
	net.Conn
	shown *x509.Certificate // written by the handshake's goroutine

	mu      sync.Mutex // an answer to a key update may be written while the session writes
	records *[]byte    // what is gathered; nil = records go out as they come
	failure error      // of writing: what was gathered may be lost, so nothing can follow
}

// Write takes a record of TLS.
func (s *socket) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.failure != nil:
		return 0, s.failure
	case s.records == nil:
		return s.Conn.Write(p)
	}
	*s.records = append(*s.records, p...)
	if len(*s.records) >= gathered {
		s.flush()
	}
	return len(p), s.failure
}

// gather has records wait for each other until release.
func (s *socket) gather() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.records = records.Get().(*[]byte)
}

// release writes out what was gathered.
func (s *socket) release() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.flush()
	if cap(*s.records) <= gathered+maxRecord {
		records.Put(s.records)
	}
	s.records = nil
	return s.failure
}

// flush writes out what was gathered. The caller holds mu.
func (s *socket) flush() {
	if len(*s.records) > 0 && s.failure == nil {
		_, s.failure = s.Conn.Write(*s.records)
	}
	*s.records = (*s.records)[:0]
}

// writeTLS writes an answer over TLS in few system calls.
func writeTLS(c *tls.Conn, s *socket, p []byte) (int, error) {
	s.gather()
	n, err := c.Write(p)
	if failure := s.release(); err == nil && failure != nil {
		return 0, failure
	}
	return n, err
}
