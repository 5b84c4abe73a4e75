package client

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	goimap "github.com/emersion/go-imap/v2"

	"mailstead/imap/wire"
)

// Row is what a server says of one message.
type Row struct {
	UID       uint32
	Flags     []goimap.Flag
	Date      time.Time // INTERNALDATE; zero = not told
	Size      int64     // RFC822.SIZE: some servers guess
	MessageID string    // with its angle brackets; only if asked for
	Labels    []string  // Gmail's, as it spells them
	HasFlags  bool      // FLAGS were told
	HasSize   bool
}

// maxFlags bounds the flags and labels of one message: Gmail has 10,000 labels in all.
const maxFlags = 1000

// Ask says which items Rows asks for.
type Ask int

const (
	AskState  Ask = iota // UID, flags, date, size
	AskGmail             // and Gmail's labels
	AskHeader            // date, size, Message-ID
)

var items = map[Ask]string{
	AskState:  "(UID FLAGS INTERNALDATE RFC822.SIZE)",
	AskGmail:  "(UID FLAGS INTERNALDATE RFC822.SIZE X-GM-LABELS)",
	AskHeader: "(UID INTERNALDATE RFC822.SIZE BODY.PEEK[HEADER.FIELDS (MESSAGE-ID)])",
}

// MaxMessages bounds the messages of one mailbox. Their rows are in memory.
const MaxMessages = 5_000_000

// Rows asks for all messages of the open mailbox and hands each on. They come in any
// order, and a server may tell of one twice, or of another.
func (c *Conn) Rows(ask Ask, each func(Row) error) error {
	if c.selected.Messages == 0 {
		return nil
	}
	tag, err := c.start("UID FETCH 1:* " + items[ask])
	if err != nil {
		return err
	}
	most := 2*int(min(c.selected.Messages, MaxMessages)) + maxAside
	return c.fetches(tag, most, each, func(b *Body) error {
		return fmt.Errorf("%w: a body that nobody asked for", ErrProtocol)
	})
}

// Body is the text of a message while it comes.
type Body struct {
	c    *Conn
	f    *fetched
	left int64
	Size int64 // as announced: what comes, or the connection breaks
	// Whole makes Read end only when the whole response was read, so that Row is
	// complete, and the message is the one that was asked for.
	Whole uint32 // its UID; 0 = not so
}

// UID is the message's, 0 if the server has not told it yet.
func (b *Body) UID() uint32 { return b.f.row.UID }

// ErrOther says that a body is of another message than the one that was asked for.
var ErrOther = fmt.Errorf("%w: another message than the one that was asked for", ErrProtocol)

// Read reads the body. ErrOther, ErrProtocol or an error of the connection.
func (b *Body) Read(p []byte) (int, error) {
	if b.left == 0 {
		return 0, b.end()
	}
	n, err := b.c.in.r.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	if n > 0 {
		return n, nil
	}
	return 0, ended(err)
}

func (b *Body) end() error {
	if b.Whole == 0 {
		return io.EOF
	}
	for !b.f.done {
		if _, again, err := b.c.items(b.f); err != nil {
			return err
		} else if again {
			return fmt.Errorf("%w: two bodies in one response", ErrProtocol)
		}
	}
	if b.f.row.UID != b.Whole {
		return ErrOther
	}
	return io.EOF
}

// drop reads over what is left.
func (b *Body) drop() error {
	n, err := io.CopyN(io.Discard, b.c.in.r, b.left)
	b.left -= n
	return ended(err)
}

// Bodies asks for the texts of some messages of the open mailbox. each is called with the
// head of each; what it leaves is read over. after, when not nil, hears of each response
// when it is complete.
func (c *Conn) Bodies(uids []uint32, each func(*Body) error, after func(Row) error) error {
	tag, err := c.start("UID FETCH " + setOf(uids) + " (UID BODY.PEEK[])")
	if err != nil {
		return err
	}
	return c.fetches(tag, len(uids)+maxAside, after, each)
}

// setOf writes UIDs as a set with ranges, RFC 3501 section 9.
func setOf(uids []uint32) string {
	list := slices.Clone(uids)
	slices.Sort(list)
	return string(wire.AppendNumbers(nil, list))
}

// Exists says whether the open mailbox still has a message.
func (c *Conn) Exists(uid uint32) (bool, error) {
	tag, err := c.start("UID FETCH " + strconv.FormatUint(uint64(uid), 10) + " (UID)")
	if err != nil {
		return false, err
	}
	found := false
	err = c.fetches(tag, maxAside, func(r Row) error {
		found = found || r.UID == uid
		return nil
	}, func(*Body) error { return nil })
	return found, err
}

