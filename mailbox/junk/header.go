package junk

import (
	"bytes"
	"iter"
	"strconv"
	"strings"

	"mailstead/mailbox/message"
)

// headerReader makes features of a letter's header.
type headerReader struct {
	l *Letter
	w *words
}

// passedOver are the fields that tell of a letter's way and keeping, or what other filters thought of it: our own server writes some,
// and a judgement must not rest on what it wrote itself. Those that begin with "x-spam" go as well, and those that name what scans for viruses.
var passedOver = map[string]bool{
	"received": true, "return-path": true, "delivered-to": true, "x-original-to": true, "envelope-to": true,
	"authentication-results": true, "received-spf": true, "arc-seal": true, "arc-message-signature": true,
	"arc-authentication-results": true, "dkim-signature": true, "domainkey-signature": true, "status": true, "x-status": true,
	"x-keywords": true, "x-uid": true, "x-uidl": true, "x-mozilla-status": true, "x-mozilla-status2": true, "x-pyzor": true,
	"x-razor-id": true, "x-virus-scanned": true, "x-bogosity": true, "x-junk": true, "x-delivered-to": true, "content-length": true,
	"lines": true, "x-envelope-to": true, "x-envelope-from": true, "x-loop": true, "replied": true, "forwarded": true,
	"delivery-date": true, "resent-date": true, "x-original-date": true, "x-mail-from": true, "x-rcpt-to": true,
	"x-apparently-to": true, "x-egroups-return": true, "x-authentication-warning": true, "x-mime-autoconverted": true,
	"x-fetchmail-warning": true, "x-mailscanner": true, "x-scanned-by": true, "x-antiabuse": true, "x-sieve": true, "x-delivery-agent": true,
}

// ofLists are the fields that programs for mailing lists put into every letter. That a letter came by a list is one thing to learn
// (a rule says it, and which list kindList): as a dozen features it would outvote what junk that came by a list says itself. So would
// the list's address among the recipients, its tag in the subject, its links and its footer, which are passed over for the same reason.
var ofLists = map[string]bool{
	"mailing-list": true, "x-mailing-list": true, "x-beenthere": true, "x-mailman-version": true, "errors-to": true, "sender": true,
}

// namesList reports fields that say which list a letter came by.
func namesList(name string) bool {
	switch name {
	case "list-id", "list-post", "mailing-list", "x-mailing-list", "x-beenthere":
		return true
	}
	return false
}

// isTrace reports fields that are passed over.
func isTrace(name string) bool {
	return passedOver[name] || strings.HasPrefix(name, "x-spam") || strings.Contains(name, "virus")
}

// told are the fields whose short values become features as they stand.
var told = map[string]bool{
	"precedence": true, "x-priority": true, "importance": true, "priority": true, "x-msmail-priority": true, "organization": true,
	"auto-submitted": true, "content-language": true, "mime-version": true, "content-transfer-encoding": true,
	"content-disposition": true, "x-mimeole": true, "list-unsubscribe-post": true, "feedback-id": true,
}

// read takes the fields one by one.
func (h *headerReader) read(header []byte) {
	for name, value := range fields(header) {
		if namesList(name) {
			h.list(value)
		}
	}
	for name, value := range fields(header) {
		if !ofLists[name] && !(h.l.evidence.list && strings.HasPrefix(name, "list-")) {
			h.l.add(kindHeader, name)
		}
		h.field(name, value)
	}
}

// fields are those that something is learned from, their names in lower case.
func fields(header []byte) iter.Seq2[string, []byte] {
	return func(yield func(string, []byte) bool) {
		n := 0
		for f := range message.Fields(header) {
			if n++; n > maxHeaderFields {
				return
			}
			name := strings.ToLower(string(f.Name[:min(len(f.Name), maxWord)]))
			if name != "" && !isTrace(name) && !yield(name, f.Value) {
				return
			}
		}
	}
}

