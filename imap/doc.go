// Package imap is the server of IMAP4rev1 (RFC 3501) and IMAP4rev2 (RFC 9051) over the store of package
// mailbox.
//
// A connection is one goroutine that runs one loop: wait for a command, find it
// in the table of command.go, check that it may be said now, run it, tell what
// happened to the selected mailbox meanwhile, write the tagged reply. A command
// is a method in a file of its name; it parses its arguments, calls the store,
// writes its untagged responses and returns. Whatever it returns as an error is
// made into a reply by replyTo, in one place.
//
// Commands run in order, one at a time. While one takes long, or the client does not take
// what is written, its input is read on, within a bound (see readAhead); a command that
// only reads ends when its connection does, or when the server shuts down.
//
// Nothing is written to the connection while commands wait in the read buffer;
// see session.go for when the output is flushed.
package imap
