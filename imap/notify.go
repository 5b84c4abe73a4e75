package imap

import (
	"strings"
	"sync/atomic"
	"time"

	goimap "github.com/emersion/go-imap/v2"

	"mailstead/mailbox"
)

const (
	// maxNotifyGroups bounds the event groups of one NOTIFY; each is asked about each
	// mailbox in which something happens. Clients name two or three.
	maxNotifyGroups = 64
	// maxNotifyNames bounds the mailboxes that they name.
	maxNotifyNames = 1000
	// maxNotified is how many mailboxes an account may have whose client is told of
	// mailboxes it has not selected: their descriptions are kept, and compared, for each
	// such session.
	maxNotified = 2000
	// notifyPace is the least time between two looks for what happened elsewhere: a
	// mailbox being filled would have it done after each message.
	notifyPace = 50 * time.Millisecond
)

// notifyEvent is a set of events (RFC 5465 section 5).
type notifyEvent uint8

const (
	notifyNew notifyEvent = 1 << iota
	notifyExpunge
	notifyFlags
	notifyName
	notifySubscription
	notifyNotes       // of a mailbox: METADATA
	notifyServerNotes // whatever mailboxes its group is about

	notifyMessages = notifyNew | notifyExpunge | notifyFlags
)

// notifyEvents are the events by name; notifyEventList names them for BADEVENT.
var notifyEvents = map[string]notifyEvent{
	"MESSAGENEW": notifyNew, "MESSAGEEXPUNGE": notifyExpunge, "FLAGCHANGE": notifyFlags,
	"MAILBOXNAME": notifyName, "SUBSCRIPTIONCHANGE": notifySubscription,
	"MAILBOXMETADATACHANGE": notifyNotes, "SERVERMETADATACHANGE": notifyServerNotes,
}

const notifyEventList = "MessageNew MessageExpunge FlagChange MailboxName SubscriptionChange MailboxMetadataChange ServerMetadataChange"

var (
	errBadEvent       = no("BADEVENT ("+notifyEventList+")", "some of the events are not known here")
	errNotifyOverflow = no("NOTIFICATIONOVERFLOW", "too much to watch")
)

// notifyFilter says which mailboxes an event group is about (RFC 5465 section 6).
type notifyFilter uint8

const (
	filterPersonal   notifyFilter = iota // INBOXES too: mail may be delivered to any own mailbox
	filterSubscribed                     // as it is when something happens
	filterSubtree
	filterMailboxes
)

var notifyFilters = map[string]notifyFilter{
	"PERSONAL": filterPersonal, "INBOXES": filterPersonal, "SUBSCRIBED": filterSubscribed,
	"SUBTREE": filterSubtree, "MAILBOXES": filterMailboxes,
}

// notifyGroup is an event group about mailboxes other than the selected one.
type notifyGroup struct {
	filter notifyFilter
	names  []string // of filterSubtree and filterMailboxes
	events notifyEvent
}

// covers reports whether the group is about a name.
func (g *notifyGroup) covers(name string, subscribed bool) bool {
	switch g.filter {
	case filterPersonal:
		return !isOthers(name)
	case filterSubscribed:
		return subscribed
	}
	for _, n := range g.names {
		if n == name || g.filter == filterSubtree && strings.HasPrefix(name, n+delimiter) {
			return true
		}
	}
	return false
}

// notification is what a client has asked to be told of by NOTIFY; the zero one of
// nothing. It belongs to the session's goroutine, but for changed.
type notification struct {
	chosen   bool        // SELECTED or SELECTED-DELAYED was said
	selected notifyEvent // of the selected mailbox
	delayed  bool        // expunges wait for a command that may tell them (section 6.1.2)
	plan     *fetchPlan  // what is told of new messages; nil = nothing but EXISTS
	groups   []notifyGroup
	names    int // in all groups

	known   *picture // what the client knows of its mailboxes; nil without groups
	changed atomic.Bool
	signal  chan struct{}
	stop    func() // ends the watch; nil = nothing is watched
}

// events are those that the client wants to hear of a mailbox it has not selected.
func (n *notification) events(name string, subscribed bool) notifyEvent {
	var events notifyEvent
	for i := range n.groups {
		if g := &n.groups[i]; g.covers(name, subscribed) {
			events |= g.events
		}
	}
	return events
}

// all are the events that the client wants to hear of any mailbox.
func (n *notification) all() (events notifyEvent) {
	for i := range n.groups {
		events |= n.groups[i].events
	}
	return events
}

