package tls

import (
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestListenKeepAlive reads what an accepted connection has.
func TestListenKeepAlive(t *testing.T) {
	l, err := Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	t.Run("opened", func(t *testing.T) { keepsAlive(t, l) })
	f, err := l.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	again, err := Inherit(f)
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	defer again.Close()
	t.Run("inherited", func(t *testing.T) { keepsAlive(t, again) })
}

func keepsAlive(t *testing.T, l net.Listener) {
	client, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	raw, err := conn.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	read := func(level, option int) (value int) {
		t.Helper()
		var err error
		if ctl := raw.Control(func(fd uintptr) { value, err = unix.GetsockoptInt(int(fd), level, option) }); ctl != nil || err != nil {
			t.Fatal(ctl, err)
		}
		return value
	}
	if read(unix.SOL_SOCKET, unix.SO_KEEPALIVE) == 0 {
		t.Error("keepalive is off")
	}
	idle := time.Duration(read(unix.IPPROTO_TCP, unix.TCP_KEEPIDLE)) * time.Second
	if idle != 5*time.Minute {
		t.Errorf("first probe after %v", idle)
	}
	gone := idle + time.Duration(read(unix.IPPROTO_TCP, unix.TCP_KEEPINTVL)*read(unix.IPPROTO_TCP, unix.TCP_KEEPCNT))*time.Second
	if gone > 10*time.Minute {
		t.Errorf("a dead idle peer is gone after %v", gone)
	}
	unacknowledged := time.Duration(read(unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT)) * time.Millisecond
	if unacknowledged == 0 || unacknowledged > 10*time.Minute {
		t.Errorf("unacknowledged data is given up after %v", unacknowledged)
	}
}

func TestListenFails(t *testing.T) {
	if l, err := Listen(t.Context(), "tcp", "256.0.0.1:1"); err == nil {
		l.Close()
		t.Error("listens on 256.0.0.1")
	}
}
