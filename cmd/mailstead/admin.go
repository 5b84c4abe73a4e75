package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"mailstead/cmd/internal/figures"
	"mailstead/mailbox"
	"mailstead/mailbox/directory"
	"mailstead/mailbox/directory/loginlog"
	"mailstead/mailbox/junk/training"
	"mailstead/mailbox/transfer"
	"mailstead/smtp"
	"mailstead/smtp/feedback"
	"mailstead/smtp/journal"
	"mailstead/smtp/keyring"
	"mailstead/smtp/local"
	"mailstead/smtp/queue"
	"mailstead/smtp/remote"
	"mailstead/smtp/route"
	"mailstead/tls"
)

// admin is everything that can be done to a server from the command line,
// whether through the control socket or alone on the folder.
type admin struct {
	receiver       *smtp.Server // at port 25; nil without a server
	store          *mailbox.Store
	directory      *directory.Directory
	queue          *queue.Queue
	keys           *keyring.Ring
	feedback       *feedback.Reporter
	routes         *route.Table
	world          *remote.Courier   // to other servers
	trainer        *training.Trainer // of the junk filter; nil until it is asked for
	journal        *journal.Journal  // nil without a server: nothing happens
	journalDir     string            // its folder
	hostname       string            // the server's own name, "" when it is not known
	resolvers      []string          // that may be asked what a domain has published
	acme           *tls.ACME         // nil where no certificates are fetched
	certificates   func() []tls.State
	guide          guide           // what others are led by
	hostTLSA       func() []string // nil where the key is not known
	domainsChanged func() error
	restartServer  func(context.Context) error // nil where no server runs
	started        time.Time                   // of the server
	alone          bool                        // no server runs
	figures        func() figures.Figures
	settings       *settings
	importing      *sync.Map                               // imports that are under way, see importParams.key
	reload         func(context.Context) (reloaded, error) // nil without a server
}

// admin is that of the running server.
func (s *server) admin() *admin {
	return &admin{
		receiver: s.receiver(),
		store:    s.store, directory: s.directory, queue: s.queue, keys: s.keys, feedback: s.feedback, routes: s.routes, world: s.world, journal: s.journal,
		trainer: s.trainer, hostname: s.settings.Hostname, resolvers: s.settings.Resolvers, domainsChanged: s.renameCertificate,
		acme: s.acme, certificates: s.certificateStates, hostTLSA: s.hostTLSA,
		guide: s.present.Load().guide(), settings: s.present.Load(), reload: s.reload, importing: &s.importing, restartServer: s.prepareRestart, started: s.started,
		figures: s.figures, journalDir: journalDir(s.settings.Dir),
	}
}

// newAdmin is one alone on the folder. Its queue is only looked at and changed.
func newAdmin(store *mailbox.Store, d *directory.Directory, log *slog.Logger) (*admin, error) {
	s := &server{settings: settings{Hostname: "localhost", MXPort: 25}, log: log, store: store, directory: d}
	var err error
	if err = s.openKeys(store); err != nil {
		return nil, err
	}
	if _, err = s.openQueue(); err != nil {
		return nil, err
	}
	return &admin{store: store, directory: d, queue: s.queue, keys: s.keys, feedback: s.feedback, routes: s.routes, world: s.world, domainsChanged: func() error { return nil }, figures: s.figures, alone: true, importing: new(sync.Map)}, nil
}

// nothing is the result of actions that only succeed or fail.
type nothing struct{}

// name is the parameter of actions on one thing.
type name struct {
	Name string `json:"name"`
}

