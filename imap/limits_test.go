package imap

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"mailstead/imap/wire"
	"mailstead/mailbox"
)

// limit is a row of the table of limits in docs/STANDARDS.md: what is bounded, by how much, what the client is told
// beyond it, where it is declared and what shows it.
type limit struct {
	what, value, told, constant, shown string

	most     int                // what is still taken
	stranger bool               // before login
	say      func(n int) string // a command, or several of which the last has the tag x, that asks for n
	within   string             // what is told at the limit; "" = "x OK"
}

// times joins n copies of text with spaces.
func times(n int, text string) string { return strings.TrimSpace(strings.Repeat(text+" ", n)) }

// numbered joins n texts that begin alike with spaces.
func numbered(n int, format string) string {
	var list []string
	for i := range n {
		list = append(list, fmt.Sprintf(format, i))
	}
	return strings.Join(list, " ")
}

// literals are n octets in string literals, each as large as one may be.
func literals(n int) string {
	var b strings.Builder
	for n > 0 {
		size := min(n, wire.DefaultLiteral)
		fmt.Fprintf(&b, " SUBJECT {%d+}\r\n%s", size, strings.Repeat("y", size))
		n -= size
	}
	return b.String()
}

// testMessageSize is the largest message of the server that the limits are tried on.
const testMessageSize = 100_000