// fetches waits for the answer to a FETCH.
func (c *Conn) fetches(tag string, most int, row func(Row) error, body func(*Body) error) error {
	return c.await(tag, most, func(r *response) error {
		if r.name != "FETCH" {
			return nil
		}
		f, err := c.beginFetch()
		if err != nil {
			return err
		}
		for !f.done {
			size, isBody, err := c.items(f)
			if err != nil {
				return err
			}
			if !isBody {
				continue
			}
			b := &Body{c: c, f: f, left: size, Size: size}
			if err := body(b); err != nil {
				return err
			}
			if b.left > 0 {
				if err := b.drop(); err != nil {
					return err
				}
			}
		}
		if row == nil {
			return nil
		}
		return row(f.row)
	})
}

// fetched is a FETCH response being read.
type fetched struct {
	row  Row
	done bool
}

func (c *Conn) beginFetch() (*fetched, error) {
	at, err := c.in.peek()
	if err != nil {
		return nil, err
	}
	if at != '(' {
		return nil, fmt.Errorf("%w: FETCH without a list", ErrProtocol)
	}
	_, err = c.in.octet()
	return &fetched{}, err
}

// items reads the items of a FETCH response up to its end, or to a body, whose size it
// returns.
func (c *Conn) items(f *fetched) (size int64, isBody bool, err error) {
	for {
		name, end, err := c.in.next(1)
		if err != nil {
			return 0, false, err
		}
		if end == ')' {
			f.done = true
			return 0, false, nil
		}
		if end != 0 || name.isList {
			return 0, false, fmt.Errorf("%w: a FETCH that does not end", ErrProtocol)
		}
		item := strings.ToUpper(name.text)
		if err := c.space(); err != nil {
			return 0, false, err
		}
		if item == "BODY[]" || item == "RFC822" {
			at, err := c.in.peek()
			if err != nil {
				return 0, false, err
			}
			if at == '{' {
				size, err := c.in.literalSize()
				return size, true, err
			} // in quotes, or NIL: no server sends mail so, and it counts as not sent
		}
		v, err := c.in.value(1)
		if err != nil {
			return 0, false, err
		}
		if err := f.note(item, v); err != nil {
			return 0, false, err
		}
	}
}

func (c *Conn) space() error {
	b, err := c.in.octet()
	if err == nil && b != ' ' {
		return fmt.Errorf("%w: %q behind the name of an item", ErrProtocol, b)
	}
	return err
}

// note takes one item.
func (f *fetched) note(item string, v value) error {
	var err error
	switch {
	case item == "UID":
		var n uint64
		if n, err = strconv.ParseUint(v.text, 10, 32); err == nil {
			f.row.UID = uint32(n)
		}
	case item == "RFC822.SIZE":
		f.row.Size, err = strconv.ParseInt(v.text, 10, 63)
		f.row.HasSize = true
		if f.row.Size < 0 {
			err = errors.New("below zero")
		}
	case item == "FLAGS":
		f.row.HasFlags = true
		for _, flag := range texts(v.list) {
			f.row.Flags = append(f.row.Flags, goimap.Flag(flag))
		}
	case item == "INTERNALDATE":
		f.row.Date = dateOf(v.text)
	case item == "X-GM-LABELS":
		f.row.Labels = texts(v.list)
	case strings.HasPrefix(item, "BODY[HEADER.FIELDS"):
		_, id, _ := strings.Cut(v.text, ":")
		f.row.MessageID = strings.TrimSpace(id)
	}
	if err == nil && max(len(f.row.Flags), len(f.row.Labels)) > maxFlags {
		err = fmt.Errorf("more than %d", maxFlags)
	}
	if err != nil {
		return fmt.Errorf("%w: %s: %w", ErrProtocol, item, err)
	}
	return nil
}

// dateOf reads an INTERNALDATE, RFC 3501 section 9. One that is none is not known.
func dateOf(s string) time.Time {
	t, err := time.Parse("_2-Jan-2006 15:04:05 -0700", s)
	if err != nil {
		t, err = time.Parse("2-Jan-2006 15:04:05 -0700", s)
	}
	if err != nil || t.Year() < 1970 { // the store keeps seconds since 1970
		return time.Time{}
	}
	return t
}
