package transfer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"mailstead/imap/client"
	"mailstead/imap/wire"
)

// IMAPSink is the sink that brings mail to another server, with flags and dates. A message
// that its mailbox there held before is not sent again: it is recognised by its Message-ID,
// or without one by its size and date. So an export that was cut off is done again.
type IMAPSink struct {
	o     ExportOptions
	conn  *client.Conn
	there []client.Mailbox
	// prefix is in front of names of mailboxes, delimiter between their levels.
	prefix, delimiter string
	folders           map[string]*pushed
	sent              []pushing
	octets            int64 // of sent
	totals            Totals
}

// pushed is a mailbox there.
type pushed struct {
	raw   string
	known map[string]int // messages by what they are recognised by
}

// pushing is a message without an answer yet.
type pushing struct {
	*client.Appending
	origin string
	size   int64
}

// The bounds of what is on its way to the server, and of what is held in memory of one message.
const (
	maxPushing       = 64
	maxPushingOctets = 4 << 20
	maxPushedHeld    = 1 << 20
)

// NewIMAPSink returns a sink over a connection that is logged in, which Finish ends. Of
// the options, Dir does not matter.
func NewIMAPSink(c *client.Conn, o ExportOptions) (*IMAPSink, error) {
	s := &IMAPSink{o: o, conn: c, folders: map[string]*pushed{}}
	var err error
	if s.there, err = c.List(); err != nil {
		return nil, err
	}
	s.prefix, s.delimiter, err = c.Prefix()
	return s, err
}

// Folder makes a mailbox there, or finds the one for the same use.
func (s *IMAPSink) Folder(_ context.Context, f Folder) error {
	p := &pushed{}
	s.folders[f.Name] = p
	if m := s.find(f); m != nil {
		p.raw = m.Raw
		return nil
	}
	p.raw = s.rawName(f.Name)
	return s.conn.Create(p.raw, f.Subscribed)
}

// find looks for the mailbox of a folder there.
func (s *IMAPSink) find(f Folder) *client.Mailbox {
	for i, m := range s.there {
		if f.Use != "" && m.Has(f.Use) {
			return &s.there[i]
		}
	}
	for i, m := range s.there {
		if m.Name == f.Name || m.Raw == s.rawName(f.Name) {
			return &s.there[i]
		}
	}
	return nil
}

// rawName is a mailbox's name as it is said there: in modified UTF-7.
func (s *IMAPSink) rawName(name string) string {
	if name == inbox {
		return name
	}
	levels := strings.Split(name, "/")
	for i, level := range levels {
		if s.delimiter != "" {
			level = strings.ReplaceAll(level, s.delimiter, "_")
		}
		levels[i] = string(wire.AppendUTF7(nil, level))
	}
	if s.delimiter == "" {
		return s.prefix + strings.Join(levels, "_") // a server without levels
	}
	raw := strings.Join(levels, s.delimiter)
	if strings.HasPrefix(raw, inbox+s.delimiter) {
		return raw
	}
	return s.prefix + raw
}

// learn finds out what a mailbox there holds.
func (s *IMAPSink) learn(p *pushed) error {
	if p.known != nil {
		return nil
	}
	if err := s.settle(0, 0); err != nil { // answers do not come in between
		return err
	}
	p.known = map[string]int{}
	if _, err := s.conn.Examine(p.raw); err != nil {
		return err
	}
	return s.conn.Rows(client.AskHeader, func(r client.Row) error {
		p.known[recognisedBy(r.MessageID, r.Size, r.Date)]++
		return nil
	})
}

// recognisedBy is what a message is found again by, where it was sent.
func recognisedBy(id string, size int64, date time.Time) string {
	if id != "" {
		return strings.Join(strings.Fields(id), " ")
	}
	return fmt.Sprintf("%d octets of %d", size, date.Unix())
}

