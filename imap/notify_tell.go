package imap

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	goimap "github.com/emersion/go-imap/v2"

	"mailstead/mailbox"
)

// tellNotified tells between commands, and in IDLE, what NOTIFY asked for.
func (s *session) tellNotified(idle bool) error {
	what := newsAll
	if s.notify.delayed && !idle {
		what = newsNumber
	}
	if s.notify.selected != 0 {
		if err := s.tellNews(what); err != nil {
			return err
		}
		s.tellProgress()
	}
	if s.notify.known == nil || !s.notify.changed.Swap(false) {
		return nil
	}
	s.tellNotesChanged()
	now, err := s.picture()
	if err != nil {
		return err
	}
	if len(now.boxes) > maxNotified {
		s.enc.Text("* OK [NOTIFICATIONOVERFLOW] there are too many mailboxes to watch\r\n")
		s.endNotify()
		s.notify = &notification{} // as after NOTIFY NONE (section 5.8)
		return nil
	}
	known := s.notify.known
	s.notify.known = now
	if err := s.tellNames(known, now); err != nil {
		return err
	}
	return s.tellStatuses(known, now)
}

// tellArrivals tells of the messages from sequence number from on what NOTIFY asked for,
// except of those that came by this session itself (section 5.2).
func (s *session) tellArrivals(from uint32) error {
	sel := s.selected
	if s.notify == nil || s.notify.plan == nil || s.notify.selected&notifyNew == 0 {
		return nil
	}
	var spans []span
	slices.Sort(sel.made)
	for seq := from; seq <= sel.view.Len(); seq++ {
		switch n := len(spans); {
		case holds(sel.made, sel.view.UIDs()[seq-1]):
		case n > 0 && spans[n-1].to == seq-1:
			spans[n-1].to = seq
		default:
			spans = append(spans, span{seq, seq})
		}
	}
	sel.made = nil
	if len(spans) == 0 {
		return nil
	}
	f := fetchings.Get().(*fetching)
	defer f.release()
	f.session, f.plan = s, s.notify.plan
	if s.utf8 {
		f.plan.speakUTF8()
	}
	if s.condstore { // RFC 7162 section 3.2.4
		f.plan.addModSeq()
		s.modSeqs = true
	}
	return f.run(spans)
}

// tellWatched answers the STATUS indicator: the state of each mailbox, but the selected
// one, of whose messages the client is to be told (section 3.1).
func (s *session) tellWatched() error {
	if s.notify.known == nil {
		return nil
	}
	for _, info := range s.notify.known.sorted() {
		events := s.notify.events(info.Name, s.notify.known.subscribed[info.Name])
		if events&notifyMessages == 0 || s.hasSelected(&info) {
			continue
		}
		items := goimap.StatusOptions{NumMessages: true, UIDNext: true, UIDValidity: true, HighestModSeq: events&notifyFlags != 0}
		if err := s.tellStatus(&info, &statusItems{StatusOptions: items}); err != nil {
			return err
		}
	}
	return nil
}

// noAccess is the attribute of a mailbox that the client may not watch (RFC 5465 section 5.9).
const noAccess goimap.MailboxAttr = `\NoAccess`

// tellNoAccess names the mailboxes that the client sees and asked for by name, but may not
// read (section 3.1).
func (s *session) tellNoAccess() error {
	if s.notify.names == 0 {
		return nil
	}
	infos, _, err := s.names()
	if err != nil {
		return err
	}
	for i := range infos {
		info := &infos[i]
		isNamed := func(g notifyGroup) bool { return len(g.names) > 0 && g.covers(info.Name, false) }
		if !info.Rights.Has(mailbox.RightRead) && slices.ContainsFunc(s.notify.groups, isNamed) {
			s.tellListed("LIST", answer{name: info.Name, attrs: []goimap.MailboxAttr{noAccess}})
			s.enc.CRLF()
		}
	}
	return nil
}

// sorted are the mailboxes by name.
func (p *picture) sorted() []mailbox.Info {
	return slices.SortedFunc(maps.Values(p.boxes), func(a, b mailbox.Info) int { return cmp.Compare(a.Name, b.Name) })
}

func (s *session) hasSelected(info *mailbox.Info) bool {
	return s.selected != nil && s.selected.validity == info.UIDValidity
}

// tellStatuses tells of messages that came, went or changed elsewhere (sections 5.1 to 5.3).
func (s *session) tellStatuses(known, now *picture) error {
	for _, info := range now.sorted() {
		old, there := known.boxes[info.ID]
		if !there || s.hasSelected(&info) {
			continue
		}
		items := statusOfChange(s.notify.events(info.Name, now.subscribed[info.Name]), &old, &info, s.condstore)
		if items == nil {
			continue
		}
		if err := s.tellStatus(&info, &statusItems{StatusOptions: *items}); err != nil {
			return err
		}
	}
	return nil
}

