package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"net/textproto"
	"slices"
	"strings"

	goimap "github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
	gosmtp "github.com/emersion/go-smtp"
)

// worker has two accounts: a is used by IMAP, b by POP3, both get mail by SMTP.
type worker struct {
	*soak
	number             int
	random             *rand.Rand
	oracle             *oracle
	smtp               *gosmtp.Client
	imap               *imapclient.Client
	selected           string
	letters            int
	operations, audits int
}

const (
	inboxA = "a/INBOX"
	otherA = "a/Archive"
	inboxB = "b/INBOX"
)

func newWorker(s *soak, number int, random *rand.Rand) *worker {
	return &worker{soak: s, number: number, random: random, oracle: newOracle(inboxA, otherA, inboxB)}
}

// run works until ctx ends. A connection that breaks is the server being
// killed: the worker waits for the next one and looks at everything. Whatever
// the oracle says is an error.
func (w *worker) run(ctx context.Context) error {
	for {
		w.wait()
		verdict, err := w.audit()
		if verdict != nil {
			return verdict
		}
		for err == nil && ctx.Err() == nil {
			if err = w.step(); err == nil {
				w.operations++
				w.steps.Add(1)
			}
		}
		w.disconnect()
		if ctx.Err() != nil && err == nil {
			verdict, err := w.audit()
			w.disconnect()
			return errors.Join(verdict, err)
		}
		if refused := (&refusal{}); errors.As(err, &refused) {
			return fmt.Errorf("a command was refused: %w", err)
		}
	}
}

// refusal is an answer NO, BAD, -ERR or 5xx where there is no reason for one.
type refusal struct{ error }

// classify tells a refusal from a broken connection.
func classify(err error) error {
	var no *goimap.Error
	var smtp *gosmtp.SMTPError
	var pop *textproto.Error
	shutdown := false
	switch {
	case errors.As(err, &no):
		shutdown = no.Code == goimap.ResponseCodeUnavailable || no.Type == goimap.StatusResponseTypeBye
	case errors.As(err, &smtp):
		shutdown = smtp.Code == 421
	case !errors.As(err, &pop):
		return err
	}
	if shutdown {
		return err
	}
	return &refusal{err}
}

func (w *worker) disconnect() {
	if w.smtp != nil {
		w.smtp.Close()
		w.smtp = nil
	}
	if w.imap != nil {
		w.imap.Close()
		w.imap = nil
	}
	w.selected = ""
}

// step does one thing.
func (w *worker) step() error {
	steps := []func() error{w.deliver, w.deliver, w.appendLetter, w.storeFlags, w.storeFlags, w.copyLetters, w.moveLetters, w.expunge, w.popDelete}
	if len(w.oracle.certain[inboxA])+len(w.oracle.certain[otherA])+len(w.oracle.certain[inboxB]) > maxLetters {
		steps = []func() error{w.storeFlags, w.moveLetters, w.expunge, w.expunge, w.popDelete}
	}
	return classify(steps[w.random.IntN(len(steps))]())
}

// compose makes a new letter, small or above the size that goes to a file of its own.
func (w *worker) compose() (name string, text []byte, l letter) {
	size := w.random.IntN(3000)
	if w.random.IntN(40) == 0 {
		size = 1<<20 + w.random.IntN(1<<20)
	}
	return w.composeOf(size)
}

// composeOf makes a new letter of about size octets.
func (w *worker) composeOf(size int) (name string, text []byte, l letter) {
	w.letters++
	name = fmt.Sprintf("w%d-%d", w.number, w.letters)
	var b bytes.Buffer
	fmt.Fprintf(&b, "From: %s\r\nSubject: %s\r\nMessage-ID: <%s@soak.test>\r\n\r\n", user(w.number, "a"), name, name)
	for b.Len() < size {
		fmt.Fprintf(&b, "%x.%x\r\n.\r\n", w.random.Uint64(), w.random.Uint64())
	}
	b.WriteString("the end\r\n")
	l = letter{hash: hashOf(b.Bytes())}
	w.oracle.sent[name] = l.hash
	return name, b.Bytes(), l
}

