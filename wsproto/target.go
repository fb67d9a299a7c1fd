package wsproto

import "bytes"

const (
	maxTarget  = 8 << 10 // bytes; RFC 9112 3 asks for at least 8000
	healthPath = "/healthz"
)

// requestLine is the first line of an HTTP request, taken apart. It is
// owned by one run of ParseUpgrade; its slices alias the head.
type requestLine struct {
	target []byte // as sent
	host   []byte // nil unless the target is in absolute form
	path   []byte // not percent-decoded
	query  []byte // without the question mark
	bare   bool   // HEAD: GET that is answered without a body (RFC 9110 9.3.2), and never upgraded
	http10 bool   // only ever for a health check
}

// parseRequestLine reads "GET <target> HTTP/1.1", or HEAD, or a higher 1.x. A load balancer's health
// check is the one request that may be HTTP/1.0, as it is never upgraded.
func parseRequestLine(line []byte) (r requestLine, refusal *Refusal) {
	method, rest, ok := bytes.Cut(line, []byte(" "))
	target, version, ok2 := bytes.Cut(rest, []byte(" "))
	if !ok || !ok2 || !isToken(method) || !isHTTPVersion(version) {
		return r, refuseNotHTTP
	}
	if len(target) > maxTarget {
		return r, refuseTargetLength
	}
	r.target, r.bare = target, string(method) == "HEAD"
	if !r.splitTarget(string(method)) {
		return r, refuseTarget
	}
	r.http10 = string(version) == "HTTP/1.0"
	switch {
	// RFC 6455 4.2.1: 1.1 or higher; RFC 9110 7.8: Upgrade in 1.0 is ignored, and 2.5: a
	// higher minor version is read as the highest that is known.
	case r.http10 && string(r.path) != healthPath,
		!r.http10 && string(version[:len("HTTP/1.")]) != "HTTP/1.":
		return r, refuseHTTPVersion
	case string(method) != "GET" && !r.bare: // RFC 6455 4.1
		return r, refuseMethod
	}
	return r, nil
}

// splitTarget takes the target apart: RFC 9112 3.2.1 (origin form) and 3.2.2 (absolute form). The
// other two forms are well-formed for one method each, neither of which is served: authority form
// for CONNECT (3.2.3), and the asterisk for OPTIONS (3.2.4).
func (r *requestLine) splitTarget(method string) bool {
	rest := r.target
	if len(rest) == 0 || !isTarget(rest) {
		return false
	}
	switch {
	case method == "CONNECT":
		return isHost(rest) && isDigit(rest[len(rest)-1]) && bytes.LastIndexByte(rest, ':') > bytes.LastIndexByte(rest, ']')
	case method == "OPTIONS" && string(rest) == "*":
		return true
	case rest[0] != '/':
		scheme, after, ok := bytes.Cut(rest, []byte("://"))
		if !ok || !isScheme(scheme) {
			return false
		}
		end := bytes.IndexAny(after, "/?")
		if end < 0 {
			end = len(after)
		}
		r.host, rest = after[:end], after[end:]
		if !isHost(r.host) {
			return false
		}
	}
	r.path, r.query, _ = bytes.Cut(rest, []byte("?"))
	if len(r.path) == 0 {
		r.path = []byte("/")
	}
	return true
}

// isTarget reports that p has no byte that may stand in no target, and that each percent sign
// begins an escape: RFC 3986 2.1. Bytes above ASCII pass, as browsers' own odd characters do.
func isTarget(p []byte) bool {
	for i, c := range p {
		switch {
		case c <= ' ', c == 0x7f, c == '#':
			return false
		case c == '%' && (i+2 >= len(p) || hexDigit(p[i+1]) < 0 || hexDigit(p[i+2]) < 0):
			return false
		}
	}
	return true
}

func isScheme(p []byte) bool {
	for _, scheme := range [...]string{"ws", "wss", "http", "https"} {
		if foldEqual(p, scheme) {
			return true
		}
	}
	return false
}

// isHTTPVersion is RFC 9112 2.3: HTTP/ DIGIT . DIGIT
func isHTTPVersion(p []byte) bool {
	return len(p) == 8 && string(p[:5]) == "HTTP/" && isDigit(p[5]) && p[6] == '.' && isDigit(p[7])
}
