package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// sourceCode is what the papers are held against.
type sourceCode struct {
	names    map[string]bool            // package.Name, package.Type.Method, package.Type.Field
	packages map[string]bool            // last elements of the folders; cmd/mailstead is main
	tests    map[string]bool            // names of tests, fuzz targets and benchmarks
	cited    map[string]map[string]bool // RFC → files that cite it
}

// citations are "RFC 5321", and "RFC 7162, 7889 and 8438".
var (
	citations = regexp.MustCompile(`\bRFC \d{3,5}\b(?:(?:, | and |, and )\d{4,5}\b)*`)
	number    = regexp.MustCompile(`\d{3,5}`)
)

// rfcsIn lists the RFCs that a text cites.
func rfcsIn(text string) (list []string) {
	for _, c := range citations.FindAllString(strings.Join(strings.Fields(text), " "), -1) {
		list = append(list, number.FindAllString(c, -1)...)
	}
	return list
}

// readCode parses all Go files below root.
func readCode(root string) (*sourceCode, error) {
	c := &sourceCode{names: map[string]bool{}, packages: map[string]bool{}, tests: map[string]bool{}, cited: map[string]map[string]bool{}}
	return c, eachSource(root, c.read)
}

func (c *sourceCode) read(name, rel string) error {
	text, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	tree, err := parser.ParseFile(token.NewFileSet(), name, text, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	pkg := path.Base(path.Dir(rel))
	if tree.Name.Name == "main" {
		pkg = "main"
	}
	test := strings.HasSuffix(rel, "_test.go")
	if !test {
		c.packages[pkg] = true
	}
	for _, d := range tree.Decls {
		c.declare(pkg, d, test)
	}
	for _, group := range tree.Comments {
		for _, rfc := range rfcsIn(group.Text()) {
			if c.cited[rfc] == nil {
				c.cited[rfc] = map[string]bool{}
			}
			c.cited[rfc][rel] = true
		}
	}
	return nil
}

func (c *sourceCode) declare(pkg string, d ast.Decl, test bool) {
	switch d := d.(type) {
	case *ast.FuncDecl:
		name := d.Name.Name
		switch {
		case test && d.Recv == nil:
			c.tests[name] = true
		case test:
		case d.Recv == nil:
			c.names[pkg+"."+name] = true
		default:
			c.names[pkg+"."+receiver(d.Recv.List[0].Type)+"."+name] = true
		}
	case *ast.GenDecl:
		if !test {
			c.declareAll(pkg, d)
		}
	}
}

// receiver is the name of a method's type.
func receiver(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.StarExpr:
		return receiver(e.X)
	case *ast.IndexExpr:
		return receiver(e.X)
	case *ast.Ident:
		return e.Name
	}
	return ""
}

func (c *sourceCode) declareAll(pkg string, d *ast.GenDecl) {
	for _, spec := range d.Specs {
		switch spec := spec.(type) {
		case *ast.ValueSpec:
			for _, n := range spec.Names {
				c.names[pkg+"."+n.Name] = true
			}
		case *ast.TypeSpec:
			c.names[pkg+"."+spec.Name.Name] = true
			s, ok := spec.Type.(*ast.StructType)
			if !ok {
				continue
			}
			for _, f := range s.Fields.List {
				for _, n := range f.Names {
					c.names[pkg+"."+spec.Name.Name+"."+n.Name] = true
				}
			}
		}
	}
}

var (
	quoted   = regexp.MustCompile("`([^`\n]+)`")
	dotted   = regexp.MustCompile(`^[A-Za-z]\w*(\.\w+)+$`)
	linked   = regexp.MustCompile(`\]\(([^)#:]+)\)`)
	testName = regexp.MustCompile(`\b(?:Test|Fuzz|Benchmark)[A-Z]\w*`)
	fileName = regexp.MustCompile(`^[\w.*/-]+$`)
)

// dataFiles are the endings of names with a dot that are files, not code.
var dataFiles = []string{".db", ".md", ".pem", ".toml", ".sock", ".seg", ".dialog", ".eml", ".want", ".conf", ".test", ".mod"}

