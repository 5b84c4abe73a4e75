package mailbox

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	goimap "github.com/emersion/go-imap/v2"
)

// Annotation is an entry of a mailbox, or of the server as one account sees it
// (RFC 5464 section 3). Names are in lower case and begin with PrivateAnnotation,
// and then every account has a value of its own, or with SharedAnnotation.
type Annotation struct {
	Name  string
	Value []byte // any octets; nil = there is none
}

// The beginnings of annotations' names.
const (
	PrivateAnnotation = "/private/"
	SharedAnnotation  = "/shared/"
)

// SpecialUseAnnotation is the entry that says, and sets, the special use of a
// mailbox of one's own (RFC 6154 section 4).
const SpecialUseAnnotation = "/private/specialuse"

// ServerAnnotations takes the place of a mailbox for the annotations of the server.
const ServerAnnotations ID = 0

// Bounds of annotations. All of them are in memory, so they bound what a client
// can fill it with; RFC 5464 section 4.1 asks for 10 entries of 1024 octets.
const (
	// MaxAnnotation is the largest value in octets: programs keep settings and
	// pictures of a few kilobytes, and it fits the records of the smallest log.
	MaxAnnotation = 32 << 10
	// MaxAnnotationName is the longest name in octets. Known ones are below 60.
	MaxAnnotationName = 256
	// maxAnnotationsHere is how many shared ones, and how many private ones of
	// each account, a mailbox has. Known programs make less than ten.
	maxAnnotationsHere = 100
	// maxAnnotations and maxAnnotationBytes bound those of an account, names
	// counted: its private ones, and the shared ones of its mailboxes.
	maxAnnotations     = 10_000
	maxAnnotationBytes = 512 << 10
)

var (
	// ErrAnnotationSize says that a value is larger than MaxAnnotation: NO [METADATA MAXSIZE].
	ErrAnnotationSize = errors.New("mailbox: annotation is too large")
	// ErrAnnotations says that there are too many annotations: NO [METADATA TOOMANY].
	ErrAnnotations = errors.New("mailbox: too many annotations")
	// ErrAnnotationName says that a name cannot be one of an annotation here.
	ErrAnnotationName = errors.New("mailbox: no such annotation can be set")
)

// annotationKey names an annotation of a mailbox.
type annotationKey struct {
	account AccountID // whose private one it is; 0 = shared
	name    string
}

// annotations are those of one mailbox, or of the server. They are never
// changed, only replaced.
type annotations map[annotationKey]string

// annotationUsage is what annotations count with in an account.
type annotationUsage struct{ entries, bytes int }

func (u *annotationUsage) add(k annotationKey, value string, sign int) {
	u.entries += sign
	u.bytes += sign * (len(k.name) + len(value))
}

// AnnotationSet is what an account sees of the annotations of one mailbox, or of
// the server, at a moment.
type AnnotationSet struct {
	reader AccountID
	use    goimap.MailboxAttr // as the reader's private entry
	all    annotations
}

// Annotations returns the durable annotations of a mailbox, or of the server, as
// reader sees them; of a mailbox that is not there, none.
func (s *Store) Annotations(reader AccountID, id ID) AnnotationSet {
	s.mu.RLock()
	defer s.mu.RUnlock()
	set := AnnotationSet{reader: reader, all: s.durable.annotations[id]}
	if l := s.durable.listings[id]; l != nil && l.box.account == reader {
		set.use = l.use
	}
	return set
}

// key is where the reader's entry of a name is kept.
func (a AnnotationSet) key(name string) annotationKey { return keyOf(a.reader, name) }

func keyOf(reader AccountID, name string) annotationKey {
	if strings.HasPrefix(name, SharedAnnotation) {
		reader = 0
	}
	return annotationKey{reader, name}
}

// Get returns the value of an entry; ok is false when there is none.
func (a AnnotationSet) Get(name string) (value string, ok bool) {
	if name == SpecialUseAnnotation {
		return string(a.use), a.use != ""
	}
	value, ok = a.all[a.key(name)]
	return value, ok
}

