package web

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// The paths of Autodiscover. Programs spell them in capitals as they like, so they are folded before
// they are looked for.
const (
	autodiscoverFolder = "/autodiscover/"
	autodiscoverPOX    = autodiscoverFolder + "autodiscover.xml"
	autodiscoverJSON   = autodiscoverFolder + "autodiscover.json"
)

// The XML name spaces of "plain old XML" Autodiscover (MS-OXDSCLI section 2.2). Whoever wants an answer in
// another one, that of ActiveSync above all, gets none: a program that is told of an Exchange protocol prefers it to
// IMAP, and there is none here.
const (
	outlookRequest   = "http://schemas.microsoft.com/exchange/autodiscover/outlook/requestschema/2006"
	outlookAnswer    = "http://schemas.microsoft.com/exchange/autodiscover/outlook/responseschema/2006a"
	discoverEnvelope = "http://schemas.microsoft.com/exchange/autodiscover/responseschema/2006"
)

const (
	// maxPOX bounds a request in octets; what Outlook and Thunderbird send is a tenth of it.
	maxPOX = 8 << 10
	// maxPOXDepth bounds how deep its elements nest: the address is in the third.
	maxPOXDepth = 6
)

// errPOX is what is wrong with a request that is not one, or not one for us.
var errPOX = errors.New("not an Autodiscover request for IMAP, POP3 and SMTP")

// answerAutodiscover answers all below /autodiscover/: a POST of POX for an address of ours, and where the POX is. Anything
// else, other Exchange protocols above all, is told at once that there is nothing.
func (s *Server) answerAutodiscover(w http.ResponseWriter, r *http.Request) {
	switch path := r.URL.Path; {
	case r.TLS == nil:
		// An answer over a connection that is not encrypted could be anybody's.
		http.NotFound(w, r)
	case path == autodiscoverPOX && r.Method == http.MethodPost:
		s.answerPOX(w, r)
	case path == autodiscoverPOX:
		w.Header().Set("Allow", "POST")
		http.Error(w, "use POST", http.StatusMethodNotAllowed)
	case path == autodiscoverJSON, strings.HasPrefix(path, autodiscoverJSON+"/"):
		s.answerDiscoverJSON(w, r)
	default:
		http.NotFound(w, r)
	}
}

// answerPOX answers a POST of XML.
func (s *Server) answerPOX(w http.ResponseWriter, r *http.Request) {
	// One octet more tells what is too long from what is just not.
	text, err := io.ReadAll(io.LimitReader(r.Body, maxPOX+1))
	if err != nil || len(text) > maxPOX {
		http.Error(w, "too long", http.StatusRequestEntityTooLarge)
		return
	}
	address, err := parsePOX(text)
	if err != nil {
		http.Error(w, errPOX.Error(), http.StatusNotFound)
		return
	}
	if _, ok := s.domainOf(address); !ok {
		http.NotFound(w, r)
		return
	}
	writeXML(w, s.discovered(address))
}

// parsePOX reads the address of a request (MS-OXDSCLI section 2.2.3). errPOX. Document type declarations, and with them
// entities of the request's own, are refused, and so is what wants another answer than that for IMAP, POP3 and SMTP.
func parsePOX(text []byte) (address string, err error) {
	d := xml.NewDecoder(bytes.NewReader(text))
	var path []string
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return "", fmt.Errorf("%w: %w", errPOX, err)
		}
		switch t := token.(type) {
		case xml.Directive:
			return "", fmt.Errorf("%w: it has a declaration", errPOX)
		case xml.StartElement:
			path = append(path, t.Name.Local)
			if len(path) > maxPOXDepth {
				return "", fmt.Errorf("%w: it nests too deep", errPOX)
			}
			if len(path) == 1 && t.Name.Space != outlookRequest {
				return "", fmt.Errorf("%w: it is in another name space", errPOX)
			}
		case xml.EndElement:
			path = path[:len(path)-1]
		case xml.CharData:
			value := strings.TrimSpace(string(t))
			switch strings.Join(path, "/") {
			case "Autodiscover/Request/EMailAddress":
				address += value
			case "Autodiscover/Request/AcceptableResponseSchema":
				if value != "" && value != outlookAnswer {
					return "", fmt.Errorf("%w: it wants another answer", errPOX)
				}
			}
		}
	}
	if strings.ContainsFunc(address, func(r rune) bool { return r <= ' ' || r == 0x7f }) || strings.Count(address, "@") != 1 {
		return "", fmt.Errorf("%w: it has no address", errPOX)
	}
	return address, nil
}