// Message sends one message. One that the server refuses is a problem.
func (s *IMAPSink) Message(ctx context.Context, m *Message) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	name, err := folderOf(m)
	if err != nil {
		return err
	}
	p := s.folders[name]
	if p == nil {
		return fmt.Errorf("%s: a message of a folder that was not told", m.Origin)
	}
	if err := s.learn(p); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	text, err := holdMessage(m.Body)
	if err != nil {
		return err
	}
	defer text.close()
	key := recognisedBy(text.messageID(), text.size, m.Date)
	if p.known[key] > 0 {
		p.known[key]--
		s.totals.Known++
		s.totals.Octets += text.size
		return s.progress()
	}
	a, err := s.conn.Append(p.raw, m.Flags, m.Date, text.size, text)
	if client.IsRefusal(err) {
		return s.refused(m.Origin, err)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", m.Origin, err)
	}
	s.sent = append(s.sent, pushing{a, m.Origin, text.size})
	s.octets += text.size
	return s.settle(maxPushing, maxPushingOctets)
}

// settle waits for answers until so few are on their way.
func (s *IMAPSink) settle(messages int, octets int64) error {
	for len(s.sent) > messages || len(s.sent) > 0 && s.octets > octets {
		a := s.sent[0]
		s.sent = s.sent[1:]
		s.octets -= a.size
		err := a.Wait()
		switch {
		case client.IsRefusal(err):
			err = s.refused(a.origin, err)
		case err == nil:
			s.totals.Messages++
			s.totals.Octets += a.size
			err = s.progress()
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (s *IMAPSink) progress() error {
	if s.o.Progress == nil {
		return nil
	}
	return s.o.Progress(s.totals)
}

func (s *IMAPSink) refused(origin string, err error) error {
	return s.Problem(Problem{Origin: origin, Text: err.Error()})
}

// Problem counts and reports what was left out.
func (s *IMAPSink) Problem(p Problem) error {
	s.totals.Failed++
	if s.o.Report == nil {
		return nil
	}
	return s.o.Report(p)
}

// Finish waits for the answers to everything that was sent.
func (s *IMAPSink) Finish() (Totals, error) {
	if err := s.settle(0, 0); err != nil {
		return s.totals, err
	}
	s.conn.Logout()
	return s.totals, nil
}

// heldMessage is a message whose size is known: a short one is in memory, a long one in a
// file that has no name any more.
type heldMessage struct {
	io.Reader
	head []byte
	file *os.File
	size int64
}

func holdMessage(body io.Reader) (*heldMessage, error) {
	head, err := io.ReadAll(io.LimitReader(body, maxPushedHeld))
	if err != nil {
		return nil, &BodyError{err}
	}
	h := &heldMessage{Reader: bytes.NewReader(head), head: head, size: int64(len(head))}
	if h.size < maxPushedHeld {
		return h, nil
	}
	if h.file, err = os.CreateTemp("", "mailstead"); err != nil {
		return nil, err
	}
	if err := os.Remove(h.file.Name()); err != nil {
		return nil, errors.Join(err, h.file.Close())
	}
	if err := copyBody(h.file, body, make([]byte, copyBuffer)); err != nil {
		return nil, errors.Join(err, h.file.Close())
	}
	rest, err := h.file.Seek(0, io.SeekCurrent)
	if err == nil {
		_, err = h.file.Seek(0, io.SeekStart)
	}
	if err != nil {
		return nil, errors.Join(err, h.file.Close())
	}
	h.size += rest
	h.Reader = io.MultiReader(h.Reader, h.file)
	return h, nil
}

func (h *heldMessage) close() {
	if h.file != nil {
		h.file.Close()
	}
}

// messageID is the text of the first Message-ID field, "" without one.
func (h *heldMessage) messageID() string {
	rest := h.head
	for len(rest) > 0 {
		line, after, _ := bytes.Cut(rest, []byte("\n"))
		rest = after
		if len(bytes.TrimRight(line, "\r")) == 0 {
			return ""
		}
		name, value, ok := bytes.Cut(line, []byte(":"))
		if !ok || !strings.EqualFold(string(bytes.TrimRight(name, " \t")), "message-id") {
			continue
		}
		for len(rest) > 0 && (rest[0] == ' ' || rest[0] == '\t') { // folded, RFC 5322 section 2.2.3
			line, rest, _ = bytes.Cut(rest, []byte("\n"))
			value = append(append([]byte(nil), value...), line...)
		}
		return strings.TrimSpace(string(value))
	}
	return ""
}
