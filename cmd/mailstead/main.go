// Command mailstead is a personal mail server: SMTP, IMAP, POP3, submission
// and the store behind them, in one binary.
package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"

	"mailstead/mailbox"
)

// cli is the command line: a field for each sub-command, in the order of help.
type cli struct {
	LogLevel slog.Level `default:"info" placeholder:"LEVEL" help:"Least level of what is logged: debug, info, warn or error."`

	Local       localCommand       `cmd:"" help:"Run the whole server on loopback: to try it, and to develop and test mail clients with it."`
	Setup       setupCommand       `cmd:"" help:"Set a server up on this machine: asks, does the rest, says what is left to do."`
	Serve       serveCommand       `cmd:"" help:"Run the server."`
	Restart     restartCommand     `cmd:"" help:"Restart the running server in place: no connection is refused meanwhile."`
	Config      configCommand      `cmd:"" help:"The configuration file: what it says, what is wrong with it, what a setting means."`
	Apply       applyCommand       `cmd:"" help:"Set domains, accounts, aliases and routes up as one file says."`
	Reload      reloadCommand      `cmd:"" help:"Have the running server read its configuration file again, as SIGHUP does."`
	Domain      domainCommand      `cmd:"" help:"Domains of this server."`
	Account     accountCommand     `cmd:"" help:"Accounts, their addresses and passwords."`
	Alias       aliasCommand       `cmd:"" help:"Addresses that lead to others."`
	Mailbox     mailboxCommand     `cmd:"" help:"Mailboxes of an account, and what was deleted of them."`
	Bans        bansCommand        `cmd:"" help:"Who is held back for what it did too often."`
	Unban       unbanCommand       `cmd:"" help:"Release somebody who is held back."`
	Certificate certificateCommand `cmd:"" help:"Certificates of this server's names."`
	Queue       queueCommand       `cmd:"" help:"Mail on its way out."`
	Route       routeCommand       `cmd:"" help:"Ways of mail: over which servers it leaves."`
	Report      reportCommand      `cmd:"" help:"What other servers report about mail in the name of our domains."`
	Check       checkCommand       `cmd:"" help:"Say whether this host is in order: DNS, reachability, certificates, machine; with what to do about what is wrong."`
	Status      statusCommand      `cmd:"" help:"How the server is doing, on one screen."`
	Healthcheck healthcheckCommand `cmd:"" help:"Say by the exit status whether the running server is well, for containers and supervisors."`
	Log         logCommand         `cmd:"" help:"What became of messages: where is my mail?"`
	Backup      backupCommand      `cmd:"" help:"Copy all that the server keeps, while it runs, into a folder or an archive."`
	Restore     restoreCommand     `cmd:"" help:"Bring a backup back, into a folder without a store."`
	Verify      verifyCommand      `cmd:"" help:"Check all that is stored: the log, the databases, every message."`
	Export      exportCommand      `cmd:"" help:"Take an account's mail away: to files, or to another server."`
	Import      importCommand      `cmd:"" help:"Put mail into an account: from files, or from another server."`
	Upgrade     upgradeCommand     `cmd:"" help:"Take this version into use, after a look at what it does to the files; --check only looks."`
	Version     versionCommand     `cmd:"" help:"Print the version."`
	Help        helpCommand        `cmd:"" help:"Print help on a command."`
	Completion  completionCommand  `cmd:"" help:"Print what has a shell complete commands, flags and addresses."`
	Complete    completeCommand    `cmd:"" hidden:"" help:"Print what the last word of a command line can become."`
}

// streams is where a command reads and writes: results on out, everything else
// on err.
type streams struct {
	in       io.Reader
	out, err io.Writer
}

func main() {
	mailbox.RunChildCheck() // does not return in a child that checks a database
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process where it stands
	p, deafen := thisProcess()
	code := runIn(ctx, os.Args[1:], streams{os.Stdin, os.Stdout, os.Stderr}, p)
	if code == 0 && p.next != nil {
		fmt.Fprintln(os.Stderr, "mailstead:", p.execute()) // which does not return if it succeeds
		code = exitFailed
	}
	deafen()
	stop()
	os.Exit(code)
}

// run is the whole program but for the process it runs in. It returns the exit
// status.
func run(ctx context.Context, args []string, std streams) int { return runIn(ctx, args, std, nil) }

// runIn is run for commands that may change the process.
func runIn(ctx context.Context, args []string, std streams, p *process) int {
	var c cli
	exited := -1
	parser, err := kong.New(&c,
		kong.Name("mailstead"),
		kong.Description("A personal mail server: SMTP, IMAP, POP3 and submission in one binary."),
		kong.Vars{"config": defaultConfig},
		kong.Writers(std.out, std.err),
		kong.Exit(func(code int) { exited = code }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, FlagsLast: true}),
		kong.BindTo(ctx, (*context.Context)(nil)),
		kong.Bind(std, p),
	)
	if err != nil {
		fmt.Fprintln(std.err, "mailstead:", err)
		return exitFailed
	}
	parsed, err := parser.Parse(args)
	if exited >= 0 { // --help was answered
		return exited
	}
	if err != nil {
		fmt.Fprintf(std.err, "mailstead: %v\nTry 'mailstead --help'.\n", err)
		return exitUsage
	}
	logger := slog.New(slog.NewTextHandler(std.err, &slog.HandlerOptions{Level: c.LogLevel}))
	if err := parsed.Run(parser, logger); err != nil {
		fmt.Fprintln(std.err, "mailstead:", err)
		return exitCode(err)
	}
	return 0
}

// The exit status of every sub-command.
const (
	exitFailed = 1
	exitUsage  = 2
	exitNoSuch = 3
	exitExists = 4
	// exitWould is of an apply that was only tried, and of a look at an upgrade: something would change.
	exitWould = 5
)

// failure is an error with its exit status, as it comes through the control
// socket.
type failure struct {
	Exit int    `json:"exit"`
	Text string `json:"text"`
}

func (f *failure) Error() string { return f.Text }

func exitCode(err error) int { return failureOf(err).Exit }

// usage is a wrong use that the parser does not see.
func usage(format string, args ...any) error {
	return &failure{Exit: exitUsage, Text: fmt.Sprintf(format, args...)}
}

type versionCommand struct{}

// version is set by the linker in releases.
var version = "0.1.0-dev"

func (versionCommand) Run(std streams) error {
	_, err := fmt.Fprintln(std.out, "mailstead", version)
	return err
}

type helpCommand struct {
	Command []string `arg:"" optional:"" help:"The command, say: account add."`
}

func (h helpCommand) Run(parser *kong.Kong) error {
	path, err := kong.Trace(parser, h.Command)
	if err != nil {
		return err
	}
	if path.Error != nil {
		return usage("%v", path.Error)
	}
	// A group with a command that may be left out is meant itself where it is named.
	for last := len(path.Path) - 1; last > 0 && path.Path[last].Command != nil && path.Path[last].Command.Name != h.Command[len(h.Command)-1]; last-- {
		path.Path = path.Path[:last]
	}
	return path.PrintUsage(false)
}