// actions is the table of all of them.
var actions = map[string]action{
	"setup":                         act((*admin).furnish),
	"domain add":                    act((*admin).domainAdd),
	"domain remove":                 act((*admin).domainRemove),
	"domain list":                   act((*admin).domainList),
	"domain show":                   act((*admin).domainShow),
	"domain catch-all":              act((*admin).domainCatchAll),
	"domain reports":                act((*admin).domainReports),
	"domain alias add":              act((*admin).domainAliasAdd),
	"domain alias remove":           act((*admin).domainAliasRemove),
	"domain dkim rotate":            act((*admin).dkimRotate),
	"domain dkim list":              act((*admin).dkimList),
	"domain dkim show":              act((*admin).dkimShow),
	"account add":                   act((*admin).accountAdd),
	"account remove":                act((*admin).accountRemove),
	"account disable":               act((*admin).accountDisable),
	"account enable":                act((*admin).accountEnable),
	"account logins":                act((*admin).accountLogins),
	"account rename":                act((*admin).accountRename),
	"account erase":                 actLong((*admin).accountErase),
	"account list":                  act((*admin).accountList),
	"account show":                  act((*admin).accountShow),
	"account password":              act((*admin).accountPassword),
	"account quota":                 act((*admin).accountQuota),
	"account app-password add":      act((*admin).appPasswordAdd),
	"account app-password list":     act((*admin).appPasswordList),
	"account app-password remove":   act((*admin).appPasswordRemove),
	"account limits":                act((*admin).accountLimits),
	"account junk":                  act((*admin).accountJunk),
	"account capability":            act((*admin).accountCapability),
	"account address add":           act((*admin).addressAdd),
	"account address remove":        act((*admin).addressRemove),
	"account block add":             act(senderAdd(directory.Blocked)),
	"account block remove":          act(senderRemove(directory.Blocked)),
	"account block list":            act(senderList(directory.Blocked)),
	"account allow add":             act(senderAdd(directory.Allowed)),
	"account allow remove":          act(senderRemove(directory.Allowed)),
	"account allow list":            act(senderList(directory.Allowed)),
	"account vacation on":           act((*admin).vacationOn),
	"account vacation off":          act((*admin).vacationOff),
	"account vacation show":         act((*admin).vacationShow),
	"account forward add":           act((*admin).forwardAdd),
	"account forward remove":        act((*admin).forwardRemove),
	"account forward list":          act((*admin).forwardList),
	"account forwarder add":         act(senderAdd(directory.Forwarders)),
	"account forwarder remove":      act(senderRemove(directory.Forwarders)),
	"account forwarder list":        act(senderList(directory.Forwarders)),
	"account grant send-as":         act(senderAdd(directory.SendAs)),
	"account grant list":            act(senderList(directory.SendAs)),
	"account revoke send-as":        act(senderRemove(directory.SendAs)),
	"account list-deleted":          act((*admin).accountListDeleted),
	"account restore":               act((*admin).accountRestore),
	"alias add":                     act((*admin).aliasAdd),
	"alias remove":                  act((*admin).aliasRemove),
	"alias list":                    act((*admin).aliasList),
	"alias show":                    act((*admin).aliasShow),
	"alias masked add":              act((*admin).maskedAdd),
	"config export":                 act((*admin).configExport),
	"alias masked list":             act((*admin).maskedList),
	"alias masked on":               act((*admin).maskedOn),
	"alias masked off":              act((*admin).maskedOff),
	"alias masked remove":           act((*admin).maskedRemove),
	"bans list":                     act((*admin).bansList),
	"unban":                         act((*admin).unban),
	"mailbox list":                  act((*admin).mailboxList),
	"mailbox acl":                   act((*admin).mailboxACL),
	"mailbox list-deleted":          act((*admin).mailboxListDeleted),
	"mailbox list-deleted-messages": act((*admin).mailboxListDeletedMessages),
	"mailbox restore":               act((*admin).mailboxRestore),
	"mailbox restore-messages":      act((*admin).mailboxRestoreMessages),
	"queue list":                    act((*admin).queueList),
	"queue show":                    act((*admin).queueShow),
	"queue destinations":            act((*admin).queueDestinations),
	"queue retry":                   act(queueAct(queue.ActRetry)),
	"queue hold":                    act(queueAct(queue.ActHold)),
	"queue release":                 act(queueAct(queue.ActRelease)),
	"queue drop":                    act(queueAct(queue.ActDrop)),
	"queue reroute":                 act((*admin).queueReroute),
	"route add":                     act((*admin).routeAdd),
	"route list":                    act((*admin).routeList),
	"route show":                    act((*admin).routeShow),
	"route remove":                  act((*admin).routeRemove),
	"route test":                    act((*admin).routeTest),
	"certificate list":              act((*admin).certificateList),
	"certificate renew":             actLong((*admin).certificateRenew),
	"certificate new-key":           act((*admin).certificateNewKey),
	"report dmarc":                  act((*admin).reportDMARC),
	"report tls":                    act((*admin).reportTLS),
	"report sent":                   act((*admin).reportSent),
	"check":                         act((*admin).check),
	"log flush":                     act((*admin).logFlush),
	"import taken":                  act((*admin).importTaken),
	"reload":                        act((*admin).reloadSettings),
	"verify":                        actLong((*admin).verify),
	"verify --reindex":              actLong((*admin).reindex),
	"restart":                       act((*admin).restart),
	"backup snapshot":               actLong((*admin).backupSnapshot),
	"backup drop":                   act((*admin).backupDrop),
	"backup log":                    act((*admin).backupLog),
	"status":                        act((*admin).status),
}

