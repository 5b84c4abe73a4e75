package remote

import (
	"fmt"
	"io"
	"slices"
	"strconv"

	"mailstead/smtp/queue"
)

const (
	// maxBatch is how many recipients go into a transaction: what every server
	// takes (RFC 5321 section 4.5.3.1.8).
	maxBatch = 100
	// pipelineGroup is how many bytes of commands are sent before their replies
	// are read. It fits any TCP window, so neither side can be left waiting for
	// the other to read (RFC 2920 section 3.1).
	pipelineGroup = 4096
)

// progress is how far a recipient has come in a transaction.
type progress uint8

const (
	waiting  progress = iota // RCPT not answered yet
	accepted                 // what becomes of the message becomes of it
	decided                  // its verdict stands
	deferred                 // too many for this transaction; for the next
	unsure                   // decided, but the server may have the message
)

// transaction is MAIL, RCPT for each recipient, and DATA (RFC 5321 section 3.3).
// With PIPELINING (RFC 2920) they go out together.
type transaction struct {
	s        *session
	mail     string // the MAIL command
	rcpts    []recipient
	m        queue.Message
	states   []progress
	verdicts []verdict // of those that are decided
	accepted int
	begun    bool // MAIL was taken
	refused  bool // MAIL was
	data     reply
	// unreadable says that we could not read our own message.
	unreadable bool

	// Of BDAT only; see runChunked.
	ahead     []byte // the message, if it goes out with the envelope
	aheadSent bool
}

// transact runs one transaction. Afterwards every recipient is decided or
// deferred, the latter only if others were accepted; an error means besides
// that the connection cannot be used any more.
func (s *session) transact(mail string, rcpts []recipient, m queue.Message) (*transaction, error) {
	tx := &transaction{
		s: s, mail: mail, rcpts: rcpts, m: m,
		states: make([]progress, len(rcpts)),
		// The zero verdict would say "delivered"; no slip of ours shall.
		verdicts: slices.Repeat([]verdict{temporary("4.3.0", "not decided")}, len(rcpts)),
	}
	body, err := m.Open()
	if err != nil {
		tx.unreadable = true
		return tx, tx.abort(temporary("4.3.0", "open the message: %v", err))
	}
	defer body.Close()
	if err := tx.run(body, m.Size); err != nil {
		return tx, tx.abort(err)
	}
	return tx, nil
}

func (tx *transaction) run(body io.Reader, size int64) error {
	if tx.s.unfinished {
		if err := tx.s.reset(); err != nil {
			return err
		}
	}
	if tx.s.ext.chunking {
		return tx.runChunked(body, size)
	}
	if err := tx.envelope(); err != nil {
		return err
	}
	switch {
	case tx.accepted == 0 && tx.data.class() == 3:
		return tx.emptyMessage()
	case tx.accepted == 0:
		tx.s.unfinished = true
		return nil
	case tx.data.class() != 3:
		tx.decide(accepted, decided, tx.data.verdict("DATA", 3))
		tx.s.unfinished = true
		return nil
	}
	if err := tx.s.caughtUp("sending the message"); err != nil {
		return err
	}
	if err := tx.sendBody(body, size); err != nil {
		return err
	}
	rep, err := tx.s.reply("the end of the message", tx.s.timeouts.DataEnd)
	if err != nil {
		// The server may have taken the message and only its answer be lost.
		// Trying again may deliver twice; not trying may lose it (RFC 5321
		// section 6.1).
		tx.decide(accepted, unsure, asVerdict(err))
		return err
	}
	v := rep.verdict("the end of the message", 2)
	tx.decide(accepted, decided, v)
	if v.status == queue.Delivered {
		tx.s.carried++
	}
	return nil
}

// decide gives v to all recipients in one state and brings them to another.
func (tx *transaction) decide(from, to progress, v verdict) {
	for i := range tx.states {
		if tx.states[i] == from {
			tx.states[i], tx.verdicts[i] = to, v
		}
	}
}

// abort decides everything still open after the connection has failed.
func (tx *transaction) abort(err error) error {
	v := asVerdict(err)
	to := decided
	if tx.aheadSent && tx.s.closing == nil {
		to = unsure // the server may have the message, and only its replies are lost
	}
	for _, state := range []progress{waiting, accepted, deferred} {
		tx.decide(state, to, v)
	}
	return err
}

// lastStep is that of the envelope: DATA, or the last RCPT before a BDAT.
func (tx *transaction) lastStep() int {
	if tx.s.ext.chunking {
		return len(tx.rcpts)
	}
	return len(tx.rcpts) + 1
}

// envelope sends MAIL, RCPT and DATA as far as it makes sense, and takes in
// their replies. The steps are numbered: 0 is MAIL, then the recipients, DATA.
func (tx *transaction) envelope() error {
	last := tx.lastStep()
	for next := 0; next <= last; {
		if tx.refused || next > len(tx.rcpts) && tx.accepted == 0 {
			return nil
		}
		end, err := tx.sendGroup(next)
		if err != nil {
			return err
		}
		for ; next < end; next++ {
			if err := tx.takeReply(next); err != nil {
				return err
			}
		}
	}
	return nil
}

