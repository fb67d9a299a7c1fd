package wsproto

import "bytes"

const (
	// MaxHead is the longest request head, in bytes, that ParseUpgrade reads.
	MaxHead = 16 << 10

	maxHeaderLines = 100
)

var crlf = []byte("\r\n")

// HeadEnd is the index just after the blank line that ends an HTTP head in p, or
// -1 if it isn't there. Only CR LF CR LF is one: taking LF LF for it too, as some
// servers do, is how a proxy and the server behind it come to disagree about
// where a request ends.
func HeadEnd(p []byte) int {
	if i := bytes.Index(p, []byte("\r\n\r\n")); i >= 0 {
		return i + 4
	}
	return -1
}

// CheckHead judges what is there of a request's head before the rest is, so that who
// speaks another protocol is told at once and not by a timeout. p is all that has come,
// of which the first from bytes were judged before, but for the last; end is what
// HeadEnd(p[from:]) returned. nil: nothing is wrong so far.
func CheckHead(p []byte, from, end int) *Refusal {
	if end >= 0 {
		p = p[:from+end]
	}
	p = p[:min(len(p), MaxHead)]
	line := bytes.TrimPrefix(p, crlf)
	if from < len(crlf)+1 && len(line) > 0 && line[0] != '\r' && !tokenChar[line[0]] {
		return refuseNotHTTP // RFC 9110 9.1: a method is a token; the first byte of TLS (RFC 8446 5.1) isn't one
	}
	for at := from; at < len(p); at++ {
		next := bytes.IndexByte(p[at:], '\n')
		if next < 0 {
			return nil
		}
		if at += next; at == 0 || p[at-1] != '\r' {
			return refuseLineEnd.AnswerTo(line)
		}
	}
	return nil
}

// survey is what has to be known of all header lines together, before any of
// them is believed. It is owned by one run of ParseUpgrade.
type survey struct {
	lines      int
	seen       [onceHeaders]bool
	upgrade    bool // Upgrade lists websocket
	connection bool // Connection lists upgrade
	version13  bool
	validHost  bool
	validKey   bool
	body       bool // Transfer-Encoding, or a Content-Length other than 0
	extensions extensions
}

// Headers that decide who asks for what, and of which two would leave that open.
const (
	onceHost = iota
	onceKey
	onceVersion
	onceOrigin
	onceHeaders
)

// line takes the next header line, without its line end. keep says whether
// gobwas' upgrader should see it.
func (s *survey) line(line []byte) (keep bool, refusal *Refusal) {
	if s.lines++; s.lines > maxHeaderLines {
		return false, RefuseHeadTooLarge
	}
	if line[0] == ' ' || line[0] == '\t' { // RFC 9112 5.2: obs-fold may be refused
		return false, refuseFolding
	}
	name, value, ok := bytes.Cut(line, []byte(":"))
	if !ok || !isToken(name) { // RFC 9112 5.1: no space before the colon either
		return false, refuseHeaderName
	}
	if !isText(value) {
		return false, refuseHeaderValue
	}
	return s.header(name, trim(value))
}

func (s *survey) header(name, value []byte) (keep bool, refusal *Refusal) {
	switch {
	case foldEqual(name, "host"):
		s.validHost = isHost(value)
		return true, s.once(onceHost)
	case foldEqual(name, "sec-websocket-key"):
		s.validKey = isKey(value)
		return true, s.once(onceKey)
	case foldEqual(name, "sec-websocket-version"):
		s.version13 = string(value) == "13"
		return true, s.once(onceVersion)
	case foldEqual(name, "origin"):
		return true, s.once(onceOrigin)
	case foldEqual(name, "upgrade"):
		s.upgrade = s.upgrade || lists(value, "websocket")
		return false, nil
	case foldEqual(name, "connection"):
		s.connection = s.connection || lists(value, "upgrade")
		return false, nil
	case foldEqual(name, "sec-websocket-extensions"):
		s.extensions.line(value)
		return false, nil
	case foldEqual(name, "transfer-encoding"):
		s.body = true
	case foldEqual(name, "content-length"):
		s.body = s.body || string(value) != "0"
	}
	return true, nil
}

func (s *survey) once(which int) *Refusal {
	if s.seen[which] {
		return refuseDuplicate
	}
	s.seen[which] = true
	return nil
}

// judge says what becomes of a request whose lines are all well-formed. nil means
// that it can be upgraded.
func (s *survey) judge(r requestLine) *Refusal {
	health := string(r.path) == healthPath
	switch {
	case r.http10 && (!s.seen[onceHost] || s.validHost):
		return RefusalHealthy
	case !s.validHost: // RFC 9112 3.2: a missing or invalid Host is answered with 400
		return refuseHost
	case health && (!s.upgrade || r.bare):
		return RefusalHealthy
	case !s.upgrade || r.bare: // RFC 9110 7.8: Upgrade may be ignored
		return refusePlainHTTP
	case !s.connection: // RFC 6455 4.2.1, item 4
		return refuseConnection
	case !s.version13: // RFC 6455 4.2.2 and 4.4
		return refuseVersion
	case !s.validKey: // RFC 6455 4.2.1, item 5
		return refuseKey
	case s.extensions.broken():
		return refuseExtensions
	case s.body: // its bytes would be taken for frames
		return refuseBody
	}
	return nil
}
