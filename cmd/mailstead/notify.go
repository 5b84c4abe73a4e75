package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// notifySystemd tells the service manager (sd_notify(3)), where there is one: READY=1, STOPPING=1,
// WATCHDOG=1, STATUS= with a line for people, or several of them with line feeds between.
func notifySystemd(state string) error {
	name := os.Getenv("NOTIFY_SOCKET")
	if name == "" {
		return nil
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		return fmt.Errorf("notify the service manager: %w", err)
	}
	defer conn.Close()
	_, err = io.WriteString(conn, state)
	return err
}

// notifyReloading tells the service manager that READY=1 will be said once more. It wants to know
// since when: what it hears with an earlier time is about an earlier reload.
func notifyReloading(status string) error {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		return fmt.Errorf("monotonic clock: %w", err)
	}
	return notifySystemd(fmt.Sprintf("RELOADING=1\nMONOTONIC_USEC=%d\nSTATUS=%s", now.Nano()/1000, status))
}

// watchdogInterval is how often the service manager wants to hear that this process is well, 0 if it does not
// (sd_watchdog_enabled(3)).
func watchdogInterval(env func(string) string, pid int) time.Duration {
	if p := env("WATCHDOG_PID"); p != "" && p != strconv.Itoa(pid) {
		return 0
	}
	usec, err := strconv.ParseInt(env("WATCHDOG_USEC"), 10, 64)
	if err != nil || usec <= 0 || usec > int64(24*time.Hour/time.Microsecond) {
		return 0
	}
	return time.Duration(usec) * time.Microsecond
}

// watchdog tells the service manager twice in each interval that the server is well, until ctx ends. If probe
// hangs it hears nothing, and starts the server anew.
func (s *server) watchdog(ctx context.Context, interval time.Duration, probe func()) {
	ticks := time.NewTicker(interval / 2)
	defer ticks.Stop()
	for {
		probe()
		if err := notifySystemd("WATCHDOG=1"); err != nil {
			s.log.Warn("watchdog", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-ticks.C:
		}
	}
}
