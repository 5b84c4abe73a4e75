package mailbox

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	goimap "github.com/emersion/go-imap/v2"
	"github.com/google/go-cmp/cmp"

	"mailstead/mailbox/log"
)

// model is what state.db should hold, in the simplest terms: one entry for each
// message, and nothing counted.
type model struct {
	accounts  map[AccountID]Quota
	mailboxes map[ID]*modelMailbox
	rooms     map[string]roomEntry // by room and key
	subs      map[subscribed]bool
	places    map[BodyID]log.Place
	notes     map[annotationOf][]byte
}

// annotationOf names an annotation of the store.
type annotationOf struct {
	mailbox ID
	annotationKey
}

type modelMailbox struct {
	info     Info
	keywords []string
	grants   []Grant
	below    goimap.UID
	messages map[goimap.UID]Message
	expunged map[goimap.UID]ModSeq
}

func newModel() *model {
	return &model{accounts: map[AccountID]Quota{}, mailboxes: map[ID]*modelMailbox{}, rooms: map[string]roomEntry{}, subs: map[subscribed]bool{},
		places: map[BodyID]log.Place{}, notes: map[annotationOf][]byte{}}
}

func (m *model) apply(rec appliedRecord) {
	modseq := ModSeq(rec.LSN)
	if rec.Body != 0 {
		m.places[rec.Body] = rec.Place
	}
	for _, o := range rec.Ops {
		switch o := o.(type) {
		case opAccount:
			m.account(o)
		case opLimits:
			m.accounts[o.Account] = o.Quota
		case opMailbox:
			m.mailbox(o, modseq)
		case opMailboxGone:
			delete(m.mailboxes, o.ID)
			maps.DeleteFunc(m.notes, func(k annotationOf, _ []byte) bool { return k.mailbox == o.ID })
		case opAnnotation:
			k := annotationOf{o.Mailbox, annotationKey{o.Account, o.Name}}
			delete(m.notes, k)
			if o.Value != nil {
				m.notes[k] = o.Value
			}
		case opSubscription:
			delete(m.subs, subscribed{o.Account, o.Name})
			if o.On {
				m.subs[subscribed{o.Account, o.Name}] = true
			}
		case opKeywords:
			b := m.mailboxes[o.Mailbox]
			b.keywords = append(b.keywords[:o.First:o.First], o.Names...)
		case opRights:
			m.mailboxes[o.Mailbox].grants = o.Grants
		case opRecent:
			b := m.mailboxes[o.Mailbox]
			b.below = max(b.below, o.Below)
		case opRoom:
			delete(m.rooms, o.Room+" "+o.Key)
			if o.Value != nil {
				m.rooms[o.Room+" "+o.Key] = roomEntry{Key: o.Key, Value: o.Value, Body: o.Body}
			}
		default:
			m.messageOp(o, modseq)
		}
	}
}

func (m *model) account(o opAccount) {
	if !o.Deleted {
		m.accounts[o.Account] = Quota{}
		return
	}
	delete(m.accounts, o.Account)
	maps.DeleteFunc(m.notes, func(k annotationOf, _ []byte) bool {
		b := m.mailboxes[k.mailbox]
		return k.account == o.Account || b != nil && b.info.Account == o.Account
	})
	maps.DeleteFunc(m.mailboxes, func(_ ID, b *modelMailbox) bool { return b.info.Account == o.Account })
	for _, b := range m.mailboxes {
		b.grants = withoutAccounts(b.grants, func(a AccountID) bool { return a == o.Account })
	}
	maps.DeleteFunc(m.subs, func(s subscribed, _ bool) bool { return s.Account == o.Account })
}

func (m *model) mailbox(o opMailbox, modseq ModSeq) {
	b := m.mailboxes[o.ID]
	if b == nil {
		b = &modelMailbox{info: Info{ID: o.ID, UIDNext: 1, HighestModSeq: modseq}, below: 1,
			messages: map[goimap.UID]Message{}, expunged: map[goimap.UID]ModSeq{}}
		m.mailboxes[o.ID] = b
	}
	b.info.Account, b.info.Name, b.info.UIDValidity, b.info.SpecialUse = o.Account, o.Name, o.UIDValidity, o.SpecialUse
}

