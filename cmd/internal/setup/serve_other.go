//go:build !linux

package setup

import (
	"context"
	"fmt"
)

// RunServer is for Linux, where a server may open ports below 1024 without being root.
func (s *Setup) RunServer(context.Context) error {
	return fmt.Errorf("--run works on Linux only: start %s serve --config %s", shellWord(s.Host.Executable), shellWord(s.Places.Config))
}
