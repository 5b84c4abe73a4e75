package main

import (
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// step is a command of a script; the words $id stand for the entry in the queue.
type step struct {
	action string // in the table of actions
	args   string
	stdin  string
	code   int
	out    string // in standard output
}

// administration uses every action, rightly and wrongly.
var administration = []step{
	{action: "domain list", out: "example.test"},
	{action: "domain list", args: "--json", out: `"name": "example.test"`},
	{action: "domain add", args: "a.test"},
	{action: "domain add", args: "A.Test.", code: exitExists},
	{action: "domain add", args: "not_a_domain", code: exitUsage},
	{action: "config export", out: `[domains."a.test"] [domains."example.test"] [accounts."user@example.test"]`},
	{action: "config export", args: "extra", code: exitUsage},
	{action: "domain alias add", args: "alias.test a.test"},
	{action: "domain alias add", args: "alias.test a.test", code: exitExists},
	{action: "domain alias add", args: "b.test alias.test", code: exitUsage},
	{action: "domain list", out: "alias.test - a.test"},
	{action: "domain show", args: "alias.test", out: "mailstead-rsa._domainkey.alias.test. IN TXT \"v=DKIM1;"},
	{action: "domain remove", args: "a.test", code: exitFailed},
	{action: "domain show", args: "a.test", out: "mailstead-rsa._domainkey.a.test. IN TXT \"v=DKIM1;"},
	{action: "domain show", args: "a.test", out: "_dmarc.a.test. IN TXT \"v=DMARC1; p=none; rua=mailto:postmaster@a.test\""},
	{action: "domain show", args: "a.test --json", out: `"name": "mailstead-ed25519._domainkey.a.test"`},
	{action: "domain show", args: "b.test --json", code: exitNoSuch},
	{action: "check", args: "--only version", out: version},
	{action: "check", args: "--only resolver --json", out: `"state": "unknown"`},
	{action: "check", args: "--only nonsense", code: exitUsage},
	{action: "check", args: "b.test", code: exitNoSuch},
	{action: "domain reports", args: "off a.test"},
	{action: "domain show", args: "a.test", out: "are sent no reports"},
	{action: "domain show", args: "a.test --json", out: `"reports": false`},
	{action: "domain reports", args: "on a.test"},
	{action: "domain show", args: "a.test --json", out: `"reports": true`},
	{action: "domain reports", args: "off b.test", code: exitNoSuch},
	{action: "report sent"},
	{action: "report sent", args: "--json", out: "[]"},
	{action: "domain dkim list", out: "mailstead-rsa"},
	{action: "domain dkim rotate", args: "a.test", out: "Publish these records"},
	{action: "domain show", args: "a.test", out: "; of a new key, which signs once this is there"},
	{action: "domain dkim show", args: "a.test --json", out: `"state": "waiting"`},
	{action: "domain dkim rotate", args: "a.test --now", out: "Until these records are in the DNS"},
	{action: "domain dkim show", args: "a.test", out: "keep its record until"},
	{action: "domain show", args: "a.test", out: "; of an old key: keep it until"},
	{action: "domain dkim rotate", args: "b.test", code: exitNoSuch},
	{action: "domain dkim show", args: "b.test", code: exitNoSuch},
	{action: "account add", args: "ann@a.test", stdin: "secret\n"},
	{action: "account add", args: "Ann@a.test", stdin: "secret\n", code: exitExists},
	{action: "account add", args: "bob@elsewhere.test", stdin: "secret\n", code: exitNoSuch},
	{action: "account add", args: "bob", stdin: "secret\n", code: exitUsage},
	{action: "account add", args: "bob@a.test", stdin: "\n", code: exitUsage},
	{action: "account add", args: "bob@a.test", stdin: "a\x00b\n", code: exitUsage},
	{action: "account show", args: "ann@alias.test", out: "ann@a.test"},
	{action: "domain alias remove", args: "a.test", code: exitNoSuch},
	{action: "domain alias remove", args: "alias.test"},
	{action: "account show", args: "ann@alias.test", code: exitNoSuch},
	{action: "account disable", args: "ann@a.test --reason moved --refuse-mail"},
	{action: "account disable", args: "ann@a.test --reason moved --refuse-mail", code: exitExists},
	{action: "account disable", args: "bob@a.test", code: exitNoSuch},
	{action: "account list", out: "refuses mail: moved"},
	{action: "account enable", args: "ann@a.test"},
	{action: "account enable", args: "ann@a.test", code: exitExists},
	{action: "account rename", args: "ann@a.test user@example.test", code: exitExists},
	{action: "account rename", args: "ann@a.test anna@a.test", out: "The account is anna@a.test now"},
	{action: "account rename", args: "bob@a.test bob@example.test", code: exitNoSuch},
	{action: "account rename", args: "anna@a.test ann@a.test --drop-old"},
	{action: "account show", args: "anna@a.test", code: exitNoSuch},
	{action: "account logins", args: "user@example.test", out: "submission 127.0.0.1 client.test own password ok"},
	{action: "account logins", args: "user@example.test --json --limit 1", out: `"result": "ok"`},
	{action: "account logins", args: "ann@a.test --json", out: "[]"},
	{action: "account logins", args: "bob@a.test", code: exitNoSuch},
	{action: "account show", args: "user@example.test --json", out: `"last_login"`},
	{action: "bans list", args: "--json", out: "[]"},
	{action: "unban", args: "192.0.2.1", code: exitNoSuch},
	{action: "unban", args: "2001:db8::/32", code: exitNoSuch},
	{action: "unban", args: "ann@a.test", code: exitNoSuch},
	{action: "unban", args: "all", out: "released: 0"},
	{action: "alias masked add", args: "ann@a.test --label shop --expires 2999-12-31", out: "MASKEDa.test"},
	{action: "alias masked add", args: "ann@a.test --domain b.test", code: exitNoSuch},
	{action: "alias masked add", args: "ann@a.test --expires soon", code: exitUsage},
	{action: "alias masked list", out: "ann@a.test shop on"},
	{action: "alias masked list", args: "ann@a.test --json", out: `"letters": 0`},
	{action: "alias masked off", args: "nobody@a.test", code: exitNoSuch},
	{action: "alias masked on", args: "nobody@a.test --expires never", code: exitNoSuch},
	{action: "alias masked remove", args: "nobody@a.test", code: exitNoSuch},
	{action: "account password", args: "ann@a.test", stdin: "better"},
	{action: "account password", args: "bob@a.test", stdin: "better", code: exitNoSuch},
	{action: "account app-password add", args: "ann@a.test phone --scope imap,smtp --expires 2999-12-31", out: "PASSWORD"},
	{action: "account app-password add", args: "ann@a.test Phone", code: exitExists},
	{action: "account app-password add", args: "ann@a.test x --scope web", code: exitUsage},
	{action: "account app-password add", args: "ann@a.test x --expires 2020-01-01", code: exitUsage},
	{action: "account app-password add", args: "bob@a.test x", code: exitNoSuch},
	{action: "account password", args: "ann@a.test", stdin: "best"}, // app passwords stay
	{action: "account app-password list", args: "ann@a.test", out: "imap smtp"},
	{action: "account app-password list", args: "ann@a.test --json", out: `"label": "phone"`},
	{action: "account app-password remove", args: "ann@a.test PHONE"},
	{action: "account app-password remove", args: "ann@a.test phone", code: exitNoSuch},
	{action: "account app-password list", args: "ann@a.test --json", out: "[]"},
	{action: "account show", args: "ann@a.test --json", out: `"addresses": []`},
	{action: "account show", args: "bob@a.test", code: exitNoSuch},
	{action: "account quota", args: "ann@a.test --storage 5GB"},
	{action: "account quota", args: "ann@a.test --messages 1000"},
	{action: "account list", out: "5.0 GB, 1000 messages"},
	{action: "account show", args: "ann@a.test --json", out: `"quota_size": 5000000000`},
	{action: "account quota", args: "ann@a.test --none"},
	{action: "account show", args: "ann@a.test --json", out: `"quota_messages": 0`},
	{action: "account quota", args: "ann@a.test", code: exitUsage},
	{action: "account quota", args: "ann@a.test --none --messages 1", code: exitUsage},
	{action: "account quota", args: "ann@a.test --storage much", code: exitUsage},
	{action: "account quota", args: "ann@a.test --messages=-1", code: exitUsage},
	{action: "account quota", args: "bob@a.test --none", code: exitNoSuch},
	{action: "account capability", args: "ann@a.test --hide COMPRESS,NOTIFY"},
	{action: "account show", args: "ann@a.test --json", out: "COMPRESS"},
	{action: "account capability", args: "ann@a.test --show COMPRESS,NOTIFY"},
	{action: "account capability", args: "ann@a.test", code: exitUsage},
	{action: "account capability", args: "ann@a.test --hide IMAP4rev1", code: exitUsage},
	{action: "account capability", args: "bob@a.test --hide NOTIFY", code: exitNoSuch},
	{action: "account junk", args: "ann@a.test", out: "CORRESPONDENTS"},
	{action: "account junk", args: "ann@a.test --reset --json", out: `"junk": 0`},
	{action: "account junk", args: "bob@a.test", code: exitNoSuch},
	{action: "account block add", args: "ann@a.test Spam@Elsewhere.test"},
	{action: "account block add", args: "ann@a.test spam@elsewhere.test", code: exitExists},
	{action: "account block add", args: "ann@a.test 192.0.2.1", code: exitUsage},
	{action: "account block add", args: "bob@a.test elsewhere.test", code: exitNoSuch},
	{action: "account block list", args: "ann@a.test", out: "spam@elsewhere.test"},
	{action: "account allow add", args: "ann@a.test elsewhere.test"},
	{action: "account allow list", args: "ann@a.test --json", out: `"sender": "elsewhere.test"`},
	{action: "account allow remove", args: "ann@a.test elsewhere.test"},
	{action: "account allow remove", args: "ann@a.test elsewhere.test", code: exitNoSuch},
	{action: "account block remove", args: "ann@a.test spam@elsewhere.test"},
	{action: "account forwarder add", args: "ann@a.test old.test"},
	{action: "account forwarder add", args: "ann@a.test 192.0.2.0/24"},
	{action: "account forwarder list", args: "ann@a.test", out: "192.0.2.0/24"},
	{action: "account forwarder remove", args: "ann@a.test old.test"},
	{action: "account forwarder remove", args: "ann@a.test old.test", code: exitNoSuch},
	{action: "account limits", args: "ann@a.test --messages 7 --recipients 9 --strangers none", out: "messages 7 0 recipients 9 0 strangers none 0"},
	{action: "account limits", args: "ann@a.test", out: "messages 7 0 recipients 9 0 strangers none 0"},
	{action: "account limits", args: "ann@a.test --messages none", out: "messages none 0 recipients 9 0"},
	{action: "account limits", args: "ann@a.test --messages 0", code: exitUsage},
	{action: "account limits", args: "nobody@a.test", code: exitNoSuch},
	{action: "account grant send-as", args: "ann@a.test office@club.test"},
	{action: "account grant send-as", args: "ann@a.test office@club.test", code: exitExists},
	{action: "account grant list", args: "ann@a.test", out: "office@club.test"},
	{action: "account revoke send-as", args: "ann@a.test office@club.test"},
	{action: "account revoke send-as", args: "ann@a.test office@club.test", code: exitNoSuch},
	{action: "account address add", args: "ann@a.test post@a.test"},
	{action: "account address add", args: "ann@a.test post@a.test", code: exitExists},
	{action: "account address add", args: "bob@a.test b@a.test", code: exitNoSuch},
	{action: "account list", out: "post@a.test"},
	{action: "account list", args: "--json", out: `"post@a.test"`},
	{action: "account address remove", args: "ann@a.test post@a.test"},
	{action: "account address remove", args: "ann@a.test post@a.test", code: exitNoSuch},
	{action: "account address remove", args: "ann@a.test ann@a.test", code: exitFailed},
	{action: "account vacation show", args: "ann@a.test", code: exitNoSuch},
	{action: "account vacation off", args: "ann@a.test", code: exitNoSuch},
	{action: "account vacation on", args: "ann@a.test", code: exitUsage},
	{action: "account vacation on", args: "ann@a.test --text away --text-file -", code: exitUsage},
	{action: "account vacation on", args: "ann@a.test --text away --days 31", code: exitUsage},
	{action: "account vacation on", args: "ann@a.test --text away --from soon", code: exitUsage},
	{action: "account vacation on", args: "ann@a.test --text away --from 2026-08-02 --until 2026-08-01", code: exitUsage},
	{action: "account vacation on", args: "bob@a.test --text away", code: exitNoSuch},
	{action: "account vacation on", args: "ann@a.test --text away --subject Away --from 2026-08-01 --until 2026-08-01 --address Old@far.test"},
	{action: "account vacation show", args: "ann@a.test --json", out: `"subject": "Away"`},
	{action: "account vacation on", args: "ann@a.test --text-file - --days 3", stdin: "I am on a boat.\n"},
	{action: "account vacation show", args: "ann@a.test", out: "I am on a boat."},
	{action: "account vacation off", args: "ann@a.test"},
	{action: "account forward list", args: "ann@a.test --json", out: "[]"},
	{action: "account forward remove", args: "ann@a.test", code: exitNoSuch},
	{action: "account forward add", args: "ann@a.test", code: exitUsage},
	{action: "account forward add", args: "ann@a.test --keep --no-keep", code: exitUsage},
	{action: "account forward add", args: "ann@a.test Ann@far.test"},
	{action: "account forward add", args: "ann@a.test Ann@far.test", code: exitExists},
	{action: "account forward add", args: "ann@a.test ANN@a.test", code: exitUsage},
	{action: "account forward add", args: "bob@a.test x@far.test", code: exitNoSuch},
	{action: "account forward list", args: "ann@a.test", out: "Ann@far.test yes"},
	{action: "account forward add", args: "ann@a.test --no-keep"},
	{action: "account forward list", args: "ann@a.test --json", out: `"keep": false`},
	{action: "account forward remove", args: "ann@a.test x@far.test", code: exitNoSuch},
	{action: "account forward remove", args: "ann@a.test ann@far.test"},
	{action: "alias list", args: "--json", out: "[]"},
	{action: "alias list"},
	{action: "alias add", args: "info@a.test ann@a.test x@elsewhere.test"},
	{action: "alias add", args: "info@a.test ann@a.test", code: exitExists},
	{action: "alias add", args: "ann@a.test x@elsewhere.test", code: exitExists},
	{action: "alias add", args: "info@b.test ann@a.test", code: exitNoSuch},
	{action: "alias show", args: "Info@A.test --json", out: `"x@elsewhere.test"`},
	{action: "alias show", args: "none@a.test", code: exitNoSuch},
	{action: "alias add", args: "info@a.test", code: exitUsage},
	{action: "alias add", args: "info@a.test --members-only --owner ann@a.test"},
	{action: "alias show", args: "info@a.test", out: "info@a.test members ann@a.test"},
	{action: "alias add", args: "info@a.test --owner info@a.test", code: exitUsage},
	{action: "alias add", args: "info@a.test --open --no-owner"},
	{action: "alias list", out: "info@a.test all -"},
	{action: "alias add", args: "none@a.test --open", code: exitNoSuch},
	{action: "alias remove", args: "info@a.test x@elsewhere.test"},
	{action: "alias remove", args: "info@a.test"},
	{action: "alias remove", args: "info@a.test", code: exitNoSuch},
	{action: "domain catch-all", args: "a.test ann@a.test"},
	{action: "domain show", args: "a.test --json", out: `"catch_all": "ann@a.test"`},
	{action: "domain catch-all", args: "a.test bob@a.test", code: exitNoSuch},
	{action: "domain catch-all", args: "a.test"},
	{action: "domain remove", args: "a.test", code: exitFailed},
	{action: "account list-deleted", args: "--json", out: "[]"},
	{action: "account remove", args: "ann@a.test"},
	{action: "account remove", args: "ann@a.test", code: exitNoSuch},
	{action: "account list-deleted", out: "ann@a.test"},
	{action: "account restore", args: "bob@a.test", code: exitNoSuch},
	{action: "account restore", args: "ann@a.test", out: "restored ann@a.test with 0 messages"},
	{action: "account show", args: "ann@a.test", out: "ann@a.test"},
	{action: "mailbox list", args: "ann@a.test", out: "Archive"},
	{action: "mailbox list", args: "ann@a.test --json", out: `"special_use": "\\Trash"`},
	{action: "mailbox list", args: "bob@a.test", code: exitNoSuch},
	{action: "mailbox acl", args: "ann@a.test Archive", out: "lrswipkxtecda"},
	{action: "mailbox acl", args: "ann@a.test Archive anyone lr --json", out: `"who": "anyone"`},
	{action: "mailbox acl", args: "ann@a.test Archive anyone +sd", out: "lrsted"},
	{action: "mailbox acl", args: "ann@a.test Archive anyone", code: exitUsage},
	{action: "mailbox acl", args: "ann@a.test Archive anyone Q", code: exitUsage},
	{action: "mailbox acl", args: "ann@a.test Archive bob@a.test lr", code: exitNoSuch},
	{action: "mailbox acl", args: "ann@a.test none anyone lr", code: exitNoSuch},
	{action: "mailbox acl", args: "bob@a.test INBOX", code: exitNoSuch},
	{action: "mailbox list-deleted", args: "ann@a.test --json", out: "[]"},
	{action: "mailbox list-deleted", args: "bob@a.test", code: exitNoSuch},
	{action: "mailbox restore", args: "ann@a.test none", code: exitNoSuch},
	{action: "mailbox restore", args: "bob@a.test none", code: exitNoSuch},
	{action: "mailbox list-deleted-messages", args: "ann@a.test --since 2020-01-01 --json", out: "[]"},
	{action: "mailbox list-deleted-messages", args: "bob@a.test", code: exitNoSuch},
	{action: "mailbox restore-messages", args: "ann@a.test --before 2020-01-01 --from x --mailbox INBOX", out: "restored 0 messages into Restored"},
	{action: "mailbox restore-messages", args: "ann@a.test --dry-run"},
	{action: "mailbox restore-messages", args: "bob@a.test", code: exitNoSuch},
	{action: "account remove", args: "ann@a.test"},
	{action: "account add", args: "eve@a.test", stdin: "secret\n"},
	{action: "route add", args: "eve --direct --account eve@a.test"},
	{action: "account erase", args: "eve@a.test", code: exitUsage},
	{action: "account erase", args: "eve@a.test --yes --quiet", out: "eve@a.test is erased."},
	{action: "account erase", args: "eve@a.test --yes --quiet", code: exitNoSuch},
	{action: "account list-deleted", out: "ann@a.test"},
	{action: "account erase", args: "ann@a.test --yes --quiet", out: "ann@a.test is erased."}, // removed before
	{action: "account list-deleted", args: "--json", out: "[]"},
	{action: "domain remove", args: "a.test"},
	{action: "domain remove", args: "a.test", code: exitNoSuch},
	{action: "queue list", out: "disabled"},
	{action: "queue list", args: "--json", out: `"next_attempt": null`},
	{action: "queue show", args: "$id", out: "x@far.test"},
	{action: "queue show", args: "$id --json", out: `"errors": []`},
	{action: "queue show", args: "00000000000001", code: exitNoSuch},
	{action: "queue show", args: "nonsense", code: exitNoSuch},
	{action: "queue show", args: "$id", out: "given up -"},
	{action: "queue destinations", out: "far.test"},
	{action: "queue destinations", args: "--json", out: `"destination": "far.test"`},
	{action: "queue hold", args: "$id", out: "hold: 1 entry"},
	{action: "queue list", args: "--json --held", out: `"state": "held"`},
	{action: "queue list", args: "--to far.test --from example.test", out: "held"},
	{action: "queue list", args: "--to a.test --json", out: "[]"},
	{action: "queue release", args: "--to far.test", out: "release: 1 entry"},
	{action: "queue retry", args: "$id"},
	{action: "queue retry", args: "all", out: "retry: 1 entry"},
	{action: "queue retry", args: "nonsense", code: exitNoSuch},
	{action: "queue hold", args: "$id"},               // what a running server would try is no matter here
	{action: "route list", args: "--json", out: "[]"}, // that of eve is gone with her
	{action: "route add", args: "provider --via smtp.provider.test --user ann", stdin: "Tr0ub4dor\n"},
	{action: "route add", args: "provider --via smtp.provider.test", code: exitExists},
	{action: "route add", args: "other --via smtp.other.test", code: exitExists}, // the same mail
	{action: "route add", args: "near --direct --to Near.test"},
	{action: "route add", args: "later --via 127.0.0.1:1 --tls none --fallback"},
	{action: "route add", args: "user --via smtp.user.test:465 --account user@example.test --from example.test --pin " + strings.Repeat("ab:", 31) + "ab"},
	{action: "route add", args: "x --via smtp.provider.test --account nobody@example.test", code: exitNoSuch},
	{action: "route add", args: "x --via smtp.provider.test --ca /nowhere.pem --to x.test", code: exitNoSuch},
	{action: "route add", args: "x --via smtp.provider.test --direct", code: exitUsage},
	{action: "route add", args: "x", code: exitUsage},
	{action: "route add", args: "x --direct --tls none", code: exitUsage},
	{action: "route add", args: "x --via 192.0.2.1 --tls none --to x.test", code: exitUsage},
	{action: "route add", args: "x --via 127.0.0.1 --tls none --to x.test --user ann", stdin: "secret", code: exitUsage},
	{action: "route add", args: "x --via smtp.provider.test --after 3", code: exitUsage},
	{action: "route add", args: "x --via smtp.provider.test --keep-password", code: exitUsage},
	{action: "route add", args: "provider --via smtp.provider.test:465 --user ann --replace --keep-password"},
	{action: "route list", out: "smtp.provider.test:465"},
	{action: "route show", args: "provider --json", out: `"security": "implicit"`},
	{action: "route show", args: "user", out: "of user@example.test, from example.test"},
	{action: "route show", args: "near", out: "direct"},
	{action: "route show", args: "none", code: exitNoSuch},
	{action: "route test", args: "near", out: "goes directly"},
	{action: "route test", args: "--to x@sub.near.test --from user@example.test", out: "goes directly"},
	{action: "route test", args: "later", out: "* such mail goes by the route later", code: exitFailed},
	{action: "route test", args: "none", code: exitNoSuch},
	{action: "route test", args: "--to x@example.test", code: exitUsage},
	{action: "route test", code: exitUsage},
	{action: "route remove", args: "provider"},
	{action: "route remove", args: "provider", code: exitNoSuch},
	{action: "route remove", args: "later"},
	{action: "route remove", args: "user"},
	{action: "queue reroute", args: "all --via 127.0.0.1:1 --tls none"},
	{action: "queue show", args: "$id", out: "by 127.0.0.1:1"},
	{action: "queue reroute", args: "$id --direct"},
	{action: "queue show", args: "$id --json", out: `"via": ""`},
	{action: "queue reroute", args: "$id --routes"},
	{action: "queue reroute", args: "$id", code: exitUsage},
	{action: "queue reroute", args: "$id --routes --direct", code: exitUsage},
	{action: "queue reroute", args: "$id --via 192.0.2.1 --tls none", code: exitUsage},
	{action: "queue reroute", args: "00000000000001 --direct", code: exitNoSuch},
	{action: "queue drop", code: exitUsage},
	{action: "queue drop", args: "all --held", code: exitUsage},
	{action: "queue drop", args: "--from <>", out: "drop: 0 entries"},
	{action: "queue drop", args: "$id"},
	{action: "queue drop", args: "$id", code: exitNoSuch},
	{action: "queue hold", args: "$id", code: exitNoSuch},
	{action: "queue release", args: "$id", code: exitNoSuch},
	{action: "queue list", args: "--json", out: "[]"},
	{action: "certificate list", args: "--json", out: "[]"},
	{action: "certificate list"},
	{action: "certificate renew", args: "mail.a.test", code: exitFailed},
	{action: "certificate new-key", args: "mail.a.test", code: exitFailed},
	{action: "report dmarc", args: "--json", out: "[]"},
	{action: "report dmarc", args: "--domain a.test"},
	{action: "report dmarc", args: "--domain .", code: exitUsage},
	{action: "report tls", args: "--json --days 180", out: "[]"},
	{action: "report tls", args: "--days 0", code: exitUsage},
	{action: "log", args: "--to nobody@far.test --json", out: "[]"},
	{action: "log", args: "--limit=-1", code: exitUsage},
	{action: "log", args: "--since tomorrow", code: exitUsage},
	{action: "verify", args: "--json --quiet", out: "[]"},
	{action: "verify", out: "whole: "},
	{action: "verify --reindex", out: "the full-text index was made again"},
}

// TestAdministrationBothWays plays the script against a server that runs, and
// on a folder alone, and compares what people see.
func TestAdministrationBothWays(t *testing.T) {
	if testing.Short() {
		t.Skip("some hundred commands with their password hashes; the short form runs under the race detector, under which they take minutes")
	}
	t.Parallel()
	serving, alone := folderWithMail(t), folderWithMail(t)
	startTrial(t, serving)
	used := map[string]bool{"restart": true, "status": true} // TestRestart, TestStatus
	ids := map[string]string{serving: queueID(t, serving), alone: queueID(t, alone)}
	play := func(dir string, all []outcome) {
		for i, s := range administration {
			args := strings.Fields(s.action + " " + strings.ReplaceAll(s.args, "$id", ids[dir]))
			got := command(t, s.stdin, append(args, "--dir", dir)...)
			checkJSON(t, s, got)
			all[i] = outcome{got.code, anonymous(got.out, dir, ids[dir]), anonymous(got.err, dir, ids[dir])}
		}
	}
	byServer, byFolder := make([]outcome, len(administration)), make([]outcome, len(administration))
	var both sync.WaitGroup
	both.Go(func() { play(serving, byServer) })
	both.Go(func() { play(alone, byFolder) })
	both.Wait()
	for i, s := range administration {
		used[s.action] = true
		a, b := byServer[i], byFolder[i]
		if a.code != s.code || !strings.Contains(a.out, s.out) || (a.err == "") != (s.code == 0) {
			t.Errorf("%s %s: %+v", s.action, s.args, a)
		}
		if a != b {
			t.Errorf("%s %s:\nserving %+v\nalone   %+v", s.action, s.args, a, b)
		}
	}
	for _, step := range []string{"setup", "backup snapshot", "backup drop", "backup log", "log flush", "import taken", "reload"} { // steps of `setup`: TestSetupCommand; of `backup`: TestBackupCommands; of `log`: TestWhereIsMyMail; of `import imap`: TestImportExportIMAP; `reload`: TestReload
		used[step] = true
	}
	for _, action := range slices.Sorted(maps.Keys(actions)) {
		if !used[action] {
			t.Errorf("the action %q is not tried", action)
		}
	}
}

// folderWithMail is a server's folder with an account and a message that waits.
func folderWithMail(t *testing.T) string {
	t.Helper()
	dir := trialDir(t)
	s := startTrial(t, dir, "--account", "user@example.test:pass")
	s.submit("user@example.test", "pass", "x@far.test")
	if code := s.stop(); code != 0 {
		t.Fatalf("exit %d: %s", code, s.err.String())
	}
	return dir
}

func queueID(t *testing.T, dir string) string {
	t.Helper()
	var list []struct{ ID string }
	got := command(t, "", "queue", "list", "--json", "--dir", dir)
	if err := json.Unmarshal([]byte(got.out), &list); err != nil || len(list) != 1 {
		t.Fatalf("%+v, %v", got, err)
	}
	return list[0].ID
}

var (
	aTime   = regexp.MustCompile(`\d{4}-\d\d-\d\d(T[\d:.]+Z)?|-20\d{6}`)
	records = regexp.MustCompile(`\d+ records`) // what works in the background writes some, too
)

// anonymous takes out what differs between two servers that do the same.
func anonymous(s, dir, id string) string {
	s = aTime.ReplaceAllString(strings.ReplaceAll(strings.ReplaceAll(s, dir, "DIR"), id, "ID"), "TIME")
	s = exchanger.ReplaceAllString(s, "")
	s = publicKey.ReplaceAllString(s, "p=KEY")
	s = records.ReplaceAllString(s, "RECORDS")
	s = appPassword.ReplaceAllString(s, "PASSWORD")
	s = maskedAddress.ReplaceAllString(s, "MASKED")
	return strings.Join(strings.Fields(s), " ")
}

var (
	maskedAddress = regexp.MustCompile(`\b([bdfghjklmnprstvz][aeio]){3}-([bdfghjklmnprstvz][aeio]){3}@`)

	appPassword = regexp.MustCompile(`(?m)^([a-z2-7]{5}-){3}[a-z2-7]{5}$`)
	publicKey   = regexp.MustCompile(`p=[A-Za-z0-9+/]{20}[A-Za-z0-9+/=" \\]+`) // made at random, with its strings in JSON or a zone file
	// Nobody knows the server's name in a folder alone, nor its ports.
	exchanger = regexp.MustCompile(`\S+ IN (MX|SRV|CNAME) [^\n]*\n|_mta-sts\S+ IN TXT [^\n]*\n|` +
		`\{[^{}]*"type": "MX"[^{}]*\},|,\s*\{[^{}]*"type": "(SRV|CNAME)"[^{}]*\}|,\s*\{[^{}]*"name": "_mta-sts[^{}]*\}`)
	snakeCase = regexp.MustCompile(`^[a-z][a-z0-9]*(_[a-z0-9]+)*$`)
	timeKeys  = []string{"created", "received", "next_attempt", "at"}
)

// checkJSON holds the output of --json to its promises: one array, snake_case,
// times of RFC 3339 in UTC, no null where a list should be.
func checkJSON(t *testing.T, s step, got outcome) {
	t.Helper()
	if !strings.Contains(s.args, "--json") || got.code != 0 {
		return
	}
	var rows []map[string]any
	if err := json.Unmarshal([]byte(got.out), &rows); err != nil || rows == nil {
		t.Errorf("%s %s: not an array: %v\n%s", s.action, s.args, err, got.out)
	}
	for _, row := range rows {
		checkRow(t, s, row)
	}
}

func checkRow(t *testing.T, s step, row map[string]any) {
	t.Helper()
	for key, value := range row {
		if !snakeCase.MatchString(key) {
			t.Errorf("%s %s: the key %s", s.action, s.args, key)
		}
		switch value := value.(type) {
		case []any:
			for _, v := range value {
				if inner, ok := v.(map[string]any); ok {
					checkRow(t, s, inner)
				}
			}
		case string:
			if !slices.Contains(timeKeys, key) {
				continue
			}
			if at, err := time.Parse(time.RFC3339, value); err != nil || !strings.HasSuffix(value, "Z") || at.IsZero() {
				t.Errorf("%s %s: %s is %s", s.action, s.args, key, value)
			}
		case nil:
			if key != "next_attempt" {
				t.Errorf("%s %s: %s is null", s.action, s.args, key)
			}
		}
	}
}

func TestControlSocketIsForItsOwner(t *testing.T) {
	dir := trialDir(t)
	s := startTrial(t, dir)
	name := filepath.Join(dir, controlName)
	info, err := os.Stat(name)
	if err != nil || info.Mode() != fs.ModeSocket|0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the folder: %v, %v", info.Mode(), err)
	}
	s.stop()
	if _, err := os.Stat(name); !os.IsNotExist(err) {
		t.Errorf("after the end: %v", err)
	}
}

