package mailbox

import (
	"errors"
	"fmt"
	"io"
	"sync"
	"syscall"

	"mailstead/mailbox/log"
	"mailstead/mailbox/message"
)

// NewBody is a message being received. It belongs to one goroutine.
type NewBody struct {
	s       *Store
	id      BodyID   // 0 before somebody asks for its number
	buf     []byte   // the whole body, while it is small enough for the log
	big     *log.Big // or its file
	bigDone bool     // the file is durable
	size    int64
	indexer *message.Indexer
	index   *message.Index
	stored  []byte // the index as derived.db keeps it
	err     error
}

// NewBody begins a message. The caller writes it, then hands it to Deliver, or
// aborts it. Bodies above 1 MiB stream to disk while they are written; every
// write goes through the message indexer.
func (s *Store) NewBody() *NewBody {
	x := indexers.Get().(*message.Indexer)
	x.Reset()
	return &NewBody{s: s, indexer: x}
}

// indexers are reused: one holds some tens of kilobytes.
var indexers = sync.Pool{New: func() any { return new(message.Indexer) }}

// The sizes of pooled buffers: a body that outgrows one is copied into the
// next, so it is copied at most a third of its length in all.
var bufferSizes = [...]int{4 << 10, 16 << 10, 64 << 10, 256 << 10, 1 << 20}

var buffers [len(bufferSizes)]sync.Pool

// getBuffer returns an empty buffer for at least n bytes.
func getBuffer(n int) []byte {
	for i, size := range bufferSizes {
		if n <= size {
			if b, ok := buffers[i].Get().(*[]byte); ok {
				return (*b)[:0]
			}
			return make([]byte, 0, size)
		}
	}
	return make([]byte, 0, n)
}

func putBuffer(b []byte) {
	for i, size := range bufferSizes {
		if cap(b) == size {
			buffers[i].Put(&b)
		}
	}
}

// MaxMessageSize is the largest message that the store takes, in bytes.
func (s *Store) MaxMessageSize() int64 { return s.o.MaxMessageSize }

// Write adds bytes. ErrTooBig, ErrNoSpace: then the body is useless.
func (b *NewBody) Write(p []byte) (int, error) {
	if b.err == nil && b.index != nil {
		b.err = errors.New("mailbox: write to a finished body")
	}
	if b.err == nil && b.size+int64(len(p)) > b.s.o.MaxMessageSize {
		b.err = fmt.Errorf("%w: more than %d bytes", ErrTooBig, b.s.o.MaxMessageSize)
	}
	if b.err == nil {
		b.err = b.keep(p)
	}
	if b.err != nil {
		return 0, b.err
	}
	b.size += int64(len(p))
	b.indexer.Write(p) // never fails
	return len(p), nil
}

// keep puts p into the buffer, or into the file once that is too small.
func (b *NewBody) keep(p []byte) error {
	if b.big == nil && b.size+int64(len(p)) > b.s.log.InlineLimit() {
		if err := b.toFile(); err != nil {
			return err
		}
	}
	if b.big != nil {
		_, err := b.big.Write(p)
		return b.s.spaceError(err)
	}
	if n := len(b.buf) + len(p); n > cap(b.buf) {
		larger := append(getBuffer(n), b.buf...)
		putBuffer(b.buf)
		b.buf = larger
	}
	b.buf = append(b.buf, p...)
	return nil
}

// number is the body's id, taken when a file or a record is to have it: bodies that get neither, those of refused mail and
// of spools, leave no gaps, which the blocks of the search index would keep room for.
func (b *NewBody) number() BodyID {
	if b.id == 0 {
		b.id = BodyID(b.s.lastBody.Add(1))
	}
	return b.id
}

// toFile moves what was written so far into a file of its own.
func (b *NewBody) toFile() error {
	big, err := b.s.log.NewBig(log.BodyID(b.number()))
	if err != nil {
		return b.s.spaceError(err)
	}
	b.big = big
	if _, err := big.Write(b.buf); err != nil {
		return b.s.spaceError(err)
	}
	b.free()
	return nil
}

// Size is what was written so far, in bytes.
func (b *NewBody) Size() int64 { return b.size }

// Index is what the indexer knows of the finished body; it ends writing. It
// is valid until Deliver or Abort.
func (b *NewBody) Index() *message.Index {
	if b.index == nil && b.indexer != nil {
		b.index = b.indexer.Finish()
	}
	return b.index
}

