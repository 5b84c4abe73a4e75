package imap

import (
	"errors"
	"io"
	"net/url"
	"strconv"
	"strings"

	goimap "github.com/emersion/go-imap/v2"

	"mailstead/imap/wire"
	"mailstead/mailbox"
	"mailstead/mailbox/message"
)

const (
	// maxCatenated bounds the parts of one CATENATE: as many as an index knows of a
	// message would be one each.
	maxCatenated = message.MaxParts
	// maxBadURL bounds how much of a URL that leads nowhere is told again, in octets.
	maxBadURL = 1000
)

// catenate reads the parts of a CATENATE (RFC 4469 section 3) into body.
func (in *intake) catenate(body *mailbox.NewBody) error {
	d := in.session.dec
	var failed error
	parts := 0
	d.List(func() {
		if failed != nil {
			return
		}
		if parts++; parts > maxCatenated {
			d.Fail("more than %d parts", maxCatenated)
			return
		}
		if failed = in.part(body); failed != nil {
			d.Fail("the part was refused") // so that nothing behind it is read
		}
	})
	if failed != nil {
		return failed
	}
	if d.Err() == nil && parts == 0 {
		d.Fail("no parts")
	}
	return d.Err()
}

// part reads one part: TEXT with a literal, UTF8 with one in parentheses, or URL.
func (in *intake) part(body *mailbox.NewBody) error {
	d := in.session.dec
	kind := d.Word()
	d.SP()
	switch kind {
	case "TEXT":
		if size, ok := d.PeekLiteral(); ok && size == 0 {
			d.MessageLiteral(0)
			d.EndLiteral()
			return d.Err()
		}
		return in.literal(body)
	case "UTF8":
		return in.utf8(body)
	case "URL":
		text := d.AString()
		if err := d.Err(); err != nil {
			return err
		}
		return in.copyURL(body, text)
	}
	d.Fail("expected TEXT or URL")
	return d.Err()
}

// copyURL copies what a URL names into body.
func (in *intake) copyURL(body *mailbox.NewBody, text string) error {
	u, ok := parseMessageURL(text)
	if !ok {
		return badURL(text)
	}
	m, release, err := in.source(u.mailbox)
	var refused *goimap.Error
	if errors.Is(err, mailbox.ErrNoMailbox) || errors.As(err, &refused) {
		return badURL(text)
	}
	if err != nil {
		return err
	}
	defer release()
	err = in.copyMessage(body, m, u)
	if errors.Is(err, errNoPart) || errors.Is(err, mailbox.ErrGone) {
		return badURL(text)
	}
	return err
}

// source opens the mailbox that a URL names until release; "" is the selected one.
func (in *intake) source(name string) (m *mailbox.Mailbox, release func(), err error) {
	s := in.session
	if name != "" {
		if m, _, err = s.openNamed(name, rightsOfCommands["SELECT"]); err != nil {
			return nil, nil, err
		}
		return m, m.Close, nil
	}
	// The parts before this one may have taken long to come.
	if s.selected == nil || !s.selected.mailbox.Rights(s.account.ID).Has(mailbox.RightRead) {
		return nil, nil, mailbox.ErrNoMailbox
	}
	return s.selected.mailbox, func() {}, nil
}

// errNoPart says that a URL names nothing that is there.
var errNoPart = errors.New("imap: no such message or part")

// copyMessage copies what u names of a message of m.
func (in *intake) copyMessage(body *mailbox.NewBody, m *mailbox.Mailbox, u messageURL) error {
	info, err := m.Info()
	if err != nil {
		return err
	}
	if u.validity != 0 && u.validity != info.UIDValidity {
		return errNoPart
	}
	view := m.View(false)
	seq, ok := view.Seq(u.uid)
	rows := view.Rows(nil, seq, seq)
	if !ok || len(rows) == 0 {
		return errNoPart
	}
	stored, err := in.session.options.Store.OpenBody(rows[0].Body)
	if err != nil {
		return err
	}
	defer stored.Close()
	off, size, fields, err := in.session.locate(rows[0].Message, u.section, stored)
	if err != nil {
		return err
	}
	var data io.ReaderAt = stored
	if fields != nil {
		data, off, size = strings.NewReader(string(fields)), 0, int64(len(fields))
	}
	from, size := u.section.clip(size)
	if size == 0 {
		return nil
	}
	if err := in.admits(body.Size(), size); err != nil {
		return err
	}
	_, err = io.Copy(body, io.NewSectionReader(data, off+from, size))
	return err
}

