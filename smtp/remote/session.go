package remote

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"time"

	"mailstead/smtp/queue"
)

// blockSize is how much of a message goes to the connection at once.
const blockSize = 32 << 10

// errTLS marks a conversation that failed because of STARTTLS, and may go
// better without.
var errTLS = errors.New("STARTTLS failed")

// errNoTLS is errTLS of a server that does not offer STARTTLS to one who has to use it.
var errNoTLS = fmt.Errorf("%w: not offered", errTLS)

// errInjected is what answers after the reply to STARTTLS mean: somebody wrote
// them before the handshake (RFC 3207 section 6).
var errInjected = errors.New("data in clear text after the reply to STARTTLS")

// session is the conversation with one server over one connection.
type session struct {
	conn     net.Conn
	r        *bufio.Reader
	w        *bufio.Writer
	timeouts Timeouts
	hostname string // ours
	ext      extensions
	tls      bool
	told     *transcript
	closing  *verdict // the server's 421, after which it hangs up
	// unfinished says that a transaction was begun and given up.
	unfinished bool
	carried    int  // messages that somebody got
	once       bool // it is not kept for another message
	// stale says that it was kept, and the server has not yet taken a MAIL since.
	stale bool

	read  []byte       // what is read of a message at once
	chunk bytes.Buffer // what goes into a BDAT

	// What the keeper has to know; see keeper.keep.
	demand demand
	addr   netip.Addr
	ready  chan struct{} // closed when nobody waits for the server's words any more
	silent bool          // there were none; valid when ready is closed
}

// extensions are what a server has announced in its reply to EHLO.
type extensions struct {
	pipelining bool
	chunking   bool
	eightBit   bool
	utf8       bool
	startTLS   bool
	auth       []string // mechanisms, in upper case
	requireTLS bool     // REQUIRETLS, said within TLS
	size       int64    // limit in bytes, 0 if unknown
	sizeParam  bool     // SIZE= may be sent
	dsn        bool     // RFC 3461
}

func newSession(conn net.Conn, hostname string, t Timeouts) *session {
	s := &session{timeouts: t, hostname: hostname}
	s.use(conn)
	return s
}

// use begins anew on conn: nothing read or announced before counts.
func (s *session) use(conn net.Conn) {
	s.conn = conn
	s.r = bufio.NewReaderSize(conn, maxReplyLine)
	s.w = bufio.NewWriterSize(&blockWriter{conn, s.timeouts.DataBlock}, blockSize)
	s.ext = extensions{}
}

// block is the room for what is read of a message at once; transactions share it.
func (s *session) block() []byte {
	if s.read == nil {
		s.read = make([]byte, blockSize)
	}
	return s.read
}

// releaseChunk gives up the room for large chunks, which a connection that waits does not need.
func (s *session) releaseChunk() {
	if s.chunk.Cap() > 2*blockSize {
		s.chunk = bytes.Buffer{}
	}
}

// blockWriter gives every write to the connection its own time limit (RFC 5321
// section 4.5.3.2.5).
type blockWriter struct {
	conn    net.Conn
	timeout time.Duration
}

func (b *blockWriter) Write(p []byte) (int, error) {
	if err := b.conn.SetWriteDeadline(time.Now().Add(b.timeout)); err != nil {
		return 0, err
	}
	return b.conn.Write(p)
}

// send puts a command into the buffer; flush sends what is there. Line ends
// within it would be other commands: they do not come this far, and if they
// did, they would go no further.
func (s *session) send(line string) error {
	s.told.said(line)
	return s.sendUntold(line)
}

// sendUntold is send for what nobody may be told.
func (s *session) sendUntold(line string) error {
	if strings.ContainsAny(line, "\r\n\x00") {
		return permanent("5.6.0", "refused to send the malformed command %q", line)
	}
	s.w.WriteString(line)
	_, err := s.w.WriteString("\r\n")
	return s.connError(err, "sending a command")
}

// flush sends what is in the buffer, when every reply so far has been taken.
func (s *session) flush(what string) error {
	if err := s.caughtUp(what); err != nil {
		return err
	}
	return s.connError(s.w.Flush(), what)
}

// caughtUp refuses a reply too many: it would be taken for that to the next command, and in the end a
// message for delivered that is not.
func (s *session) caughtUp(what string) error {
	if s.r.Buffered() == 0 {
		return nil
	}
	rep, err := s.reply("nothing", s.timeouts.Hello)
	if err == nil {
		err = s.connError(fmt.Errorf("%w: %d to no command", errReplyForm, rep.code), what)
	}
	return err
}

// reply reads the reply to a command within a time limit for all of it.
func (s *session) reply(command string, timeout time.Duration) (reply, error) {
	if err := s.conn.SetReadDeadline(time.Now().Add(timeout)); err != nil {
		return reply{}, s.connError(err, "waiting for the reply to "+command)
	}
	rep, err := readReply(s.r)
	if err != nil {
		return reply{}, s.connError(err, "waiting for the reply to "+command)
	}
	s.told.heard(rep)
	if rep.code == 421 {
		v := rep.verdict(command, 2)
		s.closing = &v
	}
	return rep, nil
}

// connError tells an error of the connection and gives the verdict.
func (s *session) connError(err error, doing string) error {
	if err == nil {
		return nil
	}
	err = s.judgeError(err, doing)
	s.told.failed(err)
	return err
}

