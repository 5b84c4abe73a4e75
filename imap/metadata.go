package imap

import (
	"errors"
	"math"
	"slices"
	"strconv"
	"strings"

	"mailstead/imap/wire"
	"mailstead/mailbox"
)

// adminAnnotation is how to reach the administrator: a URI, the same for everybody (RFC
// 5464 section 3.2.1.1). The other shared entries of the server have no value.
const adminAnnotation = mailbox.SharedAnnotation + "admin"

// notes are the entries of a mailbox, or of the server, as a client sees them.
type notes struct {
	mailbox.AnnotationSet
	admin string // value of adminAnnotation, "" = there is none
}

// Get returns the value of an entry.
func (n notes) Get(name string) (value string, ok bool) {
	if name == adminAnnotation && n.admin != "" {
		return n.admin, true
	}
	return n.AnnotationSet.Get(name)
}

// Names returns the names of all entries.
func (n notes) Names() []string {
	names := n.AnnotationSet.Names()
	if n.admin != "" {
		names = append(names, adminAnnotation)
	}
	return names
}

// annotated finds the mailbox of that name, or the server for an empty one, if the client
// has the rights to see and set its entries.
func (s *session) annotated(r *request, name string) (mailbox.ID, error) {
	if name == "" {
		return mailbox.ServerAnnotations, nil
	}
	_, info, err := s.named(name, r.needs())
	return info.ID, err
}

// notesOf are the entries of a mailbox, or of the server.
func (s *session) notesOf(id mailbox.ID) notes {
	n := notes{AnnotationSet: s.options.Store.Annotations(s.account.ID, id)}
	if id == mailbox.ServerAnnotations {
		n.admin = s.options.Admin
	}
	return n
}

// noteQuery says which entries a GETMETADATA asks for.
type noteQuery struct {
	entries []string
	maxSize uint64 // of the values that are returned, in octets
	depth   int    // how many levels below the entries
}

// getMetadata is RFC 5464 section 4.2.
func (s *session) getMetadata(r *request) (reply, error) {
	name, q := s.noteQuery()
	s.dec.End()
	if err := s.dec.Err(); err != nil {
		return reply{}, err
	}
	id, err := s.annotated(r, name)
	if err != nil {
		return reply{}, err
	}
	set := s.notesOf(id)
	found, longest := q.choose(set)
	s.tellNotes(name, set, found)
	if longest == 0 {
		return reply{}, nil
	}
	return reply{Code: "METADATA LONGENTRIES " + strconv.Itoa(longest)}, nil
}

// noteQuery reads the arguments. The options stand in front of the mailbox in the grammar
// of RFC 5464 and behind it in its examples; so do several entries without parentheses.
func (s *session) noteQuery() (name string, q noteQuery) {
	q.maxSize = math.MaxUint64
	s.dec.SP()
	options := s.dec.Peek() == '('
	if options {
		s.noteOptions(&q)
		s.dec.SP()
	}
	name = s.dec.Mailbox()
	if !options && (s.dec.AcceptList("MAXSIZE") || s.dec.AcceptList("DEPTH")) {
		s.noteOptions(&q)
	}
	s.dec.SP()
	q.entries = s.noteEntries()
	for s.dec.Accept(' ') {
		q.entries = append(q.entries, s.noteEntry())
	}
	return name, q
}

// noteOptions reads MAXSIZE and DEPTH, in any order.
func (s *session) noteOptions(q *noteQuery) {
	s.dec.List(func() {
		switch s.dec.Word() {
		case "MAXSIZE":
			s.dec.SP()
			q.maxSize = uint64(s.dec.Number())
		case "DEPTH":
			s.dec.SP()
			switch s.dec.Word() {
			case "0":
				q.depth = 0
			case "1":
				q.depth = 1
			case "INFINITY":
				q.depth = mailbox.MaxAnnotationName // deeper than any
			default:
				s.dec.Fail("DEPTH is 0, 1 or infinity")
			}
		default:
			s.dec.Fail("unknown option of GETMETADATA")
		}
	})
}

// noteEntries reads an entry or a list of them, at least one.
func (s *session) noteEntries() (entries []string) {
	if s.dec.Peek() != '(' {
		return []string{s.noteEntry()}
	}
	s.dec.List(func() { entries = append(entries, s.noteEntry()) })
	if len(entries) == 0 {
		s.dec.Fail("no entries")
	}
	return entries
}

