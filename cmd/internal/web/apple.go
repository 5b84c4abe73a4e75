package web

import (
	"bytes"
	"crypto/sha256"
	"encoding/xml"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"mailstead/cmd/internal/web/cms"
	"mailstead/cmd/internal/web/qr"
)

// Apple's devices find no settings by themselves; they take them from a configuration profile, a file that is opened on
// the device. It has an address in it, and never a password: the device asks for that.
const (
	applePath   = "/apple"
	profileType = "application/x-apple-aspen-config"
	profileEnd  = ".mobileconfig"
)

// dict is a dictionary of a property list, in the order in which it is written.
type dict []struct {
	key   string
	value any // string, int, bool or []dict
}

// write appends the dictionary in XML, each line behind an indent.
func (d dict) write(b *bytes.Buffer, indent string) {
	b.WriteString(indent + "<dict>\n")
	for _, e := range d {
		fmt.Fprintf(b, "%s\t<key>%s</key>\n", indent, e.key)
		switch v := e.value.(type) {
		case string:
			b.WriteString(indent + "\t<string>")
			xml.EscapeText(b, []byte(v))
			b.WriteString("</string>\n")
		case int:
			fmt.Fprintf(b, "%s\t<integer>%d</integer>\n", indent, v)
		case bool:
			b.WriteString(indent + "\t<" + strconv.FormatBool(v) + "/>\n")
		case []dict:
			b.WriteString(indent + "\t<array>\n")
			for _, inner := range v {
				inner.write(b, indent+"\t\t")
			}
			b.WriteString(indent + "\t</array>\n")
		}
	}
	b.WriteString(indent + "</dict>\n")
}

// profileServices are the best services for a profile, which has one of each kind; ok is false where there are not both.
func (a *Access) profileServices() (in, out service, ok bool) {
	incoming, outgoing := a.incoming(), a.outgoing()
	if len(incoming) == 0 || len(outgoing) == 0 {
		return in, out, false
	}
	return incoming[0], outgoing[0], true
}

// profile is the configuration profile for an address.
func (s *Server) profile(address, domain string, w *setupWords) []byte {
	in, out, _ := s.o.Access.profileServices()
	kind := "EmailTypeIMAP"
	if in.kind == "pop3" {
		kind = "EmailTypePOP"
	}
	host := s.o.Access.Host
	mail := dict{
		{"PayloadType", "com.apple.mail.managed"},
		{"PayloadVersion", 1},
		{"PayloadIdentifier", "mailstead." + profileID("mail", host, address)},
		{"PayloadUUID", profileID("mail", host, address)},
		{"PayloadDisplayName", address},
		{"EmailAccountDescription", address},
		{"EmailAccountType", kind},
		{"EmailAddress", address},
		{"IncomingMailServerAuthentication", "EmailAuthPassword"},
		{"IncomingMailServerHostName", host},
		{"IncomingMailServerPortNumber", in.port},
		// Without implicit TLS this is STARTTLS.
		{"IncomingMailServerUseSSL", true},
		{"IncomingMailServerUsername", address},
		{"OutgoingMailServerAuthentication", "EmailAuthPassword"},
		{"OutgoingMailServerHostName", host},
		{"OutgoingMailServerPortNumber", out.port},
		{"OutgoingMailServerUseSSL", true},
		{"OutgoingMailServerUsername", address},
		{"OutgoingPasswordSameAsIncomingPassword", true},
	}
	// The same identifiers for the same account: a profile that is installed again takes the place of the former.
	all := dict{
		{"PayloadType", "Configuration"},
		{"PayloadVersion", 1},
		{"PayloadIdentifier", "mailstead." + profileID("profile", host, address)},
		{"PayloadUUID", profileID("profile", host, address)},
		{"PayloadDisplayName", w.Mail + " " + address},
		{"PayloadDescription", w.ProfileIs},
		{"PayloadOrganization", domain},
		{"PayloadRemovalDisallowed", false},
		{"PayloadContent", []dict{mail}},
	}
	var b bytes.Buffer
	b.WriteString(xml.Header + `<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">` + "\n<plist version=\"1.0\">\n")
	all.write(&b, "")
	b.WriteString("</plist>\n")
	return b.Bytes()
}

