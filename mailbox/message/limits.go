package message

// Limits of one message. Each keeps a hostile message from costing more than an honest one of the same size; what lies
// beyond a limit stays readable as bytes, it is only not taken apart.
const (
	// MaxParts bounds the parts described. Mail clients stop showing anything useful long before; other servers
	// stop between 100 and 10,000.
	MaxParts = 1000
	// MaxNesting bounds multiparts and attached messages inside each other. A mail forwarded fifty times as an
	// attachment is unheard of, and IMAP clients recurse over BODYSTRUCTURE.
	MaxNesting = 50
	// MaxHeader bounds the octets of the message's own header that are read. Postfix refuses headers above
	// 100 KiB, large mailing lists stay below 64 KiB.
	MaxHeader = 256 << 10
	// MaxHeaderFields bounds the header fields read of one header.
	MaxHeaderFields = 1000

	// maxPartHeader bounds the header octets read of one part or attached message.
	maxPartHeader = 64 << 10
	// maxPartHeaders bounds the header octets read of all parts together, and with it what is stored.
	maxPartHeaders = 256 << 10
	// maxBoundary bounds a boundary. RFC 2046 section 5.1.1 allows 70 octets; some senders use more.
	maxBoundary = 256
	// maxLineKept is the beginning of a body line that is kept across two writes: two hyphens, a boundary, two
	// hyphens, and padding.
	maxLineKept = 2*maxBoundary + 8
	// maxAddresses bounds the addresses of one header field that ENVELOPE tells. 256 KiB of header hold about
	// 10,000.
	maxAddresses = 4096
	// maxAddressPart bounds one name, route, local part or domain of an address. RFC 5321 section 4.5.3.1 asks for 64
	// and 255 octets.
	maxAddressPart = 1 << 10
	// maxString bounds one unstructured field (Subject, Date …) in ENVELOPE and BODYSTRUCTURE.
	maxString = 8 << 10
	// maxParams bounds the parameters of a Content-Type or Content-Disposition. RFC 2231 cuts long names into
	// pieces of about 70 octets, so 64 pieces are a name of 4 KiB.
	maxParams = 64
	// maxParamName bounds the name of a parameter.
	maxParamName = 128
	// maxParamValue bounds the value of one piece of a parameter.
	maxParamValue = 2 << 10
	// maxLanguages bounds the list of Content-Language.
	maxLanguages = 64
	// maxPreviewSource is how much of the first text part is kept to make the preview from. HTML mail often begins
	// with some kilobytes of style.
	maxPreviewSource = 16 << 10
	// maxPreview is the length of a preview in characters: RFC 8970 section 3.3 says 200 and never above 256.
	maxPreview = 200
	// maxSubject bounds the decoded subject that a base subject is made from, in octets.
	maxSubject = 1 << 10
	// maxWholeHeader is the header size up to which the header is stored whole next to the index.
	maxWholeHeader = 2 << 10
	// maxCachedFields bounds the header fields stored next to the index when the header is not stored whole.
	maxCachedFields = 16 << 10
	// maxKeptBuffer is the largest buffer that an Indexer keeps from one message to the next.
	maxKeptBuffer = 256 << 10
)
