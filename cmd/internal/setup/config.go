package setup

import (
	"fmt"
	"strings"
)

// Terms is where the terms of the authority are that issues certificates.
const Terms = "https://letsencrypt.org/repository/"

// ConfigText is the configuration file of a server: what it has to be told, and why, and nothing else.
func ConfigText(a Answers, p Places) string {
	var b strings.Builder
	b.WriteString("# What mailstead is told; mailstead.toml(5) has the rest. `mailstead setup` wrote this file, and changes it no more.\n\n")
	fmt.Fprintf(&b, "# The server's own name: other servers are greeted by it, and its certificate is for it.\nhostname = %s\n\n", tomlString(a.Hostname))
	if a.Contact != "" {
		fmt.Fprintf(&b, "# Who is written to about the certificates that are fetched from Let's Encrypt. It agrees to the terms at\n# %s\nacme_email = %s\n",
			Terms, tomlString(a.Contact))
	} else {
		b.WriteString("# With an address here certificates are fetched from Let's Encrypt; it agrees to the terms at\n# " + Terms + "\n# acme_email = \"\"\n")
	}
	if p.Dir != usualDir {
		fmt.Fprintf(&b, "\n# All that the server keeps.\ndir = %s\n", tomlString(p.Dir))
	}
	return b.String()
}

// tomlString writes a basic string of TOML.
func tomlString(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r < ' ' || r == 0x7f:
			fmt.Fprintf(&b, `\u%04X`, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}
