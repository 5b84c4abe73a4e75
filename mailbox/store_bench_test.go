package mailbox

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	goimap "github.com/emersion/go-imap/v2"
	"golang.org/x/sys/unix"
)

// benchStore is a store with the settings of a real one.
func benchStore(b *testing.B) (*Store, AccountID) {
	s, err := Open(b.TempDir(), Options{Logger: testOptions(b).Logger})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := s.Close(); err != nil {
			b.Error(err)
		}
	})
	return s, newAccount(b, s)
}

// BenchmarkDeliver acknowledges letters of 2 KB on disk.
func BenchmarkDeliver(b *testing.B) {
	text := []byte(letter(1) + strings.Repeat("0123456789012345678901234567890123456789\r\n", 45))
	for _, writers := range []int{1, 16, 64} {
		b.Run(fmt.Sprintf("writers=%d", writers), func(b *testing.B) {
			s, a := benchStore(b)
			targets := []Target{{Account: a, Name: "INBOX"}}
			var left atomic.Int64
			left.Store(int64(b.N))
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
			b.ResetTimer()
			done := make(chan error, writers)
			for range writers {
				go func() {
					for left.Add(-1) >= 0 {
						body := s.NewBody()
						body.Write(text)
						if _, err := s.Deliver(b.Context(), body, targets, nil); err != nil {
							done <- err
							return
						}
					}
					done <- nil
				}()
			}
			for range writers {
				if err := <-done; err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// bigMailbox opens a mailbox with 100,000 messages.
const bigMailbox = 100_000

func openBig(b *testing.B) (*Store, *Mailbox) {
	s, a := benchStore(b)
	deliver(b, s, a, "INBOX", letter(1))
	m := open(b, s, a, "INBOX")
	for n := 1; n < bigMailbox; n = m.count(selection{all: true}) {
		uids := m.View(false).UIDs()
		if _, err := m.Copy(b.Context(), uids[:min(len(uids), bigMailbox-n)], "INBOX"); err != nil {
			b.Fatal(err)
		}
	}
	commit(b, s)
	return s, m
}

func BenchmarkView(b *testing.B) {
	_, m := openBig(b)
	b.ReportAllocs()
	for b.Loop() {
		if m.View(true).Len() != bigMailbox {
			b.Fatal("messages are missing")
		}
	}
}

// BenchmarkRows reads what a FETCH of all flags does.
func BenchmarkRows(b *testing.B) {
	_, m := openBig(b)
	v := m.View(true)
	var list []Row
	b.ReportAllocs()
	for b.Loop() {
		n := 0
		for from := uint32(1); from <= v.Len(); from += 500 {
			list = v.Rows(list[:0], from, from+499)
			n += len(list)
		}
		if n != bigMailbox {
			b.Fatal("rows are missing")
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/bigMailbox, "ns/row")
}

// BenchmarkUpdate is a session that hears of one new message.
func BenchmarkUpdate(b *testing.B) {
	s, m := openBig(b)
	v := m.View(true)
	b.ReportAllocs()
	var busy time.Duration
	for b.Loop() {
		deliver(b, s, m.box.account, "INBOX", letter(2))
		began := time.Now()
		if !v.Update(true).Exists {
			b.Fatal("nothing new")
		}
		busy += time.Since(began)
	}
	b.ReportMetric(float64(busy.Nanoseconds())/float64(b.N), "ns/update")
}

// BenchmarkUpdateFlags is a session that hears of flags that another one set.
func BenchmarkUpdateFlags(b *testing.B) {
	for _, n := range []int{1, bigMailbox} {
		b.Run(fmt.Sprint("messages=", n), func(b *testing.B) {
			_, m := openBig(b)
			v := m.View(true)
			c := StoreChange{UIDs: v.UIDs()[len(v.UIDs())-n:], Op: FlagsAdd, Flags: []goimap.Flag{goimap.FlagFlagged}}
			b.ReportAllocs()
			var busy time.Duration
			for b.Loop() {
				if _, err := m.Store(b.Context(), c); err != nil {
					b.Fatal(err)
				}
				c.Op = FlagsAdd + FlagsRemove - c.Op
				began := time.Now()
				if u := v.Update(true); len(u.Changed) != n {
					b.Fatal("changes are missing")
				}
				busy += time.Since(began)
			}
			b.ReportMetric(float64(busy.Nanoseconds())/float64(b.N), "ns/update")
		})
	}
}

func BenchmarkStoreAll(b *testing.B) {
	for _, kind := range []string{"one set", "two sets"} {
		b.Run(kind, func(b *testing.B) {
			_, m := openBig(b)
			v := m.View(true)
			if kind == "two sets" {
				var even []goimap.UID
				for i := 0; i < len(v.UIDs()); i += 2 {
					even = append(even, v.UIDs()[i])
				}
				if _, err := m.Store(b.Context(), StoreChange{UIDs: even, Op: FlagsAdd, Flags: []goimap.Flag{goimap.FlagSeen}}); err != nil {
					b.Fatal(err)
				}
			}
			op := FlagsAdd
			b.ReportAllocs()
			for b.Loop() {
				c := StoreChange{UIDs: v.UIDs(), Op: op, Flags: []goimap.Flag{goimap.FlagFlagged}}
				if res, err := m.Store(b.Context(), c); err != nil || res.ModSeq == 0 {
					b.Fatal(err)
				}
				op = FlagsAdd + FlagsRemove - op
			}
		})
	}
}

// BenchmarkOpenMailbox opens 100,000 messages that are not in memory.
func BenchmarkOpenMailbox(b *testing.B) {
	s, m := openBig(b)
	b.ReportAllocs()
	used := usedTime(b, unix.RUSAGE_SELF)
	for b.Loop() {
		m.box.drop()
		if err := s.hold(m.box); err != nil {
			b.Fatal(err)
		}
		if m.box.messages.len() != bigMailbox {
			b.Fatal("messages are missing")
		}
		s.release(m.box)
	}
	b.ReportMetric(used().Seconds()*1e6/float64(b.N), "cpu-µs/op")
}
