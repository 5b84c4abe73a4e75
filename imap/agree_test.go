package imap

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	goimap "github.com/emersion/go-imap/v2"

	"mailstead/imap/wire"
)

// clientPicture is what a client knows of INBOX, from what it was told alone.
type clientPicture struct {
	*lineConn
	name     string
	uidOnly  bool
	byUID    bool // it does not use sequence numbers, which may change at any time
	qresync  bool
	uids     []goimap.UID // in the order of their numbers; 0 = there is one it knows no UID of
	flags    map[goimap.UID]string
	validity string
	highest  uint64 // the mod-sequence to come back with (RFC 7162 section 6)
	seen     uint64 // highest MODSEQ since the last tagged reply
	told     bool   // HIGHESTMODSEQ came since then
	tag      int
}

var (
	fetchLine    = regexp.MustCompile(`^\* (\d+) (UIDFETCH|FETCH) \((.*)\)\r\n$`)
	uidItem      = regexp.MustCompile(`\bUID (\d+)`)
	flagsItem    = regexp.MustCompile(`FLAGS \(([^)]*)\)`)
	modSeqItem   = regexp.MustCompile(`MODSEQ \((\d+)\)`)
	numberLine   = regexp.MustCompile(`^\* (\d+) (EXISTS|EXPUNGE)\r\n$`)
	vanishedLine = regexp.MustCompile(`^\* VANISHED (\(EARLIER\) )?([0-9,:]+)\r\n$`)
	codeHighest  = regexp.MustCompile(`\[HIGHESTMODSEQ (\d+)\]`)
	codeValidity = regexp.MustCompile(`\[UIDVALIDITY (\d+)\]`)
)

// run says a command and takes in all that is said until its reply, which it returns.
func (p *clientPicture) run(command string) string {
	p.tag++
	tag := fmt.Sprintf("t%d", p.tag)
	p.send(tag + " " + command + "\r\n")
	for {
		line, err := p.in.ReadString('\n')
		if err != nil {
			p.t.Errorf("%s: %s: %v", p.name, command, err)
			return ""
		}
		p.take(command, line)
		if !strings.HasPrefix(line, tag+" ") {
			continue
		}
		if !p.told {
			p.highest = max(p.highest, p.seen)
		}
		p.seen, p.told = 0, false
		return line
	}
}

// take takes one line in.
func (p *clientPicture) take(command, line string) {
	wrong := func(why string) { p.t.Errorf("%s: %s: %q: %s; it knows %v", p.name, command, line, why, p.uids) }
	if m := codeHighest.FindStringSubmatch(line); m != nil {
		p.highest, _ = strconv.ParseUint(m[1], 10, 64)
		p.told = true
	}
	if m := codeValidity.FindStringSubmatch(line); m != nil {
		p.validity = m[1]
	}
	if m := numberLine.FindStringSubmatch(line); m != nil {
		n, _ := strconv.Atoi(m[1])
		switch {
		case m[2] == "EXPUNGE" && (n < 1 || n > len(p.uids) || p.uidOnly || p.qresync):
			wrong("no such message")
		case m[2] == "EXPUNGE":
			delete(p.flags, p.uids[n-1])
			p.uids = slices.Delete(p.uids, n-1, n)
		case n < len(p.uids):
			wrong("the mailbox shrinks")
		default:
			p.uids = append(p.uids, make([]goimap.UID, n-len(p.uids))...)
		}
	}
	if m := vanishedLine.FindStringSubmatch(line); m != nil {
		if why := p.vanish(m[2], m[1] != ""); why != "" {
			wrong(why)
		}
	}
	if m := fetchLine.FindStringSubmatch(line); m != nil {
		if why := p.fetched(m[1], m[2] == "UIDFETCH", m[3]); why != "" {
			wrong(why)
		}
	}
}

// vanish takes UIDs out. Those that are gone from before may be unknown.
func (p *clientPicture) vanish(set string, earlier bool) (why string) {
	d := wire.NewDecoder(strings.NewReader(set+"\r\n"), wire.Limits{}, wire.Hooks{})
	d.Next()
	uids, _ := d.UIDSet().Nums()
	for _, uid := range uids {
		i := slices.Index(p.uids, uid)
		if i < 0 && !earlier {
			i = p.place(uid) // it was told of the message, but not which it is
		}
		switch {
		case i >= 0:
			delete(p.flags, uid)
			p.uids = slices.Delete(p.uids, i, i+1)
		case !earlier:
			return fmt.Sprint("it never had ", uid)
		}
	}
	return ""
}

