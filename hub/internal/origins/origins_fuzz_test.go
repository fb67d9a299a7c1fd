package origins

import (
	"regexp"
	"strings"
	"testing"
)

// What the allowlist lets in is on it: the same scheme and port, and a host that is an entry or
// below one. The browser's spelling of a host's case doesn't matter.
func FuzzOrigins(f *testing.F) {
	for _, entry := range []string{"https://app.example.com", "https://*.example.com", "http://localhost:3000", "*", "https://*.com", "https://a.*", "null", "https://[::1]:80"} {
		for _, header := range []string{"", "null", "https://app.example.com", "https://APP.example.com:443", "https://example.com", "https://x.y.example.com",
			"https://evilexample.com", "https://app.example.com.evil.org", "https://u@app.example.com", "http://app.example.com", "https://app.example.com/"} {
			f.Add(entry, header, "app.example.com:4322")
		}
	}
	f.Fuzz(func(t *testing.T, entry, header, host string) {
		list, err := Parse([]string{entry})
		if err != nil {
			return
		}
		if !list.Allow(header, host) || header == "" || entry == "*" || strings.TrimSpace(entry) == "*" {
			return
		}
		if o, ok := parseOrigin(header); !ok {
			t.Fatalf("%q lets in %q, which is no origin", entry, header)
		} else if again, ok := parseOrigin(o.String()); !ok || again != o {
			t.Fatalf("%q is %+v, and that is %+v", header, o, again)
		}
		if strings.ContainsFunc(entry+header, func(r rune) bool { return r > 0x7e || r == '[' }) {
			return // what is below has no punycode, and no IPv6
		}
		want, got := strings.ToLower(strings.TrimSuffix(strings.TrimSpace(entry), "/")), strings.ToLower(strings.TrimSuffix(header, "/"))
		scheme, name, _ := strings.Cut(want, "://")
		gotScheme, gotName, _ := strings.Cut(got, "://")
		name, gotName = withoutUsualPort(scheme, name), withoutUsualPort(scheme, gotName)
		below, wildcard := strings.CutPrefix(name, "*")
		if scheme != gotScheme || (wildcard && !strings.HasSuffix(gotName, below)) || (!wildcard && gotName != name) {
			t.Fatalf("%q lets in %q", entry, header)
		}
	})
}

// portZeros are what may stand in front of a port without changing it.
var portZeros = regexp.MustCompile(":0+")

func withoutUsualPort(scheme, host string) string {
	usual := map[string]string{"http": ":80", "ws": ":80", "https": ":443", "wss": ":443"}[scheme]
	return strings.TrimSuffix(portZeros.ReplaceAllString(host, ":"), usual)
}
