package mailauth

import "sync"

// What Records keeps at most of each kind. Keys are 1 MB together, the longest ones; of policies
// only those of usual size are kept, less than 1 MB of them.
const (
	maxKept           = 256
	maxKeptPolicy     = 512 // octets of a record; an SPF record should not be longer (RFC 7208 section 3.4)
	maxKeptDirectives = 16  // of an SPF record
)

// Records keeps keys and policies that were read from the DNS, as most mail comes from a few
// domains. It knows them by the whole text of their records, so nothing in it gets old: what
// the DNS says now is always asked first. The zero value is empty; nil keeps nothing.
// It may be used by many at the same time.
type Records struct {
	keys  recordsOf[*publicKey]
	spf   recordsOf[*spfRecord]
	dmarc recordsOf[*dmarcRecord]
}

// recordsOf keeps what was read of one kind; nobody changes it any more.
type recordsOf[T any] struct {
	mu   sync.Mutex
	read map[string]T
}

func (k *recordsOf[T]) get(text string) (T, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	r, ok := k.read[text]
	return r, ok
}

func (k *recordsOf[T]) keep(text string, r T) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.read == nil || len(k.read) >= maxKept {
		k.read = map[string]T{}
	}
	k.read[text] = r
}

// key is parseKey. What is broken is not kept.
func (r *Records) key(text string) (*publicKey, verdict) {
	if r == nil {
		return parseKey(text)
	}
	if key, ok := r.keys.get(text); ok {
		return key, verdict{}
	}
	key, broken := parseKey(text)
	if broken == (verdict{}) {
		r.keys.keep(text, key)
	}
	return key, broken
}

// spfRecord is parseSPFRecord.
func (r *Records) spfRecord(text string) (*spfRecord, error) {
	if r == nil || len(text) > maxKeptPolicy {
		return parseSPFRecord(text)
	}
	if record, ok := r.spf.get(text); ok {
		return record, nil
	}
	record, err := parseSPFRecord(text)
	if err == nil && len(record.directives) <= maxKeptDirectives {
		r.spf.keep(text, record)
	}
	return record, err
}

// dmarcRecord is parseDMARCRecord.
func (r *Records) dmarcRecord(text string) (*dmarcRecord, bool) {
	if r == nil || len(text) > maxKeptPolicy {
		return parseDMARCRecord(text)
	}
	if record, ok := r.dmarc.get(text); ok {
		return record, true
	}
	record, ok := parseDMARCRecord(text)
	if ok {
		r.dmarc.keep(text, record)
	}
	return record, ok
}
