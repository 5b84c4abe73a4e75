package imap

import (
	"slices"
	"strconv"

	goimap "github.com/emersion/go-imap/v2"

	"mailstead/mailbox"
)

// selected is the mailbox a session has selected, and its view of it.
type selected struct {
	mailbox    *mailbox.Mailbox
	view       *mailbox.View
	validity   uint32 // UIDVALIDITY, which no other mailbox has
	rights     mailbox.Rights
	examined   bool             // opened by EXAMINE
	readOnly   bool             // examined, or there is no right to change anything
	contexts   []*searchContext // searches that are kept up to date
	saved      goimap.UIDSet    // "$": what the last search with SAVE found (RFC 5182), as ranges that hold no other message
	hideRecent bool             // from the client: it is one of IMAP4rev2

	keywords  int        // how many of the mailbox's keywords the client was told of
	flagForms []flagForm // by Message.FlagsID
	rows      []mailbox.Row

	unfollow func()       // ends the watch for NOTIFY; nil = there is none
	made     []goimap.UID // messages that came by this session, while NOTIFY asks
}

// flagForm is the wire form of a flag set, without \Recent and parentheses. The store
// may number its sets anew, so a form says which set it is of.
type flagForm struct {
	flags mailbox.FlagSet
	form  []byte // nil = not made yet
	short block  // the same; empty where it is too long for one
}

// rowsAtOnce is how many messages are taken from the view at a time, between writes
// to the client.
const rowsAtOnce = 256

// deselect gives the selected mailbox back, if there is one.
func (s *session) deselect() {
	if s.selected == nil {
		return
	}
	if s.selected.unfollow != nil {
		s.selected.unfollow()
	}
	s.selected.mailbox.Close()
	s.selected = nil
	s.state = stateLoggedIn
}

// span is a run of sequence numbers, both ends included.
type span struct{ from, to uint32 }

// numbers reads the message set of a command: UIDs after UID, else sequence numbers,
// and returns it as runs of sequence numbers of the view, ascending. Unknown UIDs are
// passed over (RFC 3501 section 6.4.8); a sequence number beyond the mailbox is a
// mistake of the client, but "1:*" of an empty mailbox is none of it.
func (s *session) numbers(r *request) []span {
	if s.dec.Accept('$') { // RFC 5182 section 2.1: whether UIDs are asked for or not
		r.set = s.selected.saved
		return s.selected.spansOfUIDs(r.set)
	}
	if r.uid {
		set := s.dec.UIDSet()
		r.set = set
		if !s.lookAhead(r, set.Dynamic()) {
			return nil
		}
		return s.selected.spansOfUIDs(set)
	}
	set := s.dec.SeqSet()
	if !s.lookAhead(r, set.Dynamic()) {
		return nil
	}
	spans, ok := s.selected.spansOf(set)
	if !ok {
		s.dec.Fail("there are only %d messages", s.selected.view.Len())
	}
	return spans
}

// lookAhead tells the news that come before the command, if its set reaches to "*". It
// reports false when the mailbox turns out to be gone.
func (s *session) lookAhead(r *request, reaches bool) bool {
	if !reaches || s.dec.Err() != nil {
		return true
	}
	if s.farewell = s.tellNews(r.mayTellAhead()); s.farewell != nil {
		s.dec.Fail("the mailbox was deleted")
		return false
	}
	return true
}

// spansOf resolves "*" and checks that all numbers exist.
func (sel *selected) spansOf(set goimap.SeqSet) (spans []span, ok bool) {
	n := sel.view.Len()
	for _, r := range set {
		sp := span{r.Start, r.Stop}
		if r.Stop == 0 { // "n:*" holds the last message whatever n is
			if n == 0 {
				continue
			}
			sp.to = n
			if r.Start == 0 || r.Start > n {
				sp.from = n
			}
		}
		if sp.to > n {
			return nil, false
		}
		if len(spans) == 0 || sp.from > spans[len(spans)-1].to {
			spans = append(spans, sp)
		}
	}
	return spans, true
}

// spansOfUIDs finds the messages of the view whose UID is in set. "n:*" always holds
// the last message, also if its UID is below n.
func (sel *selected) spansOfUIDs(set goimap.UIDSet) []span {
	uids := sel.view.UIDs()
	if len(uids) == 0 {
		return nil
	}
	last := uids[len(uids)-1]
	var spans []span
	for _, r := range set {
		from, to := r.Start, r.Stop
		if to == 0 {
			to = last
		}
		if from == 0 || r.Stop == 0 && from > last {
			from = last
		}
		i, _ := slices.BinarySearch(uids, from)
		j, found := slices.BinarySearch(uids, to)
		if found {
			j++
		}
		if i >= j || len(spans) > 0 && uint32(i) < spans[len(spans)-1].to {
			continue // nothing there, or the last message once more
		}
		spans = append(spans, span{uint32(i) + 1, uint32(j)})
	}
	return spans
}

