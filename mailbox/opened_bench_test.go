//go:build linux

package mailbox

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// firstMailbox is the mailbox of the comparison with other servers, in messages.
const firstMailbox = 20_000

// BenchmarkFirstOpen opens a mailbox that eight writers have just filled, at once: it is
// in memory, and everything in the background still at work on what was written.
func BenchmarkFirstOpen(b *testing.B) {
	s, a := benchStore(b)
	text := []byte(letter(1))
	n := 0
	var used time.Duration
	for b.Loop() {
		b.StopTimer()
		n++
		name := fmt.Sprint("filled-", n)
		if _, err := s.Create(b.Context(), a, name, ""); err != nil {
			b.Fatal(err)
		}
		targets := []Target{{Account: a, Name: name}}
		atOnce(b, 8, firstMailbox, func() error {
			body := s.NewBody()
			body.Write(text)
			_, err := s.Deliver(b.Context(), body, targets, nil)
			return err
		})
		busy := threadTime(b)
		b.StartTimer()
		m := open(b, s, a, name)
		if m.View(true).Len() != firstMailbox {
			b.Fatal("messages are missing")
		}
		b.StopTimer()
		used += busy()
		m.Close()
		b.StartTimer()
	}
	b.ReportMetric(used.Seconds()*1e6/float64(b.N), "cpu-µs/op")
}

// BenchmarkOpenPending opens one that is not in memory, with nothing else at work: so many
// messages of 20,000 are in records that state.db lacks.
func BenchmarkOpenPending(b *testing.B) {
	for _, pending := range []int{0, 500, 4000} {
		b.Run(fmt.Sprint("pending=", pending), func(b *testing.B) {
			s, err := Open(b.TempDir(), Options{Logger: testOptions(b).Logger, CommitEvery: time.Hour})
			if err != nil {
				b.Fatal(err)
			}
			defer closeStore(b, s)
			targets := []Target{{Account: newAccount(b, s), Name: "INBOX"}}
			fill := func(n int) {
				atOnce(b, 8, n, func() error {
					body := s.NewBody()
					body.Write([]byte(letter(1)))
					_, err := s.Deliver(b.Context(), body, targets, nil)
					return err
				})
			}
			fill(firstMailbox - pending)
			commit(b, s)
			fill(pending)
			m := open(b, s, targets[0].Account, "INBOX")
			defer m.Close()
			m.box.mu.RLock()
			laid := len(m.box.changes)
			m.box.mu.RUnlock()
			if laid != pending {
				b.Fatalf("%d changes are laid over state.db, not %d", laid, pending)
			}
			b.ReportAllocs()
			used := usedTime(b, unix.RUSAGE_SELF) // nothing else is at work
			for b.Loop() {
				m.box.drop()
				if err := s.hold(m.box); err != nil {
					b.Fatal(err)
				}
				if m.box.messages.len() != firstMailbox {
					b.Fatal("messages are missing")
				}
				s.release(m.box)
			}
			b.ReportMetric(used().Seconds()*1e6/float64(b.N), "cpu-µs/op")
		})
	}
}

// threadTime keeps b on its thread and returns what tells how much of a processor it
// has used since: on a machine that others use, too, the clock says little.
func threadTime(b *testing.B) func() time.Duration {
	runtime.LockOSThread()
	b.Cleanup(runtime.UnlockOSThread)
	return usedTime(b, unix.RUSAGE_THREAD)
}