func hashOf(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:8])
}

// greet opens the SMTP connection, if there is none.
func (w *worker) greet() error {
	if w.smtp != nil {
		return nil
	}
	conn, err := net.Dial("tcp", w.address(25))
	if err != nil {
		return err
	}
	w.smtp = gosmtp.NewClient(conn)
	return w.smtp.Hello("soak.test")
}

// deliver sends a letter to both accounts by SMTP.
func (w *worker) deliver() (err error) {
	if err := w.greet(); err != nil {
		return err
	}
	name, text, l := w.compose()
	w.oracle.begin(func(to world) { to[inboxA][name], to[inboxB][name] = l, l })
	err = w.smtp.SendMail("soak@elsewhere.example", []string{user(w.number, "a"), user(w.number, "b")}, bytes.NewReader(text))
	if err == nil {
		w.oracle.done()
	}
	return err
}

// selectBox has a mailbox of account a selected.
func (w *worker) selectBox(box string) error {
	if w.imap == nil {
		c, err := imapclient.DialInsecure(w.address(143), nil)
		if err != nil {
			return err
		}
		w.imap = c
		if err := c.Login(user(w.number, "a"), "pass").Wait(); err != nil {
			return err
		}
	}
	if w.selected == box {
		return w.imap.Noop().Wait()
	}
	w.selected = ""
	if _, err := w.imap.Select(boxName(box), nil).Wait(); err != nil {
		return err
	}
	w.selected = box
	return nil
}

func boxName(box string) string { return box[strings.IndexByte(box, '/')+1:] }

// pick chooses some letters of a mailbox, with the UIDs they had when last seen.
func (w *worker) pick(box string, most int) (names []string, uids goimap.UIDSet, err error) {
	if err := w.selectBox(box); err != nil {
		return nil, nil, err
	}
	all := slices.Sorted(maps.Keys(w.oracle.certain[box]))
	if len(all) == 0 {
		return nil, nil, nil
	}
	w.random.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	names = all[:1+w.random.IntN(min(most, len(all)))]
	for _, n := range names {
		found, err := w.imap.UIDSearch(&goimap.SearchCriteria{Header: []goimap.SearchCriteriaHeaderField{{Key: "Message-ID", Value: "<" + n + "@soak.test>"}}}, nil).Wait()
		if err != nil {
			return nil, nil, err
		}
		if got := found.AllUIDs(); len(got) != 1 {
			return nil, nil, &refusal{fmt.Errorf("%s: SEARCH finds letter %s %d times", box, n, len(got))}
		}
		uids.AddNum(found.AllUIDs()...)
	}
	return names, uids, nil
}

func (w *worker) box() string {
	if w.random.IntN(2) == 0 {
		return inboxA
	}
	return otherA
}

var soakFlags = []goimap.Flag{goimap.FlagSeen, goimap.FlagFlagged, goimap.FlagAnswered, "$soak", "Later"}

// appendLetter is APPEND with a flag or none.
func (w *worker) appendLetter() error {
	box := w.box()
	if err := w.selectBox(box); err != nil {
		return err
	}
	name, text, l := w.compose()
	flags := soakFlags[:w.random.IntN(3)]
	l.flags = flagList(flags)
	return w.append(box, name, text, l, &goimap.AppendOptions{Flags: flags})
}

// append promises the letter, and is the APPEND of it.
func (w *worker) append(box, name string, text []byte, l letter, options *goimap.AppendOptions) error {
	w.oracle.begin(func(to world) { to[box][name] = l })
	a := w.imap.Append(boxName(box), int64(len(text)), options)
	_, err := a.Write(text)
	if err := errors.Join(err, a.Close()); err != nil {
		return err
	}
	if _, err := a.Wait(); err != nil {
		return err
	}
	w.oracle.done()
	return nil
}

