package web

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"html/template"
	"net/http"

	"golang.org/x/text/language"
)

// setupHTML is the page for people, and setupCSS what it looks like.
var (
	//go:embed page.html
	setupHTML string
	//go:embed page.css
	setupCSS string

	setupPage = template.Must(template.New("page").Parse(setupHTML))
)

// setupPolicy is the content security policy of that page: its own style, and nothing else.
var setupPolicy = func() string {
	sum := sha256.Sum256([]byte(setupCSS))
	return "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'; style-src 'sha256-" +
		base64.StdEncoding.EncodeToString(sum[:]) + "'"
}()

// setupWords are the words of the page in a language.
type setupWords struct {
	Lang, Title, Easy, ByHand, Incoming, Outgoing, Server, User, Address, Password, Never string
}

// languages are those of the page; the first is for everybody else.
var (
	languages = language.NewMatcher([]language.Tag{language.English, language.German})
	words     = []setupWords{{
		Lang: "en", Title: "Set up your mail",
		Easy:   "Enter your address and password in Thunderbird, or another mail program: it finds the rest by itself.",
		ByHand: "If it asks for more", Incoming: "Incoming mail", Outgoing: "Outgoing mail", Server: "Server",
		User: "User name", Address: "your whole address", Password: "Authentication: normal password.",
		Never: "Nobody who runs this server asks for your password, neither by mail nor on a page like this one.",
	}, {
		Lang: "de", Title: "E-Mail einrichten",
		Easy:   "Gib in Thunderbird oder einem anderen Mailprogramm deine Adresse und dein Passwort ein: Den Rest findet es selbst.",
		ByHand: "Falls es mehr wissen will", Incoming: "Posteingang", Outgoing: "Postausgang", Server: "Server",
		User: "Benutzername", Address: "deine ganze Adresse", Password: "Authentifizierung: Passwort, normal.",
		Never: "Niemand, der diesen Server betreibt, fragt nach deinem Passwort, weder per Mail noch auf einer Seite wie dieser.",
	}}
)

// setupData is what the page is filled with.
type setupData struct {
	Words    setupWords
	CSS      template.CSS
	Domain   string // or the host
	Host     string
	Incoming []setupLine
	Outgoing []setupLine
}

type setupLine struct {
	Kind     string
	Port     int
	Security string
}

// answerPage tells people who open the host in a browser how to set up a mail program.
func (s *Server) answerPage(w http.ResponseWriter, r *http.Request) {
	_, at := language.MatchStrings(languages, r.Header.Get("Accept-Language"))
	d := setupData{Words: words[at], CSS: template.CSS(setupCSS), Domain: s.domainOfHost(r), Host: s.o.Access.Host,
		Incoming: setupLines(s.o.Access.incoming()), Outgoing: setupLines(s.o.Access.outgoing())}
	if d.Domain == "" {
		d.Domain = hostOf(r)
	}
	var b bytes.Buffer
	if err := setupPage.Execute(&b, d); err != nil {
		http.Error(w, "no page could be made", http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Language", d.Words.Lang)
	h.Set("Vary", "Accept-Language")
	h.Set("Content-Security-Policy", setupPolicy)
	w.Write(b.Bytes())
}

func setupLines(services []service) (lines []setupLine) {
	names := map[string]string{"imap": "IMAP", "pop3": "POP3", "smtp": "SMTP"}
	for _, v := range services {
		security := "STARTTLS"
		if v.implicit {
			security = "SSL/TLS"
		}
		lines = append(lines, setupLine{names[v.kind], v.port, security})
	}
	return lines
}
