package main

import (
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"mailstead/cmd/internal/tomlfile"
)

var writeMan = flag.Bool("write-man", false, "write the settings of settingTable into docs/man/mailstead.toml.5")

// TestManHasEverySetting: the settings in mailstead.toml(5) are those of settingTable, word for word.
func TestManHasEverySetting(t *testing.T) {
	page := readPaper(t, "man/mailstead.toml.5")
	from, to := strings.Index(page, ".Bl -tag -width Ds\n"), strings.Index(page, ".Sh FILES\n")
	if from < 0 || to < from {
		t.Fatal("the page has no list of settings before its FILES")
	}
	want := page[:from] + mdocSettings() + page[to:]
	if page == want {
		return
	}
	if *writeMan {
		if err := os.WriteFile(filepath.Join(houseRoot, "docs", "man", "mailstead.toml.5"), []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	t.Errorf("the page is not what settingTable says; go test ./cmd/mailstead -run TestManHasEverySetting -write-man writes it:\n%s", firstDifference(page[from:], mdocSettings()))
}

// firstDifference is the first line in which two texts differ.
func firstDifference(a, b string) string {
	x, y := strings.Split(a, "\n"), strings.Split(b, "\n")
	for i := range min(len(x), len(y)) {
		if x[i] != y[i] {
			return "-" + x[i] + "\n+" + y[i]
		}
	}
	return "one is longer"
}

// mdocSettings are the lists of settings in mdoc(7).
func mdocSettings() string {
	var b strings.Builder
	table := ""
	b.WriteString(".Bl -tag -width Ds\n")
	for _, k := range settingTable() {
		if in, _, ok := strings.Cut(k.name, "."); ok && in != table {
			table = in
			b.WriteString(".El\n.Pp\nThe table\n.Ic " + table + "\n" + mdocText(tableDoc[table]) + ".Bl -tag -width Ds\n")
		}
		b.WriteString(".It Ic " + lastPart(k.name) + " No = Ar " + k.kind + "\n")
		if k.doc == "" {
			continue // shares its text with the next
		}
		b.WriteString(mdocText(k.doc))
		if k.name == "hostname" {
			b.WriteString("Required.\n")
		} else {
			b.WriteString(mdocText("Default: " + k.initial() + "."))
		}
		if k.fixed {
			b.WriteString("A change counts when the server is started anew.\n")
		}
	}
	b.WriteString(".El\n")
	return b.String()
}

// mdocText writes a text of settingTable in mdoc(7): a sentence to a line, what stands between ticks by a macro of its own.
func mdocText(doc string) string {
	var b strings.Builder
	for line := range strings.Lines(doc + "\n") {
		for i, part := range strings.Split(strings.TrimSpace(line), "`") {
			part = strings.TrimSpace(part)
			switch {
			case part == "":
			case i%2 == 1:
				b.WriteString(mdocWord(part))
			case i > 0 && strings.Contains(".,:;", part[:1]): // belongs to the macro before it
				text := strings.TrimSuffix(b.String(), "\n")
				b.Reset()
				b.WriteString(text + " " + part[:1] + "\n" + mdocPlain(strings.TrimSpace(part[1:])))
			default:
				b.WriteString(mdocPlain(part))
			}
		}
	}
	return b.String()
}

// mdocWord is what stands between ticks: a setting, a command, or something else as it is written.
func mdocWord(word string) string {
	if _, ok := findSetting(word); ok {
		return ".Ic " + word + "\n"
	}
	if strings.Contains(word, " ") {
		return ".Cm " + word + "\n"
	}
	return ".Ql " + word + "\n"
}

// mdocPlain is a text with its references to other pages.
func mdocPlain(text string) string {
	var b, line strings.Builder
	end := func() {
		if line.Len() > 0 {
			b.WriteString(line.String() + "\n")
			line.Reset()
		}
	}
	for _, word := range strings.Fields(text) {
		if name, section, ok := strings.Cut(word, "("); ok && name != "" && len(section) >= 2 && section[1] == ')' {
			end()
			b.WriteString(strings.TrimRight(".Xr "+name+" "+section[:1]+" "+section[2:], " ") + "\n")
			continue
		}
		if line.Len() > 0 {
			line.WriteByte(' ')
		}
		line.WriteString(word)
	}
	end()
	return b.String()
}

// TestSettingTable: every field that the file can set is in the table, once, with all that is said of a setting, and an example
// that can be used.
func TestSettingTable(t *testing.T) {
	var fields []string
	var look func(prefix string, of reflect.Type)
	look = func(prefix string, of reflect.Type) {
		for i := range of.NumField() {
			f := of.Field(i)
			name := f.Tag.Get("toml")
			switch {
			case name == "":
			case f.Type.Kind() == reflect.Struct:
				look(prefix+name+".", f.Type)
				if tableDoc[name] == "" {
					t.Errorf("nothing is said of the table %s", name)
				}
			default:
				fields = append(fields, prefix+name)
			}
		}
	}
	look("", reflect.TypeFor[settings]())
	var names []string
	for _, k := range settingTable() {
		names = append(names, k.name)
		if k.kind == "" || k.about() == "" {
			t.Errorf("%s: its kind or text is missing: %+v", k.name, k)
		}
		head := ""
		if table, _, ok := strings.Cut(k.name, "."); ok {
			head = "[" + table + "]\n"
		}
		text := head + k.example + "\n"
		s, all := parseSettings([]byte(text))
		for _, f := range all {
			if f.Setting == k.name && !strings.Contains(f.Text, "belong together") && !strings.Contains(f.Text, " is for ") {
				t.Errorf("the example %q: %v", k.example, f)
			}
		}
		if _, ok := tomlfile.Places([]byte(text))[k.name]; !ok {
			t.Errorf("the example %q is of another setting than %s", k.example, k.name)
		}
		again, all := parseSettings([]byte(head + lastPart(k.name) + " = " + k.text(&s) + "\n"))
		if slices.ContainsFunc(all, func(f tomlfile.Fault) bool { return strings.Contains(f.Text, "toml") }) || k.text(&again) != k.text(&s) {
			t.Errorf("%s: written as %s, read as %s, %v", k.name, k.text(&s), k.text(&again), all)
		}
	}
	slices.Sort(names)
	slices.Sort(fields)
	if !slices.Equal(names, fields) {
		t.Errorf("the table has  %q\nthe fields are %q", names, fields)
	}
}

func TestNearest(t *testing.T) {
	for name, want := range map[string]string{
		"resolver": "resolvers", "hostnmae": "hostname", "listen.smpt": "listen.smtp", "smtp": "listen.smtp", "strangers.greylist": "greylist",
		"network_share": "strangers.network_share", "x": "", "completely.different": "", "": "", strings.Repeat("resolvers", 100): "",
	} {
		if got := nearest(name); got != want {
			t.Errorf("%.40q: %q, want %q", name, got, want)
		}
	}
}

// TestFaultPlaces: what is wrong is told by where it stands, all of it at once.
func TestFaultPlaces(t *testing.T) {
	for _, c := range []struct {
		name, text string
		want       []string
	}{
		{"values", "hostname = \"a.test\"\nmx_port = 0\n  retention_days = -1\n", []string{"line 2, column 1: mx_port must be 1 to 65535", "line 3, column 3: retention_days must be 0 to 3650"}},
		{"one of a list", "hostname = \"a.test\"\nresolvers = [\"192.0.2.1:53\",\n\t\"x\"] # comment\n", []string{`line 3, column 2: resolvers: "x" is not IP:PORT`}},
		{"behind a comment in a list", "hostname = \"a.test\"\nresolvers = [ # one\n# two\n \"x\"]\n", []string{`line 4, column 2: resolvers: "x" is not IP:PORT`}},
		{"in a table", "hostname = \"a.test\"\n[listen]\nsmtp = [\":25\", \"x\"]", []string{`line 3, column 16: listen.smtp: "x" is not HOST:PORT`}},
		{"in a table of one line", "hostname = \"a.test\"\nlisten = { smtp = [\"x\"] }", []string{`line 2, column 20: listen.smtp: "x" is not HOST:PORT`}},
		{"with dots", "hostname = \"a.test\"\nstrangers.hourly_errors = 0", []string{"line 2, column 11: strangers.hourly_errors must be 1 to 1000000"}},
		{"what is unknown, too", "mx_prot = 1\nmta_sts = 'x'\n[nothing]\nx = 1", []string{
			"hostname must be set to the server's own name, like mail.example.org",
			"line 1, column 1: unknown setting mx_prot; did you mean mx_port?", "line 2, column 1: mta_sts must be testing, enforce or none", "line 3, column 2: unknown setting nothing",
		}},
		{"a wrong kind", "hostname = \"a.test\"\ngreylist = \"yes\"", []string{"line 2, column 12: greylist: the value cannot be a TOML string"}},
		{"no TOML", "hostname = \"a.test\"\ngreylist == true", []string{"line 2, column 11: unexpected character U+003D '=' at start of value"}},
		{"twice", "hostname = \"a.test\"\nhostname = \"b.test\"", []string{"line 2, column 1: hostname: key hostname is already defined"}},
		{"after letters of several octets", "hostname = \"a.test\"\nadmin = \"mailto:é\"\noverrides = { \"é.test\" = \"x\" }", []string{`line 3, column 1: overrides: not an override: the action for xn--9ca.test must be accept, junk or refuse`}},
	} {
		_, all := parseSettings([]byte(c.text))
		var got []string
		for _, f := range all {
			got = append(got, f.String())
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s:\n%q\nwant\n%q", c.name, got, c.want)
		}
	}
}
