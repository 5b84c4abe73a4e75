package mailauth

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"hash"
	"slices"
	"sync"
	"time"
)

// MaxSignatures is how many DKIM signatures of a message are judged, from the
// top; honest mail has one to three.
const MaxSignatures = 10

// DKIMResult is what one DKIM-Signature came to.
type DKIMResult struct {
	// Result is Pass, Fail, Neutral (it cannot be read, or failed under a key in
	// testing mode), Policy (it is right, but expired, or leaves part of the
	// message unsigned), TempError (the key could not be asked for), PermError
	// (there is no usable key), or None (nothing is looked up here).
	Result Result
	// Reason says in a few words why it is not Pass.
	Reason string
	// Domain is d=, who takes responsibility, in lower case and A-labels; empty
	// if it is no domain. Only with Pass it is more than a claim.
	Domain string
	// Selector is s=, in the same form.
	Selector string
	// Identity is i=, as its author wrote it or by default "@" and Domain; empty
	// if it is broken.
	Identity string
	// Algorithm is rsa-sha256 or ed25519-sha256, empty if it is another.
	Algorithm string
	// KeyBits is the length of the key, 0 without one.
	KeyBits int
	// Prefix is the beginning of b=, which tells signatures of one domain apart
	// in Authentication-Results (RFC 6008).
	Prefix string
	// Testing says that the key is marked t=y: a failure then means nothing.
	Testing bool
	// Unsigned is how many octets of the body, in canonical form, stand behind
	// the length that the signature covers (l=).
	Unsigned int64
	// Authentic says that the key came with DNSSEC.
	Authentic bool
}

// Options are what a Verifier needs.
type Options struct {
	// Resolver finds the keys.
	Resolver Resolver
	// Records keeps keys from one message to the next. nil = each message reads its own.
	Records *Records
	// Now is the clock for x=. Default time.Now.
	Now func() time.Time
	// Waiting gives the context of look-ups that have to ask somebody, and is called only if there are any.
	// nil = that of NewVerifier.
	Waiting func() context.Context
}

// Verifier checks the DKIM signatures (RFC 6376) and the ARC chain (RFC 8617)
// of one message while its body arrives. The body is read once, whatever the
// number of signatures, and not kept. Its methods are called by one goroutine.
type Verifier struct {
	now    time.Time
	picker picker
	keys   keyring
	dkim   []dkimCheck
	more   int // signatures that are not judged
	chain  arcChain
	bodies [kinds]*bodyHash // those that a signature needs
	sums   [kinds][sha256.Size]byte

	// Room, which the next message has after Close.
	spare [kinds]bodyHash
	tags  tagList
	hash  hash.Hash
	sum   [sha256.Size]byte
	buf   []byte
}

// verifiers are those that were closed: each message needs 6 KB of room.
var verifiers = sync.Pool{New: func() any { return &Verifier{hash: sha256.New()} }}

// The room that is kept: more is for odd messages.
const (
	maxKeptFields = 100
	maxKeptChecks = 4
	maxKeptRoom   = 16 << 10 // octets
)

// dkimCheck is a signature being checked.
type dkimCheck struct {
	signature
	index   int // of its field
	agent   string
	verdict verdict
	result  DKIMResult
}

// NewVerifier begins with a message's header as it was received, which must
// not change before Finish; what follows the header's empty line is taken as
// the beginning of the body. It starts the look-ups of keys, which end with
// ctx, Finish or Close. Whoever calls Close leaves the Verifier's room to another message.
func NewVerifier(ctx context.Context, o Options, header []byte) *Verifier {
	v := verifiers.Get().(*Verifier)
	v.keys.resolver, v.keys.records = o.Resolver, o.Records
	if o.Now == nil {
		o.Now = time.Now
	}
	v.now = o.Now()
	fields, rest, complete := splitHeader(header, v.picker.fields)
	v.picker.fields = fields
	v.findSignatures(complete)
	v.chain = findChain(fields, complete, v.now)
	v.needChain()
	v.keys.start(ctx, o.Waiting)
	v.write(rest)
	return v
}

// findSignatures reads the DKIM signatures of the header.
func (v *Verifier) findSignatures(complete bool) {
	name := fieldNameOf("DKIM-Signature")
	for i, f := range v.picker.fields {
		if !f.is(name) {
			continue
		}
		if len(v.dkim) == MaxSignatures {
			v.more++
			continue
		}
		v.dkim = slices.Grow(v.dkim, 1)[:len(v.dkim)+1]
		c := &v.dkim[len(v.dkim)-1]
		c.index, c.verdict = i, verdict{}
		v.tags = c.read(f.raw, v.now, v.tags)
		if !complete {
			c.verdict = headerTooLarge
		}
		if c.verdict == (verdict{}) {
			v.need(&c.signature)
			v.keys.want(c.keyName)
		}
	}
}

// read takes a signature's field apart. It gives back the room for tags.
func (c *dkimCheck) read(field []byte, now time.Time, room tagList) tagList {
	var tags tagList
	tags, c.verdict = c.parse(field, dkimSignature, room)
	identity, agent, agentVerdict := c.checkAgent(tags.find("i"))
	c.agent = agent
	c.result = DKIMResult{Domain: c.domain, Selector: c.selector, Identity: identity, Algorithm: c.method.String()}
	c.result.Prefix = base64.StdEncoding.EncodeToString(c.data[:min(len(c.data), 6)])
	version := verdict{}
	if value := tags.value("v"); value == nil {
		version = missingTag
	} else if string(value) != "1" {
		version = badVersion
	}
	for _, next := range []verdict{version, agentVerdict, checkTimes(tags, now)} {
		if c.verdict == (verdict{}) {
			c.verdict = next
		}
	}
	if tags == nil {
		return room
	}
	return tags
}

