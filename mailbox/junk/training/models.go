package training

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"sync"
	"sync/atomic"

	"mailstead/mailbox"
	"mailstead/mailbox/junk"
	"mailstead/mailbox/message"
)

// models are the models in memory, with the steps that those on disk lack.
type models struct {
	t       *Trainer
	readers chan *reader // free ones

	mu       sync.RWMutex // of all below, and of the models' weights
	server   *junk.Model  // nil while it knows nothing
	accounts map[mailbox.AccountID]*held
	clock    atomic.Int64
	steps    []step // in order; not all models on disk have them
	last     uint64 // number of the last step ever
}

// held is an account's model in memory.
type held struct {
	model *junk.Model  // nil: it knows nothing
	used  atomic.Int64 // by the clock of models
}

// maxHead bounds the octets of a letter that are looked at: what junk reads of it is in front.
const maxHead = 256 << 10

// reader takes letters apart, one at a time.
type reader struct {
	letters junk.Reader
	raw     []byte
	index   []byte
}

func (m *models) init(t *Trainer) {
	m.t, m.accounts = t, map[mailbox.AccountID]*held{}
	m.readers = make(chan *reader, junk.MaxReaders)
	for range junk.MaxReaders {
		m.readers <- &reader{}
	}
}

// read takes a letter apart.
func (r *reader) read(raw []byte, facts junk.Facts) (*junk.Letter, error) {
	r.index = message.Parse(raw).AppendTo(r.index[:0])
	v, err := message.Open(r.index)
	if err != nil {
		return nil, err
	}
	return r.letters.Read(bytesAt(raw), &v, facts)
}

// bytesAt are octets as an io.ReaderAt.
type bytesAt []byte