// TestControlSocketBadRequests: each gets an answer, or the end of its
// connection, and the next one is served.
func TestControlSocketBadRequests(t *testing.T) {
	dir := trialDir(t)
	s := startTrial(t, dir)
	for name, text := range map[string]string{
		"no JSON":                 "GET / HTTP/1.1\r\n\r\n",
		"not an object":           "[1,2,3]",
		"unknown action":          `{"action":"store burn","params":{}}`,
		"no action":               `{}`,
		"parameters of a kind":    `{"action":"domain add","params":[]}`,
		"no parameters":           `{"action":"domain add"}`,
		"too large":               `{"action":"domain add","params":{"name":"` + strings.Repeat("a", maxRequest),
		"nested without an end":   `{"action":"domain add","params":` + strings.Repeat("[", 100000),
		"cut off in the middle":   `{"action":"domain a`,
		"nothing":                 "",
		"NUL":                     "\x00",
		"text that is not UTF-8":  "{\"action\":\"domain add\",\"params\":{\"name\":\"\xff\"}}",
		"a control in the domain": `{"action":"domain add","params":{"name":"a\nb.test"}}`,
	} {
		conn, err := net.Dial("unix", filepath.Join(dir, controlName))
		if err != nil {
			t.Fatal(err)
		}
		conn.SetDeadline(time.Now().Add(patienceOfTests))
		go func() {
			io.WriteString(conn, text) // the server may have had enough before its end
			conn.(*net.UnixConn).CloseWrite()
		}()
		var r response
		if err := json.NewDecoder(conn).Decode(&r); err != nil || r.Failure == nil || r.Failure.Exit != exitUsage {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
		conn.Close()
	}
	if got := command(t, "", "domain", "list", "--dir", dir); got.code != 0 {
		t.Errorf("after them: %+v", got)
	}
	if log := s.err.String(); strings.Contains(log, "panic") || strings.Contains(log, "aaaa") {
		t.Errorf("log: %s", log)
	}
}

// TestControlSocketIdleClient: somebody who connects and says nothing does not
// keep the server from stopping.
func TestControlSocketIdleClient(t *testing.T) {
	dir := trialDir(t)
	s := startTrial(t, dir)
	conn, err := net.Dial("unix", filepath.Join(dir, controlName))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, `{"action":`); err != nil {
		t.Fatal(err)
	}
	if got := command(t, "", "domain", "list", "--dir", dir); got.code != 0 { // the idle one is being served by now
		t.Fatalf("%+v", got)
	}
	if code := s.stop(); code != 0 {
		t.Errorf("exit %d: %s", code, s.err.String())
	}
}

