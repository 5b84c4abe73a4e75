package transfer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"

	"mailstead/imap/client"
)

// The messages of all mailboxes are cut into jobs, which the connections take in their
// order. A job's messages are held in memory until it is its turn to send them on, so that
// they come in their order though several connections are at work; a large one is a job of
// its own, and is passed on while it comes.
const (
	jobMessages = 200
	jobOctets   = 1 << 20 // as the server tells; also what makes a message large
	// maxHeld bounds what one connection holds, whatever the server told of sizes.
	maxHeld = 4 << 20
)

// job is some messages of one mailbox.
type job struct {
	number int
	box    *pulledBox
	list   []wanted
}

// jobs hands them out.
type jobs struct {
	p *pulling

	mu      sync.Mutex
	changed sync.Cond
	box     int // of the next job
	at      int // in it
	next    int // number of the next job
	turn    int // number of the job that may be sent on
	working int // connections
	err     error
}

// fetchAll fetches everything that is wanted.
func (p *pulling) fetchAll(ctx context.Context) error {
	j := &jobs{p: p}
	j.changed.L = &j.mu
	defer context.AfterFunc(ctx, func() { j.fail(ctx.Err()) })()
	n := p.s.Connections
	if n <= 0 {
		n = defaultConnections
	}
	j.working = min(n, maxConnections)
	var all sync.WaitGroup
	for range j.working {
		all.Go(func() {
			w := worker{p: p, jobs: j}
			err := w.run(ctx)
			if w.conn != nil {
				w.conn.Logout()
			}
			if err != nil {
				j.fail(err)
			}
		})
	}
	all.Wait()
	return j.err
}

// fail ends all work.
func (j *jobs) fail(err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.err == nil {
		j.err = err
	}
	j.changed.Broadcast()
}

// take returns the next job; nil = there is none.
func (j *jobs) take() *job {
	j.mu.Lock()
	defer j.mu.Unlock()
	for j.err == nil && j.box < len(j.p.boxes) {
		box := j.p.boxes[j.box]
		if j.at == len(box.wanted) {
			box.wanted = nil
			j.box, j.at = j.box+1, 0
			continue
		}
		rest := box.wanted[j.at:]
		n, octets := 1, rest[0].size
		for n < min(len(rest), jobMessages) && octets+rest[n].size <= jobOctets {
			octets += rest[n].size
			n++
		}
		job := &job{number: j.next, box: box, list: rest[:n]}
		j.next++
		j.at += n
		return job
	}
	return nil
}

// waitTurn waits until all jobs before are sent on.
func (j *jobs) waitTurn(n int) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	for j.turn != n && j.err == nil {
		j.changed.Wait()
	}
	return j.err
}

func (j *jobs) done(k *job) {
	j.mu.Lock()
	defer j.mu.Unlock()
	k.box.done += len(k.list)
	if j.p.s.Sent != nil {
		j.p.s.Sent(k.box.Name, k.box.done, k.box.of)
	}
	j.turn = k.number + 1
	j.changed.Broadcast()
}

// leave says whether a connection may leave the work to others.
func (j *jobs) leave() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.working == 1 {
		return false
	}
	j.working--
	return true
}

// worker is one connection.
type worker struct {
	p    *pulling
	jobs *jobs
	conn *client.Conn
}

func (w *worker) run(ctx context.Context) error {
	c, err := w.p.s.Dial(ctx)
	if err != nil {
		if w.jobs.leave() {
			return nil // a server that does not want so many
		}
		if c, err = w.p.dial(ctx); err != nil {
			return err
		}
	}
	w.conn = c
	for {
		job := w.jobs.take()
		if job == nil {
			return nil
		}
		if err := w.do(ctx, job); err != nil {
			return err
		}
		w.jobs.done(job)
	}
}

// work is what there is left of a job.
type work struct {
	*job
	pending map[uint32]*wanted
	held    map[uint32][]byte
	octets  int64 // of held
	tries   int   // since something came
	alone   bool  // one message at a time
}

