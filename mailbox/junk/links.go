package junk

import (
	"bytes"
	"net/netip"
	"strings"
)

// scanLinks looks for URLs (RFC 3986) in text in lower case, HTML or not, and adds their hosts.
func scanLinks(l *Letter, text []byte) {
	for l.evidence.links < maxLinks {
		i := bytes.Index(text, []byte("://"))
		if i < 0 {
			return
		}
		scheme := text[:i]
		text = text[i+3:]
		if !bytes.HasSuffix(scheme, []byte("http")) && !bytes.HasSuffix(scheme, []byte("https")) && !bytes.HasSuffix(scheme, []byte("ftp")) {
			continue
		}
		l.evidence.links++
		text = text[addLink(l, text):]
	}
}

// maxAuthority is the longest part of a URL between // and its path that is looked at: a host has 253 octets at most.
const maxAuthority = 320

// addLink adds the URL whose authority text begins with, and returns the authority's length.
func addLink(l *Letter, text []byte) int {
	text = text[:min(len(text), maxAuthority)]
	end := bytes.IndexAny(text, "/?#\"'<> \t\r\n)]}\\")
	if end < 0 {
		end = len(text)
	}
	authority := text[:end]
	if at := bytes.LastIndexByte(authority, '@'); at >= 0 {
		l.evidence.userLink = true
		l.add(kindStructure, "link with a user")
		authority = authority[at+1:]
	}
	if bytes.IndexByte(authority, '%') >= 0 {
		l.evidence.maskedLink = true
		l.add(kindStructure, "link with a masked host")
		return end
	}
	host, port, _ := strings.Cut(string(authority), ":")
	if port != "" && port != "80" && port != "443" {
		l.add(kindStructure, "link with a port")
	}
	addHost(l, strings.Trim(host, "."))
	return end
}

// addHost adds the host of a link, in lower case.
func addHost(l *Letter, host string) {
	if host == "" || len(host) > 253 {
		return
	}
	if strings.IndexByte(host, '.') < 0 {
		if strings.Trim(host, "0123456789") == "" { // an address written as one number
			l.evidence.addressLink = true
		}
		return
	}
	if _, err := netip.ParseAddr(host); err == nil {
		l.evidence.addressLink = true
		l.add(kindHost, host[:strings.LastIndexByte(host, '.')])
		return
	}
	if bytes.Contains(l.lists, []byte(baseDomain(host))) {
		return // the list's own
	}
	before := len(l.features)
	l.add(kindHost, host[max(0, len(host)-maxValue):])
	if len(l.features) > before {
		l.evidence.hosts++
	}
	addDomain(l, kindHost, baseDomain(host))
}

// scanTags adds the tags of HTML in lower case, with their short attributes, and notes what tries to deceive.
func scanTags(l *Letter, text []byte) {
	e := &l.evidence
	e.hiddenText = e.hiddenText || bytes.Contains(text, []byte("display:none")) || bytes.Contains(text, []byte("font-size:0")) ||
		bytes.Contains(text, []byte("visibility:hidden"))
	most := len(l.features) + maxTags
	for len(l.features) < most {
		i := bytes.IndexByte(text, '<')
		if i < 0 {
			return
		}
		text = text[i+1:]
		if bytes.HasPrefix(text, []byte("!--")) {
			e.comments++
			text = text[3:]
			continue
		}
		text = text[addTag(l, text):]
	}
}

// What is looked at of a tag: so many octets, and so many attributes.
const (
	maxTag        = 1 << 10
	maxAttributes = 12
)

// addTag adds the tag that text begins with, behind its <, and returns its length.
func addTag(l *Letter, text []byte) int {
	text = text[:min(len(text), maxTag)]
	end := bytes.IndexByte(text, '>')
	if end < 0 {
		return 0
	}
	name, rest := cutName(text[:end])
	if len(name) == 0 || len(name) > 10 {
		return 0
	}
	switch string(name) {
	case "img":
		l.evidence.imageTags++
	case "form":
		l.evidence.form = true
	case "script", "iframe", "object", "embed":
		l.evidence.active = true
	}
	l.add(kindTag, string(name))
	for range maxAttributes {
		var key, value []byte
		if key, value, rest = cutAttribute(rest); key == nil {
			break
		}
		if len(key)+len(value) <= maxWord && !bytes.Contains(value, []byte("://")) {
			l.add(kindTag, string(name), string(key), string(value))
		}
	}
	return end + 1
}

// cutName cuts a tag's name off.
func cutName(tag []byte) (name, rest []byte) {
	for i, c := range tag {
		if !('a' <= c && c <= 'z' || '0' <= c && c <= '9') {
			return tag[:i], tag[i:]
		}
	}
	return tag, nil
}

// cutAttribute cuts the next attribute off, its value without quotation marks. A nil key says that there is none.
func cutAttribute(tag []byte) (key, value, rest []byte) {
	tag = bytes.TrimLeft(tag, " \t\r\n/=")
	if len(tag) == 0 {
		return nil, nil, nil
	}
	i := bytes.IndexAny(tag, "= \t\r\n")
	if i < 0 {
		return tag, nil, nil
	}
	key, rest = tag[:i], tag[i+1:]
	if tag[i] != '=' {
		return key, nil, rest
	}
	if len(rest) > 0 && (rest[0] == '"' || rest[0] == '\'') {
		if end := bytes.IndexByte(rest[1:], rest[0]); end >= 0 {
			return key, rest[1 : 1+end], rest[2+end:]
		}
	}
	end := bytes.IndexAny(rest, " \t\r\n")
	if end < 0 {
		end = len(rest)
	}
	return key, rest[:end], rest[end:]
}
