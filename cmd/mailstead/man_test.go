package main

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

// commandModel is the command line as kong understands it.
func commandModel(t *testing.T) *kong.Application {
	t.Helper()
	parser, err := kong.New(&cli{}, kong.Vars{"config": defaultConfig})
	if err != nil {
		t.Fatal(err)
	}
	return parser.Model
}

// helpingParser is the command line, with where it writes what --help asks for. Making one takes longer than using it.
func helpingParser(t *testing.T) (*kong.Kong, *bytes.Buffer) {
	t.Helper()
	var said bytes.Buffer
	parser, err := kong.New(&cli{}, kong.Name("mailstead"), kong.Vars{"config": defaultConfig}, kong.Writers(&said, io.Discard), kong.Exit(func(int) {}))
	if err != nil {
		t.Fatal(err)
	}
	return parser, &said
}

// leaves are the commands that can be run, with their whole names.
func leaves(n *kong.Node, path []string) map[string]*kong.Node {
	all := map[string]*kong.Node{}
	if n.Hidden {
		return nil
	}
	if n.Type == kong.CommandNode && len(n.Children) == 0 {
		all[strings.Join(path, " ")] = n
	}
	for _, child := range n.Children {
		for name, node := range leaves(child, append(slices.Clone(path), child.Name)) {
			all[name] = node
		}
	}
	return all
}

var (
	manCommand = regexp.MustCompile(`^\.It Cm ([a-z -]+?)(?: (?:Ar|Op|Oo) .*)?$`)
	manFlag    = regexp.MustCompile(`Fl -([a-z-]+)`)
	manNamed   = regexp.MustCompile(`(?:^\.| )Cm ([a-z ,-]+)`)
	helpFlag   = regexp.MustCompile(`(?m)^ +(?:-[a-z], )?--([a-z-]+)(.*)$`)
)

// manItem is what the manual says of one command, or of some at once.
type manItem struct {
	commands []string
	named    []string // other commands, and what else is in their type
	flags    []string
	common   []string // flags that its section says of all its commands
	said     bool     // there is text below the headings
}

// manItems are those of mailstead(1), with the flags that go with every command.
func manItems(page string) (items []manItem, always []string) {
	var common []string
	var item *manItem
	section := ""
	for line := range strings.Lines(page) {
		line = strings.TrimSuffix(line, "\n")
		if strings.HasPrefix(line, ".Sh ") || strings.HasPrefix(line, ".Ss ") {
			if section == ".Sh DESCRIPTION" {
				always = common
			}
			section, item, common = line, nil, nil
			continue
		}
		if m := manCommand.FindStringSubmatch(line); m != nil {
			if item == nil || item.said {
				items = append(items, manItem{common: common})
				item = &items[len(items)-1]
			}
			item.commands = append(item.commands, m[1])
		} else if item != nil {
			item.said = true
		}
		var flags []string
		for _, m := range manFlag.FindAllStringSubmatch(line, -1) {
			flags = append(flags, m[1])
		}
		if item == nil {
			common = append(common, flags...)
			continue
		}
		item.flags = append(item.flags, flags...)
		for _, m := range manNamed.FindAllStringSubmatch(line, -1) {
			for name := range strings.SplitSeq(m[1], " , ") {
				item.named = append(item.named, strings.TrimSpace(name))
			}
		}
	}
	return items, always
}

// manualOf is what the manual says of flags: of each command, those that are said with it, with an item that names it, or that it names.
func manualOf(items []manItem) (told map[string]map[string]bool) {
	told = map[string]map[string]bool{}
	add := func(commands, flags []string) {
		for _, name := range commands {
			if told[name] == nil {
				told[name] = map[string]bool{}
			}
			for _, f := range flags {
				told[name][f] = true
			}
		}
	}
	for _, item := range items {
		add(item.commands, append(item.flags, item.common...))
		add(item.named, item.flags)
		for _, other := range items {
			if slices.ContainsFunc(other.commands, func(name string) bool { return slices.Contains(item.named, name) }) {
				add(item.commands, other.flags)
			}
		}
	}
	return told
}

func flagNames(node *kong.Node) (names []string) {
	for _, group := range node.AllFlags(true) {
		for _, f := range group {
			names = append(names, f.Name)
		}
	}
	slices.Sort(names)
	return names
}

