package imap

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// grammar makes commands out of octets: each octet decides one thing. When there are none left, the first choice is
// taken, so every text of octets is a conversation.
type grammar struct {
	octets []byte
	budget int // of words, so that no command is endless
}

// below takes a number below n.
func (g *grammar) below(n int) int {
	if len(g.octets) == 0 || n <= 0 {
		return 0
	}
	c := g.octets[0]
	g.octets = g.octets[1:]
	return int(c) % n
}

// one takes one of several.
func (g *grammar) one(list ...string) string { return list[g.below(len(list))] }

// maybe is text or nothing.
func (g *grammar) maybe(text func() string) string {
	if g.below(2) == 0 {
		return ""
	}
	return text()
}

// list is some of what item makes, in parentheses.
func (g *grammar) list(item func() string) string { return "(" + g.some(item) + ")" }

// some is some of what item makes; now and then many, now and then none.
func (g *grammar) some(item func() string) string {
	n := 1 + g.below(3)
	switch g.below(32) {
	case 30:
		n = 0
	case 31:
		n = 200
	}
	var words []string
	for range n {
		if g.budget--; g.budget < 0 {
			break
		}
		words = append(words, item())
	}
	return strings.Join(words, " ")
}

// anyOf is one of the keys of a table of the server, so that what is new there is said, too.
func anyOf[V any](g *grammar, table map[string]V) string {
	return g.one(slices.Sorted(maps.Keys(table))...)
}

// raw are octets that the grammar knows nothing of, but for line ends and what begins a literal.
func (g *grammar) raw() string {
	n := min(g.below(20), len(g.octets))
	text := strings.Map(func(r rune) rune {
		switch r {
		case '\r', '\n', '{', 0:
			return '.'
		}
		return r
	}, string(g.octets[:n]))
	g.octets = g.octets[n:]
	return text
}

// text is an astring in one of its forms.
func (g *grammar) text() string {
	word := g.one("x", "text", "", "a b", "\xc3\xa4", "pear", "NIL", "=?utf-8?q?x?=", "\\", "\xff", strings.Repeat("long ", 300))
	if g.below(8) == 7 {
		word = g.raw()
	}
	return g.quote(word)
}

// quote gives a word one of the forms of a string.
func (g *grammar) quote(word string) string {
	switch g.below(4) {
	case 0:
		return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(word) + `"`
	case 1:
		return fmt.Sprintf("{%d+}\r\n%s", len(word), word)
	case 2:
		return fmt.Sprintf("~{%d+}\r\n%s", len(word), word)
	}
	return word
}

func (g *grammar) number() string {
	return g.one("1", "2", "3", "10", "0", "500", "4294967295", "4294967296", "9223372036854775807", "9223372036854775808", "18446744073709551616", "-1", "007")
}

func (g *grammar) set() string {
	return g.one("1", "1:*", "*", "2:3", "1,3", "$", "*:1", "5:1", "0", "1:", "9:12", "4294967295:*", "1,1,1,2:4,3:*", "")
}

func (g *grammar) mailbox() string {
	return g.quote(g.one("INBOX", "inbox", "Drafts", "new", "new/below", "Trash", "a/b/c", "&AOQ-", "&", "\xc3\xa4", "#news", "", "INBOX/x", "new/", strings.Repeat("y", 1100)))
}

func (g *grammar) pattern() string {
	return g.quote(g.one("*", "%", "", "IN%", "new*", "%/%", "*a*b*c", "&AOQ-*", strings.Repeat("%*", 400)))
}

func (g *grammar) flag() string {
	return g.one(`\Seen`, `\Deleted`, `\Flagged`, "$Junk", "key", `\Recent`, `\*`, `\X`, "", strings.Repeat("k", 200))
}

func (g *grammar) flags() string { return g.list(g.flag) }

func (g *grammar) date() string {
	return g.one("1-Jan-2020", `"31-Feb-2020"`, " 1-Jan-2020", "1-Jan-9999", "0-Jan-0000", `""`)
}

func (g *grammar) dateTime() string {
	return g.one(`" 1-Feb-2001 10:00:00 +0100"`, `"31-Dec-9999 23:59:59 -2359"`, `"01-Feb-2001 25:00:00 +0000"`)
}

// message is a literal with mail in it.
func (g *grammar) message() string {
	text := g.one("Subject: x\r\n\r\nx\r\n", "", "x", "a\x00c", "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nx\r\n--b--", "Subject: \xc3\xa4\r\n\r\n")
	return fmt.Sprintf(g.one("{%d+}", "~{%d+}")+"\r\n%s", len(text), text)
}

