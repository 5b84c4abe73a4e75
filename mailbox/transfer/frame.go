package transfer

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	goimap "github.com/emersion/go-imap/v2"
)

// The kinds of frames. A frame is a kind, the length of what follows in 32 bits,
// big-endian, and so many octets.
const (
	frameFolder   = 'F' // JSON: Folder
	frameMessage  = 'M' // JSON: head; its data follow
	frameData     = 'D' // octets of the message
	frameWhole    = 'W' // the message ends here
	frameBroken   = 'B' // the message could not be read to its end and is none
	frameProblem  = 'P' // JSON: Problem
	frameUpdate   = 'U' // JSON: Update
	frameProgress = 'T' // JSON: Totals
	frameEnd      = 'E' // nothing follows; what the one who ends has to say
)

const (
	frameHeader = 5
	// maxFrame bounds one frame in octets: a head with maxFolders names of a kilobyte.
	maxFrame = 128 << 10
	// maxFolders bounds the mailboxes of one message. Labels of one letter are a few.
	maxFolders = 64
	// maxFlags bounds the flags of one message: a mailbox of this server has 125.
	maxFlags = 256
)

// ErrStream says that a stream is cut off, or is none.
var ErrStream = errors.New("transfer: the stream is broken")

// head is all of a message but its octets.
type head struct {
	Folders []string      `json:"folders"`
	Flags   []goimap.Flag `json:"flags,omitempty"`
	Date    time.Time     `json:"date,omitzero"`
	Origin  string        `json:"origin,omitempty"`
	Name    string        `json:"name,omitempty"`
	Place   *Place        `json:"place,omitempty"`
}

// Encoder is a sink that writes what it is given as frames; [Decoder] reads them.
type Encoder struct {
	w   *bufio.Writer
	buf []byte
}

// NewEncoder returns an encoder that writes to w.
func NewEncoder(w io.Writer) *Encoder {
	return &Encoder{w: bufio.NewWriterSize(w, 2*copyBuffer), buf: make([]byte, frameHeader+copyBuffer)}
}

// Err is the error that writing has ended with, nil while it goes on.
func (e *Encoder) Err() error {
	_, err := e.w.Write(nil)
	return err
}

func (e *Encoder) frame(kind byte, payload []byte) error {
	if len(payload) > maxFrame {
		return fmt.Errorf("transfer: a frame of %d octets, more than %d", len(payload), maxFrame)
	}
	var h [frameHeader]byte
	h[0] = kind
	binary.BigEndian.PutUint32(h[1:], uint32(len(payload)))
	if _, err := e.w.Write(h[:]); err != nil {
		return err
	}
	_, err := e.w.Write(payload)
	return err
}

func (e *Encoder) value(kind byte, v any) error {
	payload, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return e.frame(kind, payload)
}

// Folder writes a folder's frame.
func (e *Encoder) Folder(_ context.Context, f Folder) error { return e.value(frameFolder, f) }

// Problem writes a problem's frame.
func (e *Encoder) Problem(p Problem) error { return e.value(frameProblem, p) }

// Update writes an update's frame.
func (e *Encoder) Update(_ context.Context, u Update) error { return e.value(frameUpdate, u) }

// Alive says that there is nothing to say yet: the other side waits only so long.
func (e *Encoder) Alive() error { return e.Progress(Totals{}) }

// Progress writes what was done up to now, and sends all that was written.
func (e *Encoder) Progress(t Totals) error {
	if err := e.value(frameProgress, t); err != nil {
		return err
	}
	return e.w.Flush()
}

// Message writes a message's frames. One that cannot be read to its end is marked as
// broken, and the error is a *BodyError.
func (e *Encoder) Message(_ context.Context, m *Message) error {
	if err := e.value(frameMessage, head{m.Folders, m.Flags, m.Date, m.Origin, m.Name, m.Place}); err != nil {
		return err
	}
	for {
		n, err := m.Body.Read(e.buf)
		if n > 0 {
			if failed := e.frame(frameData, e.buf[:n]); failed != nil {
				return failed
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			return e.frame(frameWhole, nil)
		case err != nil:
			return errors.Join(e.frame(frameBroken, nil), &BodyError{err})
		}
	}
}

// End writes the stream's end with the writer's last words, and sends everything.
func (e *Encoder) End(words []byte) error {
	if err := e.frame(frameEnd, words); err != nil {
		return err
	}
	return e.w.Flush()
}

// Decoder is a source that reads the frames of an [Encoder].
type Decoder struct {
	// Progress, when not nil, is called with each frame of progress.
	Progress func(Totals) error

	r     *bufio.Reader
	words []byte
	buf   []byte
}

// NewDecoder returns a decoder that reads from r, possibly more than the stream.
func NewDecoder(r io.Reader) *Decoder {
	return &Decoder{r: bufio.NewReaderSize(r, 2*copyBuffer)}
}

// Words is what the other side said with its End, after Send has returned nil.
func (d *Decoder) Words() []byte { return d.words }

// next reads a frame's header.
func (d *Decoder) next() (kind byte, size int, err error) {
	var h [frameHeader]byte
	if _, err := io.ReadFull(d.r, h[:]); err != nil {
		return 0, 0, fmt.Errorf("%w: %w", ErrStream, noEOF(err))
	}
	n := binary.BigEndian.Uint32(h[1:])
	if n > maxFrame {
		return 0, 0, fmt.Errorf("%w: a frame of %d octets", ErrStream, n)
	}
	return h[0], int(n), nil
}

// noEOF makes an end where none should be an error of its own.
func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// payload reads a frame's octets, which are valid until the next call.
func (d *Decoder) payload(size int) ([]byte, error) {
	if cap(d.buf) < size {
		d.buf = make([]byte, size)
	}
	d.buf = d.buf[:size]
	if _, err := io.ReadFull(d.r, d.buf); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrStream, noEOF(err))
	}
	return d.buf, nil
}