func (m *model) messageOp(o op, modseq ModSeq) {
	inRanges := func(ranges []uidRange, uid goimap.UID) bool {
		return slices.ContainsFunc(ranges, func(u uidRange) bool { return u.First <= uid && uid <= u.Last })
	}
	switch o := o.(type) {
	case opMoved, opForgotten, opGiven: // nobody sees that
	case opAdd:
		b := m.mailboxes[o.Mailbox]
		for _, a := range o.Messages {
			b.messages[a.UID] = Message{UID: a.UID, Flags: a.Flags, ModSeq: modseq, Size: a.Size, Internal: a.Internal, Saved: a.Saved, Body: a.Body}
			b.info.UIDNext = a.UID + 1
		}
		b.info.HighestModSeq = modseq
	case opFlags:
		b := m.mailboxes[o.Mailbox]
		for uid, msg := range b.messages {
			if inRanges(o.UIDs, uid) {
				msg.Flags, msg.ModSeq = o.Flags, modseq
				b.messages[uid] = msg
			}
		}
		b.info.HighestModSeq = modseq
	case opExpunge:
		b := m.mailboxes[o.Mailbox]
		for uid := range b.messages {
			if inRanges(o.UIDs, uid) {
				delete(b.messages, uid)
				b.expunged[uid] = modseq
			}
		}
		b.info.HighestModSeq = modseq
	}
}

// headers returns what load should.
func (m *model) headers(applied log.LSN, last lastIDs) diskHeaders {
	h := diskHeaders{Applied: applied, Last: last, Accounts: slices.Sorted(maps.Keys(m.accounts))}
	for id, q := range m.accounts {
		if q != (Quota{}) {
			if h.Quotas == nil {
				h.Quotas = map[AccountID]Quota{}
			}
			h.Quotas[id] = q
		}
	}
	for _, id := range slices.Sorted(maps.Keys(m.mailboxes)) {
		b := m.mailboxes[id]
		info := b.info
		for uid, msg := range b.messages {
			info.Messages++
			info.Size += msg.Size
			if !msg.Flags.Has(FlagSeen) {
				info.Unseen++
			}
			if msg.Flags.Has(FlagDeleted) {
				info.Deleted++
			}
			if uid >= b.below {
				info.Recent++
			}
		}
		if len(b.grants) == 0 {
			b.grants = nil
		}
		h.Mailboxes = append(h.Mailboxes, diskMailbox{Info: info, Keywords: b.keywords, Grants: b.grants, RecentBelow: b.below})
	}
	h.Subscriptions = slices.SortedFunc(maps.Keys(m.subs), func(a, b subscribed) int {
		return slices.Compare(subscriptionKey(a.Account, a.Name), subscriptionKey(b.Account, b.Name))
	})
	for k, value := range m.notes {
		h.Annotations = append(h.Annotations, opAnnotation{Mailbox: k.mailbox, Account: k.account, Name: k.name, Value: value})
	}
	slices.SortFunc(h.Annotations, func(a, b opAnnotation) int {
		return slices.Compare(appendAnnotationKey(nil, &a), appendAnnotationKey(nil, &b))
	})
	return h
}

// randomRecords makes records that are possible for a model's state.
type randomRecords struct {
	rand *rand.Rand
	gone map[BodyID]bool // perhaps forgotten: never held again
	m    *model
	lsn  log.LSN
	last lastIDs
}

func (r *randomRecords) next() appliedRecord {
	r.lsn += 1 + log.LSN(r.rand.IntN(20)/19*5) // a gap now and then, as damage leaves it
	rec := appliedRecord{LSN: r.lsn}
	if n := r.rand.IntN(12); n < 2 && r.last.Body > 0 {
		return r.cleaning(rec, n == 0)
	}
	if r.rand.IntN(3) == 0 {
		r.last.Body++
		rec.Body, rec.Place = r.last.Body, place(r.last.Body)
		r.m.places[rec.Body] = rec.Place
	}
	shadow := appliedRecord{LSN: r.lsn}
	for range 1 + r.rand.IntN(3) {
		o := r.op(rec.Body)
		rec.Ops = append(rec.Ops, o)
		shadow.Ops = []op{o} // the next operation must be possible after this one
		r.m.apply(shadow)
	}
	return rec
}

// cleaning is a record that moves a body, whatever became of it, or forgets some:
// those that somebody holds stay.
func (r *randomRecords) cleaning(rec appliedRecord, move bool) appliedRecord {
	first := 1 + BodyID(r.rand.Uint64N(uint64(r.last.Body)))
	if move {
		rec.Body, rec.Place, rec.Ops = first, place(first), []op{opMoved{Body: first}}
		rec.Place.Segment += uint32(rec.LSN)
	} else {
		last := min(first+BodyID(r.rand.IntN(5)), r.last.Body)
		rec.Ops = []op{opForgotten{Bodies: []bodyRange{{first, last}}}}
		for id := first; id <= last; id++ {
			r.gone[id] = true
		}
	}
	r.m.apply(rec)
	return rec
}

