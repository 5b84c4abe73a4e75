package wire

// Limits bounds what one command may cost. The zero value of a field means its
// default.
type Limits struct {
	// Line is the largest number of octets in the lines of one command, literals
	// not counted. Default DefaultLine.
	Line int
	// Literal is the largest string literal in octets. Message literals, which are
	// streamed, have their own limit (see Decoder.MessageLiteral). Default
	// DefaultLiteral.
	Literal int64
	// Literals is the largest sum of all string literals in one command, in octets.
	// Default eight times Literal.
	Literals int64
	// Skip is how many octets of a refused command are read and dropped to stay in
	// step with the client, before the connection is ended instead. Default
	// DefaultSkip.
	Skip int64
}

const (
	// DefaultLine is generous to clients that name thousands of UIDs one by one, and
	// what Dovecot allows; RFC 7162 section 4 asks for at least 8192 octets.
	DefaultLine = 64 << 10
	// DefaultLiteral holds any search text, name or password; bodies are not strings.
	DefaultLiteral = 128 << 10
	// LoginLine is what a stranger may send in one line: the response of a SASL exchange,
	// for which SMTP allows 12288 octets (RFC 4954 section 4).
	LoginLine = 16 << 10
	// LoginLiteral is what a stranger may send: a name or a password.
	LoginLiteral = 1 << 10
	// DefaultSkip is above the largest string that a client could send in good faith.
	DefaultSkip = 1 << 20
	// LoginSkip bounds what is read from strangers for nothing.
	LoginSkip = 64 << 10

	// MaxDepth bounds nested parentheses. SEARCH is the only command that nests
	// deeply at all, and no client is known to pass ten; the stack must not be the
	// peer's to choose.
	MaxDepth = 50
	// MaxRanges bounds the ranges of one sequence set; a line of DefaultLine octets
	// cannot hold more than this many ranges anyway.
	MaxRanges = 32 << 10
	// MaxFlags bounds the flags of one list; mailboxes hold at most a hundred
	// keywords.
	MaxFlags = 128
	// MaxPattern bounds a LIST pattern in octets, as long as the longest name.
	MaxPattern = 1 << 10
	// maxNumberDigits holds 2^64-1 and a few leading zeros.
	maxNumberDigits = 24
	// maxFlag bounds one flag in octets; keywords of real clients have up to thirty.
	maxFlag = 128
)

// orDefault fills the fields left zero.
func (l Limits) orDefault() Limits {
	if l.Line <= 0 {
		l.Line = DefaultLine
	}
	if l.Literal <= 0 {
		l.Literal = DefaultLiteral
	}
	if l.Literals <= 0 {
		l.Literals = 8 * l.Literal
	}
	if l.Skip <= 0 {
		l.Skip = DefaultSkip
	}
	return l
}
