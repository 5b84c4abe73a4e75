// Package tomlfile reads TOML files that people write, and says what is wrong with them by line and column: what is no TOML,
// keys that nobody knows, and values that the reader of the file refuses.
package tomlfile

import (
	"cmp"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"
)

// Fault is something wrong in a TOML file. Line and column, both from 1 and in octets, are 0 where it is in no line: what is missing.
type Fault struct {
	Line    int    `json:"line,omitempty"`
	Column  int    `json:"column,omitempty"`
	Setting string `json:"setting,omitempty"` // its name, "" where the file is no TOML
	Text    string `json:"text"`
	Hint    string `json:"hint,omitempty"`
	Warning bool   `json:"warning"` // the server starts all the same

	Index int `json:"-"` // of the value in a list, -1 for the whole
}

// String is the fault in one line, without the name of the file.
func (f Fault) String() string {
	text := f.Text
	if f.Hint != "" {
		text += "; " + f.Hint
	}
	if f.Line == 0 {
		return text
	}
	return fmt.Sprintf("line %d, column %d: %s", f.Line, f.Column, text)
}

// Faults are all that is wrong with a file.
type Faults []Fault

// Error has a line for each fault.
func (all Faults) Error() string {
	var lines []string
	for _, f := range all {
		lines = append(lines, f.String())
	}
	return strings.Join(lines, "\n")
}

// Decode reads data into a struct, or says what keys and values there are in it that do not fit. What is unknown does not
// hide what else is wrong: filled says that into has the values of the file.
func Decode(data []byte, into any, suggest func(name string) string) (all Faults, filled bool) {
	err := toml.Unmarshal(data, into)
	if at, ok := errors.AsType[*toml.DecodeError](err); ok {
		return Faults{decodeFault(at)}, false
	}
	if err != nil {
		return Faults{{Text: err.Error(), Index: -1}}, false
	}
	again := reflect.New(reflect.TypeOf(into).Elem()).Interface()
	err = toml.NewDecoder(strings.NewReader(string(data))).DisallowUnknownFields().Decode(again)
	strict, ok := errors.AsType[*toml.StrictMissingError](err)
	if !ok {
		return nil, true
	}
	places := Places(data)
	for i := range strict.Errors {
		e := &strict.Errors[i]
		f := decodeFault(e)
		if at, ok := places[f.Setting]; ok { // of the key, also where it is a table with all that is in it
			f.Line, f.Column = at.Line, at.Column
		}
		f.Text = "unknown setting " + f.Setting
		if guess := suggest(f.Setting); guess != "" {
			f.Hint = fmt.Sprintf("did you mean %s?", guess)
		}
		all = append(all, f)
	}
	return all, true
}

func decodeFault(e *toml.DecodeError) Fault {
	f := Fault{Setting: JoinKey(e.Key()), Text: strings.TrimPrefix(e.Error(), "toml: "), Index: -1}
	f.Line, f.Column = e.Position()
	f.Text = plainTypes(f.Text)
	if f.Setting != "" {
		f.Text = f.Setting + ": " + f.Text
	}
	return f
}

// plainTypes says in words of TOML what the library says in words of Go.
func plainTypes(text string) string {
	if what, _, ok := strings.Cut(strings.TrimPrefix(text, "cannot decode TOML "), " into"); ok && what != text && !strings.Contains(what, "cannot") {
		return "the value cannot be a TOML " + what
	}
	return text
}

// JoinKey is a name with dots between its parts; those that are no bare keys are quoted.
func JoinKey(parts []string) string {
	var quotedParts []string
	for _, p := range parts {
		if p == "" || strings.ContainsFunc(p, func(r rune) bool {
			return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_')
		}) {
			p = Quote(p)
		}
		quotedParts = append(quotedParts, p)
	}
	return strings.Join(quotedParts, ".")
}

// Place is where something stands in a file, both from 1.
type Place struct{ Line, Column int }

// ItemName is the name of a value of a list among the places.
func ItemName(name string, index int) string { return name + "[" + strconv.Itoa(index) + "]" }

// Places gives where each key stands in a TOML text that can be read, and each value of a list.
func Places(data []byte) map[string]Place {
	finder := &placeFinder{places: map[string]Place{}, lines: lineStarts(data)}
	finder.parser.Reset(data)
	var table []string
	for finder.parser.NextExpression() {
		switch e := finder.parser.Expression(); e.Kind {
		case unstable.Table, unstable.ArrayTable:
			table = finder.key(nil, e)
		case unstable.KeyValue:
			finder.value(finder.key(table, e), e.Value(), 0)
		}
	}
	return finder.places
}

type placeFinder struct {
	parser unstable.Parser
	places map[string]Place
	lines  []int // offsets at which lines begin
}

func lineStarts(data []byte) []int {
	starts := []int{0}
	for i, c := range data {
		if c == '\n' {
			starts = append(starts, i+1)
		}
	}
	return starts
}

func (p *placeFinder) at(offset int) Place {
	line, found := slices.BinarySearch(p.lines, offset)
	if !found {
		line--
	}
	return Place{line + 1, offset - p.lines[line] + 1}
}

// note keeps the first place of a name: a table is where it is mentioned first.
func (p *placeFinder) note(name string, r unstable.Range) {
	if _, ok := p.places[name]; !ok {
		p.places[name] = p.at(int(r.Offset))
	}
}

// key notes the parts of a key below a table, and gives the whole.
func (p *placeFinder) key(table []string, e *unstable.Node) []string {
	name := slices.Clone(table)
	for parts := e.Key(); parts.Next(); {
		name = append(name, string(parts.Node().Data))
		p.note(JoinKey(name), parts.Node().Raw)
	}
	return name
}

// maxPlaceDepth bounds how deep lists and tables within values are looked into: no setting is deeper than three.
const maxPlaceDepth = 8

// value notes what is in a value.
func (p *placeFinder) value(name []string, v *unstable.Node, depth int) {
	if depth > maxPlaceDepth {
		return
	}
	switch v.Kind {
	case unstable.InlineTable:
		for all := v.Children(); all.Next(); {
			if e := all.Node(); e.Kind == unstable.KeyValue {
				p.value(p.key(name, e), e.Value(), depth+1)
			}
		}
	case unstable.Array:
		i := 0
		for all := v.Children(); all.Next(); {
			if e := all.Node(); e.Kind != unstable.Comment {
				if e.Raw.Length > 0 {
					p.note(ItemName(JoinKey(name), i), e.Raw)
				}
				i++
			}
		}
	}
}

// Locate fills in where in data the settings stand that the faults are of.
func (all Faults) Locate(data []byte) {
	places := Places(data)
	for i := range all {
		f := &all[i]
		if f.Line != 0 {
			continue
		}
		at, ok := places[f.Setting]
		if item, found := places[ItemName(f.Setting, f.Index)]; found && f.Index >= 0 {
			at, ok = item, true
		}
		if ok {
			f.Line, f.Column = at.Line, at.Column
		}
	}
}

// InOrder puts faults as they stand in the file, what is missing first.
func (all Faults) InOrder() Faults {
	slices.SortStableFunc(all, func(a, b Fault) int { return cmp.Or(a.Line-b.Line, a.Column-b.Column) })
	return all
}
