package main

import (
	"errors"
	"fmt"
	"syscall"

	"golang.org/x/sys/unix"
)

// noCapabilities fails if the process may still do something of what root may, or could make itself.
func noCapabilities() error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var sets [2]unix.CapUserData
	if err := unix.Capget(&header, &sets[0]); err != nil {
		return fmt.Errorf("capabilities: %w", err)
	}
	for _, c := range sets {
		if c.Effective|c.Permitted != 0 {
			return fmt.Errorf("it has kept capabilities: %+v", sets)
		}
	}
	return nil
}

// confine gives up for good what programs could get by executing others, and keeps other processes of the same user
// from reading the memory, where passwords and keys are. What the service manager granted, CAP_NET_BIND_SERVICE
// most often, stays: docs/decisions/0026.
func confine() error {
	_, _, errno := syscall.AllThreadsSyscall6(unix.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0, 0)
	if errno != 0 && errno != unix.ENOTSUP { // as where C was linked, for the race detector: it cannot be said to all threads
		return fmt.Errorf("no new privileges: %w", errno)
	}
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil && !errors.Is(err, unix.ENOSYS) {
		return fmt.Errorf("keep others from reading the memory: %w", err)
	}
	return nil
}