// wrong lists what a paper in folder below root names and the house does not
// have: code in backquotes, files, links and tests.
func (c *sourceCode) wrong(root, folder, text string) (problems []string, checked int) {
	for _, m := range quoted.FindAllStringSubmatch(text, -1) {
		problem, known := c.lookUp(root, m[1])
		if problem != "" {
			problems = append(problems, problem)
		}
		if known {
			checked++
		}
	}
	for _, m := range linked.FindAllStringSubmatch(text, -1) {
		checked++
		if _, err := os.Stat(filepath.Join(root, folder, m[1])); err != nil {
			problems = append(problems, fmt.Sprintf("the link %s leads nowhere", m[1]))
		}
	}
	for _, name := range testName.FindAllString(text, -1) {
		checked++
		if !c.tests[name] {
			problems = append(problems, fmt.Sprintf("there is no test %s", name))
		}
	}
	return problems, checked
}

// lookUp says what is wrong with one quoted word; known says whether it is of a
// kind that can be looked up.
func (c *sourceCode) lookUp(root, word string) (problem string, known bool) {
	first, _, _ := strings.Cut(word, ".")
	switch {
	case strings.Contains(word, "/") && fileName.MatchString(word) && !strings.HasPrefix(word, "/"):
		return exists(root, word), true
	case slices.Contains(dataFiles, path.Ext(word)):
		return "", false
	case strings.HasSuffix(word, ".go"):
		return fmt.Sprintf("%s: say in which folder", word), true
	case !dotted.MatchString(word):
		return "", false
	case !c.packages[first]:
		return fmt.Sprintf("%s: no package of that name", word), true
	case !c.names[word]:
		return fmt.Sprintf("%s does not exist", word), true
	}
	return "", true
}

// exists looks for a file or folder; a name with a star stands for several.
func exists(root, name string) string {
	found, err := filepath.Glob(filepath.Join(root, name))
	if err != nil || len(found) == 0 {
		return fmt.Sprintf("there is no file %s", name)
	}
	return ""
}

const houseRoot = "../.."

