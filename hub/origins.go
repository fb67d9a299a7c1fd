package hub

import (
	"fmt"
	"net"
	"net/url"
	"strings"
)

// Origins says which web pages may talk to this server, over the WebSocket and over
// HTTP alike. It is immutable, so it may be copied and used from any goroutine.
//
// The zero value allows pages of the host that they call, on any port. It ignores the
// port because the pages (port P) and the WebSocket (port P+1) are one service,
// and may do so because nothing here is authorised by cookies: a page without a token can do nothing.
//
// Requests without an Origin header don't come from a web page and are always
// allowed: the header protects browsers' users, not the server.
type Origins struct {
	any       bool
	exact     map[origin]struct{}
	wildcards []origin // host is the part after "*", so it starts with a dot
}

// origin is an origin as RFC 6454 section 4 defines it: scheme and host in lower case, and
// the port, which is empty where it is the scheme's default.
type origin struct{ scheme, host, port string }

// ParseOrigins reads an allowlist. An entry is an origin ("https://app.example.com",
// "http://localhost:3000"), an origin whose host starts with "*." for all names below
// a domain, at any depth and without the domain itself, or "*" for every origin.
// No entries: the zero value. With entries, pages of the server's own host need one too.
func ParseOrigins(entries []string) (Origins, error) {
	var list Origins
	for _, entry := range entries {
		if err := list.add(strings.TrimSpace(entry)); err != nil {
			return Origins{}, err
		}
	}
	return list, nil
}

func (l *Origins) add(entry string) error {
	if entry == "*" {
		l.any = true
		return nil
	}
	o, ok := parseOrigin(strings.TrimSuffix(entry, "/")) // as people copy it
	if !ok {
		return fmt.Errorf("-origins: %q is not an origin: write it as a browser sends it, such as "+
			"https://app.example.com, https://*.example.com or http://localhost:3000 (no path), or * for all", entry)
	}
	rest, isWildcard := strings.CutPrefix(o.host, "*.")
	if isWildcard && !strings.Contains(rest, ".") && rest != "localhost" {
		return fmt.Errorf("-origins: %q stands for a whole top-level domain: name the domain below it, as in https://*.example.com", entry)
	}
	if isWildcard {
		o.host = "." + rest
		l.wildcards = append(l.wildcards, o)
	} else {
		if l.exact == nil {
			l.exact = make(map[origin]struct{})
		}
		l.exact[o] = struct{}{}
	}
	if strings.Contains(o.host, "*") {
		return fmt.Errorf(`-origins: %q: "*" can only stand for the first part of a host, as in https://*.example.com`, entry)
	}
	return nil
}

// Allow reports whether a request with this Origin header may be served; host is the
// request's Host header. An origin header of "null" (sandboxed pages, files) is
// allowed by "*" alone.
func (l Origins) Allow(header, host string) bool {
	if header == "" || l.any {
		return true
	}
	o, ok := parseOrigin(header)
	if !ok {
		return false
	}
	if len(l.exact) == 0 && len(l.wildcards) == 0 {
		return o.host == hostname(host)
	}
	if _, ok := l.exact[o]; ok {
		return true
	}
	for _, w := range l.wildcards {
		if o.scheme == w.scheme && o.port == w.port &&
			len(o.host) > len(w.host) && strings.HasSuffix(o.host, w.host) {
			return true
		}
	}
	return false
}

// parseOrigin reads scheme "://" host [ ":" port ], all that RFC 6454 section 6.2
// lets a browser send besides "null".
func parseOrigin(s string) (origin, bool) {
	scheme, _, ok := strings.Cut(s, "://")
	if !ok || scheme == "" {
		return origin{}, false
	}
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || u.User != nil || s != scheme+"://"+u.Host {
		return origin{}, false
	}
	o := origin{scheme: strings.ToLower(u.Scheme), host: strings.ToLower(u.Hostname()), port: u.Port()}
	if o.host == "" || strings.HasSuffix(u.Host, ":") {
		return origin{}, false
	}
	if o.scheme == "http" && o.port == "80" || o.scheme == "https" && o.port == "443" {
		o.port = ""
	}
	return o, true
}

// hostname is a Host header without its port, in lower case.
func hostname(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	} else {
		host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	}
	return strings.ToLower(host)
}