// do performs a request. tell hears how far a long one is.
func (a *admin) do(ctx context.Context, q request, tell report) response {
	f, ok := actions[q.Action]
	if !ok {
		return response{Failure: &failure{Exit: exitUsage, Text: fmt.Sprintf("the server does not know %q", q.Action)}}
	}
	result, err := f.run(a, ctx, q.Params, tell)
	if err != nil {
		return response{Failure: failureOf(err)}
	}
	encoded, err := json.Marshal(result)
	if err != nil {
		return response{Failure: failureOf(err)}
	}
	return response{Result: encoded}
}

// failures are the errors of actions with the exit status and text that people get.
var failures = []struct {
	err  error
	exit int
	text string
}{
	{directory.ErrNoSuch, exitNoSuch, "there is no such thing here"},
	{mailbox.ErrNoMailbox, exitNoSuch, "there is no such mailbox"},
	{queue.ErrNoSuch, exitNoSuch, "there is no such message in the queue"},
	{route.ErrNoSuch, exitNoSuch, "there is no such route"},
	{route.ErrExists, exitExists, "there is a route of that name; --replace replaces it"},
	{route.ErrConflict, exitExists, ""},
	{route.ErrInvalid, exitUsage, ""},
	{route.ErrTooMany, exitFailed, ""},
	{keyring.ErrNoKeys, exitNoSuch, "the domain has no keys yet; a server that sends mail makes them at its start"},
	{directory.ErrNotLocal, exitNoSuch, "the domain is not one of this server; add it first"},
	{directory.ErrExists, exitExists, "it exists already"},
	{tls.ErrUnknownName, exitNoSuch, "no certificate is kept for that name"},
	{tls.ErrNoNextKey, exitUsage, ""},
	{directory.ErrAddress, exitUsage, "that is no address or domain that can be used here"},
	{directory.ErrIdentifier, exitUsage, "that is no account of this server, and not anyone"},
	{directory.ErrPassword, exitUsage, ""},
	{directory.ErrAppPassword, exitUsage, ""},
	{directory.ErrCapability, exitUsage, "that is no capability that can be hidden"},
	{directory.ErrTangle, exitFailed, "the alias would lead to too many addresses"},
	{mailbox.ErrNoMailbox, exitNoSuch, ""},
	{directory.ErrLoop, exitUsage, ""},
	{directory.ErrVacation, exitUsage, ""},
	{directory.ErrTooMany, exitFailed, ""},
	{directory.ErrReason, exitUsage, ""},
	{directory.ErrMasked, exitUsage, ""},
	{directory.ErrTimeOver, exitUsage, ""},
	{directory.ErrAliasDomain, exitUsage, ""},
	{directory.ErrInUse, exitFailed, "it is still in use"},
}

