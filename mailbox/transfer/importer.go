package transfer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	goimap "github.com/emersion/go-imap/v2"

	"mailstead/mailbox"
)

// ImportOptions say where mail goes.
type ImportOptions struct {
	Store   *mailbox.Store
	Account mailbox.AccountID
	// From names the source to which messages' places belong, the same every day; "" = no
	// place is remembered.
	From string
	// Into is a mailbox below which all folders come, INBOX, too; "" = each under its own
	// name, and folders that are called as such, into those for sent mail, drafts, junk,
	// trash and the archive.
	Into string
	// DryRun counts what would be done.
	DryRun bool
	// Report, when not nil, hears of everything that is left out.
	Report func(Problem) error
	// Progress, when not nil, is called after each message: with what is on disk by then.
	Progress func(Totals) error
}

// Importer is the sink that puts messages into an account. A message that its
// mailbox held before the import began, octet for octet, is not stored again; one that
// comes twice in one import is stored twice. So an import that was cut off is simply
// done again.
//
// Messages with a Place are remembered by it: [Taken] tells which a source need not send
// again, and Update follows what becomes of them. That is written after the messages: what
// a kill leaves unwritten is recognised by its octets.
type Importer struct {
	o         ImportOptions
	announced []Folder
	books     map[string]*book   // by the folder's name in the source
	targets   map[string]*target // by the folder's name in the source
	mailboxes map[string]*target // by the mailbox's name
	recognise recogniser
	buf       []byte
	waiting   waiting
}

// target is a mailbox that messages go to.
type target struct {
	name     string
	validity uint32 // UIDVALIDITY
	known    *known
	keywords map[string]bool // in small letters
}

// NewImporter returns a sink for one import; Finish ends it.
func NewImporter(o ImportOptions) *Importer {
	m := &Importer{o: o, books: map[string]*book{}, targets: map[string]*target{}, mailboxes: map[string]*target{}, buf: make([]byte, copyBuffer)}
	m.recognise.init(o.Store)
	m.waiting.start()
	return m
}

// Folder notes a folder; it is made before the first message comes.
func (m *Importer) Folder(_ context.Context, f Folder) error {
	m.announced = append(m.announced, f)
	if len(m.announced) > maxAnnounced {
		return fmt.Errorf("more than %d folders", maxAnnounced)
	}
	return nil
}

// maxAnnounced bounds the folders of one import: an account of this server has 5000.
const maxAnnounced = 10_000

// Problem counts and reports what was left out before it came here.
func (m *Importer) Problem(p Problem) error {
	m.waiting.count(func(t *Totals) { t.Failed++ })
	if m.o.Report == nil {
		return nil
	}
	return m.o.Report(p)
}

// Finish makes the folders that have no message, waits until everything is on disk and
// returns the counts, also with an error.
func (m *Importer) Finish(ctx context.Context) (Totals, error) {
	err := m.prepare(ctx)
	totals, err := m.waiting.finish(err)
	return totals, m.closeBooks(ctx, err)
}

// Abandon is Finish after an error: what was taken is waited for all the same.
func (m *Importer) Abandon() Totals {
	t, err := m.waiting.finish(nil)
	m.closeBooks(context.Background(), errors.Join(err, errAbandoned)) // what is not written is recognised
	return t
}

// errAbandoned marks an import that did not come to its end.
var errAbandoned = errors.New("the import was given up")

// prepare makes the mailboxes that were announced.
func (m *Importer) prepare(ctx context.Context) error {
	list := m.announced
	m.announced = nil
	names := map[string]bool{}
	for _, f := range list {
		names[strings.ToLower(f.Name)] = true
		if err := m.openBook(f); err != nil {
			return err
		}
	}
	for _, f := range list {
		t, err := m.target(ctx, f.Name, f.Use, names)
		if err != nil {
			return fmt.Errorf("folder %s: %w", f.Name, err)
		}
		if f.Subscribed && !m.o.DryRun {
			if err := m.o.Store.Subscribe(ctx, m.o.Account, t.name, true); err != nil {
				return fmt.Errorf("folder %s: %w", f.Name, err)
			}
		}
	}
	return nil
}

// target returns where a folder's messages go, and makes that. others are the source's folders.
func (m *Importer) target(ctx context.Context, folder string, use goimap.MailboxAttr, others map[string]bool) (*target, error) {
	if t := m.targets[folder]; t != nil {
		return t, nil
	}
	name, err := m.mailboxFor(folder, use, others)
	if err != nil {
		return nil, err
	}
	t := m.mailboxes[name]
	if t == nil {
		if t, err = m.open(ctx, name); err != nil {
			return nil, err
		}
		m.mailboxes[name] = t
	}
	m.targets[folder] = t
	return t, nil
}