// locate finds a section in a stored message; header fields that were picked out come
// back in fields.
func (s *session) locate(msg mailbox.Message, b *bodySection, stored *mailbox.Body) (off, size int64, fields []byte, err error) {
	if b.whole() {
		return 0, stored.Size(), nil, nil
	}
	found := false
	err = s.options.Store.Indexes([]mailbox.Message{msg}, func(_ int, v message.View) error {
		off, size, found = v.Section(b.path, b.what)
		return nil
	})
	switch {
	case err != nil:
		return 0, 0, nil, err
	case !found || off+size > stored.Size():
		return 0, 0, nil, errNoPart
	case b.fields == nil:
		return off, size, nil, nil
	}
	header := make([]byte, min(size, maxFilteredHeader))
	if n, err := stored.ReadAt(header, off); n < len(header) {
		return 0, 0, nil, err
	}
	return 0, 0, message.AppendHeaderFields([]byte{}, header, b.fields), nil
}

// messageURL is a URL of a message, or of a part of one (RFC 5092).
type messageURL struct {
	mailbox  string // "" = the selected one
	validity uint32 // 0 = any
	uid      goimap.UID
	section  *bodySection
}

// parseMessageURL reads a URL that is relative to the account's server (RFC 5092 section
// 7.2), "/mailbox;UIDVALIDITY=n/;UID=n/;SECTION=s/;PARTIAL=n.n", or to the selected
// mailbox, from ";UID=" on. ok is false for any other.
func parseMessageURL(text string) (u messageURL, ok bool) {
	place, rest, found := cutFold(text, ";UID=")
	if !found {
		return u, false
	}
	if place != "" {
		if u, ok = parsePlace(place); !ok {
			return u, false
		}
	}
	section, partial := "", ""
	if rest, partial, found = cutFold(rest, "/;PARTIAL="); found && partial == "" {
		return u, false
	}
	uid, section, found := cutFold(rest, "/;SECTION=")
	if found && section == "" {
		return u, false
	}
	n, err := strconv.ParseUint(strings.TrimSuffix(uid, "/"), 10, 32)
	if err != nil || n == 0 {
		return u, false
	}
	u.uid = goimap.UID(n)
	u.section, ok = sectionOfURL(section, partial)
	return u, ok
}

// parsePlace reads "/mailbox/", with or without a UIDVALIDITY. The name is UTF-8 in
// percent-encoding.
func parsePlace(place string) (u messageURL, ok bool) {
	if place == "/" {
		return u, true // the selected mailbox
	}
	encoded, ok := strings.CutPrefix(place, "/")
	encoded, slash := strings.CutSuffix(encoded, "/")
	encoded, validity, found := cutFold(encoded, ";UIDVALIDITY=")
	if found {
		n, err := strconv.ParseUint(validity, 10, 32)
		if err != nil || n == 0 {
			return u, false
		}
		u.validity = uint32(n)
	}
	name, err := url.PathUnescape(encoded)
	u.mailbox = wire.CanonicalInbox(name)
	return u, ok && slash && err == nil && name != ""
}

// sectionOfURL reads a section as FETCH has it, and a partial, whose second number may be
// left out.
func sectionOfURL(encoded, partial string) (*bodySection, bool) {
	spec, err := url.PathUnescape(encoded)
	if err != nil || strings.ContainsAny(spec, "\r\n{]<") {
		return nil, false
	}
	text := "BODY.PEEK[" + spec + "]"
	if partial != "" {
		if !strings.Contains(partial, ".") {
			partial += "." + strconv.FormatInt(1<<63-1, 10)
		}
		text += "<" + partial + ">"
	}
	d := wire.NewDecoder(strings.NewReader(text+"\r\n"), wire.Limits{}, wire.Hooks{})
	defer d.Reset(nil)
	if d.Next() != nil {
		return nil, false
	}
	p := &fetchPlan{}
	p.parseItem(d, d.Word())
	d.End()
	if d.Err() != nil {
		return nil, false
	}
	return p.items[0].section, true
}

// cutFold cuts s around the first separator, in any case of its letters.
func cutFold(s, separator string) (before, after string, found bool) {
	for i := 0; i+len(separator) <= len(s); i++ {
		if wire.EqualFold(s[i:i+len(separator)], separator) {
			return s[:i], s[i+len(separator):], true
		}
	}
	return s, "", false
}

// badURL is the refusal of a URL that leads nowhere (RFC 4469 section 4.1). What of it
// may not stand in a response code is percent-encoded.
func badURL(text string) error {
	var b strings.Builder
	for i := range min(len(text), maxBadURL) {
		if c := text[i]; c > ' ' && c < 0x7f && c != ']' && c != '"' && c != '\\' {
			b.WriteByte(c)
		} else {
			b.WriteString("%" + strings.ToUpper(strconv.FormatUint(uint64(c)|0x100, 16)[1:]))
		}
	}
	return no(goimap.ResponseCode("BADURL \""+b.String()+"\""), "the URL names nothing here")
}