// sendGroup sends the commands from step next on that may go together, and
// gives the first step that was not sent.
func (tx *transaction) sendGroup(next int) (end int, err error) {
	for end = next; end <= tx.lastStep(); end++ {
		line := tx.command(end)
		if end > next && (!tx.s.ext.pipelining || tx.s.w.Buffered()+len(line) > pipelineGroup) {
			break
		}
		if err := tx.s.send(line); err != nil {
			return end, err
		}
	}
	if tx.ahead != nil && end > tx.lastStep() {
		tx.aheadSent = true
		if err := tx.writeChunk(tx.ahead, true); err != nil {
			return end, err
		}
	}
	return end, tx.s.flush("sending the envelope")
}

func (tx *transaction) command(step int) string {
	switch {
	case step == 0:
		return tx.mail
	case step <= len(tx.rcpts):
		r := tx.rcpts[step-1]
		return "RCPT TO:<" + r.text + ">" + tx.s.ext.rcptWishes(tx.m.Wishes[tx.m.Recipients[r.index]])
	}
	return "DATA"
}

func (tx *transaction) takeReply(step int) error {
	switch {
	case step == 0:
		rep, err := tx.s.reply("MAIL", tx.s.timeouts.Mail)
		if err != nil {
			return err
		}
		v := rep.verdict("MAIL", 2)
		if tx.begun = v.status == queue.Delivered; !tx.begun {
			tx.refused = true
			tx.decide(waiting, decided, v)
		}
	case step <= len(tx.rcpts):
		rep, err := tx.s.reply("RCPT", tx.s.timeouts.Recipient)
		if err != nil {
			return err
		}
		tx.takeRecipient(step-1, rep)
	default:
		var err error
		tx.data, err = tx.s.reply("DATA", tx.s.timeouts.DataInit)
		return err
	}
	return nil
}

// takeRecipient notes what became of a RCPT; what follows a refused MAIL only
// repeats that.
func (tx *transaction) takeRecipient(i int, rep reply) {
	v := rep.verdict("RCPT", 2)
	switch {
	case tx.refused:
	case v.status == queue.Delivered:
		tx.states[i] = accepted
		tx.accepted++
	case tx.accepted > 0 && tooMany(rep):
		tx.states[i] = deferred
	default:
		tx.states[i], tx.verdicts[i] = decided, v
	}
}

// tooMany tells whether a reply to RCPT can mean that the transaction has its
// fill of recipients: 452, or 552 from servers that still follow RFC 821
// (RFC 5321 section 4.5.3.1.10). An enhanced code may say that it does not:
// then a mailbox is full, or the system.
func tooMany(rep reply) bool {
	switch e := rep.enhanced(); rep.code {
	case 452:
		return e == "" || e == "4.5.3"
	case 552:
		return e == "" || e == "5.5.3"
	}
	return false
}

// emptyMessage ends a DATA that the server has let us begin without a single
// recipient: with a lone dot, which sends nothing to nobody (RFC 2920 section
// 3.1).
func (tx *transaction) emptyMessage() error {
	_, err := tx.s.command(".", "the empty message", tx.s.timeouts.DataEnd)
	return err
}

// reset takes back a transaction that ended before its message, so that another
// can follow.
func (s *session) reset() error {
	s.unfinished = false
	_, err := s.command("RSET", "RSET", s.timeouts.Mail)
	return err
}

// sendBody sends the message and the final dot. When it fails, the dot has not
// gone out.
func (tx *transaction) sendBody(body io.Reader, size int64) error {
	out := &bodyWriter{w: tx.s.w}
	block := tx.s.block()
	for {
		n, err := body.Read(block)
		if _, werr := out.Write(block[:n]); werr != nil {
			return tx.broken(werr)
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			tx.unreadable = true
			return temporary("4.3.0", "read the message: %v", err)
		}
	}
	if out.written < size {
		// Half a message with a dot behind it would pass for a whole one.
		tx.unreadable = true
		return temporary("4.3.0", "the message ends after %d of %d bytes", out.written, size)
	}
	out.finish()
	if err := tx.s.w.Flush(); err != nil {
		return tx.broken(err)
	}
	tx.s.told.note("sent the message, %d octets, and its final dot", out.written)
	return nil
}

// broken is the verdict after the server stopped reading: the one it sent
// before hanging up, if it can still be read.
func (tx *transaction) broken(cause error) error {
	if rep, err := tx.s.reply("the message", tx.s.timeouts.Quit); err == nil && rep.class() >= 4 {
		return rep.verdict("the message", 2)
	}
	return tx.s.connError(cause, "sending the message")
}

// mailCommand makes the MAIL command with the parameters that the message needs
// and the server knows.
func mailCommand(from path, m queue.Message, utf8, requireTLS bool, ext extensions) string {
	line := fmt.Sprintf("MAIL FROM:<%s>", from.text)
	if ext.sizeParam && m.Size > 0 {
		line += " SIZE=" + strconv.FormatInt(m.Size, 10)
	}
	if ext.eightBit && (m.EightBit || m.UTF8) {
		line += " BODY=8BITMIME"
	}
	if utf8 && ext.utf8 {
		line += " SMTPUTF8"
	}
	if requireTLS {
		line += " REQUIRETLS" // RFC 8689 section 2
	}
	return line + ext.mailWishes(m)
}
