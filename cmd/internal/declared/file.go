package declared

import (
	"cmp"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"mailstead/cmd/internal/tomlfile"
	"mailstead/mailbox/directory"
	"mailstead/smtp/dns"
	"mailstead/smtp/route"
)

// MaxFile bounds a file, in octets: ten thousand accounts and aliases fit in.
const MaxFile = 4 << 20

// File is a file that was read. What it does not say is nil, or empty.
type File struct {
	State    string // Digest of what it was exported from; "" = not said
	data     []byte
	domains  map[string]entry[domainText]
	accounts map[string]entry[accountText]
	aliases  map[string]entry[aliasText]
	masked   map[string]entry[maskedText]
	routes   map[string]entry[routeText]
}

// entry is a table of the file, with the name it has there.
type entry[T any] struct {
	path string
	said T
}

// fileText is a file as it is written.
type fileText struct {
	State    string                 `toml:"state"`
	Domains  map[string]domainText  `toml:"domains"`
	Accounts map[string]accountText `toml:"accounts"`
	Aliases  map[string]aliasText   `toml:"aliases"`
	Masked   map[string]maskedText  `toml:"masked"`
	Routes   map[string]routeText   `toml:"routes"`
}

type domainText struct {
	AliasOf  string  `toml:"alias_of"`
	CatchAll *string `toml:"catch_all"` // "" = none
	Reports  *bool   `toml:"reports"`
}

type accountText struct {
	PasswordFile   string        `toml:"password_file"`
	Addresses      []string      `toml:"addresses"`
	Quota          *string       `toml:"quota"`
	QuotaMessages  *int64        `toml:"quota_messages"`     // 0 = no limit
	Messages       *int          `toml:"messages_per_day"`   // 0 = no limit
	Recipients     *int          `toml:"recipients_per_day"` // 0 = no limit
	Strangers      *int          `toml:"strangers_per_day"`  // 0 = no limit
	Forward        []string      `toml:"forward"`
	ForwardKeep    *bool         `toml:"forward_keep"`
	SendAs         []string      `toml:"send_as"`
	Block          []string      `toml:"block"`
	Allow          []string      `toml:"allow"`
	Forwarders     []string      `toml:"forwarders"`
	Hidden         []string      `toml:"hidden_capabilities"`
	Disabled       *bool         `toml:"disabled"`
	DisabledReason string        `toml:"disabled_reason"`
	RefuseMail     *bool         `toml:"refuse_mail"`
	Apps           []string      `toml:"app_passwords"`
	Vacation       *vacationText `toml:"vacation"`

	quota int64 // that Quota says
}

type vacationText struct {
	Text      string    `toml:"text"`
	Subject   string    `toml:"subject"`
	From      time.Time `toml:"from"`
	Until     time.Time `toml:"until"`
	Days      int       `toml:"days"` // 0 = directory.DefaultVacationDays
	Addresses []string  `toml:"addresses"`
}

type aliasText struct {
	Members     []string `toml:"members"`
	MembersOnly *bool    `toml:"members_only"`
	Owner       *string  `toml:"owner"` // "" = none
}

type maskedText struct {
	Account string     `toml:"account"`
	Label   *string    `toml:"label"`
	Expires *time.Time `toml:"expires"`
	Off     *bool      `toml:"off"`
}

type routeText struct {
	Via          string   `toml:"via"`
	TLS          string   `toml:"tls"`
	To           []string `toml:"to"`
	Accounts     []string `toml:"accounts"`
	From         []string `toml:"from"`
	After        int      `toml:"after"`
	User         string   `toml:"user"`
	PasswordFile string   `toml:"password_file"`
	CA           string   `toml:"ca"`
	Pin          string   `toml:"pin"`

	hop route.Hop // that Via and TLS say
}

// direct is the Via of a route to the servers of recipients' domains.
const direct = "direct"

// Parse reads a file. With faults it is nil.
func Parse(data []byte) (*File, tomlfile.Faults) {
	if len(data) > MaxFile {
		return nil, tomlfile.Faults{{Text: fmt.Sprintf("it is larger than %d octets", MaxFile), Index: -1}}
	}
	var text fileText
	all, filled := tomlfile.Decode(data, &text, suggest)
	if !filled {
		return nil, all
	}
	r := reader{all: all}
	f := &File{State: text.State, data: data}
	f.domains = entries(&r, "domains", text.Domains, checkDomain, r.domain)
	f.accounts = entries(&r, "accounts", text.Accounts, checkAddress, r.account)
	f.aliases = entries(&r, "aliases", text.Aliases, checkAddress, r.alias)
	f.masked = entries(&r, "masked", text.Masked, checkAddress, r.masked)
	f.routes = entries(&r, "routes", text.Routes, checkRoute, r.route)
	if len(r.all) > 0 {
		r.all.Locate(data)
		return nil, r.all.InOrder()
	}
	return f, nil
}