// Names returns the names of all entries, sorted.
func (a AnnotationSet) Names() (names []string) {
	for k := range a.all {
		if k.account == 0 || k.account == a.reader {
			names = append(names, k.name)
		}
	}
	if a.use != "" {
		names = append(names, SpecialUseAnnotation)
	}
	slices.Sort(names)
	return names
}

// Changed returns the names of the entries that are not the same in both, sorted.
func (a AnnotationSet) Changed(b AnnotationSet) []string {
	names := slices.Compact(slices.Sorted(slices.Values(append(a.Names(), b.Names()...))))
	return slices.DeleteFunc(names, func(name string) bool {
		x, in := a.Get(name)
		y, too := b.Get(name)
		return in == too && x == y
	})
}

// LastAnnotated is the LSN of the last change that may have changed an annotation.
func (s *Store) LastAnnotated() ModSeq { return ModSeq(s.annotated.Load()) }

// Annotate sets annotations of mailbox id, or of the server, as reader sees them:
// all or none. A nil value removes one. The shared ones of the server cannot be set.
// Setting SpecialUseAnnotation takes the use from the mailbox that has it. Permits are
// asked for of a mailbox. ErrGone, ErrRights, ErrNoAccount, ErrAnnotationName, ErrAnnotationSize, ErrAnnotations, ErrSpecialUse, ErrNoSpace.
func (s *Store) Annotate(ctx context.Context, reader AccountID, id ID, list []Annotation, permits ...Permit) error {
	w, need := urgent, baseNeed
	for i := range list {
		a := &list[i]
		if err := checkAnnotation(id, a); err != nil {
			return err
		}
		if a.Value != nil {
			w = ordinary
		}
		need += annotationNeed + len(a.Name) + len(a.Value)
		if a.Name == SpecialUseAnnotation {
			need += 2 * mailboxNeed(strings.Repeat("x", maxNameBytes))
		}
	}
	return s.write(ctx, w, need, nil, func(d *decision) error { return d.annotate(reader, id, list, permits) })
}

// annotationNeed bounds opAnnotation but for its texts, in bytes.
const annotationNeed = 40

func checkAnnotation(id ID, a *Annotation) error {
	shared := strings.HasPrefix(a.Name, SharedAnnotation)
	switch {
	case !shared && !strings.HasPrefix(a.Name, PrivateAnnotation), shared && id == ServerAnnotations:
		return fmt.Errorf("%w: %.64q", ErrAnnotationName, a.Name)
	case len(a.Name) > MaxAnnotationName:
		return fmt.Errorf("%w: a name of %d octets", ErrLimit, len(a.Name))
	case len(a.Value) > MaxAnnotation:
		return ErrAnnotationSize
	}
	return nil
}

