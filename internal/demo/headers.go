package demo

import (
	"net"
	"net/http"
	"strconv"
	"strings"
)

// withHeaders sets the headers that every answer has. They come first, so that errors and redirects have
// them as well.
func withHeaders(next http.Handler, port int) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", contentPolicy(r.Host, port))
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Cache-Control", "no-store")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		next.ServeHTTP(w, r)
	})
}

// contentPolicy lets the page load its own parts, call its own origin, and reach the WebSocket of host;
// nothing else. Trusted Types make the browser itself refuse innerHTML.
func contentPolicy(host string, port int) string {
	return strings.Join([]string{
		"default-src 'none'",
		"script-src 'self'",
		"style-src 'self'",
		"img-src 'self'",
		"connect-src 'self'" + socketSources(host, port),
		"base-uri 'none'",
		"form-action 'none'",
		"frame-ancestors 'none'",
		"require-trusted-types-for 'script'",
	}, "; ")
}

// socketSources names the WebSocket's addresses on the host of a request. host is the client's word, so
// what isn't a plain host name gets no source at all rather than a chance to add a directive.
func socketSources(host string, port int) string {
	name := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	}
	name = strings.TrimSuffix(strings.TrimPrefix(name, "["), "]")
	if strings.Contains(name, ":") && net.ParseIP(name) != nil {
		// CSP 3 section 2.3.1 has no syntax for IPv6 addresses, so only the scheme can be named.
		return " ws: wss:"
	}
	if name == "" || strings.ContainsFunc(name, notHostName) {
		return ""
	}
	at := name + ":" + strconv.Itoa(port)
	return " ws://" + at + " wss://" + at
}

func notHostName(r rune) bool {
	return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '.')
}
