package junk

// What a letter may cost. Beyond a limit it is judged by what was read before: a letter that hides its message behind
// 100 KB of other text shows that to its reader, too.
const (
	// MaxFeatures bounds the features of a letter.
	MaxFeatures = 4096
	// maxNames bounds the octets in which the words of a letter's features are kept, to tell its signals.
	maxNames = 128 << 10
	// maxText bounds the decoded text that is taken apart, in octets.
	maxText = 48 << 10
	// maxMarkup bounds the octets in which links and HTML tags are looked for.
	maxMarkup = 64 << 10
	// maxRead bounds the octets that are read of a letter, part headers included: a thousand parts cost no more.
	maxRead = 1 << 20
	// maxHeader bounds the octets of the header that are taken apart.
	maxHeader = 64 << 10
	// maxHeaderFields bounds the header fields that are looked at.
	maxHeaderFields = 200
	// maxRecipients bounds the addresses of To and Cc that become features.
	maxRecipients = 8
	// maxParts bounds the parts whose type becomes a feature.
	maxParts = 64
	// maxValue bounds a header field's value that becomes a feature as a whole, in octets.
	maxValue = 60
	// maxListName bounds what is kept of a field that names a list, and maxFooter the footer that a list adds, in octets.
	maxListName = 200
	maxFooter   = 1000
	// maxWord bounds a word in octets; what is longer is an identifier, and counted only.
	maxWord = 40
	// maxLinks bounds the links of a letter that are looked at.
	maxLinks = 200
	// maxTags bounds the features that HTML tags and their attributes make.
	maxTags = 600
	// maxSignals is the number of signals a verdict tells.
	maxSignals = 6
)

// What the models take in memory, in octets.
const (
	serverBits  = 20
	accountBits = 16
	countBits   = 18

	// ServerSize is the size of a server's model, its counts included.
	ServerSize = 4<<serverBits + 4<<countBits
	// AccountSize is the size of an account's model.
	AccountSize = 4 << accountBits
	// MaxAccounts is how many models of accounts are to be in memory at once.
	MaxAccounts = 4
	// MaxReaders is how many letters are to be taken apart at once.
	MaxReaders = 2
	// MaxReader bounds what a Reader keeps.
	MaxReader = 1 << 20
)