// profileID is a UUID of a payload, the same for the same account at the same host (RFC 9562 section 5.8).
func profileID(payload, host, address string) string {
	sum := sha256.Sum256([]byte("mailstead profile\x00" + payload + "\x00" + host + "\x00" + address))
	id := sum[:16]
	id[6], id[8] = id[6]&0x0f|0x80, id[8]&0x3f|0x80
	return strings.ToUpper(fmt.Sprintf("%x-%x-%x-%x-%x", id[:4], id[4:6], id[6:8], id[8:10], id[10:]))
}

// profileAddress reads the address that a profile is for. Its domain is as the directory has it; ok is false for what is no address of one
// of ours. Whether there is an account of it is not told to whom has not logged in.
func (s *Server) profileAddress(text string) (address, domain string, ok bool) {
	text = strings.TrimSpace(text)
	domain, ok = s.domainOf(text)
	local := text[:max(0, strings.LastIndexByte(text, '@'))]
	if !ok || !utf8.ValidString(local) || strings.ContainsFunc(local, func(r rune) bool {
		return r == '@' || r == '"' || r == '<' || r == '>' || unicode.IsControl(r) || unicode.IsSpace(r)
	}) {
		return "", "", false
	}
	return local + "@" + domain, domain, true
}

// answerProfile gives the profile of an address, ADDRESS.mobileconfig: signed where the host's certificate is one that devices trust.
func (s *Server) answerProfile(w http.ResponseWriter, r *http.Request) {
	text, isProfile := strings.CutSuffix(r.PathValue("file"), profileEnd)
	address, domain, ok := s.profileAddress(text)
	if _, _, offered := s.o.Access.profileServices(); !isProfile || !ok || !offered {
		http.NotFound(w, r)
		return
	}
	document := s.profile(address, domain, wordsFor(r))
	if c := s.certificate(s.o.Access.Host); c != nil {
		signed, err := cms.Sign(document, c, time.Now())
		if err != nil {
			// It is as good for the device, which says that nobody vouches for it.
			s.o.Logger.Warn("web: a profile could not be signed", "error", err)
		} else {
			document = signed
		}
	}
	h := w.Header()
	h.Set("Content-Type", profileType)
	h.Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": address + profileEnd}))
	h.Set("Cache-Control", "no-store")
	w.Write(document)
}

// appleData is what the page for a profile is filled with.
type appleData struct {
	setupHead
	Address string
	Profile string // path of the profile
	Signed  bool
	Code    *qr.Code // nil where it would be too large for a camera
	Quiet   int      // modules around it
	Box     int      // its side with those
}

// answerApple is the page for the owner of an address, with the profile, and a code by which a phone's camera finds it.
func (s *Server) answerApple(w http.ResponseWriter, r *http.Request) {
	address, domain, ok := s.profileAddress(r.URL.Query().Get("address"))
	if _, _, offered := s.o.Access.profileServices(); !offered {
		http.NotFound(w, r)
		return
	}
	if !ok {
		s.writeSetup(w, r, http.StatusNotFound)
		return
	}
	d := appleData{
		setupHead: setupHead{Words: wordsFor(r), CSS: setupStyle, Domain: domain},
		Address:   address, Profile: applePath + "/" + url.PathEscape(address) + profileEnd,
		Signed: s.certificate(s.o.Access.Host) != nil,
	}
	if code, err := qr.Encode(s.url(hostOf(r), d.Profile)); err == nil {
		d.Code, d.Quiet, d.Box = code, qr.Quiet, code.Side+2*qr.Quiet
	}
	writePage(w, "apple", http.StatusOK, d.Words, d)
}