// limits are all limits of what clients may ask for.
var limits = []limit{
	{what: "the lines of a command before login, in octets, without literals", value: "16,384", told: "BAD [LIMIT]", constant: "wire.LoginLine",
		most: wire.LoginLine, stranger: true, say: func(n int) string { return "x NOOP " + strings.Repeat("y", n-7) + "\r\n" }, within: "x BAD unexpected"},
	{what: "after login (a client may name thousands of UIDs one by one)", value: "65,536", told: "BAD [LIMIT]", constant: "wire.DefaultLine",
		most: wire.DefaultLine, say: func(n int) string { return "x NOOP " + strings.Repeat("y", n-7) + "\r\n" }, within: "x BAD unexpected"},
	{what: "a literal before login, in octets", value: "1,024", told: "BAD literal of 1025 octets", constant: "wire.LoginLiteral",
		most: wire.LoginLiteral, stranger: true, say: func(n int) string { return fmt.Sprintf("x LOGIN {%d+}\r\n%s\r\n", n, strings.Repeat("u", n)) }, within: "x BAD expected a space"},
	{what: "a literal that is no message", value: "131,072", told: "BAD literal of 131073 octets", constant: "wire.DefaultLiteral",
		most: wire.DefaultLiteral, say: func(n int) string {
			return fmt.Sprintf("x SEARCH SUBJECT {%d+}\r\n%s\r\n", n, strings.Repeat("y", n))
		}},
	{what: "all of them in a command", value: "1,048,576", told: "BAD literal of 1 octets", constant: "wire.Limits.Literals",
		most: 8 * wire.DefaultLiteral, say: func(n int) string { return "x SEARCH" + literals(n) + "\r\n" }},
	{what: "what is read over of a refused command before login, in octets", value: "65,536", told: "BYE [LIMIT]", constant: "wire.LoginSkip",
		most: wire.LoginSkip, stranger: true, say: func(n int) string { return fmt.Sprintf("x LOGIN u {%d+}\r\n%s\r\n", n-1, strings.Repeat("u", n-1)) }, within: "x BAD literal"},
	{what: "after login, in octets", value: "twice a message", told: "BYE [LIMIT]", constant: "wire.Limits.Skip",
		most: 2 * testMessageSize, say: func(n int) string {
			return fmt.Sprintf("x APPEND INBOX {%d+}\r\n%s\r\n", n-1, strings.Repeat("u", n-1))
		}, within: "x NO [TOOBIG]"},
	{what: "a message, in octets; announced by APPENDLIMIT, and refused before it is sent", value: "`max_message_size`", told: "NO [TOOBIG]", constant: "imap.Options.MaxMessageSize",
		most: testMessageSize, say: func(n int) string { return fmt.Sprintf("x APPEND INBOX {%d+}\r\n%s\r\n", n, strings.Repeat("y", n)) }},
	{what: "nested parentheses, NOT and OR", value: "50", told: "BAD more than 50 nested lists", constant: "wire.MaxDepth",
		most: wire.MaxDepth, say: func(n int) string {
			return "x SEARCH " + strings.Repeat("(", n) + "ALL" + strings.Repeat(")", n) + "\r\n"
		}},
	{what: "keys of a search, operators included", value: "1,000", told: "BAD more than 1000 search keys", constant: "imap.maxSearchKeys",
		most: maxSearchKeys, say: func(n int) string { return "x SEARCH " + times(n, "ALL") + "\r\n" }},
	{what: "those of them that read bodies", value: "50", told: "BAD more than 50 keys that search bodies", constant: "imap.maxTextKeys",
		most: maxTextKeys, say: func(n int) string { return "x SEARCH " + times(n, "BODY y") + "\r\n" }},
	{what: "criteria of a SORT", value: "16", told: "BAD more than 16 sort criteria", constant: "imap.maxSortCriteria",
		most: maxSortCriteria, say: func(n int) string { return "x SORT (" + times(n, "DATE") + ") UTF-8 ALL\r\n" }},
	{what: "searches that are kept up to date", value: "8", told: "NO [NOUPDATE", constant: "imap.maxContexts",
		most: maxContexts, say: func(n int) string {
			return strings.ReplaceAll(numbered(n-1, "c%d SEARCH RETURN (UPDATE) ALL\r\n"), "\n ", "\n") + "x SEARCH RETURN (UPDATE) ALL\r\n"
		}},
	{what: "mailboxes that an ESEARCH names, and kinds of them", value: "1,000", told: "BAD more than 1000 mailboxes", constant: "imap.maxSources",
		most: maxSources, say: func(n int) string { return "x ESEARCH IN (mailboxes (" + numbered(n-1, "m%d") + ")) ALL\r\n" }},
	{what: "data items of a FETCH", value: "64", told: "BAD more than 64 data items", constant: "imap.maxFetchItems",
		most: maxFetchItems, say: func(n int) string { return "x FETCH 1 (" + numbered(n, "BODY.PEEK[]<%d.1>") + ")\r\n" }},
	{what: "fields that a section names", value: "128", told: "BAD malformed list of header fields", constant: "imap.maxFieldNames",
		most: maxFieldNames, say: func(n int) string { return "x FETCH 1 BODY.PEEK[HEADER.FIELDS (" + numbered(n, "X-%d") + ")]\r\n" }},
	{what: "the name of one, in octets", value: "998", told: "BAD malformed list of header fields", constant: "imap.maxFieldName",
		most: maxFieldName, say: func(n int) string {
			return "x FETCH 1 BODY.PEEK[HEADER.FIELDS (" + strings.Repeat("y", n) + ")]\r\n"
		}},
	{what: "part numbers of a section", value: "100", told: "BAD more than 100 part numbers", constant: "imap.maxSectionDepth",
		most: maxSectionDepth, say: func(n int) string { return "x FETCH 1 BODY.PEEK[1" + strings.Repeat(".1", n-1) + "]\r\n" }},
	{what: "flags of a list", value: "128", told: "BAD more than 128 flags", constant: "wire.MaxFlags",
		most: wire.MaxFlags, say: func(n int) string { return "x STORE 1 FLAGS (" + times(n, "\\Seen") + ")\r\n" }},
	{what: "a flag, in octets", value: "128", told: "BAD a flag is longer than 128 octets", constant: "wire.maxFlag",
		most: 128, say: func(n int) string { return "x STORE 1 FLAGS (" + strings.Repeat("y", n) + ")\r\n" }},
	{what: "keywords of a mailbox", value: "120", told: "NO [LIMIT]", constant: "mailbox.MaxKeywords",
		most: mailbox.MaxKeywords, say: func(n int) string { return "x STORE 1 FLAGS (" + numbered(n, "k%d") + ")\r\n" }},
	{what: "a mailbox name, in octets", value: "1,024", told: "NO [LIMIT]", constant: "mailbox.maxNameBytes",
		most: 1024, say: func(n int) string { return "x CREATE " + strings.Repeat("y", n) + "\r\n" }},
	{what: "its levels", value: "30", told: "NO [LIMIT]", constant: "mailbox.maxNameDepth",
		most: 30, say: func(n int) string { return "x CREATE l" + strings.Repeat("/l", n-1) + "\r\n" }},
	{what: "mailboxes of an account", value: "5,000", told: "NO [LIMIT]", constant: "mailbox.maxMailboxes", shown: "TestMailboxLimit"},
	{what: "a pattern of LIST, in octets", value: "1,024", told: "BAD pattern is too long", constant: "wire.MaxPattern",
		most: wire.MaxPattern, say: func(n int) string {
			return `x LIST "" ` + strings.Repeat("%a", n/2) + strings.Repeat("a", n%2) + "\r\n"
		}},
	{what: "patterns of a LIST", value: "32", told: "BAD more than 32 patterns", constant: "imap.maxPatterns",
		most: maxPatterns, say: func(n int) string { return `x LIST "" (` + numbered(n, "p%d") + ")\r\n" }},
	{what: "event groups of a NOTIFY", value: "64", told: "NO [NOTIFICATIONOVERFLOW]", constant: "imap.maxNotifyGroups",
		most: maxNotifyGroups, say: func(n int) string { return "x NOTIFY SET " + times(n, "(personal (MailboxName))") + "\r\n" }},
	{what: "mailboxes that it names", value: "1,000", told: "NO [NOTIFICATIONOVERFLOW]", constant: "imap.maxNotifyNames",
		most: maxNotifyNames, say: func(n int) string { return "x NOTIFY SET (mailboxes (" + numbered(n, "m%d") + ") (MailboxName))\r\n" }},
	{what: "parts of a CATENATE", value: "1,000", told: "BAD more than 1000 parts", constant: "imap.maxCatenated",
		most: maxCatenated, say: func(n int) string {
			return "x APPEND INBOX CATENATE (TEXT {1+}\r\ny" + strings.Repeat(" TEXT {1+}\r\ny", n-1) + ")\r\n"
		}},
	{what: "pairs of an ID", value: "30", told: "BAD ID holds more", constant: "imap.maxIDFields",
		most: maxIDFields, say: func(n int) string { return "x ID (" + times(n, `"name" "y"`) + ")\r\n" }},
	{what: "an object identifier, in characters", value: "255", told: "BAD an object identifier", constant: "imap.maxObjectID",
		most: maxObjectID, say: func(n int) string { return "x SEARCH EMAILID " + strings.Repeat("y", n) + "\r\n" }},
	{what: "messages of the batches that are asked for by their numbers", value: "100,000", told: "NO [TOOMANY]", constant: "imap.maxUIDBatched",
		most: maxUIDBatched / minUIDBatch, say: func(n int) string { return fmt.Sprintf("x UIDBATCHES %d 1:%d\r\n", minUIDBatch, n) }},
	{what: "bad commands, one after the other, before login", value: "3", told: "BYE too many bad commands", constant: "imap.maxBadBeforeLogin",
		most: maxBadBeforeLogin - 1, stranger: true, say: func(n int) string { return strings.Repeat("y BAD\r\n", n) + "x NOOP\r\n" }},
	{what: "after login", value: "20", told: "BYE too many bad commands", constant: "imap.maxBad",
		most: maxBad - 1, say: func(n int) string { return strings.Repeat("y BAD\r\n", n) + "x NOOP\r\n" }},
	{what: "input that is read while a command runs, in octets", value: "65,536", told: "nothing: it waits", constant: "imap.maxReadAhead", shown: "TestInputIsReadWhileOutputWaits"},
	{what: "before login", value: "4,096", told: "nothing: it waits", constant: "imap.maxStrangersReadAhead", shown: "TestInputIsReadWhileOutputWaits"},
	{what: "parentheses within each other in a THREAD response; below, messages follow each other", value: "200", told: "nothing", constant: "imap.maxThreadNesting", shown: "TestThreadsAreBounded"},
	{what: "octets that decompress to nothing, in a row", value: "65,536", told: "nothing: it ends", constant: "deflate.maxBarren", shown: "TestCompressedInputIsBounded"},
	{what: "the time to log in", value: "1 minute", told: "BYE", constant: "imap.Options.LoginTimeout", shown: "TestLoginTimeout"},
	{what: "silence after login, in IDLE too", value: "35 minutes", told: "BYE idle for too long", constant: "imap.Options.IdleTimeout", shown: "TestIdleTimeout"},
	{what: "silence within a command", value: "5 minutes", told: "BYE idle for too long", constant: "imap.Options.CommandTimeout", shown: "TestCommandTimeout"},
	{what: "time in which nothing is taken of what is sent", value: "5 minutes", told: "nothing: it ends", constant: "imap.Options.WriteTimeout", shown: "TestWriteTimeout"},
	{what: "connections of an address without login", value: "80", told: "BYE [UNAVAILABLE]", constant: "imap.Options.MaxPerAddress", shown: "TestStrangersAreCountedUntilTheyLogIn"},
	{what: "of all addresses together", value: "1,000", told: "BYE [UNAVAILABLE]", constant: "serve.Options.MaxStrangers", shown: "TestStrangersAreCountedTogether"},
	{what: "sessions of an account, unless `sessions_per_account` says otherwise", value: "100", told: "NO [LIMIT]", constant: "imap.Options.MaxPerAccount", shown: "TestAccountLimit"},
	{what: "wrong passwords of an address, and for a name, that are judged in a second", value: "5", told: "nothing: it waits", constant: "directory.judgedPerSecond", shown: "TestThrottleJudgesFiveASecond"},
	{what: "parts of a message that are told apart", value: "1,000", told: "nothing: the last one has the rest", constant: "message.MaxParts", shown: "TestLimits TestLinear"},
	{what: "multiparts and messages within each other", value: "50", told: "nothing: application/octet-stream", constant: "message.MaxNesting", shown: "TestLimits TestLinear"},
	{what: "a header that is read for ENVELOPE and BODYSTRUCTURE, in octets", value: "262,144", told: "nothing: the rest is passed over", constant: "message.MaxHeader", shown: "TestHeaderLimits"},
	{what: "its fields", value: "1,000", told: "nothing: the rest is passed over", constant: "message.MaxHeaderFields", shown: "TestHeaderLimits"},
}

