package message

import "bytes"

// BaseSubject returns the base subject of RFC 5256 section 2.1 of a Subject field's value, and whether something that
// replies and forwards add was taken off. Of a longer subject the first kilobyte counts.
func BaseSubject(value []byte) (base string, reply bool) {
	b, reply := appendBaseSubject(nil, value, "")
	return string(b), reply
}

func appendBaseSubject(dst, value []byte, legacy string) (out []byte, reply bool) {
	start := len(dst)
	// Step 1. Encoded text is up to six times longer than what it says.
	value = value[:min(len(value), 6*maxSubject)]
	if isASCII(value) && !bytes.Contains(value, []byte("=?")) {
		dst = appendUnfolded(dst, value)
	} else {
		dst = append(dst, decodeHeader(value, legacy)...)
	}
	s := cutString(collapseSpace(dst[start:]), maxSubject)
	for {
		before := len(s)
		s = trimTrailers(s)
		reply = reply || len(s) < before
		var led bool
		s, led = trimLeaders(s)
		reply = reply || led
		inner, forwarded := trimForward(s)
		if !forwarded {
			break
		}
		s, reply = inner, true
	}
	return append(dst[:start], s...), reply
}

// collapseSpace makes each run of white space one space, in place, and trims both ends.
func collapseSpace(s []byte) []byte {
	out := s[:0]
	for _, c := range s {
		if isSpace(c) {
			if len(out) == 0 || out[len(out)-1] == ' ' {
				continue
			}
			c = ' '
		}
		out = append(out, c)
	}
	return bytes.TrimRight(out, " ")
}

// trimTrailers is step 2: subj-trailer = "(fwd)" / WSP.
func trimTrailers(s []byte) []byte {
	for {
		s = bytes.TrimRight(s, " ")
		if n := len(s) - len("(fwd)"); n < 0 || !equalFoldASCII(s[n:], "(fwd)") {
			return s
		}
		s = s[:len(s)-len("(fwd)")]
	}
}

// trimLeaders is steps 3 to 5. led is set when a subj-refwd went, not when only a list's tag did.
func trimLeaders(s []byte) (out []byte, led bool) {
	for {
		s = bytes.TrimLeft(s, " ")
		if n := leaderLength(s); n > 0 {
			s, led = s[n:], true
			continue
		}
		if n := blobLength(s); n > 0 && n < len(s) {
			s = s[n:]
			continue
		}
		return s, led
	}
}

// leaderLength is the length of a subj-leader: *subj-blob ("re" / "fw" / "fwd") *WSP [subj-blob] ":".
func leaderLength(s []byte) int {
	i := 0
	for n := blobLength(s); n > 0; n = blobLength(s[i:]) {
		i += n
	}
	switch rest := s[i:]; {
	case len(rest) >= 3 && equalFoldASCII(rest[:3], "fwd"):
		i += 3
	case len(rest) >= 2 && (equalFoldASCII(rest[:2], "re") || equalFoldASCII(rest[:2], "fw")):
		i += 2
	default:
		return 0
	}
	for i < len(s) && s[i] == ' ' {
		i++
	}
	i += blobLength(s[i:])
	if i < len(s) && s[i] == ':' {
		return i + 1
	}
	return 0
}

// blobLength is the length of a subj-blob: "[" *BLOBCHAR "]" *WSP, no brackets within.
func blobLength(s []byte) int {
	if len(s) == 0 || s[0] != '[' {
		return 0
	}
	i := bytes.IndexAny(s[1:], "[]") + 1
	if i <= 0 || s[i] != ']' {
		return 0
	}
	for i++; i < len(s) && s[i] == ' '; i++ {
	}
	return i
}

// trimForward is step 6: "[fwd:" … "]".
func trimForward(s []byte) (inner []byte, ok bool) {
	const head = "[fwd:"
	if len(s) <= len(head) || s[len(s)-1] != ']' || !equalFoldASCII(s[:len(head)], head) {
		return s, false
	}
	return s[len(head) : len(s)-1], true
}
