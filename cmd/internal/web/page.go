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

	setupPages = template.Must(template.New("").Parse(setupHTML))
)

// setupStyle is what stands in the pages.
var setupStyle = template.CSS(setupCSS)

// setupPolicy is the content security policy of the pages: their own style, a form that leads back here, and nothing else.
var setupPolicy = func() string {
	sum := sha256.Sum256([]byte(setupCSS))
	return "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'; style-src 'sha256-" +
		base64.StdEncoding.EncodeToString(sum[:]) + "'"
}()

// setupWords are the words of the pages in a language.
type setupWords struct {
	Lang, Title, Easy, ByHand, Incoming, Outgoing, Server, User, Address, Password, Never, Security string
	// Of profiles for Apple's devices.
	Apple, ByProfile, YourAddress, Go, Unknown, Mail, ProfileIs, Get, ByCamera, Install, Signed, Unsigned, Back string
}

// languages are those of the page; the first is for everybody else.
var (
	languages = language.NewMatcher([]language.Tag{language.English, language.German})
	words     = []setupWords{{
		Lang: "en", Title: "Set up your mail",
		Easy:   "Enter your address and password in Thunderbird, or another mail program: it finds the rest by itself.",
		ByHand: "All settings", Incoming: "Incoming mail", Outgoing: "Outgoing mail", Server: "Server",
		User: "User name", Address: "your whole address", Password: "Authentication: normal password.", Security: "Encryption",
		Never: "Nobody who runs this server asks for your password, neither by mail nor on a page like this one.",
		Apple: "iPhone, iPad and Mac", ByProfile: "These take their settings from a profile. It holds no password.",
		YourAddress: "Your address", Go: "Make the profile", Unknown: "That is no address of this server.",
		Mail: "Mail", ProfileIs: "Sets up a mail account. The device asks for your password; it is not in here.",
		Get: "Load the profile", ByCamera: "Or point the camera of the device here:",
		Install:  "Then open Settings, tap “Profile Downloaded” and “Install”; on a Mac it is in System Settings under “Device Management”. You are asked for your password there.",
		Signed:   "The profile is signed by this server.",
		Unsigned: "The profile is not signed, as this server has no certificate yet that devices trust. They say so, and take it.",
		Back:     "All settings",
	}, {
		Lang: "de", Title: "E-Mail einrichten",
		Easy:   "Gib in Thunderbird oder einem anderen Mailprogramm deine Adresse und dein Passwort ein: Den Rest findet es selbst.",
		ByHand: "Alle Einstellungen", Incoming: "Posteingang", Outgoing: "Postausgang", Server: "Server",
		User: "Benutzername", Address: "deine ganze Adresse", Password: "Authentifizierung: Passwort, normal.", Security: "Verschlüsselung",
		Never: "Niemand, der diesen Server betreibt, fragt nach deinem Passwort, weder per Mail noch auf einer Seite wie dieser.",
		Apple: "iPhone, iPad und Mac", ByProfile: "Diese Geräte übernehmen ihre Einstellungen aus einem Profil. Es enthält kein Passwort.",
		YourAddress: "Deine Adresse", Go: "Profil erstellen", Unknown: "Das ist keine Adresse dieses Servers.",
		Mail: "E-Mail", ProfileIs: "Richtet ein E-Mail-Konto ein. Das Gerät fragt nach deinem Passwort; es steht nicht hierin.",
		Get: "Profil laden", ByCamera: "Oder richte die Kamera des Geräts hierauf:",
		Install:  "Öffne dann die Einstellungen und tippe auf „Profil geladen“ und „Installieren“; auf einem Mac steht es in den Systemeinstellungen unter „Geräteverwaltung“. Dort wirst du nach deinem Passwort gefragt.",
		Signed:   "Das Profil ist von diesem Server signiert.",
		Unsigned: "Das Profil ist nicht signiert, weil dieser Server noch kein Zertifikat hat, dem Geräte vertrauen. Sie sagen das und nehmen es trotzdem.",
		Back:     "Alle Einstellungen",
	}}
)

// wordsFor are those in the language that a browser asks for.
func wordsFor(r *http.Request) *setupWords {
	_, at := language.MatchStrings(languages, r.Header.Get("Accept-Language"))
	return &words[at]
}

// setupHead is what the head of each page is filled with.
type setupHead struct {
	Words  *setupWords
	CSS    template.CSS
	Domain string // or the host
}

// setupData is what the first page is filled with.
type setupData struct {
	setupHead
	Host     string
	Incoming []setupLine
	Outgoing []setupLine
	Apple    bool // profiles can be made
	Unknown  bool // the address is not of this server
}

type setupLine struct {
	Kind     string
	Port     int
	Security string
}

// answerPage tells people who open the host in a browser how to set up a mail program.
func (s *Server) answerPage(w http.ResponseWriter, r *http.Request) {
	s.writeSetup(w, r, http.StatusOK)
}

// writeSetup answers with that page; the status is StatusNotFound where an address was asked for that is not of this server.
func (s *Server) writeSetup(w http.ResponseWriter, r *http.Request, status int) {
	d := setupData{
		setupHead: setupHead{Words: wordsFor(r), CSS: setupStyle, Domain: s.domainOfHost(r)}, Host: s.o.Access.Host,
		Incoming: setupLines(s.o.Access.incoming()), Outgoing: setupLines(s.o.Access.outgoing()), Unknown: status == http.StatusNotFound,
	}
	_, _, d.Apple = s.o.Access.profileServices()
	if d.Domain == "" {
		d.Domain = hostOf(r)
	}
	writePage(w, "setup", status, d.Words, d)
}

// writePage answers with one of the pages.
func writePage(w http.ResponseWriter, name string, status int, in *setupWords, data any) {
	var b bytes.Buffer
	if err := setupPages.ExecuteTemplate(&b, name, data); err != nil {
		http.Error(w, "no page could be made", http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Language", in.Lang)
	h.Set("Vary", "Accept-Language")
	h.Set("Content-Security-Policy", setupPolicy)
	w.WriteHeader(status)
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
