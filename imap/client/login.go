package client

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"

	"mailstead/imap/wire"
)

// ErrNoMechanism says that the server offers no way of logging in that we know.
var ErrNoMechanism = errors.New("the server offers no way to log in that can be used: neither AUTH=PLAIN nor LOGIN, or no OAUTHBEARER and XOAUTH2 for a token")

// Login logs in with a password: by SASL PLAIN (RFC 4616), which holds any character, or
// by LOGIN. *StatusError when it is refused, ErrNoMechanism.
func (c *Conn) Login(user, password string) error {
	plain, err := c.Has("AUTH=PLAIN")
	if err != nil {
		return err
	}
	if plain {
		return c.authenticate("PLAIN", "\x00"+user+"\x00"+password)
	}
	if c.caps["LOGINDISABLED"] {
		return ErrNoMechanism
	}
	tag, err := c.startWith("LOGIN", user, password)
	if err != nil {
		return err
	}
	return c.loggedIn(c.await(tag, maxAside, nil))
}

// loggedIn forgets the capabilities of before: behind a login they are others.
func (c *Conn) loggedIn(err error) error {
	if err == nil && !c.caps["IMAP4REV1"] && !c.caps["IMAP4REV2"] {
		c.caps = nil
	}
	return err
}

// Bearer logs in with a token of OAuth 2.0: OAUTHBEARER (RFC 7628), or XOAUTH2, which
// came before it and is what Gmail and Outlook document. ErrNoMechanism.
func (c *Conn) Bearer(host, user, token string) error {
	bearer, err := c.Has("AUTH=OAUTHBEARER")
	switch {
	case err != nil:
		return err
	case bearer:
		name, port, err := net.SplitHostPort(host)
		if err != nil {
			return err
		}
		escaped := strings.NewReplacer("=", "=3D", ",", "=2C").Replace(user) // what ends the name is spelt out, as RFC 7628 section 3.1 has it from GS2
		return c.authenticate("OAUTHBEARER", "n,a="+escaped+",\x01host="+name+"\x01port="+port+"\x01auth=Bearer "+token+"\x01\x01")
	case c.caps["AUTH=XOAUTH2"]:
		return c.authenticate("XOAUTH2", "user="+user+"\x01auth=Bearer "+token+"\x01\x01")
	}
	return ErrNoMechanism
}

// authenticate says all there is to say at once, with SASL-IR (RFC 4959) or after the
// server's go-ahead.
func (c *Conn) authenticate(mechanism, words string) error {
	encoded := base64.StdEncoding.EncodeToString([]byte(words))
	if c.caps["SASL-IR"] {
		tag, err := c.start("AUTHENTICATE " + mechanism + " " + encoded)
		if err != nil {
			return err
		}
		return c.loggedIn(c.endExchange(tag))
	}
	tag, err := c.start("AUTHENTICATE " + mechanism)
	if err != nil {
		return err
	}
	if _, err := c.goAhead(tag); err != nil {
		return err
	}
	if _, err := c.out.WriteString(encoded + "\r\n"); err != nil {
		return err
	}
	return c.loggedIn(c.endExchange(tag))
}

// endExchange waits for the end of an exchange. A server that refuses a token says why in
// a challenge, which is to be answered with something (RFC 7628 section 3.2.3).
func (c *Conn) endExchange(tag string) error {
	_, err := c.goAhead(tag)
	switch {
	case err == nil:
		if _, err := c.out.WriteString("AQ==\r\n"); err != nil {
			return err
		}
		return c.await(tag, maxAside, nil)
	case errors.Is(err, errContent):
		return nil
	}
	return err
}

// errContent says that a command is answered with OK where more was expected.
var errContent = fmt.Errorf("%w: it is content before it has everything", ErrProtocol)

// startWith writes a command with strings as arguments.
func (c *Conn) startWith(command string, args ...string) (tag string, err error) {
	if tag, err = c.beginWith(command, args...); err != nil {
		return tag, err
	}
	_, err = c.out.WriteString("\r\n")
	return tag, err
}

// beginWith writes a command without its line's end. What a quoted string cannot hold goes
// as a literal, after the server's go-ahead.
func (c *Conn) beginWith(command string, args ...string) (tag string, err error) {
	c.tags++
	tag = "a" + strconv.Itoa(c.tags)
	if _, err := c.out.WriteString(tag + " " + command); err != nil {
		return tag, err
	}
	for _, arg := range args {
		if isQuotable(arg) {
			_, err = c.out.WriteString(" " + string(wire.AppendQuoted(nil, arg)))
		} else {
			err = c.literal(tag, arg)
		}
		if err != nil {
			return tag, err
		}
	}
	return tag, nil
}

func isQuotable(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

func (c *Conn) literal(tag, text string) error {
	if _, err := fmt.Fprintf(c.out, " {%d}\r\n", len(text)); err != nil {
		return err
	}
	if _, err := c.goAhead(tag); err != nil {
		return err
	}
	_, err := c.out.WriteString(text)
	return err
}
