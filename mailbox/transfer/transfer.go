// Package transfer takes mail home and back: an account to Maildir, mbox or another
// server and in again, with folders, flags and dates.
//
// A [Source] sends folders and messages, one after the other, to a [Sink]. What
// keeps mail is either or both: the store ([Account], [Importer]), Maildir
// ([MaildirSource], [MaildirSink]), mbox ([MboxSource], [MboxSink]) and the IMAP servers
// of others ([IMAPSource], [IMAPSink]). [Encoder] and
// [Decoder] are a sink and a source with a byte stream between them, for when the
// store and the files are not one process's.
package transfer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	goimap "github.com/emersion/go-imap/v2"
)

// Folder describes a mailbox on its way.
type Folder struct {
	Name       string `json:"name"` // UTF-8, "/" between levels; INBOX spelt so
	Subscribed bool   `json:"subscribed,omitempty"`
	// Use is what the source marks the folder for, RFC 6154 section 2; "" = it says nothing.
	Use goimap.MailboxAttr `json:"use,omitempty"`
	// Validity is the UIDVALIDITY of a folder whose messages have a Place; else 0.
	Validity uint32 `json:"validity,omitempty"`
}

// Place is where a message is in a source that is asked again another day.
type Place struct {
	Folder   string `json:"folder"` // one that was sent with this Validity
	Validity uint32 `json:"validity"`
	UID      uint32 `json:"uid"`
}

// Update tells what became of messages that a source sent another day.
type Update struct {
	Folder   string        `json:"folder"`
	Validity uint32        `json:"validity"`
	UIDs     []uint32      `json:"uids,omitempty"` // these have the flags
	Flags    []goimap.Flag `json:"flags,omitempty"`
	Gone     []uint32      `json:"gone,omitempty"` // these are there no more
}

// Follower is a sink that takes updates. They come behind the folders.
type Follower interface {
	Update(ctx context.Context, u Update) error
}

// Message is one message on its way.
type Message struct {
	Folders []string      // the mailboxes it is in; at least one
	Flags   []goimap.Flag // system flags and keywords
	Date    time.Time     // INTERNALDATE; zero = not known
	Origin  string        // where it is, in words for people
	Name    string        // of this message in its folder, the same each time it is sent; "" = none
	Place   *Place        // what it is remembered by; nil = by nothing
	Body    io.Reader     // its octets; valid until Sink.Message returns
}

// Problem is something that was left out, and why.
type Problem struct {
	Origin string `json:"origin"`
	Text   string `json:"text"`
}

// Totals count what a sink took.
type Totals struct {
	Messages int64 `json:"messages"`          // taken, and safe on disk
	Known    int64 `json:"known"`             // were there already
	Failed   int64 `json:"failed"`            // left out, each with a Problem
	Octets   int64 `json:"octets"`            // of those taken and known
	Changed  int64 `json:"changed,omitempty"` // taken another day, and their flags followed
	Removed  int64 `json:"removed,omitempty"` // taken another day, and removed since
}

// Source sends all it has to a sink: first the folders, then the messages. It
// goes on behind what it cannot read, with a Problem, and stops at the sink's
// errors and when ctx ends.
type Source interface {
	Send(ctx context.Context, to Sink) error
}

// Sink takes folders and messages. Its methods are called by one goroutine at a
// time. An error ends the transfer, but for *BodyError, which ends one message.
type Sink interface {
	Folder(ctx context.Context, f Folder) error
	Message(ctx context.Context, m *Message) error
	Problem(p Problem) error
}

// BodyError says that a message's octets could not be read to their end.
type BodyError struct{ Err error }

func (e *BodyError) Error() string { return e.Err.Error() }
func (e *BodyError) Unwrap() error { return e.Err }

// send sends one message. One that cannot be read becomes a problem.
func send(ctx context.Context, to Sink, m *Message) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	err := to.Message(ctx, m)
	if broken, ok := errors.AsType[*BodyError](err); ok {
		return to.Problem(Problem{Origin: m.Origin, Text: broken.Error()})
	}
	if err != nil {
		return fmt.Errorf("%s: %w", m.Origin, err)
	}
	return nil
}

// copyBody writes the message to dst by way of buf. What the source cannot read is a *BodyError.
func copyBody(dst io.Writer, body io.Reader, buf []byte) error {
	for {
		n, err := body.Read(buf)
		if n > 0 {
			if _, failed := dst.Write(buf[:n]); failed != nil {
				return failed
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return &BodyError{err}
		}
	}
}

// copyBuffer is the size of what is read of a message at once, in bytes.
const copyBuffer = 64 << 10