// uidsOf lists the UIDs of the spans, ascending.
func (sel *selected) uidsOf(spans []span) []goimap.UID {
	uids := sel.view.UIDs()
	var out []goimap.UID
	for _, sp := range spans {
		out = append(out, uids[sp.from-1:sp.to]...)
	}
	return out
}

// each calls f with each message of the spans that is still there, a few hundred
// between two looks at the store. f may write to the client.
func (sel *selected) each(spans []span, f func(row *mailbox.Row) error) error {
	for _, sp := range spans {
		for from := sp.from; from <= sp.to; from += rowsAtOnce {
			to := min(sp.to, from+rowsAtOnce-1)
			rows := sel.take(from, to)
			for i := range rows {
				if err := f(&rows[i]); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// take returns the messages that are still there of the sequence numbers from to to,
// at most rowsAtOnce; the slice is valid until the next call.
func (sel *selected) take(from, to uint32) []mailbox.Row {
	sel.rows = sel.view.Rows(sel.rows[:0], from, to)
	return sel.rows
}

// appendFlags appends the flags of a message as a parenthesised list. It allocates
// nothing but for the first message with a set of flags.
func (sel *selected) appendFlags(dst []byte, m *mailbox.Message) []byte {
	dst = append(dst, sel.flagForm(m)...)
	if sel.hideRecent || !sel.view.Recent(m.UID) {
		return dst
	}
	return appendRecent(dst)
}

// appendRecent adds \Recent to a list of flags that dst ends with.
func appendRecent(dst []byte) []byte {
	dst = dst[:len(dst)-1] // the parenthesis
	if dst[len(dst)-1] != '(' {
		dst = append(dst, ' ')
	}
	return append(dst, `\Recent)`...)
}

// hasFlagForm reports whether flagForm has nothing to note.
func (sel *selected) hasFlagForm(m *mailbox.Message) bool {
	id := int(m.FlagsID)
	return id < len(sel.flagForms) && sel.flagForms[id].form != nil && sel.flagForms[id].flags == m.Flags
}

// flagForm returns the wire form of a message's flags, in parentheses, without \Recent.
func (sel *selected) flagForm(m *mailbox.Message) []byte {
	id := int(m.FlagsID)
	if sel.hasFlagForm(m) {
		return sel.flagForms[id].form
	}
	if id >= len(sel.flagForms) {
		sel.flagForms = append(sel.flagForms, make([]flagForm, id+1-len(sel.flagForms))...)
	}
	form := []byte{'('}
	for i, f := range flagsOf(m.Flags, sel.mailbox.Keywords()) {
		if i > 0 {
			form = append(form, ' ')
		}
		form = append(form, f...)
	}
	form = append(form, ')')
	made := flagForm{flags: m.Flags, form: form}
	if short, ok := blockOf(form); ok {
		made.short = short
	}
	sel.flagForms[id] = made
	return form
}

// systemFlags are the flags of every mailbox, in the order of their bits.
var systemFlags = []goimap.Flag{
	mailbox.FlagSeen:     goimap.FlagSeen,
	mailbox.FlagAnswered: goimap.FlagAnswered,
	mailbox.FlagFlagged:  goimap.FlagFlagged,
	mailbox.FlagDeleted:  goimap.FlagDeleted,
	mailbox.FlagDraft:    goimap.FlagDraft,
}

// flagsOf names the flags of a set.
func flagsOf(set mailbox.FlagSet, keywords []string) []goimap.Flag {
	var flags []goimap.Flag
	for bit, f := range systemFlags {
		if set.Has(bit) {
			flags = append(flags, f)
		}
	}
	for k, name := range keywords {
		if set.Has(mailbox.KeywordBit + k) {
			flags = append(flags, goimap.Flag(name))
		}
	}
	return flags
}

// tellKeywords tells which flags the mailbox has, when there are more than the client
// knows: before any response that has one of them (RFC 3501 section 7.2.6).
func (s *session) tellKeywords() {
	if len(s.selected.mailbox.Keywords()) > s.selected.keywords {
		s.tellFlags()
	}
}

// tellFlags writes FLAGS and PERMANENTFLAGS.
func (s *session) tellFlags() {
	keywords := s.selected.mailbox.Keywords()
	s.selected.keywords = len(keywords)
	flags := slices.Clone(systemFlags)
	for _, k := range keywords {
		flags = append(flags, goimap.Flag(k))
	}
	s.enc.Text("* FLAGS ").Flags(flags).CRLF()
	permanent := s.selected.settable(flags)
	if s.selected.maySet(mailbox.KeywordBit) && len(keywords) < mailbox.MaxKeywords {
		permanent = append(permanent, goimap.FlagWildcard) // there is room for new ones
	}
	s.enc.Text("* OK [PERMANENTFLAGS ").Flags(permanent).Text("] flags that are kept\r\n")
}

// maySet reports whether the client may change the flag of a bit (RFC 4314 section 4).
func (sel *selected) maySet(bit int) bool { return !sel.readOnly && sel.rights.Flags().Has(bit) }

// settable returns those of flags that the client may change.
func (sel *selected) settable(flags []goimap.Flag) (list []goimap.Flag) {
	for _, f := range flags {
		bit := systemBit(f)
		if bit < 0 {
			bit = mailbox.KeywordBit
		}
		if sel.maySet(bit) {
			list = append(list, f)
		}
	}
	return list
}

// tellNews tells what happened to the selected mailbox since the last time.
func (s *session) tellNews(what news) error { return s.tellHappened(what, false) }

// tellHappened tells what happened to the selected mailbox, as far as the client wants to
// hear it (RFC 5465 section 3.1). It hears of all if it has just done away with messages
// itself: their numbers are gone.
func (s *session) tellHappened(what news, own bool) error {
	if what == newsNone || s.selected == nil {
		return nil
	}
	if err := s.followRights(); err != nil {
		return err
	}
	view := s.selected.view
	if !own && !s.notify.wants(notifyMessages) && !view.Gone() {
		return nil
	}
	had := view.Len()
	u := view.Update(what == newsAll)
	if !s.notify.wants(notifyFlags) {
		u.Changed = nil
	}
	if u.Gone {
		s.deselect()
		s.enc.Text("* BYE [NONEXISTENT] the selected mailbox was deleted\r\n")
		return errBye
	}
	s.tellUpdate(&u)
	if u.Exists {
		if err := s.tellArrivals(had - uint32(len(u.Expunged)) + 1); err != nil {
			return err
		}
	}
	if err := s.tellContexts(); err != nil {
		return err
	}
	return s.enc.Err()
}

// tellUpdate writes the responses of an update (RFC 3501 sections 7.3 and 7.4).
func (s *session) tellUpdate(u *mailbox.Update) {
	s.tellContextsGone(u)
	s.tellGone(u)
	if u.Exists {
		s.tellSize()
	}
	if len(u.Changed) == 0 {
		return
	}
	s.tellKeywords()
	for i := range u.Changed {
		s.tellRow(&u.Changed[i], true)
	}
}

// tellSize writes EXISTS and, which IMAP4rev2 has not, RECENT.
func (s *session) tellSize() {
	view := s.selected.view
	s.enc.Text("* ").Number(uint64(view.Len())).Text(" EXISTS\r\n")
	if s.rev2 {
		return
	}
	s.enc.Text("* ").Number(uint64(view.RecentCount())).Text(" RECENT\r\n")
}

// tellRow writes the FETCH response of a change of flags: always with the UID, which
// every client may be told, and with MODSEQ where the client knows it (RFC 7162
// section 3.1). Without flags, only these.
func (s *session) tellRow(row *mailbox.Row, flags bool) {
	b := s.appendRowStart(s.enc.Buf(), row, new(counter))
	if !s.uidOnly {
		b = append(b, "UID "...)
		b = strconv.AppendUint(b, uint64(row.UID), 10)
		b = append(b, ' ')
	}
	if flags {
		b = append(b, "FLAGS "...)
		b = s.selected.appendFlags(b, &row.Message)
		b = append(b, ' ')
	}
	if s.condstore {
		s.modSeqs = true
		b = append(b, "MODSEQ ("...)
		b = strconv.AppendUint(b, uint64(row.ModSeq), 10)
		b = append(b, ") "...)
	}
	s.enc.SetBuf(append(b[:len(b)-1], ")\r\n"...)) // the parenthesis takes the last space's place
}

// appendRowStart begins the response that tells of a message, which a client without
// sequence numbers knows by its UID (RFC 9586 section 3.5).
func (s *session) appendRowStart(b []byte, row *mailbox.Row, numbers *counter) []byte {
	number := row.Seq
	if s.uidOnly {
		number = uint32(row.UID)
	}
	return append(numbers.append(append(b, "* "...), number), s.rowName()...)
}

// rowName is what stands between the number of a message and what is told of it.
func (s *session) rowName() string {
	if s.uidOnly {
		return " UIDFETCH ("
	}
	return " FETCH ("
}
