package mailbox

import (
	"encoding/binary"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	goimap "github.com/emersion/go-imap/v2"
	"go.etcd.io/bbolt"

	"mailstead/mailbox/log"
)

// A client waits for the first SELECT, so a mailbox is opened by two goroutines: the
// first goes through the database and reads the flags, which number their sets; what
// never changes is read by whoever is free, from chunks whose flags are in.

const (
	// loadBatch is how many chunks are given to the second goroutine at a time: 4096
	// messages, which take it 50 µs.
	loadBatch = 16
	// loadQueue is how many batches may wait for it.
	loadQueue = 64
	// loadBeside is from how many messages on there is a second goroutine.
	loadBeside = 2 * loadBatch << chunkBits
)

// loader fills the arrays of a mailbox from state.db.
type loader struct {
	m     *messages
	table table // of the messages
	batch []loadChunk
	queue chan []loadChunk

	beside   sync.WaitGroup // the second goroutine; what follows is its
	err      error
	panicked any
}

// loadChunk is a chunk of which the flags are in the arrays, at from to to (not
// included), and the messages are not.
type loadChunk struct {
	key, stored []byte
	from, to    int
}

// openMessages returns the messages of a mailbox, with room for more of them, and the LSN
// they are true for. A mailbox that is not there has none.
func (d *disk) openMessages(id ID, more int) (m *messages, lsn log.LSN, err error) {
	err = d.state.View(func(tx *bbolt.Tx) error {
		lsn = txApplied(tx)
		about, err := readMailbox(tx, id)
		if err != nil {
			return err
		}
		if about == nil {
			about = new(diskMailbox)
		}
		n := int(about.Messages)
		l := &loader{m: newMessages(n, more+n/64+16), table: tableOf(tx, bucketMessages)}
		if at, err := l.load(tx, id, d.aheadState.begin(tx, time.Now())); err != nil {
			return err
		} else if at != n {
			return wrongCount(at, about)
		}
		m = l.m
		m.lateFrom = m.flagged
		return nil
	})
	if err != nil {
		return nil, 0, fmt.Errorf("loading mailbox %d from %s: %w", id, stateFile, err)
	}
	return m, lsn, nil
}

// load fills the arrays and returns how many messages there are.
func (l *loader) load(tx *bbolt.Tx, id ID, ahead readAheadTx) (n int, err error) {
	l.queue = make(chan []loadChunk, loadQueue)
	if l.m.len() >= loadBeside {
		l.beside.Go(l.help)
	}
	defer func() { // whatever happens, the transaction outlives who reads in it
		l.beside.Wait()
		if l.panicked != nil {
			panic(l.panicked)
		}
		err = errors.Join(err, l.err)
	}()
	if n, err = l.readFlags(tx, id, ahead); err != nil {
		return n, err
	}
	for batch := range l.queue {
		if err := l.fill(batch); err != nil {
			return n, err
		}
	}
	return n, nil
}

// readFlags reads the flags of all chunks and queues what is left of them.
func (l *loader) readFlags(tx *bbolt.Tx, id ID, ahead readAheadTx) (n int, err error) {
	defer close(l.queue)
	err = readChunks(tx, id, ahead, func(key, stored, flags []byte) error {
		from := n
		if n, err = l.m.fillFlags(n, flags); err != nil {
			return fmt.Errorf("flags %x: %w", key, err)
		}
		if l.batch == nil {
			l.batch = make([]loadChunk, 0, loadBatch)
		}
		if l.batch = append(l.batch, loadChunk{key, stored, from, n}); len(l.batch) == loadBatch {
			return l.pass()
		}
		return nil
	})
	if err == nil {
		err = l.pass()
	}
	return n, err
}

// pass queues a batch, or fills it in where there is no place.
func (l *loader) pass() error {
	batch := l.batch
	l.batch = nil
	select {
	case l.queue <- batch:
		return nil
	default:
		return l.fill(batch)
	}
}

// help is the second goroutine.
func (l *loader) help() {
	defer func() { l.panicked = recover() }()
	debug.SetPanicOnFault(true) // see database
	for batch := range l.queue {
		if l.err = l.fill(batch); l.err != nil {
			return
		}
	}
}

// fill fills in what never changes.
func (l *loader) fill(batch []loadChunk) error {
	for _, c := range batch {
		if err := l.m.fillMessages(c.from, c.to, l.table.opened(c.key, c.stored)); err != nil {
			return fmt.Errorf("messages %x: %w", c.key, err)
		}
	}
	return nil
}

// fillFlags fills in UID, flags and MODSEQ of messages from index i on, as a value of
// bucket flags has them, and returns the index behind them.
func (m *messages) fillFlags(i int, value []byte) (next int, err error) {
	const long = 0x80808080 // in a byte of a number that goes on
	var uid goimap.UID
	var modseq ModSeq
	var flags FlagSet
	set := ^uint32(0)
	var f [4]uint64 // in the order of appendFlagChunk
	for at := 0; at < len(value); i++ {
		if rest := value[at:]; len(rest) >= 4 && binary.LittleEndian.Uint32(rest)&long == 0 {
			f = [4]uint64{uint64(rest[0]), uint64(rest[1]), uint64(rest[2]), uint64(rest[3])}
			at += 4
		} else {
			at = uvarints(f[:], value, at)
		}
		before := uid
		uid += goimap.UID(f[0])
		if f[0]>>32 != 0 || uid <= before || at > len(value) {
			return i, fmt.Errorf("%w: malformed flags behind UID %d", errDatabase, before)
		}
		if i >= len(m.uids) {
			return i, fmt.Errorf("%w: more messages than are counted", errDatabase)
		}
		if have := (FlagSet{f[1], f[2]}); have != flags || set == ^uint32(0) {
			flags, set = have, m.intern(have)
		}
		modseq += ModSeq(zigzag(f[3]))
		m.flagged = max(m.flagged, modseq)
		m.uids[i], m.sets[i], m.modseq[i] = uid, set, modseq
	}
	return i, nil
}

// fillMessages fills in the other properties of the messages with indexes from to to (not
// included), whose UIDs are there, from a value of bucket messages.
func (m *messages) fillMessages(from, to int, value []byte) error {
	uids := m.uids[from:to]
	size, date, zone := m.size[from:to], m.date[from:to], m.zone[from:to]
	saved, body := m.saved[from:to], m.body[from:to]
	var uid goimap.UID
	var date0, saved0 int64
	var body0 BodyID
	var f [6]uint64 // in the order of appendAdded
	at := 0
	for i := range uids {
		at = uvarints(f[:], value, at)
		uid += goimap.UID(f[0])
		length := zigzag(f[1])
		if at > len(value) || uid != uids[i] || f[0]>>32|f[3]>>16|uint64(length)>>32 != 0 {
			return fmt.Errorf("%w: malformed, or not of the flags', at UID %d", errDatabase, uids[i])
		}
		date0 += zigzag(f[2])
		saved0 += zigzag(f[4])
		body0 += BodyID(zigzag(f[5]))
		size[i], date[i], zone[i], saved[i], body[i] = uint32(length), date0, int16(zigzag(f[3])), saved0, body0
	}
	if at != len(value) {
		return fmt.Errorf("%w: more messages than flags", errDatabase)
	}
	return nil
}
