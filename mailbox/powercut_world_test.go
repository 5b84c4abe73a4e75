package mailbox

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"

	goimap "github.com/emersion/go-imap/v2"
)

// tenant has some accounts, and is the only one who changes them, one change
// after the other: so when the power goes, at most one is undecided.
type tenant struct {
	name     string
	accounts []AccountID
	letters  int
	sure     *contents // what was acknowledged, or seen after a start
	maybe    *contents // the same with the change that was under way; nil = none
	joining  bool      // that change makes an account

	patient bool            // damaged bodies are no error: they are refused, and counted
	refused map[BodyID]bool // these were
}

// contents are what an tenant's accounts hold.
type contents struct {
	boxes map[boxName]*sureBox
	room  map[string]string
}

type boxName struct {
	account int // of the tenant's accounts
	name    string
}

type sureBox struct {
	next    goimap.UID
	rights  Rights // that the tenant's next account has on it
	note    string // the value of an annotation, "" = there is none
	letters map[goimap.UID]sureLetter
}

type sureLetter struct {
	flags  string
	number int
	size   int
}

func newTenant(name string) *tenant {
	return &tenant{name: name, sure: &contents{boxes: make(map[boxName]*sureBox), room: make(map[string]string)}}
}

func (c *contents) clone() *contents {
	boxes := make(map[boxName]*sureBox, len(c.boxes))
	for name, b := range c.boxes {
		boxes[name] = &sureBox{next: b.next, rights: b.rights, note: b.note, letters: maps.Clone(b.letters)}
	}
	return &contents{boxes: boxes, room: maps.Clone(c.room)}
}

// word is in every line of a tenant's letters, and nowhere else.
func (o *tenant) word() string { return "mail-of-" + o.name }

// body is a letter that names its tenant in every line. Few sizes are drawn, so
// records of the same length follow each other where a torn one lay.
func (o *tenant) body(number, size int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "From: %s@example.test\r\nSubject: %08d\r\n\r\n", o.word(), number)
	for line := 0; b.Len() < size; line++ {
		fmt.Fprintf(&b, "letter %08d of %s, line %06d\r\n", number, o.word(), line)
	}
	return b.String()
}

// attempt makes a change whose effect is known before: it is sure when the
// store says so, may be there when the power went, and must not when it was refused.
func (o *tenant) attempt(effect func(*contents), do func() error) error {
	next := o.sure.clone()
	effect(next)
	o.maybe = next
	err := do()
	if err == nil {
		o.sure, o.maybe = next, nil
	}
	return err
}

// change makes one change of chance.
func (o *tenant) change(s *Store, rng *rand.Rand) error {
	if len(o.accounts) < 2 {
		return o.join(s)
	}
	changes := []struct {
		weight int
		do     func(*Store, *rand.Rand) error
	}{
		{35, o.deliver}, {10, o.deliverWide}, {5, o.deliverBig}, {15, o.flag}, {10, o.expunge},
		{8, func(s *Store, rng *rand.Rand) error { return o.transfer(s, rng, false) }},
		{8, func(s *Store, rng *rand.Rand) error { return o.transfer(s, rng, true) }},
		{2, o.create}, {1, o.drop}, {1, o.rename}, {6, o.write}, {3, o.share}, {3, o.annotate},
	}
	total := 0
	for _, c := range changes {
		total += c.weight
	}
	n := rng.IntN(total)
	for _, c := range changes {
		if n -= c.weight; n < 0 {
			return c.do(s, rng)
		}
	}
	return nil
}

// join makes an account. What it has is read when it is there.
func (o *tenant) join(s *Store) error {
	o.joining = true
	a, err := s.CreateAccount(context.Background(), nil)
	if err != nil {
		return err
	}
	o.joining = false
	return o.adopt(s, a)
}

func (o *tenant) adopt(s *Store, a AccountID) error {
	infos, err := s.Mailboxes(a)
	if err != nil {
		return err
	}
	if len(infos) != len(newAccountMailboxes) {
		return fmt.Errorf("%s: a new account has %d mailboxes", o.name, len(infos))
	}
	for _, i := range infos {
		o.sure.boxes[boxName{len(o.accounts), i.Name}] = &sureBox{next: 1, letters: make(map[goimap.UID]sureLetter)}
	}
	o.accounts = append(o.accounts, a)
	return nil
}

