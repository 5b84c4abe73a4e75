package mailbox

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	goimap "github.com/emersion/go-imap/v2"
)

// mirror is the plainest thing that does what a store with one account does.
type mirror struct {
	boxes      map[string]*mirrorBox
	subscribed map[string]bool
	room       map[string]string
	letters    int
	limit      int64 // of messages; 0 = none
}

type mirrorBox struct {
	messages []mirrorMessage
	next     goimap.UID
	validity uint32
}

type mirrorMessage struct {
	uid   goimap.UID
	flags string // sorted, joined with spaces
	text  string
}

// world is a store beside its mirror, and a client of each mailbox.
type world struct {
	t       *testing.T
	rand    *rand.Rand
	s       *Store
	a       AccountID
	mirror  mirror
	open    map[string]*Mailbox
	clients map[string]*client
	log     []string
}

// client knows a mailbox from what its view tells it.
type client struct {
	view  *View
	m     *Mailbox
	uids  []goimap.UID
	flags map[goimap.UID]string
}

var mirrorFlags = []goimap.Flag{`\Seen`, `\Deleted`, `\Flagged`, "$Forwarded", "work", "Later"}

func TestAgainstMirror(t *testing.T) {
	for seed := range uint64(6) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, seed)
			for range 200 {
				w.step()
				if t.Failed() {
					break
				}
			}
			w.compare()
			if t.Failed() {
				t.Log(strings.Join(w.log[max(0, len(w.log)-40):], "\n"))
			}
		})
	}
}

func newWorld(t *testing.T, seed uint64) *world {
	s := newStore(t)
	w := &world{t: t, rand: rand.New(rand.NewPCG(seed, 1)), s: s, a: newAccount(t, s)}
	w.mirror = mirror{boxes: make(map[string]*mirrorBox), subscribed: make(map[string]bool), room: make(map[string]string)}
	infos, err := s.Mailboxes(w.a)
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range infos {
		w.mirror.boxes[i.Name] = &mirrorBox{next: 1, validity: i.UIDValidity}
		w.mirror.subscribed[i.Name] = true
	}
	w.forget()
	return w
}

// forget drops what referred to the store before a restart.
func (w *world) forget() {
	w.open, w.clients = make(map[string]*Mailbox), make(map[string]*client)
}

func (w *world) note(format string, args ...any) { w.log = append(w.log, fmt.Sprintf(format, args...)) }

func (w *world) step() {
	steps := []struct {
		weight int
		do     func()
	}{
		{30, w.deliver}, {15, w.storeFlags}, {10, w.expunge}, {10, func() { w.transfer(false) }}, {10, func() { w.transfer(true) }},
		{3, w.create}, {2, w.delete}, {2, w.rename}, {2, w.subscribe}, {5, w.change}, {20, w.look}, {2, w.commit}, {2, w.clean}, {3, w.restart}, {3, w.quota},
	}
	total := 0
	for _, s := range steps {
		total += s.weight
	}
	n := w.rand.IntN(total)
	for _, s := range steps {
		if n -= s.weight; n < 0 {
			s.do()
			return
		}
	}
}

func (w *world) name() string {
	return slices.Sorted(maps.Keys(w.mirror.boxes))[w.rand.IntN(len(w.mirror.boxes))]
}

func (w *world) mailbox(name string) *Mailbox {
	if w.open[name] == nil || w.rand.IntN(10) == 0 {
		w.open[name] = open(w.t, w.s, w.a, name)
	}
	return w.open[name]
}

func (w *world) someFlags() (flags []goimap.Flag) {
	for _, f := range mirrorFlags {
		if w.rand.IntN(3) == 0 {
			flags = append(flags, f)
		}
	}
	return flags
}

func joinFlags(flags []goimap.Flag) string {
	list := make([]string, len(flags))
	for i, f := range flags {
		list[i] = string(f)
	}
	slices.Sort(list)
	return strings.Join(slices.Compact(list), " ")
}

func splitFlags(s string) (flags []goimap.Flag) {
	for f := range strings.FieldsSeq(s) {
		flags = append(flags, goimap.Flag(f))
	}
	return flags
}

