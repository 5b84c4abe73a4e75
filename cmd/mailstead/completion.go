package main

import (
	"context"
	"embed"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/alecthomas/kong"
)

// completions are what shells read: each has `mailstead complete` asked at every Tab, so none knows a command itself.
//
//go:embed completions
var completions embed.FS

// completionCommand is `mailstead completion`.
type completionCommand struct {
	Shell string `arg:"" enum:"bash,zsh,fish" help:"bash, zsh or fish."`
}

func (c completionCommand) Run(std streams) error {
	text, err := completions.ReadFile("completions/mailstead." + c.Shell)
	if err != nil {
		return err
	}
	_, err = std.out.Write(text)
	return err
}

// completeCommand is `mailstead complete`, which shells run.
type completeCommand struct {
	Words []string `arg:"" optional:"" passthrough:"" help:"The words of the command line so far, the last one being what is completed."`
}

func (c completeCommand) Run(ctx context.Context, parser *kong.Kong, std streams) error {
	words := c.Words
	if len(words) > 0 && words[0] == "--" {
		words = words[1:]
	}
	if len(words) == 0 {
		words = []string{""}
	}
	return newCompletion(parser.Model.Node, words).print(ctx, std.out)
}

// anyFile is what stands for all names of files: shells know them better.
const anyFile = ":files"

// candidate is what a word can become, with what it is.
type candidate struct{ text, help string }

// completion is a command line that somebody is in the middle of.
type completion struct {
	node   *kong.Node // the command so far
	value  *kong.Value
	prefix string // in front of the value, in the same word: --flag=
	word   string // what is there of it
	place  place
}

// newCompletion follows the words as far as they go. What it does not know it passes over.
func newCompletion(root *kong.Node, words []string) *completion {
	c := &completion{node: root, word: words[len(words)-1]}
	given := 0 // of the command's arguments
	for i := 0; i < len(words)-1; i++ {
		word := words[i]
		if child(c.node, word) == nil {
			c.implied()
		}
		switch next := child(c.node, word); {
		case strings.HasPrefix(word, "-"):
			name, value, whole := strings.Cut(word, "=")
			f := c.flag(name)
			if f == nil || whole || f.IsBool() {
				c.note(f, value)
				continue
			}
			i++
			if i == len(words)-1 {
				c.value = f.Value
				return c
			}
			c.note(f, words[i])
		case next != nil:
			c.node, given = next, 0
		default:
			given++
		}
	}
	if strings.HasPrefix(c.word, "-") {
		c.implied()
	}
	if name, value, ok := strings.Cut(c.word, "="); ok && c.flag(name) != nil {
		c.value, c.prefix, c.word = c.flag(name).Value, name+"=", value
		return c
	}
	if args := c.node.Positional; len(args) > 0 && !strings.HasPrefix(c.word, "-") {
		c.value = args[min(given, len(args)-1)]
		if given >= len(args) && !c.value.IsCumulative() {
			c.value = nil
		}
	}
	return c
}

// implied goes on to the command of a group that may be left out: import means import files.
func (c *completion) implied() {
	if c.node.DefaultCmd != nil {
		c.node = c.node.DefaultCmd
	}
}

func child(n *kong.Node, word string) *kong.Node {
	for _, v := range n.Children {
		if v.Name == word {
			return v
		}
	}
	return nil
}

// flags are those that can be given here.
func (c *completion) flags() (all []*kong.Flag) {
	for _, group := range c.node.AllFlags(true) {
		all = append(all, group...)
	}
	return all
}

func (c *completion) flag(name string) *kong.Flag {
	for _, f := range c.flags() {
		if "--"+f.Name == name {
			return f
		}
	}
	return nil
}

// note remembers whose server the line is about.
func (c *completion) note(f *kong.Flag, value string) {
	switch {
	case f == nil:
	case f.Name == "dir":
		c.place.Dir = value
	case f.Name == "config":
		c.place.Config = value
	}
}

// print writes what the word can become, a line each, with a tab and what it is.
func (c *completion) print(ctx context.Context, out io.Writer) error {
	list, files := c.candidates(ctx)
	if files {
		_, err := fmt.Fprintln(out, anyFile)
		return err
	}
	for _, v := range list {
		if !strings.HasPrefix(v.text, c.word) {
			continue
		}
		if _, err := fmt.Fprintln(out, strings.TrimRight(c.prefix+v.text+"\t"+v.help, "\t")); err != nil {
			return err
		}
	}
	return nil
}

// candidates are what can stand there, or that any file can.
func (c *completion) candidates(ctx context.Context) (list []candidate, files bool) {
	if c.value != nil {
		return c.values(ctx)
	}
	if strings.HasPrefix(c.word, "-") {
		for _, f := range c.flags() {
			if !f.Hidden {
				list = append(list, candidate{"--" + f.Name, f.Help})
			}
		}
		return list, false
	}
	for _, v := range c.node.Children {
		if !v.Hidden {
			list = append(list, candidate{v.Name, v.Help})
		}
	}
	return list, false
}

// values are those that are known of a flag or an argument.
func (c *completion) values(ctx context.Context) (list []candidate, files bool) {
	switch v := c.value; {
	case v.Enum != "":
		for _, text := range v.EnumSlice() {
			list = append(list, candidate{text: text})
		}
	case v.Tag.Type == "path":
		return nil, true
	case v.Name == "key":
		for _, k := range settingTable() {
			list = append(list, candidate{text: k.name})
		}
	default:
		list = c.names(ctx, listedBy[v.Name])
	}
	return list, false
}

// listedBy are the actions that list what an argument can be, by its name.
var listedBy = map[string]string{"account": "account list", "address": "account list", "domain": "domain list", "alias": "alias list"}

// completionPatience is how long the server has to name what there is: somebody has pressed Tab.
const completionPatience = 500 * time.Millisecond

// names asks the running server, and is nothing where there is none or it does not say: opening the store for a Tab
// would hold up the server's start.
func (c *completion) names(ctx context.Context, action string) (list []candidate) {
	s, err := c.place.settings()
	if action == "" || err != nil {
		return nil
	}
	ctx, stop := context.WithTimeout(ctx, completionPatience)
	defer stop()
	answer, err := ask(ctx, s.Dir, request{Action: action, Params: json.RawMessage("{}")}, unheard)
	if err != nil || answer.Failure != nil {
		return nil
	}
	var all []struct {
		Name    string `json:"name"`
		Address string `json:"address"`
	}
	if json.Unmarshal(answer.Result, &all) != nil {
		return nil
	}
	for _, v := range all {
		list = append(list, candidate{text: v.Name + v.Address})
	}
	slices.SortFunc(list, func(a, b candidate) int { return strings.Compare(a.text, b.text) })
	return list
}
