package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "mailstead"

// layers is the house from the roof to the ground. A package may import those
// of lower layers, never its own layer or one above. Test files are free of
// this rule: they try a package together with its neighbours.
var layers = [][]string{
	{"cmd/mailstead"},
	{"cmd/internal/check", "cmd/internal/declared", "cmd/internal/figures", "cmd/internal/setup", "cmd/internal/web", "smtp", "imap", "pop3"}, // fronts
	{"smtp/local", "smtp/remote", "smtp/keyring", "smtp/feedback"},                                                                            // couriers; signs, and is told what the queue has
	{"smtp/queue", "smtp/mailauth", "smtp/mtasts", "smtp/report", "mailbox/junk/training", "mailbox/transfer", "mailbox/backup"},
	{"mailbox/directory", "mailbox/junk", "smtp/route"}, // keep their state in mailbox; junk is pure
	{"mailbox/directory/loginlog", "imap/client"},
	{"mailbox"}, // storage
	{"cmd/internal/threshold", "cmd/internal/tomlfile", "cmd/internal/web/cms", "cmd/internal/web/qr", "imap/wire", "imap/deflate", "mailbox/directory/srs", "mailbox/log", "mailbox/message", "mailbox/search", "mailbox/sieve", "smtp/dns", "smtp/journal", "tls", "tls/serve", "tls/rfc2136"}, // leaves
}

// testPackages help tests, or are nothing but tests: only test files and each other import them.
var testPackages = []string{"imap/differential", "mailbox/log/disktest", "mailbox/log/logtest", "mailbox/mailboxtest", "smtp/dns/dnstest", "tls/acmetest"}

// strangers never meet, whatever their layers: a package at or below the first
// folder imports none at or below the second.
var strangers = [][2]string{
	{"mailbox", "smtp"}, // sieve's redirects come back as values, and smtp/local queues them
	{"imap", "smtp"},    // what is sent goes through submission
	{"pop3", "smtp"},
}

// doors says which of our packages, and the folders below cmd, may import
// something; sub-packages of the key have the same door unless they have one of
// their own. Where tests is set the rule binds test files, too.
var doors = map[string]struct {
	open  []string
	tests bool
}{
	"go.etcd.io/bbolt":                          {open: []string{"mailbox"}, tests: true},
	"github.com/pelletier/go-toml/v2":           {open: []string{"cmd"}},
	"github.com/alecthomas/kong":                {open: []string{"cmd"}},
	"github.com/miekg/dns":                      {open: []string{"smtp/dns", "smtp/dns/dnstest", "tls/rfc2136"}},
	"github.com/caddyserver/certmagic":          {open: []string{"cmd", "tls"}},
	"github.com/mholt/acmez":                    {open: []string{"tls"}},
	"github.com/libdns/libdns":                  {open: []string{"cmd", "tls", "tls/rfc2136"}},
	"go.uber.org/zap":                           {open: []string{"tls"}},
	module + "/tls":                             {open: []string{"cmd"}},
	module + "/tls/serve":                       {open: []string{"cmd", "smtp", "imap", "pop3"}},
	"github.com/emersion/go-imap/v2/imapclient": {open: []string{"mailbox/transfer"}},
	"github.com/emersion/go-imap/v2/imapserver": {},
	"github.com/emersion/go-msgauth":            {},
	"github.com/emersion/go-smtp":               {},
	"github.com/google/go-cmp":                  {},
	"go.uber.org/goleak":                        {},
}

// TestLayers holds every file of the module against the tables above.
func TestLayers(t *testing.T) {
	files, err := readHouse(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range violations(files) {
		t.Error(v)
	}
}

// sourceFile is what the rules want to know of a Go file.
type sourceFile struct {
	name    string // below the module's root, with slashes
	pkg     string // its folder
	test    bool
	imports []string
	inits   bool // has an init function
}

// readHouse parses all Go files below root: not through the go command, whose
// answers the test cache would not know to be old.
func readHouse(root string) ([]sourceFile, error) {
	var files []sourceFile
	err := eachSource(root, func(name, rel string) error {
		f, err := readSource(name, rel)
		files = append(files, f)
		return err
	})
	return files, err
}

// eachSource calls do with each Go file below root, as it is to be opened and
// as it is named from root.
func eachSource(root string, do func(name, rel string) error) error {
	return filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		if d.IsDir() {
			return skipFolder(name, rel)
		}
		if filepath.Ext(name) != ".go" {
			return nil
		}
		return do(name, filepath.ToSlash(rel))
	})
}

