package imap

import (
	"errors"
	"strconv"
	"strings"

	goimap "github.com/emersion/go-imap/v2"

	"mailstead/imap/wire"
	"mailstead/mailbox"
)

// maxSources bounds the mailboxes that one ESEARCH names, each of which is compared with
// all there are.
const maxSources = 1000

// searchSources says which mailboxes an ESEARCH searches (RFC 7377 section 2.2).
type searchSources struct {
	selected   bool
	personal   bool // all of the account's: INBOXES as well, since filters deliver anywhere
	subscribed bool
	names      map[string]bool // exactly these
	subtrees   []string        // these and all below
	children   []string        // these and one level below
	count      int
}

// eSearch is ESEARCH (RFC 7377).
func (s *session) eSearch(r *request) (reply, error) {
	p := &searchParser{Decoder: s.dec}
	prog := &searchProgram{}
	sources := searchSources{selected: true}
	s.dec.SP()
	if s.dec.Keyword("IN") {
		s.dec.SP()
		sources = p.searchSources()
		s.dec.SP()
	}
	p.maybeReturn(prog)
	if !prog.extended {
		prog.extended, prog.options = true, returnAll
	}
	if err := p.maybeCharset(prog); err != nil {
		return reply{}, err
	}
	if err := p.finish(prog); err != nil {
		return reply{}, err
	}
	if err := s.checkSources(&sources, prog); err != nil {
		return reply{}, err
	}
	if err := s.checkSearch(r, prog); err != nil {
		return reply{}, err
	}
	return reply{}, s.searchAll(r, prog, &sources)
}

// searchAll searches one mailbox after the other.
func (s *session) searchAll(r *request, prog *searchProgram, from *searchSources) error {
	infos, _, err := s.known()
	if err != nil {
		return err
	}
	var here mailbox.ID // the selected mailbox
	if s.selected != nil {
		info, err := s.selected.mailbox.Info()
		if err != nil {
			return err
		}
		here = info.ID
	}
	updates := prog.options&returnUpdate != 0
	for i := range infos {
		info := &infos[i]
		isHere := info.ID == here
		if !s.searches(r, from, info) && !(from.selected && isHere) {
			continue
		}
		updates = updates && !isHere
		if err := s.searchIn(r, prog, info, isHere); err != nil {
			return err
		}
	}
	if updates {
		s.tellNoUpdate(r.tag) // the selected mailbox was not searched
	}
	return nil
}

// searches reports whether a mailbox is to be searched, not as the selected one. Those that
// may not be read, or seen without being named, are passed over (RFC 7377 section 2.2).
func (s *session) searches(r *request, from *searchSources, info *mailbox.Info) bool {
	if r.needs().allows(info.Rights) != nil {
		return false
	}
	return from.names[info.Name] || info.Rights.Has(mailbox.RightLookup) && from.hold(info, info.Account == s.account.ID)
}

// checkSources refuses what goes with the selected mailbox alone, or needs one.
func (s *session) checkSources(from *searchSources, prog *searchProgram) error {
	switch {
	case from.selected && s.selected == nil:
		return bad("no mailbox is selected")
	case prog.options&returnSave != 0 && (!from.selected || from.count > 1):
		return bad("only what the selected mailbox has can be saved")
	case prog.options&returnUpdate != 0 && s.selected == nil:
		return bad("only results in the selected mailbox can be kept up to date")
	}
	return nil
}

// searchIn searches one mailbox and tells what is found, if anything is. One that was
// deleted meanwhile, or is not shared any more, has nothing.
func (s *session) searchIn(r *request, prog *searchProgram, info *mailbox.Info, here bool) error {
	sel := s.selected
	if !here {
		m, _, err := s.openNamed(info.Name, r.needs())
		var refused *goimap.Error
		if errors.Is(err, mailbox.ErrNoMailbox) || errors.As(err, &refused) {
			return nil
		}
		if err != nil {
			return err
		}
		defer m.Close()
		sel = &selected{mailbox: m, view: m.View(false)}
	}
	q := s.newSearching(sel, prog, r.tag)
	q.uid = true
	defer q.release()
	if here {
		if err := q.beginContext(); err != nil {
			return err
		}
	}
	if err := q.find(); err != nil {
		return sel.notSaved(prog, err)
	}
	if prog.options&returnSave != 0 {
		q.save()
	}
	if len(q.found) > 0 && prog.options != returnSave {
		q.tellExtended(r.tag, s.appendSource(nil, info))
	}
	q.keepContext(r.tag)
	return nil
}

// appendSource appends the correlators that name a mailbox (RFC 7377 section 2.1).
func (s *session) appendSource(b []byte, info *mailbox.Info) []byte {
	appendName := wire.AppendMailbox
	if s.utf8 {
		appendName = wire.AppendMailboxUTF8
	}
	b = appendName(append(b, " MAILBOX "...), info.Name)
	return strconv.AppendUint(append(b, " UIDVALIDITY "...), uint64(info.UIDValidity), 10)
}

// hold reports whether a mailbox, which is the client's own or not, is among the sources
// that do not name it.
func (from *searchSources) hold(info *mailbox.Info, own bool) bool {
	if from.personal && own || from.subscribed && info.Subscribed {
		return true
	}
	for _, top := range from.subtrees {
		if info.Name == top || strings.HasPrefix(info.Name, top+delimiter) {
			return true
		}
	}
	for _, top := range from.children {
		if below, ok := strings.CutPrefix(info.Name, top+delimiter); info.Name == top || ok && !strings.Contains(below, delimiter) {
			return true
		}
	}
	return false
}

// searchSources reads the list behind IN: filter-mailboxes of RFC 5465 section 8 without
// SELECTED-DELAYED, and SUBTREE-ONE. There are no scope options to follow it.
func (p *searchParser) searchSources() searchSources {
	from := searchSources{names: map[string]bool{}}
	p.List(func() {
		from.count++
		switch p.Word() {
		case "SELECTED":
			from.selected = true
		case "PERSONAL", "INBOXES":
			from.personal = true
		case "SUBSCRIBED":
			from.subscribed = true
		case "SUBTREE":
			from.subtrees = append(from.subtrees, p.sourceNames(&from)...)
		case "SUBTREE-ONE":
			from.children = append(from.children, p.sourceNames(&from)...)
		case "MAILBOXES":
			for _, name := range p.sourceNames(&from) {
				from.names[name] = true
			}
		default:
			p.Fail("unknown kind of mailboxes")
		}
	})
	if p.Err() == nil && from.count == 0 {
		p.Fail("no mailboxes to search")
	}
	return from
}

// sourceNames reads one mailbox name or a list of them.
func (p *searchParser) sourceNames(from *searchSources) []string {
	var names []string
	p.SP()
	read := func() {
		if from.count++; from.count > maxSources {
			p.Fail("more than %d mailboxes", maxSources)
		}
		names = append(names, strings.TrimSuffix(p.Mailbox(), delimiter))
	}
	if p.Peek() == '(' {
		if p.List(read); p.Err() == nil && len(names) == 0 {
			p.Fail("an empty list of mailboxes")
		}
	} else {
		read()
	}
	return names
}
