package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"
)

// healthcheckCommand is `mailstead healthcheck`, for what asks by a command whether a server is well: the engine of a container, a
// supervisor. It needs no other program.
type healthcheckCommand struct{ place }

// healthcheckTime is for the server to answer. A restart in place takes less, but for one with a lot under way.
const healthcheckTime = 8 * time.Second

// Run asks for the figures, which come from all parts of the server, the store among them. What somebody should look after is not the
// matter here: a server that has little space left becomes no better by being started anew.
func (c healthcheckCommand) Run(ctx context.Context, std streams) error {
	s, err := c.settings()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, healthcheckTime)
	defer cancel()
	switch _, err := askStatus(ctx, s.Dir); {
	case errors.Is(err, errNoServer):
		return errNotRunning
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("the server does not answer within %v", healthcheckTime)
	case err != nil:
		return err
	}
	_, err = io.WriteString(std.out, "healthy\n")
	return err
}
