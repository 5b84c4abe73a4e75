//go:build !linux

package tls

import "syscall"

// limitUnacknowledged has nothing to set here: only Linux has TCP_USER_TIMEOUT.
func limitUnacknowledged(_, _ string, _ syscall.RawConn) error { return nil }

// mustListen leaves it to the first accept to find out.
func mustListen(syscall.RawConn) error { return nil }
