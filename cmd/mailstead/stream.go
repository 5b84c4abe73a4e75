package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"mailstead/mailbox/transfer"
)

// Actions with a stream move mail through the control socket, since the files are
// those of whoever asks, and the store is the server's: behind the request and towards the
// answer go the frames of package transfer, and the answer is what the last one says. The
// server ends the action when it stops, or when nothing came or went for controlTimeout.

// streamAction performs an action with what comes from the client and a way to it.
type streamAction func(a *admin, ctx context.Context, params json.RawMessage, from *transfer.Decoder, to *transfer.Encoder) (any, error)

// streamActions is the table of them.
var streamActions = map[string]streamAction{
	"import": importStream,
	"export": exportStream,
}

// stopTime is how long a stopping server waits for a client to take its last words.
const stopTime = time.Second

// streamConn is a connection whose every read and write has its time, little
// once the server is stopping.
type streamConn struct {
	net.Conn
	closing context.Context
}

func (c streamConn) Read(p []byte) (int, error) {
	if err := c.SetReadDeadline(time.Now().Add(controlTimeout)); err != nil {
		return 0, err
	}
	if err := c.closing.Err(); err != nil { // who stops later sets a deadline that is over
		return 0, err
	}
	return c.Conn.Read(p)
}

func (c streamConn) Write(p []byte) (int, error) {
	if err := c.SetWriteDeadline(time.Now().Add(controlTimeout)); err != nil {
		return 0, err
	}
	if c.closing.Err() != nil {
		c.stop()
	}
	return c.Conn.Write(p)
}

// stop ends reads at once, and writes soon.
func (c streamConn) stop() {
	c.SetReadDeadline(time.Unix(1, 0))
	c.SetWriteDeadline(time.Now().Add(stopTime))
}

// answerStream performs an action with a stream. before is what was read of it with the request.
func (c *control) answerStream(conn net.Conn, before io.Reader, act streamAction, q request) error {
	var newline [1]byte // behind the request
	stream := streamConn{conn, c.closing}
	in := io.MultiReader(before, stream)
	if _, err := io.ReadFull(in, newline[:]); err != nil {
		return fmt.Errorf("%s: %w", q.Action, err)
	}
	defer context.AfterFunc(c.closing, stream.stop)()
	to := transfer.NewEncoder(stream)
	var answer response
	result, err := act(c.admin(), c.closing, q.Params, transfer.NewDecoder(in), to)
	if err == nil {
		answer.Result, err = json.Marshal(result)
	}
	if err != nil {
		answer.Failure = failureOf(err)
		if c.closing.Err() != nil {
			answer.Failure.Text = serverStopping
		}
	}
	words, err := json.Marshal(answer)
	if err != nil {
		return err
	}
	if err := to.End(words); err != nil {
		c.log.Info("control socket: an action was given up", "action", q.Action, "reason", errClientGone)
	}
	return nil
}

// openStream asks the running server for an action with a stream. errNoServer.
func openStream(ctx context.Context, dir, action string, params any) (net.Conn, error) {
	q := request{Action: action}
	var err error
	if q.Params, err = json.Marshal(params); err != nil {
		return nil, fmt.Errorf("%s: %w", action, err)
	}
	conn, err := dialControl(ctx, dir)
	if err != nil {
		return nil, err
	}
	if err := json.NewEncoder(conn).Encode(q); err != nil {
		return nil, errors.Join(fmt.Errorf("ask the running server: %w", err), conn.Close())
	}
	return conn, nil
}

// lastWords reads the answer with which the server ended a stream.
func lastWords(words []byte, result any) error {
	var answer response
	if err := json.Unmarshal(words, &answer); err != nil {
		return fmt.Errorf("the running server's answer: %w", err)
	}
	if answer.Failure != nil {
		return answer.Failure
	}
	return json.Unmarshal(answer.Result, result)
}

// importOver sends all that source has to the running server.
func importOver(ctx context.Context, dir string, p importParams, source transfer.Source, show *shown) (totals transfer.Totals, err error) {
	conn, err := openStream(ctx, dir, "import", p)
	if err != nil {
		return totals, err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	answers := transfer.NewDecoder(conn)
	answers.Progress = func(t transfer.Totals) error {
		totals = t
		return show.progress(t)
	}
	var heard error
	var listening sync.WaitGroup
	listening.Go(func() { heard = answers.Send(ctx, problemsOnly{show}) })
	to := transfer.NewEncoder(conn)
	sent := source.Send(ctx, to)
	if sent == nil {
		sent = to.End(nil)
	}
	gone := isGone(to.Err())
	if sent != nil && !gone {
		conn.Close() // the server must not wait for the rest
	}
	listening.Wait()
	switch {
	case heard == nil: // its words also say why it would not hear any more
		return totals, lastWords(answers.Words(), &totals)
	case ctx.Err() != nil:
		return totals, ctx.Err()
	case sent != nil && !gone:
		return totals, sent
	}
	return totals, fmt.Errorf("the running server's answer: %w", heard)
}

// isGone says whether the other side does not read any more: what it said last tells why.
func isGone(err error) bool {
	_, ok := errors.AsType[*net.OpError](err)
	return ok && !errors.Is(err, os.ErrDeadlineExceeded)
}

// problemsOnly is the sink of an answer: it may hold problems, and no mail.
type problemsOnly struct{ show *shown }

var errNotAsked = errors.New("the server sends mail that nobody asked for")

func (problemsOnly) Folder(context.Context, transfer.Folder) error    { return errNotAsked }
func (problemsOnly) Message(context.Context, *transfer.Message) error { return errNotAsked }
func (p problemsOnly) Problem(problem transfer.Problem) error         { return p.show.problem(problem) }

// exportOver has the running server send an account's mail to sink.
func exportOver(ctx context.Context, dir string, p exportParams, sink transfer.Sink) error {
	conn, err := openStream(ctx, dir, "export", p)
	if err != nil {
		return err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	from := transfer.NewDecoder(conn)
	if err := from.Send(ctx, sink); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return err
	}
	return lastWords(from.Words(), &nothing{})
}
