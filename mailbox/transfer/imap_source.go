package transfer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	goimap "github.com/emersion/go-imap/v2"

	"mailstead/imap/client"
)

// IMAPSource is the source of what another server keeps for somebody. It is asked with
// several connections, and only reads there: nothing becomes seen or removed.
//
// Each mailbox is looked at first, so that it is known how much there is; then messages
// come in the order of the mailboxes and their UIDs. Where a connection breaks, what it
// was at is asked for again. A message that the server does not give is a problem; that
// there is no server any more is an error.
type IMAPSource struct {
	// Dial connects and logs in. It is called by several goroutines.
	Dial func(ctx context.Context) (*client.Conn, error)
	// Connections is how many work at once, 1 to 16. Default 4. With a server that refuses
	// the second one, one does it all.
	Connections int
	// Only names the folders, each with those below it; none = all. But names some that are
	// left out.
	Only, But []string
	// Since leaves out what came before; zero = nothing.
	Since time.Time
	// Removals has the sink remove what is gone at the source.
	Removals bool
	// Taken says what the sink has from a folder.
	Taken func(ctx context.Context, folder string, validity uint32) (Taken, error)
	// Looked, when not nil, hears of each folder that was looked at.
	Looked func(Looked)
	// Sent, when not nil, hears how many messages of those wanted from a folder went to the
	// sink, one way or the other. It is called by one goroutine at a time.
	Sent func(folder string, done, of int)
	// LookOnly ends when everything was looked at: nothing is fetched.
	LookOnly bool
	// Pause is waited before a second try, and twice as long before the next. Default one second.
	Pause time.Duration
}

// Looked is what a folder has.
type Looked struct {
	Folder   string
	Messages int   // in all
	New      int   // those that will be fetched
	Octets   int64 // of these, as the server tells
	Changed  int   // with other flags than when they were taken
	Gone     int   // there no more, and to be removed
}

const (
	defaultConnections = 4
	maxConnections     = 16
	defaultPause       = time.Second
	// maxTries is how often a server is dialed, or one message asked for, before it is given
	// up: with pauses of 1 to 16 seconds.
	maxTries = 5
	// maxUpdate bounds the UIDs of one update, which is one frame.
	maxUpdate = 5000
)

// pulling is one run of an IMAPSource.
type pulling struct {
	s      *IMAPSource
	to     Sink
	gmail  bool
	boxes  []*pulledBox
	flags  sets
	labels sets
	rename map[string]string // Gmail's labels with a backslash, to folders

	mu sync.Mutex // of to
}

// pulledBox is a mailbox of the source.
type pulledBox struct {
	client.Mailbox
	validity uint32
	largest  int64
	wanted   []wanted
	updates  []Update
	of, done int // messages wanted, and those that are through
}

// wanted is a message that is to be fetched: 32 bytes, as there may be millions.
type wanted struct {
	date   int64 // seconds; 0 = not known
	size   int64
	uid    uint32
	zone   int16 // of date, in minutes
	flags  uint16
	labels uint32
}

// sets are strings that many messages share.
type sets struct {
	list  []string
	index map[string]int
}

func (s *sets) number(words string) int {
	if n, ok := s.index[words]; ok {
		return n
	}
	if s.index == nil {
		s.index = map[string]int{}
	}
	s.list = append(s.list, words)
	s.index[words] = len(s.list) - 1
	return len(s.list) - 1
}

// Send sends all folders, what changed since another day, and what is new.
func (s *IMAPSource) Send(ctx context.Context, to Sink) error {
	p := &pulling{s: s, to: to, rename: map[string]string{}}
	ctx, cancel := context.WithCancel(ctx)
	var alive sync.WaitGroup
	alive.Go(func() { p.keepAlive(ctx) })
	defer alive.Wait()
	defer cancel()
	first, err := s.Dial(ctx) // once: a mistake in its name is told at once
	if err != nil {
		return err
	}
	defer first.Close()
	if err := p.look(ctx, first); err != nil {
		return err
	}
	first.Logout()
	if s.LookOnly {
		return nil
	}
	if err := p.announce(ctx); err != nil {
		return err
	}
	return p.fetchAll(ctx)
}

// aliveEvery is a fraction of what the one who takes the mail waits for.
const aliveEvery = 30 * time.Second

