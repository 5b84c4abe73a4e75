package training

import (
	"context"
	"encoding/binary"
	"flag"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	goimap "github.com/emersion/go-imap/v2"

	"mailstead/mailbox"
	"mailstead/mailbox/junk"
	"mailstead/mailbox/mailboxtest"
)

// TestWhatTeaches does what owners and their programs do, and counts the lessons.
func TestWhatTeaches(t *testing.T) {
	for _, c := range []struct {
		name string
		do   func(h *home)
		want [2]int // junk, good
	}{
		{"delivered", func(h *home) { h.put("INBOX", news(1)); h.put("Junk", offer(1)) }, [2]int{0, 0}},
		{"into Junk", func(h *home) { h.move("INBOX", h.put("INBOX", offer(1)), "Junk") }, [2]int{1, 0}},
		{"out of Junk", func(h *home) { h.move("Junk", h.put("Junk", news(1)), "Archive") }, [2]int{0, 1}},
		{"into Junk and back", func(h *home) { h.move("Junk", h.move("INBOX", h.put("INBOX", offer(1)), "Junk"), "INBOX") }, [2]int{0, 0}},
		{"out of Junk and back", func(h *home) { h.move("INBOX", h.move("Junk", h.put("Junk", news(1)), "INBOX"), "Junk") }, [2]int{0, 0}},
		{"three times", func(h *home) {
			h.move("INBOX", h.move("Junk", h.move("INBOX", h.put("INBOX", offer(1)), "Junk"), "INBOX"), "Junk")
		}, [2]int{1, 0}},
		{"to the archive", func(h *home) { h.move("INBOX", h.put("INBOX", news(1)), "Archive") }, [2]int{0, 0}},
		{"Junk to Trash", func(h *home) { h.move("Junk", h.put("Junk", offer(1)), "Trash") }, [2]int{0, 0}},
		{"Trash to Junk", func(h *home) { h.move("Trash", h.put("Trash", offer(1)), "Junk") }, [2]int{1, 0}},
		{"back by way of Trash", func(h *home) {
			h.move("Trash", h.move("Junk", h.move("INBOX", h.put("INBOX", offer(1)), "Junk"), "Trash"), "INBOX")
		}, [2]int{0, 0}},
		{"expunged", func(h *home) { h.expunge("Junk", h.put("Junk", offer(1))) }, [2]int{0, 0}},
		{"within Junk", func(h *home) {
			_, err := h.store.Create(h.t.Context(), h.account, "Junk/old", "")
			h.must(err)
			h.move("Junk/old", h.move("Junk", h.put("Junk", offer(1)), "Junk/old"), "Junk")
			h.move("Junk", h.put("Junk", offer(2)), "Junk")
		}, [2]int{0, 0}},
		{"out of Rejects", func(h *home) {
			_, err := h.store.Create(h.t.Context(), h.account, Rejects, "")
			h.must(err)
			h.move(Rejects, h.put(Rejects, news(1)), "INBOX")
		}, [2]int{0, 1}},
		{"copied only", func(h *home) { h.copy("INBOX", h.put("INBOX", offer(1)), "Junk") }, [2]int{0, 0}},
		{"copied and marked", func(h *home) {
			uid := h.put("INBOX", offer(1))
			h.copy("INBOX", uid, "Junk")
			h.flag("INBOX", uid, mailbox.FlagsAdd, goimap.FlagDeleted)
			h.expunge("INBOX", uid)
		}, [2]int{1, 0}},
		{"copied out and expunged", func(h *home) {
			uid := h.put("Junk", news(1))
			h.copy("Junk", uid, "INBOX")
			h.flag("Junk", uid, mailbox.FlagsAdd, goimap.FlagDeleted)
			h.expunge("Junk", uid)
		}, [2]int{0, 1}},
		{"copied to the archive, and other junk is expunged", func(h *home) {
			other := h.put("Junk", offer(1))
			h.copy("INBOX", h.put("INBOX", news(1)), "Archive")
			h.flag("Junk", other, mailbox.FlagsAdd, goimap.FlagDeleted)
			h.expunge("Junk", other)
		}, [2]int{0, 0}},
		{"keyword that agrees", func(h *home) {
			h.flag("INBOX", h.put("INBOX", news(1)), mailbox.FlagsAdd, "NonJunk")
			h.flag("Junk", h.put("Junk", offer(1)), mailbox.FlagsAdd, "$Junk")
		}, [2]int{0, 0}},
		{"keyword that contradicts", func(h *home) {
			h.flag("INBOX", h.put("INBOX", offer(1)), mailbox.FlagsAdd, "Junk")
			h.flag("Junk", h.put("Junk", news(1)), mailbox.FlagsAdd, "$NotJunk")
		}, [2]int{1, 1}},
		{"keyword that is taken off", func(h *home) {
			uid := h.put("INBOX", offer(1))
			h.flag("INBOX", uid, mailbox.FlagsAdd, "$Junk")
			h.flag("INBOX", uid, mailbox.FlagsAdd, goimap.FlagSeen)
			h.flag("INBOX", uid, mailbox.FlagsRemove, "$Junk")
		}, [2]int{0, 0}},
		{"keyword, then moved", func(h *home) {
			uid := h.put("INBOX", offer(1))
			h.flag("INBOX", uid, mailbox.FlagsAdd, "$Junk")
			h.move("INBOX", uid, "Junk")
		}, [2]int{1, 0}},
		{"answered by flag", func(h *home) { h.flag("INBOX", h.put("INBOX", news(1)), mailbox.FlagsAdd, goimap.FlagAnswered) }, [2]int{0, 1}},
		{"answered", func(h *home) {
			h.put("INBOX", news(1))
			h.put("Sent", "To: ada@village.example\nIn-Reply-To: <1@village.example>\n\nI come.\n", goimap.FlagSeen)
		}, [2]int{0, 1}},
		{"several uploaded at once", func(h *home) {
			h.upload("INBOX", news(1), news(2))
			other := h.put("Junk", offer(1))
			h.flag("Junk", other, mailbox.FlagsAdd, goimap.FlagDeleted)
			h.expunge("Junk", other)
		}, [2]int{0, 0}},
		{"a whole mailbox is answered", func(h *home) {
			var uids []goimap.UID
			for i := range maxHints + 1 {
				uids = append(uids, h.put("INBOX", news(i)))
			}
			h.in("INBOX", func(m *mailbox.Mailbox) error {
				_, err := m.Store(h.t.Context(), mailbox.StoreChange{UIDs: uids, Op: mailbox.FlagsAdd, Flags: []goimap.Flag{goimap.FlagAnswered}})
				return err
			})
		}, [2]int{0, 0}},
		{"deleted and restored", func(h *home) {
			h.expunge("Junk", h.put("Junk", offer(1)))
			_, err := h.store.RestoreMessages(h.t.Context(), h.account, mailbox.DeletedFilter{})
			h.must(err)
		}, [2]int{0, 0}},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, at := range []string{"as it happens", "later"} {
				h := newHome(t)
				h.often = at == "as it happens"
				c.do(h)
				h.learn()
				if got := h.taught(); got != c.want {
					t.Errorf("%s: taught %v, want %v", at, got, c.want)
				}
				if c.want == [2]int{} && strings.Contains(c.name, "back") && h.octets() != emptyModels() {
					t.Errorf("%s: something is left of what was undone", at)
				}
			}
		})
	}
}

