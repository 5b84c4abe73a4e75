package mailauth

import "bytes"

const (
	maxResultsField = 32 << 10 // octets of a field that are read
	maxMethods      = 100      // results in it
	maxProperties   = 20       // properties of one; more are read over
	maxCommentDepth = 10       // comments in comments
)

// ParseAuthResults parses what stands behind "Authentication-Results:" (RFC
// 8601 section 2.2), folded as it is. Not ok: it cannot be read to its end, is
// of another version, or is larger than 32 KB or 100 results; what was read
// before is there. Whether its author can be believed is not said by the field.
func ParseAuthResults(value []byte) (r AuthResults, ok bool) {
	p := resultsParser{rest: value}
	if len(value) > maxResultsField {
		return r, false
	}
	if r.ID, ok = p.identifier(); !ok {
		return r, false
	}
	for p.skip() && len(p.rest) > 0 {
		if !p.take(';') || len(r.Methods) == maxMethods {
			return r, false
		}
		if !p.skip() || len(p.rest) == 0 {
			break // a semicolon at the end
		}
		m, none, ok := p.method()
		if !ok {
			return r, false
		}
		if !none {
			r.Methods = append(r.Methods, m)
		}
	}
	return r, len(p.rest) == 0
}

// resultsParser reads a field from its front.
type resultsParser struct{ rest []byte }

// identifier reads the authserv-id and the version behind it, which is 1.
func (p *resultsParser) identifier() (string, bool) {
	if !p.skip() {
		return "", false
	}
	id, ok := p.value()
	if !ok || !p.skip() {
		return "", false
	}
	if version := p.keyword(); version != "" && version != "1" || !p.skip() {
		return "", false
	}
	return id, len(p.rest) == 0 || p.rest[0] == ';'
}

// method reads one result up to the next semicolon; none is the word that
// stands for no results.
func (p *resultsParser) method() (m MethodResult, none, ok bool) {
	m.Method = p.keyword()
	if !p.skip() || m.Method == "" {
		return m, false, false
	}
	if m.Method == "none" && (len(p.rest) == 0 || p.rest[0] == ';') {
		return m, true, true
	}
	if p.take('/') { // a version of the method
		if !p.skip() || p.keyword() == "" || !p.skip() {
			return m, false, false
		}
	}
	if !p.take('=') || !p.skip() {
		return m, false, false
	}
	m.Result = Result(p.keyword())
	for {
		switch {
		case !p.skip():
			return m, false, false
		case len(p.rest) == 0 || p.rest[0] == ';':
			return m, false, m.Result != ""
		case !p.property(&m):
			return m, false, false
		}
	}
}

// property reads a reason or a property.
func (p *resultsParser) property(m *MethodResult) bool {
	var next Property
	next.Type = p.keyword()
	if !p.skip() || next.Type == "" {
		return false
	}
	if p.take('.') {
		if !p.skip() {
			return false
		}
		next.Name = p.keyword()
		if !p.skip() || next.Name == "" {
			return false
		}
	}
	if !p.take('=') || !p.skip() {
		return false
	}
	var ok bool
	next.Value, ok = p.value()
	switch {
	case next.Type == "reason" && next.Name == "":
		m.Reason = next.Value
	case next.Name != "" && len(m.Properties) < maxProperties:
		m.Properties = append(m.Properties, next)
	}
	return ok
}

// keyword reads a word of letters, digits and hyphens in lower case; nothing if
// there is none.
func (p *resultsParser) keyword() string {
	n := 0
	for n < len(p.rest) && isKeywordChar(p.rest[n]) {
		n++
	}
	word := bytes.ToLower(p.rest[:n])
	p.rest = p.rest[n:]
	return string(word)
}

// value reads a token, a quoted string or an address, which may be both. Many
// write base64 without quotes, so everything counts that cannot end a value.
func (p *resultsParser) value() (string, bool) {
	var out []byte
	found := false // a quoted string may be empty
	for len(p.rest) > 0 {
		switch c := p.rest[0]; {
		case c == '"':
			text, ok := p.quoted()
			if !ok {
				return "", false
			}
			out = append(out, text...)
		case isFWS(c) || c == ';' || c == '(':
			return string(out), found
		case c < ' ' || c == 0x7F:
			return "", false
		default:
			out = append(out, c)
			p.rest = p.rest[1:]
		}
		found = true
	}
	return string(out), found
}

// quoted reads a quoted string.
func (p *resultsParser) quoted() ([]byte, bool) {
	var out []byte
	for i := 1; i < len(p.rest); i++ {
		switch p.rest[i] {
		case '"':
			p.rest = p.rest[i+1:]
			return out, true
		case '\\':
			if i++; i < len(p.rest) {
				out = append(out, p.rest[i])
			}
		case '\r', '\n': // of a fold
		default:
			out = append(out, p.rest[i])
		}
	}
	return nil, false
}

// take reads one octet if it is c.
func (p *resultsParser) take(c byte) bool {
	if len(p.rest) == 0 || p.rest[0] != c {
		return false
	}
	p.rest = p.rest[1:]
	return true
}

// skip reads over white space and comments (RFC 5322 section 3.2.2); not ok
// where a comment does not end or is too deep.
func (p *resultsParser) skip() bool {
	depth := 0
	for i, n := 0, len(p.rest); ; i++ {
		if i >= n {
			if depth == 0 {
				p.rest = nil
			}
			return depth == 0
		}
		switch c := p.rest[i]; {
		case c == '(':
			if depth++; depth > maxCommentDepth {
				return false
			}
		case depth > 0 && c == ')':
			depth--
		case depth > 0 && c == '\\':
			i++
		case depth == 0 && !isFWS(c):
			p.rest = p.rest[i:]
			return true
		}
	}
}

// cutInstance reads the "i=1;" that an ARC-Authentication-Results field begins
// with (RFC 8617 section 4.1.1) and gives the rest; 0 if there is no good one.
func cutInstance(value []byte) (instance int64, rest []byte) {
	p := resultsParser{rest: value}
	if !p.skip() || p.keyword() != "i" || !p.skip() || !p.take('=') || !p.skip() {
		return 0, nil
	}
	n, ok := decimal([]byte(p.keyword()), maxInstanceDigits)
	if !ok || !p.skip() || !p.take(';') {
		return 0, nil
	}
	return n, p.rest
}
