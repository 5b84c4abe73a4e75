package transfer

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	goimap "github.com/emersion/go-imap/v2"

	"mailstead/mailbox/message"
)

// MboxSink writes one mbox file for each folder, as RFC 4155 has it but with the quoting
// of mboxrd, which can be undone: "A/B" in the file B of the folder A.sbd, as Thunderbird
// keeps it. Flags and keywords are in the fields Status, X-Status and X-Keywords in front
// of each header. A file that exists is left alone, and ends the export.
type MboxSink struct {
	exporting
	known   []string            // folders that were announced
	written map[string]struct{} // files that are done, and folders that cannot be
	current string              // the folder being written
	path    string
	file    *os.File
	mboxWriter
}

// mboxWriter writes messages as an mbox.
type mboxWriter struct {
	out *bufio.Writer
	in  *bufio.Reader
}

func newMboxWriter() mboxWriter {
	return mboxWriter{out: bufio.NewWriterSize(nil, copyBuffer), in: bufio.NewReaderSize(nil, copyBuffer)}
}

// NewMboxSink returns a sink that writes to o.Dir; Finish ends it.
func NewMboxSink(o ExportOptions) *MboxSink {
	return &MboxSink{exporting: exporting{o: o}, written: map[string]struct{}{}, mboxWriter: newMboxWriter()}
}

// ErrFileExists says that a file is in the way of an export.
var ErrFileExists = errors.New("a file that is to be written exists already; export to another folder")

// Folder notes a folder. One without messages becomes an empty file.
func (s *MboxSink) Folder(_ context.Context, f Folder) error {
	s.known = append(s.known, folderName(f.Name))
	return nil
}

// begin opens a folder's file, and ends the one before. ok is false for one that
// cannot be written.
func (s *MboxSink) begin(folder string) (ok bool, err error) {
	if s.file != nil && s.current == folder {
		return true, nil
	}
	if err := s.end(); err != nil {
		return false, err
	}
	if _, done := s.written[folder]; done {
		return false, nil
	}
	path, err := s.place(folder)
	if err != nil {
		s.written[folder] = struct{}{}
		return false, s.Problem(Problem{Origin: folder, Text: err.Error()})
	}
	if _, err := os.Lstat(path); err == nil {
		return false, fmt.Errorf("%s: %w", path, ErrFileExists)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return false, err
	}
	f, err := os.OpenFile(path+partEnding, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return false, err
	}
	s.file, s.path, s.current = f, path, folder
	s.out.Reset(f)
	return true, nil
}

// partEnding is behind the name of a file that is not whole yet.
const partEnding = ".part"

// place is the file of a folder.
func (s *MboxSink) place(folder string) (string, error) {
	levels := strings.Split(folder, "/")
	path := s.o.Dir
	for i, l := range levels {
		l = mboxLevel(l)
		if i < len(levels)-1 {
			l += ".sbd"
		}
		if len(l)+len(partEnding) > maxFileName {
			return "", fmt.Errorf("%w: %d octets", errFileName, len(l))
		}
		path = filepath.Join(path, l)
	}
	return path, nil
}

// end makes the file at hand whole and gives it its name.
func (s *MboxSink) end() error {
	if s.file == nil {
		return nil
	}
	err := errors.Join(s.out.Flush(), s.file.Close())
	s.file = nil
	s.written[s.current] = struct{}{}
	if err == nil {
		err = os.Rename(s.path+partEnding, s.path)
	}
	return err
}

// Message appends one message to its folder's file.
func (s *MboxSink) Message(_ context.Context, m *Message) error {
	folder, err := folderOf(m)
	if err != nil {
		return err
	}
	ok, err := s.begin(folder)
	if err != nil {
		return err
	}
	if !ok {
		s.totals.Failed++
		return s.progress()
	}
	size, err := s.append(m)
	if err != nil {
		return err
	}
	s.totals.Octets += size
	s.totals.Messages++
	return s.progress()
}

// append writes one message, and returns its octets in the file.
func (w *mboxWriter) append(m *Message) (int64, error) {
	w.in.Reset(m.Body)
	start, err := w.in.Peek(peekHeader)
	if err != nil && !errors.Is(err, io.EOF) {
		return 0, &BodyError{err}
	}
	date := m.Date
	if date.IsZero() {
		date = time.Unix(0, 0)
	}
	fmt.Fprintf(w.out, "From %s %s\n", senderOf(start), date.UTC().Format(time.ANSIC))
	w.state(m.Flags)
	return w.body()
}

// senderOf is the envelope's sender, which the last server kept in Return-Path (RFC 5321
// section 4.4); the name that mbox has for none where there is none.
func senderOf(header []byte) string {
	value, _ := message.FieldValue(header, "Return-Path")
	sender := strings.Trim(string(bytes.TrimSpace(value)), "<>")
	if sender == "" || strings.ContainsFunc(sender, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
		return "MAILER-DAEMON"
	}
	return sender
}

// state writes the fields that hold flags, all three: see ownFields.
func (w *mboxWriter) state(flags []goimap.Flag) {
	status, x := "O", ""
	var keywords []string
	for _, f := range flags {
		switch {
		case strings.EqualFold(string(f), string(goimap.FlagSeen)):
			status = "RO"
		case strings.EqualFold(string(f), string(goimap.FlagAnswered)):
			x += "A"
		case strings.EqualFold(string(f), string(goimap.FlagFlagged)):
			x += "F"
		case strings.EqualFold(string(f), string(goimap.FlagDraft)):
			x += "T"
		case strings.EqualFold(string(f), string(goimap.FlagDeleted)):
			x += "D"
		case isKeyword(string(f)):
			keywords = append(keywords, string(f))
		}
	}
	fmt.Fprintf(w.out, "Status: %s\nX-Status: %s\nX-Keywords: %s\n", status, x, strings.Join(keywords, " "))
}

// body writes the message's lines, those quoted that would begin another message, and
// the blank line behind it. What cannot be read ends the message where it is: the lines
// written stay, since the file only grows.
func (w *mboxWriter) body() (int64, error) {
	lf := lfWriter{w: w.out}
	newline, failed := true, error(nil)
	for {
		piece, err := w.in.ReadSlice('\n')
		if newline && isQuotedFrom(piece) {
			lf.put([]byte{'>'})
		}
		lf.Write(piece) // lf keeps its error
		if len(piece) > 0 {
			newline = piece[len(piece)-1] == '\n'
		}
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			if !errors.Is(err, io.EOF) {
				failed = &BodyError{err}
			}
			break
		}
	}
	if err := lf.end(); err != nil {
		return lf.size, err
	}
	if !newline {
		w.out.WriteByte('\n') // out keeps its error
	}
	if err := w.out.WriteByte('\n'); err != nil {
		return lf.size, err
	}
	return lf.size, failed
}

// Finish writes the folders without messages and returns the counts when everything is
// on disk.
func (s *MboxSink) Finish() (Totals, error) {
	err := os.MkdirAll(s.o.Dir, 0o700)
	for _, folder := range s.known {
		if err == nil {
			if _, done := s.written[folder]; !done {
				_, err = s.begin(folder)
			}
		}
	}
	if err == nil {
		err = s.end()
	}
	if err == nil {
		err = syncTree(s.o.Dir)
	}
	return s.totals, err
}
