package transfer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"slices"

	goimap "github.com/emersion/go-imap/v2"

	"mailstead/mailbox"
	"mailstead/mailbox/message"
)

// identity is what tells most messages apart without reading them: a checksum of sizes,
// ENVELOPE and preview, all of which the store's indexes have. 0 is none.
type identity uint64

// known are the messages that a mailbox held before an import: for each identity a
// chain of bodies, 16 bytes a message and a place in the map.
type known struct {
	first map[identity]int32 // into list, plus 1
	list  []knownBody
}

type knownBody struct {
	body mailbox.BodyID
	uid  goimap.UID
	next int32 // into list, plus 1
}

func (k *known) empty() bool { return len(k.first) == 0 }

func (k *known) add(id identity, m *mailbox.Message) {
	k.list = append(k.list, knownBody{m.Body, m.UID, k.first[id]})
	k.first[id] = int32(len(k.list))
}

// recogniser finds out which messages a mailbox holds already.
type recogniser struct {
	store   *mailbox.Store
	hash    maphash.Hash
	scratch []byte
	a, b    []byte
}

func (r *recogniser) init(s *mailbox.Store) {
	r.store = s
	r.a, r.b = make([]byte, copyBuffer), make([]byte, copyBuffer)
}

// learn notes all messages of a mailbox but those that but has (ascending). Those whose
// octets are lost are not known.
func (r *recogniser) learn(ctx context.Context, m *mailbox.Mailbox, k *known, but []goimap.UID) error {
	view := m.View(false)
	k.first = make(map[identity]int32, view.Len())
	k.list = make([]knownBody, 0, view.Len())
	var rows []mailbox.Row
	var msgs []mailbox.Message
	for seq := uint32(1); seq <= view.Len(); seq += rowsAtOnce {
		if err := ctx.Err(); err != nil {
			return err
		}
		rows = view.Rows(rows[:0], seq, seq+rowsAtOnce-1)
		msgs = msgs[:0]
		for i := range rows {
			if _, found := slices.BinarySearch(but, rows[i].UID); !found {
				msgs = append(msgs, rows[i].Message)
			}
		}
		if err := r.learnSome(msgs, k); err != nil {
			return fmt.Errorf("looking at what is there: %w", err)
		}
	}
	return nil
}

func (r *recogniser) learnSome(msgs []mailbox.Message, k *known) error {
	for len(msgs) > 0 {
		n := 0
		err := r.store.Indexes(msgs, func(i int, v message.View) error {
			n = i + 1
			k.add(r.of(&v), &msgs[i])
			return nil
		})
		if err == nil {
			return nil
		}
		if !errors.Is(err, mailbox.ErrGone) && !errors.Is(err, mailbox.ErrDamaged) {
			return err
		}
		msgs = msgs[n+1:] // but for the one that cannot be read
	}
	return nil
}

// of is a message's identity.
func (r *recogniser) of(v *message.View) identity {
	r.hash.Reset()
	maphash.WriteComparable(&r.hash, [3]int64{v.Size(), v.HeaderSize(), v.Lines()})
	r.hash.Write(v.Envelope()) // never fails
	r.hash.Write(v.Preview())
	return identity(max(1, r.hash.Sum64()))
}

// identify is the identity of a message that has been received.
func (r *recogniser) identify(b *mailbox.NewBody) (identity, error) {
	r.scratch = b.Index().AppendTo(r.scratch[:0])
	v, err := message.Open(r.scratch)
	if err != nil {
		return 0, err
	}
	return r.of(&v), nil
}

// take finds the message in k, octet for octet, and takes it out: where a mailbox holds a
// message once, one of two is new. 0 = it is not there.
func (r *recogniser) take(k *known, id identity, b *mailbox.NewBody) (goimap.UID, error) {
	before := int32(0)
	for at := k.first[id]; at != 0; before, at = at, k.list[at-1].next {
		same, err := r.same(k.list[at-1].body, b)
		if err != nil {
			return 0, err
		}
		if !same {
			continue
		}
		next := k.list[at-1].next
		switch {
		case before != 0:
			k.list[before-1].next = next
		case next != 0:
			k.first[id] = next
		default:
			delete(k.first, id)
		}
		return k.list[at-1].uid, nil
	}
	return 0, nil
}

// same compares a stored message with one that was received. One that cannot be read is another.
func (r *recogniser) same(id mailbox.BodyID, b *mailbox.NewBody) (bool, error) {
	stored, err := r.store.OpenBody(id)
	if errors.Is(err, mailbox.ErrGone) || errors.Is(err, mailbox.ErrDamaged) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer stored.Close()
	if stored.Size() != b.Size() {
		return false, nil
	}
	for at := int64(0); at < b.Size(); {
		n, err := b.ReadAt(r.a, at)
		if err != nil && !errors.Is(err, io.EOF) || n == 0 {
			return false, errors.Join(errors.New("reading the message again"), err)
		}
		got, err := stored.ReadAt(r.b[:n], at)
		if err != nil && !errors.Is(err, io.EOF) {
			return false, nil
		}
		if got != n || !bytes.Equal(r.a[:n], r.b[:n]) {
			return false, nil
		}
		at += int64(n)
	}
	return true, nil
}