// emptyModels are the octets of models that know nothing.
func emptyModels() string {
	var all []byte
	for _, m := range []*junk.Model{junk.NewAccount(), junk.NewServer()} {
		for part := range m.Parts() {
			all = m.AppendPart(all, part)
		}
	}
	return string(all)
}

// TestNextLetter: what the owner moves decides where the next letter like it belongs, and that is taken back with the move.
func TestNextLetter(t *testing.T) {
	h := newHome(t)
	if s := h.score(offer(2)); s >= 0.9 {
		t.Fatalf("untrained: %.3f", s)
	}
	uid := h.move("INBOX", h.put("INBOX", offer(1)), "Junk")
	h.learn()
	if s, other := h.score(offer(2)), h.score(news(1)); s < 0.9 || other >= 0.5 {
		t.Errorf("after one lesson %.3f, and %.3f for another letter", s, other)
	}
	h.move("Junk", uid, "INBOX")
	h.learn()
	if s := h.score(offer(2)); s >= 0.9 {
		t.Errorf("after it was undone %.3f", s)
	}
}

// TestOnlyTaught judges before and after a lesson where rules alone have no say.
func TestOnlyTaught(t *testing.T) {
	h := newHome(t)
	if h.score(offer(2)) == 0 {
		t.Fatal("rules alone think nothing of it")
	}
	h.trainer.o.OnlyTaught = true
	if s := h.score(offer(2)); s != 0 || h.trainer.Reads([]mailbox.AccountID{h.account, everybody}) {
		t.Errorf("untaught: %.3f, or letters are read", s)
	}
	uid := h.move("INBOX", h.put("INBOX", offer(1)), "Junk")
	h.learn()
	if s := h.score(offer(2)); s < 0.9 || !h.trainer.Reads([]mailbox.AccountID{h.account}) {
		t.Errorf("after a lesson: %.3f, or letters are not read", s)
	}
	h.move("Junk", uid, "INBOX")
	h.learn()
	if s := h.score(offer(2)); s != 0 {
		t.Errorf("after it was undone: %.3f", s)
	}
}

