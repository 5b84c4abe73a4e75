package transfer

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"mailstead/mailbox/message"
)

// MaildirSource is the source of a Maildir with what is below it: the folders of
// Maildir++ (Dovecot, Courier, mox), Maildirs in folders of their names (isync,
// Thunderbird, Dovecot's "fs" layout), and any mixture.
type MaildirSource struct {
	Path string
	// Into, when there is but one Maildir, is the mailbox that its messages go to; "" = INBOX.
	Into string
}

// foundMaildir is a Maildir with the name of its folder.
type foundMaildir struct{ path, folder string }

// Send sends the messages of all Maildirs, each in the order of arrival.
func (s *MaildirSource) Send(ctx context.Context, to Sink) error {
	w := maildirWalk{to: to}
	if err := w.dir(s.Path, "", 0); err != nil {
		return err
	}
	if len(w.found) == 1 && s.Into != "" {
		w.found[0].folder = s.Into
	}
	subscribed := s.subscriptions()
	for _, f := range w.found {
		wanted := subscribed == nil || subscribed[folderName(f.folder)] || subscribed["INBOX/"+folderName(f.folder)]
		if err := to.Folder(ctx, Folder{Name: f.folder, Subscribed: wanted}); err != nil {
			return err
		}
	}
	r := maildirReader{to: to, peek: bufio.NewReaderSize(nil, peekHeader)}
	for _, f := range w.found {
		if err := r.folder(ctx, f); err != nil {
			return err
		}
	}
	return nil
}

// subscriptions are the subscribed folders, nil when nothing says which.
func (s *MaildirSource) subscriptions() map[string]bool {
	for _, name := range []string{"subscriptions", "courierimapsubscribed"} {
		if text, err := readSmall(filepath.Join(s.Path, name)); err == nil {
			return parseSubscriptions(text)
		}
	}
	return nil
}

// maxSmallFile bounds the files beside mail that are read whole: a thousand names.
const maxSmallFile = 1 << 20

func readSmall(path string) (string, error) {
	f, size, err := openRegular(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	b := make([]byte, min(size, maxSmallFile))
	n, err := f.ReadAt(b, 0)
	if int64(n) == int64(len(b)) {
		err = nil
	}
	return string(b[:n]), err
}

// maildirWalk goes through a tree of folders.
type maildirWalk struct {
	to    Sink
	found []foundMaildir
}

func isMaildir(path string) bool {
	for _, name := range []string{"cur", "new"} {
		if info, err := os.Stat(filepath.Join(path, name)); err == nil && info.IsDir() {
			return true
		}
	}
	return false
}

// dir looks at a folder; name is "" for the root, which is INBOX if it is a Maildir.
func (w *maildirWalk) dir(path, name string, depth int) error {
	here := isMaildir(path)
	if here {
		if len(w.found) == maxTreeFolders {
			return fmt.Errorf("%s: more than %d folders", path, maxTreeFolders)
		}
		folder := name
		if folder == "" {
			folder = inbox
		}
		w.found = append(w.found, foundMaildir{path, folder})
	}
	if depth == maxTreeDepth {
		return nil
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return w.to.Problem(Problem{Origin: path, Text: err.Error()})
	}
	for _, e := range entries {
		if !e.IsDir() || here && (e.Name() == "cur" || e.Name() == "new" || e.Name() == "tmp") {
			continue
		}
		full, child := filepath.Join(path, e.Name()), maildirLevel(strings.TrimSuffix(e.Name(), ".sbd"))
		if strings.HasPrefix(e.Name(), ".") {
			if !isMaildir(full) {
				continue
			}
			child = maildirLevels(e.Name()[1:])
		}
		if err := w.dir(full, below(name, child), depth+1); err != nil {
			return err
		}
	}
	return nil
}

// maildirReader reads the messages of Maildirs, one after the other.
type maildirReader struct {
	to   Sink
	peek *bufio.Reader
	crlf crlfReader
}

// peekHeader is how much of a message is looked at for Thunderbird's flags, which it
// puts in front of all other fields.
const peekHeader = 4 << 10

// maildirFile is a message's file.
type maildirFile struct {
	fresh bool // in new
	name  string
}

func (r *maildirReader) folder(ctx context.Context, f foundMaildir) error {
	var files []maildirFile
	for _, sub := range []string{"cur", "new"} {
		names, err := listNames(filepath.Join(f.path, sub))
		if err != nil {
			if err := r.to.Problem(Problem{Origin: filepath.Join(f.path, sub), Text: err.Error()}); err != nil {
				return err
			}
		}
		for _, name := range names {
			if !strings.HasPrefix(name, ".") {
				files = append(files, maildirFile{sub == "new", name})
			}
		}
	}
	// Names begin with the second of delivery.
	slices.SortFunc(files, func(a, b maildirFile) int { return strings.Compare(a.name, b.name) })
	var keywords []string
	if text, err := readSmall(filepath.Join(f.path, keywordsFile)); err == nil {
		keywords = parseKeywords(text)
	}
	for _, file := range files {
		if err := r.file(ctx, f, file, keywords); err != nil {
			return err
		}
	}
	return nil
}

// keywordsFile is where Dovecot says which keyword a letter stands for.
const keywordsFile = "dovecot-keywords"

// listNames are the names in a folder, none when there is no such folder.
func listNames(path string) ([]string, error) {
	d, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer d.Close()
	return d.Readdirnames(-1)
}

// file sends one message.
func (r *maildirReader) file(ctx context.Context, folder foundMaildir, file maildirFile, keywords []string) error {
	path := filepath.Join(folder.path, "cur", file.name)
	if file.fresh {
		path = filepath.Join(folder.path, "new", file.name)
	}
	f, _, err := openRegular(path)
	if err != nil {
		return r.to.Problem(Problem{Origin: path, Text: err.Error()})
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return r.to.Problem(Problem{Origin: path, Text: err.Error()})
	}
	m := Message{Folders: []string{folder.folder}, Date: info.ModTime().UTC(), Origin: path}
	_, letters, told := splitInfo(file.name)
	if told && !file.fresh {
		m.Flags = flagsOf(letters, keywords)
	}
	r.crlf.reset(f)
	m.Body = &r.crlf
	if !told && !file.fresh {
		r.peek.Reset(f)
		n := r.noted()
		if n.gone {
			return nil
		}
		m.Flags = n.flags
		r.crlf.reset(r.peek)
	}
	return send(ctx, r.to, &m)
}

// noted are the flags that a header tells where the name tells none.
func (r *maildirReader) noted() noted {
	b, _ := r.peek.Peek(peekHeader) // what cannot be read is told when it is read as the message
	for f := range message.Fields(b) {
		if bytes.HasPrefix(bytes.ToLower(f.Name), []byte("x-mozilla-")) {
			n, _ := noteHeader(b)
			return n
		}
	}
	return noted{}
}
