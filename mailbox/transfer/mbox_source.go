package transfer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// MboxSource is the source of one mbox file, or of a folder of them, where those below
// another one are in a folder of its name, with ".sbd" behind it as Thunderbird has it, or
// without. Other files are passed over.
type MboxSource struct {
	Path string
	// Into, when Path is a file, is the mailbox that its messages go to; "" = called as the file.
	Into string
}

// The bounds of a tree of folders: those of a mailbox's name, and of an account.
const (
	maxTreeDepth   = 32
	maxTreeFolders = 10_000
)

// mboxFile is an mbox that was found.
type mboxFile struct {
	path, folder string
	labelled     bool // the messages say themselves where they are
}

// Send sends the messages of all files.
func (s *MboxSource) Send(ctx context.Context, to Sink) error {
	files, err := s.find(to)
	if err != nil {
		return err
	}
	for _, f := range files {
		if f.labelled {
			continue
		}
		if err := to.Folder(ctx, Folder{Name: f.folder, Subscribed: true}); err != nil {
			return err
		}
	}
	for _, f := range files {
		if err := sendMbox(ctx, to, f); err != nil {
			return err
		}
	}
	return nil
}

// find lists the files in the order of their names.
func (s *MboxSource) find(to Sink) ([]mboxFile, error) {
	info, err := os.Stat(s.Path)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		labelled, err := looksLikeMbox(s.Path)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", s.Path, err)
		}
		name := s.Into
		if name == "" {
			name = mboxFolder(filepath.Base(s.Path))
		}
		return []mboxFile{{s.Path, name, labelled}}, nil
	}
	w := mboxWalk{to: to}
	if err := w.dir(s.Path, "", 0); err != nil {
		return nil, err
	}
	return w.files, nil
}

// mboxWalk goes through a tree of folders.
type mboxWalk struct {
	to    Sink
	files []mboxFile
}

func (w *mboxWalk) dir(path, above string, depth int) error {
	entries, err := os.ReadDir(path)
	if err != nil {
		return w.to.Problem(Problem{Origin: path, Text: err.Error()})
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") {
			continue
		}
		full := filepath.Join(path, e.Name())
		switch {
		case e.IsDir() && depth < maxTreeDepth:
			// Apple Mail's "Name.mbox" is a folder with the file "mbox" in it.
			err = w.dir(full, below(above, mboxFolder(strings.TrimSuffix(e.Name(), ".sbd"))), depth+1)
		case e.Type().IsRegular():
			err = w.file(full, above, e.Name())
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (w *mboxWalk) file(path, above, name string) error {
	labelled, err := looksLikeMbox(path)
	if errors.Is(err, errNoMbox) {
		return nil // an index, a filter, whatever programs keep beside mail
	}
	if err != nil {
		return w.to.Problem(Problem{Origin: path, Text: err.Error()})
	}
	folder := below(above, mboxFolder(name))
	if name == "mbox" && above != "" {
		folder = above
	}
	if len(w.files) == maxTreeFolders {
		return fmt.Errorf("%s: more than %d folders", path, maxTreeFolders)
	}
	w.files = append(w.files, mboxFile{path, folder, labelled})
	return nil
}

// below joins the names of two levels.
func below(above, level string) string {
	if above == "" {
		return level
	}
	return above + "/" + level
}

// emptyMbox are the names under which an empty file is an mbox without messages: one that
// is called otherwise could be anything.
func emptyMbox(path string) bool {
	return filepath.Ext(path) == "" || filepath.Ext(path) == ".mbox"
}

// looksLikeMbox says whether a file begins as an mbox does, errNoMbox, and whether its
// first message has Gmail's labels.
func looksLikeMbox(path string) (labelled bool, err error) {
	f, size, err := openRegular(path)
	if err != nil {
		return false, err
	}
	defer f.Close()
	m := newMboxReader(f, size)
	if _, err := m.next(); errors.Is(err, io.EOF) && emptyMbox(path) {
		return false, nil
	} else if errors.Is(err, io.EOF) {
		return false, errNoMbox
	} else if err != nil {
		return false, err
	}
	header, err := m.header()
	if err != nil {
		return false, err
	}
	n, _ := noteHeader(header)
	return n.labelled, nil
}

// errNotRegular says that something else than a file is in a file's place.
var errNotRegular = errors.New("not a file")

// openRegular opens a file, and nothing that would make the opener wait.
func openRegular(path string) (*os.File, int64, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|openNonblock, 0)
	if err != nil {
		return nil, 0, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = errNotRegular
	}
	if err != nil {
		return nil, 0, errors.Join(err, f.Close())
	}
	return f, info.Size(), nil
}

// sendMbox sends the messages of one file.
func sendMbox(ctx context.Context, to Sink, file mboxFile) error {
	f, size, err := openRegular(file.path)
	if err != nil {
		return to.Problem(Problem{Origin: file.path, Text: err.Error()})
	}
	defer f.Close()
	m := newMboxReader(f, size)
	for {
		from, err := m.next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			err = sendFromMbox(ctx, to, m, file, from)
		}
		if _, ok := errors.AsType[*BodyError](err); ok || errors.Is(err, errNoMbox) {
			// The disk gives no more of this file.
			return to.Problem(Problem{Origin: file.path, Text: err.Error()})
		}
		if err != nil {
			return err
		}
	}
}

// sendFromMbox sends one message.
func sendFromMbox(ctx context.Context, to Sink, m *mboxReader, file mboxFile, from fromLine) error {
	header, err := m.header()
	if err != nil {
		return err
	}
	n, rest := noteHeader(header)
	if n.length >= 0 {
		m.countOn(n.length)
	}
	if n.gone {
		return nil // deleted in Thunderbird, which only keeps the place
	}
	msg := Message{
		Folders: []string{file.folder}, Date: from.date,
		Origin: fmt.Sprintf("%s, octet %d", file.path, from.offset),
		Body:   io.MultiReader(bytes.NewReader(rest), m),
	}
	if n.labelled {
		msg.Folders = n.folders()
	}
	// Thunderbird's "From - date" tells when the message was written to the file.
	if msg.Date.IsZero() || from.sender == "-" && !n.arrived.IsZero() {
		msg.Date = n.arrived
	}
	msg.Flags = n.flags
	return send(ctx, to, &msg)
}