// keepAlive lets the sink know that we are there, while a source takes its time.
func (p *pulling) keepAlive(ctx context.Context) {
	sink, ok := p.to.(interface{ Alive() error })
	if !ok {
		return
	}
	tick := time.NewTicker(aliveEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			p.mu.Lock()
			sink.Alive() // whoever sends next has the error
			p.mu.Unlock()
		}
	}
}

// problem tells the sink of something that is left out.
func (p *pulling) problem(origin string, err error) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.to.Problem(Problem{Origin: origin, Text: err.Error()})
}

// dial connects, again and again for a while. A refusal of the login is final.
func (p *pulling) dial(ctx context.Context) (*client.Conn, error) {
	for try := 1; ; try++ {
		c, err := p.s.Dial(ctx)
		if err == nil || client.IsRefusal(err) || errors.Is(err, client.ErrNoMechanism) || errors.Is(err, client.ErrNotLoopback) || try == maxTries {
			return c, err
		}
		if err := p.pause(ctx, try); err != nil {
			return nil, err
		}
	}
}

// pause waits before another try.
func (p *pulling) pause(ctx context.Context, try int) error {
	pause := p.s.Pause
	if pause <= 0 {
		pause = defaultPause
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(pause << min(try-1, maxTries)):
		return nil
	}
}

