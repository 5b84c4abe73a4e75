package setup

import (
	"fmt"
	"strings"

	"mailstead/cmd/internal/tomlfile"
)

// Terms is where the terms of the authority are that issues certificates.
const Terms = "https://letsencrypt.org/repository/"

// ConfigText is the configuration file of a server: what it has to be told, and why, and nothing else.
func ConfigText(a Answers, p Places) string {
	var b strings.Builder
	b.WriteString("# What mailstead is told; mailstead.toml(5) has the rest. `mailstead setup` wrote this file, and changes it no more.\n\n")
	fmt.Fprintf(&b, "# The server's own name: other servers are greeted by it, and its certificate is for it.\nhostname = %s\n\n", tomlfile.Quote(a.Hostname))
	if a.Contact != "" {
		fmt.Fprintf(&b, "# Who is written to about the certificates that are fetched from Let's Encrypt. It agrees to the terms at\n# %s\nacme_email = %s\n",
			Terms, tomlfile.Quote(a.Contact))
	} else {
		b.WriteString("# With an address here certificates are fetched from Let's Encrypt; it agrees to the terms at\n# " + Terms + "\n# acme_email = \"\"\n")
	}
	if p.Dir != usualDir {
		fmt.Fprintf(&b, "\n# All that the server keeps.\ndir = %s\n", tomlfile.Quote(p.Dir))
	}
	return b.String()
}