// TestControlSocketSurvivesAnAction: one that breaks ends its own connection only.
func TestControlSocketSurvivesAnAction(t *testing.T) {
	dir := t.TempDir()
	var log lockedBuffer
	c, err := listenControl(dir, func() *admin { return &admin{} }, slog.New(slog.NewTextHandler(&log, nil))) // without a directory every action breaks
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		got := command(t, "", "domain", "list", "--dir", dir)
		if got.code != exitFailed || !strings.Contains(got.err, "the running server's answer") {
			t.Errorf("%+v", got)
		}
	}
	if err := c.close(); err != nil {
		t.Error(err)
	}
	if n := strings.Count(log.String(), "an action broke"); n != 2 {
		t.Errorf("%d faults in the log: %s", n, log.String())
	}
}

// TestControlSocketInADeepFolder: names of sockets are short, those of folders
// are not.
func TestControlSocketInADeepFolder(t *testing.T) {
	dir := filepath.Join(trialDir(t), strings.Repeat("deep/", 30))
	s := startTrial(t, dir)
	if info, err := os.Stat(filepath.Join(dir, controlName)); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	// The server has the lock, so nobody else could answer.
	if got := command(t, "", "domain", "list", "--dir", dir); got.code != 0 || !strings.Contains(got.out, "example.test") {
		t.Errorf("%+v", got)
	}
	if code := s.stop(); code != 0 {
		t.Errorf("exit %d: %s", code, s.err.String())
	}
	if _, err := os.Stat(filepath.Join(dir, controlName)); !os.IsNotExist(err) {
		t.Errorf("after the end: %v", err)
	}
}

