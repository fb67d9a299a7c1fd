package main

import (
	"net/url"
	"strings"
)

// Origins declares a list of origins that are allowed.
func (t *flagTable) Origins(p *[]string, name, meaning string) *setting {
	return t.add(&setting{
		name: name, unit: "list", meaning: meaning,
		accepts: `a list of origins such as https://app.example.com,https://*.example.com, or *`,
		store: func(text string) bool {
			origins, ok := parseOrigins(text)
			return store(p, origins, ok)
		},
	})
}

// parseOrigins reads a list separated by commas. Each entry comes out in the form that
// browsers send, so that comparing bytes is enough: lower case, no path, no default
// port (RFC 6454 section 6.1). "*" stands for any origin, and "*." at the start of a
// host for one or more labels. Blank entries are left out.
func parseOrigins(text string) (origins []string, ok bool) {
	for entry := range strings.SplitSeq(text, ",") {
		entry = strings.TrimSpace(entry)
		if entry == "" {
			continue
		}
		origin, ok := parseOrigin(entry)
		if !ok {
			return nil, false
		}
		origins = append(origins, origin)
	}
	return origins, true
}

func parseOrigin(entry string) (origin string, ok bool) {
	if entry == "*" {
		return entry, true
	}
	u, err := url.Parse(strings.ToLower(entry))
	if err != nil || u.Scheme == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return "", false
	}
	if u.Path != "" && u.Path != "/" {
		return "", false
	}
	// The rest of a wildcard has to be a name of its own: "https://*" and "https://*.*"
	// would let in more than their writer sees.
	rest, wildcard := strings.CutPrefix(u.Hostname(), "*.")
	if rest == "" || strings.ContainsAny(rest, "*, ") || strings.HasPrefix(rest, ".") {
		return "", false
	}
	if wildcard && !strings.Contains(rest, ".") && rest != "localhost" {
		return "", false // "https://*.com" is most of the web
	}
	return u.Scheme + "://" + strings.TrimSuffix(u.Host, defaultPort(u.Scheme)), true
}

func defaultPort(scheme string) string {
	switch scheme {
	case "http":
		return ":80"
	case "https":
		return ":443"
	}
	return ":"
}