// ReadAt reads from the finished body, as io.ReaderAt does; until Deliver or Abort.
func (b *NewBody) ReadAt(p []byte, off int64) (int, error) {
	if b.big != nil {
		return b.big.ReadAt(p, off)
	}
	if off < 0 || off >= int64(len(b.buf)) {
		return 0, io.EOF
	}
	n := copy(p, b.buf[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// finish ends writing and makes everything ready that a record will name.
func (b *NewBody) finish() error {
	if b.err != nil {
		return b.err
	}
	if b.indexer == nil {
		return errors.New("mailbox: body was delivered or aborted")
	}
	if b.stored == nil {
		b.stored = storedIndex(b.Index())
	}
	b.number()
	if b.big != nil && !b.bigDone {
		if b.err = b.s.spaceError(b.big.Commit()); b.err != nil {
			return b.err
		}
		b.bigDone = true
	}
	return nil
}

// storedIndex is the value for derived.db, in no more memory than it takes with its
// seal: it is kept until it is there.
func storedIndex(ix *message.Index) []byte {
	scratch := ix.AppendTo(getBuffer(bufferSizes[0]))
	defer putBuffer(scratch)
	return append(make([]byte, 0, len(scratch)+sealSize), scratch...)
}

// inline is the number of body bytes that go into the record; nil is no body.
func (b *NewBody) inline() int64 {
	if b == nil {
		return 0
	}
	return int64(len(b.buf))
}

// fill puts the body into a record; nil is no body.
func (b *NewBody) fill(r *record) {
	if b == nil {
		return
	}
	r.index = b.stored
	if b.big != nil {
		b.big.Describe(&r.entry)
		return
	}
	r.entry.BodyID, r.entry.Body = log.BodyID(b.id), b.buf
	r.entry.Sum() // here rather than by whoever flushes for all
}

// delivered gives back what the store does not need any more.
func (b *NewBody) delivered() {
	b.free()
	b.release()
	b.big = nil
}

func (b *NewBody) free() {
	if b.buf != nil {
		putBuffer(b.buf)
		b.buf = nil
	}
}

// release gives the indexer back, once.
func (b *NewBody) release() {
	if b.indexer != nil {
		indexers.Put(b.indexer)
		b.indexer, b.index = nil, nil
	}
}

// Abort gives the body up. After Deliver, and a second time, it does nothing.
func (b *NewBody) Abort() {
	b.free()
	b.release()
	if b.big == nil {
		return
	}
	err := b.big.Abort()
	if b.bigDone {
		err = b.s.log.RemoveBig(log.BodyID(b.id))
	}
	if err != nil {
		// The next start removes files that no record names.
		b.s.logger.Warn("removing an aborted message", "err", err)
	}
	b.big = nil
}

// Body is a stored message being read; no transaction or lock is held. ReadAt
// may be called concurrently. It stays readable until Close, whatever is
// expunged meanwhile.
type Body struct{ *log.Body }

// OpenBody gives the stored bytes. ErrDamaged, ErrGone.
func (s *Store) OpenBody(id BodyID) (*Body, error) {
	// A body that is moved between the look-up and the opening is looked up again.
	const moves = 3
	if err := s.fence.check(id); err != nil {
		return nil, err
	}
	var err error
	for range moves {
		var place log.Place
		if place, err = s.place(id); err != nil {
			return nil, err
		}
		var b *log.Body
		if b, err = s.log.Body(place, log.BodyID(id)); err == nil {
			return &Body{b}, nil
		}
		if !errors.Is(err, log.ErrGone) {
			break
		}
	}
	return nil, bodyError(err)
}

// place finds out where a body is.
func (s *Store) place(id BodyID) (log.Place, error) {
	if p, ok := s.overlay.place(id); ok {
		return p, nil
	}
	p, ok, err := s.disk.place(id)
	if err == nil && !ok {
		err = fmt.Errorf("%w: body %d", ErrGone, id)
	}
	return p, err
}

// ReadAt reads from the message, as io.ReaderAt does. ErrDamaged.
func (b *Body) ReadAt(p []byte, off int64) (int, error) {
	n, err := b.Body.ReadAt(p, off)
	return n, bodyError(err)
}

// WriteTo writes the whole message to w. ErrDamaged, or w's error.
func (b *Body) WriteTo(w io.Writer) (int64, error) {
	n, err := b.Body.WriteTo(w)
	return n, bodyError(err)
}

// bodyError turns the log's errors into the store's. What the disk cannot read
// is damaged, too: the other messages are served all the same.
func bodyError(err error) error {
	switch {
	case errors.Is(err, log.ErrDamaged), errors.Is(err, syscall.EIO):
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	case errors.Is(err, log.ErrGone):
		return fmt.Errorf("%w: %w", ErrGone, err)
	}
	return err
}

// spaceError turns the log's errors on writing into the store's. Who is
// refused for lack of space has cleaning begin soon.
func (s *Store) spaceError(err error) error {
	switch {
	case errors.Is(err, log.ErrNoSpace), err != nil && isFull(err):
		s.cleaner.want()
		return fmt.Errorf("%w: %w", ErrNoSpace, err)
	case errors.Is(err, log.ErrClosed):
		return fmt.Errorf("%w: %w", ErrClosed, err)
	}
	return err
}
