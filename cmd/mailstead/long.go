package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"os"
	"time"
)

// Long actions take minutes or hours. The server reports their progress in
// values of their own before the answer, and ends them when the client goes
// away or the server stops; nothing else limits their time.

// progress is how far a long action is.
type progress struct {
	Doing string `json:"doing"`           // the step it is at: "reading the log"
	Done  int64  `json:"done"`            // of this step, in units
	Total int64  `json:"total,omitempty"` // 0 where nobody knows
	Unit  string `json:"unit"`            // octets, messages
}

// octets is the unit that is shown as KB, MB and GB.
const octets = "octets"

// report is told how far a long action is, as often as the action likes. It is
// called by one goroutine at a time.
type report func(progress)

// unheard is for those who do not show progress.
func unheard(progress) {}

// action is what can be asked for.
type action struct {
	run  func(*admin, context.Context, json.RawMessage, report) (any, error)
	long bool
}

// act makes an action of a method: its parameters are read from JSON.
func act[P, R any](f func(*admin, context.Context, P) (R, error)) action {
	a := actLong(func(a *admin, ctx context.Context, p P, _ report) (R, error) { return f(a, ctx, p) })
	a.long = false
	return a
}

// actLong makes an action of a method that reports its progress. Its context
// ends when nobody waits for it any more.
func actLong[P, R any](f func(*admin, context.Context, P, report) (R, error)) action {
	run := func(a *admin, ctx context.Context, params json.RawMessage, tell report) (any, error) {
		var p P
		if err := json.Unmarshal(params, &p); err != nil {
			return nil, usage("parameters: %v", err)
		}
		return f(a, ctx, p, tell)
	}
	return action{run: run, long: true}
}

// reportEvery is the least time between two reports of one step.
const reportEvery = 200 * time.Millisecond

// spaced passes on the first report of every step, its last one, and of others
// so many that somebody who looks on sees them move.
func spaced(tell report, now func() time.Time) report {
	var step string
	var told time.Time
	return func(p progress) {
		ended := p.Total > 0 && p.Done >= p.Total
		if at := now(); p.Doing != step || ended || at.Sub(told) >= reportEvery {
			step, told = p.Doing, at
			tell(p)
		}
	}
}

// serverStopping is the text of the failure of an action that the server's end has ended.
const serverStopping = "the server is stopping"

// errClientGone ends a long action.
var errClientGone = errors.New("whoever asked has gone away")

// answerLong performs a long action for the client of conn.
func (c *control) answerLong(conn net.Conn, q request) error {
	ctx, cancel := context.WithCancelCause(c.closing)
	defer cancel(nil)
	if err := conn.SetReadDeadline(time.Time{}); err != nil {
		return err
	}
	// A second stop after the deadline was lifted: the server may be closing.
	defer context.AfterFunc(c.closing, func() { conn.SetReadDeadline(time.Unix(1, 0)) })()
	watch := func() { // ends with the connection, at the latest
		if _, err := io.Copy(io.Discard, conn); !errors.Is(err, os.ErrDeadlineExceeded) {
			cancel(errClientGone)
		}
	}
	go watch()
	encoder := json.NewEncoder(conn)
	send := func(r response) error {
		if err := conn.SetWriteDeadline(time.Now().Add(controlTimeout)); err != nil {
			return err
		}
		return encoder.Encode(r)
	}
	answer := c.admin().do(ctx, q, spaced(func(p progress) {
		if err := send(response{Progress: &p}); err != nil {
			cancel(errClientGone)
		}
	}, time.Now))
	if answer.Failure != nil && c.closing.Err() != nil {
		answer.Failure.Text = serverStopping
	}
	if context.Cause(ctx) == errClientGone {
		c.log.Info("control socket: an action was given up", "action", q.Action, "reason", errClientGone)
		return nil
	}
	return send(answer)
}