// quota sets a limit near what is there, or none.
func (w *world) quota() {
	w.mirror.limit = 0
	if w.rand.IntN(3) > 0 {
		w.mirror.limit = max(1, w.mirror.messages()+int64(w.rand.IntN(8))-1)
	}
	w.note("quota %d", w.mirror.limit)
	if err := w.s.SetQuota(w.t.Context(), w.a, Quota{Messages: w.mirror.limit}); err != nil {
		w.t.Errorf("quota: %v", err)
	}
}

// messages is how many the account has.
func (m *mirror) messages() (n int64) {
	for _, b := range m.boxes {
		n += int64(len(b.messages))
	}
	return n
}

// refuses reports whether the quota has no room for n more.
func (m *mirror) refuses(n int) bool { return n > 0 && m.limit > 0 && m.messages()+int64(n) > m.limit }

// refusal expects a letter to be refused.
func (w *world) refusal(name string) {
	b := w.s.NewBody()
	defer b.Abort()
	if _, err := b.Write([]byte(letter(0))); err != nil {
		w.t.Error(err)
	}
	placed, err := w.s.Deliver(w.t.Context(), b, []Target{{Account: w.a, Name: name}}, nil)
	if err == nil {
		err = placed[0].Err
	}
	if !errors.Is(err, ErrOverQuota) {
		w.t.Errorf("deliver %q over the quota: %v", name, err)
	}
}

func (w *world) deliver() {
	name, flags := w.name(), w.someFlags()
	if w.mirror.refuses(1) {
		w.refusal(name)
		return
	}
	w.mirror.letters++
	body := letter(w.mirror.letters)
	b := w.mirror.boxes[name]
	w.note("deliver %q %v -> %d", name, flags, b.next)
	if uid := deliver(w.t, w.s, w.a, name, body, flags...); uid != b.next {
		w.t.Errorf("%q: UID %d, want %d", name, uid, b.next)
	}
	b.add(mirrorMessage{flags: joinFlags(flags), text: body})
}

func (b *mirrorBox) add(m mirrorMessage) goimap.UID {
	m.uid = b.next
	b.next++
	b.messages = append(b.messages, m)
	return m.uid
}

// some chooses UIDs, ascending, of which some may not exist.
func (w *world) some(b *mirrorBox) []goimap.UID {
	var list []goimap.UID
	for uid := goimap.UID(1); uid < b.next+1; uid++ {
		if w.rand.IntN(3) == 0 {
			list = append(list, uid)
		}
	}
	return list
}

func (w *world) storeFlags() {
	name := w.name()
	b := w.mirror.boxes[name]
	c := StoreChange{UIDs: w.some(b), Op: FlagOp(w.rand.IntN(3)), Flags: w.someFlags()}
	w.note("store %q %+v", name, c)
	if _, err := w.mailbox(name).Store(w.t.Context(), c); err != nil {
		w.t.Errorf("store: %v", err)
	}
	for i := range b.messages {
		m := &b.messages[i]
		if !slices.Contains(c.UIDs, m.uid) {
			continue
		}
		old := splitFlags(m.flags)
		switch c.Op {
		case FlagsAdd:
			m.flags = joinFlags(append(old, c.Flags...))
		case FlagsRemove:
			m.flags = joinFlags(slices.DeleteFunc(old, func(f goimap.Flag) bool { return slices.Contains(c.Flags, f) }))
		default:
			m.flags = joinFlags(c.Flags)
		}
	}
}

func (w *world) expunge() {
	name := w.name()
	b := w.mirror.boxes[name]
	all, deleted := w.rand.IntN(2) == 0, w.rand.IntN(2) == 0
	only := w.some(b)
	deleted = deleted || all
	var want []goimap.UID
	b.messages = slices.DeleteFunc(b.messages, func(m mirrorMessage) bool {
		gone := (all || slices.Contains(only, m.uid)) && (!deleted || strings.Contains(m.flags, `\Deleted`))
		if gone {
			want = append(want, m.uid)
		}
		return gone
	})
	w.note("expunge %q %v %v %v", name, all, only, deleted)
	got, err := w.mailbox(name).expunge(w.t.Context(), selection{all: all, uids: only}, deleted, nil)
	if err != nil || !slices.Equal(got, want) {
		w.t.Errorf("expunge %q: %v, %v, want %v", name, got, err, want)
	}
}