func (r *randomRecords) op(body BodyID) op {
	ids := slices.Sorted(maps.Keys(r.m.mailboxes))
	accounts := slices.Sorted(maps.Keys(r.m.accounts))
	if len(accounts) == 0 || r.rand.IntN(100) == 0 {
		r.last.Account++
		return opAccount{Account: r.last.Account}
	}
	account := accounts[r.rand.IntN(len(accounts))]
	if len(ids) == 0 || r.rand.IntN(40) == 0 {
		r.last.Mailbox++
		r.last.UIDValidity += uint32(r.rand.IntN(3))
		return opMailbox{ID: r.last.Mailbox, Account: account, Name: fmt.Sprint("name ", r.last.Mailbox), UIDValidity: r.last.UIDValidity}
	}
	id := ids[r.rand.IntN(len(ids))]
	b := r.m.mailboxes[id]
	switch n := r.rand.IntN(100); {
	case n < 30:
		return r.add(b, body)
	case n < 50:
		return opFlags{Mailbox: id, Flags: r.flags(b), UIDs: r.ranges(b)}
	case n < 65:
		return opExpunge{Mailbox: id, Time: int64(r.lsn), UIDs: r.ranges(b)}
	case n < 70:
		return opRecent{Mailbox: id, Below: 1 + goimap.UID(r.rand.Uint32N(uint32(b.info.UIDNext)))}
	case n < 75 && len(b.keywords) < 20:
		return opKeywords{Mailbox: id, First: len(b.keywords), Names: []string{fmt.Sprint("k", len(b.keywords)), fmt.Sprint("k", len(b.keywords)+1)}}
	case n < 80:
		return opSubscription{Account: account, Name: fmt.Sprint("name ", r.rand.IntN(5)), On: r.rand.IntN(2) == 0}
	case n < 82:
		return opMailbox{ID: id, Account: b.info.Account, Name: fmt.Sprint("renamed ", id), UIDValidity: b.info.UIDValidity}
	case n < 84:
		return opMailboxGone{ID: id, Time: int64(r.lsn)}
	case n < 87:
		return opLimits{Account: account, Quota: Quota{Storage: int64(r.rand.IntN(3)) << 30, Messages: int64(r.rand.IntN(3))}}
	case n < 88:
		r.last.Mailbox++
		return opGiven{Account: r.last.Account, Mailbox: r.last.Mailbox, Body: r.last.Body}
	case n < 91:
		return opRights{Mailbox: id, Grants: r.grants(accounts)}
	case n < 92:
		return opAccount{Account: account, Deleted: true, Time: int64(r.lsn)}
	case n < 94:
		return r.annotation(id, account)
	}
	return r.room(body)
}

// grants is a list of some accounts, perhaps none.
func (r *randomRecords) grants(accounts []AccountID) (list []Grant) {
	for _, a := range append([]AccountID{Anyone}, accounts...) {
		for _, negative := range []bool{false, true} {
			if rights := Rights(r.rand.IntN(2 * int(AllRights))); rights > 0 && rights <= AllRights {
				list = append(list, Grant{Account: a, Negative: negative, Rights: rights})
			}
		}
	}
	return list
}

func (r *randomRecords) room(body BodyID) op {
	o := opRoom{Room: fmt.Sprint("room ", r.rand.IntN(2)), Key: fmt.Sprint("key ", r.rand.IntN(8))}
	if r.rand.IntN(3) > 0 {
		o.Value, o.Body = fmt.Append([]byte{}, r.lsn), body
	}
	return o
}

func (r *randomRecords) annotation(id ID, account AccountID) op {
	o := opAnnotation{Mailbox: id, Account: account, Name: fmt.Sprint("/private/", r.rand.IntN(3))}
	switch r.rand.IntN(3) {
	case 0:
		o.Account, o.Name = 0, fmt.Sprint("/shared/", r.rand.IntN(3))
	case 1:
		o.Mailbox = ServerAnnotations
	}
	if r.rand.IntN(3) > 0 {
		o.Value = fmt.Append([]byte{}, r.lsn)
	}
	return o
}

func (r *randomRecords) add(b *modelMailbox, body BodyID) op {
	o := opAdd{Mailbox: b.info.ID}
	uid := b.info.UIDNext
	for range 1 + r.rand.IntN(200)*r.rand.IntN(2) {
		if body == 0 && r.last.Body > 0 { // a copy: any body that was ever, also one that is garbage
			if body = 1 + BodyID(r.rand.Uint64N(uint64(r.last.Body))); r.gone[body] {
				body = 0
			}
		}
		o.Messages = append(o.Messages, testMessage(uid, body, r.flags(b)))
		uid += 1 + goimap.UID(r.rand.IntN(30)/29*400)
	}
	return o
}

func (r *randomRecords) flags(b *modelMailbox) (f FlagSet) {
	for bit := range FlagDraft + 1 {
		if r.rand.IntN(3) == 0 {
			f = f.With(bit)
		}
	}
	if n := len(b.keywords); n > 0 {
		f = f.With(KeywordBit + r.rand.IntN(n))
	}
	return f
}

