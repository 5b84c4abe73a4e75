package imap

import (
	"cmp"
	"slices"
	"time"

	goimap "github.com/emersion/go-imap/v2"

	"mailstead/mailbox"
	"mailstead/mailbox/message"
)

// keyKind is the kind of a search key. The order is that of their cost: what the row
// tells, what the index tells, what is in the body.
type keyKind uint8

const (
	keyAll keyKind = iota
	keyNever
	keyFlag
	keyRecent
	keySet
	keyLarger
	keySmaller
	keyModSeq
	keyBodyID
	keyBefore
	keyOn
	keySince
	keyOlder
	keyYounger
	keySavedBefore
	keySavedOn
	keySavedSince
	keySentBefore
	keySentOn
	keySentSince
	keyHeader
	keyBody
	keyText

	keyAnd
	keyOr
	keyNot
	keyFuzzy
)

// searchKey is a node of a search program (RFC 3501 section 6.4.4).
type searchKey struct {
	kind keyKind
	kids []searchKey // of AND and OR; one of NOT; see maybeFuzzy for those of FUZZY
	cost keyKind     // of the most expensive leaf below
	most int         // how many messages of a sample may match; see orderTexts

	flag    goimap.Flag // keyFlag
	bits    mailbox.FlagSet
	numbers goimap.NumSet // keySet; nil = the saved result
	spans   []span
	age     int64 // keyOlder and keyYounger: seconds
	number  int64 // octets, a mod-sequence, a body, days or seconds since 1970
	field   string
	matcher message.FieldMatcher
	needle  []byte // folded
	text    int    // its number among those that the index is asked for, from 1 on; 0 = it is not
}

// verdict is what a key says of a message.
type verdict uint8

const (
	verdictUnknown verdict = iota // more of the message has to be looked at
	verdictNo
	verdictYes
)

func verdictOf(is bool) verdict {
	if is {
		return verdictYes
	}
	return verdictNo
}

// resolve makes the program ready for the selected mailbox: what numbers and keywords
// mean there, and cheap keys in front of expensive ones.
func (k *searchKey) resolve(sel *selected) error {
	switch k.kind {
	case keyAnd, keyOr, keyNot, keyFuzzy:
		for i := range k.kids {
			if err := k.kids[i].resolve(sel); err != nil {
				return err
			}
			k.cost = max(k.cost, k.kids[i].cost)
		}
		if k.kind == keyFuzzy {
			return nil // the text stays in front of its words
		}
		slices.SortStableFunc(k.kids, func(a, b searchKey) int { return cmp.Compare(a.cost, b.cost) })
		return nil
	case keySet:
		switch set := k.numbers.(type) {
		case goimap.SeqSet:
			k.spans = sel.spansWithin(set)
		case goimap.UIDSet:
			k.spans = sel.spansOfUIDs(set)
		case nil:
			k.spans = sel.spansOfUIDs(sel.saved)
		}
	case keyFlag:
		bits, err := sel.mailbox.Bits([]goimap.Flag{k.flag}, false)
		if err != nil {
			return err
		}
		k.bits = bits // none for a keyword that no message has
	case keyOlder, keyYounger:
		k.number = time.Now().Unix() - k.age
	}
	k.cost = k.kind
	return nil
}

// spansWithin resolves a set of a search, where numbers beyond the mailbox match
// nothing; "n:*" holds the last message whatever n is.
func (sel *selected) spansWithin(set goimap.SeqSet) []span {
	n := sel.view.Len()
	var spans []span
	for _, r := range set {
		sp := span{r.Start, min(r.Stop, n)}
		if r.Stop == 0 {
			sp.to = n
			if sp.from == 0 {
				sp.from = n
			}
			sp.from = min(sp.from, n)
		}
		if len(spans) > 0 {
			sp.from = max(sp.from, spans[len(spans)-1].to+1)
		}
		if sp.from > 0 && sp.from <= sp.to {
			spans = append(spans, sp)
		}
	}
	return spans
}

// inSpans reports whether seq is in one of the ascending spans.
func inSpans(spans []span, seq uint32) bool {
	_, found := slices.BinarySearchFunc(spans, seq, func(sp span, seq uint32) int {
		switch {
		case seq < sp.from:
			return 1
		case seq > sp.to:
			return -1
		}
		return 0
	})
	return found
}