// discovery is the answer (MS-OXDSCLI section 2.2.4).
type discovery struct {
	XMLName  xml.Name `xml:"Autodiscover"`
	Space    string   `xml:"xmlns,attr"`
	Response struct {
		Space string `xml:"xmlns,attr"`
		User  struct {
			DisplayName string
		}
		Account struct {
			AccountType string
			Action      string
			Protocol    []discoveredProtocol
		}
	}
}

type discoveredProtocol struct {
	Type           string
	Server         string
	Port           int
	DomainRequired string
	LoginName      string
	SPA            string
	SSL            string
	Encryption     string
	AuthRequired   string
}

// discovered is the answer for an address: the best port of each protocol.
func (s *Server) discovered(address string) *discovery {
	d := &discovery{Space: discoverEnvelope}
	d.Response.Space, d.Response.User.DisplayName = outlookAnswer, address
	account := &d.Response.Account
	account.AccountType, account.Action = "email", "settings"
	all := append(s.o.Access.incoming(), s.o.Access.outgoing()...)
	for _, kind := range []string{"imap", "pop3", "smtp"} {
		v, ok := best(all, kind)
		if !ok {
			continue
		}
		p := discoveredProtocol{
			Type: strings.ToUpper(kind), Server: s.o.Access.Host, Port: v.port, DomainRequired: "off", LoginName: address,
			SPA: "off", SSL: "on", Encryption: "SSL", AuthRequired: "on",
		}
		if !v.implicit {
			p.Encryption = "TLS" // SSL says that there is encryption, Encryption that it begins later
		}
		account.Protocol = append(account.Protocol, p)
	}
	return d
}

// answerDiscoverJSON answers Autodiscover v2, which only tells where the POX of an address is
// (MS-OXDISCO section 3.1.5.1): GET ….json?Email=…&Protocol=AutodiscoverV1, or ….json/v1.0/ADDRESS?Protocol=….
func (s *Server) answerDiscoverJSON(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet {
		w.Header().Set("Allow", "GET")
		http.Error(w, "use GET", http.StatusMethodNotAllowed)
		return
	}
	var protocol string
	address, _ := strings.CutPrefix(r.URL.Path, autodiscoverJSON+"/v1.0/")
	for name, values := range r.URL.Query() {
		switch strings.ToLower(name) {
		case "email":
			address = values[0]
		case "protocol":
			protocol = values[0]
		}
	}
	if _, ok := s.domainOf(address); !ok || !strings.EqualFold(protocol, "AutodiscoverV1") {
		http.NotFound(w, r)
		return
	}
	writeJSON(w, struct {
		Protocol string
		URL      string `json:"Url"`
	}{"AutodiscoverV1", s.url(hostOf(r), autodiscoverPOX)})
}

// writeJSON answers with a document.
func writeJSON(w http.ResponseWriter, document any) {
	text, err := json.MarshalIndent(document, "", "  ")
	if err != nil {
		http.Error(w, "no answer could be made", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Write(append(text, '\n'))
}

// foldAutodiscover has the paths of Autodiscover in lower case.
func foldAutodiscover(r *http.Request) {
	if n := len(autodiscoverFolder); len(r.URL.Path) >= n && strings.EqualFold(r.URL.Path[:n], autodiscoverFolder) {
		r.URL.Path, r.URL.RawPath = strings.ToLower(r.URL.Path), ""
	}
}