// row is the limit's row in the table.
func (l *limit) row() string {
	shown := l.shown
	if l.say != nil {
		shown = "TestLimits"
	}
	return fmt.Sprintf("| %s | %s | %s | `%s` | %s |", l.what, l.value, l.told, l.constant, shown)
}

// prefix stands before what is told: the tag, where it was read and is not answered otherwise.
func (l *limit) prefix() string {
	for _, untagged := range []string{"BYE", "BAD [LIMIT]", "NO [NOUPDATE"} {
		if strings.HasPrefix(l.told, untagged) {
			return "* "
		}
	}
	return "x "
}

// TestLimits asks for as much as each limit allows, and then for one more; and compares the table of limits with what
// it has tried.
func TestLimits(t *testing.T) {
	paper, err := os.ReadFile("../docs/STANDARDS.md")
	must(t, err)
	ts := newTestServer(t, func(o *Options) { o.MaxMessageSize = testMessageSize })
	for i, l := range limits {
		if !strings.Contains(string(paper), "\n"+l.row()+"\n") {
			t.Errorf("docs/STANDARDS.md lacks\n%s", l.row())
		}
		if l.say == nil {
			continue
		}
		if n, err := strconv.Atoi(strings.ReplaceAll(l.value, ",", "")); err == nil && n != l.most && n != l.most+1 && n != l.most*minUIDBatch {
			t.Errorf("%s: the table has %s, %d are asked for", l.constant, l.value, l.most)
		}
		t.Run(l.constant, func(t *testing.T) {
			refused := l.prefix() + l.told
			if answers := ts.askFor(t, &l, l.most, fmt.Sprintf("within%d", i)); !told(answers, cmp.Or(l.within, "x OK")) || told(answers, refused) {
				t.Errorf("%d: %q", l.most, answers)
			}
			if answers := ts.askFor(t, &l, l.most+1, fmt.Sprintf("beyond%d", i)); !told(answers, refused) {
				t.Errorf("%d: %q, want %q", l.most+1, answers, refused)
			}
		})
	}
	if rows := strings.Count(string(paper), "| TestLimits |"); rows != strings.Count(tableOfLimits(), "| TestLimits |") {
		t.Errorf("docs/STANDARDS.md has %d rows that TestLimits shows. The table is\n%s", rows, tableOfLimits())
	}
}