// TestJunkOnly has an owner who moves what is junk and says nothing of the rest: good mail stays where it is.
func TestJunkOnly(t *testing.T) {
	h := newHome(t)
	for i := range 30 {
		h.put("INBOX", news(i), goimap.FlagSeen)
	}
	uid := h.move("INBOX", h.put("INBOX", offer(99)), "Junk")
	h.learn()
	if got := h.taught(); got != [2]int{1, 1} {
		t.Errorf("taught %v: one letter that was read and left stands beside the junk", got)
	}
	h.move("Junk", uid, "INBOX")
	h.learn()
	if got := h.taught(); got != [2]int{0, 0} || h.octets() != emptyModels() {
		t.Errorf("taught %v after it was undone", got)
	}
	for i := range 20 {
		h.move("INBOX", h.put("INBOX", offer(i)), "Junk")
	}
	h.learn()
	stranger := "From: Zoe <zoe@city.example>\nTo: owner@home.example\nSubject: Supper\nMessage-ID: <z@city.example>\nDate: Mon, 3 Aug 2026 10:00:00 +0200\n\n" +
		"Shall we have supper in the garden this week? The tomatoes are ripe.\n"
	if s := h.score(stranger); s >= 0.5 {
		t.Errorf("a stranger's good letter has %.3f", s)
	}
	if s := h.score(offer(50)); s < 0.9 {
		t.Errorf("junk has %.3f", s)
	}
}

