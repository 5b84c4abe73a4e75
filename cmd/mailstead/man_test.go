package main

import (
	"fmt"
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
	manCommand = regexp.MustCompile(`(?m)^\.It Cm ([a-z -]+?)(?: (?:Ar|Op) .*)?$`)
	manFlag    = regexp.MustCompile(`Fl -([a-z-]+)`)
)

// TestManHasEveryCommandAndFlag holds mailstead(1) against the command line, both ways.
func TestManHasEveryCommandAndFlag(t *testing.T) {
	page, model := readPaper(t, "man/mailstead.1"), commandModel(t)
	var inPage []string
	for _, m := range manCommand.FindAllStringSubmatch(page, -1) {
		inPage = append(inPage, m[1])
	}
	flags := map[string]bool{}
	note := func(list []*kong.Flag) {
		for _, f := range list {
			flags[f.Name] = true
		}
	}
	note(model.Flags)
	commands := leaves(model.Node, nil)
	for name, node := range commands {
		if !slices.Contains(inPage, name) {
			t.Errorf("the command %q is missing", name)
		}
		note(node.Flags)
	}
	for _, name := range inPage {
		if commands[name] == nil {
			t.Errorf("there is no command %q", name)
		}
	}
	documented := map[string]bool{}
	for _, m := range manFlag.FindAllStringSubmatch(page, -1) {
		documented[m[1]] = true
		if !flags[m[1]] {
			t.Errorf("there is no flag --%s", m[1])
		}
	}
	for name := range flags {
		if !documented[name] {
			t.Errorf("the flag --%s is missing", name)
		}
	}
	for code := range 5 {
		if !strings.Contains(page, fmt.Sprintf("\n.It %d\n", code)) {
			t.Errorf("the exit status %d is missing", code)
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