func failureOf(err error) *failure {
	if f, ok := errors.AsType[*failure](err); ok {
		return f
	}
	p, told := errors.AsType[*directory.Problem](err)
	for _, f := range failures {
		if errors.Is(err, f.err) {
			if told {
				return &failure{Exit: f.exit, Text: p.Text}
			}
			return &failure{Exit: f.exit, Text: cmp.Or(f.text, err.Error())}
		}
	}
	return &failure{Exit: exitFailed, Text: err.Error()}
}

func (a *admin) domainAdd(ctx context.Context, p name) (nothing, error) {
	if err := a.directory.AddDomain(ctx, p.Name); err != nil {
		return nothing{}, err
	}
	return nothing{}, a.domainMade(ctx, p.Name)
}

// domainMade has keys and certificates follow a new domain.
func (a *admin) domainMade(ctx context.Context, domain string) error {
	if err := a.keys.Ensure(ctx, domain); err != nil {
		return err // the next start makes them
	}
	return a.domainsChanged()
}

func (a *admin) domainRemove(ctx context.Context, p name) (nothing, error) {
	if err := a.directory.RemoveDomain(ctx, p.Name); err != nil {
		return nothing{}, err
	}
	return nothing{}, a.domainGone(ctx, p.Name)
}

// domainGone has keys, reports and certificates follow the end of one.
func (a *admin) domainGone(ctx context.Context, domain string) error {
	if err := a.keys.Remove(ctx, domain); err != nil {
		return err
	}
	if err := a.feedback.SetReports(ctx, domain, true); err != nil { // as a new one of that name begins
		return err
	}
	return a.domainsChanged()
}

func (a *admin) domainList(context.Context, nothing) ([]directory.Domain, error) {
	return a.directory.Domains(), nil
}

// domainDetails is a domain with what its owner has to publish.
type domainDetails struct {
	directory.Domain
	Reports bool        `json:"reports"` // are sent about mail for and from it
	Records []dnsRecord `json:"records"`
}

func (a *admin) domainShow(ctx context.Context, p name) (domainDetails, error) {
	d, err := a.directory.Domain(p.Name)
	if err != nil {
		return domainDetails{}, err
	}
	records, err := a.records(ctx, d.Name)
	return domainDetails{d, a.feedback.Reports(d.Name), records}, err
}

type catchAllParams struct {
	Domain  string `json:"domain"`
	Account string `json:"account"`
}

func (a *admin) domainCatchAll(ctx context.Context, p catchAllParams) (nothing, error) {
	return nothing{}, a.directory.SetCatchAll(ctx, p.Domain, p.Account)
}

type passwordParams struct {
	Name     string `json:"name"`
	Password string `json:"password"`
}

func (a *admin) accountAdd(ctx context.Context, p passwordParams) (nothing, error) {
	_, err := a.directory.AddAccount(ctx, p.Name, p.Password)
	return nothing{}, err
}

func (a *admin) accountPassword(ctx context.Context, p passwordParams) (nothing, error) {
	return nothing{}, a.directory.SetPassword(ctx, p.Name, p.Password)
}

func (a *admin) accountRemove(ctx context.Context, p name) (nothing, error) {
	e, err := a.directory.Account(p.Name)
	if err == nil {
		err = a.directory.RemoveAccount(ctx, p.Name)
	}
	if err != nil {
		return nothing{}, err
	}
	return nothing{}, errors.Join(transfer.ForgetTaken(ctx, a.store, e.ID), local.ForgetReplies(ctx, a.store, e.ID))
}