func (r *randomRecords) ranges(b *modelMailbox) (ranges []uidRange) {
	for range r.rand.IntN(5) {
		first := 1 + goimap.UID(r.rand.Uint32N(uint32(b.info.UIDNext)))
		ranges = append(ranges, uidRange{first, first + goimap.UID(r.rand.IntN(100))})
	}
	slices.SortFunc(ranges, func(a, b uidRange) int { return int(int64(a.First) - int64(b.First)) })
	return joinRanges(ranges)
}

// compare holds the database against the model.
func (m *model) compare(t *testing.T, d *disk, last lastIDs) {
	t.Helper()
	h, err := d.load()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(m.headers(d.applied(), last), h, ignoreCount); diff != "" {
		t.Errorf("headers (-want +got):\n%s", diff)
	}
	for id, b := range m.mailboxes {
		var want []Message
		for _, uid := range slices.Sorted(maps.Keys(b.messages)) {
			want = append(want, b.messages[uid])
		}
		if got := messagesOf(t, d, id); !slices.Equal(want, got) {
			t.Errorf("mailbox %d (-want +got):\n%s", id, cmp.Diff(want, got))
		}
		b.compareHistory(t, d)
		for _, msg := range want {
			if p, ok, err := d.place(msg.Body); msg.Body != 0 && (!ok || err != nil || p != m.places[msg.Body]) {
				t.Errorf("body %d is at %+v, %v, %v; want %+v", msg.Body, p, ok, err, m.places[msg.Body])
			}
		}
	}
	entries := make(map[string]roomEntry)
	for _, room := range []string{"room 0", "room 1"} {
		page, err := d.roomPage(room, "", "", 100)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range page {
			entries[room+" "+e.Key] = e
		}
	}
	if diff := cmp.Diff(m.rooms, entries); diff != "" {
		t.Errorf("rooms (-want +got):\n%s", diff)
	}
}

func (b *modelMailbox) compareHistory(t *testing.T, d *disk) {
	t.Helper()
	since := ModSeq(uint64(d.applied()) / 2)
	var want []uidRange
	for _, uid := range slices.Sorted(maps.Keys(b.expunged)) {
		if b.expunged[uid] > since {
			want = appendUID(want, uid)
		}
	}
	got, ok, err := d.vanished(b.info.ID, since)
	if err != nil || !ok {
		t.Errorf("mailbox %d: ok %v, error %v", b.info.ID, ok, err)
	}
	if !slices.Equal(got, want) {
		t.Errorf("mailbox %d since %d: vanished %v, want %v", b.info.ID, since, got, want)
	}
}

// Random records, in transactions of random size, leave what the model says;
// so does every copy of the files that a crash could leave, brought up by
// applying from an earlier record on; so does a rebuild from a checkpoint.
func TestStateModel(t *testing.T) {
	for seed := range uint64(8) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			d := newDisk(t)
			checkpoints := t.TempDir()
			random := &randomRecords{rand: rand.New(rand.NewPCG(seed, 1)), m: newModel(), gone: map[BodyID]bool{}}
			var all []appliedRecord
			for step := range 25 {
				var batch []appliedRecord
				for range random.rand.IntN(30) {
					batch = append(batch, random.next())
				}
				all = append(all, batch...)
				from := max(0, len(all)-len(batch)-random.rand.IntN(5)) // some are applied already
				if err := d.apply(all[from:]); err != nil {
					t.Fatal(err)
				}
				if err := d.check(); err != nil {
					t.Fatalf("seed %d, step %d: %v", seed, step, err)
				}
				random.m.compare(t, d, random.last)
				if random.rand.IntN(8) == 0 {
					if _, err := d.checkpoint(checkpoints); err != nil {
						t.Fatal(err)
					}
					crashed := openCopy(t, d)
					random.m.compare(t, crashed, random.last)
				}
				if t.Failed() {
					t.Fatalf("seed %d, step %d", seed, step)
				}
			}
			rebuilt := rebuildCopy(t, checkpoints)
			if err := rebuilt.apply(all); err != nil {
				t.Fatal(err)
			}
			random.m.compare(t, rebuilt, random.last)
		})
	}
}

// rebuildCopy opens a new folder whose state.db comes from a checkpoint.
func rebuildCopy(t *testing.T, checkpoints string) *disk {
	t.Helper()
	dir := t.TempDir()
	lsn, err := osFiles.rebuild(dir, checkpoints)
	if err != nil {
		t.Fatal(err)
	}
	d, err := openDisk(dir, diskOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.check(); err != nil {
			t.Error("of the rebuilt:", err)
		}
		if err := d.close(); err != nil {
			t.Error(err)
		}
	})
	if d.applied() != lsn {
		t.Errorf("applied %d, rebuilt from %d", d.applied(), lsn)
	}
	return d
}