// Send hands on all frames up to the end of the stream. ErrStream when it is
// cut off: then all messages before were handed on.
func (d *Decoder) Send(ctx context.Context, to Sink) error {
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		kind, size, err := d.next()
		if err != nil {
			return err
		}
		payload, err := d.payload(size)
		if err != nil {
			return err
		}
		if kind == frameEnd {
			d.words = payload
			return nil
		}
		if err := d.handOn(ctx, to, kind, payload); err != nil {
			return err
		}
	}
}

func (d *Decoder) handOn(ctx context.Context, to Sink, kind byte, payload []byte) error {
	switch kind {
	case frameFolder:
		var f Folder
		if err := read(payload, &f); err != nil {
			return err
		}
		return to.Folder(ctx, f)
	case frameProblem:
		var p Problem
		if err := read(payload, &p); err != nil {
			return err
		}
		return to.Problem(p)
	case frameUpdate:
		var u Update
		if err := read(payload, &u); err != nil {
			return err
		}
		follower, ok := to.(Follower)
		if !ok {
			return fmt.Errorf("%w: an update, which nobody takes here", ErrStream)
		}
		return follower.Update(ctx, u)
	case frameProgress:
		var t Totals
		if err := read(payload, &t); err != nil || d.Progress == nil {
			return err
		}
		return d.Progress(t)
	case frameMessage:
		var h head
		if err := read(payload, &h); err != nil {
			return err
		}
		return d.message(ctx, to, &h)
	}
	return fmt.Errorf("%w: a frame of kind %q", ErrStream, kind)
}

func read(payload []byte, v any) error {
	if err := json.Unmarshal(payload, v); err != nil {
		return fmt.Errorf("%w: %w", ErrStream, err)
	}
	return nil
}

// message hands on one message with the frames of data that follow.
func (d *Decoder) message(ctx context.Context, to Sink, h *head) error {
	if len(h.Folders) == 0 || len(h.Folders) > maxFolders || len(h.Flags) > maxFlags {
		return fmt.Errorf("%w: a message in %d folders with %d flags", ErrStream, len(h.Folders), len(h.Flags))
	}
	body := frameBody{d: d}
	m := Message{Folders: h.Folders, Flags: h.Flags, Date: h.Date, Origin: h.Origin, Name: h.Name, Place: h.Place, Body: &body}
	err := to.Message(ctx, &m)
	if _, ok := errors.AsType[*BodyError](err); ok && errors.Is(err, errBrokenOff) {
		err = nil // its problem comes as a frame of its own
	}
	if err != nil {
		return err
	}
	return body.drain()
}

// errBrokenOff says that the writer could not read the message to its end.
var errBrokenOff = errors.New("transfer: the message is broken off")

// frameBody reads the frames of data of one message.
type frameBody struct {
	d    *Decoder
	left int   // of the frame being read
	end  error // io.EOF behind the whole message
}

func (b *frameBody) Read(p []byte) (int, error) {
	for b.left == 0 && b.end == nil {
		b.end = b.nextFrame()
	}
	if b.left == 0 {
		return 0, b.end
	}
	n, err := b.d.r.Read(p[:min(len(p), b.left)])
	b.left -= n
	if err != nil {
		b.left, b.end = 0, fmt.Errorf("%w: %w", ErrStream, noEOF(err))
		return n, b.end
	}
	return n, nil
}

// nextFrame begins the next frame of data; its error is the body's end.
func (b *frameBody) nextFrame() error {
	kind, size, err := b.d.next()
	switch {
	case err != nil:
		return err
	case kind == frameData:
		b.left = size
		return nil
	case size > 0 || kind != frameWhole && kind != frameBroken:
		return fmt.Errorf("%w: a frame of kind %q within a message", ErrStream, kind)
	case kind == frameBroken:
		return errBrokenOff
	}
	return io.EOF
}

// drain reads over what the sink left of the message.
func (b *frameBody) drain() error {
	_, err := io.Copy(io.Discard, struct{ io.Reader }{b})
	if errors.Is(err, errBrokenOff) {
		return nil
	}
	return err
}