// accountInfo is an account with what it holds.
type accountInfo struct {
	Name      string    `json:"name"`
	Addresses []string  `json:"addresses"`
	Created   time.Time `json:"created"`
	Messages  int64     `json:"messages"`
	Size      int64     `json:"size"` // octets

	QuotaSize     int64 `json:"quota_size"` // octets; 0 = no limit
	QuotaMessages int64 `json:"quota_messages"`

	Hidden   []string            `json:"hidden_capabilities,omitempty"` // of IMAP
	Disabled *directory.Disabled `json:"disabled,omitempty"`

	LastLogin *loginlog.Line `json:"last_login,omitempty"` // that succeeded
}

func (a *admin) accountList(context.Context, nothing) ([]accountInfo, error) {
	list := []accountInfo{}
	for _, e := range a.directory.Accounts() {
		info, err := a.info(e)
		if err != nil {
			return nil, err
		}
		list = append(list, info)
	}
	return list, nil
}

func (a *admin) info(e directory.Entry) (accountInfo, error) {
	u, err := a.store.Usage(e.ID)
	if err != nil {
		return accountInfo{}, fmt.Errorf("account %s: %w", e.Name, err)
	}
	q, err := a.store.Quota(e.ID)
	if err != nil {
		return accountInfo{}, fmt.Errorf("account %s: %w", e.Name, err)
	}
	last, ok, err := a.directory.LastLogin(e.ID)
	if err != nil {
		return accountInfo{}, fmt.Errorf("account %s: %w", e.Name, err)
	}
	info := accountInfo{Name: e.Name, Addresses: e.Addresses, Created: e.Created, Messages: u.Messages, Size: u.Size,
		QuotaSize: q.Storage, QuotaMessages: q.Messages, Hidden: e.Hidden, Disabled: e.Disabled}
	if ok {
		info.LastLogin = &last
	}
	return info, nil
}

func (a *admin) accountShow(_ context.Context, p name) (accountInfo, error) {
	e, err := a.directory.Account(p.Name)
	if err != nil {
		return accountInfo{}, err
	}
	return a.info(e)
}

type addressParams struct {
	Account string `json:"account"`
	Address string `json:"address"`
}

func (a *admin) addressAdd(ctx context.Context, p addressParams) (nothing, error) {
	return nothing{}, a.directory.AddAddress(ctx, p.Account, p.Address)
}

func (a *admin) addressRemove(ctx context.Context, p addressParams) (nothing, error) {
	return nothing{}, a.directory.RemoveAddress(ctx, p.Account, p.Address)
}

type aliasParams struct {
	Address     string   `json:"address"`
	Members     []string `json:"members"`
	MembersOnly *bool    `json:"members_only,omitempty"`
	Owner       *string  `json:"owner,omitempty"` // "" = none
}

func (a *admin) aliasAdd(ctx context.Context, p aliasParams) (nothing, error) {
	if len(p.Members) > 0 {
		err := a.directory.AddAlias(ctx, p.Address, p.Members...)
		if err != nil && (!errors.Is(err, directory.ErrExists) || p.MembersOnly == nil && p.Owner == nil) {
			return nothing{}, err
		}
	}
	if p.MembersOnly != nil {
		if err := a.directory.SetMembersOnly(ctx, p.Address, *p.MembersOnly); err != nil {
			return nothing{}, err
		}
	}
	if p.Owner != nil {
		return nothing{}, a.directory.SetOwner(ctx, p.Address, *p.Owner)
	}
	return nothing{}, nil
}

func (a *admin) aliasRemove(ctx context.Context, p aliasParams) (nothing, error) {
	return nothing{}, a.directory.RemoveAlias(ctx, p.Address, p.Members...)
}

func (a *admin) aliasList(context.Context, nothing) ([]directory.Alias, error) {
	return a.directory.Aliases(), nil
}

func (a *admin) aliasShow(_ context.Context, p name) (directory.Alias, error) {
	return a.directory.Alias(p.Name)
}