// box draws a mailbox.
func (o *tenant) box(rng *rand.Rand) boxName {
	names := slices.SortedFunc(maps.Keys(o.sure.boxes), func(a, b boxName) int {
		return strings.Compare(fmt.Sprint(a), fmt.Sprint(b))
	})
	return names[rng.IntN(len(names))]
}

func (o *tenant) deliver(s *Store, rng *rand.Rand) error {
	return o.deliverTo(s, chance(rng, 300, 300, 300, 2000, 9000), o.box(rng))
}

// deliverWide has one body in several mailboxes.
func (o *tenant) deliverWide(s *Store, rng *rand.Rand) error {
	to := []boxName{o.box(rng), o.box(rng), o.box(rng)}
	slices.SortFunc(to, func(a, b boxName) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
	return o.deliverTo(s, 500, slices.Compact(to)...)
}

func (o *tenant) deliverBig(s *Store, rng *rand.Rand) error {
	return o.deliverTo(s, 33<<10+rng.IntN(30<<10), o.box(rng))
}

func (o *tenant) deliverTo(s *Store, size int, to ...boxName) error {
	o.letters++
	number, size := o.letters, len(o.body(o.letters, size))
	targets := make([]Target, len(to))
	for i, name := range to {
		targets[i] = Target{Account: o.accounts[name.account], Name: name.name}
	}
	effect := func(c *contents) {
		for _, name := range to {
			c.boxes[name].add(sureLetter{number: number, size: size})
		}
	}
	return o.attempt(effect, func() error {
		b := s.NewBody()
		defer b.Abort()
		if _, err := io.WriteString(b, o.body(number, size)); err != nil {
			return err
		}
		placed, err := s.Deliver(context.Background(), b, targets, nil)
		for i, p := range placed {
			if want := o.sure.boxes[to[i]].next; err == nil && (p.Err != nil || p.UID != want) {
				err = fmt.Errorf("%s, %v: UID %d, %v; want %d", o.name, to[i], p.UID, p.Err, want)
			}
		}
		return err
	})
}

func (b *sureBox) add(l sureLetter) {
	b.letters[b.next] = l
	b.next++
}

// some draws messages of a mailbox.
func (o *tenant) some(rng *rand.Rand, name boxName) (uids []goimap.UID) {
	for _, uid := range slices.Sorted(maps.Keys(o.sure.boxes[name].letters)) {
		if rng.IntN(3) == 0 {
			uids = append(uids, uid)
		}
	}
	return uids
}

// with opens a mailbox for the time of do.
func (o *tenant) with(s *Store, name boxName, do func(*Mailbox) error) error {
	m, err := s.OpenMailbox(context.Background(), o.accounts[name.account], name.name)
	if err != nil {
		return err
	}
	defer m.Close()
	return do(m)
}

func (o *tenant) flag(s *Store, rng *rand.Rand) error {
	name := o.box(rng)
	uids := o.some(rng, name)
	flags := chance(rng, `\Flagged`, `\Seen`, `\Seen keyword`, "")
	effect := func(c *contents) {
		for _, uid := range uids {
			l := c.boxes[name].letters[uid]
			l.flags = flags
			c.boxes[name].letters[uid] = l
		}
	}
	return o.attempt(effect, func() error {
		return o.with(s, name, func(m *Mailbox) error {
			_, err := m.Store(context.Background(), StoreChange{UIDs: uids, Op: FlagsReplace, Flags: splitFlags(flags)})
			return err
		})
	})
}

func (o *tenant) expunge(s *Store, rng *rand.Rand) error {
	name := o.box(rng)
	uids := o.some(rng, name)
	if uids == nil { // would be all
		return nil
	}
	return o.attempt(func(c *contents) { c.boxes[name].remove(uids) }, func() error {
		return o.with(s, name, func(m *Mailbox) error {
			_, err := m.Expunge(context.Background(), uids, false)
			return err
		})
	})
}

func (b *sureBox) remove(uids []goimap.UID) {
	for _, uid := range uids {
		delete(b.letters, uid)
	}
}

func (o *tenant) transfer(s *Store, rng *rand.Rand, move bool) error {
	from, to := o.box(rng), o.box(rng)
	if from.account != to.account || from == to {
		return nil
	}
	uids := o.some(rng, from)
	effect := func(c *contents) {
		for _, uid := range uids {
			c.boxes[to].add(c.boxes[from].letters[uid])
		}
		if move {
			c.boxes[from].remove(uids)
		}
	}
	return o.attempt(effect, func() error {
		return o.with(s, from, func(m *Mailbox) (err error) {
			if move {
				_, err = m.Move(context.Background(), uids, to.name)
			} else {
				_, err = m.Copy(context.Background(), uids, to.name)
			}
			return err
		})
	})
}

func (o *tenant) create(s *Store, rng *rand.Rand) error {
	name := boxName{rng.IntN(len(o.accounts)), chance(rng, "a", "b", "c")}
	if o.sure.boxes[name] != nil {
		return nil
	}
	effect := func(c *contents) { c.boxes[name] = &sureBox{next: 1, letters: make(map[goimap.UID]sureLetter)} }
	return o.attempt(effect, func() error {
		_, err := s.Create(context.Background(), o.accounts[name.account], name.name, "")
		return err
	})
}

func (o *tenant) drop(s *Store, rng *rand.Rand) error {
	name := o.box(rng)
	if len(name.name) > 1 {
		return nil
	}
	return o.attempt(func(c *contents) { delete(c.boxes, name) }, func() error {
		return s.Delete(context.Background(), o.accounts[name.account], name.name)
	})
}

func (o *tenant) rename(s *Store, rng *rand.Rand) error {
	from := o.box(rng)
	to := boxName{from.account, chance(rng, "d", "e")}
	if len(from.name) > 1 || o.sure.boxes[to] != nil {
		return nil
	}
	effect := func(c *contents) {
		c.boxes[to] = c.boxes[from]
		delete(c.boxes, from)
	}
	return o.attempt(effect, func() error {
		return s.Rename(context.Background(), o.accounts[from.account], from.name, to.name)
	})
}

// neighbour is the account that mailboxes of account i are shared with.
func (o *tenant) neighbour(i int) AccountID { return o.accounts[(i+1)%len(o.accounts)] }

func (o *tenant) share(s *Store, rng *rand.Rand) error {
	name, rights := o.box(rng), Rights(rng.IntN(int(AllRights)+1))
	return o.attempt(func(c *contents) { c.boxes[name].rights = rights }, func() error {
		change := RightsChange{Grant: Grant{Account: o.neighbour(name.account), Rights: rights}}
		return s.ChangeRights(context.Background(), o.accounts[name.account], name.name, change)
	})
}

// annotate sets two annotations to the same, or removes both.
func (o *tenant) annotate(s *Store, rng *rand.Rand) error {
	name, note := o.box(rng), ""
	var value []byte
	if rng.IntN(3) > 0 {
		note = fmt.Sprint("note ", rng.Uint64())
		value = []byte(note)
	}
	return o.attempt(func(c *contents) { c.boxes[name].note = note }, func() error {
		return o.with(s, name, func(m *Mailbox) error {
			return s.Annotate(context.Background(), o.accounts[name.account], m.box.id,
				[]Annotation{{"/private/comment", value}, {"/shared/comment", value}})
		})
	})
}

func (o *tenant) write(s *Store, rng *rand.Rand) error {
	key, value := fmt.Sprint("key ", rng.IntN(20)), fmt.Sprint("value ", rng.Uint64())
	return o.attempt(func(c *contents) { c.room[key] = value }, func() error {
		return s.Change(context.Background(), RoomChange{Room: o.name, Key: key, Value: []byte(value)})
	})
}

// read is what the store has of an tenant's contents, every body read and compared.
func (o *tenant) read(s *Store) (*contents, error) {
	c := &contents{boxes: make(map[boxName]*sureBox), room: make(map[string]string)}
	for i, a := range o.accounts {
		infos, err := s.Mailboxes(a)
		if err != nil {
			return nil, err
		}
		for _, info := range infos {
			name := boxName{i, info.Name}
			b := &sureBox{next: info.UIDNext, letters: make(map[goimap.UID]sureLetter)}
			c.boxes[name] = b
			if err := o.with(s, name, func(m *Mailbox) error { return o.readBox(s, m, name, b) }); err != nil {
				return nil, fmt.Errorf("%s, %v: %w", o.name, name, err)
			}
		}
	}
	return c, s.Room(o.name).Each("", func(key string, value []byte) error {
		c.room[key] = string(value)
		return nil
	})
}

func (o *tenant) readBox(s *Store, m *Mailbox, name boxName, b *sureBox) error {
	if i := slices.Index(o.accounts, m.box.account); len(o.accounts) > 1 {
		b.rights = m.Rights(o.neighbour(i))
	}
	set := s.Annotations(m.box.account, m.box.id)
	b.note, _ = set.Get("/private/comment")
	if shared, _ := set.Get("/shared/comment"); shared != b.note {
		return fmt.Errorf("half of an annotation: %q and %q", b.note, shared)
	}
	keywords := m.Keywords()
	for _, r := range rows(m) {
		l := sureLetter{flags: flagNames(r.Flags, keywords)}
		got, err := readWhole(s, r.Body)
		if was := o.sure.boxes[name]; o.patient && was != nil && (errors.Is(err, ErrDamaged) || errors.Is(err, ErrGone)) {
			o.refused[r.Body] = true
			b.letters[r.UID] = was.letters[r.UID]
			continue
		}
		if err != nil {
			return fmt.Errorf("UID %d, body %d: %w", r.UID, r.Body, err)
		}
		fields := strings.Fields(string(got[:min(len(got), 200)]))
		if at := slices.Index(fields, "Subject:"); at >= 0 && at+1 < len(fields) {
			fmt.Sscanf(fields[at+1], "%d", &l.number)
		}
		l.size = len(got)
		if string(got) != o.body(l.number, len(got)) {
			return fmt.Errorf("UID %d, body %d has wrong bytes: %.80q", r.UID, r.Body, got)
		}
		b.letters[r.UID] = l
	}
	return nil
}

func flagNames(f FlagSet, keywords []string) string {
	var names []string
	for bit, name := range systemFlags {
		if f.Has(bit) {
			names = append(names, string(name))
		}
	}
	for k, name := range keywords {
		if f.Has(KeywordBit + k) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return strings.Join(names, " ")
}

func readWhole(s *Store, id BodyID) ([]byte, error) {
	b, err := s.OpenBody(id)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	_, err = b.WriteTo(&out)
	return out.Bytes(), errors.Join(err, b.Close())
}

// difference says what the store has otherwise than it should be; "" = nothing.
func (o *tenant) difference(want, have *contents) string {
	var diff []string
	for name, b := range want.boxes {
		h := have.boxes[name]
		if h == nil {
			diff = append(diff, fmt.Sprintf("mailbox %v is lost", name))
			continue
		}
		if h.rights != b.rights {
			diff = append(diff, fmt.Sprintf("%v: rights %v, there are %v", name, b.rights, h.rights))
		}
		if h.note != b.note {
			diff = append(diff, fmt.Sprintf("%v: annotation %q, there is %q", name, b.note, h.note))
		}
		for uid, l := range b.letters {
			if got, ok := h.letters[uid]; !ok || got != l {
				diff = append(diff, fmt.Sprintf("%v, UID %d: %+v, there is %+v", name, uid, l, got))
			}
		}
		for uid, l := range h.letters {
			if _, ok := b.letters[uid]; !ok {
				diff = append(diff, fmt.Sprintf("%v, UID %d: should not be there: %+v", name, uid, l))
			}
		}
		if h.next < b.next {
			diff = append(diff, fmt.Sprintf("%v: UIDNEXT %d, was %d", name, h.next, b.next))
		}
	}
	for name := range have.boxes {
		if want.boxes[name] == nil {
			diff = append(diff, fmt.Sprintf("mailbox %v should not be there", name))
		}
	}
	if !maps.Equal(want.room, have.room) {
		diff = append(diff, fmt.Sprintf("room: %v, there is %v", want.room, have.room))
	}
	slices.Sort(diff)
	return strings.Join(diff[:min(len(diff), 10)], "\n")
}

// audit holds the store against what was promised; with settle, what is there
// is sure from now on, since it was shown.
func (o *tenant) audit(s *Store, settle bool) error {
	have, err := o.read(s)
	if err != nil {
		return err
	}
	diff := o.difference(o.sure, have)
	if diff != "" && o.maybe != nil {
		if other := o.difference(o.maybe, have); other == "" {
			if diff = ""; settle {
				o.sure = o.maybe
			}
		} else {
			diff += "\nor, with the change under way:\n" + other
		}
	}
	if diff != "" {
		return fmt.Errorf("%s: %s", o.name, diff)
	}
	if settle {
		o.maybe = nil
		for name, b := range have.boxes {
			o.sure.boxes[name].next = b.next
		}
	}
	return nil
}