// TestCrashes ends the filter after each step of its work, and holds the models of the next one to those of one that never ended.
func TestCrashes(t *testing.T) {
	script := []func(h *home){
		func(h *home) { h.move("INBOX", h.put("INBOX", offer(1)), "Junk") },
		func(h *home) { h.move("Junk", h.put("Junk", news(1)), "INBOX") },
		func(h *home) { h.flag("INBOX", h.put("INBOX", offer(2)), mailbox.FlagsAdd, "$Junk") },
		func(h *home) { h.move("Junk", h.move("INBOX", h.put("INBOX", offer(3)), "Junk"), "INBOX") },
		func(h *home) { h.move("INBOX", h.put("INBOX", offer(4)), "Junk") },
	}
	whole := newHome(t)
	for _, do := range script {
		do(whole)
		whole.learn()
	}
	want := whole.octets()
	crashes := map[string]func(h *home){
		"before it learned":     func(h *home) { h.open() },
		"after it learned":      func(h *home) { h.learn(); h.open() },
		"before the position":   func(h *home) { h.learnWithout(positionKey); h.open() },
		"before anything":       func(h *home) { h.learnWithout(""); h.open() },
		"after models":          func(h *home) { h.learn(); h.must(h.trainer.save(t.Context())); h.open() },
		"while models":          func(h *home) { h.learn(); h.saveSome(); h.open() },
		"after it was finished": func(h *home) { h.learn(); h.trainer.finish(); h.open() },
	}
	for name, crash := range crashes {
		t.Run(name, func(t *testing.T) {
			h := newHome(t)
			for _, do := range script {
				do(h)
				crash(h)
			}
			h.learn()
			if h.octets() != want {
				t.Error("another model")
			}
		})
	}
}

// learnWithout learns and loses, of what is to be written, all or one key.
func (h *home) learnWithout(key string) {
	h.t.Helper()
	h.must(h.trainer.feed.Read(h.t.Context(), func(c mailbox.Change) error { return h.trainer.change(h.t.Context(), &c) }))
	if key == "" {
		return
	}
	delete(h.trainer.changed, key)
	h.must(h.trainer.flush(h.t.Context()))
}

// saveSome writes every other part of the models, as a crash leaves it.
func (h *home) saveSome() {
	h.t.Helper()
	kept := map[string][]byte{}
	for _, a := range []mailbox.AccountID{h.account, everybody} {
		for part := range 64 {
			if value, ok, err := h.store.Room(room).Get(modelKey(a, part)); part%2 == 1 {
				h.must(err)
				if !ok {
					value = nil
				}
				kept[modelKey(a, part)] = value
			}
		}
		h.must(h.trainer.saveModel(h.t.Context(), a, h.trainer.models.last))
	}
	for key, value := range kept {
		h.trainer.set(key, value)
	}
	h.must(h.trainer.flush(h.t.Context()))
}

// TestCorrespondents: who is written to is known, by Sent, by submission, or because mail of theirs was taken out of Junk.
func TestCorrespondents(t *testing.T) {
	h := newHome(t)
	isKnown := func(address string) bool {
		o, err := h.trainer.Judge([]byte("From: Somebody <"+address+">\r\n\r\n"), junk.Facts{}, []mailbox.AccountID{h.account, 0})
		h.must(err)
		if o[1].Known {
			t.Errorf("%s is known to people elsewhere", address)
		}
		return o[0].Known
	}
	h.put("Sent", "To: Ada <ada@village.example>, bob@village.example\nCc: Eve@Village.Example\n\nHello.\n")
	h.learn()
	h.trainer.WroteTo(h.account, []string{"carl@village.example"})
	h.learn()
	for address, want := range map[string]bool{"ada@village.example": true, "ADA@Village.Example": true, "eve@village.example": true,
		"bob@village.example": true, "carl@village.example": true, "dora@village.example": false} {
		if isKnown(address) != want {
			t.Errorf("%s is known: %v", address, !want)
		}
	}
	rescue := "From: dora@village.example\n\nHello, it is me.\n"
	uid := h.move("Junk", h.put("Junk", rescue), "INBOX")
	h.learn()
	if !isKnown("dora@village.example") {
		t.Error("who was rescued is not known")
	}
	h.move("INBOX", uid, "Junk")
	h.learn()
	if isKnown("dora@village.example") {
		t.Error("who went back to Junk is known")
	}
}

