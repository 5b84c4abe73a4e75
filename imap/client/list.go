package client

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	goimap "github.com/emersion/go-imap/v2"

	"mailstead/imap/wire"
)

// Mailbox is one that a server lists.
type Mailbox struct {
	Raw        string // its name as the server spells it, for commands
	Name       string // UTF-8, "/" between levels; "/" within a level is "_"
	Attributes []goimap.MailboxAttr
	Subscribed bool
}

// Has says whether the mailbox has an attribute.
func (m *Mailbox) Has(a goimap.MailboxAttr) bool {
	for _, have := range m.Attributes {
		if strings.EqualFold(string(have), string(a)) {
			return true
		}
	}
	return false
}

// MaxMailboxes bounds the mailboxes that a server may list: an account of ours has 5000.
const MaxMailboxes = 10_000

// List lists all mailboxes, with their special uses (RFC 6154 section 2) where the server
// knows any, and whether they are subscribed.
func (c *Conn) List() ([]Mailbox, error) {
	list, err := c.list(`LIST "" "*"`, "LIST")
	if err != nil {
		return nil, fmt.Errorf("LIST: %w", err)
	}
	subscribed, err := c.list(`LSUB "" "*"`, "LSUB")
	if err != nil && !IsRefusal(err) {
		return nil, fmt.Errorf("LSUB: %w", err)
	}
	names := map[string]bool{}
	for _, m := range subscribed {
		names[m.Raw] = true
	}
	for i := range list {
		list[i].Subscribed = err == nil && names[list[i].Raw]
	}
	return list, nil
}

func (c *Conn) list(command, name string) ([]Mailbox, error) {
	var list []Mailbox
	seen := map[string]bool{}
	tag, err := c.start(command)
	if err != nil {
		return nil, err
	}
	err = c.await(tag, MaxMailboxes+maxAside, func(r *response) error {
		if r.name != name {
			return nil
		}
		values, err := c.in.rest()
		if err != nil {
			return err
		}
		m, err := mailboxOf(values)
		if err != nil || seen[m.Raw] {
			return err
		}
		seen[m.Raw] = true
		if list = append(list, m); len(list) > MaxMailboxes {
			return fmt.Errorf("%w: more than %d mailboxes", ErrProtocol, MaxMailboxes)
		}
		return nil
	})
	return list, err
}

// mailboxOf reads the data of LIST and LSUB, RFC 3501 section 7.2.2.
func mailboxOf(values []value) (m Mailbox, err error) {
	if len(values) < 3 || !values[0].isList || values[1].isList || values[2].isList {
		return m, fmt.Errorf("%w: a mailbox of %d words", ErrProtocol, len(values))
	}
	for _, a := range texts(values[0].list) {
		m.Attributes = append(m.Attributes, goimap.MailboxAttr(a))
	}
	delimiter := ""
	if !values[1].isNil {
		delimiter = values[1].text
	}
	m.Raw = values[2].text
	m.Name = nameOf(m.Raw, delimiter)
	return m, nil
}

// nameOf reads a mailbox's name: modified UTF-7 (RFC 3501 section 5.1.3), or the UTF-8
// that some servers send, or else the octets.
func nameOf(raw, delimiter string) string {
	if strings.EqualFold(raw, "INBOX") {
		return "INBOX"
	}
	levels := []string{raw}
	if delimiter != "" {
		levels = strings.Split(raw, delimiter)
	}
	for i, level := range levels {
		if decoded, err := wire.DecodeUTF7(level); err == nil {
			level = decoded
		} else if !utf8.ValidString(level) {
			level = strings.ToValidUTF8(level, "_")
		}
		levels[i] = strings.ReplaceAll(level, "/", "_")
	}
	if strings.EqualFold(levels[0], "INBOX") {
		levels[0] = "INBOX"
	}
	return strings.Join(levels, "/")
}

// Prefix is what the names of a user's own mailboxes begin with and what stands between
// their levels, by NAMESPACE (RFC 2342) or LIST.
func (c *Conn) Prefix() (prefix, delimiter string, err error) {
	has, err := c.Has("NAMESPACE")
	if err != nil {
		return "", "", err
	}
	found := false
	note := func(r *response) error {
		if r.name != "NAMESPACE" && r.name != "LIST" || found {
			return nil
		}
		values, err := c.in.rest()
		if err != nil {
			return err
		}
		prefix, delimiter, found = prefixOf(values)
		return nil
	}
	if has {
		if err := c.command(note, "NAMESPACE"); err != nil && !IsRefusal(err) {
			return "", "", fmt.Errorf("NAMESPACE: %w", err)
		}
	}
	if !found {
		if err := c.command(note, `LIST "" ""`); err != nil && !IsRefusal(err) {
			return "", "", fmt.Errorf("LIST: %w", err)
		}
	}
	return prefix, delimiter, nil
}

// prefixOf reads the first personal namespace, or the answer to LIST of nothing.
func prefixOf(values []value) (prefix, delimiter string, ok bool) {
	switch {
	case len(values) >= 3 && values[0].isList && !values[1].isList && !values[1].isNil && len(values[1].text) == 1:
		return "", values[1].text, true
	case len(values) == 0 || !values[0].isList || len(values[0].list) == 0 || len(values[0].list[0].list) < 2:
		return "", "", false
	}
	pair := values[0].list[0].list
	if pair[1].isNil {
		return pair[0].text, "", true
	}
	return pair[0].text, pair[1].text, true
}

// Selected is what a server says of the mailbox that is open.
type Selected struct {
	Raw         string
	Messages    uint32
	UIDValidity uint32
}

// Examine opens a mailbox for reading, RFC 3501 section 6.3.2. *StatusError.
func (c *Conn) Examine(raw string) (Selected, error) {
	if c.selected.Raw == raw && c.selected.UIDValidity != 0 {
		return c.selected, nil
	}
	c.selected = Selected{}
	s := Selected{Raw: raw}
	tag, err := c.startWith("EXAMINE", raw)
	if err != nil {
		return s, err
	}
	err = c.await(tag, maxAside, func(r *response) error {
		switch r.name {
		case "EXISTS":
			s.Messages = r.number
		case "OK":
			if rest, ok := cutPrefixFold(r.text, "[UIDVALIDITY "); ok {
				number, _, _ := strings.Cut(rest, "]")
				n, err := strconv.ParseUint(strings.TrimSpace(number), 10, 32)
				if err != nil {
					return fmt.Errorf("%w: a UIDVALIDITY of %.20q", ErrProtocol, number)
				}
				s.UIDValidity = uint32(n)
			}
		}
		return nil
	})
	if err != nil {
		return s, fmt.Errorf("EXAMINE: %w", err)
	}
	if s.UIDValidity == 0 {
		return s, fmt.Errorf("EXAMINE: %w: no UIDVALIDITY", ErrProtocol)
	}
	c.selected = s
	return s, nil
}

// Create makes a mailbox, and subscribes to it if asked. That it is there already is no error.
func (c *Conn) Create(raw string, subscribe bool) error {
	tag, err := c.startWith("CREATE", raw)
	if err != nil {
		return err
	}
	if err := c.await(tag, maxAside, nil); err != nil && !IsRefusal(err) {
		return fmt.Errorf("CREATE: %w", err)
	}
	if !subscribe {
		return nil
	}
	if tag, err = c.startWith("SUBSCRIBE", raw); err != nil {
		return err
	}
	if err := c.await(tag, maxAside, nil); err != nil && !IsRefusal(err) {
		return fmt.Errorf("SUBSCRIBE: %w", err)
	}
	return nil
}
