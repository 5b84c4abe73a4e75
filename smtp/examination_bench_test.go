package smtp

import (
	"bytes"
	"context"
	"net"
	"testing"

	"mailstead/mailbox/directory"
	"mailstead/smtp/local"
	"mailstead/tls/serve"
)

// BenchmarkExamination is what BenchmarkJudgedShare looks for in the noise of a whole delivery: the checks of its message
// alone, in the session's goroutine, without network and store. "signature-cpu-µs" of that is the mathematics.
func BenchmarkExamination(b *testing.B) {
	w := newJudgedWorld(b)
	s := w.session(b)
	end := bytes.Index(w.message, []byte("\r\n\r\n")) + 4
	examined := func() { examineOnce(b, s, w.message[:end], w.message[end:]) }
	examined() // so that names are in the cache
	b.ReportAllocs()
	before := processorTime(b)
	for b.Loop() {
		examined()
	}
	all := processorTime(b) - before
	signature := processorOf(b, func() {
		for range b.N {
			w.verify(b)
		}
	})
	b.ReportMetric(float64(all.Nanoseconds())/1e3/float64(b.N), "cpu-µs/op")
	b.ReportMetric(float64(signature.Nanoseconds())/1e3/float64(b.N), "signature-cpu-µs")
}

// examineOnce is what a session does with a message, from MAIL to the decision.
func examineOnce(b *testing.B, s *session, header, body []byte) {
	b.Helper()
	s.tx = s.newTransaction(path{local: "a", domain: "pass.example"}, mailParams{})
	s.tx.Recipients = []local.Recipient{{Address: "ann@example.test", Route: directory.Route{Local: []directory.Delivery{{Account: 1}}}}}
	s.tx.examination = s.examine(s.tx.From)
	if _, err := s.tx.examination.begin(header, false); err != nil {
		b.Fatal(err)
	}
	held := s.server.o.Deliver.NewSpool()
	for chunk := range chunks(body, 4096) {
		_, err := s.tx.examination.Write(chunk)
		must(b, err)
		_, err = held.Write(chunk)
		must(b, err)
	}
	head, err := s.tx.examination.finish(false, held)
	must(b, err)
	if !bytes.Contains(head, []byte("dmarc=pass")) || !bytes.Contains(head, []byte("dkim=pass")) {
		b.Fatalf("found: %s", head)
	}
	s.tx.examination.close()
	held.Free()
}

// chunks cuts p into pieces of at most n octets.
func chunks(p []byte, n int) func(func([]byte) bool) {
	return func(yield func([]byte) bool) {
		for len(p) > 0 {
			size := min(n, len(p))
			if !yield(p[:size]) {
				return
			}
			p = p[size:]
		}
	}
}

// session is one with a server that checks everything, of a client that says nothing itself.
func (w *judgedWorld) session(b *testing.B) *session {
	b.Helper()
	o := newHouse(b).options(Receiver)
	o.Checks = &Checks{Resolver: w.resolver}
	server := New(o)
	opened, done := make(chan *session), make(chan struct{})
	conns := serve.New(serve.Options{Name: "benchmark", Logger: server.manner.Load().o.Logger}, func(c *serve.Conn) {
		opened <- newSession(server.manner.Load(), c)
		<-done
	})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(b, err)
	go conns.Serve(l)
	conn, err := net.Dial("tcp", l.Addr().String())
	must(b, err)
	s := <-opened
	b.Cleanup(func() {
		close(done)
		conn.Close()
		conns.Shutdown(context.Background())
	})
	s.helo, s.esmtp = "c", true
	return s
}