// look learns what there is.
func (p *pulling) look(ctx context.Context, c *client.Conn) error {
	list, err := c.List()
	if err != nil {
		return err
	}
	if p.gmail, err = c.Has("X-GM-EXT-1"); err != nil {
		return err
	}
	p.choose(list)
	for _, box := range p.boxes {
		if !p.isSource(box) {
			continue
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		err := p.lookAt(ctx, c, box)
		if client.IsRefusal(err) {
			err = p.problem(box.Name, err)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", box.Name, err)
		}
	}
	return nil
}

// choose picks the mailboxes that are wanted.
func (p *pulling) choose(list []client.Mailbox) {
	named := map[string]bool{}
	all := false
	for _, m := range list {
		if m.Has(goimap.MailboxAttrNoSelect) || m.Has(goimap.MailboxAttrNonExistent) {
			continue
		}
		m.Name = folderName(m.Name)
		for named[m.Name] { // two names that are one to us
			m.Name += "_"
		}
		named[m.Name] = true
		p.noteUse(&m)
		all = all || m.Has(goimap.MailboxAttrAll)
		if p.isChosen(m.Name) || p.gmail && isGmailSource(&m) {
			p.boxes = append(p.boxes, &pulledBox{Mailbox: m})
		}
	}
	p.gmail = p.gmail && all // a user may hide the mailbox of all mail: then it is a server like others
}

// isChosen says whether a folder is wanted.
func (p *pulling) isChosen(name string) bool {
	in := func(list []string) bool {
		return slices.ContainsFunc(list, func(folder string) bool { return isOrBelow(name, folder) })
	}
	return (len(p.s.Only) == 0 || in(p.s.Only)) && !in(p.s.But)
}

// lookAt learns what a mailbox has, and what of it is new.
func (p *pulling) lookAt(ctx context.Context, c *client.Conn, box *pulledBox) error {
	selected, err := c.Examine(box.Raw)
	if err != nil {
		return err
	}
	box.validity = selected.UIDValidity
	before, err := p.s.Taken(ctx, box.Name, box.validity)
	if err != nil {
		return err
	}
	box.largest = before.Largest
	rows := looking{p: p, box: box, had: map[uint32]string{}, seen: map[uint32]bool{}, turned: map[string][]uint32{}}
	for i, uid := range before.UIDs {
		rows.had[uid] = before.Flags[before.Sets[i]]
	}
	ask := client.AskState
	if p.gmail {
		ask = client.AskGmail
	}
	if err := c.Rows(ask, rows.take); err != nil {
		return err
	}
	rows.end(len(rows.seen) >= int(selected.Messages))
	if p.s.Looked != nil {
		p.s.Looked(rows.told)
	}
	return nil
}

// looking is a mailbox being looked at.
type looking struct {
	p      *pulling
	box    *pulledBox
	had    map[uint32]string // what was taken, with its flags
	seen   map[uint32]bool
	turned map[string][]uint32 // by their flags now
	told   Looked
}

func (l *looking) take(r client.Row) error {
	if r.UID == 0 || l.seen[r.UID] || !r.HasFlags {
		return nil // told twice, or of its own accord
	}
	if len(l.seen) == client.MaxMessages {
		return fmt.Errorf("%w: more than %d messages", client.ErrProtocol, client.MaxMessages)
	}
	l.seen[r.UID] = true
	words := flagWords(r.Flags)
	if before, ok := l.had[r.UID]; ok {
		if before != words {
			l.turned[words] = append(l.turned[words], r.UID)
		}
		return nil
	}
	if !r.Date.IsZero() && r.Date.Before(l.p.s.Since) || l.p.gmail && !l.p.wantsLabels(l.box, r.Labels) {
		return nil
	}
	w := wanted{uid: r.UID, size: r.Size, flags: uint16(l.p.flags.number(words)), labels: uint32(l.p.labels.number(joinLabels(r.Labels)))}
	if len(l.p.flags.list) > maxFlagSets {
		return fmt.Errorf("%w: more than %d sets of flags", client.ErrProtocol, maxFlagSets)
	}
	if !r.Date.IsZero() {
		_, offset := r.Date.Zone()
		w.date, w.zone = r.Date.Unix(), int16(offset/60)
	}
	l.box.wanted = append(l.box.wanted, w)
	l.told.Octets += r.Size
	return nil
}

// maxFlagSets bounds different sets of flags: it is what a number of 16 bits counts.
const maxFlagSets = 1<<16 - 1

// end makes the box's lists of what was heard. all says that the server told of as many as
// it said it has: what is missing then is gone.
func (l *looking) end(all bool) {
	slices.SortFunc(l.box.wanted, func(a, b wanted) int { return int(int64(a.uid) - int64(b.uid)) })
	l.box.of = len(l.box.wanted)
	l.told.Folder, l.told.Messages, l.told.New = l.box.Name, len(l.seen), len(l.box.wanted)
	for words, uids := range l.turned {
		l.told.Changed += len(uids)
		for some := range slices.Chunk(uids, maxUpdate) {
			l.box.updates = append(l.box.updates, Update{Folder: l.box.Name, Validity: l.box.validity, Flags: flagList(words), UIDs: some})
		}
	}
	if !l.p.s.Removals || !all {
		return
	}
	var gone []uint32
	for uid := range l.had {
		if !l.seen[uid] {
			gone = append(gone, uid)
		}
	}
	l.told.Gone = len(gone)
	for some := range slices.Chunk(gone, maxUpdate) {
		l.box.updates = append(l.box.updates, Update{Folder: l.box.Name, Validity: l.box.validity, Gone: some})
	}
}

// announce sends the folders and the updates.
func (p *pulling) announce(ctx context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, box := range p.boxes {
		if !p.isChosen(box.Name) && box.validity == 0 {
			continue
		}
		f := Folder{Name: box.Name, Subscribed: box.Subscribed, Use: useOf(&box.Mailbox), Validity: box.validity}
		if err := p.to.Folder(ctx, f); err != nil {
			return err
		}
	}
	for _, box := range p.boxes {
		for _, u := range box.updates {
			follower, ok := p.to.(Follower)
			if !ok {
				return fmt.Errorf("%s: what takes the mail cannot follow changes", box.Name)
			}
			if err := follower.Update(ctx, u); err != nil {
				return err
			}
		}
	}
	return nil
}

// useOf is what the server marks a mailbox for: the first mark that we know.
func useOf(m *client.Mailbox) goimap.MailboxAttr {
	for _, a := range m.Attributes {
		if markedRole(a) != "" {
			return a
		}
	}
	return ""
}

// message describes a message that is to be sent.
func (p *pulling) message(box *pulledBox, w *wanted) *Message {
	m := &Message{
		Folders: []string{box.Name}, Flags: flagList(p.flags.list[w.flags]),
		Origin: fmt.Sprintf("%s, UID %d", box.Name, w.uid), Place: &Place{box.Name, box.validity, w.uid},
	}
	if w.date != 0 {
		m.Date = time.Unix(w.date, 0).In(time.FixedZone("", int(w.zone)*60))
	}
	if p.gmail {
		m.Folders = p.labelled(box, strings.Split(p.labels.list[w.labels], labelSeparator))
	}
	return m
}
