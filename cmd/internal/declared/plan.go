package declared

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"mailstead/cmd/internal/tomlfile"
)

// Step is one action of the server's administration, with its parameters.
type Step struct {
	Action string
	Params map[string]any
	// Lines say what it changes: what is new begins with +, what is other with ~, what goes with -.
	Lines []string
	// Password is to become the parameter password; nil = the action takes none.
	Password *Password
}

// Password says where one comes from.
type Password struct {
	For  string // whose it is: an account, or a route
	File string // in its first line; "" = one is to be made, and shown
}

// Plan is what is to be done.
type Plan struct {
	Steps []Step
	Notes []string // what whoever applies the file should know
}

// Lines are those of all steps.
func (p Plan) Lines() (all []string) {
	for _, s := range p.Steps {
		all = append(all, s.Lines...)
	}
	return all
}

// Plan says what is to be done so that a server which has now becomes what the file says. Nothing in it is based on what a later
// step makes, so it can be done from the first step to the last. With faults there is none.
func (f *File) Plan(now Setup, o Options) (Plan, tomlfile.Faults) {
	p, all := f.plan(now, o)
	if len(all) > 0 {
		return Plan{}, all
	}
	plan := Plan{Steps: p.steps, Notes: append(p.notes, f.missingApps(&now)...)}
	if o.Prune && o.PruneAccounts {
		return plan, nil
	}
	more, all := f.plan(now, Options{Prune: true, PruneAccounts: true})
	if left := len(goes(more.steps)) - len(goes(p.steps)); len(all) == 0 && left > 0 {
		plan.Notes = append(plan.Notes, f.leftNote(&now, left, o))
	}
	return plan, nil
}

// goes are the lines of what goes.
func goes(steps []Step) (lines []string) {
	for _, s := range steps {
		for _, line := range s.Lines {
			if line[0] == '-' {
				lines = append(lines, line)
			}
		}
	}
	return lines
}

// leftNote tells of what is on the server and not in the file.
func (f *File) leftNote(now *Setup, left int, o Options) string {
	var accounts []string
	for _, name := range sorted(now.Accounts) {
		if _, ok := f.accounts[name]; !ok {
			accounts = append(accounts, name)
		}
	}
	if o.Prune {
		return fmt.Sprintf("not in the file, and kept with what is theirs: %s; --prune-accounts removes them with all their mail", strings.Join(accounts, ", "))
	}
	return fmt.Sprintf("%d things are on the server and not in the file, and stay; --prune takes them away, and with --prune-accounts accounts, too", left)
}

// missingApps tells of app passwords that the file knows and the server does not.
func (f *File) missingApps(now *Setup) (notes []string) {
	for _, name := range sorted(f.accounts) {
		for _, label := range without(f.accounts[name].said.Apps, now.Accounts[name].Apps) {
			notes = append(notes, fmt.Sprintf("%s has no app password %q; mailstead account app-password add %s makes it", name, label, name))
		}
	}
	return notes
}

// planner goes from how things are to how they are to be, step by step: now is what the steps so far have made.
type planner struct {
	file  *File
	now   Setup
	to    Setup
	uses  map[string]string // of to
	steps []Step
	notes []string
}

func (f *File) plan(now Setup, o Options) (*planner, tomlfile.Faults) {
	p := &planner{file: f, now: now.Normal()}
	p.now = p.now.clone()
	renamed := p.now.clone()
	renames := f.renames(&renamed)
	p.to, p.notes = f.merge(renamed, o)
	if all := f.check(&p.to); len(all) > 0 {
		return p, all
	}
	p.uses = p.to.uses()
	p.addDomains()
	for _, r := range renames {
		p.rename(r.from, r.to)
	}
	p.clearCatchAlls()
	p.removeNames(p.inTheWay)
	p.addAliasDomains()
	p.addAccounts()
	p.changeAliases()
	p.changeAccounts()
	p.changeForwards()
	p.changeDomains()
	p.changeMasked()
	p.changeRoutes()
	p.remove()
	return p, p.needPasswords()
}

// params are the parameters of a step.
type params = map[string]any

func (p *planner) step(action string, with params, lines ...string) *Step {
	p.steps = append(p.steps, Step{Action: action, Params: with, Lines: lines})
	return &p.steps[len(p.steps)-1]
}

// needPasswords says which routes log in with a password that nobody has told.
func (p *planner) needPasswords() tomlfile.Faults {
	var r reader
	for _, s := range p.steps {
		if s.Action != "route add" || s.Password == nil || s.Password.File != "" {
			continue
		}
		path := pathOf(p.file.routes, "routes", s.Password.For)
		r.fault(path+".user", -1, "the server does not know the password of the route %s: give password_file", s.Password.For)
	}
	r.all.Locate(p.file.data)
	return r.all.InOrder()
}

// renaming is an account that is to have another name.
type renaming struct{ from, to string }

// renames finds the accounts that the file has under a further address of theirs, and renames them in now.
func (f *File) renames(now *Setup) (all []renaming) {
	owners := now.owners()
	for _, name := range sorted(f.accounts) {
		from, ok := owners[name]
		if !ok || from == name {
			continue
		}
		if _, stays := f.accounts[from]; stays {
			continue
		}
		if _, there := now.Accounts[from]; !there {
			continue // it has another name by now
		}
		now.rename(from, name)
		all = append(all, renaming{from, name})
	}
	return all
}

// rename is what the renaming of an account does: what led to its old name leads to the new one.
func (s *Setup) rename(from, to string) {
	a := s.Accounts[from]
	delete(s.Accounts, from)
	a.Addresses = ordered(without(a.Addresses, []string{to}), []string{from})
	s.Accounts[to] = a
	lead := func(list []string) []string {
		list = slices.Clone(list)
		for i, m := range list {
			local, _, detailed := strings.Cut(strings.TrimSuffix(m, "@"+domainOf(m)), "+")
			switch {
			case m == from:
				list[i] = to
			case detailed && local+"@"+domainOf(m) == from:
				list[i] = strings.TrimSuffix(to, "@"+domainOf(to)) + strings.TrimPrefix(strings.TrimSuffix(m, "@"+domainOf(m)), local) + "@" + domainOf(to)
			}
		}
		return s.members(list)
	}
	for name, v := range s.Aliases {
		if v.Members = lead(v.Members); v.Owner != "" {
			v.Owner = lead([]string{v.Owner})[0]
		}
		s.Aliases[name] = v
	}
	for name, v := range s.Accounts {
		v.Forward = lead(v.Forward)
		s.Accounts[name] = v
	}
	s.nameAccounts()
}

// inTheWay tells whether what is at an address has to go before something else can be made there.
func (p *planner) inTheWay(address, whose string) bool {
	use := p.uses[address]
	// A domain can stand for another only when nothing is there.
	return use != "" && use != whose || p.to.Domains[domainOf(address)].AliasOf != ""
}

// Resolve gives the name of a password's file: one that is not absolute lies in the folder of the file that names it.
func (p Password) Resolve(folder string) string {
	if p.File == "" || filepath.IsAbs(p.File) {
		return p.File
	}
	return filepath.Join(folder, p.File)
}
