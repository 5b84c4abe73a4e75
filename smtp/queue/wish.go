package queue

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Notify is a set of what the sender wants to hear of a recipient (RFC 3461 section 4.1). The
// zero value says that nothing was said: of failures, and of delays where we like.
type Notify uint8

// What a sender may want to hear of. NotifyNever stands alone.
const (
	NotifyNever Notify = 1 << iota
	NotifySuccess
	NotifyFailure
	NotifyDelay
)

// notifyWords are the keywords, in the order in which they are written.
var notifyWords = [...]struct {
	bit  Notify
	word string
}{{NotifyNever, "NEVER"}, {NotifySuccess, "SUCCESS"}, {NotifyFailure, "FAILURE"}, {NotifyDelay, "DELAY"}}

// errWish is what is wrong with a parameter of the DSN extension.
var errWish = errors.New("queue: malformed wish for notices")

// ParseNotify reads the value of NOTIFY, in any case.
func ParseNotify(s string) (n Notify, err error) {
	for word := range strings.SplitSeq(s, ",") {
		bit := Notify(0)
		for _, w := range notifyWords {
			if strings.EqualFold(word, w.word) {
				bit = w.bit
			}
		}
		if bit == 0 {
			return 0, fmt.Errorf("%w: %.20q", errWish, word)
		}
		n |= bit
	}
	if n&NotifyNever != 0 && n != NotifyNever {
		return 0, fmt.Errorf("%w: NEVER is not alone", errWish)
	}
	return n, nil
}

// String is the value of NOTIFY; "" when nothing was said.
func (n Notify) String() string {
	var words []string
	for _, w := range notifyWords {
		if n&w.bit != 0 {
			words = append(words, w.word)
		}
	}
	return strings.Join(words, ",")
}

// MarshalText is for an entry on disk.
func (n Notify) MarshalText() ([]byte, error) { return []byte(n.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (n *Notify) UnmarshalText(b []byte) (err error) {
	*n, err = ParseNotify(string(b))
	return err
}

// ofFailure reports whether the sender wants to hear that a message failed.
func (n Notify) ofFailure() bool { return n == 0 || n&NotifyFailure != 0 }

// Return is what the sender wants back with a notice of failure (RFC 3461 section 4.3).
type Return string

// The values of RET; "" says nothing.
const (
	ReturnFull   Return = "FULL"
	ReturnHeader Return = "HDRS"
)

// ParseReturn reads the value of RET, in any case.
func ParseReturn(s string) (Return, error) {
	for _, r := range []Return{ReturnFull, ReturnHeader} {
		if strings.EqualFold(s, string(r)) {
			return r, nil
		}
	}
	return "", fmt.Errorf("%w: RET is %.20q", errWish, s)
}

// Bounds of RFC 3461 section 5.4, in octets.
const (
	maxEnvelopeID = 100
	maxOriginal   = 500
)

// ParseEnvelopeID checks the value of ENVID, which stays as it is: xtext of printable characters
// (RFC 3461 section 4.4).
func ParseEnvelopeID(s string) (string, error) {
	if _, ok := decodeXtext(s); !ok || s == "" || len(s) > maxEnvelopeID {
		return "", fmt.Errorf("%w: ENVID", errWish)
	}
	return s, nil
}

// ParseOriginal checks the value of ORCPT, which stays as it is: the type of an address and the
// address, in xtext (RFC 3461 section 4.2), or in the forms of RFC 6533 section 3.
func ParseOriginal(s string) (string, error) {
	kind, address, ok := strings.Cut(s, ";")
	if !ok || len(s) > maxOriginal || !isAtom(kind) {
		return "", fmt.Errorf("%w: ORCPT", errWish)
	}
	if strings.EqualFold(kind, utf8Kind) {
		_, ok = decodeUnitext(address)
	} else {
		_, ok = decodeXtext(address)
	}
	if !ok {
		return "", fmt.Errorf("%w: ORCPT", errWish)
	}
	return s, nil
}

// The types of addresses (RFC 3461 section 9.1, RFC 6533 section 3).
const (
	asciiKind = "rfc822"
	utf8Kind  = "utf-8"
)

func isAtom(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return r <= ' ' || r >= 0x7f || strings.ContainsRune(`()<>@,;:\".[]=`, r)
	})
}

// decodeXtext is the text that RFC 3461 section 4 encodes; it has to be printable.
func decodeXtext(s string) (string, bool) {
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c == '+':
			if i+2 >= len(s) || !isUpperHex(s[i+1]) || !isUpperHex(s[i+2]) {
				return "", false
			}
			n, _ := strconv.ParseUint(s[i+1:i+3], 16, 8) // two hexadecimal digits
			if c, i = byte(n), i+2; c != '\t' && (c < ' ' || c > '~') {
				return "", false
			}
		case c < '!' || c > '~' || c == '=':
			return "", false
		}
		b = append(b, c)
	}
	return string(b), true
}

