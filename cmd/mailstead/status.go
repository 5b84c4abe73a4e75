package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"golang.org/x/term"

	"mailstead/cmd/internal/figures"
)

// statusCommand is `mailstead status`.
type statusCommand struct {
	place
	JSON  bool `name:"json" xor:"form" help:"Print one JSON object, with all figures."`
	Watch bool `xor:"form" help:"Draw the screen again every two seconds, until interrupted."`
}

// errOnlyFolder is the end of a status without a server.
var errOnlyFolder = errors.New("no server is running; what is shown is what its folder has")

func (c statusCommand) Run(ctx context.Context, std streams, log *slog.Logger) error {
	if c.Watch {
		return c.watch(ctx, std)
	}
	f, err := call[figures.Figures](ctx, c.place, log, "status", nothing{})
	if err != nil {
		return err
	}
	if c.JSON {
		e := json.NewEncoder(std.out)
		e.SetEscapeHTML(false)
		e.SetIndent("", "  ")
		err = e.Encode(f)
	} else {
		columns, _, colours := terminal(std.out)
		err = printLines(std.out, f.Screen(figures.ScreenOptions{Columns: columns, Colour: colours, Zone: time.Local}))
	}
	if err == nil && !f.Running {
		err = errOnlyFolder
	}
	return err
}

func printLines(w io.Writer, lines []string) error {
	_, err := io.WriteString(w, strings.Join(lines, "\n")+"\n")
	return err
}

// terminal is how large the terminal is behind w, and whether it is to have colours: figures.Columns and any number of
// rows, 0, without one. NO_COLOR switches them off (https://no-color.org).
func terminal(w io.Writer) (columns, rows int, colours bool) {
	f, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return figures.Columns, 0, false
	}
	columns, rows, err := term.GetSize(int(f.Fd()))
	if err != nil || columns == 0 {
		columns, rows = figures.Columns, 0
	}
	return columns, rows, os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
}

// watchEvery is the pause between two screens.
const watchEvery = 2 * time.Second

// watch draws the screen until the user has seen enough.
func (c statusCommand) watch(ctx context.Context, std streams) error {
	s, err := c.settings()
	if err != nil {
		return err
	}
	if f, ok := std.out.(*os.File); !ok || !term.IsTerminal(int(f.Fd())) {
		return usage("--watch is for a terminal")
	}
	resized := make(chan os.Signal, 1)
	signal.Notify(resized, syscall.SIGWINCH)
	defer signal.Stop(resized)
	ticks := time.NewTicker(watchEvery)
	defer ticks.Stop()
	w := watcher{
		out: std.out, ticks: ticks.C, resized: resized, zone: time.Local,
		size: func() (int, int, bool) { return terminal(std.out) },
		ask:  func(ctx context.Context) (figures.Figures, error) { return askStatus(ctx, s.Dir) },
	}
	return w.run(ctx)
}

// askStatus asks the running server.
func askStatus(ctx context.Context, dir string) (f figures.Figures, err error) {
	answer, err := ask(ctx, dir, request{Action: "status", Params: json.RawMessage("{}")}, unheard)
	switch {
	case err != nil:
		return f, err
	case answer.Failure != nil:
		return f, answer.Failure
	}
	return f, json.Unmarshal(answer.Result, &f)
}

// watcher draws what it asks for, again and again.
type watcher struct {
	out     io.Writer
	ticks   <-chan time.Time
	resized <-chan os.Signal
	zone    *time.Location
	size    func() (columns, rows int, colours bool)
	ask     func(context.Context) (figures.Figures, error)

	last   figures.Figures
	failed error // the last question
}

// What terminals are told (ECMA-48, and xterm's alternate screen).
const (
	enterScreen = "\x1b[?1049h\x1b[?25l" // the alternate screen, without cursor
	leaveScreen = "\x1b[?25h\x1b[?1049l"
	toTop       = "\x1b[H"
	clearLine   = "\x1b[K"
	clearRest   = "\x1b[J"
)

// run draws until ctx ends, and leaves the terminal as it was. A server that does not answer may come back.
func (w *watcher) run(ctx context.Context) (err error) {
	if _, err := io.WriteString(w.out, enterScreen); err != nil {
		return err
	}
	defer func() {
		_, left := io.WriteString(w.out, leaveScreen)
		err = errors.Join(err, left)
	}()
	w.look(ctx)
	for {
		if err := w.draw(); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-w.ticks:
			w.look(ctx)
		case <-w.resized:
		}
	}
}

func (w *watcher) look(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 5*watchEvery)
	defer cancel()
	f, err := w.ask(ctx)
	if w.failed = err; err == nil {
		w.last = f
	}
}

// draw draws what fits into the terminal.
func (w *watcher) draw() error {
	columns, rows, colours := w.size()
	var lines []string
	if w.failed != nil {
		lines = append(lines, fmt.Sprintf("%.*s", columns, "no answer: "+w.failed.Error()), "")
	}
	if !w.last.At.IsZero() {
		lines = append(lines, w.last.Screen(figures.ScreenOptions{Columns: columns, Colour: colours, Zone: w.zone})...)
	}
	if rows > 0 && len(lines) > rows {
		lines = lines[:rows]
	}
	// No line end behind the last line: it would scroll the first one away.
	_, err := io.WriteString(w.out, toTop+strings.Join(lines, clearLine+"\r\n")+clearLine+clearRest)
	return err
}
