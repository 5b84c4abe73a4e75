package imap

import (
	"cmp"

	goimap "github.com/emersion/go-imap/v2"

	"mailstead/imap/wire"
	"mailstead/mailbox"
)

// maxPatterns bounds the patterns of one LIST; each is matched against every name.
const maxPatterns = 32

// list is LIST (RFC 3501 section 6.3.8) with LIST-EXTENDED (RFC 5258), SPECIAL-USE
// (RFC 6154) and LIST-STATUS (RFC 5819).
func (s *session) list(*request) (reply, error) {
	l, reference, texts := s.listArguments()
	if err := s.dec.Err(); err != nil {
		return reply{}, err
	}
	if len(texts) == 1 && texts[0] == "" && !l.extended {
		s.enc.Text("* LIST (\\Noselect) \"/\" \"\"\r\n") // asks for the delimiter alone
		return reply{}, nil
	}
	var err error
	if l.patterns, err = compilePatterns(reference, texts); err != nil {
		return reply{}, err
	}
	if o := l.options.ReturnStatus; o != nil && o.HighestModSeq {
		s.enableCondstore() // as STATUS does
	}
	t, err := s.tree()
	if err != nil {
		return reply{}, err
	}
	for _, a := range l.answers(t) {
		s.tellListed("LIST", a)
		if a.childInfo {
			s.enc.Text(` ("CHILDINFO" (`, l.criteria(), "))")
		}
		s.enc.CRLF()
		if l.options.ReturnStatus != nil && a.info != nil {
			if err := s.tellStatus(a.info, l.options.ReturnStatus); err != nil {
				return reply{}, err
			}
		}
	}
	return reply{}, nil
}

// listArguments reads the whole command.
func (s *session) listArguments() (l *listing, reference string, texts []string) {
	l = &listing{}
	s.dec.SP()
	if s.dec.Peek() == '(' {
		l.extended = true
		s.listSelection(&l.options)
		s.dec.SP()
	}
	reference = s.dec.ListMailbox()
	s.dec.SP()
	texts = s.listPatterns(l)
	s.listReturn(l)
	s.dec.End()
	return l, reference, texts
}

// listSelection reads the selection options.
func (s *session) listSelection(o *goimap.ListOptions) {
	s.dec.List(func() {
		switch s.dec.Word() {
		case "SUBSCRIBED":
			o.SelectSubscribed = true
		case "REMOTE": // there are no remote mailboxes to add
			o.SelectRemote = true
		case "RECURSIVEMATCH":
			o.SelectRecursiveMatch = true
		case "SPECIAL-USE":
			o.SelectSpecialUse = true
		default:
			s.dec.Fail("unknown selection option")
		}
	})
	if o.SelectRecursiveMatch && !o.SelectSubscribed && !o.SelectSpecialUse {
		s.dec.Fail("RECURSIVEMATCH needs another selection option") // RFC 5258 section 3.1
	}
}

// listPatterns reads one pattern or a list of them.
func (s *session) listPatterns(l *listing) []string {
	if s.dec.Peek() != '(' {
		return []string{s.dec.ListMailbox()}
	}
	l.extended = true
	var texts []string
	s.dec.List(func() {
		if texts = append(texts, s.dec.ListMailbox()); len(texts) > maxPatterns {
			s.dec.Fail("more than %d patterns", maxPatterns)
		}
	})
	return texts
}

// listReturn reads the optional RETURN with its options.
func (s *session) listReturn(l *listing) {
	if !s.dec.Accept(' ') {
		return
	}
	if !s.dec.Keyword("RETURN") {
		s.dec.Fail("expected RETURN")
	}
	s.dec.SP()
	l.extended = true
	o := &l.options
	s.dec.List(func() {
		switch s.dec.Word() {
		case "SUBSCRIBED":
			o.ReturnSubscribed = true
		case "CHILDREN":
			o.ReturnChildren = true // returned anyway
		case "SPECIAL-USE":
			o.ReturnSpecialUse = true
		case "STATUS":
			s.dec.SP()
			o.ReturnStatus = s.statusItems()
		default:
			s.dec.Fail("unknown return option")
		}
	})
}

// compilePatterns puts the reference in front of each pattern: both are just text
// here, as with most servers.
func compilePatterns(reference string, texts []string) (patterns, error) {
	var ps patterns
	for _, text := range texts {
		name, err := wire.DecodeUTF7(reference + text)
		if err != nil {
			continue // matches no name
		}
		p, ok := wire.CompilePattern(name, delimiter[0])
		if !ok {
			return nil, bad("pattern is too long")
		}
		ps = append(ps, p)
	}
	return ps, nil
}

