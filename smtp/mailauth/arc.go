package mailauth

import (
	"bytes"
	"crypto/sha256"
	"hash"
	"slices"
	"strconv"
	"time"
)

// maxARCSets is how many sets a chain may have (RFC 8617 section 4.2.1).
const maxARCSets = 50

// ARCResult is what a message's Authenticated Received Chain came to. Even with
// Pass it is no more than the word of those who sealed it.
type ARCResult struct {
	// Result is None (there is no chain, or nothing is looked up here), Pass or
	// Fail; a message whose chain failed is to be treated like one without (RFC
	// 8617 section 5.2).
	Result Result
	// Reason says in a few words why it did not pass.
	Reason string
	// Temporary says that it failed because a key could not be looked up now.
	// To ARC that is as final as any failure (RFC 8617 section 5.2.1), but who
	// refuses mail may want to know.
	Temporary bool
	// Sets are those of a chain that passed, the oldest first: Sets[0] is
	// instance 1.
	Sets []ARCSet
	// OldestPass is the instance of the oldest set whose message signature still
	// matches, 0 if all of them do.
	OldestPass int
}

// ARCSet is what one intermediary has added to a chain.
type ARCSet struct {
	// Domain is d= of the seal, who vouches for the set, in lower case and
	// A-labels; Selector is its s=.
	Domain, Selector string
	// MessageDomain is d= of the message signature.
	MessageDomain string
	// Results are what was found when the message came to it; they have no ID
	// where they could not be read.
	Results AuthResults
}

// arcChain is a chain before its keys have come. One without sets is judged
// already: verdict says how.
type arcChain struct {
	verdict verdict
	sets    []arcSet
}

// arcSet is one set of three fields.
type arcSet struct {
	index   int    // of the message signature among the fields of the header
	results []byte // the field ARC-Authentication-Results

	message        *signature
	messageVerdict verdict
	seal           *signature
	sealVerdict    verdict
	status         string // cv= of the seal
}

var (
	noChain      = verdict{None, ""}
	longChain    = verdict{Fail, "more than 50 ARC sets"}
	brokenField  = verdict{Fail, "an ARC field without instance"}
	doubleField  = verdict{Fail, "two ARC fields of one instance"}
	gap          = verdict{Fail, "an ARC set is not complete"}
	failedBefore = verdict{Fail, "the chain had failed before it came here"}
	wrongStatus  = verdict{Fail, "an ARC seal has the wrong cv="}
	sealNames    = verdict{Fail, "an ARC seal has h="}
	arcNames     = verdict{Fail, "the signature covers ARC fields"}
)

// findChain puts the sets together and looks at their structure (RFC 8617
// section 5.2, steps 1 to 3).
func findChain(fields []headerField, complete bool, now time.Time) arcChain {
	sets, found := collectSets(fields, now)
	switch {
	case found != (verdict{}):
	case len(sets) == 0:
		found = noChain
	case !complete:
		found = verdict{Fail, headerTooLarge.reason}
	default:
		found = checkStructure(sets)
	}
	if found != (verdict{}) {
		return arcChain{verdict: found}
	}
	return arcChain{sets: sets}
}

func collectSets(fields []headerField, now time.Time) ([]arcSet, verdict) {
	results, message, seal := fieldNameOf("ARC-Authentication-Results"), fieldNameOf("ARC-Message-Signature"), fieldNameOf("ARC-Seal")
	var sets []arcSet
	for i, f := range fields {
		var found verdict
		switch {
		case f.is(results):
			sets, found = addResults(sets, f)
		case f.is(message):
			sets, found = addMessage(sets, f, i, now)
		case f.is(seal):
			sets, found = addSeal(sets, f)
		}
		if found != (verdict{}) {
			return nil, found
		}
	}
	return sets, verdict{}
}

// place gives the set of an instance, making room for it.
func place(sets []arcSet, instance int64) ([]arcSet, *arcSet, verdict) {
	switch {
	case instance < 1:
		return sets, nil, brokenField
	case instance > maxARCSets:
		return sets, nil, longChain
	}
	for int64(len(sets)) < instance {
		sets = append(sets, arcSet{})
	}
	return sets, &sets[instance-1], verdict{}
}

func addResults(sets []arcSet, f headerField) ([]arcSet, verdict) {
	instance, _ := cutInstance(f.value())
	sets, set, found := place(sets, instance)
	if found == (verdict{}) {
		if set.results != nil {
			return sets, doubleField
		}
		set.results = f.raw
	}
	return sets, found
}

func addMessage(sets []arcSet, f headerField, index int, now time.Time) ([]arcSet, verdict) {
	s, tags, broken := parseSignature(f.raw, arcMessage)
	sets, set, found := place(sets, instanceTag(tags))
	if found != (verdict{}) {
		return sets, found
	}
	if set.message != nil {
		return sets, doubleField
	}
	if broken == (verdict{}) && slices.ContainsFunc(s.names, func(n fieldName) bool { return hasPrefixFold(n.text, "arc-") }) {
		broken = arcNames // RFC 8617 section 4.1.2
	}
	if broken == (verdict{}) {
		broken = checkTimes(tags, now)
	}
	set.index, set.message, set.messageVerdict = index, s, broken
	return sets, verdict{}
}

