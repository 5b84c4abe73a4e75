package transfer

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"
	"slices"
	"strings"
	"sync"

	goimap "github.com/emersion/go-imap/v2"

	"mailstead/mailbox"
)

// What an account has taken from a source that is asked again lies in a room of the store:
// for each folder of the source entries in the order in which they came, in chunks. See
// docs/STORAGE.md.
const (
	takenRoom    = "imports"
	takenVersion = 1
	// chunkEntries is how many messages one value of the room tells of: some kilobytes, as
	// the last chunk is written again with each group.
	chunkEntries = 1024
	// writeAfter is after how many messages they are written: as many may have to be
	// fetched once more when the process is killed.
	writeAfter = 256
	// chunksAtOnce bounds one change of the store.
	chunksAtOnce = 16
)

// errTaken says that a value of the room is none.
var errTaken = errors.New("transfer: what is noted of an import cannot be read")

// copyAt is a message in a mailbox of ours.
type copyAt struct {
	validity uint32 // of the mailbox: it has it alone in its account
	uid      goimap.UID
}

// taken is one message of a folder of the source.
type taken struct {
	uid    uint32 // 0 = it is not there any more
	flags  string // as they were when it was last looked at, see flagWords
	digest uint64 // of its octets
	copies []copyAt
}

// book is what was taken from one folder.
type book struct {
	store    *mailbox.Store
	key      string // in front of the chunks' numbers
	validity uint32

	mu      sync.Mutex
	first   int // number of the first chunk
	chunks  [][]taken
	dirty   map[int]bool // by index into chunks
	fresh   int          // entries that are not written
	at      map[uint32][2]int
	strange []string            // keys of chunks of another UIDVALIDITY
	former  map[uint64][]copies // by digest: of those chunks
}

type copies []copyAt

// takenKey is in front of all that is noted of a folder of a source.
func takenKey(a mailbox.AccountID, from, into, folder string) string {
	sum := sha256.Sum256([]byte(from + "\x00" + into + "\x00" + folder))
	return takenPrefix(a) + fmt.Sprintf("%x/", sum[:12])
}

func takenPrefix(a mailbox.AccountID) string { return fmt.Sprintf("%d/", a) }

// ForgetTaken forgets all that an account has taken from elsewhere: with the account.
func ForgetTaken(ctx context.Context, s *mailbox.Store, a mailbox.AccountID) error {
	var keys []string
	err := s.Room(takenRoom).Each(takenPrefix(a), func(key string, _ []byte) error {
		keys = append(keys, key)
		return nil
	})
	if err != nil {
		return err
	}
	return forget(ctx, s, keys)
}

func forget(ctx context.Context, s *mailbox.Store, keys []string) error {
	for some := range slices.Chunk(keys, 256) {
		var changes []mailbox.RoomChange
		for _, key := range some {
			changes = append(changes, mailbox.RoomChange{Room: takenRoom, Key: key})
		}
		if err := s.Change(ctx, changes...); err != nil {
			return err
		}
	}
	return nil
}

// openBook reads what was taken from a folder while it had that UIDVALIDITY.
func openBook(s *mailbox.Store, a mailbox.AccountID, from, into, folder string, validity uint32) (*book, error) {
	b := &book{store: s, key: takenKey(a, from, into, folder), validity: validity, dirty: map[int]bool{}, at: map[uint32][2]int{}, former: map[uint64][]copies{}}
	next := 0
	err := s.Room(takenRoom).Each(b.key, func(key string, value []byte) error {
		of, list, err := decodeTaken(value)
		if err != nil {
			return fmt.Errorf("%w: %s", err, key)
		}
		number := 0
		if _, err := fmt.Sscanf(strings.TrimPrefix(key, b.key), "%08x", &number); err != nil {
			return fmt.Errorf("%w: %s", errTaken, key)
		}
		next = number + 1
		if of != validity {
			b.strange = append(b.strange, key)
			for _, t := range list {
				b.former[t.digest] = append(b.former[t.digest], t.copies)
			}
			return nil
		}
		if len(b.chunks) == 0 {
			b.first = number
		}
		for len(b.chunks) < number-b.first { // chunks that are empty by now are not there
			b.chunks = append(b.chunks, nil)
		}
		for i, t := range list {
			b.at[t.uid] = [2]int{len(b.chunks), i}
		}
		b.chunks = append(b.chunks, list)
		return nil
	})
	if len(b.chunks) == 0 {
		b.first = next
	}
	return b, err
}