// judgeError turns an error of the connection into a verdict, the server's own
// if it said goodbye. Every such failure is temporary.
func (s *session) judgeError(err error, doing string) error {
	switch {
	case s.closing != nil:
		return *s.closing
	case errors.Is(err, os.ErrDeadlineExceeded):
		return temporary("4.4.2", "timed out while %s", doing)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return temporary("4.4.2", "connection lost while %s", doing)
	case errors.Is(err, errReplyForm), errors.Is(err, errReplyLine), errors.Is(err, errReplyLines):
		return temporary("4.5.0", "%v while %s", err, doing)
	}
	return temporary("4.4.2", "connection lost while %s: %v", doing, err)
}

// command sends one command and reads its reply.
func (s *session) command(line, name string, timeout time.Duration) (reply, error) {
	if err := s.send(line); err != nil {
		return reply{}, err
	}
	if err := s.flush("sending " + name); err != nil {
		return reply{}, err
	}
	return s.reply(name, timeout)
}

// greet waits for the greeting (RFC 5321 section 3.1).
func (s *session) greet() error {
	rep, err := s.reply("the connection", s.timeouts.Greeting)
	if err != nil {
		return err
	}
	if v := rep.verdict("the connection", 2); v.status != queue.Delivered {
		return v
	}
	return nil
}

// hello introduces us by EHLO, by HELO to a server that does not know EHLO
// (RFC 5321 section 3.2).
func (s *session) hello() error {
	rep, err := s.command("EHLO "+s.hostname, "EHLO", s.timeouts.Hello)
	if err != nil {
		return err
	}
	if rep.class() == 2 {
		s.ext = parseExtensions(rep)
		s.ext.requireTLS = s.ext.requireTLS && s.tls
		return nil
	}
	if rep.class() == 5 {
		if rep, err = s.command("HELO "+s.hostname, "HELO", s.timeouts.Hello); err != nil {
			return err
		}
	}
	if v := rep.verdict("HELO", 2); v.status != queue.Delivered {
		return v
	}
	return nil
}

// parseExtensions reads the keywords of a reply to EHLO, one on each line after
// the first (RFC 5321 section 4.1.1.1).
func parseExtensions(rep reply) extensions {
	var e extensions
	for _, line := range rep.lines[1:] {
		keyword, param, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch strings.ToUpper(keyword) {
		case "PIPELINING":
			e.pipelining = true
		case "CHUNKING":
			e.chunking = true
		case "8BITMIME":
			e.eightBit = true
		case "SMTPUTF8":
			e.utf8 = true
		case "REQUIRETLS":
			e.requireTLS = true
		case "DSN":
			e.dsn = true
		case "STARTTLS":
			e.startTLS = true
		case "AUTH":
			e.auth = strings.Fields(strings.ToUpper(param)) // RFC 4954 section 3
		case "SIZE":
			e.sizeParam = true
			// RFC 1870 section 4: no number or 0 means no limit that is known.
			if n, err := strconv.ParseInt(strings.TrimSpace(param), 10, 64); err == nil && n > 0 {
				e.size = n
			}
		}
	}
	return e
}

// encrypt turns to TLS (RFC 3207) and introduces us again. Errors that wrap
// errTLS mean that the connection is of no use, but TLS alone may be to blame.
func (s *session) encrypt(ctx context.Context, config *tls.Config) error {
	rep, err := s.command("STARTTLS", "STARTTLS", s.timeouts.Hello)
	if err != nil {
		return fmt.Errorf("%w: %w", errTLS, err)
	}
	if v := rep.verdict("STARTTLS", 2); v.status != queue.Delivered {
		return fmt.Errorf("%w: %w", errTLS, v)
	}
	if s.r.Buffered() > 0 {
		v := temporary("4.7.0", "%v", errInjected)
		s.told.failed(v)
		return v
	}
	if err := s.handshake(ctx, config); err != nil {
		return err
	}
	err = s.hello()
	if err != nil && asVerdict(err).code == 0 {
		// In TLS 1.3 a server that did not like the handshake hangs up only now.
		return fmt.Errorf("%w: %w", errTLS, err)
	}
	return err
}

// handshake turns to TLS, on a connection where nothing was said yet or that is ready for it.
func (s *session) handshake(ctx context.Context, config *tls.Config) error {
	conn := tls.Client(s.conn, config)
	ctx, cancel := context.WithTimeout(ctx, s.timeouts.TLS)
	defer cancel()
	// The limit is the context's; that of the last reply must not cut it short.
	if err := conn.SetDeadline(time.Time{}); err != nil {
		return s.connError(err, "starting TLS")
	}
	if err := conn.HandshakeContext(ctx); err != nil {
		v := temporary("4.7.5", "TLS handshake: %v", err)
		s.told.failed(v)
		return fmt.Errorf("%w: %w", errTLS, v)
	}
	s.told.encrypted(conn.ConnectionState())
	s.use(conn)
	s.tls = true
	return nil
}

// quit says goodbye and waits briefly for the answer (RFC 5321 section
// 4.1.1.10), which changes nothing.
func (s *session) quit() {
	if s.closing == nil {
		_, _ = s.command("QUIT", "QUIT", s.timeouts.Quit)
	}
}

// state is that of the connection's TLS.
func (s *session) state() tls.ConnectionState {
	if conn, ok := s.conn.(*tls.Conn); ok {
		return conn.ConnectionState()
	}
	return tls.ConnectionState{}
}