// tellListed writes one LIST or LSUB response, up to its end.
func (s *session) tellListed(command string, a answer) {
	s.enc.Text("* ", command, " (")
	for i, attr := range a.attrs {
		if i > 0 {
			s.enc.Text(" ")
		}
		s.enc.Text(string(attr))
	}
	s.enc.Text(") \"/\" ").Mailbox(a.name)
}

// lsub is RFC 3501 section 6.3.9.
func (s *session) lsub(*request) (reply, error) {
	s.dec.SP()
	reference := s.dec.ListMailbox()
	s.dec.SP()
	text := s.dec.ListMailbox()
	s.dec.End()
	if err := s.dec.Err(); err != nil {
		return reply{}, err
	}
	ps, err := compilePatterns(reference, []string{text})
	if err != nil || len(ps) == 0 {
		return reply{}, err
	}
	t, err := s.tree()
	if err != nil {
		return reply{}, err
	}
	for _, a := range lsubAnswers(t, ps[0], text) {
		s.tellListed("LSUB", a)
		s.enc.CRLF()
	}
	return reply{}, nil
}

// status is RFC 3501 section 6.3.10, with the items of RFC 7162, 7889, 8438 and 9208.
func (s *session) status(*request) (reply, error) {
	s.dec.SP()
	name := s.dec.Mailbox()
	s.dec.SP()
	items := s.statusItems()
	s.dec.End()
	if err := s.dec.Err(); err != nil {
		return reply{}, err
	}
	if items.HighestModSeq {
		s.enableCondstore() // RFC 7162 section 3.1: asking for it enables it
	}
	info, err := s.options.Store.Mailbox(s.account.ID, name)
	if err != nil {
		return reply{}, err
	}
	return reply{}, s.tellStatus(&info, items)
}

// statusItems reads a list of status items, at least one.
func (s *session) statusItems() *goimap.StatusOptions {
	o := &goimap.StatusOptions{}
	n := 0
	s.dec.List(func() {
		n++
		s.statusItem(o)
	})
	if n == 0 {
		s.dec.Fail("expected a status item")
	}
	return o
}

func (s *session) statusItem(o *goimap.StatusOptions) {
	switch s.dec.Word() {
	case "MESSAGES":
		o.NumMessages = true
	case "RECENT":
		o.NumRecent = true
	case "UIDNEXT":
		o.UIDNext = true
	case "UIDVALIDITY":
		o.UIDValidity = true
	case "UNSEEN":
		o.NumUnseen = true
	case "DELETED":
		o.NumDeleted = true
	case "DELETED-STORAGE":
		o.DeletedStorage = true
	case "SIZE":
		o.Size = true
	case "APPENDLIMIT":
		o.AppendLimit = true
	case "HIGHESTMODSEQ":
		o.HighestModSeq = true
	default:
		s.dec.Fail("unknown status item")
	}
}

// tellStatus writes one STATUS response.
func (s *session) tellStatus(info *mailbox.Info, o *goimap.StatusOptions) error {
	var deletedStorage int64
	if o.DeletedStorage {
		var err error
		if deletedStorage, err = s.deletedStorage(info); err != nil {
			return err
		}
	}
	s.enc.Text("* STATUS ").Mailbox(info.Name).Text(" (")
	separator := ""
	item := func(asked bool, name string, value uint64) {
		if asked {
			s.enc.Text(separator, name, " ").Number(value)
			separator = cmp.Or(separator, " ")
		}
	}
	item(o.NumMessages, "MESSAGES", uint64(info.Messages))
	item(o.NumRecent, "RECENT", uint64(info.Recent))
	item(o.UIDNext, "UIDNEXT", uint64(info.UIDNext))
	item(o.UIDValidity, "UIDVALIDITY", uint64(info.UIDValidity))
	item(o.NumUnseen, "UNSEEN", uint64(info.Unseen))
	item(o.NumDeleted, "DELETED", uint64(info.Deleted))
	item(o.DeletedStorage, "DELETED-STORAGE", uint64(deletedStorage))
	item(o.Size, "SIZE", uint64(info.Size))
	item(o.AppendLimit, "APPENDLIMIT", uint64(s.options.MaxMessageSize))
	item(o.HighestModSeq, "HIGHESTMODSEQ", uint64(info.HighestModSeq))
	s.enc.Text(")\r\n")
	return nil
}
