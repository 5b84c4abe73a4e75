package mailbox

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"mailstead/mailbox/log"
)

// A new program has to say what it would do with a folder before the old one, which has its databases locked, is ended; and a
// start that is to be refused must not have opened anything for writing. So what a database says of itself is read from its
// pages, without a lock: two pages or three. What is read is one transaction's: bbolt gives the pages of one to others two
// commits later at the earliest, and then the first pages name another transaction than before.

// peeked is what a database says of itself.
type peeked struct {
	Version int    // of the schema; 0 for a new file
	Program string // that had it open last, and for writing; "" = not known
	Applied log.LSN
	Used    int64 // bytes of the file that have pages
}

const (
	// peekTries bounds how often a database is read again that is committed to meanwhile.
	peekTries = 100
	// maxProgram bounds the version of a program in bytes.
	maxProgram = 64
)

// keyProgram is, like keySchema, without seal: all versions, past and to come, can read both.
var keyProgram = []byte("program")

// peek reads what a database says of itself. The error wraps fs.ErrNotExist, errDatabase for what is no whole database, or is
// the system's.
func (f files) peek(path string) (p peeked, err error) {
	file, err := f.Open(path, false)
	if err != nil {
		return p, err
	}
	defer file.Close()
	for range peekTries {
		var before uint64
		p, before, err = peekOnce(file)
		if after := newestIn(file); after == before {
			break
		}
		err = errors.New("it is written all the time")
	}
	if err != nil {
		return peeked{}, fmt.Errorf("%w: %s: %w", errDatabase, path, err)
	}
	return p, nil
}

// newestIn is the transaction that a database is in now, 0 where none is whole.
func newestIn(file log.File) uint64 {
	w := &pageWalk{file: file}
	if size, err := file.Size(); err == nil {
		_, _, _ = w.meta(size) // what is wrong with it is said by who reads on
	}
	return w.txid
}

// peekOnce also returns the transaction that it has read, 0 where none is whole.
func peekOnce(file log.File) (p peeked, txid uint64, err error) {
	size, err := file.Size()
	if err != nil || size == 0 {
		return p, 0, err
	}
	w := &pageWalk{file: file}
	root, _, err := w.meta(size)
	if err != nil {
		return p, w.txid, err
	}
	p.Used = int64(w.end * w.size)
	meta, flags, err := w.find(root, bucketMeta)
	if err != nil || meta == nil {
		return p, w.txid, err
	}
	if flags&leafBucket == 0 {
		return p, w.txid, errors.New("meta is no bucket")
	}
	get := func(key []byte) []byte {
		w.seen = make([]bool, w.end)
		value, _, broken := w.findIn(meta, key)
		err = errors.Join(err, broken)
		return value
	}
	version, applied, program := get(keySchema), get(keyApplied), get(keyProgram)
	switch {
	case err != nil:
		// said below
	case len(version) != 4:
		err = errors.New("no schema version")
	default:
		p.Version = int(binary.BigEndian.Uint32(version))
		p.Program = plainProgram(program)
		if len(applied) >= 8 { // schema 1 has no seal behind it
			p.Applied = log.LSN(binary.BigEndian.Uint64(applied))
		}
	}
	return p, w.txid, err
}

// plainProgram is the version of a program as a message can have it, "" for what cannot be one.
func plainProgram(v []byte) string {
	if len(v) > maxProgram || bytes.ContainsFunc(v, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return ""
	}
	return string(v)
}

// find looks a key up in the tree below a page: value and flags of its element, nil where it is not there.
func (w *pageWalk) find(id uint64, key []byte) (value []byte, flags uint32, err error) {
	for range maxPageDepth {
		page, kind, count, err := w.page(id)
		if err != nil {
			return nil, 0, err
		}
		switch kind {
		case pageLeaf:
			return findInLeaf(page, int(count), key)
		case pageBranch:
			if id, err = childFor(page, int(count), key); err != nil {
				return nil, 0, fmt.Errorf("branch page %d: %w", id, err)
			}
		default:
			return nil, 0, fmt.Errorf("page %d has flags %x", id, kind)
		}
	}
	return nil, 0, errors.New("pages go in circles")
}

// findIn is find in a bucket, of which head is the value that names it.
func (w *pageWalk) findIn(head, key []byte) (value []byte, flags uint32, err error) {
	const size = 16 // root 8, sequence 8
	if len(head) < size {
		return nil, 0, fmt.Errorf("a bucket of %d octets", len(head))
	}
	if root := binary.LittleEndian.Uint64(head); root != 0 {
		return w.find(root, key)
	}
	page := head[size:]
	if len(page) < pageHead {
		return nil, 0, errors.New("a bucket that is neither here nor elsewhere")
	}
	return findInLeaf(page, int(binary.LittleEndian.Uint16(page[10:])), key)
}

var errElement = errors.New("an element is beyond the page")

// element is what of an element of a page is at pos behind its beginning, n bytes.
func element(e []byte, pos, n uint32) ([]byte, error) {
	if uint64(pos)+uint64(n) > uint64(len(e)) {
		return nil, errElement
	}
	return e[pos : pos+n], nil
}

// childFor is the page below a branch that has a key, if any has.
func childFor(page []byte, count int, key []byte) (child uint64, err error) {
	if count == 0 || pageHead+count*pageElement > len(page) {
		return 0, errElement
	}
	le := binary.LittleEndian
	for i := range count {
		e := page[pageHead+i*pageElement:]
		first, err := element(e, le.Uint32(e), le.Uint32(e[4:]))
		if err != nil {
			return 0, err
		}
		if i > 0 && bytes.Compare(first, key) > 0 {
			break
		}
		child = le.Uint64(e[8:])
	}
	return child, nil
}

func findInLeaf(page []byte, count int, key []byte) (value []byte, flags uint32, err error) {
	if pageHead+count*pageElement > len(page) {
		return nil, 0, errElement
	}
	le := binary.LittleEndian
	for i := range count {
		e := page[pageHead+i*pageElement:]
		pos, keySize, size := le.Uint32(e[4:]), le.Uint32(e[8:]), le.Uint32(e[12:])
		k, err := element(e, pos, keySize)
		if err != nil {
			return nil, 0, err
		}
		if !bytes.Equal(k, key) {
			continue
		}
		if uint64(pos)+uint64(keySize)+uint64(size) > uint64(len(e)) {
			return nil, 0, errElement
		}
		from := pos + keySize
		return e[from : from+size], le.Uint32(e), nil
	}
	return nil, 0, nil
}
