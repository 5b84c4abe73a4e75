//go:build linux

package main

import (
	"bytes"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	goimap "github.com/emersion/go-imap/v2"
)

// deliverLarge sends a letter of about size octets to account a.
func (w *worker) deliverLarge(size int) error {
	if err := w.greet(); err != nil {
		return err
	}
	name, text, l := w.composeOf(size)
	w.oracle.begin(func(to world) { to[inboxA][name] = l })
	err := w.smtp.SendMail("soak@elsewhere.example", []string{user(w.number, "a")}, bytes.NewReader(text))
	if err == nil {
		w.oracle.done()
	}
	return err
}

// appendLarge is APPEND of a letter of about size octets.
func (w *worker) appendLarge(size int) error {
	if err := w.selectBox(inboxA); err != nil {
		return err
	}
	name, text, l := w.composeOf(size)
	return w.append(inboxA, name, text, l, nil)
}

// fillWithMail delivers letters of a few hundred kilobytes until there is no
// space for one, and then smaller ones until there is none for those.
func (d *fullDisk) fillWithMail() {
	d.t.Helper()
	n := 0
	for size := 600 << 10; size > 1<<10; n++ {
		err := d.worker.deliverLarge(size/6 + d.worker.random.IntN(size))
		switch {
		case noSpace(err):
			d.worker.notDone()
			size /= 4
		case err != nil || n > 5000:
			d.t.Fatalf("after %d messages: %v: %s", n, err, d.words)
		}
	}
	d.t.Logf("refused after %d messages with %d KiB free", n, d.filler.free()>>10)
}

// expungeOldest takes the n oldest letters of INBOX away, as a mail program
// does: \Deleted, then UID EXPUNGE.
func (w *worker) expungeOldest(n int) error {
	if err := w.selectBox(inboxA); err != nil {
		return err
	}
	newest := map[string]goimap.UID{} // a letter that was moved away and back has had several
	for uid, name := range w.oracle.boxes[inboxA].names {
		if _, there := w.oracle.certain[inboxA][name]; there {
			newest[name] = max(newest[name], uid)
		}
	}
	uids := slices.Sorted(maps.Values(newest))
	uids = uids[:min(n, len(uids))]
	var names []string
	for _, uid := range uids {
		names = append(names, w.oracle.boxes[inboxA].names[uid])
	}
	return w.expungeLetters(inboxA, names, goimap.UIDSetNum(uids...))
}

// TestFullOfMail fills a small disk with nothing but mail. When it is full mail
// is refused for the moment, deleting is not; and when half of it was deleted
// by IMAP the server gives the space back, and takes mail again, by itself,
// although deleted mail is kept for days where there is space.
func TestFullOfMail(t *testing.T) {
	if testing.Short() {
		t.Skip("fills 180 MiB; the short form runs under the race detector, under which this takes minutes")
	}
	t.Parallel() // it waits for its own disk
	disk := smallDisk(t, 180<<20)
	d := &fullDisk{instance: newInstance(t, filepath.Join(disk, "server"), "example.test", "--log-level", "warn"), filler: newFiller(t, disk)}
	d.start()
	d.worker = d.instance.worker(rand.Uint64())
	for range 30 {
		if err := d.worker.step(); err != nil {
			t.Fatal(err)
		}
	}
	d.fillWithMail()
	if err := d.worker.appendLarge(600 << 10); !noSpace(err) {
		t.Errorf("APPEND: %v", err)
	}
	d.worker.notDone()
	d.audit("full of mail")
	if err := d.worker.expungeOldest(len(d.worker.oracle.certain[inboxA]) / 2); err != nil {
		t.Fatalf("deleting on a full disk: %v: %s", err, d.words)
	}
	for range 50 { // 30 MB, far more than was left
		eventually(t, "the server takes mail again", func() bool {
			err := d.worker.deliverLarge(600 << 10)
			if err != nil && !noSpace(err) {
				t.Fatal(err)
			}
			if err != nil {
				d.worker.notDone()
			}
			return err == nil
		})
	}
	d.running()
	d.audit("after cleaning")
	d.restart(syscall.SIGKILL)
	d.audit("killed")
	d.end(syscall.SIGTERM)
	if strings.Contains(d.words.String(), "level=ERROR") {
		t.Errorf("the last server complains: %s", d.words)
	}
	checkStore(t, d.dir)
}