// list notes which list the letter came by.
func (h *headerReader) list(value []byte) {
	h.l.evidence.list = true
	h.l.add(kindList, clip(string(value)))
	for _, c := range value[:min(len(value), maxListName)] {
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		h.l.lists = append(h.l.lists, c)
	}
}

func (h *headerReader) field(name string, value []byte) {
	e := &h.l.evidence
	switch name {
	case "from":
		h.from(value)
	case "reply-to":
		h.replyTo(value)
	case "to", "cc":
		h.recipients(value)
	case "subject":
		h.subject(value)
	case "message-id":
		h.messageID(value)
	case "date":
		h.date(value)
	case "content-type":
		kind, _, _ := strings.Cut(string(value), ";")
		h.l.add(kindValue, name, clip(kind))
	case "x-mailer", "user-agent":
		h.mailer(value)
	case "in-reply-to", "references":
		e.answers = true
	default:
		if told[name] {
			h.l.add(kindValue, name, clip(string(value)))
		}
	}
}

// clip makes a value short and takes the space around it off.
func clip(value string) string {
	value = strings.TrimSpace(value)
	return value[:min(len(value), maxValue)]
}

func (h *headerReader) from(value []byte) {
	e := &h.l.evidence
	e.from = true
	list := message.ParseAddressList(value)
	if len(list) == 0 {
		return
	}
	a := list[0]
	e.fromDomain = strings.ToLower(clip(a.Domain))
	h.l.add(kindFrom, clip(a.Local)+"@"+e.fromDomain)
	h.l.add(kindFrom, "local part", strings.ToLower(clip(a.Local)))
	addDomain(h.l, kindFromDomain, e.fromDomain)
	name := message.DecodeHeader([]byte(a.Name))
	e.spoofedName = namesOther(name, e.fromDomain)
	h.text(kindFromName, kindFromName, name)
	if name == "" {
		h.l.add(kindStructure, "From without a name")
	}
	local := a.Local
	if digits := strings.Count(mapDigits(local), "0"); digits >= 3 {
		h.l.add(kindStructure, "digits in From", strconv.Itoa(min(digits, 8)))
	}
}

// mapDigits replaces all digits by 0.
func mapDigits(s string) string {
	return strings.Map(func(r rune) rune {
		if '0' <= r && r <= '9' {
			return '0'
		}
		return r
	}, clip(s))
}

// namesOther reports a display name that is an address of another domain than the author's.
func namesOther(name, domain string) bool {
	_, other, ok := strings.Cut(strings.ToLower(name), "@")
	if !ok || domain == "" {
		return false
	}
	end := strings.IndexFunc(other, func(r rune) bool { return r != '.' && r != '-' && !isHostByte(r) })
	if end >= 0 {
		other = other[:end]
	}
	return strings.Contains(other, ".") && baseDomain(other) != baseDomain(domain)
}

func isHostByte(r rune) bool { return 'a' <= r && r <= 'z' || '0' <= r && r <= '9' || r >= 0x80 }

// baseDomain is the last two labels of a domain. That is not where one owner's names begin everywhere, but it only has to tell
// strangers apart most of the time.
func baseDomain(domain string) string {
	if i := strings.LastIndexByte(domain, '.'); i > 0 {
		if j := strings.LastIndexByte(domain[:i], '.'); j >= 0 {
			return domain[j+1:]
		}
	}
	return domain
}

// addDomain adds a domain, what is common to its neighbours, and its top-level domain.
func addDomain(l *Letter, k kind, domain string) {
	if domain == "" {
		return
	}
	l.add(k, domain)
	if base := baseDomain(domain); base != domain {
		l.add(k, base)
	}
	l.add(k, domain[strings.LastIndexByte(domain, '.')+1:])
}

func (h *headerReader) replyTo(value []byte) {
	if h.l.evidence.list { // which often sends answers to itself
		return
	}
	list := message.ParseAddressList(value)
	if len(list) == 0 {
		return
	}
	domain := strings.ToLower(clip(list[0].Domain))
	h.l.evidence.replyDomain = domain
	h.l.add(kindReplyTo, domain)
}

