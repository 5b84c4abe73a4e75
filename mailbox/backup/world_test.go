package backup

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	goimap "github.com/emersion/go-imap/v2"

	"mailstead/mailbox"
	"mailstead/mailbox/mailboxtest"
)

// world is a store with one account that somebody works with, and what it was
// after each change.
type world struct {
	t       *testing.T
	dir     string // of the server
	s       *mailbox.Store
	account mailbox.AccountID
	rand    *rand.Rand
	letters int

	mu    sync.Mutex
	model map[string]map[goimap.UID]string // mailbox → UID → flags and text
	was   map[mailbox.ModSeq]string
}

func newWorld(t *testing.T, seed uint64) *world {
	t.Helper()
	w := &world{t: t, dir: t.TempDir(), rand: rand.New(rand.NewPCG(seed, 7)), was: make(map[mailbox.ModSeq]string),
		model: map[string]map[goimap.UID]string{"INBOX": {}, "Archive": {}}}
	w.s = mailboxtest.OpenStore(t, filepath.Join(w.dir, "store"))
	var err error
	if w.account, err = w.s.CreateAccount(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if _, err := w.s.Mailbox(w.account, "Archive"); errors.Is(err, mailbox.ErrNoMailbox) {
		if _, err := w.s.Create(t.Context(), w.account, "Archive", ""); err != nil {
			t.Fatal(err)
		}
	}
	w.note()
	return w
}

// note remembers what the store is now.
func (w *world) note() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.was[w.s.LastChange()] = describe(w.model)
}

// at is what the store was when lsn was its last change.
func (w *world) at(lsn mailbox.ModSeq) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	for ; lsn > 0; lsn-- {
		if text, ok := w.was[lsn]; ok {
			return text
		}
	}
	return "nothing"
}

func describe(model map[string]map[goimap.UID]string) string {
	var lines []string
	for name, box := range model {
		for uid, text := range box {
			lines = append(lines, fmt.Sprintf("%s %d %s", name, uid, text))
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// deliver puts a letter of about size octets into a mailbox.
func (w *world) deliver(name string, size int) {
	w.letters++
	text := fmt.Sprintf("Subject: letter %d\r\n\r\n%s\r\n", w.letters, strings.Repeat(fmt.Sprintf("%07d ", w.letters), size/8))
	b := w.s.NewBody()
	defer b.Abort()
	io.WriteString(b, text)
	placed, err := w.s.Deliver(context.Background(), b, []mailbox.Target{{Account: w.account, Name: name}}, nil)
	if err == nil {
		err = placed[0].Err
	}
	if err != nil {
		w.t.Error(err)
		return
	}
	w.model[name][placed[0].UID] = short(mailbox.FlagSet{}, text)
	w.note()
}

func short(flags mailbox.FlagSet, text string) string {
	return fmt.Sprintf("%x %s", flags[0], sumOf([]byte(text))[:12])
}

// step does something.
func (w *world) step() {
	name := []string{"INBOX", "Archive"}[w.rand.IntN(2)]
	var uids []goimap.UID
	for uid := range w.model[name] {
		uids = append(uids, uid)
	}
	slices.Sort(uids)
	switch n := w.rand.IntN(10); {
	case n < 6 || len(uids) == 0:
		size := 20 << 10
		if w.rand.IntN(8) == 0 {
			size = 100 << 10 // a file of its own, of these segments
		}
		w.deliver(name, size)
	case n < 8:
		w.flag(name, uids[w.rand.IntN(len(uids))], mailbox.FlagFlagged, goimap.FlagFlagged)
	default:
		w.expunge(name, uids[w.rand.IntN(len(uids))])
	}
}

func (w *world) open(name string) *mailbox.Mailbox {
	m, err := w.s.OpenMailbox(context.Background(), w.account, name)
	if err != nil {
		w.t.Error(err)
	}
	return m
}

// flag sets the one flag of a message.
func (w *world) flag(name string, uid goimap.UID, bit int, flag goimap.Flag) {
	m := w.open(name)
	defer m.Close()
	_, err := m.Store(context.Background(), mailbox.StoreChange{UIDs: []goimap.UID{uid}, Op: mailbox.FlagsReplace, Flags: []goimap.Flag{flag}})
	if err != nil {
		w.t.Error(err)
	}
	_, text, _ := strings.Cut(w.model[name][uid], " ")
	w.model[name][uid] = fmt.Sprintf("%x %s", mailbox.FlagSet{}.With(bit)[0], text)
	w.note()
}

func (w *world) expunge(name string, uid goimap.UID) {
	w.flag(name, uid, mailbox.FlagDeleted, goimap.FlagDeleted)
	m := w.open(name)
	defer m.Close()
	if _, err := m.Expunge(context.Background(), []goimap.UID{uid}, true); err != nil {
		w.t.Error(err)
	}
	delete(w.model[name], uid)
	w.note()
}

// source makes a snapshot of the world's store.
func (w *world) source() Source {
	w.t.Helper()
	snap, err := w.s.Snapshot(context.Background())
	if err != nil {
		w.t.Fatal(err)
	}
	key := filepath.Join(w.dir, "tls", "key.pem")
	if err := errors.Join(os.MkdirAll(filepath.Dir(key), 0o700), os.WriteFile(key, []byte("a key"), 0o600)); err != nil {
		w.t.Fatal(err)
	}
	return Source{Snapshot: snap, Beside: []Beside{{Name: "tls/key.pem", Path: key}, {Name: "gone", Path: key + ".gone"}}}
}

// backup makes one.
func (w *world) backup(dir string, o Options) Report {
	w.t.Helper()
	src := w.source()
	r, err := Write(context.Background(), dir, src, o)
	if err := errors.Join(err, w.s.DropSnapshot(src.Snapshot.Name)); err != nil {
		w.t.Fatal(err)
	}
	return r
}

// contents opens a restored store and says what it is, and the UIDVALIDITYs.
func contents(t *testing.T, dir string, a mailbox.AccountID) (string, map[string]uint32) {
	t.Helper()
	s := mailboxtest.OpenStore(t, filepath.Join(dir, "store"))
	model, validity := make(map[string]map[goimap.UID]string), make(map[string]uint32)
	infos, err := s.Mailboxes(a)
	if err != nil {
		t.Fatal(err)
	}
	for _, info := range infos {
		model[info.Name], validity[info.Name] = make(map[goimap.UID]string), info.UIDValidity
		m, err := s.OpenMailbox(t.Context(), a, info.Name)
		if err != nil {
			t.Fatal(err)
		}
		v := m.View(false)
		for _, r := range v.Rows(nil, 1, v.Len()) {
			model[info.Name][r.UID] = short(r.Flags, bodyText(t, s, r.Body))
		}
		m.Close()
	}
	if err := errors.Join(s.Check(), s.Close()); err != nil {
		t.Errorf("the restored store: %v", err)
	}
	return describe(model), validity
}

func bodyText(t *testing.T, s *mailbox.Store, id mailbox.BodyID) string {
	t.Helper()
	b, err := s.OpenBody(id)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	var out bytes.Buffer
	if _, err := b.WriteTo(&out); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// restore restores a backup elsewhere.
func restore(t *testing.T, from string, o RestoreOptions) Restored {
	t.Helper()
	r, err := Restore(t.Context(), from, o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}
