package smtp

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"testing"

	"mailstead/smtp/journal"
	"mailstead/smtp/local"
)

// BenchmarkDeliver sends messages of 2 KB over loopback into a real store on
// the disk of the temporary folder: commands in one packet, as a pipelining
// client does, the message in a second one.
func BenchmarkDeliver(b *testing.B) { benchDeliver(b, false) }

// BenchmarkDeliverTold is the same with a journal.
func BenchmarkDeliverTold(b *testing.B) { benchDeliver(b, true) }

func benchDeliver(b *testing.B, told bool) {
	for _, connections := range []int{1, 16, 64} {
		b.Run(fmt.Sprintf("connections=%d", connections), func(b *testing.B) {
			h := newHouse(b)
			o := h.options(Receiver)
			if told {
				o.Journal = journal.Open(b.TempDir(), journal.Options{})
				defer o.Journal.Close()
				courier := local.New(local.Options{Store: h.store, Directory: h.directory, Journal: o.Journal})
				courier.UseQueue(h.queue)
				o.Deliver = courier
			}
			address, _ := listen(b, o, false)
			clients := make([]*bench, connections)
			for i := range clients {
				clients[i] = newBench(b, address)
			}
			var left atomic.Int64
			left.Store(int64(b.N))
			b.ReportAllocs()
			b.ResetTimer()
			var wait sync.WaitGroup
			for _, c := range clients {
				wait.Go(func() {
					for left.Add(-1) >= 0 {
						if err := c.deliver(); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			wait.Wait()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "messages/s")
		})
	}
}

// bench is a client that does as little as it can itself.
type bench struct {
	conn    net.Conn
	in      *bufio.Reader
	command []byte
	message []byte
}

func newBench(b *testing.B, address string) *bench {
	b.Helper()
	conn, err := net.Dial("tcp", address)
	must(b, err)
	b.Cleanup(func() { conn.Close() })
	c := &bench{
		conn: conn, in: bufio.NewReader(conn),
		command: []byte("MAIL FROM:<sender@b.example>\r\nRCPT TO:<ann@example.test>\r\nDATA\r\n"),
		message: append(append([]byte("From: sender@b.example\r\nTo: ann@example.test\r\nSubject: a message of two kilobytes\r\nDate: Sun, 22 Nov 2026 12:00:00 +0000\r\nMessage-ID: <1@b.example>\r\n\r\n"), textBody(1850)...), ".\r\n"...),
	}
	must(b, c.expect("220 "))
	must(b, c.exchange([]byte("EHLO c\r\n"), "250 "))
	return c
}

func (c *bench) deliver() error {
	if err := c.exchange(c.command, "250 ", "250 ", "354 "); err != nil {
		return err
	}
	return c.exchange(c.message, "250 ")
}

func (c *bench) exchange(p []byte, replies ...string) error {
	if _, err := c.conn.Write(p); err != nil {
		return err
	}
	for _, r := range replies {
		if err := c.expect(r); err != nil {
			return err
		}
	}
	return nil
}

func (c *bench) expect(want string) error {
	for {
		line, err := c.in.ReadSlice('\n')
		if err != nil {
			return err
		}
		if len(line) > 3 && line[3] == '-' {
			continue
		}
		if !bytes.HasPrefix(line, []byte(want)) {
			return fmt.Errorf("reply %q, want %q", line, want)
		}
		return nil
	}
}

// BenchmarkReceive is the engine without the store: a large message through a
// connection, its lines checked.
func BenchmarkReceive(b *testing.B) {
	message := append(textBody(32<<20), ".\r\n"...)
	client, server := net.Pipe()
	defer client.Close()
	done := make(chan error, 1)
	b.SetBytes(int64(len(message)))
	go func() {
		in := newInput(server, 2048, noIdle)
		in.widen()
		defer in.release()
		for range b.N {
			if err := receiveOne(in); err != nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	for range b.N {
		_, err := client.Write(message)
		must(b, err)
	}
	must(b, <-done)
}

func receiveOne(in *input) error {
	c := content{out: discard{}, dots: true}
	for {
		p, err := in.window()
		if err != nil {
			return err
		}
		n, ended := c.feed(p)
		in.take(n)
		if ended {
			return c.err
		}
	}
}
