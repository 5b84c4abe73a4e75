package pop3

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"

	"mailstead/mailbox"
	index "mailstead/mailbox/message"
)

// chunkSize is what is read of a message at a time.
const chunkSize = 256 << 10

var chunks = sync.Pool{New: func() any { return new([chunkSize]byte) }}

// retr is RETR.
func (s *session) retr(arg string) error {
	m, err := s.drop.message(arg)
	if err != nil {
		return err
	}
	return s.send(m, func(b io.ReaderAt, size int64) (int64, error) { return size, nil })
}

// top is TOP: the header and the first lines of the body.
func (s *session) top(args string) error {
	number, count, ok := strings.Cut(args, " ")
	lines, err := strconv.ParseUint(count, 10, 32)
	if !ok || err != nil {
		return refuse("TOP needs a message number and a number of lines")
	}
	m, err := s.drop.message(number)
	if err != nil {
		return err
	}
	header, err := s.headerSize(m)
	if err != nil {
		return fmt.Errorf("look up message %d: %w", m.uid, err)
	}
	return s.send(m, func(b io.ReaderAt, size int64) (int64, error) { return afterLines(b, min(header, size), size, lines) })
}

// send writes the message up to what end says. The reply is only written once
// the message is known to be there; a fault after that can only cut the
// connection, since the client must not take a part for the whole.
func (s *session) send(m *message, end func(io.ReaderAt, int64) (int64, error)) error {
	buf := chunks.Get().(*[chunkSize]byte)
	defer chunks.Put(buf)
	body, err := s.drop.open(s.options.Store, m, buf[:])
	if err != nil {
		return fmt.Errorf("open message %d: %w", m.uid, err)
	}
	defer body.Close()
	size, err := end(body, body.Size())
	if err != nil {
		return fmt.Errorf("read message %d: %w", m.uid, err)
	}
	first := body.Whole()
	if first == nil {
		first = buf[:min(size, chunkSize)]
		if err := readFull(body, first, 0); err != nil {
			return fmt.Errorf("read message %d: %w", m.uid, err)
		}
	}
	first = first[:min(size, int64(len(first)))]
	s.ok("%d octets", m.size)
	if err := s.copy(body, buf, first, size); err != nil {
		s.log.Error("pop3: message broken off", "account", s.account.Name, "uid", m.uid, "error", err)
		return errors.Join(io.ErrUnexpectedEOF, err)
	}
	return nil
}

// copy writes size octets of body, of which the first chunk is read, with dots
// stuffed and the end marked.
func (s *session) copy(body io.ReaderAt, buf *[chunkSize]byte, chunk []byte, size int64) error {
	atStart, err := true, error(nil)
	offset := int64(len(chunk))
	if header := headerOf(chunk); !s.utf8 && !isASCII(header) {
		atStart, err = s.out.stuffed(asciiHeader(header), atStart)
		chunk = chunk[len(header):]
	}
	for err == nil {
		if atStart, err = s.out.stuffed(chunk, atStart); err != nil {
			return err
		}
		if offset == size {
			break
		}
		chunk = buf[:min(size-offset, chunkSize)]
		err = readFull(body, chunk, offset)
		offset += int64(len(chunk))
	}
	if err != nil {
		return err
	}
	if !atStart {
		s.out.line("") // a message that does not end in a line end still ends before the dot
	}
	s.out.line(".")
	return s.out.err
}

func readFull(r io.ReaderAt, p []byte, offset int64) error {
	n, err := r.ReadAt(p, offset)
	if n == len(p) {
		return nil
	}
	if err == nil || err == io.EOF {
		return fmt.Errorf("%w: it is shorter than was noted", mailbox.ErrDamaged)
	}
	return errors.Join(mailbox.ErrDamaged, err)
}

// headerSize is where a message's body begins, as the indexer found it.
func (s *session) headerSize(m *message) (size int64, err error) {
	err = s.options.Store.Indexes([]mailbox.Message{{UID: m.uid, Body: m.body}}, func(_ int, v index.View) error {
		size = v.HeaderSize()
		return nil
	})
	return size, err
}

// afterLines is the end of the first n lines from offset on.
func afterLines(r io.ReaderAt, offset, size int64, n uint64) (int64, error) {
	buf := chunks.Get().(*[chunkSize]byte)
	defer chunks.Put(buf)
	for n > 0 && offset < size {
		chunk := buf[:min(size-offset, chunkSize)]
		if err := readFull(r, chunk, offset); err != nil {
			return 0, err
		}
		rest := chunk
		for ; n > 0 && len(rest) > 0; n-- {
			end := bytes.IndexByte(rest, '\n') + 1
			if end == 0 {
				end, n = len(rest), n+1 // the line goes on in the next chunk
			}
			rest = rest[end:]
		}
		offset += int64(len(chunk) - len(rest))
	}
	return offset, nil
}