// spans are the messages that can match: all of the mailbox, or those of a set that
// every match has to be in.
func (k *searchKey) candidates(view *mailbox.View) []span {
	if k.kind == keySet {
		return k.spans
	}
	if k.kind == keyAnd {
		for i := range k.kids {
			if k.kids[i].kind == keySet {
				return k.kids[i].spans
			}
		}
	}
	if unseen, deleted := view.Counted(); view.Len() == 0 || k.matchesNone(unseen, deleted) {
		return nil
	}
	return []span{{1, view.Len()}}
}

// matchesNone reports whether the numbers of unseen and deleted messages say that nothing
// matches, as they often do of what clients ask for all the time.
func (k *searchKey) matchesNone(unseen, deleted uint32) bool {
	switch k.kind {
	case keyAnd:
		return slices.ContainsFunc(k.kids, func(kid searchKey) bool { return kid.matchesNone(unseen, deleted) })
	case keyFlag:
		return deleted == 0 && k.flag == goimap.FlagDeleted
	case keyNot:
		return unseen == 0 && k.kids[0].kind == keyFlag && k.kids[0].flag == goimap.FlagSeen
	}
	return false
}

// eval judges the message that e looks at, from what e has of it.
func (k *searchKey) eval(e *examiner) verdict {
	switch k.kind {
	case keyAnd:
		return evalAnd(k.kids, e)
	case keyOr:
		return evalOr(k.kids, e)
	case keyNot:
		return k.evalNot(e)
	case keyFuzzy:
		return k.evalFuzzy(e)
	case keySentBefore, keySentOn, keySentSince:
		return e.sent(k)
	case keyHeader, keyBody, keyText:
		if k.text > 0 && !e.filter.MayContain(k.text-1, e.row.Body) {
			return verdictNo
		}
		if k.kind == keyHeader {
			return e.inHeader(k)
		}
		return e.inText(k)
	}
	return verdictOf(k.evalRow(e.row, e.view))
}

func evalAnd(kids []searchKey, e *examiner) verdict {
	v := verdictYes
	for i := range kids {
		switch kids[i].eval(e) {
		case verdictNo:
			return verdictNo
		case verdictUnknown:
			v = verdictUnknown
		}
	}
	return v
}

func evalOr(kids []searchKey, e *examiner) verdict {
	v := verdictNo
	for i := range kids {
		switch kids[i].eval(e) {
		case verdictYes:
			return verdictYes
		case verdictUnknown:
			v = verdictUnknown
		}
	}
	return v
}

// evalRow judges by the row alone.
func (k *searchKey) evalRow(row *mailbox.Row, view *mailbox.View) bool {
	switch k.kind {
	case keyAll:
		return true
	case keyFlag:
		return row.Flags[0]&k.bits[0]|row.Flags[1]&k.bits[1] != 0
	case keyRecent:
		return view.Recent(row.UID)
	case keySet:
		return inSpans(k.spans, row.Seq)
	case keyLarger:
		return row.Size > k.number
	case keySmaller:
		return row.Size < k.number
	case keyModSeq:
		return int64(row.ModSeq) >= k.number
	case keyBodyID:
		return int64(row.Body) == k.number
	case keyBefore, keyOn, keySince:
		return k.onDay(dayOf(row.Internal.Unix + int64(row.Internal.Zone)*60))
	case keyOlder:
		return row.Internal.Unix <= k.number
	case keyYounger:
		return row.Internal.Unix >= k.number
	case keySavedBefore, keySavedOn, keySavedSince:
		return k.onDay(dayOf(row.Saved)) // in UTC, as FETCH tells it
	}
	return false
}

// onDay compares a day with that of the key.
func (k *searchKey) onDay(day int64) bool {
	switch k.kind {
	case keyBefore, keySavedBefore, keySentBefore:
		return day < k.number
	case keyOn, keySavedOn, keySentOn:
		return day == k.number
	}
	return day >= k.number
}

const secondsPerDay = 24 * 60 * 60

// dayOf is the number of days since 1970 at a moment given in seconds. A search
// disregards time and zone (RFC 3501 section 6.4.4): the moment is a local one.
func dayOf(seconds int64) int64 {
	day := seconds / secondsPerDay
	if seconds%secondsPerDay < 0 {
		day--
	}
	return day
}