// find returns what is noted of a message; nil = nothing. It is valid while mu is held.
func (b *book) find(uid uint32) *taken {
	at, ok := b.at[uid]
	if !ok {
		return nil
	}
	return &b.chunks[at[0]][at[1]]
}

// add notes a message that is on disk, and writes when there are enough.
func (b *book) add(ctx context.Context, t taken) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.find(t.uid) != nil {
		return nil
	}
	last := len(b.chunks) - 1
	if last < 0 || len(b.chunks[last]) >= chunkEntries {
		b.chunks = append(b.chunks, nil)
		last++
	}
	b.chunks[last] = append(b.chunks[last], t)
	b.at[t.uid] = [2]int{last, len(b.chunks[last]) - 1}
	b.dirty[last] = true
	if b.fresh++; b.fresh < writeAfter {
		return nil
	}
	return b.write(ctx)
}

// write makes durable what was noted. The caller holds mu.
func (b *book) write(ctx context.Context) error {
	var changes []mailbox.RoomChange
	flush := func() error {
		if len(changes) == 0 {
			return nil
		}
		err := b.store.Change(ctx, changes...)
		changes = nil
		return err
	}
	for i := range b.chunks {
		if !b.dirty[i] {
			continue
		}
		changes = append(changes, mailbox.RoomChange{
			Room: takenRoom, Key: fmt.Sprintf("%s%08x", b.key, b.first+i), Value: encodeTaken(b.validity, b.chunks[i]),
		})
		if len(changes) == chunksAtOnce {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	if err := flush(); err != nil {
		return err
	}
	clear(b.dirty)
	b.fresh = 0
	return nil
}

// close writes what is left. whole says that the source came to its end: then what was
// noted of a former UIDVALIDITY goes.
func (b *book) close(ctx context.Context, whole bool) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.write(ctx); err != nil {
		return err
	}
	if !whole {
		return nil
	}
	err := forget(ctx, b.store, b.strange)
	b.strange = nil
	return err
}

// takeFormer finds a message of a former UIDVALIDITY by its octets, once.
func (b *book) takeFormer(digest uint64) (list copies, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	all := b.former[digest]
	if len(all) == 0 {
		return nil, false
	}
	b.former[digest] = all[1:]
	return all[0], true
}

// flagWords are the flags that are followed, in one order and spelling: those that a user
// sets.
func flagWords(flags []goimap.Flag) string {
	var words []string
	for _, f := range flags {
		word := string(f)
		if strings.HasPrefix(word, `\`) {
			i := slices.IndexFunc(systemFlags[:], func(s goimap.Flag) bool { return strings.EqualFold(string(s), word) })
			if i < 0 {
				continue
			}
			word = string(systemFlags[i])
		} else if !isKeyword(word) {
			continue
		}
		words = append(words, word)
	}
	slices.Sort(words)
	return strings.Join(slices.Compact(words), " ")
}

// flagList is the reverse of flagWords.
func flagList(words string) []goimap.Flag {
	var list []goimap.Flag
	for word := range strings.FieldsSeq(words) {
		list = append(list, goimap.Flag(word))
	}
	return list
}

// encodeTaken writes a chunk: the version, the UIDVALIDITY, the sets of flags, and for each
// message its UID as the step from the one before, its set, its digest and its copies.
func encodeTaken(validity uint32, list []taken) []byte {
	var sets []string
	index := map[string]uint64{}
	count := 0
	for _, t := range list {
		if t.uid == 0 {
			continue
		}
		count++
		if _, ok := index[t.flags]; !ok {
			index[t.flags] = uint64(len(sets))
			sets = append(sets, t.flags)
		}
	}
	if count == 0 {
		return nil // deletes the chunk
	}
	b := binary.AppendUvarint([]byte{takenVersion}, uint64(validity))
	b = binary.AppendUvarint(b, uint64(len(sets)))
	for _, s := range sets {
		b = append(binary.AppendUvarint(b, uint64(len(s))), s...)
	}
	b = binary.AppendUvarint(b, uint64(count))
	before := int64(0)
	for _, t := range list {
		if t.uid == 0 {
			continue
		}
		b = binary.AppendVarint(b, int64(t.uid)-before)
		before = int64(t.uid)
		b = binary.AppendUvarint(b, index[t.flags])
		b = binary.BigEndian.AppendUint64(b, t.digest)
		b = binary.AppendUvarint(b, uint64(len(t.copies)))
		for _, c := range t.copies {
			b = binary.AppendUvarint(b, uint64(c.validity))
			b = binary.AppendUvarint(b, uint64(c.uid))
		}
	}
	return b
}

// takenReader reads numbers until one is missing.
type takenReader struct {
	rest   []byte
	broken bool
}

func (r *takenReader) number(most uint64) uint64 {
	n, size := binary.Uvarint(r.rest)
	if size <= 0 || n > most {
		r.broken, r.rest = true, nil
		return 0
	}
	r.rest = r.rest[size:]
	return n
}

func (r *takenReader) step() int64 {
	n, size := binary.Varint(r.rest)
	if size <= 0 {
		r.broken, r.rest = true, nil
		return 0
	}
	r.rest = r.rest[size:]
	return n
}

func (r *takenReader) octets(n uint64) []byte {
	if n > uint64(len(r.rest)) {
		r.broken, r.rest = true, nil
		return make([]byte, 8)
	}
	b := r.rest[:n]
	r.rest = r.rest[n:]
	return b
}

const largest32 = 1<<32 - 1

func decodeTaken(value []byte) (validity uint32, list []taken, err error) {
	if len(value) == 0 || value[0] != takenVersion {
		return 0, nil, errTaken
	}
	r := takenReader{rest: value[1:]}
	validity = uint32(r.number(largest32))
	sets := make([]string, r.number(chunkEntries))
	for i := range sets {
		sets[i] = string(r.octets(r.number(uint64(len(r.rest)))))
	}
	count := r.number(chunkEntries)
	at := int64(0)
	for range count {
		at += r.step()
		set := r.number(chunkEntries)
		t := taken{uid: uint32(at), digest: binary.BigEndian.Uint64(r.octets(8))}
		if r.broken || at <= 0 || at > largest32 || set >= uint64(len(sets)) {
			return 0, nil, errTaken
		}
		t.flags = sets[set]
		for range r.number(maxFolders) {
			t.copies = append(t.copies, copyAt{uint32(r.number(largest32)), goimap.UID(r.number(largest32))})
		}
		list = append(list, t)
	}
	if r.broken || len(r.rest) > 0 {
		return 0, nil, errTaken
	}
	return validity, list, nil
}

// note is what will be noted of a message with a place.
type note struct {
	book   *book
	taken  taken
	digest hash.Hash
}

// writer adds what goes to the body to the message's digest.
func (n *note) writer(body *mailbox.NewBody) io.Writer {
	if n == nil {
		return body
	}
	return io.MultiWriter(n.digest, body)
}

// recognised says whether the message was taken in while its folder had another
// UIDVALIDITY, and where it went then. The body is complete.
func (n *note) recognised() bool {
	if n == nil {
		return false
	}
	n.taken.digest = binary.BigEndian.Uint64(n.digest.Sum(nil))
	list, ok := n.book.takeFormer(n.taken.digest)
	n.taken.copies = list
	return ok
}

// found notes a copy that was there already.
func (n *note) found(validity uint32, uid goimap.UID) {
	if n != nil {
		n.taken.copies = append(n.taken.copies, copyAt{validity, uid})
	}
}

// write notes a message that is on disk, with its new copies.
func (w *waiting) write(n *note, placed []mailbox.Placed) error {
	if n == nil {
		return nil
	}
	for _, p := range placed {
		if p.Err == nil {
			n.taken.copies = append(n.taken.copies, copyAt{p.UIDValidity, p.UID})
		}
	}
	return n.book.add(context.Background(), n.taken) // what is on disk is noted also when nobody waits any more
}

// openBook reads what was taken from a folder before.
func (m *Importer) openBook(f Folder) error {
	if m.o.From == "" || f.Validity == 0 || m.books[f.Name] != nil {
		return nil
	}
	b, err := openBook(m.o.Store, m.o.Account, m.o.From, m.o.Into, f.Name, f.Validity)
	m.books[f.Name] = b
	return err
}

// closeBooks writes what was noted last; err is the import's.
func (m *Importer) closeBooks(ctx context.Context, err error) error {
	if m.o.DryRun {
		return err
	}
	for _, b := range m.books {
		err = errors.Join(err, b.close(ctx, err == nil))
	}
	return err
}

// note begins the note of a message; nil = it has no place.
func (m *Importer) note(msg *Message) (*note, error) {
	if msg.Place == nil || m.o.From == "" {
		return nil, nil
	}
	b := m.books[msg.Place.Folder]
	if b == nil || b.validity != msg.Place.Validity || msg.Place.UID == 0 {
		return nil, fmt.Errorf("%s: its place is in no folder that was sent", msg.Origin)
	}
	return &note{book: b, taken: taken{uid: msg.Place.UID, flags: flagWords(msg.Flags)}, digest: sha256.New()}, nil
}

// noted are the messages of a mailbox that are known by their place, ascending.
func (m *Importer) noted(box *mailbox.Mailbox) []goimap.UID {
	info, err := box.Info()
	if err != nil {
		return nil
	}
	var list []goimap.UID
	for _, b := range m.books {
		b.mu.Lock()
		for _, chunk := range b.chunks {
			for _, t := range chunk {
				for _, c := range t.copies {
					if c.validity == info.UIDValidity && t.uid != 0 {
						list = append(list, c.uid)
					}
				}
			}
		}
		b.mu.Unlock()
	}
	slices.Sort(list)
	return list
}

// Taken is what an account has from a folder of a source: a source need not send it again.
type Taken struct {
	UIDs []uint32 `json:"uids,omitempty"` // in any order
	Sets []int    `json:"sets,omitempty"` // of each the flags it had, into Flags
	// Flags are sets of flags, each as words.
	Flags []string `json:"flags,omitempty"`
	// Largest is the largest message that the account takes, in octets.
	Largest int64 `json:"largest"`
}

// TakenFrom returns what an account took from a folder while it had that UIDVALIDITY, in
// imports with the same From and Into.
func TakenFrom(o ImportOptions, folder string, validity uint32) (Taken, error) {
	t := Taken{Largest: o.Store.MaxMessageSize()}
	b, err := openBook(o.Store, o.Account, o.From, o.Into, folder, validity)
	if err != nil {
		return t, err
	}
	index := map[string]int{}
	for _, chunk := range b.chunks {
		for _, entry := range chunk {
			set, ok := index[entry.flags]
			if !ok {
				set = len(t.Flags)
				index[entry.flags] = set
				t.Flags = append(t.Flags, entry.flags)
			}
			t.UIDs = append(t.UIDs, entry.uid)
			t.Sets = append(t.Sets, set)
		}
	}
	return t, nil
}