func (w *world) transfer(move bool) {
	from, to := w.name(), w.name()
	src, dst := w.mirror.boxes[from], w.mirror.boxes[to]
	chosen := w.some(src)
	var want Copied
	var left []mirrorMessage
	var taken []mirrorMessage
	for _, m := range src.messages {
		if slices.Contains(chosen, m.uid) {
			taken = append(taken, m)
		}
		if !move || !slices.Contains(chosen, m.uid) {
			left = append(left, m)
		}
	}
	refused := !move && w.mirror.refuses(len(taken))
	if refused {
		left, taken = src.messages, nil
	}
	src.messages = left
	for _, m := range taken {
		want.UIDValidity = dst.validity
		want.Source = append(want.Source, m.uid)
		want.Dest = append(want.Dest, dst.add(m))
	}
	w.note("transfer %q to %q %v move %v", from, to, chosen, move)
	do := w.mailbox(from).Copy
	if move {
		do = w.mailbox(from).Move
	}
	got, err := do(w.t.Context(), chosen, to)
	if refused && errors.Is(err, ErrOverQuota) {
		return
	}
	if err != nil || got.UIDValidity != want.UIDValidity || !slices.Equal(got.Source, want.Source) || !slices.Equal(got.Dest, want.Dest) {
		w.t.Errorf("transfer: %+v, %v; want %+v", got, err, want)
	}
}

func (w *world) create() {
	name := fmt.Sprintf("%s/%c", w.name(), 'a'+w.rand.IntN(4))
	if strings.Count(name, "/") > 4 {
		return
	}
	info, err := w.s.Create(w.t.Context(), w.a, name, "")
	w.note("create %q: %v", name, err)
	if (err == nil) != (w.mirror.boxes[name] == nil) {
		w.t.Errorf("create %q: %v", name, err)
	}
	if err == nil {
		w.mirror.boxes[name] = &mirrorBox{next: 1, validity: info.UIDValidity}
		w.addParents(name)
	}
}

// addParents takes in the levels above name that the store made.
func (w *world) addParents(name string) {
	for _, p := range parents(name) {
		if w.mirror.boxes[p] == nil {
			info, err := w.s.Mailbox(w.a, p)
			if err != nil {
				w.t.Errorf("level %q above %q: %v", p, name, err)
			}
			w.mirror.boxes[p] = &mirrorBox{next: 1, validity: info.UIDValidity}
		}
	}
}

func (w *world) delete() {
	name := w.name()
	if name == inbox {
		return
	}
	w.note("delete %q", name)
	if err := w.s.Delete(w.t.Context(), w.a, name); err != nil {
		w.t.Errorf("delete %q: %v", name, err)
	}
	delete(w.mirror.boxes, name)
	delete(w.open, name)
	if c := w.clients[name]; c != nil && !c.view.Update(true).Gone {
		w.t.Errorf("view of deleted %q is not gone", name)
	}
	delete(w.clients, name)
}

func (w *world) rename() {
	from, to := w.name(), fmt.Sprintf("%s/%c", w.name(), 'n'+w.rand.IntN(4))
	if strings.Count(to, "/") > 4 || from != inbox && strings.HasPrefix(to+"/", from+"/") || w.mirror.boxes[to] != nil {
		return
	}
	w.note("rename %q %q", from, to)
	for name := range w.mirror.boxes {
		if strings.HasPrefix(name, to+"/") {
			return // its levels above may be missing
		}
	}
	if err := w.s.Rename(w.t.Context(), w.a, from, to); err != nil {
		w.t.Errorf("rename %q to %q: %v", from, to, err)
		return
	}
	if from == inbox {
		w.renameInbox(to)
	} else {
		moved := make(map[string]*mirrorBox)
		for name, b := range w.mirror.boxes {
			if name == from || strings.HasPrefix(name, from+"/") {
				moved[to+name[len(from):]] = b
				delete(w.mirror.boxes, name)
				delete(w.open, name)
				delete(w.clients, name)
			}
		}
		maps.Copy(w.mirror.boxes, moved)
	}
	w.addParents(to)
}

