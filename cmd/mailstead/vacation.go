package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"time"

	"mailstead/mailbox/directory"
)

// vacationCommand is `mailstead account vacation`.
type vacationCommand struct {
	On   vacationOnCommand   `cmd:"" help:"Answer an account's mail automatically while its owner is away."`
	Off  vacationOffCommand  `cmd:"" help:"End that."`
	Show vacationShowCommand `cmd:"" help:"Show what is answered."`
}

type vacationOnCommand struct {
	place
	Account     string   `arg:"" help:"An address of the account."`
	From        string   `placeholder:"DATE" help:"Answer mail from this day on; without, from now on."`
	Until       string   `placeholder:"DATE" help:"The last day; without, until it is switched off."`
	Subject     string   `help:"Subject of the reply; without, that of the message with Auto: in front."`
	Text        string   `xor:"text" help:"Text of the reply."`
	TextFile    string   `xor:"text" placeholder:"FILE" help:"File with the text; - is standard input."`
	Days        int      `default:"7" help:"For how many days nobody is answered again, 1 to 30."`
	FurtherMail []string `name:"address" placeholder:"ADDRESS" help:"Answer mail that is addressed to this, too: an alias, or an address elsewhere that leads here."`
}

func (c vacationOnCommand) Run(ctx context.Context, std streams, log *slog.Logger) error {
	v := directory.Vacation{Subject: c.Subject, Text: c.Text, Days: c.Days, Addresses: c.FurtherMail}
	var err error
	if v.From, err = parseDay("--from", c.From, 0); err != nil {
		return err
	}
	if v.Until, err = parseDay("--until", c.Until, 1); err != nil {
		return err
	}
	if c.TextFile != "" {
		if v.Text, err = readText(c.TextFile, std); err != nil {
			return err
		}
	}
	if v.Text == "" {
		return usage("say what to answer: --text or --text-file")
	}
	_, err = call[nothing](ctx, c.place, log, "account vacation on", vacationParams{c.Account, v})
	return err
}

// parseDay is the moment at which a day begins here, or with days those after it; or a time of RFC 3339.
func parseDay(flag, text string, days int) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if t, err := time.Parse(time.RFC3339, text); err == nil {
		return t, nil
	}
	t, err := time.ParseInLocation(time.DateOnly, text, time.Local)
	if err != nil {
		return time.Time{}, usage("%s: %.40q is no date like 2026-08-31, and no time of RFC 3339", flag, text)
	}
	return t.AddDate(0, 0, days), nil
}

// maxTextFile bounds what is read of a text, in octets; what is too long for the server is told by it.
const maxTextFile = 1 << 20

func readText(name string, std streams) (string, error) {
	in := std.in
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return "", usage("--text-file: %v", err)
		}
		defer f.Close()
		in = f
	}
	text, err := io.ReadAll(io.LimitReader(in, maxTextFile))
	if err != nil {
		return "", fmt.Errorf("read the text: %w", err)
	}
	return string(text), nil
}

type vacationOffCommand struct {
	place
	Account string `arg:"" help:"An address of the account."`
}

func (c vacationOffCommand) Run(ctx context.Context, log *slog.Logger) error {
	_, err := call[nothing](ctx, c.place, log, "account vacation off", name{c.Account})
	return err
}

type vacationShowCommand struct {
	place
	format
	Account string `arg:"" help:"An address of the account."`
}

func (c vacationShowCommand) Run(ctx context.Context, std streams, log *slog.Logger) error {
	v, err := call[vacationRow](ctx, c.place, log, "account vacation show", name{c.Account})
	if err != nil {
		return err
	}
	if c.JSON {
		return print(std.out, c.format, []vacationRow{v}, nil, nil)
	}
	fmt.Fprintf(std.out, "from:     %s\nuntil:    %s\nagain:    after %d days\n", moment(v.From), moment(v.Until), v.Days)
	if len(v.Addresses) > 0 {
		fmt.Fprintf(std.out, "also to:  %s\n", strings.Join(v.Addresses, " "))
	}
	if v.Subject != "" {
		fmt.Fprintf(std.out, "subject:  %s\n", v.Subject)
	}
	_, err = fmt.Fprintf(std.out, "\n%s\n", strings.TrimRight(v.Text, "\r\n"))
	return err
}

// moment is an end of a time for people.
func moment(t *time.Time) string {
	if t == nil {
		return "open"
	}
	return t.Local().Format(time.RFC3339)
}

// vacationRow is an automatic reply as programs see it.
type vacationRow struct {
	From      *time.Time `json:"from"`  // null = open
	Until     *time.Time `json:"until"` // null = open
	Subject   string     `json:"subject"`
	Text      string     `json:"text"`
	Days      int        `json:"days"`
	Addresses []string   `json:"addresses"`
}

type vacationParams struct {
	Account  string             `json:"account"`
	Vacation directory.Vacation `json:"vacation"`
}

func (a *admin) vacationOn(ctx context.Context, p vacationParams) (nothing, error) {
	return nothing{}, a.directory.SetVacation(ctx, p.Account, &p.Vacation)
}

func (a *admin) vacationOff(ctx context.Context, p name) (nothing, error) {
	return nothing{}, a.directory.SetVacation(ctx, p.Name, nil)
}

func (a *admin) vacationShow(_ context.Context, p name) (vacationRow, error) {
	v, err := a.directory.Vacation(p.Name)
	row := vacationRow{Subject: v.Subject, Text: v.Text, Days: v.Days, Addresses: append([]string{}, v.Addresses...)}
	if !v.From.IsZero() {
		row.From = &v.From
	}
	if !v.Until.IsZero() {
		row.Until = &v.Until
	}
	return row, err
}