// storeFlags is STORE on some letters.
func (w *worker) storeFlags() error {
	box := w.box()
	names, uids, err := w.pick(box, 5)
	if err != nil || len(names) == 0 {
		return err
	}
	flag := soakFlags[w.random.IntN(len(soakFlags))]
	op := []goimap.StoreFlagsOp{goimap.StoreFlagsAdd, goimap.StoreFlagsDel}[w.random.IntN(2)]
	w.oracle.begin(func(to world) {
		for _, n := range names {
			l := to[box][n]
			flags := slices.DeleteFunc(strings.Fields(l.flags), func(f string) bool { return f == string(flag) })
			if op == goimap.StoreFlagsAdd {
				flags = append(flags, string(flag))
			}
			slices.Sort(flags)
			l.flags = strings.Join(flags, " ")
			to[box][n] = l
		}
	})
	if err := w.imap.Store(uids, &goimap.StoreFlags{Op: op, Silent: true, Flags: []goimap.Flag{flag}}, nil).Close(); err != nil {
		return err
	}
	w.oracle.done()
	return nil
}

// other is the mailbox that letters of box are copied and moved to.
func other(box string) string {
	if box == inboxA {
		return otherA
	}
	return inboxA
}

// pickForOther picks letters that the other mailbox has not, so that a letter
// is in a mailbox once at most.
func (w *worker) pickForOther(box string) ([]string, goimap.UIDSet, error) {
	names, uids, err := w.pick(box, 4)
	if err != nil {
		return nil, nil, err
	}
	if slices.ContainsFunc(names, func(n string) bool { _, has := w.oracle.certain[other(box)][n]; return has }) {
		return nil, nil, nil
	}
	return names, uids, nil
}

func (w *worker) copyLetters() error {
	return w.toOther(false, func(uids goimap.UIDSet, name string) error {
		_, err := w.imap.Copy(uids, name).Wait()
		return err
	})
}

func (w *worker) moveLetters() error {
	return w.toOther(true, func(uids goimap.UIDSet, name string) error {
		_, err := w.imap.Move(uids, name).Wait()
		return err
	})
}

// toOther promises some letters to the other mailbox, and that they leave theirs if they are moved.
func (w *worker) toOther(moved bool, command func(uids goimap.UIDSet, name string) error) error {
	box := w.box()
	names, uids, err := w.pickForOther(box)
	if err != nil || len(names) == 0 {
		return err
	}
	w.oracle.begin(func(to world) {
		for _, n := range names {
			to[other(box)][n] = to[box][n]
			if moved {
				delete(to[box], n)
			}
		}
	})
	if err := command(uids, boxName(other(box))); err != nil {
		return err
	}
	w.oracle.done()
	return nil
}

// expunge is STORE of \Deleted, then UID EXPUNGE: two promises.
func (w *worker) expunge() error {
	box := w.box()
	names, uids, err := w.pick(box, 4)
	if err != nil || len(names) == 0 {
		return err
	}
	return w.expungeLetters(box, names, uids)
}

// expungeLetters takes letters out of the selected mailbox.
func (w *worker) expungeLetters(box string, names []string, uids goimap.UIDSet) error {
	w.oracle.begin(func(to world) {
		for _, n := range names {
			l := to[box][n]
			l.flags = flagList(append(flagsOf(l.flags), goimap.FlagDeleted))
			to[box][n] = l
		}
	})
	if err := w.imap.Store(uids, &goimap.StoreFlags{Op: goimap.StoreFlagsAdd, Silent: true, Flags: []goimap.Flag{goimap.FlagDeleted}}, nil).Close(); err != nil {
		return err
	}
	w.oracle.done()
	w.oracle.begin(func(to world) {
		for _, n := range names {
			delete(to[box], n)
		}
	})
	if err := w.imap.UIDExpunge(uids).Close(); err != nil {
		return err
	}
	w.oracle.done()
	return nil
}

func flagsOf(list string) (flags []goimap.Flag) {
	for _, f := range strings.Fields(list) {
		if f != string(goimap.FlagDeleted) {
			flags = append(flags, goimap.Flag(f))
		}
	}
	return flags
}

