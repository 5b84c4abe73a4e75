package imap

import (
	"cmp"
	"slices"
	"strings"

	goimap "github.com/emersion/go-imap/v2"

	"mailstead/imap/wire"
	"mailstead/mailbox"
)

// delimiter stands between the levels of a mailbox name.
const delimiter = "/"

// node is a name in the hierarchy: a mailbox, a level above one, or a name that is
// only subscribed.
type node struct {
	name       string
	info       *mailbox.Info // nil where no mailbox has the name
	subscribed bool
	children   bool // a mailbox is below
	subscriber bool // a subscribed name is below
}

// tree is the hierarchy of an account's names, in the order of rank, then of name.
type tree []*node

// newTree puts mailboxes, subscriptions and the levels above them together.
func newTree(infos []mailbox.Info, subscriptions []string) tree {
	nodes := map[string]*node{}
	at := func(name string) *node {
		n := nodes[name]
		if n == nil {
			n = &node{name: name}
			nodes[name] = n
		}
		return n
	}
	for i := range infos {
		at(infos[i].Name).info = &infos[i]
		for name := range parents(infos[i].Name) {
			at(name).children = true
		}
	}
	for _, sub := range subscriptions {
		at(sub).subscribed = true
		for name := range parents(sub) {
			at(name).subscriber = true
		}
	}
	t := make(tree, 0, len(nodes))
	for _, n := range nodes {
		t = append(t, n)
	}
	slices.SortFunc(t, func(a, b *node) int {
		return cmp.Or(cmp.Compare(a.rank(), b.rank()), cmp.Compare(a.name, b.name))
	})
	return t
}

// rank puts INBOX and the mailboxes with a special use in front: a client that shows
// what has come so far then knows its Sent and Trash before all other names are there.
func (n *node) rank() int {
	switch {
	case n.name == "INBOX":
		return 0
	case n.info != nil && n.info.SpecialUse != "":
		return 1
	}
	return 2
}

// unreadable reports whether it is a mailbox that the client may not open.
func (n *node) unreadable() bool { return n.info != nil && !n.info.Rights.Has(mailbox.RightRead) }

// parents yields the levels above a name.
func parents(name string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for i := range len(name) {
			if name[i] == delimiter[0] && i > 0 && !yield(name[:i]) {
				return
			}
		}
	}
}

// tree loads the account's hierarchy.
func (s *session) tree() (tree, error) {
	infos, subscriptions, err := s.names()
	if err != nil {
		return nil, err
	}
	return newTree(infos, subscriptions), nil
}

// listing is what a LIST asks for.
type listing struct {
	options  goimap.ListOptions
	extended bool         // in the syntax of RFC 5258
	status   *statusItems // of RETURN (STATUS ...); nil = not asked for
	notes    *noteQuery   // of RETURN (METADATA ...); nil = not asked for
	rights   bool         // RETURN (MYRIGHTS)
	patterns patterns
}

// answer is one LIST response.
type answer struct {
	name      string
	attrs     []goimap.MailboxAttr
	childInfo bool
	info      *mailbox.Info // for the responses that follow, where asked for
}

// answers decides which names a LIST returns, and with what. With RECURSIVEMATCH a
// name that is not meant itself is returned if something below it is and would not be
// seen otherwise; one that is says so in any case (RFC 5258 section 3.5).
func (l *listing) answers(t tree) []answer {
	below, unseenBelow := map[string]bool{}, map[string]bool{}
	if l.options.SelectRecursiveMatch {
		for _, n := range t {
			if !l.meant(n) {
				continue
			}
			unseen := !l.patterns.match(n.name)
			for name := range parents(n.name) {
				below[name] = true
				unseenBelow[name] = unseenBelow[name] || unseen
			}
		}
	}
	var out []answer
	for _, n := range t {
		if l.patterns.match(n.name) && (l.meant(n) || unseenBelow[n.name]) {
			a := l.answer(n)
			a.childInfo = below[n.name]
			if !l.meant(n) {
				a.info = nil // no STATUS for what is there for its children alone (RFC 5819 section 3)
			}
			out = append(out, a)
		}
	}
	return out
}

// meant applies the selection options (RFC 5258 section 3.1, RFC 6154 section 2).
func (l *listing) meant(n *node) bool {
	o := &l.options
	if o.SelectSpecialUse && (n.info == nil || n.info.SpecialUse == "") {
		return false
	}
	if o.SelectSubscribed {
		return n.subscribed
	}
	return n.info != nil || n.children
}

// criteria names the selection options for CHILDINFO.
func (l *listing) criteria() string {
	switch o := &l.options; {
	case o.SelectSubscribed && o.SelectSpecialUse:
		return `"SUBSCRIBED" "SPECIAL-USE"`
	case o.SelectSpecialUse:
		return `"SPECIAL-USE"`
	}
	return `"SUBSCRIBED"`
}

// answer says what is told of a chosen name.
func (l *listing) answer(n *node) answer {
	o := &l.options
	a := answer{name: n.name, info: n.info}
	if n.info == nil {
		a.attrs = append(a.attrs, goimap.MailboxAttrNonExistent)
		if !l.extended || !o.SelectSubscribed {
			a.attrs = append(a.attrs, goimap.MailboxAttrNoSelect) // for clients that know only RFC 3501
		}
	}
	if n.unreadable() { // RFC 5819 section 2
		a.attrs = append(a.attrs, goimap.MailboxAttrNoSelect)
	}
	if n.subscribed && (o.SelectSubscribed || o.ReturnSubscribed) {
		a.attrs = append(a.attrs, goimap.MailboxAttrSubscribed)
	}
	if n.children {
		a.attrs = append(a.attrs, goimap.MailboxAttrHasChildren)
	} else {
		a.attrs = append(a.attrs, goimap.MailboxAttrHasNoChildren)
	}
	if n.info != nil && n.info.SpecialUse != "" && (!l.extended || o.ReturnSpecialUse || o.SelectSpecialUse) {
		a.attrs = append(a.attrs, n.info.SpecialUse)
	}
	return a
}

// patterns are those of one LIST.
type patterns []*wire.Pattern

func (p patterns) match(name string) bool {
	for _, pattern := range p {
		if pattern.Match(name) {
			return true
		}
	}
	return false
}

// lsubAnswers decides what LSUB returns: subscribed names, and for a pattern that
// ends in "%" also the level at which it stopped, marked as not selectable (RFC 3501
// section 6.3.9).
func lsubAnswers(t tree, p *wire.Pattern, pattern string) []answer {
	levels := strings.HasSuffix(pattern, "%")
	var out []answer
	for _, n := range t {
		if !p.Match(n.name) {
			continue
		}
		switch {
		case n.subscribed && n.info != nil && !n.unreadable():
			out = append(out, answer{name: n.name})
		case n.subscribed, levels && n.subscriber:
			out = append(out, answer{name: n.name, attrs: []goimap.MailboxAttr{goimap.MailboxAttrNoSelect}})
		}
	}
	return out
}
