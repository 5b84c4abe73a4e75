package tls

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// limitUnacknowledged sets TCP_USER_TIMEOUT (RFC 5482) on the listening socket;
// the connections that it accepts inherit it.
func limitUnacknowledged(_, _ string, c syscall.RawConn) error {
	var err error
	ctlErr := c.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(deadAfter.Milliseconds()))
	})
	if ctlErr != nil {
		return ctlErr
	}
	return err
}

// mustListen fails for a socket on which listen(2) was not called.
func mustListen(c syscall.RawConn) error {
	var listens int
	var err error
	ctlErr := c.Control(func(fd uintptr) {
		listens, err = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_ACCEPTCONN)
	})
	switch {
	case ctlErr != nil:
		return ctlErr
	case err != nil:
		return err
	case listens == 0:
		return ErrNoListener
	}
	return nil
}
