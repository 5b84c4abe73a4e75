package imap

import (
	"cmp"
	"errors"
	"slices"
	"strings"

	goimap "github.com/emersion/go-imap/v2"

	"mailstead/mailbox"
)

// needs are the rights that a command has to have (RFC 4314 section 4).
type needs struct {
	named    mailbox.Rights // on the mailbox that it names, or that messages come into
	anyOf    mailbox.Rights // one of these on it
	above    mailbox.Rights // on the nearest mailbox above the name that is made
	selected mailbox.Rights // on the selected mailbox, which was opened with r
}

// rightsOfCommands is the one table of them. What is not in it needs none, or the r that
// the selected mailbox was opened with. A message is put in, and changed, with the flags
// that s, w and t allow.
var rightsOfCommands = map[string]needs{
	"SELECT":       {named: mailbox.RightRead},
	"EXAMINE":      {named: mailbox.RightRead},
	"STATUS":       {named: mailbox.RightRead},
	"ESEARCH":      {named: mailbox.RightRead},
	"GETQUOTA":     {named: mailbox.RightRead},
	"GETQUOTAROOT": {named: mailbox.RightRead},
	"CREATE":       {above: mailbox.RightCreate},
	"DELETE":       {named: mailbox.RightDelete},
	"RENAME":       {named: mailbox.RightDelete, above: mailbox.RightCreate},
	"APPEND":       {named: mailbox.RightInsert},
	"COPY":         {named: mailbox.RightInsert},
	"MOVE":         {named: mailbox.RightInsert, selected: mailbox.RightDeleteMessages | mailbox.RightExpunge}, // RFC 6851 section 4.2
	"REPLACE":      {named: mailbox.RightInsert, selected: mailbox.RightDeleteMessages | mailbox.RightExpunge}, // RFC 8508 section 4.1
	"EXPUNGE":      {selected: mailbox.RightExpunge},
	"CLOSE":        {selected: mailbox.RightExpunge},
	"SETACL":       {named: mailbox.RightAdmin},
	"DELETEACL":    {named: mailbox.RightAdmin},
	"GETACL":       {named: mailbox.RightAdmin},
	"LISTRIGHTS":   {named: mailbox.RightAdmin},
	"GETMETADATA":  {named: mailbox.RightLookup, anyOf: noteRights},
	"SETMETADATA":  {named: mailbox.RightLookup, anyOf: noteRights}, // and w for shared entries
	"MYRIGHTS": {anyOf: mailbox.RightLookup | mailbox.RightRead | mailbox.RightInsert | mailbox.RightCreate |
		mailbox.RightDelete | mailbox.RightAdmin},
}

// writeRights are those of which one makes a mailbox more than READ-ONLY (RFC 4314
// section 5.2): all flags are shared.
const writeRights = mailbox.RightInsert | mailbox.RightExpunge | mailbox.RightSeen | mailbox.RightWrite | mailbox.RightDeleteMessages

// noteRights are those of which one, with l, makes a mailbox's entries seen and set (RFC
// 5464 section 3.3).
const noteRights = mailbox.RightRead | mailbox.RightSeen | mailbox.RightWrite | mailbox.RightInsert | mailbox.RightPost

// needs are those of the request's command.
func (r *request) needs() needs { return rightsOfCommands[r.name] }

var errNoRight = no(goimap.ResponseCodeNoPerm, "that is not permitted here")

// refusal says how a command is refused for lack of rights: what cannot be listed is not
// there for the client (RFC 4314 section 6).
func refusal(rights mailbox.Rights) error {
	if rights.Has(mailbox.RightLookup) {
		return errNoRight
	}
	return mailbox.ErrNoMailbox
}

// allows asks whether rights are those that a command needs on the mailbox it names.
func (n needs) allows(rights mailbox.Rights) error {
	if !rights.Has(n.named) || n.anyOf != 0 && rights&n.anyOf == 0 {
		return refusal(rights)
	}
	return nil
}

// othersPrefix is in front of the names of others' mailboxes, with the owner's between.
const othersPrefix = mailbox.OtherUsers + delimiter

// isOthers reports whether a name is one of others' mailboxes.
func isOthers(name string) bool {
	return name == mailbox.OtherUsers || strings.HasPrefix(name, othersPrefix)
}

// place is where the store has a mailbox.
type place struct {
	account mailbox.AccountID // the owner
	name    string            // within that account
	prefix  string            // that the client's name has in front of it
	sent    string            // the client's name, as it spelt it
}

// shown is the name that the client knows.
func (p place) shown() string { return p.prefix + p.name }

// place finds out whose mailbox a name is, whether that is there or not. The names of
// others' mailboxes begin with "Other Users/ACCOUNT/": an account's name has one "@", with
// no slash behind it, so that it ends at the first slash there. ErrNoMailbox where there is
// no such account.
func (s *session) place(sent string) (place, error) {
	name := mailbox.CanonicalName(sent)
	if !isOthers(name) {
		return place{account: s.account.ID, name: name, sent: sent}, nil
	}
	rest := strings.TrimPrefix(name, othersPrefix)
	at := strings.IndexByte(rest, '@')
	owner, within, found := strings.Cut(rest[max(at, 0):], delimiter)
	if at < 0 || !found || within == "" {
		return place{}, mailbox.ErrNoMailbox
	}
	owner = rest[:at] + owner
	e, err := s.options.Directory.Account(owner)
	if err != nil || e.Name != owner || e.ID == s.account.ID {
		return place{}, mailbox.ErrNoMailbox
	}
	return place{account: e.ID, name: mailbox.CanonicalName(within), prefix: othersPrefix + owner + delimiter, sent: sent}, nil
}

