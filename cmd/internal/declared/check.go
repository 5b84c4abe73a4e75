package declared

import (
	"cmp"
	"slices"

	"mailstead/cmd/internal/tomlfile"
)

// check says what is wrong with a setup that a file leads to, in words for who wrote it.
func (f *File) check(to *Setup) tomlfile.Faults {
	c := checker{reader: reader{}, file: f, to: to, uses: map[string]string{}}
	for _, name := range sorted(to.Domains) {
		c.domain(name, to.Domains[name])
	}
	for _, name := range sorted(to.Accounts) {
		c.account(name, to.Accounts[name])
	}
	for _, name := range sorted(to.Aliases) {
		path := pathOf(f.aliases, "aliases", name)
		c.address(path, name, "the alias "+name)
		if a := to.Aliases[name]; len(a.Members) == 0 {
			c.fault(path, -1, "%s: members is missing: addresses it leads to", path)
		} else if slices.Contains(a.Members, name) {
			c.fault(path+".members", -1, "%s cannot lead to itself", name)
		}
	}
	for _, name := range sorted(to.Masked) {
		path := pathOf(f.masked, "masked", name)
		c.address(path, name, "the masked address "+name)
		c.isAccount(path+".account", -1, "account", to.Masked[name].Account)
	}
	for _, name := range sorted(to.Routes) {
		path := pathOf(f.routes, "routes", name)
		for _, account := range to.Routes[name].Accounts {
			c.isAccount(path+".accounts", -1, "accounts", account)
		}
	}
	c.all.Locate(f.data)
	return c.all.InOrder()
}

type checker struct {
	reader
	file *File
	to   *Setup
	uses map[string]string // what has an address
}

// pathOf is the key of a table in the file, or where it would be.
func pathOf[T any](entries map[string]entry[T], section, name string) string {
	return cmp.Or(entries[name].path, tomlfile.JoinKey([]string{section, name}))
}

func (c *checker) domain(name string, d Domain) {
	path := pathOf(c.file.domains, "domains", name)
	of, ok := c.to.Domains[d.AliasOf]
	switch {
	case d.AliasOf == "":
	case !ok:
		c.fault(path+".alias_of", -1, "alias_of: %s is no domain of this server, nor of the file", d.AliasOf)
	case d.AliasOf == name:
		c.fault(path+".alias_of", -1, "alias_of: %s cannot stand for itself", name)
	case of.AliasOf != "":
		c.fault(path+".alias_of", -1, "alias_of: %s stands for %s itself: say %s in its place", d.AliasOf, of.AliasOf, of.AliasOf)
	case d.CatchAll != "":
		c.fault(path+".catch_all", -1, "catch_all: %s stands for %s; set it there, and it is one of both", name, d.AliasOf)
	}
	if d.CatchAll != "" {
		c.isAccount(path+".catch_all", -1, "catch_all", d.CatchAll)
	}
}

func (c *checker) account(name string, a Account) {
	path := pathOf(c.file.accounts, "accounts", name)
	whose := "the account " + name
	c.address(path, name, whose)
	for _, further := range a.Addresses {
		if further == name {
			c.fault(path+".addresses", -1, "addresses: %s is the account's name", name)
			continue
		}
		c.address(path+".addresses", further, whose)
	}
	if e := c.file.accounts[name].said; len(a.Forward) == 0 && e.ForwardKeep != nil && !*e.ForwardKeep {
		c.fault(path+".forward_keep", -1, "forward_keep goes with forward")
	}
	for _, label := range c.file.accounts[name].said.Apps {
		if label == "" {
			c.fault(path+".app_passwords", -1, "app_passwords: a label is missing")
		}
	}
}

// address takes an address for whose it is.
func (c *checker) address(path, address, whose string) {
	d, ok := c.to.Domains[domainOf(address)]
	switch has := c.uses[address]; {
	case !ok:
		c.fault(path, -1, "%s: %s is no domain of this server, nor of the file", address, domainOf(address))
	case d.AliasOf != "":
		c.fault(path, -1, "%s: %s stands for %s: say the address there, and it is the same at both", address, domainOf(address), d.AliasOf)
	case has != "":
		c.fault(path, -1, "%s is an address of both %s and %s", address, has, whose)
	}
	c.uses[address] = whose
}

func (c *checker) isAccount(path string, index int, key, name string) {
	if _, ok := c.to.Accounts[name]; !ok {
		c.fault(path, index, "%s: %.80q is no account of this server, nor of the file", key, name)
	}
}