// mailboxFor is the name of the mailbox for a folder: the one for sent mail for "Sent
// Items", unless there is a mailbox of that very name, or a folder that has the better right.
func (m *Importer) mailboxFor(folder string, use goimap.MailboxAttr, others map[string]bool) (string, error) {
	name := folderName(folder)
	if m.o.Into != "" {
		return folderName(m.o.Into + "/" + name), nil
	}
	role := markedRole(use)
	if role == "" { // what a folder is marked for goes before what it is called
		if _, err := m.o.Store.Mailbox(m.o.Account, name); err == nil || !errors.Is(err, mailbox.ErrNoMailbox) {
			return name, err
		}
		role = roleOf(name)
	}
	if role == "" || name == inbox {
		return name, nil
	}
	info, err := m.o.Store.SpecialUse(m.o.Account, role)
	switch {
	case errors.Is(err, mailbox.ErrNoMailbox):
		return name, nil
	case err != nil:
		return "", err
	case others[strings.ToLower(info.Name)] && !strings.EqualFold(info.Name, name):
		return name, nil
	}
	return info.Name, nil
}

// open makes the mailbox, if it is missing, and learns what it holds.
func (m *Importer) open(ctx context.Context, name string) (*target, error) {
	t := &target{name: name, known: new(known), keywords: map[string]bool{}}
	_, err := m.o.Store.Mailbox(m.o.Account, name)
	if errors.Is(err, mailbox.ErrNoMailbox) {
		if m.o.DryRun {
			return t, nil
		}
		if _, err = m.o.Store.Create(ctx, m.o.Account, name, ""); errors.Is(err, mailbox.ErrExists) {
			err = nil
		}
	}
	if err != nil {
		return nil, err
	}
	box, err := m.o.Store.OpenMailbox(ctx, m.o.Account, name)
	if err != nil {
		return nil, err
	}
	defer box.Close()
	info, err := box.Info()
	if err != nil {
		return nil, err
	}
	t.validity = info.UIDValidity
	for _, k := range box.Keywords() {
		t.keywords[strings.ToLower(k)] = true
	}
	return t, m.recognise.learn(ctx, box, t.known, m.noted(box))
}

// Message takes one message. It is on disk when the totals of a later Progress, or
// Finish, count it. One that the store cannot take is a problem; no space, and a full
// account, are errors.
func (m *Importer) Message(ctx context.Context, msg *Message) error {
	if err := m.waiting.failed(); err != nil {
		return err
	}
	if len(m.announced) > 0 {
		if err := m.prepare(ctx); err != nil {
			return err
		}
	}
	note, err := m.note(msg)
	if err != nil {
		return err
	}
	body := m.o.Store.NewBody()
	if err = copyBody(note.writer(body), msg.Body, m.buf); err == nil {
		err = m.take(ctx, msg, body, note)
	} else {
		body.Abort()
	}
	if errors.Is(err, mailbox.ErrTooBig) || errors.Is(err, errEmpty) || errors.Is(err, mailbox.ErrLimit) {
		err = m.Problem(Problem{Origin: msg.Origin, Text: err.Error()})
	}
	if err != nil || m.o.Progress == nil {
		return err
	}
	return m.o.Progress(m.waiting.totals())
}

// errEmpty says that a message has no octet: RFC 3501 section 6.3.11 leaves no room for it.
var errEmpty = errors.New("an empty message is none")

// take delivers a whole message, whose body it owns.
func (m *Importer) take(ctx context.Context, msg *Message, body *mailbox.NewBody, note *note) error {
	if body.Size() == 0 {
		body.Abort()
		return errEmpty
	}
	size := body.Size()
	var to []mailbox.Target
	var err error
	if !note.recognised() {
		to, err = m.missing(ctx, msg, body, note)
	}
	if err != nil || len(to) == 0 || m.o.DryRun {
		body.Abort()
		if err == nil && !m.o.DryRun {
			err = m.waiting.write(note, nil)
		}
		if err == nil {
			m.waiting.count(func(t *Totals) {
				t.Octets += size
				if len(to) == 0 {
					t.Known++
				} else {
					t.Messages++
				}
			})
		}
		return err
	}
	m.waiting.room(size)
	v, err := m.o.Store.StartDelivery(ctx, body, to)
	if err != nil || !v.Stored() {
		body.Abort()
		m.waiting.give(size)
		if err == nil {
			err = v.Placed[0].Err
		}
		return err
	}
	m.waiting.add(v, size, note)
	for i, p := range v.Placed {
		if p.Err != nil {
			return fmt.Errorf("mailbox %s: %w", to[i].Name, p.Err)
		}
	}
	return nil
}

