package wsproto

import (
	"bytes"
	"encoding/base64"
	"strings"
)

// tokenChar and hostChar are RFC 9110 5.6.2 and RFC 3986 3.2.2 (reg-name).
var (
	tokenChar = charSet("!#$%&'*+-.^_`|~")
	hostChar  = charSet("-._~!$&'()*+,;=%")
)

// charSet is the set of ASCII letters, digits and others.
func charSet(others string) (set [256]bool) {
	for c := range set {
		b := byte(c)
		set[c] = isDigit(b) || 'a' <= b|0x20 && b|0x20 <= 'z' || strings.IndexByte(others, b) >= 0
	}
	return set
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func all(p []byte, set *[256]bool) bool {
	for _, c := range p {
		if !set[c] {
			return false
		}
	}
	return true
}

func isToken(p []byte) bool { return len(p) > 0 && all(p, &tokenChar) }

// isHost reports that p is host[:port], the host not empty: RFC 9110 7.2.
func isHost(p []byte) bool {
	host, port := p, []byte(nil)
	if colon := bytes.LastIndexByte(p, ':'); colon > bytes.LastIndexByte(p, ']') {
		host, port = p[:colon], p[colon+1:]
	}
	for _, c := range port {
		if !isDigit(c) {
			return false
		}
	}
	if len(host) > 2 && host[0] == '[' && host[len(host)-1] == ']' { // an IPv6 address
		address, zone, zoned := bytes.Cut(host[1:len(host)-1], []byte("%")) // RFC 6874; some clients send it
		_, ok := parseIPv6(address)
		return ok && zoned == (len(zone) > 0) && all(zone, &hostChar)
	}
	return len(host) > 0 && all(host, &hostChar)
}

const keySize = 24 // base64 of 16 bytes

// isKey reports that p is base64 of 16 bytes: RFC 6455 4.1.
func isKey(p []byte) bool {
	var nonce [keySize / 4 * 3]byte
	if len(p) != keySize {
		return false
	}
	n, err := base64.StdEncoding.Decode(nonce[:], p)
	return err == nil && n == 16
}

// isText reports that p has no control character besides tab. That also finds a
// bare CR or LF, which RFC 9112 2.2 lets a server refuse.
func isText(p []byte) bool {
	for _, c := range p {
		if c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}

// foldEqual compares p to an ASCII string without regard to case. Unlike
// bytes.EqualFold it knows no letter outside ASCII, where U+212A is a k.
func foldEqual(p []byte, lower string) bool {
	if len(p) != len(lower) {
		return false
	}
	for i, c := range p {
		if 'A' <= c && c <= 'Z' {
			c |= 0x20
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}

// lists reports that a comma-separated value has an entry, in any case.
func lists(value []byte, entry string) bool {
	for len(value) > 0 {
		offered, rest, _ := bytes.Cut(value, []byte(","))
		if foldEqual(trim(offered), entry) {
			return true
		}
		value = rest
	}
	return false
}
