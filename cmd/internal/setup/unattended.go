package setup

import (
	"context"
	"io"
	"time"
)

// Unattended is a terminal at which nobody sits: questions fail with ErrInputEnded, and nothing is drawn twice.
func Unattended(out io.Writer) *Terminal {
	nobody := func(context.Context) (string, error) { return "", ErrInputEnded }
	return &Terminal{
		Out: out, ReadLine: nobody, ReadSecret: nobody, ASCII: !isUTF8(),
		Pause: func(context.Context, time.Duration) bool { return true },
		Size:  func() (int, int) { return 0, 0 },
	}
}
