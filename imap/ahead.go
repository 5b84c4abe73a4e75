package imap

import (
	"errors"
	"io"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"mailstead/tls/serve"
)

const (
	// maxReadAhead is how much of a client's input is taken from the connection while a
	// command runs, in octets: all that a program pipelines without reading the replies,
	// as long a line as any. The rest stays in the socket's buffers, and the client waits.
	maxReadAhead = 64 << 10
	// maxStrangersReadAhead is the same before login, when there may be a thousand of them,
	// each waiting for the answer to a wrong password.
	maxStrangersReadAhead = 4 << 10
	// readAheadAfter is how long the session may be busy before input is read meanwhile.
	// Nearly all commands are done by then, and cost nothing but a timer.
	readAheadAfter = 100 * time.Millisecond
	// readAheadStep is the room for the first octets; most often there are none.
	readAheadStep = 1 << 10
)

// readAhead is the reading side of a connection. While the session is busy, with a
// command that takes long or with a client that does not take what is written, another
// goroutine reads on: so that a client that writes commands before it reads replies is
// not stuck together with us, and so that a client that goes is noticed. Its methods
// belong to the session's goroutine; an idle session has neither goroutine nor buffer.
type readAhead struct {
	conn    *serve.Conn
	timer   *time.Timer    // starts run; nil at first
	armed   bool           // since the last read
	running sync.WaitGroup // what was armed and not stopped in time
	most    atomic.Int32   // octets that may be read ahead

	// Of run, until it has ended; the session waits for that before it looks.
	buf  []byte
	used int   // of buf
	err  error // that ended the input

	ended atomic.Bool // err is set
}

// Read implements io.Reader: what was read ahead comes first. Whatever the session does
// with it, if that takes long, input is read meanwhile.
func (a *readAhead) Read(p []byte) (n int, err error) {
	a.stop()
	switch {
	case a.waiting() > 0:
		n = copy(p, a.buf[a.used:])
		if a.used += n; a.waiting() == 0 {
			a.drop()
		}
	case a.err != nil:
		return 0, a.err
	default:
		n, err = a.conn.Read(p)
	}
	if n > 0 || errors.Is(err, serve.ErrInterrupted) {
		a.arm()
	}
	return n, err
}

// arm has run begin unless the session reads again soon.
func (a *readAhead) arm() {
	if a.ended.Load() {
		return
	}
	a.armed = true
	a.running.Add(1)
	a.conn.LetReadAhead()
	if a.timer == nil {
		a.timer = time.AfterFunc(readAheadAfter, a.run)
		return
	}
	a.timer.Reset(readAheadAfter)
}

// stop ends reading ahead. From its return on the connection is the session's again.
func (a *readAhead) stop() {
	if !a.armed {
		return
	}
	a.armed = false
	if a.timer.Stop() {
		a.running.Done()
		return
	}
	a.conn.StopReadingAhead()
	a.running.Wait()
}

// waiting is how many octets were read ahead and not used, after stop.
func (a *readAhead) waiting() int { return len(a.buf) - a.used }

// drop forgets what was read ahead, after stop.
func (a *readAhead) drop() { a.buf, a.used = nil, 0 }

// run reads ahead, as much as it may, until it is stopped or the input ends.
func (a *readAhead) run() {
	defer a.running.Done()
	a.buf = slices.Delete(a.buf, 0, a.used)
	a.used = 0
	for most := int(a.most.Load()); len(a.buf) < most; {
		if len(a.buf) == cap(a.buf) {
			a.buf = slices.Grow(a.buf, max(len(a.buf), readAheadStep))
		}
		n, err := a.conn.ReadAhead(a.buf[len(a.buf):min(cap(a.buf), most)])
		a.buf = a.buf[:len(a.buf)+n]
		switch {
		case err == nil:
		case errors.Is(err, serve.ErrInterrupted), errors.Is(err, os.ErrDeadlineExceeded):
			return
		default:
			a.err = err
			a.ended.Store(true)
			return
		}
	}
}

// closed reports whether the client has closed its side while a command runs. It may
// still listen: that shows when something is written to it.
func (a *readAhead) closed() bool {
	return a.ended.Load() && (errors.Is(a.err, io.EOF) || errors.Is(a.err, io.ErrUnexpectedEOF))
}

// lost is the error of a connection that has failed while a command runs, nil if it has
// not.
func (a *readAhead) lost() error {
	if !a.ended.Load() || a.closed() {
		return nil
	}
	return a.err
}

// interrupted says why a command that only reads is not to go on, nil if it is: the
// session was cut off, the server shuts down, the connection has failed.
func (s *session) interrupted() error {
	if err := s.ctx.Err(); err != nil {
		return err
	}
	if s.server != nil && s.server.front.Closing() {
		return serve.ErrInterrupted
	}
	if s.conn != nil {
		return s.conn.note(s.conn.ahead.lost())
	}
	return nil
}

// half reports whether the client has closed its side of the connection while a command
// runs, so that it is to be asked soon whether it is there at all.
func (s *session) half() bool { return s.conn != nil && s.conn.ahead.closed() }