// do fetches a job's messages and sends them on.
func (w *worker) do(ctx context.Context, job *job) error {
	k := &work{job: job, pending: map[uint32]*wanted{}, held: map[uint32][]byte{}}
	for i := range job.list {
		k.pending[job.list[i].uid] = &job.list[i]
	}
	k.alone = len(job.list) == 1 && job.list[0].size > jobOctets
	for !k.alone && len(k.pending) > 0 {
		if err := w.together(ctx, k); err != nil {
			return err
		}
	}
	if err := w.jobs.waitTurn(job.number); err != nil {
		return err
	}
	for i := range job.list {
		m := &job.list[i]
		var err error
		if octets, ok := k.held[m.uid]; ok {
			err = w.p.pass(ctx, w.p.message(job.box, m), octets)
			delete(k.held, m.uid)
		} else if k.pending[m.uid] != nil {
			err = w.single(ctx, job.box, m)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// pass sends a message that is held.
func (p *pulling) pass(ctx context.Context, m *Message, octets []byte) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	m.Body = &octetsReader{rest: octets}
	return send(ctx, p.to, m)
}

// octetsReader reads octets once.
type octetsReader struct{ rest []byte }

func (r *octetsReader) Read(p []byte) (int, error) {
	if len(r.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

// open makes sure that there is a connection, with the mailbox open.
func (w *worker) open(ctx context.Context, box *pulledBox) error {
	for try := 1; ; try++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		var err error
		if w.conn == nil {
			if w.conn, err = w.p.dial(ctx); err != nil {
				w.conn = nil
				return err
			}
		}
		var selected client.Selected
		if selected, err = w.conn.Examine(box.Raw); err == nil {
			if selected.UIDValidity != box.validity {
				return fmt.Errorf("%s: the server has numbered its messages anew; do it again", box.Name)
			}
			return nil
		}
		w.lose(err)
		if try == maxTries {
			return fmt.Errorf("%s: %w", box.Name, err)
		}
		if err := w.p.pause(ctx, try); err != nil {
			return err
		}
	}
}

// lose gives a connection up unless the server has only refused a command.
func (w *worker) lose(err error) {
	if w.conn != nil && !client.IsRefusal(err) {
		w.conn.Close()
		w.conn = nil
	}
}

// together asks for all messages of a job that are left, or leaves them to be asked for
// one by one.
func (w *worker) together(ctx context.Context, k *work) error {
	if err := w.open(ctx, k.box); err != nil {
		return err
	}
	before := len(k.pending)
	err := w.ask(k)
	if len(k.pending) < before {
		k.tries = 0
	}
	k.tries++
	// What the server refuses, leaves out or breaks off twice, the messages have to show
	// one by one whose fault it is.
	k.alone = err == nil || client.IsRefusal(err) || k.tries == 2
	if err == nil {
		return nil
	}
	w.lose(err)
	if k.alone {
		return ctx.Err()
	}
	return w.p.pause(ctx, k.tries)
}

// ask fetches what is pending into memory.
func (w *worker) ask(k *work) error {
	uids := make([]uint32, 0, len(k.pending))
	for uid := range k.pending {
		uids = append(uids, uid)
	}
	slices.Sort(uids)
	var octets []byte
	return w.conn.Bodies(uids, func(b *client.Body) error {
		octets = nil
		if k.octets+b.Size > maxHeld {
			if b.Size > maxHeld {
				return fmt.Errorf("%w: a message of %d octets, said to be small", client.ErrProtocol, b.Size)
			}
			return nil
		}
		octets = make([]byte, b.Size)
		_, err := io.ReadFull(b, octets)
		return err
	}, func(r client.Row) error {
		if k.pending[r.UID] != nil && octets != nil {
			k.held[r.UID] = octets
			k.octets += int64(len(octets))
			delete(k.pending, r.UID)
		}
		octets = nil
		return nil
	})
}

// errNotSent says that a server has a message, and does not give it.
var errNotSent = errors.New("the server does not send it")

// single passes one message on while it comes. It is the turn of its job.
func (w *worker) single(ctx context.Context, box *pulledBox, m *wanted) error {
	msg := w.p.message(box, m)
	for try := 1; ; try++ {
		if err := w.open(ctx, box); err != nil {
			return err
		}
		s := streaming{w: w, ctx: ctx, msg: msg, uid: m.uid, largest: box.largest}
		err := w.conn.Bodies([]uint32{m.uid}, s.body, nil)
		switch {
		case s.failed != nil:
			return s.failed
		case s.sent:
			if err != nil {
				w.lose(err)
			}
			return nil
		case s.tooLarge != nil:
			w.lose(s.tooLarge) // it would have to be read to its end
			return w.p.problem(msg.Origin, s.tooLarge)
		case err == nil:
			there, gone := w.conn.Exists(m.uid)
			if gone != nil {
				err = gone
			} else if !there {
				return nil // removed meanwhile
			} else {
				err = errNotSent
			}
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if client.IsRefusal(err) || errors.Is(err, errNotSent) || try == maxTries {
			w.lose(err)
			return w.p.problem(msg.Origin, err)
		}
		w.lose(err)
		if err := w.p.pause(ctx, try); err != nil {
			return err
		}
	}
}

// streaming is a message that is passed on while it comes.
type streaming struct {
	w        *worker
	ctx      context.Context
	msg      *Message
	uid      uint32
	largest  int64
	sent     bool
	tooLarge error
	failed   error // the sink's
}

func (s *streaming) body(b *client.Body) error {
	if s.sent || b.UID() != 0 && b.UID() != s.uid {
		if b.Size > maxHeld {
			return client.ErrOther
		}
		return nil // of another, of its own accord
	}
	if s.largest > 0 && b.Size > s.largest {
		s.tooLarge = fmt.Errorf("%d octets, and messages may have %d here", b.Size, s.largest)
		return s.tooLarge
	}
	b.Whole = s.uid
	s.msg.Body = b
	s.w.p.mu.Lock()
	defer s.w.p.mu.Unlock()
	err := s.w.p.to.Message(s.ctx, s.msg)
	if broken, ok := errors.AsType[*BodyError](err); ok {
		return broken.Err
	}
	if err != nil {
		s.failed = fmt.Errorf("%s: %w", s.msg.Origin, err)
		return s.failed
	}
	s.sent = true
	return nil
}
