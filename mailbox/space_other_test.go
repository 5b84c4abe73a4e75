//go:build !linux

package mailbox

import "testing"

// smallDisk has no file system of its own to give.
func smallDisk(t *testing.T, _ string) string {
	t.Skip("a small file system is mounted on Linux only")
	return ""
}
