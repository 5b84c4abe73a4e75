//go:build !linux

package main

import (
	"fmt"
	"syscall"
)

// setUser gives the process the user and the groups of id for good: root's setuid(2) and setgid(2) set the
// real, the effective and the saved one. The kernel keeps them for the process, not for each thread.
func setUser(id identity) error {
	if err := syscall.Setgroups(id.groups); err != nil {
		return fmt.Errorf("groups: %w", err)
	}
	if err := syscall.Setgid(id.gid); err != nil {
		return fmt.Errorf("group: %w", err)
	}
	return syscall.Setuid(id.uid)
}

// setEffectiveRoot tries to be root again by the effective user alone.
func setEffectiveRoot() error { return syscall.Seteuid(0) }
