package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"mailstead/cmd/internal/tomlfile"
)

// configCommand is `mailstead config`.
type configCommand struct {
	Show    configShowCommand    `cmd:"" help:"Print every setting with its present value; those of the configuration file are marked."`
	Check   configCheckCommand   `cmd:"" help:"Say what is wrong with a configuration file, and what it asks for that this machine does not have."`
	Explain configExplainCommand `cmd:"" help:"Say what a setting does, which values it takes, and what it is now."`
	Export  configExportCommand  `cmd:"" help:"Print domains, accounts, aliases and routes as one file, which apply takes."`
}

// configFile names a configuration file.
type configFile struct {
	Config string `default:"${config}" help:"Configuration file." type:"path"`
}

type configShowCommand struct {
	configFile
	JSON bool `name:"json" help:"Print one JSON object."`
}

func (c configShowCommand) Run(std streams) error {
	data, err := readConfigFile(c.Config)
	if err != nil {
		return fileFailure(err)
	}
	s, all := parseSettings(data)
	if len(all) > 0 {
		return fmt.Errorf("configuration %s: %w", c.Config, all)
	}
	if c.JSON {
		return showJSON(std.out, &s)
	}
	return showSettings(std.out, &s, tomlfile.Places(data))
}

// showSettings prints the settings as a file would have them, with a mark behind those that are set.
func showSettings(w io.Writer, s *settings, places map[string]tomlfile.Place) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	table := ""
	for _, k := range settingTable() {
		if in, _, ok := strings.Cut(k.name, "."); ok && in != table {
			table = in
			fmt.Fprintf(t, "\n[%s]\n", table)
		}
		text := k.text(s)
		if k.name == "resolvers" && s.Resolvers == nil {
			text = `"those of resolv.conf(5)"`
		}
		mark := "# default"
		if at, ok := places[k.name]; ok {
			mark = fmt.Sprintf("# line %d", at.Line)
		}
		fmt.Fprintf(t, "%s = %s\t%s\n", lastPart(k.name), text, mark)
	}
	return t.Flush()
}

// showJSON prints the settings as an object of their names.
func showJSON(w io.Writer, s *settings) error {
	all := map[string]any{}
	for _, k := range settingTable() {
		into := all
		if table, _, ok := strings.Cut(k.name, "."); ok {
			if all[table] == nil {
				all[table] = map[string]any{}
			}
			into = all[table].(map[string]any)
		}
		into[lastPart(k.name)] = k.value(s).Interface()
	}
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(all)
}

type configCheckCommand struct {
	File string `arg:"" optional:"" type:"path" help:"The file; without, ${config}."`
	format
}

func (c configCheckCommand) Run(_ context.Context, std streams) error {
	name := cmp.Or(c.File, defaultConfig)
	data, err := readConfigFile(name)
	if err != nil {
		return fileFailure(err)
	}
	s, all := parseSettings(data)
	bad := len(all)
	if bad == 0 {
		all = thisMachine.check(&s)
		all.Locate(data)
		all = all.InOrder()
	}
	if c.JSON {
		err = print(std.out, c.format, all, nil, nil)
	} else {
		err = printFaults(std.out, name, all)
	}
	if err == nil && bad > 0 {
		return &failure{Exit: exitFailed, Text: fmt.Sprintf("%s cannot be used: a server started with it would stop at once", name)}
	}
	return err
}

// printFaults prints faults as compilers do, so that editors find them.
func printFaults(w io.Writer, name string, all tomlfile.Faults) error {
	for _, f := range all {
		at := name
		if f.Line > 0 {
			at = fmt.Sprintf("%s:%d:%d", name, f.Line, f.Column)
		}
		kind := "error"
		if f.Warning {
			kind = "warning"
		}
		f.Line = 0
		if _, err := fmt.Fprintf(w, "%s: %s: %s\n", at, kind, f); err != nil {
			return err
		}
	}
	if len(all) == 0 {
		_, err := fmt.Fprintf(w, "%s is good.\n", name)
		return err
	}
	return nil
}

type configExplainCommand struct {
	configFile
	Key string `arg:"" optional:"" help:"The setting, say: listen.smtp; without, all of them are listed."`
}

func (c configExplainCommand) Run(std streams) error {
	if c.Key == "" {
		return listSettings(std.out)
	}
	k, ok := findSetting(c.Key)
	if !ok {
		hint := "'mailstead config explain' lists all"
		if guess := nearest(c.Key); guess != "" {
			hint = fmt.Sprintf("did you mean %s?", guess)
		}
		return &failure{Exit: exitNoSuch, Text: fmt.Sprintf("there is no setting %s; %s", c.Key, hint)}
	}
	return explain(std.out, k, c.present(k))
}

// present is what a setting is in the file, or why that cannot be said.
func (c configExplainCommand) present(k setting) string {
	s, err := readConfig(c.Config)
	if err != nil {
		return fmt.Sprintf("not known, as %s cannot be used; see 'mailstead config check'", c.Config)
	}
	if k.name == "resolvers" && s.Resolvers == nil {
		return "not set"
	}
	return k.text(&s)
}

// listSettings prints each setting with the first sentence on it.
func listSettings(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, k := range settingTable() {
		about, _, _ := strings.Cut(k.about(), "\n")
		const room = 38 // next to the longest name, on a line of 80
		if about = withoutTicks(about); len(about) > room {
			about = about[:strings.LastIndexByte(about[:room], ' ')] + " ..."
		}
		fmt.Fprintf(t, "%s\t%s\n", k.name, about)
	}
	return t.Flush()
}

// explain prints all there is to say about a setting.
func explain(w io.Writer, k setting, present string) error {
	example := k.example
	if table, _, ok := strings.Cut(k.name, "."); ok {
		example = "[" + table + "]\n" + example
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s = %s\n\n", k.name, k.kind)
	for line := range strings.Lines(k.about()) {
		b.WriteString(wrapped(withoutTicks(strings.TrimSpace(line))))
	}
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "\nDefault:\t%s\nNow:\t%s\nChanges:\t%s\n", k.initial(), present, withoutTicks(k.takesEffect()))
	if err := t.Flush(); err != nil {
		return err
	}
	b.WriteString("Example:\n")
	for line := range strings.Lines(example + "\n") {
		b.WriteString("  " + line)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// about is the text on a setting, which it may share with the next one.
func (k setting) about() string {
	found := false
	for _, o := range settingTable() {
		if found = found || o.name == k.name; found && o.doc != "" {
			return o.doc
		}
	}
	return ""
}

// withoutTicks is a text of settingTable for a terminal.
func withoutTicks(text string) string {
	for _, sign := range []string{".", ",", ":", ";"} {
		text = strings.ReplaceAll(text, "` "+sign, sign)
	}
	return strings.ReplaceAll(text, "`", "")
}

// wrapped breaks a text into lines of at most 78 octets where it has spaces.
func wrapped(text string) string {
	var b strings.Builder
	width := 0
	for i, word := range strings.Fields(text) {
		switch {
		case i == 0:
		case width+1+len(word) > 78:
			b.WriteByte('\n')
			width = 0
		default:
			b.WriteByte(' ')
			width++
		}
		b.WriteString(word)
		width += len(word)
	}
	b.WriteByte('\n')
	return b.String()
}