func (w *world) renameInbox(to string) {
	info, err := w.s.Mailbox(w.a, to)
	if err != nil {
		w.t.Errorf("renamed INBOX: %v", err)
	}
	dst := &mirrorBox{next: 1, validity: info.UIDValidity}
	for _, m := range w.mirror.boxes[inbox].messages {
		dst.add(m)
	}
	w.mirror.boxes[inbox].messages = nil
	w.mirror.boxes[to] = dst
}

func (w *world) subscribe() {
	name, on := w.name(), w.rand.IntN(2) == 0
	w.note("subscribe %q %v", name, on)
	if err := w.s.Subscribe(w.t.Context(), w.a, name, on); err != nil {
		w.t.Errorf("subscribe: %v", err)
	}
	if on {
		w.mirror.subscribed[name] = true
	} else {
		delete(w.mirror.subscribed, name)
	}
}

func (w *world) change() {
	var changes []RoomChange
	for range 1 + w.rand.IntN(4) {
		c := RoomChange{Room: "r", Key: fmt.Sprintf("k%02d", w.rand.IntN(30))}
		delete(w.mirror.room, c.Key)
		if w.rand.IntN(3) > 0 {
			c.Value = fmt.Appendf(nil, "v%d", w.rand.Int())
			w.mirror.room[c.Key] = string(c.Value)
		}
		changes = append(changes, c)
	}
	w.note("change %v", changes)
	if err := w.s.Change(w.t.Context(), changes...); err != nil {
		w.t.Errorf("change: %v", err)
	}
}

// look lets a client hear the news, and holds what it knows against the mirror.
func (w *world) look() {
	name := w.name()
	c := w.clients[name]
	if c == nil || w.rand.IntN(20) == 0 {
		m := w.mailbox(name)
		c = &client{m: m, view: m.View(w.rand.IntN(2) == 0), flags: make(map[goimap.UID]string)}
		w.clients[name] = c
		c.uids = slices.Clone(c.view.UIDs())
		c.fetch(1)
	}
	expunge := w.rand.IntN(2) == 0
	w.note("look %q %v", name, expunge)
	c.update(w.t, expunge)
	if expunge {
		c.compare(w.t, name, w.mirror.boxes[name])
	}
}

// fetch reads flags from sequence number from on.
func (c *client) fetch(from uint32) {
	for _, r := range c.view.Rows(nil, from, c.view.Len()) {
		c.flags[r.UID] = c.m.flagNames(r.Flags)
	}
}

func (m *Mailbox) flagNames(f FlagSet) string {
	var list []goimap.Flag
	for i, name := range systemFlags {
		if f.Has(i) {
			list = append(list, name)
		}
	}
	for k, name := range m.Keywords() {
		if f.Has(KeywordBit + k) {
			for _, known := range mirrorFlags {
				if strings.EqualFold(string(known), name) {
					list = append(list, known)
				}
			}
		}
	}
	return joinFlags(list)
}

func (c *client) update(t *testing.T, expunge bool) {
	had := len(c.uids)
	u := c.view.Update(expunge)
	for i, seq := range u.Expunged {
		if int(seq) > len(c.uids) || c.uids[seq-1] != u.Vanished[i] {
			t.Errorf("EXPUNGE %d does not fit UID %d in %v", seq, u.Vanished[i], c.uids)
			return
		}
		c.uids = slices.Delete(c.uids, int(seq)-1, int(seq))
	}
	if len(u.Expunged) > 0 && !expunge {
		t.Error("EXPUNGE told where it is forbidden")
	}
	had -= len(u.Expunged)
	if u.Exists != (int(c.view.Len()) > had) {
		t.Errorf("Exists %v with %d, before %d", u.Exists, c.view.Len(), had)
	}
	c.uids = append(c.uids, c.view.UIDs()[had:]...)
	c.fetch(uint32(had) + 1)
	for _, r := range u.Changed {
		if c.uids[r.Seq-1] != r.UID {
			t.Errorf("FETCH %d is of UID %d, want %d", r.Seq, r.UID, c.uids[r.Seq-1])
		}
		c.flags[r.UID] = c.m.flagNames(r.Flags)
	}
	if !slices.Equal(c.uids, c.view.UIDs()) {
		t.Errorf("the client has %v, its view %v", c.uids, c.view.UIDs())
	}
}

