package smtp

import (
	"context"
	"io"

	"mailstead/mailbox"
	"mailstead/smtp/mailauth"
)

// Filter judges what letters say. It is asked once for each letter from
// outside, when it is whole and before it is answered. Its methods may be called
// at the same time.
type Filter interface {
	// Reads reports whether Assess may have something to say of a letter to these
	// accounts. Without it a letter of which nothing else can be found out is not
	// held back for the filter.
	Reads(accounts []mailbox.AccountID) bool
	// Assess says what is thought of a letter in the eyes of each account, in their
	// order. An account of 0 stands for addresses elsewhere that an alias leads
	// to. What cannot be said in time, or before ctx ends, is the zero Opinion: the
	// letter is then judged by the rest.
	Assess(ctx context.Context, l Letter, accounts []mailbox.AccountID) []Opinion
}

// Letter is a message that is being judged.
type Letter struct {
	// Raw has its octets, with the header as it came but for forged results: nothing
	// of ours stands in front. It is valid until Assess returns.
	Raw io.ReaderAt
	// Size is how many there are.
	Size int64
	// ReversePath is the sender of the envelope; empty for the null one.
	ReversePath string
	// Facts are those that are the same for all recipients. It belongs to the
	// receiver.
	Facts *mailauth.Facts
}

// Opinion is what one account's filter thinks of a letter.
type Opinion struct {
	// Score is the probability that it is junk, from 0 to 1.
	Score float64
	// Known says that the account's owner has written to the author, or rescued
	// mail of theirs from Junk.
	Known bool
	// Words say in English why, the most important first.
	Words []string
}

// letterReader reads a header and then a body as one.
type letterReader struct {
	header []byte
	body   io.ReaderAt
}

// ReadAt is that of io.ReaderAt.
func (r letterReader) ReadAt(p []byte, off int64) (n int, err error) {
	if off < int64(len(r.header)) {
		n = copy(p, r.header[max(off, 0):])
		off, p = 0, p[n:]
		if len(p) == 0 {
			return n, nil
		}
	} else {
		off -= int64(len(r.header))
	}
	m, err := r.body.ReadAt(p, off)
	return n + m, err
}
