package setup

import (
	_ "embed"
	"path/filepath"
	"strings"
)

// UnitName is what systemd calls the service.
const UnitName = "mailstead.service"

// unit is the service for everything at its usual place.
//
//go:embed mailstead.service
var unit string

// What of the unit differs with where things are.
const (
	usualProgram = "/usr/local/bin/mailstead"
	usualConfig  = "/etc/mailstead/mailstead.toml"
	usualDir     = "/var/lib/mailstead"
	usualUser    = "mailstead"
)

// Places are where a server is on a machine.
type Places struct {
	Program string // the binary that the service starts
	Config  string // its configuration file
	Dir     string // the folder of all that it keeps
	User    string // whom it runs as, with a group of the same name
}

// UsualPlaces are those of a server that nobody has put elsewhere.
func UsualPlaces() Places { return Places{usualProgram, usualConfig, usualDir, usualUser} }

// Unit is the text of the systemd service for a server at p.
func Unit(p Places) string {
	text := strings.NewReplacer(
		"ExecStart="+usualProgram+" ", "ExecStart="+unitWord(p.Program)+" ",
		"--config "+usualConfig+"\n", "--config "+unitWord(p.Config)+"\n",
		"User="+usualUser+"\n", "User="+p.User+"\n",
		"Group="+usualUser+"\n", "Group="+p.User+"\n",
	).Replace(unit)
	if filepath.Clean(p.Dir) == usualDir {
		return text
	}
	text = strings.Replace(text, "StateDirectory=mailstead\nStateDirectoryMode=0700\n", "ReadWritePaths="+unitWord(p.Dir)+"\n", 1)
	if within(p.Dir, "/home") || within(p.Dir, "/root") || within(p.Config, "/home") || within(p.Config, "/root") {
		text = strings.Replace(text, "ProtectHome=yes\n", "ProtectHome=no\n", 1)
	}
	return text
}

// unitWord writes a word of a unit (systemd.syntax(7), systemd.unit(5) "Specifiers").
func unitWord(s string) string {
	s = strings.ReplaceAll(s, "%", "%%")
	if !strings.ContainsAny(s, " \t\"'\\$;") {
		return s
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "$", "$$").Replace(s) + `"`
}

// within tells whether a file is a folder or below it.
func within(name, folder string) bool {
	return name == folder || strings.HasPrefix(name, folder+"/")
}