// TestModelsAreWrittenRarely: a lesson is on disk at once, as a few octets; models follow after hours, or many lessons.
func TestModelsAreWrittenRarely(t *testing.T) {
	h := newHome(t)
	written := func() int {
		keys, err := h.trainer.prefixed(string(rune(modelKeys)))
		h.must(err)
		return len(keys)
	}
	h.move("INBOX", h.put("INBOX", offer(1)), "Junk")
	h.learn()
	steps, err := h.trainer.prefixed(string(rune(stepKeys)))
	h.must(err)
	if written() != 0 || len(steps) != 1 {
		t.Errorf("%d parts of models and %d steps after a lesson", written(), len(steps))
	}
	h.now = h.now.Add(saveEvery - time.Second)
	h.learn()
	if written() != 0 {
		t.Error("models were written before their time")
	}
	h.now = h.now.Add(time.Second)
	h.learn()
	steps, err = h.trainer.prefixed(string(rune(stepKeys)))
	h.must(err)
	if written() != 64+4 || len(steps) != 0 {
		t.Errorf("%d parts of models and %d steps after six hours", written(), len(steps))
	}
}

// TestDamagedModel starts anew, as does the model of a version that read letters otherwise.
func TestDamagedModel(t *testing.T) {
	for name, spoil := range map[string]func(value []byte) []byte{
		"damaged": func([]byte) []byte { return []byte("damaged") },
		"older": func(value []byte) []byte {
			_, n := binary.Uvarint(value) // the number of the step stands in front
			value[n]--
			return value
		},
	} {
		t.Run(name, func(t *testing.T) { startsAnew(t, spoil) })
	}
}

func startsAnew(t *testing.T, spoil func(value []byte) []byte) {
	h := newHome(t)
	h.move("INBOX", h.put("INBOX", offer(1)), "Junk")
	h.learn()
	h.must(h.trainer.save(t.Context()))
	value, ok, err := h.store.Room(room).Get(modelKey(h.account, 2))
	if h.must(err); !ok {
		t.Fatal("there is no such part")
	}
	h.must(h.store.Change(t.Context(), mailbox.RoomChange{Room: room, Key: modelKey(h.account, 2), Value: spoil(slices.Clone(value))}))
	h.open()
	if got := h.taught(); got != [2]int{0, 0} {
		t.Errorf("taught %v", got)
	}
	h.move("INBOX", h.put("INBOX", offer(2)), "Junk")
	h.learn()
	h.must(h.trainer.save(t.Context()))
	h.open()
	if got := h.taught(); got != [2]int{1, 0} {
		t.Errorf("taught %v after it began anew", got)
	}
}

// TestForget leaves nothing of an account, not in the server's model, either.
func TestForget(t *testing.T) {
	h := newHome(t)
	first := h.account
	h.account = h.newAccount()
	h.move("INBOX", h.put("INBOX", offer(1)), "Junk")
	h.learn()
	one := h.octets()
	h.account = first
	h.move("INBOX", h.put("INBOX", offer(2)), "Junk")
	h.put("Sent", "To: ada@village.example\n\nHello.\n")
	h.learn()
	h.must(h.trainer.Forget(t.Context(), first))
	s, err := h.trainer.Summary(first)
	h.must(err)
	if s != (Summary{ServerJunk: 1}) {
		t.Errorf("left: %+v", s)
	}
	h.open()
	h.account++
	if h.octets() != one {
		t.Error("the other account's lessons have changed")
	}
	keys, err := h.trainer.prefixed("")
	h.must(err)
	for _, key := range keys {
		if key != positionKey && strings.HasPrefix(key[1:], string(accountKey(0, first)[1:])) && key[0] != stepKeys {
			t.Errorf("key %q is left", key)
		}
	}
}

// TestAccountIsErased forgets by itself.
func TestAccountIsErased(t *testing.T) {
	h := newHome(t)
	h.move("INBOX", h.put("INBOX", offer(1)), "Junk")
	h.learn()
	_, err := h.store.EraseAccount(t.Context(), h.account, nil, func(string, int64, int64) {})
	h.must(err)
	h.learn()
	if keys, err := h.trainer.prefixed(string(accountKey(modelKeys, h.account))); err != nil || len(keys) > 0 {
		t.Errorf("%d parts of the model are left, %v", len(keys), err)
	}
}

