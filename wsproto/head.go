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
	for at := 0; ; {
		next := bytes.IndexByte(p[at:], '\n') // much faster than bytes.Index for short lines
		if next < 0 {
			return -1
		}
		if at += next + 1; at >= 4 && string(p[at-4:at]) == "\r\n\r\n" {
			return at
		}
	}
}

// cutLine is bytes.Cut at the first line end, for which all of p is taken when there is none.
func cutLine(p []byte) (line, rest []byte) {
	for at := 0; ; {
		next := bytes.IndexByte(p[at:], '\n')
		if next < 0 {
			return p, nil
		}
		if at += next + 1; at >= 2 && p[at-2] == '\r' {
			return p[:at-2], p[at:]
		}
	}
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

// headers are what the header lines of a request say, taken together. It is owned by one
// run of ParseUpgrade; its slices alias the head.
type headers struct {
	lines      int
	seen       [onceHeaders]bool
	upgrade    bool // Upgrade lists websocket
	connection bool // Connection lists upgrade
	version13  bool
	body       bool // Transfer-Encoding, or a Content-Length other than 0
	extensions extensions

	host, key, origin []byte
	token             []byte // of the first Authorization that has one
	protocol          string // the first bearer entry
	protocolToken     string
}

// Headers that decide who asks for what, and of which two would leave that open.
const (
	onceHost = iota
	onceKey
	onceVersion
	onceOrigin
	onceHeaders
)

// read takes header lines, each with its line end.
func (h *headers) read(lines []byte) *Refusal {
	for len(lines) > 0 {
		var line []byte
		line, lines = cutLine(lines)
		if refusal := h.line(line); refusal != nil {
			return refusal
		}
	}
	return nil
}

func (h *headers) line(line []byte) *Refusal {
	if h.lines++; h.lines > maxHeaderLines {
		return RefuseHeadTooLarge
	}
	if line[0] == ' ' || line[0] == '\t' { // RFC 9112 5.2: obs-fold may be refused
		return refuseFolding
	}
	name, value, ok := bytes.Cut(line, colon)
	if !ok || !isToken(name) { // RFC 9112 5.1: no space before the colon either
		return refuseHeaderName
	}
	if !isText(value) {
		return refuseHeaderValue
	}
	return h.header(name, trim(value))
}

var colon = []byte(":")

func (h *headers) header(name, value []byte) *Refusal {
	switch {
	case foldEqual(name, "host"):
		h.host = value
		return h.once(onceHost)
	case foldEqual(name, "origin"):
		h.origin = value
		return h.once(onceOrigin)
	case foldEqual(name, "upgrade"): // RFC 9110 5.3 and 7.8: a list, which may be spread over lines
		h.upgrade = h.upgrade || lists(value, "websocket")
	case foldEqual(name, "connection"):
		h.connection = h.connection || lists(value, "upgrade")
	case foldEqual(name, "authorization"):
		if len(h.token) == 0 {
			h.token = bearerToken(value)
		}
	case foldEqual(name, "content-length"):
		h.body = h.body || string(value) != "0"
	case foldEqual(name, "transfer-encoding"):
		h.body = true
	case foldEqual(name, "sec-websocket-key"):
		h.key = value
		return h.once(onceKey)
	case foldEqual(name, "sec-websocket-version"):
		h.version13 = string(value) == "13"
		return h.once(onceVersion)
	case foldEqual(name, "sec-websocket-protocol"):
		if h.protocol == "" { // PROTOCOL 1: no other protocol is ever echoed
			h.protocol, h.protocolToken, _ = BearerProtocol(value)
		}
	case foldEqual(name, "sec-websocket-extensions"):
		h.extensions.line(value)
	}
	return nil
}

func (h *headers) once(which int) *Refusal {
	if h.seen[which] {
		return refuseDuplicate
	}
	h.seen[which] = true
	return nil
}

// judge says what becomes of a request whose lines are all well-formed. nil means
// that it can be upgraded.
func (h *headers) judge(r requestLine) *Refusal {
	health, validHost := string(r.path) == healthPath, isHost(h.host)
	switch {
	case r.http10 && (!h.seen[onceHost] || validHost):
		return RefusalHealthy
	case !validHost: // RFC 9112 3.2: a missing or invalid Host is answered with 400
		return refuseHost
	case health && (!h.upgrade || r.bare):
		return RefusalHealthy
	case !h.upgrade || r.bare: // RFC 9110 7.8: Upgrade may be ignored
		return refusePlainHTTP
	case !h.connection: // RFC 6455 4.2.1, item 4
		return refuseConnection
	case !h.version13: // RFC 6455 4.2.2 and 4.4
		return refuseVersion
	case !isKey(h.key): // RFC 6455 4.2.1, item 5
		return refuseKey
	case h.extensions.broken():
		return refuseExtensions
	case h.body: // its bytes would be taken for frames
		return refuseBody
	}
	return nil
}
