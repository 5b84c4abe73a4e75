package imap

import (
	"bufio"
	"cmp"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"mailstead/imap/deflate"
	"mailstead/mailbox"
)

var idleCount = flag.Int("idle", 200, "clients of TestIdleMemory")

// idleClients is the variable that makes a process of this test one of clients:
// "ADDRESS COUNT KIND".
const idleClients = "MAILSTEAD_IDLE_CLIENTS"

// TestIdleMemory counts what clients cost that have logged in, selected INBOX, read its
// envelopes and idle: the server's heap and stacks; the clients are another process.
// -idle says how many there are at once (`make idle`: 10,000).
func TestIdleMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("the short form runs under the race detector, which needs memory of its own")
	}
	for _, kind := range []struct {
		name string
		most int // octets a connection
	}{{"plain", 12 << 10}, {"plain+deflate", 14 << 10}, {"tls", 30 << 10}, {"tls+deflate", 32 << 10}} {
		t.Run(kind.name, func(t *testing.T) {
			ts := newTestServer(t)
			for range 20 {
				deliver(t, ts.store, ts.account, []byte(searchMessages[0]), mailbox.Target{})
			}
			address := ts.address
			if strings.HasPrefix(kind.name, "tls") {
				address = ts.serveTLS(t)
			}
			defer startIdlers(t, address, 1, kind.name)() // what is made once is there from now on
			before := memory()
			defer startIdlers(t, address, *idleCount, kind.name)()
			each := int(memory()-before) / *idleCount
			t.Logf("%d connections, %s: %d octets each", *idleCount, kind.name, each)
			if each > kind.most {
				t.Errorf("an idling connection holds %d octets, %d are allowed", each, kind.most)
			}
		})
	}
}

// memory is what the process holds in heap and stacks, collected.
func memory() int64 {
	for range 3 { // pools are empty after the second collection
		runtime.GC()
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse)
}

// startIdlers has a process start clients, and returns when all idle; stop ends them.
func startIdlers(t *testing.T, address string, count int, kind string) (stop func()) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestIdleClients$")
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s %d %s", idleClients, address, count, kind))
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stop = func() {
		in.Close()
		io.Copy(io.Discard, out)
		cmd.Wait()
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "idling\n" {
		rest, _ := io.ReadAll(out)
		stop()
		t.Fatalf("the clients: %s%s, %v", line, rest, err)
	}
	t.Logf("%d clients idle after %v", count, time.Since(began).Round(time.Millisecond))
	return stop
}

// TestIdleClients is the other process.
func TestIdleClients(t *testing.T) {
	var address, kind string
	var count int
	if _, err := fmt.Sscan(os.Getenv(idleClients), &address, &count, &kind); err != nil {
		t.Skip("only what TestIdleMemory starts")
	}
	conns := make(chan net.Conn, count)
	errs := make(chan error, count)
	var dialling sync.WaitGroup
	turns := make(chan struct{}, 8) // below what an address may have without login
	for range count {
		turns <- struct{}{}
		dialling.Go(func() {
			defer func() { <-turns }()
			c, err := idler(address, kind)
			errs <- err
			if c != nil {
				conns <- c
			}
		})
	}
	dialling.Wait()
	close(errs)
	close(conns)
	var failed error
	for err := range errs {
		failed = cmp.Or(failed, err)
	}
	if failed != nil {
		fmt.Println(failed)
	} else {
		fmt.Println("idling")
	}
	io.Copy(io.Discard, os.Stdin)
	for c := range conns {
		c.Close()
	}
}

// idler is a client that idles.
func idler(address, kind string) (net.Conn, error) {
	nc, err := net.Dial("tcp", address)
	if err != nil {
		return nil, err
	}
	transport, compress := strings.CutSuffix(kind, "+deflate")
	if transport == "tls" {
		nc = tls.Client(nc, &tls.Config{InsecureSkipVerify: true})
	}
	nc.SetDeadline(time.Now().Add(2 * time.Minute))
	in, out := bufio.NewReader(nc), io.Writer(nc)
	say := func(text, answer string) {
		if err == nil {
			_, err = io.WriteString(out, text)
		}
		for err == nil {
			var line string
			if line, err = in.ReadString('\n'); strings.HasPrefix(line, answer) {
				return
			}
			if strings.Contains(line, " NO ") || strings.Contains(line, " BAD ") {
				err = errors.New(line)
			}
		}
	}
	say("", "* OK ")
	say(fmt.Sprintf("a LOGIN %s %s\r\n", testUser, testPassword), "a OK ")
	if compress {
		say("b COMPRESS DEFLATE\r\n", "b OK ")
		in, out = bufio.NewReader(deflate.NewReader(nc)), deflate.NewWriter(nc)
	}
	say("c SELECT INBOX\r\n", "c OK ")
	say("d FETCH 1:* (FLAGS ENVELOPE)\r\n", "d OK ")
	say("e IDLE\r\n", "+ ")
	return nc, err
}
