package mailbox

import (
	"fmt"
	"slices"
	"strings"

	goimap "github.com/emersion/go-imap/v2"
)

// maxKeywordBytes bounds one keyword. The names that clients use are below 30.
const maxKeywordBytes = 128

var systemFlags = [...]goimap.Flag{
	FlagSeen:     goimap.FlagSeen,
	FlagAnswered: goimap.FlagAnswered,
	FlagFlagged:  goimap.FlagFlagged,
	FlagDeleted:  goimap.FlagDeleted,
	FlagDraft:    goimap.FlagDraft,
}

// Keywords returns the mailbox's keywords; keyword k has bit KeywordBit+k. The
// slice is never changed, only replaced by a longer one.
func (m *Mailbox) Keywords() []string {
	b := m.box
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.keywords[:b.durable.keywords:b.durable.keywords]
}

// allKeywords returns the names of all bits, recorded or not.
func (b *box) allKeywords() []string {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.keywords
}

// Bits returns the flag set of flags, giving new keywords their bit when
// create is set (they become the mailbox's with the next change that uses
// them). Unknown keywords are left out otherwise, and so is \Recent, which is no
// flag of a message. ErrLimit.
func (m *Mailbox) Bits(flags []goimap.Flag, create bool) (FlagSet, error) {
	return m.box.bits(flags, create)
}

// bits is Bits. System flags and keywords are the same in any case (RFC 9051
// section 2.3.2); the first spelling of a keyword stays.
func (b *box) bits(flags []goimap.Flag, create bool) (FlagSet, error) {
	var set FlagSet
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, f := range flags {
		if !isKeyword(f) {
			if i := systemFlag(f); i >= 0 {
				set = set.With(i)
			}
			continue
		}
		k, err := b.keyword(string(f), create)
		if err != nil {
			return FlagSet{}, err
		}
		if k >= 0 {
			set = set.With(KeywordBit + k)
		}
	}
	return set, nil
}

func isKeyword(f goimap.Flag) bool { return !strings.HasPrefix(string(f), `\`) }

func systemFlag(f goimap.Flag) int {
	return slices.IndexFunc(systemFlags[:], func(s goimap.Flag) bool { return strings.EqualFold(string(s), string(f)) })
}

// keyword returns the number of a keyword, -1 for an unknown one that is not
// to be made. The caller holds mu for writing.
func (b *box) keyword(name string, create bool) (int, error) {
	for k, have := range b.keywords {
		if strings.EqualFold(have, name) {
			return k, nil
		}
	}
	if !create {
		return -1, nil
	}
	if name == "" || len(name) > maxKeywordBytes || len(b.keywords) == MaxKeywords {
		return 0, fmt.Errorf("%w: keyword %q", ErrLimit, name)
	}
	b.keywords = append(b.keywords, name)
	return len(b.keywords) - 1, nil
}

// translator turns flags of one mailbox into those of another, whose keyword table
// gets what it lacks. Keywords that find no room in it are left out: they are no reason
// to keep mail from being moved (RFC 3501 section 6.4.7 says SHOULD).
type translator struct {
	from []string
	to   *box
	last [2]FlagSet // the flags translated last, and what came out
}

func (t *translator) flags(f FlagSet) FlagSet {
	if f == t.last[0] {
		return t.last[1]
	}
	out := FlagSet{f[0] & (1<<KeywordBit - 1)}
	t.to.mu.Lock()
	defer t.to.mu.Unlock()
	for k, name := range t.from {
		if !f.Has(KeywordBit + k) {
			continue
		}
		if to, err := t.to.keyword(name, true); err == nil {
			out = out.With(KeywordBit + to)
		}
	}
	t.last = [2]FlagSet{f, out}
	return out
}
