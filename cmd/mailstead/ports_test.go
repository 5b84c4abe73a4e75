package main

import (
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"testing"
)

// standardPorts are those of mail and the web, which a server moves by its offset.
var standardPorts = []int{25, 80, 110, 143, 443, 465, 587, 993, 995}

// freeOffset finds a port offset that is the test's until it ends: nobody
// listens there, and no other test, of this process or another one, takes it
// between two starts of a server.
func freeOffset(t *testing.T) int {
	t.Helper()
	for range 200 {
		offset := 20000 + rand.IntN(11000) // all ports below 32768, where the system takes those of clients from
		if release, err := takePorts(offset); err == nil {
			t.Cleanup(release)
			return offset
		}
	}
	t.Fatal("no free ports")
	return 0
}

// takePorts claims the ports of an offset among all tests on the machine: each
// has a socket in the kernel's own name space, which ends with its process.
func takePorts(offset int) (release func(), err error) {
	var claims []net.Listener
	free := func() {
		for _, c := range claims {
			c.Close()
		}
	}
	defer func() {
		if err != nil {
			free()
		}
	}()
	for _, port := range standardPorts {
		claim, err := net.Listen("unix", fmt.Sprintf("@mailstead-test-port-%d", offset+port))
		if err != nil {
			return nil, err
		}
		claims = append(claims, claim)
		l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(offset+port)))
		if err != nil {
			return nil, err
		}
		l.Close()
	}
	return free, nil
}

// TestPortsAreTakenOnce has two tests ask for ports that overlap.
func TestPortsAreTakenOnce(t *testing.T) {
	offset := freeOffset(t)
	for _, other := range []int{offset, offset + 143 - 110, offset - (995 - 25)} {
		if release, err := takePorts(other); err == nil {
			release()
			t.Errorf("%d was given while %d is used", other, offset)
		}
	}
	released := 0
	t.Run("until its test ends", func(t *testing.T) { released = freeOffset(t) })
	release, err := takePorts(released)
	if err != nil {
		t.Fatalf("%d is not given again: %v", released, err)
	}
	release()
}
