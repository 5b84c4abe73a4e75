package imap

import (
	"maps"
	"slices"

	"mailstead/mailbox"
)

// notesKnown is what a client knows of the entries of its mailboxes and of the server,
// when it is told of changes.
type notesKnown struct {
	at  mailbox.ModSeq // of the last change that was looked at
	of  map[mailbox.ID]mailbox.AnnotationSet
	own map[ownNote]string // what the client set itself since
}

// ownNote names an entry that a client set itself.
type ownNote struct {
	id   mailbox.ID
	name string
}

// noNote stands for the value of an entry that the client removed: no value is like it.
const noNote = "\x00removed"

// enableMetadata has the session told of entries that others change (RFC 5464 section 4.1).
func (s *session) enableMetadata() {
	s.metadata = true
	s.followNotes()
}

// followNotes begins to keep what the client knows.
func (s *session) followNotes() {
	if s.notesKnown == nil {
		s.notesKnown = &notesKnown{}
		s.notesKnown.at = s.options.Store.LastAnnotated()
		s.notesKnown.of, _ = s.allNotes() // what cannot be seen now is told of when it can
	}
}

// allNotes are the entries of the server and of all mailboxes whose entries the client may
// see, and the mailboxes' names.
func (s *session) allNotes() (of map[mailbox.ID]mailbox.AnnotationSet, names map[mailbox.ID]string) {
	infos, _, err := s.names()
	if err != nil {
		return nil, nil // the account is gone, and the session's next command says so
	}
	of = map[mailbox.ID]mailbox.AnnotationSet{mailbox.ServerAnnotations: s.options.Store.Annotations(s.account.ID, mailbox.ServerAnnotations)}
	names = map[mailbox.ID]string{mailbox.ServerAnnotations: ""}
	for i := range infos {
		if infos[i].Rights&noteRights == 0 {
			continue
		}
		of[infos[i].ID] = s.options.Store.Annotations(s.account.ID, infos[i].ID)
		names[infos[i].ID] = infos[i].Name
	}
	return of, names
}

// noted remembers what the client set itself: of that it is not told.
func (s *session) noted(id mailbox.ID, list []mailbox.Annotation) {
	if s.notesKnown == nil {
		return
	}
	if s.notesKnown.own == nil {
		s.notesKnown.own = make(map[ownNote]string)
	}
	for _, a := range list {
		value := string(a.Value)
		if a.Value == nil || a.Name == mailbox.SpecialUseAnnotation && value == "" {
			value = noNote
		}
		s.notesKnown.own[ownNote{id, a.Name}] = value
	}
}

// tellNotesChanged tells of entries that others have changed, by their names alone (RFC
// 5464 section 4.4.2): to who said ENABLE METADATA all, to who said NOTIFY what that asked
// for (RFC 5465 sections 5.6 and 5.7).
func (s *session) tellNotesChanged() {
	k := s.notesKnown
	if k == nil || k.at == s.options.Store.LastAnnotated() {
		return
	}
	k.at = s.options.Store.LastAnnotated()
	now, names := s.allNotes()
	for _, id := range slices.Sorted(maps.Keys(now)) {
		changed := slices.DeleteFunc(k.of[id].Changed(now[id]), func(entry string) bool {
			value, ok := now[id].Get(entry)
			if !ok {
				value = noNote
			}
			own, is := k.own[ownNote{id, entry}]
			return is && own == value
		})
		if len(changed) == 0 || !s.hearsOfNotes(id, names[id]) {
			continue
		}
		s.enc.Text("* METADATA ").Mailbox(names[id])
		for _, entry := range changed {
			s.enc.Text(" ").AString(entry)
		}
		s.enc.CRLF()
	}
	k.of, k.own = now, nil
}

// hearsOfNotes reports whether the client is to be told of entries of a mailbox.
func (s *session) hearsOfNotes(id mailbox.ID, name string) bool {
	switch {
	case s.metadata:
		return true
	case s.notify == nil || s.notify.known == nil:
		return false
	case id == mailbox.ServerAnnotations:
		return s.notify.all()&notifyServerNotes != 0
	}
	return s.notify.events(name, s.notify.known.subscribed[name])&notifyNotes != 0
}