// content is what APPEND and REPLACE take.
func (g *grammar) content() string {
	prefix := g.maybe(func() string { return g.flags() + " " }) + g.maybe(func() string { return g.dateTime() + " " })
	switch g.below(4) {
	case 1:
		return prefix + "UTF8 (" + g.message() + ")"
	case 2:
		return prefix + "CATENATE " + g.list(func() string {
			return g.one("TEXT "+g.message(), "URL "+g.quote(g.one("/INBOX/;UID=1", ";UID=1/;SECTION=1", "/INBOX/;UID=1/;SECTION=HEADER/;PARTIAL=1.5", "/%FF", "imap://x/")))
		})
	}
	return prefix + g.message()
}

// section is a section of FETCH with its name.
func (g *grammar) section() string {
	name := g.one("BODY", "BODY.PEEK", "BINARY", "BINARY.PEEK", "BINARY.SIZE")
	path := g.one("", "1", "1.1", "2", "1.2.1.1", "0", "1"+strings.Repeat(".1", 60), strings.Repeat("1.", 120)+"1")
	part := g.one("", "HEADER", "TEXT", "MIME", "HEADER.FIELDS (Subject X)", "HEADER.FIELDS.NOT (To)", "HEADER.FIELDS ()", "X")
	if path != "" && part != "" {
		path += "."
	}
	return name + "[" + path + part + "]" + g.maybe(func() string { return "<" + g.number() + "." + g.number() + ">" })
}

func (g *grammar) item() string {
	return g.one("FLAGS", "UID", "ENVELOPE", "BODY", "BODYSTRUCTURE", "INTERNALDATE", "RFC822", "RFC822.SIZE", "RFC822.HEADER", "RFC822.TEXT", "MODSEQ",
		"PREVIEW", "PREVIEW (LAZY)", "SAVEDATE", "EMAILID", "THREADID", "FAST", "FULL", g.section(), g.section(), g.raw())
}

// key is a search key, with others in it as deep as the octets go.
func (g *grammar) key() string {
	if g.budget--; g.budget < 0 {
		return "ALL"
	}
	switch g.below(8) {
	case 0:
		return "NOT " + g.key()
	case 1:
		return "OR " + g.key() + " " + g.key()
	case 2:
		return g.list(g.key)
	case 3:
		return "FUZZY " + g.key()
	case 4:
		return g.set()
	}
	name := anyOf(g, searchKeys)
	if argument, ok := keyArguments[name]; ok {
		return name + " " + argument(g)
	}
	return name + g.maybe(func() string { return " " + g.any() })
}

// keyArguments are the arguments of the search keys that have some.
var keyArguments = map[string]func(*grammar) string{
	"BCC": (*grammar).text, "BODY": (*grammar).text, "CC": (*grammar).text, "FROM": (*grammar).text, "SUBJECT": (*grammar).text,
	"TEXT": (*grammar).text, "TO": (*grammar).text, "BEFORE": (*grammar).date, "ON": (*grammar).date, "SINCE": (*grammar).date,
	"SENTBEFORE": (*grammar).date, "SENTON": (*grammar).date, "SENTSINCE": (*grammar).date, "SAVEDBEFORE": (*grammar).date,
	"SAVEDON": (*grammar).date, "SAVEDSINCE": (*grammar).date, "LARGER": (*grammar).number, "SMALLER": (*grammar).number,
	"OLDER": (*grammar).number, "YOUNGER": (*grammar).number, "UIDAFTER": (*grammar).number, "UIDBEFORE": (*grammar).number,
	"KEYWORD": (*grammar).flag, "UNKEYWORD": (*grammar).flag, "UID": (*grammar).set,
	"MODSEQ":  func(g *grammar) string { return g.maybe(func() string { return `"/flags/\\Seen" all ` }) + g.number() },
	"HEADER":  func(g *grammar) string { return g.quote(g.one("Subject", "X-Tag", "", "A B")) + " " + g.text() },
	"EMAILID": func(g *grammar) string { return g.one("E1", "x", "(E1)", strings.Repeat("e", 300)) }, "THREADID": func(g *grammar) string { return "T1" },
}

func (g *grammar) keys() string { return g.some(g.key) }