// skipFolder leaves out what the go command leaves out, and other modules.
func skipFolder(name, rel string) error {
	if rel == "." {
		return nil
	}
	base := filepath.Base(name)
	if base == "testdata" || strings.HasPrefix(base, ".") || strings.HasPrefix(base, "_") {
		return filepath.SkipDir
	}
	if _, err := os.Stat(filepath.Join(name, "go.mod")); err == nil {
		return filepath.SkipDir
	}
	return nil
}

func readSource(name, rel string) (sourceFile, error) {
	tree, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
	if err != nil {
		return sourceFile{}, err
	}
	f := sourceFile{name: rel, pkg: path.Dir(rel), test: strings.HasSuffix(rel, "_test.go")}
	for _, spec := range tree.Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return f, err
		}
		f.imports = append(f.imports, imported)
	}
	f.inits = slices.ContainsFunc(tree.Decls, func(d ast.Decl) bool {
		fn, ok := d.(*ast.FuncDecl)
		return ok && fn.Recv == nil && fn.Name.Name == "init"
	})
	return f, nil
}

// violations are the broken rules, in the order of the files.
func violations(files []sourceFile) []string {
	var out []string
	for _, f := range files {
		if layerOf(f.pkg) < 0 && !slices.Contains(testPackages, f.pkg) {
			out = append(out, fmt.Sprintf("%s: package %s has no place in the table of layers", f.name, f.pkg))
		}
		if f.inits {
			out = append(out, f.name+": has an init function; serve.go builds the parts and hands them down")
		}
		for _, imported := range f.imports {
			if reason := refused(f, imported); reason != "" {
				out = append(out, fmt.Sprintf("%s: imports %s: %s", f.name, imported, reason))
			}
		}
	}
	return out
}

// refused says why f may not import that, or nothing.
func refused(f sourceFile, imported string) string {
	if reason := refusedAtDoor(f, imported); reason != "" {
		return reason
	}
	ours, ok := strings.CutPrefix(imported, module+"/")
	if !ok || f.test {
		return ""
	}
	for _, s := range strangers {
		if within(f.pkg, s[0]) && within(ours, s[1]) {
			return fmt.Sprintf("%s does not know %s", s[0], s[1])
		}
	}
	switch {
	case slices.Contains(testPackages, f.pkg):
		return ""
	case slices.Contains(testPackages, ours):
		return "it is for tests only"
	case layerOf(f.pkg) >= layerOf(ours):
		return "it is not in a lower layer"
	}
	return ""
}

func refusedAtDoor(f sourceFile, imported string) string {
	best := ""
	for to := range doors {
		if within(imported, to) && len(to) > len(best) {
			best = to
		}
	}
	door, guarded := doors[best]
	if !guarded || f.test && !door.tests {
		return ""
	}
	for _, who := range door.open {
		if f.pkg == who || who == "cmd" && within(f.pkg, "cmd") {
			return ""
		}
	}
	if len(door.open) == 0 {
		return "it is for test files only"
	}
	return "only " + strings.Join(door.open, ", ") + " may"
}

// layerOf is the package's layer, counted from the roof, or -1.
func layerOf(pkg string) int {
	return slices.IndexFunc(layers, func(layer []string) bool { return slices.Contains(layer, pkg) })
}

// within says that the path is the folder or below it.
func within(p, folder string) bool {
	rest, ok := strings.CutPrefix(p, folder)
	return ok && (rest == "" || rest[0] == '/')
}