// wants reports whether the client is told of an event of its selected mailbox: without
// NOTIFY of all of them.
func (n *notification) wants(e notifyEvent) bool { return n == nil || n.selected&e != 0 }

// notifyCommand is NOTIFY (RFC 5465 section 3.1). That it is an implied NOOP is in the
// table of commands.
func (s *session) notifyCommand(*request) (reply, error) {
	s.dec.SP()
	n, status := &notification{}, false
	switch s.dec.Word() {
	case "NONE":
	case "SET":
		var err error
		if status, err = s.notifyArguments(n); err != nil {
			return reply{}, err
		}
	default:
		s.dec.Fail("expected SET or NONE")
	}
	s.dec.End()
	if err := s.dec.Err(); err != nil {
		return reply{}, err
	}
	if len(n.groups) > 0 {
		var err error
		if n.known, err = s.picture(); err != nil {
			return reply{}, err
		}
		if len(n.known.boxes) > maxNotified {
			return reply{}, errNotifyOverflow
		}
	}
	s.endNotify()
	s.notify = n
	if n.all()&(notifyNotes|notifyServerNotes) != 0 {
		s.followNotes()
	}
	s.watchNotified()
	if err := s.tellNoAccess(); err != nil {
		return reply{}, err
	}
	if !status {
		return reply{}, nil
	}
	return reply{}, s.tellWatched()
}

// notifyArguments reads what follows SET. Its own errors are those of a command that is
// well-formed, but asks for too much.
func (s *session) notifyArguments(n *notification) (status bool, err error) {
	s.dec.SP()
	if status = s.dec.Keyword("STATUS"); status {
		s.dec.SP()
	}
	unknown := false
	for groups := 1; ; groups++ {
		if groups > maxNotifyGroups {
			return false, errNotifyOverflow
		}
		unknown = s.notifyGroup(n) || unknown
		if n.names > maxNotifyNames {
			return false, errNotifyOverflow
		}
		if !s.dec.Accept(' ') {
			break
		}
	}
	if s.dec.Err() == nil && unknown {
		return false, errBadEvent
	}
	return status, nil
}

// notifyGroup reads one event group; it reports whether there are events in it that are
// not known here.
func (s *session) notifyGroup(n *notification) (unknown bool) {
	s.dec.Expect('(')
	switch word := s.dec.Word(); word {
	case "SELECTED", "SELECTED-DELAYED":
		if n.chosen {
			s.dec.Fail("the selected mailbox is specified twice")
		}
		n.chosen, n.delayed = true, word == "SELECTED-DELAYED"
		n.selected, unknown = s.notifyEvents(&n.plan)
		if n.selected&^notifyMessages != 0 {
			s.dec.Fail("the selected mailbox has events of messages only")
		}
	default:
		g := notifyGroup{}
		var ok bool
		if g.filter, ok = notifyFilters[word]; !ok {
			s.dec.Fail("unknown mailbox specifier")
		}
		if g.filter == filterSubtree || g.filter == filterMailboxes {
			g.names = s.notifyNames()
		}
		g.events, unknown = s.notifyEvents(nil)
		n.names += len(g.names)
		n.groups = append(n.groups, g)
	}
	s.dec.Expect(')')
	return unknown
}

// notifyNames reads a name, or a list of them.
func (s *session) notifyNames() (names []string) {
	s.dec.SP()
	if s.dec.Peek() != '(' {
		return []string{s.dec.Mailbox()}
	}
	s.dec.List(func() { names = append(names, s.dec.Mailbox()) })
	if len(names) == 0 {
		s.dec.Fail("no mailboxes")
	}
	return names
}

// notifyEvents reads a list of events, or NONE. What is to be told of new messages is put
// into plan; nil = that is not possible here.
func (s *session) notifyEvents(plan **fetchPlan) (events notifyEvent, unknown bool) {
	s.dec.SP()
	if s.dec.Keyword("NONE") {
		return 0, false
	}
	last, said := notifyEvent(0), 0
	s.dec.List(func() {
		said++
		if s.dec.Peek() == '(' && last == notifyNew && plan != nil && *plan == nil {
			*plan = parseNotifyItems(s.dec)
			s.checkItems(*plan)
			return
		}
		var ok bool
		last, ok = notifyEvents[s.dec.Word()]
		unknown = unknown || !ok
		events |= last
	})
	// Section 5: who is told that messages come is told that they go, and who is told of
	// flags of both.
	switch both := events & (notifyNew | notifyExpunge); {
	case said == 0:
		s.dec.Fail("no events")
	case unknown:
	case both != 0 && both != notifyNew|notifyExpunge:
		s.dec.Fail("MessageNew and MessageExpunge go together")
	case events&notifyFlags != 0 && both == 0:
		s.dec.Fail("FlagChange goes with MessageNew and MessageExpunge")
	}
	return events, unknown
}

