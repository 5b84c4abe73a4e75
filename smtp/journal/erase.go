package journal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Erase removes what the journal knows of somebody, by all addresses, before it returns the number of
// lines that are gone: messages that only these addresses sent or had, and in those that others had, too, what names
// them. Addresses match in any case, and with any detail behind a plus. It may be
// called again after an error, or a crash, and goes on.
func (j *Journal) Erase(ctx context.Context, addresses []string) (lines int, err error) {
	if j == nil {
		return 0, nil
	}
	done := make(chan struct{})
	erase := func() {
		defer close(done)
		j.write()
		j.closeFiles()
		lines, err = Erase(j.shelves[onMail].dir, addresses)
	}
	select {
	case j.errands <- erase:
	case <-j.ended:
		return Erase(j.shelves[onMail].dir, addresses)
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	<-done // some seconds at most; what is added meanwhile waits
	return lines, err
}

// Erase is Journal.Erase for a folder that no server writes to.
func Erase(dir string, addresses []string) (lines int, err error) {
	e := eraser{dir: dir, seen: map[string]*traces{}}
	for _, a := range addresses {
		e.addresses = append(e.addresses, plainAddress(a))
	}
	for event, err := range Events(dir) {
		if err != nil {
			return 0, fmt.Errorf("journal: looking for what is to be erased: %w", err)
		}
		e.look(&event)
	}
	for _, name := range shelfNames {
		s := shelf{dir: dir, name: name}
		all, err := s.files()
		if err != nil {
			return lines, fmt.Errorf("journal: erasing: %w", err)
		}
		for _, f := range all {
			n, err := e.rewrite(f.String())
			if err != nil {
				return lines, fmt.Errorf("journal: erasing: %w", err)
			}
			lines += n
		}
	}
	return lines, nil
}

// eraser removes the traces of some addresses.
type eraser struct {
	dir       string
	addresses []string           // plain
	seen      map[string]*traces // by message
}

// traces are who had to do with a message.
type traces struct {
	sent   bool // one of the addresses has sent it
	theirs bool // one of them is a recipient
	others bool // somebody else is a recipient
	had    bool // it was filed or queued for somebody
	shared bool // for somebody else
}

// plainAddress is an address in the form in which they are compared: small, and without detail.
func plainAddress(a string) string {
	a = strings.ToLower(a)
	local, domain, ok := strings.Cut(a, "@")
	if base, _, cut := strings.Cut(local, "+"); ok && cut && base != "" {
		return base + "@" + domain
	}
	return a
}

func (e *eraser) isTheirs(address string) bool {
	return address != "" && slices.Contains(e.addresses, plainAddress(address))
}

// look notes what a step says about who had to do with its message.
func (e *eraser) look(event *Event) {
	t := e.seen[event.ID]
	if t == nil {
		t = &traces{}
		e.seen[event.ID] = t
	}
	theirs := slices.ContainsFunc(event.To, e.isTheirs)
	others := slices.ContainsFunc(event.To, func(a string) bool { return !e.isTheirs(a) })
	t.sent = t.sent || e.isTheirs(event.From) || e.isTheirs(event.User)
	t.theirs, t.others = t.theirs || theirs, t.others || others
	switch event.Step {
	case Filed, Queued, Delivered, Deferred, Failed:
		t.had, t.shared = true, t.shared || others
	}
}

// goes reports whether all is to be erased that is known of a message.
func (t *traces) goes() bool {
	if t.had {
		return t.sent || t.theirs && !t.shared
	}
	return t.sent || t.theirs && !t.others
}

// keep gives what remains of a line: the line itself, another one, or nothing.
func (e *eraser) keep(line []byte) []byte {
	event, ok := parseLine(bytes.TrimSuffix(line, []byte("\n")))
	if !ok {
		return nil // it tells nobody anything
	}
	if t := e.seen[event.ID]; event.ID != "" && t != nil && t.goes() || e.isTheirs(event.From) || e.isTheirs(event.User) {
		return nil
	}
	if to := slices.DeleteFunc(slices.Clone(event.To), e.isTheirs); len(to) < len(event.To) {
		if event.To = to; len(to) == 0 {
			return nil
		}
		line = appendLine(nil, &event)
	}
	if said := slices.DeleteFunc(slices.Clone(event.Said), e.isNamedIn); len(said) < len(event.Said) {
		event.Said = said
		line = appendLine(nil, &event)
	}
	if slices.ContainsFunc(append(event.Reasons, event.Reply), e.isNamedIn) {
		return nil
	}
	return line
}

// isNamedIn reports whether a text, of another server or of ours, has one of the addresses.
func (e *eraser) isNamedIn(text string) bool {
	words := strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune(" <>()[]\"',:;", r) })
	return slices.ContainsFunc(words, func(w string) bool { return e.isTheirs(strings.TrimRight(w, ".")) })
}

// newEnding is what the file is called behind its name that is to take another's place.
const newEnding = ".new"

// rewrite removes lines from a file, and reports how many.
func (e *eraser) rewrite(name string) (gone int, err error) {
	name = filepath.Join(e.dir, name)
	old, err := os.ReadFile(name) // a few megabytes
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	kept := make([]byte, 0, len(old))
	for line := range bytes.Lines(old) {
		rest := e.keep(line)
		if !bytes.Equal(rest, line) {
			gone++
		}
		kept = append(kept, rest...)
	}
	switch {
	case gone == 0:
		return 0, nil
	case len(kept) == 0:
		err = os.Remove(name)
	default:
		err = replace(name, kept)
	}
	if err == nil {
		err = syncDir(e.dir)
	}
	return gone, err
}

// replace puts another content in a file's place, at once or not at all.
func replace(name string, content []byte) error {
	f, err := os.OpenFile(name+newEnding, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(name+newEnding, name)
	}
	if err != nil {
		return errors.Join(err, os.Remove(name+newEnding))
	}
	return nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// removeUnfinished removes what an erasure has left that a crash has ended.
func removeUnfinished(dir string) error {
	names, err := filepath.Glob(filepath.Join(dir, "*"+fileEnding+newEnding))
	for _, name := range names {
		err = errors.Join(err, os.Remove(name))
	}
	return err
}
