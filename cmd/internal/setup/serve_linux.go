package setup

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// serverPatience is how long a server that is told to end may take.
const serverPatience = 30 * time.Second

// RunServer runs the server in the foreground until ctx ends. Started by root it runs as the server's user, who may
// open ports below 1024 and nothing else of what root may.
func (s *Setup) RunServer(ctx context.Context) error {
	c := exec.CommandContext(ctx, s.Host.Executable, "serve", "--config", s.Places.Config)
	c.Stdout, c.Stderr = os.Stdout, os.Stderr
	c.Dir = "/"
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C is passed on once, by ctx
	if s.Host.Root {
		c.Path = s.Host.installed()
		c.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(s.uid), Gid: uint32(s.gid)}
		c.SysProcAttr.AmbientCaps = []uintptr{unix.CAP_NET_BIND_SERVICE}
	}
	c.Cancel = func() error { return c.Process.Signal(syscall.SIGTERM) }
	c.WaitDelay = serverPatience
	err := c.Run()
	if failed, ok := errors.AsType[*exec.ExitError](err); ok && !failed.Success() {
		return fmt.Errorf("the server: %w", err)
	}
	if ctx.Err() != nil {
		return nil // it was told to end, and did
	}
	return err
}