// TestManyAccounts judges for more accounts than have models in memory, and loses nothing of them.
func TestManyAccounts(t *testing.T) {
	h := newHome(t)
	var all []mailbox.AccountID
	for i := range junk.MaxAccounts + 3 {
		h.account = h.newAccount()
		all = append(all, h.account)
		h.move("INBOX", h.put("INBOX", offer(i)), "Junk")
	}
	h.learn()
	for _, a := range slices.Backward(all) {
		h.account = a
		if got := h.taught(); got != [2]int{1, 0} {
			t.Errorf("account %d taught %v", a, got)
		}
	}
	if n := len(h.trainer.models.accounts); n > junk.MaxAccounts {
		t.Errorf("%d models in memory", n)
	}
}

var soakRounds = flag.Int("soak", 20, "rounds of TestSoak: each moves and judges 50 letters")

// TestSoak moves letters to and fro and judges others, and needs no more memory at its end than at its beginning, nor more keys.
func TestSoak(t *testing.T) {
	h := newHome(t)
	const letters = 50
	uids := make([]goimap.UID, letters)
	for i := range uids {
		uids[i] = h.put("INBOX", offer(i))
	}
	heap := func() int64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	var early int64
	keys := 0
	for round := range *soakRounds {
		from, to := "INBOX", "Junk"
		if round%2 == 1 {
			from, to = to, from
		}
		for i := range uids {
			uids[i] = h.move(from, uids[i], to)
			h.score(news(round*letters + i))
		}
		h.learn()
		if round == *soakRounds/4*2 {
			early = heap()
			all, err := h.trainer.prefixed("r")
			h.must(err)
			keys = len(all)
		}
	}
	h.must(h.trainer.save(t.Context()))
	late := heap()
	for end := time.Now().Add(2 * time.Minute); late > early+1<<20 && time.Now().Before(end); late = heap() {
		time.Sleep(50 * time.Millisecond) // what works in the store's background gives its memory back when it is done
	}
	if late > early+1<<20 {
		t.Errorf("%d octets of heap at the end, %d halfway", late, early)
	}
	all, err := h.trainer.prefixed("r")
	h.must(err)
	if len(all) > keys || h.trainer.models.waiting() > 0 || len(h.trainer.changed) > 0 {
		t.Errorf("%d receipts, %d halfway; %d steps and %d changes wait", len(all), keys, h.trainer.models.waiting(), len(h.trainer.changed))
	}
}