func readPaper(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(houseRoot, "docs", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func readHouseCode(t *testing.T) *sourceCode {
	t.Helper()
	c, err := readCode(houseRoot)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestPapersNameWhatIsThere looks up what the papers name.
func TestPapersNameWhatIsThere(t *testing.T) {
	c := readHouseCode(t)
	papers := map[string]int{"OVERVIEW.md": 40, "JOURNEYS.md": 80, "STANDARDS.md": 150, "KNOWN-ISSUES.md": 5, "SECURITY.md": 20}
	decisions, err := filepath.Glob(filepath.Join(houseRoot, "docs", "decisions", "*.md"))
	if err != nil || len(decisions) == 0 {
		t.Fatalf("no decisions: %v", err)
	}
	for _, d := range decisions {
		papers["decisions/"+filepath.Base(d)] = 1
	}
	for name, least := range papers {
		problems, checked := c.wrong(houseRoot, path.Join("docs", path.Dir(name)), readPaper(t, name))
		for _, p := range problems {
			t.Errorf("docs/%s: %s", name, p)
		}
		if checked < least {
			t.Errorf("docs/%s: only %d names were looked up, not %d: has its form changed?", name, checked, least)
		}
	}
}

// TestPapersSeeWhatIsWrong feeds the look-up names that are wrong.
func TestPapersSeeWhatIsWrong(t *testing.T) {
	root := t.TempDir()
	writeSource(t, root, "smtp/queue/a.go", "package queue\n\n// F is RFC 5321 and RFC 822, 1939 and\n// 2449, not RFC822.SIZE.\nfunc F() {}\n\ntype T[X any] struct{ Field int }\n\nfunc (*T[X]) M() {}\n\nconst C = 1\n")
	writeSource(t, root, "smtp/queue/a_test.go", "package queue\n\nfunc TestF() {}\n\nfunc helper() {}\n")
	c, err := readCode(root)
	if err != nil {
		t.Fatal(err)
	}
	if got := slices.Sorted(maps.Keys(c.cited)); !slices.Equal(got, []string{"1939", "2449", "5321", "822"}) {
		t.Errorf("RFCs cited: %v", got)
	}
	for text, want := range map[string]string{
		"`queue.F` `queue.T.M` `queue.T.Field` `queue.C` `smtp/queue/a.go` TestF `state.db` `1:*` [x](smtp/queue)": "",
		"`queue.G`":            "queue.G does not exist",
		"`queue.T.N`":          "queue.T.N does not exist",
		"`queue.helper`":       "queue.helper does not exist",
		"`session.accept`":     "session.accept: no package of that name",
		"`smtp/queue/b.go`":    "there is no file smtp/queue/b.go",
		"`a.go`":               "a.go: say in which folder",
		"[x](decisions/1.md)":  "the link decisions/1.md leads nowhere",
		"proved by TestNobody": "there is no test TestNobody",
	} {
		problems, _ := c.wrong(root, "", text)
		if strings.Join(problems, "; ") != want {
			t.Errorf("%s: %q, want %q", text, problems, want)
		}
	}
}

// standard is a row of the table of standards.
type standard struct {
	rfcs                     []string
	what, files, shown, line string
}

var standardRow = regexp.MustCompile(`(?m)^\| (\d[\d, ]*) \| (.*) \| (.*) \| (.*) \|$`)

func standardsIn(text string) (rows []standard) {
	for _, m := range standardRow.FindAllStringSubmatch(text, -1) {
		rows = append(rows, standard{number.FindAllString(m[1], -1), m[2], m[3], m[4], m[0]})
	}
	return rows
}

// wrongStandards compares the table with what the code cites.
func (c *sourceCode) wrongStandards(text string) (problems []string) {
	listed := map[string]bool{}
	for _, row := range standardsIn(text) {
		if !strings.Contains(row.files, "`") || !strings.Contains(row.shown, "`") && !testName.MatchString(row.shown) {
			problems = append(problems, fmt.Sprintf("no file, or nothing that shows it: %s", row.line))
		}
		for _, rfc := range row.rfcs {
			if listed[rfc] {
				problems = append(problems, fmt.Sprintf("RFC %s has two rows", rfc))
			}
			listed[rfc] = true
		}
	}
	for _, rfc := range slices.Sorted(maps.Keys(c.cited)) {
		if !listed[rfc] {
			problems = append(problems, fmt.Sprintf("RFC %s is cited in %v and has no row", rfc, slices.Sorted(maps.Keys(c.cited[rfc]))))
		}
	}
	return problems
}

// TestEveryStandardHasItsRow compares the table of standards with the code.
func TestEveryStandardHasItsRow(t *testing.T) {
	c, text := readHouseCode(t), readPaper(t, "STANDARDS.md")
	for _, p := range c.wrongStandards(text) {
		t.Error(p)
	}
	if rows := standardsIn(text); len(rows) < 70 {
		t.Errorf("%d rows: has the form of the table changed?", len(rows))
	}
}

// TestStandardsSeesWhatIsWrong takes rows away, and what shows them.
func TestStandardsSeesWhatIsWrong(t *testing.T) {
	c := &sourceCode{cited: map[string]map[string]bool{"5321": {"a.go": true}, "7162": {"b.go": true}}}
	good := "| RFC | what | in | shown |\n|---|---|---|---|\n| 821, 5321 | x | `smtp` | TestX |\n| 7162 | x | `imap` | `x.dialog` |\n"
	for _, s := range []struct{ old, instead, want string }{
		{"", "", ""},
		{"| 7162 |", "| 7163 |", "RFC 7162 is cited in [b.go] and has no row"},
		{"`x.dialog`", "everything", "no file, or nothing that shows it: | 7162 | x | `imap` | everything |"},
		{"`smtp`", "smtp", "no file, or nothing that shows it: | 821, 5321 | x | smtp | TestX |"},
		{"821", "7162", "RFC 7162 has two rows"},
	} {
		got := strings.Join(c.wrongStandards(strings.Replace(good, s.old, s.instead, 1)), "; ")
		if got != s.want {
			t.Errorf("%q for %q: %q, want %q", s.instead, s.old, got, s.want)
		}
	}
}
