// Package wire reads and writes the tokens of IMAP4rev1 (RFC 3501 section 9).
//
// The [Decoder] holds one line of a command at a time in a bounded buffer and
// hands out its tokens; literals of strings are bounded too, those of messages
// are streamed. Whatever a peer sends costs bounded time and memory: every bound
// is a field of [Limits] or a named constant beside it.
//
// The [Encoder] collects responses in a pooled buffer and writes it out when it
// is full or when the engine says so. Who has much to say appends to its buffer.
//
// The package knows tokens, not commands: which token may follow which is said
// by the engine in package imap.
package wire
