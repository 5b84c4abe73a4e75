package imap

import (
	goimap "github.com/emersion/go-imap/v2"

	"mailstead/imap/wire"
)

// state is a set of the states of RFC 3501 section 3.
type state uint8

const (
	stateGreeted  state = 1 << iota // not authenticated
	stateLoggedIn                   // authenticated
	stateSelected
	stateLogout

	stateAny  = stateGreeted | stateLoggedIn | stateSelected
	stateUser = stateLoggedIn | stateSelected
)

func (s state) String() string {
	switch s {
	case stateGreeted:
		return "not authenticated"
	case stateLoggedIn:
		return "authenticated"
	case stateSelected:
		return "selected"
	}
	return "logout"
}

// news says what a command lets the server tell of the selected mailbox before its
// tagged reply.
type news uint8

const (
	newsNone   news = iota
	newsNumber      // all but EXPUNGE: sequence numbers stay (RFC 3501 section 7.4.1)
	newsAll

	// newsAhead is for FETCH: nothing is told with its reply, but if its set reaches to
	// "*", news are told before it runs, as with newsNumber. Thunderbird takes no notice
	// of an EXISTS or EXPUNGE that comes with a body it fetches, and idles on without
	// the new message; what is not told then is told when it idles. A client that looks
	// for mail by fetching "n:*" hears of it all the same.
	newsAhead
)

// command is one line of the table.
type command struct {
	name   string // without "UID "
	states state  // in which it may be said
	news   news
	run    func(*session, *request) (reply, error)
}

// request is a command being run.
type request struct {
	*command
	tag string
	uid bool // said with UID in front: it takes UIDs, and answers name them

	set      goimap.UIDSet // the UIDs it named, where it did
	expunges bool          // messages are gone by it
	bySeq    bool          // it names messages by their sequence numbers all the same
}

// reply is the tagged reply of a command that succeeded: OK, with a response code
// where Code is set, and a text of its own where Text is.
type reply struct {
	Code string // what stands between the brackets
	Text string // "" = "NAME completed"
}

// commands is the table of all commands.
var commands = []command{
	{"CAPABILITY", stateAny, newsAll, (*session).capability},
	{"NOOP", stateAny, newsAll, (*session).noop},
	{"LOGOUT", stateAny, newsNone, (*session).logout},
	{"ID", stateAny, newsAll, (*session).id},
	{"STARTTLS", stateGreeted, newsNone, (*session).startTLS},
	{"AUTHENTICATE", stateGreeted, newsNone, (*session).authenticate},
	{"LOGIN", stateGreeted, newsNone, (*session).login},
	{"ENABLE", stateUser, newsAll, (*session).enable},
	{"UNAUTHENTICATE", stateUser, newsNone, (*session).unauthenticate},
	{"COMPRESS", stateUser, newsNone, (*session).compress},
	{"NAMESPACE", stateUser, newsAll, (*session).namespace},
	{"SELECT", stateUser, newsNone, (*session).selectMailbox},
	{"EXAMINE", stateUser, newsNone, (*session).selectMailbox},
	{"CREATE", stateUser, newsAll, (*session).create},
	{"DELETE", stateUser, newsAll, (*session).delete},
	{"RENAME", stateUser, newsAll, (*session).rename},
	{"SUBSCRIBE", stateUser, newsAll, (*session).subscribe},
	{"UNSUBSCRIBE", stateUser, newsAll, (*session).subscribe},
	{"LIST", stateUser, newsAll, (*session).list},
	{"LSUB", stateUser, newsAll, (*session).lsub},
	{"STATUS", stateUser, newsAll, (*session).status},
	{"GETQUOTA", stateUser, newsAll, (*session).getQuota},
	{"GETQUOTAROOT", stateUser, newsAll, (*session).getQuotaRoot},
	{"SETQUOTA", stateUser, newsAll, (*session).setQuota},
	{"SETACL", stateUser, newsAll, (*session).setACL},
	{"DELETEACL", stateUser, newsAll, (*session).deleteACL},
	{"GETACL", stateUser, newsAll, (*session).getACL},
	{"LISTRIGHTS", stateUser, newsAll, (*session).listRights},
	{"MYRIGHTS", stateUser, newsAll, (*session).myRights},
	{"GETMETADATA", stateUser, newsAll, (*session).getMetadata},
	{"SETMETADATA", stateUser, newsAll, (*session).setMetadata},
	{"APPEND", stateUser, newsAll, (*session).append},
	{"REPLACE", stateSelected, newsAll, (*session).replace},
	{"IDLE", stateUser, newsAll, (*session).idle},
	{"NOTIFY", stateUser, newsAll, (*session).notifyCommand},
	{"ESEARCH", stateUser, newsNumber, (*session).eSearch},
	{"CHECK", stateSelected, newsAll, (*session).noop},
	{"UIDBATCHES", stateSelected, newsAll, (*session).uidBatches},
	{"CLOSE", stateSelected, newsNone, (*session).close},
	{"UNSELECT", stateSelected, newsNone, (*session).unselect},
	{"EXPUNGE", stateSelected, newsAll, (*session).expunge},
	{"FETCH", stateSelected, newsAhead, (*session).fetch},
	{"SEARCH", stateSelected, newsNumber, (*session).search},
	{"SORT", stateSelected, newsNumber, (*session).sort},
	{"THREAD", stateSelected, newsNumber, (*session).thread},
	{"CANCELUPDATE", stateSelected, newsNumber, (*session).cancelUpdate},
	{"STORE", stateSelected, newsNumber, (*session).store},
	{"COPY", stateSelected, newsAll, (*session).copy},
	{"MOVE", stateSelected, newsAll, (*session).move},
}