// reader collects what is wrong.
type reader struct{ all tomlfile.Faults }

// fault is about a key, and with an index from 0 about an entry of its list.
func (r *reader) fault(key string, index int, format string, args ...any) {
	r.all = append(r.all, tomlfile.Fault{Setting: key, Text: fmt.Sprintf(format, args...), Index: index})
}

// wrong is fault for an error; nil is none.
func (r *reader) wrong(key string, index int, err error) {
	if err == nil {
		return
	}
	text := err.Error()
	if p, ok := errors.AsType[*directory.Problem](err); ok {
		text = p.Text
	}
	r.fault(key, index, "%s: %s", last(key), text)
}

// last is the part of a key that says what it is.
func last(key string) string {
	if strings.HasSuffix(key, `"`) {
		return key
	}
	return key[strings.LastIndexByte(key, '.')+1:]
}

// entries reads the tables of a section, by their names in the form that is compared.
func entries[T any](r *reader, section string, tables map[string]T, check func(string) (string, error), read func(path string, v *T)) map[string]entry[T] {
	all := map[string]entry[T]{}
	for _, key := range sorted(tables) {
		path := tomlfile.JoinKey([]string{section, key})
		name, err := check(key)
		if err != nil {
			r.wrong(path, -1, err)
			continue
		}
		if was, ok := all[name]; ok {
			r.fault(path, -1, "%s is %s, which is there already", path, was.path)
			continue
		}
		v := tables[key]
		read(path, &v)
		all[name] = entry[T]{path, v}
	}
	return all
}

// list reads the entries of a list.
func (r *reader) list(key string, list *[]string, check func(string) (string, error)) {
	var all []string
	for i, text := range *list {
		v, err := check(text)
		r.wrong(key, i, err)
		all = append(all, v)
	}
	*list = ordered(all)
}

func checkDomain(text string) (string, error) {
	name, err := directory.CheckDomain(text)
	if err != nil {
		return "", fmt.Errorf("%.80q is no domain name like example.org", text)
	}
	return name, nil
}

func checkAddress(text string) (string, error) {
	address, err := directory.CheckAddress(text)
	if err != nil {
		return "", fmt.Errorf("%.80q is no address that can be used here: it is to be like ann@example.org", text)
	}
	return address, nil
}

// checkMember takes what mail can be led to, and leaves it as it is.
func checkMember(text string) (string, error) {
	_, _, err := directory.CheckMember(text)
	return text, err
}

func checkRoute(text string) (string, error) { return text, route.CheckName(text) }

// checkMailDomain takes domains of mail, which need not be here.
func checkMailDomain(text string) (string, error) {
	ascii, err := dns.ASCII(text)
	if err != nil {
		return "", fmt.Errorf("%.80q is no domain", text)
	}
	return ascii, nil
}

func checkSender(list directory.List) func(string) (string, error) {
	return func(text string) (string, error) { return directory.CheckSender(list, text) }
}

func (r *reader) domain(path string, v *domainText) {
	if v.AliasOf != "" {
		of, err := checkDomain(v.AliasOf)
		r.wrong(path+".alias_of", -1, err)
		v.AliasOf = of
	}
	if v.CatchAll != nil && *v.CatchAll != "" {
		r.wrong(path+".catch_all", -1, second(checkMember(*v.CatchAll)))
	}
}

func second[T any](_ T, err error) error { return err }

