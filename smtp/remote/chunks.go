package remote

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"mailstead/smtp/queue"
)

const (
	// chunkSize is about how much of a message goes into one BDAT: a reply for each costs nothing then.
	chunkSize = 256 << 10
	// aheadSize is how long a message may be that is sent with its envelope, before anything is known of
	// its recipients: one way there and back, and little is lost if nobody takes it. The replies
	// fit any TCP window meanwhile (RFC 2920 section 3.1).
	aheadSize = 32 << 10
)

// errChunking is how a conversation ends with a server that offers CHUNKING and does not know BDAT: the octets
// of the message are commands to it. It may go better with DATA, over a new connection.
var errChunking = errors.New("BDAT is offered but not known")

// chunker reads a message as the chunks of BDAT (RFC 3030 section 2): with every line ended by CRLF and
// no dots doubled.
type chunker struct {
	body  io.Reader
	size  int64 // that it has at least
	block []byte
	out   *bytes.Buffer
	lines bodyWriter
}

func newChunker(s *session, body io.Reader, size int64) *chunker {
	return &chunker{body: body, size: size, block: s.block(), out: &s.chunk, lines: bodyWriter{w: &s.chunk, chunked: true}}
}

// next gives a chunk, which is good until the next call, and tells whether it is the last. Its errors are
// those of reading.
func (c *chunker) next() (chunk []byte, last bool, err error) {
	c.out.Reset()
	for c.out.Len() < chunkSize {
		n, err := c.body.Read(c.block)
		c.lines.Write(c.block[:n])
		switch {
		case err == io.EOF && c.lines.written < c.size:
			// The beginning of a message would pass for a whole one.
			return nil, false, temporary("4.3.0", "the message ends after %d of %d bytes", c.lines.written, c.size)
		case err == io.EOF:
			c.lines.finish()
			return c.out.Bytes(), true, nil
		case err != nil:
			return nil, false, temporary("4.3.0", "read the message: %v", err)
		}
	}
	return c.out.Bytes(), false, nil
}

// runChunked is run for a server that knows BDAT. A short message goes out with its envelope, unless the connection
// has waited: where it turns out dead, the message must not have been sent.
func (tx *transaction) runChunked(body io.Reader, size int64) error {
	c := newChunker(tx.s, body, size)
	defer tx.s.releaseChunk()
	chunk, last, err := c.next()
	if err != nil {
		tx.unreadable = true
		return err
	}
	if last && len(chunk) <= aheadSize && tx.s.ext.pipelining && !tx.s.stale {
		tx.ahead = chunk
	}
	if err := tx.envelope(); err != nil {
		return err
	}
	switch {
	case tx.aheadSent:
		return tx.endAhead()
	case tx.accepted == 0:
		tx.s.unfinished = true
		return nil
	}
	return tx.sendChunks(c, chunk, last)
}

// writeChunk puts a chunk into the buffer.
func (tx *transaction) writeChunk(chunk []byte, last bool) error {
	line := fmt.Sprintf("BDAT %d", len(chunk))
	if last {
		line += " LAST"
	}
	if err := tx.s.send(line); err != nil {
		return err
	}
	tx.s.told.note("%d octets of the message", len(chunk))
	if _, err := tx.s.w.Write(chunk); err != nil {
		return tx.broken(err)
	}
	return nil
}

// endAhead takes the reply to a message that was sent with its envelope.
func (tx *transaction) endAhead() error {
	rep, err := tx.last(tx.s.reply("the message", tx.s.timeouts.DataEnd))
	switch {
	case err != nil:
		return err
	case tx.accepted == 0:
		tx.s.unfinished = true
		return nil
	}
	return tx.takeEnd(rep)
}

// last is the last of several replies that were waited for. Where another one is there already, one of those before was too
// many: which of them is about the message, nobody knows.
func (tx *transaction) last(rep reply, err error) (reply, error) {
	if err == nil && tx.s.r.Buffered() > 0 {
		err = tx.s.connError(fmt.Errorf("%w: more replies than commands", errReplyForm), "sending the message")
	}
	return rep, err
}

// sendChunks sends a message, a chunk at a time; with PIPELINING the next one goes out before the
// reply to the last (RFC 3030 section 4.2).
func (tx *transaction) sendChunks(c *chunker, chunk []byte, last bool) (err error) {
	several := false // replies may have been on their way at once
	for unanswered := 0; ; {
		if unanswered == 0 {
			if err := tx.s.caughtUp("sending the message"); err != nil {
				return err
			}
		}
		if err := tx.writeChunk(chunk, last); err != nil {
			return err
		}
		if err := tx.s.w.Flush(); err != nil {
			return tx.broken(err)
		}
		unanswered++
		several = several || unanswered > 1
		for ; unanswered > 1 || unanswered == 1 && !last && !tx.s.ext.pipelining; unanswered-- {
			if going, err := tx.takeChunk(unanswered > 1); !going {
				return err
			}
		}
		if last {
			break
		}
		if chunk, last, err = c.next(); err != nil {
			tx.unreadable = true
			return err
		}
	}
	rep, err := tx.s.reply("the end of the message", tx.s.timeouts.DataEnd)
	if several {
		rep, err = tx.last(rep, err)
	}
	if err != nil {
		tx.decide(accepted, unsure, asVerdict(err)) // as after DATA
		return err
	}
	return tx.takeEnd(rep)
}

// takeChunk takes the reply to a chunk that is not the last. Behind says that another chunk is under way,
// whose reply is of no interest if this one was refused.
func (tx *transaction) takeChunk(behind bool) (going bool, err error) {
	rep, err := tx.s.reply("a chunk", tx.s.timeouts.DataBlock)
	if err != nil {
		return false, err
	}
	if rep.class() == 2 {
		return true, nil
	}
	if err := tx.takeEnd(rep); err != nil {
		return false, err
	}
	tx.s.unfinished = true
	if behind {
		_, err = tx.s.reply("a chunk", tx.s.timeouts.DataEnd)
	}
	return false, err
}

// takeEnd decides by the reply to BDAT.
func (tx *transaction) takeEnd(rep reply) error {
	if tx.s.carried == 0 && (rep.code == 500 || rep.code == 502) {
		return fmt.Errorf("%w: %w", errChunking, rep.verdict("BDAT", 2))
	}
	v := rep.verdict("the message", 2)
	tx.decide(accepted, decided, v)
	if v.status == queue.Delivered {
		tx.s.carried++
	}
	return nil
}