// need makes the body hashed in the form that a signature wants.
func (v *Verifier) need(s *signature) {
	if v.bodies[s.body] == nil {
		v.bodies[s.body] = &v.spare[s.body]
		v.bodies[s.body].begin(s.body)
	}
	if s.length >= 0 {
		v.bodies[s.body].addCut(s.length)
	}
}

// Write takes the next octets of the body, with CRLF at the ends of lines and
// without the dots of SMTP. It keeps nothing of p and never fails.
func (v *Verifier) Write(p []byte) (int, error) {
	v.write(p)
	return len(p), nil
}

func (v *Verifier) write(p []byte) {
	for _, b := range v.bodies {
		if b != nil {
			b.write(p)
		}
	}
}

// Finish ends the message, waits for the keys, and gives the results.
func (v *Verifier) Finish() Results {
	v.keys.wait()
	for form, b := range v.bodies {
		if b != nil {
			b.finish(&v.sums[form])
		}
	}
	r := Results{DKIM: make([]DKIMResult, 0, len(v.dkim)), Ignored: v.more}
	for i := range v.dkim {
		r.DKIM = append(r.DKIM, v.judge(&v.dkim[i]))
	}
	r.ARC = v.judgeChain()
	return r
}

// Close ends the look-ups of a message that is given up, and takes the Verifier's room away:
// nothing may be called any more.
func (v *Verifier) Close() {
	v.keys.stop()
	v.forget()
	verifiers.Put(v)
}

// forget keeps nothing of the message but room for another one.
func (v *Verifier) forget() {
	clear(v.picker.fields)
	clear(v.keys.keys)
	clear(v.tags[:cap(v.tags)])
	for i := range v.dkim {
		c := &v.dkim[i]
		clear(c.names)
		*c = dkimCheck{signature: signature{data: c.data[:0], names: c.names[:0]}}
	}
	v.picker.fields, v.keys.keys, v.dkim, v.tags = v.picker.fields[:0], v.keys.keys[:0], v.dkim[:0], v.tags[:0]
	if cap(v.picker.fields) > maxKeptFields || cap(v.buf) > maxKeptRoom || cap(v.dkim) > maxKeptChecks {
		v.picker, v.buf, v.dkim = picker{}, nil, nil
	}
	v.keys.cancel, v.keys.resolver, v.keys.records = nil, nil, nil
	v.more, v.chain, v.bodies = 0, arcChain{}, [kinds]*bodyHash{}
}

// Results are what the signatures of a message came to.
type Results struct {
	// DKIM has a result for each DKIM-Signature, from the top, at most
	// MaxSignatures of them.
	DKIM []DKIMResult
	// Ignored is how many more DKIM-Signature fields the message has.
	Ignored int
	// ARC is the chain's.
	ARC ARCResult
}

// judge gives the result of a signature that was read.
func (v *Verifier) judge(c *dkimCheck) DKIMResult {
	r := c.result
	found := c.verdict
	if found == (verdict{}) {
		key := v.keys.find(c.keyName)
		found = key.verdict
		if key.key != nil {
			r.KeyBits, r.Testing, r.Authentic = key.key.bits(), key.key.testing, key.authentic
		}
		if found == (verdict{}) {
			found, r.Unsigned = v.check(c, key.key)
		}
	}
	r.Result, r.Reason = found.result, found.reason
	switch {
	case found == (verdict{}):
		r.Result = Pass
	case r.Testing && found.result == Fail:
		// Whoever only tries DKIM is not to suffer from it (RFC 6376 section 3.6.1, t=y).
		r.Result = Neutral
	}
	return r
}

// check holds a signature against the message.
func (v *Verifier) check(c *dkimCheck, key *publicKey) (found verdict, unsigned int64) {
	if key.strict && c.agent != c.domain {
		return otherAgent, 0
	}
	if found, unsigned = v.verify(&c.signature, c.index, key); found != (verdict{}) {
		return found, unsigned
	}
	// A From above the signed one is what many programs show (RFC 6376 section 8.15).
	from, signed := fieldNameOf("From"), 0
	for _, name := range c.names {
		if name.same(from) {
			signed++
		}
	}
	if v.picker.count(from) > signed {
		return moreFrom, unsigned
	}
	return verdict{}, unsigned
}

var (
	badBody     = verdict{Fail, "the body was changed"}
	shortBody   = verdict{Fail, "the body is shorter than what was signed"}
	unsignedEnd = verdict{Policy, "part of the body is not signed"}
)

// verify holds body and header against a signature (RFC 6376 section 6.1.3).
// A length is no reason to trust what stands behind it (section 8.2): such a
// message may show anything.
func (v *Verifier) verify(s *signature, own int, key *publicKey) (found verdict, unsigned int64) {
	sum := v.sums[s.body]
	if s.length >= 0 {
		b := v.bodies[s.body]
		var ok bool
		if sum, ok = b.sumAt(s.length); !ok {
			return shortBody, 0
		}
		unsigned = b.size - s.length
	}
	if sum != s.bodyHash {
		return badBody, unsigned
	}
	v.hash.Reset()
	v.picker.pick(s.names, own, func(field []byte) {
		v.buf = s.header.appendField(v.buf[:0], field)
		v.hash.Write(v.buf)
	})
	v.buf = s.header.appendSigned(v.buf[:0], s.field, s.bFrom, s.bTo)
	v.hash.Write(v.buf)
	v.hash.Sum(v.sum[:0])
	if found = key.verify(s, &v.sum); found == (verdict{}) && unsigned > 0 {
		found = unsignedEnd
	}
	return found, unsigned
}