// TestControlSocketWithoutAnswer: a folder in use by somebody who does not
// answer is said to be so.
func TestControlSocketWithoutAnswer(t *testing.T) {
	dir := trialDir(t)
	startTrial(t, dir)
	if err := os.Remove(filepath.Join(dir, controlName)); err != nil {
		t.Fatal(err)
	}
	got := command(t, "", "domain", "list", "--dir", dir)
	if got.code != exitFailed || !strings.Contains(got.err, fmt.Sprintf("process %d", os.Getpid())) || !strings.Contains(got.err, "control socket") {
		t.Errorf("%+v", got)
	}
}

// TestAnotherUsersFolder: what an administrator does as root while no server
// runs leaves nothing that the server cannot open.
func TestAnotherUsersFolder(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can give a folder to somebody else")
	}
	dir := trialDir(t)
	startTrial(t, dir).stop()
	const somebody = 12345
	if err := os.Chown(storeDir(dir), somebody, somebody); err != nil {
		t.Fatal(err)
	}
	got := command(t, "", "domain", "add", "more.test", "--dir", dir)
	if got.code != exitFailed || !strings.Contains(got.err, "12345") {
		t.Errorf("%+v", got)
	}
	if err := os.Chown(storeDir(dir), os.Geteuid(), os.Getegid()); err != nil {
		t.Fatal(err)
	}
	if got := command(t, "", "domain", "add", "more.test", "--dir", dir); got.code != 0 {
		t.Errorf("%+v", got)
	}
}

// TestStaleControlSocket is what a killed server leaves.
func TestStaleControlSocket(t *testing.T) {
	dir := folderWithMail(t)
	l, err := net.Listen("unix", filepath.Join(dir, controlName))
	if err != nil {
		t.Fatal(err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	l.Close()
	if got := command(t, "", "domain", "list", "--dir", dir); got.code != 0 || !strings.Contains(got.out, "example.test") {
		t.Errorf("alone: %+v", got)
	}
	startTrial(t, dir)
	if got := command(t, "", "domain", "list", "--dir", dir); got.code != 0 {
		t.Errorf("serving: %+v", got)
	}
}

// TestAdministratorsAtOnce: each change is made once, whoever comes first.
func TestAdministratorsAtOnce(t *testing.T) {
	dir := trialDir(t)
	startTrial(t, dir)
	const many = 8
	codes := make([]int, many)
	var all sync.WaitGroup
	for i := range many {
		all.Go(func() { codes[i] = command(t, "", "domain", "add", "a.test", "--dir", dir).code })
	}
	all.Wait()
	slices.Sort(codes)
	want := slices.Repeat([]int{exitExists}, many)
	want[0] = 0
	if !slices.Equal(codes, want) {
		t.Errorf("exit statuses %v", codes)
	}
}
