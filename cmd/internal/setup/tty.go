package setup

import (
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
	"golang.org/x/term"
)

// NewTerminal is one that reads from in and writes to out; width and height are asked of out.
func NewTerminal(in, out *os.File) *Terminal {
	return &Terminal{
		Out:        out,
		ReadLine:   func(ctx context.Context) (string, error) { return readLine(ctx, in) },
		ReadSecret: func(ctx context.Context) (string, error) { return readSecret(ctx, in) },
		Pause: func(ctx context.Context, d time.Duration) bool {
			if !readable(ctx, in, d) {
				return false
			}
			_, err := readLine(ctx, in)
			return err == nil || errors.Is(err, ErrInputEnded)
		},
		Size: func() (int, int) {
			width, height, err := term.GetSize(int(out.Fd()))
			if err != nil || os.Getenv("TERM") == "dumb" {
				return 0, 0
			}
			return width, height
		},
		ASCII: !isUTF8(),
	}
}

// isUTF8 tells whether the locale's characters are UTF-8 (locale(7)).
func isUTF8() bool {
	for _, variable := range []string{"LC_ALL", "LC_CTYPE", "LANG"} {
		if v := strings.ToLower(os.Getenv(variable)); v != "" {
			return strings.Contains(v, "utf-8") || strings.Contains(v, "utf8")
		}
	}
	return false
}

// glance is how often a waiting question looks whether the context has ended.
const glance = 200 * time.Millisecond

// readable waits until something can be read from f, the context ends, or the time is over; d < 0 is for ever.
func readable(ctx context.Context, f *os.File, d time.Duration) bool {
	for end := time.Now().Add(d); ctx.Err() == nil && (d < 0 || time.Now().Before(end)); {
		fds := []unix.PollFd{{Fd: int32(f.Fd()), Events: unix.POLLIN}}
		n, err := unix.Poll(fds, int(glance/time.Millisecond))
		if n > 0 || err != nil && !errors.Is(err, unix.EINTR) {
			return true
		}
	}
	return false
}

// maxLine bounds an answer, in octets: a terminal's own line is no longer.
const maxLine = 4096

// readLine takes one octet at a time: what comes after the line is the next question's.
func readLine(ctx context.Context, f *os.File) (string, error) {
	var line []byte
	one := make([]byte, 1)
	for {
		if !readable(ctx, f, -1) {
			return "", ctx.Err()
		}
		n, err := f.Read(one)
		switch {
		case n == 0 || errors.Is(err, io.EOF):
			return "", ErrInputEnded
		case err != nil:
			return "", err
		case one[0] == '\n' || len(line) == maxLine:
			return strings.TrimSuffix(string(line), "\r"), nil
		}
		line = append(line, one[0])
	}
}

// readSecret reads without echo. When the context ends, echo comes back; the read that is left over ends with the process,
// which has nothing more to ask.
func readSecret(ctx context.Context, f *os.File) (string, error) {
	fd := int(f.Fd())
	before, err := term.GetState(fd)
	if err != nil {
		return readLine(ctx, f)
	}
	type result struct {
		text []byte
		err  error
	}
	done := make(chan result, 1)
	go func() {
		text, err := term.ReadPassword(fd)
		done <- result{text, err}
	}()
	select {
	case r := <-done:
		if errors.Is(r.err, io.EOF) {
			r.err = ErrInputEnded
		}
		return string(r.text), r.err
	case <-ctx.Done():
		return "", errors.Join(ctx.Err(), term.Restore(fd, before))
	}
}