// statusOfChange decides what is told of a mailbox that was old and is now; nil = nothing.
func statusOfChange(events notifyEvent, old, now *mailbox.Info, condstore bool) *goimap.StatusOptions {
	unseen := now.Unseen != old.Unseen
	var o goimap.StatusOptions
	if events&notifyNew != 0 && (now.UIDNext != old.UIDNext || now.Messages != old.Messages) {
		o.NumMessages, o.UIDNext = true, true
	}
	if events&notifyFlags != 0 && (unseen || now.HighestModSeq != old.HighestModSeq && condstore || now.UIDValidity != old.UIDValidity) {
		o.UIDValidity = true
	}
	if o == (goimap.StatusOptions{}) {
		return nil
	}
	o.UIDValidity, o.HighestModSeq, o.NumUnseen = true, condstore, unseen
	return &o
}

// nameChange is a LIST response to come; old is the name a mailbox had, "" if that is no
// matter.
type nameChange struct{ name, old string }

// tellNames tells of mailboxes that were made, deleted or renamed, and of subscriptions
// (sections 5.4 and 5.5).
func (s *session) tellNames(known, now *picture) error {
	var told []nameChange
	for _, c := range nameChanges(known, now) {
		subscribed := known.subscribed[c.name] || now.subscribed[c.name] || known.subscribed[c.old]
		events := s.notify.events(c.name, subscribed)
		if c.old != "" {
			events |= s.notify.events(c.old, subscribed)
		}
		if events&notifyName != 0 {
			told = append(told, c)
		}
	}
	for _, name := range subscriptionChanges(known, now) {
		isTold := slices.ContainsFunc(told, func(c nameChange) bool { return c.name == name })
		if !isTold && s.notify.events(name, true)&notifySubscription != 0 {
			told = append(told, nameChange{name: name})
		}
	}
	if len(told) == 0 {
		return nil
	}
	t := newTree(now.sorted(), slices.Collect(maps.Keys(now.subscribed)))
	l := &listing{extended: true, options: goimap.ListOptions{ReturnSubscribed: true, ReturnSpecialUse: true}}
	for _, c := range told {
		a := answer{name: c.name, attrs: []goimap.MailboxAttr{goimap.MailboxAttrNonExistent}}
		if i := slices.IndexFunc(t, func(n *node) bool { return n.name == c.name }); i >= 0 {
			a = l.answer(t[i])
		} else if isOthers(c.name) {
			a.attrs = append(a.attrs, noAccess) // deleted or not: it cannot be told apart
		}
		s.tellListed("LIST", a)
		if c.old != "" {
			s.enc.Text(` ("OLDNAME" (`).Mailbox(c.old).Text("))")
		}
		s.enc.CRLF()
	}
	return nil
}

// nameChanges lists the names that are affected by what was made, deleted and renamed,
// each once: of what is made or deleted the level above, too; of what is renamed only the
// topmost.
func nameChanges(known, now *picture) []nameChange {
	var list []nameChange
	add := func(name string) {
		if !slices.ContainsFunc(list, func(c nameChange) bool { return c.name == name }) {
			list = append(list, nameChange{name: name})
		}
	}
	renamed := map[nameChange]bool{}
	var affected []string
	for id, info := range now.boxes {
		switch old, there := known.boxes[id]; {
		case !there:
			affected = append(affected, info.Name)
		case old.Name != info.Name:
			renamed[nameChange{info.Name, old.Name}] = true
		}
	}
	for id, old := range known.boxes {
		if _, there := now.boxes[id]; !there {
			affected = append(affected, old.Name)
		}
	}
	for c := range renamed {
		base := c.name[strings.LastIndex(c.name, delimiter)+1:]
		above := nameChange{strings.TrimSuffix(c.name, delimiter+base), strings.TrimSuffix(c.old, delimiter+base)}
		if !(renamed[above] && above.name != c.name && above.old != c.old) {
			list = append(list, c)
		}
	}
	slices.SortFunc(list, func(a, b nameChange) int { return cmp.Compare(a.name, b.name) })
	slices.Sort(affected)
	for _, name := range affected {
		if i := strings.LastIndex(name, delimiter); i > 0 {
			add(name[:i])
		}
		add(name)
	}
	return list
}

// subscriptionChanges lists the names that are subscribed to in one of both only. What is
// renamed takes its subscription along without a word.
func subscriptionChanges(known, now *picture) (names []string) {
	for name := range known.subscribed {
		if !now.subscribed[name] {
			names = append(names, name)
		}
	}
	for name := range now.subscribed {
		if !known.subscribed[name] {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}