func isUpperHex(c byte) bool { return '0' <= c && c <= '9' || 'A' <= c && c <= 'F' }

// decodeUnitext is the address that utf-8-enc-addr of RFC 6533 section 3 encodes.
func decodeUnitext(s string) (string, bool) {
	if s == "" || !utf8.ValidString(s) {
		return "", false
	}
	var b strings.Builder
	for s != "" {
		if s[0] == '\\' {
			r, rest, ok := embeddedRune(s)
			if !ok {
				return "", false
			}
			b.WriteRune(r)
			s = rest
			continue
		}
		r, n := utf8.DecodeRuneInString(s)
		if r <= ' ' || r == 0x7f || r == '+' || r == '=' {
			return "", false
		}
		b.WriteRune(r)
		s = s[n:]
	}
	return b.String(), true
}

// embeddedRune reads EmbeddedUnicodeChar: \x{HEXPOINT}, of what may not stand for itself or is
// beyond ASCII.
func embeddedRune(s string) (r rune, rest string, ok bool) {
	digits, ok := strings.CutPrefix(s, `\x{`)
	end := strings.IndexByte(digits, '}')
	if !ok || end < 2 || end > 6 || strings.ContainsFunc(digits[:end], func(r rune) bool { return r > '~' || !isUpperHex(byte(r)) }) {
		return 0, "", false
	}
	n, err := strconv.ParseUint(digits[:end], 16, 32)
	if r = rune(n); err != nil || !utf8.ValidRune(r) {
		return 0, "", false
	}
	plain := r > ' ' && r < 0x7f && !strings.ContainsRune(`\+=`, r)
	return r, digits[end+1:], r != 0 && !plain && (digits[0] != '0' || end == 2)
}

// Wish is what the sender of a message wants to hear of one recipient, and by which address.
type Wish struct {
	Notify   Notify `json:"notify,omitempty"`
	Original string `json:"original,omitempty"` // ORCPT, as it was said
}

// Onward is the wish of each of the members that an alias leads to (RFC 3461 section 5.2.7), and
// what its sender hears of the alias itself, "" = nothing: of one member, all is left to who
// delivers to it; of several, the sender hears once of success, and of each that fails.
//
// A list is another matter: it sends in its own name, wishes go no further, and who wants to hear
// of success hears of ActionDelivered.
func (w Wish) Onward(members int) (Wish, Action) {
	if members == 1 || w.Notify&NotifySuccess == 0 {
		return w, ""
	}
	if w.Notify &^= NotifySuccess; w.Notify == 0 {
		w.Notify = NotifyNever
	}
	return w, ActionExpanded
}

// OriginalFor is the value of ORCPT for a server: of 7 bits where it does not take UTF-8
// (RFC 6533 section 3).
func (w Wish) OriginalFor(utf8Too bool) string {
	if utf8Too || isASCII(w.Original) {
		return w.Original
	}
	var b strings.Builder
	for _, r := range w.Original {
		if r < utf8.RuneSelf {
			b.WriteRune(r)
		} else {
			fmt.Fprintf(&b, `\x{%X}`, r)
		}
	}
	return b.String()
}

// original is Original-Recipient of a notice: decoded (RFC 3461 section 6.3, RFC 6533 section 4.1);
// "" when nothing was said.
func (w Wish) original() string {
	kind, address, ok := strings.Cut(w.Original, ";")
	if !ok {
		return ""
	}
	decode := decodeXtext
	if strings.EqualFold(kind, utf8Kind) {
		decode = decodeUnitext
	}
	if plain, ok := decode(address); ok && !strings.ContainsFunc(plain, func(r rune) bool { return r != '\t' && !unicode.IsPrint(r) }) {
		address = plain
	}
	return cleanAddress(kind + "; " + strings.ReplaceAll(address, "\t", " "))
}

// Action is what has become of a recipient, as notices say it (RFC 3464 section 2.3.3).
type Action string

// The actions.
const (
	ActionFailed    Action = "failed"
	ActionDelayed   Action = "delayed"
	ActionDelivered Action = "delivered" // into a mailbox of this server
	ActionRelayed   Action = "relayed"   // to a server that says nothing of what becomes of it
	ActionExpanded  Action = "expanded"  // to the members of an alias
)

// Settled is a recipient of whom nothing has to be tried any more, and of whom the sender hears.
type Settled struct {
	Recipient string
	Action    Action
	Wish      Wish
}
