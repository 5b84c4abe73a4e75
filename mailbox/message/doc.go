// Package message reads mail: one bounded pass over the bytes of a message gives everything that IMAP, POP3,
// threading and search ask for later, so that no message is parsed twice.
//
// The pass is an [Indexer], an [io.Writer] with constant memory. Its result, an [Index], is written once as one
// compact value ([Index.AppendTo]); a [View] reads that value without copying or allocating: ENVELOPE and
// BODYSTRUCTURE as they go on the wire, offsets of every part, the raw header fields that clients ask for, a preview,
// and what threads and sorting need.
//
// No input is an error. Mail that breaks RFC 5322 or RFC 2045 is described as well as it can be, and mail beyond the
// limits of this package is described up to the limit: what follows is part of the last part described. All work is
// linear in the size of the input.
//
// The package also holds the other readings of a message: header fields, addresses, dates, RFC 2047 words, decoded
// text for search, and the few functions that write header fields of generated mail.
package message