func (d *decision) annotate(reader AccountID, id ID, list []Annotation, permits []Permit) error {
	l := d.s.pending.listings[id]
	switch {
	case d.s.pending.accounts[reader] == nil:
		return ErrNoAccount
	case id != ServerAnnotations && l == nil:
		return ErrGone
	}
	a := annotating{d: d, id: id, owner: reader, now: maps.Clone(d.s.pending.annotations[id])}
	if l != nil {
		if err := l.permits(permits); err != nil {
			return err
		}
		a.owner = l.box.account
	}
	for _, one := range list {
		var err error
		if one.Name == SpecialUseAnnotation && l != nil {
			err = d.useFor(l, reader, string(one.Value))
		} else {
			err = a.set(keyOf(reader, one.Name), one.Value)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// annotating decides on annotations of one mailbox.
type annotating struct {
	d     *decision
	id    ID
	owner AccountID   // that shared ones count with
	now   annotations // with what is decided
	grown map[AccountID]annotationUsage
}

// payer is the account that an annotation counts with.
func (k annotationKey) payer(owner AccountID) AccountID {
	if k.account != 0 {
		return k.account
	}
	return owner
}

// set decides on one entry. A limit that is reached keeps nobody from making less of it.
func (a *annotating) set(k annotationKey, value []byte) error {
	old, had := a.now[k]
	if value == nil && !had {
		return nil
	}
	payer := k.payer(a.owner)
	grown := a.grown[payer]
	if had {
		grown.add(k, old, -1)
		delete(a.now, k)
	}
	if value != nil {
		grown.add(k, string(value), 1)
		if err := a.admit(k, a.d.s.pending.accounts[payer], grown, a.grown[payer]); err != nil {
			return err
		}
		if a.now == nil {
			a.now = make(annotations)
		}
		a.now[k] = string(value)
	}
	if a.grown == nil {
		a.grown = make(map[AccountID]annotationUsage)
	}
	a.grown[payer] = grown
	a.d.ops = append(a.d.ops, opAnnotation{Mailbox: a.id, Account: k.account, Name: k.name, Value: slices.Clone(value)})
	return nil
}

// admit says whether a mailbox and an account may have one more entry, and grow
// from before to after in this record.
func (a *annotating) admit(k annotationKey, acc *account, after, before annotationUsage) error {
	here := 1
	for other := range a.now {
		if other.account == k.account {
			here++
		}
	}
	var had annotationUsage
	if acc != nil {
		had = acc.annotated
	}
	if here > maxAnnotationsHere || after.entries > before.entries && had.entries+after.entries > maxAnnotations ||
		after.bytes > before.bytes && had.bytes+after.bytes > maxAnnotationBytes {
		return fmt.Errorf("%w: %d in mailbox %d, %d with %d bytes of the account", ErrAnnotations, here, a.id, had.entries, had.bytes)
	}
	return nil
}

// useFor gives the special use that text names to the mailbox, and takes it from
// the one that had it; an empty text is none (RFC 6154 sections 4 and 5.4).
func (d *decision) useFor(l *listing, reader AccountID, text string) error {
	if l.box.account != reader || l.name == inbox {
		return fmt.Errorf("%w: of mailbox %d", ErrSpecialUse, l.box.id)
	}
	use := goimap.MailboxAttr("")
	if text != "" {
		i := slices.IndexFunc(specialUses, func(u goimap.MailboxAttr) bool { return strings.EqualFold(string(u), text) })
		if i < 0 {
			return fmt.Errorf("%w: %.64q", ErrSpecialUse, text)
		}
		use = specialUses[i]
	}
	if use == l.use {
		return nil
	}
	if use != "" {
		if had := d.s.pending.accounts[reader].withUse(use); had != nil {
			d.describe(had, "")
		}
	}
	d.describe(l, use)
	return nil
}

// describe decides that a mailbox has another special use.
func (d *decision) describe(l *listing, use goimap.MailboxAttr) {
	b := l.box
	d.change(b)
	d.ops = append(d.ops, opMailbox{ID: b.id, Account: b.account, Name: l.name, UIDValidity: b.validity, SpecialUse: use})
}

// copyAnnotations decides that a new mailbox has the annotations of another one of
// its account: what RENAME of INBOX does (RFC 5464 section 4.1).
func (d *decision) copyAnnotations(from, to ID, owner AccountID) error {
	all := d.s.pending.annotations[from]
	list := make([]opAnnotation, 0, len(all))
	for _, k := range slices.SortedFunc(maps.Keys(all), annotationKey.compare) {
		list = append(list, opAnnotation{Account: k.account, Name: k.name, Value: []byte(all[k])})
	}
	return d.inheritAnnotations(list, to, owner)
}

// inheritAnnotations decides that a mailbox has the annotations of another one, but
// those of accounts that are not there any more, where it has one already, and where
// accounts are at their limits.
func (d *decision) inheritAnnotations(list []opAnnotation, to ID, owner AccountID) error {
	a := annotating{d: d, id: to, owner: owner, now: maps.Clone(d.s.pending.annotations[to])}
	for _, o := range list {
		k := annotationKey{o.Account, o.Name}
		if _, has := a.now[k]; has || k.account != 0 && d.s.pending.accounts[k.account] == nil {
			continue
		}
		if err := a.set(k, o.Value); err != nil && !errors.Is(err, ErrAnnotations) {
			return err
		}
	}
	return nil
}

// annotationsNeed bounds what the annotations of a mailbox take in a record.
func (s *Store) annotationsNeed(id ID) (need int) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for k, value := range s.durable.annotations[id] {
		need += annotationNeed + len(k.name) + len(value)
	}
	return need
}