// watchNotified has the session woken when something happens that it may have to tell.
func (s *session) watchNotified() {
	n := s.notify
	if n.known == nil && n.selected == 0 {
		return
	}
	n.signal = make(chan struct{}, 1)
	unwatch := func() {}
	if n.known != nil {
		unwatch = s.options.Store.WatchAccount(s.account.ID, n.signal)
		n.changed.Store(true) // what came before the watch began is looked for once
	}
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-n.signal:
				n.changed.Store(true)
				s.conn.Interrupt()
			case <-done:
				return
			}
			select {
			case <-time.After(notifyPace):
			case <-done:
				return
			}
		}
	}()
	n.stop = func() {
		unwatch()
		close(done)
		<-ended
	}
	s.followSelected()
}

// followSelected has changes of the selected mailbox wake the session, if it wants to hear
// of them between commands.
func (s *session) followSelected() {
	if s.selected != nil && s.notify != nil && s.notify.selected != 0 && s.selected.unfollow == nil {
		s.selected.unfollow = s.selected.mailbox.Watch(s.notify.signal)
	}
}

// endNotify forgets what NOTIFY asked for.
func (s *session) endNotify() {
	if s.selected != nil && s.selected.unfollow != nil {
		s.selected.unfollow()
		s.selected.unfollow = nil
	}
	if s.notify != nil && s.notify.stop != nil {
		s.notify.stop()
	}
	if !s.metadata {
		s.notesKnown = nil
	}
	s.notify = nil
}

// picture is what the mailboxes that a client may watch are at a moment: its own, and those
// of others on which it has l and r (RFC 5465 section 5).
type picture struct {
	boxes      map[mailbox.ID]mailbox.Info
	subscribed map[string]bool
}

func (s *session) picture() (*picture, error) {
	infos, subscriptions, err := s.names()
	if err != nil {
		return nil, err
	}
	p := &picture{boxes: make(map[mailbox.ID]mailbox.Info, len(infos)), subscribed: make(map[string]bool, len(subscriptions))}
	for i := range infos {
		if infos[i].Rights.Has(mailbox.RightRead) {
			p.boxes[infos[i].ID] = infos[i]
		}
	}
	for _, name := range subscriptions {
		p.subscribed[name] = true
	}
	return p, nil
}

// caused notes names that the client itself made, deleted, renamed or subscribed to: of
// that it is not told (section 5). Levels above and mailboxes below change with them.
func (s *session) caused(names ...string) {
	if s.notify == nil || s.notify.known == nil {
		return
	}
	now, err := s.picture()
	if err != nil {
		return // the next look says what is the matter
	}
	known := s.notify.known
	related := func(name string) bool {
		for _, n := range names {
			if n == name || strings.HasPrefix(name, n+delimiter) || strings.HasPrefix(n, name+delimiter) {
				return true
			}
		}
		return false
	}
	for id, info := range known.boxes {
		if _, there := now.boxes[id]; !there && related(info.Name) {
			delete(known.boxes, id)
		}
	}
	for id, info := range now.boxes {
		old, there := known.boxes[id]
		switch {
		case !related(info.Name):
		case there:
			old.Name = info.Name
			known.boxes[id] = old
		default:
			known.boxes[id] = info
		}
	}
	for _, subscribed := range []map[string]bool{known.subscribed, now.subscribed} {
		for name := range subscribed {
			if !related(name) {
				continue
			}
			if now.subscribed[name] {
				known.subscribed[name] = true
			} else {
				delete(known.subscribed, name)
			}
		}
	}
}

// made notes messages that the client itself put into the mailbox with that UIDVALIDITY,
// which no other has: of these it is not told as of new ones (section 5).
func (s *session) made(validity uint32, uids ...goimap.UID) {
	if s.notify == nil || len(uids) == 0 {
		return
	}
	if s.selected != nil && s.selected.validity == validity && s.notify.plan != nil {
		s.selected.made = append(s.selected.made, uids...)
	}
	if s.notify.known == nil {
		return
	}
	for id, info := range s.notify.known.boxes {
		if info.UIDValidity == validity && info.UIDNext == uids[0] {
			info.UIDNext = uids[len(uids)-1] + 1
			info.Messages += uint32(len(uids))
			s.notify.known.boxes[id] = info
		}
	}
}