// told reports whether one of the answers begins so.
func told(answers []string, prefix string) bool {
	return slices.ContainsFunc(answers, func(line string) bool { return strings.HasPrefix(line, prefix) })
}

// askFor asks for n, in a mailbox of its own, and returns the answers, up to the end of the session.
func (ts *testServer) askFor(t *testing.T, l *limit, n int, name string) (answers []string) {
	t.Helper()
	c := ts.connect(t)
	defer c.Close()
	if !l.stranger {
		c.login()
		c.send("y CREATE " + name + "\r\ny APPEND " + name + " {3+}\r\ny\r\n\r\nz SELECT " + name + "\r\n")
		c.expect("z OK")
	}
	io.WriteString(c, l.say(n)+"z LOGOUT\r\n") // which fails where the session ends before all is read
	for {
		line, err := c.in.ReadString('\n')
		if err != nil {
			return answers // the end, or a reset where the server did not read all
		}
		answers = append(answers, line)
	}
}

// tableOfLimits is what docs/STANDARDS.md has to have.
func tableOfLimits() string {
	var b strings.Builder
	b.WriteString("| what | at most | beyond it | declared in | shown by |\n|---|---|---|---|---|\n")
	for i := range limits {
		b.WriteString(limits[i].row() + "\n")
	}
	return b.String()
}
