package web

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"
)

// paccPath is where programs of PACC look for settings (draft-ietf-mailmaint-pacc), below PACCHost.DOMAIN.
const paccPath = "/.well-known/user-agent-configuration.json"

const (
	// PACCHost is in front of a domain in the name that programs of PACC ask for its settings.
	PACCHost = "ua-auto-config"
	// PACCVersion is what the texts of records begin with that vouch for such settings.
	PACCVersion = "v=UAAC1"
)

// maxProviderName is how many characters the name of who runs a server may have, so that programs can show it whole.
const maxProviderName = 60

// userAgent is the document of PACC: hosts only, as all programs use the standard ports.
type userAgent struct {
	Protocols      map[string]userAgentServer `json:"protocols"`
	Authentication struct {
		Password bool `json:"password"`
	} `json:"authentication"`
	Info struct {
		Provider struct {
			Name string `json:"name"`
		} `json:"provider"`
		Help struct {
			Documentation string `json:"documentation"`
		} `json:"help"`
	} `json:"info"`
}

type userAgentServer struct {
	Host string `json:"host"`
}

// PACC is what programs of PACC are told of a domain: the hosts of the services that have the standard ports of implicit TLS.
// https is the port of HTTPS. nil: there is no such service, or no HTTPS to tell it by. The octets are the same for the same settings, as a
// record in the DNS has their hash (PACCRecord).
func PACC(domain string, a Access, https int) []byte {
	u := userAgent{Protocols: map[string]userAgentServer{}}
	for _, p := range []struct {
		name           string
		port, standard int
	}{
		{"imap", a.IMAPS, 993},
		{"pop3", a.POP3S, 995},
		{"smtp", a.Submissions, 465}, // up to version 02 of the draft; programs pass over what they do not know
		{"submit", a.Submissions, 465},
	} {
		if p.port == p.standard {
			u.Protocols[p.name] = userAgentServer{a.Host}
		}
	}
	if len(u.Protocols) == 0 || https == 0 {
		return nil
	}
	u.Authentication.Password = true
	u.Info.Provider.Name = strings.TrimLeft(domain[max(0, len(domain)-maxProviderName):], ".")
	u.Info.Help.Documentation = httpsURL(domain, "/", https)
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetIndent("", "  ")
	if err := e.Encode(u); err != nil {
		return nil // strings and numbers are always encoded
	}
	return b.Bytes()
}

// PACCRecord is the text of the TXT record at _ua-auto-config.DOMAIN that vouches for a document: programs take none that it has not the hash of.
func PACCRecord(document []byte) string {
	sum := sha256.Sum256(document)
	return PACCVersion + "; a=sha256; d=" + base64.StdEncoding.EncodeToString(sum[:])
}

// answerPACC answers at every name of a domain: at that which PACC asks, and at the others for who looks there.
func (s *Server) answerPACC(w http.ResponseWriter, r *http.Request) {
	domain := s.domainOfHost(r)
	document := PACC(domain, s.o.Access, s.o.HTTPSPort)
	if domain == "" || document == nil {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Write(document)
}
