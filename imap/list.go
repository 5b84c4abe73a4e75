package imap

import (
	"math"

	goimap "github.com/emersion/go-imap/v2"
	"golang.org/x/text/unicode/norm"

	"mailstead/imap/wire"
	"mailstead/mailbox"
)

// maxPatterns bounds the patterns of one LIST; each is matched against every name.
const maxPatterns = 32

// list is LIST (RFC 3501 section 6.3.8) with LIST-EXTENDED (RFC 5258), SPECIAL-USE
// (RFC 6154), LIST-STATUS (RFC 5819), LIST-MYRIGHTS (RFC 8440) and LIST-METADATA (RFC 9590).
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
	if l.patterns, err = compilePatterns(s.dec.DecodeName, reference, texts); err != nil {
		return reply{}, err
	}
	if l.status != nil && l.status.HighestModSeq {
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
		if l.rights && a.info != nil {
			s.tellRights(a.info)
		}
		if l.status != nil && a.info != nil && a.info.Rights.Has(mailbox.RightRead) {
			if err := s.tellStatus(a.info, l.status); err != nil {
				return reply{}, err
			}
		}
		if l.notes != nil && a.info != nil && a.info.Rights&noteRights != 0 {
			set := s.notesOf(a.info.ID)
			found, _ := l.notes.choose(set)
			s.tellNotes(a.name, set, found)
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
		case "MYRIGHTS": // RFC 8440
			l.rights = true
		case "STATUS":
			s.dec.SP()
			l.status = s.statusItems()
		case "METADATA":
			s.dec.SP()
			l.notes = &noteQuery{entries: s.noteEntries(), maxSize: math.MaxUint64}
		default:
			s.dec.Fail("unknown return option")
		}
	})
}

// compilePatterns puts the reference in front of each pattern: both are just text
// here, as with most servers. Names are kept in NFC, so patterns are compared in it.
func compilePatterns(decode func(string) (string, error), reference string, texts []string) (patterns, error) {
	var ps patterns
	for _, text := range texts {
		name, err := decode(reference + text)
		if err != nil {
			continue // matches no name
		}
		p, ok := wire.CompilePattern(norm.NFC.String(name), delimiter[0])
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
	ps, err := compilePatterns(s.dec.DecodeName, reference, []string{text})
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
