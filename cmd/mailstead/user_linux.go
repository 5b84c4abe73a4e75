package main

import (
	"fmt"
	"syscall"
)

// setUser gives the process the user and the groups of id for good. Package syscall does it for all threads.
func setUser(id identity) error {
	if err := syscall.Setgroups(id.groups); err != nil {
		return fmt.Errorf("groups: %w", err)
	}
	if err := syscall.Setresgid(id.gid, id.gid, id.gid); err != nil {
		return fmt.Errorf("group: %w", err)
	}
	return syscall.Setresuid(id.uid, id.uid, id.uid)
}

// setEffectiveRoot tries to be root again by the effective user alone.
func setEffectiveRoot() error { return syscall.Setresuid(-1, 0, -1) }