func (r *reader) account(path string, v *accountText) {
	r.list(path+".addresses", &v.Addresses, checkAddress)
	r.list(path+".forward", &v.Forward, checkMember)
	r.list(path+".send_as", &v.SendAs, checkSender(directory.SendAs))
	r.list(path+".block", &v.Block, checkSender(directory.Blocked))
	r.list(path+".allow", &v.Allow, checkSender(directory.Allowed))
	r.list(path+".forwarders", &v.Forwarders, checkSender(directory.Forwarders))
	r.list(path+".hidden_capabilities", &v.Hidden, directory.CheckCapability)
	for _, both := range v.Block {
		if slices.Contains(v.Allow, both) {
			r.fault(path+".allow", -1, "allow: %s is blocked, too", both)
		}
	}
	v.Apps = ordered(v.Apps)
	if v.Quota != nil && *v.Quota != none {
		n, err := ParseOctets(*v.Quota)
		r.wrong(path+".quota", -1, err)
		v.quota = n
	}
	if v.QuotaMessages != nil && *v.QuotaMessages < 0 {
		r.fault(path+".quota_messages", -1, "quota_messages cannot be negative")
	}
	for _, l := range []struct {
		key string
		n   *int
	}{{"messages_per_day", v.Messages}, {"recipients_per_day", v.Recipients}, {"strangers_per_day", v.Strangers}} {
		if l.n != nil && (*l.n < 0 || *l.n > maxPerDay) {
			r.fault(path+"."+l.key, -1, "%s must be 0, which is no limit, to %d", l.key, maxPerDay)
		}
	}
	if v.Disabled == nil || !*v.Disabled {
		if v.DisabledReason != "" {
			r.fault(path+".disabled_reason", -1, "disabled_reason goes with disabled = true")
		}
		if v.RefuseMail != nil && *v.RefuseMail {
			r.fault(path+".refuse_mail", -1, "refuse_mail goes with disabled = true")
		}
	}
	r.wrong(path+".disabled_reason", -1, directory.CheckReason(v.DisabledReason))
	r.vacation(path+".vacation", v.Vacation)
}

// maxPerDay is the largest limit of what an account may send.
const maxPerDay = 1<<31 - 1

func (r *reader) vacation(path string, v *vacationText) {
	if v == nil {
		return
	}
	v.Days = cmp.Or(v.Days, directory.DefaultVacationDays)
	checked, err := directory.CheckVacation(v.vacation())
	r.wrong(path, -1, err)
	v.Addresses = checked.Addresses
}

func (v *vacationText) vacation() directory.Vacation {
	return directory.Vacation{From: v.From.UTC(), Until: v.Until.UTC(), Subject: v.Subject, Text: v.Text, Days: v.Days, Addresses: ordered(v.Addresses)}
}

func (r *reader) alias(path string, v *aliasText) {
	r.list(path+".members", &v.Members, checkMember)
	if v.Owner != nil && *v.Owner != "" {
		r.wrong(path+".owner", -1, second(checkMember(*v.Owner)))
	}
}

func (r *reader) masked(path string, v *maskedText) {
	if v.Account == "" {
		r.fault(path, -1, "%s: account is missing: whose it is", path)
	}
	if v.Label != nil {
		r.wrong(path+".label", -1, directory.CheckMaskedLabel(*v.Label))
	}
}

func (r *reader) route(path string, v *routeText) {
	r.list(path+".to", &v.To, checkMailDomain)
	r.list(path+".from", &v.From, checkMailDomain)
	switch {
	case v.Via == "":
		r.fault(path, -1, "%s: via is missing: a server as HOST:PORT, or %s", path, direct)
	case v.Via == direct && v.TLS != "":
		r.fault(path+".tls", -1, "tls goes with a server in via")
	case v.Via != direct:
		var err error
		v.hop, err = route.ParseHop(v.Via, route.Security(v.TLS))
		r.wrong(path+".via", -1, err)
	}
	if v.User == "" && v.PasswordFile != "" {
		r.fault(path+".password_file", -1, "password_file goes with user")
	}
	whole := route.Route{Name: "x", To: v.To, From: v.From, After: v.After, Hop: v.hop, Trust: route.Trust{CA: v.CA, Pin: v.Pin}}
	if v.User != "" {
		whole.Login = route.Login{User: v.User, Password: "x"} // whatever it will be
	}
	if v.Via != direct && v.hop == (route.Hop{}) {
		return // what is wrong was said
	}
	checked, err := route.Check(whole)
	r.wrong(path, -1, err)
	v.Pin = checked.Trust.Pin
}

// suggest is a key that somebody may have meant, "" for none.
func suggest(key string) string {
	section, _, deeper := strings.Cut(key, ".")
	var known []string
	top := keysOf(reflect.TypeFor[fileText]())
	t, ok := top[section]
	word := last(key)
	switch {
	case !ok || !deeper || t.Kind() != reflect.Map:
		word, known = section, sorted(top)
	case strings.Contains(key, `.vacation.`):
		known = sorted(keysOf(reflect.TypeFor[vacationText]()))
	default:
		known = sorted(keysOf(t.Elem()))
	}
	return tomlfile.Nearest(word, known)
}

// keysOf are the keys of a table.
func keysOf(t reflect.Type) map[string]reflect.Type {
	all := map[string]reflect.Type{}
	for i := range t.NumField() {
		if name := t.Field(i).Tag.Get("toml"); name != "" {
			all[name] = t.Field(i).Type
		}
	}
	return all
}