// TestJudgeWhileLearning has several sessions judge for more accounts than have models in memory, while all of them teach.
func TestJudgeWhileLearning(t *testing.T) {
	h := newHome(t)
	var all []mailbox.AccountID
	for i := range junk.MaxAccounts + 4 {
		h.account = h.newAccount()
		all = append(all, h.account)
		h.move("INBOX", h.put("INBOX", offer(i)), "Junk")
	}
	h.learn()
	var judging sync.WaitGroup
	for n := range 4 {
		judging.Go(func() {
			for i := range 60 {
				if _, err := h.trainer.Judge([]byte(offer(i)), junk.Facts{}, []mailbox.AccountID{all[(i*5+n)%len(all)]}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for i, a := range all {
		h.account = a
		h.move("INBOX", h.put("INBOX", offer(i)), "Junk")
		h.learn()
	}
	judging.Wait()
	for _, a := range all {
		h.account = a
		if got := h.taught(); got != [2]int{2, 0} {
			t.Errorf("account %d taught %v", a, got)
		}
	}
}

// TestTrim keeps receipts and correspondents within their bounds, the newest.
func TestTrim(t *testing.T) {
	h := newHome(t)
	for i := range 10 {
		l := lesson{cause: moved, lsn: mailbox.ModSeq(i + 1)}
		h.trainer.set(receiptKey(h.account, mailbox.BodyID(i+1)), l.append(nil))
	}
	h.must(h.trainer.flush(t.Context()))
	h.must(h.trainer.trimKeys(accountKey(receiptKeys, h.account), 4, func(v []byte) uint64 {
		l, err := readLesson(v)
		h.must(err)
		return uint64(l.lsn)
	}))
	h.must(h.trainer.flush(t.Context()))
	keys, err := h.trainer.prefixed(string(accountKey(receiptKeys, h.account)))
	h.must(err)
	if len(keys) != 4 || keys[0] != receiptKey(h.account, 7) {
		t.Errorf("%d receipts are left, %q the oldest", len(keys), keys)
	}
}

// TestRun learns by itself, and writes everything at its end.
func TestRun(t *testing.T) {
	h := newHome(t)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		h.trainer.Run(ctx)
	}()
	h.move("INBOX", h.put("INBOX", offer(1)), "Junk")
	news := make(chan struct{}, 1)
	defer h.store.WatchAll(news)()
	for h.taught() != [2]int{1, 0} { // the receipt's record wakes us
		select {
		case <-news:
		case <-time.After(10 * time.Millisecond):
		}
	}
	stop()
	<-done
	if n := h.trainer.models.waiting(); n > 0 {
		t.Errorf("%d steps wait for the models to be written", n)
	}
}

// TestStoredFacts reads the results that this server wrote, and no others.
func TestStoredFacts(t *testing.T) {
	results := "Authentication-Results: mx.home.example;\r\n dkim=fail header.d=a.example; dkim=pass header.d=b.example;\r\n" +
		" spf=softfail smtp.mailfrom=x@a.example; dmarc=pass header.from=B.example; iprev=pass policy.iprev=192.0.2.1\r\n"
	received := "Received: from x by y; Mon, 3 Aug 2026 10:00:00 +0200\r\n"
	f := storedFacts([]byte("Return-Path: <>\r\n" + results + received + "\r\n"))
	if f.DKIM != junk.Pass || f.SPF != junk.SoftFail || f.DMARC != junk.Pass || f.IPRev != junk.Pass || f.Domain != "b.example" || f.Client.String() != "192.0.2.1" {
		t.Errorf("%+v", f)
	}
	if f := storedFacts([]byte(received + results + "\r\n")); f != (junk.Facts{}) {
		t.Errorf("of somebody else: %+v", f)
	}
}

// BenchmarkJudge is what a delivery waits for: a letter of 10 KB is read and judged for one account.
func BenchmarkJudge(b *testing.B) {
	store := mailboxtest.NewStore(b)
	account, err := store.CreateAccount(b.Context(), nil)
	if err != nil {
		b.Fatal(err)
	}
	trainer, err := Open(Options{Store: store})
	if err != nil {
		b.Fatal(err)
	}
	letter := []byte(strings.ReplaceAll(news(1), "\n", "\r\n"))
	for i := 0; len(letter) < 10<<10; i++ {
		letter = fmt.Appendf(letter, "Word%d of a letter that goes on for a while, with what people write to each other every day.\r\n", i)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := trainer.Judge(letter, junk.Facts{SPF: junk.Pass}, []mailbox.AccountID{account}); err != nil {
			b.Fatal(err)
		}
	}
}

func FuzzValues(f *testing.F) {
	l := lesson{cause: marked, lsn: 7, receipt: junk.Receipt{Class: junk.Junk, Server: -5, Account: 9, Features: 77}, mailbox: 3, uid: 4}
	s := step{number: 1, account: 2, body: 3, undo: true, receipt: l.receipt}
	f.Add(l.append(nil))
	f.Add(s.append(nil))
	f.Fuzz(func(t *testing.T, value []byte) {
		if l, err := readLesson(value); err == nil {
			if again, err := readLesson(l.append(nil)); err != nil || again != l {
				t.Errorf("%+v became %+v, %v", l, again, err)
			}
		}
		if s, err := readStep(stepKey(5), value); err == nil {
			if again, err := readStep(stepKey(5), s.append(nil)); err != nil || again != s {
				t.Errorf("%+v became %+v, %v", s, again, err)
			}
		}
	})
}