// TestManHelpAndCompletionAgree holds what is told of every command and flag against the command line, both ways: by
// --help, by mailstead(1), and by what a shell offers at Tab.
func TestManHelpAndCompletionAgree(t *testing.T) {
	page := readPaper(t, "man/mailstead.1")
	parser, said := helpingParser(t)
	help := func(words []string) string {
		said.Reset()
		_, _ = parser.Parse(append(slices.Clone(words), "--help")) // what else is missing does not matter
		return said.String()
	}
	root := parser.Model.Node
	commands := leaves(root, nil)
	items, always := manItems(page)
	told := manualOf(items)
	for name, node := range commands {
		flags := flagNames(node)
		if told[name] == nil {
			t.Errorf("the manual does not have %q", name)
		}
		for _, f := range flags {
			if !told[name][f] && !slices.Contains(always, f) {
				t.Errorf("the manual says nothing of %s --%s", name, f)
			}
		}
		words := strings.Fields(name)
		if inHelp := helpFlags(t, name, help(words)); !slices.Equal(inHelp, flags) {
			t.Errorf("%s --help tells of %v, not of %v", name, inHelp, flags)
		}
		offered := completed(t, root, append(slices.Clone(words), "--")...)
		for i, o := range offered {
			offered[i] = strings.TrimPrefix(o, "--")
		}
		if slices.Sort(offered); !slices.Equal(offered, flags) {
			t.Errorf("shells offer %v after %s, not %v", offered, name, flags)
		}
	}
	for _, item := range items {
		itemAgrees(t, item, commands)
	}
	for _, m := range manFlag.FindAllStringSubmatch(page, -1) {
		if !slices.ContainsFunc(slices.Collect(maps.Values(commands)), func(n *kong.Node) bool { return slices.Contains(flagNames(n), m[1]) }) {
			t.Errorf("no command has the flag --%s", m[1])
		}
	}
	for code := range exitWould + 1 {
		if !strings.Contains(page, fmt.Sprintf("\n.It %d\n", code)) {
			t.Errorf("the exit status %d is missing", code)
		}
	}
	groupsAgree(t, root, nil, help)
}

// helpFlags are those that a command's --help tells of. Each has to have a word of explanation.
func helpFlags(t *testing.T, name, said string) (flags []string) {
	t.Helper()
	_, said, _ = strings.Cut(said, "\nFlags:\n")
	lines := helpFlag.FindAllStringSubmatchIndex(said, -1)
	for i, m := range lines {
		flag, end := said[m[2]:m[3]], len(said)
		if i+1 < len(lines) {
			end = lines[i+1][0]
		}
		if len(strings.Fields(said[m[3]:end])) < 2 {
			t.Errorf("%s --help does not explain --%s", name, flag)
		}
		flags = append(flags, flag)
	}
	slices.Sort(flags)
	return flags
}

// itemAgrees looks whether what an item of the manual names is there.
func itemAgrees(t *testing.T, item manItem, commands map[string]*kong.Node) {
	t.Helper()
	var flags []string
	for _, name := range item.commands {
		if commands[name] == nil {
			t.Errorf("the manual has %q, which is no command", name)
			continue
		}
		flags = append(flags, flagNames(commands[name])...)
	}
	for _, name := range item.named {
		if node := commands[name]; node != nil {
			flags = append(flags, flagNames(node)...)
		}
	}
	for _, f := range item.flags {
		if !slices.Contains(flags, f) {
			t.Errorf("the manual says of %v that there is --%s", item.commands, f)
		}
	}
}

// groupsAgree looks whether shells offer just the commands that there are, and --help names them.
func groupsAgree(t *testing.T, node *kong.Node, words []string, help func([]string) string) {
	t.Helper()
	var want []string
	for _, child := range node.Children {
		if child.Hidden {
			continue
		}
		want = append(want, child.Name)
		groupsAgree(t, child, append(slices.Clone(words), child.Name), help)
	}
	if len(want) == 0 {
		return
	}
	if got := completed(t, node, ""); !slices.Equal(got, want) {
		t.Errorf("after %v shells offer %v, not %v", words, got, want)
	}
	said := help(words)
	for _, name := range want {
		if !regexp.MustCompile(`(?m)^  (?:[a-z-]+ )*` + name + `\b`).MatchString(said) {
			t.Errorf("%v --help does not name %s", words, name)
		}
	}
}

// TestManPagesAreWellFormed looks for slips that make a page unreadable: a
// list that is not ended, an unknown macro.
func TestManPagesAreWellFormed(t *testing.T) {
	pages, err := filepath.Glob(filepath.Join(houseRoot, "docs", "man", "*.[15]"))
	if err != nil || len(pages) != 2 {
		t.Fatalf("pages %v, %v", pages, err)
	}
	for _, page := range pages {
		text := readPaper(t, "man/"+filepath.Base(page))
		count := map[string]int{}
		for n, line := range strings.Split(text, "\n") {
			if !strings.HasPrefix(line, ".") {
				continue
			}
			macro, _, _ := strings.Cut(line[1:], " ")
			count[macro]++
			if !slices.Contains(macros, macro) {
				t.Errorf("%s:%d: unknown macro: %s", page, n+1, line)
			}
		}
		if count["Bl"] != count["El"] || count["Bd"] != count["Ed"] {
			t.Errorf("%s: a list or a display has no end: %v", page, count)
		}
	}
}

// macros are those of mdoc(7) that the pages use.
var macros = strings.Fields("Dd Dt Os Sh Ss Nm Nd Op Cm Ar Fl Pp Bl It El Bd Ed Pa Dq Xr Ql Ic Ev Sx")