// place finds a message of unknown UID that can be uid: the UIDs around it say so.
func (p *clientPicture) place(uid goimap.UID) int {
	for i, have := range p.uids {
		if have != 0 {
			continue
		}
		next := slices.IndexFunc(p.uids[i:], func(u goimap.UID) bool { return u != 0 })
		if next < 0 || p.uids[i+next] > uid || p.uidOnly {
			return i
		}
	}
	return -1
}

// fetched takes a FETCH response in.
func (p *clientPicture) fetched(number string, byUID bool, items string) (why string) {
	n, _ := strconv.ParseUint(number, 10, 32)
	uid := goimap.UID(n)
	if byUID != p.uidOnly {
		return "the wrong kind of response"
	}
	if !byUID {
		if n < 1 || int(n) > len(p.uids) {
			return "no such number"
		}
		if m := uidItem.FindStringSubmatch(items); m != nil {
			u, _ := strconv.ParseUint(m[1], 10, 32)
			if have := p.uids[n-1]; have != 0 && have != goimap.UID(u) {
				return fmt.Sprint("that number is UID ", have)
			}
			p.uids[n-1] = goimap.UID(u)
		}
		uid = p.uids[n-1]
	} else if !slices.Contains(p.uids, uid) {
		i := slices.Index(p.uids, 0)
		if i < 0 {
			return "a message too many"
		}
		p.uids[i] = uid
		known := slices.DeleteFunc(slices.Clone(p.uids), func(u goimap.UID) bool { return u == 0 })
		slices.Sort(known)
		p.uids = append(known, make([]goimap.UID, len(p.uids)-len(known))...)
	}
	if m := modSeqItem.FindStringSubmatch(items); m != nil {
		seq, _ := strconv.ParseUint(m[1], 10, 64)
		p.seen = max(p.seen, seq)
	}
	if m := flagsItem.FindStringSubmatch(items); m != nil && uid != 0 {
		flags := slices.DeleteFunc(strings.Fields(m[1]), func(f string) bool { return f == `\Recent` })
		slices.Sort(flags)
		p.flags[uid] = strings.Join(flags, " ")
	}
	return ""
}

// learn asks for the messages it knows no UID of.
func (p *clientPicture) learn() {
	if i := slices.Index(p.uids, 0); i >= 0 {
		from := goimap.UID(1)
		if i > 0 && !p.uidOnly { // which has no numbers to tell where they are
			from = p.uids[i-1] + 1
		}
		p.run(fmt.Sprintf("UID FETCH %d:* (FLAGS)", from))
	}
}

// act says something at random.
func (p *clientPicture) act(r *rand.Rand) {
	set, uid := "1:*", "UID "
	if n := len(p.uids); n > 0 && !p.uidOnly && !p.byUID && r.IntN(2) == 0 {
		uid = ""
		set = fmt.Sprint(1 + r.IntN(n))
	} else if known := slices.DeleteFunc(slices.Clone(p.uids), func(u goimap.UID) bool { return u == 0 }); len(known) > 0 {
		set = fmt.Sprint(known[r.IntN(len(known))])
		if r.IntN(3) == 0 {
			set += fmt.Sprintf(",%d:%d", known[0], known[r.IntN(min(len(known), 9))])
		}
	} else {
		p.run("NOOP")
		return
	}
	flag := []string{`\Seen`, `\Flagged`, `\Deleted`, "key", `\Answered`, `\Draft`, "other", "third"}[r.IntN(8)]
	switch r.IntN(10) {
	case 0, 1:
		p.run(uid + "STORE " + set + " +FLAGS (" + flag + ")")
	case 2:
		p.run(uid + "STORE " + set + " -FLAGS (" + flag + ")")
	case 3:
		p.run(uid + "FETCH " + set + " (UID FLAGS MODSEQ)")
		if p.qresync && r.IntN(2) == 0 {
			p.comeBack() // with a mod-sequence above that of an expunge it was not told of
		}
	case 4:
		p.run("EXPUNGE")
	case 5:
		if r.IntN(3) == 0 {
			p.run(uid + "MOVE " + set + " Archive")
		}
	case 6, 7:
		p.run("APPEND INBOX {1+}\r\nx")
	case 8:
		p.learn()
		p.run("NOOP")
		if p.qresync {
			p.comeBack()
		}
	case 9:
		if p.qresync {
			p.comeBack()
		} else {
			p.run("NOOP")
		}
	}
}