func addSeal(sets []arcSet, f headerField) ([]arcSet, verdict) {
	s, tags, broken := parseSignature(f.raw, arcSeal)
	sets, set, found := place(sets, instanceTag(tags))
	if found != (verdict{}) {
		return sets, found
	}
	if set.seal != nil {
		return sets, doubleField
	}
	if tags.find("h") != nil {
		broken = sealNames // RFC 8617 section 4.1.3
	}
	set.seal, set.sealVerdict = s, broken
	set.status = string(bytes.ToLower(tags.value("cv")))
	return sets, verdict{}
}

// instanceTag is i= of a tag list, 0 without a good one.
func instanceTag(tags tagList) int64 {
	n, _ := decimal(tags.value("i"), maxInstanceDigits)
	return n
}

// maxInstanceDigits are those of an instance: three, so that 100 is too many
// sets and not a broken field.
const maxInstanceDigits = 3

func hasPrefixFold(b []byte, prefix string) bool {
	return len(b) >= len(prefix) && bytes.EqualFold(b[:len(prefix)], []byte(prefix))
}

// checkStructure is steps 2 and 3 of RFC 8617 section 5.2.
func checkStructure(sets []arcSet) verdict {
	last := &sets[len(sets)-1]
	if last.seal != nil && last.status == "fail" {
		return failedBefore
	}
	for i, set := range sets {
		want := "pass"
		if i == 0 {
			want = "none"
		}
		switch {
		case set.results == nil || set.message == nil || set.seal == nil:
			return gap
		case set.sealVerdict != (verdict{}):
			return inSet("seal", i, set.sealVerdict)
		case set.status != want:
			return wrongStatus
		}
	}
	if last.messageVerdict != (verdict{}) {
		return inSet("message signature", len(sets)-1, last.messageVerdict)
	}
	return verdict{}
}

// inSet makes a failure of the chain from what is wrong with a field of the set
// at index.
func inSet(what string, index int, found verdict) verdict {
	return verdict{Fail, what + " " + strconv.Itoa(index+1) + ": " + found.reason}
}

// needChain has bodies hashed and keys looked up for the chain.
func (v *Verifier) needChain() {
	for _, set := range v.chain.sets {
		v.keys.want(set.seal.keyName)
		if set.messageVerdict == (verdict{}) {
			v.need(set.message)
			v.keys.want(set.message.keyName)
		}
	}
}

// judgeChain is steps 4 to 7 of RFC 8617 section 5.2.
func (v *Verifier) judgeChain() ARCResult {
	sets := v.chain.sets
	if len(sets) == 0 {
		return ARCResult{Result: v.chain.verdict.result, Reason: v.chain.verdict.reason}
	}
	newest := len(sets) - 1
	if found := v.checkMessage(&sets[newest]); found != (verdict{}) {
		return failedChain("message signature", newest, found)
	}
	if index, found := v.checkSeals(); found != (verdict{}) {
		return failedChain("seal", index, found)
	}
	r := ARCResult{Result: Pass}
	for i := newest - 1; i >= 0; i-- {
		if v.checkMessage(&sets[i]) != (verdict{}) {
			r.OldestPass = i + 2
			break
		}
	}
	for _, set := range sets {
		r.Sets = append(r.Sets, set.export())
	}
	return r
}

func failedChain(what string, index int, found verdict) ARCResult {
	if found == notLookedUp {
		return ARCResult{Result: None, Reason: found.reason}
	}
	return ARCResult{Result: Fail, Reason: inSet(what, index, found).reason, Temporary: found.result == TempError}
}

func (set *arcSet) export() ARCSet {
	_, value, _ := bytes.Cut(set.results, []byte(":"))
	_, value = cutInstance(value)
	results, _ := ParseAuthResults(value)
	return ARCSet{Domain: set.seal.domain, Selector: set.seal.selector, MessageDomain: set.message.domain, Results: results}
}

// checkMessage holds the message against the signature of a set.
func (v *Verifier) checkMessage(set *arcSet) verdict {
	if set.messageVerdict != (verdict{}) {
		return set.messageVerdict
	}
	key := v.keys.find(set.message.keyName)
	if key.verdict != (verdict{}) {
		return key.verdict
	}
	found, _ := v.verify(set.message, set.index, key.key)
	return found
}

// checkSeals holds all seals against their sets. A seal covers its own set and
// all before it (RFC 8617 section 5.1.1), so one running hash serves them all.
func (v *Verifier) checkSeals() (index int, found verdict) {
	running := sha256.New()
	add := func(field []byte) {
		v.buf = relaxed.appendField(v.buf[:0], field)
		running.Write(v.buf)
	}
	for i, set := range v.chain.sets {
		add(set.results)
		add(set.message.field)
		key := v.keys.find(set.seal.keyName)
		if key.verdict != (verdict{}) {
			return i, key.verdict
		}
		v.buf = relaxed.appendSigned(v.buf[:0], set.seal.field, set.seal.bFrom, set.seal.bTo)
		sum := sumWith(running, v.buf)
		if found := key.key.verify(set.seal, &sum); found != (verdict{}) {
			return i, found
		}
		add(set.seal.field)
	}
	return 0, verdict{}
}

// sumWith is the hash of what h has and of more. H goes on as it was.
func sumWith(h hash.Hash, more []byte) (sum [sha256.Size]byte) {
	c, err := h.(hash.Cloner).Clone()
	if err != nil {
		panic(err) // a hash of the standard library can always be cloned
	}
	c.Write(more)
	c.Sum(sum[:0])
	return sum
}
