package transfer

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	goimap "github.com/emersion/go-imap/v2"
)

// MaildirSink writes Maildir++ as Dovecot reads it: the INBOX in the folder itself,
// "A/B" in ".A.B", names in modified UTF-7, flags in file names, keywords with a file
// dovecot-keywords, INTERNALDATE as the time of a file's change, lines ended by a line
// feed. What is there already stays, with its flags brought up, so an export can be
// repeated, and then writes what is new.
type MaildirSink struct {
	exporting
	folders    map[string]*maildirOut // nil = cannot be written
	subscribed []string
	out        *bufio.Writer
	buf        []byte
}

// maildirOut is a folder being written.
type maildirOut struct {
	path     string
	keywords []string
	crowded  bool              // there were more keywords than letters
	have     map[string]string // the names of what is there, by their unique part
}

// NewMaildirSink returns a sink that writes to o.Dir; Finish ends it.
func NewMaildirSink(o ExportOptions) *MaildirSink {
	return &MaildirSink{exporting: exporting{o: o}, folders: map[string]*maildirOut{},
		out: bufio.NewWriterSize(nil, copyBuffer), buf: make([]byte, copyBuffer)}
}

// Folder makes a folder, and reads what is in it.
func (s *MaildirSink) Folder(_ context.Context, f Folder) error {
	name := folderName(f.Name)
	if f.Subscribed {
		s.subscribed = append(s.subscribed, name)
	}
	_, err := s.folder(name)
	return err
}

func (s *MaildirSink) folder(name string) (*maildirOut, error) {
	if out, ok := s.folders[name]; ok {
		return out, nil
	}
	dir, err := maildirFolder(name)
	if err != nil {
		s.folders[name] = nil
		return nil, s.Problem(Problem{Origin: name, Text: err.Error()})
	}
	out := &maildirOut{path: filepath.Join(s.o.Dir, dir), have: map[string]string{}}
	if err := out.open(dir != ""); err != nil {
		return nil, fmt.Errorf("folder %s: %w", name, err)
	}
	s.folders[name] = out
	return out, nil
}

func (o *maildirOut) open(below bool) error {
	for _, sub := range []string{"cur", "new", "tmp"} {
		if err := os.MkdirAll(filepath.Join(o.path, sub), 0o700); err != nil {
			return err
		}
	}
	if below { // says that this belongs to a Maildir and is none of its own
		if err := os.WriteFile(filepath.Join(o.path, "maildirfolder"), nil, 0o600); err != nil {
			return err
		}
	}
	if text, err := readSmall(filepath.Join(o.path, keywordsFile)); err == nil {
		o.keywords = parseKeywords(text)
		for len(o.keywords) > 0 && o.keywords[len(o.keywords)-1] == "" {
			o.keywords = o.keywords[:len(o.keywords)-1]
		}
	}
	names, err := listNames(filepath.Join(o.path, "cur"))
	for _, name := range names {
		o.have[uniqueOf(name)] = name
	}
	return err
}

// uniqueOf is a file's name without sizes and flags.
func uniqueOf(name string) string {
	unique, _, _ := splitInfo(name)
	unique, _, _ = strings.Cut(unique, ",")
	return unique
}

// letter gives a keyword its letter, a new one if need be.
func (o *maildirOut) letter(keyword string) byte {
	i := slices.IndexFunc(o.keywords, func(k string) bool { return strings.EqualFold(k, keyword) })
	if i < 0 && len(o.keywords) == maxLetters {
		o.crowded = true
		return 0
	}
	if i < 0 {
		i = len(o.keywords)
		o.keywords = append(o.keywords, keyword)
	}
	return 'a' + byte(i)
}

// writeKeywords says what the letters stand for, before a name has a new one.
func (o *maildirOut) writeKeywords() error {
	var b strings.Builder
	for i, k := range o.keywords {
		if k != "" {
			fmt.Fprintf(&b, "%d %s\n", i, k)
		}
	}
	return replaceFile(filepath.Join(o.path, keywordsFile), b.String())
}