// popLogin opens a POP3 session of account b.
func (w *worker) popLogin() (*textproto.Conn, error) {
	c, err := textproto.Dial("tcp", w.address(110))
	if err != nil {
		return nil, err
	}
	for _, say := range []string{"", "USER " + user(w.number, "b"), "PASS pass"} {
		if err := popSay(c, say); err != nil {
			c.Close()
			return nil, err
		}
	}
	return c, nil
}

// popSay says a line, if it is one, and expects +OK.
func popSay(c *textproto.Conn, line string) error {
	if line != "" {
		if err := c.PrintfLine("%s", line); err != nil {
			return err
		}
	}
	answer, err := c.ReadLine()
	if err != nil {
		return err
	}
	if !strings.HasPrefix(answer, "+OK") {
		return &textproto.Error{Msg: answer}
	}
	return nil
}

// popDelete takes the oldest letters of account b away by POP3.
func (w *worker) popDelete() error {
	c, err := w.popLogin()
	if err != nil {
		return err
	}
	defer c.Close()
	var gone []string
	for n := 1; n <= min(3, len(w.oracle.certain[inboxB])); n++ {
		if err := popSay(c, fmt.Sprintf("RETR %d", n)); err != nil {
			return err
		}
		text, err := io.ReadAll(c.DotReader())
		if err != nil {
			return err
		}
		gone = append(gone, subjectOf(text))
		if err := popSay(c, fmt.Sprintf("DELE %d", n)); err != nil {
			return err
		}
	}
	w.oracle.begin(func(to world) {
		for _, n := range gone {
			delete(to[inboxB], n)
		}
	})
	if err := popSay(c, "QUIT"); err != nil {
		return err
	}
	w.oracle.done()
	return nil
}

// subjectOf is a letter's name.
func subjectOf(text []byte) string {
	_, rest, _ := bytes.Cut(text, []byte("Subject: "))
	name, _, _ := bytes.Cut(rest, []byte("\n"))
	return strings.TrimSpace(string(name))
}

// audit looks at all mailboxes and has the oracle judge. verdict is the
// oracle's; err a connection that broke, for which the server was killed.
func (w *worker) audit() (verdict, err error) {
	defer w.disconnect()
	found := map[string]sighting{}
	for _, account := range []string{"a", "b"} {
		c, err := imapclient.DialInsecure(w.address(143), nil)
		if err != nil {
			return nil, err
		}
		defer c.Close()
		if err := c.Login(user(w.number, account), "pass").Wait(); err != nil {
			return nil, classify(err)
		}
		for box := range w.oracle.boxes {
			if !strings.HasPrefix(box, account+"/") {
				continue
			}
			if found[box], err = sight(c, boxName(box)); err != nil {
				return nil, classify(err)
			}
		}
	}
	w.audits++
	return w.oracle.judge(found), nil
}

// sight fetches all of a mailbox.
func sight(c *imapclient.Client, box string) (sighting, error) {
	data, err := c.Select(box, &goimap.SelectOptions{ReadOnly: true, CondStore: true}).Wait()
	if err != nil {
		return sighting{}, err
	}
	s := sighting{uidValidity: data.UIDValidity, uidNext: uint32(data.UIDNext), modSeq: data.HighestModSeq}
	if data.NumMessages == 0 {
		return s, nil
	}
	section := &goimap.FetchItemBodySection{Peek: true}
	all := goimap.SeqSet{{Start: 1, Stop: 0}}
	messages, err := c.Fetch(all, &goimap.FetchOptions{UID: true, Flags: true, BodySection: []*goimap.FetchItemBodySection{section}}).Collect()
	if err != nil {
		return s, err
	}
	for _, m := range messages {
		text := m.FindBodySection(section)
		s.letters = append(s.letters, seen{uid: m.UID, name: subjectOf(text), letter: letter{hash: hashOf(withoutTrace(text)), flags: flagList(m.Flags)}})
	}
	return s, nil
}

// withoutTrace is a letter as it was sent: what the receiver put in front ends
// where its first own field begins.
func withoutTrace(text []byte) []byte {
	if i := bytes.Index(text, []byte("From: ")); i >= 0 {
		return text[i:]
	}
	return text
}
