package setup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

// ErrInputEnded says that nobody answers any more.
var ErrInputEnded = errors.New("the input ended before the last question was answered")

// Terminal is where setup talks with the owner.
type Terminal struct {
	Out io.Writer
	// ReadLine waits for a line, without its end. ErrInputEnded, or the context's error.
	ReadLine func(ctx context.Context) (string, error)
	// ReadSecret is ReadLine for what is not to be seen.
	ReadSecret func(ctx context.Context) (string, error)
	// Pause waits for a time, and reports whether Enter was pressed, or the input ended, before it was over.
	Pause func(ctx context.Context, d time.Duration) (pressed bool)
	// Size is that of the window in characters; 0, 0 where lines cannot be drawn again.
	Size func() (width, height int)
	// ASCII leaves signs out that need UTF-8.
	ASCII bool

	asked bool // something
}

// Signs in front of lines.
const (
	signDone    = "✓"
	signMissing = "✗"
	signWarning = "!"
	signUnknown = "?"
)

func (t *Terminal) sign(s string) string {
	if !t.ASCII {
		return s
	}
	switch s {
	case signDone:
		return "+"
	case signMissing:
		return "-"
	}
	return s
}

func (t *Terminal) say(format string, args ...any) {
	fmt.Fprintf(t.Out, format+"\n", args...)
}

// paragraph says a text with its lines indented.
func (t *Terminal) paragraph(lines ...string) {
	for _, l := range lines {
		t.say("      %s", l)
	}
}

// maxTries is how often a question is asked: who answers wrongly ten times is a program.
const maxTries = 10

// ask asks until take takes an answer; an empty one is the default.
func (t *Terminal) ask(ctx context.Context, question, def string, take func(string) error) error {
	t.asked = true
	for range maxTries {
		fmt.Fprintf(t.Out, "%s [%s]: ", question, def)
		line, err := t.ReadLine(ctx)
		if err != nil {
			t.say("")
			return err
		}
		if strings.TrimSpace(line) == "" {
			line = def
		}
		err = take(line)
		if err == nil {
			return nil
		}
		if !errors.Is(err, ErrAnswer) {
			return err
		}
		t.say("  %v", err)
	}
	return fmt.Errorf("no answer that can be, in %d tries: %s", maxTries, question)
}

// askPassword asks for a password; Enter takes the generated one, which is shown, and another one is typed twice.
func (t *Terminal) askPassword(ctx context.Context, generated string) (string, error) {
	t.asked = true
	for range maxTries {
		fmt.Fprintf(t.Out, "Password (not shown while you type) [%s]: ", generated)
		first, err := t.ReadSecret(ctx)
		if err != nil || first == "" {
			t.say("")
			return generated, err
		}
		if err := CheckPassword(first); err != nil {
			t.say("\n  %v", err)
			continue
		}
		fmt.Fprint(t.Out, "\nOnce more: ")
		second, err := t.ReadSecret(ctx)
		t.say("")
		if err != nil {
			return "", err
		}
		if first == second {
			return first, nil
		}
		t.say("  the two differ")
	}
	return "", fmt.Errorf("no password in %d tries", maxTries)
}
