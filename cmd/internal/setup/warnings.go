package setup

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
)

// Asked is what a probe is to find out.
type Asked struct {
	Hostname string
	Dir      string
}

// Probe finds out how a machine is. It ends within seconds, whatever does not answer.
type Probe func(ctx context.Context, a Asked) Facts

// Facts are what was found out; the zero value of a field is what nobody could say.
type Facts struct {
	Taken       []Taken
	Memory      int64 // octets
	Disk        int64 // octets free where the folder is to be
	ClockLoose  bool  // nobody keeps the clock right
	ClockWrong  bool  // it is before this program was made
	Resolver    Answer
	DNSSEC      Answer       // the resolver says what it has validated, and is believed
	Outgoing    Answer       // mail servers elsewhere are reached at port 25
	Own         []netip.Addr // public addresses of this machine
	HostnameIPs []netip.Addr // what the DNS has for the hostname
}

// Answer is one of yes, no, and nobody knows.
type Answer int

// The answers.
const (
	NotKnown Answer = iota
	Yes
	No
)

// Taken is a port that another program has.
type Taken struct {
	Port int
	By   string // the program's name; "" = it was not to be found out
}

// warning is what is wrong, why that matters, and what to do: a line each.
type warning struct{ what, why, remedy string }

// Least of what a server is well with.
const (
	enoughMemory = 400 << 20
	enoughDisk   = 2 << 30
)

// judge says what of the facts its owner should know.
func judge(f Facts, a Answers) (list []warning) {
	add := func(what, why, remedy string) { list = append(list, warning{what, why, remedy}) }
	for _, t := range f.Taken {
		if t.By == "mailstead" { // the server itself, which runs already
			continue
		}
		list = append(list, portTaken(t))
	}
	if f.Outgoing == No {
		add("Port 25 to other mail servers seems to be blocked.",
			"Mail to others would wait in the queue.",
			"Ask your provider to open it, or let a server of theirs hand mail on: mailstead route add")
	}
	list = append(list, judgeDNS(f, a)...)
	if special(a.Hostname) {
		add(a.Hostname+" is no name of the public DNS.", "No authority issues a certificate for it, and other servers distrust it.", "For a server on the internet choose a name of a domain of yours.")
	}
	if f.ClockWrong {
		add("The clock is far behind.", "Certificates seem not to be valid yet, and letters have wrong dates.", "Set it: timedatectl set-ntp true")
	} else if f.ClockLoose {
		add("Nobody keeps the clock right.", "When it drifts, certificates and dates of letters go wrong.", "Install a time service: apt install systemd-timesyncd")
	}
	if f.Memory > 0 && f.Memory < enoughMemory {
		add(fmt.Sprintf("There are %d MB of memory.", f.Memory>>20), "The server is made for 512 MB.", "Add swap space if other programs run here, too.")
	}
	if f.Disk > 0 && f.Disk < enoughDisk {
		add(fmt.Sprintf("The disk has %d MB free.", f.Disk>>20), "When it is full no mail is taken.", "Make room, or choose another disk with --dir.")
	}
	return list
}

// judgeDNS is judge for names.
func judgeDNS(f Facts, a Answers) (list []warning) {
	add := func(what, why, remedy string) { list = append(list, warning{what, why, remedy}) }
	if f.Resolver == No {
		add("No DNS resolver answers.", "Mail to others waits in the queue until one does.", "Look at /etc/resolv.conf, or install one: apt install unbound")
		return list
	}
	if f.DNSSEC == No {
		add("The resolver proves nothing with DNSSEC.", "Other servers' certificates are not checked by DANE; mail goes all the same.", "Install one on this machine: apt install unbound")
	}
	switch {
	case f.Resolver != Yes:
	case len(f.HostnameIPs) == 0:
		add("The DNS has no address for "+shown(a.Hostname)+" yet.", "Other servers, mail programs and the authority for certificates do not find this machine.",
			"Publish the records below; the server goes on by itself when they are there.")
	case len(f.Own) > 0 && !anyIn(f.HostnameIPs, f.Own):
		add(fmt.Sprintf("%s leads to %s, which is not this machine.", shown(a.Hostname), f.HostnameIPs[0]), "Mail and certificates go to the machine that it leads to.",
			fmt.Sprintf("Change its record to %s, unless that address is handed on to here.", f.Own[0]))
	}
	return list
}

func anyIn(list, of []netip.Addr) bool {
	for _, a := range list {
		for _, b := range of {
			if a == b {
				return true
			}
		}
	}
	return false
}

// special tells whether a name ends in a label that is nobody's.
func special(host string) bool {
	for _, end := range []string{"local", "localhost", "lan", "internal", "home.arpa", "localdomain", "invalid"} {
		if strings.HasSuffix(host, "."+end) {
			return true
		}
	}
	return false
}

// portTaken says what does not work while another program has a port.
func portTaken(t Taken) warning {
	by, stop := "another program", "Find it with `ss -ltnp`, and stop it."
	if t.By != "" {
		by, stop = t.By, "Stop it, if it is not needed: systemctl disable --now "+t.By
	}
	w := warning{what: fmt.Sprintf("Port %d is taken by %s.", t.Port, by), remedy: stop}
	switch t.Port {
	case 25:
		w.why = "Mail from others arrives there; the server does not start while it is taken."
	case 80, 443:
		w.why = "Certificates and mail programs' settings are fetched there; the server does not start while it is taken."
		w.remedy = fmt.Sprintf("Stop it, or give the server another port: [listen] http, https in %s, and pass connections on", usualConfig)
	default:
		w.why = "Mail programs connect there; the server does not start while it is taken."
	}
	return w
}