func (h *headerReader) recipients(value []byte) {
	e := &h.l.evidence
	for _, a := range message.ParseAddressList(value) {
		if a.Kind != message.Mailbox || a.Domain == "" {
			if a.Kind == message.GroupStart {
				h.l.add(kindTo, "group", clip(a.Name))
			}
			continue
		}
		if e.recipients == 0 {
			e.toDomain = strings.ToLower(clip(a.Domain))
		}
		if e.recipients++; e.recipients <= maxRecipients && !e.list {
			h.l.add(kindTo, strings.ToLower(clip(a.Local)+"@"+clip(a.Domain)))
		}
	}
}

func (h *headerReader) subject(value []byte) {
	e := &h.l.evidence
	e.subject = true
	text := message.DecodeHeader(value[:min(len(value), 4<<10)])
	_, e.reply = message.BaseSubject(value)
	if e.list {
		text = withoutTag(text)
	}
	if h.text(kindSubject, kindSubjectPair, text); h.w.count.words == 0 {
		e.subject = false
	}
	e.subjectCount = h.w.count
	// Campaigns number their letters behind a gap, so that no two are the same.
	if gap := strings.LastIndex(text, "     "); gap > 0 && gap+5 < len(text) {
		e.numbered = true
	}
	if bytes.Contains(value, []byte("=?")) {
		h.l.add(kindStructure, "encoded subject")
	}
}

// withoutTag takes the name of a list, "[name]", off the beginning of a subject.
func withoutTag(subject string) string {
	const latest = len("Re: AW: ") // where it begins
	if i := strings.IndexByte(subject, '['); i >= 0 && i <= latest {
		if n := strings.IndexByte(subject[i:], ']'); n > 0 {
			return subject[:i] + subject[i+n+1:]
		}
	}
	return subject
}

// text adds the words of a short text.
func (h *headerReader) text(word, pair kind, text string) {
	h.w.begin(h.l, word, pair)
	h.w.write([]byte(text[:min(len(text), 1<<10)]))
	h.w.end()
}

func (h *headerReader) messageID(value []byte) {
	h.l.evidence.messageID = true
	id := strings.Trim(string(bytes.TrimSpace(value)), "<>")
	local, domain, ok := strings.Cut(id, "@")
	if !ok {
		h.l.add(kindStructure, "Message-ID without a domain")
		return
	}
	domain = strings.ToLower(clip(domain))
	h.l.evidence.idDomain = domain
	addDomain(h.l, kindMessageID, domain)
	h.l.add(kindMessageID, "like", idShape(clip(local)))
}

// idShape shows how a program makes its ids: each run of digits, of capitals, of small letters is one character.
func idShape(id string) string {
	var out []byte
	for i := range len(id) {
		c := id[i]
		switch {
		case '0' <= c && c <= '9':
			c = '0'
		case 'A' <= c && c <= 'Z':
			c = 'x'
		case 'a' <= c && c <= 'z':
			c = 'a'
		}
		if len(out) == 0 || out[len(out)-1] != c {
			out = append(out, c)
		}
	}
	return string(out[:min(len(out), 24)])
}

func (h *headerReader) date(value []byte) {
	t, ok := message.ParseDate(value)
	if !ok {
		h.l.add(kindStructure, "Date that is none")
		return
	}
	h.l.evidence.date = true
	h.l.add(kindStructure, "Date like", idShape(clip(string(value)))) // programs write it in their own ways
	h.l.add(kindValue, "zone", t.Format("-0700"))
}

// mailer adds the words of a program's name; versions are as long as they are.
func (h *headerReader) mailer(value []byte) {
	h.text(kindMailer, kindMailer, message.DecodeHeader(value[:min(len(value), 4*maxValue)]))
}
