package setup

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// memory is that of the machine, 0 when it is not known.
func memory() int64 {
	var i unix.Sysinfo_t
	if unix.Sysinfo(&i) != nil {
		return 0
	}
	return int64(i.Totalram) * int64(i.Unit)
}

// clock asks the kernel whether somebody keeps its clock (adjtimex(2)).
func clock() (loose, wrong bool) {
	state, err := unix.Adjtimex(&unix.Timex{})
	return err == nil && state == unix.TIME_ERROR, clockIsWrong()
}

const (
	maxSockets = 1 << 20 // octets of the kernel's table that are read
	listening  = "0A"    // TCP_LISTEN there
)

// listener names the program that listens on a port, "" when it is not to be found out.
func listener(port int) string {
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		f, err := os.Open(table)
		if err != nil {
			continue
		}
		inode := listeningSocket(io.LimitReader(f, maxSockets), port)
		f.Close()
		if inode != "" {
			return holder("socket:[" + inode + "]")
		}
	}
	return ""
}

// listeningSocket finds in a table of sockets (proc_net_tcp(5)) the inode of the one that listens on a port.
func listeningSocket(table io.Reader, port int) string {
	end := fmt.Sprintf(":%04X", port)
	for lines := bufio.NewScanner(table); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		if len(fields) > 9 && fields[3] == listening && strings.HasSuffix(fields[1], end) {
			return fields[9]
		}
	}
	return ""
}

// holder names the process that has a file open.
func holder(file string) string {
	open, err := filepath.Glob("/proc/[0-9]*/fd/*")
	if err != nil {
		return ""
	}
	for _, name := range open {
		if to, err := os.Readlink(name); err == nil && to == file {
			comm, err := os.ReadFile(filepath.Join(filepath.Dir(filepath.Dir(name)), "comm"))
			if err == nil {
				return strings.TrimSpace(string(comm))
			}
		}
	}
	return ""
}
