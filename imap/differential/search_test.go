package differential

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"html"
	"io"
	"mime/quotedprintable"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/text/encoding/charmap"

	"mailstead/mailbox/message"
)

// query is a search; needle is the text that it looks for in the body.
type query struct{ keys, needle string }

// queries are the searches that both servers are asked for.
func queries() (list []query) {
	for _, keys := range plainKeys {
		list = append(list, query{keys: keys})
	}
	for _, word := range searchWords {
		list = append(list, query{fmt.Sprintf("BODY %q", word), word}, query{fmt.Sprintf("TEXT %q", word), word})
	}
	for _, word := range eightBitWords {
		for _, key := range []string{"BODY", "TEXT", "SUBJECT", "FROM"} {
			list = append(list, query{fmt.Sprintf("CHARSET UTF-8 %s {%d+}\r\n%s", key, len(word), word), word})
		}
	}
	return list
}

var (
	plainKeys = []string{"ALL", "SEEN", "UNSEEN", "ANSWERED", "UNANSWERED", "DELETED", "UNDELETED", "DRAFT", "UNDRAFT", "FLAGGED", "UNFLAGGED",
		"KEYWORD $Forwarded", "KEYWORD WORK", "UNKEYWORD work", "KEYWORD nowhere", "UNKEYWORD nowhere",
		"1:5", "*", "*:1", "3,7,5:6,2", "5000000:*", "NOT 1:50", "UID 3:7", "UID 4000000:4000001", "UID 4000000:*",
		"LARGER 0", "LARGER 1000", "SMALLER 300", "SMALLER 1", "LARGER 400 SMALLER 900",
		"BEFORE 9-Jan-2001", "ON 9-Jan-2001", "SINCE 9-Jan-2001", "SINCE 1-Jan-2001 BEFORE 20-Jan-2001",
		"SENTBEFORE 6-Jul-2020", "SENTON 6-Jul-2020", "SENTSINCE 6-Jul-2020", "SENTON 22-Aug-2002", "SENTSINCE 1-Jan-2003",
		"OR SEEN FLAGGED", "NOT (SEEN FLAGGED)", "NOT OR SEEN (DELETED NOT DRAFT)", "OR (1:10 SEEN) (20:30 UNSEEN)", "(((ALL)))",
		"SUBJECT hello OR FROM bob TO ann", "NOT SUBJECT e", "SEEN BODY apple NOT TEXT needle",
		"FROM ann", "FROM ANN@EXAMPLE", "FROM \"Ann Example\"", "FROM \"<ann\"", "FROM \"\"", "TO bob", "TO group", "TO relay.example", "CC example", "CC \"\"", "BCC ann",
		"SUBJECT hello", "SUBJECT \"re:\"", "SUBJECT \"\"", "SUBJECT \"folded subject thrice\"", "SUBJECT \"spaces   inside\"", "SUBJECT =?utf",
		"HEADER X-Folded two", "HEADER X-Folded \"one two\"", "HEADER X-Empty \"\"", "HEADER X-Nowhere \"\"", "HEADER x-lower case", "HEADER Message-ID <1@example.org>",
		"HEADER Received \"from a by b\"", "HEADER References 3@example", "HEADER Content-Type multipart", "HEADER MIME-Version 1.0", "HEADER X-Space before",
		"HEADER Precedence bulk", "HEADER List-Id \"\"", "HEADER Received localhost",
	}
	searchWords = []string{
		"apple", "APPLE", "berry", "straw", "straw berry", "needle", "haystack", "bold", "a=b", "100%", "From here", "--dash", "e-mail", "x@y.example", "ppl",
		"Message-ID", "base64", "preamble", "epilogue", "linux", "viagra", "click here", "unsubscribe", "http://", "spamassassin", "guarantee", "xyzzy-nowhere",
	}
	eightBitWords = []string{"gr\u00fc\u00dfe", "GR\u00dc", "caf\u00e9", "CAF\u00c9", "na\u00efve", "\u65e5\u672c", "\u0436\u0443\u043a", "J\u00fcrgen"}
)

// numbersOf reads "* NAME n n n" where it is that response.
func numbersOf(response []byte, name string) (numbers []int, ok bool) {
	rest, ok := bytes.CutPrefix(response, []byte("* "+name))
	if !ok {
		return nil, false
	}
	for field := range strings.FieldsSeq(string(rest)) {
		n, err := strconv.Atoi(field)
		if err != nil {
			return nil, false
		}
		numbers = append(numbers, n)
	}
	return numbers, true
}

// askBoth says a command that is answered by numbers to both.
func (p *pair) askBoth(name, command string) (ours, theirs []int, replies [2]string) {
	var said [2][]int
	for i, c := range []*client{p.ours, p.theirs} {
		replies[i] = c.command(command, func(response []byte) {
			if numbers, ok := numbersOf(response, name); ok {
				said[i] = append(said[i], numbers...)
			}
		})
	}
	return said[0], said[1], replies
}

// searchAll compares what both find.
func (p *pair) searchAll() (found []difference) {
	for _, q := range queries() {
		ours, theirs, replies := p.askBoth("SEARCH", "UID SEARCH "+q.keys)
		where := "SEARCH " + strings.ReplaceAll(q.keys, "\r\n", "")
		if word(replies[0]) != word(replies[1]) {
			found = append(found, difference{where: where, ours: replies[0], theirs: replies[1]})
			continue
		}
		found = append(found, p.onlyIn(where, q.needle, ours, theirs, "found", "not found")...)
		found = append(found, p.onlyIn(where, q.needle, theirs, ours, "not found", "found")...)
	}
	return found
}

// onlyIn are the messages that one server finds and the other does not. It is said where
// there is more to know: whether the text is there at all, whether the header is odd.
func (p *pair) onlyIn(where, needle string, one, other []int, ours, theirs string) (found []difference) {
	for _, uid := range one {
		if slices.Contains(other, uid) {
			continue
		}
		m, more := p.letters[uid-1], ""
		if needle != "" && m.contains(needle) {
			more += ", it is there"
		}
		if !m.hasPlainHeader() {
			more += ", odd header"
		}
		found = append(found, difference{where: where + more, letter: m, ours: ours, theirs: theirs})
	}
	return found
}

// base64Lines are lines that look like base64.
var base64Lines = regexp.MustCompile(`(?m)(^[A-Za-z0-9+/]{4,}=*\r?\n?)+`)

// contains reports whether a text is in the message, in whatever encoding, in any case. It
// knows nothing of parts: it decodes whatever can be decoded.
func (m *letter) contains(needle string) bool {
	texts := [][]byte{m.raw}
	if decoded, err := io.ReadAll(quotedprintable.NewReader(bytes.NewReader(m.raw))); len(decoded) > 0 || err == nil {
		texts = append(texts, decoded)
	}
	for _, lines := range base64Lines.FindAll(m.raw, -1) {
		lines = bytes.ReplaceAll(bytes.ReplaceAll(lines, []byte("\r"), nil), []byte("\n"), nil)
		decoded := make([]byte, base64.StdEncoding.DecodedLen(len(lines)))
		n, _ := base64.StdEncoding.Decode(decoded, lines)
		texts = append(texts, decoded[:n])
	}
	for _, text := range texts {
		latin, _ := charmap.Windows1252.NewDecoder().Bytes(text)
		for _, readable := range []string{string(text), string(latin), html.UnescapeString(string(text)), message.DecodeHeader(text)} {
			if strings.Contains(strings.ToLower(readable), strings.ToLower(needle)) {
				return true
			}
		}
	}
	return false
}
