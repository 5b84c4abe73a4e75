//go:build linux

package main

import (
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	gosmtp "github.com/emersion/go-smtp"
	"golang.org/x/sys/unix"

	"mailstead/smtp/dns/dnstest"
)

// insideNetwork is set in the process that has a network of its own.
const insideNetwork = "MAILSTEAD_INSIDE_NETWORK"

// The machine has one address of IPv4, and those of IPv6 that a step gives it; on the other side of its link is a mail server.
const (
	machineFour = "192.0.2.10"
	worldFour   = "192.0.2.25"
	worldSix    = "2001:db8:1::25"
)

// sourceSteps are what mail comes from, as the machine's addresses and their names change. Each step has a mail server of its own, by
// name, so that no connection is kept for it.
var sourceSteps = []struct {
	name string
	gain string // address that the machine gets; a second word has it be none that the system chooses by itself
	lose string // that it has no longer; "" = none
	zone string
	want string
}{
	{"nameless", "2001:db8:1::77", "", "", machineFour},
	{"elsewhere", "2001:db8:1::66", "2001:db8:1::77", reverseName("2001:db8:1::66") + " PTR mail.us.test.\n", machineFour},
	{"named", "2001:db8:1::99 deprecated", "2001:db8:1::66", reverseName("2001:db8:1::99") + " PTR mail.us.test.\nmail.us.test. AAAA 2001:db8:1::99\n", "2001:db8:1::99"},
	{"beside", "2001:db8:1::da", "", "", "2001:db8:1::99"}, // which the system would choose
	{"gone", "2001:db8:1::db", "2001:db8:1::99", "", machineFour},
}

// reverseName is where the name of an IPv6 address is.
func reverseName(addr string) string {
	sixteen := netip.MustParseAddr(addr).As16()
	digits := strings.Split(hex.EncodeToString(sixteen[:]), "")
	slices.Reverse(digits)
	return strings.Join(digits, ".") + ".ip6.arpa."
}

// TestNetworkSource: a machine with real addresses sends over IPv6 only from one whose name leads back to it.
func TestNetworkSource(t *testing.T) {
	if !*withNetwork {
		t.Skip("without -network")
	}
	if _, err := exec.LookPath("ip"); err != nil || os.Geteuid() != 0 {
		t.Skipf("it needs root and ip, of Debian's iproute2 (%v)", err)
	}
	if os.Getenv(insideNetwork) == "" {
		inNetwork(t)
		return
	}
	tool(t, "ip", "link", "set", "lo", "up")
	port := freeOffset(t) + 25
	far := connectFarSide(t, port)
	zone := ""
	for _, s := range sourceSteps {
		zone += fmt.Sprintf("%[1]s.test. MX 10 mx.%[1]s.test.\nmx.%[1]s.test. A %[2]s\nmx.%[1]s.test. AAAA %[3]s\n", s.name, worldFour, worldSix) + s.zone
	}
	us := newInstance(t, filepath.Join(t.TempDir(), "us"), "us.test", "--resolver", dnstest.New(t, zone).Addr(), "--mx-port", strconv.Itoa(port))
	us.start()
	o := &outside{us: us}
	for _, s := range sourceSteps {
		addr, rest, _ := strings.Cut(s.gain, " ")
		args := []string{"addr", "add", addr + "/64", "dev", "machine", "nodad"}
		if rest == "deprecated" {
			args = append(args, "preferred_lft", "0")
		}
		tool(t, "ip", args...)
		if s.lose != "" {
			tool(t, "ip", "addr", "del", s.lose+"/64", "dev", "machine")
		}
		awaitWay(t, addr, net.JoinHostPort(worldSix, strconv.Itoa(port)))
		o.submit(t, s.name, "x@"+s.name+".test")
		eventually(t, s.name+" arrives", func() bool { return far.from(s.name) != "" })
		if got := far.from(s.name); got != s.want {
			told := command(t, "", "log", "--to", "x@"+s.name+".test", "--conversation", "--dir", us.dir)
			t.Errorf("%s: mail comes from %s, want %s:\n%s", s.name, got, s.want, told.out)
		}
	}
}