// TestLayersSeesViolations builds houses with one fault each.
func TestLayersSeesViolations(t *testing.T) {
	for _, c := range []struct {
		name, file, text string
		want             string // in the only violation; "" is a sound house
	}{
		{"downwards", "imap/a.go", `import _ "mailstead/mailbox/message"`, ""},
		{"the roof knows everybody", "cmd/mailstead/a.go", `import (_ "mailstead/tls"; _ "mailstead/imap"; _ "github.com/alecthomas/kong")`, ""},
		{"the store", "mailbox/a.go", `import _ "go.etcd.io/bbolt"`, ""},
		{"a test with its neighbours", "smtp/queue/a_test.go", `import (_ "mailstead/smtp"; _ "mailstead/tls"; _ "github.com/google/go-cmp/cmp"; _ "mailstead/mailbox/mailboxtest")`, ""},
		{"another module", "bench/x/a.go", `import _ "mailstead/imap"`, ""},
		{"data of a test", "imap/testdata/a.go", `import _ "mailstead/cmd/mailstead"`, ""},
		{"a method called init", "imap/a.go", "type t int\nfunc (t) init() {}", ""},
		{"upwards", "mailbox/a.go", `import _ "mailstead/imap"`, "not in a lower layer"},
		{"sideways", "imap/a.go", `import _ "mailstead/pop3"`, "not in a lower layer"},
		{"leaf to leaf", "mailbox/search/a.go", `import _ "mailstead/mailbox/message"`, "not in a lower layer"},
		{"the store knows SMTP", "mailbox/a.go", `import _ "mailstead/smtp/dns"`, "mailbox does not know smtp"},
		{"IMAP knows the queue", "imap/a.go", `import _ "mailstead/smtp/queue"`, "imap does not know smtp"},
		{"bbolt elsewhere", "mailbox/log/a.go", `import _ "go.etcd.io/bbolt"`, "only mailbox may"},
		{"bbolt in a test elsewhere", "mailbox/directory/a_test.go", `import _ "go.etcd.io/bbolt"`, "only mailbox may"},
		{"bbolt's insides", "imap/a.go", `import _ "go.etcd.io/bbolt/errors"`, "only mailbox may"},
		{"our tls in a protocol", "imap/a.go", `import _ "mailstead/tls"`, "only cmd may"},
		{"a door of its own below another", "pop3/a.go", `import _ "mailstead/tls/serve"`, ""},
		{"listeners in the store", "mailbox/a.go", `import _ "mailstead/tls/serve"`, "only cmd, smtp, imap, pop3 may"},
		{"configuration in a protocol", "smtp/a.go", `import _ "github.com/pelletier/go-toml/v2"`, "only cmd may"},
		{"a test's library", "smtp/a.go", `import _ "github.com/emersion/go-smtp"`, "for test files only"},
		{"a test's package", "imap/a.go", `import _ "mailstead/mailbox/mailboxtest"`, "for tests only"},
		{"unknown package", "mailbox/newroom/a.go", ``, "has no place"},
		{"unknown package of tests", "mailbox/newroom/a_test.go", ``, "has no place"},
		{"import of an unknown package", "imap/a.go", `import _ "mailstead/util"`, "not in a lower layer"},
		{"init", "imap/a.go", `func init() {}`, "init function"},
		{"init in a test", "imap/a_test.go", `func init() {}`, "init function"},
		{"for another system", "imap/a_windows.go", `import _ "mailstead/tls"`, "only cmd may"},
	} {
		t.Run(c.name, func(t *testing.T) {
			root := t.TempDir()
			writeSource(t, root, "bench/x/go.mod", "module x\n")
			writeSource(t, root, c.file, "package p\n"+c.text+"\n")
			files, err := readHouse(root)
			if err != nil {
				t.Fatal(err)
			}
			got := violations(files)
			if c.want == "" && len(got) > 0 || c.want != "" && (len(got) != 1 || !strings.Contains(got[0], c.want)) {
				t.Errorf("violations %q, want %q", got, c.want)
			}
		})
	}
}

func writeSource(t *testing.T, root, name, text string) {
	t.Helper()
	file := filepath.Join(root, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