func (b bytesAt) ReadAt(p []byte, off int64) (int, error) {
	if off >= int64(len(b)) {
		return 0, io.EOF
	}
	n := copy(p, b[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// stored reads a letter of the store, with the facts that its own header tells.
func (r *reader) stored(s *mailbox.Store, body mailbox.BodyID) (*junk.Letter, error) {
	if err := r.head(s, body); err != nil {
		return nil, err
	}
	return r.read(r.raw, storedFacts(r.raw))
}

// head reads the beginning of a letter of the store.
func (r *reader) head(s *mailbox.Store, body mailbox.BodyID) error {
	b, err := s.OpenBody(body)
	if err != nil {
		return err
	}
	defer b.Close()
	r.raw = slices.Grow(r.raw[:0], int(min(b.Size(), maxHead)))[:min(b.Size(), maxHead)]
	n, err := b.ReadAt(r.raw, 0)
	r.raw = r.raw[:n]
	if err == io.EOF {
		err = nil
	}
	return err
}

// withLetter calls f with a letter of the store taken apart, and who wrote it. A letter that cannot be read any more is passed over.
func (m *models) withLetter(body mailbox.BodyID, f func(l *junk.Letter, author string) error) error {
	r := <-m.readers
	defer func() { m.readers <- r }()
	return r.with(m.t.store, body, f)
}

// with is withLetter.
func (r *reader) with(s *mailbox.Store, body mailbox.BodyID, f func(l *junk.Letter, author string) error) error {
	l, err := r.stored(s, body)
	switch {
	case errors.Is(err, mailbox.ErrGone), errors.Is(err, mailbox.ErrDamaged):
		return nil
	case err != nil:
		return fmt.Errorf("letter %d: %w", body, err)
	}
	return f(l, authorOf(r.raw))
}

// load reads the server's model and the steps.
func (m *models) load() error {
	err := m.t.room.Each(string(rune(stepKeys)), func(key string, value []byte) error {
		s, err := readStep(key, value)
		if err == nil {
			m.steps = append(m.steps, s)
			m.last = s.number
		}
		return err
	})
	if err != nil {
		return err
	}
	r := <-m.readers
	defer func() { m.readers <- r }()
	m.server, err = m.read(everybody, r)
	return err
}

// read reads a model from the room, with the steps that it lacks; nil is one that knows nothing.
func (m *models) read(a mailbox.AccountID, r *reader) (*junk.Model, error) {
	fresh := junk.NewAccount
	if a == everybody {
		fresh = junk.NewServer
	}
	model, known := fresh(), false
	numbers := make([]uint64, model.Parts())
	for part := range numbers {
		value, ok, err := m.t.room.Get(modelKey(a, part))
		if err != nil {
			return nil, err
		}
		if !ok {
			continue
		}
		number, n := binary.Uvarint(value)
		if n > 0 {
			err = model.ReadPart(part, value[n:])
		}
		if n <= 0 || err != nil {
			m.t.log.Error("a junk model cannot be used; it starts anew", "account", a, "err", err)
			return nil, nil // what is written next replaces all parts
		}
		numbers[part], known = number, true
		m.last = max(m.last, number)
	}
	for i := range m.steps {
		s := &m.steps[i]
		if a != everybody && s.account != a || !slices.ContainsFunc(numbers, func(n uint64) bool { return n < s.number }) {
			continue
		}
		known = true
		err := r.with(m.t.store, s.body, func(l *junk.Letter, _ string) error {
			if s.receipt.Fits(l) {
				model.Redo(l, s.receipt.Step(a == everybody, s.undo), func(part int) bool { return numbers[part] < s.number })
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	if !known {
		return nil, nil
	}
	return model, nil
}

// of returns an account's model, which is nil while it knows nothing. Its weights may be read while mu is held.
func (m *models) of(a mailbox.AccountID) (*junk.Model, error) {
	m.mu.RLock()
	h := m.use(a)
	m.mu.RUnlock()
	if h != nil {
		return h.model, nil
	}
	// Who judges has a reader and waits for mu, so nobody waits for a reader who has mu.
	r := <-m.readers
	defer func() { m.readers <- r }()
	m.mu.Lock()
	defer m.mu.Unlock()
	if h := m.use(a); h != nil {
		return h.model, nil
	}
	model, err := m.read(a, r)
	if err != nil {
		return nil, err
	}
	m.keep(a, model)
	return model, nil
}

// use returns a model in memory and notes that it is used. The caller holds mu.
func (m *models) use(a mailbox.AccountID) *held {
	h := m.accounts[a]
	if h != nil {
		h.used.Store(m.clock.Add(1))
	}
	return h
}

// keep holds a model in memory in place of the one that was unused for longest. That costs nothing but time: what the one on
// disk lacks is among the steps. The caller holds mu.
func (m *models) keep(a mailbox.AccountID, model *junk.Model) {
	if len(m.accounts) >= junk.MaxAccounts {
		oldest, used := everybody, int64(math.MaxInt64)
		for a, h := range m.accounts {
			if u := h.used.Load(); u < used {
				oldest, used = a, u
			}
		}
		delete(m.accounts, oldest)
	}
	m.accounts[a] = &held{model: model}
	m.use(a)
}

// drop forgets an account's model. Steps of the account concern the server's only from then on.
func (m *models) drop(a mailbox.AccountID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.accounts, a)
}

func (m *models) waiting() int {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return len(m.steps)
}

// teach teaches a letter to the server's model and the account's.
func (m *models) teach(a mailbox.AccountID, body mailbox.BodyID, l *junk.Letter, class junk.Class, weight float64) (step, error) {
	if err := m.ready(a); err != nil {
		return step{}, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	receipt := junk.Train(l, m.server, m.use(a).model, class, weight)
	return m.note(step{account: a, body: body, receipt: receipt}), nil
}

// unteach takes a lesson back; it must fit the letter.
func (m *models) unteach(a mailbox.AccountID, body mailbox.BodyID, l *junk.Letter, receipt junk.Receipt) (step, error) {
	if err := m.ready(a); err != nil {
		return step{}, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := junk.Untrain(l, m.server, m.use(a).model, receipt); err != nil {
		return step{}, err
	}
	return m.note(step{account: a, body: body, receipt: receipt, undo: true}), nil
}

// ready has models to teach. Only one goroutine teaches, so the account's stays in memory until it has.
func (m *models) ready(a mailbox.AccountID) error {
	model, err := m.of(a)
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.server == nil {
		m.server = junk.NewServer()
	}
	if h := m.accounts[a]; h == nil { // others were judged meanwhile
		m.keep(a, model)
	}
	if h := m.accounts[a]; h.model == nil {
		h.model = junk.NewAccount()
	}
	return nil
}

// note numbers a step. The caller holds mu.
func (m *models) note(s step) step {
	m.last++
	s.number = m.last
	m.steps = append(m.steps, s)
	return s
}

// saveBatch is how many octets of models are written at a time.
const saveBatch = 48 << 10

// save writes the models that have changed, and forgets the steps. The caller teaches meanwhile nothing.
func (t *Trainer) save(ctx context.Context) error {
	m := &t.models
	m.mu.RLock()
	steps, last := slices.Clone(m.steps), m.last
	m.mu.RUnlock()
	if len(steps) == 0 {
		return nil
	}
	changed := map[mailbox.AccountID]bool{everybody: true}
	for i := range steps {
		changed[steps[i].account] = true
	}
	for _, a := range slices.Sorted(maps.Keys(changed)) {
		if err := t.saveModel(ctx, a, last); err != nil {
			return fmt.Errorf("writing the junk model of account %d: %w", a, err)
		}
	}
	for i := range steps {
		t.set(stepKey(steps[i].number), nil)
	}
	m.mu.Lock()
	m.steps = slices.Delete(m.steps, 0, len(steps))
	m.mu.Unlock()
	t.saved = t.o.Now()
	for a := range changed {
		if err := t.trim(a); err != nil {
			return err
		}
	}
	return t.flush(ctx)
}

// saveModel writes all parts of a model, each with the number of the last step in it.
func (t *Trainer) saveModel(ctx context.Context, a mailbox.AccountID, last uint64) error {
	m := &t.models
	model := m.server
	if a != everybody {
		var err error
		if model, err = m.of(a); err != nil {
			return err
		}
	}
	if model == nil {
		return nil
	}
	var changes []mailbox.RoomChange
	size := 0
	for part := range model.Parts() {
		value := model.AppendPart(binary.AppendUvarint(nil, last), part) // nobody teaches meanwhile
		changes = append(changes, mailbox.RoomChange{Room: room, Key: modelKey(a, part), Value: value})
		if size += len(value); size < saveBatch && part < model.Parts()-1 {
			continue
		}
		if err := t.store.Change(ctx, changes...); err != nil {
			return err
		}
		changes, size = changes[:0], 0
	}
	return nil
}