// awaitWay waits until connections can be made from an address: neighbours have to find each other first, and what takes long
// is tried over IPv4, too.
func awaitWay(t *testing.T, from, to string) {
	t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Timeout: faultLimit}
	eventually(t, "a way leads from "+from, func() bool {
		c, err := d.Dial("tcp", to)
		return err == nil && c.Close() == nil
	})
}

// inNetwork has a test go on in a process with a network of its own, which is empty.
func inNetwork(t *testing.T) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command(self, append(os.Args[1:], "-test.run=^"+t.Name()+"$", "-test.count=1")...)
	c.Env = append(os.Environ(), insideNetwork+"=1")
	c.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	said, err := c.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	t.Logf("%s", said)
}

func tool(t *testing.T, name string, args ...string) {
	t.Helper()
	if said, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %q: %v: %s", name, args, err, said)
	}
}

// farSide is a mail server in a network of its own. It remembers where mail came from, by subject.
type farSide struct {
	mu   sync.Mutex
	came map[string]string
}

// connectFarSide links the machine's network with that of a mail server, which listens.
func connectFarSide(t *testing.T, port int) *farSide {
	t.Helper()
	holder := exec.Command("sleep", "infinity") // keeps the network
	holder.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	if err := holder.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		holder.Process.Kill()
		holder.Wait()
	})
	tool(t, "ip", "link", "add", "machine", "type", "veth", "peer", "name", "world", "netns", strconv.Itoa(holder.Process.Pid))
	tool(t, "ip", "addr", "add", machineFour+"/24", "dev", "machine")
	tool(t, "ip", "link", "set", "machine", "up")
	space := fmt.Sprintf("/proc/%d/ns/net", holder.Process.Pid)
	for _, args := range [][]string{{"addr", "add", worldFour + "/24", "dev", "world"}, {"addr", "add", worldSix + "/64", "dev", "world", "nodad"}, {"link", "set", "world", "up"}} {
		tool(t, "nsenter", append([]string{"--net=" + space, "ip"}, args...)...)
	}
	w := &farSide{came: map[string]string{}}
	for _, ip := range []string{worldFour, worldSix} {
		l, err := listenIn(space, net.JoinHostPort(ip, strconv.Itoa(port)))
		if err != nil {
			t.Fatal(err)
		}
		w.serve(t, l)
	}
	return w
}

// listenIn listens in another network.
func listenIn(space, address string) (l net.Listener, err error) {
	f, err := os.Open(space)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	done := make(chan struct{})
	go func() { // its thread ends with it, as nobody else may run there
		defer close(done)
		runtime.LockOSThread()
		if err = unix.Setns(int(f.Fd()), unix.CLONE_NEWNET); err == nil {
			l, err = net.Listen("tcp", address)
		}
	}()
	<-done
	return l, err
}

func (w *farSide) serve(t *testing.T, l net.Listener) {
	t.Helper()
	s := gosmtp.NewServer(gosmtp.BackendFunc(func(c *gosmtp.Conn) (gosmtp.Session, error) {
		return &farSideSession{w, c.Conn().RemoteAddr().(*net.TCPAddr).AddrPort().Addr().Unmap().String()}, nil
	}))
	s.Domain, s.ErrorLog = "mx.test", discard{}
	serveToTheEnd(t, s, l)
}

// from is where mail with a subject came from; "" = it did not.
func (w *farSide) from(subject string) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.came[subject]
}

type farSideSession struct {
	*farSide
	client string
}

func (*farSideSession) Mail(string, *gosmtp.MailOptions) error { return nil }
func (*farSideSession) Rcpt(string, *gosmtp.RcptOptions) error { return nil }
func (*farSideSession) Reset()                                 {}
func (*farSideSession) Logout() error                          { return nil }

func (s *farSideSession) Data(r io.Reader) error {
	text, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.came[subjectOf(text)] = s.client
	return nil
}