func (c *client) compare(t *testing.T, name string, b *mirrorBox) {
	var want []goimap.UID
	for _, m := range b.messages {
		want = append(want, m.uid)
		if c.flags[m.uid] != m.flags {
			t.Errorf("%q: the client has flags %q of UID %d, want %q", name, c.flags[m.uid], m.uid, m.flags)
		}
	}
	if !slices.Equal(c.uids, want) {
		t.Errorf("%q: the client has %v, want %v", name, c.uids, want)
	}
}

func (w *world) commit() {
	w.note("commit")
	commit(w.t, w.s)
}

// clean purges what can be restored, has cleaning take all that it can, and
// moves every body of the sealed segments.
func (w *world) clean() {
	w.note("clean")
	if err := w.s.PurgeAccount(w.t.Context(), w.a); err != nil {
		w.t.Fatal(err)
	}
	w.s.cleaner.mu.Lock()
	defer w.s.cleaner.mu.Unlock()
	w.s.cleaner.rest = 0
	r := &cleaning{s: w.s, ctx: w.t.Context(), must: make(map[uint32]bool)}
	for _, info := range w.s.log.Segments() {
		r.must[info.Number] = true
	}
	commit(w.t, w.s)
	if err := errors.Join(r.run(), r.compact()); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) restart() {
	if w.rand.IntN(2) == 0 {
		w.note("reopen")
		w.s = reopen(w.t, w.s)
	} else {
		w.note("crash")
		old := w.s
		w.s = crash(w.t, old)
		closeStore(w.t, old)
	}
	w.forget()
	w.compare()
}

// compare holds everything durable against the mirror.
func (w *world) compare() {
	infos, err := w.s.Mailboxes(w.a)
	if err != nil || len(infos) != len(w.mirror.boxes) {
		w.t.Errorf("%d mailboxes, %v; want %d", len(infos), err, len(w.mirror.boxes))
	}
	for _, info := range infos {
		if b := w.mirror.boxes[info.Name]; b != nil {
			w.compareBox(info, b)
		} else {
			w.t.Errorf("mailbox %q should not be there", info.Name)
		}
	}
	if q, err := w.s.Quota(w.a); err != nil || q != (Quota{Messages: w.mirror.limit}) {
		w.t.Errorf("the quota is %+v, %v; want %d messages", q, err, w.mirror.limit)
	}
	subscribed, err := w.s.Subscriptions(w.a)
	if err != nil || !slices.Equal(subscribed, slices.Sorted(maps.Keys(w.mirror.subscribed))) {
		w.t.Errorf("subscriptions %q, %v", subscribed, err)
	}
	pairs := make(map[string]string)
	last := ""
	err = w.s.Room("r").Each("", func(key string, value []byte) error {
		if key <= last {
			w.t.Errorf("room key %q comes behind %q", key, last)
		}
		pairs[key], last = string(value), key
		return nil
	})
	if err != nil || !maps.Equal(pairs, w.mirror.room) {
		w.t.Errorf("room has %v, %v, want %v", pairs, err, w.mirror.room)
	}
}

func (w *world) compareBox(info Info, b *mirrorBox) {
	m := w.mailbox(info.Name)
	list := rows(m)
	if info.UIDNext != b.next || info.UIDValidity != b.validity || len(list) != len(b.messages) {
		w.t.Errorf("%q: %+v with %d messages; want UIDNEXT %d and %d messages", info.Name, info, len(list), b.next, len(b.messages))
		return
	}
	count := Info{Messages: uint32(len(b.messages))}
	for i, want := range b.messages {
		r := list[i]
		if !strings.Contains(want.flags, `\Seen`) {
			count.Unseen++
		}
		if strings.Contains(want.flags, `\Deleted`) {
			count.Deleted++
		}
		count.Size += int64(len(want.text))
		if r.UID != want.uid || m.flagNames(r.Flags) != want.flags || text(w.t, w.s, r.Body) != want.text {
			w.t.Errorf("%q: message %d is %+v, want %+v", info.Name, i, r, want)
		}
	}
	if info.Messages != count.Messages || info.Unseen != count.Unseen || info.Deleted != count.Deleted || info.Size != count.Size {
		w.t.Errorf("%q: %+v, want %+v", info.Name, info, count)
	}
}
