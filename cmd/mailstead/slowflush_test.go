//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net"
	"net/textproto"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"mailstead/smtp/dns/dnstest"
)

// What a delivery costs where a flush of the device takes long: make bench-slowflush.
var (
	slowFlushes = flag.String("slowflush", "", "TestSlowFlush measures with devices whose flush takes so long: 2ms,8ms")
	slowRounds  = flag.Int("slowflush.rounds", 3, "how many times everybody has a turn in TestSlowFlush")
	slowOne     = flag.Int("slowflush.one", 1000, "messages of a turn on one connection")
	slowMany    = flag.Int("slowflush.many", 1500, "messages of a turn on 16 and 64 connections; 0 = none")
)

// slowLoad is what a turn delivers.
type slowLoad struct {
	name        string
	connections int
	messages    int
	size        func(*rand.Rand) int // of a message's text, in bytes
}

// slowTaker takes messages: a server, or the program that only writes them.
type slowTaker struct {
	name    string
	deliver func(ctx context.Context, load slowLoad, texts [][]byte) (accepted, visible time.Duration, err error)
}

// slowFigures are those of one taker under one load, a value a turn.
type slowFigures struct{ accepted, visible, flushes []float64 }

// TestSlowFlush has a program that writes 2.5 KB and calls fdatasync, this server, the
// same with a resolver, and Postfix with Dovecot (where Debian's packages are installed)
// take the same messages in turns, on one disk whose flush takes long. It counts the
// flushes of the device and says how many times more messages one takes than another.
func TestSlowFlush(t *testing.T) {
	if *slowFlushes == "" {
		t.Skip("it measures, for minutes, on a disk of its own: make bench-slowflush, as root")
	}
	// Whoever ends it, go test that is gone included, leaves no mount and no server behind.
	ctx, stop := signal.NotifyContext(t.Context(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGPIPE)
	t.Cleanup(stop)
	for text := range strings.SplitSeq(*slowFlushes, ",") {
		delay, err := time.ParseDuration(text)
		if err != nil {
			t.Fatal(err)
		}
		t.Run(text, func(t *testing.T) { measureSlowFlush(ctx, t, delay) })
	}
}

func measureSlowFlush(ctx context.Context, t *testing.T, delay time.Duration) {
	disk := newSlowDisk(t, delay)
	takers := []slowTaker{rawTaker(disk), oursTaker(t, disk, "mailstead"), oursTaker(t, disk, "with resolver", "--resolver", slowZone(t))}
	if peer, why := startPeer(t, disk); why == "" {
		takers = append(takers, peer)
	} else {
		t.Logf("no peer to compare with: %s", why)
	}
	small := func(*rand.Rand) int { return 2000 }
	mixed := func(r *rand.Rand) int { return min(200<<10, int(8<<10*math.Exp(r.NormFloat64()))) }
	for _, load := range []slowLoad{{"2 KB, 1 connection", 1, *slowOne, small}, {"mixed, 16 connections", 16, *slowMany, mixed}, {"mixed, 64 connections", 64, *slowMany, mixed}} {
		if load.messages == 0 {
			continue
		}
		figures := make([]slowFigures, len(takers))
		for round := range *slowRounds {
			texts := slowLetters(load, uint64(round))
			for i := range takers {
				if round%2 == 1 { // nobody is always behind the same one
					i = len(takers) - 1 - i
				}
				taker := takers[i]
				if taker.name == rawName && load.connections > 1 {
					continue // it has one hand
				}
				figures[i].turn(ctx, t, disk, taker, load, texts)
			}
		}
		tellSlow(t, delay, load, takers, figures)
	}
}

// turn has one taker take the messages.
func (f *slowFigures) turn(ctx context.Context, t *testing.T, disk *slowDisk, taker slowTaker, load slowLoad, texts [][]byte) {
	t.Helper()
	disk.settle(t) // what the one before has left
	before := disk.flushes.Load()
	accepted, visible, err := taker.deliver(ctx, load, texts)
	if err != nil {
		t.Fatalf("%s, %s: %v", taker.name, load.name, err)
	}
	n := float64(len(texts))
	f.flushes = append(f.flushes, float64(disk.flushes.Load()-before)/n)
	f.accepted = append(f.accepted, n/accepted.Seconds())
	f.visible = append(f.visible, n/visible.Seconds())
}

func middle(list []float64) float64 {
	list = slices.Sorted(slices.Values(list))
	return list[len(list)/2]
}

// tellSlow prints a line a taker; quotients are of medians, and of each turn in brackets.
func tellSlow(t *testing.T, delay time.Duration, load slowLoad, takers []slowTaker, figures []slowFigures) {
	last := len(takers) - 1
	for i, taker := range takers {
		f := figures[i]
		if len(f.visible) == 0 {
			continue
		}
		var line strings.Builder
		fmt.Fprintf(&line, "flush %v, %s: %-17s %8.1f messages/s accepted, %8.1f visible, %.2f flushes a message", delay, load.name, taker.name,
			middle(f.accepted), middle(f.visible), middle(f.flushes))
		if peer := figures[last]; takers[last].name == peerName && i != last {
			fmt.Fprintf(&line, "; %.2f times the peer's visible (", middle(f.visible)/middle(peer.visible))
			for turn := range f.visible {
				fmt.Fprintf(&line, " %.2f", f.visible[turn]/peer.visible[turn])
			}
			fmt.Fprintf(&line, " ), %.2f times accepted", middle(f.accepted)/middle(peer.accepted))
		}
		t.Log(line.String())
	}
}

const (
	rawName  = "raw program"
	peerName = "Postfix + Dovecot"
)

// slowLetters are the messages of a turn, each another one.
func slowLetters(load slowLoad, seed uint64) (texts [][]byte) {
	random := rand.New(rand.NewPCG(seed, uint64(load.connections)))
	line := []byte("This line has some words that make a letter of the usual length.\r\n")
	for i := range load.messages {
		var b bytes.Buffer
		fmt.Fprintf(&b, "From: Somebody <somebody@example.net>\r\nTo: <a0@example.test>\r\nSubject: letter %d of turn %d\r\n"+
			"Message-ID: <%d.%d.%d@example.net>\r\nDate: Thu, 1 Jan 2015 00:00:00 +0000\r\n\r\n", i, seed, i, seed, random.Uint64())
		for size := load.size(random); b.Len() < size; {
			b.Write(line)
		}
		texts = append(texts, b.Bytes())
	}
	return texts
}

// rawTaker writes 2.5 KB a message over blocks that are there, and calls fdatasync: what a
// server that flushes each message before it answers cannot outrun.
func rawTaker(disk *slowDisk) slowTaker {
	return slowTaker{rawName, func(ctx context.Context, _ slowLoad, texts [][]byte) (accepted, visible time.Duration, err error) {
		const record = 2500
		f, err := os.Create(filepath.Join(disk.dir, "raw"))
		if err != nil {
			return 0, 0, err
		}
		defer f.Close()
		if _, err := f.Write(make([]byte, len(texts)*record)); err != nil {
			return 0, 0, err
		}
		if err := f.Sync(); err != nil {
			return 0, 0, err
		}
		p := bytes.Repeat([]byte("raw "), record/4)
		began := time.Now()
		for i := range texts {
			if _, err := f.WriteAt(p, int64(i)*record); err != nil {
				return 0, 0, err
			}
			if err := errors.Join(unix.Fdatasync(int(f.Fd())), ctx.Err()); err != nil {
				return 0, 0, err
			}
		}
		took := time.Since(began)
		return took, took, nil
	}}
}

// slowZone is the address of a DNS server on loopback with what a check of the sender asks for.
func slowZone(t *testing.T) string {
	t.Helper()
	return dnstest.New(t, `1.0.0.127.in-addr.arpa. PTR mx.example.net.
mx.example.net. A 127.0.0.1
example.net. TXT "v=spf1 ip4:127.0.0.1 -all"
example.net. MX 10 mx.example.net.
_dmarc.example.net. TXT "v=DMARC1; p=reject"
`).Addr()
}

// oursTaker starts mailstead local on the disk, in a process of its own.
func oursTaker(t *testing.T, disk *slowDisk, name string, args ...string) slowTaker {
	t.Helper()
	s := newInstance(t, filepath.Join(disk.dir, strings.ReplaceAll(name, " ", "-")), "example.test", args...)
	s.start()
	return serverTaker(name, s.address(25), s.address(143), "a0@example.test")
}

// serverTaker gives messages to a server by SMTP, and asks by IMAP until all are seen.
func serverTaker(name, smtp, imap, account string) slowTaker {
	return slowTaker{name, func(ctx context.Context, load slowLoad, texts [][]byte) (accepted, visible time.Duration, err error) {
		box, err := dialSlow(ctx, imap)
		if err != nil {
			return 0, 0, err
		}
		defer box.Close()
		if _, err := box.ReadLine(); err != nil {
			return 0, 0, err
		}
		if _, err := imapAnswer(box, "LOGIN "+account+" pass"); err != nil {
			return 0, 0, err
		}
		had, err := countInbox(box)
		if err != nil {
			return 0, 0, err
		}
		began := time.Now()
		if err := sendAll(ctx, smtp, load.connections, texts); err != nil {
			return 0, 0, err
		}
		accepted = time.Since(began)
		for {
			n, err := countInbox(box)
			if err != nil || n >= had+len(texts) {
				return accepted, time.Since(began), err
			}
			time.Sleep(10 * time.Millisecond) // the peer tells of new mail twice a second only
		}
	}}
}

// dialSlow connects until ctx ends.
func dialSlow(ctx context.Context, address string) (*textproto.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	context.AfterFunc(ctx, func() { conn.Close() })
	return textproto.NewConn(conn), nil
}

// imapAnswer says a command and returns the untagged lines before its OK.
func imapAnswer(c *textproto.Conn, command string) (lines []string, err error) {
	if err := c.PrintfLine("a %s", command); err != nil {
		return nil, err
	}
	for {
		line, err := c.ReadLine()
		switch {
		case err != nil:
			return nil, err
		case strings.HasPrefix(line, "a OK"):
			return lines, nil
		case strings.HasPrefix(line, "a "):
			return nil, fmt.Errorf("%s: %s", command, line)
		}
		lines = append(lines, line)
	}
}

func countInbox(c *textproto.Conn) (n int, err error) {
	lines, err := imapAnswer(c, "STATUS INBOX (MESSAGES)")
	if err != nil || len(lines) == 0 {
		return 0, err
	}
	_, after, _ := strings.Cut(lines[len(lines)-1], "MESSAGES ")
	_, err = fmt.Sscanf(after, "%d", &n)
	return n, err
}

// sendAll delivers the messages, each with its answer awaited, over so many connections.
func sendAll(ctx context.Context, address string, connections int, texts [][]byte) error {
	var next atomic.Int64
	errs := make([]error, connections)
	var work sync.WaitGroup
	for i := range connections {
		work.Go(func() {
			errs[i] = sendSome(ctx, address, func() []byte {
				if n := next.Add(1); n <= int64(len(texts)) {
					return texts[n-1]
				}
				return nil
			})
		})
	}
	work.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// sendSome sends what next gives until that is nil.
func sendSome(ctx context.Context, address string, next func() []byte) error {
	conn, err := dialSlow(ctx, address)
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, _, err := conn.ReadResponse(220); err != nil {
		return err
	}
	say := func(code int, line string) error {
		if err := conn.PrintfLine("%s", line); err != nil {
			return err
		}
		if _, _, err := conn.ReadResponse(code); err != nil {
			return fmt.Errorf("%s: %w", line, err)
		}
		return nil
	}
	if err := say(250, "EHLO mx.example.net"); err != nil {
		return err
	}
	for text := next(); text != nil; text = next() {
		if err := conn.PrintfLine("MAIL FROM:<somebody@example.net>\r\nRCPT TO:<a0@example.test>\r\nDATA"); err != nil { // RFC 2920
			return err
		}
		for _, code := range []int{250, 250, 354} {
			if _, _, err := conn.ReadResponse(code); err != nil {
				return fmt.Errorf("MAIL, RCPT, DATA: %w", err)
			}
		}
		if _, err := io.Writer(conn.W).Write(text); err != nil { // no line begins with a dot
			return err
		}
		if err := say(250, "."); err != nil {
			return err
		}
	}
	return say(221, "QUIT")
}