// named finds the mailbox that a command names, and asks for the rights that it needs there.
// The description has the name that the client knows.
func (s *session) named(name string, n needs) (place, mailbox.Info, error) {
	p, err := s.place(name)
	if err != nil {
		return p, mailbox.Info{}, err
	}
	info, err := s.options.Store.Access(s.account.ID, p.account, p.name)
	if err != nil {
		return p, mailbox.Info{}, s.unknown(p, err)
	}
	info.Name = p.shown()
	return p, info, n.allows(info.Rights)
}

// onlyNamed reads the arguments of a command that has a mailbox's name and nothing else,
// and is named for it.
func (s *session) onlyNamed(r *request) (place, mailbox.Info, error) {
	s.dec.SP()
	name := s.dec.Mailbox()
	s.dec.End()
	if err := s.dec.Err(); err != nil {
		return place{}, mailbox.Info{}, err
	}
	return s.named(name, r.needs())
}

// unknown is the error of a mailbox that is not there: that its owner has gone just now is
// nothing else.
func (s *session) unknown(p place, err error) error {
	if p.account != s.account.ID && errors.Is(err, mailbox.ErrNoAccount) {
		return mailbox.ErrNoMailbox
	}
	return err
}

// openNamed is named for a mailbox that is opened.
func (s *session) openNamed(name string, n needs) (*mailbox.Mailbox, mailbox.Info, error) {
	p, err := s.place(name)
	if err != nil {
		return nil, mailbox.Info{}, err
	}
	m, err := s.options.Store.OpenMailbox(s.ctx, p.account, p.name)
	if err != nil {
		return nil, mailbox.Info{}, s.unknown(p, err)
	}
	// The rights are those on what was opened, whatever has its name by now; and the
	// description is taken before any view, so that UIDNEXT and HIGHESTMODSEQ never
	// promise more than what is told of it.
	info, err := m.Info()
	if err == nil {
		info.Name, info.Rights = p.shown(), m.Rights(s.account.ID)
		err = n.allows(info.Rights)
	}
	if err != nil {
		m.Close()
		return nil, mailbox.Info{}, err
	}
	return m, info, nil
}

// mayMake asks for the rights that making a mailbox needs.
func (s *session) mayMake(p place, n needs) error {
	rights, err := s.options.Store.AccessAbove(s.account.ID, p.account, p.name)
	if err == nil && !rights.Has(n.above) {
		err = errNoRight
	}
	return err
}

// permit has the store ask once more, when it decides.
func (s *session) permit(rights mailbox.Rights) mailbox.Permit {
	return mailbox.Permit{Account: s.account.ID, Rights: rights}
}

// permitSelected is permit for the selected mailbox.
func (s *session) permitSelected(r *request) mailbox.Permit {
	return s.permit(mailbox.RightRead | r.needs().selected)
}

// mayChange asks whether the command may change the selected mailbox.
func (s *session) mayChange(r *request) error {
	switch {
	case s.selected.readOnly:
		return errReadOnly
	case !s.selected.rights.Has(r.needs().selected):
		return errNoRight
	}
	return nil
}

// followRights looks whether the rights on the selected mailbox are still the same. A
// client that may not read it any more is sent away (RFC 4314 section 5.1.1).
func (s *session) followRights() error {
	sel := s.selected
	rights := sel.mailbox.Rights(s.account.ID)
	if rights == sel.rights || sel.view.Gone() {
		return nil
	}
	sel.rights = rights
	if !rights.Has(mailbox.RightRead) {
		s.deselect()
		s.enc.Text("* BYE [NONEXISTENT] the selected mailbox is not shared any more\r\n")
		return errBye
	}
	sel.readOnly = sel.examined || rights&writeRights == 0
	s.tellFlags()
	return nil
}

// known are all mailboxes that the client may know by name, and what is subscribed to: its
// own mailboxes, and those of others on which it has rights, by the names that it knows.
// Without l a name has to be guessed.
func (s *session) known() (infos []mailbox.Info, subscriptions []string, err error) {
	if infos, err = s.options.Store.Mailboxes(s.account.ID); err != nil {
		return nil, nil, err
	}
	if subscriptions, err = s.options.Store.Subscriptions(s.account.ID); err != nil {
		return nil, nil, err
	}
	var others []mailbox.Info
	for _, info := range s.options.Store.Shared(s.account.ID) {
		if owner, ok := s.options.Directory.NameOf(info.Account); ok {
			info.Name = othersPrefix + owner + delimiter + info.Name
			_, info.Subscribed = slices.BinarySearch(subscriptions, info.Name)
			others = append(others, info)
		}
	}
	slices.SortFunc(others, func(a, b mailbox.Info) int { return cmp.Compare(a.Name, b.Name) })
	return append(infos, others...), subscriptions, nil
}

// names are the mailboxes that the client sees, and what is subscribed to.
func (s *session) names() (infos []mailbox.Info, subscriptions []string, err error) {
	infos, subscriptions, err = s.known()
	infos = slices.DeleteFunc(infos, func(info mailbox.Info) bool { return !info.Rights.Has(mailbox.RightLookup) })
	return infos, subscriptions, err
}