// uidCommands are the commands that take UIDs when UID stands in front (RFC 3501
// section 6.4.8, RFC 4315 section 2.1, RFC 6851 section 3.2, RFC 8508 section 3.3). They may tell of
// expunged messages: their numbers are not sequence numbers.
var uidCommands = map[string]bool{
	"FETCH": true, "SEARCH": true, "ESEARCH": true, "SORT": true, "THREAD": true, "STORE": true, "COPY": true,
	"MOVE": true, "EXPUNGE": true, "REPLACE": true,
}

// removedCommands are those that IMAP4rev2 has not (RFC 9051 appendix E, 17 and 19): there
// is NOOP, and LIST (SUBSCRIBED).
var removedCommands = map[string]bool{"CHECK": true, "LSUB": true}

// commandNamed finds commands by name.
var commandNamed = func() map[string]*command {
	m := make(map[string]*command, len(commands))
	for i := range commands {
		m[commands[i].name] = &commands[i]
	}
	return m
}()

// parseCommand reads tag and name, up to the space before the arguments.
func parseCommand(d *wire.Decoder) *request {
	r := &request{command: &command{}, tag: string(d.Tag())}
	d.SP()
	name := d.Word()
	if name == "UID" {
		r.uid = true
		d.SP()
		name = d.Word()
	}
	if d.Err() != nil {
		return r
	}
	c, ok := commandNamed[name]
	if !ok || r.uid && !uidCommands[name] {
		d.Fail("unknown command")
		return r
	}
	r.command = c
	return r
}

// fullName is the command as the client said it.
func (r *request) fullName() string {
	if r.uid {
		return "UID " + r.name
	}
	return r.name
}

// numbers reports whether the command takes sequence numbers.
func (r *request) numbers() bool {
	return !r.uid && uidCommands[r.name] && r.name != "EXPUNGE" && r.name != "ESEARCH"
}

// mayTell says what may be told of the mailbox before the tagged reply.
func (r *request) mayTell() news {
	switch {
	case r.news == newsAhead:
		return newsNone
	case r.uid && r.news == newsNumber && !r.bySeq:
		return newsAll
	}
	return r.news
}

// mayTellAhead says what may be told before the command runs.
func (r *request) mayTellAhead() news {
	switch {
	case r.news != newsAhead:
		return newsNone
	case r.uid:
		return newsAll
	}
	return newsNumber
}