// noteEntry reads the name of an entry, in lower case.
func (s *session) noteEntry() string {
	name := s.dec.AString()
	if s.dec.Err() == nil && !isNoteName(name) {
		s.dec.Fail("that cannot be the name of an entry")
	}
	return strings.ToLower(name)
}

// isNoteName holds a name against RFC 5464 section 3.2. The scope alone is none that a
// value could have, but what a client asks for to learn of all entries below it.
func isNoteName(name string) bool {
	for i := range len(name) {
		if c := name[i]; c < ' ' || c >= 0x7f || c == '*' || c == '%' {
			return false
		}
	}
	name = strings.ToLower(name) + "/"
	return (strings.HasPrefix(name, mailbox.PrivateAnnotation) || strings.HasPrefix(name, mailbox.SharedAnnotation)) &&
		!strings.Contains(name, "//")
}

// choose decides which entries are told, each once, and how large the largest is that is
// larger than the client takes; 0 = none is. An entry that is asked for by its name and is
// not there is told to have no value.
func (q *noteQuery) choose(set notes) (found []string, longest int) {
	seen := make(map[string]bool)
	add := func(name string) {
		if seen[name] {
			return
		}
		seen[name] = true
		if value, _ := set.Get(name); uint64(len(value)) > q.maxSize {
			longest = max(longest, len(value))
			return
		}
		found = append(found, name)
	}
	var all []string
	if q.depth > 0 {
		all = set.Names()
	}
	for _, entry := range q.entries {
		had := len(seen)
		if _, ok := set.Get(entry); ok {
			add(entry)
		}
		for _, name := range all {
			if below, ok := strings.CutPrefix(name, entry+"/"); ok && strings.Count(below, "/") < q.depth {
				add(name)
			}
		}
		if len(seen) == had {
			add(entry)
		}
	}
	return found, longest
}

// tellNotes writes a METADATA response with values (RFC 5464 section 4.4.1).
func (s *session) tellNotes(name string, set notes, entries []string) {
	if len(entries) == 0 {
		return // the grammar knows no empty list
	}
	s.enc.Text("* METADATA ").Mailbox(name).Text(" (")
	for i, entry := range entries {
		if i > 0 {
			s.enc.Text(" ")
		}
		s.enc.AString(entry).Text(" ")
		if value, ok := set.Get(entry); ok {
			s.enc.Octets(value)
		} else {
			s.enc.Text("NIL")
		}
	}
	s.enc.Text(")\r\n")
}

// setMetadata is RFC 5464 section 4.3.
func (s *session) setMetadata(r *request) (reply, error) {
	s.dec.SP()
	name := s.dec.Mailbox()
	s.dec.SP()
	list := s.noteValues()
	s.dec.End()
	if err := s.dec.Err(); err != nil {
		if _, large := errors.AsType[*wire.LiteralTooLargeError](err); large {
			err = mailbox.ErrAnnotationSize // larger than any string, and so than any value
		}
		return reply{}, err
	}
	id, err := s.annotated(r, name)
	if err != nil {
		return reply{}, err
	}
	need := mailbox.RightLookup
	if slices.ContainsFunc(list, isShared) {
		need |= mailbox.RightWrite // what others see is changed like their flags
	}
	if err := s.options.Store.Annotate(s.ctx, s.account.ID, id, list, s.permit(need)); err != nil {
		return reply{}, err
	}
	s.noted(id, list)
	return reply{}, nil
}

func isShared(a mailbox.Annotation) bool { return strings.HasPrefix(a.Name, mailbox.SharedAnnotation) }

// noteValues reads entries with their values. Of an entry that is named twice the last
// value counts.
func (s *session) noteValues() (list []mailbox.Annotation) {
	s.dec.List(func() {
		one := mailbox.Annotation{Name: s.noteEntry()}
		if s.dec.Err() == nil && !isNoteWithValue(one.Name) {
			s.dec.Fail("an entry of that name cannot have a value")
		}
		s.dec.SP()
		if value, ok := s.dec.NString(); ok {
			one.Value = []byte(value)
		}
		list = slices.DeleteFunc(list, func(a mailbox.Annotation) bool { return a.Name == one.Name })
		list = append(list, one)
	})
	if len(list) == 0 {
		s.dec.Fail("no entries")
	}
	return list
}

// isNoteWithValue reports whether an entry can have a value: its name has two levels, and
// below "vendor" four (RFC 5464 section 3.2).
func isNoteWithValue(name string) bool {
	levels := strings.Split(name, "/")[1:]
	return len(levels) >= 4 || len(levels) >= 2 && levels[1] != "vendor"
}