// missing are the message's mailboxes that do not hold it.
func (m *Importer) missing(ctx context.Context, msg *Message, body *mailbox.NewBody, note *note) ([]mailbox.Target, error) {
	var list []mailbox.Target
	var seen []*target
	id := identity(0)
	for _, folder := range msg.Folders {
		t, err := m.target(ctx, folder, "", nil)
		if err != nil {
			return nil, fmt.Errorf("folder %s: %w", folder, err)
		}
		if slices.Contains(seen, t) {
			continue // two labels that lead to one mailbox
		}
		seen = append(seen, t)
		if !t.known.empty() {
			if id == 0 {
				if id, err = m.recognise.identify(body); err != nil {
					return nil, err
				}
			}
			found, err := m.recognise.take(t.known, id, body)
			if err != nil {
				return nil, err
			}
			if found != 0 {
				note.found(t.validity, found)
				continue
			}
		}
		list = append(list, mailbox.Target{Account: m.o.Account, Name: t.name, Flags: t.flags(msg.Flags), Date: msg.Date})
	}
	return list, nil
}

// flags are those that the mailbox takes: a keyword that finds no room is no reason to
// leave mail behind.
func (t *target) flags(list []goimap.Flag) []goimap.Flag {
	var out []goimap.Flag
	for _, f := range list {
		lower := goimap.Flag(strings.ToLower(string(f)))
		if strings.HasPrefix(string(f), `\`) {
			if slices.ContainsFunc(systemFlags[:], func(s goimap.Flag) bool { return strings.EqualFold(string(s), string(f)) }) {
				out = append(out, f)
			}
			continue
		}
		if !isKeyword(string(f)) {
			continue
		}
		if !t.keywords[string(lower)] {
			if len(t.keywords) >= mailbox.MaxKeywords {
				continue
			}
			t.keywords[string(lower)] = true
		}
		out = append(out, f)
	}
	return out
}

// The bounds of what is on its way to the disk: enough that a flush never waits for the
// next message, in a few megabytes of memory.
const (
	maxWaiting      = 1024    // messages
	maxWaitingBytes = 8 << 20 // of their bodies
)

// waiting are the deliveries that are not on disk yet, and what is.
type waiting struct {
	queue chan started
	done  chan struct{}

	mu     sync.Mutex
	less   sync.Cond
	bytes  int64
	err    error
	counts Totals
	ended  bool
}

type started struct {
	v    *mailbox.Delivery
	size int64
	note *note // of its place; nil = none
}

func (w *waiting) start() {
	w.queue, w.done = make(chan started, maxWaiting), make(chan struct{})
	w.less.L = &w.mu
	go func() {
		defer close(w.done)
		for s := range w.queue {
			err := s.v.Wait()
			if err == nil {
				err = w.write(s.note, s.v.Placed)
			}
			w.settle(s, err)
		}
	}()
}

// settle counts a delivery that has ended.
func (w *waiting) settle(s started, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err == nil {
		w.counts.Messages++
		w.counts.Octets += s.size
	}
	if w.err == nil {
		w.err = err
	}
	w.bytes -= s.size
	w.less.Signal()
}

// room waits until n more bytes may be on their way, and counts them.
func (w *waiting) room(n int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for w.bytes > 0 && w.bytes+n > maxWaitingBytes {
		w.less.Wait()
	}
	w.bytes += n
}

// give takes back what room counted.
func (w *waiting) give(n int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.bytes -= n
}

func (w *waiting) add(v *mailbox.Delivery, size int64, n *note) { w.queue <- started{v, size, n} }

func (w *waiting) failed() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err
}

func (w *waiting) count(f func(*Totals)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f(&w.counts)
}

func (w *waiting) totals() Totals {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.counts
}

// finish waits for all deliveries; a second one only tells the counts again.
func (w *waiting) finish(err error) (Totals, error) {
	if !w.ended {
		w.ended = true
		close(w.queue)
		<-w.done
	}
	if err == nil {
		err = w.failed()
	}
	return w.totals(), err
}