// comeBack leaves the mailbox and comes back with what it knows.
func (p *clientPicture) comeBack() {
	p.learn() // where those are that it knows no UID of, it could not tell later
	p.run("UNSELECT")
	known := slices.DeleteFunc(p.uids, func(u goimap.UID) bool { return u == 0 })
	p.uids = nil
	highest, validity := p.highest, p.validity
	// EXISTS comes before VANISHED: the numbers are those without what is gone.
	p.tag++
	tag := fmt.Sprintf("t%d", p.tag)
	p.send(fmt.Sprintf("%s SELECT INBOX (QRESYNC (%s %d))\r\n", tag, validity, highest))
	var lines []string
	for len(lines) == 0 || !strings.HasPrefix(lines[len(lines)-1], tag+" ") {
		line, err := p.in.ReadString('\n')
		if err != nil {
			p.t.Errorf("%s: coming back: %v", p.name, err)
			return
		}
		lines = append(lines, line)
	}
	exists := 0
	for _, line := range lines {
		if m := numberLine.FindStringSubmatch(line); m != nil {
			exists, _ = strconv.Atoi(m[1])
		}
		if m := vanishedLine.FindStringSubmatch(line); m != nil {
			p.uids = known
			p.vanish(m[2], true)
			known = p.uids
		}
	}
	if p.uids = known; len(known) > exists {
		p.t.Errorf("%s: came back with %s %d, knows %v, there are %d:\n%s", p.name, validity, highest, known, exists, strings.Join(lines, ""))
		return
	}
	p.uids = append(p.uids, make([]goimap.UID, exists-len(known))...)
	for _, line := range lines {
		if !vanishedLine.MatchString(line) && !numberLine.MatchString(line) {
			p.take("coming back", line)
		}
	}
	p.seen, p.told = 0, false
	p.learn()
}

// TestSessionsAgree has sessions of all kinds change one mailbox at once. What each was
// told, and nothing else, has to be what a new session finds.
func TestSessionsAgree(t *testing.T) {
	ts := newTestServer(t)
	kinds := []struct {
		name                    string
		enable, notify          string
		uidOnly, byUID, qresync bool
	}{
		{name: "plain"}, {name: "condstore", enable: "CONDSTORE"},
		{name: "qresync", enable: "QRESYNC", qresync: true}, {name: "another qresync", enable: "QRESYNC", qresync: true, byUID: true},
		{name: "uidonly", enable: "UIDONLY", uidOnly: true}, {name: "uidonly and qresync", enable: "UIDONLY QRESYNC", uidOnly: true, qresync: true},
		{name: "notify", notify: "SELECTED", byUID: true}, {name: "notify and qresync", enable: "QRESYNC", qresync: true, notify: "SELECTED-DELAYED"},
	}
	turns := trialsOf(60, 20)
	ts.fill(t, "INBOX", 60) // so many that not all are gone at the end
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	pictures := make([]*clientPicture, len(kinds))
	for i, kind := range kinds {
		p := &clientPicture{lineConn: ts.connect(t), name: kind.name, uidOnly: kind.uidOnly, byUID: kind.byUID, qresync: kind.qresync, flags: map[goimap.UID]string{}}
		p.run("LOGIN " + testUser + " " + testPassword)
		if kind.enable != "" {
			p.run("ENABLE " + kind.enable)
		}
		if kind.notify != "" {
			p.run("NOTIFY SET (" + kind.notify + " (MessageNew (FLAGS) MessageExpunge FlagChange))")
		}
		p.run("SELECT INBOX")
		p.run("UID FETCH 1:* (FLAGS)")
		pictures[i] = p
	}
	var work sync.WaitGroup
	for i, p := range pictures {
		work.Go(func() {
			r := rand.New(rand.NewPCG(seed, uint64(i)))
			for range turns {
				p.act(r)
			}
		})
	}
	work.Wait()
	truth := &clientPicture{lineConn: ts.connect(t), name: "truth", flags: map[goimap.UID]string{}}
	truth.run("LOGIN " + testUser + " " + testPassword)
	truth.run("EXAMINE INBOX")
	if len(truth.uids) > 0 {
		truth.run("FETCH 1:* (UID FLAGS)")
	}
	for _, p := range pictures {
		p.run("NOOP")
		p.learn()
		if !slices.Equal(p.uids, truth.uids) {
			t.Errorf("%s has %v, there are %v", p.name, p.uids, truth.uids)
		}
		if !maps.Equal(p.flags, truth.flags) {
			t.Errorf("%s knows %v, it is %v", p.name, p.flags, truth.flags)
		}
	}
}
