package main

import (
	"fmt"
	"os"
)

// maxSocketName is the most octets of a socket's name, see unix(7).
const maxSocketName = 107

// throughFolder is a short name of what an open folder has.
func throughFolder(dir *os.File, name string) (string, error) {
	return fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), name), nil
}
