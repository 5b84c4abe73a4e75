package main

import (
	"cmp"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"mailstead/cmd/internal/tomlfile"
)

// setting is one key of the configuration file. settingTable has all of them: what `config explain` prints, what is checked, and
// what mailstead.toml(5) says come from there.
type setting struct {
	name string // in the table listen: listen.smtp
	kind string // of the value, for people
	// doc is what it does, a sentence to a line, with `words` as they are written in files and on command lines. "" = that of
	// the next setting.
	doc string
	// none is what a default of nothing means.
	none    string
	example string // of the whole line
	// fixed settings are read at the start only; what the others are takes effect when the file is read again.
	fixed bool
	// check says what is wrong with the value, nil for nothing; an itemError where it is one of a list.
	check func(*settings) error
}

// itemError is what is wrong with one value of a list.
type itemError struct {
	index int
	err   error
}

func (e *itemError) Error() string { return e.err.Error() }
func (e *itemError) Unwrap() error { return e.err }

// findSetting gives the setting of a name.
func findSetting(name string) (setting, bool) {
	for _, k := range settingTable() {
		if k.name == name {
			return k, true
		}
	}
	return setting{}, false
}

// value is what the setting is in s.
func (k setting) value(s *settings) reflect.Value {
	v := reflect.ValueOf(s).Elem()
	for _, part := range strings.Split(k.name, ".") {
		t := v.Type()
		for i := range t.NumField() {
			if t.Field(i).Tag.Get("toml") == part {
				v = v.Field(i)
				break
			}
		}
	}
	return v
}

// text is the value as it is written in the file.
func (k setting) text(s *settings) string { return textOf(k.value(s)) }

// textOf writes a value as TOML does.
func textOf(v reflect.Value) string {
	switch v.Kind() {
	case reflect.String:
		return tomlfile.Quote(v.String())
	case reflect.Slice:
		var parts []string
		for i := range v.Len() {
			parts = append(parts, textOf(v.Index(i)))
		}
		return "[" + strings.Join(parts, ", ") + "]"
	case reflect.Map:
		var parts []string
		names := v.MapKeys()
		slices.SortFunc(names, func(a, b reflect.Value) int { return strings.Compare(a.String(), b.String()) })
		for _, name := range names {
			parts = append(parts, tomlfile.Quote(name.String())+" = "+textOf(v.MapIndex(name)))
		}
		return strings.TrimSpace("{ "+strings.Join(parts, ", ")) + " }"
	}
	return fmt.Sprint(v)
}

// initial is the default, for people.
func (k setting) initial() string {
	d := defaultSettings()
	v := k.value(&d)
	switch {
	case k.name == "hostname":
		return "none; it is required"
	case v.Kind() == reflect.String && v.Len() == 0:
		return `"", ` + cmp.Or(k.none, "none")
	case (v.Kind() == reflect.Slice || v.Kind() == reflect.Map) && v.Len() == 0:
		return cmp.Or(k.none, "none")
	}
	return k.text(&d)
}

// takesEffect says when a change of the setting counts.
func (k setting) takesEffect() string {
	if k.fixed {
		return "count when the server is started anew"
	}
	return "count with `mailstead reload`, for connections made from then on"
}

// checkAll checks every setting, in the order of the table.
func (s *settings) checkAll() (all []tomlfile.Fault) {
	for _, k := range settingTable() {
		if k.check == nil {
			continue
		}
		err := k.check(s)
		if err == nil {
			continue
		}
		f := tomlfile.Fault{Setting: k.name, Text: err.Error(), Index: -1}
		if item, ok := errors.AsType[*itemError](err); ok {
			f.Index = item.index
		}
		all = append(all, f)
	}
	return all
}

// check says what is wrong with the settings, wherever they come from.
func (s *settings) check() error {
	var errs []error
	for _, f := range s.checkAll() {
		errs = append(errs, errors.New(f.Text))
	}
	return errors.Join(errs...)
}

// nearest is the name of a setting that somebody may have meant, "" for none: in any table, as a setting is often put into the wrong
// one.
func nearest(name string) string {
	best, distance := "", 1+min(len(name), tomlfile.MaxCompared)/3
	for _, k := range settingTable() {
		d := tomlfile.Distance(name, k.name)
		if last := lastPart(name); last == lastPart(k.name) {
			d = min(d, 1)
		}
		if d < distance {
			best, distance = k.name, d
		}
	}
	return best
}

func lastPart(name string) string { return name[strings.LastIndexByte(name, '.')+1:] }
