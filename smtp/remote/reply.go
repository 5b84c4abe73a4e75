package remote

import (
	"bufio"
	"errors"
	"fmt"
	"strings"
)

const (
	maxReplyLine  = 2048 // bytes; RFC 5321 section 4.5.3.1.5 says 512, some servers say more
	maxReplyLines = 100  // in a reply; EHLO replies have about a dozen
	maxText       = 500  // bytes of a reply kept for logs and failure notices
)

var (
	errReplyLine  = errors.New("reply line too long")
	errReplyLines = errors.New("reply has too many lines")
	errReplyForm  = errors.New("malformed reply")
)

// reply is what a server said to a command (RFC 5321 section 4.2).
type reply struct {
	code  int      // 200 to 599
	lines []string // the text of each line, as received
}

// readReply reads one reply, several lines if need be. r has a buffer of
// maxReplyLine bytes. A line may end in a bare LF: nothing is decided by it.
func readReply(r *bufio.Reader) (reply, error) {
	var rep reply
	for {
		line, err := r.ReadSlice('\n')
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			return reply{}, errReplyLine
		case err != nil:
			return reply{}, err
		}
		code, text, more, err := parseReplyLine(strings.TrimRight(string(line), "\r\n"))
		switch {
		case err != nil:
			return reply{}, err
		case len(rep.lines) > 0 && code != rep.code:
			// RFC 5321 section 4.2.1: the code is the same on every line.
			return reply{}, fmt.Errorf("%w: %d and %d in one", errReplyForm, rep.code, code)
		case len(rep.lines) == maxReplyLines:
			return reply{}, errReplyLines
		}
		rep.code, rep.lines = code, append(rep.lines, text)
		if !more {
			return rep, nil
		}
	}
}

// parseReplyLine takes a line apart: three digits, a hyphen if more lines
// follow, text. The text and the space before it may be missing.
func parseReplyLine(line string) (code int, text string, more bool, err error) {
	if len(line) < 3 {
		return 0, "", false, fmt.Errorf("%w: %.40q", errReplyForm, line)
	}
	for _, c := range []byte(line[:3]) {
		if c < '0' || c > '9' {
			return 0, "", false, fmt.Errorf("%w: %.40q", errReplyForm, line)
		}
		code = 10*code + int(c-'0')
	}
	if code < 200 || code > 599 {
		return 0, "", false, fmt.Errorf("%w: code %d", errReplyForm, code)
	}
	switch {
	case len(line) == 3:
		return code, "", false, nil
	case line[3] == ' ' || line[3] == '-':
		return code, line[4:], line[3] == '-', nil
	}
	return 0, "", false, fmt.Errorf("%w: %.40q", errReplyForm, line)
}

// class is the first digit of the code, all that decides (RFC 5321 section
// 4.2): 2 done, 3 go on, 4 not now, 5 no.
func (r reply) class() int { return r.code / 100 }

// enhanced gives the enhanced status code that begins the text (RFC 2034
// section 4), "" if there is none or it contradicts the reply code. It is read
// whether or not the server announced ENHANCEDSTATUSCODES: many greet with one.
func (r reply) enhanced() string {
	if len(r.lines) == 0 {
		return ""
	}
	word, _, _ := strings.Cut(r.lines[0], " ")
	if word == "" || int(word[0]-'0') != r.class() || !isEnhanced(word) {
		return ""
	}
	return word
}

// isEnhanced tells whether s is an enhanced status code (RFC 3463 section 2).
func isEnhanced(s string) bool {
	class, rest, _ := strings.Cut(s, ".")
	subject, detail, found := strings.Cut(rest, ".")
	return found && len(class) == 1 && strings.Contains("245", class) && isNumber(subject) && isNumber(detail)
}

func isNumber(s string) bool {
	return 1 <= len(s) && len(s) <= 3 && strings.Trim(s, "0123456789") == ""
}

// text gives the reply's text on one line, without the enhanced code that
// servers repeat on each, printable ASCII only and cut at maxText.
func (r reply) text() string {
	code := r.enhanced()
	var b strings.Builder
	for _, line := range r.lines {
		line = strings.TrimPrefix(line, code)
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		if b.Len() > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(line)
		if b.Len() > maxText {
			break
		}
	}
	return sanitise(b.String())
}

// sanitise makes remote text safe for logs and for the fields of a failure
// notice (RFC 3464 section 2.1.1): printable ASCII, bounded.
func sanitise(s string) string {
	cut := s
	if len(s) > maxText {
		cut = s[:maxText-3]
	}
	clean := strings.Map(func(c rune) rune {
		if c < ' ' || c > '~' {
			return '?'
		}
		return c
	}, cut)
	if len(cut) < len(s) {
		clean += "..."
	}
	return clean
}