// options are result options.
func (g *grammar) options() string {
	return "RETURN " + g.list(func() string {
		if name := anyOf(g, searchOptions); name != "PARTIAL" {
			return name
		}
		return "PARTIAL " + g.one("1:2", "-1:-2", "0:1", "5:1", "1:4294967295", "1")
	}) + " "
}

func (g *grammar) charset() string { return g.one("UTF-8", "US-ASCII", `"utf-8"`, "X") }

// sources are the mailboxes of ESEARCH and of NOTIFY.
func (g *grammar) sources() string {
	return g.one("selected", "selected-delayed", "personal", "inboxes", "subscribed", "subtree "+g.mailbox(), "subtree-one "+g.list(g.mailbox), "mailboxes "+g.list(g.mailbox))
}

// entry is the name of an annotation.
func (g *grammar) entry() string {
	return g.one("/shared/comment", "/private/comment", "/private/vendor/x", "/x", "/private//", "/shared/*", "/private/specialuse")
}

// any is whatever a command that is not known here may take.
func (g *grammar) any() string {
	return g.one(g.mailbox(), g.text(), g.number(), g.set(), g.date(), g.raw(), g.list(g.text), "("+g.list(g.entry)+" "+g.flags()+")", "NIL")
}

// arguments are those of each command, with the space before them.
var arguments = map[string]func(*grammar) string{
	"CAPABILITY": nothing, "NOOP": nothing, "LOGOUT": nothing, "NAMESPACE": nothing, "CHECK": nothing, "CLOSE": nothing, "UNSELECT": nothing,
	"UNAUTHENTICATE": nothing, "STARTTLS": nothing,
	"COMPRESS": func(g *grammar) string { return " " + g.one("DEFLATE", "X") },
	"ID": func(g *grammar) string {
		return " " + g.one("NIL", g.list(func() string { return g.text() + " " + g.text() }))
	},
	"AUTHENTICATE": func(g *grammar) string { return " " + g.one("PLAIN =", "SCRAM-SHA-256", "X", "PLAIN AAA=") + "\r\n*" },
	"LOGIN":        func(g *grammar) string { return " x " + g.one("x", `""`) },
	"ENABLE":       func(g *grammar) string { return " " + g.some(func() string { return g.one(enablingNames()...) }) },
	"SELECT":       selecting, "EXAMINE": selecting,
	"CREATE": func(g *grammar) string {
		return " " + g.mailbox() + g.maybe(func() string { return " (USE (" + g.one(`\Junk`, `\Sent \Trash`, `\X`) + "))" })
	},
	"DELETE": one, "SUBSCRIBE": one, "UNSUBSCRIBE": one, "GETQUOTAROOT": one, "GETACL": one, "MYRIGHTS": one,
	"RENAME": func(g *grammar) string { return " " + g.mailbox() + " " + g.mailbox() },
	"LIST": func(g *grammar) string {
		return " " + g.maybe(func() string {
			return g.list(func() string { return g.one("SUBSCRIBED", "REMOTE", "RECURSIVEMATCH", "SPECIAL-USE", "X") }) + " "
		}) + g.mailbox() + " " + g.one(g.pattern(), g.list(g.pattern)) + g.maybe(func() string {
			return " RETURN " + g.list(func() string {
				return g.one("SUBSCRIBED", "CHILDREN", "SPECIAL-USE", "STATUS (MESSAGES SIZE UNSEEN)", "MYRIGHTS", "METADATA (/shared/comment)", "X")
			})
		})
	},
	"LSUB": func(g *grammar) string { return " " + g.mailbox() + " " + g.pattern() },
	"STATUS": func(g *grammar) string {
		return " " + g.mailbox() + " " + g.list(func() string {
			return g.one("MESSAGES", "RECENT", "UIDNEXT", "UIDVALIDITY", "UNSEEN", "SIZE", "HIGHESTMODSEQ", "MAILBOXID", "DELETED", "DELETED-STORAGE", "APPENDLIMIT", "X")
		})
	},
	"GETQUOTA": one,
	"SETQUOTA": func(g *grammar) string { return " " + g.mailbox() + " (STORAGE " + g.number() + ")" },
	"APPEND":   func(g *grammar) string { return " " + g.mailbox() + " " + g.some(g.content) },
	"REPLACE":  func(g *grammar) string { return " " + g.number() + " " + g.mailbox() + " " + g.content() },
	"IDLE":     func(g *grammar) string { return "\r\n" + g.one("DONE", "done", "x") },
	"NOTIFY": func(g *grammar) string {
		return " " + g.one("NONE", "SET "+g.maybe(func() string { return "STATUS " })+g.some(func() string {
			return "(" + g.sources() + " " + g.list(func() string {
				if event := anyOf(g, notifyEvents); event != "MESSAGENEW" {
					return event
				}
				return "MESSAGENEW" + g.maybe(func() string { return " " + g.list(g.item) })
			}) + ")"
		}))
	},
	"ESEARCH": func(g *grammar) string {
		return " " + g.maybe(func() string { return "IN " + g.list(g.sources) + " " }) + g.maybe(g.options) + g.keys()
	},
	"UIDBATCHES": func(g *grammar) string {
		return " " + g.number() + g.maybe(func() string { return " " + g.number() + ":" + g.number() })
	},
	"EXPUNGE": func(g *grammar) string { return g.maybe(func() string { return " " + g.set() }) },
	"FETCH": func(g *grammar) string {
		return " " + g.set() + " " + g.one(g.item(), g.list(g.item)) + g.maybe(func() string {
			return " " + g.list(func() string {
				return g.one("CHANGEDSINCE "+g.number(), "VANISHED", "PARTIAL 1:2", "PARTIAL -1:-5", "X")
			})
		})
	},
	"SEARCH": func(g *grammar) string {
		return " " + g.maybe(g.options) + g.maybe(func() string { return "CHARSET " + g.charset() + " " }) + g.keys()
	},
	"SORT": func(g *grammar) string {
		return " " + g.maybe(g.options) + g.list(func() string { return g.maybe(func() string { return "REVERSE " }) + anyOf(g, sortKeys) }) + " " + g.charset() + " " + g.keys()
	},
	"THREAD":       func(g *grammar) string { return " " + anyOf(g, threadAlgorithms) + " " + g.charset() + " " + g.keys() },
	"CANCELUPDATE": func(g *grammar) string { return " " + g.some(func() string { return g.one(`"t0"`, `"t1"`, "x") }) },
	"STORE": func(g *grammar) string {
		return " " + g.set() + " " + g.maybe(func() string { return "(UNCHANGEDSINCE " + g.number() + ") " }) +
			g.one("+FLAGS", "-FLAGS", "FLAGS", "+FLAGS.SILENT", "FLAGS.X") + " " + g.one(g.flags(), g.some(g.flag))
	},
	"COPY": toMailbox, "MOVE": toMailbox,
	"GETMETADATA": func(g *grammar) string {
		return " " + g.maybe(func() string { return "(MAXSIZE " + g.number() + " DEPTH " + g.one("0", "1", "infinity", "2") + ") " }) + g.mailbox() + " " + g.one(g.entry(), g.list(g.entry))
	},
	"SETMETADATA": func(g *grammar) string {
		return " " + g.mailbox() + " " + g.list(func() string { return g.entry() + " " + g.one("NIL", g.text()) })
	},
	"SETACL": func(g *grammar) string {
		return " " + g.mailbox() + " " + g.one("anyone", testUser2, "-x") + " " + g.one("lrs", "+a", "-lr", "0", `""`)
	},
	"DELETEACL":  func(g *grammar) string { return " " + g.mailbox() + " " + g.one("anyone", testUser2) },
	"LISTRIGHTS": func(g *grammar) string { return " " + g.mailbox() + " " + g.one("anyone", testUser2) },
}

func nothing(g *grammar) string { return g.one("", "", "", " x") }

func one(g *grammar) string { return " " + g.mailbox() }

func toMailbox(g *grammar) string { return " " + g.set() + " " + g.mailbox() }

func selecting(g *grammar) string {
	return " " + g.one("INBOX", g.mailbox()) + g.maybe(func() string {
		return " (" + g.one("CONDSTORE", "QRESYNC (1 "+g.number()+")", "QRESYNC (1 1 "+g.set()+" ("+g.set()+" "+g.set()+"))", "X") + ")"
	})
}

func enablingNames() (names []string) {
	for _, e := range enablings {
		names = append(names, e.name)
	}
	return append(names, "X")
}

// command is one command of the table with its tag, and the lines that belong to it.
func (g *grammar) command(tag string) string {
	c := commands[g.below(len(commands))]
	text := tag + " "
	if g.below(3) == 1 {
		text += "UID "
	}
	argue, known := arguments[c.name]
	if !known {
		argue = func(g *grammar) string { return " " + g.some(g.any) }
	}
	g.budget = 400
	return text + c.name + argue(g) + g.one("", "", "", "", "", "", "", " x", " ", ")") + "\r\n"
}
