package web

import (
	"encoding/xml"
	"net/http"
)

// The paths of Mozilla's autoconfig: below autoconfig.DOMAIN, and below the domain itself
// (draft-ietf-mailmaint-autoconfig section 4.1).
const (
	autoconfigPath          = "/mail/config-v1.1.xml"
	autoconfigWellKnownPath = "/.well-known/autoconfig" + autoconfigPath
)

// clientConfig is the answer of autoconfig (draft-ietf-mailmaint-autoconfig section 2). Nothing in it is from the
// request: the domain is as the directory has it, and the program itself puts in the address.
type clientConfig struct {
	XMLName  xml.Name `xml:"clientConfig"`
	Version  string   `xml:"version,attr"`
	Provider struct {
		ID            string         `xml:"id,attr"`
		Domain        string         `xml:"domain"`
		Name          string         `xml:"displayName"`
		ShortName     string         `xml:"displayShortName"`
		Incoming      []configServer `xml:"incomingServer"`
		Outgoing      []configServer `xml:"outgoingServer"`
		Documentation *configPage    `xml:"documentation"`
	} `xml:"emailProvider"`
}

type configServer struct {
	Type           string `xml:"type,attr"`
	Hostname       string `xml:"hostname"`
	Port           int    `xml:"port"`
	SocketType     string `xml:"socketType"`
	Authentication string `xml:"authentication"`
	Username       string `xml:"username"`
}

type configPage struct {
	URL string `xml:"url,attr"`
}

// answerAutoconfig tells Thunderbird and others how to reach the mail of a domain: that of the
// address where one is given, else that of the host.
func (s *Server) answerAutoconfig(w http.ResponseWriter, r *http.Request) {
	domain := s.domainOfHost(r)
	if address := r.URL.Query().Get("emailaddress"); address != "" {
		domain, _ = s.domainOf(address)
	}
	if domain == "" {
		http.NotFound(w, r)
		return
	}
	writeXML(w, s.clientConfig(domain))
}

func (s *Server) clientConfig(domain string) *clientConfig {
	c := &clientConfig{Version: "1.1"}
	p := &c.Provider
	p.ID, p.Domain, p.Name, p.ShortName = domain, domain, domain, domain
	p.Incoming, p.Outgoing = s.configServers(s.o.Access.incoming()), s.configServers(s.o.Access.outgoing())
	if url := s.url(domain, "/"); url != "" {
		p.Documentation = &configPage{url}
	}
	return c
}

func (s *Server) configServers(services []service) (list []configServer) {
	for _, v := range services {
		socket := "STARTTLS"
		if v.implicit {
			socket = "SSL"
		}
		// "cleartext" is what the password is inside of TLS, in any SASL mechanism that needs no more than it.
		list = append(list, configServer{v.kind, s.o.Access.Host, v.port, socket, "password-cleartext", "%EMAILADDRESS%"})
	}
	return list
}

// writeXML answers with a document.
func writeXML(w http.ResponseWriter, document any) {
	text, err := xml.MarshalIndent(document, "", "  ")
	if err != nil {
		http.Error(w, "no answer could be made", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/xml; charset=utf-8")
	w.Write([]byte(xml.Header))
	w.Write(append(text, '\n'))
}