// replaceFile writes a small file so that it is always whole.
func replaceFile(path, text string) error {
	part := path + ".part"
	if err := os.WriteFile(part, []byte(text), 0o600); err != nil {
		return err
	}
	return os.Rename(part, path)
}

// Message writes one message.
func (s *MaildirSink) Message(_ context.Context, m *Message) error {
	name, err := folderOf(m)
	if err != nil {
		return err
	}
	out, err := s.folder(name)
	if err != nil {
		return err
	}
	if out == nil {
		s.totals.Failed++
		return s.progress()
	}
	letters, err := s.letters(out, name, m.Flags)
	if err != nil {
		return err
	}
	unique := s.uniqueName(m)
	if known, err := s.known(out, unique, letters); known || err != nil {
		return errors.Join(err, s.progress())
	}
	if err := s.write(out, unique, letters, m); err != nil {
		return err
	}
	s.totals.Messages++
	return s.progress()
}

// letters are the flags of a file's name.
func (s *MaildirSink) letters(out *maildirOut, name string, flags []goimap.Flag) (string, error) {
	had, crowded := len(out.keywords), out.crowded
	letters := lettersOf(flags, out.letter)
	if len(out.keywords) > had {
		if err := out.writeKeywords(); err != nil {
			return "", err
		}
	}
	if out.crowded && !crowded {
		text := fmt.Sprintf("Maildir has letters for %d keywords; the others are not exported", maxLetters)
		return letters, s.report(Problem{Origin: name, Text: text})
	}
	return letters, nil
}

// known says whether the message was exported before, and brings its flags up. A file
// that has not the size that its name says was left by a crash, and goes.
func (s *MaildirSink) known(out *maildirOut, unique, letters string) (bool, error) {
	name, ok := out.have[unique]
	if !ok {
		return false, nil
	}
	path := filepath.Join(out.path, "cur", name)
	info, err := os.Stat(path)
	if err != nil || info.Size() != fileSize(name) {
		delete(out.have, unique)
		return false, os.Remove(path)
	}
	base, had, _ := splitInfo(name)
	if had != letters {
		name = base + infoSeparators[0] + letters
		if err := os.Rename(path, filepath.Join(out.path, "cur", name)); err != nil {
			return false, err
		}
		out.have[unique] = name
	}
	s.totals.Known++
	s.totals.Octets += info.Size()
	return true, nil
}

// write makes the file in tmp and moves it into cur when it is whole.
func (s *MaildirSink) write(out *maildirOut, unique, letters string, m *Message) error {
	tmp := filepath.Join(out.path, "tmp", unique)
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	s.out.Reset(f)
	lf := lfWriter{w: s.out}
	count := countWriter{w: &lf}
	err = copyBody(&count, m.Body, s.buf)
	if err == nil {
		err = lf.end()
	}
	if err == nil {
		err = s.out.Flush()
	}
	if err = errors.Join(err, f.Close()); err == nil && !m.Date.IsZero() {
		err = os.Chtimes(tmp, m.Date, m.Date)
	}
	if err == nil {
		name := fmt.Sprintf("%s,S=%d,W=%d%s%s", unique, lf.size, count.n, infoSeparators[0], letters)
		err = os.Rename(tmp, filepath.Join(out.path, "cur", name))
	}
	if err != nil {
		return errors.Join(err, os.Remove(tmp))
	}
	s.totals.Octets += lf.size
	return nil
}

// countWriter counts what is written.
type countWriter struct {
	w interface{ Write([]byte) (int, error) }
	n int64
}

func (c *countWriter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}

// Finish writes the list of subscriptions and returns the counts when everything is on disk.
func (s *MaildirSink) Finish() (Totals, error) {
	var b strings.Builder
	for _, name := range s.subscribed {
		b.WriteString(maildirName(name) + "\n")
	}
	err := os.MkdirAll(s.o.Dir, 0o700)
	if err == nil {
		err = replaceFile(filepath.Join(s.o.Dir, "subscriptions"), b.String())
	}
	if err == nil {
		err = syncTree(s.o.Dir)
	}
	return s.totals, err
}
