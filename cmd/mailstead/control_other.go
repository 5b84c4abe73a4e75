//go:build !linux

package main

import (
	"fmt"
	"os"
)

// maxSocketName is the most octets of a socket's name, see unix(4).
const maxSocketName = 103

// throughFolder has no names to give: open folders have none that lead further.
func throughFolder(dir *os.File, name string) (string, error) {
	most := maxSocketName - len(name) - 1
	return "", fmt.Errorf("the folder's name %s has %d octets, and %d are the most on this system: choose a shorter dir", dir.Name(), len(dir.Name()), most)
}
